package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/writ-authz/writ/storage/seal"
)

func TestSealedBytesOpenWithTheSameAssociatedDataOnly(t *testing.T) {
	s := sealer(t)
	for _, plain := range [][]byte{nil, {0}, []byte("writ_cs_secret"), bytes.Repeat([]byte("x"), 1<<16)} {
		sealed := encrypt(t, s, plain, "secret|app|1")
		if len(plain) > 1 && bytes.Contains(sealed, plain) {
			t.Error("the sealed bytes contain the plaintext")
		}
		opened, err := s.Open(sealed, "secret|app|1")
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("got %q, %v", opened, err)
		}
		for _, other := range []string{"", "secret|app|2", "secret|app|1 ", "secret|app|"} {
			if _, err := s.Open(sealed, other); !errors.Is(err, seal.ErrTampered) {
				t.Errorf("opened as %q: %v", other, err)
			}
		}
	}
}

func TestSealingTwiceGivesDifferentBytes(t *testing.T) {
	s := sealer(t)
	if bytes.Equal(encrypt(t, s, []byte("same"), "a"), encrypt(t, s, []byte("same"), "a")) {
		t.Error("two seals of one plaintext are equal")
	}
}

func TestNoChangedByteOpens(t *testing.T) {
	s := sealer(t)
	sealed := encrypt(t, s, []byte("writ_cs_secret"), "a")
	for n := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			tampered := bytes.Clone(sealed)
			tampered[n] ^= flip
			if _, err := s.Open(tampered, "a"); !errors.Is(err, seal.ErrTampered) {
				t.Fatalf("byte %d xor %x: %v", n, flip, err)
			}
		}
		if _, err := s.Open(sealed[:n], "a"); !errors.Is(err, seal.ErrTampered) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := s.Open(append(bytes.Clone(sealed), 0), "a"); !errors.Is(err, seal.ErrTampered) {
		t.Fatalf("one byte more: %v", err)
	}
}

func TestAnotherKeysetOpensNothing(t *testing.T) {
	if _, err := sealer(t).Open(encrypt(t, sealer(t), []byte("x"), "a"), "a"); !errors.Is(err, seal.ErrTampered) {
		t.Error(err)
	}
}

func TestAKeysetOutlivesTheProcess(t *testing.T) {
	kek := newKEK(t)
	encrypted := keyset(t, kek)
	first, second := opened(t, kek, encrypted), opened(t, kek, encrypted)
	plain, err := second.Open(encrypt(t, first, []byte("x"), "a"), "a")
	if err != nil || string(plain) != "x" {
		t.Errorf("got %q, %v", plain, err)
	}
	if !bytes.Equal(first.Derive("cursor"), second.Derive("cursor")) {
		t.Error("two nodes derive different keys")
	}
}

func TestAnotherKEKIsErrWrongKEK(t *testing.T) {
	encrypted := keyset(t, newKEK(t))
	if _, err := seal.Open(newKEK(t), encrypted); !errors.Is(err, seal.ErrWrongKEK) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedKeysetIsAnError(t *testing.T) {
	kek := newKEK(t)
	encrypted := keyset(t, kek)
	for _, damaged := range [][]byte{nil, []byte("{}"), []byte("x"), encrypted[:len(encrypted)/2]} {
		if _, err := seal.Open(kek, damaged); err == nil {
			t.Errorf("%q opened", damaged)
		}
	}
	// The two parts cannot stand in for each other.
	var parts map[string][]byte
	if err := json.Unmarshal(encrypted, &parts); err != nil {
		t.Fatal(err)
	}
	parts["seal"], parts["derive"] = parts["derive"], parts["seal"]
	swapped, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(kek, swapped); !errors.Is(err, seal.ErrWrongKEK) {
		t.Errorf("swapped parts: got %v", err)
	}
}

func TestTheZeroKEKIsRefused(t *testing.T) {
	if _, err := seal.NewKeyset(seal.KEK{}); err == nil {
		t.Error("it wrapped a keyset")
	}
	if _, err := seal.Open(seal.KEK{}, keyset(t, newKEK(t))); err == nil {
		t.Error("it opened a keyset")
	}
}

func TestDerivedKeysDifferByPurposeAndKeyset(t *testing.T) {
	s := sealer(t)
	keys := [][]byte{s.Derive("cursor"), s.Derive("cursor2"), s.Derive(""), sealer(t).Derive("cursor")}
	for n, a := range keys {
		if len(a) != 32 {
			t.Errorf("key %d has %d bytes", n, len(a))
		}
		for _, b := range keys[n+1:] {
			if bytes.Equal(a, b) {
				t.Error("two derived keys are equal")
			}
		}
	}
}

func newKEK(t *testing.T) seal.KEK {
	t.Helper()
	return load(t, filepath.Join(t.TempDir(), "kek"), true)
}

func keyset(t *testing.T, kek seal.KEK) []byte {
	t.Helper()
	encrypted, err := seal.NewKeyset(kek)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted
}

func opened(t *testing.T, kek seal.KEK, encrypted []byte) *seal.Sealer {
	t.Helper()
	s, err := seal.Open(kek, encrypted)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealer(t *testing.T) *seal.Sealer {
	t.Helper()
	kek := newKEK(t)
	return opened(t, kek, keyset(t, kek))
}

func encrypt(t *testing.T, s *seal.Sealer, plain []byte, associated string) []byte {
	t.Helper()
	sealed, err := s.Seal(plain, associated)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}
