package model

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

//go:embed text/*.json
var texts embed.FS

// text is the table of all sentences of a language but those about a finding, which
// belong to the wording table of probe/family. A language is a file in text/.
type text map[string]string

// tables are read once and not changed afterwards.
var tables = sync.OnceValue(func() map[string]text {
	out := map[string]text{}
	files, err := texts.ReadDir("text")
	if err != nil {
		panic("model: " + err.Error())
	}
	for _, f := range files {
		data, err := texts.ReadFile("text/" + f.Name())
		if err != nil {
			panic("model: " + err.Error())
		}
		var t text
		if err := json.Unmarshal(data, &t); err != nil {
			panic("model: text/" + f.Name() + ": " + err.Error())
		}
		out[strings.TrimSuffix(f.Name(), ".json")] = t
	}
	return out
})

// english is what is not about a language: the commands, the same in all.
func english() text { return tables()[family.English] }

// Languages lists the languages in which a report can be written.
func Languages() []string { return slices.Sorted(maps.Keys(tables())) }

// tableOf returns the sentences of a language; "" is English.
func tableOf(language string) (text, error) {
	if t, ok := tables()[cmp.Or(language, family.English)]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("no report is written in language %q; there is %s", language, strings.Join(Languages(), ", "))
}

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

// count writes a number with its noun: "1 test", "12,345 tests". The table has both
// forms of the noun, and the numbers that take the first.
func count[T int | int64 | uint64](t text, n T, noun string) string {
	one, many, _ := strings.Cut(t["count."+noun], "|")
	if slices.Contains(strings.Fields(t["format.singular"]), fmt.Sprint(n)) {
		many = one
	}
	if many == "" {
		panic("model: no noun " + noun)
	}
	return strings.Replace(many, "{n}", t.group(int64(n)), 1)
}

// group writes an integer with the language's separator of thousands.
func (t text) group(n int64) string {
	return t.Locale().Integer(n)
}

// logp writes a logarithm with two decimals, as the wording table does.
func (t text) logp(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	if s == "-0.00" {
		s = "0.00"
	}
	return t.Locale().Decimal(s)
}

// time is a time as sentences have it.
func (t text) time(at time.Time) string { return at.UTC().Format(t["format.time"]) }

// date is a day.
func (t text) date(at time.Time) string { return at.UTC().Format(t["format.date"]) }

// list joins names: "a, b and c".
func (t text) list(names []string) string {
	switch n := len(names); n {
	case 0:
		return t["format.none"]
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + t["format.and"] + names[n-1]
	}
}

// Locale is how a language writes numbers and times.
type Locale struct {
	Point   string // decimal separator
	Group   string // of thousands
	Between string // of the ends of an interval
	Time    string // layout of time.Format
	Date    string
}

// Locale returns the forms of a table.
func (t text) Locale() Locale {
	return Locale{Point: t["format.point"], Group: t["format.group"], Between: t["format.between"], Time: t["format.time"], Date: t["format.date"]}
}

// LocaleOf returns the forms of a language.
func LocaleOf(language string) (Locale, error) {
	t, err := tableOf(language)
	if err != nil {
		return Locale{}, err
	}
	return t.Locale(), nil
}

// Integer writes a whole number with a separator of thousands.
func (l Locale) Integer(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + l.Group + s[i:]
	}
	return sign + s
}

// Decimal puts the language's decimal separator into a number as Go writes it.
func (l Locale) Decimal(s string) string { return strings.Replace(s, ".", l.Point, 1) }

// VerdictLabel names a verdict in a few words.
func VerdictLabel(language string, v ledger.Verdict) string {
	if t, err := tableOf(language); err == nil && t["verdict."+string(v)] != "" {
		return t["verdict."+string(v)]
	}
	return string(v)
}
