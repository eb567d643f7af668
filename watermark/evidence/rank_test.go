package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Closed forms of Student's tail (Johnson, Kotz & Balakrishnan, Continuous
// Univariate Distributions 2, 28.2), free of cancellation, and gonum's where it is
// accurate.
func TestStudentTail(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{0, 1e-8, .1, .7, 1, 1.9, 5, 40, 1e3, 1e8, 1e150, 1e300} {
		one := math.Log10(math.Atan2(1, x) / math.Pi)
		root := math.Sqrt(2 + x*x)
		two := -math.Log10(root) - math.Log10(root+x)
		// nu = 4: 1/2 - 3s/4 + s³/4, factored as (1-s)²(2+s)/4, with s = x/√(4+x²) and 1-s = 4/((4+x²)(1+s)).
		r4 := math.Sqrt(4 + x*x)
		s := x / r4
		four := 2*(math.Log10(4)-2*math.Log10(r4)-math.Log10(1+s)) + math.Log10((2+s)/4)
		for nu, want := range map[float64]float64{1: one, 2: two, 4: four} {
			if math.IsInf(x*x, 1) && nu > 1 {
				continue // the reference overflows, the tail does not
			}
			if got := Log10StudentSF(x, nu); math.Abs(got-want) > 1e-10*(1+math.Abs(want)) {
				t.Errorf("nu = %v: log10 P(T >= %v) = %v, want %v", nu, x, got, want)
			}
		}
	}
	if got := Log10StudentSF(1e200, 19); math.Abs(got-(Log10StudentSF(1e100, 19)-1900)) > 1e-8 {
		t.Errorf("the tail beyond overflow falls as t^-nu: %v", got)
	}
	for _, nu := range []float64{.5, 3, 7.5, 19, 120, 1e4} {
		for _, x := range []float64{-30, -2, -.3, 0, .2, 1, 2.5, 6, 15} {
			want := distuv.StudentsT{Sigma: 1, Nu: nu}.CDF(-x)
			if want < 1e-12 {
				continue // beyond gonum's accuracy
			}
			if got := math.Pow(10, Log10StudentSF(x, nu)); math.Abs(got-want) > 1e-8*want {
				t.Errorf("nu = %v: P(T >= %v) = %v, gonum says %v", nu, x, got, want)
			}
		}
	}
	if x := studentPoint(.025, 10); math.Abs(x-2.2281388519649385) > 1e-9 { // Fisher & Yates' table: 2.228
		t.Errorf("the 97.5 %% point at nu = 10 is %v", x)
	}
}

func TestRankAmong(t *testing.T) {
	t.Parallel()
	controls := make([]float64, 19)
	for i := range controls {
		controls[i] = float64(i)
	}
	for _, tc := range []struct {
		value float64
		rank  int
	}{{19, 1}, {18, 2}, {18 * (1 + 1e-13), 2}, {18.001, 1}, {-1, 20}, {9.5, 10}} {
		r := RankAmong(tc.value, controls)
		if r.Rank != tc.rank || r.Of != 20 || math.Abs(r.Log10P-math.Log10(float64(tc.rank)/20)) > 1e-15 || r.Log10Floor != -math.Log10(20) {
			t.Errorf("%v among 0 to 18: %+v, want rank %d", tc.value, r, tc.rank)
		}
	}
	// t = (19-9)/(s√(1+1/19)), s² = 19·20/12.
	want := Log10StudentSF(10/(math.Sqrt(19*20/12.)*math.Sqrt(20/19.)), 18)
	if r := RankAmong(19, controls); math.Abs(r.Log10Parametric-want) > 1e-12 || math.Abs(r.Mean-9) > 1e-12 {
		t.Errorf("parametric companion %v, want %v", r.Log10Parametric, want)
	}
	if r := RankAmong(3, nil); r.Rank != 1 || r.Log10P != 0 || r.Log10Floor != 0 || !math.IsNaN(r.Log10Parametric) {
		t.Errorf("no controls: %+v", r)
	}
	if r := RankAmong(.3, []float64{.1 + .2, .1, .2}); r.Rank != 2 {
		t.Errorf("rounding broke a tie in the rival's favour: %+v", r)
	}
}

// Both p-values are valid where rival and controls are drawn alike, and the seen
// rate of first places is the planned power.
func TestRankIsCalibrated(t *testing.T) {
	t.Parallel()
	const c, runs = 19, 4000
	rng := rand.New(rand.NewPCG(3, 4))
	for _, tc := range [][2]float64{{0, 1}, {1.5, 1}, {3, 1}, {2, 2.5}, {2, .3}} {
		shift, sd := tc[0], tc[1]
		first, parametric := 0, make([]float64, runs)
		for i := range runs {
			controls := make([]float64, c)
			for j := range controls {
				controls[j] = rng.NormFloat64()
			}
			r := RankAmong(shift+sd*rng.NormFloat64(), controls)
			if r.Rank == 1 {
				first++
			}
			parametric[i] = math.Pow(10, r.Log10Parametric)
		}
		want := RankPower(c, shift, sd)
		if se := math.Sqrt(want * (1 - want) / runs); math.Abs(float64(first)/runs-want) > 3.3*se {
			t.Errorf("shift %v: first in %d of %d runs, planned power %v", shift, first, runs, want)
		}
		if _, ks := KolmogorovSmirnov(parametric); shift == 0 && ks < 1e-3 {
			t.Errorf("the parametric p is not uniform: KS p = %v", ks)
		}
	}
	if p := RankPower(c, 0, 1); math.Abs(p-.05) > 1e-10 {
		t.Errorf("power without a shift is %v, not 1/20", p)
	}
	if s := RankShift(c, .9); math.Abs(RankPower(c, s, 1)-.9) > 1e-7 || s < 3 || s > 3.5 {
		t.Errorf("shift for power .9 among %d controls: %v", c, s)
	}
}

// Among controls that are normal a pilot says what the law says; among ones that lean to
// one side it says what is seen.
func TestRankPowerAmong(t *testing.T) {
	t.Parallel()
	const c, runs = 19, 4000
	rng := rand.New(rand.NewPCG(5, 6))
	for name, draw := range map[string]func() float64{"normal": rng.NormFloat64, "exponential": func() float64 { return rng.ExpFloat64() - 1 }} {
		pilot := make([]float64, 20_000)
		for i := range pilot {
			pilot[i] = draw()
		}
		for _, shift := range []float64{0, 2, 4} {
			first := 0
			for range runs {
				value := shift + 1.3*rng.NormFloat64()
				best := true
				for range c {
					best = best && draw() < value
				}
				if best {
					first++
				}
			}
			got, seen := RankPowerAmong(pilot, c, shift, 1.3), float64(first)/runs
			if se := math.Sqrt(seen*(1-seen)/runs) + .004; math.Abs(got-seen) > 3.3*se {
				t.Errorf("%s, shift %v: power %.3f, seen %.3f", name, shift, got, seen)
			}
			if want := RankPower(c, shift, 1.3); name == "normal" && math.Abs(got-want) > .01 {
				t.Errorf("shift %v: power %.3f, by the normal law %.3f", shift, got, want)
			}
		}
	}
	if p := RankPowerAmong([]float64{1, 2, 3}, 1, 9, 0); p < .8 {
		t.Errorf("above all of a pilot of three: %v", p)
	}
}

func TestResiduals(t *testing.T) {
	t.Parallel()
	// A strong source (row 1) and an easy teacher (column 0) leave no residual.
	strength, ease := []float64{.1, .5, .2}, []float64{.3, 0, .1, .05}
	a := make([][]float64, len(strength))
	for s := range a {
		for _, e := range ease {
			a[s] = append(a[s], strength[s]+e)
		}
	}
	a[2][3] += .12
	r := Residuals(a)
	for s := range r {
		for e := range r[s] {
			// One cell's excess is spread by double centring.
			want := .12 / 12
			if s == 2 {
				want -= .12 / 4
			}
			if e == 3 {
				want -= .12 / 3
			}
			if s == 2 && e == 3 {
				want += .12
			}
			if math.Abs(r[s][e]-want) > 1e-12 {
				t.Errorf("residual %d,%d is %v, want %v", s, e, r[s][e], want)
			}
		}
	}
	if got := Residuals([][]float64{{1}, {2}}); got[0][0] != 0 || got[1][0] != 0 {
		t.Errorf("one teacher leaves nothing: %v", got)
	}
}

func TestJensenShannon(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p, q []float64
		want float64
	}{
		{[]float64{1, 0}, []float64{0, 7}, 1},
		{[]float64{2, 2}, []float64{5, 5}, 0},
		// H(3/4) - 1/2·H(1/2) with H the binary entropy.
		{[]float64{1, 1}, []float64{4, 0}, -.75*math.Log2(.75) - .25*math.Log2(.25) - .5},
		{[]float64{0, 0}, []float64{1, 0}, math.NaN()},
	} {
		if got := JensenShannon(tc.p, tc.q); math.Abs(got-tc.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(tc.want) {
			t.Errorf("JSD(%v, %v) = %v, want %v", tc.p, tc.q, got, tc.want)
		}
	}
}

func TestLikelihoodRatio(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	sample := func(n int, mean float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = mean + rng.NormFloat64()
		}
		return x
	}
	students, controls := sample(9, 6), sample(20, 0)
	if got := LikelihoodRatio(6, students, controls); got != 21 {
		t.Errorf("far among the students: %v, want the cap of C+1 = 21", got)
	}
	if got := LikelihoodRatio(0, students, controls); got != .1 {
		t.Errorf("far among the controls: %v, want the cap of 1/(S+1) = .1", got)
	}
	if got := LikelihoodRatio(0, students[:4], controls); !math.IsNaN(got) {
		t.Errorf("four students calibrate nothing: %v", got)
	}
	// Calibration: over values of controls the mean ratio is about 1 at most (a
	// likelihood ratio is an e-value), over values of students its inverse is.
	var up, down float64
	const runs = 4000
	for range runs {
		students, controls := sample(20, 1), sample(20, 0)
		up += LikelihoodRatio(rng.NormFloat64(), students, controls) / runs
		down += 1 / LikelihoodRatio(1+rng.NormFloat64(), students, controls) / runs
	}
	if up > 1.15 || down > 1.15 || up < .8 || down < .8 {
		t.Errorf("mean ratio under the controls %v, mean inverse under the students %v: both are to be 1", up, down)
	}
	for ratio, want := range map[float64]string{
		1: "no support", 2: "weak support", 10: "moderate support", 100: "moderately strong support", 1e3: "strong support",
		1e4: "very strong support", 1e6: "extremely strong support", .02: "moderate support for the opposite", .7: "no support",
	} {
		if got := Support(ratio); got != want {
			t.Errorf("Support(%v) = %q, want %q", ratio, got, want)
		}
	}
}
