package wire

import (
	"github.com/stillmark/stillmark/probe/ledger"
)

// The kinds of exchange.
const (
	Chat       = "chat"       // POST /chat/completions
	Completion = "completion" // POST /completions
)

// MaxBody is the largest response body that is read: 16 MiB. A reply of 100,000
// tokens with five logprobs each is about 10 MiB; what is larger is hostile.
const MaxBody = 16 << 20

// Exchange is what was recorded of one response.
type Exchange struct {
	Status   int    // HTTP status, 0 when no response came
	Kind     string // Chat or Completion
	Stream   bool   // a stream was asked for
	Body     []byte // raw bytes of the response body, as far as they came
	Complete bool   // the body was read to its end without an error
}

// Decode classes an exchange and reads the reply out of it. The outcome is OK
// only for a whole reply: for one JSON body, a complete body with a finish
// reason; for a stream, a finish reason and the [DONE] that follows it.
// Whatever text could be read is in the result whichever the outcome is.
func Decode(x Exchange) ledger.Reply { return ledger.Reply{Outcome: ledger.Malformed} }

// SameModel reports whether answered is an acceptable name for the model that
// was expected.
func SameModel(expected, answered string) bool { return expected == answered }
