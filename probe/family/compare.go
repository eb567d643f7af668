package family

import (
	"fmt"
	"math"
	"strconv"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Settings of every comparative test.
const (
	// resamples of the bootstrap: an end of a 99 % interval is then the tenth value
	// from the end.
	resamples = 1999
	// permutations resolve a p-value to 1e-4.
	permutations = 9999
	// contrastLevel is the confidence of the rival's lead over each control: there are
	// some twenty of them, so that one of 95 % would miss.
	contrastLevel = .99
	effectLevel   = .95
	// minShare of the rival's items must be read from a control, or it is left out: a
	// control that answered other questions is no comparison.
	minShare = .5
)

// agreement holds how much each source agrees with each teacher, cell by cell. The
// agreement A of source and teacher is a ratio of sums over cells.
type agreement struct {
	rows     []*ledger.Target
	teachers []*ledger.Target // the columns, where they are targets
	columns  []string         // their names, ours first
	cells    []cell
	clusters int
	// prefer says how much more a source's row of agreements is for the first column
	// than for the others; nil is their mean.
	prefer func(row []float64) float64
}

// cell is one prompt, or what a family takes together. Its numerators and
// denominators are by source and teacher, row by row; a denominator of 0 means that
// there is nothing to compare.
type cell struct {
	cluster        int // the unit of analysis that it belongs to
	lang, category string
	num, den       []float64
	prompts        []*ledger.Prompt // whose replies enter
}

// newAgreement prepares the matrix of a comparison.
func newAgreement(s *sides) *agreement {
	g := &agreement{rows: s.rows(), teachers: s.columns()}
	for _, t := range g.teachers {
		g.columns = append(g.columns, t.Name)
	}
	return g
}

// cell adds an empty cell for prompts of one language.
func (g *agreement) cell(cluster int, category string, prompts ...*ledger.Prompt) *cell {
	n := len(g.rows) * len(g.columns)
	g.cells = append(g.cells, cell{
		cluster: cluster, lang: prompts[0].Lang, category: category, prompts: prompts, num: make([]float64, n), den: make([]float64, n),
	})
	g.clusters = max(g.clusters, cluster+1)
	return &g.cells[len(g.cells)-1]
}

// set enters the agreement of a source with a teacher, with its weight.
func (g *agreement) set(c *cell, row, column int, value, weight float64) {
	i := row*len(g.columns) + column
	c.num[i], c.den[i] = value*weight, weight
}

// sums are the numerators and denominators of some rows and columns by cluster.
type sums struct {
	rows, columns int
	num, den      []float64 // by cluster, row, column
	clusters      int
}

// sum adds up the cells that keep accepts, for the given rows and columns. Clusters
// without any are left out.
func (g *agreement) sum(rows, columns []int, keep func(*cell) bool) *sums {
	s := &sums{rows: len(rows), columns: len(columns)}
	place := map[int]int{}
	n := len(rows) * len(columns)
	for i := range g.cells {
		c := &g.cells[i]
		if keep != nil && !keep(c) {
			continue
		}
		at, ok := place[c.cluster]
		if !ok {
			at = s.clusters
			place[c.cluster] = at
			s.clusters++
			s.num, s.den = append(s.num, make([]float64, n)...), append(s.den, make([]float64, n)...)
		}
		for r, row := range rows {
			for t, column := range columns {
				j := row*len(g.columns) + column
				s.num[at*n+r*len(columns)+t] += c.num[j]
				s.den[at*n+r*len(columns)+t] += c.den[j]
			}
		}
	}
	return s
}

// matrix is the agreement under the counts of the clusters (nil: one each). A pair
// without anything to compare is NaN.
func (s *sums) matrix(count []float64) [][]float64 {
	n := s.rows * s.columns
	num, den := make([]float64, n), make([]float64, n)
	for k := range s.clusters {
		w := 1.
		if count != nil {
			if w = count[k]; w == 0 {
				continue
			}
		}
		for j := range n {
			num[j] += w * s.num[k*n+j]
			den[j] += w * s.den[k*n+j]
		}
	}
	m := make([][]float64, s.rows)
	for r := range m {
		m[r] = make([]float64, s.columns)
		for t := range m[r] {
			m[r][t] = num[r*s.columns+t] / den[r*s.columns+t]
		}
	}
	return m
}

// preference is how much more each source agrees with us, the first column, than
// with the teachers on average; with us alone it is the bare agreement. It differs
// from the double-centred residual by a number that all sources share.
func (g *agreement) preference(m [][]float64) []float64 {
	out := make([]float64, len(m))
	for r, row := range m {
		if g.prefer != nil {
			out[r] = g.prefer(row)
			continue
		}
		out[r] = row[0]
		if len(row) == 1 {
			continue
		}
		mean := 0.
		for _, v := range row {
			mean += v / float64(len(row))
		}
		out[r] -= mean
	}
	return out
}

// residuals are the double-centred agreements with us. With us alone, or with a
// preference of the family's own, only the sources' mean can be taken off.
func (g *agreement) residuals(m [][]float64) []float64 {
	out := make([]float64, len(m))
	if g.prefer == nil && len(m[0]) > 1 {
		for r, row := range evidence.Residuals(m) {
			out[r] = row[0]
		}
		return out
	}
	p := g.preference(m)
	mean := 0.
	for _, v := range p {
		mean += v / float64(len(p))
	}
	for r, v := range p {
		out[r] = v - mean
	}
	return out
}

// say is what a family tells of its numbers.
type say struct {
	statistic string // one sentence
	unit      string // of agreement
	extractor string // what read the replies, with its version
	replies   int64  // of the rival that entered
	versus    bool   // difference in differences against the rival's previous version
	cap       float64
	traits    []ledger.Trait
	permuted  *ledger.Permutation
	// lo and hi bound the agreement in a cell, of weight 1; where a missing reply moves
	// more of a cell, room says what could be there. Shared says that a reply moves the
	// agreement of others in other cells, too, so that no cell bounds what a missing one
	// could change; unsure that those of others than the rival could take the comparison
	// away. Refusals says that they are replies, too.
	lo, hi                   float64
	room                     func(c *cell, lacks func(*ledger.Target) bool) []span
	shared, unsure, refusals bool
	warnings                 []Warning
}

// nothing is the finding where there is nothing to compare.
func (s *say) nothing(warnings ...Warning) *Output {
	return &Output{
		Finding:  ledger.Finding{Statistic: s.statistic, Extractor: s.extractor, Replies: s.replies, EffectUnit: s.unit},
		Warnings: append(s.warnings, warnings...),
	}
}

// compare ranks the rival's residual agreement with us among the controls'.
func (in *Input) compare(sd *sides, g *agreement, s *say) *Output {
	if sd.ours == nil || len(g.cells) == 0 {
		return s.nothing(WarnNothingOfOurs)
	}
	rows, columns, not, ok := g.usable(sd)
	if !ok {
		return s.nothing(WarnNothingInCommon)
	}
	controls := rows[1:]
	all := g.sum(rows, columns, nil)
	m := all.matrix(nil)
	value := g.residuals(m)
	rank := evidence.RankAmong(value[0], value[1:])

	f := s.nothing().Finding
	f.N = g.units(rows[0])
	f.Score, f.Mean, f.SD = value[0], rank.Mean, rank.SD
	f.Log10P, f.Log10PMethod = number(rank.Log10P), "rank among the controls, (1 + controls at or above)/(1 + controls)"
	base := -1 // of the effect: the previous version's row among the usable, or the mean
	c := &ledger.Comparison{
		Rival: value[0], Controls: []ledger.ControlStat{}, NotControls: append(sd.not, not...),
		Rank: rank.Rank, Of: rank.Of, Log10P: rank.Log10P, Log10Floor: rank.Log10Floor,
		Permutation: s.permuted, Traits: s.traits, Matrix: &ledger.Matrix{Values: m},
	}
	var kept []*ledger.Target
	for i, row := range controls {
		t := g.rows[row]
		kept = append(kept, t)
		c.Controls = append(c.Controls, ledger.ControlStat{Target: t.Name, Vendor: t.Vendor, N: g.units(row), Value: value[1+i]})
		if s.versus && t == sd.previous {
			base, c.Previous = 1+i, t.Name
		}
	}
	c.Vendors = vendors(kept)
	for _, row := range rows {
		c.Matrix.Sources = append(c.Matrix.Sources, g.rows[row].Name)
	}
	for _, column := range columns {
		c.Matrix.Teachers = append(c.Matrix.Teachers, g.columns[column])
	}
	if !math.IsNaN(rank.Log10Parametric) {
		c.Log10Parametric = number(rank.Log10Parametric)
	}
	c.Missing, c.MissingAll = in.bound(sd, g, rows, columns, m, s)
	g.calibrate(c, sd, rows, columns, s)

	boot := in.bootstrap(g, "bootstrap", all, base)
	effect := boot.interval(0, effectLevel)
	f.Effect, f.EffectLo, f.EffectHi = finite(effect.Value), finite(effect.Lo), finite(effect.Hi)
	f.EffectUnit = s.unit + " above the controls' mean"
	if base > 0 {
		f.EffectUnit = s.unit + " above that of the previous version, " + c.Previous
		c.Permutation = in.paired(g, all, base)
	}
	for i := range c.Controls {
		lead := boot.interval(1+i, contrastLevel)
		c.Controls[i].Lead, c.Controls[i].LeadLo, c.Controls[i].LeadHi = finite(lead.Value), finite(lead.Lo), finite(lead.Hi)
	}
	f.Comparison = c
	f.Parts = in.parts(g, rows, columns, base)
	f.Power = rankPower(len(controls), rank.SD, s.unit)
	f.Power.Units = f.N
	if g.prefer == nil && len(columns) == 1 {
		s.warnings = append(s.warnings, WarnNoTeachers)
	}
	return &Output{Finding: f, Log10P: rank.Log10P, Warnings: s.warnings}
}

// usable picks the rows and columns that can be compared: the rival, the controls that
// share enough items with it, and us and the teachers with whom each of them has
// something to compare.
func (g *agreement) usable(sd *sides) (rows, columns []int, not []string, ok bool) {
	rival := g.units(0)
	if rival == 0 {
		return nil, nil, nil, false
	}
	rows = []int{0}
	for i, t := range sd.controls {
		if n := g.units(1 + i); n == 0 || float64(n) < minShare*float64(rival) {
			not = append(not, fmt.Sprintf("%s could be read on %d of the %d items that the rival could be read on", t.Name, n, rival))
			continue
		}
		rows = append(rows, 1+i)
	}
	all := make([]int, len(g.columns))
	for i := range all {
		all[i] = i
	}
	m := g.sum(rows, all, nil).matrix(nil)
	for t := range g.columns {
		whole := true
		for r := range rows {
			whole = whole && !math.IsNaN(m[r][t])
		}
		switch {
		case whole:
			columns = append(columns, t)
		case t == 0:
			return nil, nil, nil, false
		}
	}
	return rows, columns, not, true
}

// units counts the clusters in which a source could be compared with us.
func (g *agreement) units(row int) int64 {
	seen := map[int]bool{}
	for i := range g.cells {
		if g.cells[i].den[row*len(g.columns)] > 0 {
			seen[g.cells[i].cluster] = true
		}
	}
	return int64(len(seen))
}

// calibrate adds the likelihood ratio where students of ours were measured: their
// preference on the same columns, on the scale of the residuals.
func (g *agreement) calibrate(c *ledger.Comparison, sd *sides, rows, columns []int, s *say) {
	if len(sd.students) == 0 {
		return
	}
	first := len(g.rows) - len(sd.students)
	withStudents := rows
	for i := range sd.students {
		withStudents = append(withStudents[:len(withStudents):len(withStudents)], first+i)
	}
	p := g.preference(g.sum(withStudents, columns, nil).matrix(nil))
	var students []float64
	for _, v := range p[len(rows):] {
		if !math.IsNaN(v) {
			students = append(students, v)
		}
	}
	ratio := evidence.LikelihoodRatio(p[0], students, p[1:len(rows)])
	if math.IsNaN(ratio) {
		return
	}
	c.Cap = float64(c.Of)
	if s.cap > 0 {
		c.Cap = math.Min(c.Cap, s.cap)
	}
	c.LikelihoodRatio = number(math.Min(ratio, c.Cap))
}

// bootstrapped holds the resampled effects: the first is the rival's lead over the
// base or the controls' mean, then come its leads over each control.
type bootstrapped struct {
	value               []float64
	sorted              [][]float64
	clusters, resamples int
}

func (b *bootstrapped) interval(i int, level float64) evidence.Interval {
	return evidence.Percentiles(b.value[i], b.sorted[i], b.clusters, b.resamples, level)
}

// bootstrap resamples clusters. The generator's purpose keeps parts apart.
func (in *Input) bootstrap(g *agreement, purpose string, s *sums, base int) *bootstrapped {
	leads := func(count, out []float64) {
		p := g.preference(s.matrix(count))
		mean := math.NaN()
		if len(p) > 1 {
			mean = 0
		}
		for i, v := range p[1:] {
			out[1+i] = p[0] - v
			mean += v / float64(len(p)-1)
		}
		if out[0] = p[0] - mean; base > 0 {
			out[0] = out[base]
		}
	}
	b := &bootstrapped{value: make([]float64, s.rows), clusters: s.clusters, resamples: resamples}
	if in.resamples > 0 {
		b.resamples = in.resamples
	}
	leads(nil, b.value)
	b.sorted = evidence.Bootstrap(in.Rand(purpose), s.clusters, b.resamples, s.rows, leads)
	return b
}

// parts are the same effect by language and by category, where there are several.
func (in *Input) parts(g *agreement, rows, columns []int, base int) []ledger.Part {
	var out []ledger.Part
	for _, by := range []struct {
		name string
		of   func(*cell) string
	}{{"language", func(c *cell) string { return c.lang }}, {"category", func(c *cell) string { return c.category }}} {
		var values []string
		seen := map[string]bool{}
		for i := range g.cells {
			if v := by.of(&g.cells[i]); !seen[v] {
				seen[v] = true
				values = append(values, v)
			}
		}
		if len(values) < 2 {
			continue
		}
		for i, v := range values {
			if in.step != nil {
				in.step(StepIntervals, i, len(values))
			}
			s := g.sum(rows, columns, func(c *cell) bool { return by.of(c) == v })
			name := by.name + " " + v
			b := in.bootstrap(g, "part "+name, s, base)
			if math.IsNaN(b.value[0]) {
				continue
			}
			iv := b.interval(0, effectLevel)
			out = append(out, ledger.Part{Name: name, N: int64(s.clusters), Effect: finite(iv.Value), Lo: finite(iv.Lo), Hi: finite(iv.Hi)})
		}
	}
	return out
}

// rankPower is the smallest lead that comes first among controls of the given spread
// with power [PowerLevel]: normal values of one spread are supposed.
func rankPower(controls int, sd float64, unit string) ledger.PowerRow {
	floor := -math.Log10(float64(controls+1)) + 0
	row := ledger.PowerRow{Log10Alpha: floor, Log10Floor: floor, EffectUnit: unit + " above the controls' mean"}
	if controls > 0 && sd > 0 {
		row.Effect = evidence.RankShift(controls, PowerLevel) * sd
	}
	return row
}

// spread is what the planner supposes of a family's residuals among controls: their
// standard deviation is √(between² + within²/n) for n units of analysis. The numbers
// are those of scripted models (the tests hold them to a factor of two); real ones may
// lie farther apart, and a finding states its power by the spread that was seen.
type spread struct{ between, within float64 }

// plannedRank is the planner's promise of a comparative test: the smallest lead that
// would come first among the controls with power [PowerLevel]; none where they are too few.
func plannedRank(t *PlannedTest, unit string, sp spread, kinds ...reading.Kind) (ledger.PowerRow, error) {
	sd, err := t.sides()
	if err != nil {
		return ledger.PowerRow{}, err
	}
	r, err := t.readings(kinds...)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	n := len(r.items)
	if n == 0 {
		return rankPower(len(sd.controls), 0, unit), nil
	}
	s := math.Sqrt(sp.between*sp.between + sp.within*sp.within/float64(n))
	row := rankPower(len(sd.controls), s, unit)
	row.Units = int64(n)
	if row.Effect == 0 {
		return row, nil
	}
	leads := at(t.Effects, twoDigits(row.Effect/4), twoDigits(row.Effect/2), twoDigits(2*row.Effect))
	if len(sd.controls) < ledger.MinControls { // a first place among so few is no lead
		row.Effect = 0
		for _, lead := range leads {
			row.At = append(row.At, ledger.PowerAt{Effect: lead})
		}
		return row, nil
	}
	for _, lead := range leads {
		found := ledger.PowerAt{Effect: lead, Power: evidence.RankPower(len(sd.controls), lead/s, 1)}
		// More units take nothing off the spread between models.
		if rest := math.Pow(lead*s/row.Effect, 2) - sp.between*sp.between; rest > 0 {
			found.Units = int64(math.Ceil(sp.within*sp.within/rest - 1e-6))
		}
		row.At = append(row.At, found)
	}
	return row, nil
}

// twoDigits rounds a positive number to two significant digits.
func twoDigits(x float64) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 2, 64), 64)
	if err != nil {
		panic("family: " + err.Error()) // no float64 is written in another form
	}
	return v
}
