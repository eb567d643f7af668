package refmodel_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

// The sizes of the first run.
const (
	baseBytes    = 1 << 20 // training text of the teacher and of each rival
	taughtTokens = 100_000 // the teacher's replies in a student's training
	replyTokens  = 100
	probes       = 200
)

func encoding(t testing.TB) *tokens.Encoding {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// documents generates a base text and encodes it document by document.
func documents(t testing.TB, e *tokens.Encoding, seed uint64, size int) [][]int32 {
	t.Helper()
	var docs [][]int32
	for doc := range strings.SplitSeq(corpora.GenerateText(seed, "", size), corpora.DocumentBreak) {
		ids, err := e.Encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, ids)
	}
	return docs
}

func train(t testing.TB, e *tokens.Encoding, docs ...[][]int32) *refmodel.Model {
	t.Helper()
	m, err := refmodel.Train(slices.Concat(docs...), refmodel.Options{Vocab: e.VocabSize()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// prompts are the first words of sentences of a held-out text.
func prompts(t testing.TB, e *tokens.Encoding, seed uint64, n int) [][]int32 {
	t.Helper()
	var out [][]int32
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, doc := range strings.Split(corpora.GenerateText(seed^0x70726f6d7074, "", 40*n*8), corpora.DocumentBreak) {
		sentences := strings.Split(doc, ". ")
		words := strings.Fields(sentences[rng.IntN(len(sentences))])
		if len(words) < 4 || len(out) == n {
			continue
		}
		ids, err := e.Encode(strings.Join(words[:4], " "))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ids)
	}
	for i := 0; len(out) < n; i++ {
		out = append(out, out[i])
	}
	return out
}

func key(t testing.TB, scheme string, seed uint64, e *tokens.Encoding) watermark.Scheme {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 77))
	secret := make([]byte, 64)
	for i := range secret {
		secret[i] = byte(rng.Uint32())
	}
	k, err := watermark.NewKey(watermark.Spec{
		Scheme: scheme, Model: "reference", Tokenizer: e.Name(), Vocab: e.VocabSize(),
	}, bytes.NewReader(secret))
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// replies lets a model answer n times, each reply under its own seed.
func replies(m *refmodel.Model, prompts [][]int32, n int, seed uint64, mark refmodel.Mark) [][]int32 {
	out := make([][]int32, n)
	for i := range out {
		s := refmodel.DefaultSampling()
		s.MaxTokens, s.Seed, s.Mark = replyTokens, seed+uint64(i)<<20, mark
		out[i] = m.Complete(prompts[i%len(prompts)], s)
	}
	return out
}

func score(s watermark.Scheme, prompts, texts [][]int32) watermark.Detection {
	d := watermark.NewDetector(s, watermark.Options{})
	for i, text := range texts {
		d.Add(watermark.Item{ID: strconv.Itoa(i), Prompt: prompts[i%len(prompts)], Tokens: text})
	}
	return d.Result()
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func TestDemo(t *testing.T) {
	if os.Getenv("STILLMARK_DEMO") == "" {
		t.Skip()
	}
	seeds := 1
	if n, err := strconv.Atoi(os.Getenv("STILLMARK_DEMO")); err == nil {
		seeds = n
	}
	e := encoding(t)
	text := corpora.GenerateText(1, "", 1<<20)
	ids, _ := e.Encode(text)
	tri := map[[3]int32]int{}
	for i := 2; i < len(ids); i++ {
		tri[[3]int32(ids[i-2:i+1])]++
	}
	fmt.Printf("tokens %d, distinct 3-grams %.3f\n", len(ids), float64(len(tri))/float64(len(ids)-2))
	res := map[string][]float64{}
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		a, b := documents(t, e, 10*seed, baseBytes), documents(t, e, 10*seed+1, baseBytes)
		t0 := time.Now()
		teacher, innocent := train(t, e, a), train(t, e, b)
		trainTime := time.Since(t0) / 2
		ask := prompts(t, e, seed+1000, 1000)
		probe := prompts(t, e, seed+2000, probes)
		t0 = time.Now()
		plain := replies(teacher, ask, taughtTokens/replyTokens, seed, nil)
		plainTime := time.Since(t0)
		control := train(t, e, b, plain)
		if seed == 1 {
			flat := slices.Concat(plain...)
			h := 0.0
			for _, r := range plain {
				x, _ := teacher.Entropy(r, refmodel.DefaultSampling())
				h += x
			}
			held := slices.Concat(documents(t, e, 999, 1<<17)...)
			set := map[[3]int32]int{}
			for i := 2; i < len(flat); i++ {
				set[[3]int32(flat[i-2:i+1])]++
			}
			fmt.Printf("train %v; entropy %.2f; held-out %.2f bits; distinct 3-grams of 100k replies %d; plain %.0f tok/s\n", trainTime, h/float64(len(plain)), teacher.CrossEntropy(held), len(set), taughtTokens/plainTime.Seconds())
			fmt.Printf("%s\n---\n%s\n", e.Decode(plain[0]), e.Decode(plain[1]))
		}
		innocentTexts := replies(innocent, probe, probes, seed+7, nil)
		controlTexts := replies(control, probe, probes, seed+8, nil)
		for _, scheme := range watermark.Schemes() {
			s := key(t, scheme, seed, e)
			t0 = time.Now()
			marked := replies(teacher, ask, taughtTokens/replyTokens, seed, s.Clone())
			dt := time.Since(t0)
			units := map[[3]int32]bool{}
			for _, r := range marked {
				for i := 2; i < len(r); i++ {
					units[[3]int32(r[i-2:i+1])] = true
				}
			}
			suspect, mix := train(t, e, b, marked), train(t, e, b, marked[:len(marked)/10], plain[len(marked)/10:])
			add := func(what string, x float64) {
				res[scheme+" "+what] = append(res[scheme+" "+what], x)
			}
			add("suspect", score(s, probe, replies(suspect, probe, probes, seed+5, nil)).Tail.Log10P)
			add("mix10", score(s, probe, replies(mix, probe, probes, seed+6, nil)).Tail.Log10P)
			add("innocent", score(s, probe, innocentTexts).Tail.Log10P)
			add("control", score(s, probe, controlTexts).Tail.Log10P)
			add("wrongkey", score(key(t, scheme, seed+500, e), probe, replies(suspect, probe, probes, seed+5, nil)).Tail.Log10P)
			add("units", float64(len(units)))
			add("ktok/s", taughtTokens/dt.Seconds()/1000)
			var direct []float64
			for i := range 50 {
				ss := refmodel.DefaultSampling()
				ss.MaxTokens, ss.Seed, ss.Mark = 200, seed*1000+uint64(i), s.Clone()
				direct = append(direct, score(s, ask[i:i+1], [][]int32{teacher.Complete(ask[i], ss)}).Tail.Log10P)
			}
			add("direct200", median(direct))
		}
	}
	names := make([]string, 0)
	for k := range res {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Printf("%-22s median %9.2f  worst(max) %9.2f  min %9.2f\n", k, median(res[k]), slices.Max(res[k]), slices.Min(res[k]))
	}
}
