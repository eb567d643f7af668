package ledger

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// childDir names, in the environment of a child process, the case to work on.
const childDir = "STILLMARK_LEDGER_TEST_CASE"

// TestMain runs the child of TestKilledProcess where one is asked for.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := settleAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// settleAll continues a case and prints each item once its reply is acknowledged.
func settleAll(dir string) error {
	w, err := OpenWriter(dir, WriterOptions{})
	if err != nil {
		return err
	}
	s := w.State()
	for _, it := range s.Pending() {
		if err := tryAttempt(w, it, s.NextAttempt(it.ID), OK); err != nil {
			return err
		}
		fmt.Println(it.ID)
	}
	return w.Close()
}

// TestKilledProcess kills a writing process again and again. Every reply that
// it had acknowledged is there afterwards, the lock is free, and in the end the
// case holds what an uninterrupted run would.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := createCase(t, testPlan(60))
	acknowledged := make(map[string]bool)
	kills := 0
	for round := 1; ; round++ {
		if round > 100 {
			t.Fatal("the run does not come to an end")
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 1; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 11 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		ended := cmd.Wait() == nil
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.State()
		if s == nil {
			t.Fatalf("after round %d: %v", round, err)
		}
		for id := range acknowledged {
			if !s.Settled(id) {
				t.Fatalf("after round %d: the reply of %s was acknowledged and is lost (%v)", round, id, err)
			}
		}
		if ended {
			break
		}
		kills++
	}
	if kills < 3 {
		t.Errorf("only %d kills hit", kills)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	replies := make(map[string]int)
	if err := c.Replies(func(r ReplyRecord) error { replies[r.Item.ID]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, it := range c.Plan().Items() {
		if replies[it.ID] != 1 {
			t.Errorf("%s has %d replies", it.ID, replies[it.ID])
		}
	}
	if _, err := c.CheckBlobs(); err != nil {
		t.Error(err)
	}
}
