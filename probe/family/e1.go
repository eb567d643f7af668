package family

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Radioactivity is the family of this file: E1, radioactivity on text (Sander et
// al., "Watermarking makes language models radioactive", NeurIPS 2024, closed
// model). The target's replies are read with the marked model's own tokenizer
// and scored under the secret key as one stream; a model that learned from
// marked text repeats some of its choices.
const Radioactivity = "E1"

// Exported constants of the test, fixed in the plan.
const (
	// PowerLevel is the power that every promise of an effect refers to.
	PowerLevel = .9
	// curvePoints is how finely the evidence is shown against the tokens read.
	curvePoints = 20
	// anytimeCost is how many decades of p an e-process costs, at the dear end
	// (measured: 3 to 4): the power of an anytime test is that of a fixed-n test
	// at a level lower by as much.
	anytimeCost = 4
)

// rung is what a positive of E1 reaches on the ladder of hypotheses: which of
// the ways the text took is for other tests to tell.
const rung = "H_any: trained on, or otherwise dependent on, some text of ours generated under this key"

func e1Family() Family {
	return Family{
		ID: Radioactivity, Name: "radioactivity on text", Tier: ledger.Exact, Key: MarkKey, Rung: rung,
		Needs: []string{"chat"}, Anytime: true, run: runE1,
		null:        "The replies of {target} are statistically independent of secret key {key}, which was drawn at random.",
		alternative: "The replies of {target} depend on secret key {key}.",
	}
}

// E1Options are what a plan may choose of E1.
type E1Options struct {
	// Part is what is read of a reply: its text (empty) or [PartReasoning], a
	// hypothesis of its own.
	Part string `json:"part,omitempty"`
}

// PartReasoning reads the separate reasoning text of replies in place of the
// answer.
const PartReasoning = "reasoning"

// e1Options reads a test's options.
func e1Options(t *ledger.Test) (E1Options, error) {
	var o E1Options
	if err := decodeOptions(t, &o); err != nil {
		return o, err
	}
	if o.Part != "" && o.Part != PartReasoning {
		return o, fmt.Errorf("test %s: part %q is neither empty nor %q", t.ID, o.Part, PartReasoning)
	}
	return o, nil
}

// TextOf is what a test reads of replies where that is not their answer, or not known.
func TextOf(t *ledger.Test) string {
	if t.Family != Radioactivity {
		return ""
	}
	o, err := e1Options(t)
	if err != nil {
		return ""
	}
	return o.Part
}

// decodeOptions reads the options of a test strictly; none leave into as it is.
func decodeOptions(t *ledger.Test, into any) error {
	if len(t.Options) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(t.Options))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("test %s: its options cannot be read: %w", t.ID, err)
	}
	return nil
}

// runE1 scores the tests of one target in one pass over its replies: they are
// tokenised once, however many keys are tried.
func runE1(ctx context.Context, ins []*Input) ([]*Output, error) {
	units := cmp.Or(ins[0].units, max(unitsInMemory/len(ins), fewUnits))
	tests := make([]*e1, len(ins))
	defer func() {
		for _, e := range tests {
			e.close()
		}
	}()
	for i, in := range ins {
		e, err := newE1(in, units)
		if err != nil {
			return nil, err
		}
		tests[i] = e
	}
	if err := readFirst(ctx, ins, tests, units); err != nil {
		return nil, err
	}
	if err := readAll(ctx, ins, tests); err != nil {
		return nil, err
	}
	outs := make([]*Output, len(ins))
	for i, e := range tests {
		var err error
		if outs[i], err = e.finish(ctx); err != nil {
			return nil, err
		}
		if e.pooled != nil {
			if err := e.join(ctx, outs[i]); err != nil {
				return nil, err
			}
		}
		e.close()
		tests[i] = nil // its units are no longer needed
	}
	return outs, nil
}

const (
	// unitsInMemory is how many distinct units the tests of a target hold in memory
	// together, in 60 MB; more than 32 tests hold [fewUnits] each instead. Those of larger
	// cases go to temporary files.
	unitsInMemory = 2 << 20
	// fewUnits is what each of many tests may hold anyhow, in 2 MB: a file's buffers
	// would take a quarter of it, and more when it is read.
	fewUnits = 1 << 16
)

// close gives up what the test has on disk.
func (e *e1) close() {
	if e == nil {
		return
	}
	e.detector.Close()
	e.pooled.close()
}

// readFirst reads the replies of the first run, if there is one, for every test
// that can be joined with it: their units are not scored again, and open the pooled
// score.
func readFirst(ctx context.Context, ins []*Input, tests []*e1, units int) error {
	var early []*Input
	var first []*e1
	for i, in := range ins {
		if in.earlier == nil || !tests[i].detector.UnitIsPair() {
			continue
		}
		seen, err := newE1(in.earlier, math.MaxInt) // it is asked for units
		if err != nil {
			return err
		}
		pooled, err := newE1(in.earlier, units)
		if err != nil {
			return err
		}
		pooled.replies = 0 // no curve
		if tests[i], err = newE1(in, units, seen.detector.Has); err != nil {
			return err
		}
		tests[i].pooled = pooled
		early, first = append(early, in.earlier, in.earlier), append(first, seen, pooled)
	}
	if len(first) == 0 {
		return nil
	}
	return readAll(ctx, early, first)
}

// join adds the pooled figures: every unit of either run once, as one test.
func (e *e1) join(ctx context.Context, out *Output) error {
	if err := e.pooled.settle(ctx); err != nil {
		return err
	}
	d := e.pooled.detector.Result()
	j := &ledger.Joint{N: d.N, Score: d.Score, Mean: d.Tail.Mean, SD: d.Tail.SD}
	if out.Finding.Log10P != nil || out.Finding.Log10E != nil { // not withheld
		j.Log10E = out.Finding.Log10E
		if j.Log10E != nil {
			j.Log10E = number(d.Log10E)
		}
		if e.test.Mode == ledger.ModeFixedN {
			j.Log10P = number(d.Tail.Log10P)
		}
	}
	out.Finding.Joint, out.Joined = j, true
	return nil
}

// newE1 prepares a test that holds so many distinct units in memory; skip, if given,
// names units that were scored before.
func newE1(in *Input, units int, skip ...func(window []int32, token int32) bool) (*e1, error) {
	mark, err := in.Key.Mark()
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", in.Key.ID, err)
	}
	opt, err := e1Options(in.Test)
	if err != nil {
		return nil, err
	}
	var r *reader // none is needed for ids
	if im := in.Target.Imported; im == nil || !im.IDs || opt.Part != "" {
		if r, err = in.readers.forKey(in.Key); err != nil {
			return nil, err
		}
	}
	e := &e1{
		test: in.Test, reader: r, part: opt.Part, log10Alpha: in.Log10Alpha,
		decoys: in.Decoys, seed: in.DecoySeed, progress: in.Progress, curve: make([]ledger.CurvePoint, 0, curvePoints),
		stretches: map[stretch]*stretchPart{}, zeros: wordingOf(in.plan) < wordingLadder,
	}
	if g := in.targets[in.Target.Name]; len(g.epochs) > 1 {
		e.epochs, e.epochName = len(g.epochs), g.name
	}
	for s := range in.targets[in.Target.Name].settled() {
		if in.Test.Reads(s.prompt) && s.class == ledger.OK && (s.reasoning || opt.Part == "") {
			e.replies++
		}
	}
	options := watermark.Options{Weights: in.Test.Weights, Spill: &watermark.Spill{Units: units, Each: e.note}}
	if in.Test.Filter != "" {
		windows, err := loadFilter(in.Files, in.Test.Filter)
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		if windows.Window() != mark.Window() {
			return nil, fmt.Errorf("test %s: the filter has windows of %d tokens, the key has %d", in.Test.ID, windows.Window(), mark.Window())
		}
		options.Keep = windows.Has
	}
	if len(skip) > 0 {
		options.Skip = skip[0]
	}
	e.detector = watermark.NewDetector(mark, options)
	return e, nil
}

// chunk is how many replies are decoded and tokenised at a time, in parallel: some
// hundred kilobytes of text.
const chunk = 64

// readAll feeds the replies to all tests, in the plan's order.
func readAll(ctx context.Context, ins []*Input, tests []*e1) error {
	g := ins[0].targets[ins[0].Target.Name]
	var batch []settled
	step, done := ins[0].step, 0
	step(StepReplies, 0, len(g.attempts))
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("test %s: %w", tests[0].test.ID, err)
		}
		err := feed(ins, tests, batch)
		step(StepReplies, done, len(g.attempts))
		batch = batch[:0]
		return err
	}
	for s := range g.settled() {
		done = s.place + 1
		if batch = append(batch, s); len(batch) == chunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// textOf names one reading of a reply: which part of it, by which tokenizer.
type textOf struct {
	r    *reader
	part string
}

// feed decodes and tokenises a batch on all cores, once for each reading, and
// then adds it to every test in order.
func feed(ins []*Input, tests []*e1, batch []settled) error {
	items := make([]map[textOf]watermark.Item, len(batch))
	err := onAllCores(len(batch), func(i int) error {
		s := batch[i]
		a, err := s.answer()
		if err != nil || a.Reply.Outcome != ledger.OK {
			return err
		}
		items[i] = map[textOf]watermark.Item{}
		for _, e := range tests {
			of := textOf{e.reader, e.part}
			if _, done := items[i][of]; done || !e.test.Reads(s.prompt) {
				continue
			}
			it, ok, err := e.item(a)
			if err != nil {
				return err
			}
			if ok {
				items[i][of] = it
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return onAllCores(len(tests), func(k int) error {
		e := tests[k]
		for i, s := range batch {
			if it, ok := items[i][textOf{e.reader, e.part}]; ok && e.test.Reads(s.prompt) {
				if err := e.add(it, stretch{s.prompt.Lang, s.epoch}); err != nil {
					return fmt.Errorf("test %s: %w", e.test.ID, err)
				}
			}
		}
		return nil
	})
}

// counter counts calls from several goroutines and reports how many there were.
func counter(report func(done int)) func() {
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		report(done)
	}
}

// onAllCores calls do for 0 … n-1, on all cores, and returns the error of the
// smallest number that had one.
func onAllCores(n int, do func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// e1 is one test with all it needs.
type e1 struct {
	test       *ledger.Test
	reader     *reader
	part       string // of a reply: see [E1Options]
	detector   *watermark.Detector
	pooled     *e1     // over both runs; nil where there is no first one
	log10Alpha float64 // per test: alpha/m
	decoys     int
	seed       [32]byte
	progress   func(done int)

	replies   int64 // that are expected to enter: places the points of the curve
	done      int64
	tokens    int64
	curve     []ledger.CurvePoint
	stretches map[stretch]*stretchPart
	parts     []*stretchPart // of stretches, by their tags

	zeros     bool // log10 e is 0 where there is none, as it was before wording table 4
	epochs    int  // of the target, where there are several
	epochName func(i int) string
}

// stretch is the part of a run in one language of its prompts and one epoch of its target.
type stretch struct {
	lang  string
	epoch int
}

type stretchPart struct {
	tag      int
	n        int64
	score    float64
	clusters evidence.Clusters
}

// merge adds up some of the stretches, in a fixed order.
func (e *e1) merge(of func(stretch) bool) stretchPart {
	var sum stretchPart
	for _, c := range slices.SortedFunc(maps.Keys(e.stretches), func(a, b stretch) int {
		return cmp.Or(cmp.Compare(a.lang, b.lang), cmp.Compare(a.epoch, b.epoch))
	}) {
		if p := e.stretches[c]; of(c) {
			sum.n, sum.score = sum.n+p.n, sum.score+p.score
			sum.clusters.Merge(p.clusters)
		}
	}
	return sum
}

// item reads the part of an answer that the test scores. There may be none.
func (e *e1) item(a *Answer) (watermark.Item, bool, error) {
	if e.reader == nil {
		return watermark.Item{Prompt: a.Reply.PromptTokens, Tokens: a.Reply.Tokens}, true, nil
	}
	text := a.Reply.Text
	if e.part == PartReasoning {
		if text = a.Reply.Reasoning; text == "" {
			return watermark.Item{}, false, nil
		}
	}
	it, err := e.reader.item(a.Item, text)
	return it, err == nil, err
}

// finish makes the finding of what was added. Verdict, Holm and commitment are
// not its business.
func (e *e1) finish(ctx context.Context) (*Output, error) {
	if err := e.settle(ctx); err != nil {
		return nil, err
	}
	d := e.detector.Result()
	f := ledger.Finding{
		Scheme: d.Scheme, PRF: d.PRF, Replies: d.Items, Tokens: d.Tokens, N: d.N, Dropped: ledger.Dropped{
			Prompt: d.Dropped.Prompt, Repeat: d.Dropped.Repeat, Short: d.Dropped.Short,
			Filtered: d.Dropped.Filtered, Channel: d.Dropped.Channel, OutOfVocab: d.Dropped.OutOfVocab,
		},
		Weights: d.Weights, Score: d.Score, Mean: d.Tail.Mean, SD: d.Tail.SD,
		EffectUnit: EffectUnit(d.Law), PlainScore: d.Plain.Score, Curve: []ledger.CurvePoint{},
		Power: e.power(&d),
	}
	if e.part == PartReasoning {
		f.Statistic = "the scheme's score, summed over the reasoning text of the replies"
	}
	if d.N == 0 {
		return &Output{Finding: f}, nil
	}
	f.Effect, f.EffectLo, f.EffectHi = d.Effect.Value, d.Effect.Lo, d.Effect.Hi
	gate := GateUnchecked
	if e.decoys > 0 {
		judged, scores, err := e.detector.Decoys(ctx, e.seed, e.decoys, e.progress)
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", e.test.ID, err)
		}
		f.Decoys = decoyFinding(judged, scores, d.Tail)
		if gate = GatePassed; !judged.Pass {
			gate = GateFailed
		}
	}
	f.Parts = append(e.byLang(d.Law), e.byEpoch(d.Law, gate != GateFailed && e.test.Mode == ledger.ModeFixedN)...)
	if gate == GateFailed {
		return &Output{Finding: f}, nil // nothing analytic is shown, and nothing enters Holm
	}
	f.Curve = e.curve
	if e.detector.EProcess() || e.zeros {
		f.Log10E = number(d.Log10E)
	}
	if e.test.Mode == ledger.ModeAnytime {
		return &Output{Finding: f, Log10P: math.Min(0, -d.Log10E)}, nil
	}
	f.Log10P, f.Log10PMethod = number(d.Tail.Log10P), d.Tail.Method
	f.Log10PEstimate = number(d.Tail.Log10Estimate)
	f.PlainLog10P = number(d.Plain.Tail.Log10P)
	return &Output{Finding: f, Log10P: d.Tail.Log10P}, nil
}

// byLang is the effect by the language of the prompt, where there are several. A unit
// that two languages share counts in the one that had it first.
func (e *e1) byLang(law evidence.Law) []ledger.Part {
	langs := map[string]bool{}
	for c := range e.stretches {
		langs[c.lang] = true
	}
	if len(langs) < 2 {
		return nil
	}
	var out []ledger.Part
	for _, lang := range slices.Sorted(maps.Keys(langs)) {
		p := e.merge(func(c stretch) bool { return c.lang == lang })
		out = append(out, part(cmp.Or(lang, "language not said"), p.n, law.Effect(p.clusters)))
	}
	return out
}

// settle scores what is on disk.
func (e *e1) settle(ctx context.Context) error {
	if err := e.detector.Settle(ctx); err != nil {
		return fmt.Errorf("test %s: %w", e.test.ID, err)
	}
	return nil
}

// add scores a reply.
func (e *e1) add(it watermark.Item, in stretch) error {
	if e.pooled != nil {
		if err := e.pooled.add(it, in); err != nil {
			return err
		}
	}
	p := e.stretches[in]
	if p == nil {
		p = &stretchPart{tag: len(e.parts)}
		e.stretches[in], e.parts = p, append(e.parts, p)
	}
	return e.detector.Enter(it, p.tag)
}

// note enters a reply that was scored, and notes the evidence now and then: at equal
// numbers of replies, the last time at the end. The curve is a description: the fixed-n
// test looks at its end only.
func (e *e1) note(tag, tokens int, n int64, score float64) {
	p := e.parts[tag]
	p.n, p.score = p.n+n, p.score+score
	p.clusters.Add(n, score)
	e.done++
	e.tokens += int64(tokens)
	if e.replies == 0 || e.done*curvePoints/e.replies == (e.done-1)*curvePoints/e.replies {
		return
	}
	r := e.detector.Result()
	at := ledger.CurvePoint{Tokens: e.tokens, Log10E: finite(r.Log10E)}
	if e.test.Mode == ledger.ModeFixedN {
		at.Log10P = finite(r.Tail.Log10P)
	}
	e.curve = append(e.curve, at)
}

// power is the smallest effect that the test, as it was run, would have found
// with power .9 at its share of the family-wise level. Effect 0 means none.
func (e *e1) power(d *watermark.Detection) ledger.PowerRow {
	row := ledger.PowerRow{Test: e.test.ID, Units: d.N, Log10Alpha: e.log10Alpha, EffectUnit: EffectUnit(d.Law)}
	if d.N > 0 {
		row.Effect = DetectableEffect(d.Law, d.Counts, e.test.Mode, e.log10Alpha)
	}
	return row
}

// DetectableEffect is the smallest effect that a test of the given mode finds
// with [PowerLevel] at a level of log10Alpha, or 0 if there is none.
func DetectableEffect(l evidence.Law, c evidence.Counts, mode string, log10Alpha float64) float64 {
	if mode == ledger.ModeAnytime {
		log10Alpha -= anytimeCost
	}
	effect := l.DetectableEffect(c, log10Alpha, PowerLevel)
	if math.IsNaN(effect) || math.IsInf(effect, 0) || effect < 0 {
		return 0
	}
	return effect
}

// EffectUnit says what the effect of a scheme's law counts.
func EffectUnit(l evidence.Law) string {
	switch l.Kind {
	case evidence.KindBernoulli:
		return "share of green tokens above the null rate"
	case evidence.KindFairBits:
		return "share of one-bits above 1/2"
	}
	return "mean score per token above the null mean of 1"
}

// decoyFinding puts the decoys' scores on the scale of the null law.
func decoyFinding(d evidence.Decoys, scores []float64, t evidence.Tail) *ledger.DecoyFinding {
	f := &ledger.DecoyFinding{
		N: d.N, RankP: d.RankP, SDRatio: finite(d.SDRatio), SDRatioLo: finite(d.SDRatioLo), SDRatioHi: finite(d.SDRatioHi),
		Tolerance: finite(d.SDTolerance), KSP: finite(d.KSP), Pass: d.Pass, Scores: make([]float64, len(scores)),
	}
	for i, s := range scores {
		if t.SD > 0 {
			// Four digits are what a histogram can show; the rest would only
			// make the file of findings larger.
			f.Scores[i] = math.Round((s-t.Mean)/t.SD*1e4) / 1e4
		}
	}
	return f
}

// number makes a value that JSON can hold.
func number(v float64) *float64 {
	v = finite(v)
	return &v
}

// finite replaces what JSON cannot hold: an impossible score (-Inf) by the most
// negative number, anything undefined by 0.
func finite(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, -1):
		return -math.MaxFloat64
	case math.IsInf(v, 1):
		return math.MaxFloat64
	}
	return v
}
