package watermark

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
)

// Secret holds key bytes that no formatting shows: fmt's verbs, encoding/json
// and log/slog all get the word "[secret]". The bytes sit in a closure, because
// fmt does not call the methods of a field that is not exported: it would print
// a slice, and follow a pointer under a verb that does not fit.
type Secret struct{ bytes func() []byte }

const redacted = "[secret]"

func newSecret(b []byte) Secret { return Secret{bytes: func() []byte { return b }} }

// reveal returns the bytes themselves.
func (s Secret) reveal() []byte {
	if s.bytes == nil {
		return nil
	}
	return s.bytes()
}

// Format implements fmt.Formatter for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// MarshalText serves encoding/json, XML and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue serves log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// expand is HKDF-SHA256 (RFC 5869) with an empty salt.
func expand(secret []byte, info string, length int) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, info, length)
	if err != nil {
		panic("watermark: " + err.Error()) // lengths here are far below the limit of 8,160 bytes
	}
	return out
}

// fields joins names so that no two lists of names give the same bytes: each is
// preceded by its length, 16 bits, little-endian.
func fields(names ...string) string {
	var b []byte
	for _, name := range names {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	return string(b)
}
