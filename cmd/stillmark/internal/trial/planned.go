package trial

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/strength"
)

// Rate is how many students of a kind were found, beside what the plan said.
type Rate struct {
	N     int     `json:"n"`
	Found int     `json:"found"`
	Lo    float64 `json:"found_lo"` // 95 % interval
	Hi    float64 `json:"found_hi"`
	// Power is what the plan says, at the transfer that was planted or at the effect that is
	// seen. Nil: too few audits to tell the spread.
	Power *float64 `json:"power"`
	// Outside says that this power lies outside the interval, broken that it does so
	// by more than the many rows explain.
	Outside bool `json:"outside"`
	broken  bool
}

// newRate holds a rate against a power, which may be the least that is promised.
func newRate(found, n int, power *float64, least bool) Rate {
	r := Rate{N: n, Found: found, Power: power}
	interval := func(level float64) (lo, hi float64) {
		return strength.ClopperPearson(int64(found), int64(n), level)
	}
	r.Lo, r.Hi = interval(.95)
	if power == nil {
		return r
	}
	r.Outside = *power < r.Lo || *power > r.Hi
	// A power that was reckoned from some hundreds of draws is not told from 0 or 1.
	lo, hi := interval(1 - math.Pow(10, rateLog10))
	r.broken = min(*power, .995) > hi || !least && max(*power, .005) < lo
	return r
}

// rateLog10 is where a count of firsts, or a detection rate, stands against the
// calibration: with some eighty of them one in a hundred calibrations errs.
const rateLog10 = -4

func (r *Rate) String() string {
	return fmt.Sprintf("found %d of %d, power %s", r.Found, r.N, r.planned())
}

// planned is the power in a table.
func (r *Rate) planned() string {
	if r.Power == nil {
		return "too few"
	}
	return fmt.Sprintf("%.2f", *r.Power)
}

func positiveRow(scheme string, share int, trials []Trial) PositiveRow {
	row := PositiveRow{Scheme: scheme, Share: share}
	var p, plain, effects []float64
	found, foundPlain := 0, 0
	for _, t := range trials {
		if t.Log10P <= family.Log10Accusation {
			found++
		}
		if t.Plain <= family.Log10Accusation {
			foundPlain++
		}
		row.Needed += t.Needed / float64(len(trials))
		p, plain, effects = append(p, t.Log10P), append(plain, t.Plain), append(effects, t.Effect)
	}
	row.Median, row.PlainMedian, row.Effect = median(p), median(plain), stat.Mean(effects, nil)
	power := plannedPower(trials, effects)
	row.Declared = newRate(found, len(trials), power, true)
	row.Plain = newRate(foundPlain, len(trials), power, false)
	return row
}

// leastPower is what a student of marked text alone is found with at least: a detector that
// sees no mark keeps its word at the effect seen, which is none.
var leastPower = .9

// deaf reports whether so few were found that the power is below [leastPower].
func (r *Rate) deaf() bool {
	floor := newRate(r.Found, r.N, &leastPower, true)
	return floor.broken
}

// canBeDeaf reports whether n are enough: of four, none may be found by chance.
func canBeDeaf(n int) bool {
	none := Rate{N: n}
	return none.deaf()
}

// plannedPower is the mean of what the plans say of students of one kind: of each at the
// effect that the others let expect. Nil for fewer than [minAudits].
func plannedPower(trials []Trial, effects []float64) *float64 {
	if len(trials) < minAudits {
		return nil
	}
	power := 0.
	for i := range trials {
		others := slices.Delete(slices.Clone(effects), i, i+1)
		power += expectedPower(&trials[i], others) / float64(len(trials))
	}
	return &power
}

// expectedPower is what the plan of t says, over the true effects that the effects seen
// in other students let expect: about their mean, as far apart as they are beyond what the
// plan's own sampling explains, and as the mean may err.
func expectedPower(t *Trial, others []float64) float64 {
	mean, variance := stat.MeanVariance(others, nil)
	sd := math.Sqrt(max(0, variance-sampling(t.Law, t.N, mean)) + variance/float64(len(others)))
	const step, reach = .25, 4. // of the normal density: the rest is below 1e-4
	sum, total := 0., 0.
	for u := -reach; u <= reach; u += step {
		density := math.Exp(-u * u / 2)
		total += density
		sum += density * t.Law.Power(evidence.Plain(t.Units), max(0, mean+sd*u), t.Level)
	}
	return sum / total
}

// sampling is the variance of a mean effect of n units that are all lifted alike.
func sampling(l evidence.Law, n int64, effect float64) float64 {
	switch l.Kind {
	case evidence.KindExponential:
		return (1 + effect) * (1 + effect) / float64(n)
	case evidence.KindFairBits:
		return (.5 + effect) * (.5 - effect) / float64(n*int64(l.Bits))
	}
	return (l.P + effect) * (1 - l.P - effect) / float64(n)
}

func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
