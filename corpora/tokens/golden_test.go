package tokens

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
)

type goldenText struct {
	Name string
	Text string
	IDs  map[string][]int32
}

type goldenRun struct {
	Count  int
	SHA256 string
}

type golden struct {
	Texts []goldenText
	Long  []struct {
		Name, Unit    string
		Times         int
		CL100K, O200K goldenRun
	}
	Sweep []struct {
		First         rune
		CL100K, O200K string
	}
	Later []goldenText
}

// readGolden reads ids made by the reference implementation; testdata/README.md
// says how.
func readGolden(t testing.TB) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Texts) < 50 || len(g.Long) < 20 || len(g.Sweep) < 60 || len(g.Later) == 0 {
		t.Fatalf("golden.json is incomplete: %d texts, %d long, %d sweep, %d later", len(g.Texts), len(g.Long), len(g.Sweep), len(g.Later))
	}
	return g
}

func get(t testing.TB, name string) *Encoding {
	t.Helper()
	e, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encode(t testing.TB, e *Encoding, text string) []int32 {
	t.Helper()
	ids, err := e.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Decode(ids); string(got) != text {
		t.Fatalf("%s: decoding gives other bytes:\n got %q\nwant %q", e.Name(), clip(string(got)), clip(text))
	}
	return ids
}

func clip(s string) string { return s[:min(len(s), 300)] }

func TestEncodeAgreesWithReference(t *testing.T) {
	t.Parallel()
	for _, item := range readGolden(t).Texts {
		for _, name := range []string{"cl100k", "o200k"} {
			t.Run(name+"/"+item.Name, func(t *testing.T) {
				t.Parallel()
				if got, want := encode(t, get(t, name), item.Text), item.IDs[name]; !slices.Equal(got, want) {
					t.Errorf("ids of %q\n got %v\nwant %v", clip(item.Text), got, want)
				}
			})
		}
	}
}

func TestLongPiecesAgreeWithReference(t *testing.T) {
	t.Parallel()
	for _, item := range readGolden(t).Long {
		for name, want := range map[string]goldenRun{"cl100k": item.CL100K, "o200k": item.O200K} {
			t.Run(name+"/"+item.Name, func(t *testing.T) {
				t.Parallel()
				ids := encode(t, get(t, name), strings.Repeat(item.Unit, item.Times))
				if got := hashIDs(ids); len(ids) != want.Count || got != want.SHA256 {
					t.Errorf("%d ids with hash %s, want %d with %s", len(ids), got, want.Count, want.SHA256)
				}
			})
		}
	}
}

// TestEveryCodePointAgreesWithReference meets every code point of the planes in
// use between letters, capitals, digits, blanks and itself. The reference's
// tables are Unicode 15 like Go's; later letters are symbols to both.
func TestEveryCodePointAgreesWithReference(t *testing.T) {
	t.Parallel()
	for _, block := range readGolden(t).Sweep {
		var text strings.Builder
		for c := block.First; c < block.First+4096; c++ {
			fmt.Fprintf(&text, "a%[1]cB%[1]c%[1]cc1%[1]c2 %[1]c\n", c)
		}
		for name, want := range map[string]string{"cl100k": block.CL100K, "o200k": block.O200K} {
			if got := hashIDs(encode(t, get(t, name), text.String())); got != want {
				t.Errorf("%s: ids of the block from U+%04X have hash %s, want %s", name, block.First, got, want)
			}
		}
	}
}

// TestLaterUnicode records where the ids can come apart one day: letters
// assigned after Unicode 15.0. Go and the reference agree on them as symbols;
// when one of the two updates its tables this fails, and doc.go is to say so.
func TestLaterUnicode(t *testing.T) {
	t.Parallel()
	for _, item := range readGolden(t).Later {
		for _, name := range []string{"cl100k", "o200k"} {
			if got, want := encode(t, get(t, name), item.Text), item.IDs[name]; !slices.Equal(got, want) {
				t.Errorf("%s/%s: ids\n got %v\nwant %v", name, item.Name, got, want)
			}
		}
	}
	if unicode.Version != "15.0.0" {
		t.Errorf("Go's tables are Unicode %s now: correct the remarks on 15.0 in this package", unicode.Version)
	}
}

// hashIDs is the SHA-256 of ids as little-endian 32-bit words.
func hashIDs(ids []int32) string {
	words := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		words = binary.LittleEndian.AppendUint32(words, uint32(id))
	}
	sum := sha256.Sum256(words)
	return hex.EncodeToString(sum[:])
}
