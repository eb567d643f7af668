package refmodel_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

// The sizes of the first run.
const (
	baseBytes    = 1 << 20 // training text of the teacher, and of every student
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

func encode(t testing.TB, e *tokens.Encoding, text string) []int32 {
	t.Helper()
	ids, err := e.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// base generates a text and encodes it document by document.
func base(t testing.TB, e *tokens.Encoding, seed uint64, size int) [][]int32 {
	t.Helper()
	var docs [][]int32
	for doc := range strings.SplitSeq(corpora.GenerateText(seed, "", size), corpora.DocumentBreak) {
		docs = append(docs, encode(t, e, doc))
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

// prompts alternates instructions of a suite with the first words of sentences
// from text that nobody was trained on.
func prompts(t testing.TB, e *tokens.Encoding, seed uint64, n int) [][]int32 {
	t.Helper()
	suite, err := corpora.Load("longform-en")
	if err != nil {
		t.Fatal(err)
	}
	instructions, err := suite.Expand(seed, 0)
	if err != nil {
		t.Fatal(err)
	}
	var beginnings []string
	for doc := range strings.SplitSeq(corpora.GenerateText(seed+1<<40, "", n*500), corpora.DocumentBreak) {
		for sentence := range strings.SplitSeq(doc, ". ") {
			if words := strings.Fields(sentence); len(words) > 6 && len(words) < 20 {
				beginnings = append(beginnings, strings.Join(words[:4], " "))
			}
		}
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([][]int32, n)
	for i := range out {
		text := instructions[i/2%len(instructions)].Text
		if i%2 == 1 {
			text = beginnings[rng.IntN(len(beginnings))]
		}
		out[i] = encode(t, e, text)
	}
	return out
}

func mark(t testing.TB, e *tokens.Encoding, scheme string, seed uint64) watermark.Scheme {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
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

// replies lets a model answer n times at the default sampling.
func replies(m *refmodel.Model, prompts [][]int32, n int, seed uint64, mark refmodel.Mark) [][]int32 {
	out := make([][]int32, n)
	for i := range out {
		s := refmodel.DefaultSampling()
		s.MaxTokens, s.Seed, s.Mark = replyTokens, seed<<32+uint64(i), mark
		out[i] = m.Complete(prompts[i%len(prompts)], s)
	}
	return out
}

// log10p is the declared statistic of a run under a key.
func log10p(s watermark.Scheme, prompts, texts [][]int32) float64 {
	d := watermark.NewDetector(s, watermark.Options{})
	for i, text := range texts {
		d.Add(watermark.Item{ID: strconv.Itoa(i), Prompt: prompts[i%len(prompts)], Tokens: text})
	}
	return d.Result().Tail.Log10P
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// TestDistillation is the experiment of the first run without its plumbing: a
// teacher, its marked replies in a student's training, and what the student's
// own replies show under the key, beside a student of unmarked replies
// (control) and one of none (innocent). One seed by default;
// STILLMARK_SEEDS=10 runs ten and prints medians and worst cases.
func TestDistillation(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a dozen models")
	}
	seeds := 1
	if s := os.Getenv("STILLMARK_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("STILLMARK_SEEDS=%q is not a number from 1 up", s)
		}
		seeds = n
	}
	e := encoding(t)
	figures := map[string][]float64{}
	for seed := range uint64(seeds) {
		for name, x := range distil(t, e, seed+1) {
			figures[name] = append(figures[name], x...)
		}
	}
	names := make([]string, 0, len(figures))
	for name := range figures {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		x := figures[name]
		t.Logf("%-20s median %8.2f, from %8.2f to %8.2f", name, median(x), slices.Min(x), slices.Max(x))
	}
	// What the first run promises; for each scheme the weakest suspect, and the
	// median of single replies of 200 tokens.
	for scheme, want := range map[string]struct{ suspect, direct float64 }{
		watermark.Gumbel: {-50, -20}, watermark.Tournament: {-50, -20}, watermark.KGW: {-20, -6},
	} {
		if worst := slices.Max(figures[scheme+" suspect"]); worst > want.suspect {
			t.Errorf("%s: a suspect has log10 p %.1f, want at most %v", scheme, worst, want.suspect)
		}
		if got := median(figures[scheme+" direct"]); got > want.direct {
			t.Errorf("%s: the median of 200-token texts is %.1f, want at most %v", scheme, got, want.direct)
		}
		for _, clean := range []string{"innocent", "control", "wrong key"} {
			if got := slices.Min(figures[scheme+" "+clean]); got < -4 {
				t.Errorf("%s: %s has log10 p %.1f, want at least -4", scheme, clean, got)
			}
		}
	}
	if got := slices.Min(figures["entropy"]); got < 2.5 {
		t.Errorf("the teacher's text has %.2f bits per token, want at least 2.5", got)
	}
}

func distil(t *testing.T, e *tokens.Encoding, seed uint64) map[string][]float64 {
	t.Helper()
	figures := map[string][]float64{}
	add := func(name string, x float64) { figures[name] = append(figures[name], x) }

	ours, theirs := base(t, e, 2*seed, baseBytes), base(t, e, 2*seed+1, baseBytes)
	teacher, innocent := train(t, e, ours), train(t, e, theirs)
	asked, probed := prompts(t, e, 2*seed, taughtTokens/replyTokens), prompts(t, e, 2*seed+1, probes)

	plain := replies(teacher, asked, len(asked), 1, nil)
	bits := 0.0
	for _, r := range plain[:100] {
		h, err := teacher.Entropy(r, refmodel.DefaultSampling())
		if err != nil {
			t.Fatal(err)
		}
		bits += h / 100
	}
	add("entropy", bits)
	add("held-out bits", teacher.CrossEntropy(slices.Concat(base(t, e, 2*seed+1<<41, 1<<16)...)))

	control := train(t, e, theirs, plain)
	innocentReplies := replies(innocent, probed, probes, 2, nil)
	controlReplies := replies(control, probed, probes, 3, nil)
	for _, scheme := range watermark.Schemes() {
		key, wrong := mark(t, e, scheme, seed), mark(t, e, scheme, seed+1<<20)
		marked := replies(teacher, asked, len(asked), 1, key)
		tenth := len(marked) / 10
		suspect := replies(train(t, e, theirs, marked), probed, probes, 4, nil)
		mixed := replies(train(t, e, theirs, marked[:tenth], plain[tenth:]), probed, probes, 5, nil)
		add(scheme+" suspect", log10p(key, probed, suspect))
		add(scheme+" mix 10 %", log10p(key, probed, mixed))
		add(scheme+" control", log10p(key, probed, controlReplies))
		add(scheme+" innocent", log10p(key, probed, innocentReplies))
		add(scheme+" wrong key", log10p(wrong, probed, suspect))
		for i := range 20 {
			s := refmodel.DefaultSampling()
			s.MaxTokens, s.Seed, s.Mark = 200, uint64(i), key
			text := teacher.Complete(probed[i], s)
			add(scheme+" direct", log10p(key, probed[i:i+1], [][]int32{text}))
		}
	}
	return figures
}
