// Package collect has a target write texts and keeps them in a file, so that an
// interruption loses none: the sampling of the strength benchmark, where the probe
// runner, with its plan and its evidence, would be too much.
//
// It may import probe/endpoint, probe/ledger and the standard library.
package collect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Prompt is one thing to ask.
type Prompt struct{ ID, Text string }

// Reply is one line of the file: what "watermark detect" reads, and how it came
// about. Content is never asked for twice: a refusal is a reply without text.
type Reply struct {
	ID      string         `json:"id"`
	Prompt  string         `json:"prompt"`
	Text    string         `json:"text"`
	Outcome ledger.Outcome `json:"outcome"`
	Target  string         `json:"target"` // its model
	Params  ledger.Params  `json:"params"`
}

// Options say what is asked and how.
type Options struct {
	Target      ledger.Target
	Prompts     []Prompt
	Params      ledger.Params
	Concurrency int
	// Path is the file; empty for none. What it holds is not asked again.
	Path string
	// Progress, if set, is told of replies: one call at a time.
	Progress func(done, total int)

	client  endpoint.Options // for tests
	backoff endpoint.Backoff
}

// Error is a collection that cannot begin: nothing was sent.
type Error struct{ Problem string }

func (e *Error) Error() string { return e.Problem }

// ExitCode is that of usage errors.
func (e *Error) ExitCode() int { return 2 }

// Collect asks every prompt once and returns the replies in the order of the
// prompts. On an error what came is in the file.
func Collect(ctx context.Context, opt Options) ([]Reply, error) {
	c, err := endpoint.New(opt.Target, opt.client)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	replies := make([]Reply, len(opt.Prompts))
	store := &store{}
	if opt.Path != "" {
		if store, err = open(opt, replies); err != nil {
			return nil, err
		}
		defer store.close()
	}
	var todo []int
	for i, r := range replies {
		if r.ID == "" {
			todo = append(todo, i)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu      sync.Mutex
		done    = len(replies) - len(todo)
		next    int
		workers sync.WaitGroup
		reached atomic.Bool
	)
	for range min(max(opt.Concurrency, 1), len(todo)) {
		workers.Go(func() {
			for {
				mu.Lock()
				if next == len(todo) || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				i := todo[next]
				next++
				mu.Unlock()
				a, err := ask(ctx, c, opt, opt.Prompts[i], &reached)
				if err != nil {
					cancel(err)
					return
				}
				r := Reply{opt.Prompts[i].ID, opt.Prompts[i].Text, a.Reply.Text, a.Meta.Outcome, opt.Target.Model, opt.Params}
				if r.Outcome != ledger.OK {
					r.Text = ""
				}
				mu.Lock()
				replies[i] = r
				err = store.add(r)
				done++
				if opt.Progress != nil {
					opt.Progress(done, len(replies))
				}
				mu.Unlock()
				if err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		kept := "nothing was kept, since no file was named"
		if opt.Path != "" {
			kept = fmt.Sprintf("%d of %d replies are in %s, the same command goes on", done, len(replies), opt.Path)
		}
		return nil, fmt.Errorf("%w (%s)", err, kept)
	}
	return replies, nil
}

// ask sends a prompt until there is a reply. Faults of the way are tried again,
// content is not. A target that nothing ever reached is given up after two tries.
func ask(ctx context.Context, c *endpoint.Client, opt Options, p Prompt, reached *atomic.Bool) (endpoint.Attempt, error) {
	begun := time.Now()
	for try := 1; ; try++ {
		a := c.Send(ctx, endpoint.Request{Item: p.ID, Prompt: p.Text, Params: opt.Params})
		outcome := a.Meta.Outcome
		if a.Meta.Status != 0 {
			reached.Store(true)
		}
		stop := func(hint string) error {
			return &endpoint.TargetError{Target: opt.Target.Name, Outcome: outcome, Detail: a.Meta.Detail, Hint: hint}
		}
		switch {
		case outcome == ledger.Auth:
			hint := "check the API key"
			if opt.Target.APIKeyEnv != "" {
				hint = "set " + opt.Target.APIKeyEnv + " to a valid API key"
			}
			return a, stop(hint)
		case outcome == ledger.Quota:
			return a, stop("top up the account")
		case outcome == ledger.Rejected:
			return a, stop("it does not take the request as sent: try other --max-tokens or leave --temperature out")
		case outcome == ledger.Cancelled:
			return a, context.Cause(ctx)
		case !outcome.Retryable():
			return a, nil
		case try == 2 && !reached.Load():
			return a, stop("check the base URL and that the server is running")
		case try == endpoint.MaxTries || time.Since(begun) > endpoint.MaxElapsed || a.RetryAfter > endpoint.MaxRetryAfter:
			return a, stop("try again later")
		}
		select {
		case <-time.After(max(a.RetryAfter, opt.backoff.Delay(p.ID, try))):
		case <-ctx.Done():
			return a, context.Cause(ctx)
		}
	}
}

// store is the file; the zero store keeps nothing.
type store struct{ f *os.File }

// open fills in the replies that the file holds. Half a line at its end, which
// kill -9 may leave, is cut off; any other damage is an error.
func open(opt Options, replies []Reply) (*store, error) {
	f, err := os.OpenFile(opt.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &store{f}
	if err := s.load(opt, replies); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// maxLine bounds a line of the file: a reply of 16 MiB, escaped.
const maxLine = 100 << 20

func (s *store) load(opt Options, replies []Reply) error {
	r := bufio.NewReader(s.f)
	var whole int64
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if err := s.f.Truncate(whole); err != nil {
				return err
			}
			_, err := s.f.Seek(whole, io.SeekStart)
			return err
		}
		if err != nil {
			return err
		}
		whole += int64(len(line))
		bad := func(format string, args ...any) error {
			return &Error{fmt.Sprintf("%s, line %d: %s; name another file", opt.Path, number, fmt.Sprintf(format, args...))}
		}
		if len(line) > maxLine {
			return bad("it is longer than %d bytes", maxLine)
		}
		var reply Reply
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&reply); err != nil {
			return bad("it is no reply of a target: %v", err)
		}
		i := slices.IndexFunc(opt.Prompts, func(p Prompt) bool { return p.ID == reply.ID && p.Text == reply.Prompt })
		switch {
		case reply.Target != opt.Target.Model:
			return bad("it is a reply of %s, not of %s", reply.Target, opt.Target.Model)
		case !reflect.DeepEqual(reply.Params, opt.Params):
			return bad("it was asked for with other settings")
		case i < 0: // fewer prompts than last time
			continue
		}
		replies[i] = reply
	}
}

func (s *store) add(r Reply) error {
	if s.f == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := s.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keeping a reply: %w", err)
	}
	return s.f.Sync()
}

func (s *store) close() {
	if s.f != nil {
		s.f.Close()
	}
}
