// Package refmodel holds the reference language model.
package refmodel

import "context"

// Options are the settings of a training run.
type Options struct {
	Order int // length of the longest n-gram, 0 means 4
	Vocab int // vocabulary size: ids run from 0 to Vocab-1
}

// Model is a trained model. It is immutable and safe for concurrent use.
type Model struct{}

// Mark reshapes the logits of a candidate list: logits[i] belongs to ids[i].
type Mark interface {
	ProcessCandidates(history, ids []int32, logits []float32)
}

// Sampling says how tokens are drawn. Start from DefaultSampling.
type Sampling struct {
	Temperature float64 // 0 is greedy
	TopP        float64 // nucleus, 0 means 1
	TopK        int     // 0 means 200
	MaxTokens   int
	Seed        uint64
	Mark        Mark
	Logprobs    int // number of top alternatives reported with every token
}

// Alt is one alternative with its natural log-probability.
type Alt struct {
	ID      int32
	Logprob float64
}

// Token is one generated token.
type Token struct {
	ID      int32
	Logprob float64
	Top     []Alt
}

// DefaultSampling is temperature 1, top-k 200, no nucleus, 100 tokens.
func DefaultSampling() Sampling {
	return Sampling{Temperature: 1, TopP: 1, TopK: 200, MaxTokens: 100}
}

// Train builds a model from documents; no n-gram spans two of them.
func Train(docs [][]int32, opt Options) (*Model, error) { return &Model{}, nil }

// Generate draws tokens and hands them to emit.
func (m *Model) Generate(ctx context.Context, prompt []int32, s Sampling, emit func(Token) error) error {
	return nil
}

// Complete returns the generated ids.
func (m *Model) Complete(prompt []int32, s Sampling) []int32 { return nil }

// Logprob is the natural log-probability of token after history.
func (m *Model) Logprob(history []int32, token int32) float64 { return 0 }

// Top returns the n most probable tokens after history.
func (m *Model) Top(history []int32, n int) []Alt { return nil }

// Entropy is the mean entropy in bits per token of the distribution that s samples from along ids.
func (m *Model) Entropy(ids []int32, s Sampling) float64 { return 0 }

// CrossEntropy is the mean surprise in bits per token of held-out ids.
func (m *Model) CrossEntropy(ids []int32) float64 { return 0 }
