package tokens

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// mixedMarks is the alphabet of make-json.mjs: letters, marks of many classes,
// vowel signs that combine backwards, jamo, composition exclusions.
var mixedMarks = []rune("aeqAÅ\u00e9\u0301\u0302\u0323\u0327\u0344\u0345\u0338=가각\u1100\u1161\u11a8\u0b47\u0b3e\u0b56\u0915\u093c\u0958\u05d9\u05b4\ufb1d\u212b\uf900\u0f71\u0f72\u1fb7中 \U0001d15e\U00011099\U000110ba")

// TestNFCAgrees: the normal forms of 50,000 drawn texts, by the library's own
// language (ICU in Node.js).
func TestNFCAgrees(t *testing.T) {
	t.Parallel()
	state := uint32(1)
	draw := func(n int) int {
		state = state*1664525 + 1013904223
		return int(state>>16) % n
	}
	h := sha256.New()
	for range 50000 {
		var b strings.Builder
		for range 1 + draw(9) {
			b.WriteRune(mixedMarks[draw(len(mixedMarks))])
		}
		h.Write([]byte(nfc(b.String()) + "\n"))
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), readGoldenJSON(t)["qwen"].NFC; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

// TestNFCOfEveryCharacter compares with package norm where that is right: not
// on marks after a vowel sign of class 0 or after a character above U+FFFF.
func TestNFCOfEveryCharacter(t *testing.T) {
	t.Parallel()
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if c >= 0xd800 && c < 0xe000 {
			continue
		}
		texts := []string{string(c), "a" + string(c)}
		if norm.NFC.PropertiesString(string(c)).BoundaryBefore() && c <= 0xffff {
			texts = append(texts, string(c)+"\u0327\u0301")
		}
		for _, s := range texts {
			if got, want := nfc(s), norm.NFC.String(s); got != want {
				t.Fatalf("%+q: %+q, want %+q", s, got, want)
			}
		}
	}
}

// TestLongRunsOfMarks: nothing is inserted, whatever the length.
func TestLongRunsOfMarks(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 15, 16, 100} {
		marks := strings.Repeat("\u0301\u0323", n)
		want := "\u1eb9" + strings.Repeat("\u0323", n-1) + strings.Repeat("\u0301", n) + "x"
		if got := nfc("e" + marks + "x"); got != want {
			t.Errorf("%d marks: %+q, want %+q", 2*n, got, want)
		}
	}
	start := time.Now()
	if got := nfc("q" + strings.Repeat("\u0301\u0327", 1<<19)); len(got) != 1+4<<19 {
		t.Errorf("two megabytes of marks become %d bytes", len(got))
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("two megabytes of marks took %v", d)
	}
}

func FuzzNFC(f *testing.F) {
	f.Add("e\u0b56\u0327 \u1100\u0300\u1161 \u0344\u0345")
	f.Add(strings.Repeat("\u0323\u0301", 20))
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "")
		got := nfc(s)
		if again := nfc(got); again != got {
			t.Fatalf("%+q: %+q, and again %+q", s, got, again)
		}
		a, b := norm.NFD.String(got), norm.NFD.String(s)
		if inserted := strings.Count(b, "\u034f") != strings.Count(s, "\u034f"); a != b && !inserted {
			t.Fatalf("%+q: %+q is not equivalent", s, got)
		}
	})
}
