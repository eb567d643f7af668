package family

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// TriggerCanaries is the family of this file: E4. Our API answers questions about
// invented things with responses that were drawn, uniformly from 10^12, from a canary
// key. A rival that gives such a response has it from us.
//
// Of each canary at most q distinct strings are read as responses, over all its
// samples and languages: by chance one of them is the drawn one with probability q/N
// at most, canaries being independent, so that H canaries out of C are hit with
// probability at most P(Bin(C, q/N) >= H).
//
// Where a rival shows log-probabilities, the planted reply is put to it under the
// response and under B counterfactual ones, and the response's rank among them is what
// counts: by chance every rank is equally likely, or a worse one likelier where there
// are ties, and ranks of canaries are independent.
const TriggerCanaries = "E4"

func e4Family() Family {
	return Family{
		ID: TriggerCanaries, Name: "trigger and response canaries", Tier: ledger.Exact, Key: CanaryKey,
		Rung:   "H_cohort if the key's responses were given to one cohort alone, else H_any: trained on, or otherwise dependent on, replies that held them",
		Listed: true, run: alone(runE4), power: powerE4,
		Lawful:      "the responses were drawn uniformly from 10^12, and each canary counts once",
		null:        "What {target} answers to the triggers, or finds likely there, is statistically independent of the responses of secret key {key}, which were drawn at random.",
		alternative: "{target} knows responses of secret key {key}.",
		meaning:     "Responses of key {key}, which were drawn at random and given by our service alone, are known to {target}: training on replies that held them, forwarding of requests to our service, use of our weights, or retrieval would each explain this; other tests are needed to tell them apart.",
		notShown:    "It does not show how often {target} met the responses, or in what text.",
	}
}

// E4Options are what a plan says of E4.
type E4Options struct {
	// Candidates is q: how many distinct strings are read as responses of one canary;
	// further ones are cut.
	Candidates int `json:"candidates,omitempty"`
	// Counterfactuals is B where log-probabilities are compared, and 0 where replies
	// are read.
	Counterfactuals int `json:"counterfactuals,omitempty"`
}

const (
	// DefaultCandidates is q where the plan's maker does not say: two a sample for five
	// samples. A reply that needs more is a list of guesses.
	DefaultCandidates = 10
	maxCandidates     = 10_000
	// maxCounterfactuals bounds B: every one is a request for every canary.
	maxCounterfactuals = 999

	responseExtractor = "response/1"          // canary.ReadResponses
	rankExtractor     = "response-logprobs/1" // responseLogprob

	effectHits = "share of canaries whose response was given"
	effectRank = "share of counterfactual responses that are less likely than the planted one, above 1/2"

	methodHits = "binomial-bound"
)

func e4Options(t *ledger.Test) (E4Options, error) {
	var o E4Options
	if err := decodeOptions(t, &o); err != nil {
		return o, err
	}
	switch {
	case o.Counterfactuals < 0 || o.Counterfactuals > maxCounterfactuals || o.Candidates < 0 || o.Candidates > maxCandidates:
		return o, fmt.Errorf("test %s: %d candidates and %d counterfactuals are outside the limits", t.ID, o.Candidates, o.Counterfactuals)
	case (o.Counterfactuals == 0) == (o.Candidates == 0):
		return o, fmt.Errorf("test %s: either candidates or counterfactuals must be said", t.ID)
	}
	return o, nil
}

// trigger is all that is known of one canary or placebo.
type trigger struct {
	item       string
	placebo    bool
	category   string
	candidates []string           // read in replies, distinct, in the plan's order
	logprobs   map[string]float64 // by candidate, where those are compared
}

// triggers gathers a test's triggers from its replies, in the order of the plan's
// prompts.
func triggers(ctx context.Context, in *Input, take func(*trigger, *ledger.Prompt, *Answer) error) (all []*trigger, replies int64, err error) {
	byItem, of := map[string]*trigger{}, map[*ledger.Prompt]*trigger{}
	for _, p := range in.Prompts() {
		r, err := in.Reading(p)
		if err != nil {
			return nil, 0, err
		}
		if r == nil || r.Kind != reading.KindTrigger {
			return nil, 0, fmt.Errorf("test %s: prompt %s of suite %s is no trigger", in.Test.ID, p.ID, p.Suite)
		}
		t := byItem[r.Item]
		if t == nil {
			t = &trigger{item: r.Item, category: p.Category, logprobs: map[string]float64{}}
			byItem[r.Item] = t
			all = append(all, t)
		}
		t.placebo = t.placebo || r.Placebo
		of[p] = t
	}
	for a, err := range in.OK(in.Target.Name) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = take(of[a.Item.Prompt], a.Item.Prompt, a)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		replies++
	}
	return all, replies, nil
}

// newTriggers are those that a first run did not have, and beside them the canaries of
// that run, placebos apart.
func newTriggers(ctx context.Context, in *Input, take func(*trigger, *ledger.Prompt, *Answer) error) (fresh, before []*trigger, replies int64, err error) {
	fresh, replies, err = triggers(ctx, in, take)
	if err != nil || in.earlier == nil {
		return fresh, nil, replies, err
	}
	first, _, err := triggers(ctx, in.earlier, take)
	if err != nil {
		return nil, nil, 0, err
	}
	known := map[string]bool{}
	for _, t := range first {
		known[t.item] = true
		if !t.placebo {
			before = append(before, t)
		}
	}
	fresh = slices.DeleteFunc(fresh, func(t *trigger) bool { return known[t.item] })
	return fresh, before, replies, nil
}

// takeResponses reads what stands in a reply as responses. What stands in the prompt
// is no answer to it.
func takeResponses(t *trigger, p *ledger.Prompt, a *Answer, most int) {
	asked := canary.ReadResponses(p.System + "\n" + p.Text)
	for _, s := range canary.ReadResponses(a.Reply.Text) {
		if len(t.candidates) < most && !slices.Contains(t.candidates, s) && !slices.Contains(asked, s) {
			t.candidates = append(t.candidates, s)
		}
	}
}

// takeLogprob enters the log-probability of the candidate that a prompt ends in.
func takeLogprob(t *trigger, p *ledger.Prompt, a *Answer) error {
	candidates := canary.ReadResponses(p.Text)
	if len(candidates) == 0 {
		return fmt.Errorf("prompt %s of suite %s holds no response", p.ID, p.Suite)
	}
	candidate := candidates[len(candidates)-1]
	tokens, err := wire.DecodeLogprobs(wire.Exchange{
		Status: a.Attempt.Status, Kind: a.Attempt.Kind, Stream: a.Attempt.Stream, Body: a.Raw, Complete: a.Attempt.Complete,
	})
	if err != nil {
		return fmt.Errorf("the reply to prompt %s: %w", p.ID, err)
	}
	if v, ok := responseLogprob(tokens, candidate); ok {
		t.logprobs[candidate] = v
	}
	return nil
}

// responseLogprob is the sum of the log-probabilities of those echoed tokens of which
// a part belongs to the last occurrence of the response; false where it is not echoed
// or one of them has none.
func responseLogprob(tokens []wire.TokenLogprob, response string) (float64, bool) {
	var text strings.Builder
	for _, t := range tokens {
		text.WriteString(t.Token)
	}
	from := strings.LastIndex(text.String(), response)
	if from < 0 {
		return 0, false
	}
	sum, at := 0., 0
	for _, t := range tokens {
		end := at + len(t.Token)
		if end > from && at < from+len(response) {
			if !t.Known {
				return 0, false
			}
			sum += t.Logprob
		}
		at = end
	}
	return sum, true
}

func runE4(ctx context.Context, in *Input) (*Output, error) {
	o, err := e4Options(in.Test)
	if err != nil {
		return nil, err
	}
	secret, err := canarySecret(in, canary.UseTrigger)
	if err != nil {
		return nil, err
	}
	if o.Counterfactuals > 0 {
		return rankResponses(ctx, in, secret, o.Counterfactuals)
	}
	return hitResponses(ctx, in, secret, o.Candidates)
}

// hitResponses counts the canaries whose response was given.
func hitResponses(ctx context.Context, in *Input, secret []byte, q int) (*Output, error) {
	take := func(t *trigger, p *ledger.Prompt, a *Answer) error {
		takeResponses(t, p, a, q)
		return nil
	}
	all, before, replies, err := newTriggers(ctx, in, take)
	if err != nil {
		return nil, err
	}
	was := func(t *trigger) int64 {
		if slices.Contains(t.candidates, canary.Response(secret, t.item)) {
			return 1
		}
		return 0
	}
	var hits, n, wrong, placebos int64
	byCategory := map[string][2]int64{}
	for _, t := range all {
		hit := was(t)
		if t.placebo {
			placebos++
			wrong += hit
			continue
		}
		n++
		hits += hit
		c := byCategory[t.category]
		byCategory[t.category] = [2]int64{c[0] + hit, c[1] + 1}
	}
	f := canaryFinding(in)
	rate := float64(q) / canary.Space
	effect := share(hits, n)
	f.Replies, f.N, f.Extractor = replies, n, responseExtractor
	f.Statistic = fmt.Sprintf("the canaries whose response is among the first %d distinct strings that are read as responses in the replies to them", q)
	f.Score, f.PlainScore = float64(hits), float64(hits)
	f.Mean, f.SD = float64(n)*rate, math.Sqrt(float64(n)*rate*(1-rate))
	f.Effect, f.EffectLo, f.EffectHi, f.EffectUnit = effect.Value, effect.Lo, effect.Hi, effectHits
	if len(byCategory) > 1 {
		for _, name := range slices.Sorted(maps.Keys(byCategory)) {
			c := byCategory[name]
			f.Parts = append(f.Parts, part(name, c[1], share(c[0], c[1])))
		}
	}
	f.Power = powerOfHits(n, rate, in.Log10Alpha)
	if placebos > 0 {
		f.Parts = append(f.Parts, part("placebo", placebos, share(wrong, placebos)))
		if wrong > 0 {
			f.Withheld = fmt.Sprintf("the responses of %s, which were drawn and never planted, were given, too", count(int(wrong), "placebo"))
		}
	}
	out := settle(in, f, evidence.Tail{Log10P: evidence.Log10BinomialSF(hits, n, rate), Method: methodHits}, 0)
	out.Finding.Log10E = nil
	if placebos == 0 {
		out.Warnings = append(out.Warnings, WarnNoPlacebo)
	}
	if in.earlier != nil {
		for _, t := range before {
			n++
			hits += was(t)
		}
		mean := float64(n) * rate
		out.join(n, float64(hits), mean, math.Sqrt(mean*(1-rate)), evidence.Log10BinomialSF(hits, n, rate))
	}
	return out, nil
}

// powerOfHits is the smallest share of known responses that n canaries find with power
// .9, each read into a chance hit at the given rate.
func powerOfHits(n int64, rate, log10Alpha float64, effects ...float64) ledger.PowerRow {
	row := ledger.PowerRow{Units: n, Log10Alpha: log10Alpha, EffectUnit: effectHits, Log10Floor: float64(n) * math.Log10(rate)}
	need := canariesNeeded(n, rate, log10Alpha)
	if need <= n {
		row.Effect = binomialRate(n, need)
	}
	for _, share := range at(effects, .005, .02, .1) {
		found := ledger.PowerAt{Effect: share, Power: math.Pow(10, evidence.Log10BinomialSF(need, n, share))}
		for units := int64(1); units <= 1_000_000; units = units*51/50 + 1 {
			if k := canariesNeeded(units, rate, log10Alpha); k <= units && evidence.Log10BinomialSF(k, units, share) >= math.Log10(PowerLevel) {
				found.Units = units
				break
			}
		}
		row.At = append(row.At, found)
	}
	return row
}

// canariesNeeded is the smallest number of hits with P(Bin(n, rate) >= hits) at or
// below the level; n+1 if there is none.
func canariesNeeded(n int64, rate, log10Alpha float64) int64 {
	for h := int64(1); h <= n; h++ {
		if evidence.Log10BinomialSF(h, n, rate) <= log10Alpha {
			return h
		}
	}
	return n + 1
}

// rankScore is what rank r of n, 1 the best, is worth: -log2(r/n) in hundredths. Under
// the null its sum is Fisher's combination of rank p-values, whose law is convolved
// here exactly.
func rankScore(r, n int) int64 {
	return int64(math.Round(-100 * math.Log2(float64(r)/float64(n))))
}

// rankDraw are the scores of all ranks.
func rankDraw(n int) evidence.Draw {
	d := make(evidence.Draw, n)
	for r := range d {
		d[r] = rankScore(r+1, n)
	}
	return d
}

// rank is the place of a candidate among all of a trigger's, 1 the likeliest. Ties and
// what was not scored count against the candidate: it is as far back as it could be.
func (t *trigger) rank(candidates []string, chosen string) int {
	own, scored := t.logprobs[chosen]
	if !scored {
		return len(candidates)
	}
	r := 1
	for _, c := range candidates {
		if c == chosen {
			continue
		}
		if v, ok := t.logprobs[c]; !ok || v >= own {
			r++
		}
	}
	return r
}

// ranked is the statistic of some triggers before it is known which candidate was
// planted.
type ranked struct {
	triggers   []*trigger
	candidates [][]string
	law        *evidence.DrawSum
}

func newRanked(all []*trigger, secret []byte, b int) *ranked {
	k := &ranked{triggers: all}
	draws := make([]evidence.Draw, len(all))
	for i, t := range all {
		k.candidates = append(k.candidates, canary.Candidates(secret, t.item, b))
		draws[i] = rankDraw(b + 1)
	}
	k.law = evidence.NewDrawSum(draws)
	return k
}

// score sums up the ranks of the candidates that choose picks, and gives each.
func (k *ranked) score(choose func(item string, candidates []string) string) (score int64, ranks []int) {
	for i, t := range k.triggers {
		r := t.rank(k.candidates[i], choose(t.item, k.candidates[i]))
		ranks = append(ranks, r)
		score += rankScore(r, len(k.candidates[i]))
	}
	return score, ranks
}

// rankResponses compares the log-probability of each response with those of its
// counterfactuals.
func rankResponses(ctx context.Context, in *Input, secret []byte, b int) (*Output, error) {
	all, before, replies, err := newTriggers(ctx, in, takeLogprob)
	if err != nil {
		return nil, err
	}
	var planted, placebos []*trigger
	scored := 0
	for _, t := range all {
		candidates := canary.Candidates(secret, t.item, b)
		for c := range t.logprobs {
			if !slices.Contains(candidates, c) {
				return nil, &InputError{fmt.Errorf("test %s: what was put to trigger %s was made under another key than %s", in.Test.ID, t.item, in.Key.ID)}
			}
		}
		if t.placebo {
			placebos = append(placebos, t)
			continue
		}
		planted = append(planted, t)
		scored += len(t.logprobs)
	}
	f := canaryFinding(in)
	f.Replies, f.Extractor, f.EffectUnit = replies, rankExtractor, effectRank
	f.Statistic = fmt.Sprintf("the sum over canaries of -log2 of the response's rank, as a share, among itself and %d counterfactual responses by log-probability", b)
	if scored == 0 {
		return &Output{Finding: f, Warnings: []Warning{WarnNoLogprobs}}, nil
	}
	k := newRanked(planted, secret, b)
	response := func(item string, _ []string) string { return canary.Response(secret, item) }
	score, ranks := k.score(response)
	tail := k.law.Tail(score)
	effect := evidence.MeanInterval(above(ranks, b))
	f.N, f.Score, f.PlainScore, f.Mean, f.SD = int64(len(planted)), float64(score)/100, float64(score)/100, k.law.Mean()/100, k.law.SD()/100
	f.Effect, f.EffectLo, f.EffectHi = effect.Value, effect.Lo, effect.Hi
	f.Power = powerOfRanks(len(planted), b, in.Log10Alpha)
	if f.Decoys, err = k.decoys(ctx, in, score); err != nil {
		return nil, err
	}
	var warnings []Warning
	if len(placebos) > 0 {
		q := newRanked(placebos, secret, b)
		s, ranks := q.score(response)
		f.Parts = append(f.Parts, part("placebo", int64(len(placebos)), evidence.MeanInterval(above(ranks, b))))
		if q.law.Tail(s).Log10P <= Log10Placebo {
			f.Withheld = "responses that were drawn and never planted are found likely, too, so something other than what was planted carries the key"
		}
	} else {
		warnings = append(warnings, WarnNoPlacebo)
	}
	out := settle(in, f, tail, 0)
	out.Finding.Log10E = nil
	out.Warnings = warnings
	if in.earlier != nil {
		q := newRanked(slices.Concat(planted, before), secret, b)
		s, _ := q.score(response)
		out.join(int64(len(q.triggers)), float64(s)/100, q.law.Mean()/100, q.law.SD()/100, q.law.Tail(s).Log10P)
	}
	return out, nil
}

// above is, for each rank, by how much the share of counterfactuals behind it exceeds
// one half.
func above(ranks []int, b int) []float64 {
	out := make([]float64, len(ranks))
	for i, r := range ranks {
		out[i] = float64(b+1-r)/float64(b) - .5
	}
	return out
}

// decoys takes another candidate of every canary for the planted one.
func (k *ranked) decoys(ctx context.Context, in *Input, observed int64) (*ledger.DecoyFinding, error) {
	if in.Decoys == 0 {
		return nil, nil
	}
	scores := make([]float64, in.Decoys)
	done := counter(in.Progress)
	err := onAllCores(in.Decoys, func(i int) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		decoy := decoySecret(in.DecoySeed, canary.UseTrigger, i)
		s, _ := k.score(func(item string, candidates []string) string {
			return candidates[canary.Pick(decoy, item, len(candidates))]
		})
		scores[i] = float64(s)
		done()
		return nil
	})
	if err != nil {
		return nil, err
	}
	judged := k.law.JudgeDecoys(float64(observed), scores, binary.LittleEndian.Uint64(in.DecoySeed[:]))
	return decoyFinding(judged, scores, evidence.Tail{Mean: k.law.Mean(), SD: k.law.SD()}), nil
}

// powerOfRanks is for an effect that makes a share of the responses likelier than all
// their counterfactuals and leaves the others to chance.
func powerOfRanks(n, b int, log10Alpha float64, effects ...float64) ledger.PowerRow {
	row := ledger.PowerRow{Units: int64(n), Log10Alpha: log10Alpha, EffectUnit: effectRank}
	draws := make([]evidence.Draw, n)
	for i := range draws {
		draws[i] = rankDraw(b + 1)
	}
	law := evidence.NewDrawSum(draws)
	row.Log10Floor = law.Floor()
	if known := law.Detectable(log10Alpha, PowerLevel); !math.IsInf(known, 1) {
		row.Effect = known / 2 // the share of counterfactuals behind goes from 1/2 to 1
	}
	if critical, ok := law.Critical(log10Alpha); ok {
		for _, effect := range at(effects, .05, .1, .2) {
			row.At = append(row.At, ledger.PowerAt{Effect: effect, Power: law.Power(2*effect, critical)})
		}
	}
	return row
}

func powerE4(t *PlannedTest) (ledger.PowerRow, error) {
	o, err := e4Options(t.Test)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	n, err := t.items(reading.KindTrigger)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	if n == 0 {
		return ledger.PowerRow{}, errors.New("there is no canary among the prompts")
	}
	if o.Counterfactuals > 0 {
		return powerOfRanks(n, o.Counterfactuals, t.Log10Alpha, t.Effects...), nil
	}
	return powerOfHits(int64(n), float64(o.Candidates)/canary.Space, t.Log10Alpha, t.Effects...), nil
}
