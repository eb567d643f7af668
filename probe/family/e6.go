package family

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// RotationLag is the family of this file: E6. Our service marks its text in each slot
// of time under one of several watermark keys, the arms, as a secret schedule says that
// a canary key draws. A rival that forwards to us follows the schedule at once; one
// that is trained on what we served follows it with a lag, faintly.
//
// Given the replies and the arms' keys, each slot's text has a score under each arm.
// The statistic adds up those of the arms that the schedule names, and its law is that
// of other schedules from the same generator: slots are drawn independently and
// uniformly, so that it is convolved exactly. A rival that was trained on all arms
// scores under all of them in every slot, which favours no schedule.
const RotationLag = "E6"

func e6Family() Family {
	return Family{
		ID: RotationLag, Name: "key-rotation lag", Tier: ledger.Exact, Key: CanaryKey,
		Rung:  "H_fwd where the lift is half of our own service's or more, else H_any: the replies follow the schedule by which our service changed keys",
		Needs: []string{"chat"}, Listed: true, run: runE6, power: powerE6, others: e6Arms,
		null:        "The replies of {target} are statistically independent of the schedule of secret key {key}, by which our service changed watermark keys.",
		alternative: "The replies of {target} follow the schedule of secret key {key}.",
		meaning:     "The replies of {target} follow the secret schedule of key {key} by which our service changed watermark keys: forwarding of requests to our service, or for a faint or delayed effect training on what it served, would explain this. The lift beside that of our own service tells them apart.",
		notShown:    "It does not show that {target} was trained on outputs of our model: forwarding follows a schedule, too.",
	}
}

// E6Options are what a plan says of E6.
type E6Options struct {
	// Arms are the ids of the watermark keys that the schedule chooses among, in the
	// order in which the draw numbers them.
	Arms []string `json:"arms"`
	// Start is when slot 1 begins, Slots how many there are and Seconds how long each is.
	Start   time.Time `json:"start"`
	Slots   int       `json:"slots"`
	Seconds int64     `json:"slot_seconds"`
	// Lag is by how many slots replies are compared with what was served earlier.
	Lag int `json:"lag,omitempty"`
}

// maxMargin is how long before the end of a slot its last prompts are put, so that
// their replies arrive in it: more than a reply takes, but for the slowest.
const maxMargin = 2 * time.Minute

// Times are when a prompt of a slot, counted from 1, may be put.
func (o *E6Options) Times(slot int) (from, to time.Time) {
	length := time.Duration(o.Seconds) * time.Second
	from = o.Start.Add(time.Duration(slot-1) * length)
	return from, from.Add(length - min(maxMargin, length/4))
}

// Limits of a rotation: a slot an hour for a year.
const (
	maxSlots = 10_000
	maxArms  = 64
)

// What a lift says, as a share of our own service's. Forwarding passes our text on,
// perhaps shortened or reworded in places; a student of our text repeats a small part of its
// choices.
const (
	liftForwarding  = .5
	liftTrainingMin = .005
	liftTrainingMax = .05
)

const (
	rotationExtractor = "rotation/1"
	effectE6          = "score per token under the served arm above that of the others, in standard deviations of a token"
	// slotUnit is what a standard deviation of one token's score counts on the lattice: a
	// slot's text spreads over tens of them, so that rounding to a tenth loses nothing.
	slotUnit = 10
)

func e6Options(t *ledger.Test) (E6Options, error) {
	var o E6Options
	if err := decodeOptions(t, &o); err != nil {
		return o, err
	}
	switch {
	case len(o.Arms) < 2 || len(o.Arms) > maxArms:
		return o, fmt.Errorf("test %s: a rotation needs 2 to %d arms, not %d", t.ID, maxArms, len(o.Arms))
	case o.Slots < 1 || o.Slots > maxSlots || o.Seconds < 1 || o.Start.IsZero():
		return o, fmt.Errorf("test %s: a rotation needs its start, 1 to %d slots and their length", t.ID, maxSlots)
	case o.Lag < 0 || o.Lag >= o.Slots:
		return o, fmt.Errorf("test %s: a lag of %d slots is none of %d", t.ID, o.Lag, o.Slots)
	}
	for i, id := range o.Arms {
		if slices.Contains(o.Arms[:i], id) {
			return o, fmt.Errorf("test %s: arm %s is named twice", t.ID, id)
		}
	}
	return o, nil
}

// e6Arms are the further keys that a test needs.
func e6Arms(t *ledger.Test) ([]string, error) {
	o, err := e6Options(t)
	return o.Arms, err
}

// slotOf is the slot in which a reply was made, from 0: the one in which it was asked
// for and arrived. One that straddles two, or lies outside the schedule, has none.
func (o *E6Options) slotOf(a *Answer) (int, bool) {
	length := time.Duration(o.Seconds) * time.Second
	begun := a.At.Add(-time.Duration(a.Attempt.TotalMS * float64(time.Millisecond)))
	if begun.Before(o.Start) {
		return 0, false
	}
	s := int(begun.Sub(o.Start) / length)
	return s, s < o.Slots && int(a.At.Sub(o.Start)/length) == s
}

// slotText are the scores of one slot's text under every arm, as excess over the null
// mean in standard deviations of one token, and how many tokens each rests on.
type slotText struct {
	excess []float64
	tokens []int64
}

// rotation is what one target's replies show, before the schedule is known.
type rotation struct {
	slots   []slotText // by slot; without tokens where nothing was asked
	replies int64
	stray   int64 // outside the schedule, or across two slots
}

// arm is a watermark key with what reads text for it.
type arm struct {
	mark   watermark.Scheme
	reader *reader
}

func (in *Input) arms(o *E6Options) ([]arm, error) {
	out := make([]arm, len(o.Arms))
	for i, id := range o.Arms {
		k := in.others[id]
		mark, err := k.Mark()
		if err != nil {
			return nil, fmt.Errorf("test %s: arm %s: %w", in.Test.ID, id, err)
		}
		r, err := in.readers.forKey(k)
		if err != nil {
			return nil, err
		}
		out[i] = arm{mark, r}
	}
	return out, nil
}

// rotate scores a target's replies by slot and arm. A unit counts once in its slot.
func rotate(ctx context.Context, in *Input, target string, o *E6Options, arms []arm) (*rotation, error) {
	r := &rotation{slots: make([]slotText, o.Slots)}
	detectors := map[[2]int]*watermark.Detector{}
	for a, err := range in.OK(target) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		s, ok := o.slotOf(a)
		if !ok {
			r.stray++
			continue
		}
		r.replies++
		var it watermark.Item
		for j := range arms {
			if j == 0 || arms[j].reader != arms[j-1].reader {
				if it, err = arms[j].reader.item(a.Item, a.Reply.Text); err != nil {
					return nil, err
				}
			}
			d := detectors[[2]int{s, j}]
			if d == nil {
				d = watermark.NewDetector(arms[j].mark, watermark.Options{Weights: watermark.WeightsNone})
				detectors[[2]int{s, j}] = d
			}
			d.Add(it)
		}
	}
	for s := range r.slots {
		t := slotText{excess: make([]float64, len(arms)), tokens: make([]int64, len(arms))}
		for j := range arms {
			d := detectors[[2]int{s, j}]
			if d == nil {
				continue
			}
			if x := d.Result(); x.N > 0 && x.Tail.SD > 0 {
				t.excess[j] = (x.Score - x.Tail.Mean) / x.Tail.SD * math.Sqrt(float64(x.N))
				t.tokens[j] = x.N
			}
		}
		r.slots[s] = t
	}
	return r, nil
}

// scheduled is the statistic of a rotation at a lag: slot s is compared with what was
// served in slot s - lag.
type scheduled struct {
	slots  []slotText // from slot lag on
	values []evidence.Draw
	law    *evidence.DrawSum
}

func (r *rotation) at(lag int) *scheduled {
	k := &scheduled{slots: r.slots[lag:]}
	for _, s := range k.slots {
		d := make(evidence.Draw, len(s.excess))
		for j, x := range s.excess {
			d[j] = int64(math.Round(slotUnit * x))
		}
		k.values = append(k.values, d)
	}
	k.law = evidence.NewDrawSum(k.values)
	return k
}

// score adds up what the schedule's arms score.
func (k *scheduled) score(schedule []int) int64 {
	var t int64
	for s, d := range k.values {
		t += d[schedule[s]]
	}
	return t
}

// lifts are, for each slot with text, the score per token under the served arm less
// the mean of the others.
func (k *scheduled) lifts(schedule []int) []float64 {
	var out []float64
	for s, t := range k.slots {
		served, others, texts := 0., 0., 0
		for j := range t.excess {
			if t.tokens[j] == 0 {
				continue
			}
			texts++
			rate := t.excess[j] / float64(t.tokens[j])
			if j == schedule[s] {
				served = rate
			} else {
				others += rate / float64(len(t.excess)-1)
			}
		}
		if texts == len(t.excess) {
			out = append(out, served-others)
		}
	}
	return out
}

// tokens is how many are scored under an arm, in the mean over the arms.
func (k *scheduled) tokens() int64 {
	var n, arms int64
	for _, t := range k.slots {
		arms = int64(len(t.tokens))
		for _, c := range t.tokens {
			n += c
		}
	}
	if arms == 0 {
		return 0
	}
	return n / arms
}

// runE6 computes the tests of one target; those that differ in their lag alone share
// one reading of the replies.
func runE6(ctx context.Context, ins []*Input) ([]*Output, error) {
	outs := make([]*Output, len(ins))
	read := map[string]*rotation{} // by target and options without the lag
	for i, in := range ins {
		o, err := e6Options(in.Test)
		if err != nil {
			return nil, err
		}
		arms, err := in.arms(&o)
		if err != nil {
			return nil, err
		}
		of := func(target string) (*rotation, error) {
			apart := o
			apart.Lag = 0
			id := fmt.Sprint(target, in.Test.Suites, apart)
			if read[id] == nil {
				if read[id], err = rotate(ctx, in, target, &o, arms); err != nil {
					return nil, err
				}
			}
			return read[id], nil
		}
		if outs[i], err = follow(ctx, in, &o, of); err != nil {
			return nil, err
		}
	}
	return outs, nil
}

// follow compares a target's replies with the schedule.
func follow(ctx context.Context, in *Input, o *E6Options, of func(target string) (*rotation, error)) (*Output, error) {
	secret, err := canarySecret(in, canary.UseRotation)
	if err != nil {
		return nil, err
	}
	r, err := of(in.Target.Name)
	if err != nil {
		return nil, err
	}
	schedule := canary.Rotation(secret, o.Slots, len(o.Arms)) // slot s of k is slot s+lag of the replies
	before, err := firstRun(ctx, in, o)
	if err != nil {
		return nil, err
	}
	if before != nil {
		r = r.without(before)
	}
	k := r.at(o.Lag)
	score := k.score(schedule)
	tail := k.law.Tail(score)
	lifts := k.lifts(schedule)
	effect := evidence.MeanInterval(lifts)
	f := canaryFinding(in)
	f.Replies, f.Tokens, f.N, f.Extractor, f.EffectUnit = r.replies, k.tokens(), int64(len(lifts)), rotationExtractor, effectE6
	f.Dropped.Filtered = r.stray
	f.Statistic = "the sum over slots of the excess of the slot's text under the arm that the schedule names, in standard deviations of a token"
	if o.Lag > 0 {
		f.Statistic = fmt.Sprintf("%s %s earlier", f.Statistic, count(o.Lag, "slot"))
	}
	f.Score, f.PlainScore, f.Mean, f.SD = float64(score)/slotUnit, float64(score)/slotUnit, tail.Mean/slotUnit, tail.SD/slotUnit
	f.Effect, f.EffectLo, f.EffectHi = effect.Value, effect.Lo, effect.Hi
	if tail.SD == 0 {
		f.N = 0
		return &Output{Finding: f}, nil
	}
	f.Power = k.power(in, len(o.Arms))
	if f.Decoys, err = k.decoys(ctx, in, o, score); err != nil {
		return nil, err
	}
	out := settle(in, f, tail, 0)
	out.Finding.Log10E = nil
	warnings, parts, err := k.besideOurs(in, o, schedule, effect, of)
	if err != nil {
		return nil, err
	}
	out.Warnings, out.Finding.Parts = warnings, parts
	if before != nil {
		both := before.with(r).at(o.Lag)
		s := both.score(schedule)
		out.join(int64(len(both.lifts(schedule))), float64(s)/slotUnit, both.law.Mean()/slotUnit, both.law.SD()/slotUnit, both.law.Tail(s).Log10P)
	}
	return out, nil
}

// firstRun is what the first run shows, or nil where there is none.
func firstRun(ctx context.Context, in *Input, o *E6Options) (*rotation, error) {
	if in.earlier == nil {
		return nil, nil
	}
	arms, err := in.earlier.arms(o)
	if err != nil {
		return nil, err
	}
	return rotate(ctx, in.earlier, in.Target.Name, o, arms)
}

// read reports whether anything was scored in the slot.
func (t *slotText) read() bool { return slices.Max(t.tokens) > 0 }

// without is r in the slots in which another run has no text.
func (r *rotation) without(other *rotation) *rotation {
	out := &rotation{slots: slices.Clone(r.slots), replies: r.replies, stray: r.stray}
	for s := range out.slots {
		if other.slots[s].read() {
			arms := len(out.slots[s].tokens)
			out.slots[s] = slotText{excess: make([]float64, arms), tokens: make([]int64, arms)}
		}
	}
	return out
}

// with is r, and other in the slots in which r has no text.
func (r *rotation) with(other *rotation) *rotation {
	out := &rotation{slots: slices.Clone(r.slots)}
	for s := range out.slots {
		if !out.slots[s].read() {
			out.slots[s] = other.slots[s]
		}
	}
	return out
}

// besideOurs compares the lift with that of our own service, at the lag 0 that it has.
func (k *scheduled) besideOurs(in *Input, o *E6Options, schedule []int, effect evidence.Interval, of func(target string) (*rotation, error)) ([]Warning, []ledger.Part, error) {
	own := in.Targets(ledger.Ours)
	if len(own) == 0 {
		return []Warning{WarnNoOwnLift}, nil, nil
	}
	r, err := of(own[0].Name)
	if err != nil {
		return nil, nil, err
	}
	ours := evidence.MeanInterval(r.at(0).lifts(schedule))
	parts := []ledger.Part{part("our own service ("+own[0].Name+")", int64(o.Slots), ours)}
	if ours.Lo <= 0 {
		return []Warning{WarnNoOwnLift}, parts, nil
	}
	ratio := evidence.Interval{Value: effect.Value / ours.Value, Lo: effect.Lo / ours.Value, Hi: effect.Hi / ours.Value}
	parts = append(parts, part("as a share of our own service's lift", int64(len(k.slots)), ratio))
	switch {
	case effect.Lo <= 0:
		return nil, parts, nil
	case ratio.Value >= liftForwarding:
		return []Warning{NoteForwarding}, parts, nil
	case ratio.Value >= liftTrainingMin && ratio.Value <= liftTrainingMax:
		return []Warning{NoteTraining}, parts, nil
	}
	return []Warning{NoteBetween}, parts, nil
}

// decoys scores other schedules.
func (k *scheduled) decoys(ctx context.Context, in *Input, o *E6Options, observed int64) (*ledger.DecoyFinding, error) {
	if in.Decoys == 0 {
		return nil, nil
	}
	scores := make([]float64, in.Decoys)
	done := counter(in.Progress)
	err := onAllCores(in.Decoys, func(i int) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		scores[i] = float64(k.score(canary.Rotation(decoySecret(in.DecoySeed, canary.UseRotation, i), o.Slots, len(o.Arms))))
		done()
		return nil
	})
	if err != nil {
		return nil, err
	}
	judged := k.law.JudgeDecoys(float64(observed), scores, binary.LittleEndian.Uint64(in.DecoySeed[:]))
	return decoyFinding(judged, scores, evidence.Tail{Mean: k.law.Mean(), SD: k.law.SD()}), nil
}

// power is the smallest lift that so many tokens would have shown.
func (k *scheduled) power(in *Input, arms int) ledger.PowerRow {
	tokens := make([]float64, len(k.slots))
	for i, t := range k.slots {
		for _, n := range t.tokens {
			tokens[i] += float64(n) / float64(arms)
		}
	}
	row := ledger.PowerRow{Units: int64(len(k.slots)), Log10Alpha: in.Log10Alpha, EffectUnit: effectE6, Log10Floor: k.law.Floor()}
	row.Effect = newLiftPower(tokens, arms, in.Log10Alpha).detectable()
	return row
}

// powerRuns is how many runs the power of a rotation is reckoned from: a standard
// error of .02 about .9.
const powerRuns = 200

// liftPower reckons the power of a rotation from runs with a lift on the served arm. A
// slot's scores are normal about it, by the number of tokens; the law of the schedule given
// such scores is estimated as it is computed from real ones. No formula serves: the lift
// itself widens that law, so that few slots reach a level late or never. The runs are the
// same for every lift and on every machine.
type liftPower struct {
	tokens     []float64 // by slot, under an arm
	arms       int
	log10Alpha float64
	noise      [][]float64 // by run: of every slot and arm
}

func newLiftPower(tokens []float64, arms int, log10Alpha float64) *liftPower {
	p := &liftPower{tokens: tokens, arms: arms, log10Alpha: log10Alpha, noise: make([][]float64, powerRuns)}
	rng := rand.New(rand.NewPCG(uint64(len(tokens)), uint64(arms)))
	for i := range p.noise {
		p.noise[i] = make([]float64, len(tokens)*arms)
		for j := range p.noise[i] {
			p.noise[i][j] = rng.NormFloat64()
		}
	}
	return p
}

// possible reports whether any outcome reaches the level.
func (p *liftPower) possible() bool {
	all := 0.
	for _, n := range p.tokens {
		all += n
	}
	return all > 0 && -float64(len(p.tokens))*math.Log10(float64(p.arms)) <= p.log10Alpha
}

// at is the share of runs that reach the level at a lift that is the same in every slot,
// as of a rival that was trained on what was served.
func (p *liftPower) at(lift float64) float64 {
	return p.power(func(int, int) float64 { return lift })
}

// forwarded is the share of runs that reach the level where each of the slot's replies is
// forwarded whole, with the given lift, or not at all: slots without a forwarded reply
// say nothing, so that a small share needs far more slots than its mean lift suggests.
func (p *liftPower) forwarded(replies int, share, lift float64) float64 {
	rng := rand.New(rand.NewPCG(uint64(replies), math.Float64bits(share)))
	lifts := make([]float64, len(p.noise)*len(p.tokens))
	for i := range lifts {
		for range replies {
			if rng.Float64() < share {
				lifts[i] += lift / float64(replies)
			}
		}
	}
	return p.power(func(run, slot int) float64 { return lifts[run*len(p.tokens)+slot] })
}

// power is the share of runs that reach the level, lift being that of a run's slot.
func (p *liftPower) power(lift func(run, slot int) float64) float64 {
	n := 0
	for run, z := range p.noise {
		values, score := make([]evidence.Draw, len(p.tokens)), int64(0)
		for s, count := range p.tokens {
			values[s] = make(evidence.Draw, p.arms)
			for j := range values[s] {
				x := math.Sqrt(count) * z[s*p.arms+j]
				if j == 0 { // the served one
					x += count * lift(run, s)
				}
				values[s][j] = int64(math.Round(slotUnit * x))
			}
			score += values[s][0]
		}
		if evidence.NewDrawSum(values).Estimate(float64(score)) <= p.log10Alpha {
			n++
		}
	}
	return float64(n) / float64(len(p.noise))
}

// detectable is the lift that is found with power .9, or 0 if there is none.
func (p *liftPower) detectable() float64 {
	if !p.possible() {
		return 0
	}
	all := 0.
	for _, n := range p.tokens {
		all += n
	}
	hi := math.Sqrt(float64(len(p.tokens)) / all) // a standard deviation of a slot
	for range 20 {
		if p.at(hi) >= PowerLevel {
			break
		}
		hi *= 2
	}
	if p.at(hi) < PowerLevel {
		return 0
	}
	lo := 0.
	for hi-lo > .01*hi {
		if mid := (lo + hi) / 2; p.at(mid) >= PowerLevel {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// fewSlots is up to how many slots a number of them is tried: the normal law, whose tails
// a sum of few slots does not have, asks for up to half too many below.
const fewSlots = 400

// slotsNeeded is how many slots of the same text would find a lift with power .9.
func (p *liftPower) slotsNeeded(lift float64) int64 {
	count, arms := 0., float64(p.arms)
	for _, n := range p.tokens {
		count += n / float64(len(p.tokens))
	}
	// Of a slot's served score over the mean of its arms: the expectation, and the
	// variance of itself and of a redrawn arm's.
	excess, own := count*lift*(arms-1)/arms, count*(arms-1)/arms
	redrawn := own + count*lift*count*lift*(arms-1)/(arms*arms)
	l := -p.log10Alpha * math.Ln10
	critical := math.Sqrt(2*l - math.Log(4*math.Pi*l)) // of the normal law, to a hundredth below 1e-5
	const z90 = 1.2816
	root := (critical*math.Sqrt(redrawn) + z90*math.Sqrt(own)) / excess
	n := int(math.Ceil(root * root))
	if n > fewSlots {
		return int64(n)
	}
	found := func(slots int) bool {
		tokens := make([]float64, slots)
		for i := range tokens {
			tokens[i] = count
		}
		return newLiftPower(tokens, p.arms, p.log10Alpha).at(lift) >= PowerLevel
	}
	least := int(math.Ceil(-p.log10Alpha / math.Log10(arms))) // any fewer cannot reach the level
	for n = max(n, least); !found(n); {
		n += 1 + n/10
	}
	for lo := least - 1; n-lo > 1+n/40; {
		if mid := (lo + n) / 2; found(mid) {
			n = mid
		} else {
			lo = mid
		}
	}
	return int64(n)
}

// powerE6 supposes that replies fill three quarters of their budget, half of which are
// distinct scored tokens.
func powerE6(t *PlannedTest) (ledger.PowerRow, error) {
	o, err := e6Options(t.Test)
	if err != nil {
		return ledger.PowerRow{}, err
	}
	if _, err := t.items(reading.KindRotation); err != nil {
		return ledger.PowerRow{}, err
	}
	p, _ := t.liftPower(&o)
	slots := len(p.tokens)
	row := ledger.PowerRow{
		Units: int64(slots), EffectUnit: effectE6, Log10Floor: -float64(slots) * math.Log10(float64(len(o.Arms))),
		Effect: p.detectable(),
	}
	if p.possible() {
		for _, lift := range at(t.Effects, .02, .05, .1) {
			row.At = append(row.At, ledger.PowerAt{Effect: lift, Power: p.at(lift), Units: p.slotsNeeded(lift)})
		}
	}
	return row, nil
}

// liftPower is the planner's of a rotation, and how many replies fall in a slot.
func (t *PlannedTest) liftPower(o *E6Options) (p *liftPower, replies int) {
	all := 0.
	for _, q := range t.Prompts() {
		all += .75 * .5 * float64(t.plan.ParamsOf(q).MaxTokens*t.SamplesOf(q))
		replies += t.SamplesOf(q)
	}
	tokens := make([]float64, o.Slots-o.Lag)
	for i := range tokens {
		tokens[i] = all / float64(o.Slots)
	}
	return newLiftPower(tokens, len(o.Arms), t.Log10Alpha), replies / o.Slots
}

// PlannedForwarding is the power with which a test of E6 finds a rival that forwards a
// share of what it is asked to our service, whose own lift is given in standard deviations
// of a token. slots is in how many there are replies: 0 stands for all.
func PlannedForwarding(p *ledger.Plan, t *ledger.Test, log10Alpha, share, lift float64, slots int) (float64, error) {
	o, err := e6Options(t)
	if err != nil {
		return 0, err
	}
	planned, replies := (&PlannedTest{Input: &Input{Test: t, Log10Alpha: log10Alpha, plan: p}}).liftPower(&o)
	if slots > 0 {
		planned.tokens = planned.tokens[:min(slots, len(planned.tokens))]
	}
	if !planned.possible() {
		return 0, nil
	}
	return planned.forwarded(replies, share, lift), nil
}
