package corpora

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
)

// embeddedSuites is what each suite of the program is made to be. golden pins its
// content: a changed prompt needs a new version.
var embeddedSuites = map[string]struct {
	family, languages string
	categories        int
	items, prompts    int // the suites of E1 have at least as many
	samples           int
	golden            string // version and hash of Expand(7, 0)
}{
	"longform-en":   {"E1", "en", 6, 1000, 1000, 0, "1.0 0d3466a559e720359aa19ac27fc6b0fdc025e0fe72c32fbe7c56ab8bccca4bd3"},
	"smoke-en":      {"E1", "en", 6, 24, 24, 0, "1.0 b0a610dc718e5f29b031e909ddbcb9d7225c930ccf4ec396e0db4850f79dce61"},
	"random-choice": {"C2", "en fr", 7, 40, 40 * 2, 40, "1.0 e85dfed9a9a46b72b5dea8775a00b8816ad947bfd09c524fd9b52d2a88b678dd"},
}

func TestEmbeddedSuites(t *testing.T) {
	t.Parallel()
	cards := List()
	if len(cards) != len(embeddedSuites) {
		t.Errorf("%d suites, want %d", len(cards), len(embeddedSuites))
	}
	for _, card := range cards {
		t.Run(card.Name, func(t *testing.T) {
			t.Parallel()
			s := load(t, card.Name)
			for _, p := range s.Lint() {
				t.Error(p)
			}
			want, ok := embeddedSuites[card.Name]
			if !ok {
				t.Fatal("the test does not know this suite")
			}
			exact := card.Family != "E1"
			if card.Items < want.items || card.Prompts < want.prompts || exact && (card.Items != want.items || card.Prompts != want.prompts) {
				t.Errorf("%d items and %d prompts, want %d and %d", card.Items, card.Prompts, want.items, want.prompts)
			}
			if card.Purpose == "" || card.NeverUse == "" || card.Family != want.family || card.Samples != want.samples || strings.Join(card.Languages, " ") != want.languages {
				t.Errorf("the card is incomplete or wrong: %+v", card)
			}
			if len(card.Categories) != want.categories {
				t.Errorf("categories %v, want %d", card.Categories, want.categories)
			}
			data, err := os.ReadFile("suites/" + card.Name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(data); card.SHA256 != hex.EncodeToString(sum[:]) || card.SHA256 != s.SHA256() {
				t.Errorf("hash %s is not that of the file", card.SHA256)
			}
			prompts, err := s.Expand(7, 0)
			if err != nil {
				t.Fatal(err)
			}
			expanded, err := json.Marshal(prompts)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(expanded)
			if got := s.Version + " " + hex.EncodeToString(sum[:]); got != want.golden {
				t.Errorf("version and hash of all prompts: %s, want %s (a changed prompt needs a new version)", got, want.golden)
			}
		})
	}
}

// TestItemsAreInAllLanguages: a language that lacks an item would shift what a
// comparison between languages means.
func TestItemsAreInAllLanguages(t *testing.T) {
	t.Parallel()
	for _, card := range List() {
		prompts, err := load(t, card.Name).Expand(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		in := make(map[string][]string)
		for _, p := range prompts {
			if !slices.Contains(in[p.Item()], p.Lang) {
				in[p.Item()] = append(in[p.Item()], p.Lang)
			}
		}
		for item, langs := range in {
			if len(langs) != len(card.Languages) {
				t.Errorf("%s: item %s is asked in %v only", card.Name, item, langs)
			}
		}
	}
}

func TestLongformIsBalanced(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"longform-en", "smoke-en"} {
		card := load(t, name).Info()
		for _, c := range card.Categories {
			if c.Templates*len(card.Categories) != card.Templates || c.Prompts == 0 {
				t.Errorf("%s: category %s has %d of %d templates and %d prompts", name, c.Category, c.Templates, card.Templates, c.Prompts)
			}
		}
	}
}

// articles finds a slot that was filled without regard to its article.
var articles = regexp.MustCompile(`(?i)\b(a [aeiou]|an [^aeiouh\W]|a an? |an an? |the (the|an?) )`)

// aBeforeVowel lists the right uses of "a" before a vowel letter.
var aBeforeVowel = regexp.MustCompile(`(?i)^a (one-|uni|use[dr]|euro)`)

func TestEmbeddedPromptsReadWell(t *testing.T) {
	t.Parallel()
	for _, card := range List() {
		prompts, err := load(t, card.Name).Expand(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prompts {
			text := p.Text
			if r := p.Reading; r != nil && len(r.Order) > 0 {
				text = strings.Replace(text, r.List()+"\n", "", 1)
			}
			if p.Lang == "en" {
				for _, at := range articles.FindAllStringIndex(text, -1) {
					if !aBeforeVowel.MatchString(text[at[0]:]) {
						t.Errorf("%s: article in %q", p.ID, text)
					}
				}
			}
			if strings.Contains(text, "  ") || strings.ContainsAny(text, "{}\n") {
				t.Errorf("%s: blanks or braces in %q", p.ID, text)
			}
			if last, _ := utf8.DecodeLastRuneInString(text); !strings.ContainsRune(".?!。？！", last) {
				t.Errorf("%s: the ending of %q", p.ID, text)
			}
			if first, _ := utf8.DecodeRuneInString(text); first != unicode.ToUpper(first) {
				t.Errorf("%s: %q does not begin with a capital", p.ID, text)
			}
			if p.Lang == "fr" && frenchBlanks.MatchString(text) {
				t.Errorf("%s: a blank is missing before a double mark in %q", p.ID, text)
			}
		}
	}
}

// frenchBlanks finds a double punctuation mark without the blank that French
// puts before it (or inside guillemets).
var frenchBlanks = regexp.MustCompile(`[^\s][?!;»]|[^\s\d]:|«[^\s]`)

// TestPicksAreRead answers every prompt of the random choices as models do.
func TestPicksAreRead(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "random-choice").Expand(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[Kind]int)
	for _, p := range prompts {
		r := p.Reading
		kinds[r.Kind]++
		for i, forms := range r.Options {
			for _, form := range forms {
				for _, reply := range []string{form, "**" + strings.ToUpper(form) + "**", " " + form + ".\n", "« " + form + " » !"} {
					if got := r.Mentions(reply); !slices.Equal(got, []int{i}) {
						t.Errorf("%s: %q is read as options %v, want %d", p.ID, reply, got, i)
					}
				}
			}
		}
		if r.Kind == reading.KindNumber && !strings.Contains(p.Text, strconv.Itoa(r.High)) {
			t.Errorf("%s: %q does not state the bound %d", p.ID, p.Text, r.High)
		}
	}
	if kinds[reading.KindNumber] != 24 || kinds[reading.KindCoin] != 10 || kinds[reading.KindPick] != 46 {
		t.Errorf("kinds %v", kinds)
	}
}
