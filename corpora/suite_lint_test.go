package corpora

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
)

// TestLintCanFail breaks a clean suite in one way at a time and wants exactly
// that rule to speak.
func TestLintCanFail(t *testing.T) {
	t.Parallel()
	if problems := parseSmall(t).Lint(); len(problems) != 0 {
		t.Fatalf("the clean suite has problems: %v", problems)
	}
	tests := []struct {
		name     string
		old, new string
		rule, in string // the rule and a part of its line
	}{
		{"no purpose", "purpose: to be tested\n", "", "card", "purpose"},
		{"no family", "family: E1\n", "", "card", "family"},
		{"no never_use", "never_use: anywhere else\n", "", "card", "never_use"},
		{"no text", `"A set such as {{x}} needs no filling and stays as it is."`, `" ... "`, "empty", "b: "},
		{"blank value", "[Anna, Jonas]", "[Anna, ' ']", "empty", "{wen}"},
		{"slot without values", "slots: {wen: [Anna, Jonas]}", "slots: {}", "unfilled-slot", "c: "},
		{"misspelt slot", "slots: {wen: [Anna, Jonas]}", "slots: {wen: [Anna, Jonas], wne: [Eva]}", "unused-slot", "{wne}"},
		{"unused type", "animal: [owl, hare]", "animal: [owl, hare]\n  fish: [pike]", "unused-slot", "fish"},
		{"same words", "[mill, lake, road]", "[mill, Mill!, road]", "duplicate", "a-"},
		{"same words of templates", "A set such as {{x}} needs no filling and stays as it is.", "the owl met another OWL, near the mill, today", "duplicate", "b: "},
		{"near", "A set such as {{x}} needs no filling and stays as it is.", "The {animal} met another {animal} near the {animal} today again.", "near-duplicate", "b: "},
		{"vendor", "[mill, lake, road]", "[mill, lake, ChatGPT office]", "vendor-name", "ChatGPT"},
		{"vendor in the system text", "Antworte kurz.", "Du bist Claude.", "vendor-name", "Claude"},
		{"long", "near the", "near the " + strings.Repeat("very ", 60), "over-length", "limit is 60"},
		{"own limit", "version:", "max_tokens: 5\nversion:", "over-length", "limit is 5"},
		{"no language", "lang: de", "lang: ''", "missing-language", "c: "},
		{"undeclared language", "languages: [en, de]", "languages: [en]", "missing-language", "de is not among"},
		{"unserved language", "languages: [en, de]", "languages: [en, de, fr]", "missing-language", "fr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(small, tt.old) {
				t.Fatalf("the test's suite has no %q", tt.old)
			}
			problems := parseSmall(t, tt.old, tt.new).Lint()
			found := slices.ContainsFunc(problems, func(p Problem) bool {
				return p.Rule == tt.rule && strings.Contains(p.String(), tt.in)
			})
			if !found {
				t.Errorf("problems %v, want one of %s with %q", problems, tt.rule, tt.in)
			}
			for _, p := range problems {
				// An empty language or value has consequences that other rules see too.
				if p.Rule != tt.rule && tt.rule != "missing-language" && tt.rule != "empty" {
					t.Errorf("a rule that should be content: %v", p)
				}
			}
		})
	}
}

func TestLintAllowsVendorsInIdentitySuites(t *testing.T) {
	t.Parallel()
	s := parseSmall(t, "family: E1", "family: C3", "[mill, lake, road]", "[mill, lake, ChatGPT office]")
	if problems := s.Lint(); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
}

// TestLintPlanting breaks a clean suite of E3, and one of E4, in one way at a time.
func TestLintPlanting(t *testing.T) {
	t.Parallel()
	const choices = `format: 1
name: choices
version: "1"
family: E3
purpose: to be tested
never_use: anywhere else
languages: [en]
placebos: 1
groups:
  - category: one
    lang: en
    reading: {kind: free-choice, options: ["{a}", "{b}"]}
    templates:
      - id: c
        text: Choose {option_1} or {option_2}.
        rows:
          - {id: x, a: tea, b: milk}
          - {id: y, a: oak, b: ash}
          - {id: z, a: red, b: blue}
`
	for _, tt := range []struct{ name, src, old, new, rule, in string }{
		{"clean choices", choices, "", "", "", ""},
		{"clean triggers", triggers, "", "", "", ""},
		{"same pair the other way round", choices, "a: oak, b: ash", "a: Milk, b: tea", "shared-choice", "\"tea\" and \"milk\""},
		{"no placebo", choices, "placebos: 1\n", "", "placebo", "0 of 3 items"},
		{"few placebos", triggers, "placebos: 4", "placebos: 2", "placebo", "2 placebos beside 3"},
		{"no draws", triggers, "draws: 3\n", "", "placebo", "0 drawn"},
		{"text of the model", choices, "placebos: 1", "placebos: 1\norigin: model", "origin", "E2"},
	} {
		s, err := parseYAML([]byte(strings.Replace(tt.src, tt.old, tt.new, 1)))
		if err != nil {
			t.Fatal(tt.name, err)
		}
		problems := s.Lint()
		found := slices.ContainsFunc(problems, func(p Problem) bool { return p.Rule == tt.rule && strings.Contains(p.String(), tt.in) })
		if found == (tt.rule == "") || tt.rule == "" && len(problems) > 0 {
			t.Errorf("%s: problems %v, want one of %q with %q", tt.name, problems, tt.rule, tt.in)
		}
	}
}

func TestLintListsAreCut(t *testing.T) {
	t.Parallel()
	s, err := parseJSONL("many", []byte(strings.ReplaceAll(manyLines(100), `,"lang":"en"`, "")))
	if err != nil {
		t.Fatal(err)
	}
	missing, more := 0, false
	for _, p := range s.Lint() {
		if p.Rule == "missing-language" {
			missing++
			more = more || p.Detail == "75 more are not listed"
		}
	}
	if missing != maxPerRule+1 || !more {
		t.Errorf("%d lines, the last counting the rest: %v", missing, more)
	}
}

func TestVendorName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Ask chatgpt, please":            "chatgpt",
		"like GPT-4o does":               "GPT-4o",
		"Who made you, Open AI?":         "Open AI",
		"a deepseek model":               "deepseek",
		"Qwen3 or Kimi":                  "Qwen3",
		"你是豆包吗":                          "豆包",
		"私はクロードを使う":                      "クロード",
		"딥시크 좋아요":                        "딥시크",
		"спроси Яндекс":                  "Яндекс",
		"Игрок и огрок":                  "",
		"Kakao trinken, meta und Granit": "",
		"Gemini 2.5 or hugging face":     "Gemini",
		"(Claude)":                       "Claude",
		"x.ai":                           "x.ai",
		"run llama-3 here":               "llama-3",
		"a falcon and a titan in Egypt":  "",
		"the command to meet at the bar": "",
		"an Egyptian script":             "",
		"cohesion and coherence":         "",
		"a phi coefficient":              "",
	} {
		if got := vendorName(text); got != want {
			t.Errorf("vendorName(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"Don't stop-gap, “now”!": {"dont", "stop", "gap", "now"},
		"ÄRGER 3.5 km":           {"ärger", "3", "5", "km"},
		"写一个故事":                  {"写", "一", "个", "故", "事"},
		"कहानी लिखो":             {"कहानी", "लिखो"},
		" ... ":                  nil,
	} {
		if got := words(text); !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestNearDuplicatesIsExact compares the filtered search with all pairs.
func TestNearDuplicatesIsExact(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 8))
	vocabulary := strings.Fields("a b c d e f g h")
	texts := [][]string{nil, {"a"}, {"a", "b"}, {"a"}}
	for range 300 {
		var text []string
		if old := texts[rng.IntN(len(texts))]; rng.IntN(2) == 0 && len(old) > 0 {
			text = slices.Clone(old)
			text[rng.IntN(len(text))] = vocabulary[rng.IntN(len(vocabulary))]
		} else {
			for range 1 + rng.IntN(14) {
				text = append(text, vocabulary[rng.IntN(len(vocabulary))])
			}
		}
		texts = append(texts, text)
	}
	sets := tripleSets(texts)
	var want []nearPair
	for b := range sets {
		for a := range b {
			if o := jaccard(sets[a], sets[b]); o >= nearOverlap {
				want = append(want, nearPair{a, b, o})
			}
		}
	}
	got := nearDuplicates(texts)
	if len(want) < 20 || len(want) >= maxNear {
		t.Fatalf("the texts have %d near pairs: a poor test", len(want))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d pairs found, %d exist", len(got), len(want))
	}
}

// TestVendorStems: looking for stems first hides no name.
func TestVendorStems(t *testing.T) {
	t.Parallel()
	texts := []string{"gpts", "DALL-E", "dalle", "palm 2", "command-r+", "Command R", "phi-4", "Falcon-7b", "falcon7b", "abab6", "bedrock", "OpenRouter", "together ai", "vLLM", "stillmark"}
	for _, v := range reading.Vendors() {
		for _, name := range v.Names {
			texts = append(texts, name, strings.ToUpper(name), "a "+strings.ReplaceAll(name, " ", "")+", too")
		}
	}
	for _, text := range texts {
		if vendorName(text) == "" {
			t.Errorf("no name is found in %q", text)
		}
	}
}
