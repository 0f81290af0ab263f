package policies

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"
)

// Limits of a bundle. Its files stand in one document of the store.
const (
	MaxBundleBytes = 4 << 20
	maxBundleFiles = 1000
)

// coreFolder is where a bundle has what replaces the shipped core; all else is what a directory of policies holds.
const coreFolder = "core/"

const (
	manifestFile   = ".manifest"
	signaturesFile = ".signatures.json"
	deltaFile      = "patch.json"
)

// ErrSignature says that a bundle is not signed by a key that is trusted here, or is not what was signed.
var ErrSignature = errors.New("signature")

// Bundle is a policy set that is brought in while the server runs: the files of a directory of policies and, below core/, those of
// a core directory. It is immutable but for Sign.
type Bundle struct {
	files     []file // in order of their paths
	signature string
}

// BundleFile is one file of a bundle. Its path is relative to the root of the bundle.
type BundleFile struct {
	Path string
	Body []byte
}

// NewBundle makes a bundle of files, and of the token that signs them, if there is one. It refuses paths that are not plain, twice
// there, or of no file that a policy set has.
func NewBundle(files []BundleFile, signature string) (*Bundle, error) {
	b := &Bundle{signature: signature}
	size := 0
	for _, f := range files {
		if err := checkBundlePath(f.Path); err != nil {
			return nil, err
		}
		size += len(f.Body)
		if path.Ext(f.Path) == ".rego" && len(f.Body) > maxRegoBytes {
			return nil, refused(f.Path, "layout", "larger than %d bytes", maxRegoBytes)
		}
		b.files = append(b.files, file{path: f.Path, name: f.Path, body: f.Body})
	}
	switch {
	case len(files) == 0:
		return nil, refused("", "layout", "the bundle is empty")
	case len(files) > maxBundleFiles:
		return nil, refused("", "layout", "the bundle holds more than %d files", maxBundleFiles)
	case size > MaxBundleBytes:
		return nil, refused("", "layout", "the bundle holds more than %d bytes", MaxBundleBytes)
	}
	slices.SortFunc(b.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for i := range len(b.files) - 1 {
		if b.files[i].path == b.files[i+1].path {
			return nil, refused(b.files[i].path, "layout", "the file is there twice")
		}
	}
	return b, nil
}

func checkBundlePath(name string) error {
	base := path.Base(name)
	switch {
	case name == manifestFile:
		return nil
	case base == deltaFile:
		return refused(name, "layout", "a delta bundle is not taken: send the whole set")
	case strings.HasSuffix(base, "signatures.json"):
		return refused(name, "layout", "signatures stand in %s at the root of an archive, and nowhere else", signaturesFile)
	case !validPath(name):
		return refused(name, "layout", "a path is made of segments of A-Z a-z 0-9 . _ -, joined by /")
	case !slices.Contains([]string{".rego", ".yaml", ".yml", ".json"}, path.Ext(name)):
		return refused(name, "layout", "a policy set has files .rego, .yaml, .yml and .json")
	case strings.Count(name, "/") > maxDepth:
		return refused(name, "layout", "more than %d folders deep", maxDepth)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, ".") {
			return refused(name, "layout", "a name does not begin with a dot")
		}
	}
	return nil
}

// ReadArchive reads a bundle as OPA makes it: a tar archive, compressed with gzip, with .signatures.json where it is signed.
func ReadArchive(archive []byte) (*Bundle, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, refused("", "layout", "not a tar archive compressed with gzip: %v", err)
	}
	// What is unpacked is bounded as a whole: an archive may say anything about itself.
	entries := tar.NewReader(io.LimitReader(unzipped, 2*MaxBundleBytes))
	var files []BundleFile
	signature := ""
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, refused("", "layout", "the archive cannot be read, or unpacks to more than %d bytes: %v", 2*MaxBundleBytes, err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(entry.Name, "./"), "/")
		switch entry.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return nil, refused(name, "layout", "an archive holds files and folders, no links or devices")
		}
		if len(files) > maxBundleFiles {
			break // NewBundle says so
		}
		body, err := io.ReadAll(entries)
		if err != nil {
			return nil, refused(name, "layout", "the archive cannot be read, or unpacks to more than %d bytes: %v", 2*MaxBundleBytes, err)
		}
		if name != signaturesFile {
			files = append(files, BundleFile{Path: name, Body: body})
			continue
		}
		if signature != "" {
			return nil, refused(name, "layout", "the file is there twice")
		}
		if signature, err = onlySignature(body); err != nil {
			return nil, refused(name, "signature", "%v", err)
		}
	}
	return NewBundle(files, signature)
}

// onlySignature returns the one token of a .signatures.json.
func onlySignature(body []byte) (string, error) {
	var given bundle.SignaturesConfig
	if err := json.Unmarshal(body, &given); err != nil {
		return "", fmt.Errorf("not readable: %w", err)
	}
	if len(given.Signatures) != 1 || given.Signatures[0] == "" || given.Plugin != "" {
		return "", errors.New("exactly one signature is taken, and no plugin")
	}
	return given.Signatures[0], nil
}

// ReadBundle makes a bundle of what directories hold.
func ReadBundle(source Source) (*Bundle, error) {
	l, err := newLayers(shipped(), source)
	if err != nil {
		return nil, err
	}
	var files []BundleFile
	if l.dir != nil {
		tree, err := readTree(l.dir, l.dirDir)
		if err != nil {
			return nil, err
		}
		for _, f := range tree {
			files = append(files, BundleFile{Path: f.path, Body: f.body})
		}
	}
	if l.core != nil {
		tree, err := readTree(l.core, l.coreDir)
		if err != nil {
			return nil, err
		}
		for _, f := range tree {
			files = append(files, BundleFile{Path: coreFolder + f.path, Body: f.body})
		}
	}
	return NewBundle(files, "")
}

// Revision is the hash over all files, in hexadecimal: the name of the bundle.
func (b *Bundle) Revision() string { return contentHash(b.files) }

// Signature is the token that signs the bundle, empty where there is none.
func (b *Bundle) Signature() string { return b.signature }

// Files returns the files in order of their paths. The bodies are not to be changed.
func (b *Bundle) Files() []BundleFile {
	files := make([]BundleFile, len(b.files))
	for i, f := range b.files {
		files[i] = BundleFile{Path: f.path, Body: f.body}
	}
	return files
}

// Size is how many bytes the files have.
func (b *Bundle) Size() int {
	size := 0
	for _, f := range b.files {
		size += len(f.body)
	}
	return size
}

// Apps names the applications that the bundle brings, in order.
func (b *Bundle) Apps() []string {
	names := []string{}
	for _, f := range keep(b.files, "apps/") {
		if parts := strings.Split(f.path, "/"); len(parts) > 2 && !slices.Contains(names, parts[1]) {
			names = append(names, parts[1])
		}
	}
	return names
}

// Parts are what a set has of its own in place of the shipped core and of the shipped settings: hashes, empty for nothing.
type Parts struct{ Core, Settings string }

// Parts are those of the bundle.
func (b *Bundle) Parts() Parts { return partsOf(b.core(), b.directory()) }

func partsOf(core, dir []file) Parts {
	var p Parts
	if len(core) > 0 {
		p.Core = contentHash(core)
	}
	if settings := keep(dir, "settings/"); len(settings) > 0 {
		p.Settings = contentHash(settings)
	}
	return p
}

// core are the files below core/, as a core directory has them; directory are the others.
func (b *Bundle) core() []file {
	var files []file
	for _, f := range keep(b.files, coreFolder) {
		f.path = strings.TrimPrefix(f.path, coreFolder)
		files = append(files, f)
	}
	return files
}

func (b *Bundle) directory() []file {
	return slices.DeleteFunc(slices.Clone(b.files), func(f file) bool { return strings.HasPrefix(f.path, coreFolder) })
}

// Keys are the public keys that bundles are signed with, by their ids. Nil: signatures are not asked for.
type Keys map[string]*bundle.KeyConfig

// signingAlgorithms are those of OPA with a public half: who can verify a bundle must not be able to sign one.
func signingAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
}

// ParseKeys reads keys as OPA's configuration has them, in YAML or JSON: {id: {algorithm, key, scope}}, each key a public one in PEM.
func ParseKeys(text []byte) (Keys, error) {
	given, err := decodeObject(file{name: "keys", body: text})
	if err != nil {
		return nil, err
	}
	keys := Keys{}
	for id, value := range given {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", id, err)
		}
		var key bundle.KeyConfig
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&key); err != nil {
			return nil, fmt.Errorf("key %s: %w; a key has algorithm, key and scope", id, err)
		}
		if !slices.Contains(signingAlgorithms(), key.Algorithm) {
			return nil, fmt.Errorf("key %s: algorithm %q is none of %s", id, key.Algorithm, strings.Join(signingAlgorithms(), ", "))
		}
		block, rest := pem.Decode([]byte(key.Key))
		if block == nil || !slices.Contains([]string{"PUBLIC KEY", "CERTIFICATE"}, block.Type) || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("key %s: the key is one public key or certificate in PEM", id)
		}
		if id == "" || key.PrivateKey != "" {
			return nil, fmt.Errorf("key %q: a key has an id and no private half", id)
		}
		keys[id] = &key
	}
	if len(keys) == 0 {
		return nil, errors.New("no key is named, so that no bundle would be taken")
	}
	return keys, nil
}

// Verify holds the bundle to its signature and returns the id of the key: every file is what was signed, and nothing that was signed
// is missing. An error wraps ErrSignature. Without keys nothing is asked for.
func (b *Bundle) Verify(keys Keys) (string, error) {
	if keys == nil {
		return "", nil
	}
	if b.signature == "" {
		return "", fmt.Errorf("%w: the bundle is not signed, and only signed ones are taken here", ErrSignature)
	}
	id, err := signer(b.signature)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if keys[id] == nil {
		return "", fmt.Errorf("%w: no key of the id %q is trusted here", ErrSignature, id)
	}
	// The key is named here, so that the token's word on it counts for nothing more.
	config := bundle.NewVerificationConfig(keys, id, keys[id].Scope, nil)
	given, err := bundle.VerifyBundleSignature(bundle.SignaturesConfig{Signatures: []string{b.signature}}, config)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	signed := map[string]bundle.FileInfo{}
	for name, info := range given {
		if !slices.Contains([]string{"SHA-256", "SHA-384", "SHA-512"}, info.Algorithm) {
			return "", fmt.Errorf("%w: %s has a hash of the kind %q; want SHA-256, SHA-384 or SHA-512", ErrSignature, name, info.Algorithm)
		}
		signed[strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/")] = info
	}
	if len(signed) != len(given) {
		return "", fmt.Errorf("%w: a file was signed twice", ErrSignature)
	}
	for _, f := range b.files {
		if err := bundle.VerifyBundleFile(f.path, *bytes.NewBuffer(f.body), signed); err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignature, err)
		}
	}
	for name := range signed { // what VerifyBundleFile found is no longer in it
		return "", fmt.Errorf("%w: %s was signed and is missing", ErrSignature, name)
	}
	return id, nil
}

// signer is the id of the key that a token says it is signed with: in its header, or in its claim keyid.
func signer(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the signature is no signed token")
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	var claims struct {
		KeyID string `json:"keyid"`
	}
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return "", fmt.Errorf("the signature is no signed token: %w", err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return "", fmt.Errorf("the signature is no signed token: %w", err)
		}
	}
	switch {
	case header.KeyID == "" && claims.KeyID == "":
		return "", errors.New("the signature names no key")
	case header.KeyID != "" && claims.KeyID != "" && header.KeyID != claims.KeyID:
		return "", errors.New("the signature names two keys")
	case header.KeyID != "":
		return header.KeyID, nil
	}
	return claims.KeyID, nil
}

// Sign signs the bundle with a private key in PEM.
func (b *Bundle) Sign(key, algorithm, id string) error {
	if !slices.Contains(signingAlgorithms(), algorithm) {
		return fmt.Errorf("algorithm %q is none of %s", algorithm, strings.Join(signingAlgorithms(), ", "))
	}
	if id == "" {
		return errors.New("a key has an id")
	}
	hasher, err := bundle.NewSignatureHasher(bundle.SHA256)
	if err != nil {
		return err
	}
	var files []bundle.FileInfo
	for _, f := range b.files {
		var content any = f.body
		if bundle.IsStructuredDoc(f.path) {
			if err := util.Unmarshal(f.body, &content); err != nil { // as the hash is verified
				return refused(f.path, "data", "%v", err)
			}
		}
		sum, err := hasher.HashFile(content)
		if err != nil {
			return fmt.Errorf("hash %s: %w", f.path, err)
		}
		files = append(files, bundle.NewFile(f.path, hex.EncodeToString(sum), bundle.SHA256.String()))
	}
	token, err := bundle.GenerateSignedToken(files, bundle.NewSigningConfig(key, algorithm, ""), id)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	b.signature = token
	return nil
}
