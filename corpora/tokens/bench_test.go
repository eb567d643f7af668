package tokens

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// english draws words by Zipf's law from the lower-case word tokens of cl100k,
// so that the table is hit as by running text and not from the cache alone.
func english(b *testing.B, size int) string {
	var words []string
	for _, piece := range get(b, "cl100k").table.pieces {
		if w := strings.TrimPrefix(piece, " "); len(piece)-len(w) == 1 && len(w) > 1 && strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" {
			words = append(words, w)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.05, 3, uint64(len(words)-1))
	var s strings.Builder
	for n := 1; s.Len() < size; n++ {
		s.WriteString(words[zipf.Uint64()])
		s.WriteString([]string{" ", " ", " ", " ", " ", " ", " ", ", ", ". ", ".\n\n"}[rng.IntN(10)])
	}
	return s.String()
}

func benchTexts(b *testing.B) map[string]string {
	const size = 256 << 10
	fill := func(s string) string { return strings.Repeat(s, size/len(s)+1) }
	return map[string]string{
		"english": english(b, size),
		"code":    fill("\tif err := srv.Shutdown(ctx); err != nil {\n\t\treturn fmt.Errorf(\"stop %q: %w\", name, err) // best effort\n\t}\n\tfor i := 0; i < len(parts); i++ {\n"),
		"cjk":     fill("渡轮在雾散之前就离开了，没有人知道箱子里装的是什么。霧が晴れる前に出発し、箱の中身は誰も知らなかった。"),
		"run":     strings.Repeat("a", size),
		"noise":   fill("\xff\xfe\x80zqxjkvbpygfwmucldrhsnioate" + strings.Repeat("xQ", 90)),
	}
}

// BenchmarkEncode reports MB/s; "run" and "noise" are the hostile cases.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"cl100k", "o200k"} {
		e := get(b, name)
		for text, s := range benchTexts(b) {
			b.Run(name+"/"+text, func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.Encode(s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	tiny, err := LoadTiktoken("testdata/tiny.tiktoken", tinyPattern)
	if err != nil {
		b.Fatal(err)
	}
	s := benchTexts(b)["english"]
	b.Run("regexp/english", func(b *testing.B) {
		b.SetBytes(int64(len(s)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tiny.Encode(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncodeJSON is cl100k written as a tokenizer.json, so that the cost of
// merging by pairs of ids can be compared with BenchmarkEncode's, and a small
// tokenizer that normalizes.
func BenchmarkEncodeJSON(b *testing.B) {
	large, err := parseTokenizerJSON("cl100k", asTokenizerJSON(b, get(b, "cl100k")))
	if err != nil {
		b.Fatal(err)
	}
	texts := benchTexts(b)
	texts["decomposed"] = strings.Repeat("Bu\u0302\u0309i sa\u0301ng ho\u0302m a\u0302\u0301y tro\u031b\u0300i nhie\u0302\u0300u ma\u0302y. ", 4000)
	for _, e := range []*Encoding{large, loadForm(b, "qwen"), loadForm(b, "kimi")} {
		for _, text := range []string{"english", "code", "cjk", "run", "noise", "decomposed"} {
			s := texts[text]
			b.Run(e.Name()+"/"+text, func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.Encode(s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkLoadJSON is a file of 100,256 tokens and 100,000 merges.
func BenchmarkLoadJSON(b *testing.B) {
	data := asTokenizerJSON(b, get(b, "cl100k"))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := parseTokenizerJSON("cl100k", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := get(b, "cl100k")
	s := benchTexts(b)["english"]
	ids := encode(b, e, s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		e.Decode(ids)
	}
}

// BenchmarkMerge is one undivided piece that is no token.
func BenchmarkMerge(b *testing.B) {
	e := get(b, "cl100k")
	text := strings.Repeat("qwzxjkvbpygfmucldrhsnioate", 400)
	for _, size := range []int{8, 64, 512, 4096} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			m := merger{table: e.table}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				m.ids = m.ids[:0]
				m.merge(text[:size])
			}
		})
	}
}

// BenchmarkBuild is the cost that Get pays once per process.
func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		if _, err := builtin("cl100k", "cl100k_base.tiktoken", cl100kPattern, nil); err != nil {
			b.Fatal(err)
		}
	}
}
