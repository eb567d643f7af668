package family

import (
	"context"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// ReasoningStyle is the family of this file: C5. How a model thinks aloud, the words
// with which it turns, how often it takes something back, how long its steps are and
// whether it changes language, is learnt with the traces of a teacher. What is read
// is the separate reasoning text, else what stands between <think> marks, else the
// visible answer.
const ReasoningStyle = "C5"

const reasoningExtractor = "reasoning-1: rates of pivot words in six languages, back-tracking, step lengths, scripts and forms"

func c5Family() Family {
	return Family{
		ID: ReasoningStyle, Name: "reasoning style", Tier: ledger.Comparative,
		Rung:  "H_any: trained on, or otherwise dependent on, some text of ours",
		Needs: []string{"chat"}, run: together(runC5), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, reasoningUnit, reasoningSpread, reading.KindPuzzle)
		},
		null:        "The reasoning of {target} is no closer in style to that of our model, beyond its closeness to other teachers', than a control's.",
		alternative: "The reasoning of {target} is closer in style to that of our model than any control's.",
	}
}

const reasoningUnit = "closeness of reasoning (cosine of z-scores, Delta)"

// reasoningSpread is that of scripted models with traces of 120 words.
var reasoningSpread = spread{between: .1, within: .3}

// The blocks of features: pivot words by their place in the list, and forms.
const (
	pivotFeatures = 64
	formFeatures  = 24
	backtracking  = formFeatures - 1 // its place among the forms
)

// runC5 compares how models reason.
func runC5(ctx context.Context, ins []*Input) ([]*Output, error) {
	tests := make([]*styled, len(ins))
	for i, in := range ins {
		var err error
		tests[i], err = newStyled(in, &say{
			statistic: "the double-centred closeness of the target's reasoning to ours: the mean over puzzles of Delta in its cosine form, on pivot words and on the form of steps alike",
			unit:      reasoningUnit, extractor: reasoningExtractor, versus: true,
			shared: true, // in the scale of the z-scores
		}, reading.KindPuzzle)
		if err != nil {
			return nil, err
		}
	}
	where := places{}
	return compareStyle(ctx, tests, &style{
		blocks: []int{pivotFeatures, pivotFeatures + formFeatures},
		extract: func(a *Answer) []feature {
			text, _ := reasoningOf(&a.Reply)
			return reasoningForm(a.Item.Prompt.Lang, text)
		},
		note: where.note, traits: where.traits,
	})
}

// reasoningOf is the text in which a reply reasons, and where it stands.
func reasoningOf(r *ledger.Reply) (text, where string) {
	if strings.TrimSpace(r.Reasoning) != "" {
		return clip(r.Reasoning), "separate"
	}
	if inline, _ := splitThinking(clip(r.Text)); strings.TrimSpace(inline) != "" {
		return inline, "inline"
	}
	return clip(r.Text), "visible"
}

// places count where each side's reasoning was read: traces and visible answers are not
// the same kind of text.
type places map[*ledger.Target]map[string]int

func (w places) note(t *ledger.Target, a *Answer) {
	if w[t] == nil {
		w[t] = map[string]int{}
	}
	_, where := reasoningOf(&a.Reply)
	w[t][where]++
}

// most is where most of a target's reasoning stands, the first of equals.
func (w places) most(t *ledger.Target) string {
	out := ""
	for _, where := range []string{"separate", "inline", "visible"} {
		if out == "" || w[t][where] > w[t][out] {
			out = where
		}
	}
	return out
}

// traits describe it.
func (w places) traits(sd *sides) []ledger.Trait {
	if sd.ours == nil {
		return nil
	}
	out := ledger.Trait{Name: "where most of the reasoning stands", Rival: w.most(sd.rival), Ours: w.most(sd.ours), Of: len(sd.controls)}
	for _, c := range sd.controls {
		if w.most(c) == out.Ours {
			out.Alike++
		}
	}
	return []ledger.Trait{out}
}

// reasoningForm extracts the features of a trace.
func reasoningForm(lang, text string) []feature {
	lower := reading.Fold(text)
	size := float64(weight(lower))
	if size == 0 {
		return nil
	}
	words, ok := pivots[lang]
	if !ok {
		words = pivots["en"]
	}
	var counts [pivotFeatures]float64
	for i, w := range words {
		counts[i] = float64(occurrences(lower, w))
	}
	const per = 1000 // letters
	f := rates(nil, 0, counts[:], size/per)
	list, ok := backtracks[lang]
	if !ok {
		list = backtracks["en"]
	}
	forms := formsOf(lang, text, size)
	for _, w := range list {
		forms[backtracking] += float64(occurrences(lower, w)) * per / size
	}
	return rates(f, pivotFeatures, forms[:], 1)
}

// formsOf are the features of form: lengths, steps, signs and scripts.
func formsOf(lang, text string, size float64) [formFeatures]float64 {
	var out [formFeatures]float64
	steps := sentencesOf(text)
	var lengths []float64
	short, long := 0., 0.
	for _, s := range steps {
		n := float64(weight(s))
		lengths = append(lengths, math.Log1p(n))
		if n < 20 {
			short++
		}
		if n > 120 {
			long++
		}
	}
	mean, spread := 0., 0.
	for _, l := range lengths {
		mean += l / float64(len(lengths))
	}
	for _, l := range lengths {
		spread += square(l-mean) / float64(len(lengths))
	}
	out[0], out[1], out[2] = math.Log1p(size), mean, math.Sqrt(spread)
	out[3], out[4] = short/float64(len(steps)), long/float64(len(steps))
	lines, blank, listed, heads := 0., 0., 0., 0.
	for l := range strings.Lines(text) {
		lines++
		l = strings.TrimSpace(l)
		r, _ := utf8.DecodeRuneInString(l)
		switch {
		case l == "":
			blank++
		case r == '-' || r == '•' || unicode.IsDigit(r) && strings.ContainsAny(l[:min(len(l), 4)], ".)"):
			listed++
		case r == '#' || strings.HasPrefix(l, "**"):
			heads++
		}
	}
	out[5], out[6], out[7], out[8] = 1000*lines/size, blank/lines, listed/lines, heads/lines
	han, latin, letters, changes, last := 0., 0., 0., 0., -1
	for _, r := range text {
		if r < utf8.RuneSelf {
			if at := signPlace[r]; at > 0 {
				out[8+at] += 1000 / size
			}
		} else if strings.ContainsRune("—–…", r) {
			out[15] += 1000 / size
		}
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		kind := 0
		switch {
		case reading.Unbroken(r):
			han++
			kind = 1
		case unicode.Is(unicode.Latin, r):
			latin++
		}
		if last >= 0 && kind != last {
			changes++
		}
		last = kind
	}
	// Letters of another script than the prompt's: a change of language.
	foreign := letters - latin
	if lang == "zh" || lang == "ja" {
		foreign = letters - han
	}
	out[20], out[21], out[22] = foreign/max(letters, 1), 1000*changes/size, 1000*float64(len(numbers(text)))/size
	return out
}

// signPlace numbers the signs whose rates are features, from 1.
var signPlace = [utf8.RuneSelf]int{
	'?': 1, '!': 2, '=': 3, ':': 4, ';': 5, '"': 6, '(': 8, ')': 8, '\\': 9, '$': 9, '*': 10, '_': 10, '`': 11,
}

// occurrences counts a word or phrase in folded text, as whole words in scripts that
// part them.
func occurrences(text, phrase string) int {
	n := 0
	for from := 0; ; {
		at := strings.Index(text[from:], phrase)
		if at < 0 {
			return n
		}
		at += from
		end := at + len(phrase)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if (at == 0 || !wordy(before)) && (end == len(text) || !wordy(after)) {
			n++
		}
		from = end
	}
}
