package prf

// Source yields one 32-bit word for each (context window, token) under one key.
//
// A Source carries the window and its scratch space and is therefore not safe
// for concurrent use: give each goroutine its own Clone. No method allocates
// once the largest vocabulary has been seen.
//
// Words asked for before the first SetWindow are those of the empty window.
type Source interface {
	// SetWindow absorbs the context window, oldest token first. Later calls
	// of Word and Words are under this window. The slice is not retained.
	SetWindow(window []int32)
	// Word is the word of one token, any int32, under the window.
	Word(token int32) uint32
	// Words fills dst with the words of tokens 0 .. len(dst)-1 under the
	// window: dst[t] == Word(t), but as one stream.
	Words(dst []uint32)
	// Clone returns an independent Source under the same key and window.
	Clone() Source
}
