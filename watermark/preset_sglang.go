package watermark

import "github.com/stillmark/stillmark/watermark/prf"

// sglangPresets is SGLang's Gumbel sampler. Its uniform is formed in float64
// here: the peer's float32 rounds 128 of 2^32 words to 1, which beat everything.
func sglangPresets() []Preset {
	frame := func(a args) (convention, error) {
		return convention{width: a.int("context_width"), pad: true, prompt: true}, nil
	}
	return []Preset{{
		Name: "sglang-gumbel", PRF: "murmur3",
		Params: []Param{
			{
				Name: "key", Kind: kindKey, Secret: true, Doc: "64-bit key, 0x… as the server takes it, or decimal",
				Published: []string{"0", "42", "81985529216486895"}, Min: 0, Max: 1 << 64, decoy: uniform64,
			},
			{Name: "context_width", Kind: kindInt, Default: "4", Min: 1, Max: maxWindow, Doc: "tokens in a window, the prompt's last ones among them"},
		},
		Match:          []string{"prompt tokens: windows of the first tokens reach into the prompt", "key and window may differ by request"},
		RunAgainstPeer: true, Decoys: decoys64, PeerDedup: peerPair, min8: true, frame: frame,
		build: func(spec Spec, a args) (Scheme, error) {
			c, _ := frame(a)
			return newGumbel(newCore(spec, c, bare{prf.NewMurmur3(a.key("key"))})), nil
		},
	}}
}

// bare takes the padding off windows: SGLang's have their real length.
type bare struct{ prf.Source }

func (b bare) SetWindow(window []int32) {
	for len(window) > 0 && window[0] == -1 {
		window = window[1:]
	}
	b.Source.SetWindow(window)
}

func (b bare) Clone() prf.Source { return bare{b.Source.Clone()} }
