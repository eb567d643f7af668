package family

import (
	"context"
	"math"
	"slices"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// style compares how models write, by Delta: every feature of a reply (the rate of a
// word, of a sequence of characters) becomes a z-score against all models' replies in
// the language (Burrows, Literary and Linguistic Computing 17, 2002), and a reply is
// close to a teacher as far as its z-scores point where the teacher's mean z-scores
// do: the cosine form of Delta (Smith & Aldridge, J. Quantitative Linguistics 18,
// 2011), found the most reliable one by Evert et al. (Digital Scholarship in the
// Humanities 32, 2017). Being linear in a reply it loses nothing by the shortness of
// replies, whose noise averages out over prompts.
//
// Features come in blocks (function words, character sequences, ...), whose cosines
// are averaged, so that the block with the most features does not decide.
type style struct {
	blocks  []int // where each block of features ends
	extract func(a *Answer) []feature
	// note may look at each reply, and traits describe what it saw.
	note   func(t *ledger.Target, a *Answer)
	traits func(*sides) []ledger.Trait
}

// feature is one feature of a reply that is not zero.
type feature struct {
	at    int // less than the last block's end
	value float64
}

// minDocuments is the share of a language's replies in which a feature must occur:
// the z-score of a rarer one is decided by the few that have it.
const minDocuments = .05

// moments of the features in one language.
type moments struct {
	replies   float64
	documents []float64            // replies that have the feature
	squares   []float64            // sum of squares over all replies
	total     []float64            // sum over all replies
	sums      map[string][]float64 // by target, of the features; shared between tests
	counts    map[string]float64   // by target, of the replies; shared, too
	profiles  map[string][]float64 // by teacher: its mean z-score divided by the SD, to be multiplied with a value
	offset    map[string][]float64 // by teacher and block: what the mean takes off
	norms     map[string][]float64 // by teacher and block: length of the profile
	inverse   []float64            // 1/SD, 0 for features that are left out
	centre    []float64            // mean of the targets' means
	base      []float64            // by block: squared length of the z-scores of a reply without features
}

// styled is a test that compares how models write.
type styled struct {
	in    *Input
	sd    *sides
	r     *readings
	s     *say
	langs map[string]*moments
	near  map[*ledger.Target]map[*ledger.Prompt]*closeness // of rows
}

// closeness is that of a source's replies to a prompt to each teacher.
type closeness struct {
	sum []float64
	n   float64
}

// newStyled prepares the test of an input.
func newStyled(in *Input, s *say, kinds ...reading.Kind) (*styled, error) {
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(kinds...)
	if err != nil {
		return nil, err
	}
	return &styled{in: in, sd: sd, r: r, s: s, langs: map[string]*moments{}, near: map[*ledger.Target]map[*ledger.Prompt]*closeness{}}, nil
}

// compareStyle reads all replies twice, once for the moments of every feature, once for
// the closeness of each reply to each teacher, for all tests of the same prompts
// together. Memory does not depend on the number of replies.
func compareStyle(ctx context.Context, tests []*styled, st *style) ([]*Output, error) {
	var all, rows [][]*ledger.Target
	for _, x := range tests {
		all, rows = append(all, x.sd.everybody()), append(rows, x.sd.rows())
	}
	// Sums of fractions depend on their order: each test keeps its own.
	everybody, ok := merged(all)
	if !ok {
		var outs []*Output
		for i := range tests {
			out, err := compareStyle(ctx, tests[i:i+1], st)
			if err != nil {
				return nil, err
			}
			outs = append(outs, out...)
		}
		return outs, nil
	}
	sources := slices.DeleteFunc(slices.Clone(everybody), func(t *ledger.Target) bool {
		return !slices.ContainsFunc(rows, func(of []*ledger.Target) bool { return slices.Contains(of, t) })
	})
	first := tests[0]
	first.in.expect(everybody)
	first.in.expect(sources)
	if err := measure(ctx, tests, everybody, st); err != nil {
		return nil, err
	}
	for _, t := range sources {
		if err := approach(ctx, tests, t, st); err != nil {
			return nil, err
		}
	}
	outs := make([]*Output, len(tests))
	for i, x := range tests {
		if st.traits != nil {
			x.s.traits = st.traits(x.sd)
		}
		outs[i] = x.compare()
	}
	return outs, nil
}

// merged is one order of all targets in which each list keeps its own, not ok where
// there is none.
func merged(lists [][]*ledger.Target) (order []*ledger.Target, ok bool) {
	if len(lists) == 1 {
		return lists[0], true
	}
	lists = slices.Clone(lists)
	for {
		lists = slices.DeleteFunc(lists, func(l []*ledger.Target) bool { return len(l) == 0 })
		if len(lists) == 0 {
			return order, true
		}
		next := slices.IndexFunc(lists, func(l []*ledger.Target) bool {
			return !slices.ContainsFunc(lists, func(other []*ledger.Target) bool { return slices.Contains(other[1:], l[0]) })
		})
		if next < 0 {
			return nil, false
		}
		t := lists[next][0]
		order = append(order, t)
		for i, l := range lists {
			if l[0] == t {
				lists[i] = l[1:]
			}
		}
	}
}

// reads reports whether a reply enters.
func (x *styled) reads(a *Answer) bool {
	_, read := x.r.item[a.Item.Prompt]
	return read && a.Reply.Outcome == ledger.OK
}

// measure gathers the moments by language. What is summed up of one target alone is the
// same in all tests.
func measure(ctx context.Context, tests []*styled, everybody []*ledger.Target, st *style) error {
	dim := st.blocks[len(st.blocks)-1]
	alone := map[string]*moments{} // by language, of each target for itself
	for _, t := range everybody {
		var of []*styled
		for _, x := range tests {
			if slices.Contains(x.sd.everybody(), t) {
				of = append(of, x)
			}
		}
		err := readReplies(ctx, tests[0].in, t.Name, func(a *Answer) ([]feature, bool) {
			if !tests[0].reads(a) {
				return nil, false
			}
			return st.extract(a), true
		}, func(a *Answer, f []feature) {
			if st.note != nil {
				st.note(t, a)
			}
			if len(f) == 0 {
				return
			}
			lang := a.Item.Prompt.Lang
			if alone[lang] == nil {
				alone[lang] = &moments{sums: map[string][]float64{}, counts: map[string]float64{}}
			}
			each := alone[lang]
			if each.sums[t.Name] == nil {
				each.sums[t.Name] = make([]float64, dim)
			}
			each.counts[t.Name]++
			sums := each.sums[t.Name]
			for _, x := range f {
				sums[x.at] += x.value
			}
			for _, x := range of {
				m := x.langs[lang]
				if m == nil {
					m = &moments{
						documents: make([]float64, dim), squares: make([]float64, dim), total: make([]float64, dim),
						sums: each.sums, counts: each.counts,
					}
					x.langs[lang] = m
				}
				m.take(f)
				if t == x.sd.rival {
					x.s.replies++
				}
			}
		})
		if err != nil {
			return err
		}
	}
	for _, x := range tests {
		for _, m := range x.langs {
			m.finish(st, x.sd)
		}
	}
	return nil
}

// take adds a reply to what is summed up over all targets.
func (m *moments) take(f []feature) {
	for _, x := range f {
		m.total[x.at] += x.value
		m.squares[x.at] += x.value * x.value
		m.documents[x.at]++
	}
	m.replies++
}

// approach finds how close the replies of a source are to each teacher, in every test in
// which it is one.
func approach(ctx context.Context, tests []*styled, source *ledger.Target, st *style) error {
	var of []*styled
	for _, x := range tests {
		if slices.Contains(x.sd.rows(), source) {
			x.near[source] = map[*ledger.Prompt]*closeness{}
			of = append(of, x)
		}
	}
	return readReplies(ctx, tests[0].in, source.Name, func(a *Answer) ([][]float64, bool) {
		if !tests[0].reads(a) {
			return nil, false
		}
		f := st.extract(a)
		if len(f) == 0 {
			return nil, false
		}
		out := make([][]float64, len(of))
		for i, x := range of {
			for _, teacher := range x.sd.columns() {
				out[i] = append(out[i], x.langs[a.Item.Prompt.Lang].cosine(st, f, teacher.Name))
			}
		}
		return out, true
	}, func(a *Answer, v [][]float64) {
		for i, x := range of {
			c := x.near[source][a.Item.Prompt]
			if c == nil {
				c = &closeness{sum: make([]float64, len(v[i]))}
				x.near[source][a.Item.Prompt] = c
			}
			for j := range v[i] {
				c.sum[j] += v[i][j]
			}
			c.n++
		}
	})
}

// compare ranks the rival by what was read.
func (x *styled) compare() *Output {
	g := newAgreement(x.sd)
	for _, p := range x.in.Prompts() {
		if _, read := x.r.item[p]; !read {
			continue
		}
		c := g.cell(x.r.item[p], p.Category, p)
		for i, row := range g.rows {
			v := x.near[row][p]
			if v == nil {
				continue
			}
			for j, teacher := range g.teachers {
				if row != teacher && x.langs[p.Lang].counts[teacher.Name] > 0 {
					g.set(c, i, j, v.sum[j]/v.n, 1)
				}
			}
		}
	}
	return x.in.compare(x.sd, g, x.s)
}

// finish turns sums into z-scores: the mean is that of the targets' means, so that a
// target with more replies weighs no more, and the SD that of single replies.
func (m *moments) finish(st *style, sd *sides) {
	dim := len(m.total)
	m.inverse, m.centre = make([]float64, dim), make([]float64, dim)
	targets := 0.
	for _, t := range sd.everybody() {
		if n := m.counts[t.Name]; n > 0 {
			targets++
			for k, v := range m.sums[t.Name] {
				m.centre[k] += v / n
			}
		}
	}
	for k := range dim {
		m.centre[k] /= targets
		mean := m.total[k] / m.replies
		variance := m.squares[k]/m.replies - mean*mean
		if m.documents[k] >= minDocuments*m.replies && m.documents[k] >= 2 && variance > 1e-12*m.squares[k]/m.replies {
			m.inverse[k] = 1 / math.Sqrt(variance)
		}
	}
	m.base = make([]float64, len(st.blocks))
	st.each(func(b, k int) { m.base[b] += square(m.centre[k] * m.inverse[k]) })
	m.profiles, m.offset, m.norms = map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for _, t := range sd.columns() {
		n := m.counts[t.Name]
		if n == 0 {
			continue
		}
		profile, offset, norms := make([]float64, dim), make([]float64, len(st.blocks)), make([]float64, len(st.blocks))
		st.each(func(b, k int) {
			z := (m.sums[t.Name][k]/n - m.centre[k]) * m.inverse[k]
			profile[k] = z * m.inverse[k]
			offset[b] += profile[k] * m.centre[k]
			norms[b] += z * z
		})
		for b := range norms {
			norms[b] = math.Sqrt(norms[b])
		}
		m.profiles[t.Name], m.offset[t.Name], m.norms[t.Name] = profile, offset, norms
	}
}

func square(x float64) float64 { return x * x }

// each calls do for every feature with its block.
func (st *style) each(do func(block, feature int)) {
	from := 0
	for b, end := range st.blocks {
		for k := from; k < end; k++ {
			do(b, k)
		}
		from = end
	}
}

// cosine is the mean over blocks of the cosine between a reply's z-scores and a
// teacher's. Features that a reply lacks have the z-score of a zero, which the sums
// over all features account for.
func (m *moments) cosine(st *style, f []feature, teacher string) float64 {
	profile := m.profiles[teacher]
	if profile == nil {
		return 0
	}
	sum, n := 0., 0.
	i := 0
	for b, end := range st.blocks {
		dot, length := -m.offset[teacher][b], m.base[b]
		for ; i < len(f) && f[i].at < end; i++ {
			x := f[i]
			dot += x.value * profile[x.at]
			scaled := x.value * m.inverse[x.at]
			length += scaled * (scaled - 2*m.centre[x.at]*m.inverse[x.at])
		}
		if norm := m.norms[teacher][b]; norm > 0 && length > 0 {
			sum += dot / (norm * math.Sqrt(length))
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// rates turns a block's counts into features at an offset, as shares of a total.
func rates(f []feature, offset int, counts []float64, total float64) []feature {
	if total <= 0 {
		return f
	}
	for k, n := range counts {
		if n != 0 {
			f = append(f, feature{offset + k, n / total})
		}
	}
	return f
}

// paired tests within items whether the rival's preference for us is above its
// previous version's by more than exchange of the two would give.
func (in *Input) paired(g *agreement, s *sums, base int) *ledger.Permutation {
	n := s.rows * s.columns
	var items [][]float64
	for k := range s.clusters {
		one := &sums{rows: s.rows, columns: s.columns, clusters: 1, num: s.num[k*n:][:n], den: s.den[k*n:][:n]}
		p := g.preference(one.matrix(nil))
		if d := p[0] - p[base]; !math.IsNaN(d) {
			items = append(items, []float64{d})
		}
	}
	return &ledger.Permutation{
		Null:   "Within items the replies of the target and of its previous version may be exchanged: nothing between the two brought it closer to our model.",
		Log10P: evidence.SignFlips(in.Rand("paired"), items, permutations, true), N: int64(len(items)), B: permutations,
	}
}
