package watermark

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Values are named values of a preset: strings by name, immutable and
// comparable with ==, so that a [Spec] stays comparable. The zero Values is
// empty. In JSON it is an object of strings in the order of its names.
type Values struct{ list string } // name=value lines, sorted by name

// NewValues makes Values of a map. Names and values must not be empty or hold
// control characters; a name holds no "=".
func NewValues(m map[string]string) (Values, error) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name == "" || m[name] == "" || strings.Contains(name, "=") {
			return Values{}, fmt.Errorf("parameter %q is empty or misnamed", name)
		}
		for _, s := range []string{name, m[name]} {
			if len(s) > maxValue || strings.IndexFunc(s, func(r rune) bool { return r < ' ' }) >= 0 {
				return Values{}, fmt.Errorf("parameter %q is longer than %d bytes or has control characters", name, maxValue)
			}
		}
		fmt.Fprintf(&b, "%s=%s\n", name, m[name])
	}
	return Values{b.String()}, nil
}

// maxValue bounds one parameter, in bytes: a hundred 64-bit keys and their commas.
const maxValue = 2100

// Get returns the value of a name, "" for none.
func (v Values) Get(name string) string {
	for n, value := range v.All() {
		if n == name {
			return value
		}
	}
	return ""
}

// All yields names and values in the order of the names.
func (v Values) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(v.list) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if !yield(name, value) {
				return
			}
		}
	}
}

// IsZero reports whether there are none.
func (v Values) IsZero() bool { return v.list == "" }

// String is the values in one line: "a=1, b=2".
func (v Values) String() string {
	return strings.ReplaceAll(strings.TrimSuffix(v.list, "\n"), "\n", ", ")
}

// MarshalJSON writes an object of strings.
func (v Values) MarshalJSON() ([]byte, error) { return json.Marshal(maps.Collect(v.All())) }

// UnmarshalJSON reads an object of strings.
func (v *Values) UnmarshalJSON(data []byte) error {
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	made, err := NewValues(m)
	if err != nil {
		return err
	}
	*v = made
	return nil
}
