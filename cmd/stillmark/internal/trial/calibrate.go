package trial

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Sizes of a calibration. An audit of one rival by E1 asks for some 4,000 tokens, by E2
// for one token at some 250 places.
const (
	// InnocentRivals is the number that a release needs, QuickRivals what CI has
	// time for, QuickReadings by E2.
	InnocentRivals = 200
	QuickRivals    = 20
	QuickReadings  = 4
	// PositiveRivals are tried at every share of marked text.
	PositiveRivals = 50

	// CalibrationDecoys are scored in every audit.
	CalibrationDecoys = 199

	calibratePrompts = 40
	// distinctShare is what a plan supposes of these rivals, as a pilot would tell it:
	// of 4,000 positions 3,430 to 3,720 were distinct scored units, 2,700 to 3,050 of a
	// student of marked text alone under gumbel.
	distinctShare = .9

	// Reading mode asks for a token at 16 places of each passage.
	readingPassages = 16
	passageTokens   = 520
	// calibrateKS is the level at which the innocents' p-values must pass for uniform.
	calibrateKS = 1e-3
)

// Shares are the shares of a student's copied text that is marked, in percent.
var Shares = []int{1, 5, 20, 100}

// ReadingShares are those of the students that reading mode is tried on: one of 0
// copied the teacher's unmarked text.
var ReadingShares = []int{0, 20, 50, 100}

// innocentKinds vary what an innocent writes like, and how.
var innocentKinds = []string{"mixed topics", "one topic", "cold and repetitive", "from templates", "five languages", "large and hot"}

// Calibration says what is run.
type Calibration struct {
	Seed                 uint64
	Innocents, Positives int // by E1, the latter at each of [Shares]
	// Readings are innocents by E2; a quarter as many students are tried at each of
	// [ReadingShares].
	Readings int
	// Worlds are audits of scripted rivals by the comparative families, Canaries those by
	// E3 to E6: see [Scripted]. Styles are those of n-gram rivals by C6.
	Worlds, Canaries, Styles int
	// State is a file in which every finished trial is kept, one a line, so that the
	// same calibration goes on after an interruption; "" keeps none.
	State string
	// Begin, if given, is told before anything is run how many audits are left of how
	// many, and about how long they take.
	Begin func(left, total int, about time.Duration)
	// Progress, if given, is told of every audit that is finished of those that were left.
	Progress func(done, left int)
}

// secondsOf is what an audit of each part takes on a core (measured 2026-11-26; with
// E3 to E6, which wait for the slots of a schedule, on the clock).
var secondsOf = map[string]float64{partWatermark: .5, partReading: .6, partStyle: 4, partScripted: 16, partCanaries: 26}

// about is how long trials take, sideBySide of the same kind at a time.
func about(trials []stateID) time.Duration {
	seconds := 0.
	for _, id := range trials {
		seconds += secondsOf[id.Part] / sideBySide
	}
	return time.Duration(seconds * float64(time.Second))
}

// sideBySide is how many trials run at a time: a training in progress holds some 100 MB.
const sideBySide = 2

// Trial is one audit of an n-gram rival whose history is known. It is a function of the
// calibration's seed and its own number.
type Trial struct {
	stateID
	Kind   string `json:"kind"`
	Share  int    `json:"share_percent"` // of marked text among what a student copied
	Scheme string `json:"scheme"`
	N      int64  `json:"n"`
	// Log10P is of the declared statistic, before correction: there is one test. Plain is
	// of the same units, each counted once.
	Log10P  float64        `json:"log10_p"`
	Plain   float64        `json:"unweighted_log10_p"`
	RankP   float64        `json:"rank_p"`
	Gate    bool           `json:"gate"`
	Effect  float64        `json:"effect"`
	Needed  float64        `json:"effect_at_power_9"` // as the plan promised it
	Units   int64          `json:"planned_units"`
	Level   float64        `json:"log10_alpha"`
	Law     evidence.Law   `json:"law"` // of a unit's score under the null
	Verdict ledger.Verdict `json:"verdict"`
}

// Flagged reports whether the audit ends with the strongest words that one run can
// have.
func (t *Trial) Flagged() bool { return t.Verdict == ledger.VerdictSingleRun }

// CalibrationReport is what the trials come to.
type CalibrationReport struct {
	Seed             uint64      `json:"seed"`
	Marks            []MarkTable `json:"watermarks"` // of E1 and E2
	Failures         []string    `json:"failures"`   // empty: the method keeps its word
	Ranks            []RankRow   `json:"scripted_innocents"`
	Rates            []RateRow   `json:"scripted_rates"`
	Trials           []Trial     `json:"-"`
	Style            *StyleTable `json:"style,omitempty"` // of C6 on n-gram rivals
	scripted, styled []ScriptedResult
	Program          ledger.Build     `json:"program"`
	Elapsed          time.Duration    `json:"-"`
	Checks           map[string]bool  `json:"checks"`
	Wording          map[string]int64 `json:"verdicts_of_innocents"`
}

// MarkTable sums up the audits of n-gram rivals by one family.
type MarkTable struct {
	Family    string        `json:"family"`
	Innocents []InnocentRow `json:"innocents"`
	All       InnocentRow   `json:"all_innocents"`
	Positives []PositiveRow `json:"positives"`
}

// InnocentRow sums up innocents of a kind.
type InnocentRow struct {
	Kind     string  `json:"kind"`
	N        int     `json:"n"`
	Flags    int     `json:"flags"`
	Smallest float64 `json:"smallest_log10_p"`
	Below05  int     `json:"below_0.05"`
	KSP      float64 `json:"ks_p"`      // of the exact p-values against uniform; 1 of one alone
	RankKSP  float64 `json:"rank_ks_p"` // of the decoy ranks, made continuous
	Gates    int     `json:"gates_passed"`
}

// PositiveRow sums up the students of one scheme and share.
type PositiveRow struct {
	Scheme string `json:"scheme"`
	Share  int    `json:"share_percent"`
	// Declared is the rate of the declared statistic, Plain of the same units without
	// weights, both against what the plan says at the effect seen, which supposes no weights: of weighted
	// units it says the least.
	Declared    Rate    `json:"declared"`
	Plain       Rate    `json:"unweighted"`
	Median      float64 `json:"median_log10_p"`
	PlainMedian float64 `json:"median_unweighted_log10_p"`
	Effect      float64 `json:"mean_effect"`
	Needed      float64 `json:"effect_at_power_9"`
}

// Run runs what the state does not have yet. An interruption loses the trials
// under way only.
func (c Calibration) Run(ctx context.Context, program ledger.Build) (*CalibrationReport, error) {
	begun := time.Now()
	s, err := openState(c.State)
	if err != nil {
		return nil, err
	}
	defer s.close()
	lab, err := newLab(c.Seed)
	if err != nil {
		return nil, err
	}
	defer lab.close()
	type job struct {
		id stateID
		do func(context.Context) (any, error)
	}
	var busy, idle []job
	for number := range c.Worlds {
		id := stateID{partScripted, c.Seed, number}
		busy = append(busy, job{id, func(ctx context.Context) (any, error) { return lab.scripted(ctx, id, program) }})
	}
	for number := range c.Styles {
		id := stateID{partStyle, c.Seed, number}
		busy = append(busy, job{id, func(ctx context.Context) (any, error) { return lab.styled(ctx, id, program) }})
	}
	for _, p := range c.marked() {
		for _, id := range p.ids(c.Seed) {
			busy = append(busy, job{id, func(ctx context.Context) (any, error) { return lab.trial(ctx, id, p, program) }})
		}
	}
	for number := range c.Canaries {
		id := stateID{partCanaries, c.Seed, number}
		idle = append(idle, job{id, func(ctx context.Context) (any, error) { return lab.canaries(ctx, id, program) }})
	}
	total, left := len(busy)+len(idle), 0
	var expected time.Duration
	for _, jobs := range [][]job{busy, idle} {
		var trials []stateID
		for _, j := range jobs {
			if !s.has(j.id) {
				trials = append(trials, j.id)
			}
		}
		left += len(trials)
		expected = max(expected, about(trials))
	}
	if c.Begin != nil {
		c.Begin(left, total, expected)
	}
	var finished atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	// Those that wait for the slots of a schedule most of the time go beside the others.
	for _, jobs := range [][]job{busy, idle} {
		g.Go(func() error {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(sideBySide)
			for _, j := range jobs {
				if s.has(j.id) {
					continue
				}
				g.Go(func() error {
					if err := ctx.Err(); err != nil {
						return err
					}
					t, err := j.do(ctx)
					if err == nil {
						err = s.keep(j.id, t)
					}
					if err != nil {
						return fmt.Errorf("%s trial %d: %w", j.id.Part, j.id.Number, err)
					}
					if done := int(finished.Add(1)); c.Progress != nil {
						c.Progress(done, left)
					}
					return nil
				})
			}
			return g.Wait()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r := &CalibrationReport{Seed: c.Seed, Program: program, Failures: []string{}, Marks: []MarkTable{}, Ranks: []RankRow{}, Rates: []RateRow{}, Checks: map[string]bool{}, Wording: map[string]int64{}}
	for _, p := range c.marked() {
		for _, id := range p.ids(c.Seed) {
			t, err := kept[Trial](s, id)
			if err != nil {
				return nil, err
			}
			r.Trials = append(r.Trials, t)
		}
	}
	for _, p := range []struct {
		name  string
		count int
		into  *[]ScriptedResult
	}{{partScripted, c.Worlds, &r.scripted}, {partCanaries, c.Canaries, &r.scripted}, {partStyle, c.Styles, &r.styled}} {
		for number := range p.count {
			t, err := kept[Scripted](s, stateID{p.name, c.Seed, number})
			if err != nil {
				return nil, err
			}
			*p.into = append(*p.into, t.Results...)
		}
	}
	r.sum()
	r.Elapsed = time.Since(begun)
	return r, nil
}

// lab is what all trials share.
type lab struct {
	dir       string
	enc       *tokens.Encoding
	signer    *ledger.Signer
	authority *timestamp.Authority
	teacher   *refmodel.Model
	prompts   [][]int32
	base      [][]int32 // what students are trained on beside what they copy
}

func newLab(seed uint64) (*lab, error) {
	l := &lab{}
	var err error
	if l.dir, err = os.MkdirTemp("", "stillmark-calibrate-"); err != nil {
		return nil, err
	}
	// Keys were committed two hours ago, and served since one hour ago.
	if l.authority, err = timestamp.NewAuthority("calibration authority", func() time.Time { return time.Now().Add(-2 * time.Hour) }); err != nil {
		return nil, err
	}
	if l.signer, err = ledger.NewSigner("calibration", seededReader(seed, streamSigner)); err != nil {
		return nil, err
	}
	if l.teacher, l.enc, _, err = reference(derived(seed, streamTeacherText)); err != nil {
		return nil, err
	}
	w := &world{enc: l.enc}
	if l.prompts, err = w.trainingPrompts(seed); err != nil {
		return nil, err
	}
	l.base, err = encodeDocuments(l.enc, corpora.GenerateText(derived(seed, streamRivalText), "", baseBytes))
	return l, err
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// check enters what the method promises, and whether it is kept.
func (r *CalibrationReport) check(ok bool, check, format string, args ...any) {
	r.Checks[check] = ok
	if !ok {
		r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
	}
}

// sum makes the tables and holds them against what the method promises.
func (r *CalibrationReport) sum() {
	for _, p := range (Calibration{}).marked() {
		var own []Trial
		for _, t := range r.Trials {
			if t.Part == p.name {
				own = append(own, t)
			}
		}
		if len(own) > 0 {
			r.Marks = append(r.Marks, r.sumMarks(p, own))
		}
	}
	r.sumStyle()
	r.sumScripted()
}

func (r *CalibrationReport) sumMarks(p markPart, trials []Trial) MarkTable {
	table := MarkTable{Family: p.family, Innocents: []InnocentRow{}, Positives: []PositiveRow{}}
	of := func(is func(*Trial) bool) []Trial {
		var own []Trial
		for i := range trials {
			if is(&trials[i]) {
				own = append(own, trials[i])
			}
		}
		return own
	}
	for _, kind := range innocentKinds {
		if own := of(func(t *Trial) bool { return t.Kind == kind }); len(own) > 0 {
			table.Innocents = append(table.Innocents, innocentRow(kind, own))
		}
	}
	if own := of(func(t *Trial) bool { return t.Kind == student && t.Share == 0 }); len(own) > 0 {
		table.Innocents = append(table.Innocents, innocentRow("copied unmarked text", own))
	}
	innocents := of(func(t *Trial) bool { return t.Kind != student || t.Share == 0 })
	table.All = innocentRow("all", innocents)
	for _, t := range innocents {
		r.Wording[string(t.Verdict)]++
	}
	all := table.All
	if all.N > 0 {
		r.check(all.Flags == 0, p.family+": no innocent is flagged", "%s: %d of %d innocents are flagged at 1e-6", p.family, all.Flags, all.N)
	}
	if all.N > 1 { // one p-value alone is neither uniform nor not
		r.check(all.KSP > calibrateKS, p.family+": exact p-values are uniform over keys", "%s: the innocents' p-values are not uniform: KS p = %.2g", p.family, all.KSP)
		r.check(all.RankKSP > calibrateKS, p.family+": decoy ranks are uniform", "%s: the innocents' ranks among decoys are not uniform: KS p = %.2g", p.family, all.RankKSP)
	}
	var off, deaf []string
	planned, heard := 0, 0 // rows that can fail
	for _, scheme := range watermark.Schemes() {
		for _, share := range p.shares {
			own := of(func(t *Trial) bool { return t.Kind == student && t.Scheme == scheme && t.Share == share })
			if len(own) == 0 {
				continue
			}
			row := positiveRow(scheme, share, own)
			table.Positives = append(table.Positives, row)
			if row.Declared.Power != nil {
				planned++
			}
			if share == 100 && canBeDeaf(len(own)) {
				heard++
			}
			for _, of := range []struct {
				what string
				rate *Rate
			}{{"", &row.Declared}, {", unweighted", &row.Plain}} {
				if of.rate.broken {
					off = append(off, fmt.Sprintf("%s at %d %%%s: %s", scheme, share, of.what, of.rate))
				}
				if share == 100 && of.rate.deaf() {
					deaf = append(deaf, fmt.Sprintf("%s%s: found %d of %d", scheme, of.what, of.rate.Found, of.rate.N))
				}
			}
		}
	}
	if planned > 0 {
		r.check(len(off) == 0, p.family+": students are found as often as planned", "%s: the power at the effect seen is not what is found: %s", p.family, strings.Join(off, "; "))
	}
	if heard > 0 {
		r.check(len(deaf) == 0, p.family+": students of marked text alone are found", "%s: students of marked text alone are not found with power %.1f: %s", p.family, leastPower, strings.Join(deaf, "; "))
	}
	return table
}

func innocentRow(kind string, trials []Trial) InnocentRow {
	row := InnocentRow{Kind: kind, N: len(trials), KSP: 1, RankKSP: 1}
	var p, ranks []float64
	for _, t := range trials {
		row.Smallest = math.Min(row.Smallest, t.Log10P)
		if t.Flagged() {
			row.Flags++
		}
		if t.Gate {
			row.Gates++
		}
		v := math.Pow(10, t.Log10P)
		if v <= .05 {
			row.Below05++
		}
		p = append(p, v)
		// A rank is one of 200 values: spread evenly over its step, by a draw that
		// depends on the trial alone.
		u := rand.New(rand.NewPCG(t.Seed, uint64(t.Number))).Float64()
		ranks = append(ranks, t.RankP-u/float64(CalibrationDecoys+1))
	}
	if len(trials) > 1 {
		_, row.KSP = evidence.KolmogorovSmirnov(p)
		_, row.RankKSP = evidence.KolmogorovSmirnov(ranks)
	}
	return row
}

// Markdown writes the tables as they stand in probe/README.md.
func (r *CalibrationReport) Markdown(w io.Writer) error {
	var b strings.Builder
	for _, t := range r.Marks {
		t.markdown(&b)
	}
	if r.Style != nil {
		r.Style.markdown(&b)
	}
	r.scriptedTables(&b)
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

func (t *MarkTable) markdown(b *strings.Builder) {
	if t.All.N > 0 {
		fmt.Fprintf(b, "\n| innocents, %s | n | flags at 1e-6 | smallest log10 p | p <= .05 | KS p of p | KS p of ranks | gates passed |\n|---|---|---|---|---|---|---|---|\n", t.Family)
		for _, x := range append(slices.Clone(t.Innocents), t.All) {
			ks := "– | –" // of one
			if x.N > 1 {
				ks = fmt.Sprintf("%.2g | %.2g", x.KSP, x.RankKSP)
			}
			fmt.Fprintf(b, "| %s | %d | %d | %.2f | %d | %s | %d |\n", x.Kind, x.N, x.Flags, x.Smallest, x.Below05, ks, x.Gates)
		}
	}
	if len(t.Positives) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| students, %s | share marked | n | found at 1e-6 | 95 %% interval | found, unweighted | 95 %% interval | power at the effect seen | median log10 p | unweighted | mean effect | effect at power .9, as planned |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", t.Family)
	for _, x := range t.Positives {
		fmt.Fprintf(b, "| %s | %d %% | %d | %d | %.2f–%.2f | %d | %.2f–%.2f | %s | %.2f | %.2f | %.4f | %.4f |\n", x.Scheme, x.Share, x.Declared.N,
			x.Declared.Found, x.Declared.Lo, x.Declared.Hi, x.Plain.Found, x.Plain.Lo, x.Plain.Hi, x.Plain.planned(), x.Median, x.PlainMedian, x.Effect, x.Needed)
	}
}
