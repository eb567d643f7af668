package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The interval of a mean over clusters covers as often as it says, also for few
// clusters and where their samples are correlated.
func TestBootstrapCovers(t *testing.T) {
	t.Parallel()
	const runs, resamples, samples = 600, 399, 4
	for _, clusters := range []int{8, 60} {
		rng := rand.New(rand.NewPCG(7, uint64(clusters)))
		missed := 0
		for range runs {
			x := make([]float64, clusters) // means of the samples of each cluster
			mean := 0.
			for i := range x {
				x[i] = rng.NormFloat64()
				for range samples {
					x[i] += rng.NormFloat64() / samples
				}
				mean += x[i] / float64(clusters)
			}
			b := Bootstrap(rng, clusters, resamples, 1, func(count, out []float64) {
				out[0] = 0
				for i, c := range count {
					out[0] += c * x[i] / float64(clusters)
				}
			})
			if iv := Percentiles(mean, b[0], clusters, resamples, .95); iv.Lo > 0 || iv.Hi < 0 {
				missed++
			}
		}
		// 30 are expected; 3.3 standard errors are 18.
		if missed < 12 || missed > 48 {
			t.Errorf("%d clusters: %d of %d intervals of 95 %% missed", clusters, missed, runs)
		}
	}
}

func TestPercentilesWithoutData(t *testing.T) {
	t.Parallel()
	b := Bootstrap(rand.NewPCG(1, 1), 5, 100, 2, func(_, out []float64) { out[0], out[1] = math.NaN(), 3 })
	if iv := Percentiles(1, b[0], 5, 100, .95); !math.IsInf(iv.Lo, -1) || !math.IsInf(iv.Hi, 1) {
		t.Errorf("no numbers: %+v", iv)
	}
	if iv := Percentiles(3, b[1], 1, 100, .95); !math.IsInf(iv.Lo, -1) {
		t.Errorf("one cluster: %+v", iv)
	}
	if iv := Percentiles(3, b[1], 5, 100, .95); iv.Lo != 3 || iv.Hi != 3 {
		t.Errorf("constant: %+v", iv)
	}
}

// Against all 2^n patterns the sampled p is right, and it is exact in its ties.
func TestSignFlipsAgainstAll(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 9))
	for _, dim := range []int{1, 3} {
		for _, n := range []int{1, 5, 8, 11} {
			items := make([][]float64, n)
			for i := range items {
				for range dim {
					items[i] = append(items[i], float64(rng.IntN(7)-2)*.1)
				}
			}
			length := func(pattern int) float64 {
				s := 0.
				for d := range dim {
					v := 0.
					for i := range items {
						v += items[i][d] * float64(1-2*(pattern>>i&1))
					}
					if dim == 1 {
						return v
					}
					s += v * v
				}
				return s
			}
			reached := 0
			for pattern := range 1 << n {
				if length(pattern) >= length(0)-1e-9 {
					reached++
				}
			}
			want := float64(reached) / float64(int(1)<<n)
			const flips = 20_000
			got := math.Pow(10, SignFlips(rand.NewPCG(1, uint64(n)), items, flips, dim == 1))
			if se := math.Sqrt(want*(1-want)/flips) + 1./flips; math.Abs(got-want) > 3.5*se {
				t.Errorf("dim %d, %d items: p = %v, all patterns give %v", dim, n, got, want)
			}
		}
	}
	if got := SignFlips(rand.NewPCG(1, 1), nil, 99, true); got != 0 {
		t.Errorf("no items: %v", got)
	}
	if got := SignFlips(rand.NewPCG(1, 1), [][]float64{{0}, {0}}, 99, true); got != 0 {
		t.Errorf("no differences: %v", got)
	}
	if got := SignFlips(rand.NewPCG(1, 1), [][]float64{{1e-3}, {2e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}, {1e-3}}, 9999, true); got > -2.5 {
		t.Errorf("eleven of one sign: log10 p = %v, want about -3.3", got)
	}
}

// Under exchange within items p is uniform; with a shift it is small.
func TestSignFlipsCalibrated(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 12))
	for _, dim := range []int{1, 8} {
		p := make([]float64, 400)
		for i := range p {
			items := make([][]float64, 40)
			for j := range items {
				for range dim {
					items[j] = append(items[j], rng.ExpFloat64()-rng.ExpFloat64())
				}
			}
			p[i] = math.Pow(10, SignFlips(rng, items, 199, dim == 1)) - rng.Float64()/200 // between its steps
		}
		if _, ks := KolmogorovSmirnov(p); ks < 1e-3 {
			t.Errorf("dim %d: p is not uniform, KS p = %v", dim, ks)
		}
	}
}

func TestSignFlipsDoesNotDependOnCores(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(13, 14))
	items := make([][]float64, 50)
	for j := range items {
		items[j] = []float64{rng.NormFloat64() + .2}
	}
	a, b := SignFlips(rand.NewPCG(1, 2), items, 5000, true), SignFlips(rand.NewPCG(1, 2), items, 5000, true)
	if a != b || a != -1.5467685101646111 {
		t.Errorf("log10 p = %v and %v under one seed", a, b)
	}
}

// BenchmarkSignFlips: 9,999 flips of 10,000 items are to take seconds at most.
func BenchmarkSignFlips(b *testing.B) {
	for _, dim := range []int{1, 64} {
		b.Run(fmt.Sprintf("items=10000/dim=%d/flips=9999", dim), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			items := make([][]float64, 10_000)
			for i := range items {
				for range dim {
					items[i] = append(items[i], rng.NormFloat64())
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				SignFlips(rng, items, 9999, dim == 1)
			}
		})
	}
}

// BenchmarkBootstrap: 1,999 resamples of 1,500 items, each with 22 sources and 4 teachers.
func BenchmarkBootstrap(b *testing.B) {
	const items, cells = 1500, 88
	x := make([]float64, items*cells)
	for i := range x {
		x[i] = float64(i % 7)
	}
	for b.Loop() {
		Bootstrap(rand.NewPCG(1, 1), items, 1999, 1, func(count, out []float64) {
			var sums [cells]float64
			for i, c := range count {
				if c == 0 {
					continue
				}
				for j, v := range x[i*cells:][:cells] {
					sums[j] += c * v
				}
			}
			out[0] = sums[0]
		})
	}
}
