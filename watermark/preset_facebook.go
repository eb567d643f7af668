package watermark

import (
	"math"
	"strconv"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// int31 draws a decoy from the integers below 2^31.
func int31(random uint64) string { return strconv.FormatUint(random>>33, 10) }

const decoys31 = "uniform over the integers from 0 to 2^31-1"

// facebookPresets are the watermarks of facebookresearch: three_bricks,
// radioactive-watermark (the same hashing) and textseal.
func facebookPresets() []Preset {
	seed := Param{
		Name: "seed", Kind: kindKey, Default: "0", Secret: true, Published: []string{"0", "42"},
		Min: 0, Max: math.MaxInt64, Doc: "initial seed, the key", decoy: int31,
	}
	salt := Param{Name: "salt_key", Kind: kindInt, Default: "35317", Min: 1, Max: math.MaxInt32, Doc: "multiplier of the hash"}
	ngram := func(value string, most float64) Param {
		return Param{Name: "ngram", Kind: kindInt, Default: value, Min: 1, Max: most, Doc: "tokens of a window"}
	}
	payload := Param{Name: "payload", Kind: kindInt, Default: "0", Min: 0, Max: maxVocab, Doc: "message: token t uses entry t + payload of the key vector"}
	frame := func(a args) (convention, error) {
		w := a.int("ngram")
		return convention{width: w, first: w + 1, prompt: true}, nil // the peer's detector wastes a position
	}
	rule := func(a args) seedRule {
		seed, salt := a.key("seed"), uint64(a.int("salt_key"))
		return func(window []int32, _ int32) uint64 {
			return effective(prf.ThreeBricksSeed(seed, salt, window), false)
		}
	}
	kgw := func(spec Spec, a args) (Scheme, error) { return newGreen(spec, a, "gamma", "delta", 0, rule(a), nil) }
	gumbel := func(spec Spec, a args) (Scheme, error) {
		p, _ := PresetByName(spec.Scheme)
		c, err := p.frame(a)
		return &maximal{foreign: newForeign(spec, c, rule(a)), draws: &torchRand{vocab: spec.Vocab, shift: a.int("payload") % spec.Vocab}}, err
	}
	match := []string{"vocabulary width", "generator always on the CPU", "prompt tokens: windows of the first tokens reach into the prompt", "seeding: hash"}
	bricks := Preset{PRF: torchCPU, Match: match, RunAgainstPeer: true, Decoys: decoys31, PeerDedup: peerPair, frame: frame}
	kgwParams := []Param{seed, salt, ngram("4", 16), gammaParam("gamma", "0.25"), biasParam("delta", "2"), payload}
	gumbelParams := []Param{seed, salt, ngram("4", 16), payload}
	var list []Preset
	for _, name := range []string{"three-bricks", "radioactive"} {
		if name == "radioactive" {
			// Suspect replies are read without their prompts, as one stream.
			bricks.PeerDedup = peerRun
			bricks.Match = []string{"vocabulary width", "generator always on the CPU", "windows of the reply only", "seeding: hash"}
			bricks.frame = func(a args) (convention, error) {
				c, err := frame(a)
				c.prompt = false
				return c, err
			}
		}
		k, g := bricks, bricks
		k.Name, k.Params, k.build = name+"-kgw", kgwParams, kgw
		g.Name, g.Params, g.build, g.PRF, g.min8 = name+"-gumbel", gumbelParams, gumbel, "mt19937-rand", true
		list = append(list, k, g)
	}
	return append(list, textsealPresets(ngram)...)
}

func textsealPresets(ngram func(string, float64) Param) []Preset {
	key := Param{
		Name: "secret_key", Kind: kindKey, Default: "42", Secret: true, Published: []string{"0", "7", "42"},
		Min: math.MinInt64, Max: math.MaxInt64, Doc: "secret key", decoy: int31,
	}
	frame := func(a args) (convention, error) {
		w := a.int("ngram")
		return convention{width: w, first: w + 1, prompt: true}, nil
	}
	base := Preset{
		PRF: "textseal-hash", RunAgainstPeer: true, Approximate: "the hash has 8,191 values and is linear in the key: on some texts scores spread less than independent ones, on others more", Decoys: decoys31, PeerDedup: peerPair, frame: frame,
		Match: []string{"prompt tokens: windows of the first tokens reach into the prompt"},
		weak: func(args) []string {
			return []string{"textseal's hash is linear in its key: scores under two keys correlate by up to 0.2 (differences 76, 2890), so keys cannot tell accounts apart"}
		},
	}
	greenlist, gumbel, synthid := base, base, base
	n := ngram("1", prf.MaxTextSealWindow)
	share := gammaParam("gamma", "0.5")
	share.Max = .999 // of 8,191 levels, one at least is red
	greenlist.Name, greenlist.Params = "textseal-greenlist", []Param{key, n, share, biasParam("delta", "2")}
	greenlist.build = func(spec Spec, a args) (Scheme, error) {
		c, err := frame(a)
		return &sealGreen{
			sealed: newSealed(spec, c, a), bias: float32(a.float("delta")),
			// green is hash/8191 < gamma in float32
			threshold: sealThreshold(a.float("gamma")),
		}, err
	}
	gumbel.Name, gumbel.min8 = "textseal-gumbel", true
	gumbel.Params = []Param{key, n, {Name: "keys", Kind: kindText, Default: "one", Choices: []string{"one", "two"}, Doc: "two: a second key, secret_key + 12345, speaks with probability alpha"}, {Name: "alpha", Kind: kindFloat, Default: "0.5", Min: 0, Max: 1, Doc: "share of the second key"}}
	gumbel.build = func(spec Spec, a args) (Scheme, error) {
		c, err := frame(a)
		g := &sealGumbel{sealed: newSealed(spec, c, a)}
		if a.text("keys") == "two" {
			g.second, g.alpha = true, a.float("alpha")
		}
		return g, err
	}
	synthid.Name, synthid.min8, synthid.DecoysOnly = "textseal-synthid", true, true
	synthid.Params = []Param{key, n, {Name: "depth", Kind: kindInt, Default: "30", Min: 1, Max: 64, Doc: "layers of the tournament"}, share}
	synthid.build = func(spec Spec, a args) (Scheme, error) {
		c, err := frame(a)
		s := newSealed(spec, c, a)
		return newRounds(s.foreign, &sealLayers{key: s.key, depth: a.int("depth"), threshold: sealThreshold(a.float("gamma"))}, a.int("depth"), 2), err
	}
	return []Preset{greenlist, gumbel, synthid}
}

// torchRand is torch.rand(vocab) on the CPU under a seed; token t has entry
// t + shift.
type torchRand struct {
	vocab, shift int
	mt           prf.MT19937
	vector       []float64
}

func (r *torchRand) uniforms(seed uint64, tokens []int32, u []float64) {
	r.mt.Seed(seed)
	if len(tokens) == 1 {
		r.mt.Skip((int(tokens[0]) + r.shift) % r.vocab)
		u[0] = float64(r.mt.Float32())
		return
	}
	r.vector = r.vector[:0]
	for range r.vocab {
		r.vector = append(r.vector, float64(r.mt.Float32()))
	}
	for i, t := range tokens {
		u[i] = r.vector[(int(t)+r.shift)%r.vocab]
	}
}

func (r *torchRand) clone() draws { return &torchRand{vocab: r.vocab, shift: r.shift} }

// sealed is what the schemes of textseal share. Their windows enter a sum whose
// weights are primes far above any vocabulary: the window is the effective input.
type sealed struct {
	foreign
	key int64
}

func newSealed(spec Spec, c convention, a args) sealed {
	return sealed{newForeign(spec, c, nil), int64(a.key("secret_key"))}
}

// sealThreshold is the number of hash values whose uniform, hash/8191 in float32,
// is below gamma.
func sealThreshold(gamma float64) int32 {
	n := int32(0)
	for n < prf.TextSealLevels && float64(float32(n)/prf.TextSealLevels) < gamma {
		n++
	}
	return n
}

// sealGreen is textseal's green list.
type sealGreen struct {
	sealed
	threshold int32
	bias      float32
}

func (s *sealGreen) Law() evidence.Law {
	return evidence.Bernoulli(float64(s.threshold) / prf.TextSealLevels)
}

func (s *sealGreen) Score(window []int32, token int32) float64 {
	if prf.TextSeal(window, token, s.key) < s.threshold {
		return 1
	}
	return 0
}

func (s *sealGreen) Process(history []int32, logits []float32) {
	s.ProcessCandidates(history, nil, logits)
}

func (s *sealGreen) ProcessCandidates(history, ids []int32, logits []float32) {
	window, ok := s.marked(history)
	if !ok {
		return
	}
	for i := range logits {
		logits[i] += float32(s.Score(window, idAt(ids, i))) * s.bias
	}
}

// idAt is the id of candidate i; ids nil stands for the whole vocabulary.
func idAt(ids []int32, i int) int32 {
	if ids == nil {
		return int32(i)
	}
	return ids[i]
}

func (s *sealGreen) Clone() Scheme {
	c := *s
	c.foreign = s.clone()
	return &c
}

// sealGumbel is textseal's Gumbel sampler, under one key or two. The two keys'
// hashes correlate: their sum has a rank among decoys and no analytic law.
type sealGumbel struct {
	sealed
	second bool
	alpha  float64
	role   Role
}

// sealSecondKey is what separates textseal's two keys.
const sealSecondKey = 12345

func sealUniform(window []int32, token int32, key int64) float64 {
	return float64(float32(prf.TextSeal(window, token, key)) / prf.TextSealLevels)
}

func (s *sealGumbel) Law() evidence.Law { return evidence.Exponential() }

func (s *sealGumbel) decoysOnly() bool { return s.second }

func (s *sealGumbel) SetRole(r Role) { s.role = r }

func (s *sealGumbel) Score(window []int32, token int32) float64 {
	y := -math.Log1p(-sealUniform(window, token, s.key))
	if !s.second {
		return y
	}
	return (1-s.alpha)*y - s.alpha*math.Log1p(-sealUniform(window, token, s.key+sealSecondKey))
}

func (s *sealGumbel) Process(history []int32, logits []float32) {
	s.ProcessCandidates(history, nil, logits)
}

func (s *sealGumbel) ProcessCandidates(history, ids []int32, logits []float32) {
	window, ok := s.marked(history)
	if !ok {
		return
	}
	key := s.key
	if s.second && (s.role == RoleTarget || s.role == RoleMixed && sealUniform(window, -1, s.key) < s.alpha) {
		key += sealSecondKey
	}
	best, chosen := math.Inf(-1), -1
	for i, logit := range logits {
		x := float64(logit) - math.Log(-math.Log(sealUniform(window, idAt(ids, i), key)))
		if x > best {
			best, chosen = x, i
		}
	}
	keepOnly(logits, chosen)
}

func (s *sealGumbel) Clone() Scheme {
	c := *s
	c.foreign = s.clone()
	return &c
}

// sealLayers are the g-values of textseal's tournament: layer l hashes token + l.
type sealLayers struct {
	key       int64
	depth     int
	threshold int32
	window    []int32
}

func (s *sealLayers) enter(window []int32) { s.window = append(s.window[:0], window...) }

func (s *sealLayers) bits(token int32) uint64 {
	var g uint64
	for l := range s.depth {
		if prf.TextSeal(s.window, token+int32(l), s.key) < s.threshold {
			g |= 1 << l
		}
	}
	return g
}

func (s *sealLayers) clone() layered {
	return &sealLayers{key: s.key, depth: s.depth, threshold: s.threshold}
}
