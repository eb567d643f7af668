package model

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
)

//go:embed text/*.json
var texts embed.FS

// lang is the language that is written. Another one is another file in text/.
const lang = "en"

// text is the table of all sentences but those about a finding, which belong to
// the wording table of probe/family.
type text map[string]string

// english is read once; the table is not changed afterwards.
var english = sync.OnceValue(func() text {
	data, err := texts.ReadFile("text/" + lang + ".json")
	if err != nil {
		panic("model: " + err.Error())
	}
	var t text
	if err := json.Unmarshal(data, &t); err != nil {
		panic("model: text/" + lang + ".json: " + err.Error())
	}
	return t
})

// say sets values into the sentence of a key: name, value, name, value. It
// panics on a key or a placeholder that the table does not have, since that is
// a mistake in this package.
func (t text) say(key string, pairs ...string) string {
	s, ok := t[key]
	if !ok {
		panic("model: no sentence " + key)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, "{"+pairs[i]+"}") {
			panic(fmt.Sprintf("model: sentence %s has no place for %s", key, pairs[i]))
		}
		pairs[i] = "{" + pairs[i] + "}"
	}
	// One pass, so that a value can never be taken for a placeholder.
	return strings.NewReplacer(pairs...).Replace(s)
}

// count writes a number with its noun: "1 test", "12,345 tests".
func count[T int | int64 | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(int64(n)) + " " + many
}

// group writes an integer with commas.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// logp writes a logarithm with two decimals, as the wording table does.
func logp(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	if s == "-0.00" {
		return "0.00"
	}
	return s
}

// short is a time as sentences have it.
const short = "2006-01-02 15:04:05 UTC"

// list joins names: "a, b and c".
func list(names []string) string {
	switch n := len(names); n {
	case 0:
		return "none"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// VerdictLabel names a verdict in a few words.
func VerdictLabel(v ledger.Verdict) string {
	if s, ok := english()["verdict."+string(v)]; ok {
		return s
	}
	return string(v)
}
