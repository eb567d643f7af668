// Package reading says how the reply to a prompt is read: what the unit of analysis
// is, which answers there are, and which of them a text mentions. A plan seals it
// with the prompt, so the verifier reads it, too: the package imports the standard
// library only, and no YAML.
package reading

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what sort of reply a prompt asks for, and so how it is read.
type Kind string

// The kinds of prompts.
const (
	KindText       Kind = "text"        // free text, read as a whole
	KindChoice     Kind = "choice"      // lettered options, one of them right
	KindOpen       Kind = "open"        // a question whose right and wrong answers have known forms
	KindPremise    Kind = "premise"     // a question that supposes something false
	KindCitation   Kind = "citation"    // a question about a work that does not exist
	KindNumber     Kind = "number"      // any number from Low to High
	KindPick       Kind = "pick"        // any one of many things, named freely or out of Options
	KindCoin       Kind = "coin"        // one of two equal sides
	KindFreeChoice Kind = "free-choice" // two equally good renderings
	KindTrigger    Kind = "trigger"     // a question only a planted answer fits
	KindNonce      Kind = "nonce"       // carries a number that is looked for in our own request logs
	KindRotation   Kind = "rotation"    // free text, asked in one slot of a key schedule
	KindIdentity   Kind = "identity"    // who made you
	KindLadder     Kind = "ladder"      // one rung of a topic, from harmless to borderline
	KindPuzzle     Kind = "puzzle"      // a problem that is reasoned about
	KindStyle      Kind = "style"       // free text, read for its style
	KindUnits      Kind = "units"       // a unit repeated, whose tokens the endpoint counts
	KindProtocol   Kind = "protocol"    // about the endpoint, not the words
	KindPassage    Kind = "passage"     // a text to be read on, not answered
)

// Reading is what a family needs to know to read the reply to a prompt. It is
// sealed with the plan and never sent.
type Reading struct {
	// Item is the unit of analysis: prompts of one item are the same question in
	// other languages, wordings, framings or lengths. It is unique in its suite.
	Item string `json:"item"`
	Kind Kind   `json:"kind"`
	// Options are what may be chosen, each with its surface forms in the
	// prompt's language; the first form is the one that the prompt shows. Their
	// order is that of the suite, in every language and for every seed.
	Options [][]string `json:"options,omitempty"`
	// Order is the order in which the prompt shows the options: the first shown
	// (letter A, where there are letters) is Options[Order[0]]. Empty if the
	// prompt shows none.
	Order   []int    `json:"order,omitempty"`
	Correct *int     `json:"correct,omitempty"` // index into Options
	Accept  []string `json:"accept,omitempty"`  // forms of a right answer
	Reject  []string `json:"reject,omitempty"`  // forms that show that the trap worked
	Placebo bool     `json:"placebo,omitempty"` // looks like the others, and is never planted
	Group   string   `json:"group,omitempty"`   // a ladder's topic, a framing, a persona, the slot's template
	Rung    int      `json:"rung,omitempty"`    // of a ladder: 1 (harmless) to 5
	Low     int      `json:"low,omitempty"`     // number: the smallest that may be picked
	High    int      `json:"high,omitempty"`    // number: the largest
	Slot    int      `json:"slot,omitempty"`    // rotation: the slot of the schedule, from 1
	Reply   string   `json:"reply,omitempty"`   // trigger: what is planted, with ResponseSlot in it
	Unit    string   `json:"unit,omitempty"`    // units: the text that is repeated
	Repeats int      `json:"repeats,omitempty"` // units: how often, 0 included
}

// Limits of a reading. Letters name the options, so there are no more of them.
const (
	MaxOptions = 26
	MaxBytes   = 16 << 10 // of a reading in JSON
	maxItem    = 128      // bytes of an item's name
	maxForms   = 64       // of one option, and of accept and reject
	maxRungs   = 5
	maxRepeats = 64 // k = 24 is the largest planned
)

// ResponseSlot stands in [Reading.Reply] where the response is planted.
const ResponseSlot = "{response}"

// Parse reads a reading as a plan carries it. Unknown members, and
// readings that make no sense for their kind ([Reading.Check]), are errors.
func Parse(data []byte) (*Reading, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("reading: longer than %d bytes", MaxBytes)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("reading: not valid UTF-8")
	}
	r := new(Reading)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("reading: more than one JSON value")
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return r, nil
}

// Check returns why the reading makes no sense for its kind, or nil. What is
// possible and still unwise is left to the lint of suites.
func (r *Reading) Check() error {
	if r.Item == "" || len(r.Item) > maxItem {
		return fmt.Errorf("an item's name has 1 to %d bytes", maxItem)
	}
	if len(r.Options) > MaxOptions {
		return fmt.Errorf("%d options, at most %d are read", len(r.Options), MaxOptions)
	}
	for i, forms := range append(slices.Clone(r.Options), r.Accept, r.Reject) {
		if len(forms) == 0 && i < len(r.Options) {
			return fmt.Errorf("option %d has no form", i)
		}
		if len(forms) > maxForms {
			return fmt.Errorf("%d forms in one place, at most %d are read", len(forms), maxForms)
		}
	}
	if len(r.Order) > 0 && !isPermutation(r.Order, len(r.Options)) {
		return fmt.Errorf("order %v does not name each of %d options once", r.Order, len(r.Options))
	}
	if r.Correct != nil && (*r.Correct < 0 || *r.Correct >= len(r.Options)) {
		return fmt.Errorf("correct is %d, there are %d options", *r.Correct, len(r.Options))
	}
	return r.checkKind()
}

func (r *Reading) checkKind() error {
	switch r.Kind {
	case KindChoice:
		if len(r.Options) < 2 || r.Correct == nil || len(r.Order) == 0 {
			return errors.New("a choice shows two or more options and says which is correct")
		}
	case KindFreeChoice, KindCoin:
		if len(r.Options) != 2 || r.Correct != nil {
			return fmt.Errorf("a %s has exactly two options, of which neither is correct", r.Kind)
		}
	case KindOpen, KindPremise, KindCitation:
		if len(r.Accept) == 0 && len(r.Reject) == 0 {
			return fmt.Errorf("kind %s needs forms to accept or to reject", r.Kind)
		}
	case KindNumber:
		if r.Low >= r.High {
			return fmt.Errorf("no number is to be picked from %d to %d", r.Low, r.High)
		}
	case KindLadder:
		if r.Group == "" || r.Rung < 1 || r.Rung > maxRungs {
			return fmt.Errorf("a ladder needs its topic as group and a rung from 1 to %d", maxRungs)
		}
	case KindUnits:
		if r.Unit == "" || r.Repeats < 0 || r.Repeats > maxRepeats {
			return fmt.Errorf("units need a unit and 0 to %d repeats", maxRepeats)
		}
	case KindTrigger:
		if strings.Count(r.Reply, ResponseSlot) != 1 {
			return fmt.Errorf("a trigger says what is planted, with %s in it once", ResponseSlot)
		}
	case KindRotation:
		if r.Slot < 0 {
			return fmt.Errorf("slot %d of a rotation", r.Slot)
		}
	case KindText, KindPick, KindNonce, KindIdentity, KindPuzzle, KindStyle, KindProtocol, KindPassage:
	default:
		return fmt.Errorf("kind %q is not known", r.Kind)
	}
	return nil
}

// isPermutation reports whether order holds each of 0 to n-1 once.
func isPermutation(order []int, n int) bool {
	seen := make([]bool, n)
	for _, i := range order {
		if i < 0 || i >= n || seen[i] {
			return false
		}
		seen[i] = true
	}
	return len(order) == n
}

// Letter returns the letter under which the prompt shows option i, such as
// "A", or "" if it shows none.
func (r *Reading) Letter(i int) string {
	if at := slices.Index(r.Order, i); at >= 0 {
		return string(rune('A' + at))
	}
	return ""
}

// List renders the options as the prompt shows them, a line each.
func (r *Reading) List() string {
	lines := make([]string, len(r.Order))
	for at, i := range r.Order {
		lines[at] = string(rune('A'+at)) + ") " + r.Options[i][0]
	}
	return strings.Join(lines, "\n")
}

// Mentions returns the options of which a form stands in the text, in the order
// of their first mention; where two begin at one place, the longer form comes
// first. Case, the shape of apostrophes, and the kind and number of blanks, do not matter. A form that
// begins or ends with a letter or digit of a script that separates words is
// only found where a word begins or ends.
func (r *Reading) Mentions(text string) []int {
	type mention struct{ option, at, length int }
	text = Fold(text)
	var found []mention
	for i, forms := range r.Options {
		first := mention{at: -1}
		for _, form := range forms {
			form = Fold(form)
			if at := findForm(text, form); at >= 0 && (first.at < 0 || at < first.at || at == first.at && len(form) > first.length) {
				first = mention{i, at, len(form)}
			}
		}
		if first.at >= 0 {
			found = append(found, first)
		}
	}
	slices.SortStableFunc(found, func(a, b mention) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.length, a.length))
	})
	options := make([]int, len(found))
	for i, m := range found {
		options[i] = m.option
	}
	return options
}

// Fold returns text in lower case with single blanks and straight apostrophes:
// what differs between typesetters, not between answers.
func Fold(text string) string {
	if isFolded(text) {
		return text
	}
	return strings.ReplaceAll(strings.Join(strings.Fields(strings.ToLower(text)), " "), "’", "'")
}

// isFolded reports that text is ASCII and as Fold leaves it, as most names and all
// parts of a folded text in English are: they are looked for very often.
func isFolded(text string) bool {
	before := byte(' ') // as at the end, where a blank may not stand either
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || 'A' <= c && c <= 'Z' || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return text == "" || before != ' '
}

// findForm returns the place of the first whole-word occurrence of a form, or
// -1. Both are folded.
func findForm(text, form string) int {
	if form == "" {
		return -1
	}
	for from := 0; ; {
		at := strings.Index(text[from:], form)
		if at < 0 {
			return -1
		}
		at += from
		end := at + len(form)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		first, _ := utf8.DecodeRuneInString(form)
		last, _ := utf8.DecodeLastRuneInString(form)
		after, size := utf8.DecodeRuneInString(text[end:])
		glued := at > 0 && inWord(before) && inWord(first) || size > 0 && inWord(last) && inWord(after)
		if !glued {
			return at
		}
		_, size = utf8.DecodeRuneInString(text[at:])
		from = at + size
	}
}

// inWord reports whether a character belongs to a word of a script that
// separates words.
func inWord(c rune) bool {
	return (unicode.IsLetter(c) || unicode.IsNumber(c) || unicode.IsMark(c) || c == '_') && !Unbroken(c)
}

// Unbroken reports whether a character is of a script written without blanks.
func Unbroken(c rune) bool {
	return c >= 0x0e00 && unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}
