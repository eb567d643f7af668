package watermark

import (
	"fmt"
	"slices"

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
}

// Values of Options.Weights.
const (
	WeightsNone = "none" // every distinct unit counts once
	WeightsMin8 = "min8" // a unit that occurred c times weighs min(c, 8)
	WeightsAuto = "auto" // min8 for gumbel and tournament, none for kgw
)

// Options of a Detector, declared before the data is seen.
type Options struct {
	// Weights is WeightsAuto when empty.
	Weights string
	// Keep, if set, says which windows are scored at all; see [WindowSet].
	Keep func(window []int32) bool
}

// ResolveWeights checks a name of weights and turns auto, or none given, into
// what is declared for the scheme. On marked text that a student repeats,
// min8 gained 1.4 times the log of p for gumbel and 1.3 times for tournament
// at the median of fresh seeds; kgw gained nothing dependable.
func ResolveWeights(weights, scheme string) (string, error) {
	switch weights {
	case WeightsNone, WeightsMin8:
		return weights, nil
	case WeightsAuto, "":
		if scheme == KGW {
			return WeightsNone, nil
		}
		return WeightsMin8, nil
	}
	return "", fmt.Errorf("weights %q are not known; use %s, %s or %s", weights, WeightsAuto, WeightsNone, WeightsMin8)
}

// Dropped counts the positions of the run that were not scored as a new unit,
// by the first reason that applies, in this order.
type Dropped struct {
	Short      int64 `json:"short"`        // too few generated tokens before it for a window
	Prompt     int64 `json:"prompt"`       // its window occurs in the item's prompt
	OutOfVocab int64 `json:"out_of_vocab"` // an id of window or token is outside the vocabulary
	Filtered   int64 `json:"filtered"`     // Options.Keep said no
	Repeat     int64 `json:"repeat"`       // the unit was seen before in the run
}

// Detector scores the texts of one run as one stream under one key.
//
// The unit is (window, token), counted once in the whole run, across items: the
// word of a pair is drawn once, so its repetitions are no new evidence. A pair
// is dropped first for a window that occurs in its item's prompt; only scored
// pairs count as seen.
//
// A Detector keeps every distinct unit: with windows of 2 tokens about 20 to 27
// bytes each (12 for the ids, 1 for the count, 5 to 11 of hash table, and up to
// a quarter of slack in the first two). It allocates only to grow, and is not
// safe for concurrent use.
type Detector struct {
	scheme  Scheme
	law     evidence.Law
	vocab   int32
	weights string
	keep    func(window []int32) bool

	units    tuples  // window, then token
	counts   []uint8 // per unit, up to evidence.WeightCap
	unit     []int32 // scratch
	prompt   tuples  // windows of the current item's prompt
	score    float64 // sum over distinct units
	weighted float64 // sum under the declared weights
	clusters []evidence.Cluster
	weight   evidence.Counts
	dropped  Dropped
	tokens   int64
}

// NewDetector starts a run under one key. It clones the scheme. It panics if
// the weights are none that [ResolveWeights] accepts.
func NewDetector(s Scheme, opt Options) *Detector {
	weights, err := ResolveWeights(opt.Weights, s.Spec().Scheme)
	if err != nil {
		panic("watermark: " + err.Error())
	}
	h := s.Window()
	return &Detector{
		scheme:  s.Clone(),
		law:     s.Law(),
		vocab:   int32(s.Spec().Vocab),
		weights: weights,
		keep:    opt.Keep,
		units:   newTuples(h + 1),
		unit:    make([]int32, h+1),
		prompt:  newTuples(h),
	}
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
	FateRepeat     Fate = "repeat"
)

// Add scores one item. Units that earlier items had are repeats.
func (d *Detector) Add(it Item) { d.add(it, nil) }

// add scores one item and tells visit, if any, of every position: its fate and,
// unless it has no window or no place in the vocabulary, its score.
func (d *Detector) add(it Item, visit func(i int, f Fate, score float64)) {
	h := d.scheme.Window()
	d.prompt.reset()
	for i := h; i <= len(it.Prompt); i++ {
		if window, ok := d.scheme.WindowOf(it.Prompt[:i]); ok {
			d.prompt.insert(window)
		}
	}
	cluster := evidence.Cluster{}
	strange := -1 - h // the last position whose id is outside the vocabulary
	for i, token := range it.Tokens {
		if token < 0 || token >= d.vocab {
			strange = i
		}
		window, ok := d.scheme.WindowOf(it.Tokens[:i])
		f := d.fate(window, ok, i-strange <= h)
		var x float64
		if f == FateScored {
			f, x = d.count(window, token)
		}
		if f == FateScored {
			cluster.N++
			cluster.Score += x
		}
		if visit != nil {
			if ok && i-strange > h {
				x = d.scheme.Score(window, token)
			}
			visit(i, f, x)
		}
	}
	d.tokens += int64(len(it.Tokens))
	d.clusters = append(d.clusters, cluster)
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
	}
	return FateScored
}

// count enters one occurrence of a unit; the score it returns is set where the
// occurrence weighs anything.
func (d *Detector) count(window []int32, token int32) (Fate, float64) {
	copy(d.unit, window)
	d.unit[len(window)] = token
	u, added := d.units.insert(d.unit)
	if added {
		x := d.scheme.Score(window, token)
		d.counts = append(d.counts, 1)
		d.weight[1]++
		d.score += x
		d.weighted += x
		return FateScored, x
	}
	d.dropped.Repeat++
	c := d.counts[u]
	if c == evidence.WeightCap {
		return FateRepeat, 0
	}
	d.counts[u] = c + 1
	if d.weights == WeightsMin8 {
		d.weight[c]--
		d.weight[c+1]++
		d.weighted += d.scheme.Score(window, token)
	}
	return FateRepeat, 0
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
	Law    evidence.Law `json:"law"` // of one unit, under the null
	Items  int64        `json:"items"`
	Tokens int64        `json:"tokens"` // positions, dropped ones included
	N      int64        `json:"n"`      // distinct units scored
	// Score is the sum of the units' scores under Weights, and Tail its p-value.
	Weights string          `json:"weights"` // none or min8
	Score   float64         `json:"score"`
	Tail    evidence.Tail   `json:"tail"`
	Counts  evidence.Counts `json:"counts"` // units by weight
	Plain   PlainDetection  `json:"plain"`
	// Effect is the mean of a unit's score above its null mean, with a 95 %
	// interval that allows for replies being clusters. First occurrences only.
	Effect evidence.Interval `json:"effect"`
	// Log10E is the anytime-valid evidence of the first occurrences, unweighted.
	Log10E  float64 `json:"log10_e"`
	Dropped Dropped `json:"dropped"`
}

// Result is the state of the run. It may be asked at any time, but repeated
// looks spoil the p-value of a fixed n: only Log10E may be watched.
func (d *Detector) Result() Detection {
	n := int64(d.units.len())
	return Detection{
		Scheme:  d.scheme.Name(),
		PRF:     d.scheme.PRF(),
		Law:     d.law,
		Items:   int64(len(d.clusters)),
		Tokens:  d.tokens,
		N:       n,
		Weights: d.weights,
		Score:   d.weighted,
		Tail:    d.law.Tail(d.weighted, d.weight),
		Counts:  d.weight,
		Plain:   PlainDetection{N: n, Score: d.score, Tail: d.law.Tail(d.score, evidence.Plain(n))},
		Effect:  d.law.Effect(d.clusters),
		Log10E:  d.law.Log10E(n, d.score),
		Dropped: d.dropped,
	}
}

// Pair is one distinct unit of a run.
type Pair struct {
	Window []int32 // valid until the next pair; must not be written to
	Token  int32
	Count  int // occurrences, at most 8
}

// Pairs yields the distinct units in the order of their first occurrence. It is
// an iterator: for p := range d.Pairs.
func (d *Detector) Pairs(yield func(Pair) bool) {
	h := d.units.stride - 1
	for i, c := range d.counts {
		u := d.units.at(i)
		if !yield(Pair{Window: u[:h:h], Token: u[h], Count: int(c)}) {
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
