package evidence

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mathext"
)

// tailTolerance is the promised relative error of p down to log10 p = -1200.
const tailTolerance = 1e-11

// binomialAt finds a k at which the tail is near the wanted depth.
func binomialAt(n int64, p, log10p float64) int64 {
	lo, hi := int64(0), n+1
	for hi-lo > 1 {
		if k := lo + (hi-lo)/2; Log10BinomialSF(k, n, p) > log10p {
			lo = k
		} else {
			hi = k
		}
	}
	return lo
}

var depths = []float64{-1e-12, -1e-4, -0.05, -0.29, -0.31, -0.5, -1, -2.5, -6, -15, -31, -75, -160, -310, -323, -400, -640, -900, -1199}

func TestBinomialTailAccuracy(t *testing.T) {
	t.Parallel()
	ns := []int64{1, 2, 10, 31, 100, 999, 10_000, 123_457, 1_000_000}
	ps := []float64{0.25, 0.5, 0.1, 1. / 3, 0.01, 0.9, 536870911. / (1 << 31)}
	if !testing.Short() {
		ns = append(ns, 10_000_000)
	}
	worst, cases := 0., 0
	for _, n := range ns {
		for i, p := range ps {
			if n >= 1_000_000 && i > 2 {
				continue
			}
			for j, depth := range depths {
				if n >= 10_000_000 && (i+j)%3 != 0 {
					continue
				}
				k := binomialAt(n, p, depth)
				got := Log10BinomialSF(k, n, p)
				e := relError(got, bigBinomialSF(k, n, p))
				if e > tailTolerance || math.IsNaN(e) {
					t.Errorf("P(Bin(%d,%v) >= %d): log10 p = %v, relative error %.2g", n, p, k, got, e)
				}
				worst = max(worst, e)
				cases++
			}
		}
	}
	t.Logf("binomial: worst relative error %.2g over %d cases", worst, cases)
}

func TestGammaTailAccuracy(t *testing.T) {
	t.Parallel()
	ns := []int64{1, 2, 3, 17, 100, 2500, 60_000, 1_000_000}
	if !testing.Short() {
		ns = append(ns, 10_000_000)
	}
	worst, cases := 0., 0
	for _, n := range ns {
		for _, depth := range depths {
			if n >= 10_000_000 && depth > -1 && depth < -0.3 {
				continue
			}
			lo, hi := 0., float64(n)*50+5000
			for range 80 {
				if x := (lo + hi) / 2; Log10GammaSF(n, x) > depth {
					lo = x
				} else {
					hi = x
				}
			}
			got := Log10GammaSF(n, lo)
			e := relError(got, bigGammaSF(n, lo))
			if e > tailTolerance || math.IsNaN(e) {
				t.Errorf("P(Gamma(%d) >= %v): log10 p = %v, relative error %.2g", n, lo, got, e)
			}
			worst = max(worst, e)
			cases++
		}
	}
	t.Logf("gamma: worst relative error %.2g over %d cases", worst, cases)
}

func TestNormalTailAccuracy(t *testing.T) {
	t.Parallel()
	worst := 0.
	for z := -11.; z < 74.3; z += 0.173 {
		got := Log10NormalSF(z)
		e := relError(got, bigNormalSF(z))
		if e > tailTolerance || math.IsNaN(e) {
			t.Errorf("P(N >= %v): log10 p = %v, relative error %.2g", z, got, e)
		}
		worst = max(worst, e)
		if z > -5 {
			if back := normalQuantile(lnNormalSF(z)); math.Abs(back-z) > 1e-9*(1+math.Abs(z)) {
				t.Errorf("quantile of the tail at %v is %v", z, back)
			}
		}
	}
	t.Logf("normal: worst relative error %.2g", worst)
}

func TestTailEdges(t *testing.T) {
	t.Parallel()
	inf := math.Inf(-1)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"k=0", Log10BinomialSF(0, 10, 0.25), 0},
		{"k<0", Log10BinomialSF(-3, 10, 0.25), 0},
		{"k>n", Log10BinomialSF(11, 10, 0.25), inf},
		{"n=0", Log10BinomialSF(0, 0, 0.25), 0},
		{"n=0 k=1", Log10BinomialSF(1, 0, 0.25), inf},
		{"k=n", Log10BinomialSF(10, 10, 0.25), 10 * math.Log10(0.25)},
		{"p=0", Log10BinomialSF(1, 10, 0), inf},
		{"p=1", Log10BinomialSF(10, 10, 1), 0},
		{"gamma x=0", Log10GammaSF(5, 0), 0},
		{"gamma n=0", Log10GammaSF(0, 1), inf},
		{"gamma n=0 x=0", Log10GammaSF(0, 0), 0},
		{"gamma n=1", Log10GammaSF(1, 7), -7 * math.Log10E},
		{"gamma +Inf", Log10GammaSF(3, math.Inf(1)), inf},
		{"normal 0", Log10NormalSF(0), math.Log10(0.5)},
	} {
		if c.got != c.want && !(math.Abs(c.got-c.want) < 1e-14) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for _, f := range []func(){
		func() { Log10BinomialSF(1, -1, 0.5) },
		func() { Log10BinomialSF(1, 5, math.NaN()) },
		func() { Log10GammaSF(-1, 1) },
		func() { Log10GammaSF(1, math.NaN()) },
		func() { Bernoulli(0) },
		func() { Bernoulli(1) },
		func() { FairBits(0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a programmer's error did not panic")
				}
			}()
			f()
		}()
	}
}

// gonum's regularised incomplete functions are good to about 4e-9 above 1e-300.
func TestTailsAgainstGonum(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{5, 40, 777, 20_000} {
		for _, depth := range []float64{-0.1, -1, -10, -60, -250} {
			k := binomialAt(n, 0.25, depth)
			if k >= 1 {
				want := math.Log10(mathext.RegIncBeta(float64(k), float64(n-k+1), 0.25))
				if got := Log10BinomialSF(k, n, 0.25); math.Abs(got-want) > 1e-8 {
					t.Errorf("n=%d k=%d: %v, gonum %v", n, k, got, want)
				}
			}
			x := float64(n) + 3*math.Sqrt(float64(n))*(-depth/10)
			if want := math.Log10(mathext.GammaIncRegComp(float64(n), x)); want > -300 {
				if got := Log10GammaSF(n, x); math.Abs(got-want) > 1e-8*(1-want) {
					t.Errorf("n=%d x=%v: %v, gonum %v", n, x, got, want)
				}
			}
		}
	}
}
