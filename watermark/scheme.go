package watermark

import (
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// Scheme marks text as it is sampled and scores it afterwards, under one key.
//
// A Scheme carries scratch space and is not safe for concurrent use: give each
// goroutine its own Clone. Once the largest vocabulary has been seen, none of
// WindowOf, Score, Process and ProcessCandidates allocates.
type Scheme interface {
	Name() string
	PRF() string
	// Window is the number of tokens in a context window.
	Window() int
	// Spec is all that was agreed on, the secret apart.
	Spec() Spec
	// Law is the null law of Score over the random key.
	Law() evidence.Law

	// WindowOf returns the context window of the token that follows history
	// (generated tokens only, unless Spec().Params.Contexts is WithPrompt), as
	// the PRF reads it, and whether that token is scored at all. A native
	// scheme's window is the last Window() tokens, and there is none before as
	// many have been generated; vLLM's is padded on the left with -1. The
	// result may alias history or the scheme's scratch: it is valid until the
	// next call and must not be written to.
	WindowOf(history []int32) (window []int32, ok bool)
	// Score is the score of one token under a window of Window() ids.
	Score(window []int32, token int32) float64

	// Process marks the next step: logits[t] belongs to token t, after
	// temperature and truncation, -Inf for what cannot be sampled; it is
	// changed in place. history is what was generated so far, without the
	// prompt unless the spec's contexts are WithPrompt. Logits stay as they are
	// where there is no window and, with MaskRepeats, where the window occurred
	// before in history.
	Process(history []int32, logits []float32)
	// ProcessCandidates is Process on a short list: logits[i] belongs to
	// token ids[i], ids are distinct. Above some 2,500 candidates Process on
	// the whole vocabulary is faster.
	ProcessCandidates(history, ids []int32, logits []float32)

	// Clone returns an independent Scheme under the same key.
	Clone() Scheme
}

// newScheme builds the native scheme that a valid spec names on the source of its
// key. r is nil for one channel.
func newScheme(s Spec, src prf.Source, r *route) (Scheme, error) {
	c := newCore(s, convention{width: s.Params.Window, first: s.Params.Window}, src)
	c.route = r
	switch s.Scheme {
	case Gumbel:
		return newGumbel(c), nil
	case KGW:
		if s.Params.Seeding == SelfHash {
			return newSelfHash(c), nil
		}
		return newKGW(c), nil
	case Tournament:
		return newTournament(c), nil
	}
	return nil, fmt.Errorf("scheme %q is not known", s.Scheme)
}

// convention is how a stack cuts the context window of a token out of a text.
type convention struct {
	width  int  // tokens of a window
	first  int  // tokens before the first scored position; at least width unless pad
	pad    bool // a window that begins before the text is filled with -1 on the left
	prompt bool // windows reach back into the prompt
	mask   bool // repeated windows are left unmarked
}

// window is the window of the token that follows history; see Scheme.WindowOf.
// scratch has room for width ids.
func (c convention) window(history, scratch []int32) ([]int32, bool) {
	missing := c.width - len(history)
	switch {
	case len(history) < c.first:
		return nil, false
	case missing <= 0:
		return history[-missing:], true
	case !c.pad:
		return nil, false
	}
	for i := range missing {
		scratch[i] = -1
	}
	copy(scratch[missing:], history)
	return scratch, true
}

func (c convention) contexts() string {
	if c.prompt {
		return WithPrompt
	}
	return GeneratedOnly
}

func (c convention) repeats() string {
	if c.mask {
		return MaskRepeats
	}
	return MarkRepeats
}

// core is what the schemes on a prf.Source share: the window convention and the source.
type core struct {
	spec Spec
	conv convention
	src  prf.Source
	// scratch has room for a window that cannot alias history.
	scratch []int32
	current []int32 // the window that src is under, if set
	set     bool
	pieces  pieces
	left    left
	route   *route // nil: one channel
}

// piece is the number of words that schemes take from their source at a time: 4 KiB,
// which stay in the first cache until they are used.
const piece = 1024

func newCore(s Spec, conv convention, src prf.Source) core {
	return core{spec: s, conv: conv, src: src, scratch: make([]int32, conv.width), current: make([]int32, conv.width)}
}

func (c *core) Name() string { return c.spec.Scheme }
func (c *core) PRF() string  { return c.spec.PRF }
func (c *core) Window() int  { return c.spec.Params.Window }
func (c *core) Spec() Spec   { return c.spec }

// Format writes the scheme's name, whatever the verb: no key may be printed.
func (c *core) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%s on %s", c.spec.Scheme, c.spec.PRF)
}

func (c *core) WindowOf(history []int32) ([]int32, bool) { return c.conv.window(history, c.scratch) }

func (c *core) clone() core {
	d := *c
	d.src = c.src.Clone()
	d.scratch, d.current, d.pieces, d.left = slices.Clone(c.scratch), slices.Clone(c.current), pieces{}, left{}
	d.route = c.route.clone()
	return d
}

// word is the word of a token under a window. Runs of one window pay for its
// nonce once.
func (c *core) word(window []int32, token int32) uint32 {
	c.enter(window)
	return c.src.Word(token)
}

func (c *core) enter(window []int32) {
	if c.set && slices.Equal(window, c.current) {
		return
	}
	if len(window) != len(c.current) {
		panic(fmt.Sprintf("watermark: window of %d tokens under a scheme of %d", len(window), len(c.current)))
	}
	copy(c.current, window)
	c.src.SetWindow(window)
	c.set = true
}

// pieces takes words from a source piece by piece.
type pieces struct{ words []uint32 }

// of is the words of tokens from, from+1, ... below vocab, at most [piece] of them.
// The slice is valid until the next call.
func (p *pieces) of(src prf.Source, from, vocab int) []uint32 {
	if p.words == nil {
		p.words = make([]uint32, piece)
	}
	words := p.words[:min(piece, vocab-from)]
	src.Words(int32(from), words)
	return words
}

// left collects what truncation left of a vocabulary's logits.
type left struct {
	ids    []int32
	logits []float32
}

// fewShare: up to a 64th of a vocabulary, 3,000 tokens of 200,000, it is far cheaper to
// ask for a token's word alone (10 ns for gumbel, 180 for a self-hashed list) than for
// everybody's in a stream (1.2 and 13 ns), the search for them included.
const fewShare = 64

// of are the tokens whose logits are not -Inf, if these are few. The slices are valid
// until the next call.
func (l *left) of(all []float32) (ids []int32, logits []float32, few bool) {
	most := len(all) / fewShare
	if len(l.ids) < most {
		l.ids, l.logits = make([]int32, most), make([]float32, most)
	}
	const never = 0xff800000 // bits of -Inf
	n, from := 0, 0
	for from < len(all) {
		// What truncation leaves is rare: one branch for eight.
		for ; from+8 <= len(all); from += 8 {
			g := (*[8]float32)(all[from:])
			if (math.Float32bits(g[0])^never)|(math.Float32bits(g[1])^never)|(math.Float32bits(g[2])^never)|(math.Float32bits(g[3])^never)|
				(math.Float32bits(g[4])^never)|(math.Float32bits(g[5])^never)|(math.Float32bits(g[6])^never)|(math.Float32bits(g[7])^never) != 0 {
				break
			}
		}
		for end := min(from+8, len(all)); from < end; from++ {
			if math.Float32bits(all[from]) == never {
				continue
			}
			if n == most {
				return nil, nil, false
			}
			l.ids[n], l.logits[n] = int32(from), all[from]
			n++
		}
	}
	return l.ids[:n], l.logits[:n], true
}

// begin puts the source under the window of the next step and reports whether
// that step is marked.
func (c *core) begin(history []int32) bool {
	window, ok := c.WindowOf(history)
	if !ok || c.spec.Params.Repeats == MaskRepeats && occursBefore(history, window) || !c.ours(window) {
		return false
	}
	c.enter(window)
	return true
}

// occursBefore reports whether the window at the end of history stands anywhere
// earlier in it. Comparing the last token first makes it a scan at less than a
// nanosecond a token: nothing beside sampling, and no state to keep.
func occursBefore(history, window []int32) bool {
	h := len(window)
	if h == 0 {
		return false // nothing to repeat: the words are those of every step
	}
	last := window[h-1]
	for i := len(history) - 2; i >= h-1; i-- {
		if history[i] == last && slices.Equal(history[i-h+1:i+1], window) {
			return true
		}
	}
	return false
}

// Windowed reports whether the generator of a scheme sees the whole window and nothing
// else beside the token: then words under different windows are independent, and text
// that was chosen under some windows says nothing of the words under another. It is
// false for schemes that boil a window down to a seed, which other windows share, and
// for a single list.
func Windowed(s Scheme) bool {
	_, boiled := s.(seeded)
	return !boiled && s.Window() > 0
}
