package family

import (
	"context"
	"math"

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
	sums      map[string][]float64 // by target, of the features
	counts    map[string]float64   // by target, of the replies
	profiles  map[string][]float64 // by teacher: its mean z-score divided by the SD, to be multiplied with a value
	offset    map[string][]float64 // by teacher and block: what the mean takes off
	norms     map[string][]float64 // by teacher and block: length of the profile
	inverse   []float64            // 1/SD, 0 for features that are left out
	centre    []float64            // mean of the targets' means
	base      []float64            // by block: squared length of the z-scores of a reply without features
}

// compareStyle reads all replies twice: once for the moments of every feature, once
// for the closeness of each reply to each teacher. Memory does not depend on their
// number.
func (in *Input) compareStyle(ctx context.Context, sd *sides, r *readings, st *style, s *say) (*Output, error) {
	langs, err := in.measure(ctx, sd, r, st, s)
	if err != nil {
		return nil, err
	}
	for _, m := range langs {
		m.finish(st, sd)
	}
	type closeness struct {
		sum []float64 // by teacher
		n   float64
	}
	near := map[*ledger.Target]map[*ledger.Prompt]*closeness{}
	for _, t := range sd.rows() {
		of := map[*ledger.Prompt]*closeness{}
		near[t] = of
		err := readReplies(ctx, in, t.Name, func(a *Answer) ([]float64, bool) {
			f, ok := st.features(a, r)
			if !ok {
				return nil, false
			}
			m := langs[a.Item.Prompt.Lang]
			out := make([]float64, len(sd.columns()))
			for j, teacher := range sd.columns() {
				out[j] = m.cosine(st, f, teacher.Name)
			}
			return out, true
		}, func(a *Answer, v []float64) {
			c := of[a.Item.Prompt]
			if c == nil {
				c = &closeness{sum: make([]float64, len(v))}
				of[a.Item.Prompt] = c
			}
			for j := range v {
				c.sum[j] += v[j]
			}
			c.n++
		})
		if err != nil {
			return nil, err
		}
	}
	g := newAgreement(sd)
	for _, p := range in.Prompts() {
		if _, read := r.item[p]; !read {
			continue
		}
		c := g.cell(r.item[p], p.Category, p)
		for i, row := range g.rows {
			v := near[row][p]
			if v == nil {
				continue
			}
			for j, teacher := range g.teachers {
				if row != teacher && langs[p.Lang].counts[teacher.Name] > 0 {
					g.set(c, i, j, v.sum[j]/v.n, 1)
				}
			}
		}
	}
	return in.compare(sd, g, s), nil
}

// features extracts those of a reply that the test reads.
func (st *style) features(a *Answer, r *readings) ([]feature, bool) {
	if _, read := r.item[a.Item.Prompt]; !read || a.Reply.Outcome != ledger.OK {
		return nil, false
	}
	f := st.extract(a)
	return f, len(f) > 0
}

// measure gathers the moments by language.
func (in *Input) measure(ctx context.Context, sd *sides, r *readings, st *style, s *say) (map[string]*moments, error) {
	langs := map[string]*moments{}
	dim := st.blocks[len(st.blocks)-1]
	for _, t := range sd.everybody() {
		err := readReplies(ctx, in, t.Name, func(a *Answer) ([]feature, bool) { return st.features(a, r) }, func(a *Answer, f []feature) {
			m := langs[a.Item.Prompt.Lang]
			if m == nil {
				m = &moments{
					documents: make([]float64, dim), squares: make([]float64, dim), total: make([]float64, dim),
					sums: map[string][]float64{}, counts: map[string]float64{},
				}
				langs[a.Item.Prompt.Lang] = m
			}
			if m.sums[t.Name] == nil {
				m.sums[t.Name] = make([]float64, dim)
			}
			of := m.sums[t.Name]
			for _, x := range f {
				of[x.at] += x.value
				m.total[x.at] += x.value
				m.squares[x.at] += x.value * x.value
				m.documents[x.at]++
			}
			m.replies++
			m.counts[t.Name]++
			if t == sd.rival {
				s.replies++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return langs, nil
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
