package verify

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// A second run is verified with the first one inside it: both ledgers, both orders of
// times, and the numbers of both, from the raw replies.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	first := build(t, design{prompts: 40, decoys: 99})
	second := build(t, design{prompts: 40, decoys: 99, after: first, apart: 9 * 24 * time.Hour})
	for _, path := range []string{second.dir, second.zip} {
		r := second.verify(t, path, second.trust())
		if said := text(t, r); r.State != Trusted || r.Numbers.Recomputed != r.Numbers.Total || !has(r, LevelOK, CodeEarlier) {
			t.Fatalf("%s\n%s", r.State, said)
		}
	}
	data := must[[]byte](t)(os.ReadFile(second.dir + "/reports/" + second.report + "/report.json"))
	report := must[*model.Report](t)(model.Decode(data))
	var found bool
	for _, row := range report.Tests {
		if row.Earlier == nil || row.Joint == nil {
			t.Errorf("%s stands alone", row.Test)
			continue
		}
		found = found || row.Verdict == ledger.VerdictDependence
	}
	page := string(must[[]byte](t)(reports.HTML(report)))
	if !found || !strings.Contains(page, "On two runs, 8 days apart") || !strings.Contains(page, "this run, new units") {
		t.Errorf("no dependence over two runs in the report")
	}

	// The first run cannot be changed, exchanged or left out.
	m := load(t, second.dir)
	inside := ledger.EarlierPath("2026-11-20_acme-nova-1_01JD8K7Q") + "/"
	tried := 0
	for name, f := range m {
		if !strings.HasPrefix(name, inside) || len(f.Data) == 0 {
			continue
		}
		bad := bytes.Clone(f.Data)
		bad[len(bad)/2] ^= 1
		for what, data := range map[string][]byte{"flipped": bad, "left out": nil} {
			if r := check(t, with(m, name, data), second.trust()); r.State != Invalid || blamed(r) == "" {
				t.Errorf("%s %s: %s", name, what, r.State)
			}
			tried++
		}
	}
	if tried < 20 {
		t.Errorf("%d changes were tried", tried)
	}
}

// A first run whose plan was stamped after its first request takes the second down
// with it.
func TestTwoRunsTimes(t *testing.T) {
	t.Parallel()
	first := build(t, design{latePlan: true})
	second := build(t, design{after: first, apart: 9 * 24 * time.Hour})
	r := second.verify(t, second.dir, second.trust())
	if r.Exit != integrity.ExitTime || !strings.HasPrefix(blamed(r), ledger.EarlierDir) {
		t.Errorf("exit %d\n%s", r.Exit, text(t, r))
	}
}
