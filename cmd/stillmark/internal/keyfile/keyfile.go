// Package keyfile keeps private keys at rest under a passphrase: files of age
// (https://age-encryption.org/v1) with one scrypt recipient, in their ASCII form,
// which the age program reads and writes as well. It may import age and the
// standard library; what reads evidence never needs it.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const (
	// workFactor is the logarithm of scrypt's cost N, age's own default: about a
	// second and 256 MiB for every guess at the passphrase.
	workFactor = 18
	// maxWorkFactor bounds what a file can ask of the machine that opens it: 1 GiB.
	maxWorkFactor = 20
	// maxPlain bounds what is decrypted; a key with a chain of certificates has a
	// few KiB.
	maxPlain = 1 << 20
)

var (
	// ErrPassphrase says that the passphrase does not open the file.
	ErrPassphrase = errors.New("the passphrase is wrong, or the file was not encrypted with a passphrase")
	// ErrEmpty says that there is no passphrase.
	ErrEmpty = errors.New("the passphrase is empty")
)

// Encrypted says whether data begins as [Encrypt] writes it.
func Encrypted(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte(armor.Header))
}

// Encrypt encrypts a key file.
func Encrypt(plain []byte, passphrase string) ([]byte, error) {
	return encrypt(plain, passphrase, workFactor)
}

func encrypt(plain []byte, passphrase string, work int) ([]byte, error) {
	if passphrase == "" {
		return nil, ErrEmpty
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypting the key file: %w", err)
	}
	recipient.SetWorkFactor(work)
	var out bytes.Buffer
	lines := armor.NewWriter(&out)
	w, err := age.Encrypt(lines, recipient)
	if err != nil {
		return nil, fmt.Errorf("encrypting the key file: %w", err)
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close(), lines.Close()); err != nil {
		return nil, fmt.Errorf("encrypting the key file: %w", err)
	}
	return out.Bytes(), nil
}

// Decrypt opens what [Encrypt] wrote. Another passphrase gives [ErrPassphrase].
func Decrypt(data []byte, passphrase string) ([]byte, error) {
	if passphrase == "" {
		return nil, ErrEmpty
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("decrypting the key file: %w", err)
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(data)), identity)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("decrypting the key file: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("decrypting the key file: %w", err)
	}
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("decrypting the key file: larger than %d MiB, which no key file is", maxPlain>>20)
	}
	return plain, nil
}
