package trial

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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
	kept := append(bytes.Join(lines[:12], nil), `{"seed":3,"num`...)
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
		guilty = append(guilty, Trial{Number: 2 * i, Kind: innocentKinds[0], Log10P: -1, RankP: float64(i+1) / 60, Verdict: ledger.VerdictNone})
		skewed = append(skewed, Trial{Number: 2 * i, Kind: innocentKinds[0], Log10P: p - 2, RankP: .005, Verdict: ledger.VerdictNone})
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
