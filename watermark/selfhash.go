package watermark

import (
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// selfHash is kgw with the anchored min-hash of Kirchenbauer et al. ("On the
// reliability of watermarks for large language models", ICLR 2024, selfhash):
// the colour of a token depends on the token and on one anchor among the
// window's tokens, the one whose word with the token is smallest:
//
//	anchor = argmin over c of W((c), t)   (the later of equals)
//	word   = W((anchor, -1), t)
//
// One edited token of the window changes a colour only if it was the anchor. The
// generator sees the anchor and the token and nothing else: they are the unit.
// The two windows differ in length, so the words are independent.
type selfHash struct {
	*kgw
	pair   [2]int32
	anchor []int32  // per token of the vocabulary: the anchor so far
	lowest []uint32 // and its word
}

func newSelfHash(c core) *selfHash {
	c.current = nil // windows of several lengths pass through the source: enter would not know them
	return &selfHash{kgw: newKGW(c)}
}

func (k *selfHash) Law() evidence.Law { return k.kgw.Law() }

// seedOf is the anchor.
func (k *selfHash) seedOf(window []int32, token int32) uint64 {
	low := uint64(math.MaxUint64)
	var anchor int32
	for i := len(window) - 1; i >= 0; i-- {
		k.src.SetWindow(window[i : i+1])
		if w := uint64(k.src.Word(token)); w < low {
			low, anchor = w, window[i]
		}
	}
	return uint64(uint32(anchor))
}

func (k *selfHash) under(anchor int32) {
	k.pair = [2]int32{anchor, -1}
	k.src.SetWindow(k.pair[:])
}

func (k *selfHash) scoreSeed(seed uint64, tokens []int32, scores []float64) {
	k.under(int32(uint32(seed)))
	for i, t := range tokens {
		scores[i] = 0
		if k.src.Word(t) < k.threshold {
			scores[i] = 1
		}
	}
}

func (k *selfHash) Score(window []int32, token int32) float64 {
	var x [1]float64
	k.scoreSeed(k.seedOf(window, token), []int32{token}, x[:])
	return x[0]
}

// marked is the window of the next step, if that is marked.
func (k *selfHash) marked(history []int32) ([]int32, bool) {
	window, ok := k.WindowOf(history)
	return window, ok && !(k.spec.Params.Repeats == MaskRepeats && occursBefore(history, window)) && k.ours(window)
}

func (k *selfHash) Process(history []int32, logits []float32) {
	window, ok := k.marked(history)
	if !ok {
		return
	}
	if ids, kept, few := k.left.of(logits); few {
		k.add(window, ids, kept)
		for i, id := range ids {
			logits[id] = kept[i]
		}
		return
	}
	if cap(k.anchor) < len(logits) {
		k.anchor, k.lowest = make([]int32, len(logits)), make([]uint32, len(logits))
	}
	anchor, lowest := k.anchor[:len(logits)], k.lowest[:len(logits)]
	for i := range window {
		at := len(window) - 1 - i
		k.src.SetWindow(window[at : at+1])
		for from := 0; from < len(logits); from += piece {
			for j, w := range k.pieces.of(k.src, from, len(logits)) {
				if t := from + j; i == 0 || w < lowest[t] {
					anchor[t], lowest[t] = window[at], w
				}
			}
		}
	}
	for i, c := range window {
		if slices.Contains(window[:i], c) {
			continue
		}
		k.under(c)
		for from := 0; from < len(logits); from += piece {
			for j, w := range k.pieces.of(k.src, from, len(logits)) {
				if t := from + j; anchor[t] == c {
					logits[t] += bonus(w, k.threshold, k.delta)
				}
			}
		}
	}
}

func (k *selfHash) ProcessCandidates(history, ids []int32, logits []float32) {
	if window, ok := k.marked(history); ok {
		k.add(window, ids, logits)
	}
}

func (k *selfHash) add(window, ids []int32, logits []float32) {
	for i, id := range ids {
		k.under(int32(uint32(k.seedOf(window, id))))
		logits[i] += bonus(k.src.Word(id), k.threshold, k.delta)
	}
}

func (k *selfHash) Clone() Scheme { return &selfHash{kgw: k.kgw.Clone().(*kgw)} }
