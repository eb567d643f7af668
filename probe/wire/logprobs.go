package wire

// Alt is an alternative token with its natural log-probability.
type Alt struct {
	Token   string
	Logprob float64
}

// TokenLogprob is one token of a reply (with echo: of the prompt, too).
type TokenLogprob struct {
	Token   string
	Bytes   []byte  // the token's raw bytes where the server gives them, else nil
	Logprob float64 // natural logarithm; meaningful only if Known
	Known   bool    // false where the server says null: the first token of an echoed prompt has no probability, which is not p = 1
	Top     []Alt   // as sent, in their order; strings that collide are all kept
	Offset  int     // text_offset of completions, -1 where absent
}

// DecodeLogprobs reads the log-probabilities of the reply's tokens, from
// completions and from chat completions, whole or streamed. It returns nil and
// no error when the reply has none.
func DecodeLogprobs(x Exchange) ([]TokenLogprob, error) { return nil, nil }
