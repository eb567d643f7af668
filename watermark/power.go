package watermark

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// Lift is what a scheme adds to the mean score of a token, in the units of the
// effects of [evidence.Law]: of a rate, of a mean, of P(bit = 1).
type Lift struct {
	Value float64 `json:"value"`
	// SE is the standard error where the mean over keys was taken from random
	// words; 0 where it is exact.
	SE float64 `json:"se"`
}

// Limits of the distributions that [ExpectedLift] takes.
const (
	// MaxEntropy of [GeometricStep], in bits: 12 bits are a choice among 1,500
	// words, above any language model at temperature 1.
	MaxEntropy = 12
	// geometricTail is the probability that a geometric step leaves out.
	geometricTail = 1e-6
	// liftWork bounds the candidates scored for a tournament: half a second.
	liftWork = 4_000_000
)

// ExpectedLift is the mean lift of a token over keys, averaged over the steps of
// a text: steps[i] are the probabilities of that step's candidates, which must
// add up to 1 within 1e-3. The text is that of the scheme itself, unedited.
//
//   - gumbel: a token of probability p is chosen when its uniform is the greatest
//     after the power 1/p, and then scores H(1/p) on average, H(x) = ψ(x+1)+γ
//     being the harmonic number: the lift is Σ p·(H(1/p) - 1). Exact.
//   - kgw: with G the green mass, E[e^δ·G/(1+(e^δ-1)·G)] - γ, from
//     E[1/(1+cG)] = ∫ e^-s ∏(1-γ+γ·e^(-scp)) ds. Exact.
//   - gumbel-dual: the token is chosen under one key, with probability alpha the
//     second, and scores under both: gumbel's lift times (1-alpha)²+alpha². Exact.
//   - tournament: the layers' expectations do not close, so words are drawn: given
//     them the distribution after all layers and its mean score are exact.
//
// Presets are the green lists and Gumbel draws that they implement, at their own
// rates; one that tests only the highest logits lifts a little less.
func ExpectedLift(spec Spec, steps [][]float64) (Lift, error) {
	spec = spec.withDefaults()
	spec.Vocab = max(spec.Vocab, 2)
	if err := spec.validate(); err != nil {
		return Lift{}, err
	}
	spec.Params.Tracing, spec.Account = 0, "" // of a token that the key marks
	if len(steps) == 0 {
		return Lift{}, errors.New("there are no steps")
	}
	size := 0
	for i, step := range steps {
		var sum float64
		for _, p := range step {
			if !(p >= 0 && p <= 1+1e-9) {
				return Lift{}, fmt.Errorf("step %d: %v is no probability", i+1, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > 1e-3 {
			return Lift{}, fmt.Errorf("step %d: the probabilities add up to %v", i+1, sum)
		}
		size += len(step)
	}
	if spec.Scheme == Tournament {
		return drawnLift(spec, steps, size)
	}
	lift, err := stepLift(spec)
	if err != nil {
		return Lift{}, err
	}
	var mean float64
	for _, step := range steps {
		mean += lift(step) / float64(len(steps))
	}
	return Lift{Value: mean}, nil
}

// stepLift is the exact lift of a step under a spec.
func stepLift(spec Spec) (func(step []float64) float64, error) {
	s, err := DecoyKey([32]byte{}, 0, spec)
	if err != nil {
		return nil, err
	}
	switch law := nullOf(s).(type) {
	case dualNull:
		a := law.alpha
		return func(step []float64) float64 { return ((1-a)*(1-a) + a*a) * gumbelLift(step) }, nil
	case unitNull:
		if law.law.Kind == evidence.KindExponential {
			return gumbelLift, nil
		}
		delta := spec.Params.Delta
		if p, ok := PresetByName(spec.Scheme); ok {
			a := p.args(spec, Values{})
			if delta, err = strconv.ParseFloat(a.text("delta")+a.text("bias"), 64); err != nil { // one of them
				return nil, fmt.Errorf("the bias of %s is not known", spec.Scheme)
			}
		}
		return func(step []float64) float64 { return kgwLift(step, law.law.P, delta) }, nil
	case fixedNull:
		return nil, fmt.Errorf("%s has one list, of which a text uses up the tokens: no number of tokens finds it for sure", spec.Scheme)
	}
	return nil, fmt.Errorf("%s has no null law, only a rank among decoys: no number of tokens reaches a level", spec.Scheme)
}

func gumbelLift(step []float64) (lift float64) {
	for _, p := range step {
		if p > 0 {
			lift += p * (harmonic(1/min(p, 1)) - 1)
		}
	}
	return lift
}

// harmonic is ψ(x+1) + γ for x >= 1, by recurrence into the asymptotic series
// (Abramowitz and Stegun 6.3.18), whose next term is below 1e-13 there.
func harmonic(x float64) float64 {
	const eulerGamma = 0.5772156649015328606
	x++
	var below float64
	for ; x < 12; x++ {
		below -= 1 / x
	}
	r := 1 / (x * x)
	return eulerGamma + below + math.Log(x) - .5/x - r*(1./12-r*(1./120-r*(1./252-r*(1./240-r/132))))
}

// kgwLift substitutes s = e^y and adds up over y in steps of .2: the integrand is
// entire and falls off at both ends, so the error falls as e^(-π²/step), 1e-21.
func kgwLift(step []float64, gamma, delta float64) float64 {
	const width = .2
	c := math.Expm1(delta)
	if c == 0 {
		return 0
	}
	var inverse float64
	for y := -40.; y < 5; y += width {
		s := math.Exp(y)
		product := s * math.Exp(-s)
		for _, p := range step {
			product *= 1 - gamma + gamma*math.Exp(-s*c*p)
		}
		inverse += width * product
	}
	return (1+c)/c*(1-inverse) - gamma
}

// drawnLift averages over words: each draw plays a step under a fresh window.
func drawnLift(spec Spec, steps [][]float64, size int) (Lift, error) {
	widest := 0
	for _, step := range steps {
		widest = max(widest, len(step))
	}
	spec.Vocab, spec.Params.Repeats = max(spec.Vocab, widest), MarkRepeats
	s, err := DecoyKey([32]byte{'p', 'o', 'w', 'e', 'r'}, 0, spec)
	if err != nil {
		return Lift{}, err
	}
	law := s.Law()
	// Between 4 and 50,000 draws a step.
	draws := min(max(liftWork/max(size, 1), 4), 50_000)
	random := rand.New(rand.NewPCG(1, 1))
	window := make([]int32, s.Window())
	ids, logits := make([]int32, widest), make([]float32, widest)
	for i := range ids {
		ids[i] = int32(i)
	}
	var sum, variance float64
	for _, step := range steps {
		var mean, squares float64
		for n := range draws {
			for i := range window {
				window[i] = int32(random.Uint32() >> 1)
			}
			for i, p := range step {
				logits[i] = float32(math.Log(p))
			}
			s.ProcessCandidates(window, ids[:len(step)], logits[:len(step)])
			var x float64
			for i := range step {
				if p := math.Exp(float64(logits[i])); p > 1e-12 {
					x += p * s.Score(window, ids[i])
				}
			}
			x = (x - law.Mean()) / float64(max(law.Bits, 1))
			d := x - mean
			mean += d / float64(n+1)
			squares += d * (x - mean)
		}
		sum += mean
		variance += squares / float64(draws-1) / float64(draws)
	}
	n := float64(len(steps))
	return Lift{Value: sum / n, SE: math.Sqrt(variance) / n}, nil
}

// GeometricStep is the model of a text of which only the entropy is known: at
// every step candidate k has probability (1-r)·r^k, with r such that the entropy
// is bits, in (0, [MaxEntropy]]. Real text mixes sure steps with open ones.
func GeometricStep(bits float64) ([]float64, error) {
	if !(bits > 0 && bits <= MaxEntropy) {
		return nil, fmt.Errorf("an entropy of %v bits per token is not between 0 and %d", bits, MaxEntropy)
	}
	entropy := func(q float64) float64 { // q = 1-r
		return (-q*math.Log2(q) - (1-q)*math.Log1p(-q)/math.Ln2) / q
	}
	lo, hi := 1e-5, 1.
	for hi-lo > 1e-15 {
		mid := (lo + hi) / 2
		if entropy(mid) > bits {
			lo = mid
		} else {
			hi = mid
		}
		if mid == lo && mid == hi {
			break
		}
	}
	q := lo
	var step []float64
	rest := 1.
	for p := q; rest > geometricTail; p *= 1 - q {
		step = append(step, p)
		rest -= p
	}
	for i := range step {
		step[i] /= 1 - rest
	}
	return step, nil
}

// Demand is what a detection needs.
type Demand struct {
	Log10Alpha float64 `json:"log10_alpha"` // of one key, before any correction for keys
	// Effect is the lift that is left after edits.
	Effect float64 `json:"effect"`
	// Units is the number of distinct scored units, Tokens that of tokens of one
	// text without repetitions; 0 where more than ten billion would be needed.
	Units  int64 `json:"units"`
	Tokens int64 `json:"tokens"`
}

// unitsNeeded is [evidence.Law.UnitsNeeded] for a sum under two keys, whose units
// all have mean 1+effect: exact up to dualSearchUpTo units, beyond them the normal
// approximation, which there is right to a per cent.
func (d dualNull) unitsNeeded(effect, log10Alpha, power float64) int64 {
	if !(effect > 0) {
		return math.MaxInt64
	}
	_, sd := d.moments(evidence.Plain(1))
	z := normalQuantile(log10Alpha) - normalQuantile(math.Log10(power))*(1+effect)
	guess := z * z * sd * sd / (effect * effect)
	switch {
	case guess > maxDemand:
		return math.MaxInt64
	case guess > dualSearchUpTo:
		return int64(guess)
	}
	found := func(n int) bool {
		critical := bisect(float64(n), 40*float64(n)+1000, func(x float64) bool {
			return evidence.Log10DualGammaSF(int64(n), d.alpha, x) <= log10Alpha
		})
		return evidence.Log10DualGammaSF(int64(n), d.alpha, critical/(1+effect)) >= math.Log10(power)
	}
	return int64(sort.Search(int(2*guess)+20, func(i int) bool { return found(i + 1) })) + 1
}

const (
	dualSearchUpTo = 500  // some 1 ms a tail there, and 400 of them
	maxDemand      = 1e10 // units
)

// normalQuantile is the z with log10 P(Z >= z) = log10P.
func normalQuantile(log10P float64) float64 {
	return bisect(-40, 400, func(z float64) bool { return evidence.Log10NormalSF(z) <= log10P })
}

// bisect is where a condition that holds from some point on begins to hold.
func bisect(lo, hi float64, holds func(x float64) bool) float64 {
	for range 36 { // to 1e-6 of a critical score of 1,000 units
		if mid := (lo + hi) / 2; holds(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// TokensNeeded is the text that finds the mark at level 10^log10Alpha, corrected
// for the number of keys (Bonferroni), with the given power, when each token is
// replaced, deleted or preceded by an insertion with probability editRate,
// independently. A unit survives if its token and window do: (1-editRate)^(h+1);
// the others score as under the null. With two channels a token is a unit of the
// spec's channel with that channel's share. Power is [evidence.Law.UnitsNeeded]'s.
func TokensNeeded(spec Spec, lift Lift, editRate, log10Alpha, power float64, keys int) (Demand, error) {
	spec = spec.withDefaults()
	spec.Vocab = max(spec.Vocab, 2)
	s, err := DecoyKey([32]byte{}, 0, spec)
	switch {
	case err != nil:
		return Demand{}, err
	case !(editRate >= 0 && editRate < 1):
		return Demand{}, fmt.Errorf("an edit rate of %v is not in [0, 1)", editRate)
	case !(log10Alpha < 0) || math.IsInf(log10Alpha, 0):
		return Demand{}, fmt.Errorf("%v is no log10 of a significance level", log10Alpha)
	case !(power > 0 && power < 1):
		return Demand{}, fmt.Errorf("a power of %v is not between 0 and 1", power)
	case keys < 1:
		return Demand{}, errors.New("at least one key is needed")
	}
	d := Demand{Log10Alpha: log10Alpha, Effect: lift.Value * math.Pow(1-editRate, float64(s.Window()+1))}
	level := log10Alpha - math.Log10(float64(keys))
	var n int64
	if dual, ok := nullOf(s).(dualNull); ok {
		n = dual.unitsNeeded(d.Effect, level, power)
	} else {
		n = s.Law().UnitsNeeded(d.Effect, level, power)
	}
	if n == math.MaxInt64 {
		return d, nil
	}
	d.Units, d.Tokens = n, n
	if share := spec.Params.Tracing; share > 0 { // of the windows, the channel's own
		if spec.Account == "" {
			share = 1 - share
		}
		d.Tokens = int64(math.Ceil(float64(n) / share))
	}
	if _, ok := s.WindowOf(nil); !ok {
		d.Tokens += int64(s.Window())
	}
	return d, nil
}
