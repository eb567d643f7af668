package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func TestStudentQuantile(t *testing.T) {
	t.Parallel()
	for _, df := range []float64{1, 2, 3, 4, 5, 9, 30, 199, 1e6} {
		want := distuv.StudentsT{Sigma: 1, Nu: df}.Quantile(0.975)
		if got := studentQuantile(df); math.Abs(got/want-1) > 2e-3 {
			t.Errorf("df=%v: %v, want %v", df, got, want)
		}
	}
}

// clustersOf takes units and score of each reply.
func clustersOf(replies ...[2]float64) (c Clusters) {
	for _, r := range replies {
		c.Add(int64(r[0]), r[1])
	}
	return c
}

func TestEffectByHand(t *testing.T) {
	t.Parallel()
	// Three replies with 10, 20, 10 units and 4, 6, 2 hits: r = .3, residuals 1, 0, -1,
	// standard error √(3/2·2)/40, t(2) = 4.3027.
	got := Bernoulli(0.25).Effect(clustersOf([2]float64{10, 4}, [2]float64{20, 6}, [2]float64{0, 0}, [2]float64{10, 2}))
	half := 4.302652729749464 * math.Sqrt(3) / 40
	if math.Abs(got.Value-0.05) > 1e-15 || math.Abs(got.Lo-0.05+half) > 1e-12 || math.Abs(got.Hi-0.05-half) > 1e-12 {
		t.Errorf("%+v, half width %v", got, half)
	}
	if got := Bernoulli(0.25).Effect(Clusters{}); got != (Interval{}) {
		t.Errorf("nothing: %+v", got)
	}
	one := FairBits(30).Effect(clustersOf([2]float64{10, 180})) // .6 per bit
	if math.Abs(one.Value-0.1) > 1e-15 || math.Abs(one.Hi-0.1-z975*math.Sqrt(0.24/300)) > 1e-12 {
		t.Errorf("one reply: %+v", one)
	}
	if got := Exponential().Effect(clustersOf([2]float64{100, 150})); math.Abs(got.Value-0.5) > 1e-15 || got.Lo > 0.5-0.29 {
		t.Errorf("one gumbel reply: %+v", got)
	}
}

// Coverage when replies differ: each reply has its own rate, so that an interval
// for independent units would cover far less than 95 %.
func TestEffectCoverage(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	const trials, replies = 2000, 60
	covered, naive := int64(0), 0
	for range trials {
		var c Clusters
		var n, s float64
		for range replies {
			size := 20 + random.IntN(120)
			rate := 0.31 + 0.16*(random.Float64()-0.5)
			hits := 0.
			for range size {
				if random.Float64() < rate {
					hits++
				}
			}
			c.Add(int64(size), hits)
			n += float64(size)
			s += hits
		}
		e := Bernoulli(0.25).Effect(c)
		if e.Lo <= 0.06 && 0.06 <= e.Hi {
			covered++
		}
		if math.Abs(s/n-0.31) < z975*math.Sqrt(0.31*0.69/n) {
			naive++
		}
	}
	if f := float64(covered) / trials; f < 0.93 || f > 0.97 {
		t.Errorf("a 95 %% interval covers %.3f", f)
	}
	if f := float64(naive) / trials; f > 0.93 {
		t.Errorf("the setting does not tell clusters from units: independent units cover %.3f", f)
	}
}
