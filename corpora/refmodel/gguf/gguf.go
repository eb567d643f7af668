// Package gguf writes a small transformer with random weights as a GGUF file: a
// model that real servers (llama.cpp, Ollama) load where no trained one is at
// hand. What it says are English words in random order, some 5 bits each.
//
// The format is version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
// It imports the standard library only.
package gguf

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// The shape of the random model: as small as llama.cpp takes without padding.
const (
	width   = 64
	forward = 128
	blocks  = 2
	heads   = 2
	context = 1024
)

// words are what the random model can say, each with a space before it, so
// that its replies are text. Sixty-four words have 262,144 triples: replies
// repeat little.
var words = strings.Fields(`
	stone river market garden winter summer letter window copper silver morning evening
	bridge harbour village mountain engine basket candle ladder mirror needle orchard paper
	quarry ribbon saddle timber umbrella valley wagon yellow anchor button circle dragon
	empty forest gentle hollow island jacket kettle lantern meadow narrow orange pepper
	quiet rabbit shadow thunder under velvet whisper young against because careful distant
	early follow ground hidden`)

// Random is the file of a llama-architecture transformer with random F32 weights
// (1 MiB of them) and a byte-level BPE vocabulary. Other seeds are other models
// over the same vocabulary.
func Random(name string, seed uint64) []byte {
	vocabulary, merges, speakable := bytePairs(words)
	kinds := make([]int32, len(vocabulary))
	for i := range kinds {
		kinds[i] = 1 // normal
	}
	var g gguf
	g.meta("general.architecture", "llama")
	g.meta("general.name", name)
	g.meta("llama.context_length", uint32(context))
	g.meta("llama.embedding_length", uint32(width))
	g.meta("llama.block_count", uint32(blocks))
	g.meta("llama.feed_forward_length", uint32(forward))
	g.meta("llama.attention.head_count", uint32(heads))
	g.meta("llama.attention.head_count_kv", uint32(heads))
	g.meta("llama.attention.layer_norm_rms_epsilon", float32(1e-5))
	g.meta("llama.rope.dimension_count", uint32(width/heads))
	g.meta("llama.vocab_size", uint32(len(vocabulary)))
	g.meta("tokenizer.ggml.model", "gpt2")
	g.meta("tokenizer.ggml.pre", "gpt-2")
	g.meta("tokenizer.ggml.tokens", vocabulary)
	g.meta("tokenizer.ggml.token_type", kinds)
	g.meta("tokenizer.ggml.merges", merges)
	g.meta("tokenizer.ggml.bos_token_id", uint32(0))
	g.meta("tokenizer.ggml.eos_token_id", uint32(0)) // the byte 0, never said
	g.meta("tokenizer.ggml.add_bos_token", false)

	random := rand.New(rand.NewPCG(seed, 0x67677566))
	normal := func(rows, columns int, scale float64) []float32 {
		w := make([]float32, rows*columns)
		for i := range w {
			w[i] = float32(scale * random.NormFloat64())
		}
		return w
	}
	ones := slices.Repeat([]float32{1}, width)
	// Dimension 0 of the residual stream is the same large number everywhere, so
	// that its weights in the output matrix act as a bias: it silences every token
	// that is no word. RMS norm shrinks the rest to about 1/4 a dimension; output
	// weights of deviation 1/2 then give logits of deviation about 1, which is 5 to 6
	// bits a word.
	embedding := normal(len(vocabulary), width, 1)
	output := normal(len(vocabulary), width, .5)
	for token := range vocabulary {
		embedding[token*width] = 24
		output[token*width] = 0
		if !speakable[token] {
			output[token*width] = -20
		}
	}
	g.tensor("token_embd.weight", embedding, width, len(vocabulary))
	g.tensor("output_norm.weight", ones, width)
	g.tensor("output.weight", output, width, len(vocabulary))
	scale := 1 / math.Sqrt(width)
	square := func() []float32 { return normal(width, width, scale) }
	for block := range blocks {
		prefix := fmt.Sprintf("blk.%d.", block)
		g.tensor(prefix+"attn_norm.weight", ones, width)
		g.tensor(prefix+"attn_q.weight", square(), width, width)
		g.tensor(prefix+"attn_k.weight", square(), width, width)
		g.tensor(prefix+"attn_v.weight", square(), width, width)
		g.tensor(prefix+"attn_output.weight", square(), width, width)
		g.tensor(prefix+"ffn_norm.weight", ones, width)
		g.tensor(prefix+"ffn_gate.weight", normal(forward, width, scale), width, forward)
		g.tensor(prefix+"ffn_up.weight", normal(forward, width, scale), width, forward)
		g.tensor(prefix+"ffn_down.weight", normal(width, forward, scale), forward, width)
	}
	return g.file()
}

// Tiktoken is the vocabulary of every [Random] model as a .tiktoken file (base64
// piece, rank): the tokenizer under which its token ids are read elsewhere.
func Tiktoken() []byte {
	tokens, _, _ := bytePairs(words)
	var b bytes.Buffer
	for id, token := range tokens {
		piece := []byte{byte(id)}
		if id >= 256 {
			piece = []byte(strings.Replace(token, "Ġ", " ", 1))
		}
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString(piece), id)
	}
	return b.Bytes()
}

// bytePairs makes a byte-level BPE vocabulary: the 256 bytes, and every
// word with the prefixes that its merges go through.
func bytePairs(words []string) (tokens, merges []string, speakable []bool) {
	// GPT-2's byte table: printable bytes stand for themselves, others are shifted
	// to 256 and up, in order. A space becomes Ġ (U+0120).
	shifted := rune(256)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= '¡' && b <= '¬' || b >= '®' {
			tokens = append(tokens, string(b))
			continue
		}
		tokens = append(tokens, string(shifted))
		shifted++
	}
	known := map[string]int{}
	spoken := map[string]bool{".": true}
	for _, word := range words {
		prefix := "Ġ"
		for _, letter := range word {
			next := prefix + string(letter)
			if _, ok := known[next]; !ok {
				known[next] = len(tokens)
				tokens = append(tokens, next)
				merges = append(merges, prefix+" "+string(letter))
			}
			prefix = next
		}
		spoken[prefix] = true
	}
	speakable = make([]bool, len(tokens))
	for i, token := range tokens {
		speakable[i] = spoken[token]
	}
	return tokens, merges, speakable
}

// gguf collects metadata and tensors. Everything is little endian.
type gguf struct {
	head, info, data bytes.Buffer
	values, tensors  uint64
}

const alignment = 32

func (g *gguf) put(b *bytes.Buffer, v any) {
	if s, ok := v.(string); ok {
		g.put(b, uint64(len(s)))
		b.WriteString(s)
		return
	}
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		panic(err) // only for a type that has no fixed size: a mistake in this file
	}
}

// meta adds a key and its value, with the format's number of the value's type.
func (g *gguf) meta(key string, value any) {
	g.values++
	g.put(&g.head, key)
	switch v := value.(type) {
	case uint32:
		g.put(&g.head, uint32(4))
	case float32:
		g.put(&g.head, uint32(6))
	case bool:
		g.put(&g.head, uint32(7))
	case string:
		g.put(&g.head, uint32(8))
	case []int32:
		g.put(&g.head, []uint32{9, 5})
		g.put(&g.head, uint64(len(v)))
	case []string:
		g.put(&g.head, []uint32{9, 8})
		g.put(&g.head, uint64(len(v)))
		for _, s := range v {
			g.put(&g.head, s)
		}
		return
	}
	g.put(&g.head, value)
}

// tensor adds F32 values; the first dimension is the one that runs fastest.
func (g *gguf) tensor(name string, values []float32, dimensions ...int) {
	g.tensors++
	g.put(&g.info, name)
	g.put(&g.info, uint32(len(dimensions)))
	for _, d := range dimensions {
		g.put(&g.info, uint64(d))
	}
	g.put(&g.info, uint32(0)) // F32
	g.put(&g.info, uint64(g.data.Len()))
	g.put(&g.data, values)
	pad(&g.data)
}

func (g *gguf) file() []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	g.put(&b, uint32(3))
	g.put(&b, g.tensors)
	g.put(&b, g.values)
	b.Write(g.head.Bytes())
	b.Write(g.info.Bytes())
	pad(&b)
	b.Write(g.data.Bytes())
	return b.Bytes()
}

func pad(b *bytes.Buffer) {
	for b.Len()%alignment != 0 {
		b.WriteByte(0)
	}
}
