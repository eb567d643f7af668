package watermark

import "fmt"

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
// A window of h tokens costs 4h to 5h bytes and 5.3 to 10.7 bytes of table.
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

// Has reports whether the window was served. A window of another length never was.
func (s *WindowSet) Has(window []int32) bool {
	return len(window) == s.windows.stride && s.windows.has(window)
}

// Len is the number of distinct windows.
func (s *WindowSet) Len() int { return s.windows.len() }
