package family

import (
	"cmp"
	files "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
)

//go:embed wording/*.json
var translations files.FS

// English is the language of the wording table itself, and of findings.json.
const English = "en"

// Book says what this package says, in one language: the wording table's sentences,
// and the words that findings hold (null hypotheses, warnings, units). Its phrases
// stand in wording/<language>.json, each under the English one, with the same
// placeholders; English needs none. A phrase that the book lacks stays English.
type Book struct {
	phrases  map[string]string
	patterns []pattern // phrases with placeholders, the one with most letters first
}

// decimalKey is the one entry of a book that is no phrase: the decimal separator.
const decimalKey = "0.5"

var books = sync.OnceValues(func() (map[string]*Book, error) {
	out := map[string]*Book{English: {}}
	files, err := translations.ReadDir("wording")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		data, err := translations.ReadFile("wording/" + f.Name())
		if err != nil {
			return nil, err
		}
		b := &Book{}
		if err := json.Unmarshal(data, &b.phrases); err != nil {
			return nil, fmt.Errorf("wording/%s: %w", f.Name(), err)
		}
		for english := range b.phrases {
			if strings.Contains(english, "{") {
				b.patterns = append(b.patterns, newPattern(english))
			}
		}
		slices.SortFunc(b.patterns, func(x, y pattern) int {
			return cmp.Or(cmp.Compare(y.letters, x.letters), cmp.Compare(x.english, y.english))
		})
		out[strings.TrimSuffix(f.Name(), ".json")] = b
	}
	return out, nil
})

// Languages lists the languages in which findings can be worded.
func Languages() []string {
	all, err := books()
	if err != nil {
		return []string{English}
	}
	return slices.Sorted(maps.Keys(all))
}

// BookOf returns the book of a language.
func BookOf(language string) (*Book, error) {
	all, err := books()
	if err != nil {
		return nil, fmt.Errorf("read the wording table: %w", err)
	}
	b, ok := all[language]
	if !ok {
		return nil, fmt.Errorf("no wording in language %q; there is %s", language, strings.Join(Languages(), ", "))
	}
	return b, nil
}

// phrase is a template of this package in the book's language.
func (b *Book) phrase(english string) string {
	if s, ok := b.phrases[english]; ok {
		return s
	}
	return english
}

// decimal writes a number as the language does.
func (b *Book) decimal(number string) string {
	if point, ok := b.phrases[decimalKey]; ok {
		return strings.Replace(number, ".", strings.Trim(point, "05"), 1)
	}
	return number
}

// Phrase puts words that a finding holds into the book's language: a null
// hypothesis, a warning, a unit. The finding's target and key, where they occur, are
// taken for what they are; f may be nil. Words that the book does not know stay as
// they came.
func (b *Book) Phrase(words string, f *ledger.Finding) string {
	if b.phrases == nil || words == "" {
		return words
	}
	if s, ok := b.phrases[words]; ok {
		return s
	}
	known := map[string]string{}
	if f != nil {
		known["{target}"], known["{key}"] = f.Target, f.Key
	}
	for i := range b.patterns {
		values, ok := b.patterns[i].match(words, known)
		if !ok {
			continue
		}
		var pairs []string
		for name, v := range values {
			if _, is := known[name]; !is {
				switch {
				case isNumber(v):
					v = b.decimal(v)
				case slices.Contains(spoken, name):
					v = b.Phrase(v, f)
				}
			}
			pairs = append(pairs, name, v)
		}
		return strings.NewReplacer(pairs...).Replace(b.phrases[b.patterns[i].english])
	}
	return words
}

// Phrases is [Book.Phrase] for a list.
func (b *Book) Phrases(list []string, f *ledger.Finding) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = b.Phrase(out[i], f)
	}
	return out
}

// spoken are the placeholders whose values are words of ours and no names.
var spoken = []string{"{unit}", "{withheld}", "{null}", "{times}", "{what}", "{why}"}

// isNumber reports whether a value is a decimal number, which needs no translation
// but that of its decimal point.
func isNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789.") == "" && strings.Count(digits, ".") <= 1
}

// pattern is an English phrase cut at its placeholders.
type pattern struct {
	english  string
	literals []string // one more than names
	names    []string // with their braces
	letters  int
}

func newPattern(english string) pattern {
	p := pattern{english: english}
	rest := english
	for {
		from := strings.IndexByte(rest, '{')
		to := strings.IndexByte(rest, '}')
		if from < 0 || to < from {
			break
		}
		p.literals, p.names = append(p.literals, rest[:from]), append(p.names, rest[from:to+1])
		rest = rest[to+1:]
	}
	p.literals = append(p.literals, rest)
	for _, s := range p.literals {
		p.letters += len(s)
	}
	return p
}

// match finds the values of the placeholders in words. Known ones must stand where
// they should, and one that occurs twice must be the same twice.
func (p *pattern) match(words string, known map[string]string) (map[string]string, bool) {
	last := len(p.literals) - 1
	if len(words) < p.letters || !strings.HasPrefix(words, p.literals[0]) || !strings.HasSuffix(words, p.literals[last]) {
		return nil, false
	}
	words = words[len(p.literals[0]) : len(words)-len(p.literals[last])]
	values := map[string]string{}
	for i, name := range p.names {
		value, ok := known[name]
		if seen, before := values[name]; before {
			value, ok = seen, true
		}
		end := len(words)
		switch {
		case ok:
			if !strings.HasPrefix(words, value) {
				return nil, false
			}
			end = len(value)
		case i < last-1:
			if end = strings.Index(words, p.literals[i+1]); end < 0 {
				return nil, false
			}
		}
		if end == 0 || len(name) == len("{n}") && !isNumber(words[:end]) {
			return nil, false // a placeholder of one letter stands for a number
		}
		values[name] = words[:end]
		words = words[end:]
		if i < last-1 {
			if !strings.HasPrefix(words, p.literals[i+1]) {
				return nil, false
			}
			words = words[len(p.literals[i+1]):]
		}
	}
	return values, words == ""
}
