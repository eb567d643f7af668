package ledger

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"io"
)

// PayloadInToto is the DSSE payload type of an in-toto statement.
const PayloadInToto = "application/vnd.in-toto+json"

// SignDSSE returns the canonical envelope: one line of JSON and a newline.
func SignDSSE(payloadType string, payload []byte, s crypto.Signer, keyID string) ([]byte, error) {
	return nil, errSkeleton
}

// VerifyDSSE checks an envelope against the given keys and returns its payload
// and the key that signed it.
func VerifyDSSE(envelope []byte, payloadType string, keys []ed25519.PublicKey) (payload []byte, signer ed25519.PublicKey, err error) {
	return nil, nil, errSkeleton
}

// Signer is a private signing key with the name of its holder. It prints as
// "[secret]" in every format.
type Signer struct{}

// NewSigner draws a key. rand nil means crypto/rand.
func NewSigner(name string, rand io.Reader) (*Signer, error) { return nil, errSkeleton }

// LoadSigner reads a PKCS#8 PEM file; permissions beyond 0600 are refused.
func LoadSigner(path string) (*Signer, error) { return nil, errSkeleton }

// Save writes the private key to path (0600) and the public key to path.pub
// (0644); neither is ever overwritten.
func (s *Signer) Save(path string) error { return errSkeleton }

// Name is the holder's name.
func (s *Signer) Name() string { return "" }

// KeyID is the hex SHA-256 of the public key's SPKI DER.
func (s *Signer) KeyID() string { return "" }

// Public implements crypto.Signer.
func (s *Signer) Public() crypto.PublicKey { return nil }

// Sign implements crypto.Signer.
func (s *Signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return nil, errSkeleton
}

// PublicKey returns the public half.
func (s *Signer) PublicKey() PublicKey { return PublicKey{} }

// SignDSSE is [SignDSSE] with this key.
func (s *Signer) SignDSSE(payloadType string, payload []byte) ([]byte, error) {
	return nil, errSkeleton
}

// PublicKey is a signer as others know it.
type PublicKey struct {
	Name  string
	KeyID string
	Key   ed25519.PublicKey
}

// PEM returns the public key file.
func (k PublicKey) PEM() []byte { return nil }

// ParsePublic reads one or more public keys in PEM; the line "Signer: name"
// before a block names its holder.
func ParsePublic(data []byte) ([]PublicKey, error) { return nil, errSkeleton }

// LoadPublic is ParsePublic on a file.
func LoadPublic(path string) ([]PublicKey, error) { return nil, errSkeleton }

// Statement is an in-toto v1 statement.
type Statement struct {
	Type          string          `json:"_type"` // StatementType
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// StatementType is the in-toto v1 type URI.
const StatementType = "https://in-toto.io/Statement/v1"

// Subject is a file with its digests.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // "sha256" -> hex
}

// EncodeStatement returns deterministic bytes; subjects are sorted by name.
func EncodeStatement(s Statement) ([]byte, error) { return nil, errSkeleton }

// DecodeStatement reads a statement strictly.
func DecodeStatement(data []byte) (Statement, error) { return Statement{}, errSkeleton }
