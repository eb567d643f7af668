package watermark

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// Item is one text to score: a reply, a document.
type Item struct {
	ID string
	// Prompt is everything that the model was given: prompt and system text.
	// Windows that occur in it are dropped, because the key's colours may
	// have come in through it.
	Prompt []int32
	// Tokens is the text in the marked model's own tokenizer.
	Tokens []int32
	// Entropies are those of the distributions that the tokens were drawn from, or
	// of a proxy's, one for each token and in any unit; for WeightsEntropy only.
	// They must not depend on the key: the distributions are those before the mark.
	Entropies []float64
}

// Values of Options.Weights.
const (
	WeightsNone = "none" // every distinct unit counts once
	WeightsMin8 = "min8" // a unit that occurred c times weighs min(c, 8)
	WeightsAuto = "auto" // min8 for gumbel and tournament, none for green lists
	// WeightsEntropy weighs a unit by how open its token's choice was, as textseal
	// does: .1 + .9·(H - min H)/(max H - min H) over the item, here in eighths, so
	// that the null law of the weighted sum is known. Of a repeated unit the
	// greatest weight counts.
	WeightsEntropy = "entropy"
)

// Options of a Detector, declared before the data is seen.
type Options struct {
	// Weights is WeightsAuto when empty.
	Weights string
	// Dedup is DedupUnit when empty.
	Dedup string
	// Statistic is StatisticSum when empty.
	Statistic string
	// Keep, if set, says which windows are scored at all; see [WindowSet].
	Keep func(window []int32) bool
	// Skip, if set, says which units were scored before, in a run that this one is
	// to be independent of: they are repeats. See [Detector.Has].
	Skip func(window []int32, token int32) bool
	// Spill, if set, bounds the run's memory; items are then given to [Detector.Enter].
	Spill *Spill
}

// Values of Options.Statistic: what a unit of a preset with layers scores.
const (
	StatisticSum = "sum" // the ones among its g-values
	// StatisticWeightedMean weighs the layers as SynthID-Text's weighted mean does.
	// Only decoys know its law.
	StatisticWeightedMean = "weighted-mean"
)

// CheckStatistic says whether a scheme has a statistic.
func CheckStatistic(statistic, scheme string) error {
	switch statistic {
	case "", StatisticSum:
		return nil
	case StatisticWeightedMean:
		if p, ok := PresetByName(scheme); !ok || !p.DecoysOnly {
			return fmt.Errorf("%s has no layers to weigh: the statistic %s is SynthID's and textseal-synthid's", scheme, statistic)
		}
		return nil
	}
	return fmt.Errorf("statistic %q is not known; use %s or %s", statistic, StatisticSum, StatisticWeightedMean)
}

// Values of Options.Dedup.
const (
	// DedupUnit counts a unit once in the whole run: the rule under which the
	// null law holds.
	DedupUnit = "unit"
	// DedupPeer is the peer's own rule, for reproducing its numbers only: what it
	// counts twice, the null law does not allow for.
	DedupPeer = "peer"
)

// Rules of peers (Preset.PeerDedup). Peers score one text at a time.
const (
	peerNone    = "none"    // every position counts
	peerContext = "context" // a window counts once
	peerPair    = "pair"    // a window counts once with each token
	peerRun     = "run"     // as pair, in the whole run
	peerRing    = "ring"    // positions whose window is not among the last ones, SynthID's mask
)

// ResolveWeights checks a name of weights and turns auto, or none given, into
// what is declared for the scheme. On marked text that a student repeats,
// min8 gained 1.4 times the log of p for gumbel and 1.3 times for tournament
// at the median of fresh seeds; kgw gained nothing dependable.
func ResolveWeights(weights, scheme string) (string, error) {
	preset, isPreset := PresetByName(scheme)
	// Pairs of keys and single lists have no law for weighted units.
	plain := scheme == GumbelDual || scheme == VLLMGumbelDual || scheme == MarkLLMUnigram
	switch weights {
	case WeightsMin8, WeightsEntropy:
		if plain {
			return "", fmt.Errorf("%s has no null law for weighted units; use %s", scheme, WeightsNone)
		}
		return weights, nil
	case WeightsNone:
		return weights, nil
	case WeightsAuto, "":
		if scheme == KGW || plain || isPreset && !preset.min8 {
			return WeightsNone, nil
		}
		return WeightsMin8, nil
	}
	return "", fmt.Errorf("weights %q are not known; use %s, %s, %s or %s", weights, WeightsAuto, WeightsNone, WeightsMin8, WeightsEntropy)
}

// Dropped counts the positions of the run that were not scored as a new unit,
// by the first reason that applies, in this order.
type Dropped struct {
	Short      int64 `json:"short"`        // too few tokens before it for a window, or a window that the key does not enter
	Prompt     int64 `json:"prompt"`       // its window occurs in the item's prompt
	OutOfVocab int64 `json:"out_of_vocab"` // an id of window or token is outside the vocabulary
	Filtered   int64 `json:"filtered"`     // Options.Keep said no
	// Channel counts windows that belong to the key's other channel; see [TwoChannel].
	Channel int64 `json:"other_channel,omitempty"`
	Repeat  int64 `json:"repeat"` // the unit was seen before in the run
}

// Detector scores the texts of one run as one stream under one key.
//
// The unit is (effective input of the generator, token), counted once in the
// whole run, across items: its score is drawn once, so its repetitions are no
// new evidence. The effective input is the window, or for a scheme that sees of
// its window nothing but a seed (a min-hash, a sum, a product) that seed. A
// position is dropped first for a window that occurs in its item's prompt; only
// scored ones count as seen.
//
// A Detector keeps every distinct unit, unless it has a [Spill]: with windows of 2 about 20 to 30
// bytes each (12 for the ids, 1 for the count, 7 to 14 of hash table, and up to
// a quarter of slack in the first two); schemes with seeds keep the distinct
// windows with their tokens besides. It allocates only to grow, and is not safe
// for concurrent use.
type Detector struct {
	scheme  Scheme
	seeded  seeded // scheme, if it has seeds and they count; else nil
	null    null
	keyless keyless // nil: the key enters every seed
	channel channel // nil: one channel
	vocab   int32
	cut     *Cutter
	weights string
	dedup   string
	peer    string // the peer's rule under DedupPeer, else empty
	ring    int    // of peerRing
	keep    func(window []int32) bool
	skip    func(window []int32, token int32) bool
	spill   *Spill
	disk    *spilled // the run's units, once they are not in memory
	failed  error    // of the disk

	pairs tuples  // window, then token
	times []uint8 // per pair: occurrences up to evidence.WeightCap, or its weight
	seeds tuples  // seeded: seed (high, low), then token
	merit []uint8 // per seeded unit: occurrences up to evidence.WeightCap, or its weight
	first []int32 // per seeded unit: its first pair

	statistic string
	heft      []uint8 // scratch: the item's weights by token, WeightsEntropy

	unit     []int32 // scratch
	prompt   tuples  // windows of the current item's prompt
	local    tuples  // what the peer's rule has seen of the current item
	score    float64 // sum over distinct units
	weighted float64 // sum under the declared weights
	items    int64
	clusters evidence.Clusters
	weight   evidence.Counts
	multiple []int64 // DedupPeer: scored occurrences per pair
	dropped  Dropped
	tokens   int64
	foreign  int64   // tokens of items whose id is outside the vocabulary
	strange  []int32 // the first of these ids
}

// seeded is a scheme whose generator sees of a window (and, with self-salt, of
// the token) nothing but a seed.
type seeded interface {
	Scheme
	seedOf(window []int32, token int32) uint64
	// scoreSeed scores several tokens under one seed.
	scoreSeed(seed uint64, tokens []int32, scores []float64)
}

// keyless is a scheme whose key is multiplied with token ids: a product with 0 is
// the same under every key, so that the position says nothing of any. It answers
// without looking at the key, and true where that depends on the key.
type keyless interface {
	keyless(window []int32, token int32) bool
}

// NewDetector starts a run under one key. It clones the scheme. It panics if
// the weights are none that [ResolveWeights] accepts, or the rule of repetition
// is none.
func NewDetector(s Scheme, opt Options) *Detector {
	spec := s.Spec()
	weights, err := ResolveWeights(opt.Weights, spec.Scheme)
	if err != nil {
		panic("watermark: " + err.Error())
	}
	if err := CheckStatistic(opt.Statistic, spec.Scheme); err != nil {
		panic("watermark: " + err.Error())
	}
	h := s.Window()
	d := &Detector{
		vocab:   int32(spec.Vocab),
		weights: weights,
		dedup:   DedupUnit,
		keep:    opt.Keep,
		skip:    opt.Skip,
		spill:   opt.Spill,
		pairs:   newTuples(h + 1),
		seeds:   newTuples(3),
		unit:    make([]int32, max(h+1, 3)),
		prompt:  newTuples(max(h, 1)),
		local:   newTuples(h + 1),
	}
	d.statistic = cmp.Or(opt.Statistic, StatisticSum)
	d.scheme = d.withStatistic(s.Clone())
	d.null = nullOf(d.scheme)
	d.seeded, _ = d.scheme.(seeded)
	d.keyless, _ = d.scheme.(keyless)
	if spec.Params.Tracing > 0 {
		d.channel = d.scheme.(channel)
	}
	d.cut = newCutter(d.scheme)
	switch opt.Dedup {
	case "", DedupUnit:
	case DedupPeer:
		d.dedup, d.weights, d.peer, d.seeded = DedupPeer, WeightsNone, peerPair, nil
		if p, ok := PresetByName(spec.Scheme); ok {
			d.peer = p.PeerDedup
		}
		if d.peer == peerContext || d.peer == peerRing {
			d.local = newTuples(max(h, 1))
		}
		if n, err := strconv.Atoi(spec.Params.Preset.Get("context_history_size")); err == nil {
			d.ring = n
		}
	default:
		panic(fmt.Sprintf("watermark: rule of repetition %q", opt.Dedup))
	}
	return d
}

// Fate says what became of one position.
type Fate string

// The fates of a position. All but FateScored are the reasons of [Dropped].
const (
	FateScored     Fate = "scored"
	FateShort      Fate = "short"
	FatePrompt     Fate = "prompt"
	FateOutOfVocab Fate = "out-of-vocab"
	FateFiltered   Fate = "filtered"
	FateChannel    Fate = "other-channel"
	FateRepeat     Fate = "repeat"
)

// Add scores one item and returns how many units it adds to the run, and their score,
// unweighted. Units that earlier items had are repeats.
func (d *Detector) Add(it Item) (units int64, score float64) { return d.add(it, nil) }

// add scores one item and tells visit, if any, of every position: its fate and,
// unless it has no window or no place in the vocabulary, its score.
func (d *Detector) add(it Item, visit func(i int, f Fate, score float64)) (n int64, score float64) {
	h := d.scheme.Window()
	d.prompt.reset()
	for i := h; h > 0 && i <= len(it.Prompt); i++ {
		d.prompt.insert(it.Prompt[i-h : i])
	}
	d.local.reset()
	d.weigh(it)
	history, at := d.cut.text(it)
	strange := -1 - h // the last position whose id is outside the vocabulary
	for i, id := range history[max(at-h, 0):at] {
		if id < 0 || id >= d.vocab {
			strange = max(at-h, 0) + i
		}
	}
	skipped := len(it.Tokens) - (len(history) - at) // a leading BOS
	for i := range skipped {
		d.dropped.Short++
		if visit != nil {
			visit(i, FateShort, 0)
		}
	}
	for i := at; i < len(history); i++ {
		token := history[i]
		if token < 0 || token >= d.vocab {
			strange = i
			d.name(token)
		}
		window, ok := d.cut.windowOf(history[:i])
		if ok && d.keyless != nil && d.peer == "" && i-strange > h {
			ok = !d.keyless.keyless(window, token)
		}
		f := d.fate(window, ok, i-strange <= h)
		if d.peer == peerRing && ok && f != FateScored {
			d.fresh(window, token) // the peer's ring turns at every position
		}
		var x float64
		if f == FateScored && d.skip != nil && d.skip(window, token) {
			d.dropped.Repeat++
			f = FateRepeat
		}
		if f == FateScored {
			weight := uint8(1)
			if d.weights == WeightsEntropy {
				weight = d.heft[i-at+skipped]
			}
			f, x = d.count(window, token, weight)
		}
		if f == FateScored {
			n++
			score += x
		}
		if visit != nil {
			if ok && i-strange > h {
				x = d.scheme.Score(window, token)
			}
			visit(i-at+skipped, f, x)
		}
	}
	d.tokens += int64(len(it.Tokens))
	d.items++
	d.clusters.Add(n, score)
	return n, score
}

// namedIDs is how many ids outside the vocabulary are remembered: enough to see
// whose they are.
const namedIDs = 8

func (d *Detector) name(id int32) {
	d.foreign++
	if len(d.strange) < namedIDs && !slices.Contains(d.strange, id) {
		d.strange = append(d.strange, id)
	}
}

// OutOfVocab tells of ids outside the vocabulary: how many tokens of the run have
// one, and the first ones. Dropped.OutOfVocab counts the positions that this
// costs, those behind such a token among them.
func (d *Detector) OutOfVocab() (tokens int64, ids []int32) {
	return d.foreign, slices.Clone(d.strange)
}

// fate decides on a window, repetition apart.
func (d *Detector) fate(window []int32, ok, strange bool) Fate {
	switch {
	case !ok:
		d.dropped.Short++
		return FateShort
	case d.prompt.len() > 0 && d.prompt.has(window):
		d.dropped.Prompt++
		return FatePrompt
	case strange:
		d.dropped.OutOfVocab++
		return FateOutOfVocab
	case d.keep != nil && !d.keep(window):
		d.dropped.Filtered++
		return FateFiltered
	case d.channel != nil && !d.channel.ours(window):
		d.dropped.Channel++
		return FateChannel
	}
	return FateScored
}

// count enters one occurrence of a weight; the score it returns is set where the
// occurrence is the first.
func (d *Detector) count(window []int32, token int32, weight uint8) (Fate, float64) {
	if d.peer != "" {
		return d.countPeer(window, token)
	}
	if d.disk != nil {
		if err := d.disk.put(d.pair(window, token), weight); err != nil && d.failed == nil {
			d.failed = err
		}
		return FateRepeat, 0 // until it is known
	}
	u, added, seen := d.enter(window, token, weight)
	if added {
		return d.tally(window, token, weight, 0)
	}
	before := seen[u]
	seen[u] = d.raise(before, weight)
	return d.tally(window, token, weight, before)
}

// tally adds an occurrence to the sums: of a unit that had the weight before, 0 if it is
// the first.
func (d *Detector) tally(window []int32, token int32, weight, before uint8) (Fate, float64) {
	if before == 0 {
		x := d.scheme.Score(window, token)
		d.weight[weight]++
		d.score += x
		d.weighted += float64(weight) * x
		return FateScored, x
	}
	d.dropped.Repeat++
	after := d.raise(before, weight)
	if after != before && d.weights != WeightsNone {
		d.weight[before]--
		d.weight[after]++
		d.weighted += float64(after-before) * d.scheme.Score(window, token)
	}
	return FateRepeat, 0
}

// pair is a unit of window and token, valid until the next one.
func (d *Detector) pair(window []int32, token int32) []int32 {
	h := copy(d.unit, window)
	d.unit[h] = token
	return d.unit[:h+1]
}

// raise is what a repetition makes of a unit's weight: one more occurrence, or the
// greater weight.
func (d *Detector) raise(before, weight uint8) uint8 {
	if d.weights == WeightsEntropy {
		return max(before, weight)
	}
	return min(before+1, evidence.WeightCap)
}

// weigh sets the weights of an item's tokens.
func (d *Detector) weigh(it Item) {
	if d.weights != WeightsEntropy {
		return
	}
	if len(it.Entropies) != len(it.Tokens) {
		panic(fmt.Sprintf("watermark: item %q has %d entropies for %d tokens", it.ID, len(it.Entropies), len(it.Tokens)))
	}
	d.heft = d.heft[:0]
	if len(it.Entropies) == 0 {
		return
	}
	low, high := slices.Min(it.Entropies), slices.Max(it.Entropies)
	for _, h := range it.Entropies {
		share := 1.
		if high > low {
			share = .1 + .9*(h-low)/(high-low)
		}
		d.heft = append(d.heft, uint8(max(1, math.Round(share*evidence.WeightCap))))
	}
}

// withStatistic is the scheme with the run's statistic for its score.
func (d *Detector) withStatistic(s Scheme) Scheme {
	if d.statistic == StatisticWeightedMean {
		return s.(*rounds).weighLayers()
	}
	return s
}

// Has reports whether the run has scored a unit. It is for schemes whose unit is
// the pair of window and token ([Detector.UnitIsPair]), and as little safe for
// concurrent use as the rest.
func (d *Detector) Has(window []int32, token int32) bool {
	d.inMemory("a unit")
	return d.pairs.has(d.pair(window, token))
}

// UnitIsPair reports whether the unit is the pair of window and token itself, under
// every key: so it is unless the generator sees of a window nothing but a seed.
func (d *Detector) UnitIsPair() bool { return d.seeded == nil }

// enter finds the unit of a position: its number, whether it is new (and then
// seen once), and the counts that the number belongs to.
func (d *Detector) enter(window []int32, token int32, weight uint8) (unit int, added bool, seen []uint8) {
	pair, fresh := d.pairs.insert(d.pair(window, token))
	if fresh {
		d.times = append(d.times, weight)
	}
	if d.seeded == nil {
		return pair, fresh, d.times
	}
	if !fresh {
		d.times[pair] = d.raise(d.times[pair], weight)
	}
	seed := d.seeded.seedOf(window, token)
	d.unit[0], d.unit[1], d.unit[2] = int32(uint32(seed>>32)), int32(uint32(seed)), token
	u, added := d.seeds.insert(d.unit[:3])
	if added {
		d.merit = append(d.merit, weight)
		d.first = append(d.first, int32(pair))
	}
	return u, added, d.merit
}

// countPeer enters one occurrence under the peer's rule.
func (d *Detector) countPeer(window []int32, token int32) (Fate, float64) {
	if !d.fresh(window, token) {
		d.dropped.Repeat++
		return FateRepeat, 0
	}
	u, added, _ := d.enter(window, token, 1)
	if added {
		d.multiple = append(d.multiple, 0)
	}
	d.multiple[u]++
	x := d.scheme.Score(window, token)
	d.weight[1]++
	d.score += x
	d.weighted += x
	return FateScored, x
}

// fresh asks the peer's rule whether the occurrence counts.
func (d *Detector) fresh(window []int32, token int32) bool {
	h := len(window)
	switch d.peer {
	case peerNone:
		return true
	case peerRun:
		return !d.pairs.has(d.pair(window, token))
	case peerContext:
		_, added := d.local.insert(window)
		return added
	case peerRing:
		// The last d.ring windows of the item: a window that stands in the flat
		// list within that many entries of its end.
		list := d.local.flat
		for i := len(list) - h; i >= 0 && i >= len(list)-d.ring*h; i -= h {
			if slices.Equal(list[i:i+h], window) {
				d.local.flat = append(list, window...)
				return false
			}
		}
		d.local.flat = append(list, window...)
		return true
	}
	_, added := d.local.insert(d.pair(window, token))
	return added
}

// PlainDetection is the unweighted figure that always stands beside a weighted one.
type PlainDetection struct {
	N     int64         `json:"n"`
	Score float64       `json:"score"`
	Tail  evidence.Tail `json:"tail"`
}

// Detection is what a run shows under one key.
type Detection struct {
	Scheme string       `json:"scheme"`
	PRF    string       `json:"prf"`
	Law    evidence.Law `json:"law"` // of one unit, under the null; see Tail.Method
	Items  int64        `json:"items"`
	Tokens int64        `json:"tokens"` // positions, dropped ones included
	N      int64        `json:"n"`      // distinct units scored
	// Score is the sum of the units' scores under Weights, and Tail its p-value.
	Weights   string          `json:"weights"` // none, min8 or entropy
	Dedup     string          `json:"-"`       // unit or peer
	Statistic string          `json:"-"`       // sum or weighted-mean
	Score     float64         `json:"score"`
	Tail      evidence.Tail   `json:"tail"`
	Counts    evidence.Counts `json:"counts"` // units by weight
	Plain     PlainDetection  `json:"plain"`
	// Effect is the mean of a unit's score above its null mean, with a 95 %
	// interval that allows for replies being clusters. First occurrences only.
	Effect evidence.Interval `json:"effect"`
	// Log10E is the anytime-valid evidence of the first occurrences, unweighted;
	// 0, which is none, for schemes whose words are not independent.
	Log10E  float64 `json:"log10_e"`
	Dropped Dropped `json:"dropped"`
}

// EProcess reports whether the scheme has an e-process; without one Log10E is 0, which is
// no result.
func (d *Detector) EProcess() bool { return d.peer == "" && hasE(d.null) }

// Result is the state of the run. It may be asked at any time, but repeated
// looks spoil the p-value of a fixed n: only Log10E may be watched.
func (d *Detector) Result() Detection {
	n := d.weight.N()
	r := Detection{
		Scheme:  d.scheme.Name(),
		PRF:     d.scheme.PRF(),
		Law:     d.scheme.Law(),
		Items:   d.items,
		Tokens:  d.tokens,
		N:       n,
		Weights: d.weights,
		Dedup:   d.dedup,
		Score:   d.weighted,
		Tail:    d.null.tail(d.weighted, d.weight),
		Counts:  d.weight,
		Plain:   PlainDetection{N: n, Score: d.score, Tail: d.null.tail(d.score, evidence.Plain(n))},
		Effect:  d.scheme.Law().Effect(d.clusters),
		Dropped: d.dropped,
	}
	r.Statistic = d.statistic
	if d.peer == "" {
		r.Log10E = d.null.log10E(n, d.score)
	}
	return r
}

// Pair is one distinct unit of a run; of units that share a seed, the first.
type Pair struct {
	Window []int32 // valid until the next pair; must not be written to
	Token  int32
	Count  int // occurrences, at most 8; with WeightsEntropy the weight
}

// Pairs yields the distinct units in the order of their first occurrence. It is
// an iterator: for p := range d.Pairs.
func (d *Detector) Pairs(yield func(Pair) bool) {
	d.inMemory("the units")
	h := d.pairs.stride - 1
	at := func(pair int, count uint8) Pair {
		u := d.pairs.at(pair)
		return Pair{Window: u[:h:h], Token: u[h], Count: int(count)}
	}
	if d.seeded != nil {
		for u, c := range d.merit {
			if !yield(at(int(d.first[u]), c)) {
				return
			}
		}
		return
	}
	for i, c := range d.times {
		if !yield(at(i, c)) {
			return
		}
	}
}

// TokenScore is one position of an exhibit.
type TokenScore struct {
	Index int     `json:"index"`
	Token int32   `json:"token"`
	Fate  Fate    `json:"fate"`
	Score float64 `json:"score"` // 0 without a window or outside the vocabulary
}

// ScoreTokens scores the positions of one item on its own, for an exhibit that
// shows the mark token by token. Dropped positions carry their score where they
// have one, and the reason why it does not count.
func ScoreTokens(s Scheme, it Item) []TokenScore {
	scores := make([]TokenScore, 0, len(it.Tokens))
	NewDetector(s, Options{}).add(it, func(i int, f Fate, x float64) {
		scores = append(scores, TokenScore{Index: i, Token: it.Tokens[i], Fate: f, Score: x})
	})
	return slices.Clip(scores)
}
