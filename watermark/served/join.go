package served

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/stillmark/stillmark/watermark"
)

// Join finds which of a rival's windows were served, by streaming the traffic past
// them. It is exact: hashes of up to two tokens are one to one, and longer windows
// are compared.
//
// A window of h tokens takes 25 to 50 bytes beside the 4h to 5h + 11 of its set;
// streams take what does not depend on the number of windows or on the traffic.
type Join struct {
	rival *watermark.WindowSet
	seed  uint64
	shift uint8
	sieve []uint64 // bit hash mod its number of bits, 8 to 16 for a window: set for the rival's
	slots []uint64 // hash; 0 is free; length a power of two, at most half full
	entry []uint32 // number of the slot's window in rival
	found []atomic.Uint32
}

// NewJoin prepares a rival's windows, which must not change any more.
func NewJoin(rival *watermark.WindowSet) *Join {
	n := 1 << bits.Len(uint(2*rival.Len()|63))
	j := &Join{
		rival: rival,
		// No window of ids hashes to 0: a first id of a window of two would have to be
		// negative and not -1.
		seed:  rand.Uint64()>>1 | 1<<63,
		shift: uint8(64 - bits.Len(uint(n-1))),
		sieve: make([]uint64, n/16),
		slots: make([]uint64, n),
		entry: make([]uint32, n),
		found: make([]atomic.Uint32, n/32),
	}
	j.seed &^= 1 << 62
	for i := range rival.Len() {
		hash := j.hash(rival.At(i))
		word, bit := j.sift(hash)
		j.sieve[word] |= 1 << bit
		s := hash >> j.shift
		for j.slots[s] != 0 {
			s = (s + 1) & uint64(n-1)
		}
		j.slots[s], j.entry[s] = hash, uint32(i)
	}
	return j
}

// hash takes the ids two by two, each pair through a mixture that loses nothing.
func (j *Join) hash(window []int32) uint64 {
	h := j.seed
	for ; len(window) >= 2; window = window[2:] {
		h = mix(h ^ uint64(uint32(window[0]))<<32 ^ uint64(uint32(window[1])))
	}
	if len(window) == 1 {
		h = mix(h ^ uint64(uint32(window[0])))
	}
	return h | b2u(h == 0)
}

// mix is one to one: steps of xorshift and odd multipliers (those of splitmix64,
// Steele, Lea and Flood, OOPSLA 2014).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// sift is where a hash's bit is in the sieve.
func (j *Join) sift(hash uint64) (word int, bit uint64) {
	return int(hash>>6) & (len(j.sieve) - 1), hash & 63
}

// lookAhead is the number of windows that are looked up together. Their places in
// sieve and table are independent loads, so that the machine waits for several at a
// time: a table of a million windows is in no cache.
const lookAhead = 64

// Stream takes the windows of traffic, for one goroutine. Streams of one Join may run
// side by side.
type Stream struct {
	join    *Join
	hashes  [lookAhead]uint64
	live    [lookAhead]uint8 // those that the sieve lets through
	slots   [lookAhead]uint64
	windows []int32 // of more than two tokens
	n       int
	seen    int64
}

// Stream begins a stream.
func (j *Join) Stream() *Stream {
	return &Stream{join: j, windows: make([]int32, lookAhead*j.rival.Window())}
}

// Add takes a window of the set's length.
func (s *Stream) Add(window []int32) {
	s.hashes[s.n] = s.join.hash(window)
	if len(window) > 2 {
		copy(s.windows[s.n*len(window):], window)
	}
	if s.n++; s.n == lookAhead {
		s.Flush()
	}
}

// Flush looks up what Add has gathered. It ends a stream.
//
// Whether a window is the rival's is a coin flip that no branch predictor follows:
// the sieve, which is small, answers it without a branch for all but one stranger in
// eight or more.
func (s *Stream) Flush() {
	j := s.join
	live := 0
	for i, h := range s.hashes[:s.n] {
		word, bit := j.sift(h)
		s.live[live&(lookAhead-1)] = uint8(i)
		live += int(j.sieve[word] >> bit & 1)
	}
	for k, i := range s.live[:live] {
		s.slots[k] = j.slots[s.hashes[i&(lookAhead-1)]>>j.shift]
	}
	for k, i := range s.live[:live] {
		h := s.hashes[i&(lookAhead-1)]
		at := h >> j.shift
		for slot := s.slots[k]; slot != 0; slot = j.slots[at] {
			if slot == h && s.same(int(i), at) {
				j.mark(at)
				break
			}
			at = (at + 1) & uint64(len(j.slots)-1)
		}
	}
	s.seen += int64(s.n)
	s.n = 0
}

// same compares windows of equal hashes.
func (s *Stream) same(i int, slot uint64) bool {
	h := s.join.rival.Window()
	return h <= 2 || slices.Equal(s.windows[i*h:(i+1)*h], s.join.rival.At(int(s.join.entry[slot])))
}

// mark sets a slot's bit. Most windows of traffic come often: their bit is set, and
// no processor has to own its cache line.
func (j *Join) mark(slot uint64) {
	word, bit := &j.found[slot>>5], uint32(1)<<(slot&31)
	if word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// Seen is the number of windows that the stream has looked up.
func (s *Stream) Seen() int64 { return s.seen }

// Found is the set of the rival's windows that all streams together have seen.
func (j *Join) Found() *watermark.WindowSet {
	set := watermark.NewWindowSet(j.rival.Window())
	for s, slot := range j.slots {
		if slot != 0 && j.found[s>>5].Load()>>(s&31)&1 == 1 {
			set.Insert(j.rival.At(int(j.entry[s])))
		}
	}
	return set
}
