package family

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// KeyedChoice is the family of this file: E3, keyed free choice. Our API renders
// each of many things in one of two equally good ways, and a secret bit per item,
// drawn from a canary key, says in which. A rival that learned from our replies
// leans to the same side.
//
// The unit is the item, since all its languages, wordings and samples share one
// bit: s_i = (hits - misses)/decisive over them all, 0 where nothing was decisive.
// T = Σ s_i is compared with what other bits would have made of the same replies:
// the law of Σ ±s_i with fair independent signs, which is computed exactly. All
// items enter, whatever was served of them.
const KeyedChoice = "E3"

func e3Family() Family {
	return Family{
		ID: KeyedChoice, Name: "keyed free choice", Tier: ledger.Exact, Key: CanaryKey,
		Rung:  "H_cohort if the key's bits were followed for one cohort alone, else H_any: trained on, or otherwise dependent on, replies that followed this key",
		Needs: []string{"chat"}, Anytime: true, Listed: true, Whole: true, run: alone(runE3), power: powerE3,
		null:        "Which of two renderings {target} chooses is statistically independent of the bits of secret key {key}, which were drawn at random, one per item.",
		alternative: "Which of two renderings {target} chooses depends on the bits of secret key {key}.",
		meaning:     "The choices of {target} depend on the bits of key {key}: training on replies that followed them, forwarding of requests to our service, use of our weights, or retrieval of such replies would each explain this; other tests are needed to tell them apart.",
	}
}

// choiceExtractor is the version of [decides].
const choiceExtractor = "free-choice/1"

// decides returns which of two renderings a reply chose: the only one of which a
// form stands in it. A reply with none, or with both, decides nothing: which of
// two comes first may echo the prompt.
func decides(r *reading.Reading, reply string) (option int, ok bool) {
	found := r.Mentions(reply)
	if len(found) != 1 {
		return 0, false
	}
	return found[0], true
}

// choiceItem is all that was observed of one item.
type choiceItem struct {
	name, version string
	placebo       bool
	category      string
	votes         [2]int64            // replies that chose an option
	langs         map[string][2]int64 // by language
	planned, got  int
	last          uint64 // ledger event of its last reply
}

// lean is (a - b)/(a + b), the share by which the first option was preferred.
func lean(votes [2]int64) float64 {
	n := votes[0] + votes[1]
	if n == 0 {
		return 0
	}
	return float64(votes[0]-votes[1]) / float64(n)
}

// choiceTable is the items of a test, in the order of the plan's prompts, and which
// prompt is of which.
type choiceTable struct {
	items []*choiceItem
	of    map[[2]string]choicePrompt // by suite and id
}

type choicePrompt struct {
	item *choiceItem
	read *reading.Reading
}

func newChoiceTable(in *Input) (*choiceTable, error) {
	t := &choiceTable{of: map[[2]string]choicePrompt{}}
	byUnit := map[[2]string]*choiceItem{}
	for _, p := range in.Prompts() {
		r, err := in.Reading(p)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Kind != reading.KindFreeChoice {
			return nil, fmt.Errorf("test %s: prompt %s of suite %s is no free choice", in.Test.ID, p.ID, p.Suite)
		}
		// The bit is drawn from item and version: what shares them is one unit.
		unit := [2]string{r.Item, in.drawVersion(p)}
		it := byUnit[unit]
		if it == nil {
			it = &choiceItem{name: unit[0], version: unit[1], placebo: r.Placebo, category: p.Category, langs: map[string][2]int64{}}
			byUnit[unit] = it
			t.items = append(t.items, it)
		}
		it.placebo = it.placebo || r.Placebo
		it.planned += in.SamplesOf(p)
		t.of[[2]string{p.Suite, p.ID}] = choicePrompt{it, r}
	}
	return t, nil
}

// add enters a settled attempt, of any class, and returns its item.
func (t *choiceTable) add(a *Answer) *choiceItem {
	p := a.Item.Prompt
	q := t.of[[2]string{p.Suite, p.ID}]
	it := q.item
	it.got++
	it.last = max(it.last, a.Seq)
	if a.Reply.Outcome != ledger.OK {
		return it
	}
	if option, ok := decides(q.read, a.Reply.Text); ok {
		it.votes[option]++
		v := it.langs[p.Lang]
		v[option]++
		it.langs[p.Lang] = v
	}
	return it
}

// choiceItems gathers the items of a test from its replies.
func choiceItems(ctx context.Context, in *Input) (items []*choiceItem, replies int64, err error) {
	t, err := newChoiceTable(in)
	if err != nil {
		return nil, 0, err
	}
	for a, err := range in.Replies(in.Target.Name) {
		if err != nil {
			return nil, 0, err
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		t.add(a)
		if a.Reply.Outcome == ledger.OK {
			replies++
		}
	}
	return t.items, replies, nil
}

// The lattices on which s_i is counted. 840 is the least common multiple of 1 to 8,
// so that up to eight decisive replies to an item are counted exactly; of others s_i
// is rounded, which leaves its law exact, since rounding is the same on both sides
// of 0. Very many items take a coarser one, so that the convolution ends in seconds.
var choiceLattices = []struct {
	items int
	parts int64
}{{4000, 840}, {20_000, 60}, {math.MaxInt, 12}}

// choiceLattice is the number of parts of 1 in which s_i is counted for so many items.
func choiceLattice(items int) int64 {
	for _, l := range choiceLattices {
		if items <= l.items {
			return l.parts
		}
	}
	return 1
}

// onLattice is s_i towards option 0, in parts of 1.
func (it *choiceItem) onLattice(parts int64) int64 {
	return int64(math.Round(lean(it.votes) * float64(parts)))
}

// keyedChoice is the statistic of some items, before any bit is known.
type keyedChoice struct {
	items []*choiceItem
	lean  []int64 // towards option 0, on the lattice
	parts int64
	law   *evidence.DrawSum
}

func newKeyedChoice(items []*choiceItem) *keyedChoice {
	k := &keyedChoice{items: items, parts: choiceLattice(len(items))}
	draws := make([]evidence.Draw, len(items))
	for i, it := range items {
		v := it.onLattice(k.parts)
		k.lean = append(k.lean, v)
		draws[i] = evidence.Draw{v, -v}
	}
	k.law = evidence.NewDrawSum(draws)
	return k
}

// signs are +1 where the secret's bit prefers option 0, else -1.
func (k *keyedChoice) signs(secret []byte) []int64 {
	out := make([]int64, len(k.items))
	for i, it := range k.items {
		out[i] = 1 - 2*int64(canary.Bit(secret, it.name, it.version))
	}
	return out
}

// score is T under the signs, on the lattice.
func (k *keyedChoice) score(signs []int64) int64 {
	var t int64
	for i, v := range k.lean {
		t += v * signs[i]
	}
	return t
}

// squares is Σ s_i² on the lattice.
func (k *keyedChoice) squares() float64 {
	ss := 0.
	for _, v := range k.lean {
		ss += float64(v) * float64(v)
	}
	return ss
}

// lifts are half of each item's s_i: by how much its share of keyed renderings
// exceeds 1/2.
func (k *keyedChoice) lifts(signs []int64) []float64 {
	out := make([]float64, len(k.lean))
	for i, v := range k.lean {
		out[i] = float64(v*signs[i]) / float64(k.parts) / 2
	}
	return out
}

// decoys scores redrawn bits.
func (k *keyedChoice) decoys(ctx context.Context, in *Input, observed int64) (*ledger.DecoyFinding, error) {
	if in.Decoys == 0 {
		return nil, nil
	}
	scores := make([]float64, in.Decoys)
	done := counter(in.Progress)
	err := onAllCores(in.Decoys, func(i int) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		scores[i] = float64(k.score(k.signs(decoySecret(in.DecoySeed, canary.UseFreeChoice, i))))
		done()
		return nil
	})
	if err != nil {
		return nil, err
	}
	judged := k.law.JudgeDecoys(float64(observed), scores, binary.LittleEndian.Uint64(in.DecoySeed[:]))
	return decoyFinding(judged, scores, evidence.Tail{Mean: k.law.Mean(), SD: k.law.SD()}), nil
}

// bets is the wealth W of the e-process of keyed choices so far.
type bets struct{ log10W, sum, squares float64 }

// enter multiplies W by what the next item makes of its stake.
func (b *bets) enter(s float64) {
	stake := min(max((.5+b.sum)/(5+b.squares), 0), .5)
	b.log10W += math.Log1p(stake*s) * math.Log10E
	b.sum += s
	b.squares += s * s
}

// anytime is log10 of W = Π(1 + λ_i s_i) over the items whose replies are all in, in
// the order in which they became so, or in that of the list that was committed to: under the null every factor has mean 1 given
// the past, since the item's bit is drawn by itself. λ_i in [0, 1/2] is
//
//	λ_i = (½ + Σ s_j)/(5 + Σ s_j²), j < i,
//
// the growth-optimal stake for a small mean, held down at first by a prior of five
// items with mean 1/10 (Waudby-Smith & Ramdas, "Estimating means of bounded random
// variables by betting", J. R. Stat. Soc. B 86, 2024, section 4).
func (k *keyedChoice) anytime(signs []int64, listed bool) float64 {
	order := make([]int, 0, len(k.items))
	for i, it := range k.items {
		if it.got >= it.planned {
			order = append(order, i)
		}
	}
	if !listed {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(k.items[a].last, k.items[b].last) })
	}
	var b bets
	for _, i := range order {
		b.enter(float64(k.lean[i]*signs[i]) / float64(k.parts))
	}
	return b.log10W
}

// runningChoice is the e-process of keyed choices while replies come in: an item enters
// when its last reply is in, whatever class that is of.
type runningChoice struct {
	table  *choiceTable
	secret []byte
	parts  int64
	known  map[[2]string]bool // items of the first run, which do not count again
	bets
}

func newRunningChoice(in *Input, known map[[2]string]bool) (*runningChoice, error) {
	secret, err := canarySecret(in, canary.UseFreeChoice)
	if err != nil {
		return nil, err
	}
	table, err := newChoiceTable(in)
	if err != nil {
		return nil, err
	}
	r := &runningChoice{table: table, secret: secret, known: known}
	planted := 0
	for _, it := range table.items {
		if r.enters(it) {
			planted++
		}
	}
	r.parts = choiceLattice(planted)
	return r, nil
}

func (r *runningChoice) enters(it *choiceItem) bool {
	return !it.placebo && !r.known[[2]string{it.name, it.version}]
}

func (r *runningChoice) add(a *Answer) error {
	it := r.table.add(a)
	if it.got == it.planned && r.enters(it) {
		sign := 1 - 2*int64(canary.Bit(r.secret, it.name, it.version))
		r.enter(float64(sign*it.onLattice(r.parts)) / float64(r.parts))
	}
	return nil
}

func (r *runningChoice) log10E() float64 { return r.log10W }

// Log10Placebo is where a placebo counts as failed: nothing was planted on it, so
// that a test with sound bits gets there once in a thousand audits.
const Log10Placebo = -3

func runE3(ctx context.Context, in *Input) (*Output, error) {
	all, replies, err := choiceItems(ctx, in)
	if err != nil {
		return nil, err
	}
	var before []*choiceItem // of the first run
	if in.earlier != nil {
		if before, _, err = choiceItems(ctx, in.earlier); err != nil {
			return nil, err
		}
		all = newItems(all, before)
	}
	secret, err := canarySecret(in, canary.UseFreeChoice)
	if err != nil {
		return nil, err
	}
	var planted, placebo []*choiceItem
	for _, it := range all {
		if it.placebo {
			placebo = append(placebo, it)
		} else {
			planted = append(planted, it)
		}
	}
	k := newKeyedChoice(planted)
	signs := k.signs(secret)
	score := k.score(signs)
	tail := k.law.Tail(score)
	scale := float64(k.parts)
	effect := evidence.MeanInterval(k.lifts(signs))
	f := canaryFinding(in)
	f.Replies, f.N, f.Extractor = replies, int64(len(planted)), choiceExtractor
	f.Statistic = "the sum over items of (hits - misses)/decisive replies; an item without a decisive reply adds 0"
	f.Score, f.Mean, f.SD = float64(score)/scale, 0, tail.SD/scale
	f.PlainScore = f.Score
	f.Effect, f.EffectLo, f.EffectHi, f.EffectUnit = effect.Value, effect.Lo, effect.Hi, effectE3
	f.Parts = k.parted(signs)
	f.Power.Units, f.Power.EffectUnit = f.N, effectE3
	f.Power.Effect = k.detectable(in)
	f.Power.Log10Floor = k.law.Floor()
	if tail.SD == 0 { // nothing was decisive
		f.N = 0
		return &Output{Finding: f}, nil
	}
	if f.Decoys, err = k.decoys(ctx, in, score); err != nil {
		return nil, err
	}
	var warnings []Warning
	if len(placebo) > 0 {
		q := newKeyedChoice(placebo)
		signs := q.signs(secret)
		f.Parts = append(f.Parts, part("placebo", int64(len(placebo)), evidence.MeanInterval(q.lifts(signs))))
		if q.law.Tail(q.score(signs)).Log10P <= Log10Placebo {
			f.Withheld = "bits that were drawn and never followed show a signal, too, so something other than what was planted carries the key"
		}
	} else {
		warnings = append(warnings, WarnNoPlacebo)
	}
	out := settle(in, f, tail, k.anytime(signs, in.listed))
	if out.Finding.Log10P != nil {
		out.Finding.Log10PBound = number(evidence.Log10SignBound(float64(score), k.squares()))
	}
	out.Warnings = warnings
	if in.earlier != nil {
		k.join(out, before, secret)
	}
	return out, nil
}

// newItems are the items that a first run did not have: their bits are still
// unlooked at.
func newItems(items, before []*choiceItem) []*choiceItem {
	known := map[[2]string]bool{}
	for _, it := range before {
		known[[2]string{it.name, it.version}] = true
	}
	var out []*choiceItem
	for _, it := range items {
		if !known[[2]string{it.name, it.version}] {
			out = append(out, it)
		}
	}
	return out
}

// join adds the pooled figures: the items of both runs, each once, as one test.
func (k *keyedChoice) join(out *Output, before []*choiceItem, secret []byte) {
	both := slices.Clone(k.items)
	for _, it := range before {
		if !it.placebo {
			both = append(both, it)
		}
	}
	q := newKeyedChoice(both)
	score := q.score(q.signs(secret))
	tail, scale := q.law.Tail(score), float64(q.parts)
	out.join(int64(len(both)), float64(score)/scale, 0, tail.SD/scale, tail.Log10P)
}

const effectE3 = "share of keyed renderings above 1/2"

// parted is the effect by language and by category.
func (k *keyedChoice) parted(signs []int64) []ledger.Part {
	langs, categories := map[string][]float64{}, map[string][]float64{}
	for i, it := range k.items {
		for lang, votes := range it.langs {
			langs[lang] = append(langs[lang], lean(votes)*float64(signs[i])/2)
		}
		if it.votes[0]+it.votes[1] > 0 {
			categories[it.category] = append(categories[it.category], lean(it.votes)*float64(signs[i])/2)
		}
	}
	var parts []ledger.Part
	for _, by := range []map[string][]float64{langs, categories} {
		if len(by) < 2 {
			continue // the whole once more
		}
		for _, name := range slices.Sorted(maps.Keys(by)) {
			if name != "" {
				parts = append(parts, part(name, int64(len(by[name])), evidence.MeanInterval(by[name])))
			}
		}
	}
	return parts
}

// detectable is the smallest lift that these items would have shown with power .9, as
// the mean over all of them, those that decided nothing included. 0 if there is none.
func (k *keyedChoice) detectable(in *Input) float64 {
	level := in.Log10Alpha
	if in.Test.Mode == ledger.ModeAnytime {
		level -= anytimeCost
	}
	known := k.law.Detectable(level, PowerLevel)
	if math.IsInf(known, 1) {
		return 0
	}
	sum := 0.
	for _, v := range k.lean {
		sum += math.Abs(float64(v))
	}
	return known / 2 * sum / float64(k.parts) / float64(len(k.lean))
}

// powerE3 supposes one decisive reply to every item: several that agree are no
// more than that, and several that do not agree weigh less.
func powerE3(t *PlannedTest) (ledger.PowerRow, error) {
	items, err := t.items(reading.KindFreeChoice)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	law, n := evidence.Bernoulli(.5), evidence.Plain(int64(items))
	row := ledger.PowerRow{
		Units: int64(items), EffectUnit: effectE3, Log10Floor: float64(items) * math.Log10(.5),
		Effect: DetectableEffect(law, n, t.Test.Mode, t.Log10Alpha),
	}
	level := t.Log10Alpha
	if t.Test.Mode == ledger.ModeAnytime {
		level -= anytimeCost
	}
	for _, lift := range at(t.Effects, .02, .05, .1, .2) {
		row.At = append(row.At, ledger.PowerAt{Effect: lift, Power: law.Power(n, lift, level), Units: law.UnitsNeeded(lift, level, PowerLevel)})
	}
	return row, nil
}
