package watermark

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/watermark/prf"
)

// torchCPU names torch's permutations on the CPU.
const torchCPU = "mt19937-randperm"

// publishedKGW is the hashing key that papers and libraries print, the
// millionth prime.
const publishedKGW = "15485863"

// odd62 draws a decoy from the odd integers below 2^62: products of it are
// injective modulo powers of two, as those of the published primes are.
func odd62(random uint64) string { return strconv.FormatUint(random>>2|1, 10) }

const decoysOdd62 = "uniform over the odd integers below 2^62"

func kgwKey(name string) Param {
	return Param{
		Name: name, Kind: kindKey, Default: publishedKGW, Secret: true, Published: []string{publishedKGW},
		Min: math.MinInt64, Max: math.MaxInt64, Doc: "hashing key", decoy: odd62,
	}
}

func gammaParam(name, value string) Param {
	return Param{Name: name, Kind: kindFloat, Default: value, Min: 1e-6, Max: 1 - 1e-6, Doc: "share of the vocabulary that is green"}
}

func biasParam(name, value string) Param {
	return Param{Name: name, Kind: kindFloat, Default: value, Min: 0, Max: 100, Doc: "what green logits gain, in nats (embedding only)"}
}

func widthParam(name, value, doc string) Param {
	return Param{Name: name, Kind: kindInt, Default: value, Min: 1, Max: 16, Doc: doc}
}

func deviceParam() Param {
	return Param{Name: "device", Kind: kindText, Default: "cpu", Doc: "cpu, or cuda:T with T threads at once", check: checkDevice}
}

func checkDevice(value string) error {
	_, err := parseDevice(value)
	return err
}

// parseDevice gives the number of threads that the marking GPU runs at once, 0
// for the CPU.
func parseDevice(value string) (threads int, err error) {
	if value == "cpu" {
		return 0, nil
	}
	rest, ok := strings.CutPrefix(value, "cuda:")
	threads, err = strconv.Atoi(rest)
	if !ok || err != nil || threads < 256 || threads > 1<<24 || threads%256 != 0 {
		return 0, errors.New("cpu or cuda:T, where T, a multiple of 256, is the multiprocessors of the GPU times the threads that each holds (A100: cuda:221184)")
	}
	return threads, nil
}

func bosParam() Param {
	return Param{Name: "bos", Kind: kindInt, Min: 0, Max: 1 << 24, optional: true, Doc: "id of the begin token: one is stripped from the front of a text"}
}

// kirchenbauerPresets are the green lists of Hugging Face, lm-watermarking and TGI.
func kirchenbauerPresets() []Preset {
	match := []string{"vocabulary width: the model's logits, not the tokenizer's length", "device class: permutations differ between CPU and GPU, and between GPUs", "prompt tokens: windows of the first tokens reach into the prompt"}
	hf := []Param{kgwKey("hashing_key"), gammaParam("greenlist_ratio", "0.25"), biasParam("bias", "2"), widthParam("context_width", "1", "tokens of an n-gram"), deviceParam(), bosParam()}
	return []Preset{
		{
			Name: "hf-kgw-lefthash", PRF: torchCPU, Params: hf, Match: append(match, "one leading BOS is stripped if bos is given"),
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerNone,
			frame: func(a args) (convention, error) {
				w := a.int("context_width")
				return convention{width: w, first: w, prompt: true}, nil
			},
			build: func(spec Spec, a args) (Scheme, error) {
				key, wide := int64(a.key("hashing_key")), onGPU(a)
				return newGreen(spec, a, "greenlist_ratio", "bias", 0, func(window []int32, _ int32) uint64 {
					return effective(prf.AdditivePRF.Seed(nil, key, window[len(window)-1:]), wide)
				}, func(window []int32, _ int32) bool { return window[len(window)-1] == 0 })
			},
		},
		{
			Name: "hf-kgw-selfhash", PRF: torchCPU, Params: hf, Match: append(match, "one leading BOS is stripped if bos is given", "hashing table: seeded with the hashing key"),
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerNone,
			frame: func(a args) (convention, error) {
				w := a.int("context_width") - 1 // the n-gram's last token is the candidate
				return convention{width: w, first: w, prompt: true}, nil
			},
			build: func(spec Spec, a args) (Scheme, error) {
				key, wide := int64(a.key("hashing_key")), onGPU(a)
				table, err := tableOn(a.text("device"), uint64(key))
				if err != nil {
					return nil, err
				}
				return newGreen(spec, a, "greenlist_ratio", "bias", 40, func(window []int32, token int32) uint64 {
					var room [16]int32
					return effective(prf.AnchoredMinHashPRF.Seed(table, key, append(append(room[:0], window...), token)), wide)
				}, nil)
			},
		},
		{
			Name: "lm-watermarking", PRF: torchCPU, Match: append(match, "hashing table: the fixed one (seed 2971215073)", "n-grams: repeated ones count once by default"),
			Params: []Param{
				kgwKey("hash_key"),
				{Name: "seeding", Kind: kindText, Default: "simple_1", Doc: "simple_1, lefthash, minhash, selfhash, algorithm-3, skipgram, or ff-<prf>-<width>-<self salt>[-<key>]", check: checkSeeding},
				gammaParam("gamma", "0.5"), biasParam("delta", "2"),
				{Name: "list", Kind: kindText, Default: "first", Choices: []string{"first", "last"}, Doc: "end of the permutation that is green (last: versions before 2023-06)"},
				deviceParam(),
			},
			RunAgainstPeer: true, Decoys: decoysOdd62, PeerDedup: peerPair,
			rewrite: keyOfSeeding,
			frame: func(a args) (convention, error) {
				s, err := parseSeeding(a.text("seeding"))
				if err != nil {
					return convention{}, err
				}
				return convention{width: s.window(), first: s.window(), prompt: true}, nil
			},
			build: func(spec Spec, a args) (Scheme, error) {
				s, err := parseSeeding(a.text("seeding"))
				if err != nil {
					return nil, err
				}
				top := 0
				if s.self {
					top = 41
				}
				return newGreen(spec, a, "gamma", "delta", top, s.rule(int64(a.key("hash_key")), onGPU(a)), s.keyless)
			},
		},
		{
			Name: "tgi", PRF: torchCPU, Params: []Param{kgwKey("hash_key"), gammaParam("gamma", "0.5"), biasParam("delta", "2"), deviceParam()},
			Match: match, Decoys: decoysOdd62, PeerDedup: peerPair,
			frame: func(args) (convention, error) { return convention{width: 1, first: 1, prompt: true}, nil },
			build: func(spec Spec, a args) (Scheme, error) {
				key, wide := int64(a.key("hash_key")), onGPU(a)
				return newGreen(spec, a, "gamma", "delta", 0, func(window []int32, _ int32) uint64 {
					return effective(prf.AdditivePRF.Seed(nil, key, window), wide)
				}, func(window []int32, _ int32) bool { return window[0] == 0 })
			},
		},
	}
}

// newGreen builds a preset of permutation lists under a seed rule; bare is green's.
func newGreen(spec Spec, a args, gamma, bias string, top int, seed seedRule, bare func(window []int32, token int32) bool) (Scheme, error) {
	p, _ := PresetByName(spec.Scheme)
	conv, err := p.frame(a)
	if err != nil {
		return nil, err
	}
	lists, err := listsOn(a, spec.Vocab, a.float(gamma))
	if err != nil {
		return nil, err
	}
	return &green{foreign: newForeign(spec, conv, seed), colours: lists, bias: float32(a.float(bias)), top: top, bare: bare}, nil
}

// onGPU reports whether the marking device is a GPU, whose generator takes all
// 64 bits of a seed.
func onGPU(a args) bool {
	threads, _ := parseDevice(a.text("device"))
	return threads > 0
}

// listsOn are the permutation lists of the marking device.
func listsOn(a args, vocab int, gamma float64) (colours, error) {
	if a.has("device") {
		threads, err := parseDevice(a.text("device"))
		if err != nil {
			return nil, err
		}
		if threads > 0 {
			return newPermutedCUDA(vocab, gamma, threads)
		}
	}
	if a.text("list") == "last" {
		return newPermutedLast(vocab, gamma), nil
	}
	p := newPermuted(vocab, gamma)
	if a.has("payload") {
		p.shift = a.int("payload") % vocab
	}
	return p, nil
}

// tableOn is Hugging Face's hashing table on the marking device.
func tableOn(device string, key uint64) (*prf.HashTable, error) {
	threads, err := parseDevice(device)
	if err != nil {
		return nil, err
	}
	if threads > 0 {
		return prf.NewCUDAHashTable(key, threads), nil
	}
	return prf.NewHashTable(key), nil
}

// seeding is one of lm-watermarking's ways from a window to a seed.
type seeding struct {
	prf   prf.ContextPRF
	width int
	self  bool // the candidate is the window's last token
}

// window is the number of tokens before the candidate.
func (s seeding) window() int {
	if s.self {
		return s.width - 1
	}
	return s.width
}

func checkSeeding(value string) error {
	_, err := parseSeeding(value)
	return err
}

// parseSeeding reads a seeding scheme. Keys are not part of it: Import has taken
// that of the ff- form away.
func parseSeeding(value string) (seeding, error) {
	switch value {
	case "simple_1", "lefthash":
		return seeding{prf.AdditivePRF, 1, false}, nil
	case "selfhash", "algorithm-3":
		return seeding{prf.AnchoredMinHashPRF, 4, true}, nil
	case "minhash":
		return seeding{prf.MinHashPRF, 4, false}, nil
	case "skipgram":
		return seeding{prf.SkipgramPRF, 5, false}, nil
	}
	parts := strings.Split(value, "-")
	if len(parts) != 4 || parts[0] != "ff" {
		return seeding{}, errors.New("simple_1, lefthash, minhash, selfhash, algorithm-3, skipgram, or ff-<prf>-<width>-<self salt>")
	}
	width, err := strconv.Atoi(parts[2])
	if err != nil || width < 1 || width > 16 {
		return seeding{}, errors.New("a form with a width from 1 to 16")
	}
	self, err := strconv.ParseBool(parts[3])
	if err != nil {
		return seeding{}, errors.New("a form with a self salt of True or False")
	}
	rule := prf.ContextPRF(parts[1])
	if least := rule.MinWindow(); least == 0 || width < least {
		return seeding{}, errors.New("a form with a prf of lm-watermarking (additive_prf, minhash_prf, …) and a width that it is defined on")
	}
	return seeding{rule, width, self}, nil
}

// keyOfSeeding moves the key of "ff-<prf>-<width>-<self salt>-<key>" to where keys
// are kept.
func keyOfSeeding(given map[string]string) error {
	parts := strings.Split(given["seeding"], "-")
	if len(parts) != 5 || parts[0] != "ff" {
		return nil
	}
	if _, both := given["hash_key"]; both && given["hash_key"] != parts[4] {
		return errors.New("lm-watermarking: hash_key and the key at the end of seeding differ")
	}
	given["hash_key"], given["seeding"] = parts[4], strings.Join(parts[:4], "-")
	return nil
}

// rule is the seeding under a key.
func (s seeding) rule(key int64, wide bool) seedRule {
	table := fixedTable()
	if !s.self {
		return func(window []int32, _ int32) uint64 { return effective(s.prf.Seed(table, key, window), wide) }
	}
	return func(window []int32, token int32) uint64 {
		var room [16]int32
		return effective(s.prf.Seed(table, key, append(append(room[:0], window...), token)), wide)
	}
}

// keyless reports whether the rule multiplies the key with 0 alone; see
// [prf.ContextPRF].
func (s seeding) keyless(window []int32, token int32) bool {
	var room [16]int32
	ids := append(room[:0], window...)
	if s.self {
		ids = append(ids, token)
	}
	first, last, zeros := ids[0] == 0, ids[len(ids)-1] == 0, 0
	for i, t := range ids {
		if t == 0 && (s.prf != prf.SimpleSkipPRF || i%2 == 0) {
			zeros++
		}
	}
	switch s.prf {
	case prf.AdditivePRF, prf.PositionPRF:
		return zeros == len(ids)
	case prf.MultiplicativePRF:
		product := int64(1)
		for _, t := range ids {
			product *= int64(t)
		}
		return product == 0
	case prf.MinFuncPRF, prf.MinHashPRF:
		return zeros > 0
	case prf.SimpleSkipPRF:
		return zeros == (len(ids)+1)/2
	case prf.SkipgramPRF:
		return first
	case prf.AnchoredSkipgramPRF:
		return first && last
	case prf.MinSkipgramPRF:
		return zeros > 1
	}
	return false // the key is a factor beside hashes, which are never 0
}

// fixedTable is lm-watermarking's one table, the same for all keys.
var fixedTable = sync.OnceValue(func() *prf.HashTable { return prf.NewHashTable(prf.LMHashTableSeed) })

// effective is what a generator sees of a seed: a CPU's the low 32 bits.
func effective(seed uint64, wide bool) uint64 {
	if wide {
		return seed
	}
	return uint64(uint32(seed))
}
