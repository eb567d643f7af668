package watermark

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Spill bounds the memory of a run whose units are pairs (see [Detector.UnitIsPair]):
// other runs stay in memory, whatever it says. When more than Units distinct ones have
// come, the run goes to a temporary file: its units, old and new, are parted by a hash
// into 64 streams, so that those of one part are all that must be in memory at once, and
// [Detector.Settle] finds part by part how often each unit had occurred before. It then
// adds the occurrences in the order in which they came, as would have been done at once:
// results are the same to the last bit.
//
// The file takes 4(h+1)+2 bytes for a token that is scored, for windows of h tokens, and
// as much for each distinct unit. Memory stays within that of Units up to 64 times as
// many units, and grows by a 64th of theirs beyond.
type Spill struct {
	// Units is how many distinct units are held in memory; see [Detector] for the bytes.
	Units int
	// Each is told of every item, in order: the tag that [Detector.Enter] was given, its
	// tokens, and what [Detector.Add] returns. The run is then at this item.
	Each func(tag, tokens int, units int64, score float64)
}

// spillParts is the number of parts: one fits into a byte, and the buffers of all into
// half a megabyte, three times that while the file is read.
const spillParts = 64

// spilled is a run that went to disk.
type spilled struct {
	*spool
	seed   uint64 // random: nobody can choose text that falls into one part
	record int    // bytes of a unit: its ids, then a byte for weight and what was before
	parts  [spillParts]struct {
		units  *stream // the run's occurrences, in order
		old    int     // records at the beginning that the run has counted already
		sorted *stream // the distinct ones by window, with their final weights
	}
	items    *stream // of bytes: tag, tokens, occurrences; then each one's part
	item     []byte  // the parts of the current item's occurrences
	distinct int
	settled  bool
}

// Enter is [Detector.Add] for a run with a [Spill], whose Each is told what Add would
// have returned: at once, or by [Detector.Settle] if the run is on disk. tag is the
// caller's. The error is a [*SpillError].
func (d *Detector) Enter(it Item, tag int) error {
	n, score := d.add(it, nil)
	if d.disk != nil {
		return d.recorded(tag, len(it.Tokens))
	}
	d.spill.Each(tag, len(it.Tokens), n, score)
	if d.pairs.len() > d.spill.Units && d.UnitIsPair() && d.peer == "" {
		return d.goToDisk()
	}
	return nil
}

// goToDisk moves what the run has seen into a new file.
func (d *Detector) goToDisk() error {
	file, err := newSpool()
	if err != nil {
		return err
	}
	d.disk = d.newSpilled(file)
	for i, weight := range d.times {
		if err := d.disk.put(d.pairs.at(i), weight); err != nil {
			return err
		}
	}
	for p := range d.disk.parts {
		part := &d.disk.parts[p]
		part.old = part.units.len()
	}
	d.disk.item = d.disk.item[:0]
	d.pairs, d.times = newTuples(d.pairs.stride), nil
	return nil
}

func (d *Detector) newSpilled(file *spool) *spilled {
	s := &spilled{spool: file, seed: rand.Uint64(), record: 4*d.pairs.stride + 1}
	s.items = file.stream(1)
	for p := range s.parts {
		s.parts[p].units, s.parts[p].sorted = file.stream(s.record), file.stream(s.record)
	}
	return s
}

// put records an occurrence of a unit.
func (s *spilled) put(unit []int32, weight uint8) error {
	h := s.seed
	for _, id := range unit {
		hi, lo := bits.Mul64(h^uint64(uint32(id)), 0x9E3779B97F4A7C15) // as in tuples
		h = hi ^ lo
	}
	part := h >> 32 % spillParts
	s.item = append(s.item, byte(part))
	return s.parts[part].units.put(unit, weight)
}

// put appends a unit.
func (s *stream) put(unit []int32, weight uint8) error {
	record, err := s.next()
	if err != nil {
		return err
	}
	for i, id := range unit {
		binary.LittleEndian.PutUint32(record[4*i:], uint32(id))
	}
	record[4*len(unit)] = weight << 4
	return nil
}

// unitOf takes a record apart: the weight of the occurrence, and the one that the unit
// had before it, 0 if it is the first. Both are at most 8.
func unitOf(record []byte, unit []int32) (weight, before uint8) {
	for i := range unit {
		unit[i] = int32(binary.LittleEndian.Uint32(record[4*i:]))
	}
	last := record[4*len(unit)]
	return last >> 4, last & 15
}

// recorded ends an item.
func (d *Detector) recorded(tag, tokens int) error {
	s := d.disk
	head := make([]byte, 0, 3*binary.MaxVarintLen64)
	for _, v := range []int{tag, tokens, len(s.item)} {
		head = binary.AppendUvarint(head, uint64(v))
	}
	for _, part := range [][]byte{head, s.item} {
		for _, b := range part {
			room, err := s.items.next()
			if err != nil {
				return err
			}
			room[0] = b
		}
	}
	s.item = s.item[:0]
	return d.failed
}

// Settle scores what a run has on disk, and tells [Spill].Each of it. It is called once,
// after the last item and before the result is asked for, and does nothing where the run
// is in memory.
func (d *Detector) Settle(ctx context.Context) error {
	if d.disk == nil || d.disk.settled {
		return nil
	}
	d.disk.settled = true
	if err := d.sortParts(ctx); err != nil {
		return err
	}
	return d.replay(ctx)
}

// Close gives the run's file up, if it has one. The run is then over.
func (d *Detector) Close() {
	if d.disk != nil && d.disk.drop != nil {
		d.disk.drop()
		d.disk.drop = nil
	}
}

// sortParts finds for each occurrence what was before, and the distinct units of each
// part.
func (d *Detector) sortParts(ctx context.Context) error {
	var (
		s     = d.disk
		set   = newTuples(d.pairs.stride)
		times []uint8
		unit  = make([]int32, d.pairs.stride)
	)
	for p := range s.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		set.reset()
		times = times[:0]
		part := &s.parts[p]
		err := part.units.each(func(record []byte) error {
			weight, _ := unitOf(record, unit)
			u, added := set.insert(unit)
			if added {
				times = append(times, weight)
				return nil
			}
			record[len(record)-1] |= times[u]
			times[u] = d.raise(times[u], weight)
			return nil
		})
		if err != nil {
			return err
		}
		for _, u := range set.sorted() {
			if err := part.sorted.put(set.at(int(u)), times[u]); err != nil {
				return err
			}
		}
		s.distinct += set.len()
	}
	return nil
}

// replay adds the occurrences in the order in which they came.
func (d *Detector) replay(ctx context.Context) error {
	var (
		s       = d.disk
		items   = s.items.cursor()
		cursors [spillParts]*cursor
		unit    = make([]int32, d.pairs.stride)
		h       = d.pairs.stride - 1
	)
	for p := range cursors {
		cursors[p] = s.parts[p].units.cursor()
		for range s.parts[p].old {
			if _, err := cursors[p].next(); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil {
		tag, more, err := items.uvarint()
		if err != nil || !more {
			return err
		}
		tokens, _, err := items.uvarint()
		if err != nil {
			return err
		}
		count, _, err := items.uvarint()
		if err != nil {
			return err
		}
		var n int64
		var score float64
		for range count {
			part, err := items.next()
			if err != nil {
				return err
			}
			record, err := cursors[part[0]].next()
			if err != nil {
				return err
			}
			weight, before := unitOf(record, unit)
			if f, x := d.tally(unit[:h], unit[h], weight, before); f == FateScored {
				n++
				score += x
			}
		}
		d.clusters.Add(n, score)
		d.spill.Each(int(tag), int(tokens), n, score)
	}
	return ctx.Err()
}

// uvarint reads a number of a stream of bytes; more is false at the stream's end.
func (c *cursor) uvarint() (v uint64, more bool, err error) {
	for shift := 0; ; shift += 7 {
		b, err := c.next()
		if err != nil || b == nil {
			return v, false, err
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return v, true, nil
		}
	}
}

// merged calls yield as [Detector.chunks] does, with the sorted parts made one.
func (d *Detector) merged(yield func(l unitList, of int) error) error {
	s := d.disk
	of := (s.distinct + chunkUnits - 1) / chunkUnits
	var heads merge
	for p := range s.parts {
		h := head{units: s.parts[p].sorted.cursor(), unit: make([]int32, d.pairs.stride)}
		more, err := h.advance()
		if err != nil {
			return err
		}
		if more {
			heads = append(heads, h)
		}
	}
	slices.SortFunc(heads, func(a, b head) int { return slices.Compare(a.unit, b.unit) })
	for range of {
		l := unitList{stride: d.pairs.stride, flat: make([]int32, 0, chunkUnits*d.pairs.stride)}
		for i := 0; i < chunkUnits && len(heads) > 0; i++ {
			l.flat = append(l.flat, heads[0].unit...)
			if d.weights != WeightsNone {
				l.weights = append(l.weights, heads[0].weight)
			}
			if err := heads.pop(); err != nil {
				return err
			}
		}
		if err := yield(l, of); err != nil {
			return err
		}
	}
	return nil
}

// head is the next unit of a sorted part.
type head struct {
	units  *cursor
	unit   []int32
	weight uint8
}

func (h *head) advance() (more bool, err error) {
	record, err := h.units.next()
	if err != nil || record == nil {
		return false, err
	}
	h.weight, _ = unitOf(record, h.unit)
	return true, nil
}

// merge is a heap of parts: none is less than its parent.
type merge []head

// pop moves the least part on to its next unit.
func (m *merge) pop() error {
	heads := *m
	more, err := heads[0].advance()
	if err != nil {
		return err
	}
	if !more {
		heads[0] = heads[len(heads)-1]
		heads = heads[:len(heads)-1]
		*m = heads
	}
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(heads); c++ {
			if slices.Compare(heads[c].unit, heads[least].unit) < 0 {
				least = c
			}
		}
		if least == i {
			return nil
		}
		heads[i], heads[least] = heads[least], heads[i]
		i = least
	}
}

// inMemory panics for what a run on disk cannot say.
func (d *Detector) inMemory(what string) {
	if d.disk != nil {
		panic(fmt.Sprintf("watermark: %s of a run that is on disk", what))
	}
}
