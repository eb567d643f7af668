package trial

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// TestCalibrateQuick: twenty innocents of all kinds go through the whole pipeline; none
// is flagged, and p-values and ranks are uniform. An interrupted run goes on to the
// same table.
func TestCalibrateQuick(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.jsonl")
	c := Calibration{Seed: 3, Innocents: QuickRivals, State: state}
	r, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Failures) > 0 || r.All.N != QuickRivals || len(r.Innocents) != len(innocentKinds) || r.All.Gates < QuickRivals-1 {
		t.Errorf("%+v", r)
	}
	schemes := map[string]bool{}
	for _, x := range r.Trials {
		schemes[x.Kind+x.Scheme] = true
		if x.N < 60 {
			t.Errorf("trial %d (%s) scored %d units", x.Number, x.Kind, x.N)
		}
	}
	if len(schemes) < 12 {
		t.Errorf("kinds and schemes are tried in %d combinations", len(schemes))
	}
	// Half of the state and a torn line: the rest is run again, with equal results.
	data, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	kept := append(bytes.Join(lines[:12], nil), `{"part":"watermark","seed":3,"num`...)
	if err := os.WriteFile(state, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Trials, again.Trials) {
		t.Error("a run that goes on gives other trials")
	}
}

// TestCalibrateFindsStudents: students of marked text only are found, and one of
// unmarked text is not; the table says how many of how many.
func TestCalibrateFindsStudents(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("trains eight students")
	}
	r, err := Calibration{Seed: 4, Innocents: 2, Positives: 3}.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Positives {
		if row.Share == 100 && row.Found != row.N || row.Lo > float64(row.Found)/float64(row.N) || row.Hi < float64(row.Found)/float64(row.N) {
			t.Errorf("%+v", row)
		}
		if row.Share == 1 && row.Median < -6 {
			t.Errorf("one percent of marked text has log10 p %.1f", row.Median)
		}
	}
	var table strings.Builder
	if err := r.Markdown(&table); err != nil || strings.Count(table.String(), "\n") < 8 {
		t.Errorf("%v\n%s", err, table.String())
	}
}

// A calibration fails when the method does not keep its word.
func TestCalibrationCanFail(t *testing.T) {
	t.Parallel()
	var guilty, skewed []Trial
	for i := range 60 {
		p := -float64(i%10) / 10
		guilty = append(guilty, Trial{stateID: stateID{Number: 2 * i}, Kind: innocentKinds[0], Log10P: -1, RankP: float64(i+1) / 60, Verdict: ledger.VerdictNone})
		skewed = append(skewed, Trial{stateID: stateID{Number: 2 * i}, Kind: innocentKinds[0], Log10P: p - 2, RankP: .005, Verdict: ledger.VerdictNone})
	}
	guilty[7].Verdict = ledger.VerdictSingleRun
	for name, trials := range map[string][]Trial{"flagged": guilty, "skewed": skewed} {
		r := &CalibrationReport{Trials: trials, Checks: map[string]bool{}, Wording: map[string]int64{}}
		r.sum()
		if len(r.Failures) == 0 {
			t.Errorf("%s: passes", name)
		}
	}
}

// Students of a service that plants are found by E3 to E6 as far as they learned or
// forward, over HTTP, and an innocent by none; what is finished is kept.
func TestCalibrateCanaries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("follows a schedule of 18 seconds")
	}
	c := Calibration{Seed: 5, Innocents: 2, Canaries: 1, State: filepath.Join(t.TempDir(), "state.jsonl")}
	r, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rates) != 4*(1+len(TransferRates)) || r.Rivals() != 2+1+len(TransferRates) {
		t.Fatalf("%d rivals, rates %+v", r.Rivals(), r.Rates)
	}
	for _, row := range r.Rates {
		switch {
		case row.Rate == 0 && (row.Found > 0 || row.Flags > 0 || row.Log10P < -5):
			t.Errorf("an innocent: %+v", row)
		case row.Rate == 100 && *row.Power < .9 && row.Family == family.RotationLag: // a busy machine missed slots
		case row.Rate == 100 && (row.Found != 1 || *row.Power < .9):
			t.Errorf("one that learned and forwards everything: %+v", row)
		case row.Needed <= 0:
			t.Errorf("no promise: %+v", row)
		}
	}
	begun := time.Now()
	again, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil || !reflect.DeepEqual(r.Rates, again.Rates) || time.Since(begun) > 10*time.Second {
		t.Errorf("what is finished was run again in %s, %v", time.Since(begun), err)
	}
}

// Scripted innocents that come first too often, students that are found otherwise than
// planned, and a flagged innocent fail the calibration; what chance explains does not.
func TestScriptedCanFail(t *testing.T) {
	t.Parallel()
	const n = 40
	good := func() []ScriptedResult {
		var out []ScriptedResult
		rng := rand.New(rand.NewPCG(1, 2))
		for range n {
			innocent := ScriptedResult{Family: "C1", Kind: scriptedInnocents[0], Of: 20}
			for range 19 {
				innocent.Pilot = append(innocent.Pilot, rng.NormFloat64())
			}
			rank := 1 + rng.IntN(20)
			innocent.Log10P, innocent.Found = math.Log10(float64(rank)/20), rank == 1
			kid := ScriptedResult{Family: "C1", Kind: student, Rate: 100, Of: 20, Effect: 2 + rng.NormFloat64()}
			best := math.Inf(-1)
			for range 19 {
				best = math.Max(best, rng.NormFloat64())
			}
			kid.Found = kid.Effect > best
			out = append(out, innocent, kid,
				ScriptedResult{Family: "E3", Kind: student, Log10P: -.3, Verdict: ledger.VerdictNone},
				ScriptedResult{Family: "E3", Kind: student, Rate: 50, Log10P: -9, Found: rng.Float64() < .8, Power: .8})
		}
		return out
	}
	for name, tc := range map[string]struct {
		change func([]ScriptedResult)
		fails  string
	}{
		"as it should be": {func([]ScriptedResult) {}, ""},
		"innocents first": {func(all []ScriptedResult) {
			for i := 0; i < 4*n; i += 12 {
				all[i].Found, all[i].Log10P = true, math.Log10(.05)
			}
		}, "rank too high"},
		"an innocent is flagged": {func(all []ScriptedResult) { all[2].Verdict = ledger.VerdictSingleRun }, "1 scripted innocents are flagged"},
		"found less than planned": {func(all []ScriptedResult) {
			for i := 3; i < len(all); i += 8 {
				all[i].Found = false
			}
		}, "E3 at 50 %"},
		"comparative students are lost": {func(all []ScriptedResult) {
			for i := 1; i < len(all); i += 4 {
				all[i].Found = false
			}
		}, "C1 at 100 %"},
	} {
		r := &CalibrationReport{scripted: good(), Checks: map[string]bool{}, Wording: map[string]int64{}}
		tc.change(r.scripted)
		r.sum()
		var own []string
		for _, f := range r.Failures {
			if strings.Contains(f, "script") || strings.Contains(f, "planned") {
				own = append(own, f)
			}
		}
		if all := strings.Join(own, "; "); (tc.fails == "") != (all == "") || !strings.Contains(all, tc.fails) {
			t.Errorf("%s: %q", name, all)
		}
		var table strings.Builder
		if err := r.Markdown(&table); err != nil || !strings.Contains(table.String(), "| E3 | 50 % | 40 |") || !strings.Contains(table.String(), "| C1 | ") {
			t.Errorf("%s: %v\n%s", name, err, table.String())
		}
	}
}
