package tokens

import "fmt"

// merger appends the ids of pieces. The scratch is reused between pieces.
type merger struct {
	table *table
	ids   []int32
	links []link
	heap  []uint64 // rank<<32 | index: a minimum heap, so the leftmost of equal ranks comes first
}

// piece appends the ids of one piece: its own id if it is taken whole, else what
// byte-pair merging leaves (Sennrich et al. 2016). In tiktoken's form any
// neighbouring parts merge whose union is a token, with merge rules those that
// the rules pair; the union of lowest rank comes first, the leftmost of equals.
func (m *merger) piece(s string) error {
	if len(s) <= m.table.longest {
		if id, ok := m.table.ranks[s]; ok {
			m.ids = append(m.ids, id)
			return nil
		}
	}
	if len(s) > MaxPiece {
		return fmt.Errorf("a run of %d bytes that the split pattern does not divide; at most %d are merged", len(s), MaxPiece)
	}
	m.merge(s)
	return nil
}

// link is one part of a piece, at the index of its first byte.
type link struct {
	prev, next int32 // index of the neighbouring parts; len(piece) past the end, -1 before the start
	id         int32
	rank       int32 // rank of this part joined with the next; none also for parts merged away
}

// merge finds the next merge through a heap, so a piece of n bytes costs
// O(n log n); scanning all parts for each merge, as is common, costs O(n²) and
// is no faster for short pieces either. A heap entry is stale if the part's
// rank has changed since; a rank names one byte string (or pair of ids), so an
// entry whose rank agrees is right even if it was pushed earlier.
func (m *merger) merge(s string) {
	n := int32(len(s))
	if cap(m.links) < len(s) {
		m.links = make([]link, len(s))
		m.heap = make([]uint64, 0, len(s))
	}
	links, heap, rules := m.links[:n], m.heap[:0], m.table.merges
	for i := range links {
		links[i] = link{prev: int32(i) - 1, next: int32(i) + 1, id: m.table.bytes[s[i]], rank: none}
		if i+1 < len(s) {
			links[i].rank = m.table.pairs[int(s[i])<<8|int(s[i+1])]
			if links[i].rank != none {
				heap = append(heap, uint64(links[i].rank)<<32|uint64(i))
			}
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	// refresh renews the rank of the part at i joined with its next.
	refresh := func(i int32) {
		links[i].rank = none
		if next := links[i].next; next < n {
			if rules != nil {
				links[i].rank = rules.pairs.rank(links[i].id, links[next].id)
			} else {
				links[i].rank = m.table.rank(s[i:links[next].next])
			}
		}
		if links[i].rank != none {
			heap = push(heap, uint64(links[i].rank)<<32|uint64(i))
		}
	}
	for len(heap) > 0 {
		top := heap[0]
		heap[0] = heap[len(heap)-1]
		heap = heap[:len(heap)-1]
		siftDown(heap, 0)
		i, rank := int32(uint32(top)), int32(top>>32)
		if links[i].rank != rank {
			continue
		}
		gone := links[i].next
		links[gone].rank = none
		links[i].id, links[i].next = rank, links[gone].next
		if rules != nil {
			links[i].id = rules.results[rank]
		}
		if links[i].next < n {
			links[links[i].next].prev = i
		}
		refresh(i)
		if prev := links[i].prev; prev >= 0 {
			refresh(prev)
		}
	}
	for i := int32(0); i < n; i = links[i].next {
		m.ids = append(m.ids, links[i].id)
	}
	m.heap = heap
}

func push(heap []uint64, v uint64) []uint64 {
	heap = append(heap, v)
	for i := len(heap) - 1; i > 0; {
		up := (i - 1) / 2
		if heap[up] <= heap[i] {
			break
		}
		heap[up], heap[i] = heap[i], heap[up]
		i = up
	}
	return heap
}

func siftDown(heap []uint64, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && heap[child+1] < heap[child] {
			child++
		}
		if heap[i] <= heap[child] {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
