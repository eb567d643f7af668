package family

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// TokenizerSlope is the family of this file: C7. A server counts the tokens of its
// prompts, so a unit of text repeated k times tells how many tokens of ITS tokenizer
// a unit has: the slope of usage.prompt_tokens on k, in which the chat's frame
// cancels. Models with one tokenizer have the same slope on every unit.
const TokenizerSlope = "C7"

const slopeExtractor = "slope-1: usage.prompt_tokens at the largest and the smallest positive number of repeats, median over samples"

// minUnits is how many units a tokenizer is told by: with fewer, kin that share most
// of their merges cannot be told apart.
const minUnits = 30

func c7Family() Family {
	return Family{
		ID: TokenizerSlope, Name: "tokenizer", Tier: ledger.Comparative,
		Rung:  "H_wt: uses our weights, or at least our tokenizer",
		Needs: []string{"chat", "usage"}, run: together(alone(runC7)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, slopeUnit, slopeSpread, reading.KindUnits)
		},
		null:        "The tokenizer of {target} has no more in common with that of our model than a control's has.",
		alternative: "The tokenizer of {target} counts as that of our model does, where few other tokenizers do.",
	}
}

const slopeUnit = "share of the bits by which our tokenizer differs from others"

// slopeSpread is that of scripted tokenizers, some of which are shared.
var slopeSpread = spread{between: .05, within: .35}

// slopes are a tokenizer's, by unit and language; NaN where it was not measured.
type slopes []float64

// runC7 compares slopes.
func runC7(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the double-centred share of bits on which the target's tokens per unit are those of our tokenizer; a unit has -log2 of the share of other tokenizers with our slope",
		unit:      slopeUnit, extractor: slopeExtractor,
		hi: 1, shared: true, // in which tokenizers are one, by which units are weighed
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(reading.KindUnits)
	if err != nil {
		return nil, err
	}
	units := measuredUnits(in, r)
	type tokensOf = map[*ledger.Prompt][]float64
	counts, err := tables(ctx, in, slopeExtractor, sd.everybody(), func(*ledger.Target) tokensOf { return tokensOf{} },
		func(a *Answer) (float64, bool) {
			u := a.Reply.Usage
			return promptTokens(u), u != nil && u.PromptTokens > 0 && r.of[a.Item.Prompt] != nil && a.Reply.Outcome != ledger.Drifted
		},
		func(of tokensOf, a *Answer, n float64) { of[a.Item.Prompt] = append(of[a.Item.Prompt], n) })
	if err != nil {
		return nil, err
	}
	measured := map[*ledger.Target]slopes{}
	for t, of := range counts {
		measured[t] = slopesOf(units, func(p *ledger.Prompt) float64 { return median(of[p]) })
	}
	for _, n := range counts[sd.rival] {
		s.replies += int64(len(n))
	}
	known, err := in.knownTokenizers(units)
	if err != nil {
		return nil, err
	}
	kinds := groupTokenizers(sd, known, measured)
	kinds.merge(sd)
	g := newAgreement(sd)
	for k, u := range units {
		c := g.cell(u.item, "", u.few, u.many)
		for i, row := range g.rows {
			for j, column := range g.teachers {
				a, b := measured[row][k], measured[column][k]
				if row == column || math.IsNaN(a) || math.IsNaN(b) {
					continue
				}
				bits := -math.Log2(kinds.commonness(k, b, kinds.of[row], kinds.of[column]))
				alike := 0.
				if sameSlope(a, b) {
					alike = 1
				}
				g.set(c, i, j, alike, bits)
			}
		}
	}
	if sd.ours != nil {
		s.traits = fits(sd, known, measured)
	}
	out := in.compare(sd, g, s)
	if out.Finding.Comparison != nil && out.Finding.N < minUnits {
		out.Warnings = append(out.Warnings, WarnFewUnits)
	}
	return out, nil
}

func promptTokens(u *ledger.Usage) float64 {
	if u == nil {
		return 0
	}
	return float64(u.PromptTokens)
}

// unit is one repeated text in one language, with its shortest and longest prompt.
type unit struct {
	item         int
	few, many    *ledger.Prompt
	from, repeat int // repeats in few, and in many beyond that
}

// measuredUnits pairs the prompts of each unit. Prompts without a repeat are left
// out of the slope: the frame's last token may merge with the first unit.
func measuredUnits(in *Input, r *readings) []unit {
	type key struct {
		item int
		lang string
	}
	place := map[key]int{}
	var units []unit
	for _, p := range in.Prompts() {
		x := r.of[p]
		if x == nil || x.Repeats == 0 {
			continue
		}
		k := key{r.item[p], p.Lang}
		at, ok := place[k]
		if !ok {
			at = len(units)
			place[k] = at
			units = append(units, unit{item: k.item, few: p, many: p})
		}
		u := &units[at]
		if x.Repeats < r.of[u.few].Repeats {
			u.few = p
		}
		if x.Repeats > r.of[u.many].Repeats {
			u.many = p
		}
	}
	units = slices.DeleteFunc(units, func(u unit) bool { return u.few == u.many })
	for i := range units {
		u := &units[i]
		u.from = r.of[u.few].Repeats
		u.repeat = r.of[u.many].Repeats - u.from
	}
	return units
}

// slopesOf turns counts of prompts into tokens per unit.
func slopesOf(units []unit, count func(*ledger.Prompt) float64) slopes {
	out := make(slopes, len(units))
	for i, u := range units {
		out[i] = (count(u.many) - count(u.few)) / float64(u.repeat)
	}
	return out
}

// sameSlope reports whether two slopes differ by less than a token over 32 repeats:
// counts are whole numbers over the same repeats, so that this is equality.
func sameSlope(a, b float64) bool { return math.Abs(a-b) < 1./64 }

// median is the median of a sample, NaN of none.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// tokenizer is one that was not asked but computed.
type tokenizer struct {
	name string
	slopes
}

// knownTokenizers are those that the program and the plan's keys know.
func (in *Input) knownTokenizers(units []unit) ([]tokenizer, error) {
	var out []tokenizer
	add := func(name string, t watermark.Tokenizer) error {
		var failed error
		s := slopesOf(units, func(p *ledger.Prompt) float64 {
			ids, err := t.Encode(p.Text)
			if err != nil {
				failed = fmt.Errorf("test %s: tokenise prompt %s: %w", in.Test.ID, p.ID, err)
			}
			return float64(len(ids))
		})
		out = append(out, tokenizer{name, s})
		return failed
	}
	for _, name := range []string{"cl100k", "o200k"} {
		t, err := tokens.Get(name)
		if err != nil {
			return nil, err
		}
		if err := add(name, t); err != nil {
			return nil, err
		}
	}
	for i := range in.plan.Keys {
		var spec watermark.Spec
		if json.Unmarshal(in.plan.Keys[i].Spec, &spec) != nil || spec.Tokenizer == "" ||
			slices.ContainsFunc(out, func(t tokenizer) bool { return t.name == spec.Tokenizer }) {
			continue
		}
		r, err := in.readers.forKey(&watermark.Key{Spec: spec})
		if err != nil {
			continue // not at hand: what was measured at our own endpoint counts
		}
		if err := add(spec.Tokenizer, r.tokenizer); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// kinds are the different tokenizers among all that were asked or are known. Many
// models share one, and are one observation: counted one by one, twenty models of
// ten tokenizers would make an innocent with a tokenizer of its own come first in one
// audit of eleven, not of twenty-one.
type kinds struct {
	of     map[*ledger.Target]int
	slopes []slopes // of the first of each kind
}

// groupTokenizers sorts all but students by their slopes.
func groupTokenizers(sd *sides, known []tokenizer, measured map[*ledger.Target]slopes) *kinds {
	k := &kinds{of: map[*ledger.Target]int{}}
	enter := func(s slopes) int {
		at := slices.IndexFunc(k.slopes, func(t slopes) bool { return sameTokenizer(s, t) })
		if at < 0 {
			at = len(k.slopes)
			k.slopes = append(k.slopes, s)
		}
		return at
	}
	for _, t := range slices.Concat(sd.columns(), sd.controls, []*ledger.Target{sd.rival}, sd.students) {
		k.of[t] = enter(measured[t])
	}
	for _, t := range known {
		enter(t.slopes)
	}
	return k
}

// sameTokenizer reports whether two tokenizers have the same slope on every unit that
// was measured of both, which must be most of them.
func sameTokenizer(a, b slopes) bool {
	both := 0
	for k := range a {
		if math.IsNaN(a[k]) || math.IsNaN(b[k]) {
			continue
		}
		if !sameSlope(a[k], b[k]) {
			return false
		}
		both++
	}
	return 2*both > len(a)
}

// merge leaves one control of each tokenizer: the first in the plan.
func (k *kinds) merge(sd *sides) {
	first := map[int]*ledger.Target{}
	var kept []*ledger.Target
	for _, c := range sd.controls {
		if other := first[k.of[c]]; other != nil && c != sd.previous {
			sd.not = append(sd.not, c.Name+" has the tokenizer of "+other.Name+", which counts once")
			continue
		}
		first[k.of[c]] = c
		kept = append(kept, c)
	}
	sd.controls = kept
}

// commonness is the share of other tokenizers whose slope on a unit is that of a
// teacher: add-half (Krichevsky and Trofimov), so that a slope that nobody else has
// is not infinitely rare. Neither the source's tokenizer nor the teacher's counts, so
// that rival and controls are weighed alike.
func (k *kinds) commonness(unit int, slope float64, source, teacher int) float64 {
	have, all := .5, 1.
	for i, s := range k.slopes {
		if i == source || i == teacher || math.IsNaN(s[unit]) {
			continue
		}
		all++
		if sameSlope(s[unit], slope) {
			have++
		}
	}
	return have / all
}

// fits describes which tokenizer fits best, and how many controls have all of ours.
func fits(sd *sides, known []tokenizer, measured map[*ledger.Target]slopes) []ledger.Trait {
	agree := func(a, b slopes) (same, both int) {
		for k := range a {
			if math.IsNaN(a[k]) || math.IsNaN(b[k]) {
				continue
			}
			both++
			if sameSlope(a[k], b[k]) {
				same++
			}
		}
		return same, both
	}
	best := func(a slopes) string {
		text, most := "none of those known", 0
		for _, t := range known {
			if same, both := agree(a, t.slopes); same > most {
				text, most = fmt.Sprintf("%s (%d of %d units)", t.name, same, both), same
			}
		}
		return text
	}
	ours := measured[sd.ours]
	same, both := agree(measured[sd.rival], ours)
	whole := ledger.Trait{Name: "units with our slope", Rival: fmt.Sprintf("%d of %d", same, both), Ours: "all", Of: len(sd.controls)}
	fit := ledger.Trait{Name: "known tokenizer that fits best", Rival: best(measured[sd.rival]), Ours: best(ours), Of: len(sd.controls)}
	for _, t := range sd.controls {
		if same, both := agree(measured[t], ours); both > 0 && same == both {
			whole.Alike++
		}
		if best(measured[t]) == fit.Ours {
			fit.Alike++
		}
	}
	return []ledger.Trait{whole, fit}
}
