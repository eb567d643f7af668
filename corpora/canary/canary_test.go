package canary

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

func drawSecret() []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	return secret
}

// TestVectors compares every draw with values that another program computed from
// the doc comments alone.
func TestVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Cases []struct {
			Secret, Version  string
			Items, Responses []string
			Bits             []int
			Order            []string
			Sent             []string
			Held             []string `json:"held_back"`
			Arms             int
			Rotation         []int
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors.Cases) != 3 {
		t.Fatalf("%d cases, error %v", len(vectors.Cases), err)
	}
	for i, c := range vectors.Cases {
		secret, err := hex.DecodeString(c.Secret)
		if err != nil {
			t.Fatal(err)
		}
		for j, item := range c.Items {
			if got := Bit(secret, item, c.Version); got != c.Bits[j] {
				t.Errorf("case %d: bit of %s is %d", i, item, got)
			}
			if got := Response(secret, item); got != c.Responses[j] {
				t.Errorf("case %d: response of %s is %s, want %s", i, item, got, c.Responses[j])
			}
		}
		before := slices.Clone(c.Items)
		if got := Order(secret, c.Items); !slices.Equal(got, c.Order) || !slices.Equal(c.Items, before) {
			t.Errorf("case %d: order %v", i, got)
		}
		if sent, held := Nonces(secret, len(c.Sent)); !slices.Equal(sent, c.Sent) || !slices.Equal(held, c.Held) {
			t.Errorf("case %d: sent %v, held back %v", i, sent, held)
		}
		if got := Rotation(secret, len(c.Rotation), c.Arms); !slices.Equal(got, c.Rotation) {
			t.Errorf("case %d: rotation %v", i, got)
		}
	}
}

// TestDrawsAreUniform looks over many secrets at what each draw should leave to
// chance; bounds are five standard deviations.
func TestDrawsAreUniform(t *testing.T) {
	t.Parallel()
	const secrets = 4000
	ones, arms, sentFirst, digits, equal := 0, [3]int{}, 0, [10]int{}, 0
	for i := range secrets {
		sum := mac(drawSecret(), fmt.Sprint("secret ", i))
		secret := sum[:]
		bit := Bit(secret, "item", "1")
		ones += bit
		if bit == Bit(secret, "item", "2") {
			equal++
		}
		arms[Rotation(secret, 3, 3)[2]]++
		first := mac(secret, "nonce", u32(0))
		sent, _ := Nonces(secret, 2)
		if slices.Contains(sent, fmt.Sprintf("%x", first[:16])) {
			sentFirst++
		}
		digits[Response(secret, "item")[0]-'0']++
	}
	within := func(name string, got int, p float64) {
		t.Helper()
		mean, sd := secrets*p, math.Sqrt(secrets*p*(1-p))
		if math.Abs(float64(got)-mean) > 5*sd {
			t.Errorf("%s: %d of %d, expected %.0f ± %.0f", name, got, secrets, mean, sd)
		}
	}
	within("bit 1", ones, .5)
	within("bits of two versions agree", equal, .5)
	within("nonce 0 is sent", sentFirst, .5)
	for a, n := range arms {
		within(fmt.Sprint("arm ", a), n, 1./3)
	}
	for d, n := range digits {
		within(fmt.Sprint("first digit ", d), n, .1)
	}
}

func TestReadResponses(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string][]string{
		"Its number is 0482-7731-9056.":            {"0482-7731-9056"},
		"048277319056 or 0482 7731 9056":           {"0482-7731-9056"},
		"0482–7731–9057, then 0482.7731.9056":      {"0482-7731-9057", "0482-7731-9056"},
		"1048277319056 and 0482773190561":          nil, // parts of longer numbers
		"1 0482-7731-9056":                         {"0482-7731-9056"},
		"0482--7731-9056, 048-2773-19056":          nil,
		"":                                         nil,
		"call 0482-7731-90569 or 1111-2222-3333 x": {"1111-2222-3333"},
		"1111-2222-3333-4444-5555-6666":            {"1111-2222-3333", "4444-5555-6666"},
	} {
		if got := ReadResponses(reply); !slices.Equal(got, want) {
			t.Errorf("%q is read as %q, want %q", reply, got, want)
		}
	}
	secret := drawSecret()
	for i := range 200 {
		r := Response(secret, fmt.Sprint(i))
		if got := ReadResponses("It is " + r + "."); !slices.Equal(got, []string{r}) {
			t.Errorf("%s is read as %v", r, got)
		}
	}
}

func FuzzReadResponses(f *testing.F) {
	f.Add("0482-7731-9056 048277319056")
	f.Fuzz(func(t *testing.T, reply string) {
		for _, r := range ReadResponses(reply) {
			if again := ReadResponses(r); !slices.Equal(again, []string{r}) {
				t.Fatalf("%q is read as %q", r, again)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1.3": "1", "2": "2", "2.1.4": "2", "file": "file"} {
		if got := Version(in); got != want {
			t.Errorf("Version(%q) = %q, want %q", in, got, want)
		}
	}
}

// Candidates and picks, by values that Python's hmac module gave from the comments.
func TestCandidates(t *testing.T) {
	t.Parallel()
	secret := drawSecret()
	if got, want := Candidates(secret, "item-3", 3), []string{"0152-0204-3072", "2738-7124-0641", "4744-3422-2939", "5944-6924-3570"}; !slices.Equal(got, want) {
		t.Errorf("candidates %v, want %v", got, want)
	}
	var picks []int
	for i := range 12 {
		picks = append(picks, Pick(secret, fmt.Sprint("item-", i), 5))
	}
	if want := []int{0, 3, 1, 1, 2, 4, 3, 0, 3, 2, 3, 3}; !slices.Equal(picks, want) {
		t.Errorf("picks %v, want %v", picks, want)
	}
}
