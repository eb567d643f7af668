package evidence

import (
	"fmt"
	"math/big"
	"testing"
)

// TestCheckTails computes the references anew.
func TestCheckTails(t *testing.T) {
	t.Parallel()
	want := map[string]*big.Float{}
	for _, c := range CheckTails() {
		if !c.OK {
			t.Errorf("%s: %v, reference %v, relative error %.2g", c.Tail, c.Log10P, c.Reference, c.Error)
		}
		var (
			k, n int64
			x    float64
		)
		if _, err := fmt.Sscanf(c.Tail, "binomial, %d of %d at %g", &k, &n, &x); err == nil {
			want[c.Tail] = bigBinomialSF(k, n, x)
		} else if _, err := fmt.Sscanf(c.Tail, "gamma, %d units score %g", &n, &x); err == nil {
			want[c.Tail] = bigGammaSF(n, x)
		} else if _, err := fmt.Sscanf(c.Tail, "normal at %g", &x); err == nil {
			want[c.Tail] = bigNormalSF(x)
		} else if c.Tail == "two keys, 100 units score 150" {
			want[c.Tail] = bigGammaSF(200, 300)
		} else {
			t.Fatalf("%q has no reference", c.Tail)
		}
		if e := relError(c.Reference, want[c.Tail]); e > 5e-13 {
			t.Errorf("%s: the reference is off by %.2g", c.Tail, e)
		}
	}
}
