package ledger_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// A case from its plan to its first reply.
func Example() {
	parent, err := os.MkdirTemp("", "case")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	plan := &ledger.Plan{
		Format: ledger.PlanPlain, CaseID: "2026-11-20_acme-nova-1_01JD8K7Q",
		Created: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC),
		Targets: []ledger.Target{{Name: "acme-nova-1", Role: ledger.Rival, BaseURL: "http://127.0.0.1:8080/v1", Model: "nova-1"}},
		Suites:  []ledger.SuiteRef{{Name: "longform-en", Version: "1", SHA256: strings.Repeat("0", 64)}},
		Prompts: []ledger.Prompt{{ID: "p-001", Suite: "longform-en", Lang: "en", Text: "Describe a harbour at dawn."}},
		Samples: 1, Params: ledger.Params{MaxTokens: 100}, Alpha: 1e-6,
	}
	dir := filepath.Join(parent, plan.CaseID)
	if _, err := ledger.Create(dir, plan); err != nil {
		log.Fatal(err)
	}

	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{})
	if err != nil {
		log.Fatal(err)
	}
	state := w.State()
	for _, item := range state.Pending() {
		n := state.NextAttempt(item.ID)
		request, err := w.PutBlob([]byte(`{"model":"nova-1"}`))
		if err != nil {
			log.Fatal(err)
		}
		if _, err := w.Append(ledger.EventIntent, item.ID, n, ledger.Intent{Target: item.Target.Name, Request: request}); err != nil {
			log.Fatal(err)
		}
		// ... the request is sent here ...
		response, err := w.PutBlob([]byte(`{"choices":[]}`))
		if err != nil {
			log.Fatal(err)
		}
		if _, err := w.Append(ledger.EventReply, item.ID, n, ledger.Attempt{
			Target: item.Target.Name, Outcome: ledger.OK, Kind: "chat", Status: 200, Complete: true, Response: &response,
		}); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	c, err := ledger.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Replies(func(r ledger.ReplyRecord) error {
		fmt.Printf("%s attempt %d: %s %s\n", r.Item.ID, r.Event.Attempt, r.Attempt.Outcome, r.Response)
		return nil
	}); err != nil {
		log.Fatal(err)
	}
	head, err := c.LedgerHead()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(head.Events, "events")
	// Output:
	// acme-nova-1/longform-en/p-001/0 attempt 1: ok {"choices":[]}
	// 3 events
}
