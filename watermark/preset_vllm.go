package watermark

import (
	"math"
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/watermark/prf"
)

// VLLMGumbelDual names the preset of vLLM's two keys.
const VLLMGumbelDual = "vllm-gumbel-dual"

// uniform64 draws a decoy from all 64-bit keys.
func uniform64(random uint64) string { return strconv.FormatUint(random, 10) }

const decoys64 = "uniform over all 64-bit keys"

// vllmPresets are the watermarks of vLLM (philox4x32-10-v1 and its SBW green
// list): generated tokens only, windows padded with -1.
func vllmPresets() []Preset {
	key := Param{
		Name: "key", Kind: kindKey, Secret: true, Doc: "64-bit key, decimal or 0x…",
		Published: []string{"0", "42", "4294967296"}, Min: 0, Max: 1 << 64, decoy: uniform64,
	}
	width := Param{Name: "context_width", Kind: kindInt, Default: "4", Min: 1, Max: maxWindow, Doc: "generated tokens in a window"}
	frame := func(a args) (convention, error) {
		return convention{width: a.int("context_width"), pad: true}, nil
	}
	match := []string{"vocabulary width", "windows of generated tokens only"}
	return []Preset{
		{
			Name: "vllm-gumbel", PRF: Philox, Params: []Param{key, width}, Match: match,
			RunAgainstPeer: true, Decoys: decoys64, PeerDedup: peerContext, words: true, min8: true, frame: frame,
			build: func(spec Spec, a args) (Scheme, error) {
				c, _ := frame(a)
				return newGumbel(newCore(spec, c, prf.NewPhilox(a.key("key")))), nil
			},
		},
		{
			Name: VLLMGumbelDual, PRF: Philox,
			Params: []Param{key, width, {Name: "alpha", Kind: kindFloat, Default: "0.1", Min: 1e-6, Max: 1 - 1e-6, Doc: "share of the second key"}},
			Match:  match, Decoys: decoys64, PeerDedup: peerContext, words: true, frame: frame,
			build: func(spec Spec, a args) (Scheme, error) {
				ka, kb := vllmDualKeys(a.key("key"))
				d := newDual(spec, prf.NewPhilox(ka), prf.NewPhilox(kb))
				d.alpha = a.float("alpha")
				return d, nil
			},
		},
		{
			Name: "vllm-sbw", PRF: "jenkins-philox", Decoys: decoys64, PeerDedup: peerPair, frame: frame, Match: match,
			Params: []Param{
				key, width,
				{Name: "seeding", Kind: kindText, Default: "lefthash", Choices: []string{"lefthash", "selfhash"}, Doc: "how a window seeds (lefthash as generated: the peer's detector at caaac7c sums hashes instead and cannot read its own text)"},
				gammaParam("gamma", "0.5"), biasParam("delta", "2"),
			},
			build: func(spec Spec, a args) (Scheme, error) {
				c, _ := frame(a)
				return newSBW(spec, c, a), nil
			},
		},
	}
}

// sbw is vLLM's stateless Bernoulli watermark.
type sbw struct {
	green
	src    *prf.SBW
	pieces pieces
}

func newSBW(spec Spec, c convention, a args) *sbw {
	key, self := a.key("key"), a.text("seeding") == "selfhash"
	rule, bare := sumSeed, func(window []int32, _ int32) bool { return sumSeed(window, 0) == 0 }
	if self {
		rule, bare = anchorSeed(int64(key)), func(window []int32, _ int32) bool {
			return slices.Contains(window[1:], -1) // whose hash is 0: its product is least under half of the keys
		}
	}
	lists := &sbwColours{src: prf.NewSBW(key, self), self: self, threshold: uint32(a.float("gamma") * (1<<31 - 1))}
	return &sbw{
		green: green{foreign: newForeign(spec, c, rule), colours: lists, bias: float32(a.float("delta")), bare: bare},
		src:   prf.NewSBW(key, self),
	}
}

// sumSeed is what lefthash sees of a window: the sum of its ids.
func sumSeed(window []int32, _ int32) uint64 {
	var sum int64
	for _, t := range window {
		sum += int64(t)
	}
	return uint64(sum)
}

// anchorSeed is what selfhash sees: the token whose product with the candidate
// is smallest, 0 for the candidate itself.
func anchorSeed(key int64) seedRule {
	return func(window []int32, token int32) uint64 {
		h := int64(prf.JenkinsMix(token))
		low, anchor := key*(h*h), uint64(0)
		for _, t := range window[1:] {
			if x := key * (int64(prf.JenkinsMix(t)) * h); x < low {
				low, anchor = x, 1<<32|uint64(uint32(t))
			}
		}
		return anchor
	}
}

func (s *sbw) Process(history []int32, logits []float32) {
	window, ok := s.marked(history)
	if !ok {
		return
	}
	s.src.SetWindow(window)
	threshold := s.colours.(*sbwColours).threshold
	for from := 0; from < len(logits); from += piece {
		words := s.pieces.of(s.src, from, len(logits))
		for i := range words {
			words[i] &= 1<<31 - 1
		}
		addBonus(logits[from:from+len(words)], words, threshold, math.Float32bits(s.bias))
	}
}

func (s *sbw) ProcessCandidates(history, ids []int32, logits []float32) {
	window, ok := s.marked(history)
	if !ok {
		return
	}
	for i, id := range ids {
		logits[i] += float32(s.Score(window, id)) * s.bias
	}
}

func (s *sbw) Clone() Scheme {
	return &sbw{green: *s.green.Clone().(*green), src: s.src.Clone().(*prf.SBW)}
}

// sbwColours are the colours under a seed of sumSeed or anchorSeed: those of a
// shortest window with that sum or anchor.
type sbwColours struct {
	src       *prf.SBW
	self      bool
	threshold uint32
	window    [2]int32
}

func (c *sbwColours) rate() float64 { return float64(c.threshold) / (1 << 31) }

func (c *sbwColours) colour(seed uint64, tokens []int32, scores []float64) {
	switch {
	case !c.self:
		c.window[0] = int32(seed) // ids below 2^24, at most 64 of them
		c.src.SetWindow(c.window[:1])
	case seed == 0:
		c.src.SetWindow(c.window[:0])
	default:
		c.window[1] = int32(uint32(seed))
		c.src.SetWindow(c.window[:2])
	}
	for i, t := range tokens {
		scores[i] = 0
		if c.src.Word(t)&(1<<31-1) < c.threshold {
			scores[i] = 1
		}
	}
}

func (c *sbwColours) list(seed uint64, vocab int, mark func(token int32)) {
	var score [1]float64
	for t := range int32(vocab) {
		if c.colour(seed, []int32{t}, score[:]); score[0] == 1 {
			mark(t)
		}
	}
}

func (c *sbwColours) clone() colours {
	return &sbwColours{src: c.src.Clone().(*prf.SBW), self: c.self, threshold: c.threshold}
}
