package evidence

import (
	"math"
	"math/rand/v2"
	"testing"
)

// enumerate is P(T >= x) by walking through every outcome of the draws.
func enumerate(draws []Draw, x int64) float64 {
	if len(draws) == 0 {
		if x <= 0 {
			return 1
		}
		return 0
	}
	p := 0.
	for _, v := range draws[0] {
		p += enumerate(draws[1:], x-v) / float64(len(draws[0]))
	}
	return p
}

func TestDrawSumByEnumeration(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		draws := make([]Draw, 1+random.IntN(7))
		for i := range draws {
			draws[i] = make(Draw, 1+random.IntN(5))
			for j := range draws[i] {
				draws[i][j] = 3*random.Int64N(21) - 30
			}
		}
		s := NewDrawSum(draws)
		for x := int64(-220); x <= 220; x += 5 {
			want := enumerate(draws, x)
			got := math.Pow(10, s.Tail(x).Log10P)
			if math.Abs(got-want) > 1e-11*want || want == 0 && got != 0 {
				t.Fatalf("%v at %d: %v, want %v", draws, x, got, want)
			}
			above := enumerate(draws, x+1)
			if got := s.RandomizedP(float64(x), .25); want > 0 && above < want && math.Abs(got-(above+.25*(want-above))) > 1e-11 {
				t.Fatalf("%v at %d: randomised p %v, want %v", draws, x, got, above+.25*(want-above))
			}
		}
	}
}

// Fair signs of one size are a binomial, at any depth.
func TestDrawSumOfSignsIsBinomial(t *testing.T) {
	t.Parallel()
	const n = 400
	draws := make([]Draw, n)
	for i := range draws {
		draws[i] = Draw{840, -840}
	}
	s := NewDrawSum(draws)
	for k := int64(180); k <= n; k += 11 {
		want := Log10BinomialSF(k, n, .5)
		got := s.Tail(840 * (2*k - n))
		if math.Abs(got.Log10P-want) > 1e-10*math.Max(1, -want) {
			t.Errorf("%d hits of %d: %v, want %v", k, n, got.Log10P, want)
		}
		if got.Mean != 0 || math.Abs(got.SD-840*math.Sqrt(n)) > 1e-6 {
			t.Errorf("moments %v ± %v", got.Mean, got.SD)
		}
	}
	if got, want := s.Floor(), n*math.Log10(.5); math.Abs(got-want) > 1e-9 {
		t.Errorf("floor %v, want %v", got, want)
	}
	if got := s.Tail(840*n + 1).Log10P; !math.IsInf(got, -1) {
		t.Errorf("beyond the top: %v", got)
	}
	for _, alpha := range []float64{-1, -6, -30, -119} {
		x, ok := s.Critical(alpha)
		if !ok || s.Tail(int64(x)).Log10P > alpha || s.Tail(int64(x)-1680).Log10P <= alpha {
			t.Errorf("critical score at %v is %v, %v: log10 p %v there and %v below", alpha, x, ok, s.Tail(int64(x)).Log10P, s.Tail(int64(x)-1680).Log10P)
		}
	}
	if _, ok := s.Critical(-121); ok {
		t.Error("no outcome reaches 1e-121")
	}
}

// The p-values of a law are uniform over the draws, and the bound is one.
func TestDrawSumCalibration(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var draws []Draw
	squares := 0.
	for range 60 {
		s := 1 + random.Int64N(840)
		draws = append(draws, Draw{s, -s})
		squares += float64(s * s)
	}
	s := NewDrawSum(draws)
	p := make([]float64, 20_000)
	for i := range p {
		score := int64(0)
		for _, d := range draws {
			score += d[random.IntN(2)]
		}
		p[i] = s.RandomizedP(float64(score), 1-random.Float64()-0x1p-54)
		if i%100 == 0 {
			if exact, bound := s.Tail(score).Log10P, Log10SignBound(float64(score), squares); exact > bound+1e-9 {
				t.Errorf("score %d: exact %v exceeds Hoeffding's bound %v", score, exact, bound)
			}
		}
	}
	checkUniform(t, "signs", p)
}

func TestDrawSumWithoutChoice(t *testing.T) {
	t.Parallel()
	s := NewDrawSum([]Draw{{5}, {-2, -2}})
	if got := s.Tail(3); got.Log10P != 0 || got.Mean != 3 || got.SD != 0 {
		t.Errorf("a certain score: %+v", got)
	}
	if got := s.Tail(4).Log10P; !math.IsInf(got, -1) {
		t.Errorf("an impossible score: %v", got)
	}
	if _, ok := s.Critical(-1); ok {
		t.Error("nothing can be found where nothing is drawn")
	}
	if got := s.RandomizedP(3, .3); got != .3 {
		t.Errorf("randomised p %v", got)
	}
	empty := NewDrawSum(nil)
	if got := empty.Tail(0).Log10P; got != 0 {
		t.Errorf("no draws: %v", got)
	}
}

func BenchmarkDrawSumThousandItems(b *testing.B) {
	random := rand.New(rand.NewPCG(5, 6))
	draws := make([]Draw, 1000)
	for i := range draws {
		d := 1 + random.Int64N(8)
		s := 840 * random.Int64N(d+1) / d
		draws[i] = Draw{s, -s}
	}
	for b.Loop() {
		s := NewDrawSum(draws)
		if s.Tail(int64(8*s.SD())).Log10P > -10 || s.RandomizedP(0, .5) < .4 {
			b.Fatal("no tail")
		}
	}
}

// The expansion agrees with the exact law of secrets that are followed now and then.
func TestDrawSumPower(t *testing.T) {
	t.Parallel()
	const n = 150
	draws := make([]Draw, n)
	for i := range draws {
		draws[i] = Draw{1, -1}
	}
	s := NewDrawSum(draws)
	for _, alpha := range []float64{-2, -6} {
		critical, _ := s.Critical(alpha)
		hits := int64(critical+n) / 2
		for known := 0.; known <= 1; known += .05 {
			want := math.Pow(10, Log10BinomialSF(hits, n, (1+known)/2))
			if got := s.Power(known, critical); math.Abs(got-want) > 2e-3 {
				t.Errorf("known %v at %v: %v, want %v", known, alpha, got, want)
			}
		}
		share := s.Detectable(alpha, .9)
		if want := 2 * Bernoulli(.5).DetectableEffect(Plain(n), alpha, .9); math.Abs(share-want) > 2e-3 {
			t.Errorf("detectable at %v: %v, want %v", alpha, share, want)
		}
	}
	for score := 20.; score <= 110; score += 10 {
		if got, want := s.Estimate(score), s.Tail(int64(score)).Log10P; math.Abs(got-want) > .1 {
			t.Errorf("estimate at %v: %v, exact %v", score, got, want)
		}
	}
	if got := NewDrawSum(draws[:5]).Detectable(-6, .9); !math.IsInf(got, 1) {
		t.Errorf("five bits find %v at 1e-6", got)
	}
}
