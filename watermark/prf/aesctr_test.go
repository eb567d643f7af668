package prf

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// readVectors decodes one of the published vector files.
func readVectors(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func key16(t testing.TB, s string) (k [16]byte) {
	t.Helper()
	if n, err := hex.Decode(k[:], []byte(s)); err != nil || n != 16 {
		t.Fatalf("bad key %q", s)
	}
	return k
}

// TestAESVectors checks against words computed by openssl.
func TestAESVectors(t *testing.T) {
	t.Parallel()
	var v struct {
		Words []struct {
			NonceKey string   `json:"nonce_key"`
			TokenKey string   `json:"token_key"`
			Window   []int32  `json:"window"`
			Nonce    string   `json:"nonce"`
			Tokens   []int32  `json:"tokens"`
			Words    []uint32 `json:"words"`
		} `json:"words"`
	}
	readVectors(t, "aes-ctr-v1.json", &v)
	if len(v.Words) < 18 {
		t.Fatalf("only %d cases", len(v.Words))
	}
	for _, c := range v.Words {
		a := NewAESCTR(key16(t, c.NonceKey), key16(t, c.TokenKey))
		a.SetWindow(c.Window)
		nonce := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, a.lo), uint32(a.hi))
		if got := hex.EncodeToString(nonce); got != c.Nonce {
			t.Errorf("window %v: nonce %s, want %s", c.Window, got, c.Nonce)
		}
		if got := binary.LittleEndian.AppendUint64(nil, NewWindowHash(key16(t, c.NonceKey)).Sum(c.Window)); hex.EncodeToString(got) != c.Nonce[:16] {
			t.Errorf("window %v: hash %x is not the beginning of nonce %s", c.Window, got, c.Nonce)
		}
		for i, token := range c.Tokens {
			if got := a.Word(token); got != c.Words[i] {
				t.Errorf("window %v, token %d: word %d, want %d", c.Window, token, got, c.Words[i])
			}
		}
	}
}

// largest is the widest vocabulary in use, and no multiple of four.
const largest = 200_019

func sources() map[string]Source {
	return map[string]Source{
		"aes-ctr-v1": NewAESCTR([16]byte{1}, [16]byte{2}),
		"philox-v1":  NewPhilox(0x0123456789abcdef),
	}
}

// prfs orders the benchmarks.
var prfs = []string{"aes-ctr-v1", "philox-v1"}

// stream is the words of a whole vocabulary.
func stream(s Source, vocab int) []uint32 {
	words := make([]uint32, vocab)
	s.Words(0, words)
	return words
}

// TestWordsAreRandomAccess compares the whole vocabulary's words with single
// ones, id by id.
func TestWordsAreRandomAccess(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		for _, window := range [][]int32{nil, {464, 3290}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
			s.SetWindow(window)
			words := stream(s, largest)
			one, differ := s.Clone(), 0
			for id := range int32(largest) {
				if one.Word(id) != words[id] {
					differ++
				}
			}
			if differ != 0 {
				t.Errorf("%s, window %v: %d of %d words differ", name, window, differ, largest)
			}
		}
	}
}

// TestWordsInPieces covers the ends of blocks and of groups of them, pieces that
// do not follow one another, and interleaving with single words.
func TestWordsInPieces(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		s.SetWindow([]int32{7, 8})
		for n := range 300 {
			for _, first := range []int32{0, 4, 1 << 20} {
				words := make([]uint32, n+1)
				s.Words(first, words[:n])
				for i := range n {
					if want := s.Word(first + int32(i)); words[i] != want {
						t.Fatalf("%s: %d words from %d, token %d: %d, Word says %d", name, n, first, i, words[i], want)
					}
				}
				if words[n] != 0 {
					t.Fatalf("%s: %d words from %d: wrote beyond them", name, n, first)
				}
			}
		}
	}
}

// TestFIPSMode runs the comparisons again in a process that has only what the
// certified module offers.
func TestFIPSMode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	const mode = "fips140=only"
	if os.Getenv("GODEBUG") == mode {
		t.Skip("already in that mode")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestWordsAreRandomAccess|TestAESVectors|TestBatch)$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG="+mode)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("under GODEBUG=%s: %v\n%s", mode, err, out)
	}
}

// TestWindowsDiffer: the length enters the MAC, so no window is another's
// prefix padded with zeros.
func TestWindowsDiffer(t *testing.T) {
	t.Parallel()
	windows := [][]int32{{}, {0}, {0, 0}, {0, 0, 0}, {0, 0, 0, 0}, {1, 0}, {0, 1}, {0, 0, 0, 1}, {-1}, {-1, -1}}
	for name, s := range sources() {
		seen := map[string][]int32{}
		for _, w := range windows {
			s.SetWindow(w)
			words := fmt.Sprint(s.Word(0), s.Word(1), s.Word(200_000))
			if other, ok := seen[words]; ok {
				t.Errorf("%s: windows %v and %v give the same words", name, other, w)
			}
			seen[words] = w
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		s.SetWindow([]int32{1, 2})
		want := s.Word(5)
		c := s.Clone()
		if got := c.Word(5); got != want {
			t.Errorf("%s: the clone's word is %d, not %d", name, got, want)
		}
		half := make([]uint32, 8)
		s.Words(0, half)
		c.SetWindow([]int32{3, 4})
		c.Words(0, make([]uint32, 16))
		rest := make([]uint32, 8)
		s.Words(8, rest)
		if got := s.Word(5); got != want || !slices.Equal(append(half, rest...), stream(s, 16)) {
			t.Errorf("%s: the clone's window changed the original", name)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	for name, s := range sources() {
		window, words := []int32{1, 2, 3, 4}, make([]uint32, 1000)
		var sum uint32
		n := testing.AllocsPerRun(100, func() {
			window[0]++
			s.SetWindow(window)
			sum += s.Word(3) + words[0]
			s.Words(4, words)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per step (%d)", name, n, sum)
		}
	}
}

// TestKeysDoNotPrint: a source in a log line shows its name.
func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			if got := fmt.Sprintf(verb, s); got != name {
				t.Errorf("%s: %s prints %q", name, verb, got)
			}
		}
	}
}

func BenchmarkWord(b *testing.B) {
	for _, name := range prfs {
		s := sources()[name]
		for _, h := range []int{2, 4} {
			window := make([]int32, h)
			b.Run(fmt.Sprintf("prf=%s/h=%d", name, h), func(b *testing.B) {
				b.ReportAllocs()
				var sum uint32
				for i := int32(0); b.Loop(); i++ {
					window[0] = i
					s.SetWindow(window)
					sum += s.Word(i & 0xffff)
				}
				sink = sum
			})
		}
		b.Run("prf="+name+"/same-window", func(b *testing.B) {
			b.ReportAllocs()
			var sum uint32
			for i := int32(0); b.Loop(); i += 4 {
				sum += s.Word(i & 0xffff)
			}
			sink = sum
		})
	}
}

// BenchmarkStream is a vocabulary in pieces that stay in the first cache.
func BenchmarkStream(b *testing.B) {
	for _, name := range prfs {
		s := sources()[name]
		for _, vocab := range []int{50_257, 128_256, 200_019} {
			b.Run(fmt.Sprintf("prf=%s/vocab=%d", name, vocab), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(4 * vocab))
				window := []int32{0, 1}
				words := make([]uint32, 1024)
				for b.Loop() {
					window[0]++
					s.SetWindow(window)
					for first := 0; first < vocab; first += len(words) {
						s.Words(int32(first), words[:min(len(words), vocab-first)])
					}
				}
			})
		}
	}
}

var sink uint32
