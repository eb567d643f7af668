package strength

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const sample = "The mill stood by the river. Nobody had opened it in years! Was it the flood that closed it, or the war? Old men say both. They rarely agree on more."

func prey(text string) victim {
	tokens, _ := bytesEncoding{}.Encode(text)
	filler, _ := bytesEncoding{}.Encode(strings.Repeat("0123456789", 40))
	return victim{tokens: tokens, filler: filler, enc: bytesEncoding{}, random: rand.New(rand.NewPCG(1, 2))}
}

func TestTokenAttacksMeetTheirRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{.05, .1, .2, .3, .5} {
		v := prey(sample)
		n := len(v.tokens)
		want := share(rate, n)
		gone, _ := deleteTokens(rate, v)
		if len(gone) != n-want {
			t.Errorf("deletion at %v left %d of %d tokens", rate, len(gone), n)
		}
		more, _ := insertTokens(rate, v)
		foreign := 0
		kept := slices.DeleteFunc(slices.Clone(more), func(id int32) bool {
			if id >= '0' && id <= '9' {
				foreign++
				return true
			}
			return false
		})
		if foreign != want || !slices.Equal(kept, v.tokens) {
			t.Errorf("insertion at %v put in %d tokens, not %d, or changed others", rate, foreign, want)
		}
		other, _ := substituteTokens(rate, v)
		changed := 0
		for i := range other {
			if other[i] != v.tokens[i] {
				changed++
			}
		}
		if len(other) != n || changed != want {
			t.Errorf("substitution at %v changed %d of %d tokens, not %d", rate, changed, n, want)
		}
	}
}

func TestSurfaceAttacks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		attack func(float64, victim) ([]int32, error)
		rate   float64
		undone func(string) string // brings the text back
		edits  func(string) int
		total  int
	}{
		{"case", changeCase, .5, strings.ToLower, nil, 0},
		{"whitespace", doubleSpaces, .5, func(s string) string { return strings.ReplaceAll(s, "  ", " ") }, func(s string) int { return strings.Count(s, "  ") }, strings.Count(sample, " ")},
		{"homoglyph", replaceLetters, .2, func(s string) string {
			return strings.NewReplacer("а", "a", "с", "c", "е", "e", "і", "i", "о", "o", "р", "p", "ѕ", "s", "х", "x", "у", "y").Replace(s)
		}, func(s string) int { return len(s) - len(sample) }, strings.Count(sample, "") - 1 - len(strings.Map(func(r rune) rune {
			if strings.ContainsRune("aceiopsxy", r) {
				return -1
			}
			return r
		}, sample))},
	} {
		ids, err := test.attack(test.rate, prey(sample))
		if err != nil {
			t.Fatal(err)
		}
		got := string(bytesEncoding{}.Decode(ids))
		if got == sample || test.undone(got) != test.undone(sample) {
			t.Errorf("%s made %q", test.name, got)
		}
		if test.edits != nil && test.edits(got) != share(test.rate, test.total) {
			t.Errorf("%s made %d edits, not %d", test.name, test.edits(got), share(test.rate, test.total))
		}
	}
}

func TestOrderAndMixing(t *testing.T) {
	t.Parallel()
	ids, err := shuffleSentences(0, prey(sample))
	if err != nil {
		t.Fatal(err)
	}
	before, after := sentences(sample), sentences(string(bytesEncoding{}.Decode(ids)))
	if len(before) != 5 || slices.Equal(before, after) {
		t.Errorf("%d sentences, shuffled: %q", len(before), after)
	}
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("sentences changed: %q", after)
	}
	for _, rate := range []float64{.5, .25, .1} {
		v := prey(sample)
		mixed, _ := mixIn(rate, v)
		marked := 0
		for _, id := range mixed {
			if id < '0' || id > '9' {
				marked++
			}
		}
		if len(mixed) != len(v.tokens) || marked != share(rate, len(v.tokens)) {
			t.Errorf("mixing at %v: %d tokens, %d marked", rate, len(mixed), marked)
		}
	}
	v := prey(sample)
	v.filler = v.filler[:3]
	if mixed, _ := mixIn(.1, v); len(mixed) != len(v.tokens) {
		t.Errorf("a short filler gave %d tokens", len(mixed))
	}
}

func TestTruncationAndRetokenisation(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{.5, .25} {
		ids, err := truncate(rate, prey(sample))
		got := string(bytesEncoding{}.Decode(ids))
		if err != nil || len(got) != share(rate, len(sample)) || !strings.Contains(sample, got) {
			t.Errorf("truncation to %v left %q, %v", rate, got, err)
		}
	}
	if ids, err := Retokenise(bytesEncoding{}).apply(0, prey(sample)); err != nil || string(bytesEncoding{}.Decode(ids)) != sample {
		t.Errorf("a lossless tokenizer changed the text: %v", err)
	}
}

func TestSynonyms(t *testing.T) {
	t.Parallel()
	for a, b := range synonyms {
		if a == b || synonyms[b] == "" {
			t.Errorf("%s -> %s -> %q", a, b, synonyms[b])
		}
	}
	const text = "An old house near the river, and nobody says more: it began slow. An old house! Old men? a small one; large ones."
	for _, rate := range []float64{.5, 1} {
		ids, err := replaceWords(rate, prey(text))
		if err != nil {
			t.Fatal(err)
		}
		before, after := wordsAndGaps(text), wordsAndGaps(string(bytesEncoding{}.Decode(ids)))
		if strings.Join(before, "") != text || len(before) != len(after) {
			t.Fatalf("%q became %q", text, after)
		}
		able, changed := 0, 0
		for i, w := range before {
			if synonyms[w] != "" {
				able++
			}
			if after[i] != w {
				changed++
				if after[i] != synonyms[w] {
					t.Errorf("%q became %q", w, after[i])
				}
			}
		}
		if able < 10 || changed != share(rate, able) {
			t.Errorf("at %v, %d of %d words that have a synonym changed", rate, changed, able)
		}
	}
}
