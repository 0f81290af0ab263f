package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate serves a key pair from two files and reads them again when they change. A pair that cannot be read, such as one
// that is half written, leaves the last good one in place.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	read   stamps
	failed stamps // of the last pair that could not be read, so that it is reported once
}

// stamps tell whether either file has changed.
type stamps struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// loadCertificate reads a key pair; the error says what to do.
func loadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load %s with %s: %w; name a PEM certificate and its private key", certFile, keyFile, plain(err))
	}
	return &pair, nil
}

func newCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	at, err := c.stamp()
	if err != nil {
		return nil, err
	}
	if c.pair, err = loadCertificate(certFile, keyFile); err != nil {
		return nil, err
	}
	c.read = at
	return c, nil
}

func (c *certificate) stamp() (stamps, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamps{}, err
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamps{}, err
	}
	return stamps{certTime: cert.ModTime(), keyTime: key.ModTime(), certSize: cert.Size(), keySize: key.Size()}, nil
}

// get is tls.Config.GetCertificate. Two stats per handshake are cheap beside the handshake, and see a swapped symbolic link too.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := c.stamp()
	if err != nil || at == c.read || at == c.failed {
		return c.pair, nil
	}
	pair, err := loadCertificate(c.certFile, c.keyFile)
	if err != nil {
		c.failed = at
		c.logger.WarnContext(hello.Context(), "new certificate refused, the old one serves on", "error", err)
		return c.pair, nil
	}
	c.pair, c.read = pair, at
	c.logger.InfoContext(hello.Context(), "certificate reloaded", "file", c.certFile)
	return c.pair, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}
