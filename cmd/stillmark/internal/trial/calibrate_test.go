package trial

import (
	"bytes"
	"cmp"
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
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
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
	if e1 := r.Marks[0]; len(r.Failures) > 0 || e1.All.N != QuickRivals || len(e1.Innocents) != len(innocentKinds) || e1.All.Gates < QuickRivals-1 {
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
	for _, row := range r.Marks[0].Positives {
		for _, rate := range []Rate{row.Declared, row.Plain} {
			seen := float64(rate.Found) / float64(rate.N)
			if row.Share == 100 && rate.Found != rate.N || rate.N != 1 || rate.Lo > seen || rate.Hi < seen || rate.Power != nil {
				t.Errorf("%+v", row)
			}
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
		guilty = append(guilty, Trial{stateID: stateID{Part: partWatermark, Number: 2 * i}, Kind: innocentKinds[0], Log10P: -1, RankP: float64(i+1) / 60, Verdict: ledger.VerdictNone})
		skewed = append(skewed, Trial{stateID: stateID{Part: partWatermark, Number: 2 * i}, Kind: innocentKinds[0], Log10P: p - 2, RankP: .005, Verdict: ledger.VerdictNone})
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

// learned draws students whose units are lifted alike, each by an effect of its own, and
// audits them by the law.
func learned(rng *rand.Rand, l evidence.Law, n int, mean, sd float64) []Trial {
	const units = 2500
	per := float64(max(l.Bits, 1))
	if l.Kind != evidence.KindFairBits {
		per = 1
	}
	all := make([]Trial, n)
	for i := range all {
		effect := mean + sd*rng.NormFloat64()
		noise := math.Sqrt(sampling(l, units, effect)) * rng.NormFloat64()
		score := units * (l.Mean() + per*(effect+noise))
		if l.Kind != evidence.KindExponential {
			score = math.Round(score)
		}
		p := l.Tail(score, evidence.Plain(units)).Log10P
		all[i] = Trial{
			stateID: stateID{Part: partWatermark, Number: 2*i + 1}, Kind: student, Share: 20, N: units, Units: units, Level: -6, Law: l,
			Log10P: p, Plain: p, Effect: (score/units - l.Mean()) / per, Verdict: ledger.VerdictNone,
		}
	}
	return all
}

// What the plans say of students, at the effects that the others let expect, is how many
// are found: on average over many calibrations, however the students differ.
func TestPlannedPower(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	for name, tc := range map[string]struct {
		law      evidence.Law
		mean, sd float64
	}{
		"gumbel, alike":      {evidence.Exponential(), .1, 0},
		"gumbel, different":  {evidence.Exponential(), .1, .03},
		"kgw, different":     {evidence.Bernoulli(.5), .04, .012},
		"tournament, alike":  {evidence.FairBits(30), .0085, 0},
		"gumbel, hardly any": {evidence.Exponential(), .02, .01},
	} {
		const rounds, n = 60, 17
		planned, found := 0., 0
		for range rounds {
			row := positiveRow("scheme", 20, learned(rng, tc.law, n, tc.mean, tc.sd))
			planned += *row.Plain.Power / rounds
			found += row.Plain.Found
		}
		// The plan's estimate errs itself by as much as a round's mean effect does.
		seen := float64(found) / (rounds * n)
		if margin := 4 * math.Sqrt(max(planned*(1-planned), .002)*2/(rounds*n)); math.Abs(seen-planned) > margin {
			t.Errorf("%s: found %.3f, planned %.3f, more than %.3f apart", name, seen, planned, margin)
		}
	}
	if row := positiveRow("scheme", 20, learned(rng, evidence.Exponential(), minAudits-1, .1, 0)); row.Plain.Power != nil || row.Plain.planned() != "too few" {
		t.Errorf("%+v", row)
	}
}

// A calibration fails where students are found otherwise than planned by more than chance
// explains: the declared statistic may find more, since the plan knows of no weights.
func TestPlannedPowerCanFail(t *testing.T) {
	t.Parallel()
	change := func(p float64, of func(*Trial) *float64) func([]Trial) {
		return func(all []Trial) {
			for i := range all {
				*of(&all[i]) = p
			}
		}
	}
	declared, plain := func(x *Trial) *float64 { return &x.Log10P }, func(x *Trial) *float64 { return &x.Plain }
	for name, tc := range map[string]struct {
		effect float64
		change func([]Trial)
		fails  string
	}{
		"as planned":                    {.1, func([]Trial) {}, ""},
		"weights find more":             {.02, change(-30, declared), ""},
		"the declared one finds less":   {.2, change(-5, declared), "gumbel at 20 %: found 0 of 17, power 1.00"},
		"the unweighted one finds less": {.2, change(-5, plain), "gumbel at 20 %, unweighted: found 0 of 17"},
		"the unweighted one finds more": {.02, change(-7, plain), "gumbel at 20 %, unweighted: found 17 of 17, power 0.00"},
	} {
		rng := rand.New(rand.NewPCG(3, 4))
		trials := learned(rng, evidence.Exponential(), 17, tc.effect, .005)
		for i := range trials {
			trials[i].Scheme = watermark.Gumbel
		}
		tc.change(trials)
		for i := range 60 { // innocents as they should be
			trials = append(trials, Trial{stateID: stateID{Part: partWatermark}, Kind: innocentKinds[0], Log10P: math.Log10((float64(i) + .5) / 60), RankP: float64(1+i*200/60) / 200, Verdict: ledger.VerdictNone})
		}
		r := &CalibrationReport{Trials: trials, Checks: map[string]bool{}, Wording: map[string]int64{}}
		r.sum()
		if all := strings.Join(r.Failures, "; "); (tc.fails == "") != (all == "") || !strings.Contains(all, tc.fails) || r.Checks["E1: students are found as often as planned"] != (tc.fails == "") {
			t.Errorf("%s: %q, %+v", name, all, r.Marks)
		}
	}
}

// A detector that sees no mark keeps its word at the effect seen, which is none: that the
// students of marked text alone are not found fails the calibration, where they are enough.
func TestDeafDetectorFails(t *testing.T) {
	t.Parallel()
	const check = "E1: students of marked text alone are found"
	for _, tc := range []struct {
		students, found int
		fails, checked  bool
	}{
		{17, 0, true, true},
		{17, 8, true, true},
		{17, 14, false, true}, // as many as E2 found of kgw
		{5, 0, true, true},
		{4, 0, false, false}, // chance may do that: nothing is said
		{1, 0, false, false},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		r := &CalibrationReport{Checks: map[string]bool{}, Wording: map[string]int64{}}
		r.Trials = learned(rng, evidence.Exponential(), tc.students, 0, 0)
		for i := range r.Trials {
			x := &r.Trials[i]
			x.Scheme, x.Share = watermark.Gumbel, 100
			if i < tc.found { // each by an effect of its own, so that the power at it fits
				x.Log10P, x.Plain, x.Effect = -9, -9, .14
			}
		}
		r.sum()
		ok, checked := r.Checks[check]
		failed := strings.Contains(strings.Join(r.Failures, "; "), "not found with power 0.9: gumbel: found ")
		if checked != tc.checked || failed != tc.fails || checked && ok == tc.fails {
			t.Errorf("%d of %d: checked %v, %q", tc.found, tc.students, checked, r.Failures)
		}
		if _, planned := r.Checks["E1: students are found as often as planned"]; planned != (tc.students >= minAudits) {
			t.Errorf("%d students: the check against the power at the effect seen is entered: %v", tc.students, planned)
		}
	}
}

// One innocent's p-value is neither uniform nor not: nothing is said of it.
func TestUniformityOfOne(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{1: 1, 2: 3} {
		r := &CalibrationReport{Checks: map[string]bool{}, Wording: map[string]int64{}}
		for i := range n {
			r.Trials = append(r.Trials, Trial{stateID: stateID{Part: partWatermark, Number: 2 * i}, Kind: innocentKinds[0], Log10P: -.3, RankP: .5, Verdict: ledger.VerdictNone})
		}
		r.sum()
		var table strings.Builder
		if err := r.Markdown(&table); err != nil || len(r.Checks) != want || strings.Contains(table.String(), "| – | – |") != (n == 1) {
			t.Errorf("%d: %v, %v\n%s", n, r.Checks, err, table.String())
		}
	}
}

// Reading mode finds students that copied marked passages of the teacher, and neither those
// of its unmarked text nor innocents of all kinds; C6 ranks n-gram innocents among n-gram
// controls. What is finished is kept.
func TestCalibrateNgrams(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("trains some forty models")
	}
	total, expected := 0, time.Duration(0)
	c := Calibration{Seed: 6, Readings: 6, Styles: 1, State: filepath.Join(t.TempDir(), "state.jsonl"), Begin: func(left, all int, about time.Duration) {
		total, expected = total+left, expected+about
		if all != 11 {
			t.Errorf("%d audits", all)
		}
	}}
	r, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Marks) != 1 || len(r.Failures) > 0 {
		t.Fatalf("%+v", r)
	}
	e2 := r.Marks[0]
	if e2.Family != family.ReadingMode || e2.All.N != 7 || len(e2.Innocents) != 7 || e2.All.Flags > 0 || e2.All.Gates < 6 || e2.All.Smallest < -4 {
		t.Errorf("%+v", e2)
	}
	for _, row := range e2.Positives {
		if want := row.Share / 100; row.Declared.N != 1 || row.Plain.Found != row.Declared.Found || row.Share%100 == 0 && row.Declared.Found != want {
			t.Errorf("%+v", row)
		}
	}
	for _, x := range r.Trials {
		if x.Kind != "from templates" && (float64(x.N) < .8*float64(x.Units) || x.N > 16*readingPassages || x.Needed <= 0) {
			t.Errorf("%+v", x)
		}
	}
	if s := r.Style; s == nil || s.Innocents.N != styleInnocents || len(s.Students) != len(TransferRates) || s.Students[0].N != 1 || s.Students[0].Power != nil {
		t.Errorf("%+v", s)
	}
	for _, x := range r.styled {
		if x.Of != scriptedControls+1 || x.N != stylePrompts || (x.Kind == ngramInnocent) != (len(x.Pilot) == scriptedControls) {
			t.Errorf("%+v", x)
		}
	}
	again, err := c.Run(t.Context(), ledger.Build{Version: "test"})
	if err != nil || !reflect.DeepEqual(again.Marks, r.Marks) || !reflect.DeepEqual(again.Style, r.Style) {
		t.Errorf("what was kept gives other tables: %v", err)
	}
	if total != 11 || expected < time.Second || expected > time.Minute {
		t.Errorf("%d audits were announced, and %s", total, expected)
	}
}

// Students of unmarked text are innocents of E2: one that is flagged fails the calibration.
// So do n-gram innocents that C6 ranks too high, and students that it finds otherwise than
// planned.
func TestNgramsCanFail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		verdict ledger.Verdict
		first   int // of 40 innocents
		found   bool
		fails   string
	}{
		"as it should be":    {ledger.VerdictNone, 2, true, ""},
		"flagged":            {ledger.VerdictSingleRun, 2, true, "E2: 1 of 40 innocents are flagged"},
		"innocents first":    {ledger.VerdictNone, 12, true, "C6: n-gram innocents came first 12 times in 40"},
		"students not found": {ledger.VerdictNone, 2, false, "C6: n-gram students are not found as often as the effect seen says: 20 %: found 0 of 40, power 0.99"},
	} {
		r := &CalibrationReport{Checks: map[string]bool{}, Wording: map[string]int64{}}
		for i := range 40 {
			x := Trial{
				stateID: stateID{Part: partReading, Number: i}, Kind: student, Scheme: watermark.KGW, Law: evidence.Bernoulli(.5), N: 200, Units: 200, Level: -6,
				Log10P: math.Log10((float64(i) + .5) / 40), RankP: float64(5*i+1) / 200, Verdict: ledger.VerdictNone,
			}
			if i == 0 {
				x.Verdict = tc.verdict
			}
			r.Trials = append(r.Trials, x)
			innocent := ScriptedResult{Family: family.Stylometry, Kind: ngramInnocent, Of: 20, Log10P: math.Log10(float64(2+i%19) / 20)}
			if innocent.Found = i < tc.first; innocent.Found {
				innocent.Log10P = math.Log10(.05)
			}
			for j := range 19 {
				innocent.Pilot = append(innocent.Pilot, float64(j)/19-.5)
			}
			r.styled = append(r.styled, innocent)
			for _, rate := range TransferRates {
				r.styled = append(r.styled, ScriptedResult{Family: family.Stylometry, Kind: student, Rate: rate, Of: 20, Effect: 2 + float64(i%3)/10, Found: tc.found})
			}
		}
		r.sum()
		if all := strings.Join(r.Failures, "; "); (tc.fails == "") != (all == "") || !strings.Contains(all, tc.fails) {
			t.Errorf("%s: %q", name, all)
		}
		var table strings.Builder
		if err := r.Markdown(&table); err != nil || !strings.Contains(table.String(), "| copied unmarked text | 40 |") || !strings.Contains(table.String(), "| unmarked text | 100 % | 40 |") {
			t.Errorf("%s: %v\n%s", name, err, table.String())
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
		case row.Percent == 0 && (row.Found > 0 || row.Flags > 0 || row.Log10P < -5):
			t.Errorf("an innocent: %+v", row)
		case row.Percent == 100 && *row.Power < .9 && row.Family == family.RotationLag: // a busy machine missed slots
		case row.Percent == 100 && (row.Found != 1 || *row.Power < .9):
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

// A p-value that the decoy gate withholds finds nothing, and what a busy machine missed
// makes a result of E6 exploratory: neither ends a calibration, any other missing p-value or tier
// does.
func TestLearnt(t *testing.T) {
	t.Parallel()
	low := -9.
	for name, tc := range map[string]struct {
		finding ledger.Finding
		missing int64
		found   bool
		err     string
	}{
		"found":              {ledger.Finding{Tier: ledger.Exact, Log10P: &low}, 0, true, ""},
		"missed some":        {ledger.Finding{Tier: ledger.Exploratory, Log10P: &low}, 3, true, ""},
		"missed some of E6":  {ledger.Finding{Family: family.KeyedChoice, Tier: ledger.Exploratory, Log10P: &low}, 3, false, "although all that it asks was committed to"},
		"not committed to":   {ledger.Finding{Tier: ledger.Exploratory, Log10P: &low}, 0, false, "although all that it asks was committed to"},
		"the gate failed":    {ledger.Finding{Tier: ledger.Exact, Decoys: &ledger.DecoyFinding{}}, 0, false, ""},
		"nothing to compute": {ledger.Finding{Tier: ledger.Exact}, 0, false, "has no p-value"},
	} {
		tc.finding.Test, tc.finding.Target, tc.finding.Family = "E6/x", "rival-0", cmp.Or(tc.finding.Family, family.RotationLag)
		got, err := learnt(
			&ledger.Plan{Power: []ledger.PowerRow{{Test: "E6/x", Log10Alpha: -6, Effect: .2}}},
			&ledger.Findings{Findings: []ledger.Finding{tc.finding}, Accounting: []ledger.Accounting{{Missing: tc.missing}}},
			map[string]int{"rival-0": 0})
		switch {
		case tc.err != "":
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || len(got) != 1 || got[0].Found != tc.found || got[0].Needed != .2 || got[0].Withheld == tc.found || !tc.found && got[0].Log10P != 0:
			t.Errorf("%s: %+v, %v", name, got, err)
		}
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
		"an innocent is flagged": {func(all []ScriptedResult) { all[2].Log10P = -6.5 }, "1 scripted innocents are flagged"},
		"found less than planned": {func(all []ScriptedResult) {
			for i := 3; i < len(all); i += 8 {
				all[i].Found = false
			}
		}, "E3 at 50 %"},
		"the gate withholds some": {func(all []ScriptedResult) {
			all[2].Withheld, all[6].Withheld = true, true
		}, ""},
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
		if err := r.Markdown(&table); err != nil || !strings.Contains(table.String(), "| E3 | 50 % | 40 |") || !strings.Contains(table.String(), "| C1 | ") || strings.Contains(table.String(), "withheld") != (name == "the gate withholds some") ||
			name == "the gate withholds some" && !strings.Contains(table.String(), "withheld p-values, which found nothing: E3 at 0 %: 2 of 40.") {
			t.Errorf("%s: %v\n%s", name, err, table.String())
		}
	}
}
