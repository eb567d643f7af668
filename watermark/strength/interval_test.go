package strength

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Exact 95 % limits from R 4.3, binom.test(k, n)$conf.int.
func TestClopperPearson(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		k, n   int64
		lo, hi float64
	}{
		{0, 10, 0, 0.3084971},
		{5, 10, 0.1870860, 0.8129140},
		{10, 10, 0.6915029, 1},
		{40, 40, 0.9119029, 1},
	} {
		lo, hi := ClopperPearson(test.k, test.n, .95)
		if math.Abs(lo-test.lo) > 1e-6 || math.Abs(hi-test.hi) > 1e-6 {
			t.Errorf("%d of %d: [%.7f, %.7f], want [%.7f, %.7f]", test.k, test.n, lo, hi, test.lo, test.hi)
		}
	}
}

// Welch's interval of (1, 2, 4, 7) less (2, 3, 3) by hand: means 3.5
// and 8/3, variances 7 and 1/3, standard error √(7/4 + 1/9), ν = 3.372.
func TestDifference(t *testing.T) {
	t.Parallel()
	d, lo, hi := difference([]float64{1, 2, 4, 7}, []float64{2, 3, 3})
	se := math.Sqrt(7./4 + 1./9)
	nu := se * se * se * se / ((7./4)*(7./4)/3 + (1./9)*(1./9)/2)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: nu}.Quantile(.975) * se
	if math.Abs(d-(3.5-8./3)) > 1e-12 || math.Abs(lo-(d-half)) > 1e-12 || math.Abs(hi-(d+half)) > 1e-12 || math.Abs(nu-3.373) > .01 {
		t.Errorf("%v [%v, %v], half %v, nu %v", d, lo, hi, half, nu)
	}
	if _, lo, _ := difference([]float64{1}, []float64{2, 3}); !math.IsInf(lo, -1) {
		t.Errorf("one value bounds a difference: %v", lo)
	}
}

// TestQuantileCovers draws samples of a known quantile.
func TestQuantileCovers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for _, q := range []float64{.5, .95} {
		covered := 0
		const rounds = 2000
		for range rounds {
			values := make([]float64, 80)
			for i := range values {
				values[i] = random.Float64()
			}
			_, lo, hi := quantile(values, q)
			if lo <= q && q <= hi {
				covered++
			}
		}
		// The coverage is at least .95, in steps; 4 standard errors below is .93.
		if share := float64(covered) / rounds; share < .93 {
			t.Errorf("quantile %v: covered in %v of the samples", q, share)
		}
	}
	if v, lo, hi := quantile([]float64{1, 2, math.Inf(1)}, .95); !math.IsInf(v, 1) || !math.IsInf(hi, 1) || !math.IsInf(lo, -1) && lo > 2 {
		t.Errorf("three values: %v [%v, %v]", v, lo, hi)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{`"+inf"`: math.Inf(1), `"-inf"`: math.Inf(-1), `0.25`: .25} {
		var n Number
		if err := json.Unmarshal([]byte(text), &n); err != nil || float64(n) != want {
			t.Errorf("%s was read as %v, %v", text, n, err)
		}
		if data, err := json.Marshal(n); err != nil || string(data) != text {
			t.Errorf("%v was written as %s, %v", n, data, err)
		}
	}
}
