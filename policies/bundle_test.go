package policies_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// keyPair is a private key in PEM, and the configuration that trusts its public half under an id.
func keyPair(tb testing.TB, id string) (private string, keys policies.Keys) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{id: map[string]string{
		"algorithm": "ES256", "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	}})
	if err != nil {
		tb.Fatal(err)
	}
	if keys, err = policies.ParseKeys(text); err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), keys
}

// archived is a bundle as OPA's tools make it.
func archived(tb testing.TB, entries ...tar.Header) func(map[string]string) []byte {
	return func(files map[string]string) []byte {
		tb.Helper()
		var out bytes.Buffer
		zipped := gzip.NewWriter(&out)
		archive := tar.NewWriter(zipped)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			entries = append(entries, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(files[name])), Mode: 0o600})
		}
		for _, h := range entries {
			if err := archive.WriteHeader(&h); err != nil {
				tb.Fatal(err)
			}
			if _, err := archive.Write([]byte(files[h.Name])); err != nil {
				tb.Fatal(err)
			}
		}
		if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
			tb.Fatal(err)
		}
		return out.Bytes()
	}
}

func signatures(token ...string) string {
	text, _ := json.Marshal(map[string]any{"signatures": token})
	return string(text)
}

func signed(tb testing.TB, files map[string]string, private, id string) string {
	tb.Helper()
	b := bundleOf(tb, files)
	if err := b.Sign(private, "ES256", id); err != nil {
		tb.Fatal(err)
	}
	return b.Signature()
}

func TestASignedArchiveIsTaken(t *testing.T) {
	private, keys := keyPair(t, "release")
	files := zoo()
	plain := bundleOf(t, files)
	token := signed(t, files, private, "release")
	for name, prefix := range map[string]string{"as it is": "", "with slashes": "/", "with dots": "./"} {
		packed := map[string]string{prefix + ".signatures.json": signatures(token)}
		for path, text := range files {
			packed[prefix+path] = text
		}
		b, err := policies.ReadArchive(archived(t, tar.Header{Name: prefix + "apps", Typeflag: tar.TypeDir, Mode: 0o700})(packed))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if id, err := b.Verify(keys); err != nil || id != "release" {
			t.Errorf("%s: got %q, %v", name, id, err)
		}
		if b.Revision() != plain.Revision() {
			t.Errorf("%s: the revision depends on how it came", name)
		}
	}
	if id, err := plain.Verify(nil); err != nil || id != "" {
		t.Errorf("without keys nothing is asked for: %q, %v", id, err)
	}
}

// TestGHSAG2pfBundlesThatAreNotWhatWasSigned: unsigned, stripped, delta, wrong key id, further signature files (GHSA-g2pf-6v5v-qcc8).
func TestGHSAG2pfBundlesThatAreNotWhatWasSigned(t *testing.T) {
	private, keys := keyPair(t, "release")
	foreign, _ := keyPair(t, "release")
	files := zoo()
	token := signed(t, files, private, "release")
	pdp := open(t, policies.Config{Keys: keys})
	before := pdp.Status()
	more := func(name, text string) map[string]string {
		all := maps.Clone(files)
		all[".signatures.json"] = signatures(token)
		if text == "" {
			delete(all, name)
		} else {
			all[name] = text
		}
		return all
	}
	parts := strings.Split(token, ".")
	none := "eyJhbGciOiJub25lIn0." + parts[1] + "."
	for name, all := range map[string]map[string]string{
		"unsigned":                        more(".signatures.json", ""),
		"an empty signature":              more(".signatures.json", signatures("")),
		"no signature in the file":        more(".signatures.json", `{"signatures":[]}`),
		"null":                            more(".signatures.json", `null`),
		"two signatures":                  more(".signatures.json", signatures(token, token)),
		"a plugin":                        more(".signatures.json", `{"signatures":["`+token+`"],"plugin":"_default"}`),
		"a file taken away":               more("apps/zoo/data.yaml", ""),
		"a file added":                    more("apps/zoo/more.rego", "package apps.zoo\n"),
		"a catalogue changed":             more("apps/zoo/catalogue.yaml", zoo()["apps/zoo/catalogue.yaml"]+"\n"),
		"data changed":                    more("apps/zoo/data.yaml", "keepers: {eve: true}\n"),
		"a manifest added":                more(".manifest", `{"roots":[""]}`),
		"another key of the same id":      more(".signatures.json", signatures(signed(t, files, foreign, "release"))),
		"a key id that is not trusted":    more(".signatures.json", signatures(signed(t, files, private, "somebody"))),
		"a payload under no algorithm":    more(".signatures.json", signatures(none)),
		"no token":                        more(".signatures.json", signatures("x.y")),
		"a signature cut off":             more(".signatures.json", signatures(parts[0]+"."+parts[1]+".")),
		"a delta":                         more("patch.json", `{"data":[]}`),
		"further signatures":              more("apps/zoo/.signatures.json", signatures(token)),
		"further signatures without dots": more("apps/zoo/signatures.json", signatures(token)),
		"signatures of another name":      more("my.signatures.json", signatures(token)),
	} {
		b, err := policies.ReadArchive(archived(t)(all))
		if err == nil {
			_, err = b.Verify(keys)
			if _, checked := pdp.Check(t.Context(), b); checked == nil {
				t.Errorf("%s: pushed", name)
			}
			if pdp.Manage(t.Context(), policies.Managed{Bundle: b}) == nil {
				t.Errorf("%s: served", name)
			}
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if pdp.Status().Revision != before.Revision {
			t.Fatalf("%s: the last good set does not serve on", name)
		}
	}
	b, err := policies.ReadArchive(archived(t)(more("apps/zoo/data.yaml", zoo()["apps/zoo/data.yaml"])))
	if err != nil {
		t.Fatal(err)
	}
	if err := pdp.Manage(t.Context(), policies.Managed{Bundle: b}); err != nil {
		t.Errorf("what is as it was signed is refused: %v", err)
	}
}

func TestArchivesThatAreNoneAreRefused(t *testing.T) {
	many := map[string]string{}
	for i := range 1100 {
		many[fmt.Sprintf("apps/zoo/f%d.rego", i)] = "package apps.zoo\n"
	}
	link := tar.Header{Name: "apps/zoo/x.rego", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}
	for name, archive := range map[string][]byte{
		"nothing": nil,
		"no gzip": []byte("apps"),
		"no tar": func() []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(strings.Repeat("x", 600)))
			_ = z.Close()
			return b.Bytes()
		}(),
		"empty":            archived(t)(nil),
		"a link":           archived(t, link)(nil),
		"a path upwards":   archived(t)(map[string]string{"../x.rego": "package x\n"}),
		"a hidden file":    archived(t)(map[string]string{"apps/.x/x.rego": "package x\n"}),
		"a blank":          archived(t)(map[string]string{"apps/a b/x.rego": "package x\n"}),
		"another file":     archived(t)(map[string]string{"apps/zoo/x.wasm": "x"}),
		"twice":            archived(t)(map[string]string{"apps/zoo/x.rego": "a", "/apps/zoo/x.rego": "b"}),
		"too many":         archived(t)(many),
		"a large file":     archived(t)(map[string]string{"apps/zoo/x.rego": strings.Repeat(" ", 1<<20+1)}),
		"a bomb":           archived(t)(map[string]string{"apps/zoo/data.yaml": strings.Repeat(" ", 64<<20)}),
		"cut off":          archived(t)(zoo())[:200],
		"too many folders": archived(t)(map[string]string{"apps/" + strings.Repeat("a/", 20) + "x.rego": "package x\n"}),
	} {
		if b, err := policies.ReadArchive(archive); err == nil {
			t.Errorf("%s: accepted as %s", name, b.Revision())
		}
	}
}

func TestKeysThatAreNoneAreRefused(t *testing.T) {
	private, _ := keyPair(t, "a")
	public := func(algorithm, key string) string {
		text, _ := json.Marshal(map[string]any{"a": map[string]string{"algorithm": algorithm, "key": key}})
		return string(text)
	}
	for name, text := range map[string]string{
		"nothing":            ``,
		"no object":          `[]`,
		"none":               `{}`,
		"a shared secret":    public("HS256", "secret"),
		"no algorithm":       public("", "x"),
		"no PEM":             public("ES256", "x"),
		"a private key":      public("ES256", private),
		"an unknown member":  `{"a": {"algorithm": "ES256", "key": "x", "kid": "y"}}`,
		"a private half too": `{"a": {"algorithm": "ES256", "key": "x", "private_key": "y"}}`,
	} {
		if _, err := policies.ParseKeys([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzReadArchive: whatever arrives, what is taken is a bundle that reads back as itself, within its limits.
func FuzzReadArchive(f *testing.F) {
	f.Fuzz(func(t *testing.T, archive []byte) {
		b, err := policies.ReadArchive(archive)
		if err != nil {
			return
		}
		if b.Size() > policies.MaxBundleBytes {
			t.Errorf("%d bytes were taken", b.Size())
		}
		again, err := policies.NewBundle(b.Files(), b.Signature())
		if err != nil || again.Revision() != b.Revision() {
			t.Errorf("it does not read back: %v", err)
		}
	})
}
