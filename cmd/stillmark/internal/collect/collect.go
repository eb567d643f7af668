// Package collect has a target write texts and keeps them in a file, so that an
// interruption loses none: the sampling of the strength benchmark, where the probe
// runner, with its plan and its evidence, would be too much.
//
// It may import probe/endpoint, probe/ledger, probe/wire and the standard library.
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
	q := &asker{client: c, target: opt.Target, backoff: opt.backoff}
	var mu sync.Mutex
	done := len(replies) - len(todo)
	err = each(ctx, len(todo), opt.Concurrency, func(ctx context.Context, k int) error {
		p := opt.Prompts[todo[k]]
		a, err := q.ask(ctx, endpoint.Request{Item: p.ID, Prompt: p.Text, Params: opt.Params})
		if err != nil {
			return err
		}
		r := Reply{p.ID, p.Text, a.Reply.Text, a.Meta.Outcome, opt.Target.Model, opt.Params}
		if r.Outcome != ledger.OK {
			r.Text = ""
		}
		mu.Lock()
		defer mu.Unlock()
		replies[todo[k]] = r
		done++
		if opt.Progress != nil {
			opt.Progress(done, len(replies))
		}
		return store.add(r)
	})
	if err != nil {
		kept := "nothing was kept, since no file was named"
		if opt.Path != "" {
			kept = fmt.Sprintf("%d of %d replies are in %s, the same command goes on", done, len(replies), opt.Path)
		}
		return nil, fmt.Errorf("%w (%s)", err, kept)
	}
	return replies, nil
}

// each does n jobs, so many at a time, and ends with the first error.
func each(ctx context.Context, n, concurrency int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		workers sync.WaitGroup
	)
	for range min(max(concurrency, 1), n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// asker puts requests to a target.
type asker struct {
	client  *endpoint.Client
	target  ledger.Target
	backoff endpoint.Backoff
	reached atomic.Bool
}

// ask sends a request until there is a reply. Faults of the way are tried again,
// content is not. A target that nothing ever reached is given up after two tries.
func (q *asker) ask(ctx context.Context, r endpoint.Request) (endpoint.Attempt, error) {
	begun := time.Now()
	for try := 1; ; try++ {
		a := q.client.Send(ctx, r)
		outcome := a.Meta.Outcome
		if a.Meta.Status != 0 {
			q.reached.Store(true)
		}
		stop := func(hint string) error {
			return &endpoint.TargetError{Target: q.target.Name, Outcome: outcome, Detail: a.Meta.Detail, Hint: hint}
		}
		switch {
		case outcome == ledger.Auth:
			hint := "check the API key"
			if q.target.APIKeyEnv != "" {
				hint = "set " + q.target.APIKeyEnv + " to a valid API key"
			}
			return a, stop(hint)
		case outcome == ledger.Quota:
			return a, stop("top up the account")
		case outcome == ledger.Rejected:
			return a, stop("it does not take the request as sent")
		case outcome == ledger.Cancelled:
			return a, context.Cause(ctx)
		case !outcome.Retryable():
			return a, nil
		case try == 2 && !q.reached.Load():
			return a, stop("check the base URL and that the server is running")
		case try == endpoint.MaxTries || time.Since(begun) > endpoint.MaxElapsed || a.RetryAfter > endpoint.MaxRetryAfter:
			return a, stop("try again later")
		}
		select {
		case <-time.After(max(a.RetryAfter, q.backoff.Delay(r.Item, try))):
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
