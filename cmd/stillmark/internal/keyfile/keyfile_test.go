package keyfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const planted = "correct horse battery staple"

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	plain := []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	data, err := encrypt(plain, planted, 8)
	if err != nil {
		t.Fatal(err)
	}
	if !Encrypted(data) || Encrypted(plain) {
		t.Error("an encrypted file is not told from a plain one")
	}
	if bytes.Contains(data, []byte("PRIVATE")) || bytes.Contains(data, []byte("horse")) {
		t.Errorf("the file shows what it hides: %s", data)
	}
	got, err := Decrypt(data, planted)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("decrypted %q, %v", got, err)
	}
	again, err := encrypt(plain, planted, 8)
	if err != nil || bytes.Equal(again, data) {
		t.Error("two encryptions are the same")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	data, err := encrypt([]byte("key"), planted, 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decrypt(data, planted+"x"); !errors.Is(err, ErrPassphrase) || strings.Contains(err.Error(), "horse") {
		t.Errorf("another passphrase: %v", err)
	}
	if _, err := Decrypt(data, ""); !errors.Is(err, ErrEmpty) {
		t.Errorf("no passphrase: %v", err)
	}
	if _, err := Encrypt([]byte("key"), ""); !errors.Is(err, ErrEmpty) {
		t.Errorf("encrypted without a passphrase: %v", err)
	}
	// Every change and every cut is noticed, and no error tells the passphrase.
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		for _, b := range [][]byte{bad, data[:i]} {
			plain, err := Decrypt(b, planted)
			if err == nil && !bytes.Equal(b, bytes.TrimSpace(data)) {
				t.Errorf("opened with byte %d changed or cut: %q", i, plain)
			}
			if err != nil && strings.Contains(err.Error(), "horse") {
				t.Errorf("byte %d: the error tells the passphrase: %v", i, err)
			}
		}
	}
	large, err := encrypt(make([]byte, maxPlain+1), planted, 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decrypt(large, planted); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a large file: %v", err)
	}
}
