package model

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

func TestInert(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text, naïve, 你好, مرحبا, 🙂": "plain text, naïve, 你好, مرحبا, 🙂",
		"two\nlines\tand a tab":           "two\nlines\tand a tab",
		"\x1b[31mred":                     "‹U+001B›[31mred",
		"nul\x00bell\x07":                 "nul‹U+0000›bell‹U+0007›",
		"a\u202eb\u2066c\u200fd":          "a‹U+202E›b‹U+2066›c‹U+200F›d",
		"zero\u200bwidth\ufeff":           "zero‹U+200B›width‹U+FEFF›",
		"\xff\xfeA":                       `‹\xFF›‹\xFE›A`,
		"cut \xe4\xbd":                    `cut ‹\xE4›‹\xBD›`,
		"\u2028\u2029":                    "‹U+2028›‹U+2029›",
		"\u0085\u009b":                    "‹U+0085›‹U+009B›",
		"\U000e0041":                      "‹U+E0041›",
		"\u3164\u115f":                    "‹U+3164›‹U+115F›", // fillers that show nothing
		"x\ufe0f":                         "x‹U+FE0F›",
		"\r\n":                            "‹U+000D›\n",
	} {
		if got := Inert(in); got != want {
			t.Errorf("Inert(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzInert(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;title\x07\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Inert(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, odd) {
			t.Errorf("Inert(%q) = %q", s, got)
		}
		if Inert(got) != got {
			t.Errorf("Inert is not stable on %q", s)
		}
	})
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	good, err := Encode(&Report{Format: Format})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(good); err != nil {
		t.Fatalf("a report does not read back: %v", err)
	}
	for name, data := range map[string]string{
		"unknown member": strings.Replace(string(good), `"lang"`, `"x": 1, "lang"`, 1),
		"member twice":   strings.Replace(string(good), `"lang": ""`, `"lang": "x", "lang": ""`, 1),
		"other case":     strings.Replace(string(good), `"lang"`, `"LANG"`, 1),
		"other spelling": strings.Replace(string(good), `"format": 1`, `"format": 1.0`, 1),
		"compact":        strings.ReplaceAll(string(good), "\n", ""),
		"trailing":       string(good) + "{}",
		"newer":          strings.Replace(string(good), `"format": 1`, `"format": 2`, 1),
		"empty":          "",
		"no JSON":        "<html>",
	} {
		if _, err := Decode([]byte(data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode(&Report{Format: Format})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		if again, err := Encode(r); err != nil || string(again) != string(data) {
			t.Errorf("accepted in another form than it is written: %v", err)
		}
	})
}

// No sentence of the table claims more than numbers can carry, and every one of
// them is used. What an opponent claims is the opponent's.
func TestText(t *testing.T) {
	t.Parallel()
	forbidden := map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\bprove[sd]?\b|theft|thief|steal|stole|guilt|\bcertain(ly|ty)\b|infring|illegal|confidence`),
		"fr": regexp.MustCompile(`(?i)prouv|(^|[ ’(])preuve|(^|[ ’(])vol(s|é|ée|és|ées|er)?[ .,;]|voleu|dérob|coupable|culpab|certitude|certainement|contrefa[çi]|enfrein|illégal|illicite|(degré|niveau|intervalle) de confiance|démontré`),
	}
	var source strings.Builder
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			data, err := os.ReadFile(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			source.Write(data)
		}
	}
	for language, table := range tables() {
		for key, s := range table {
			if hit := forbidden[language].FindString(s); hit != "" && !strings.HasSuffix(key, ".claim") {
				t.Errorf("%s: %s says %q: %s", language, key, hit, s)
			}
			if s == "" || strings.Contains(s, "  ") || strings.TrimSpace(s) != s && !strings.HasPrefix(key, "format.") {
				t.Errorf("%s: %s is badly spaced: %q", language, key, s)
			}
		}
	}
	for key := range english() {
		parts := strings.Split(key, ".")
		// Keys are written whole, or put together of prefix, name and suffix.
		used := strings.Contains(source.String(), `"`+key+`"`) || strings.Contains(source.String(), `"`+parts[0]+`."`)
		if used && len(parts) > 2 && !strings.Contains(source.String(), `"`+key+`"`) {
			used = strings.Contains(source.String(), `"`+parts[1]+`"`)
		}
		if !used {
			t.Errorf("%s is not used", key)
		}
	}
	for _, v := range []ledger.Verdict{
		ledger.VerdictDependence, ledger.VerdictSingleRun, ledger.VerdictExploratory, ledger.VerdictWeak,
		ledger.VerdictNone, ledger.VerdictWithheld, ledger.VerdictInsufficient, ledger.VerdictUnverified,
	} {
		for _, language := range Languages() {
			if VerdictLabel(language, v) == string(v) {
				t.Errorf("verdict %s has no label in %s", v, language)
			}
		}
	}
}

func TestSayKeepsValuesApart(t *testing.T) {
	t.Parallel()
	table := text{"k": "{a} and {b}"}
	if got := table.say("k", "a", "{b}", "b", "x"); got != "{b} and x" {
		t.Errorf("a value was taken for a placeholder: %q", got)
	}
}

var (
	placeholders = regexp.MustCompile(`\{[a-z]+\}`)
	// What denies, and what holds a sentence back, in either language.
	denies = map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\b(not|no|never|neither|nor|nothing|nobody|cannot|none|without)\b`),
		"fr": regexp.MustCompile(`(?i)(^|[ (\x{a0}’])(pas|non|jamais|ni|rien|personne|aucune?|sans|ne|nul|hors)([ ,.;:)\x{a0}]|$)|n’`),
	}
	englishWord = regexp.MustCompile(`(?i)(^| )(the|of|and|was|were|with|that|which|not|this|by|from)( |$)`)
)

// Every language says what English says: all of its sentences, with the same places
// for values, denying what it denies.
func TestLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	for language, table := range tables() {
		if language == family.English {
			continue
		}
		if _, err := family.BookOf(language); err != nil {
			t.Error(err)
		}
		if len(table) != len(english()) {
			t.Errorf("%s has %d sentences, English %d", language, len(table), len(english()))
		}
		for key, en := range english() {
			s := table[key]
			a, b := placeholders.FindAllString(en, -1), placeholders.FindAllString(s, -1)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(slices.Compact(a), slices.Compact(b)) {
				t.Errorf("%s: %s has other places for values: %s", language, key, s)
			}
			if denies["en"].MatchString(en) && !denies[language].MatchString(s) {
				t.Errorf("%s: %s does not deny what %q denies: %s", language, key, en, s)
			}
			if hit := englishWord.FindString(s); hit != "" {
				t.Errorf("%s: %s has the English word %q: %s", language, key, hit, s)
			}
		}
	}
	if _, err := tableOf("xx"); err == nil || !strings.Contains(err.Error(), "there is en, fr") {
		t.Errorf("a language that is not there: %v", err)
	}
}

func TestNumbersInWords(t *testing.T) {
	t.Parallel()
	en, fr := english(), tables()["fr"]
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := en.group(n); got != want {
			t.Errorf("group(%d) = %s", n, got)
		}
		if got := fr.group(n); got != strings.ReplaceAll(want, ",", "\u00a0") {
			t.Errorf("in French group(%d) = %s", n, got)
		}
	}
	for got, want := range map[string]string{
		count(en, 1, "test"): "1 test", count(en, 0, "test"): "0 tests", count(en, 12345, "key"): "12,345 keys",
		count(fr, 1, "key"): "1 clé", count(fr, 0, "key"): "0 clé", count(fr, 12345, "key"): "12\u00a0345 clés",
		en.logp(math.Copysign(0, -1)): "0.00", fr.logp(-6.125): "-6,12",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		names  []string
		en, fr string
	}{{nil, "none", "aucun"}, {[]string{"a"}, "a", "a"}, {[]string{"a", "b"}, "a and b", "a et b"}, {[]string{"a", "b", "c"}, "a, b and c", "a, b et c"}} {
		if got := en.list(c.names); got != c.en {
			t.Errorf("list(%v) = %s", c.names, got)
		}
		if got := fr.list(c.names); got != c.fr {
			t.Errorf("list(%v) = %s", c.names, got)
		}
	}
}

// The rule of the exhibits: no reply twice, the highest first, those around the median,
// the lowest; ties by the items' names, which are made for few.
func TestChoose(t *testing.T) {
	t.Parallel()
	name := func(n int32) string { return fmt.Sprintf("i%03d", n*73%101) }
	for _, n := range []int{0, 1, 2, 3, 4, 7, 14, 15, 16, 100} {
		for _, values := range []int{1, 3, 101} {
			s := &scorer{}
			for i := range n {
				s.ranked = append(s.ranked, ranked{number: int32(i), std: float64((i * 37) % 101 % values)})
			}
			all := slices.Clone(s.ranked)
			slices.SortFunc(all, func(a, b ranked) int {
				return cmp.Or(cmp.Compare(b.std, a.std), cmp.Compare(name(a.number), name(b.number)))
			})
			k := min(exhibitsEach, (n+2)/3)
			from := max(k, (n-k)/2)
			to := min(from+k, n)
			want := [3][]ranked{all[:k], all[min(from, n):to], slices.Clone(all[max(to, n-k):])}
			slices.Reverse(want[2])
			seen := map[int32]bool{}
			for g, group := range s.choose(name) {
				if !slices.Equal(group, want[g]) {
					t.Errorf("%d replies, %d scores: group %d is %v, want %v", n, values, g, group, want[g])
				}
				for _, r := range group {
					if seen[r.number] {
						t.Errorf("%d replies, %d scores: %d twice", n, values, r.number)
					}
					seen[r.number] = true
				}
			}
			if n >= 3*exhibitsEach && len(seen) != 3*exhibitsEach || n >= 3 && len(seen) < 3 {
				t.Errorf("%d replies, %d scores: %d exhibits", n, values, len(seen))
			}
		}
	}
}

// The spans of a text are the text, whatever characters the tokens cut.
func TestSpans(t *testing.T) {
	t.Parallel()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	key, err := watermark.NewKey(watermark.Spec{Scheme: watermark.Gumbel, Tokenizer: "cl100k", Vocab: e.VocabSize()}, strings.NewReader(strings.Repeat("k", 64)))
	if err != nil {
		t.Fatal(err)
	}
	mark, err := key.Mark()
	if err != nil {
		t.Fatal(err)
	}
	s := &scorer{mark: mark, tokens: e, law: mark.Law()}
	for _, text := range []string{
		"", "a", "The quick brown fox jumps over the lazy dog.",
		"你好世界，这是一个测试。𠜎𠜱𠝹", "🙂🧑‍🚀 résumé", "ends inside \xe4\xbd", "\xff\xfe\xfd", "a\x00b\x1b[0m\u202e",
	} {
		ids, err := e.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		scores := watermark.ScoreTokens(mark, watermark.Item{Tokens: ids})
		var got strings.Builder
		for _, span := range s.spans(scores) {
			if span.Level < 0 || span.Level > 4 || span.Text == "" {
				t.Errorf("%q: span %+v", text, span)
			}
			got.WriteString(span.Text)
		}
		if got.String() != Inert(text) {
			t.Errorf("%q shows as %q, want %q", text, got.String(), Inert(text))
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	scored := func(x float64) watermark.TokenScore {
		return watermark.TokenScore{Fate: watermark.FateScored, Score: x}
	}
	for _, c := range []struct {
		law   evidence.Law
		token watermark.TokenScore
		want  int
	}{
		{evidence.Exponential(), watermark.TokenScore{Fate: watermark.FateRepeat, Score: 9}, 0},
		{evidence.Exponential(), scored(0.1), 1},
		{evidence.Exponential(), scored(0.7), 2}, // ln 2 = 0.693 is the median
		{evidence.Exponential(), scored(1.4), 3}, // ln 4 = 1.386
		{evidence.Exponential(), scored(3.0), 4}, // ln 20 = 2.996
		{evidence.Bernoulli(.25), scored(0), 1},
		{evidence.Bernoulli(.25), scored(1), 3},
		{evidence.FairBits(30), scored(15), 1}, // P(X >= 15) = .572
		{evidence.FairBits(30), scored(16), 2},
		{evidence.FairBits(30), scored(20), 4}, // P(X >= 20) = .049
	} {
		if got := (&scorer{law: c.law}).level(c.token); got != c.want {
			t.Errorf("%v, %+v: level %d, want %d", c.law, c.token, got, c.want)
		}
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	f := &ledger.Finding{Test: "t", N: 900, Replies: 90, Effect: .1}
	b := bound(f, evidence.Bernoulli(.25), 10, "u")
	// 10 missing replies of 10 units each beside 900: a tenth of all units.
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-12 }
	if !near(b.Units, 100) || !near(b.NoTrace, .09) || !near(b.Worst, .09-.025) || b.Best == nil || !near(*b.Best, .09+.075) {
		t.Errorf("%+v", b)
	}
	if b := bound(f, evidence.Exponential(), 10, "u"); b.Best != nil || !near(b.Worst, .09-.1) {
		t.Errorf("%+v", b)
	}
	if b := bound(f, evidence.FairBits(30), 10, "u"); !near(b.Worst, .09-.05) || !near(*b.Best, .09+.05) {
		t.Errorf("%+v", b)
	}
	if b := bound(f, evidence.Bernoulli(.25), 0, "u"); !near(b.Worst, .1) || !near(b.NoTrace, .1) {
		t.Errorf("nothing is missing, but %+v", b)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	f := &ledger.Finding{Score: 30, Mean: 10, SD: 4, Decoys: &ledger.DecoyFinding{N: 5, Scores: []float64{-9, -4.5, 0, 4.49, 9}}}
	h := histogram(f)
	if h.Observed != 5 || h.Below != 1 || h.Above != 1 || h.Bins[0] != 1 || h.Bins[histBins-1] != 1 || h.Bins[18] != 1 || h.Largest != 9 {
		t.Errorf("%+v", h)
	}
}

func TestExempt(t *testing.T) {
	t.Parallel()
	got := Exempt()
	if len(got) != 1 || got["/build"] == "" {
		t.Errorf("exempt from recomputation: %v; each needs a good reason", got)
	}
}
