package oauth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

// TestNoKidLooksLikeAFlag gives the maker of keys a seed whose thumbprint begins with a hyphen, and then one whose does not.
func TestNoKidLooksLikeAFlag(t *testing.T) {
	seedOf := func(hyphen bool) ([]byte, string) {
		for n := uint64(0); ; n++ {
			seed := binary.BigEndian.AppendUint64(make([]byte, 24), n)
			kid, err := thumbprint(jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(seed).Public()})
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(kid, "-") == hyphen {
				return seed, kid
			}
		}
	}
	flag, _ := seedOf(true)
	plain, want := seedOf(false)
	left := bytes.NewReader(append(flag, plain...))
	record := &storage.Key{Algorithm: algEdDSA}
	private, err := (&keys{rand: left}).newPair(record)
	if err != nil {
		t.Fatal(err)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(private); err != nil || jwk.KeyID != want || record.ID != want || left.Len() != 0 {
		t.Errorf("%v: the kid is %q, of the record %q, want %q; %d bytes left", err, jwk.KeyID, record.ID, want, left.Len())
	}
	if !strings.Contains(string(record.Public), want) {
		t.Errorf("the public half is %s", record.Public)
	}
}
