package watermark

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// ScanOptions of a [Scan], declared before the data is seen.
type ScanOptions struct {
	// Shortest is the length of the shortest windows, in scorable positions;
	// 0 stands for [DefaultShortest].
	Shortest int
	// Log10Alpha is the family-wise level at which regions are reported; 0
	// stands for [DefaultScanLevel].
	Log10Alpha float64
}

const (
	// DefaultShortest is what gumbel and tournament, at a third of a decade per
	// token of ordinary text, need several times over to clear the correction
	// for a book, and kgw about once.
	DefaultShortest = 50
	// DefaultScanLevel is one false region in a thousand documents.
	DefaultScanLevel = -3
)

// Passage is a window of the family of a [Scan].
type Passage struct {
	From   int     `json:"from"` // first token
	To     int     `json:"to"`   // behind the last token
	N      int64   `json:"n"`    // distinct units in it
	Score  float64 `json:"score"`
	Mean   float64 `json:"null_mean"`
	Log10P float64 `json:"log10_p"` // of this window alone: the exact tail
}

// Region is a part of the document in which the mark was found.
type Region struct {
	// From and To are tokens, the second behind the last: the most likely edges,
	// an estimate. What is tested is Best.
	From int `json:"from"`
	To   int `json:"to"`
	// Best is the strongest window among those that make up the region.
	Best Passage `json:"best_window"`
	// Log10P is Best's, corrected for all windows of the document: Bonferroni.
	// Nil where it is withheld.
	Log10P *float64 `json:"log10_p"`
	// RankP is the same from decoys: (1 + decoys whose strongest window anywhere
	// is as strong) / (1 + decoys). 0 without decoys.
	RankP float64 `json:"rank_p,omitempty"`
	// Lift is the mean score of the region's units above the null mean.
	Lift float64 `json:"lift"`
}

// ScanResult says which passages of one document depend on the key.
type ScanResult struct {
	Tokens    int `json:"tokens"`
	Positions int `json:"positions"` // with a window that may count; repeats included
	// Windows is the size of the family: fixed by the document's length.
	Windows    int     `json:"windows"`
	Shortest   int     `json:"shortest"`
	Log10Alpha float64 `json:"log10_alpha"`
	// Best is the strongest window of all, Log10P its corrected p-value, that of
	// "no passage is marked"; nil where it is withheld or nothing can be tested.
	Best   *Passage `json:"best_window"`
	Log10P *float64 `json:"log10_p"`
	// RankP is the rank of Best among the strongest windows of decoy keys, exact
	// whatever the text; 0 without decoys.
	RankP float64 `json:"rank_p,omitempty"`
	// Decoys judges the null law on the whole document; see [Detector.Decoys].
	Decoys  *evidence.Decoys `json:"decoys"`
	Regions []Region         `json:"regions"`
}

// Scan looks for marked passages in one document.
//
// The positions that may count (those with a window, outside the prompt, inside
// the vocabulary) are cut into a family of windows before any score is looked at:
// lengths Shortest, 2·Shortest, 4·Shortest, … up to the document's, each from
// every half length on and once more flush with the end, and the whole document.
// A document of n positions has about 4n/Shortest windows.
//
// Inside a window each unit counts once, so under the null its units are
// independent and its tail is exact. Across windows nothing is dropped: a
// passage must not lose its evidence because its phrases occurred before it, and
// the corrections below hold whatever windows share. The p-value of the strongest
// window is corrected in two ways: times the number of windows (Bonferroni, valid
// under any dependence, reaches far tails), and as the rank of the minimum of all
// windows among the minima under decoy keys (exact, allows for the overlap, ends
// at 1/(decoys+1)). No window outside the family is ever tested.
//
// Regions are the windows whose corrected p is at most the level: the family-wise
// error of "each of these windows holds marked text" is the level, for windows
// without marked text beside windows with it too. They are reported from the
// shortest on, leaving out those that overlap a shorter one; neighbours are joined
// if less than Shortest lies between them, or marked text (its mean score is nearer
// to theirs than to the null's); and the edges are moved to the most likely change points. These
// steps only describe: they make no new test.
type Scan struct {
	scheme Scheme
	null   null
	opt    ScanOptions
	tokens []TokenScore

	foreign int64   // tokens whose id is outside the vocabulary
	strange []int32 // the first of these ids

	pairs   tuples // distinct units: window, then token
	order   []int32
	at      []int32 // token index per position
	unit    []int32 // unit per position
	windows []span
	weight  evidence.Counts

	own    keyed
	minima []float64 // under decoy keys, sorted
	gate   *evidence.Decoys
}

// span is a window of the family, in positions.
type span struct{ from, to int32 }

// keyed are the positions' scores under one key.
type keyed struct {
	x      []float64 // score per position
	prev   []int32   // the last position before with the same unit, or -1
	sum    []float64 // x summed up
	repeat []int32   // positions with a prev
	before []int32   // per position: entries of repeat below it
	unitX  []float64
	canon  []int32 // seeded: number of the unit that a pair belongs to
	last   []int32
	seeds  []seedPair
	total  scored // all distinct units of the document
}

type seedPair struct {
	seed  uint64
	token int32
	pair  int32
}

// NewScan scores a document and lays its windows out.
func NewScan(s Scheme, it Item, opt ScanOptions) *Scan {
	if opt.Shortest == 0 {
		opt.Shortest = DefaultShortest
	}
	opt.Shortest = max(opt.Shortest, 2)
	if opt.Log10Alpha == 0 {
		opt.Log10Alpha = DefaultScanLevel
	}
	d := NewDetector(s, Options{Weights: WeightsNone})
	c := &Scan{scheme: s.Clone(), null: nullOf(s), opt: opt, tokens: d.AddScored(it), weight: d.weight}
	c.foreign, c.strange = d.OutOfVocab()
	history, at := d.cut.text(it)
	skipped := len(it.Tokens) - (len(history) - at)
	for _, t := range c.tokens {
		if t.Fate != FateScored && t.Fate != FateRepeat {
			continue
		}
		i := at + t.Index - skipped
		window, _ := d.scheme.WindowOf(history[:i])
		h := copy(d.unit, window)
		d.unit[h] = history[i]
		u, _ := d.pairs.insert(d.unit[:h+1])
		c.at, c.unit = append(c.at, int32(t.Index)), append(c.unit, int32(u))
	}
	c.pairs = d.pairs
	c.order = make([]int32, c.pairs.len())
	for i := range c.order {
		c.order[i] = int32(i)
	}
	slices.SortFunc(c.order, func(a, b int32) int { return slices.Compare(c.pairs.at(int(a)), c.pairs.at(int(b))) })
	c.windows = family(len(c.at), opt.Shortest)
	c.score(c.scheme, &c.own)
	return c
}

// OutOfVocab is [Detector.OutOfVocab] of the document.
func (c *Scan) OutOfVocab() (tokens int64, ids []int32) { return c.foreign, c.strange }

// AddScored is [Detector.Add] that tells of every position what became of it.
func (d *Detector) AddScored(it Item) []TokenScore {
	scores := make([]TokenScore, 0, len(it.Tokens))
	d.add(it, func(i int, f Fate, x float64) {
		scores = append(scores, TokenScore{Index: i, Token: it.Tokens[i], Fate: f, Score: x})
	})
	return scores
}

// family lays out the windows over n positions.
func family(n, shortest int) []span {
	var all []span
	for length := shortest; length <= n; length *= 2 {
		stride, last := length/2, 0
		for from := 0; from+length <= n; from += stride {
			all = append(all, span{int32(from), int32(from + length)})
			last = from
		}
		if last+length < n {
			all = append(all, span{int32(n - length), int32(n)})
		}
	}
	if len(all) > 0 && !slices.Contains(all, span{0, int32(n)}) {
		all = append(all, span{0, int32(n)})
	}
	return all
}

// score fills k with the scores under a key.
func (c *Scan) score(s Scheme, k *keyed) {
	n, units := len(c.at), c.pairs.len()
	h := c.pairs.stride - 1
	k.unitX = slices.Grow(k.unitX[:0], units)[:units]
	fresh := len(k.x) != n
	k.total = scored{}
	switch s := s.(type) {
	case seeded:
		c.scoreSeeds(s, k)
		fresh = true
	default:
		for _, u := range c.order {
			p := c.pairs.at(int(u))
			k.unitX[u] = s.Score(p[:h], p[h])
		}
		for _, x := range k.unitX {
			k.total.score += x
		}
		k.total.counts[1] = int64(units)
		k.canon = nil
	}
	if fresh { // which positions repeat which: for plain windows the key does not matter
		c.link(k)
	}
	for i, u := range c.unit {
		k.x[i] = k.unitX[u]
		k.sum[i+1] = k.sum[i] + k.x[i]
	}
}

// link finds the repetitions.
func (c *Scan) link(k *keyed) {
	n, units := len(c.at), c.pairs.len()
	k.x, k.prev = slices.Grow(k.x[:0], n)[:n], slices.Grow(k.prev[:0], n)[:n]
	k.sum, k.before = slices.Grow(k.sum[:0], n+1)[:n+1], slices.Grow(k.before[:0], n+1)[:n+1]
	k.last = slices.Grow(k.last[:0], units)[:units]
	k.repeat = k.repeat[:0]
	for i := range k.last {
		k.last[i] = -1
	}
	for i, u := range c.unit {
		if k.canon != nil {
			u = k.canon[u]
		}
		k.before[i] = int32(len(k.repeat))
		k.prev[i] = k.last[u]
		if k.prev[i] >= 0 {
			k.repeat = append(k.repeat, int32(i))
		}
		k.last[u] = int32(i)
	}
	k.before[n] = int32(len(k.repeat))
}

// scoreSeeds scores the pairs seed by seed and finds those that are one unit.
func (c *Scan) scoreSeeds(s seeded, k *keyed) {
	h := c.pairs.stride - 1
	units := c.pairs.len()
	k.seeds, k.canon = k.seeds[:0], slices.Grow(k.canon[:0], units)[:units]
	for u := range units {
		p := c.pairs.at(u)
		k.seeds = append(k.seeds, seedPair{s.seedOf(p[:h], p[h]), p[h], int32(u)})
	}
	slices.SortFunc(k.seeds, func(a, b seedPair) int {
		return cmp.Or(cmp.Compare(a.seed, b.seed), cmp.Compare(a.token, b.token), cmp.Compare(a.pair, b.pair))
	})
	var (
		tokens []int32
		scores []float64
	)
	for i := 0; i < units; {
		from, seed := i, k.seeds[i].seed
		tokens = tokens[:0]
		for ; i < units && k.seeds[i].seed == seed; i++ {
			if m := len(tokens); m == 0 || tokens[m-1] != k.seeds[i].token {
				tokens = append(tokens, k.seeds[i].token)
			}
		}
		scores = slices.Grow(scores[:0], len(tokens))[:len(tokens)]
		s.scoreSeed(seed, tokens, scores)
		m, first := -1, int32(0)
		for _, p := range k.seeds[from:i] {
			if m < 0 || tokens[m] != p.token {
				m++
				first = p.pair
				k.total.score += scores[m]
				k.total.counts[1]++
			}
			k.unitX[p.pair], k.canon[p.pair] = scores[m], first
		}
	}
}

// window is the score of a window and the number of its distinct units.
func (k *keyed) window(w span) (score float64, n int64) {
	score, n = k.sum[w.to]-k.sum[w.from], int64(w.to-w.from)
	for _, i := range k.repeat[k.before[w.from]:k.before[w.to]] {
		if k.prev[i] >= w.from {
			score -= k.x[i]
			n--
		}
	}
	return score, n
}

// log10P orders windows: the exact tail, or for laws that only decoys know the
// normal tail, which is then no p-value.
func (c *Scan) log10P(score float64, n int64) float64 {
	counts := evidence.Plain(n)
	if c.null.analytic() {
		return c.null.tail(score, counts).Log10P
	}
	mean, sd := c.null.moments(counts)
	if sd == 0 {
		return 0
	}
	return evidence.Log10NormalSF((score - mean) / sd)
}

// minimum is the least log10 p of all windows. Windows of equally many units are
// ordered by their scores, so one tail is taken for each number of units. tops is
// scratch: the greatest score by number of units.
func (c *Scan) minimum(k *keyed, tops map[int64]float64) float64 {
	clear(tops)
	for _, w := range c.windows {
		score, n := k.window(w)
		if top, ok := tops[n]; !ok || score > top {
			tops[n] = score
		}
	}
	least := 0.
	for n, score := range tops {
		least = min(least, c.log10P(score, n))
	}
	return least
}

// Decoys calibrates the scan with n keys that were never served: their strongest
// windows, and the gate of [Detector.Decoys] on the whole document. Decoy i
// depends on seed and i only. progress is as in [Detector.Decoys].
func (c *Scan) Decoys(ctx context.Context, seed [32]byte, n int, progress func(done int)) error {
	if n < 1 {
		return errors.New("at least one decoy is needed")
	}
	samples, minima := make([]scored, n), make([]float64, n)
	err := spread(ctx, n, progress, func(context.Context) func(i int) error {
		var k keyed
		tops := map[int64]float64{}
		return func(i int) error {
			s, err := DecoyKey(seed, i, c.scheme.Spec())
			if err != nil {
				return fmt.Errorf("drawing decoy %d: %w", i, err)
			}
			c.score(s, &k)
			samples[i], minima[i] = k.total, c.minimum(&k, tops)
			return nil
		}
	})
	if err != nil {
		return fmt.Errorf("scoring decoys: %w", err)
	}
	gate := judge(c.null, c.own.total, samples, binary.LittleEndian.Uint64(seed[:]))
	c.gate = &gate
	slices.Sort(minima)
	c.minima = minima
	return nil
}

// withheld says that the analytic p-values do not stand: there is no law, or
// decoys contradict it.
func (c *Scan) withheld() bool { return !c.null.analytic() || c.gate != nil && !c.gate.Pass }

// rank is the share of keys whose strongest window is as strong.
func (c *Scan) rank(log10p float64) float64 {
	if c.minima == nil {
		return 0
	}
	// Sums are formed in the order of the text under every key; the slack is for
	// two keys' windows with equal scores that differ by rounding.
	b, _ := slices.BinarySearchFunc(c.minima, log10p+1e-9, func(m, x float64) int { return cmp.Or(cmp.Compare(m, x), -1) })
	return float64(1+b) / float64(1+len(c.minima))
}

// corrected is the family-wise log10 p of a window by what stands: Bonferroni,
// or the rank where that is withheld.
func (c *Scan) corrected(log10p float64) float64 {
	if !c.withheld() {
		return min(0, log10p+math.Log10(float64(len(c.windows))))
	}
	if c.minima == nil {
		return 0
	}
	return math.Log10(c.rank(log10p))
}

// Tokens are the positions of the document with their scores.
func (c *Scan) Tokens() []TokenScore { return c.tokens }

// Result says what was found. The regions of a scheme without an analytic law,
// or whose law the decoys contradict, rest on the decoys alone.
func (c *Scan) Result() ScanResult {
	r := ScanResult{
		Tokens: len(c.tokens), Positions: len(c.at), Windows: len(c.windows),
		Shortest: c.opt.Shortest, Log10Alpha: c.opt.Log10Alpha, Decoys: c.gate, Regions: []Region{},
	}
	if len(c.windows) == 0 {
		return r
	}
	tests := make([]test, len(c.windows))
	best := 0
	for i, w := range c.windows {
		score, n := c.own.window(w)
		tests[i] = test{span: w, n: n, score: score, log10p: c.log10P(score, n)}
		if tests[i].log10p < tests[best].log10p {
			best = i
		}
	}
	p := c.passage(tests[best])
	r.Best, r.RankP, r.Log10P = &p, c.rank(p.Log10P), c.bonferroni(p.Log10P)
	r.Regions = c.regions(tests)
	return r
}

func (c *Scan) bonferroni(log10p float64) *float64 {
	if c.withheld() {
		return nil
	}
	x := c.corrected(log10p)
	return &x
}

// test is a window with its result.
type test struct {
	span
	n      int64
	score  float64
	log10p float64
}

func (c *Scan) passage(t test) Passage {
	mean, _ := c.null.moments(evidence.Plain(t.n))
	return Passage{From: int(c.at[t.from]), To: int(c.at[t.to-1]) + 1, N: t.n, Score: t.score, Mean: mean, Log10P: t.log10p}
}

// hull is a region before its edges are set.
type hull struct {
	span
	lift float64 // of the mean score
}

// regions describes the significant windows; see [Scan].
func (c *Scan) regions(tests []test) []Region {
	var found []test
	for _, t := range tests {
		if t.log10p < 0 && c.corrected(t.log10p) <= c.opt.Log10Alpha {
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, func(a, b test) int {
		return cmp.Or(cmp.Compare(a.to-a.from, b.to-b.from), cmp.Compare(a.log10p, b.log10p))
	})
	var taken []hull
	for _, t := range found {
		if !slices.ContainsFunc(taken, func(o hull) bool { return t.from < o.to && o.from < t.to }) {
			taken = append(taken, hull{t.span, c.lift(t.span)})
		}
	}
	slices.SortFunc(taken, func(a, b hull) int { return cmp.Compare(a.from, b.from) })
	var hulls []hull
	for _, t := range taken {
		if m := len(hulls) - 1; m >= 0 && c.continues(hulls[m], t) {
			hulls[m].to = t.to
			hulls[m].lift = c.lift(hulls[m].span)
			continue
		}
		hulls = append(hulls, t)
	}
	regions := []Region{}
	var behind int32 // the last region's end
	for i, r := range hulls {
		limit := int32(len(c.at))
		if i+1 < len(hulls) {
			limit = hulls[i+1].from
		}
		from, to := c.edges(r, behind, limit)
		best := -1
		for j, t := range found {
			if t.from >= r.from && t.to <= r.to && (best < 0 || t.log10p < found[best].log10p) {
				best = j
			}
		}
		p := c.passage(found[best])
		first := int(c.at[from]) - c.scheme.Window() // the first unit's window belongs to the passage
		if len(regions) > 0 {
			first = max(first, regions[len(regions)-1].To)
		}
		regions = append(regions, Region{
			From: max(first, 0), To: int(c.at[to-1]) + 1, Best: p,
			Log10P: c.bonferroni(p.Log10P), RankP: c.rank(p.Log10P), Lift: c.lift(span{from, to}),
		})
		behind = to
	}
	return regions
}

// lift is the mean score of a window's distinct units above the null mean.
func (c *Scan) lift(w span) float64 {
	score, n := c.own.window(w)
	if n == 0 {
		return 0
	}
	mean, _ := c.null.moments(evidence.Plain(n))
	return (score - mean) / float64(n)
}

// continues reports whether what lies between two windows is too short to tell,
// or looks as marked as they are.
func (c *Scan) continues(a, b hull) bool {
	return int(b.from-a.to) < c.opt.Shortest || c.lift(span{a.to, b.from}) > min(a.lift, b.lift)/2
}

// edges are the most likely ends of a region, found between the neighbours: from
// the region's middle outwards, where the sum of scores above the point halfway
// between null mean and region's mean is greatest.
func (c *Scan) edges(r hull, behind, limit int32) (from, to int32) {
	mean, _ := c.null.moments(evidence.Plain(1))
	half := mean + r.lift/2
	middle := (r.from + r.to) / 2
	from, to = middle, middle+1
	sum, top := 0., math.Inf(-1)
	for i := middle; i >= behind; i-- {
		if sum += c.own.x[i] - half; sum > top {
			top, from = sum, i
		}
	}
	sum, top = 0, math.Inf(-1)
	for i := middle; i < limit; i++ {
		if sum += c.own.x[i] - half; sum > top {
			top, to = sum, i+1
		}
	}
	return from, to
}
