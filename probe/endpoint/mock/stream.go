package mock

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// stream answers with server-sent events: the role first (chat), a chunk per
// piece of text, one with the finish reason, one with the usage if asked for,
// and [DONE].
func (p *reply) stream() {
	h := p.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	var (
		held   []byte  // bytes of a rune that is not whole yet
		behind []Piece // pieces whose text is in held
		offset int
		start  = func() {
			if p.q.chat && p.sent == 0 {
				p.chunk(p.envelope(chatChoice{Delta: &message{Role: "assistant"}}))
			}
		}
	)
	// send releases the whole runes of what is held; with all, the rest, too.
	send := func(all bool) {
		n := len(held)
		if !all {
			n = wholeRunes(held)
		}
		if n == 0 && (!all || len(behind) == 0) {
			return
		}
		text := strings.ToValidUTF8(string(held[:n]), "\uFFFD")
		p.chunk(p.envelope(p.choice(text, behind, offset, nil)))
		offset += utf8.RuneCountInString(text)
		held, behind = append(held[:0], held[n:]...), behind[:0]
	}
	finish, err := p.run(func(piece Piece) error {
		start()
		held = append(held, piece.Text...)
		if p.q.gen.Logprobs >= 0 {
			behind = append(behind, piece)
		}
		send(false)
		p.afterPieces()
		return p.err
	})
	if err != nil {
		p.fail(err)
		return
	}
	start()
	send(true)
	p.chunk(p.envelope(p.choice("", nil, offset, p.finish(finish))))
	if p.q.wantUsage && !p.person.NoUsage {
		e := p.envelope()
		e.Usage = p.usage()
		p.chunk(e)
	}
	if p.fault.Kind != FaultNoDone {
		p.write([]byte("data: [DONE]\n\n"))
	}
	p.end()
}

// wholeRunes is how many bytes of b are not part of a rune whose end may still
// come. Bytes that are no UTF-8 count as whole.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// chunk writes one event.
func (p *reply) chunk(e envelope) {
	b := append([]byte("data: "), p.encode(e)...)
	b = append(b, "\n\n"...)
	if p.fault.Kind == FaultComments {
		p.write([]byte(strings.Repeat(": keep-alive\n\n", p.fault.Count)))
	}
	p.write(b)
	if p.fault.Kind == FaultDuplicate {
		p.write(b)
	}
	// A fast generator would cost a system call per token; what is older than
	// two milliseconds goes out.
	if now := time.Now(); now.Sub(p.flushed) > 2*time.Millisecond {
		p.flush()
		p.flushed = now
	}
}

// afterPieces plays the faults that come after a number of pieces.
func (p *reply) afterPieces() {
	if p.fault.AfterPieces == 0 || p.pieces != p.fault.AfterPieces || p.err != nil {
		return
	}
	switch p.fault.Kind {
	case FaultDrop:
		p.err = errDropped
	case FaultCut:
		p.err = errCut
	case FaultHang:
		p.flush()
		p.server.wait(p.r, 0)
		p.err = errDropped
	}
}

// write writes to the body, and drops or cuts it where the fault says. After an
// error it does nothing.
func (p *reply) write(b []byte) {
	if p.err != nil {
		return
	}
	if left := p.fault.AfterBytes - p.sent; p.fault.AfterPieces == 0 && len(b) > left {
		switch p.fault.Kind {
		case FaultDrop:
			b, p.err = b[:left], errDropped
		case FaultCut:
			b, p.err = b[:left], errCut
		}
	}
	n, err := p.w.Write(b)
	p.sent += n
	if err != nil {
		p.err = errDropped
	}
}

// end writes what follows a reply and ends it as the fault says. A drop that is
// placed after the last byte drops the connection instead of ending the body.
func (p *reply) end() {
	if p.fault.Kind == FaultTrailing {
		p.write([]byte(p.fault.Body))
	}
	if p.fault.Kind == FaultDrop && p.err == nil {
		p.err = errDropped
	}
	if p.err == errDropped {
		p.flush()
		panic(http.ErrAbortHandler)
	}
}

func (p *reply) flush() {
	// A writer that cannot flush delivers later; nothing is lost by it.
	_ = http.NewResponseController(p.w).Flush()
}
