package registry

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestWatch: steps of another process are seen, damage is reported and the last
// good state stays.
func TestWatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "a")
	b.commit()
	b.clock.pass(time.Minute)
	reports := make(chan error, 10)
	live, err := Watch(t.Context(), b.dir, time.Millisecond, func(err error) { reports <- err })
	b.must(err)
	first := live.Registry()
	slot := Slot{Model: "nova", Channel: "text", Cohort: "a"}
	if _, ok := first.Serving(slot, b.clock.t); ok {
		t.Fatal("somebody serves already")
	}
	// Requests go on while the registry changes.
	stop := make(chan struct{})
	var requests sync.WaitGroup
	requests.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				live.Registry().Serving(slot, b.clock.t)
			}
		}
	})
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not seen: %s", what)
			}
		}
	}
	b.must(b.move(id, Move{To: Serving}))
	await("a step of another writer", func() bool { _, ok := live.Registry().Serving(slot, b.clock.t); return ok })
	close(stop)
	requests.Wait()
	good := live.Registry()
	if good.entries[id].Key != first.entries[id].Key {
		t.Error("the key was opened again")
	}
	if _, ok := first.Serving(slot, b.clock.t); ok {
		t.Error("a registry that was read changed")
	}

	b.must(b.w.Close())
	path := filepath.Join(b.dir, logName)
	whole, err := os.ReadFile(path)
	b.must(err)
	replace := func(data []byte) { // in one moment: the watcher reads on
		b.must(os.WriteFile(path+".new", data, 0o600))
		b.must(os.Rename(path+".new", path))
	}
	replace(append([]byte("x"), whole[1:]...))
	if err := <-reports; err == nil {
		t.Error("damage is no error")
	}
	if live.Registry() != good {
		t.Error("damage replaced the good state")
	}
	replace(whole)
	if err := <-reports; err != nil {
		t.Errorf("mended: %v", err)
	}
	replace(whole[:first.size]) // an older backup
	if err := <-reports; !errors.Is(err, ErrRewritten) {
		t.Errorf("an older log: %v", err)
	}
	if _, ok := live.Registry().Serving(slot, b.clock.t); !ok {
		t.Error("an older log replaced the newer")
	}
}
