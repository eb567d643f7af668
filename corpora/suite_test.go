package corpora

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t testing.TB, name string) *Suite {
	t.Helper()
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small has two groups of unequal size and every kind of slot.
const small = `format: 1
name: small
version: "3"
family: E1
purpose: to be tested
never_use: anywhere else
languages: [en, de]
types:
  animal: [owl, hare]
groups:
  - category: story
    lang: en
    templates:
      - {id: a, text: "The {animal} met another {animal} near the {place} today.", slots: {place: [mill, lake, road]}}
      - {id: b, text: "A set such as {{x}} needs no filling and stays as it is."}
  - category: letter
    lang: de
    system: Antworte kurz.
    templates:
      - {id: c, text: "Schreibe einen Brief an {wen} über den letzten Sommer.", slots: {wen: [Anna, Jonas]}}
`

func parseSmall(t testing.TB, replace ...string) *Suite {
	t.Helper()
	s, err := parseYAML([]byte(strings.NewReplacer(replace...).Replace(small)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSmokeIsApart: what a rehearsal asks is not what an audit will ask.
func TestSmokeIsApart(t *testing.T) {
	t.Parallel()
	audit, err := load(t, "longform-en").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	smoke, err := load(t, "smoke-en").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]string
	for _, p := range slices.Concat(audit, smoke) {
		texts = append(texts, words(p.Text))
	}
	near := 0
	for _, pair := range nearDuplicates(texts) {
		if pair.b >= len(audit) && pair.a < len(audit) {
			t.Errorf("smoke prompt %q is close to %q", smoke[pair.b-len(audit)].Text, audit[pair.a].Text)
		}
		near++
	}
	if near == 0 {
		t.Error("the fillings of one template should be near duplicates: the comparison is blind")
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edit := func(old, new string) string {
		if !strings.Contains(small, old) {
			t.Fatalf("the test's suite has no %q", old)
		}
		return strings.Replace(small, old, new, 1)
	}
	tests := []struct{ name, path, want string }{
		{"unknown name", "longform", "the embedded ones are " + strings.Join(names(), ", ")},
		{"absent", filepath.Join(dir, "absent.yaml"), "no such file"},
		{"empty", write("empty.yaml", ""), "empty.yaml"},
		{"unknown member", write("member.yaml", edit("family:", "famly:")), "famly"},
		{"member twice", write("twice.yaml", edit("family: E1", "family: E1\nfamily: E2")), "family"},
		{"format", write("format.yaml", edit("format: 1", "format: 2")), "reads format 1"},
		{"no name", write("name.yaml", edit("name: small", "name: ''")), "name and version"},
		{"negative limit", write("limit.yaml", edit("format: 1", "format: 1\nmax_tokens: -1")), "must be positive"},
		{"id twice", write("id.yaml", edit("id: b", "id: a")), "id a occurs twice"},
		{"bad id", write("badid.yaml", edit("id: b", "id: b c")), `the id "b c"`},
		{"open brace", write("open.yaml", edit("{place}", "{place")), "template a"},
		{"closing brace", write("close.yaml", edit("{place}", "place}")), "without its {"},
		{"slot name", write("slot.yaml", edit("{place}", "{Place}")), "no name for a slot"},
		{"type name", write("type.yaml", edit("animal: [", "Animal: [")), `type "Animal"`},
		{"no prompts", write("none.yaml", small[:strings.Index(small, "groups:")]), "no prompts"},
		{"two documents", write("two.yaml", small+"---\n"+small), "two.yaml"},
		{"origin", write("origin.yaml", edit("format: 1", "format: 1\norigin: borrowed")), "origin \"borrowed\""},
		{"card later", write("card.jsonl", `{"id":"a","text":"b"}`+"\n"+`{"card":{"name":"x"}}`), "line 2: the card stands alone"},
		{"card with a prompt", write("cardtext.jsonl", `{"card":{"name":"x"},"id":"a"}`), "the card stands alone"},
		{"card member", write("cardmember.jsonl", `{"card":{"nam":"x"}}`), "nam"},
		{"card limit", write("cardlimit.jsonl", `{"card":{"name":"x","samples":-1}}`+"\n"+`{"id":"a","text":"b"}`), "samples is -1"},
		{"not UTF-8", write("latin.yaml", edit("über", "\xfcber")), "not valid UTF-8"},
		{"long text", write("long.yaml", edit("near the", strings.Repeat("x", maxText))), "longer than"},
		{"JSON line", write("bad.jsonl", `{"id":"a","text":"b"}`+"\n{"), "line 2"},
		{"JSON member", write("member.jsonl", `{"id":"a","txt":"b"}`), "txt"},
		{"two JSON values", write("two.jsonl", `{"id":"a","text":"b"} {}`), "more than one"},
		{"JSON without id", write("noid.jsonl", `{"text":"b"}`), "the id \"\""},
		{"JSON ids", write("ids.jsonl", "{\"id\":\"a\",\"text\":\"b\"}\n{\"id\":\"a\",\"text\":\"c\"}"), "occurs twice"},
		{"JSON not UTF-8", write("latin.jsonl", "{\"id\":\"a\",\"text\":\"\xff\"}"), "not valid UTF-8"},
		{"JSON long text", write("long.jsonl", `{"id":"a","text":"`+strings.Repeat("x", maxText+1)+`"}`), "line 1"},
		{"empty JSON lines", write("empty.jsonl", "\n\n"), "no prompts"},
		{"too large", write("large.jsonl", strings.Repeat("\n", MaxSource+1)), "larger than"},
		{"too many", write("many.jsonl", manyLines(maxTemplates+1)), "line 20001"},
	}
	for _, tt := range tests {
		if s, err := Load(tt.path); err == nil || s != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"p%d\",\"text\":\"Tell me about number %d.\",\"lang\":\"en\"}\n", i, i)
	}
	return b.String()
}

func TestLoadUserFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lines := `{"id":"one","text":"Tell a story about {rain} and 100 % wool.","lang":"en","system":"Be brief.","category":"story"}

{"id":"two","text":"Erkläre den Mond.","lang":"de"}
`
	path := filepath.Join(dir, "mine.jsonl")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s := load(t, path)
	if s.Name != "mine" || !slices.Equal(s.Languages, []string{"de", "en"}) {
		t.Errorf("suite %q in %v", s.Name, s.Languages)
	}
	if sum := sha256.Sum256([]byte(lines)); s.SHA256() != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %s is not that of the file", s.SHA256())
	}
	if problems := s.Lint(); len(problems) != 0 {
		t.Errorf("problems %v in a clean file", problems)
	}
	got, err := s.Expand(9, 0)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Prompt) int { return strings.Compare(a.ID, b.ID) })
	want := []Prompt{
		{ID: "one", Lang: "en", Category: "story", System: "Be brief.", Text: "Tell a story about {rain} and 100 % wool."},
		{ID: "two", Lang: "de", Text: "Erkläre den Mond."},
	}
	if !slices.Equal(got, want) {
		t.Errorf("prompts %+v, want %+v", got, want)
	}

	path = filepath.Join(dir, "mine.yml")
	if err := os.WriteFile(path, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := load(t, path); s.Name != "small" || s.Info().Prompts != 9 {
		t.Errorf("suite %q with %d prompts, want small with 9", s.Name, s.Info().Prompts)
	}
}

func TestLoadAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":  small,
		"b.jsonl": `{"card":{"name":"mine","version":"2","family":"C6","purpose":"p","never_use":"n","max_tokens":9,"samples":3,"reply_tokens":50}}` + "\n" + `{"id":"x","lang":"en","text":"Describe the sea."}`,
		"notes":   "not a suite",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	suites, err := LoadAll(dir)
	if err != nil || len(suites) != 2 || suites[0].Name != "small" || suites[1].Name != "mine" {
		t.Fatalf("%v, error %v", suites, err)
	}
	mine := suites[1]
	if mine.Family != "C6" || mine.Version != "2" || mine.Samples != 3 || mine.ReplyTokens != 50 || mine.maxTokens != 9 {
		t.Errorf("card %+v", mine.Info())
	}
	if problems := mine.Lint(); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	if one, err := LoadAll("smoke-en"); err != nil || len(one) != 1 {
		t.Errorf("%v, error %v", one, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.yml"), []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAll(dir); err == nil || !strings.Contains(err.Error(), "a.yaml and c.yml are both named small") {
		t.Errorf("error %v", err)
	}
	if _, err := LoadAll(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no file in it") {
		t.Errorf("error %v", err)
	}
}

// TestReadmeExample runs the form that suites/README.md shows.
func TestReadmeExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("suites/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	for line := range strings.Lines(string(data)) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			example.WriteString(code)
		}
	}
	s, err := parseYAML([]byte(example.String()))
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Info().Prompts; n != 2*2*2+2*2*2+2*2 {
		t.Errorf("%d prompts, want 2 readers × 2 machines × 2 system texts, the same with 2 rows, and 2 metals × 2 languages", n)
	}
}

func TestExpandFillsSlots(t *testing.T) {
	t.Parallel()
	prompts, err := parseSmall(t).Expand(5, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, p := range prompts {
		texts = append(texts, p.Lang+" "+p.Category+" "+p.System+"|"+p.Text)
		if own := p.ID == "b"; own != !strings.Contains(p.ID, "-") {
			t.Errorf("id %s", p.ID)
		}
	}
	slices.Sort(texts)
	want := []string{
		"de letter Antworte kurz.|Schreibe einen Brief an Anna über den letzten Sommer.",
		"de letter Antworte kurz.|Schreibe einen Brief an Jonas über den letzten Sommer.",
		"en story |A set such as {x} needs no filling and stays as it is.",
		"en story |The hare met another hare near the lake today.",
		"en story |The hare met another hare near the mill today.",
		"en story |The hare met another hare near the road today.",
		"en story |The owl met another owl near the lake today.",
		"en story |The owl met another owl near the mill today.",
		"en story |The owl met another owl near the road today.",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("prompts\n got %q\nwant %q", texts, want)
	}
}

// TestExpandIsStable pins the order: a plan made with one release must come out
// the same with every later one.
func TestExpandIsStable(t *testing.T) {
	t.Parallel()
	prompts, err := parseSmall(t).Expand(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range prompts {
		ids = append(ids, p.ID)
	}
	want := []string{
		"a-b8c0e2aefcff", "c-1607546481a7", "b", "a-d1ed42957948", "c-8562f713a6d1",
		"a-856d8f965b76", "a-9769cace7433", "a-0f93d032fd48", "a-b2da89962f97",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("order\n got %q\nwant %q", ids, want)
	}
}

func TestExpandDraw(t *testing.T) {
	t.Parallel()
	s := load(t, "longform-en")
	all, err := s.Expand(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	ids, texts := make(map[string]bool), make(map[string]bool)
	for _, p := range all {
		ids[p.ID], texts[p.Text] = true, true
	}
	if len(ids) != len(all) || len(texts) != len(all) || len(all) != s.Info().Prompts {
		t.Errorf("%d prompts, %d ids, %d texts, card says %d", len(all), len(ids), len(texts), s.Info().Prompts)
	}
	for _, n := range []int{1, 60, 204, 500} {
		some, err := s.Expand(3, n)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(some, all[:n]) {
			t.Errorf("the %d prompts are not the first of all", n)
		}
		// 34 templates in each of 6 categories: rounds are balanced exactly.
		perCategory, templates := make(map[string]int), make(map[string]bool)
		for _, p := range some[:min(n, 204)] {
			perCategory[p.Category]++
			templates[p.ID[:strings.LastIndexAny(p.ID+"-", "-")]] = true
		}
		for c, k := range perCategory {
			if k > (min(n, 204)+5)/6 {
				t.Errorf("n = %d: %d prompts of category %s", n, k, c)
			}
		}
		if len(templates) != min(n, 204) {
			t.Errorf("n = %d: %d templates in the first round, want no repetition", n, len(templates))
		}
	}
	other, err := s.Expand(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for i := range all {
		if all[i].ID == other[i].ID {
			same++
		}
	}
	if same > len(all)/50 { // one of 204 or fewer would agree by chance
		t.Errorf("seeds 3 and 4 agree at %d of %d places", same, len(all))
	}
	for _, n := range []int{-1, len(all) + 1} {
		if _, err := s.Expand(3, n); err == nil {
			t.Errorf("Expand(3, %d) gives no error", n)
		}
	}
}

// TestEnding: what a group adds to each text is in the prompt, slots and all, and
// does not make templates look alike.
func TestEnding(t *testing.T) {
	t.Parallel()
	group := "  - category: quiz\n    ending: {en: \"\\n{options}\\nAnswer with one of the letters and nothing else, please.\"}\n    reading: {kind: choice, correct: 0}\n    templates:\n" +
		"      - {id: q1, text: {en: What is red?}, reading: {options: [rust, grass]}}\n      - {id: q2, text: {en: Who sings?}, reading: {options: [larks, moles]}}\n"
	s, err := parseYAML([]byte(small[:strings.Index(small, "  - category: letter")] + group))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Lint() {
		if p.Rule != "missing-language" { // German went with its group
			t.Error(p)
		}
	}
	prompts, err := s.Expand(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prompts {
		if p.Category == "quiz" && !strings.HasSuffix(p.Text, "?\n"+p.Reading.List()+"\nAnswer with one of the letters and nothing else, please.") {
			t.Errorf("%s: %q", p.ID, p.Text)
		}
	}
	if _, err := parseYAML([]byte(strings.Replace(small, "    lang: de", "    lang: de\n    ending: {en: Stop.}", 1))); err == nil || !strings.Contains(err.Error(), "ending is not given in de") {
		t.Errorf("error %v, want one about the ending", err)
	}
}

func TestExpandErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, new, want string }{
		"no values":    {"slots: {place: [mill, lake, road]}", "slots: {}", "template a: slot {place} has no values"},
		"combinations": {"[mill, lake, road]", "[" + strings.Repeat("x, ", maxFillings) + "x]", "combinations"},
		"long value":   {"[mill, lake, road]", "[" + strings.Repeat("x", maxText) + "]", "too much text"},
	} {
		if _, err := parseSmall(t, tt.old, tt.new).Expand(1, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
	twice := parseSmall(t, "[Anna, Jonas]", "[Anna, Jonas, Anna]")
	if prompts, err := twice.Expand(1, 0); err != nil || len(prompts) != 9 {
		t.Errorf("a value given twice: %d prompts and error %v, want 9", len(prompts), err)
	}
}

func BenchmarkExpand(b *testing.B) {
	s := load(b, "longform-en")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Expand(1, 300); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	s := load(b, "longform-en")
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Lint()) > 0 {
			b.Fatal("problems")
		}
	}
}
