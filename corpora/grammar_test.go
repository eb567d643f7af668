package corpora

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The text is part of what a seed reproduces: a change of the data or of the
// generator changes it, and must be meant.
const goldenText = "6537ed96cb067f3d11217bf27d9e806866010316e9e88d97b818566bc7e1370d"

func TestGenerateTextIsReproducible(t *testing.T) {
	t.Parallel()
	text := GenerateText(1, "", 100_000)
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); got != goldenText {
		t.Errorf("the text of seed 1 has SHA-256 %s, want %s", got, goldenText)
	}
	if GenerateText(1, "", 100_000) != text {
		t.Error("two calls with equal arguments differ")
	}
	if GenerateText(2, "", 100_000) == text {
		t.Error("two seeds give the same text")
	}
	if short := GenerateText(1, "", 50_000); !strings.HasPrefix(text, short) {
		t.Error("a shorter text is not the beginning of a longer one")
	}
}

func TestGenerateTextByDomain(t *testing.T) {
	t.Parallel()
	if n := len(TextDomains()); n < 12 {
		t.Errorf("there are %d domains, want at least 12", n)
	}
	if !slices.IsSorted(TextDomains()) {
		t.Error("the domains are not in alphabetical order")
	}
	for _, d := range TextDomains() {
		text := GenerateText(3, d, 60_000)
		if over := len(text) - 60_000; over < 0 || over > 10_000 {
			t.Errorf("%s: %d bytes were written for 60,000", d, len(text))
		}
		if n := strings.Count(text, DocumentBreak); n < 10 {
			t.Errorf("%s: only %d document breaks", d, n)
		}
		if n := strings.Count(text, "\n\n"); n < 60 {
			t.Errorf("%s: only %d paragraph breaks", d, n)
		}
	}
	if GenerateText(3, "", 0) != "" {
		t.Error("no bytes were asked for and some were written")
	}
}

func TestGenerateTextPanicsOnUnknownDomain(t *testing.T) {
	t.Parallel()
	defer func() {
		if msg, _ := recover().(string); !strings.Contains(msg, `no text domain "alchemy"`) || !strings.Contains(msg, "cooking") {
			t.Errorf("panic %q does not name the domain and the choice", msg)
		}
	}()
	GenerateText(1, "alchemy", 100)
}

// malformed finds what good text never holds.
var malformed = []*regexp.Regexp{
	regexp.MustCompile(`[\x00-\x09\x0b-\x1f]`),          // a marker that was left over
	regexp.MustCompile(`[{}|@~^]`),                      // the notation's own signs
	regexp.MustCompile(`\n{4}`),                         // an empty paragraph
	regexp.MustCompile(`[a-z]  [a-z]`),                  // two spaces
	regexp.MustCompile(` [,.;:?!]( |\n)`),               // space before a stop
	regexp.MustCompile(`[^.]\.\.( |\n)|,,|;\.|,\.`),     // doubled stops
	regexp.MustCompile(`\b[Aa] [aei][a-z]`),             // a apple
	regexp.MustCompile(`\b[Aa]n [bcdfgjklmnpqrstvwxz]`), // an pear
	regexp.MustCompile(`\b(a|an|the|The) (a|an|the) `),  // two articles
	regexp.MustCompile(`[a-z]\. [a-z]`),                 // no capital after a full stop
	regexp.MustCompile(`\b(I|[Ww]e|[Tt]hey|[Yy]ou) (is|has|does)\b`),
	regexp.MustCompile(`(^|[.] )(He|She|It) (are|were|have|do)\b`),
}

func TestTextIsWellFormed(t *testing.T) {
	t.Parallel()
	text := GenerateText(4, "", 1<<18)
	for _, bad := range malformed {
		for i, at := range bad.FindAllStringIndex(text, 4) {
			if i == 3 {
				t.Errorf("%s: and more", bad)
				break
			}
			t.Errorf("%s: %q", bad, text[max(0, at[0]-40):min(len(text), at[1]+40)])
		}
	}
	for doc := range strings.SplitSeq(text, DocumentBreak) {
		for paragraph := range strings.SplitSeq(doc, "\n\n") {
			if strings.TrimSpace(paragraph) == "" {
				t.Fatalf("a paragraph is empty in %q", doc)
			}
		}
	}
}

// TestTextHasNaturalStatistics keeps the text from becoming a table of a few
// frames: the reference model needs a choice at every step.
func TestTextHasNaturalStatistics(t *testing.T) {
	t.Parallel()
	words := strings.Fields(GenerateText(5, "", 1<<20))
	freq := map[string]int{}
	trigrams := map[[3]string]bool{}
	for i, w := range words {
		freq[strings.ToLower(strings.Trim(w, `.,;:?!"`+"`"))]++
		if i >= 2 {
			trigrams[[3]string(words[i-2:i+1])] = true
		}
	}
	if len(freq) < 5000 {
		t.Errorf("%d distinct words in 1 MB, want at least 5,000", len(freq))
	}
	if ratio := float64(len(trigrams)) / float64(len(words)); ratio < .6 {
		t.Errorf("%.3f of the word 3-grams are distinct, want at least 0.6", ratio)
	} else {
		t.Logf("%d words, %d distinct, %.3f of the 3-grams distinct", len(words), len(freq), ratio)
	}
	counts := make([]int, 0, len(freq))
	for _, n := range freq {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b int) int { return b - a })
	// Zipf: log count falls with log rank at a slope near -1.
	slope := (math.Log(float64(counts[1999])) - math.Log(float64(counts[19]))) / (math.Log(2000) - math.Log(20))
	if slope > -.7 || slope < -1.3 {
		t.Errorf("between ranks 20 and 2,000 the slope of log count over log rank is %.2f, want -0.7 to -1.3", slope)
	} else {
		t.Logf("Zipf slope %.2f", slope)
	}
}

func TestGrammarIsLargeAndWholeUsed(t *testing.T) {
	t.Parallel()
	g := loadedGrammar()
	words := map[string]bool{}
	for _, c := range g.classes {
		seen := map[string]bool{}
		for _, w := range c.words {
			words[w.base] = true
			if seen[w.base] {
				t.Errorf("class %s holds %q twice", c.name, w.base)
			}
			seen[w.base] = true
		}
	}
	if len(words) < 4000 {
		t.Errorf("the lexicon has %d words, want at least 4,000", len(words))
	}
	u := usage{classes: map[*wordClass]bool{}, rules: map[*rule]bool{}}
	for _, d := range g.domains {
		u.visit(d.doc)
	}
	// Common rules are parsed once per domain and count once.
	templates, reached := map[string]int{}, map[string]bool{}
	for _, d := range g.domains {
		for name, r := range d.rules {
			reached[name] = reached[name] || u.rules[r]
			owner := name
			if strings.Contains(readText(t, "domain."+d.name+".txt"), "= "+name+"\n") {
				owner = d.name + " " + name
			}
			templates[owner] = len(r.alts)
		}
	}
	total := 0
	for _, n := range templates {
		total += n
	}
	if total < 1000 {
		t.Errorf("there are %d templates, want at least 1,000", total)
	}
	t.Logf("%d words in %d classes, %d templates in %d rules", len(words), len(g.classes), total, len(templates))
	for name, ok := range reached {
		if !ok {
			t.Errorf("no document reaches rule %s", name)
		}
	}
	// Characters' names are drawn by the writer itself, named verbs by rules.
	implicit := []string{"name.she", "name.he", "name.last", "v.named"}
	for name, c := range g.classes {
		if !u.classes[c] && !slices.Contains(implicit, name) {
			t.Errorf("no rule draws from class %s", name)
		}
	}
}

// usage collects what the documents can reach.
type usage struct {
	classes map[*wordClass]bool
	rules   map[*rule]bool
}

func (u usage) visit(r *rule) {
	if u.rules[r] {
		return
	}
	u.rules[r] = true
	for _, a := range r.alts {
		u.walk(a.body)
	}
}

func (u usage) walk(nodes []node) {
	for i := range nodes {
		n := &nodes[i]
		u.classes[n.class], u.classes[n.adj] = true, true
		if n.rule != nil {
			u.visit(n.rule)
		}
		for _, part := range n.parts {
			u.walk(part)
		}
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := textFiles.ReadFile("text/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInflection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ entry, third, past, part, ing string }{
		{"walk", "walks", "walked", "walked", "walking"},
		{"carry", "carries", "carried", "carried", "carrying"},
		{"stop+", "stops", "stopped", "stopped", "stopping"},
		{"bake", "bakes", "baked", "baked", "baking"},
		{"agree", "agrees", "agreed", "agreed", "agreeing"},
		{"tie", "ties", "tied", "tied", "tying"},
		{"panic", "panics", "panicked", "panicked", "panicking"},
		{"wash", "washes", "washed", "washed", "washing"},
		{"go/went/gone", "goes", "went", "gone", "going"},
		{"run/ran/run", "runs", "ran", "run", "running"},
		{"begin/began/begun", "begins", "began", "begun", "beginning"},
		{"write/wrote/written", "writes", "wrote", "written", "writing"},
		{"draw/drew/drawn", "draws", "drew", "drawn", "drawing"},
		{"pick up", "picks up", "picked up", "picked up", "picking up"},
		{"put down/put down/put down", "puts down", "put down", "put down", "putting down"},
	} {
		w, err := parseVerb(c.entry)
		if err != nil {
			t.Fatal(err)
		}
		if w.third != c.third || w.past != c.past || w.part != c.part || w.ing != c.ing {
			t.Errorf("%s: %s, %s, %s, %s", c.entry, w.third, w.past, w.part, w.ing)
		}
	}
	for _, c := range []struct{ entry, base, plural string }{
		{"hill", "hill", "hills"},
		{"city", "city", "cities"},
		{"bench", "bench", "benches"},
		{"key", "key", "keys"},
		{"wolf/wolves", "wolf", "wolves"},
		{"rice~", "rice", "rice"},
		{"scissors^", "scissors", "scissors"},
	} {
		w, err := parseNoun(c.entry)
		if err != nil || w.base != c.base || w.plural != c.plural {
			t.Errorf("%s: %q, %q, %v", c.entry, w.base, w.plural, err)
		}
	}
	if _, err := parseVerb("a/b"); err == nil {
		t.Error("a verb of two forms was taken")
	}
	if _, err := parseNoun("a/b/c"); err == nil {
		t.Error("a noun of three forms was taken")
	}
}

func TestArticle(t *testing.T) {
	t.Parallel()
	for word, vowel := range map[string]bool{
		"apple": true, "hill": false, "hour": true, "honest": true, "university": false, "uninvited": true,
		"umbrella": true, "European": false, "one-eyed": false, "oversized": true, "useful": false,
		"8": true, "11": true, "18": true, "118": false, "80": true, "": false, "utterly": true, "unit": false,
	} {
		if got := startsWithVowelSound(word); got != vowel {
			t.Errorf("%q: vowel sound %v, want %v", word, got, vowel)
		}
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"the  cat  sat .": "The cat sat.",
		"a owl. a cat":    "An owl. A cat",
		"one.\n\ntwo":     "One.\n\nTwo",
		"\"\x01why?\" she said. \"\x01no.\" then left.": `"Why?" she said. "No." Then left.`,
		"x ; \x01new":                      "X; New",
		"if\n\x02len(a) > 3:\n\x03\x02a=b": "If\nlen(a) > 3:\n    a=b",
		"`run` stops. `run` starts":        "`run` stops. `run` starts",
	} {
		if got := tidy([]byte(raw)); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// smallGrammar is a sound set of files with some of them changed.
func smallGrammar(change map[string]string) fs.FS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"nouns.txt":      "@n.x\ncat, dog",
		"verbs.txt":      "@v.x\nrun/ran/run, walk",
		"adjectives.txt": "@a.x\nred",
		"adverbs.txt":    "@r.x\nslowly",
		"names.txt":      "@name.she\nAnna\n@name.he\nTom\n@name.last\nHill",
		"common.txt":     "= Thing\nthe {n.x}",
		"domain.d.txt":   "= Doc\n{Thing} {v.x}.",
	} {
		if c, ok := change[name]; ok {
			text = c
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func TestParseTextGrammarSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := parseTextGrammar(smallGrammar(nil)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, text, want string }{
		{"nouns.txt", "cat", "a word before the first class"},
		{"nouns.txt", "@n.x\ncat,,dog", "an empty entry"},
		{"nouns.txt", "@n.x\ncat\n@n.x\ndog", "defined twice"},
		{"nouns.txt", "@n.x\na/b/c", "3 forms"},
		{"nouns.txt", "@n.x\ncat\n@n.y", "no words"},
		{"verbs.txt", "@v.x\nrun/ran/run\n@v.y\nrun", "inflected in two ways"},
		{"domain.d.txt", "= Other\nx", "no rule Doc"},
		{"domain.d.txt", "= Doc", "no alternative"},
		{"domain.d.txt", "x\n= Doc\nx", "before the first rule"},
		{"domain.d.txt", "= Doc\nx\n= Doc\ny", "defined twice"},
		{"domain.d.txt", "= Doc\n{Nothing}", `no rule "Nothing"`},
		{"domain.d.txt", "= Doc\n{n.y}", `no class "n.y"`},
		{"domain.d.txt", "= Doc\n{n.x:past}", `form "past"`},
		{"domain.d.txt", "= Doc\n{v.x:pl}", `form "pl"`},
		{"domain.d.txt", "= Doc\n{a.x:pl}", `form "pl"`},
		{"domain.d.txt", "= Doc\n{n.x:a,b.x}", "neither a class nor a rule"},
		{"domain.d.txt", "= Doc\n{~fly}", `verb "fly" is not in the lexicon`},
		{"domain.d.txt", "= Doc\n{Thing*5-2}", "is empty"},
		{"domain.d.txt", "= Doc\n{int:9}", "not a range"},
		{"domain.d.txt", "= Doc\n{n.x", "never closed"},
		{"domain.d.txt", "= Doc\n[x", "never closed"},
		{"domain.d.txt", "= Doc\nx]", "no opening bracket"},
		{"domain.d.txt", "= Doc\nx\\", "backslash"},
		{"domain.d.txt", "= Doc\n*0 x", "weight"},
		{"domain.d.txt", "= Doc\n{hero:they}", `form "they"`},
		{"common.txt", "= Thing\n{!past?}{n.z}", `no class "n.z"`},
	} {
		_, err := parseTextGrammar(smallGrammar(map[string]string{c.file: c.text}))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.text, err, c.want)
		}
	}
}

// FuzzParseTextGrammar: whatever a rule file holds, there is a grammar with a
// document rule or an error, and no panic.
func FuzzParseTextGrammar(f *testing.F) {
	f.Add("= Doc\n*2 [{>Thing} {v.x:g}] (a|{@x:pl,a.x?}) {int:1-9}{p}\\{")
	f.Add("= Doc\n{x:=n.x}{hero:his} {~walk:past} {Thing*0-3}")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseTextGrammar(smallGrammar(map[string]string{"domain.d.txt": text}))
		if err == nil && g.domains[0].doc == nil {
			t.Error("no error and no document")
		}
	})
}

func BenchmarkGenerateText(b *testing.B) {
	GenerateText(1, "", 1) // parse
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		GenerateText(1, "", 1<<20)
	}
}

func BenchmarkParseTextGrammar(b *testing.B) {
	files, err := fs.Sub(textFiles, "text")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseTextGrammar(files); err != nil {
			b.Fatal(err)
		}
	}
}
