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
	// of Word and Stream are under this window. The slice is not retained.
	SetWindow(window []int32)
	// Word is the word of one token, any int32, under the window.
	Word(token int32) uint32
	// Stream is the words of tokens 0 .. vocab-1 under the window, as 4*vocab
	// bytes, little-endian: bytes 4t .. 4t+3 are Word(t). It is produced in
	// one go, 20 to 60 times faster than word by word. The slice belongs to
	// the Source and is valid until its next Stream.
	Stream(vocab int) []byte
	// Clone returns an independent Source under the same key and window.
	Clone() Source
}
