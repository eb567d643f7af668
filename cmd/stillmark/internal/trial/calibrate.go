package trial

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/strength"
)

// Sizes of a calibration. An audit of one rival asks for some 4,000 tokens, which
// with its training takes a second or two.
const (
	// InnocentRivals is the number that a release needs, QuickRivals what CI has
	// time for.
	InnocentRivals = 200
	QuickRivals    = 20
	// PositiveRivals are tried at every share of marked text.
	PositiveRivals = 50

	calibratePrompts = 40
	calibrateDecoys  = 199
	// calibrateKS is the level at which the innocents' p-values must pass for uniform.
	calibrateKS = 1e-3
)

// Shares are the shares of a student's copied text that is marked, in percent.
var Shares = []int{1, 5, 20, 100}

// innocentKinds vary what an innocent writes like, and how.
var innocentKinds = []string{"mixed topics", "one topic", "cold and repetitive", "from templates", "five languages", "large and hot"}

// Calibration says what is run.
type Calibration struct {
	Seed                 uint64
	Innocents, Positives int // the latter at each share
	// Worlds are audits of scripted rivals by the comparative families, Canaries those by
	// E3 to E6: see [Scripted].
	Worlds, Canaries int
	// State is a file in which every finished trial is kept, one a line, so that the
	// same calibration goes on after an interruption; "" keeps none.
	State    string
	Progress func(done, total int)
}

// Trial is one audit of a rival whose history is known. It is a function of the
// calibration's seed and its own number.
type Trial struct {
	stateID
	Kind    string         `json:"kind"`
	Share   int            `json:"share_percent"` // of marked text among what a student copied; 0: an innocent
	Scheme  string         `json:"scheme"`
	N       int64          `json:"n"`
	Log10P  float64        `json:"log10_p"` // before correction: there is one test
	RankP   float64        `json:"rank_p"`
	Gate    bool           `json:"gate"`
	Effect  float64        `json:"effect"`
	Power   float64        `json:"effect_at_power_9"` // as the plan promised it
	Verdict ledger.Verdict `json:"verdict"`
}

// Flagged reports whether the audit ends with the strongest words that one run can
// have.
func (t *Trial) Flagged() bool { return t.Verdict == ledger.VerdictSingleRun }

// CalibrationReport is what the trials come to.
type CalibrationReport struct {
	Seed      uint64        `json:"seed"`
	Innocents []InnocentRow `json:"innocents"`
	All       InnocentRow   `json:"all_innocents"`
	Positives []PositiveRow `json:"positives"`
	Failures  []string      `json:"failures"` // empty: the method keeps its word
	Ranks     []RankRow     `json:"scripted_innocents"`
	Rates     []RateRow     `json:"scripted_rates"`
	Trials    []Trial       `json:"-"`
	scripted  []ScriptedResult
	Program   ledger.Build     `json:"program"`
	Elapsed   time.Duration    `json:"-"`
	Checks    map[string]bool  `json:"checks"`
	Wording   map[string]int64 `json:"verdicts_of_innocents"`
}

// InnocentRow sums up innocents of a kind.
type InnocentRow struct {
	Kind     string  `json:"kind"`
	N        int     `json:"n"`
	Flags    int     `json:"flags"`
	Smallest float64 `json:"smallest_log10_p"`
	Below05  int     `json:"below_0.05"`
	KSP      float64 `json:"ks_p"`      // of the exact p-values against uniform
	RankKSP  float64 `json:"rank_ks_p"` // of the decoy ranks, made continuous
	Gates    int     `json:"gates_passed"`
}

// PositiveRow sums up the students of one scheme and share.
type PositiveRow struct {
	Scheme string  `json:"scheme"`
	Share  int     `json:"share_percent"`
	N      int     `json:"n"`
	Found  int     `json:"found"` // at 1e-6
	Lo     float64 `json:"found_lo"`
	Hi     float64 `json:"found_hi"`
	Median float64 `json:"median_log10_p"`
	Effect float64 `json:"median_effect"`
	Power  float64 `json:"effect_at_power_9"`
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
	watermarked := c.Innocents + len(Shares)*c.Positives
	for number := range watermarked {
		id := stateID{partWatermark, c.Seed, c.id(number)}
		busy = append(busy, job{id, func(ctx context.Context) (any, error) { return lab.trial(ctx, c, number, program) }})
	}
	for number := range c.Canaries {
		id := stateID{partCanaries, c.Seed, number}
		idle = append(idle, job{id, func(ctx context.Context) (any, error) { return lab.canaries(ctx, id, program) }})
	}
	total, had := len(busy)+len(idle), 0
	for _, j := range slices.Concat(busy, idle) {
		if s.has(j.id) {
			had++
		}
	}
	var finished atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	// Two at a time: a training in progress holds some 100 MB. Those that wait for the
	// slots of a schedule most of the time go beside.
	for _, jobs := range [][]job{busy, idle} {
		g.Go(func() error {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(2)
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
					if done := had + int(finished.Add(1)); c.Progress != nil {
						c.Progress(done, total)
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
	r := &CalibrationReport{Seed: c.Seed, Program: program, Failures: []string{}, Checks: map[string]bool{}, Wording: map[string]int64{}}
	for number := range watermarked {
		t, err := kept[Trial](s, stateID{partWatermark, c.Seed, c.id(number)})
		if err != nil {
			return nil, err
		}
		r.Trials = append(r.Trials, t)
	}
	for part, count := range map[string]int{partScripted: c.Worlds, partCanaries: c.Canaries} {
		for number := range count {
			t, err := kept[Scripted](s, stateID{part, c.Seed, number})
			if err != nil {
				return nil, err
			}
			r.scripted = append(r.scripted, t.Results...)
		}
	}
	r.sum()
	r.Elapsed = time.Since(begun)
	return r, nil
}

// id is the number of a trial in the state, the same whatever the counts are:
// innocents are even, positives odd.
func (c Calibration) id(number int) int {
	if number < c.Innocents {
		return 2 * number
	}
	return 2*(number-c.Innocents) + 1
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

// trial makes a rival, audits it through the code that a real target gets, and
// returns what the audit says.
func (l *lab) trial(ctx context.Context, c Calibration, number int, program ledger.Build) (*Trial, error) {
	id := c.id(number)
	seed := rand.NewPCG(c.Seed, uint64(id)).Uint64()
	schemes := watermark.Schemes()
	t := &Trial{stateID: stateID{partWatermark, c.Seed, id}, Scheme: schemes[(id/2+id/2/len(innocentKinds))%len(schemes)]}
	key, err := watermark.NewKey(watermark.Spec{
		Scheme: t.Scheme, Model: "teacher", Tokenizer: l.enc.Name(), TokenizerSHA256: l.enc.SHA256(), Vocab: l.enc.VocabSize(),
		ServingFrom: served1h(),
	}, seededReader(seed, streamKeys))
	if err != nil {
		return nil, err
	}
	var rival mock.Generator
	temperature := 1.0
	suite := suiteName
	if number < c.Innocents {
		t.Kind = innocentKinds[number%len(innocentKinds)]
		rival, temperature, suite, err = l.innocent(number%len(innocentKinds), seed)
	} else {
		t.Kind = "student"
		t.Share = Shares[(number-c.Innocents)%len(Shares)]
		t.Scheme = schemes[(number-c.Innocents)/len(Shares)%len(schemes)]
		if key, err = watermark.NewKey(func() watermark.Spec { s := key.Spec; s.Scheme, s.Params = t.Scheme, watermark.Params{}; return s }(), seededReader(seed, streamKeys)); err == nil {
			rival, err = l.student(key, t.Share, seed)
		}
	}
	if err != nil {
		return nil, err
	}
	return t, l.audit(ctx, t, key, rival, suite, temperature, seed, program)
}

// innocent makes a rival that has never met the key.
func (l *lab) innocent(kind int, seed uint64) (g mock.Generator, temperature float64, suite string, err error) {
	train := func(text string) (mock.Generator, error) {
		docs, err := encodeDocuments(l.enc, text)
		if err != nil {
			return nil, err
		}
		m, err := refmodel.Train(docs, refmodel.Options{Vocab: l.enc.VocabSize()})
		return &served{model: m, enc: l.enc}, err
	}
	domains := corpora.TextDomains()
	temperature, suite = 1, suiteName
	switch innocentKinds[kind] {
	case "one topic":
		temperature = .7
		g, err = train(corpora.GenerateText(seed, domains[seed%uint64(len(domains))], baseBytes/4))
	case "cold and repetitive":
		temperature = .3
		g, err = train(corpora.GenerateText(seed, "", baseBytes/4))
	case "from templates":
		g = templated{seed: seed}
	case "five languages":
		var text string
		if text, suite, err = manyTongues(seed); err == nil {
			g, err = train(text)
		}
	case "large and hot":
		temperature = 1.2
		g, err = train(corpora.GenerateText(seed, "", baseBytes))
	default:
		g, err = train(corpora.GenerateText(seed, "", baseBytes/2))
	}
	return g, temperature, suite, err
}

// manyTongues is text in five languages, and the suite whose prompts are put.
func manyTongues(seed uint64) (text, suite string, err error) {
	langs := []string{"de", "es", "fr", "ja", "zh"}
	var b strings.Builder
	for _, lang := range langs {
		s, err := corpora.Load("longform-" + lang)
		if err != nil {
			return "", "", err
		}
		prompts, err := s.Expand(seed, 0)
		if err != nil {
			return "", "", err
		}
		for _, p := range prompts {
			b.WriteString(p.Text + corpora.DocumentBreak)
		}
	}
	return b.String(), "longform-" + langs[seed%uint64(len(langs))], nil
}

// templated answers every prompt with sentences of few moulds, as service desks do.
type templated struct{ seed uint64 }

// Generate writes a reply word by word.
func (g templated) Generate(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", g.seed, req.Seed, req.Prompt))
	rng := rand.New(rand.NewChaCha8(h))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	n := 0
	for range 12 {
		sentence := fmt.Sprintf("Thank you for asking about the %s. We %s that the %s is %s, and you will hear from us within %s days. ",
			pick("order", "invoice", "account", "parcel"), pick("confirm", "regret", "are happy"), pick("delivery", "refund", "change", "request"),
			pick("on its way", "under way", "complete", "delayed"), pick("two", "three", "five", "ten"))
		for _, word := range strings.SplitAfter(sentence, " ") {
			if word == "" {
				continue
			}
			if n++; n > req.MaxTokens && req.MaxTokens > 0 {
				return "length", nil
			}
			if err := emit(mock.Piece{Text: word}); err != nil {
				return "", err
			}
		}
	}
	return "stop", nil
}

// student is trained on base text and on replies of the teacher, a share of which
// is marked under the key.
func (l *lab) student(key *watermark.Key, share int, seed uint64) (mock.Generator, error) {
	mark, err := key.Mark()
	if err != nil {
		return nil, err
	}
	w := &world{enc: l.enc, teacher: l.teacher}
	marked := markedTokens * share / 100
	prompts := slices.Clone(l.prompts)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(prompts), func(i, j int) { prompts[i], prompts[j] = prompts[j], prompts[i] })
	copied := slices.Concat(w.replies(prompts, marked, mark, seed), w.replies(prompts, markedTokens-marked, nil, seed+1<<40))
	m, err := refmodel.Train(slices.Concat(l.base, copied), refmodel.Options{Vocab: l.enc.VocabSize()})
	return &served{model: m, enc: l.enc}, err
}

// committed has the authority timestamp the commitment to a key, and to what is asked under
// it.
func (l *lab) committed(key *watermark.Key, lists ...watermark.CommittedList) (probe.PlanKey, error) {
	commitment, err := key.Commit()
	if err == nil {
		err = commitment.Bind(lists...)
	}
	if err != nil {
		return probe.PlanKey{}, err
	}
	encoded, err := commitment.Encode()
	if err != nil {
		return probe.PlanKey{}, err
	}
	token, err := l.authority.Stamp(sha256.Sum256(encoded))
	return probe.PlanKey{Key: key, Commitment: encoded, Stamp: token}, err
}

// audit plans, asks over HTTP, and analyses.
func (l *lab) audit(ctx context.Context, t *Trial, key *watermark.Key, rival mock.Generator, suite string, temperature float64, seed uint64, program ledger.Build) error {
	server, err := mock.New(mock.Options{Models: map[string]mock.Generator{"rival": rival}, Seed: seed})
	if err != nil {
		return err
	}
	if err := server.Start(0); err != nil {
		return err
	}
	defer server.Close()
	committed, err := l.committed(key)
	if err != nil {
		return err
	}
	s, err := corpora.Load(suite)
	if err != nil {
		return err
	}
	drawn, err := probe.ExpandSuite(s, seed, calibratePrompts)
	if err != nil {
		return err
	}
	requests := int64(seed >> 12) // so that a reply does not depend on when it is asked for
	draft, err := probe.NewPlan(probe.PlanInput{
		Name: "calibration", Demo: true, Targets: []ledger.Target{{Name: "rival", Role: ledger.Rival, BaseURL: server.URL(), Model: "rival"}},
		Suites: []probe.PlanSuite{drawn}, Params: ledger.Params{MaxTokens: replyTokens, Temperature: &temperature, Seed: &requests, Stream: true},
		Keys: []probe.PlanKey{committed}, Decoys: calibrateDecoys, TokensPerReply: replyTokens,
		Program: program, Now: time.Now(), Rand: seededReader(seed, streamPlan),
	})
	if err != nil {
		return err
	}
	t.Power = draft.Plan.Power[0].Effect
	dir := filepath.Join(l.dir, fmt.Sprintf("case-%d", t.Number))
	defer os.RemoveAll(dir)
	kase, err := probe.SealPlan(dir, draft, l.signer, nil)
	if err != nil {
		return err
	}
	if _, err := probe.Run(ctx, dir, probe.RunOptions{Program: program, Concurrency: 8}); err != nil {
		return err
	}
	findings, err := family.Analyze(ctx, kase, []*watermark.Key{key}, family.Options{})
	if err != nil {
		return err
	}
	f := &findings.Findings[0]
	t.N, t.Effect, t.Verdict = f.N, f.Effect, f.Verdict
	if f.Log10P != nil {
		t.Log10P = *f.Log10P
	}
	if f.Decoys != nil {
		t.RankP, t.Gate = f.Decoys.RankP, f.Decoys.Pass
	}
	return nil
}

// sum makes the tables and holds them against what the method promises.
func (r *CalibrationReport) sum() {
	var all []Trial
	for _, kind := range innocentKinds {
		var own []Trial
		for _, t := range r.Trials {
			if t.Share == 0 && t.Kind == kind {
				own = append(own, t)
			}
		}
		if len(own) > 0 {
			r.Innocents = append(r.Innocents, innocentRow(kind, own))
		}
		all = append(all, own...)
	}
	r.All = innocentRow("all", all)
	for _, t := range all {
		r.Wording[string(t.Verdict)]++
	}
	fail := func(ok bool, check, format string, args ...any) {
		r.Checks[check] = ok
		if !ok {
			r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
		}
	}
	fail(r.All.Flags == 0, "no innocent is flagged", "%d of %d innocents are flagged at 1e-6", r.All.Flags, r.All.N)
	fail(r.All.KSP > calibrateKS, "exact p-values are uniform over keys", "the innocents' p-values are not uniform: KS p = %.2g", r.All.KSP)
	fail(r.All.RankKSP > calibrateKS, "decoy ranks are uniform", "the innocents' ranks among decoys are not uniform: KS p = %.2g", r.All.RankKSP)
	for _, scheme := range watermark.Schemes() {
		for _, share := range Shares {
			var own []Trial
			for _, t := range r.Trials {
				if t.Share == share && t.Scheme == scheme {
					own = append(own, t)
				}
			}
			if len(own) > 0 {
				r.Positives = append(r.Positives, positiveRow(scheme, share, own))
			}
		}
	}
	r.sumScripted(fail)
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
		ranks = append(ranks, t.RankP-u/float64(calibrateDecoys+1))
	}
	if len(trials) > 1 {
		_, row.KSP = evidence.KolmogorovSmirnov(p)
		_, row.RankKSP = evidence.KolmogorovSmirnov(ranks)
	}
	return row
}

func positiveRow(scheme string, share int, trials []Trial) PositiveRow {
	row := PositiveRow{Scheme: scheme, Share: share, N: len(trials)}
	var p, effect, power []float64
	for _, t := range trials {
		if t.Log10P <= family.Log10Accusation {
			row.Found++
		}
		p, effect, power = append(p, t.Log10P), append(effect, t.Effect), append(power, t.Power)
	}
	row.Lo, row.Hi = strength.ClopperPearson(int64(row.Found), int64(row.N), .95)
	row.Median, row.Effect, row.Power = median(p), median(effect), median(power)
	return row
}

func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Markdown writes the tables as they stand in probe/README.md.
func (r *CalibrationReport) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| innocents | n | flags at 1e-6 | smallest log10 p | p <= .05 | KS p of p | KS p of ranks | gates passed |\n|---|---|---|---|---|---|---|---|\n")
	for _, x := range append(slices.Clone(r.Innocents), r.All) {
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f | %d | %.2g | %.2g | %d |\n", x.Kind, x.N, x.Flags, x.Smallest, x.Below05, x.KSP, x.RankKSP, x.Gates)
	}
	if len(r.Positives) > 0 {
		fmt.Fprintf(&b, "\n| students | share marked | n | found at 1e-6 | 95 %% interval | median log10 p | median effect | effect at power .9, as planned |\n|---|---|---|---|---|---|---|---|\n")
		for _, x := range r.Positives {
			fmt.Fprintf(&b, "| %s | %d %% | %d | %d | %.2f–%.2f | %.2f | %.4f | %.4f |\n", x.Scheme, x.Share, x.N, x.Found, x.Lo, x.Hi, x.Median, x.Effect, x.Power)
		}
	}
	r.scriptedTables(&b)
	_, err := io.WriteString(w, b.String())
	return err
}
