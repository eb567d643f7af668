package corpora

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the schema
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stillmark/stillmark/corpora/reading"
)

// Limits on suite files: an order of magnitude above the largest suite that is
// planned (1,500 templates, 0.5 MB), and low enough that a hostile file cannot
// exhaust memory.
const (
	MaxSource    = 8 << 20 // bytes of a suite file
	maxTemplates = 20_000
	maxFillings  = 10_000   // of one template
	maxPrompts   = 200_000  // of one suite
	maxFilled    = 64 << 20 // bytes of all prompts of one suite
	maxText      = 16 << 10 // bytes of one prompt
	maxID        = 64
	maxLanguages = 64 // of one template
	maxVariants  = 16 // system texts, or numbers of repeats, of one template
)

// defaultMaxTokens is the length above which Lint objects to a prompt, in
// cl100k tokens with its system text: units whose window stands in the prompt
// are not scored, and a neutral prompt of one or two sentences fits.
const defaultMaxTokens = 60

// suiteFile is the YAML form of a suite; suites/README.md describes it.
type suiteFile struct {
	Format      int                        `yaml:"format"`
	Name        string                     `yaml:"name"`
	Version     string                     `yaml:"version"`
	Family      string                     `yaml:"family"`
	Purpose     string                     `yaml:"purpose"`
	NeverUse    string                     `yaml:"never_use"`
	Languages   []string                   `yaml:"languages"`
	MaxTokens   int                        `yaml:"max_tokens"`
	Samples     int                        `yaml:"samples"`
	ReplyTokens int                        `yaml:"reply_tokens"`
	Origin      string                     `yaml:"origin"`
	Draws       int                        `yaml:"draws"`
	Slots       int                        `yaml:"slots"`
	Draw        int                        `yaml:"draw"`
	Placebos    int                        `yaml:"placebos"`
	Types       map[string]local[[]string] `yaml:"types"`
	Groups      []groupFile                `yaml:"groups"`
}

type groupFile struct {
	Category  string           `yaml:"category"`
	Lang      string           `yaml:"lang"`
	System    local[oneOrMore] `yaml:"system"`
	Ending    local[string]    `yaml:"ending"` // what follows each of the texts
	Reading   readingFile      `yaml:"reading"`
	Templates []templateFile   `yaml:"templates"`
}

type templateFile struct {
	ID      string                     `yaml:"id"`
	Item    string                     `yaml:"item"`
	Text    local[string]              `yaml:"text"`
	Slots   map[string]local[[]string] `yaml:"slots"`
	Rows    []map[string]local[string] `yaml:"rows"`
	Reading readingFile                `yaml:"reading"`
}

// readingFile is the YAML form of a reading. What a template leaves out is
// taken from its group.
type readingFile struct {
	Kind    Kind               `yaml:"kind"`
	Options local[[]oneOrMore] `yaml:"options"`
	Correct *int               `yaml:"correct"`
	Shuffle *bool              `yaml:"shuffle"`
	Accept  local[oneOrMore]   `yaml:"accept"`
	Reject  local[oneOrMore]   `yaml:"reject"`
	Placebo *bool              `yaml:"placebo"`
	Group   local[string]      `yaml:"group"`
	Rung    int                `yaml:"rung"`
	Reply   local[string]      `yaml:"reply"`
	Low     int                `yaml:"low"`
	High    int                `yaml:"high"`
	Unit    local[string]      `yaml:"unit"`
	Repeats []int              `yaml:"repeats"`
}

func readSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("suite file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSource+1))
	if err != nil {
		return nil, fmt.Errorf("suite file: %w", err)
	}
	if len(data) > MaxSource {
		return nil, fmt.Errorf("suite file %s: larger than %d bytes: cut it into several suites", path, MaxSource)
	}
	return data, nil
}

// Schema is the JSON schema of a suite in YAML.
//
//go:embed suite.schema.json
var Schema []byte

// inType is what the YAML library says of the program's own types.
var inType = regexp.MustCompile(` in(to)? (type )?[\w\[\]{}*.]*corpora\.\S+`)

func parseYAML(data []byte) (*Suite, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the suite is not valid UTF-8")
	}
	var src suiteFile
	if err := yaml.Load(data, &src, yaml.WithV4Defaults(), yaml.WithKnownFields()); err != nil {
		return nil, errors.New("read suite: " + inType.ReplaceAllString(err.Error(), ""))
	}
	if src.Format != 1 {
		return nil, fmt.Errorf("format %d: this program reads format 1", src.Format)
	}
	if src.Name == "" || src.Version == "" {
		return nil, errors.New("name and version must be given: a plan cites both")
	}
	s := &Suite{
		Name: src.Name, Version: src.Version, Family: src.Family, Languages: src.Languages,
		Purpose: strings.TrimSpace(src.Purpose), NeverUse: strings.TrimSpace(src.NeverUse),
		Samples: src.Samples, ReplyTokens: src.ReplyTokens, Origin: src.Origin, Draws: src.Draws, Slots: src.Slots, placebos: src.Placebos,
		draw: src.Draw, types: src.Types, maxTokens: src.MaxTokens, hash: hashSource(data),
	}
	for name := range s.types {
		if err := checkSlotName(name); err != nil {
			return nil, fmt.Errorf("type %q: %w", name, err)
		}
	}
	for i := range src.Groups {
		g := &src.Groups[i]
		for j := range g.Templates {
			t, err := s.template(g, &g.Templates[j])
			if err != nil {
				return nil, fmt.Errorf("template %s: %w", g.Templates[j].ID, err)
			}
			s.templates = append(s.templates, t)
		}
	}
	return s, s.check()
}

// checkSlotName refuses what cannot be the name of a suite's own slot.
func checkSlotName(name string) error {
	if !slotName(name) {
		return errors.New("a name is lower-case letters, digits and underscores")
	}
	if readingSlot(name) {
		return errors.New("this name is kept for what the reading fills")
	}
	return nil
}

// template reads one template of a group.
func (s *Suite) template(g *groupFile, src *templateFile) (template, error) {
	t := template{
		id: src.ID, item: src.Item, category: g.Category, slots: src.Slots, rows: src.Rows,
		texts: make(map[string][]segment), own: make(map[string]int), systems: make(map[string][]string),
	}
	if _, plain := src.Text[""]; plain || len(src.Text) == 0 {
		t.langs = []string{g.Lang}
	} else {
		t.byLang, t.langs = true, s.inOrder(src.Text)
		if g.Lang != "" {
			return t, fmt.Errorf("the text is given by language, and the group is in %s", g.Lang)
		}
	}
	if len(t.langs) > maxLanguages {
		return t, fmt.Errorf("%d languages, at most %d are read", len(t.langs), maxLanguages)
	}
	for name, values := range t.slots {
		if err := cmp.Or(checkSlotName(name), values.check("slot {"+name+"}", t.langs)); err != nil {
			return t, fmt.Errorf("slot %q: %w", name, err)
		}
	}
	if err := t.checkRows(); err != nil {
		return t, err
	}
	if err := cmp.Or(g.System.check("system", t.langs), g.Ending.check("ending", t.langs)); err != nil {
		return t, err
	}
	for _, lang := range t.langs {
		text, _ := src.Text.in(lang)
		ending, _ := g.Ending.in(lang)
		if len(text)+len(ending) > maxText {
			return t, fmt.Errorf("its text is longer than %d bytes", maxText)
		}
		own, err := parseText(strings.TrimSpace(text))
		end, endErr := parseText(strings.TrimRight(ending, " \n"))
		if err := cmp.Or(err, endErr); err != nil {
			return t, err
		}
		t.texts[lang], t.own[lang] = append(own, end...), len(own)
		if slices.ContainsFunc(t.texts[lang], func(seg segment) bool { return seg.slot == slotResponse }) {
			return t, fmt.Errorf("the slot {%s} stands in a reading's reply, not in what is asked", slotResponse)
		}
		framings, _ := g.System.in(lang)
		if len(framings) == 0 {
			framings = []string{""}
		}
		if len(framings) > maxVariants {
			return t, fmt.Errorf("%d system texts, at most %d are read", len(framings), maxVariants)
		}
		for _, system := range framings {
			t.systems[lang] = append(t.systems[lang], strings.TrimSpace(system))
		}
	}
	var err error
	if r := src.Reading.over(&g.Reading); r.Kind != "" {
		t.reading, err = r.parse(t.langs)
	} else if !r.empty() {
		err = errors.New("the reading does not state its kind")
	} else if t.byLang || t.item != "" {
		t.reading = &readingTemplate{kind: reading.KindText, repeats: []int{0}}
	}
	return t, err
}

// checkRows wants the same columns in every row, each in every language.
func (t *template) checkRows() error {
	ids := make(map[string]bool)
	for i, row := range t.rows {
		if len(row) == 0 || len(row) != len(t.rows[0]) {
			return fmt.Errorf("row %d has %d columns, the first has %d", i+1, len(row), len(t.rows[0]))
		}
		for _, name := range slices.Sorted(maps.Keys(row)) {
			err := cmp.Or(checkSlotName(name), row[name].check("it", t.langs))
			switch _, own := t.slots[name]; {
			case err != nil:
			case own:
				err = errors.New("it is a slot with values of its own too")
			case row[name] == nil || t.rows[0][name] == nil:
				err = errors.New("not every row has it")
			case name == rowID:
				id, plain := row[name].in("")
				if !plain || !validID(id) || ids[id] {
					err = fmt.Errorf("%q is no id, or not the only one", id)
				}
				ids[id] = true
			}
			if err != nil {
				return fmt.Errorf("row %d, column %s: %w", i+1, name, err)
			}
		}
	}
	return nil
}

// inOrder returns the languages of a text: those of the suite in its order,
// then others by name, which Lint reports.
func (s *Suite) inOrder(text local[string]) []string {
	langs := slices.Sorted(maps.Keys(text))
	rank := func(lang string) int {
		if i := slices.Index(s.Languages, lang); i >= 0 {
			return i
		}
		return len(s.Languages)
	}
	slices.SortStableFunc(langs, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return langs
}

// over returns the template's reading with what it leaves out taken from the
// group's.
func (r readingFile) over(g *readingFile) readingFile {
	r.Kind, r.Correct, r.Shuffle, r.Placebo = cmp.Or(r.Kind, g.Kind), cmp.Or(r.Correct, g.Correct), cmp.Or(r.Shuffle, g.Shuffle), cmp.Or(r.Placebo, g.Placebo)
	r.Rung, r.Low, r.High = cmp.Or(r.Rung, g.Rung), cmp.Or(r.Low, g.Low), cmp.Or(r.High, g.High)
	if r.Options == nil {
		r.Options = g.Options
	}
	if r.Accept == nil {
		r.Accept = g.Accept
	}
	if r.Reject == nil {
		r.Reject = g.Reject
	}
	if r.Group == nil {
		r.Group = g.Group
	}
	if r.Unit == nil {
		r.Unit = g.Unit
	}
	if r.Reply == nil {
		r.Reply = g.Reply
	}
	if r.Repeats == nil {
		r.Repeats = g.Repeats
	}
	return r
}

func (r *readingFile) empty() bool {
	return r.Correct == nil && r.Shuffle == nil && r.Placebo == nil && r.Rung == 0 && r.Low == 0 && r.High == 0 &&
		r.Options == nil && r.Accept == nil && r.Reject == nil && r.Group == nil && r.Unit == nil && r.Reply == nil && r.Repeats == nil
}

// parse cuts the reading's texts into segments.
func (r *readingFile) parse(langs []string) (*readingTemplate, error) {
	t := &readingTemplate{
		kind: r.Kind, correct: r.Correct, rung: r.Rung, low: r.Low, high: r.High, repeats: r.Repeats,
		options: make(map[string][][][]segment), accept: make(map[string][][]segment), reject: make(map[string][][]segment),
		group: make(map[string][]segment), unit: make(map[string][]segment), reply: make(map[string][]segment),
		placebo: r.Placebo != nil && *r.Placebo, keepOrder: r.Shuffle != nil && !*r.Shuffle,
	}
	if len(t.repeats) == 0 {
		t.repeats = []int{0}
	}
	if len(t.repeats) > maxVariants {
		return nil, fmt.Errorf("%d numbers of repeats, at most %d are read", len(t.repeats), maxVariants)
	}
	if err := errors.Join(r.Options.check("options", langs), r.Accept.check("accept", langs), r.Reject.check("reject", langs),
		r.Group.check("group", langs), r.Unit.check("unit", langs), r.Reply.check("reply", langs)); err != nil {
		return nil, err
	}
	var failed error
	one := func(text string) []segment {
		segments, err := parseText(text)
		for _, seg := range segments {
			if readingSlot(seg.slot) && seg.slot != slotResponse {
				err = fmt.Errorf("slot {%s} cannot stand inside a reading", seg.slot)
			}
		}
		failed = cmp.Or(failed, err)
		return segments
	}
	list := func(texts []string) (out [][]segment) {
		for _, text := range texts {
			out = append(out, one(text))
		}
		return out
	}
	for _, lang := range langs {
		options, _ := r.Options.in(lang)
		for _, forms := range options {
			t.options[lang] = append(t.options[lang], list(forms))
		}
		if len(options) != len(t.options[langs[0]]) {
			failed = cmp.Or(failed, fmt.Errorf("%d options in %s, %d in %s", len(options), lang, len(t.options[langs[0]]), langs[0]))
		}
		accept, _ := r.Accept.in(lang)
		reject, _ := r.Reject.in(lang)
		group, _ := r.Group.in(lang)
		unit, _ := r.Unit.in(lang)
		reply, _ := r.Reply.in(lang)
		t.accept[lang], t.reject[lang], t.group[lang], t.unit[lang] = list(accept), list(reject), one(group), one(unit)
		t.reply[lang] = one(reply)
	}
	if failed != nil {
		return nil, fmt.Errorf("reading: %w", failed)
	}
	return t, nil
}

// lineFile is one line of a JSONL suite: a prompt, or on the first line the card.
type lineFile struct {
	Card                             *cardLine
	ID, Text, Lang, System, Category string
	Reading                          json.RawMessage
}

// cardLine is the card of a JSONL suite: what YAML says before its groups.
type cardLine struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Family      string `json:"family"`
	Purpose     string `json:"purpose"`
	NeverUse    string `json:"never_use"`
	Origin      string `json:"origin,omitempty"`
	MaxTokens   int    `json:"max_tokens,omitempty"`
	Samples     int    `json:"samples,omitempty"`
	ReplyTokens int    `json:"reply_tokens,omitempty"`
}

func parseJSONL(name string, data []byte) (*Suite, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not valid UTF-8")
	}
	s := &Suite{
		Name: name, Version: "file", cardless: true, hash: hashSource(data),
		Purpose: "prompts brought by the user", NeverUse: "not stated by the file",
	}
	languages := make(map[string]bool)
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var item lineFile
		if err := decodeStrict(line, &item); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if item.Card != nil {
			if n != 1 || item.ID != "" || item.Text != "" {
				return nil, fmt.Errorf("line %d: the card stands alone on the first line", n)
			}
			s.setCard(item.Card)
			continue
		}
		t, err := item.template()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(s.templates) == maxTemplates {
			return nil, fmt.Errorf("line %d: more than %d prompts: cut the file into several suites", n, maxTemplates)
		}
		if item.Lang != "" {
			languages[item.Lang] = true
		}
		s.templates = append(s.templates, t)
	}
	s.Languages = slices.Sorted(maps.Keys(languages))
	return s, s.check()
}

func (s *Suite) setCard(c *cardLine) {
	s.cardless = false
	s.Name, s.Version = cmp.Or(c.Name, s.Name), cmp.Or(c.Version, s.Version)
	s.Family, s.Purpose, s.NeverUse, s.Origin = c.Family, c.Purpose, c.NeverUse, c.Origin
	s.maxTokens, s.Samples, s.ReplyTokens = c.MaxTokens, c.Samples, c.ReplyTokens
}

// template reads one prompt, in which braces are ordinary characters.
func (l *lineFile) template() (template, error) {
	if len(l.Text) > maxText {
		return template{}, fmt.Errorf("the text is longer than %d bytes", maxText)
	}
	t := template{
		id: l.ID, category: l.Category, langs: []string{l.Lang},
		texts:   map[string][]segment{l.Lang: {{literal: l.Text}}},
		own:     map[string]int{l.Lang: 1},
		systems: map[string][]string{l.Lang: {l.System}},
	}
	if l.Reading == nil {
		return t, nil
	}
	var err error
	t.fixed, err = reading.Parse(l.Reading)
	return t, err
}

func hashSource(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// check holds what both forms must satisfy before anything is expanded.
func (s *Suite) check() error {
	for _, number := range []struct {
		name string
		n    int
	}{
		{"max_tokens", s.maxTokens},
		{"samples", s.Samples},
		{"reply_tokens", s.ReplyTokens},
		{"draws", s.Draws},
		{"slots", s.Slots},
		{"placebos", s.placebos},
		{"draw", s.draw},
	} {
		if number.n < 0 || number.n > maxPrompts {
			return fmt.Errorf("%s is %d; it must be positive, and at most %d", number.name, number.n, maxPrompts)
		}
	}
	if s.draw > 2 {
		return fmt.Errorf("draw %d: this program knows 1 and 2", s.draw)
	}
	if s.maxTokens == 0 {
		s.maxTokens = defaultMaxTokens
	}
	switch s.Origin {
	case "", OriginWritten, OriginModel:
	default:
		return fmt.Errorf("origin %q is neither %q nor %q", s.Origin, OriginWritten, OriginModel)
	}
	if len(s.templates) == 0 {
		return errors.New("the suite has no prompts")
	}
	if len(s.templates) > maxTemplates {
		return fmt.Errorf("the suite has %d templates, at most %d are read", len(s.templates), maxTemplates)
	}
	seen := make(map[string]bool, len(s.templates))
	for i := range s.templates {
		id := s.templates[i].id
		switch {
		case !validID(id):
			return fmt.Errorf("prompt %d has the id %q: an id is 1 to %d letters, digits, dots, hyphens or underscores", i+1, id, maxID)
		case seen[id]:
			return fmt.Errorf("the id %s occurs twice", id)
		case s.templates[i].item != "" && !validID(s.templates[i].item):
			return fmt.Errorf("prompt %s has the item %q: it must be like an id", id, s.templates[i].item)
		}
		seen[id] = true
	}
	return nil
}

func validID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return id != "" && len(id) <= maxID && strings.Trim(id, allowed) == ""
}

// decodeStrict decodes exactly one JSON value without unknown members.
func decodeStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
