package refmodel

import "math"

// Model is a trained model. It is immutable: any number of goroutines may ask
// it and generate from it at the same time.
type Model struct {
	order   int
	vocab   int
	tokens  int
	unigram []float64 // probability of every id
	levels  []level   // n-grams of length 2 and up

	// The ids that occur in training, most probable first, and their probabilities.
	byProb     []int32
	byProbProb []float64
}

// level holds the n-grams of one length k. The continuations of context c,
// which is a node of the level below (a token id for k = 2), are the nodes
// start[c] to start[c+1], most probable first.
type level struct {
	start  []int32
	lambda []float64 // mass that a context hands to the level below
	token  []int32   // last token of a node
	prefix []int32   // context of a node
	prob   []float64 // interpolated probability of the last token after the context
	table  table
}

// Order is the length of the longest n-gram.
func (m *Model) Order() int { return m.order }

// Vocab is the vocabulary size: ids are 0 to Vocab()-1.
func (m *Model) Vocab() int { return m.vocab }

// TrainedOn is the number of tokens in the training documents.
func (m *Model) TrainedOn() int { return m.tokens }

// Logprob is the natural log-probability of token after history, over the
// whole vocabulary and before any temperature, truncation or mark. An id
// outside the vocabulary has -Inf.
func (m *Model) Logprob(history []int32, token int32) float64 {
	return math.Log(m.prob(history, token))
}

func (m *Model) prob(history []int32, token int32) float64 {
	if token < 0 || int(token) >= m.vocab {
		return 0
	}
	var buf [maxOrder]int32
	scale := 1.0
	contexts := m.contexts(&buf, history)
	for k := len(contexts) - 1; k >= 0; k-- {
		c := contexts[k]
		if c < 0 {
			continue
		}
		l := &m.levels[k]
		if n := l.find(c, token); n >= 0 {
			return scale * l.prob[n]
		}
		scale *= l.lambda[c]
	}
	return scale * m.unigram[token]
}

// contexts returns, for every level from bigrams up that the history reaches,
// the node of its last tokens, or -1 where they have no continuation.
func (m *Model) contexts(buf *[maxOrder]int32, history []int32) []int32 {
	n := min(len(history), m.order-1)
	for k := range n {
		buf[k] = m.context(history[len(history)-k-1:])
	}
	return buf[:n]
}

// context is the node of a whole token sequence, or -1 when nothing follows it
// in the training documents.
func (m *Model) context(ids []int32) int32 {
	node := ids[0]
	if node < 0 || int(node) >= m.vocab {
		return -1
	}
	for i, id := range ids[1:] {
		if node = m.levels[i].find(node, id); node < 0 {
			return -1
		}
	}
	if l := &m.levels[len(ids)-1]; l.start[node] == l.start[node+1] {
		return -1
	}
	return node
}

// Alt is one alternative with its natural log-probability.
type Alt struct {
	ID      int32
	Logprob float64
}

// Top returns the n most probable tokens after history, over the whole
// vocabulary and before any temperature, truncation or mark, most probable
// first; fewer when fewer tokens occur in the training documents.
func (m *Model) Top(history []int32, n int) []Alt {
	if n <= 0 {
		return nil
	}
	c := newCandidates(min(n, m.vocab))
	c.collect(m, history, true)
	top := make([]Alt, len(c.ids))
	for i, id := range c.ids {
		top[i] = Alt{ID: id, Logprob: math.Log(c.prob[i])}
	}
	return top
}

// table is an open-addressing index of a level's nodes by (prefix, token); an
// entry is the node's number plus one, zero is free. Its size is a power of
// two and at least twice the number of nodes.
type table []int32

func newTable(n int) table {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return make(table, size)
}

// find returns the node, or -1 and the slot where it belongs.
func (t table) find(prefixes, tokens []int32, prefix, token int32) (slot uint64, node int32) {
	// Fibonacci hashing of the pair; the multiplier is 2^64 over the golden
	// ratio, and the high bits of a product are its best mixed ones.
	h := (uint64(uint32(prefix))<<32 | uint64(uint32(token))) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	mask := uint64(len(t) - 1)
	for slot = (h >> 32) & mask; ; slot = (slot + 1) & mask {
		node = t[slot] - 1
		if node < 0 || (prefixes[node] == prefix && tokens[node] == token) {
			return slot, node
		}
	}
}

func (l *level) find(prefix, token int32) int32 {
	_, node := l.table.find(l.prefix, l.token, prefix, token)
	return node
}

// index builds the table of a level whose nodes are numbered for good.
func (l *level) index() {
	l.table = newTable(len(l.token))
	for i := range l.token {
		slot, _ := l.table.find(l.prefix, l.token, l.prefix[i], l.token[i])
		l.table[slot] = int32(i) + 1
	}
}
