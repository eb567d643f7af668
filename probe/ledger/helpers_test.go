package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testTime is the start of every test's clock.
var testTime = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// testPlan has two targets, the given number of prompts and one sample.
func testPlan(prompts int) *Plan {
	zero := 0.0
	p := &Plan{
		Format: PlanPlain, CaseID: "2026-11-20_acme-nova-1_01JD8K7Q", Created: testTime,
		Authority: "Example AI", Purpose: "test", Propositions: []string{"H0: independent", "H1: trained on ours"},
		Targets: []Target{
			{Name: "acme-nova-1", Role: Rival, BaseURL: "http://127.0.0.1:8080/v1", Model: "nova-1"},
			{Name: "control-a", Role: Control, BaseURL: "http://127.0.0.1:8081/v1", Model: "a"},
		},
		Suites:  []SuiteRef{{Name: "longform-en", Version: "1", SHA256: strings.Repeat("ab", 32), Seed: 7, N: prompts}},
		Samples: 1, Params: Params{MaxTokens: 100, Temperature: &zero},
		OrderSeed: 42,
		Keys:      []KeyRef{{ID: "k-1", Spec: []byte(`{"scheme":"gumbel"}`)}},
		Tests:     []Test{{ID: "E1/k-1/acme-nova-1", Family: "E1", Key: "k-1", Target: "acme-nova-1", Mode: ModeFixedN, Weights: WeightsMin8, Primary: true, Null: "independent"}},
		Alpha:     1e-6, Decoys: DecoyPlan{N: 999, SeedCommitment: strings.Repeat("cd", 32)},
		Wording: "1", Program: Build{Version: "test"},
	}
	for i := range prompts {
		p.Prompts = append(p.Prompts, Prompt{ID: fmt.Sprintf("p-%03d", i), Suite: "longform-en", Lang: "en", Text: fmt.Sprintf("Tell a story of %d < %d & more.", i, i+1)})
	}
	return p
}

// noSync skips fsync: tests that open thousands of ledgers do not cut the power.
type noSync struct{ file }

func (noSync) Sync() error { return nil }

// testClock advances by one millisecond at each look.
type testClock struct {
	now  time.Time
	mono time.Duration
}

func (c *testClock) options() WriterOptions {
	if c.now.IsZero() {
		c.now = testTime
	}
	return WriterOptions{
		Now:     func() time.Time { c.now = c.now.Add(time.Millisecond); return c.now },
		Mono:    func() time.Duration { c.mono += time.Millisecond; return c.mono },
		wrap:    func(_ string, f file) file { return noSync{f} },
		reserve: 4096,
	}
}

func createCase(t testing.TB, p *Plan) string {
	t.Helper()
	return createCaseIn(t, t.TempDir(), p)
}

// memoryDir is a temporary folder in memory where the system has such a place,
// for tests that would otherwise sync thousands of files.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledger-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func createCaseIn(t testing.TB, parent string, p *Plan) string {
	t.Helper()
	dir := filepath.Join(parent, p.CaseID)
	if _, err := Create(dir, p, File{"decoys.json", []byte("{}\n")}, File{"commitments/k-1.json", []byte("{}\n")}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openWriterT(t testing.TB, dir string, opt WriterOptions) *Writer {
	t.Helper()
	w, err := OpenWriter(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// responseTo is the raw body that the tests' target gives for an item.
func responseTo(item string) []byte { return []byte(`{"text":"reply to ` + item + `"}`) }

// attempt runs one attempt for an item up to the given outcome ("" = intent only).
func attempt(t testing.TB, w *Writer, it Item, n int, outcome Outcome) {
	t.Helper()
	if err := tryAttempt(w, it, n, outcome); err != nil {
		t.Fatal(err)
	}
}

func tryAttempt(w *Writer, it Item, n int, outcome Outcome) error {
	req, err := w.PutBlob([]byte(`{"prompt":"` + it.Prompt.ID + `"}`))
	if err != nil {
		return err
	}
	if _, err := w.Append(EventIntent, it.ID, n, Intent{Target: it.Target.Name, Request: req}); err != nil {
		return err
	}
	if outcome == "" {
		return nil
	}
	resp, err := w.PutBlob(responseTo(it.ID))
	if err != nil {
		return err
	}
	typ := EventAttemptFailed
	if outcome.Final() {
		typ = EventReply
	}
	_, err = w.Append(typ, it.ID, n, Attempt{Target: it.Target.Name, Outcome: outcome, Kind: "chat", Status: 200, Complete: true, Response: &resp})
	return err
}

func newRand(seed byte) *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte(bytes.Repeat([]byte{seed}, 32)))
}
