package watermark

import (
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
			Match:  match, RunAgainstPeer: true, Decoys: decoys64, PeerDedup: peerContext, words: true, frame: frame,
			build: func(spec Spec, a args) (Scheme, error) {
				ka, kb := vllmDualKeys(a.key("key"))
				d := newDual(spec, prf.NewPhilox(ka), prf.NewPhilox(kb))
				d.alpha = a.float("alpha")
				return d, nil
			},
		},
	}
}
