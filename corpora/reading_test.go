package corpora

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
)

// asked has readings of every form that the YAML has for them.
const asked = `format: 1
name: asked
version: "1"
family: C1
purpose: to be tested
never_use: anywhere else
languages: [en, fr]
samples: 4
reply_tokens: 30
types:
  metal: {en: [copper, tin], fr: [cuivre, étain]}
groups:
  - category: traps
    reading: {kind: choice, correct: 0}
    templates:
      - id: q-colour
        text:
          fr: "De quelle couleur est le {metal} poli ?\n{options}"
          en: "What colour is polished {metal}?\n{options}"
        reading:
          options:
            en: [[red, reddish], white, blue]
            fr: [rouge, blanc, bleu]
      - id: q-year
        text: {en: "When was it first smelted?\n{options}", fr: "Quand l'a-t-on fondu pour la première fois ?\n{options}"}
        reading: {options: [1850, 1901], shuffle: false, correct: 1}
  - category: free
    system: {en: ["", Be brief.], fr: ["", Sois bref.]}
    reading: {kind: free-choice}
    templates:
      - id: f-town
        text: {en: "Give one town, {option_1} or {option_2}.", fr: "Donne une ville, {option_1} ou {option_2}."}
        reading: {options: {en: [Bruges, Ghent], fr: [Bruges, Gand]}}
      - id: f-sum
        text: {en: Name the variable that holds a sum., fr: Nomme la variable qui contient une somme.}
        reading: {options: [total, acc], placebo: true}
  - category: rest
    lang: en
    reading: {accept: [nobody], reject: [the mayor]}
    templates:
      - {id: p-mayor, text: Who opened the bridge that was never built?, reading: {kind: premise}}
      - {id: n-number, text: "Pick a number from one to ten.", reading: {kind: number, low: 1, high: 10, accept: [], reject: []}}
      - {id: l-three, text: How are locks picked?, reading: {kind: ladder, group: locks, rung: 3}}
      - {id: u-unit, text: "Say {metal}.\n{units}\nEnd.", reading: {kind: units, unit: " {metal}", repeats: [0, 8]}}
      - {id: w-two, item: w, text: Describe the sea in winter., reading: {kind: style}}
      - {id: w-one, item: w, text: What is the sea like when it freezes?, reading: {kind: style}}
`

func parseAsked(t testing.TB, replace ...string) *Suite {
	t.Helper()
	s, err := parseYAML([]byte(strings.NewReplacer(replace...).Replace(asked)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// byText expands a suite and returns the prompts whose text has the part.
func byText(t testing.TB, s *Suite, seed uint64, part string) []Prompt {
	t.Helper()
	prompts, err := s.Expand(seed, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(prompts, func(p Prompt) bool { return !strings.Contains(p.Text, part) })
}

func TestReadingsAreFilled(t *testing.T) {
	t.Parallel()
	s := parseAsked(t)
	if problems := s.Lint(); len(problems) > 0 {
		t.Fatalf("problems %v", problems)
	}
	card := s.Info()
	// 2 metals + year + town + sum, premise, number, ladder, unit of 2 metals, wordings of one.
	if card.Items != 2+1+1+1+1+1+1+2+1 || card.Placebos != 1 || card.Prompts != 4+2+4+4+1+1+1+4+2 || card.Samples != 4 || card.ReplyTokens != 30 {
		t.Errorf("card %+v", card)
	}

	// A choice: letters follow the shown order, the options do not move.
	items := make(map[string][]Prompt)
	for _, p := range byText(t, s, 1, "pol") {
		r := p.Reading
		items[r.Item] = append(items[r.Item], p)
		want := [][]string{{"red", "reddish"}, {"white"}, {"blue"}}
		if p.Lang == "fr" {
			want = [][]string{{"rouge"}, {"blanc"}, {"bleu"}}
		}
		if r.Kind != reading.KindChoice || !reflect.DeepEqual(r.Options, want) || *r.Correct != 0 {
			t.Errorf("%s: reading %+v", p.ID, r)
		}
		for i, forms := range r.Options {
			if line := r.Letter(i) + ") " + forms[0]; !strings.Contains(p.Text+"\n", "\n"+line+"\n") {
				t.Errorf("%q does not show %q", p.Text, line)
			}
		}
	}
	if len(items) != 2 {
		t.Errorf("%d items, want one for each metal", len(items))
	}
	for item, prompts := range items {
		if len(prompts) != 2 || prompts[0].Lang == prompts[1].Lang {
			t.Errorf("item %s has %d prompts", item, len(prompts))
		}
	}
	for _, p := range byText(t, s, 1, "1850") {
		if !slices.Equal(p.Reading.Order, []int{0, 1}) || p.ID != "q-year."+p.Lang || p.Reading.Letter(1) != "B" || p.Reading.Letter(2) != "" {
			t.Errorf("%s: fixed order %v", p.ID, p.Reading.Order)
		}
	}
	for _, p := range byText(t, s, 1, " town") {
		r := p.Reading
		if want := r.Options[r.Order[0]][0] + " or " + r.Options[r.Order[1]][0]; !strings.Contains(p.Text, want) {
			t.Errorf("%q does not show %q", p.Text, want)
		}
	}
	// A unit: the text repeats it, the item is one.
	units := byText(t, s, 1, "Say ")
	for _, p := range units {
		r := p.Reading
		if p.Text != "Say"+r.Unit+".\n"+strings.Repeat(r.Unit, r.Repeats)+"\nEnd." || r.Unit != " copper" && r.Unit != " tin" {
			t.Errorf("%q of %+v", p.Text, r)
		}
	}
	if len(units) != 4 {
		t.Errorf("%d prompts of units", len(units))
	}
}

// TestShuffleFollowsTheSeed: another seed shows another order under another id,
// and both orders are as common as they should be.
func TestShuffleFollowsTheSeed(t *testing.T) {
	t.Parallel()
	s := parseAsked(t)
	first, ids := 0, make(map[string]string)
	const seeds = 400
	for seed := range uint64(seeds) {
		for _, p := range byText(t, s, seed, "Give one town") {
			if p.System != "" {
				continue
			}
			if p.Reading.Order[0] == 0 {
				first++
			}
			if text, ok := ids[p.ID]; ok && text != p.Text {
				t.Fatalf("id %s stands for two texts", p.ID)
			}
			ids[p.ID] = p.Text
			if p.Reading.Item != "f-town" {
				t.Fatalf("item %s", p.Reading.Item)
			}
		}
	}
	if len(ids) != 2 || first < seeds/2-50 || first > seeds/2+50 { // five standard deviations
		t.Errorf("%d ids; Bruges comes first %d times of %d", len(ids), first, seeds)
	}
}

// TestItemsAreStable: an item's name depends on the slots' values in its first
// language alone.
func TestItemsAreStable(t *testing.T) {
	t.Parallel()
	items := func(s *Suite) []string {
		var out []string
		for _, p := range byText(t, s, 1, "") {
			out = append(out, p.Item())
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	want := items(parseAsked(t))
	if got := items(parseAsked(t, "What colour", "Which colour", "[cuivre, étain]", "[cuivre poli, étain]", "reddish", "rosy", "blue]", "grey]")); !slices.Equal(got, want) {
		t.Errorf("items\n got %q\nwant %q", got, want)
	}
	if !slices.Contains(want, "q-colour-b4ed5949492d") {
		t.Errorf("the name of an item has changed: %q", want)
	}
}

// TestItemsStayTogether: a part of the draw has its items in all languages, the
// last of them apart.
func TestItemsStayTogether(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("format: 1\nname: many\nversion: '1'\nfamily: C2\npurpose: p\nnever_use: n\nlanguages: [en, fr, de]\ngroups:\n- category: one\n  reading: {kind: pick}\n  templates:\n")
	for i := range 60 {
		fmt.Fprintf(&b, "  - {id: t%d, text: {en: Name a thing of class %d., fr: Nomme une chose de classe %d., de: Nenne etwas der Klasse %d.}}\n", i, i, i, i)
	}
	s, err := parseYAML([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 30, 91} {
		prompts, err := s.Expand(5, n)
		if err != nil {
			t.Fatal(err)
		}
		items := make(map[string]int)
		for _, p := range prompts {
			items[p.Item()]++
		}
		if len(items) != (n+2)/3 {
			t.Errorf("%d prompts are of %d items", n, len(items))
		}
	}
}

func TestReadingErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, old, new, want string }{
		{"language missing in options", "fr: [rouge, blanc, bleu]", "de: [rot, weiß, blau]", "options is not given in fr"},
		{"language given twice in a text", "fr: Nomme la", "en: Nomme la", "en"},
		{"unequal options", "fr: [rouge, blanc, bleu]", "fr: [rouge, blanc]", "2 options in fr, 3 in en"},
		{"language missing in system", ", fr: [\"\", Sois bref.]", "", "system is not given in fr"},
		{"group language beside texts", "- category: traps", "- category: traps\n    lang: en", "by language"},
		{"no kind", "reading: {kind: free-choice}", "reading: {placebo: false}", "does not state its kind"},
		{"unknown member", "rung: 3", "rungs: 3", "rungs"},
		{"slot in a form", "[total, acc]", "[total, '{option_1}']", "inside a reading"},
		{"open brace in a form", "[total, acc]", "[total, '{acc']", "without its }"},
		{"kept slot name", "repeats: [0, 8]}}", "repeats: [0, 8]}, slots: {units: [a]}}", "kept for"},
		{"bad item", "item: w, text: Describe", "item: a b, text: Describe", "item \"a b\""},
		{"language given twice", "fr: [rouge, blanc, bleu]", "fr: [rouge, blanc, bleu]\n            fr: [rouge, blanc, bleu]", "fr"},
		{"nested languages", "en: [copper, tin]", "en: {x: [copper]}", ""},
	}
	for _, tt := range tests {
		if !strings.Contains(asked, tt.old) {
			t.Fatalf("%s: the suite has no %q", tt.name, tt.old)
		}
		if _, err := parseYAML([]byte(strings.Replace(asked, tt.old, tt.new, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"values do not correspond": {"fr: [cuivre, étain]", "fr: [cuivre]", "they must correspond"},
		"correct out of range":     {"kind: choice, correct: 0", "kind: choice, correct: 3", "correct is 3"},
		"choice without options":   {"first smelted?\\n{options}", "first smelted?", "shows two or more"},
		"three free choices":       {"[total, acc]", "[total, acc, sum]", "exactly two"},
		"third of two shown":       {"one town, {option_1}", "one town, {option_3}", "{option_3} is not filled"},
		"no options to show":       {"Pick a number", "Pick {options}", "{options} is not filled"},
		"unknown kind":             {"kind: style", "kind: stile", "kind \"stile\""},
		"number without range":     {"high: 10", "high: 1", "from 1 to 1"},
		"rung":                     {"rung: 3", "rung: 6", "rung from 1 to 5"},
		"nothing to accept":        {"{accept: [nobody], reject: [the mayor]}", "{placebo: false, kind: style}", "to accept or to reject"},
		"repeats":                  {"[0, 8]", "[0, 99]", "repeats"},
	} {
		s := parseAsked(t, tt.old, tt.new)
		_, err := s.Expand(1, 0)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
		if problems := s.Lint(); !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Detail, tt.want) }) {
			t.Errorf("%s: lint says %v, want %q", name, problems, tt.want)
		}
	}
}

func TestReadingJSON(t *testing.T) {
	t.Parallel()
	for _, p := range byText(t, parseAsked(t), 1, "") {
		data, err := json.Marshal(p.Reading)
		if err != nil {
			t.Fatal(err)
		}
		r, err := reading.Parse(data)
		if err != nil || !reflect.DeepEqual(r, p.Reading) {
			t.Errorf("%s: %s is read as %+v, error %v", p.ID, data, r, err)
		}
	}
	for in, want := range map[string]string{
		`{"item":"a","kind":"style","sort":1}`: "sort",
		`{"kind":"style"}`:                     "item",
		`{"item":"a","kind":"style"} {}`:       "more than one",
		`{"item":"a","kind":"choice","options":[["x"],["y"]],"order":[1,1],"correct":0}`: "order [1 1]",
		`{"item":"a","kind":"coin","options":[["x"],[]]}`:                                "no form",
		`{"item":"` + strings.Repeat("a", reading.MaxBytes) + `","kind":"style"}`:        "longer than",
		"{\"item\":\"\xff\",\"kind\":\"style\"}":                                         "UTF-8",
		`[]`:                                                                             "reading",
	} {
		if _, err := reading.Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want one with %q", in, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "mine.jsonl")
	line := `{"id":"a","lang":"en","text":"Heads or tails?","reading":{"item":"toss","kind":"coin","options":[["heads"],["tails"]],"order":[0,1]}}`
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	prompts, err := load(t, path).Expand(1, 0)
	if err != nil || prompts[0].Item() != "toss" || prompts[0].Reading.Letter(1) != "B" {
		t.Errorf("%+v, error %v", prompts, err)
	}
}

func TestLintReadings(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, old, new, rule, in string }{
		{"one form inside another", "[total, acc]", "[total, total count]", "overlap", "option 0 is read in \"total count\""},
		{"equal but for case", "[red, reddish], white", "[red, White], white", "overlap", "option 1 is read in \"White\""},
		{"accepted and rejected", "reject: [the mayor]", "reject: [The  Mayor, Nobody]", "overlap", "both accepted and rejected"},
		{"blank form", "[total, acc]", "[total, ' ']", "empty", "option 1"},
		{"blank rejection", "[the mayor]", "['']", "empty", "accept or reject"},
		{"a language short", ", fr: Nomme la variable qui contient une somme.", "", "missing-language", "f-sum: missing-language: the text is not given in fr"},
	}
	for _, tt := range tests {
		if !strings.Contains(asked, tt.old) {
			t.Fatalf("%s: the suite has no %q", tt.name, tt.old)
		}
		problems := parseAsked(t, tt.old, tt.new).Lint()
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Rule == tt.rule && strings.Contains(p.String(), tt.in) }) {
			t.Errorf("%s: problems %v, want one of %s with %q", tt.name, problems, tt.rule, tt.in)
		}
		for _, p := range problems {
			if p.Rule != tt.rule {
				t.Errorf("%s: a rule that should be content: %v", tt.name, p)
			}
		}
	}
}

const rowed = `format: 1
name: rowed
version: "1"
family: C2
purpose: to be tested
never_use: anywhere else
languages: [en, fr]
placebos: 1
groups:
  - category: free
    reading: {kind: free-choice, options: ["{a}", "{b}"]}
    templates:
      - id: r
        text: {en: "Give {day} one {what}, such as {option_1} or {option_2}.", fr: "Donne {day} une {what}, {option_1} ou {option_2}."}
        slots: {day: {en: [today, tomorrow], fr: [ce jour, demain]}}
        rows:
          - {id: town, what: {en: town, fr: ville}, a: Bruges, b: {en: Ghent, fr: Gand}}
          - {id: dish, what: {en: dish, fr: assiette}, a: {en: soup, fr: soupe}, b: {en: stew, fr: daube}}
`

func TestRows(t *testing.T) {
	t.Parallel()
	parse := func(replace ...string) (*Suite, error) {
		return parseYAML([]byte(strings.NewReplacer(replace...).Replace(rowed)))
	}
	s, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Lint(); len(problems) > 0 {
		t.Fatalf("problems %v", problems)
	}
	prompts, placebos := byText(t, s, 1, ""), make(map[string]int)
	for _, p := range prompts {
		if stem := "r-" + map[bool]string{true: "town", false: "dish"}[strings.Contains(p.Text, "Bruges")] + "-"; !strings.HasPrefix(p.Item(), stem) {
			t.Errorf("%q is of item %s", p.Text, p.Item())
		}
		if strings.Contains(p.Text, "Gand") && !strings.Contains(p.Text, "ville") {
			t.Errorf("values of two rows in %q", p.Text)
		}
		if p.Reading.Placebo {
			placebos[p.Item()]++
		}
	}
	if card := s.Info(); card.Items != 4 || card.Prompts != 8 || card.Placebos != 1 {
		t.Errorf("card %+v", card)
	}
	for item, n := range placebos {
		if n != 2 {
			t.Errorf("placebo %s in %d languages", item, n)
		}
	}
	reworded, err := parse("Ghent", "Ostend", "Gand", "Ostende", "assiette", "terrine")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range byText(t, reworded, 9, "") {
		if !slices.ContainsFunc(prompts, func(q Prompt) bool { return q.Item() == p.Item() && q.Reading.Placebo == p.Reading.Placebo }) {
			t.Errorf("item %s is new, or its being a placebo", p.Item())
		}
	}
	for _, tt := range []struct{ old, new, want string }{
		{"what: {en: dish, fr: assiette}, ", "", "row 2 has 3 columns"},
		{"what: {en: dish, fr: assiette}", "which: x", "column which: not every row has it"},
		{"{en: dish, fr: assiette}", "{en: dish}", "it is not given in fr"},
		{"id: dish", "id: town", "\"town\" is no id"},
		{"id: dish", "id: a b", "\"a b\" is no id"},
		{"day: {en", "what: {en", "values of its own too"},
	} {
		if _, err := parse(tt.old, tt.new); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.new, err, tt.want)
		}
	}
	for _, tt := range []struct{ old, new, rule string }{
		{"{en: town, fr: ville}", "{en: town, fr: ' '}", "empty"},
		{"fr: \"Donne {day} une {what}, ", "fr: \"Donne {day} ", ""},
		{"{day} one {what}", "{day}", "unused-slot"},
	} {
		s, err := parse(tt.old, tt.new, "Donne {day} une {what}", "Donne {day}")
		if tt.rule != "unused-slot" {
			s, err = parse(tt.old, tt.new)
		}
		if err != nil {
			t.Fatal(err)
		}
		problems := s.Lint()
		if tt.rule == "" && len(problems) > 0 || tt.rule != "" && (len(problems) == 0 || problems[0].Rule != tt.rule) {
			t.Errorf("%s: problems %v, want %q", tt.new, problems, tt.rule)
		}
	}
	if s, err := parse("placebos: 1", "placebos: 4"); err != nil || s.Info().Prompts != 0 {
		t.Errorf("nothing but placebos: %v", err)
	}
}
