package evidence

import (
	"math"
	"math/big"
	"testing"
)

// The reference of the accuracy tests: plain sums in 320-bit (96-digit)
// arithmetic, sharing no formula for the pmf with the package. It is itself
// checked against exact rationals in TestReference.

const refBits = 320

func bf(x float64) *big.Float        { return new(big.Float).SetPrec(refBits).SetFloat64(x) }
func bi(n int64) *big.Float          { return new(big.Float).SetPrec(refBits).SetInt64(n) }
func nb() *big.Float                 { return new(big.Float).SetPrec(refBits) }
func mul(a, b *big.Float) *big.Float { return nb().Mul(a, b) }
func quo(a, b *big.Float) *big.Float { return nb().Quo(a, b) }
func add(a, b *big.Float) *big.Float { return nb().Add(a, b) }
func sub(a, b *big.Float) *big.Float { return nb().Sub(a, b) }

// bigAtanh2 is ln((1+z)/(1-z)) by its series.
func bigAtanh2(z *big.Float) *big.Float {
	q, term, sum := mul(z, z), nb().Set(z), nb()
	for i := int64(1); ; i += 2 {
		t := quo(term, bi(i))
		sum.Add(sum, t)
		if t.Sign() == 0 || t.MantExp(nil) < sum.MantExp(nil)-refBits-8 {
			return sum.Mul(sum, bi(2))
		}
		term.Mul(term, q)
	}
}

var (
	bigLn2  = bigAtanh2(quo(bi(1), bi(3)))
	bigLn10 = add(mul(bi(3), bigLn2), bigAtanh2(quo(bi(1), bi(9)))) // 10 = 8·(5/4)
	bigPi   = machin()
)

func machin() *big.Float {
	atanInv := func(n int64) *big.Float {
		q, term, sum := bi(n*n), quo(bi(1), bi(n)), nb()
		for i := int64(1); term.MantExp(nil) > -refBits-16; i += 2 {
			t := quo(term, bi(i))
			if i%4 == 1 {
				sum.Add(sum, t)
			} else {
				sum.Sub(sum, t)
			}
			term.Quo(term, q)
		}
		return sum
	}
	return mul(bi(4), sub(mul(bi(4), atanInv(5)), atanInv(239)))
}

// bigLn is ln x for x > 0.
func bigLn(x *big.Float) *big.Float {
	m := nb()
	e := x.MantExp(m) // m in [1/2,1)
	if m.Cmp(bf(0.75)) < 0 {
		m.Mul(m, bi(2))
		e--
	}
	return add(mul(bi(int64(e)), bigLn2), bigAtanh2(quo(sub(m, bi(1)), add(m, bi(1)))))
}

// bigExp is e^x: 2^k·e^r with r halved 20 times before the Taylor series.
func bigExp(x *big.Float) *big.Float {
	k, _ := quo(x, bigLn2).Int64()
	r := sub(x, mul(bi(k), bigLn2))
	r.SetMantExp(r, -20)
	sum, term := bi(1), bi(1)
	for i := int64(1); ; i++ {
		term.Mul(term, r).Quo(term, bi(i))
		if term.Sign() == 0 || term.MantExp(nil) < -refBits-32 {
			break
		}
		sum.Add(sum, term)
	}
	for range 20 {
		sum.Mul(sum, sum)
	}
	return nb().SetMantExp(sum, int(k))
}

// bigLnFactorial is ln n!: the product itself to 1000, then Stirling's series
// with 40 Bernoulli numbers (truncation below 1e-150 there).
func bigLnFactorial(n int64) *big.Float {
	if n <= 1000 {
		return bigLn(nb().SetInt(new(big.Int).MulRange(1, max(n, 1))))
	}
	x := bi(n)
	s := add(sub(mul(x, bigLn(x)), x), quo(bigLn(mul(mul(bi(2), bigPi), x)), bi(2)))
	for k, b := range bernoulliEven() {
		j := int64(2 * (k + 1))
		t := quo(nb().SetRat(b), bi(j*(j-1)))
		for range j - 1 {
			t.Quo(t, x)
		}
		s.Add(s, t)
	}
	return s
}

// bernoulliEven is B_2, B_4, … B_80.
var bernoulliEven = func() func() []*big.Rat {
	b := []*big.Rat{big.NewRat(1, 1)}
	for m := int64(1); m <= 80; m++ { // Σ_{j<=m} C(m+1,j) B_j = 0
		s := new(big.Rat)
		for j := range m {
			c := new(big.Rat).SetInt(new(big.Int).Binomial(m+1, j))
			s.Add(s, c.Mul(c, b[j]))
		}
		b = append(b, s.Mul(s, big.NewRat(-1, m+1)))
	}
	var even []*big.Rat
	for j := 2; j <= 80; j += 2 {
		even = append(even, b[j])
	}
	return func() []*big.Rat { return even }
}()

// bigTail sums first·(1 + r(1) + r(1)r(2) + …) until the terms are gone.
func bigTail(n int64, ratio func(i int64) *big.Float) *big.Float {
	sum, term := bi(1), bi(1)
	for i := int64(1); i <= n; i++ {
		term.Mul(term, ratio(i))
		sum.Add(sum, term)
		if term.Sign() == 0 || term.MantExp(nil) < sum.MantExp(nil)-200 {
			break
		}
	}
	return sum
}

// bigBinomialSF is ln P(Bin(n,p) >= k).
func bigBinomialSF(k, n int64, p float64) *big.Float {
	if k <= 0 {
		return nb()
	}
	P := bf(p)
	Q := sub(bi(1), P)
	lnPMF := func(k int64) *big.Float {
		s := sub(sub(bigLnFactorial(n), bigLnFactorial(k)), bigLnFactorial(n-k))
		return s.Add(s, add(mul(bi(k), bigLn(P)), mul(bi(n-k), bigLn(Q))))
	}
	if float64(k) > float64(n)*p {
		odds := quo(P, Q)
		return add(lnPMF(k), bigLn(bigTail(n-k, func(i int64) *big.Float {
			return mul(quo(bi(n-k-i+1), bi(k+i)), odds)
		})))
	}
	odds := quo(Q, P)
	below := add(lnPMF(k-1), bigLn(bigTail(k-1, func(i int64) *big.Float {
		return mul(quo(bi(k-i), bi(n-k+1+i)), odds)
	})))
	return bigLn(sub(bi(1), bigExp(below)))
}

// bigGammaSF is ln P(Gamma(n,1) >= x) = ln P(Poisson(x) <= n-1).
func bigGammaSF(n int64, x float64) *big.Float {
	X := bf(x)
	lnPois := func(k int64) *big.Float {
		return sub(sub(mul(bi(k), bigLn(X)), X), bigLnFactorial(k))
	}
	if x > float64(n-1) {
		return add(lnPois(n-1), bigLn(bigTail(n-1, func(i int64) *big.Float { return quo(bi(n-i), X) })))
	}
	below := add(lnPois(n), bigLn(bigTail(math.MaxInt64-n-1, func(i int64) *big.Float { return quo(X, bi(n+i)) })))
	return bigLn(sub(bi(1), bigExp(below)))
}

// bigNormalSF is ln P(N >= z): for |z| < 12 half minus the Taylor series of the
// density, beyond it Laplace's continued fraction with 4000 levels.
func bigNormalSF(z float64) *big.Float {
	Z := bf(z)
	q := quo(mul(Z, Z), bi(2))
	root := nb().Sqrt(mul(bi(2), bigPi))
	if math.Abs(z) < 12 {
		sum, term := nb(), nb().Set(Z) // Σ (-1)^k z^(2k+1)/(2^k k! (2k+1))
		for k := int64(0); ; k++ {
			t := quo(term, bi(2*k+1))
			sum.Add(sum, t)
			if t.Sign() == 0 || t.MantExp(nil) < -refBits+40 {
				break
			}
			term.Mul(term, q).Quo(term, bi(-(k + 1)))
		}
		return bigLn(sub(bf(0.5), quo(sum, root)))
	}
	f := nb().Set(Z)
	for i := int64(4000); i >= 1; i-- {
		f = add(Z, quo(bi(i), f))
	}
	return sub(sub(nb(), q), bigLn(mul(root, f)))
}

// relError is |p/p0 - 1| for p = 10^log10p and p0 = e^ln0: the difference of the
// logarithms in high precision.
func relError(log10p float64, ln0 *big.Float) float64 {
	d, _ := sub(mul(bf(log10p), bigLn10), ln0).Float64()
	return math.Abs(math.Expm1(d))
}

func TestReference(t *testing.T) {
	t.Parallel()
	// Constants: e, and ln 10, π to the float64.
	if e, _ := bigExp(bi(1)).Float64(); e != math.E {
		t.Errorf("e = %v", e)
	}
	if l, _ := bigLn10.Float64(); l != math.Ln10 {
		t.Errorf("ln 10 = %v", l)
	}
	if p, _ := bigPi.Float64(); p != math.Pi {
		t.Errorf("π = %v", p)
	}
	// Stirling's series meets the product at its switch: ln 1001! = ln 1000! + ln 1001.
	d := sub(bigLnFactorial(1001), add(bigLnFactorial(1000), bigLn(bi(1001))))
	if f, _ := d.Float64(); math.Abs(f) > 1e-85 {
		t.Errorf("ln 1001! is off by %g", f)
	}
	// The binomial tail against exact rationals.
	for _, n := range []int64{1, 7, 60, 150} {
		for _, p := range []float64{0.5, 0.25, 0.1} {
			P := new(big.Rat).SetFloat64(p)
			Q := new(big.Rat).Sub(big.NewRat(1, 1), P)
			sf := new(big.Rat)
			for k := n; k >= 1; k-- {
				m := new(big.Rat).SetInt(new(big.Int).Binomial(n, k))
				for range k {
					m.Mul(m, P)
				}
				for range n - k {
					m.Mul(m, Q)
				}
				sf.Add(sf, m)
				want := bigLn(nb().SetRat(sf))
				if d, _ := sub(bigBinomialSF(k, n, p), want).Float64(); math.Abs(d) > 1e-55 {
					t.Fatalf("reference binomial n=%d k=%d p=%v is off by %g", n, k, p, d)
				}
			}
		}
	}
	// The gamma tail against the whole Poisson sum.
	for _, x := range []float64{0.5, 9, 40, 300} {
		sum, term := bi(0), bi(1)
		for n := int64(1); n <= 60; n++ {
			sum.Add(sum, term) // Σ_{i<n} x^i/i!
			want := sub(bigLn(sum), bf(x))
			if d, _ := sub(bigGammaSF(n, x), want).Float64(); math.Abs(d) > 1e-50 {
				t.Fatalf("reference gamma n=%d x=%v is off by %g", n, x, d)
			}
			term.Mul(term, bf(x)).Quo(term, bi(n))
		}
	}
	// The two forms of the normal tail meet.
	a, b := bigNormalSF(11.999999999999), bigNormalSF(12)
	if d, _ := sub(a, b).Float64(); d < 0 || d > 2e-11 {
		t.Errorf("reference normal jumps by %g at its switch", d)
	}
}
