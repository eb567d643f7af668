package ledger

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKeyFile bounds a key file. A trust file with a hundred signers has 25 KiB.
const maxKeyFile = 1 << 20

// signerLine begins the line before a PEM block that names the key's holder.
// Text outside of PEM blocks is a comment to OpenSSL, which refuses headers
// inside them.
const signerLine = "Signer: "

// Signer is a private Ed25519 key with the name of its holder. It implements
// crypto.Signer and never prints its key.
type Signer struct {
	name   string
	keyID  string
	public ed25519.PublicKey
	// secret hands the key out. Inside an unexported field of another struct
	// package fmt cannot call Format, and a verb that does not fit prints what a
	// pointer points to; of a function it can only print the address.
	secret func() ed25519.PrivateKey
}

// NewSigner draws a key from rand; nil means crypto/rand.
func NewSigner(name string, rand io.Reader) (*Signer, error) {
	if rand == nil {
		rand = crand.Reader
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("drawing a signing key: %w", err)
	}
	return newSigner(name, ed25519.NewKeyFromSeed(seed))
}

func newSigner(name string, key ed25519.PrivateKey) (*Signer, error) {
	if err := checkSignerName(name); err != nil {
		return nil, err
	}
	public := key.Public().(ed25519.PublicKey)
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	return &Signer{name: name, keyID: id, public: public, secret: func() ed25519.PrivateKey { return key }}, nil
}

// checkSignerName keeps a name on its one line of a key file.
func checkSignerName(name string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if name == "" || len(name) > 200 || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) ||
		strings.TrimSpace(name) != name || strings.Contains(name, "-----") {
		return fmt.Errorf("signer name %q: it must be one line of 1 to 200 bytes of printable text", name)
	}
	return nil
}

// Name is the holder's name.
func (s *Signer) Name() string { return s.name }

// KeyID is [KeyID] of the public key.
func (s *Signer) KeyID() string { return s.keyID }

// Public implements crypto.Signer.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer; message is not hashed before.
func (s *Signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.secret().Sign(rand, message, opts)
}

// SignDSSE is [SignDSSE] with this key.
func (s *Signer) SignDSSE(payloadType string, payload []byte) ([]byte, error) {
	return SignDSSE(payloadType, payload, s, s.keyID)
}

// PublicKey returns the public half.
func (s *Signer) PublicKey() PublicKey {
	return PublicKey{Name: s.name, KeyID: s.keyID, Key: s.public}
}

// Format implements fmt.Formatter: every verb prints the name and "[secret]".
func (s Signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "signer %s [secret]", s.name) }

// MarshalText keeps the key out of JSON, logs and everything else that encodes.
func (s Signer) MarshalText() ([]byte, error) { return []byte("signer " + s.name + " [secret]"), nil }

// Save writes the private key to path (0600, PKCS#8 PEM) and the public key to
// path.pub (0644). Neither ever replaces a file: the error is then fs.ErrExist.
func (s *Signer) Save(path string) error { return s.SaveProtected(path, nil) }

// SaveProtected is [Signer.Save], but writes of the private key what protect
// makes of its PEM file: encrypted, say.
func (s *Signer) SaveProtected(path string, protect func(file []byte) ([]byte, error)) error {
	for _, p := range []string{path, path + ".pub"} {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return fmt.Errorf("saving the signer: %s: %w", p, err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.secret())
	if err != nil {
		return fmt.Errorf("saving the signer: %w", err)
	}
	private := encodeKey(s.name, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if protect != nil {
		if private, err = protect(private); err != nil {
			return fmt.Errorf("saving the signer: %w", err)
		}
	}
	if err := WriteNewFile(path, private, 0o600); err != nil {
		return fmt.Errorf("saving the signer: %w", err)
	}
	if err := WriteNewFile(path+".pub", s.PublicKey().PEM(), 0o644); err != nil {
		return fmt.Errorf("saving the signer: %w", err)
	}
	return nil
}

// LoadSigner reads what [Signer.Save] wrote. A file that others may read is
// refused.
func LoadSigner(path string) (*Signer, error) {
	data, err := ReadSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("loading the signer: %w", err)
	}
	s, err := ParseSigner(data)
	if err != nil {
		return nil, fmt.Errorf("loading the signer: %s: %w", path, err)
	}
	return s, nil
}

// ReadSecretFile reads a key file, of 1 MiB at most. A file that others may read
// is refused.
func ReadSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if openToOthers(st.Mode()) {
		return nil, fmt.Errorf("%s has permissions %04o, so that others may have read the key; run chmod 600 on it if you are sure that nobody did", path, st.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s is larger than %d MiB, which no key file is", path, maxKeyFile>>20)
	}
	return data, err
}

// ParseSigner reads the private key of a PEM file.
func ParseSigner(data []byte) (*Signer, error) {
	blocks, err := decodeKeys(data, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 {
		return nil, fmt.Errorf("the file holds %d keys, where one is expected", len(blocks))
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[0].der)
	if err != nil {
		return nil, err
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not an Ed25519 key")
	}
	return newSigner(blocks[0].name, ed)
}

// PublicKey is a signer as others know it.
type PublicKey struct {
	Name  string // as its own file claims
	KeyID string
	Key   ed25519.PublicKey
}

// KeyID is the hex SHA-256 of a public key's SPKI DER, the same as
//
//	openssl pkey -pubin -in signer.pub -outform DER | sha256sum
func KeyID(key ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("key id: %w", err)
	}
	return hexSHA256(der), nil
}

// PEM returns the public key file.
func (k PublicKey) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Key)
	if err != nil {
		panic("ledger: " + err.Error()) // an ed25519.PublicKey always marshals
	}
	return encodeKey(k.Name, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// ParsePublic reads the public keys of a PEM file, one or more.
func ParsePublic(data []byte) ([]PublicKey, error) {
	blocks, err := decodeKeys(data, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	var keys []PublicKey
	for i, b := range blocks {
		pub, err := x509.ParsePKIXPublicKey(b.der)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		ed, ok := pub.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("key %d is not an Ed25519 key", i+1)
		}
		if err := checkSignerName(b.name); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys = append(keys, PublicKey{Name: b.name, KeyID: hexSHA256(b.der), Key: ed})
	}
	return keys, nil
}

// LoadPublic is [ParsePublic] on a file.
func LoadPublic(path string) ([]PublicKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("loading public keys: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("loading public keys: %w", err)
	}
	keys, err := ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("loading public keys: %s: %w", path, err)
	}
	return keys, nil
}

// unnamed is the holder of a key whose file does not say.
const unnamed = "unnamed signer"

func encodeKey(name string, b *pem.Block) []byte {
	return append([]byte(signerLine+name+"\n"), pem.EncodeToMemory(b)...)
}

type keyBlock struct {
	name string
	der  []byte
}

// decodeKeys reads PEM blocks of one type with the names before them. A block
// of another type, or a damaged one, is an error: what is left out of a trust
// file without a word is noticed too late.
func decodeKeys(data []byte, typ string) ([]keyBlock, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("larger than %d MiB, the most that is read", maxKeyFile>>20)
	}
	begins := bytes.Count(data, []byte("-----BEGIN "))
	var out []keyBlock
	for {
		start := bytes.Index(data, []byte("-----BEGIN "))
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != typ || len(block.Headers) > 0 {
			return nil, fmt.Errorf("a %s stands where a %s without headers should be", block.Type, typ)
		}
		name := unnamed
		for _, line := range slices.Backward(strings.Split(string(data[:start]), "\n")) {
			if n, ok := strings.CutPrefix(line, signerLine); ok {
				name = strings.TrimSpace(n)
				break
			}
		}
		out = append(out, keyBlock{name, block.Bytes})
		data = rest
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no %s in PEM form", typ)
	}
	if len(out) != begins {
		return nil, errors.New("a PEM block is damaged")
	}
	return out, nil
}
