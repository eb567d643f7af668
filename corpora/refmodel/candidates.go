package refmodel

// candidates is the scratch of one generation: the most probable tokens after
// a history, most probable first. It belongs to one goroutine.
type candidates struct {
	limit  int
	ids    []int32
	prob   []float64 // full model probability
	weight []float64 // what the sampler draws from, not normalised
	logits []float32
	seen   []stamped // open addressing, a power of two, at least four times limit
	epoch  uint32
}

// stamped is one slot of a set that is emptied by counting the epoch up.
type stamped struct {
	id    int32
	epoch uint32
}

func newCandidates(limit int) *candidates {
	size := 16
	for size < 4*limit {
		size *= 2
	}
	return &candidates{
		limit:  limit,
		ids:    make([]int32, 0, limit),
		prob:   make([]float64, 0, limit),
		weight: make([]float64, limit),
		logits: make([]float32, limit),
		seen:   make([]stamped, size),
	}
}

// add reports whether id was new in this epoch.
func (c *candidates) add(id int32) bool {
	mask := uint32(len(c.seen) - 1)
	for i := (uint32(id) * 0x9e3779b1) >> 7 & mask; ; i = (i + 1) & mask {
		if c.seen[i].epoch != c.epoch {
			c.seen[i] = stamped{id, c.epoch}
			return true
		}
		if c.seen[i].id == id {
			return false
		}
	}
}

// collect fills in the limit most probable tokens after history. Every
// context's continuations are sorted by their interpolated probability, and a
// token that a long context knows is never more probable through a shorter
// one, so merging the sorted lists and keeping a token's first occurrence is
// exact.
//
// The list of single tokens takes part only if all is set or no longer context
// is known: it would add tokens that never followed the last one anywhere in
// the training text, words out of place that make the text unreadable.
func (c *candidates) collect(m *Model, history []int32, all bool) {
	c.ids, c.prob = c.ids[:0], c.prob[:0]
	c.epoch++
	if c.epoch == 0 { // wrapped: stamps of the last round would look new
		clear(c.seen)
		c.epoch = 1
	}
	type run struct {
		token []int32
		prob  []float64
		scale float64
	}
	var runs [maxOrder + 1]run
	n := 0
	var buf [maxOrder]int32
	contexts := m.contexts(&buf, history)
	scale := 1.0
	for k := len(contexts) - 1; k >= 0; k-- {
		ctx := contexts[k]
		if ctx < 0 {
			continue
		}
		l := &m.levels[k]
		from, to := l.start[ctx], l.start[ctx+1]
		runs[n] = run{l.token[from:to], l.prob[from:to], scale}
		n++
		scale *= l.lambda[ctx]
	}
	if all || n == 0 {
		runs[n] = run{m.byProb, m.byProbProb, scale}
		n++
	}
	for len(c.ids) < c.limit {
		best, top := -1, 0.0
		for i := range n {
			if r := &runs[i]; len(r.token) > 0 && r.scale*r.prob[0] > top {
				best, top = i, r.scale*r.prob[0]
			}
		}
		if best < 0 {
			break
		}
		r := &runs[best]
		id := r.token[0]
		r.token, r.prob = r.token[1:], r.prob[1:]
		if c.add(id) {
			c.ids = append(c.ids, id)
			c.prob = append(c.prob, top)
		}
	}
}
