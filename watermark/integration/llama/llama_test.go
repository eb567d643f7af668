package llama_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/corpora/refmodel/gguf"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
)

// random opens a model with random weights, with the libraries as they are here.
func random(t *testing.T, o llama.Options) *llama.Model {
	t.Helper()
	models.Init(t)
	path := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(path, gguf.Random("random", 1), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := llama.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// greedy is the likeliest continuation of a prompt.
func greedy(t *testing.T, m *llama.Model, prompt []int32, n int) []int32 {
	t.Helper()
	var out []int32
	err := m.Generate(t.Context(), prompt, func(logits []float32) (int32, bool) {
		if len(logits) != m.Vocab() {
			t.Errorf("%d logits of a vocabulary of %d", len(logits), m.Vocab())
		}
		best := 0
		for i, x := range logits {
			if x > logits[best] {
				best = i
			}
		}
		out = append(out, int32(best))
		return int32(best), len(out) < n
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The trained teacher says what its trainer's own code made it say.
func TestTrainedTokens(t *testing.T) {
	models.Init(t)
	set := models.Find(t)
	if !set.Trained {
		t.Skip("the trained models are not here")
	}
	m, err := llama.Open(set.Teacher, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	prompt, err := m.Tokenize("The first book of the series was published in ")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{644, 560, 597, 574, 279, 260, 1475, 338, 1308, 1095, 287, 32}; !slices.Equal(prompt, want) {
		t.Errorf("tokens %v, want %v", prompt, want)
	}
	want := []int32{194, 163, 343, 50, 44, 60, 770, 62, 287, 343, 57, 54, 50, 46, 348, 644}
	if got := greedy(t, m, prompt, len(want)); !slices.Equal(got, want) {
		t.Errorf("continued as %v, want %v", got, want)
	}
}

// What a sequence says depends neither on the others beside it nor on what its
// cache held: a prompt that goes on where another reply ended says the same as from
// an empty cache.
func TestSideBySide(t *testing.T) {
	alone := random(t, llama.Options{Sequences: 1})
	var prompts, want [][]int32
	for i := range int32(9) {
		p := []int32{300 + i, 310, 320 - i, 330}
		prompts = append(prompts, p)
		want = append(want, greedy(t, alone, p, 24))
	}
	m := random(t, llama.Options{Sequences: 4})
	var all sync.WaitGroup
	for i, p := range prompts {
		all.Go(func() {
			for cut := 0; cut < 24; cut += 8 {
				longer := append(slices.Clone(p), want[i][:cut]...)
				if got := greedy(t, m, longer, 24-cut); !slices.Equal(got, want[i][cut:]) {
					t.Errorf("prompt %d and %d tokens of its reply go on as %v, want %v", i, cut, got, want[i][cut:])
				}
			}
		})
	}
	all.Wait()
}

func TestRefusals(t *testing.T) {
	m := random(t, llama.Options{Context: 64, Sequences: 2})
	none := func([]float32) (int32, bool) { return 0, false }
	if err := m.Generate(t.Context(), make([]int32, 65), none); !errors.Is(err, llama.ErrTooLong) {
		t.Errorf("65 tokens in a context of 64: %v", err)
	}
	for _, prompt := range [][]int32{nil, {-1}, {int32(m.Vocab())}} {
		if err := m.Generate(t.Context(), prompt, none); err == nil {
			t.Errorf("prompt %v is taken", prompt)
		}
	}
	if _, err := m.Tokenize("a\x00b"); err == nil {
		t.Error("a byte 0 is tokenised")
	}
	if got := greedy(t, m, make([]int32, 60), 1000); len(got) != 5 {
		t.Errorf("%d tokens after 60 in a context of 64, want 5: the last one needs no room", len(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	err := m.Generate(ctx, []int32{300}, func([]float32) (int32, bool) {
		if steps++; steps == 3 {
			cancel()
		}
		return 300, true
	})
	if !errors.Is(err, context.Canceled) || steps != 3 {
		t.Errorf("cancelled at step 3: %d steps, %v", steps, err)
	}
	m.Close()
	if err := m.Generate(t.Context(), []int32{300}, none); !errors.Is(err, llama.ErrClosed) {
		t.Errorf("a closed model: %v", err)
	}
	if _, err := llama.Open(filepath.Join(t.TempDir(), "none.gguf"), llama.Options{}); err == nil {
		t.Error("a model is opened that does not exist")
	}
}
