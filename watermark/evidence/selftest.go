package evidence

import (
	"fmt"
	"math"
)

// TailCheck is a tail as this program and this machine compute it, beside a reference.
type TailCheck struct {
	Tail      string  `json:"tail"`
	Log10P    float64 `json:"log10_p"`
	Reference float64 `json:"reference"`
	Error     float64 `json:"relative_error"` // of p
	OK        bool    `json:"ok"`
}

// maxTailError is the promised relative error of p, and a bit for the reference, which
// has the 53 bits of a float64: at log10 p = -900 that is 2.6e-13 of p.
const maxTailError = 1.1e-11

// CheckTails computes tails from near 1 down to 1e-1066 and compares them with values
// of 96-digit arithmetic. It is what a user can run where the program runs; the tests
// have many more, and compute these references anew.
func CheckTails() []TailCheck {
	var out []TailCheck
	add := func(tail string, log10p, reference float64) {
		e := math.Abs(math.Expm1((log10p - reference) * math.Ln10))
		out = append(out, TailCheck{tail, log10p, reference, e, e <= maxTailError})
	}
	for _, c := range []struct {
		k, n int64
		p    float64
		want float64
	}{
		{30_100, 100_000, .3, -0.6089129679165447},
		{280, 1000, .25, -1.7841864187137941},
		{5621, 17_355, .25, -105.25149573121423},
		{9000, 20_000, .25, -817.7874619007105},
	} {
		add(fmt.Sprintf("binomial, %d of %d at %v", c.k, c.n, c.p), Log10BinomialSF(c.k, c.n, c.p), c.want)
	}
	for _, c := range []struct {
		n       int64
		x, want float64
	}{
		{100_000, 99_000, -0.00032906792929006655},
		{1000, 1500, -42.656650771437356},
		{20_000, 30_000, -823.3683448685686},
	} {
		add(fmt.Sprintf("gamma, %d units score %v", c.n, c.x), Log10GammaSF(c.n, c.x), c.want)
	}
	// Two keys of equal share are one gamma of twice the units, on half the scale.
	add("two keys, 100 units score 150", Log10DualGammaSF(100, .5, 150), Log10GammaSF(200, 300))
	for _, c := range [][2]float64{{-1, -0.07502601295781802}, {20, -88.56009534307559}, {70, -1066.2657572235125}} {
		add(fmt.Sprintf("normal at %v", c[0]), Log10NormalSF(c[0]), c[1])
	}
	return out
}
