package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var lnMillionth = -6 * math.Ln10

// Sample sizes at g = ¼, α = 1e-6, power .9. The normal approximation gives the round
// figures in use for planning; the exact binomial test needs 0.3 to 2.5 % more,
// because its upper tail is longer than the normal's (skewness (1-2g)/√(ng(1-g))).
func TestUnitsNeededTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		effect   float64
		tests    float64
		normal   float64 // ⌈first guess⌉
		exceeds  float64 // the exact search, relative to it
		expected int64
	}{
		{0.05, 1, 2800, 0.03, 2870},
		{0.02, 1, 17256, 0.012, 17443},
		{0.01, 1, 68666, 0.006, 69043},
		{0.01, 20, 82293, 0.006, 82743},
		{0.005, 1, 273921, 0.003, 274636},
		{0.002, 1, 1709155, 0.0012, 1711001},
	} {
		log10Alpha := -6 - math.Log10(c.tests)
		guess := firstGuess(0.25, c.effect, log10Alpha*math.Ln10, 0.9)
		if math.Abs(guess-c.normal) > 1 {
			t.Errorf("ε=%v m=%v: first guess %.1f, want %v", c.effect, c.tests, guess, c.normal)
		}
		n := Bernoulli(0.25).UnitsNeeded(c.effect, log10Alpha, 0.9)
		if n != c.expected || float64(n) < guess || float64(n) > guess*(1+c.exceeds) {
			t.Errorf("ε=%v m=%v: %d units, want %d, first guess %.0f", c.effect, c.tests, n, c.expected, guess)
		}
		// The answer holds by the definition of power.
		if p := Bernoulli(0.25).Power(Plain(n), c.effect, log10Alpha); p < 0.9 || p > 0.905 {
			t.Errorf("ε=%v: power %v at n = %d", c.effect, p, n)
		}
	}
}

// The search against trying every n.
func TestUnitsNeededBruteForce(t *testing.T) {
	t.Parallel()
	for _, l := range []Law{Bernoulli(0.25), Bernoulli(0.5), Bernoulli(0.03), Bernoulli(0.9), FairBits(1), FairBits(4), FairBits(30), Exponential()} {
		for _, effect := range []float64{0.9, 0.4, 0.1, 0.07} {
			for _, log10Alpha := range []float64{-0.2, -1, -2, -6} {
				for _, power := range []float64{0.3, 0.9} {
					want := int64(1)
					for l.Power(Plain(want), effect, log10Alpha) < power {
						want++
					}
					if got := l.UnitsNeeded(effect, log10Alpha, power); got != want {
						t.Errorf("%v ε=%v α=1e%v power %v: %d units, want %d", l, effect, log10Alpha, power, got, want)
					}
				}
			}
		}
	}
}

// The power that is stated is the frequency with which the reported p reaches the
// level, plain and weighted.
func TestPowerBySimulation(t *testing.T) {
	t.Parallel()
	const draws = 3000
	for li, c := range []struct {
		l, alt Law
		effect float64
		c      Counts
	}{
		{Bernoulli(0.25), Bernoulli(0.34), 0.09, Plain(150)},
		{Bernoulli(0.25), Bernoulli(0.34), 0.09, Counts{1: 100, 2: 30, 3: 10, 8: 4}},
		{Exponential(), Exponential(), 0.25, Counts{1: 100, 2: 30, 3: 10, 8: 4}},
		{Exponential(), Exponential(), 0.25, Plain(120)},
	} {
		random := rand.New(rand.NewPCG(uint64(li), 77))
		const log10Alpha = -2
		hits := 0.
		for range draws {
			score := drawSum(c.alt, c.c, random)
			if c.l.Kind == KindExponential {
				score *= 1 + c.effect
			}
			if c.l.Tail(score, c.c).Log10P <= log10Alpha {
				hits++
			}
		}
		power := c.l.Power(c.c, c.effect, log10Alpha)
		se := math.Sqrt(power*(1-power)/draws) + 0.002
		if power < 0.2 || power > 0.95 || math.Abs(hits/draws-power) > 4*se {
			t.Errorf("%v %v: stated power %.3f, found %.3f", c.l, c.c, power, hits/draws)
		}
		// Under the null the same number is the size, at most the level.
		if size := c.l.Power(c.c, 0, log10Alpha); size > 0.0101 || size < 0.004 {
			t.Errorf("%v %v: size %v", c.l, c.c, size)
		}
	}
}

func TestDetectableEffect(t *testing.T) {
	t.Parallel()
	weighted := Counts{1: 5000, 2: 900, 3: 300, 8: 100}
	for _, l := range []Law{Bernoulli(0.25), FairBits(30), Exponential()} {
		for _, c := range []Counts{Plain(20_000), Plain(300), weighted} {
			e := l.DetectableEffect(c, -6, 0.9)
			if p := l.Power(c, e, -6); !(e > 0) || p < 0.9 || p > 0.9+1e-6 {
				t.Errorf("%v %v: effect %v has power %v", l, c, e, p)
			}
			if l.Power(c, e*0.99, -6) >= 0.9 {
				t.Errorf("%v %v: a smaller effect than %v is found too", l, c, e)
			}
		}
		// Planner and null result tell the same story.
		n := l.UnitsNeeded(0.04, -6, 0.9)
		if e := l.DetectableEffect(Plain(n), -6, 0.9); e > 0.04 || e < 0.039 {
			t.Errorf("%v: %d units planned for .04 find %v", l, n, e)
		}
		// Unequal weights help nobody whose units are all lifted alike.
		if a, b := l.DetectableEffect(Plain(weighted.N()), -6, 0.9), l.DetectableEffect(weighted, -6, 0.9); b < a {
			t.Errorf("%v: weights lower the detectable effect from %v to %v", l, a, b)
		}
		if e := l.DetectableEffect(Counts{}, -6, 0.9); !math.IsInf(e, 1) {
			t.Errorf("%v: no units find %v", l, e)
		}
	}
	if e := Bernoulli(0.25).DetectableEffect(Plain(9), -6, 0.9); !math.IsInf(e, 1) {
		t.Errorf("nine units cannot reach 1e-6, yet find %v", e)
	}
	// The bound's critical score is higher than the exact one, so where Chernoff is
	// reported the detectable effect is larger, by the bound's cost.
	big := Counts{1: 300_000, 2: 100_000, 8: 50_000}
	s := FairBits(30).sum(big)
	x := s.critical(lnMillionth)
	if lr := s.lugannaniRice(x); lr > lnMillionth-1.5 || s.chernoff(x) > lnMillionth || s.chernoff(x-1) <= lnMillionth {
		t.Errorf("critical score %v: bound %v, estimate %v", x, s.chernoff(x), lr)
	}
}

func TestPowerEdges(t *testing.T) {
	t.Parallel()
	if n := Bernoulli(0.25).UnitsNeeded(0, -6, 0.9); n != math.MaxInt64 {
		t.Errorf("no effect is found with %d units", n)
	}
	for _, l := range []Law{Bernoulli(0.25), FairBits(30), Exponential()} {
		if n := l.UnitsNeeded(1e-9, -6, 0.9); n != math.MaxInt64 {
			t.Errorf("%v: a billionth is found with %d units", l, n)
		}
		if p := l.Power(Counts{}, 0.5, -6); p != 0 {
			t.Errorf("%v: power %v without units", l, p)
		}
		if p := l.Power(Plain(1000), -1, -6); p != 0 {
			t.Errorf("%v: power %v of the opposite effect", l, p)
		}
	}
	if p := Bernoulli(0.25).Power(Counts{1: 50, 2: 3}, 0.75, -6); p != 1 {
		t.Errorf("all green is found with power %v", p)
	}
	for _, a := range []float64{0, 1, math.NaN(), math.Inf(-1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("level %v did not panic", a)
				}
			}()
			Bernoulli(0.25).Power(Plain(5), 0.1, a)
		}()
	}
}

func BenchmarkUnitsNeeded(b *testing.B) {
	for _, e := range []float64{0.05, 0.01, 0.002} {
		b.Run(fmt.Sprintf("green-%v", e), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Bernoulli(0.25).UnitsNeeded(e, -6, 0.9)
			}
		})
	}
	b.Run("tournament-0.01", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			FairBits(30).UnitsNeeded(0.01, -6, 0.9)
		}
	})
}

func BenchmarkDetectableEffect(b *testing.B) {
	c := Counts{1: 12000, 2: 4000, 3: 1500, 4: 800, 5: 500, 6: 300, 7: 200, 8: 700}
	for _, l := range []Law{Bernoulli(0.25), Exponential(), FairBits(30)} {
		b.Run(string(l.Kind)+"-weighted-20k", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.DetectableEffect(c, -6, 0.9)
			}
		})
	}
}
