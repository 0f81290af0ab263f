package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	derivedSize = 32
	// The parts of an encrypted keyset, bound to their place as associated data.
	sealPart   = "writ/keyset/seal"
	derivePart = "writ/keyset/derive"
)

// encryptedKeyset is the stored form: two Tink keysets, each encrypted by the KEK. They are apart so that adding a sealing
// key never changes what Derive returns.
type encryptedKeyset struct {
	Seal   []byte `json:"seal"`
	Derive []byte `json:"derive"`
}

// NewKeyset returns a new random keyset (AES-256-GCM to seal, HKDF-SHA-256 to derive), encrypted by kek, for the caller to
// store.
func NewKeyset(kek KEK) ([]byte, error) {
	sealing, err := newPart(kek, aead.AES256GCMKeyTemplate(), sealPart)
	if err != nil {
		return nil, err
	}
	deriving, err := newPart(kek, prf.HKDFSHA256PRFKeyTemplate(), derivePart)
	if err != nil {
		return nil, err
	}
	return json.Marshal(encryptedKeyset{Seal: sealing, Derive: deriving})
}

func newPart(kek KEK, template *tinkpb.KeyTemplate, part string) ([]byte, error) {
	if kek.aead == nil {
		return nil, errors.New("new keyset: no key encryption key")
	}
	handle, err := keyset.NewHandle(template)
	if err != nil {
		return nil, fmt.Errorf("new keyset: %w", err)
	}
	var out bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&out), kek.aead, []byte(part)); err != nil {
		return nil, fmt.Errorf("encrypt keyset: %w", err)
	}
	return out.Bytes(), nil
}

// Sealer seals and opens with one keyset. It is safe for concurrent use.
type Sealer struct {
	aead tink.AEAD
	root []byte
}

// ErrWrongKEK says that the key encryption key is not the one the keyset was encrypted with, or that the keyset is damaged;
// the two cannot be told apart.
var ErrWrongKEK = errors.New("the key encryption key does not open the stored keyset: " +
	"it is another key, or the keyset is damaged")

// ErrTampered says that sealed bytes were changed, or sealed with other associated data or by another keyset.
var ErrTampered = errors.New("sealed bytes do not open")

// Open opens an encrypted keyset that NewKeyset made. With another KEK it returns ErrWrongKEK.
func Open(kek KEK, encrypted []byte) (*Sealer, error) {
	var stored encryptedKeyset
	if err := json.Unmarshal(encrypted, &stored); err != nil {
		return nil, fmt.Errorf("decode keyset: %w", err)
	}
	sealing, err := openPart(kek, stored.Seal, sealPart)
	if err != nil {
		return nil, err
	}
	deriving, err := openPart(kek, stored.Derive, derivePart)
	if err != nil {
		return nil, err
	}
	s := new(Sealer)
	if s.aead, err = aead.New(sealing); err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	set, err := prf.NewPRFSet(deriving)
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	if s.root, err = set.ComputePrimaryPRF([]byte(derivePart), derivedSize); err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	return s, nil
}

func openPart(kek KEK, encrypted []byte, part string) (*keyset.Handle, error) {
	if kek.aead == nil {
		return nil, errors.New("open keyset: no key encryption key")
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(encrypted)), kek.aead, []byte(part))
	if err != nil {
		return nil, ErrWrongKEK
	}
	return handle, nil
}

// Seal encrypts plain. The associated data names the record and field that will hold the result; it is not stored in it, and
// Open must be given the same.
func (s *Sealer) Seal(plain []byte, associated string) ([]byte, error) {
	sealed, err := s.aead.Encrypt(plain, []byte(associated))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal returned for the same associated data, or returns ErrTampered.
func (s *Sealer) Open(sealed []byte, associated string) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, []byte(associated))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// Derive returns 32 bytes for one purpose. They tell nothing about the keyset or about another purpose's bytes.
func (s *Sealer) Derive(purpose string) []byte {
	mac := hmac.New(sha256.New, s.root)
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}
