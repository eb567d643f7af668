package watermark

import (
	"fmt"
	"strconv"
)

// WindowSet is an exact set of the context windows of text that was served, to
// be asked as Options.Keep: a rival can only have learned what followed windows
// that it saw.
//
// It holds windows and nothing else, and Keep is given nothing else to ask,
// for a reason. The pairs (window, token) of marked text are mostly high-scoring
// pairs, because the mark chose them. A filter that keeps a rival's pair if the
// pair was served therefore selects high scores under the true key from any
// text in the language: every innocent turns out guilty. Whether a window was
// served says nothing about the words of the tokens after it.
//
// That last sentence is exact for one unit; which windows appear in marked text
// still depends on the key through other units. A filtered result is therefore
// a secondary one, beside the unfiltered test on which a claim rests.
//
// A window of h tokens costs 4h to 5h bytes and 6.7 to 13.3 bytes of table.
type WindowSet struct{ windows tuples }

// NewWindowSet makes an empty set of windows of h tokens, h >= 1.
func NewWindowSet(h int) *WindowSet {
	if h < 1 {
		panic(fmt.Sprintf("watermark: window set of %d tokens", h))
	}
	return &WindowSet{windows: newTuples(h)}
}

// Add puts every window of one served reply (its generated tokens) that was
// followed by a token into the set.
func (s *WindowSet) Add(ids []int32) {
	h := s.windows.stride
	for i := h; i < len(ids); i++ {
		s.windows.insert(ids[i-h : i])
	}
}

// Insert puts one window of the set's length into it.
func (s *WindowSet) Insert(window []int32) {
	if len(window) != s.windows.stride {
		panic(fmt.Sprintf("watermark: window of %d tokens in a set of windows of %d", len(window), s.windows.stride))
	}
	s.windows.insert(window)
}

// Has reports whether the window was served. A window of another length never was.
func (s *WindowSet) Has(window []int32) bool {
	return len(window) == s.windows.stride && s.windows.has(window)
}

// Window is the number of tokens of a window.
func (s *WindowSet) Window() int { return s.windows.stride }

// Len is the number of distinct windows.
func (s *WindowSet) Len() int { return s.windows.len() }

// At is window i in the order in which they came. It must not be written to.
func (s *WindowSet) At(i int) []int32 { return s.windows.at(i) }

// Cutter cuts the context windows out of texts, as a scheme does when it marks and
// a [Detector] when it scores. It is for one goroutine.
type Cutter struct {
	conv     convention
	bos      int32
	history  []int32
	windowOf func(history []int32) ([]int32, bool)
}

// NewCutter cuts by a scheme's rules: padding, windows that reach into the prompt, a
// leading BOS. It clones the scheme.
func NewCutter(s Scheme) *Cutter { return newCutter(s.Clone()) }

func newCutter(s Scheme) *Cutter {
	return &Cutter{conv: convention{width: s.Window(), prompt: s.Spec().Params.Contexts == WithPrompt}, bos: bosOf(s.Spec()), windowOf: s.WindowOf}
}

// NewPlainCutter cuts windows of h generated tokens, 1 <= h <= 64, as native schemes
// have them by default: what is needed of a key where the key itself must not be.
func NewPlainCutter(h int) (*Cutter, error) {
	if h < 1 || h > maxWindow {
		return nil, fmt.Errorf("windows of %d tokens: a scheme has 1 to %d", h, maxWindow)
	}
	conv := convention{width: h, first: h}
	return &Cutter{conv: conv, bos: -1, windowOf: func(history []int32) ([]int32, bool) { return conv.window(history, nil) }}, nil
}

// Window is the number of tokens of a window.
func (c *Cutter) Window() int { return c.conv.width }

// Each calls yield with the window of every token of the item that has one, in
// order. The slice is valid until yield returns.
func (c *Cutter) Each(it Item, yield func(window []int32)) {
	text, at := c.text(it)
	for i := at; i < len(text); i++ {
		if window, ok := c.windowOf(text[:i]); ok {
			yield(window)
		}
	}
}

// text is what windows of the item are cut from, and where its tokens begin in it.
func (c *Cutter) text(it Item) (text []int32, at int) {
	tokens := it.Tokens
	if c.bos >= 0 && len(tokens) > 0 && tokens[0] == c.bos {
		tokens = tokens[1:]
	}
	if !c.conv.prompt || len(it.Prompt) == 0 {
		return tokens, 0
	}
	c.history = append(append(c.history[:0], it.Prompt...), tokens...)
	return c.history, len(it.Prompt)
}

// bosOf is the id that a text may begin with and that is no part of it; -1 if none.
func bosOf(s Spec) int32 {
	if id, err := strconv.ParseInt(s.Params.Preset.Get("bos"), 10, 32); err == nil {
		return int32(id)
	}
	return -1
}
