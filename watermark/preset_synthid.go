package watermark

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/watermark/prf"
)

// synthidDemo are the keys of every published example of SynthID-Text.
const synthidDemo = "654,400,836,123,340,443,597,160,57,29,590,639,13,715,468,990,966,226,324,585,118,504,421,521,129,669,732,225,90,960"

// uint16Key draws a decoy from the integers below 2^16: no other part of a key
// enters g-values that are read from a table of 2^16.
func uint16Key(random uint64) string { return strconv.FormatUint(random>>48, 10) }

// synthidPresets are the released implementations of SynthID-Text: Hugging Face
// (with synthid-text up to v0.2), and synthid-text since v0.2.1 of June 2025.
func synthidPresets() []Preset {
	keys := Param{
		Name: "keys", Kind: kindKeys, Default: synthidDemo, Secret: true, Published: []string{synthidDemo},
		Max: prf.MaxSynthIDLayers, Doc: "layer keys", decoy: uint16Key,
	}
	ngram := Param{Name: "ngram_len", Kind: kindInt, Default: "5", Min: 2, Max: 17, Doc: "tokens of an n-gram; the window is one less"}
	history := Param{Name: "context_history_size", Kind: kindInt, Default: "1024", Min: 0, Max: 1 << 20, Doc: "contexts remembered: a repeated one is not marked"}
	leaves := Param{Name: "leaves", Kind: kindInt, Default: "2", Min: 2, Max: maxLeaves, Doc: "draws that meet in a match (embedding only)"}
	depth := Param{Name: "depth", Kind: kindInt, Min: 1, Max: prf.MaxSynthIDLayers, derived: true, Doc: "number of layers, that of the keys"}
	frame := func(a args) (convention, error) {
		w := a.int("ngram_len") - 1
		return convention{width: w, first: w, mask: true}, nil
	}
	base := Preset{
		RunAgainstPeer: true, DecoysOnly: true, PeerDedup: peerRing, min8: true, frame: frame,
		derive: func(m map[string]string) { m["depth"] = strconv.Itoa(len(strings.Split(m["keys"], ","))) },
		Match:  []string{"windows of generated tokens only", "the first tokens of a text, before a whole window, are not scored"},
	}
	build := func(spec Spec, a args, table *prf.SynthIDTable) (Scheme, error) {
		c, err := frame(a)
		if err != nil {
			return nil, err
		}
		var layerKeys []int64
		for _, k := range a.keys("keys") {
			layerKeys = append(layerKeys, int64(k))
		}
		r := newRounds(newForeign(spec, c, nil), &synthidLayers{prf.NewSynthID(layerKeys, table)}, len(layerKeys), a.int("leaves"))
		r.ring = max(a.int("context_history_size"), 1)
		if a.int("context_history_size") == 0 {
			r.spec.Params.Repeats = MarkRepeats
		}
		return r, nil
	}
	hf, dm := base, base
	hf.Name, hf.PRF = "hf-synthid", "synthid-table"
	hf.Params = []Param{
		keys, ngram, history,
		{Name: "sampling_table_size", Kind: kindInt, Default: "65536", Min: prf.SynthIDTableSize, Max: prf.SynthIDTableSize, Doc: "entries of the sampling table"},
		{Name: "sampling_table_seed", Kind: kindInt, Default: "0", Min: 0, Max: math.MaxInt32, Doc: "seed of the sampling table"},
		leaves, deviceParam(), depth,
	}
	hf.Match = append(hf.Match, "device class: the sampling table of a CPU and that of a GPU agree on half their entries")
	hf.Decoys = "each layer key uniform over 0 .. 2^16-1: no other part of a key matters"
	hf.weak = func(a args) []string {
		w := []string{"g-values depend on the low 16 bits of all input: at most 65,536 vectors exist, and tokens 65,536 apart are alike"}
		seen := map[uint64]int{}
		for i, k := range a.keys("keys") {
			if j, ok := seen[k&0xffff]; ok {
				return append(w, fmt.Sprintf("layer keys %d and %d are equal modulo 2^16: their layers are the same", j+1, i+1))
			}
			seen[k&0xffff] = i
		}
		return w
	}
	hf.build = func(spec Spec, a args) (Scheme, error) {
		threads, err := parseDevice(a.text("device"))
		if err != nil {
			return nil, err
		}
		seed := uint64(a.int("sampling_table_seed"))
		if threads > 0 {
			return build(spec, a, prf.NewCUDASynthIDTable(seed, threads))
		}
		return build(spec, a, prf.NewSynthIDTable(seed))
	}
	dm.Name, dm.PRF = "dm-synthid-2025", "synthid-lcg"
	keys.decoy = int31
	dm.Params = []Param{keys, ngram, history, leaves, depth}
	dm.Decoys = "each layer key " + decoys31
	dm.build = func(spec Spec, a args) (Scheme, error) { return build(spec, a, nil) }
	return []Preset{hf, dm}
}

// synthidLayers are SynthID's g-values.
type synthidLayers struct{ *prf.SynthID }

func (s *synthidLayers) enter(window []int32) { s.SetWindow(window) }

func (s *synthidLayers) bits(token int32) uint64 { return s.G(token) }

func (s *synthidLayers) clone() layered { return &synthidLayers{s.Clone()} }
