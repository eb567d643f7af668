package evidence

import "math"

// Clusters sums up the replies of a run, in constant space: what [Law.Effect] needs
// of them. Units of one reply are not independent under the alternative, replies
// are. The zero Clusters is empty.
type Clusters struct {
	replies, n, s float64 // with units; their units, their unweighted scores
	nn, ns, ss    float64 // sums of n², n·s and s² over replies
}

// Add enters one reply: the number of its distinct units, and their score.
func (c *Clusters) Add(n int64, score float64) {
	if n == 0 {
		return
	}
	x := float64(n)
	c.replies++
	c.n += x
	c.s += score
	c.nn += x * x
	c.ns += x * score
	c.ss += score * score
}

// Merge enters the replies of other clusters.
func (c *Clusters) Merge(o Clusters) {
	c.replies, c.n, c.s = c.replies+o.replies, c.n+o.n, c.s+o.s
	c.nn, c.ns, c.ss = c.nn+o.nn, c.ns+o.ns, c.ss+o.ss
}

// Interval is a value with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

// Effect is the mean score per unit (per bit for FairBits) minus its null mean,
// with a cluster-robust 95 % interval: the ratio r = ΣS/ΣN linearised,
//
//	var(r) = G/(G-1) · Σ_g (S_g - r N_g)² / (ΣN)²,
//
// and Student's t with G-1 degrees of freedom, G the clusters that have units
// (Cochran 1977, Sampling Techniques, 6.3; Liang & Zeger 1986). With one cluster
// no variation between replies can be seen: the interval is then the law's own at
// the observed rate, for independent units, and too short by what their
// dependence amounts to. Without units it is the zero Interval. The interval
// describes an effect; the p-value does not rest on it.
func (l Law) Effect(c Clusters) Interval {
	per, null := 1., 1.
	if l.Kind != KindExponential {
		bits, p := l.lattice()
		per, null = float64(bits), p
	}
	n, g := c.n*per, c.replies
	if n == 0 {
		return Interval{}
	}
	r := c.s / n
	var half float64
	if g == 1 {
		variance := r * (1 - r)
		if l.Kind == KindExponential {
			variance = r * r
		}
		half = z975 * math.Sqrt(max(variance, 0)/n)
	} else {
		// Σ(s - r·n)², expanded: what cancels is the square of the mean score of a
		// reply, some hundred times its variance.
		ss := c.ss - 2*r*per*c.ns + r*r*per*per*c.nn
		half = studentQuantile(g-1) * math.Sqrt(g/(g-1)*max(ss, 0)) / n
	}
	return Interval{Value: r - null, Lo: r - null - half, Hi: r - null + half}
}

// studentQuantile is the 97.5 % point of Student's t with df degrees of freedom:
// the closed forms for 1 and 2, then Hill's expansion about the normal point
// (Abramowitz & Stegun 26.7.5), relative error below 2e-3.
func studentQuantile(df float64) float64 {
	switch df {
	case 1:
		return math.Tan(0.475 * math.Pi)
	case 2:
		return 0.95 * math.Sqrt(2/(1-0.95*0.95))
	}
	const z = z975
	z3, z5 := z*z*z, z*z*z*z*z
	z7, z9 := z5*z*z, z5*z*z*z*z
	return z + (z3+z)/(4*df) + (5*z5+16*z3+3*z)/(96*df*df) +
		(3*z7+19*z5+17*z3-15*z)/(384*df*df*df) +
		(79*z9+776*z7+1482*z5-1920*z3-945*z)/(92160*df*df*df*df)
}

// MeanInterval is the mean of one value per unit of analysis with Student's 95 %
// interval. With one unit no variation can be seen and the interval is the value
// alone; with none it is the zero Interval.
func MeanInterval(values []float64) Interval {
	n := float64(len(values))
	if n == 0 {
		return Interval{}
	}
	m := 0.
	for _, v := range values {
		m += v / n
	}
	if n == 1 {
		return Interval{Value: m, Lo: m, Hi: m}
	}
	ss := 0.
	for _, v := range values {
		ss += (v - m) * (v - m)
	}
	half := studentQuantile(n-1) * math.Sqrt(ss/(n-1)/n)
	return Interval{Value: m, Lo: m - half, Hi: m + half}
}
