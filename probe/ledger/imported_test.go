package ledger

import (
	"errors"
	"strings"
	"testing"
)

// TestImportedReplies: a target whose replies were gathered elsewhere has one
// reply per item and no request; others have no imported replies.
func TestImportedReplies(t *testing.T) {
	t.Parallel()
	p := testPlan(2)
	p.Targets[1] = Target{Name: "control-a", Role: Control, Model: "a", Imported: &Imported{File: "a.jsonl", SHA256: strings.Repeat("ab", 32), Lines: 2}}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	clock := new(testClock)
	w, err := OpenWriter(createCase(t, p), clock.options())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ref, err := w.PutBlob([]byte(`{"prompt":"x","text":"y"}`))
	if err != nil {
		t.Fatal(err)
	}
	imported := func(target string) Attempt {
		return Attempt{Target: target, Outcome: OK, Kind: KindImported, Complete: true, Response: &ref}
	}
	id := ItemID("control-a", "longform-en", "p-000", 0)
	for _, tt := range []struct {
		typ, item string
		attempt   int
		data      any
		want      string
	}{
		{EventIntent, id, 1, Intent{Target: "control-a", Request: ref}, "nothing is sent to it"},
		{EventReply, id, 2, imported("control-a"), "only attempt"},
		{EventAttemptFailed, id, 1, Attempt{Target: "control-a", Outcome: Transport, Kind: KindImported}, "only attempt"},
		{EventReply, id, 1, Attempt{Target: "control-a", Outcome: OK, Kind: KindChat, Response: &ref}, "does not go with"},
		{EventReply, ItemID("acme-nova-1", "longform-en", "p-000", 0), 1, imported("acme-nova-1"), "does not go with"},
		{EventReply, id, 1, imported("control-a"), ""},
		{EventReply, id, 1, imported("control-a"), "has its reply already"},
	} {
		_, err := w.Append(tt.typ, tt.item, tt.attempt, tt.data)
		if tt.want == "" && err == nil {
			continue
		}
		if tt.want == "" || !errors.Is(err, ErrOrder) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %s: %v, want %q", tt.typ, tt.item, err, tt.want)
		}
	}
	for want, im := range map[string]Imported{
		"no name":      {SHA256: strings.Repeat("ab", 32), Lines: 1},
		"not a SHA":    {File: "a", SHA256: "x", Lines: 1},
		"has 0 lines":  {File: "a", SHA256: strings.Repeat("ab", 32)},
		"never asked,": {File: "a", SHA256: strings.Repeat("ab", 32), Lines: 1},
	} {
		q := *p
		q.Targets = append([]Target(nil), p.Targets...)
		q.Targets[1].Imported = &im
		if want == "never asked," {
			want, q.Targets[1].APIKeyEnv = "never asked", "KEY"
		}
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
