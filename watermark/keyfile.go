package watermark

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every parser of this package for input that is not
// exactly what the package writes.
var ErrMalformed = errors.New("malformed")

// maxKeyFile bounds a key file or disclosure, in bytes. The longest spec is
// below 10 KiB, a proof below 5.
const maxKeyFile = 64 << 10

// keyJSON is the key file: the exported part of a Key, then the secrets in hex.
//
//	{
//	  "format": 1,
//	  "id": "16 hex digits",
//	  "kind": "master" | "subkey" | "imported",
//	  "spec": { … },
//	  "secret": "64 hex digits (16 for a 64-bit key)",
//	  "salt": "64 hex digits"
//	}
type keyJSON struct {
	Key
	Secret string `json:"secret"`
	Salt   string `json:"salt"`
}

func (k *Key) encode() ([]byte, error) {
	return encodeJSON(keyJSON{
		Key:    *k,
		Secret: hex.EncodeToString(k.secret.reveal()),
		Salt:   hex.EncodeToString(k.salt.reveal()),
	})
}

// Save writes the key file with permissions 0600. It never overwrites: for an
// existing path the error wraps [fs.ErrExist].
func (k *Key) Save(path string) error {
	if err := k.check(); err != nil {
		return fmt.Errorf("key is not complete, nothing was written: %w", err)
	}
	data, err := k.encode()
	if err != nil {
		return fmt.Errorf("encoding the key: %w", err)
	}
	if err := WritePrivate(path, data); err != nil {
		return fmt.Errorf("saving the key: %w", err)
	}
	return nil
}

// LoadKey reads a key file. It refuses a file that grants anything beyond 0600
// ([ErrPermissions], see [CheckPrivate]) and anything
// but the exact form that Save writes (ErrMalformed), white space apart.
func LoadKey(path string) (*Key, error) {
	data, err := ReadPrivate(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	k, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s is no key file: %w", path, err)
	}
	return k, nil
}

func parseKey(data []byte) (*Key, error) {
	var j keyJSON
	if err := decodeJSON(data, maxKeyFile, &j); err != nil {
		return nil, err
	}
	secret, err := decodeHex("secret", j.Secret)
	if err != nil {
		return nil, err
	}
	salt, err := decodeHex("salt", j.Salt)
	if err != nil {
		return nil, err
	}
	return reopen(j.Key, secret, salt)
}

// reopen puts the secrets back into the exported part of a key and checks that
// the whole is what NewKey and its kin make: complete, and under its own id.
func reopen(k Key, secret, salt []byte) (*Key, error) {
	if k.Format != keyFormat {
		return nil, fmt.Errorf("%w: format %d is not the format %d of this program", ErrMalformed, k.Format, keyFormat)
	}
	if k.Spec != k.Spec.withDefaults() {
		return nil, fmt.Errorf("%w: the spec leaves parts open", ErrMalformed)
	}
	made, err := makeKey(k.Kind, k.Spec, secret, salt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if made.ID != k.ID {
		return nil, fmt.Errorf("%w: the id does not belong to this secret and spec; was the file edited?", ErrMalformed)
	}
	return made, nil
}

func decodeHex(name, s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(b) != s {
		return nil, fmt.Errorf("%w: %s is not lower-case hex", ErrMalformed, name) // without the value: it is secret
	}
	return b, nil
}

// encodeJSON is the package's one form of JSON on disk: two-space indent, a
// final newline, no HTML escapes.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decodeJSON accepts nothing but what encodeJSON writes for v, white space
// apart: no unknown, missing, doubled or reordered member, no other spelling.
func decodeJSON(data []byte, limit int, v any) error {
	if len(data) > limit {
		return fmt.Errorf("%w: more than %d bytes", ErrMalformed, limit)
	}
	if len(data) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := encodeJSON(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var got, want bytes.Buffer
	if err := errors.Join(json.Compact(&got, data), json.Compact(&want, again)); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		return fmt.Errorf("%w: not in the form in which it was written (a member is missing, doubled, misspelt or out of order)", ErrMalformed)
	}
	return nil
}
