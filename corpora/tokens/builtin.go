package tokens

import (
	"fmt"
	"sync"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// Split patterns as published with the encodings, and those of Qwen 2 and GPT-2.
// A file loaded with one of them (Llama 3 and others use the first) gets a fast
// splitter too.
const (
	cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	o200kPattern  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	gpt2Pattern  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// Parsing a rank file takes tens of milliseconds, so each encoding is built on
// first use and kept; it is immutable.
var (
	cl100k = sync.OnceValues(func() (*Encoding, error) {
		return builtin("cl100k", "cl100k_base.tiktoken", cl100kPattern, map[string]int32{
			"<|endoftext|>":   100257,
			"<|fim_prefix|>":  100258,
			"<|fim_middle|>":  100259,
			"<|fim_suffix|>":  100260,
			"<|endofprompt|>": 100276,
		})
	})
	o200k = sync.OnceValues(func() (*Encoding, error) {
		return builtin("o200k", "o200k_base.tiktoken", o200kPattern, map[string]int32{
			"<|endoftext|>":   199999,
			"<|endofprompt|>": 200018,
		})
	})
)

// Get returns a built-in encoding: "cl100k" (logit width 100,277) or "o200k"
// (200,019), also under their published names cl100k_base and o200k_base. All
// callers share one value.
func Get(name string) (*Encoding, error) {
	switch name {
	case "cl100k", "cl100k_base":
		return cl100k()
	case "o200k", "o200k_base":
		return o200k()
	}
	return nil, fmt.Errorf("unknown tokenizer %q: the built-in ones are cl100k and o200k; others are read from a .tiktoken file or a tokenizer.json", name)
}

func builtin(name, file, pattern string, special map[string]int32) (*Encoding, error) {
	data, err := assets.Assets.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("embedded ranks of %s: %w", name, err)
	}
	t, err := parseRanks(data)
	if err != nil {
		return nil, fmt.Errorf("embedded ranks of %s: %w", name, err)
	}
	return newEncoding(name, pattern, t, special)
}
