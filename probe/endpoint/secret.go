package endpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

// mask stands where a secret was.
const mask = "[secret]"

// minRedacted is the shortest key that is looked for in what a target says. Keys
// of services have 20 characters and more; local servers are started with words
// like "EMPTY" or "ollama", which may well occur in an honest reply, and a reply
// must not be altered.
const minRedacted = 8

// Secret is an API key. It has no exported accessor, and every way of printing
// or encoding it gives "[secret]". The key itself is kept in a closure, so that
// printing a structure around it, which reaches unexported members, shows an
// address at most.
type Secret struct{ reveal func() string }

func newSecret(key string) Secret { return Secret{func() string { return key }} }

// key is the secret itself, "" for the zero value.
func (s Secret) key() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String returns "[secret]".
func (Secret) String() string { return mask }

// GoString returns "[secret]".
func (Secret) GoString() string { return mask }

// Format writes "[secret]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText returns "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// MarshalJSON returns "[secret]" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// redactor returns a function that replaces the key in bytes, as it is and in
// the forms in which it may be echoed: as a JSON string, percent-encoded, in
// base64. The bytes given are not changed.
func (s Secret) redactor() func([]byte) []byte {
	key := s.key()
	if len(key) < minRedacted {
		return func(b []byte) []byte { return b }
	}
	forms := []string{key, url.QueryEscape(key), url.PathEscape(key)}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, e.EncodeToString([]byte(key)))
	}
	if quoted, err := json.Marshal(key); err == nil {
		inner := strings.Trim(string(quoted), `"`)
		forms = append(forms, inner, strings.ReplaceAll(inner, "/", `\/`))
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	// Longer forms first: the base64 form of a key may contain no other, but an
	// escaped form contains parts of the plain one.
	slices.SortStableFunc(forms, func(a, b string) int { return len(b) - len(a) })
	return func(b []byte) []byte {
		for _, f := range forms {
			if bytes.Contains(b, []byte(f)) {
				b = bytes.ReplaceAll(b, []byte(f), []byte(mask))
			}
		}
		return b
	}
}

// occursIn reports whether one of the texts contains the key.
func (s Secret) occursIn(texts ...string) bool {
	key := s.key()
	return len(key) >= minRedacted && slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, key) })
}
