package main

/*
#include <stddef.h>
#include <stdint.h>
*/
import "C"

import (
	"encoding/json"
	"math"
	"sync"
	"unsafe"

	"github.com/stillmark/stillmark/watermark"
)

func main() {}

// The error codes of stillmark.h.
const (
	ok             = 0
	errArgument    = 1
	errHandle      = 2
	errKey         = 3
	errUnsupported = 4
	errToken       = 5
	errInternal    = 6
)

var messages = map[C.int]string{
	ok:             "no error",
	errArgument:    "a pointer is null, or a length does not fit the key's vocabulary",
	errHandle:      "there is no such handle: it was never opened, or is closed",
	errKey:         "the key file cannot be read, may be read by others (its mode must be 0600), or is no key file; stillmark key show says more",
	errUnsupported: "the key's scheme has no such thing: a green list per context, or Gumbel noise",
	errToken:       "a token id is outside the key's vocabulary",
	errInternal:    "a defect of libstillmark: please report it",
}

// open holds what handles stand for.
var open = struct {
	sync.RWMutex
	last    uint64
	handles map[uint64]*handle
}{handles: map[uint64]*handle{}}

// handle is an open key.
type handle struct {
	spec  []byte
	vocab int
	width int
	first watermark.Scheme
	pool  sync.Pool // of copies of the mark, one for each call under way
}

func (h *handle) take() watermark.Scheme {
	if s, ok := h.pool.Get().(watermark.Scheme); ok {
		return s
	}
	return h.first.Clone()
}

// with runs a call on a copy of the handle's mark; a panic ends in an error code.
func with(id C.uint64_t, do func(h *handle, s watermark.Scheme) C.int) (code C.int) {
	open.RLock()
	h := open.handles[uint64(id)]
	open.RUnlock()
	if h == nil {
		return errHandle
	}
	s := h.take()
	defer func() {
		if recover() != nil {
			code = errInternal // and the copy is not used again
			return
		}
		h.pool.Put(s)
	}()
	return do(h, s)
}

// slice is n elements of C memory; ok is false for a null pointer with elements.
func slice[T any](p *T, n C.size_t) ([]T, bool) {
	if n == 0 {
		return nil, true
	}
	if p == nil || uint64(n) > math.MaxInt32 {
		return nil, false
	}
	return unsafe.Slice(p, int(n)), true
}

// ids are token ids in C memory.
func ids(p *C.int32_t, n C.size_t) ([]int32, bool) { return slice((*int32)(unsafe.Pointer(p)), n) }

// inside reports whether all ids are of the vocabulary.
func (h *handle) inside(ids []int32) bool {
	for _, id := range ids {
		if id < 0 || int(id) >= h.vocab {
			return false
		}
	}
	return true
}

// text writes a string with its final 0 into size bytes, cut where it must be.
func text(s string, p *C.char, size C.size_t) {
	out, fine := slice((*byte)(unsafe.Pointer(p)), size)
	if !fine || len(out) == 0 {
		return
	}
	out[copy(out[:len(out)-1], s)] = 0
}

//export stillmark_message
func stillmark_message(code C.int, p *C.char, size C.size_t) C.size_t {
	s, known := messages[code]
	if !known {
		s = "an error code that this version does not know"
	}
	text(s, p, size)
	return C.size_t(len(s))
}

//export stillmark_open
func stillmark_open(path *C.char, out *C.uint64_t) (code C.int) {
	defer func() {
		if recover() != nil {
			code = errInternal
		}
	}()
	if path == nil || out == nil {
		return errArgument
	}
	key, err := watermark.LoadKey(C.GoString(path))
	if err != nil {
		return errKey
	}
	mark, err := key.Mark()
	if err != nil {
		return errKey
	}
	public, err := json.Marshal(struct {
		ID   string         `json:"id"`
		Spec watermark.Spec `json:"spec"`
	}{key.ID, key.Spec})
	if err != nil {
		return errInternal
	}
	h := &handle{spec: public, vocab: key.Vocab, width: mark.Window(), first: mark}
	open.Lock()
	open.last++
	open.handles[open.last] = h
	*out = C.uint64_t(open.last)
	open.Unlock()
	return ok
}

//export stillmark_close
func stillmark_close(id C.uint64_t) C.int {
	open.Lock()
	defer open.Unlock()
	if open.handles[uint64(id)] == nil {
		return errHandle
	}
	delete(open.handles, uint64(id))
	return ok
}

//export stillmark_spec
func stillmark_spec(id C.uint64_t, p *C.char, size C.size_t, length *C.size_t) C.int {
	return with(id, func(h *handle, _ watermark.Scheme) C.int {
		if length == nil {
			return errArgument
		}
		*length = C.size_t(len(h.spec))
		text(string(h.spec), p, size)
		return ok
	})
}

//export stillmark_vocab
func stillmark_vocab(id C.uint64_t, out *C.int32_t) C.int {
	return with(id, func(h *handle, _ watermark.Scheme) C.int {
		if out == nil {
			return errArgument
		}
		*out = C.int32_t(h.vocab)
		return ok
	})
}

//export stillmark_window
func stillmark_window(id C.uint64_t, out *C.int32_t) C.int {
	return with(id, func(h *handle, _ watermark.Scheme) C.int {
		if out == nil {
			return errArgument
		}
		*out = C.int32_t(h.width)
		return ok
	})
}

//export stillmark_green_mask
func stillmark_green_mask(id C.uint64_t, history *C.int32_t, tokens C.size_t, mask *C.int32_t, words C.size_t, bias *C.float, marked *C.int) C.int {
	return with(id, func(h *handle, s watermark.Scheme) C.int {
		past, fine := ids(history, tokens)
		out, room := slice((*uint32)(unsafe.Pointer(mask)), words)
		if !fine || !room || marked == nil || bias == nil || len(out) != watermark.MaskWords(h.vocab) {
			return errArgument
		}
		lister, has := watermark.Lister(s)
		switch {
		case !has:
			return errUnsupported
		case !h.inside(past):
			return errToken
		}
		*bias = C.float(lister.Bias())
		*marked = boolean(lister.GreenMask(past, out))
		return ok
	})
}

//export stillmark_gumbel_noise
func stillmark_gumbel_noise(id C.uint64_t, history *C.int32_t, tokens C.size_t, candidates *C.int32_t, n C.size_t, noise *C.float, marked *C.int) C.int {
	return with(id, func(h *handle, s watermark.Scheme) C.int {
		past, fine := ids(history, tokens)
		list, fineToo := ids(candidates, n)
		out, room := slice((*float32)(unsafe.Pointer(noise)), n)
		if !fine || !fineToo || !room || marked == nil {
			return errArgument
		}
		noiser, has := s.(watermark.Noiser)
		switch {
		case !has:
			return errUnsupported
		case !h.inside(past) || !h.inside(list):
			return errToken
		}
		*marked = boolean(noiser.Noise(past, list, out))
		return ok
	})
}

//export stillmark_process
func stillmark_process(id C.uint64_t, history *C.int32_t, tokens C.size_t, logits *C.float, vocab C.size_t) C.int {
	return with(id, func(h *handle, s watermark.Scheme) C.int {
		past, fine := ids(history, tokens)
		out, room := slice((*float32)(unsafe.Pointer(logits)), vocab)
		if !fine || !room || len(out) != h.vocab {
			return errArgument
		}
		if !h.inside(past) {
			return errToken
		}
		s.Process(past, out)
		return ok
	})
}

//export stillmark_process_candidates
func stillmark_process_candidates(id C.uint64_t, history *C.int32_t, tokens C.size_t, candidates *C.int32_t, logits *C.float, n C.size_t) C.int {
	return with(id, func(h *handle, s watermark.Scheme) C.int {
		past, fine := ids(history, tokens)
		list, fineToo := ids(candidates, n)
		out, room := slice((*float32)(unsafe.Pointer(logits)), n)
		if !fine || !fineToo || !room {
			return errArgument
		}
		if !h.inside(past) || !h.inside(list) {
			return errToken
		}
		s.ProcessCandidates(past, list, out)
		return ok
	})
}

//export stillmark_score
func stillmark_score(id C.uint64_t, prompt *C.int32_t, promptTokens C.size_t, tokens *C.int32_t, n C.size_t, scores *C.double) C.int {
	return with(id, func(_ *handle, s watermark.Scheme) C.int {
		before, fine := ids(prompt, promptTokens)
		list, fineToo := ids(tokens, n)
		out, room := slice((*float64)(unsafe.Pointer(scores)), n)
		if !fine || !fineToo || !room {
			return errArgument
		}
		for i, t := range watermark.ScoreTokens(s, watermark.Item{Prompt: before, Tokens: list}) {
			out[i] = math.NaN()
			if t.Fate == watermark.FateScored {
				out[i] = t.Score
			}
		}
		return ok
	})
}

func boolean(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
