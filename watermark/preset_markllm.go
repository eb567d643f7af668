package watermark

import (
	"math"

	"github.com/stillmark/stillmark/watermark/prf"
)

// MarkLLMUnigram names the preset of one green list for all windows.
const MarkLLMUnigram = "markllm-unigram"

// markllmPresets are the schemes of MarkLLM that others have used: KGW, Unigram
// and EXP.
func markllmPresets() []Preset {
	prefix := func(value string) Param { return widthParam("prefix_length", value, "tokens of a window") }
	match := []string{"vocabulary width", "prompt tokens: windows of the first tokens reach into the prompt"}
	windowed := func(a args) (convention, error) {
		w := a.int("prefix_length")
		return convention{width: w, first: w, prompt: true}, nil
	}
	return []Preset{
		{
			Name: "markllm-kgw", PRF: torchCPU, Approximate: "there are no more lists than ids: a token is green in a share of them that is near gamma and not gamma",
			Match: append(match, "device: permutations of a CPU"),
			Params: []Param{
				kgwKey("hash_key"), gammaParam("gamma", "0.5"), biasParam("delta", "2"), prefix("1"),
				{Name: "f_scheme", Kind: kindText, Default: "time", Choices: []string{"time", "additive", "skip", "min"}, Doc: "what a window is reduced to"},
				{Name: "window_scheme", Kind: kindText, Default: "left", Choices: []string{"left"}, Doc: "left only"},
			},
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerNone, frame: windowed,
			weak: func(args) []string {
				return []string{"the seed is a number below the vocabulary width: there are no more lists than ids"}
			},
			build: func(spec Spec, a args) (Scheme, error) {
				rule := prf.NewMarkLLM(prf.MarkLLMScheme(a.text("f_scheme")), int64(a.key("hash_key")), spec.Vocab)
				return newGreen(spec, a, "gamma", "delta", 0, func(window []int32, _ int32) uint64 { return rule.Seed(window) }, nil)
			},
		},
		{
			Name: MarkLLMUnigram, PRF: "numpy-pcg64", Match: []string{"vocabulary width"},
			Params:         []Param{kgwKey("hash_key"), gammaParam("gamma", "0.5"), biasParam("delta", "2")},
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerNone,
			frame: func(args) (convention, error) { return convention{}, nil },
			weak: func(args) []string {
				return []string{"one list serves every context: a distinct token counts once in the whole run, and there are at most as many units as ids"}
			},
			build: func(spec Spec, a args) (Scheme, error) {
				size := int(a.float("gamma") * float64(spec.Vocab))
				list := &fixedList{prf.UnigramMask(int64(a.key("hash_key")), a.float("gamma"), spec.Vocab), float64(size) / float64(spec.Vocab)}
				return &unigram{green{
					foreign: newForeign(spec, convention{}, func([]int32, int32) uint64 { return 0 }),
					colours: list, bias: float32(a.float("delta")),
				}}, nil
			},
		},
		{
			Name: "markllm-exp", PRF: "mt19937-rand", Match: match,
			Params: []Param{
				{Name: "hash_key", Kind: kindKey, Default: publishedKGW, Secret: true, Published: []string{publishedKGW}, Min: math.MinInt64, Max: math.MaxInt64, Doc: "hashing key", decoy: odd62},
				prefix("4"),
			},
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerNone, min8: true, frame: windowed,
			weak: func(args) []string {
				return []string{"the seed is the key times a product of ids modulo the vocabulary width, which is often 0: such windows are the same under every key and are not scored"}
			},
			build: func(spec Spec, a args) (Scheme, error) {
				c, err := windowed(a)
				key := int64(a.key("hash_key"))
				return &productOfIDs{maximal{foreign: newForeign(spec, c, func(window []int32, _ int32) uint64 {
					return effective(prf.MarkLLMEXPSeed(key, spec.Vocab, window), false)
				}), draws: &torchRand{vocab: spec.Vocab}}, int64(spec.Vocab)}, err
			},
		},
	}
}

// unigram is a green preset of one list.
type unigram struct{ green }

// fixed is the size of the vocabulary and of the list.
func (u *unigram) fixed() (vocab, green int64) {
	return int64(u.spec.Vocab), int64(math.Round(u.rate() * float64(u.spec.Vocab)))
}

func (u *unigram) Clone() Scheme { return &unigram{*u.green.Clone().(*green)} }

// productOfIDs draws from the vector of a seed that is key times a product of ids
// modulo the vocabulary. Where the product is 0 the key does not enter.
type productOfIDs struct {
	maximal
	vocab int64
}

func (p *productOfIDs) keyless(window []int32, _ int32) bool {
	product := int64(1)
	for _, t := range window {
		product = product * int64(t) % p.vocab
	}
	return product == 0
}

func (p *productOfIDs) Clone() Scheme {
	return &productOfIDs{*p.maximal.Clone().(*maximal), p.vocab}
}

// fixedList is one green list for all contexts.
type fixedList struct {
	mask  []uint64
	share float64
}

func (f *fixedList) rate() float64 { return f.share }

func (f *fixedList) colour(_ uint64, tokens []int32, scores []float64) {
	for i, t := range tokens {
		scores[i] = float64(f.mask[t>>6] >> (t & 63) & 1)
	}
}

func (f *fixedList) list(_ uint64, vocab int, mark func(token int32)) {
	for t := range int32(vocab) {
		if int(t)>>6 < len(f.mask) && f.mask[t>>6]>>(t&63)&1 == 1 {
			mark(t)
		}
	}
}

func (f *fixedList) clone() colours { return f }
