package watermark

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
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
				key := a.key("hashing_key")
				return newGreen(spec, a, "greenlist_ratio", "bias", 0, func(window []int32, _ int32) uint64 {
					return bigSigned(int64(key), int64(window[len(window)-1]))
				})
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
				key := a.key("hashing_key")
				table, err := tableOn(a.text("device"), key)
				if err != nil {
					return nil, err
				}
				return newGreen(spec, a, "greenlist_ratio", "bias", 40, func(window []int32, token int32) uint64 {
					return torchSeed(anchoredMin(table, int64(key), window, token))
				})
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
				return newGreen(spec, a, "gamma", "delta", top, s.rule(int64(a.key("hash_key"))))
			},
		},
		{
			Name: "tgi", PRF: torchCPU, Params: []Param{kgwKey("hash_key"), gammaParam("gamma", "0.5"), biasParam("delta", "2"), deviceParam()},
			Match: match, Decoys: decoysOdd62, PeerDedup: peerPair,
			frame: func(args) (convention, error) { return convention{width: 1, first: 1, prompt: true}, nil },
			build: func(spec Spec, a args) (Scheme, error) {
				key := a.key("hash_key")
				return newGreen(spec, a, "gamma", "delta", 0, func(window []int32, _ int32) uint64 {
					return bigSigned(int64(key), int64(window[0]))
				})
			},
		},
	}
}

// newGreen builds a preset of permutation lists under a seed rule.
func newGreen(spec Spec, a args, gamma, bias string, top int, seed seedRule) (Scheme, error) {
	p, _ := PresetByName(spec.Scheme)
	conv, err := p.frame(a)
	if err != nil {
		return nil, err
	}
	lists, err := listsOn(a, spec.Vocab, a.float(gamma))
	if err != nil {
		return nil, err
	}
	return &green{foreign: newForeign(spec, conv, seed), colours: lists, bias: float32(a.float(bias)), top: top}, nil
}

// listsOn are the permutation lists of the marking device.
func listsOn(a args, vocab int, gamma float64) (colours, error) {
	threads := 0
	if a.has("device") {
		var err error
		if threads, err = parseDevice(a.text("device")); err != nil {
			return nil, err
		}
	}
	if threads > 0 {
		return nil, fmt.Errorf("device %s is not supported", a.text("device"))
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
func tableOn(device string, key uint64) ([]int32, error) {
	threads, err := parseDevice(device)
	if err != nil || threads == 0 {
		return hashTable(key), err
	}
	return nil, fmt.Errorf("device %s is not supported", device)
}

// seeding is one of lm-watermarking's ways from a window to a seed.
type seeding struct {
	prf   string
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
		return seeding{"additive_prf", 1, false}, nil
	case "selfhash", "algorithm-3":
		return seeding{"anchored_minhash_prf", 4, true}, nil
	case "minhash":
		return seeding{"minhash_prf", 4, false}, nil
	case "skipgram":
		return seeding{"skipgram_prf", 5, false}, nil
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
	if lmPRFs[parts[1]] == nil {
		return seeding{}, fmt.Errorf("a form with one of %s", strings.Join(slices.Sorted(maps.Keys(lmPRFs)), ", "))
	}
	return seeding{parts[1], width, self}, nil
}

// lmPRFs are lm-watermarking's functions of a window; the window of a
// self-salted scheme ends with the candidate. Results are seeds in torch's low
// 32 bits. Sums and products with the key are Python's unbounded integers in the
// first three, everything else wraps to int64.
var lmPRFs = map[string]func(key int64, window []int32) uint64{
	"additive_prf": func(key int64, window []int32) uint64 {
		var sum int64
		for _, t := range window {
			sum += int64(t)
		}
		return bigSigned(key, sum)
	},
	"multiplicative_prf": func(key int64, window []int32) uint64 {
		product := int64(1)
		for _, t := range window {
			product *= int64(t)
		}
		return bigSigned(key, product)
	},
	"minfunc_prf": func(key int64, window []int32) uint64 {
		low := window[0]
		for _, t := range window {
			low = min(low, t)
		}
		return bigSigned(key, int64(low))
	},
	"simple_skip_prf": func(key int64, window []int32) uint64 {
		product := int64(1)
		for i := 0; i < len(window); i += 2 {
			product *= lookup(fixedTable(), key*int64(window[i]))
		}
		return torchSeed(product)
	},
	"skipgram_prf": func(key int64, window []int32) uint64 {
		return torchSeed(lookup(fixedTable(), key*int64(window[0])))
	},
	"anchored_skipgram_prf": func(key int64, window []int32) uint64 {
		return torchSeed(lookup(fixedTable(), key*int64(window[0])) * lookup(fixedTable(), key*int64(window[len(window)-1])))
	},
	"minhash_prf": func(key int64, window []int32) uint64 {
		low := int64(math.MaxInt64)
		for _, t := range window {
			low = min(low, lookup(fixedTable(), key*int64(t)))
		}
		return torchSeed(low)
	},
	"anchored_minhash_prf": func(key int64, window []int32) uint64 {
		return torchSeed(anchoredMinOf(fixedTable(), key, window))
	},
	"minskipgram_prf": func(key int64, window []int32) uint64 {
		low := int64(math.MaxInt64)
		for i, a := range window {
			for _, b := range window[i+1:] {
				low = min(low, lookup(fixedTable(), key*int64(a))*lookup(fixedTable(), key*int64(b)))
			}
		}
		return torchSeed(low)
	},
	"noncomm_prf": func(key int64, window []int32) uint64 {
		for _, t := range window {
			key = (key * lookup(fixedTable(), key*int64(t))) & (1<<32 - 1)
		}
		return torchSeed(key)
	},
	"position_prf": func(key int64, window []int32) uint64 {
		var sum int64
		for i, t := range window {
			sum += key * int64(t) * int64(i+1)
		}
		return torchSeed(sum)
	},
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
func (s seeding) rule(key int64) seedRule {
	f := lmPRFs[s.prf]
	if !s.self {
		return func(window []int32, _ int32) uint64 { return f(key, window) }
	}
	return func(window []int32, token int32) uint64 {
		var room [16]int32
		return f(key, append(append(room[:0], window...), token))
	}
}
