// Package llama runs GGUF models in the real llama.cpp, in this process, through
// its prebuilt shared libraries (yzma, purego: no cgo). It gives what a sampler
// gets: the full logits of every step.
//
// Replies are decoded side by side: one context holds several sequences, and a
// step of each is one batch. What a sequence holds in its cache when a reply ends
// stays there, so that a prompt that goes on where another ended costs its new
// tokens only.
package llama

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// load loads the libraries once in a process: llama.cpp has global state.
var load struct {
	sync.Mutex
	dir string
}

// Init loads llama.cpp's libraries from a folder, as .ci/install-llama lays it out.
// A second call with the same folder does nothing.
func Init(dir string) error {
	load.Lock()
	defer load.Unlock()
	switch load.dir {
	case dir:
		return nil
	case "":
	default:
		return fmt.Errorf("llama.cpp was loaded from %s; a process has one", load.dir)
	}
	if err := llama.Load(dir); err != nil {
		return fmt.Errorf("llama.cpp was not loaded from %s: %w", dir, err)
	}
	llama.LogSet(llama.LogSilent())
	llama.Init()
	load.dir = dir
	return nil
}

// Options of a model.
type Options struct {
	// Sequences is the number of replies that are decoded side by side, 8 if 0.
	Sequences int
	// Context is the room of one sequence in tokens, the model's own if 0.
	Context int
	// Threads is llama.cpp's, 1 if 0: small models spend more of them on waiting
	// for each other.
	Threads int
}

// Model is a loaded model with its context. Its methods may be called from any
// goroutine.
type Model struct {
	model   llama.Model
	vocab   llama.Vocab
	width   int
	context int
	end     int32
	jobs    chan *job
	done    chan struct{}
	stop    chan struct{}
	closed  sync.Once
}

// ErrTooLong is wrapped where a prompt leaves no room for a token.
var ErrTooLong = errors.New("the prompt does not fit into the context")

// errRefused stands for llama.cpp's own reason, which it only logs.
var errRefused = errors.New("it is refused")

// ErrClosed is what Generate returns on a closed model.
var ErrClosed = errors.New("the model is closed")

// Open loads a model; Init comes first. Close it.
func Open(path string, o Options) (*Model, error) {
	if o.Sequences == 0 {
		o.Sequences = 8
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	p := llama.ModelDefaultParams()
	p.NGpuLayers = 0
	model, err := llama.ModelLoadFromFile(path, p)
	if err != nil || model == 0 {
		return nil, fmt.Errorf("llama.cpp does not load %s: %w", path, cmp.Or(err, errRefused))
	}
	if o.Context == 0 {
		o.Context = int(llama.ModelNCtxTrain(model))
	}
	c := llama.ContextDefaultParams()
	c.NCtx = uint32(o.Context * o.Sequences)
	c.NSeqMax = uint32(o.Sequences)
	c.NBatch = uint32(max(o.Context, 512))
	c.NThreads, c.NThreadsBatch = int32(o.Threads), int32(o.Threads)
	ctx, err := llama.InitFromModel(model, c)
	if err != nil || ctx == 0 {
		llama.ModelFree(model)
		return nil, fmt.Errorf("llama.cpp makes no context of %d x %d tokens for %s: %w", o.Sequences, o.Context, path, cmp.Or(err, errRefused))
	}
	memory, err := llama.GetMemory(ctx)
	if err != nil {
		llama.Free(ctx)
		llama.ModelFree(model)
		return nil, fmt.Errorf("%s has no cache: %w", path, err)
	}
	vocab := llama.ModelGetVocab(model)
	m := &Model{
		model: model, vocab: vocab,
		width: int(llama.VocabNTokens(vocab)), context: o.Context, end: int32(llama.VocabEOS(vocab)),
		jobs: make(chan *job), done: make(chan struct{}), stop: make(chan struct{}),
	}
	e := &engine{
		ctx: ctx, memory: memory, width: m.width, room: o.Context,
		batch: llama.BatchInit(int32(c.NBatch), 0, 1), capacity: int(c.NBatch),
		slots: make([]slot, o.Sequences),
	}
	go func() {
		defer close(m.done)
		e.run(m.jobs, m.stop)
	}()
	return m, nil
}

// Close ends the replies under way and frees the model.
func (m *Model) Close() {
	m.closed.Do(func() {
		close(m.stop)
		<-m.done
		llama.ModelFree(m.model)
	})
}

// Vocab is the width of the logits.
func (m *Model) Vocab() int { return m.width }

// Context is the room of one reply with its prompt, in tokens.
func (m *Model) Context() int { return m.context }

// End is the token after which a reply is over.
func (m *Model) End() int32 { return m.end }

// Tokenize is the model's own tokenizer, without special tokens. Text with a byte 0
// is refused: llama.cpp reads C strings.
func (m *Model) Tokenize(text string) ([]int32, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("the text holds a byte 0")
	}
	if text == "" {
		return nil, nil
	}
	tokens := llama.Tokenize(m.vocab, text, false, false)
	ids := make([]int32, len(tokens))
	for i, t := range tokens {
		ids[i] = int32(t)
	}
	return ids, nil
}

// Piece appends the bytes of a token, which may be part of a character only.
func (m *Model) Piece(text []byte, id int32) []byte {
	var b [256]byte
	n := llama.TokenToPiece(m.vocab, llama.Token(id), b[:], 0, true)
	return append(text, b[:max(0, min(int(n), len(b)))]...)
}
