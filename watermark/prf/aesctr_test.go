package prf

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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
		if got := hex.EncodeToString(a.ctr[:12]); got != c.Nonce {
			t.Errorf("window %v: nonce %s, want %s", c.Window, got, c.Nonce)
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

// TestStreamIsRandomAccess compares the whole-vocabulary stream with single
// words, id by id.
func TestStreamIsRandomAccess(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		for _, window := range [][]int32{nil, {464, 3290}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
			s.SetWindow(window)
			stream := s.Stream(largest)
			if len(stream) != 4*largest {
				t.Fatalf("%s: stream of %d bytes", name, len(stream))
			}
			one, differ := s.Clone(), 0
			for id := range int32(largest) {
				if one.Word(id) != binary.LittleEndian.Uint32(stream[4*id:]) {
					differ++
				}
			}
			if differ != 0 {
				t.Errorf("%s, window %v: %d of %d words differ", name, window, differ, largest)
			}
		}
	}
}

// TestStreamOfSmallVocabulary covers the ends of blocks, and interleaving.
func TestStreamOfSmallVocabulary(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		s.SetWindow([]int32{7, 8})
		for vocab := range 70 {
			stream := s.Stream(vocab)
			if len(stream) != 4*vocab {
				t.Fatalf("%s: Stream(%d) has %d bytes", name, vocab, len(stream))
			}
			for id := range vocab {
				if got, want := binary.LittleEndian.Uint32(stream[4*id:]), s.Word(int32(id)); got != want {
					t.Fatalf("%s: Stream(%d), token %d: %d, Word says %d", name, vocab, id, got, want)
				}
			}
		}
		if got := s.Stream(-1); len(got) != 0 {
			t.Errorf("%s: Stream(-1) has %d bytes", name, len(got))
		}
	}
}

// TestStreamInFIPSMode runs the comparison again in a process that refuses GCM
// with a chosen nonce.
func TestStreamInFIPSMode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	const mode = "fips140=only"
	if os.Getenv("GODEBUG") == mode {
		t.Skip("already in that mode")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStreamIsRandomAccess$|^TestAESVectors$", "-test.v")
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
		s.Stream(10)
		want := s.Word(5)
		c := s.Clone()
		if got := c.Word(5); got != want {
			t.Errorf("%s: the clone's word is %d, not %d", name, got, want)
		}
		held := s.Stream(10)
		before := string(held)
		c.SetWindow([]int32{3, 4})
		c.Stream(10)
		if got := s.Word(5); got != want || string(held) != before {
			t.Errorf("%s: the clone's window changed the original", name)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	for name, s := range sources() {
		window := []int32{1, 2, 3, 4}
		s.Stream(largest)
		var sum uint32
		n := testing.AllocsPerRun(100, func() {
			window[0]++
			s.SetWindow(window)
			sum += s.Word(3) + uint32(s.Stream(largest)[0])
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

func BenchmarkStream(b *testing.B) {
	for _, name := range prfs {
		s := sources()[name]
		for _, vocab := range []int{50_257, 128_256, 200_019} {
			b.Run(fmt.Sprintf("prf=%s/vocab=%d", name, vocab), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(4 * vocab))
				window := []int32{0, 1}
				for b.Loop() {
					window[0]++
					s.SetWindow(window)
					sink += uint32(s.Stream(vocab)[0])
				}
			})
		}
	}
}

var sink uint32
