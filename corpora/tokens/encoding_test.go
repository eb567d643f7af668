package tokens

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

func TestGet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		names []string
		width int // logit width of models over the encoding, special tokens included
		file  string
		pat   string
	}{
		{[]string{"cl100k", "cl100k_base"}, 100_277, "cl100k_base.tiktoken", cl100kPattern},
		{[]string{"o200k", "o200k_base"}, 200_019, "o200k_base.tiktoken", o200kPattern},
	}
	for _, tt := range tests {
		e, alias := get(t, tt.names[0]), get(t, tt.names[1])
		if e != alias || e.Name() != tt.names[0] {
			t.Errorf("%s and its alias are not one encoding named %s", e.Name(), tt.names[0])
		}
		if e.VocabSize() != tt.width {
			t.Errorf("%s: vocabulary %d, want %d", e.Name(), e.VocabSize(), tt.width)
		}
		data, err := assets.Assets.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(append(slices.Clone(data), tt.pat...))
		if want := hex.EncodeToString(sum[:]); e.SHA256() != want {
			t.Errorf("%s: hash %s, want that of file and pattern %s", e.Name(), e.SHA256(), want)
		}
	}
	if _, err := Get("gpt9"); err == nil || !strings.Contains(err.Error(), "cl100k") {
		t.Errorf("unknown name: error %v does not name the known ones", err)
	}
}

func TestDecodeEveryID(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cl100k", "o200k"} {
		e := get(t, name)
		unused := 0
		for id := range int32(e.VocabSize()) {
			piece, ok := e.Token(id)
			if !ok {
				unused++
				continue
			}
			if got := e.Decode([]int32{id}); string(got) != string(piece) {
				t.Fatalf("%s: id %d decodes to %q, its bytes are %q", name, id, got, piece)
			}
		}
		// 100,256 ranks + 5 special of 100,277; 199,998 + 2 of 200,019.
		if want := map[string]int{"cl100k": 16, "o200k": 19}[name]; unused != want {
			t.Errorf("%s: %d unused ids, want %d", name, unused, want)
		}
		id, ok := e.Special("<|endoftext|>")
		if !ok || string(e.Decode([]int32{id})) != "<|endoftext|>" {
			t.Errorf("%s: <|endoftext|> is id %d, %v", name, id, ok)
		}
		if _, ok := e.Special("<|im_start|>"); ok {
			t.Errorf("%s: has a special token that it should not have", name)
		}
	}
}

func TestDecodeUnknown(t *testing.T) {
	t.Parallel()
	e := get(t, "cl100k")
	a := encode(t, e, "a")[0]
	for id, want := range map[int32]string{
		-1: "a<|unknown -1|>a", 100_256: "a<|unknown 100256|>a", 100_277: "a<|unknown 100277|>a",
		-1 << 31: "a<|unknown -2147483648|>a", 1<<31 - 1: "a<|unknown 2147483647|>a",
	} {
		if got := e.Decode([]int32{a, id, a}); string(got) != want {
			t.Errorf("id %d: %q, want %q", id, got, want)
		}
		if _, ok := e.Token(id); ok {
			t.Errorf("id %d is a token", id)
		}
	}
}

func TestEncodeNeverGivesSpecialTokens(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cl100k", "o200k"} {
		e := get(t, name)
		for text, special := range e.special {
			if ids := encode(t, e, "x"+text+text); slices.Contains(ids, special) {
				t.Errorf("%s: text %q became the control token %d", name, text, special)
			}
		}
	}
}

func TestEncodeInvalidUTF8(t *testing.T) {
	t.Parallel()
	e := get(t, "cl100k")
	join := func(parts ...string) []int32 {
		var ids []int32
		for _, p := range parts {
			ids = append(ids, encode(t, e, p)...)
		}
		return ids
	}
	raw := func(s string) []int32 {
		m := merger{table: e.table}
		if err := m.piece(s); err != nil {
			t.Fatal(err)
		}
		return m.ids
	}
	tests := []struct {
		name, text string
		want       []int32
	}{
		{"one byte", "caf\xe9 noir", slices.Concat(join("caf"), raw("\xe9"), join(" noir"))},
		{"cut character", "x\xe4\xb8", slices.Concat(join("x"), raw("\xe4\xb8"))},
		{"surrogate", "\xed\xa0\x80y", slices.Concat(raw("\xed\xa0\x80"), join("y"))},
		{"overlong", "\xc0\xaf/", slices.Concat(raw("\xc0\xaf"), join("/"))},
		{"blanks before", "a  \xff  b", slices.Concat(join("a  "), raw("\xff"), join("  b"))},
		{"only invalid", "\xff\xfe\x80\x81", raw("\xff\xfe\x80\x81")},
		{"true replacement character", "\ufffd\xff", slices.Concat(join("\ufffd"), raw("\xff"))},
	}
	for _, tt := range tests {
		if got := encode(t, e, tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%s: ids %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestEncodeLimits(t *testing.T) {
	t.Parallel()
	e := get(t, "cl100k")
	for name, tt := range map[string]struct{ text, want string }{
		"text":  {strings.Repeat("word ", MaxText/5+1), "cut it at paragraph ends"},
		"piece": {"a b " + strings.Repeat("x", MaxPiece+1), "does not divide"},
	} {
		if ids, err := e.Encode(tt.text); err == nil || ids != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d ids and error %v, want one with %q", name, len(ids), err, tt.want)
		}
	}
}

// TestHostileIsNotQuadratic: 2 MB in one piece took hours with a merge that
// scans all parts each time. The bound is loose for slow machines.
func TestHostileIsNotQuadratic(t *testing.T) {
	t.Parallel()
	e := get(t, "o200k")
	for _, unit := range []string{"a", "aB", "ʰA", "中", "\u0301", " ", " \n", "!", "'", "\xff", "\xe4\xb8", "q'S"} {
		text := strings.Repeat(unit, 2<<20/len(unit))
		start := time.Now()
		encode(t, e, text)
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%q × %d took %v", unit, len(text)/len(unit), d)
		}
	}
}

func TestConcurrentEncode(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, name := range []string{"cl100k", "o200k"} {
				e, err := Get(name)
				if err != nil {
					t.Error(err)
					return
				}
				text := "The same words, " + strings.Repeat("zyx", 200) + " again."
				ids, err := e.Encode(text)
				if err != nil || string(e.Decode(ids)) != text {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
}

// library returns tiktoken-go over the same ranks and pattern: an independent
// splitter (regexp2) and merge.
func library(t testing.TB, e *Encoding, pattern string) *tiktoken.Tiktoken {
	t.Helper()
	ranks := make(map[string]int, len(e.table.ranks))
	for piece, rank := range e.table.ranks {
		ranks[piece] = int(rank)
	}
	special := make(map[string]int)
	for text, id := range e.special {
		special[text] = int(id)
	}
	core, err := tiktoken.NewCoreBPE(ranks, special, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return tiktoken.NewTiktoken(core, &tiktoken.Encoding{}, nil)
}

func agree(t testing.TB, e *Encoding, lib *tiktoken.Tiktoken, text string) {
	t.Helper()
	ids := encode(t, e, text)
	want := lib.EncodeOrdinary(text)
	if !slices.EqualFunc(ids, want, func(a int32, b int) bool { return int(a) == b }) {
		t.Fatalf("%s: ids of %q\n got %v\nwant %v", e.Name(), clip(text), ids, want)
	}
}

// comparable tells whether tiktoken-go can be right about a text: it destroys
// invalid UTF-8, and its regular expression does not fold the long s.
func comparable(text string) bool {
	return utf8.ValidString(text) && !strings.Contains(text, "'ſ")
}

// TestRandomTextsAgreeWithLibrary draws texts from an alphabet that meets every
// branch of both patterns, and pieces of up to 3,000 bytes.
func TestRandomTextsAgreeWithLibrary(t *testing.T) {
	t.Parallel()
	alphabet := []string{
		"a", "e", "s", "t", "re", "ll", "A", "S", "Ll", "Ä", "ß", "ǅ", "ʰ", "中", "あ", "\u0301", "\u0489", "1", "٣", "½", "Ⅷ",
		" ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u3000", "\u0085", "'", "'s", "'LL", "’", ".", "/", "-", "_", "€", "👍", "\u200d", "\x00", "\ufffd", "𝔘", "K",
	}
	texts := 3000
	if testing.Short() {
		texts = 300
	}
	for seed, name := range []string{"cl100k", "o200k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := get(t, name)
			lib := library(t, e, []string{cl100kPattern, o200kPattern}[seed])
			rng := rand.New(rand.NewPCG(uint64(seed), 15))
			for range texts {
				var b strings.Builder
				for range 1 + rng.IntN(30) {
					unit := alphabet[rng.IntN(len(alphabet))]
					b.WriteString(strings.Repeat(unit, 1+rng.IntN(3)*rng.IntN(3)))
				}
				agree(t, e, lib, b.String())
			}
		})
	}
}

// TestMergeAgreesWithLibrary compares the heap with the library's scan on single
// pieces of 1 to 3,000 bytes from alphabets of 1 to 17 units and noise.
func TestMergeAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	pieces := 400
	if testing.Short() {
		pieces = 60
	}
	for seed, name := range []string{"cl100k", "o200k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := get(t, name)
			lib := library(t, e, `[\s\S]+`) // the whole text is one piece
			rng := rand.New(rand.NewPCG(uint64(seed), 4))
			words := []string{"ing", "the", "tion", "a", "aa", " ", "  ", "\n", "=", "=-", "中", "的", "0", "é", "er", "in", "st"}
			for range pieces {
				size := 1 + rng.IntN(3000)
				if rng.IntN(2) == 0 {
					size = 1 + rng.IntN(64)
				}
				some := 1 + rng.IntN(len(words))
				var b strings.Builder
				for b.Len() < size {
					if rng.IntN(4) == 0 {
						b.WriteByte(byte(rng.IntN(128)))
					}
					b.WriteString(words[rng.IntN(some)])
				}
				piece := b.String()
				want := lib.EncodeOrdinary(piece)
				if _, whole := e.table.ranks[piece]; whole {
					continue // a piece that is a token is not merged
				}
				m := merger{table: e.table}
				m.merge(piece)
				if !slices.EqualFunc(m.ids, want, func(a int32, b int) bool { return int(a) == b }) {
					t.Fatalf("piece of %d bytes %q\n got %v\nwant %v", len(piece), clip(piece), m.ids, want)
				}
			}
		})
	}
}

func FuzzEncode(f *testing.F) {
	for _, item := range readGolden(f).Texts {
		f.Add(item.Text)
	}
	f.Add("caf\xe9 \xe4\xb8\xad\xe4\xb8 'ſ")
	cl, o := get(f, "cl100k"), get(f, "o200k")
	libCL, libO := library(f, cl, cl100kPattern), library(f, o, o200kPattern)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 4000 && comparable(text) { // the library is quadratic
			agree(t, cl, libCL, text)
			agree(t, o, libO, text)
			return
		}
		encode(t, cl, text)
		encode(t, o, text)
	})
}
