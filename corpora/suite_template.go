package corpora

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
)

// template is one prompt text with slots, in one or more languages.
type template struct {
	id, item, category string
	langs              []string // in the suite's order
	byLang             bool     // the text is given by language
	texts              map[string][]segment
	own                map[string]int             // how many segments of the text are not the group's ending
	systems            map[string][]string        // framings; never empty
	slots              map[string]local[[]string] // values of this template's own slots
	rows               []map[string]local[string] // values that go together, by column; nil if there are none
	reading            *readingTemplate           // nil: the reply is read as a whole
	fixed              *Reading                   // of a JSON line, in place of reading
}

// readingTemplate is the reading of a template's prompts, with slots.
type readingTemplate struct {
	kind               Kind
	options            map[string][][][]segment // by language: option, form
	accept, reject     map[string][][]segment
	group              map[string][]segment
	unit, reply        map[string][]segment
	correct            *int
	placebo, keepOrder bool
	rung, low, high    int
	repeats            []int // never empty
}

// segment is literal text or the name of a slot.
type segment struct {
	literal, slot string
}

// The slots that the reading fills.
const (
	slotOptions = "options" // the options with their letters, a line each
	slotOption  = "option_" // followed by a number from 1: the first form of the option shown there
	slotUnits   = "units"   // the unit, repeated

	// These stay as they are until a key fills them.
	slotNonce    = "nonce"
	slotResponse = "response"
)

// readingSlot reports whether a reading fills the slot.
func readingSlot(name string) bool {
	return name == slotOptions || name == slotUnits || name == slotNonce || name == slotResponse || shownOption(name) > 0
}

// shownOption is the number in "option_2", or 0.
func shownOption(name string) int {
	rest, ok := strings.CutPrefix(name, slotOption)
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 1 || n > reading.MaxOptions {
		return 0
	}
	return n
}

// parseText cuts "Explain {topic} to {audience}." into segments. {{ and }}
// stand for single braces.
func parseText(text string) ([]segment, error) {
	var segments []segment
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			segments = append(segments, segment{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(text[i])
			i++
		case text[i] == '}':
			return nil, errors.New("a } without its {; write }} for a brace")
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, errors.New("a { without its }; write {{ for a brace")
			}
			name := text[i+1 : i+end]
			if !slotName(name) {
				return nil, fmt.Errorf("%q is no name for a slot: lower-case letters, digits and underscores", name)
			}
			flush()
			segments = append(segments, segment{slot: name})
			i += end
		default:
			literal.WriteByte(text[i])
		}
	}
	flush()
	return segments, nil
}

func slotName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// slotNames returns the template's slots in order of first use: in the texts,
// language by language, then in the reading. The columns of its rows are apart.
func (t *template) slotNames() (names, columns []string) {
	t.eachText(func(_ string, segments []segment) {
		for _, seg := range segments {
			list := &names
			if len(t.rows) > 0 && t.rows[0][seg.slot] != nil {
				list = &columns
			}
			if seg.slot != "" && !slices.Contains(*list, seg.slot) && !readingSlot(seg.slot) {
				*list = append(*list, seg.slot)
			}
		}
	})
	return names, columns
}

// eachText calls f with everything in the template that may hold slots.
func (t *template) eachText(f func(lang string, segments []segment)) {
	for _, lang := range t.langs {
		f(lang, t.texts[lang])
	}
	if t.reading == nil {
		return
	}
	for _, lang := range t.langs {
		for _, forms := range t.reading.options[lang] {
			for _, form := range forms {
				f(lang, form)
			}
		}
		for _, form := range slices.Concat(t.reading.accept[lang], t.reading.reject[lang]) {
			f(lang, form)
		}
		f(lang, t.reading.group[lang])
		f(lang, t.reading.unit[lang])
		f(lang, t.reading.reply[lang])
	}
}

// values returns what may stand in a slot in one language: the template's own
// list, else the suite's type of that name.
func (s *Suite) values(t *template, slot, lang string) []string {
	l, ok := t.slots[slot]
	if !ok {
		l = s.types[slot]
	}
	v, _ := l.in(lang)
	return v
}

// fillings returns the number of ways to fill the template's slots, and of the
// prompts that it gives in all.
func (s *Suite) fillings(t *template, names []string) (fillings int, err error) {
	fillings = max(1, len(t.rows))
	for _, name := range names {
		n := len(s.values(t, name, t.langs[0]))
		for _, lang := range t.langs[1:] {
			if m := len(s.values(t, name, lang)); m != n {
				return 0, fmt.Errorf("template %s: slot {%s} has %d values in %s and %d in %s; they must correspond", t.id, name, n, t.langs[0], m, lang)
			}
		}
		if n == 0 {
			return 0, fmt.Errorf("template %s: slot {%s} has no values", t.id, name)
		}
		if fillings *= n; fillings > maxFillings {
			return 0, fmt.Errorf("template %s: its slots have more than %d combinations", t.id, maxFillings)
		}
	}
	if all := fillings * t.variants(); all > maxFillings {
		return 0, fmt.Errorf("template %s: %d combinations in all languages, framings and lengths, at most %d are made", t.id, all, maxFillings)
	}
	return fillings, nil
}

// variants is how many prompts one filling gives.
func (t *template) variants() int {
	n := 0
	for _, lang := range t.langs {
		n += len(t.systems[lang])
	}
	if t.reading != nil {
		n *= len(t.reading.repeats)
	}
	return n
}

// strands returns every filling of the template. The prompts of one strand have
// equal language, framing and length; prompts at one place of several strands
// have equal slot values, and so are of one item. A slot used twice has one
// value. The seed decides in which order options are shown.
func (s *Suite) strands(t *template, seed uint64) ([][]Prompt, error) {
	names, _ := t.slotNames()
	total, err := s.fillings(t, names)
	if err != nil {
		return nil, err
	}
	out, size := make([][]Prompt, t.variants()), 0
	for i := range total {
		f := filling{s: s, t: t, index: make(map[string]int, len(names))}
		rest := i
		if n := len(t.rows); n > 0 {
			f.row, rest = t.rows[rest%n], rest/n
		}
		for _, name := range names {
			n := len(s.values(t, name, t.langs[0]))
			f.index[name], rest = rest%n, rest/n
		}
		strand := 0
		item := f.item(names)
		for _, lang := range t.langs {
			fill := func(slot string) string { return f.value(slot, lang) }
			for _, r := range t.readings(lang, item, seed, fill) {
				if r != nil {
					if err := r.Check(); err != nil {
						return nil, fmt.Errorf("template %s: %w: %w", t.id, errReading, err)
					}
				}
				text, err := render(t.texts[lang], r, fill)
				if err == nil && r != nil && r.Kind == reading.KindNonce && (s.Draws == 0 || strings.Count(text, "{"+slotNonce+"}") != 1) {
					err = fmt.Errorf("%w: a nonce's text has the slot {%s} once, and its suite says how many a key draws", errReading, slotNonce)
				}
				if err != nil {
					return nil, fmt.Errorf("template %s: %w", t.id, err)
				}
				if size += len(text); len(text) > maxText || size > maxFilled {
					return nil, fmt.Errorf("template %s: filling its slots gives too much text", t.id)
				}
				for _, system := range t.systems[lang] {
					p := Prompt{ID: t.promptID(lang, system, text, len(t.rows) > 0 || len(names) > 0), Lang: lang, Category: t.category, System: system, Text: text, Reading: r}
					out[strand] = append(out[strand], p)
					strand++
				}
			}
		}
	}
	return out, nil
}

// filling is one choice of a value for each slot.
type filling struct {
	s     *Suite
	t     *template
	index map[string]int // slot to place in its values
	row   map[string]local[string]
}

func (f *filling) value(slot, lang string) string {
	if l := f.row[slot]; l != nil {
		v, _ := l.in(lang)
		return v
	}
	return f.s.values(f.t, slot, lang)[f.index[slot]]
}

// rowID is the column that names a row, so that its texts may be improved
// without renaming the item.
const rowID = "id"

// item names the unit of analysis: what the template says, or its id, the id of
// the row, and a hash of the other values in the first language. So it stays
// the same whatever becomes of the wording, of the other languages and of the
// order of options.
func (f *filling) item(names []string) string {
	if f.t.item != "" {
		return f.t.item
	}
	name, hashed := f.t.id, slices.Clone(names)
	if id, ok := f.row[rowID].in(""); ok {
		name += "-" + id
	} else {
		hashed = append(hashed, slices.Sorted(maps.Keys(f.row))...)
	}
	if len(hashed) == 0 {
		return name
	}
	h := sha256.New()
	for _, slot := range hashed {
		fmt.Fprintf(h, "%s\x00%s\x00", slot, f.value(slot, f.t.langs[0]))
	}
	return name + "-" + hex.EncodeToString(h.Sum(nil)[:idBytes])
}

// promptID names a prompt. What is not already determined by the template's id
// and the language goes in as a hash.
func (t *template) promptID(lang, system, text string, slots bool) string {
	id := t.id
	if t.byLang {
		id += "." + lang
	}
	framed := len(t.systems[lang]) > 1
	if framed {
		text += "\x00" + system
	}
	if slots || framed || t.reading != nil && t.reading.varies() {
		sum := sha256.Sum256([]byte(text))
		id += "-" + hex.EncodeToString(sum[:idBytes])
	}
	return id
}

// varies reports whether one filling in one language and framing may have
// several texts.
func (r *readingTemplate) varies() bool {
	return len(r.repeats) > 1 || len(r.options) > 0 && !r.keepOrder
}

var errReading = errors.New("the reading makes no sense")

// idBytes of a hash go into a prompt's id: among maxFillings prompts of one
// template, two share them with probability 2e-7.
const idBytes = 6

// readings returns the readings of one filling in one language, one for each
// number of repeats; a single nil if the template has none.
func (t *template) readings(lang, item string, seed uint64, fill func(string) string) []*Reading {
	if t.fixed != nil {
		return []*Reading{t.fixed}
	}
	src := t.reading
	if src == nil {
		return []*Reading{nil}
	}
	plain := func(segments []segment) string {
		text, _ := render(segments, nil, fill) // reading slots in a reading are refused when it is parsed
		return text
	}
	forms := func(all [][]segment) []string {
		var out []string
		for _, segments := range all {
			out = append(out, plain(segments))
		}
		return out
	}
	base := Reading{
		Item: item, Kind: src.kind, Correct: src.correct, Accept: forms(src.accept[lang]), Reject: forms(src.reject[lang]),
		Placebo: src.placebo, Group: plain(src.group[lang]), Rung: src.rung, Low: src.low, High: src.high, Unit: plain(src.unit[lang]),
		Reply: plain(src.reply[lang]),
	}
	for _, option := range src.options[lang] {
		base.Options = append(base.Options, forms(option))
	}
	if t.shows(lang) {
		for i := range base.Options {
			base.Order = append(base.Order, i)
		}
		if !src.keepOrder {
			sortByKey(base.Order, seed, "options", func(i int) string { return fmt.Sprintf("%s\x00%s\x00%d", item, lang, i) })
		}
	}
	out := make([]*Reading, len(src.repeats))
	for i, k := range src.repeats {
		r := base
		r.Repeats = k
		out[i] = &r
	}
	return out
}

// shows reports whether the text shows the reading's options.
func (t *template) shows(lang string) bool {
	return slices.ContainsFunc(t.texts[lang], func(seg segment) bool {
		return seg.slot == slotOptions || shownOption(seg.slot) > 0
	})
}

// render fills the slots of a text.
func render(segments []segment, r *Reading, fill func(slot string) string) (string, error) {
	var text strings.Builder
	for _, seg := range segments {
		text.WriteString(seg.literal)
		switch n := shownOption(seg.slot); {
		case seg.slot == "":
		case !readingSlot(seg.slot):
			text.WriteString(fill(seg.slot))
		case seg.slot == slotNonce && r != nil && r.Kind == reading.KindNonce, seg.slot == slotResponse && r == nil:
			text.WriteString("{" + seg.slot + "}")
		case r == nil:
			return "", fmt.Errorf("slot {%s} needs a reading that fills it", seg.slot)
		case seg.slot == slotOptions && len(r.Options) > 0:
			text.WriteString(r.List())
		case seg.slot == slotUnits && r.Unit != "":
			text.WriteString(strings.Repeat(r.Unit, r.Repeats))
		case n > 0 && n <= len(r.Order):
			text.WriteString(r.Options[r.Order[n-1]][0])
		default:
			return "", fmt.Errorf("slot {%s} is not filled by the reading", seg.slot)
		}
	}
	return text.String(), nil
}
