package family

import (
	"slices"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// span is where the agreement of a source and a teacher in a cell lies, and its weight,
// whatever missing replies would have been.
type span struct{ lo, hi, least, most float64 }

// rooms are the spans of all pairs by cell; nil of a cell in which nothing is missing.
type rooms [][]span

// free lets the agreements in a cell of weight 1 of those who lack a reply be anything
// from lo to hi, or not be there; what all others have in it stays.
func (g *agreement) free(c *cell, lo, hi float64, lacks func(*ledger.Target) bool) []span {
	room := make([]span, len(c.num))
	for i := range room {
		room[i] = c.now(i)
		row, column := g.rows[i/len(g.columns)], i%len(g.columns)
		if lacks(row) || g.teachers != nil && lacks(g.teachers[column]) {
			room[i] = span{lo, hi, 0, 1}
		}
	}
	return room
}

// now is what a cell holds of a pair of source and teacher.
func (c *cell) now(i int) span {
	if c.den[i] == 0 {
		return span{}
	}
	v := c.num[i] / c.den[i]
	return span{v, v, c.den[i], c.den[i]}
}

// spans are those of a pair by cell.
func (g *agreement) spans(in rooms, row, column int) []span {
	out := make([]span, len(g.cells))
	for k := range g.cells {
		i := row*len(g.columns) + column
		if out[k] = g.cells[k].now(i); in[k] != nil {
			out[k] = in[k][i]
		}
	}
	return out
}

// highest is the largest weighted mean that the spans allow, which must have a weight.
// Weights are largest where the agreement lies above the mean and smallest where it
// lies below: each round comes closer, and none changes the answer once it is reached
// (Dinkelbach, Management Science 13, 1967).
func highest(spans []span) float64 {
	mean := func(above func(v float64) bool) (num, den float64) {
		for _, s := range spans {
			w := s.least
			if above(s.hi) {
				w = s.most
			}
			num, den = num+w*s.hi, den+w
		}
		return num, den
	}
	num, den := mean(func(float64) bool { return true })
	for best := num / den; ; best = num / den {
		if num, den = mean(func(v float64) bool { return v > best }); den == 0 || num/den <= best {
			return best
		}
	}
}

// lowest is the smallest weighted mean.
func lowest(spans []span) float64 {
	turned := make([]span, len(spans))
	for i, s := range spans {
		turned[i] = span{-s.hi, -s.lo, s.least, s.most}
	}
	return -highest(turned)
}

// lacking counts a target's missing replies by prompt.
func (in *Input) lacking(t *ledger.Target, s *say) map[*ledger.Prompt]int64 {
	out := map[*ledger.Prompt]int64{}
	for _, p := range in.Prompts() {
		if p.Asks(t.Name) {
			out[p] = int64(in.SamplesOf(p))
		}
	}
	for a := range in.targets[t.Name].settled() {
		if !in.Test.Reads(a.prompt) {
			continue
		}
		if a.class == ledger.OK || s.refusals && (a.class == ledger.Refused || a.class == ledger.Filtered) {
			out[a.prompt]--
		}
	}
	if in.judge != nil {
		in.judge.unlabelled(t, func(q *ledger.Prompt) { out[q]++ })
	}
	return out
}

// bound says how far missing replies could move the rival's lead and its rank: its own,
// and those of everybody who is compared where others lack some, too.
func (in *Input) bound(sd *sides, g *agreement, rows, columns []int, m [][]float64, s *say) (own, all *ledger.MissingBounds) {
	own, ok := in.bounded(sd, g, rows, columns, m, s, []*ledger.Target{sd.rival})
	if !ok {
		s.warnings = append(s.warnings, WarnUnbounded)
	}
	everybody := slices.Concat([]*ledger.Target{sd.rival}, sd.controls, g.teachers)
	if !slices.ContainsFunc(everybody[1:], func(t *ledger.Target) bool { return in.lacksRead(t, g, s) }) && !s.unsure {
		return own, nil
	}
	all, ok = in.bounded(sd, g, rows, columns, m, s, everybody)
	if !ok || s.unsure {
		s.warnings = append(s.warnings, WarnOthersUnbounded)
		return own, nil
	}
	return own, all
}

// lacksRead reports whether a target lacks a reply that is read.
func (in *Input) lacksRead(t *ledger.Target, g *agreement, s *say) bool {
	lacks := in.lacking(t, s)
	return slices.ContainsFunc(g.cells, func(c cell) bool {
		return slices.ContainsFunc(c.prompts, func(p *ledger.Prompt) bool { return lacks[p] > 0 })
	})
}

// bounded says how far the missing replies of some targets could move the rival's lead
// and its rank, nil where none is missing that is read. A cell in which one is missing is
// wholly unknown, what the target said in it included. It is not ok where there is no
// bound: where a reply moves other cells, too, or could change who is compared with whom.
func (in *Input) bounded(sd *sides, g *agreement, rows, columns []int, m [][]float64, s *say, of []*ledger.Target) (b *ledger.MissingBounds, ok bool) {
	open, seen := make(rooms, len(g.cells)), map[*ledger.Prompt]bool{}
	lacks := make([]map[*ledger.Prompt]int64, len(of))
	for i, t := range of {
		lacks[i] = in.lacking(t, s)
	}
	b = &ledger.MissingBounds{}
	for k := range g.cells {
		c := &g.cells[k]
		who := map[*ledger.Target]bool{}
		for _, p := range c.prompts {
			for i, t := range of {
				if n := lacks[i][p]; n > 0 {
					who[t] = true
					if !seen[p] {
						b.Replies += n
					}
				}
			}
			seen[p] = true
		}
		if len(who) == 0 {
			continue
		}
		if lacking := func(t *ledger.Target) bool { return who[t] }; s.room != nil {
			open[k] = s.room(c, lacking)
		} else {
			open[k] = g.free(c, s.lo, s.hi, lacking)
		}
	}
	if b.Replies == 0 {
		return nil, true
	}
	if s.shared || !g.settled(sd, open, rows, columns) {
		return nil, false
	}
	// A source prefers us least when it agrees with us as little and with the others as
	// much as can be, and most the other way round.
	least, most := make([]float64, len(rows)), make([]float64, len(rows))
	alike := make([]float64, len(rows)) // if open cells were like the controls' mean
	for r, row := range rows {
		against, towards, middle := make([]float64, len(columns)), make([]float64, len(columns)), make([]float64, len(columns))
		for t, column := range columns {
			spans := g.spans(open, row, column)
			against[t], towards[t] = highest(spans), lowest(spans)
			if t == 0 {
				against[t], towards[t] = towards[t], against[t]
			}
			middle[t] = filled(spans, controlsMean(m, t))
		}
		alike[r] = g.preference([][]float64{middle})[0]
		if g.prefer != nil {
			// The others are makers that were named; the missing replies may name a new one.
			spans := g.spans(open, row, 0)
			for i, s := range spans {
				spans[i] = span{0, s.hi - s.lo, s.least, s.most}
			}
			against, towards = append(against, highest(spans)), append(towards, 0)
		}
		least[r], most[r] = g.preference([][]float64{against})[0], g.preference([][]float64{towards})[0]
	}
	mean := func(x []float64) float64 {
		sum := 0.
		for _, v := range x[1:] {
			sum += v / float64(len(x)-1)
		}
		return sum
	}
	now := g.preference(m)
	if len(of) == 1 {
		copy(alike[1:], now[1:])
	}
	b.Lead, b.Alike = finite(now[0]-mean(now)), finite(alike[0]-mean(alike))
	b.Worst, b.Best = finite(least[0]-mean(most)), finite(most[0]-mean(least))
	b.WorstRank, b.BestRank = evidence.RankAmong(least[0], most[1:]).Rank, evidence.RankAmong(most[0], least[1:]).Rank
	return b, true
}

// controlsMean is the mean of a column of agreements without the rival's.
func controlsMean(m [][]float64, column int) float64 {
	sum := 0.
	for _, row := range m[1:] {
		sum += row[column] / float64(len(m)-1)
	}
	return sum
}

// filled is the weighted mean with one value where the agreement is not known.
func filled(spans []span, value float64) float64 {
	num, den := 0., 0.
	for _, s := range spans {
		v := s.hi
		if s.lo < s.hi || s.least < s.most {
			v = min(max(value, s.lo), s.hi)
		}
		num, den = num+s.most*v, den+s.most
	}
	return num / den
}

// settled reports whether [agreement.usable] picks the same rows and columns whatever
// the missing replies would have been.
func (g *agreement) settled(sd *sides, open rooms, rows, columns []int) bool {
	fewest, most := g.unitsBetween(open, 0)
	for row := 1; row <= len(sd.controls); row++ {
		lo, hi := g.unitsBetween(open, row)
		if slices.Contains(rows, row) {
			if float64(lo) < minShare*float64(most) {
				return false
			}
		} else if hi > 0 && float64(hi) >= minShare*float64(fewest) {
			return false
		}
	}
	for t := range g.columns {
		sure, could := true, true
		for _, row := range rows {
			lo, hi := 0., 0.
			for _, s := range g.spans(open, row, t) {
				lo, hi = lo+s.least, hi+s.most
			}
			sure, could = sure && lo > 0, could && hi > 0
		}
		if in := slices.Contains(columns, t); in && !sure || !in && could {
			return false
		}
	}
	return true
}

// unitsBetween bounds what [agreement.units] counts.
func (g *agreement) unitsBetween(open rooms, row int) (fewest, most int) {
	sure, could := map[int]bool{}, map[int]bool{}
	for k, s := range g.spans(open, row, 0) {
		if s.least > 0 {
			sure[g.cells[k].cluster] = true
		}
		if s.most > 0 {
			could[g.cells[k].cluster] = true
		}
	}
	return len(sure), len(could)
}
