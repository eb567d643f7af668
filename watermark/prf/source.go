package prf

// Source yields one 32-bit word for each (context window, token) under one key.
//
// A Source carries the window and its scratch space and is therefore not safe
// for concurrent use: give each goroutine its own Clone. Apart from Clone no method
// allocates, with one exception that [AESCTR.Words] names.
//
// Words asked for before the first SetWindow are those of the empty window.
type Source interface {
	// SetWindow absorbs the context window, oldest token first. Later calls
	// of Word and Words are under this window. The slice is not retained.
	SetWindow(window []int32)
	// Word is the word of one token, any int32, under the window.
	Word(token int32) uint32
	// Words fills words with those of tokens first, first+1, ... under the
	// window; first is a multiple of 4. A vocabulary costs 20 to 200 times less
	// than word by word; in pieces of some thousand words, in ascending order,
	// they do not leave the first cache.
	Words(first int32, words []uint32)
	// Clone returns an independent Source under the same key and window.
	Clone() Source
}

func checkFirst(first int32) {
	if first&3 != 0 {
		panic("prf: words of a range that does not begin at a multiple of 4")
	}
}
