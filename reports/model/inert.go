package model

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Inert makes text from outside harmless to look at: control characters,
// escape sequences, direction marks, invisible characters and invalid bytes are
// written out, as ‹U+202E› or ‹\x9B›. New lines and tabs stay. What it returns
// is valid UTF-8 that shows all it holds; HTML is escaped where it is written.
func Inert(s string) string {
	if !strings.ContainsFunc(s, odd) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `‹\x%02X›`, s[i])
		case odd(r):
			fmt.Fprintf(&b, "‹U+%04X›", r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// odd reports whether a rune shows nothing, or changes how others show.
func odd(r rune) bool {
	switch r {
	case '\n', '\t':
		return false
	case '\u2028', '\u2029':
		return true
	}
	// C: controls, format characters (direction, joiners, tags), private use,
	// surrogates. Variation selectors and fillers are marks that show nothing.
	return unicode.In(r, unicode.C, unicode.Variation_Selector) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// inertAll makes every string of a structure inert, map keys included: nothing
// that came from outside can be forgotten.
func inertAll(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(Inert(v.String()))
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			inertAll(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			inertAll(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				inertAll(v.Field(i))
			}
		}
	case reflect.Map:
		// The report's maps go from names to counts.
		for _, key := range v.MapKeys() {
			name := Inert(key.String())
			if name == key.String() {
				continue
			}
			value := v.MapIndex(key)
			v.SetMapIndex(key, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(name).Convert(key.Type()), value)
		}
	}
}

// clip cuts text from outside to a bound of runes.
func clip(s string, runes int) string {
	n := 0
	for i := range s {
		if n == runes {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
