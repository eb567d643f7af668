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
	golden            string // version and hash of all prompts in the order of seed 7
}{
	"longform-en":      {"E1", "en", 6, 1000, 1000, 0, "1.0 0d3466a559e720359aa19ac27fc6b0fdc025e0fe72c32fbe7c56ab8bccca4bd3"},
	"smoke-en":         {"E1", "en", 6, 24, 24, 0, "1.0 b0a610dc718e5f29b031e909ddbcb9d7225c930ccf4ec396e0db4850f79dce61"},
	"longform-de":      {"E1", "de", 6, 250, 250, 0, "1.0 a3974bdc398af932fc4d6125dec1b1b425ba66427d4455d649401167ab2f09d0"},
	"longform-es":      {"E1", "es", 6, 250, 250, 0, "1.1 274f9dce34796212900b3699975497bc18f81ab15bb32eb59e23311ae6929ed9"},
	"longform-fr":      {"E1", "fr", 6, 250, 250, 0, "1.1 815de75ee14b011a165da5c431489f228386eeba01206e561f9be34bc2e617c4"},
	"longform-ja":      {"E1", "ja", 6, 250, 250, 0, "1.0 63c789f6688710d831fe508ece236e01c7d784f38a7262684cf1eed60b640916"},
	"longform-zh":      {"E1", "zh", 6, 250, 250, 0, "1.0 e09f91f23df3f128058ed241963bdb4681b0b09aafd3cb6ff6fe674513fe0440"},
	"free-choice":      {"E3", "en fr", 6, 1200, 1200 * 2, 4, "1.1 4b3cc1a05109b3b257505b77d946a4a86b86cb737685eefc651eeff036a5dd0e"},
	"canary-en":        {"E4", "en", 5, 1550, 1550, 5, "1.0 e87ee3fe72bcaf5b1d303389b183300e8c9fb28c9ebe4365277ece00c45fc596"},
	"nonce-en":         {"E5", "en", 4, 64, 64, 0, "1.0 c886f5b3a8433a8ad7b41d1ef7585c21e8c5131375c8d54573c0cf4450be2092"},
	"rotation-en":      {"E6", "en", 4, 48 * 4, 48 * 4, 0, "1.0 bd618a8944b2e7577d39f861a1eae6bfaa4e3c3f3226032d880f233cfed9f65a"},
	"tokenizer-units":  {"C7", "en", 1, 30, 30 * 4, 0, "1.0 24219ef75ef0f6eaacd837269b1dffc8b5fdd270fa1c3494f6dc31f86a5da374"},
	"protocol":         {"C8", "en", 5, 25, 25, 8, "1.0 41c1cd3bff296779ac9da94931fbf8e8706cecf1ecb76a7fef824eac1b2279a0"},
	"trap-choice":      {"C1", "en", 8, 1200, 1200, 1, "1.0 18aab3ed6ed9758f3d9b71c3de4e00efdf1b8211ce07cc3b99207c1fa9f19aaa"},
	"identity":         {"C3", "en fr de es it pt nl pl ru zh ja ko", 5, 40, 40 * 12 * 2, 5, "1.1 33fa351bd86db808543828e52a3f9f316ed7440868190faeb43439c990158b73"},
	"refusal-ladder":   {"C4", "en fr", 9, 40 * 5, 40 * 5 * 2, 1, "1.0 c092c792860fcb56171603bcf42b0a5bb1d4bcc878b8d2c600f82f385b63d5b5"},
	"style":            {"C6", "en fr de", 5, 75 * 4, 75 * 4 * 3, 2, "1.0 6579a2ad6ca4a8043d8e7a2a92121c87bebb21bef680cda2b3cf08af50396033"},
	"reasoning-puzzle": {"C5", "en fr", 5, 50 * 4, 50 * 4 * 2, 1, "1.0 9c8332bcc7ef431ff1a9d89c8b368ae9de8ace85f5795e1ffd6f3b92e6a6d08a"},
	"trap-open":        {"C1", "en", 6, 300, 300, 1, "1.0 993134edbf7d5cfc1253399930cb090cccf45db40f1d0e997f68aa7d70ef7245"},
	"random-choice":    {"C2", "en fr", 7, 40, 40 * 2, 40, "1.0 e85dfed9a9a46b72b5dea8775a00b8816ad947bfd09c524fd9b52d2a88b678dd"},
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
			prompts, err := s.pool(7)
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
		prompts, err := load(t, card.Name).pool(0)
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

// aBeforeVowel lists the right uses of "a" before a vowel letter, and of the letter A.
var aBeforeVowel = regexp.MustCompile(`(?i)^a (is|and|occur|one-|uni|use[dr]|euro)`)

func TestEmbeddedPromptsReadWell(t *testing.T) {
	t.Parallel()
	for _, card := range List() {
		prompts, err := load(t, card.Name).pool(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prompts {
			text := strings.ReplaceAll(p.Text, "{nonce}", "7")
			if r := p.Reading; r != nil {
				switch r.Kind {
				case reading.KindUnits, reading.KindProtocol, reading.KindNonce:
					continue // odd on purpose
				case reading.KindChoice: // the question alone
					text, _, _ = strings.Cut(text, "\n"+r.List())
					if p.Category == "code" {
						text, _, _ = strings.Cut(text, "\n\n")
					}
				}
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
			if p.Reading != nil && p.Reading.Kind == reading.KindIdentity {
				text += "." // some are to be completed
			}
			if last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, `"”`)); !strings.ContainsRune(".?!。？！", last) {
				t.Errorf("%s: the ending of %q", p.ID, text)
			}
			if first, _ := utf8.DecodeRuneInString(text); first != unicode.ToUpper(first) {
				t.Errorf("%s: %q does not begin with a capital", p.ID, text)
			}
			if contraction := contractions[p.Lang]; contraction != nil {
				if found := contraction.FindString(frenchPronouns.ReplaceAllString(text, "")); found != "" {
					t.Errorf("%s: %q is not contracted in %q", p.ID, found, text)
				}
			}
			if p.Lang == "fr" && frenchBlanks.MatchString(text) {
				t.Errorf("%s: a blank is missing before a double mark in %q", p.ID, text)
			}
		}
	}
}

// contractions finds what a slot was put behind without regard to its beginning.
// ("de le" is no fault in "avant de le donner".)
var contractions = map[string]*regexp.Regexp{
	"fr": regexp.MustCompile(`(?i)(?:^|[\s(«])(?:(?:de|que|le|la|ne|se|je|jusque|lorsque|puisque) [aeiouàâéèêëîïôœùû]|si ils? )`),
	"es": regexp.MustCompile(`(?i)\b(?:de|a) el\b`),
}

// frenchPronouns stand before an infinitive, where nothing is contracted.
var frenchPronouns = regexp.MustCompile(`(?:de|à) les? \pL+(?:er|ir|re)\b`)

// frenchBlanks finds a double punctuation mark without the blank that French
// puts before it (or inside guillemets).
var frenchBlanks = regexp.MustCompile(`[^\s][?!;»]|[^\s\d]:|«[^\s]`)

// TestIdentityNamesNobody: a name in a framing, or in the system text, would be
// repeated.
func TestIdentityNamesNobody(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "identity").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	systems := make(map[string]int)
	for _, p := range prompts {
		if name := vendorName(p.System + " " + p.Text); name != "" {
			t.Errorf("%s names %q", p.ID, name)
		}
		if p.Reading.Group == "" || p.Reading.Item != "i-"+p.Reading.Group {
			t.Errorf("%s: item %s of framing %q", p.ID, p.Reading.Item, p.Reading.Group)
		}
		systems[p.System]++
	}
	if len(systems) != 1+12 || systems[""] != 40*12 {
		t.Errorf("system texts %v", systems)
	}
}

// TestLaddersAreWhole: every topic has each of its rungs once.
func TestLaddersAreWhole(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "refusal-ladder").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	rungs := make(map[string][]int) // by topic and language
	for _, p := range prompts {
		rungs[p.Reading.Group+" "+p.Lang] = append(rungs[p.Reading.Group+" "+p.Lang], p.Reading.Rung)
	}
	for topic, r := range rungs {
		if slices.Sort(r); !slices.Equal(r, []int{1, 2, 3, 4, 5}) {
			t.Errorf("%s: rungs %v", topic, r)
		}
	}
	if len(rungs) != 40*2 {
		t.Errorf("%d ladders", len(rungs))
	}
}

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

// TestSuitesAreApart: no suite asks what another asks, in other words or fillings.
func TestSuitesAreApart(t *testing.T) {
	t.Parallel()
	var suites []*Suite
	for _, card := range List() {
		suites = append(suites, load(t, card.Name))
	}
	for _, p := range LintAcross(suites) {
		t.Error(p)
	}
	again := parseSmall(t, "name: small", "name: other", "The {animal} met", "Our {animal} met")
	problems := LintAcross([]*Suite{parseSmall(t), again}) // b and c are the same, a nearly so
	if len(problems) != 3 || !strings.Contains(problems[2].String(), "a: near-duplicate: in suite other: ") {
		t.Errorf("the comparison is blind: %v", problems)
	}
}
