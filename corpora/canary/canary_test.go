package canary

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// drawSecret is the bytes 0 to 31, under which the values below were computed
// with Python's hmac module from the doc comments.
func drawSecret() []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	return secret
}

func TestDrawsByHand(t *testing.T) {
	t.Parallel()
	secret := drawSecret()
	var b []int
	for i := range 16 {
		b = append(b, Bit(secret, fmt.Sprintf("item-%d", i), "1"))
	}
	if want := []int{1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1}; !slices.Equal(b, want) {
		t.Errorf("bits %v, want %v", b, want)
	}
	if got := Response(secret, "item-3"); got != "5944-6924-3570" {
		t.Errorf("response %s", got)
	}
	sent, held := Nonces(secret, 4)
	if want := []string{"d4c497ae2d29a2ce12bf78d088cfd2dc", "a72865def061534b237e617bafdcf9f0", "bff8433ef06ce8bd753cc568c79c92c6", "747a5eac52f84fa120d4d1f5008559a2"}; !slices.Equal(sent, want) {
		t.Errorf("sent %v", sent)
	}
	if want := []string{"1a5b28be6f44da3e15c986d453065f0f", "e0249b8da80927f87904d938719b685f", "5c3805ee009789d057e2e4a1794550da", "ef10832ba95ca801738572476a3f31d5"}; !slices.Equal(held, want) {
		t.Errorf("held %v", held)
	}
	if got, want := Rotation(secret, 24, 3), []int{1, 0, 1, 2, 2, 0, 1, 0, 2, 2, 2, 2, 0, 1, 0, 1, 0, 0, 0, 2, 0, 2, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("rotation %v, want %v", got, want)
	}
	items := []string{"t-7", "t-6", "t-5", "t-4", "t-3", "t-2", "t-1", "t-0"}
	if got, want := Order(secret, items), []string{"t-0", "t-2", "t-5", "t-4", "t-3", "t-1", "t-6", "t-7"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	if items[0] != "t-7" {
		t.Error("the pool was written to")
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
