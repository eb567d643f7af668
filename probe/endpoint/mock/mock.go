package mock

import (
	"context"
	"time"
)

// Message is one message of a chat.
type Message struct {
	Role    string
	Content string
}

// GenRequest is what a generator is asked for.
type GenRequest struct {
	Model       string
	Messages    []Message // chat; nil for completions
	Prompt      string    // completions; for chats the contents of the messages, joined by blank lines
	PromptIDs   []int32   // completions whose prompt is token ids, instead of Prompt; only for a [Coder]
	MaxTokens   int       // 0 means the generator's default
	Temperature float64   // 1 if the request does not say
	TopP        float64   // 1 if the request does not say
	Seed        uint64    // the request's seed, or one of the server's choice
	Logprobs    int       // alternatives wanted per token; -1: no log-probabilities
}

// Alt is an alternative token.
type Alt struct {
	Text    string // raw bytes, may cut a rune
	Token   int32
	Logprob float64
}

// Piece is one generated token.
type Piece struct {
	Text      string // raw bytes, may cut a rune: the server holds incomplete runes back
	Token     int32
	Logprob   float64 // natural logarithm
	NoLogprob bool    // the token has no probability: the first of an echoed prompt
	Top       []Alt
}

// Generator is a model behind the server. It must be safe for concurrent use and
// give the same pieces for the same request.
type Generator interface {
	// Generate emits the reply piece by piece and returns its finish reason,
	// "stop" or "length". An error of emit is returned as it is.
	Generate(ctx context.Context, req GenRequest, emit func(Piece) error) (finish string, err error)
}

// PromptCounter is a generator that can count the tokens of a prompt, for usage.
// Without it words are counted.
type PromptCounter interface {
	CountTokens(text string) int
}

// Echoer is a generator that can score a prompt, for completions with echo and
// for prompt_logprobs: it emits the prompt piece by piece.
type Echoer interface {
	Echo(ctx context.Context, req GenRequest, emit func(Piece) error) error
}

// Coder is a generator with a tokenizer, which takes prompts of token ids.
type Coder interface {
	Encode(text string) ([]int32, error)
	Decode(ids []int32) []byte
}

// Options are the settings of a server.
type Options struct {
	Models map[string]Generator
	Script *Script // nil: no faults, plain personalities
	APIKey string  // bearer token that requests must carry; "" asks for none
	Seed   uint64  // draws the seeds of requests that carry none
	NoLog  bool    // keep no request log
}

// Record is one line of the request log.
type Record struct {
	Time   time.Time
	Path   string
	Model  string
	N      int // 1 for the first generation request of this model
	Stream bool
	Body   []byte // as received
	Fault  string // kind of the fault that was played, or ""
}
