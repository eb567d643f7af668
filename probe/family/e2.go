package family

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// ReadingMode is the family of this file: E2 (Sander et al., "Watermarking makes
// language models radioactive", NeurIPS 2024, open model). Text that our own model
// wrote under the key is cut at some of its tokens and given to the target, which says
// its likeliest next token. A model that learned from marked text leans to the key's
// choice there; its own texts may show much less of it.
//
// The prefix was chosen under the key, so a position is scored only where the
// generator's input is fresh: its window has not occurred in the prefix before, and so
// no word of the key under it has had any say in what the target reads. Whether a
// position is asked is decided from the prefix alone. The token that our model chose
// next follows the key under that very window: a selection that looked at it would favour
// the key's choices, and is why the text is sent cut, not whole with its echo.
const ReadingMode = "E2"

func e2Family() Family {
	return Family{
		ID: ReadingMode, Name: "reading mode", Tier: ledger.Exact, Key: MarkKey, Rung: rung,
		Needs: []string{"completions"}, Anytime: true, Listed: true, Whole: true, run: alone(runE2),
		null:        "The next tokens that {target} finds likeliest after passages of ours are statistically independent of what secret key {key}, which was drawn at random, prefers there.",
		alternative: "The next tokens that {target} finds likeliest after passages of ours depend on secret key {key}.",
		meaning:     "What {target} continues passages of ours with depends on key {key}: training on text generated under it, use of our weights, forwarding of requests to our service, or retrieval of such text would each explain this; other tests are needed to tell them apart.",
		notShown:    "It does not show that texts of {target} carry the mark by themselves: it was given passages that do.",
	}
}

// readingExtractor is the version of how a position is read: the prefix's last window,
// and the first token of ours that the continuation adds to it.
const readingExtractor = "reading/1"

// Cuts are where a passage is cut for reading mode.
type Cuts struct {
	First int // tokens before the first cut
	Step  int // tokens between two cuts at least
	Most  int // cuts of one passage
}

// DefaultCuts begins where every passage is long enough, so that a prefix decides by
// itself whether it is there; sixteen tokens lie between two cuts, since neighbours
// have almost the same past.
func DefaultCuts() Cuts { return Cuts{First: 256, Step: 16, Most: 16} }

// Prefixes cuts a passage at tokens after which a fresh position follows: the first
// such one from First on, from Step tokens later, and so on. A prefix is whole
// characters, and the tokenizer splits it as it does the passage.
func Prefixes(mark watermark.Scheme, tokenizer watermark.Tokenizer, passage string, cuts Cuts) ([]string, error) {
	if !watermark.Windowed(mark) {
		return nil, fmt.Errorf("reading mode needs a scheme whose generator sees the whole window, which %s does not: a passage would show words of the key that positions are scored with", mark.Name())
	}
	ids, err := tokenizer.Encode(passage)
	if err != nil {
		return nil, fmt.Errorf("tokenise a passage: %w", err)
	}
	var out []string
	next := cuts.First
	for i := cuts.First; i <= len(ids) && len(out) < cuts.Most; i++ {
		if i < next || !fresh(mark, ids[:i]) {
			continue
		}
		prefix := string(tokenizer.Decode(ids[:i]))
		if !utf8.ValidString(prefix) {
			continue
		}
		if again, err := tokenizer.Encode(prefix); err != nil || !slices.Equal(again, ids[:i]) {
			continue
		}
		out = append(out, prefix)
		next = i + cuts.Step
	}
	return out, nil
}

// fresh reports whether the token after a prefix has a window that no earlier token of
// the prefix had.
func fresh(mark watermark.Scheme, prefix []int32) bool {
	h := mark.Window()
	if len(prefix) < h || h == 0 {
		return false
	}
	last := prefix[len(prefix)-h:]
	if w, ok := mark.WindowOf(last); !ok || !slices.Equal(w, last) {
		return false // the scheme wants a longer past than its window
	}
	for i := h; i < len(prefix); i++ {
		if slices.Equal(prefix[i-h:i], last) {
			return false
		}
	}
	return true
}

// position is a prefix with the token that the target continues it with.
type position struct {
	window []int32
	token  int32
}

// read finds the position of a reply: false where the continuation adds no token of ours
// to the prefix by itself, or the window is not fresh.
func read(mark watermark.Scheme, tokenizer watermark.Tokenizer, prefix []int32, text, continuation string) (position, bool, error) {
	if !fresh(mark, prefix) {
		return position{}, false, nil
	}
	ids, err := tokenizer.Encode(text + continuation)
	if err != nil {
		return position{}, false, err
	}
	if len(ids) <= len(prefix) || !slices.Equal(ids[:len(prefix)], prefix) {
		return position{}, false, nil
	}
	return position{prefix[len(prefix)-mark.Window():], ids[len(prefix)]}, true, nil
}

func runE2(ctx context.Context, in *Input) (*Output, error) {
	mark, err := in.Key.Mark()
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", in.Key.ID, err)
	}
	if !watermark.Windowed(mark) {
		return nil, &InputError{fmt.Errorf("test %s: key %s is of scheme %s, whose generator does not see the whole window", in.Test.ID, in.Key.ID, in.Key.Scheme)}
	}
	r, err := in.readers.forKey(in.Key)
	if err != nil {
		return nil, err
	}
	p := &passages{in: in, mark: mark, reader: r, detector: watermark.NewDetector(mark, watermark.Options{Weights: watermark.WeightsNone}), seen: map[string]bool{}}
	var first *watermark.Detector
	if in.earlier != nil {
		// What the first run scored is spent, and pooled with the rest at the end.
		if err := p.read(ctx, in.earlier); err != nil {
			return nil, err
		}
		first = p.detector
		p.detector, p.clusters, p.replies = watermark.NewDetector(mark, watermark.Options{Weights: watermark.WeightsNone}), nil, 0
	}
	if err := p.read(ctx, in); err != nil {
		return nil, err
	}
	out, err := p.finish(ctx)
	if err != nil || first == nil {
		return out, err
	}
	a, b := first.Result(), p.detector.Result()
	n, score := a.N+b.N, a.Plain.Score+b.Plain.Score
	tail := mark.Law().Tail(score, evidence.Plain(n))
	out.join(n, score, tail.Mean, tail.SD, tail.Log10P)
	return out, nil
}

// passages is one test with all it needs.
type passages struct {
	in       *Input
	mark     watermark.Scheme
	reader   *reader
	detector *watermark.Detector
	seen     map[string]bool // units, of both runs
	clusters map[string]*passageScore
	langs    map[string]map[string]*passageScore // by language, then passage
	replies  int64
	unread   int64
}

// passageScore is what one passage adds: distinct units and their score.
type passageScore struct {
	n     int64
	score float64
}

// read scores the replies of a run. A unit counts once, over all runs.
func (p *passages) read(ctx context.Context, in *Input) error {
	p.clusters, p.langs = map[string]*passageScore{}, map[string]map[string]*passageScore{}
	for a, err := range in.OK(in.Target.Name) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		q := a.Item.Prompt
		r, err := in.Reading(q)
		if err != nil {
			return err
		}
		if r == nil || r.Kind != reading.KindPassage {
			return fmt.Errorf("test %s: prompt %s of suite %s is no passage", in.Test.ID, q.ID, q.Suite)
		}
		prefix, err := p.reader.tokenizer.Encode(q.Text)
		if err != nil {
			return fmt.Errorf("tokenise prompt %s: %w", q.ID, err)
		}
		at, ok, err := read(p.mark, p.reader.tokenizer, prefix, q.Text, a.Reply.Text)
		if err != nil {
			return fmt.Errorf("tokenise a reply to prompt %s: %w", q.ID, err)
		}
		p.replies++
		if !ok {
			p.unread++
			continue
		}
		unit := fmt.Sprint(at)
		if p.seen[unit] {
			continue
		}
		p.seen[unit] = true
		p.detector.Add(watermark.Item{Tokens: append(slices.Clone(at.window), at.token)})
		score := p.mark.Score(at.window, at.token)
		if p.langs[q.Lang] == nil {
			p.langs[q.Lang] = map[string]*passageScore{}
		}
		for _, m := range []map[string]*passageScore{p.clusters, p.langs[q.Lang]} {
			if m[r.Item] == nil {
				m[r.Item] = new(passageScore)
			}
			m[r.Item].n++
			m[r.Item].score += score
		}
	}
	return nil
}

// finish makes the finding.
func (p *passages) finish(ctx context.Context) (*Output, error) {
	d := p.detector.Result()
	in := p.in
	f := ledger.Finding{
		Scheme: d.Scheme, PRF: d.PRF, Replies: p.replies, Tokens: p.replies, N: d.N, Weights: watermark.WeightsNone,
		Dropped: ledger.Dropped{Prompt: p.unread, Repeat: p.replies - p.unread - d.N - d.Dropped.OutOfVocab, OutOfVocab: d.Dropped.OutOfVocab},
		Score:   d.Score, Mean: d.Tail.Mean, SD: d.Tail.SD, PlainScore: d.Plain.Score, EffectUnit: EffectUnit(d.Law),
		Statistic: "the scheme's score of the tokens that the target finds likeliest after cut passages of ours, a position once",
		Extractor: readingExtractor, Power: ledger.PowerRow{Units: d.N, Log10Alpha: in.Log10Alpha, EffectUnit: EffectUnit(d.Law)},
	}
	if d.N == 0 {
		return &Output{Finding: f}, nil
	}
	all, _ := clusters(p.clusters)
	effect := d.Law.Effect(all)
	f.Effect, f.EffectLo, f.EffectHi = effect.Value, effect.Lo, effect.Hi
	f.Power.Effect = DetectableEffect(d.Law, d.Counts, in.Test.Mode, in.Log10Alpha)
	if len(p.langs) > 1 {
		for _, lang := range slices.Sorted(maps.Keys(p.langs)) {
			all, n := clusters(p.langs[lang])
			f.Parts = append(f.Parts, part(lang, n, d.Law.Effect(all)))
		}
	}
	if in.Decoys > 0 {
		judged, scores, err := p.detector.Decoys(ctx, in.DecoySeed, in.Decoys, in.Progress)
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		f.Decoys = decoyFinding(judged, scores, d.Tail)
	}
	out := settle(in, f, d.Tail, d.Log10E)
	if out.Finding.Log10P != nil {
		out.Finding.Log10PEstimate, out.Finding.PlainLog10P = number(d.Tail.Log10Estimate), number(d.Plain.Tail.Log10P)
	}
	out.Warnings = []Warning{WarnCuts}
	return out, nil
}

// clusters are the passages with their distinct units, in the order of their names.
func clusters(by map[string]*passageScore) (all evidence.Clusters, n int64) {
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all.Add(by[name].n, by[name].score)
		n += by[name].n
	}
	return all, n
}

// PlannedReading is what a test of reading mode promises under the law of its key: each
// prompt is a position, of which as many as DefaultFresh says are distinct.
func PlannedReading(law evidence.Law, prompts int64, mode string, log10Alpha float64) ledger.PowerRow {
	return PlannedUnits(law, int64(math.Round(DefaultFresh*float64(prompts))), mode, log10Alpha)
}

// PlannedUnits is what a test of so many distinct units, each counted once, promises.
func PlannedUnits(law evidence.Law, units int64, mode string, log10Alpha float64) ledger.PowerRow {
	row := ledger.PowerRow{Units: units, Log10Alpha: log10Alpha, EffectUnit: EffectUnit(law)}
	if units == 0 {
		return row
	}
	row.Effect = DetectableEffect(law, evidence.Plain(units), mode, log10Alpha)
	level := log10Alpha
	if mode == ledger.ModeAnytime {
		level -= anytimeCost
	}
	if law.Kind == evidence.KindBernoulli {
		row.Log10Floor = float64(units) * math.Log10(law.P)
	}
	for _, effect := range []float64{.01, .02, .05, .1} {
		at := ledger.PowerAt{Effect: effect, Power: law.Power(evidence.Plain(units), effect, level)}
		if n := law.UnitsNeeded(effect, level, PowerLevel); n < math.MaxInt64 {
			at.Units = n
		}
		row.At = append(row.At, at)
	}
	return row
}

// DefaultFresh is the assumed share of positions that are scored: a tenth is taken to
// repeat another passage's window and token, or to be continued by part of a token.
const DefaultFresh = .9

// errNoPositions says that passages gave nothing to ask.
var errNoPositions = errors.New("no passage has a position that can be asked: they are shorter than the first cut, or repeat themselves")

// CutAll cuts passages one after another; each prefix comes with the number of its
// passage. It is an error if there is none.
func CutAll(mark watermark.Scheme, tokenizer watermark.Tokenizer, passages []string, cuts Cuts) (prefixes []string, of []int, err error) {
	for i, text := range passages {
		some, err := Prefixes(mark, tokenizer, text, cuts)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range some {
			prefixes, of = append(prefixes, s), append(of, i)
		}
	}
	if len(prefixes) == 0 {
		return nil, nil, errNoPositions
	}
	return prefixes, of, nil
}
