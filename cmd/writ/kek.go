package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-authz/writ/storage/seal"
)

// secretMounts are where container runtimes put secrets for one process. Their modes are the runtime's, not the operator's.
func (c *Config) secretMounts() []string {
	return []string{"/run/secrets", "/var/run/secrets", c.credentials}
}

// credentialKEKs are the systemd credentials that hold a key encryption key (LoadCredential=writ-kek:/etc/writ/kek).
func (c *Config) credentialKEKs() []string {
	if c.credentials == "" {
		return nil
	}
	var found []string
	for _, name := range []string{"writ-kek", "kek"} {
		path := filepath.Join(c.credentials, name)
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	return found
}

// deriveKEK finds the key encryption key where nothing says where it is: a systemd credential, then the data directory.
func (c *Config) deriveKEK(origins map[string]string) {
	if c.KEKFile != "" || c.KEK != "" {
		return
	}
	if found := c.credentialKEKs(); len(found) > 0 {
		c.KEKFile, origins["kek_file"] = found[0], "systemd credential"
		return
	}
	if c.MongoDBURI == "" {
		c.KEKFile, origins["kek_file"] = filepath.Join(c.DataDir, "kek"), "default, in data_dir"
	}
}

// validateKEK holds the server to one key: which of two would be used is nothing to guess.
func (c *Config) validateKEK(origins map[string]string, wrong func(key, format string, args ...any)) {
	if c.KEK != "" {
		switch _, err := seal.ParseKEK(c.KEK); {
		case strings.HasPrefix(origins["kek"], "file "):
			wrong("kek", "is in a configuration file, which more people read than may have the key; put it into a file of its own, of "+
				"mode 0600, and name that in kek_file")
		case c.KEKFile != "":
			wrong("kek", "is set beside kek_file (%s), and a server has one key encryption key; unset one of them", origins["kek_file"])
		case err != nil:
			wrong("kek", "%s", err)
		}
	}
	found := c.credentialKEKs()
	if len(found) > 1 {
		wrong("kek_file", "there are two systemd credentials, writ-kek and kek, and a server has one key encryption key; load one of them")
		return
	}
	for _, path := range found {
		switch {
		case c.KEK != "":
			wrong("kek", "is set beside the systemd credential %s, and a server has one key encryption key; give it one of them", path)
		case filepath.Clean(c.KEKFile) != path:
			wrong("kek_file", "is set beside the systemd credential %s, and a server has one key encryption key; give it one of them", path)
		}
	}
}

// loadKEK reads the key encryption key, and names the option that it came from. create allows a first one to be made in the data
// directory, and nowhere else: a key that was mounted or named and is not there is a mistake.
func (c *Config) loadKEK(create bool) (kek seal.KEK, key string, err error) {
	if c.KEK != "" {
		kek, err = seal.ParseKEK(c.KEK)
		key = "kek"
	} else {
		inDataDir := c.MongoDBURI == "" && c.KEKFile == filepath.Join(c.DataDir, "kek")
		kek, err = seal.LoadKEK(c.KEKFile, create && inDataDir, c.secretMounts()...)
		key = "kek_file"
	}
	if err != nil {
		return kek, key, fmt.Errorf("%s: %w", key, err)
	}
	return kek, key, nil
}
