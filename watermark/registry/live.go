package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Live is the newest state of a registry that others write, for a server that
// asks it at every request. It is safe for concurrent use.
type Live struct{ newest atomic.Pointer[Registry] }

// PollEvery is how often a [Live] registry is best asked whether it changed: one
// stat a second costs nothing, and handovers that must be sharper are scheduled
// ([Move].At) and need no reading at all.
const PollEvery = time.Second

// Watch loads a registry and goes on to read it again, about every interval in
// which its log has changed, until ctx ends. Keys that were opened before are not
// opened again.
//
// A registry that cannot be read leaves the last good one in force, and report is
// called with the reason, once for each change; with nil when it can be read
// again. report must not block.
func Watch(ctx context.Context, dir string, interval time.Duration, report func(error)) (*Live, error) {
	r, err := Load(dir)
	if err != nil {
		return nil, err
	}
	l := &Live{}
	l.newest.Store(r)
	go l.follow(ctx, interval, report)
	return l, nil
}

// Registry is the newest registry.
func (l *Live) Registry() *Registry { return l.newest.Load() }

func (l *Live) follow(ctx context.Context, interval time.Duration, report func(error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := l.refresh()
		switch {
		case err != nil && err.Error() != failed:
			failed = err.Error()
			report(fmt.Errorf("the registry cannot be read again, the last state stays in force: %w", err))
		case err == nil && changed && failed != "":
			failed = ""
			report(nil)
		}
	}
}

// ErrRewritten: the log is no longer what it was, with or without new lines.
var ErrRewritten = errors.New("the registry's log does not hold what was read before: it was replaced, or cut off")

// extends reports whether a log begins with that of before.
func (r *Registry) extends(before *Registry) bool {
	n := len(before.events)
	if len(r.events) == n {
		return r.head == before.head
	}
	return len(r.events) > n && r.events[n].Previous == before.head
}

// refresh reads the registry if its log is another than before.
func (l *Live) refresh() (changed bool, err error) {
	before := l.newest.Load()
	info, err := os.Stat(filepath.Join(before.dir, logName))
	if err != nil {
		return false, err
	}
	if os.SameFile(info, before.log) && info.Size() == before.log.Size() && info.ModTime().Equal(before.log.ModTime()) {
		return false, nil
	}
	r, err := load(before.dir, before)
	if err != nil {
		return false, err
	}
	if !r.extends(before) {
		return false, ErrRewritten
	}
	l.newest.Store(r)
	return true, nil
}
