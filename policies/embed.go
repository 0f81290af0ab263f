package policies

import (
	"embed"
	"io/fs"
	"strings"
)

// shippedFiles are the rules, catalogue, settings and schemas that Writ comes with.
//
//go:embed all:rego
var shippedFiles embed.FS

// invariants are vectors that hold for any core, a replaced one included.
//
//go:embed invariants.yaml
var invariants []byte

// testedHash is the hash of the shipped set that passed its tests when Writ was built. `go test ./policies -run Proven
// -update` writes it.
//
//go:embed tested.sha256
var testedHash string

func shipped() fs.FS {
	tree, err := fs.Sub(shippedFiles, "rego")
	if err != nil { // the name is a constant
		panic(err)
	}
	return tree
}

// shippedHash is over every byte of the shipped set and its invariants.
func shippedHash() (string, error) {
	files, err := readTree(shipped(), "policies/rego")
	if err != nil {
		return "", err
	}
	return contentHash(files, []file{{path: "invariants.yaml", body: invariants}}), nil
}

// proven reports whether the shipped set is the one that was tested: a build that skipped its tests says so at every start.
func proven() (bool, error) {
	hash, err := shippedHash()
	return hash == strings.TrimSpace(testedHash), err
}
