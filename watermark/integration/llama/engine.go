package llama

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// Step is given the logits of the next token, which it may change and must not
// keep, and says which token it is. false ends the reply: that token is not
// decoded. It runs on the engine's goroutine, between two batches.
type Step func(logits []float32) (token int32, more bool)

// Generate decodes a prompt and then the tokens that step chooses, until step ends
// the reply, the context is full (which is no error), or ctx is done.
func (m *Model) Generate(ctx context.Context, prompt []int32, step Step) error {
	if len(prompt) == 0 {
		return errors.New("a prompt of no tokens: nothing comes before the first one")
	}
	if len(prompt) > m.context {
		return fmt.Errorf("%w: %d tokens, where %d have room", ErrTooLong, len(prompt), m.context)
	}
	for _, id := range prompt {
		if id < 0 || int(id) >= m.width {
			return fmt.Errorf("token id %d is outside the vocabulary of %d", id, m.width)
		}
	}
	j := &job{ctx: ctx, prompt: prompt, step: step, done: make(chan error, 1)}
	select {
	case m.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-m.stop:
		return ErrClosed
	}
	return <-j.done
}

type job struct {
	ctx    context.Context
	prompt []int32
	step   Step
	done   chan error
}

// slot is a sequence of the context.
type slot struct {
	job     *job
	cached  []int32 // what the cache holds, the token of position i at i
	pending []int32 // what is to be decoded next
	row     int32   // of the logits in the batch, -1 where more of the prompt is to come
	used    int64   // when its last reply began: the oldest is given up first
}

// engine owns the context: one goroutine calls llama.cpp.
type engine struct {
	ctx      llama.Context
	memory   llama.Memory
	batch    llama.Batch
	capacity int
	width    int
	room     int
	slots    []slot
	active   int
	clock    int64
}

func (e *engine) run(jobs <-chan *job, stop <-chan struct{}) {
	defer func() {
		for i := range e.slots {
			if e.slots[i].job != nil {
				e.finish(&e.slots[i], ErrClosed)
			}
		}
		llama.BatchFree(e.batch)
		llama.Free(e.ctx)
	}()
	for {
		if e.active == 0 {
			select {
			case j := <-jobs:
				e.admit(j)
			case <-stop:
				return
			}
		}
		for e.active < len(e.slots) {
			select {
			case j := <-jobs:
				e.admit(j)
				continue
			case <-stop:
				return
			default:
			}
			break
		}
		e.step()
	}
}

// admit gives a prompt the free sequence whose cache goes furthest along it, or
// else the one that was used longest ago.
func (e *engine) admit(j *job) {
	best, shared := -1, -1
	for i := range e.slots {
		s := &e.slots[i]
		if s.job != nil {
			continue
		}
		n := common(s.cached, j.prompt)
		if n > shared || n == shared && s.used < e.slots[best].used {
			best, shared = i, n
		}
	}
	s := &e.slots[best]
	// The last token is decoded again even where it is cached: its logits are not.
	shared = min(shared, len(j.prompt)-1)
	if _, err := llama.MemorySeqRm(e.memory, llama.SeqId(best), llama.Pos(shared), -1); err != nil {
		j.done <- fmt.Errorf("clearing the cache: %w", err)
		return
	}
	e.clock++
	e.active++
	s.job, s.used = j, e.clock
	s.cached = s.cached[:shared]
	s.pending = append(s.pending[:0], j.prompt[shared:]...)
}

func common(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// step decodes one batch, and asks the steps of the sequences whose logits came.
func (e *engine) step() {
	e.batch.Clear()
	for i := range e.slots {
		s := &e.slots[i]
		s.row = -1
		if s.job == nil {
			continue
		}
		if err := s.job.ctx.Err(); err != nil {
			e.finish(s, err)
			continue
		}
		n := min(len(s.pending), e.capacity-int(e.batch.NTokens))
		for k, id := range s.pending[:n] {
			last := k == len(s.pending)-1
			if last {
				s.row = e.batch.NTokens
			}
			if err := e.batch.Add(llama.Token(id), llama.Pos(len(s.cached)+k), []llama.SeqId{llama.SeqId(i)}, last); err != nil {
				panic(err) // the bounds above are wrong
			}
		}
		s.cached = append(s.cached, s.pending[:n]...)
		s.pending = append(s.pending[:0], s.pending[n:]...)
	}
	if e.batch.NTokens == 0 {
		return
	}
	if code, err := llama.Decode(e.ctx, e.batch); err != nil || code != 0 {
		for i := range e.slots {
			if s := &e.slots[i]; s.job != nil {
				e.finish(s, fmt.Errorf("llama_decode ended with code %d: %w", code, cmp.Or(err, errRefused)))
				s.cached = s.cached[:0]
				llama.MemorySeqRm(e.memory, llama.SeqId(i), 0, -1)
			}
		}
		return
	}
	for i := range e.slots {
		s := &e.slots[i]
		if s.job == nil || s.row < 0 {
			continue
		}
		logits, err := llama.GetLogitsIth(e.ctx, s.row, e.width)
		if err != nil || logits == nil {
			e.finish(s, fmt.Errorf("llama.cpp has no logits for row %d: %w", s.row, cmp.Or(err, errRefused)))
			continue
		}
		token, more := s.job.step(logits)
		if !more || len(s.cached) == e.room {
			e.finish(s, nil)
			continue
		}
		s.pending = append(s.pending[:0], token)
	}
}

func (e *engine) finish(s *slot, err error) {
	s.job.done <- err
	s.job, s.pending = nil, s.pending[:0]
	e.active--
}
