package watermark

import "math"

// negLog is -ln(uniform(word)), exponential with mean 1, to a relative error of 4e-16 at
// a third of math.Log's cost: detection takes one per pair, and it was half of it.
//
// The argument m·2^e, m of 33 bits in [1,2), is split as ln(m·inv) - ln(inv), where inv is
// a short number near 1/m from a table: m·inv - 1 is then exact, below 1/128, and a
// polynomial of degree 7 does the rest. (P. T. P. Tang, "Table-driven implementation of
// the logarithm function in IEEE floating-point arithmetic", ACM TOMS 16, 1990.) Above
// 3/2 it is m/2 that is split, so that nothing cancels where the argument is near 1.
func negLog(word uint32) float64 {
	bits := math.Float64bits(float64(word) + .5)
	e := int(bits>>52) - (1023 + 32)
	l := &logTable[bits>>(52-logBits)&(1<<logBits-1)]
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	e += l.carry
	r := m*l.inv - 1
	s := r * r
	p := r - s*(1./2-r*(1./3)+s*(1./4-r*(1./5)+s*(1./6-r*(1./7))))
	return l.log - p - float64(e)*math.Ln2
}

// logBits of the mantissa choose an entry.
const logBits = 7

// logEntry serves m in one of 128 parts of [1,2). inv is 1/m to 16 bits or, where carry
// is 1, 2/m halved: the product is then that of m/2.
type logEntry struct {
	inv, log float64 // log is ln(inv) of the split number
	carry    int
}

var logTable = func() (t [1 << logBits]logEntry) {
	for i := range t {
		center := 1 + (float64(i)+.5)/(1<<logBits)
		l := logEntry{}
		if center > 1.5 {
			center, l.carry = center/2, 1
		}
		inv := math.Round(0x1p16/center) / 0x1p16
		if i == 0 || i == len(t)-1 {
			inv = 1 // the argument may be near 1: its logarithm is the polynomial's alone
		}
		l.log = math.Log(inv)
		l.inv = inv / float64(1+l.carry)
		t[i] = l
	}
	return t
}()
