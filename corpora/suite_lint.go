package corpora

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
)

// Problem is one thing that makes a suite unfit, found by Lint.
type Problem struct {
	Rule   string `json:"rule"`
	ID     string `json:"id,omitempty"` // of the template or prompt; empty if it concerns the suite
	Detail string `json:"detail"`
}

// Unfit reports whether what was asked with the suite could not be read as its family
// demands, so that a plan refuses it. Other problems cost power, or leave a doubt.
func (p *Problem) Unfit() bool {
	switch p.Rule {
	case "duplicate", "empty", "unfilled-slot", "reading", "overlap", "origin":
		return true
	}
	return false
}

// String returns the problem as one line.
func (p Problem) String() string {
	if p.ID == "" {
		return p.Rule + ": " + p.Detail
	}
	return p.ID + ": " + p.Rule + ": " + p.Detail
}

// maxPerRule problems of one rule are listed, then only counted: a person
// reads no more, and a file with one systematic fault stays readable.
const maxPerRule = 25

// Lint returns what is wrong with the suite, in a fixed order; nothing if it is
// fit for use. The rules:
//
//   - card: the suite does not say its family, purpose or what it must never
//     be used for (YAML suites; a JSONL file has no card)
//   - empty: a prompt or a slot's value without text
//   - unfilled-slot: a slot that nothing fills, or more fillings than Expand makes
//   - unused-slot: values that no template uses, mostly a misspelt name
//   - duplicate: the same words twice, regardless of case and punctuation
//   - near-duplicate: two templates whose word triples overlap by 60 % or more
//   - vendor-name: a model's or vendor's name, except in suites of family C3 and
//     in passages, which ask nothing
//   - over-length: more tokens than the suite's limit
//   - missing-language: a prompt without language, in a language that the
//     suite does not declare, a declared language without prompts, or an item
//     that is asked in fewer languages than others of its template's kind
//   - origin: text of the watermarked model in another suite than one of E2, where
//     the key could come in through the prompt
//   - shared-choice: two items of E3 that choose between the same two renderings,
//     which a gateway cannot follow if their bits differ
//   - placebo: fewer placebos than a sixth of the items of E3, or than the drawn
//     triggers of E4
//   - reading: a reading that makes no sense for its kind
//   - overlap: a form of one option in which another option is read too, or a
//     right answer in which the trap is
func (s *Suite) Lint() []Problem {
	var r findings
	s.lintCard(&r)
	s.lintSlots(&r)
	s.lintLanguages(&r)
	s.lintPrompts(&r)
	s.lintNearDuplicates(&r)
	s.lintReadings(&r)
	s.lintPlanting(&r)
	return r.list()
}

// findings collects problems and cuts each rule's list.
type findings struct {
	problems []Problem
	count    map[string]int
}

func (r *findings) add(rule, id, format string, args ...any) {
	if r.count == nil {
		r.count = make(map[string]int)
	}
	if r.count[rule]++; r.count[rule] <= maxPerRule {
		r.problems = append(r.problems, Problem{Rule: rule, ID: id, Detail: fmt.Sprintf(format, args...)})
	}
}

func (r *findings) list() []Problem {
	for _, rule := range slices.Sorted(maps.Keys(r.count)) {
		if more := r.count[rule] - maxPerRule; more > 0 {
			r.problems = append(r.problems, Problem{Rule: rule, Detail: fmt.Sprintf("%d more are not listed", more)})
		}
	}
	return r.problems
}

func (s *Suite) lintCard(r *findings) {
	if s.cardless {
		return
	}
	for _, field := range []struct{ name, value string }{
		{"family", s.Family}, {"purpose", s.Purpose}, {"never_use", s.NeverUse},
	} {
		if field.value == "" {
			r.add("card", "", "the suite does not state %s", field.name)
		}
	}
}

// placeboShare of the items of E3 are placebos at least: 200 beside 1,000.
const placeboShare = 6

// lintPlanting looks at what concerns suites whose traces are planted, and at
// where the texts come from.
func (s *Suite) lintPlanting(r *findings) {
	if s.Origin == OriginModel && s.Family != passageFamily {
		r.add("origin", "", "its texts are the watermarked model's own; only passages of %s may be", passageFamily)
	}
	switch s.Family {
	case triggerFamily:
		if s.Draws == 0 || s.placebos < s.Draws {
			r.add("placebo", "", "%d placebos beside %d drawn triggers", s.placebos, s.Draws)
		}
		return
	case freeChoiceFamily:
	default:
		return
	}
	prompts, err := s.pool(0)
	if err != nil {
		return // reported with the prompts
	}
	items, placebos := make(map[string]bool), make(map[string]bool)
	first := make(map[string]string) // language and renderings to item
	for i := range prompts {
		p := &prompts[i]
		items[p.Item()] = true
		if p.Reading == nil || len(p.Reading.Options) != 2 {
			continue
		}
		if p.Reading.Placebo {
			placebos[p.Item()] = true
		}
		pair := p.Lang + "\x00" + renderings(p.Reading.Options[0][0], p.Reading.Options[1][0])
		if other, ok := first[pair]; ok && other != p.Item() {
			r.add("shared-choice", p.ID, "item %s chooses between %q and %q, as %s does", p.Item(), p.Reading.Options[0][0], p.Reading.Options[1][0], other)
		}
		first[pair] = p.Item()
	}
	if len(placebos)*placeboShare < len(items) {
		r.add("placebo", "", "%d of %d items are placebos, one in %d should be", len(placebos), len(items), placeboShare)
	}
}

func (s *Suite) lintSlots(r *findings) {
	usedTypes := make(map[string]bool)
	for i := range s.templates {
		t := &s.templates[i]
		names, columns := t.slotNames()
		for _, name := range names {
			if _, own := t.slots[name]; !own {
				usedTypes[name] = true
			}
		}
		lintRows(r, t, columns)
		for _, name := range slices.Sorted(maps.Keys(t.slots)) {
			if !slices.Contains(names, name) {
				r.add("unused-slot", t.id, "values for {%s}, which the text does not contain", name)
			}
			lintValues(r, t.id, name, t.slots[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.types)) {
		if !usedTypes[name] {
			r.add("unused-slot", "", "type %s is used by no template", name)
		}
		lintValues(r, "", name, s.types[name])
	}
}

func lintRows(r *findings, t *template, used []string) {
	for i, row := range t.rows {
		for _, name := range slices.Sorted(maps.Keys(row)) {
			if i == 0 && name != rowID && !slices.Contains(used, name) {
				r.add("unused-slot", t.id, "column %s, which the text does not contain", name)
			}
			for _, lang := range slices.Sorted(maps.Keys(row[name])) {
				if strings.TrimSpace(row[name][lang]) == "" {
					r.add("empty", t.id, "row %d, column %s has a value without text", i+1, name)
				}
			}
		}
	}
}

func lintValues(r *findings, id, name string, values local[[]string]) {
	for _, lang := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[lang] {
			if strings.TrimSpace(v) == "" {
				r.add("empty", id, "slot {%s} has a value without text", name)
			}
		}
	}
}

func (s *Suite) lintLanguages(r *findings) {
	used := make(map[string]bool)
	for i := range s.templates {
		t := &s.templates[i]
		for _, lang := range t.langs {
			used[lang] = true
			switch {
			case lang == "":
				r.add("missing-language", t.id, "no language is given")
			case !slices.Contains(s.Languages, lang):
				r.add("missing-language", t.id, "language %s is not among those of the suite", lang)
			}
		}
		for _, lang := range s.Languages {
			if t.byLang && !slices.Contains(t.langs, lang) {
				r.add("missing-language", t.id, "the text is not given in %s", lang)
			}
		}
	}
	for _, lang := range s.Languages {
		if !used[lang] {
			r.add("missing-language", "", "no prompt is in %s, which the suite declares", lang)
		}
	}
}

// lintReadings looks whether the options of one prompt, and right and wrong
// answers, can be told apart.
func (s *Suite) lintReadings(r *findings) {
	for i := range s.templates {
		strands, err := s.strands(&s.templates[i], 0)
		if err != nil {
			continue // reported with the prompts
		}
		for _, strand := range strands {
			for _, p := range strand {
				if p.Reading != nil {
					lintReading(r, &p)
				}
			}
		}
	}
}

func lintReading(r *findings, p *Prompt) {
	q := p.Reading
	for i, forms := range q.Options {
		for _, form := range forms {
			if strings.TrimSpace(form) == "" {
				r.add("empty", p.ID, "option %d has a form without text", i)
				continue
			}
			for _, j := range q.Mentions(form) {
				if j != i && (q.Kind != reading.KindChoice || reading.Fold(form) == reading.Fold(q.Options[j][0])) {
					r.add("overlap", p.ID, "option %d is read in %q, a form of option %d", j, form, i)
				}
			}
		}
	}
	for _, form := range slices.Concat(q.Accept, q.Reject) {
		if strings.TrimSpace(form) == "" {
			r.add("empty", p.ID, "a form to accept or reject has no text")
		}
	}
	for _, good := range q.Accept {
		for _, bad := range q.Reject {
			if reading.Fold(bad) == reading.Fold(good) {
				r.add("overlap", p.ID, "%q is both accepted and rejected", good)
			}
		}
	}
}

// lintPrompts looks at every filling of every template.
func (s *Suite) lintPrompts(r *findings) {
	count, err := tokens.Get("cl100k")
	if err != nil {
		panic("corpora: " + err.Error()) // the ranks are part of the program
	}
	first, size := make(map[string]string), 0 // normalized text to the id that had it first
	for i := range s.templates {
		strands, err := s.strands(&s.templates[i], 0)
		if err != nil {
			rule := "unfilled-slot"
			if errors.Is(err, errReading) {
				rule = "reading"
			}
			r.add(rule, s.templates[i].id, "%v", err)
			continue
		}
		if len(first) > maxPrompts || size > maxFilled {
			r.add("unfilled-slot", "", "more than %d prompts or %d bytes of them: the rest was not examined", maxPrompts, maxFilled)
			return
		}
		for _, p := range slices.Concat(strands...) {
			size += len(p.Text)
			words := strings.Join(words(p.Text), " ")
			if words == "" {
				r.add("empty", p.ID, "the prompt has no words")
				continue
			}
			if p.Reading != nil && (p.Reading.Kind == reading.KindUnits || p.Reading.Kind == reading.KindProtocol) {
				words = p.Text // where blanks and punctuation are what is asked about
			}
			key := p.Lang + "\x00" + p.System + "\x00" + words
			if other, dup := first[key]; dup {
				r.add("duplicate", p.ID, "the same words as %s", other)
				continue
			}
			first[key] = p.ID
			if name := vendorName(p.System + " " + p.Text); name != "" && s.Family != identityFamily && s.Origin != OriginModel {
				r.add("vendor-name", p.ID, "it names %q, which steers the reply", name)
			}
			ids, err := count.Encode(p.System + " " + p.Text)
			if err != nil {
				r.add("over-length", p.ID, "%v", err)
			} else if n := len(ids); n > s.maxTokens {
				r.add("over-length", p.ID, "%d tokens, the limit is %d", n, s.maxTokens)
			}
		}
	}
}

func (s *Suite) lintNearDuplicates(r *findings) {
	for _, pair := range nearTemplates(s) {
		r.add("near-duplicate", pair.b.id, "%.0f %% of its word triples are those of %s", 100*pair.overlap, pair.a.id)
	}
}

// LintAcross returns the templates of one suite that are nearly those of another:
// asked in one audit, they would count as two questions. It leaves out what Lint
// finds within a suite.
func LintAcross(suites []*Suite) []Problem {
	var r findings
	for _, pair := range nearTemplates(suites...) {
		if pair.a.suite != pair.b.suite {
			r.add("near-duplicate", pair.b.id, "in suite %s: %.0f %% of its word triples are those of %s in suite %s", pair.b.suite, 100*pair.overlap, pair.a.id, pair.a.suite)
		}
	}
	return r.list()
}

// templateText names the text of a template in one language.
type templateText struct{ suite, id, lang string }

// nearTemplate is a pair of texts in one language that nearly agree.
type nearTemplate struct {
	a, b    templateText
	overlap float64
}

// nearTemplates compares the texts of all templates with their slots open.
func nearTemplates(suites ...*Suite) []nearTemplate {
	var of []templateText
	var texts [][]string
	var near []nearTemplate
	first := make(map[string]templateText) // language and words to the text that had them first
	for _, s := range suites {
		for i := range s.templates {
			t := &s.templates[i]
			for _, lang := range t.langs {
				var b strings.Builder
				for _, seg := range t.texts[lang][:t.own[lang]] {
					b.WriteString(seg.literal)
					if seg.slot != "" {
						b.WriteString(slotWord)
					}
				}
				text, w := templateText{s.Name, t.id, lang}, words(b.String())
				of, texts = append(of, text), append(texts, w)
				key := lang + "\x00" + strings.Join(w, " ")
				if other, ok := first[key]; !ok {
					first[key] = text
				} else if other.suite != s.Name { // within a suite the exact rule speaks
					near = append(near, nearTemplate{other, text, 1})
				}
			}
		}
	}
	for _, pair := range nearDuplicates(texts) {
		if a, b := of[pair.a], of[pair.b]; a.lang == b.lang {
			near = append(near, nearTemplate{a, b, pair.overlap})
		}
	}
	return near
}

// slotWord stands for any slot when templates are compared, so that two that
// differ in a slot's name only are found.
const slotWord = "slot"

// words returns the text's words in lower case without punctuation. In
// scripts without blanks each character that is neither is a word of its own.
func words(text string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	for _, c := range strings.ToLower(text) {
		switch {
		case reading.Unbroken(c):
			flush()
			out = append(out, string(c))
		case unicode.IsLetter(c), unicode.IsNumber(c), unicode.IsMark(c):
			word.WriteRune(c)
		case c == '\'' || c == '’': // inside a word
		default:
			flush()
		}
	}
	flush()
	return out
}
