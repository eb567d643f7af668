package family

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// NonceForwarding is the family of this file: E5. Of 2n nonces of 128 bits, drawn
// from a canary key, a random half is sent to a rival, one in each of some prompts;
// the others are held back. Nonces that were sent and turn up in our own request
// logs came there by way of the rival; those that were held back have no way.
//
// Given h hits among the n sent and the m held-back ones, all of them fall on the
// sent ones by chance with probability C(n,h)/C(n+m,h), because we split at random.
const NonceForwarding = "E5"

func e5Family() Family {
	return Family{
		ID: NonceForwarding, Name: "nonce forwarding", Tier: ledger.Exact, Key: CanaryKey,
		Rung:  "H_fwd: requests to the target reach our own service",
		Needs: []string{"chat"}, Solo: true, Listed: true, run: alone(runE5), power: powerE5,
		Lawful:      "the split of the nonces into sent and held back was drawn at random, and each nonce counts once",
		null:        "Which nonces stand in our own request logs is statistically independent of the split of secret key {key} into those sent to {target} and those held back.",
		alternative: "Nonces of secret key {key} that were sent to {target} reach our own request logs.",
		subject:     "the nonces that our request logs hold after requests to {target}",
		meaning:     "Nonces of key {key} that were sent to {target} and to nobody else stand in our own request logs: forwarding of requests by {target}, or by somebody who sees its requests, to our service would explain this, as would a leak of the requests that this audit sent.",
		notShown:    "It does not show that {target} was trained on outputs of our model: forwarding needs no training.",
	}
}

// E5Options are what a plan says of E5.
type E5Options struct {
	// Nonces is n: the key draws 2n nonces and sends half of them.
	Nonces int `json:"nonces"`
}

// nonceExtractor is the version of what nonces are read by: 32 lower-case hex digits,
// exactly.
const nonceExtractor = "nonce/1"

// maxNonces bounds the draw.
const maxNonces = 10_000

// clockSlack is by how much the clocks of our service and of the auditor may differ.
const clockSlack = 2 * time.Minute

const effectE5 = "share of the sent nonces that our request logs hold"

func e5Options(t *ledger.Test) (E5Options, error) {
	var o E5Options
	if err := decodeOptions(t, &o); err != nil {
		return o, err
	}
	if o.Nonces < 1 || o.Nonces > maxNonces {
		return o, fmt.Errorf("test %s: %d nonces are not between 1 and %d", t.ID, o.Nonces, maxNonces)
	}
	return o, nil
}

// nonceFate is where a nonce of the key stands with respect to one target.
type nonceFate struct {
	asked    bool // sent to this target
	repeated bool // sent to it in the first run already, and so not counted
	never    bool // sent to nobody: held back, or its prompt was not put
	first    time.Time
}

// nonceFates says of every nonce of the key what became of it.
func nonceFates(in *Input, n int) (map[string]*nonceFate, error) {
	secret, err := canarySecret(in, canary.UseNonce)
	if err != nil {
		return nil, err
	}
	sent, held := canary.Nonces(secret, n)
	fates := make(map[string]*nonceFate, 2*n)
	for _, s := range sent {
		fates[s] = &nonceFate{never: true}
	}
	for _, s := range held {
		fates[s] = &nonceFate{never: true}
	}
	first, err := in.firstAsked()
	if err != nil {
		return nil, err
	}
	for i := range in.plan.Prompts {
		p := &in.plan.Prompts[i]
		if !in.Test.Reads(p) {
			continue
		}
		var carried string
		for _, s := range sent {
			if strings.Contains(p.Text, s) {
				carried = s
			}
		}
		if carried == "" {
			return nil, &InputError{fmt.Errorf("test %s: prompt %s carries no nonce that key %s sends: it was made under another key", in.Test.ID, p.ID, in.Key.ID)}
		}
		f := fates[carried]
		for j := range in.plan.Targets {
			t := &in.plan.Targets[j]
			for k := range in.SamplesOf(p) {
				at, ok := first[ledger.ItemID(t.Name, p.Suite, p.ID, k)]
				if !ok {
					continue
				}
				f.never = false
				if t.Name == in.Target.Name {
					f.asked = true
					if f.first.IsZero() || at.Before(f.first) {
						f.first = at
					}
				}
			}
			if t.Name != in.Target.Name && p.Asks(in.Target.Name) && p.Asks(t.Name) {
				return nil, &InputError{fmt.Errorf("test %s: prompt %s goes to %s, too, so that a hit would not say who forwarded it", in.Test.ID, p.ID, t.Name)}
			}
		}
	}
	return fates, nil
}

// askedBefore are the nonces that the first run sent to the target.
func askedBefore(in *Input, n int) (map[string]bool, error) {
	out := map[string]bool{}
	if in.earlier == nil {
		return out, nil
	}
	fates, err := nonceFates(in.earlier, n)
	if err != nil {
		return nil, err
	}
	for nonce, fate := range fates {
		out[nonce] = fate.asked
	}
	return out, nil
}

// log10AllSent is log10 C(n,h)/C(n+m,h).
func log10AllSent(n, m, h int64) float64 {
	if h == 0 {
		return 0
	}
	if h > n {
		return math.Inf(-1)
	}
	ln := 0.
	for i := range h {
		ln += math.Log(float64(n-i)) - math.Log(float64(n+m-i))
	}
	return ln * math.Log10E
}

func runE5(_ context.Context, in *Input) (*Output, error) {
	o, err := e5Options(in.Test)
	if err != nil {
		return nil, err
	}
	fates, err := nonceFates(in, o.Nonces)
	if err != nil {
		return nil, err
	}
	searches, err := in.Observations(KindNonces)
	if err != nil {
		return nil, err
	}
	f := canaryFinding(in)
	f.Extractor, f.EffectUnit = nonceExtractor, effectE5
	f.Statistic = "the distinct nonces sent to the target that our own request logs hold"
	if len(searches) == 0 {
		return &Output{Finding: f, Warnings: []Warning{WarnNoLogs}}, nil
	}
	before, err := askedBefore(in, o.Nonces)
	if err != nil {
		return nil, err
	}
	for nonce, fate := range fates {
		if before[nonce] && fate.asked {
			fate.asked, fate.repeated = false, true
		}
	}
	var n, m int64
	var begin, end time.Time
	for _, fate := range fates {
		if fate.asked {
			n++
			if begin.IsZero() || fate.first.Before(begin) {
				begin = fate.first
			}
			if fate.first.After(end) {
				end = fate.first
			}
		}
		if fate.never {
			m++
		}
	}
	hits, never, early, again := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	undated, covered := false, false
	for _, data := range searches {
		search, found, err := ParseSightings(data)
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		covered = covered || !search.From.IsZero() && !search.From.After(begin) && !search.Until.Before(end)
		for _, s := range found {
			switch fate := fates[s.Nonce]; {
			case fate == nil: // of another key
			case fate.never:
				never[s.Nonce] = true
			case fate.repeated: // sent in the first run, too
				again[s.Nonce] = true
			case !fate.asked: // sent to another target
			case !s.Time.IsZero() && s.Time.Before(fate.first.Add(-clockSlack)):
				early[s.Nonce] = true
			default:
				hits[s.Nonce] = true
				undated = undated || s.Time.IsZero()
			}
		}
	}
	h := int64(len(hits))
	f.Replies, f.N, f.Score, f.PlainScore = n, n, float64(h), float64(h)
	f.Mean, f.SD = hypergeometricMoments(n, m, h)
	effect := share(h, n)
	f.Effect, f.EffectLo, f.EffectHi = effect.Value, effect.Lo, effect.Hi
	f.Parts = []ledger.Part{
		part("sent to the target", n, effect),
		part("never sent", m, share(int64(len(never)), m)),
	}
	f.Power = powerOfNonces(n, m, in.Log10Alpha)
	switch {
	case len(never) > 0:
		f.Withheld = fmt.Sprintf("our request logs hold %s, so that key or prompts reached them in another way", count(len(never), "nonce that was never sent"))
		if len(never) > 1 {
			f.Withheld = fmt.Sprintf("our request logs hold %d nonces that were never sent, so that key or prompts reached them in another way", len(never))
		}
	case len(early) > 0:
		f.Withheld = fmt.Sprintf("our request logs hold %d of the nonces from before they were sent", len(early))
	}
	p := log10AllSent(n, m, h)
	out := settle(in, f, evidence.Tail{Log10P: p, Method: methodSplit}, 0)
	out.Finding.Log10E = nil // there is no e-process of one look
	if in.earlier != nil {
		both, k := n, h
		for nonce, fate := range fates {
			if fate.repeated {
				both++
				if again[nonce] {
					k++
				}
			}
		}
		mean, sd := hypergeometricMoments(both, m, k)
		out.join(both, float64(k), mean, sd, log10AllSent(both, m, k))
	}
	if undated {
		out.Warnings = append(out.Warnings, WarnUndated)
	}
	if !covered {
		out.Warnings = append(out.Warnings, WarnLogsPartial)
	}
	return out, nil
}

// methodSplit is the law of a random split.
const methodSplit = "exact-split"

// hypergeometricMoments are those of the hits among n sent nonces, given h hits among
// n sent and m others.
func hypergeometricMoments(n, m, h int64) (mean, sd float64) {
	all := float64(n + m)
	if all < 2 {
		return float64(h), 0
	}
	q := float64(n) / all
	return float64(h) * q, math.Sqrt(float64(h) * q * (1 - q) * (all - float64(h)) / (all - 1))
}

// share is k of n with Wilson's 95 % interval (J. Am. Stat. Assoc. 22, 1927,
// 209-212), which is sound for few and for none.
func share(k, n int64) evidence.Interval {
	if n == 0 {
		return evidence.Interval{}
	}
	const z = 1.959963984540054
	c, p := float64(n), float64(k)/float64(n)
	mid := (p + z*z/(2*c)) / (1 + z*z/c)
	half := z / (1 + z*z/c) * math.Sqrt(p*(1-p)/c+z*z/(4*c*c))
	return evidence.Interval{Value: p, Lo: max(0, min(p, mid-half)), Hi: min(1, max(p, mid+half))}
}

// powerOfNonces is the smallest share of forwarded nonces that n sent and m held-back
// ones find with power .9: the needed number of hits h has C(n,h)/C(n+m,h) at or
// below the level.
func powerOfNonces(n, m int64, log10Alpha float64, effects ...float64) ledger.PowerRow {
	row := ledger.PowerRow{Units: n, Log10Alpha: log10Alpha, EffectUnit: effectE5, Log10Floor: log10AllSent(n, m, n)}
	need := hitsNeeded(n, m, log10Alpha)
	if need <= n {
		row.Effect = binomialRate(n, need)
	}
	for _, rate := range at(effects, .05, .2, .5) {
		found := ledger.PowerAt{Effect: rate, Power: math.Pow(10, evidence.Log10BinomialSF(need, n, rate))}
		for units := int64(1); units <= maxNonces; units = units*21/20 + 1 {
			k := hitsNeeded(units, units, log10Alpha)
			if k <= units && evidence.Log10BinomialSF(k, units, rate) >= math.Log10(PowerLevel) {
				found.Units = units
				break
			}
		}
		row.At = append(row.At, found)
	}
	return row
}

// hitsNeeded is the smallest number of hits whose p is at or below the level; n+1 if
// there is none.
func hitsNeeded(n, m int64, log10Alpha float64) int64 {
	ln := 0.
	for h := range n {
		ln += math.Log(float64(n-h)) - math.Log(float64(n+m-h))
		if ln*math.Log10E <= log10Alpha {
			return h + 1
		}
	}
	return n + 1
}

// binomialRate is the rate at which P(Bin(n, rate) >= k) is [PowerLevel].
func binomialRate(n, k int64) float64 {
	lo, hi := 0., 1.
	for hi-lo > 1e-9 {
		mid := lo + (hi-lo)/2
		if evidence.Log10BinomialSF(k, n, mid) < math.Log10(PowerLevel) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

func powerE5(t *PlannedTest) (ledger.PowerRow, error) {
	o, err := e5Options(t.Test)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	if _, err := t.items(reading.KindNonce); err != nil {
		return ledger.PowerRow{}, err
	}
	n := int64(len(t.Prompts()))
	return powerOfNonces(n, int64(o.Nonces), t.Log10Alpha, t.Effects...), nil
}
