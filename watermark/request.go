package watermark

import (
	"fmt"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// Request is the mark of one reply under way: what was generated so far, schemes of
// its own under the reply's keys, and the record of what was done.
//
// A step of a server with a Request:
//
//	r.Process(logits) // after temperature, truncation and grammar masks
//	id := sample(logits)
//	r.Append(id)
//
// A Request is for one goroutine at a time. Its Process allocates where that of its
// scheme does: in the first step. Tournament's scratch is 16 bytes for each token of
// the vocabulary, that of the others some kilobytes.
type Request struct {
	mark    marker // nil: the reply is not marked
	from    int    // where what was generated begins in history
	history []int32
	record  Record
}

// marker is a Scheme, or a [TwoChannel].
type marker interface {
	Process(history []int32, logits []float32)
	ProcessCandidates(history, ids []int32, logits []float32)
}

// RequestOptions say what a reply is marked under; the zero value is the key itself.
type RequestOptions struct {
	// Prompt is what the model was given. It is kept only where the key's windows
	// reach into it.
	Prompt []int32
	// Account names whose tracing key marks beside the provenance key, where the key
	// is a master with two channels; there it is required.
	Account string
	// Unmarked, if set, is why the reply is not marked ("opted out"): Process leaves
	// its logits as they are, and the record says so.
	Unmarked string
	// Room is the expected length of the reply, in tokens: history need not grow.
	Room int
}

// Record says what was done to a reply. It is public: it names the key and holds
// nothing of its secret, and nothing of the text.
type Record struct {
	Key     string `json:"key,omitempty"` // the key's ID; empty where the reply is not marked
	Scheme  string `json:"scheme,omitempty"`
	PRF     string `json:"prf,omitempty"`
	Epoch   string `json:"epoch,omitempty"`
	Label   string `json:"label,omitempty"`
	Account string `json:"account,omitempty"`
	// Unmarked is why the reply is not marked; empty where it is.
	Unmarked string `json:"unmarked,omitempty"`
	Tokens   int    `json:"tokens"` // generated so far
}

// NewRequest begins a reply under the key. It derives the reply's schemes, which takes
// some microseconds.
func (k *Key) NewRequest(o RequestOptions) (*Request, error) {
	r := &Request{history: make([]int32, 0, o.Room), record: Record{Unmarked: o.Unmarked}}
	if o.Unmarked != "" {
		return r, nil
	}
	switch {
	case k.Params.Tracing > 0 && k.Account == "":
		if o.Account == "" {
			return nil, fmt.Errorf("key %s has two channels: the request needs an account", k.ID)
		}
		both, err := k.TwoChannel(o.Account)
		if err != nil {
			return nil, err
		}
		r.mark = both
	case o.Account != "":
		return nil, fmt.Errorf("key %s has one channel, or is an account's own: it marks for no account", k.ID)
	default:
		mark, err := k.Mark()
		if err != nil {
			return nil, err
		}
		r.mark = mark
	}
	r.record = Record{Key: k.ID, Scheme: k.Scheme, PRF: k.PRF, Epoch: k.Epoch, Label: k.Label, Account: o.Account}
	if k.Params.Contexts == WithPrompt {
		r.history = append(make([]int32, 0, len(o.Prompt)+o.Room), o.Prompt...)
		r.from = len(o.Prompt)
	}
	return r, nil
}

// Process marks the next step, as [Scheme].Process does.
func (r *Request) Process(logits []float32) {
	if r.mark != nil {
		r.mark.Process(r.history, logits)
	}
}

// ProcessCandidates marks the next step on a short list, as
// [Scheme].ProcessCandidates does.
func (r *Request) ProcessCandidates(ids []int32, logits []float32) {
	if r.mark != nil {
		r.mark.ProcessCandidates(r.history, ids, logits)
	}
}

// Append tells what was sampled, or forced: every token of the reply, in order,
// whether or not Process was called for it.
func (r *Request) Append(ids ...int32) {
	r.history = append(r.history, ids...)
	r.record.Tokens += len(ids)
}

// Truncate takes back all but the first n tokens of the reply, such as draft tokens
// that the target model rejected.
func (r *Request) Truncate(n int) {
	if n < 0 || n > r.record.Tokens {
		panic(fmt.Sprintf("watermark: truncating a reply of %d tokens to %d", r.record.Tokens, n))
	}
	r.history = r.history[:r.from+n]
	r.record.Tokens = n
}

// Generated is the reply so far. It is valid until the next call.
func (r *Request) Generated() []int32 { return r.history[r.from:] }

// SetRole says whose the next steps are in speculative decoding. It reports false where
// the key's scheme has no roles: all but gumbel-dual.
func (r *Request) SetRole(role Role) bool {
	d, ok := r.mark.(Dual)
	if ok {
		d.SetRole(role)
	}
	return ok
}

// Record says what was done so far.
func (r *Request) Record() Record { return r.record }

// Format writes what marks the reply, whatever the verb: no key may be printed.
func (r *Request) Format(s fmt.State, v rune) {
	if f, ok := r.mark.(fmt.Formatter); ok {
		f.Format(s, v)
		return
	}
	fmt.Fprint(s, "no mark")
}

// MarksGreedy reports whether a scheme marks at temperature 0 too: whether it only
// adds to logits, as green lists do, so that the likeliest token may be another one.
// The other schemes choose among what a distribution leaves open; at temperature 0
// their Process must not be called.
func MarksGreedy(s Scheme) bool {
	return s.Law().Kind == evidence.KindBernoulli
}
