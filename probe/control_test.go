package probe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// controlCase collects the control of input alone and closes its ledger with a
// seal event; the seal itself is not this package's business.
func controlCase(t *testing.T, in PlanInput) string {
	t.Helper()
	in.Targets, in.Keys, in.Rand = in.Targets[1:], nil, source(77)
	dir := sealed(t, in)
	if _, err := Run(t.Context(), dir, RunOptions{pace: quick}); err != nil {
		t.Fatal(err)
	}
	sealLedger(t, dir)
	return dir
}

func sealLedger(t *testing.T, dir string) {
	t.Helper()
	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Append(ledger.EventSeal, "", 0, map[string]string{})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestReusedControl: a control that is read from its own sealed case gives the very
// numbers that asking it again would have given, and is not asked.
func TestReusedControl(t *testing.T) {
	t.Parallel()
	s := serve(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultDrop, Model: "plain", At: []int{3}, AfterPieces: 2}}})
	in := input(t, s.URL(), 30)
	live := in
	live.Rand = source(2)
	liveDir := sealed(t, live)
	if _, err := Run(t.Context(), liveDir, RunOptions{pace: quick}); err != nil {
		t.Fatal(err)
	}
	want := findings(t, liveDir, in.Keys[0].Key)

	control := controlCase(t, in)
	before := len(s.Requests())
	reuse := in
	reuse.Targets, reuse.Rand = in.Targets[:1], source(2)
	reuse.Controls = []ControlCase{{FS: os.DirFS(control), KeyID: "key"}}
	reuse.Sentinels = 3
	d, err := NewPlan(reuse)
	if err != nil {
		t.Fatal(err)
	}
	if d.Estimate.Requests != 30+24 {
		t.Errorf("%d requests are estimated", d.Estimate.Requests)
	}
	dir := sealDraft(t, d)
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Planned != 54 || sum.Missing != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	for _, r := range s.Requests()[before:] {
		if r.Model != "nova" {
			t.Fatalf("the control was asked again: %s", r.Body)
		}
	}
	got := findings(t, dir, in.Keys[0].Key)
	for i := range want.Findings {
		w, g := &want.Findings[i], &got.Findings[i]
		if g.Test != w.Test || g.N != w.N || g.Score != w.Score || *g.Log10P != *w.Log10P || g.Replies != w.Replies {
			t.Errorf("%s: n %d, score %g, log10 p %g; asked anew n %d, score %g, log10 p %g", g.Test, g.N, g.Score, *g.Log10P, w.N, w.Score, *w.Log10P)
		}
	}
	if a := got.Accounting[1]; a.Target != "control" || a.Planned != 30 || a.Analysed != 30 || a.Sent < 30 {
		t.Errorf("%+v", a)
	}
	if said := strings.Join(got.Deviations, "\n"); !strings.Contains(said, "control: its replies were collected beforehand") || strings.Contains(said, "missing") {
		t.Errorf("%q", got.Deviations)
	}
}

// TestControlRefusals: what was asked otherwise, or not at all, stands for nothing.
func TestControlRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 6)
	control := os.DirFS(controlCase(t, in))
	open := in
	open.Targets, open.Keys = in.Targets[1:], nil
	unsealed := os.DirFS(sealed(t, open))
	in.Rand = source(2)
	for want, change := range map[string]func(*PlanInput){
		"with another max_tokens":         func(in *PlanInput) { in.Params.MaxTokens = 25 },
		"with another temperature":        func(in *PlanInput) { v := 0.5; in.Params.Temperature = &v },
		"with another seed":               func(in *PlanInput) { in.Params.Seed = nil },
		"was put 1 times there, and 2":    func(in *PlanInput) { in.Samples = 2 },
		"p0006 of suite s was not put":    func(in *PlanInput) { in.Suites = input(t, s.URL(), 7).Suites },
		"another definition or seed":      func(in *PlanInput) { in.Suites[0].Ref.Seed = 9 },
		"another text or kind":            func(in *PlanInput) { in.Suites[0].Prompts[0].Text = "else" },
		"is not sealed":                   func(in *PlanInput) { in.Controls[0].FS = unsealed },
		"cannot be read":                  func(in *PlanInput) { in.Controls[0].FS = os.DirFS(t.TempDir()) },
		`target "control" is given twice`: func(in *PlanInput) { in.Targets = append(in.Targets, input(t, s.URL(), 6).Targets[1]) },
	} {
		try := in
		try.Targets = append([]ledger.Target(nil), in.Targets[:1]...)
		try.Suites = input(t, s.URL(), 6).Suites
		try.Controls = []ControlCase{{FS: control, KeyID: "k"}}
		change(&try)
		_, err := NewPlan(try)
		wantError(t, err, CodeUsage, want)
	}
}

// TestChangedControlCase: a case inside a case is the planned one or nothing.
func TestChangedControlCase(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 6)
	control := controlCase(t, in)
	in.Targets, in.Controls, in.Rand = in.Targets[:1], []ControlCase{{FS: os.DirFS(control), KeyID: "k"}}, source(2)
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := sealDraft(t, d)
	if _, err := Run(t.Context(), dir, RunOptions{pace: quick}); err != nil {
		t.Fatal(err)
	}
	inside, err := fs.Glob(os.DirFS(dir), "controls/*/ledger.jsonl")
	if err != nil || len(inside) != 1 {
		t.Fatalf("%v, %v", inside, err)
	}
	sealLedger(t, filepath.Join(dir, filepath.Dir(inside[0]))) // sealed again: whole, but longer than planned
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := family.Analyze(t.Context(), c, nil, family.Options{}); !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "not the case that the plan names") {
		t.Errorf("%v", err)
	}
	// The folder appears whole or not at all.
	parent := t.TempDir()
	d.controls = append(d.controls, d.controls[0])
	_, err = SealPlan(filepath.Join(parent, "case"), d, testSigner(), nil)
	wantError(t, err, CodeUsage, "given twice")
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
