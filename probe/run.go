package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// What to do when a target turns out to be another model.
const (
	DriftStop  = "stop"  // stop the run (exit 23); the default
	DriftSplit = "split" // go on: the change is on record and opens an epoch
)

// RunOptions are the settings of one run of a case. The zero value is usable.
type RunOptions struct {
	// Concurrency bounds the attempts under way at each target. Zero finds its
	// way up from a few to at most 256.
	Concurrency int
	// OnDrift is DriftStop (also the meaning of "") or DriftSplit.
	OnDrift string
	// AcceptChanges lets a case go on under other options than before. The
	// change is written down and listed as a deviation.
	AcceptChanges bool
	// Limit restricts this run to some of the plan's prompts: a trial of the first
	// ten, for instance. The zero value is all.
	Limit Limit
	// Caps bound this run alone, beside the plan's, which bound all runs together.
	// Reaching one is the operator's stop: the next run goes on.
	Caps ledger.Caps
	// Keys are looked at while the run goes on where the plan says that it may
	// stop on evidence, and nowhere else.
	Keys []*watermark.Key
	// Tokenizer opens the tokenizers of Keys; nil means the built-in ones.
	Tokenizer family.OpenTokenizer
	// Progress is called a few times a second and once at the end, never
	// concurrently. It must not call back into the run.
	Progress func(Status)
	// Abort, when closed, ends the attempts under way at once: the second
	// signal. The first is the cancelling of Run's context.
	Abort <-chan struct{}
	// Endpoint are the settings of the clients.
	Endpoint endpoint.Options
	// Program is written down with every run.
	Program ledger.Build
	// Writer are the ledger's clocks.
	Writer ledger.WriterOptions

	pace pace
}

// Limit is a range of the plan's prompts in the order of sending, from 1, both ends
// included; sentinels count as prompts. The zero value is all of them.
type Limit struct{ From, To int }

// ParseLimit reads "10", the first ten, or "11-20".
func ParseLimit(s string) (Limit, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		from, to = "1", s
	}
	l := Limit{}
	var err error
	if l.From, err = strconv.Atoi(from); err == nil {
		l.To, err = strconv.Atoi(to)
	}
	if err != nil || l.From < 1 || l.To < l.From {
		return Limit{}, usage("Give a number of prompts such as 10, or a range such as 11-20", "limit %q is not possible", s)
	}
	return l, nil
}

// holds reports whether the limit lets a prompt through, by its place from 0.
func (l Limit) holds(place int) bool { return l == Limit{} || place+1 >= l.From && place < l.To }

// String is the limit as ParseLimit reads it.
func (l Limit) String() string { return fmt.Sprintf("%d-%d", l.From, l.To) }

// pace holds the waits of the runner. Tests shorten them.
type pace struct {
	backoff  endpoint.Backoff
	probes   []time.Duration // waits before the probes of a target that is not reached
	drain    time.Duration   // for attempts under way when a run stops
	progress time.Duration
}

// The runner's own limits; those of single attempts are in package endpoint.
const (
	// autoStart is where the search for a fitting concurrency begins: enough to
	// get going, too little to annoy anybody.
	autoStart = 8
	autoMax   = 256
	// lead is how many prompts one target may be ahead of the slowest. Without
	// it a fast control would be asked in another hour than the rival.
	lead = 64
	// inARow transport failures, or rejections, of one target without anything
	// else between them mean that it is not the single request that fails.
	inARow = 20
	// absentWait is the wait before the one probe of a target that refused its
	// first connection: long enough for a server that is just starting.
	absentWait = time.Second
)

var defaultPace = pace{
	// One minute in all: a longer outage is for the operator, who runs the same
	// command again.
	probes: []time.Duration{5 * time.Second, 15 * time.Second, 40 * time.Second},
	// As long as most replies take; a second signal cuts it short.
	drain:    30 * time.Second,
	progress: 200 * time.Millisecond,
}

// Summary is what a run leaves behind. Counts include earlier runs of the case.
type Summary struct {
	CaseID      string                   `json:"case_id"`
	Planned     int64                    `json:"planned"`
	Settled     int64                    `json:"settled"`
	Missing     int64                    `json:"missing"`
	Sent        int64                    `json:"sent"`     // attempts
	SentNow     int64                    `json:"sent_now"` // attempts of this run
	Classes     map[ledger.Outcome]int64 `json:"classes"`
	Failed      map[ledger.Outcome]int64 `json:"failed_attempts"`
	Tokens      int64                    `json:"tokens"`
	Cost        float64                  `json:"cost"`
	Currency    string                   `json:"currency,omitempty"`
	Drift       int                      `json:"drift"`
	Unsteady    []string                 `json:"unsteady,omitempty"` // targets whose answers to sentinels differ so much that another model would not be noticed
	Labels      *LabelStatus             `json:"labels,omitempty"`
	Resumed     bool                     `json:"resumed"`      // the case had been run before
	AlreadyDone bool                     `json:"already_done"` // nothing was left to do
	Stopped     string                   `json:"stopped,omitempty"`
	Elapsed     time.Duration            `json:"elapsed_ns"`
}

// Run collects the replies of a case, or goes on collecting them. When ctx is
// cancelled nothing new is sent, attempts under way may end for thirty seconds,
// and the error has code 130.
//
// It returns nil once every item is settled or the evidence suffices where the
// plan allows to stop on it; running the case again then changes nothing. Other
// ends are an [*Error] with its exit code; whatever was received is in the
// ledger by then.
func Run(ctx context.Context, dir string, opt RunOptions) (Summary, error) {
	w, err := ledger.OpenWriter(dir, opt.Writer)
	if err != nil {
		return Summary{}, openError(dir, err)
	}
	r, err := newRunner(w, opt)
	if err != nil {
		if cerr := w.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return Summary{}, err
	}
	err = r.run(ctx)
	if cerr := w.Close(); cerr != nil && err == nil {
		err = r.storage(cerr)
	}
	return r.summary(), err
}

func openError(dir string, err error) error {
	e := &Error{Happened: "cannot open case " + dir + ": " + err.Error(), Err: err}
	switch {
	case errors.Is(err, ledger.ErrLocked):
		e.Code, e.Do = CodeUsage, "Wait for the other run to end, or stop it, then run the same command again"
	case errors.Is(err, ledger.ErrSealed):
		e.Code, e.Do = CodeUsage, "A sealed case cannot be added to: plan a new one"
	case errors.Is(err, ledger.ErrStorage):
		e.Code, e.Do = CodeStorage, "Free some space, then run the same command again"
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Do = CodeUsage, "Make the case with `probe plan` first"
	case errors.Is(err, ledger.ErrDamaged):
		e.Code, e.Do = CodeAltered, "Nothing was sent and nothing was changed. Restore the case from a copy"
	case errors.Is(err, ledger.ErrNewerFormat):
		e.Code, e.Do = CodeNewerFormat, "Use the version of the program that made the case, or a later one"
	default:
		e.Code = CodeUsage
	}
	return e
}

// journal is the part of [ledger.Writer] that the runner needs.
type journal interface {
	Append(typ, item string, attempt int, data any) (ledger.Event, error)
	PutBlob(b []byte) (ledger.BlobRef, error)
	PutHeaders(a *ledger.Attempt) error
	State() *ledger.State
	Case() *ledger.Case
}

// runner is one run of a case. Its fields below mu are guarded by it; cond is
// signalled whenever one of them changes that somebody may wait for.
type runner struct {
	opt   RunOptions
	w     journal
	plan  *ledger.Plan
	lanes []*lane
	began time.Time

	sending context.Context // ends when nothing new may be sent
	stopNow context.CancelFunc
	flying  context.Context // ends when attempts under way must end, too
	ground  context.CancelFunc
	items   sync.WaitGroup

	mu       sync.Mutex
	cond     *sync.Cond
	stopped  bool
	reason   string // of the stop event
	cap      string // the cap that was reached, where it is not the time
	stopErr  *Error
	spent    spend
	spentNow spend // by this run
	reserved spend
	skipped  int64 // items beyond this run's limit
	missed   int64 // items that were not asked at their time
	planned  int64
	settled  int64
	sent     int64
	sentNow  int64
	givenUp  int64
	gaveUp   bool // an earlier run did, and was the last to say why it ended
	inFlight int
	classes  map[ledger.Outcome]int64
	failed   map[ledger.Outcome]int64
	drift    int
	recent   rate
	evidence []Evidence
	session  int // runs before this one
	lastOpt  string
	stopper  *family.Stopper
	docket   *docket // nil: the plan has no judge
	already  bool
	swapped  *family.DriftEvent // the last change that earlier runs did not accept
	before   time.Duration      // run time of earlier sessions
}

func newRunner(w journal, opt RunOptions) (*runner, error) {
	switch opt.OnDrift {
	case "":
		opt.OnDrift = DriftStop
	case DriftStop, DriftSplit:
	default:
		return nil, usage("Use stop or split", "on-drift %q is not known", opt.OnDrift)
	}
	if opt.Concurrency < 0 {
		return nil, usage("Use a positive number, or auto", "a concurrency of %d is not possible", opt.Concurrency)
	}
	if opt.Caps.MaxCost > 0 {
		plan := w.Case().Plan()
		asked := slices.Clone(plan.Targets)
		if plan.Judge != nil {
			asked = append(asked, plan.Judge.Target)
		}
		for _, t := range asked {
			if t.Live() && t.Price == nil && opt.Caps.MaxRequests == 0 && opt.Caps.MaxTokens == 0 && opt.Caps.MaxTime == 0 {
				return nil, usage("Give another cap beside it", "target %s has no price, so a cap on money alone cannot stop the run", t.Name)
			}
		}
	}
	if opt.pace.probes == nil {
		opt.pace.probes = defaultPace.probes
	}
	if opt.pace.drain == 0 {
		opt.pace.drain = defaultPace.drain
	}
	if opt.pace.progress == 0 {
		opt.pace.progress = defaultPace.progress
	}
	r := &runner{
		opt: opt, w: w, plan: w.Case().Plan(), began: time.Now(),
		classes: map[ledger.Outcome]int64{}, failed: map[ledger.Outcome]int64{},
	}
	r.opt.pace.backoff.Seed = r.plan.OrderSeed
	r.cond = sync.NewCond(&r.mu)
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// run drives the lanes until they end, and writes the stop event.
func (r *runner) run(ctx context.Context) error {
	if r.already || r.pending() == 0 && r.reason == family.StopComplete {
		r.already = true
		r.report(PhaseDone)
		return nil
	}
	if d := r.swapped; r.barred() {
		r.already = true
		r.report(PhaseDone)
		err := r.changed(d.Target, whyDrift(d))
		err.Kept = r.kept()
		return err
	}
	for _, l := range r.lanes {
		opt := r.opt.Endpoint
		if opt.MaxConcurrency == 0 {
			opt.MaxConcurrency = max(autoMax, r.opt.Concurrency)
		}
		client, err := endpoint.New(*l.target, opt)
		if err != nil {
			return &Error{Code: CodeUsage, Target: l.target.Name, Happened: err.Error(), Err: err}
		}
		defer client.Close()
		l.client = client
	}
	r.sending, r.stopNow = context.WithCancel(context.Background())
	r.flying, r.ground = context.WithCancel(context.Background())
	defer r.stopNow()
	defer r.ground()
	if err := r.openSession(); err != nil {
		return err
	}

	if limit := r.plan.Caps.MaxTime; limit > 0 && r.before >= limit {
		r.halt(family.StopCap, r.timeUp())
	}
	if r.pending() == 0 && r.skipped > 0 {
		r.halt(family.StopOperator, &Error{
			Code: CodeIncomplete, Happened: fmt.Sprintf("all prompts within the limit of %s have their replies", r.opt.Limit),
			Do: "Run without the limit, or with another, to go on",
		})
	}
	done := make(chan struct{})
	var watchers sync.WaitGroup
	watchers.Go(func() { r.watch(ctx, done) })
	watchers.Go(func() { r.showProgress(done) })

	r.drive(r.lanes...)
	if r.labelling() {
		if err := r.fill(); err != nil {
			r.fail(err)
		} else {
			r.drive(r.docket.lane)
		}
	}
	close(done)
	watchers.Wait()
	err := r.finish()
	r.report(PhaseDone)
	return err
}

// drive begins all that the lanes have and waits until it is done.
func (r *runner) drive(lanes ...*lane) {
	var feeding sync.WaitGroup
	for _, l := range lanes {
		feeding.Go(func() { r.feed(l) })
		feeding.Go(func() { r.feedTimed(l) })
	}
	feeding.Wait()
	r.items.Wait()
}

// watch turns the caller's wishes and the plan's time cap into stops, and
// bounds how long a stopped run drains.
func (r *runner) watch(ctx context.Context, done <-chan struct{}) {
	var timeUp <-chan time.Time
	if limit := r.plan.Caps.MaxTime; limit > 0 {
		timer := time.NewTimer(limit - r.before)
		defer timer.Stop()
		timeUp = timer.C
	}
	var enough <-chan time.Time
	if limit := r.opt.Caps.MaxTime; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		enough = timer.C
	}
	stopped := r.sending.Done()
	interrupted := ctx.Done()
	var drained <-chan time.Time
	for {
		select {
		case <-done:
			return
		case <-interrupted:
			interrupted = nil
			r.halt(family.StopOperator, &Error{
				Code: CodeInterrupted, Happened: "stopped by the operator", Do: "Run the same command again to go on",
			})
		case <-r.opt.Abort:
			r.halt(family.StopOperator, &Error{
				Code: CodeInterrupted, Happened: "stopped at once by the operator", Do: "Run the same command again to go on",
			})
			r.ground()
			return
		case <-enough:
			r.halt(family.StopOperator, r.ownCap(brief(r.opt.Caps.MaxTime)))
		case <-timeUp:
			r.halt(family.StopCap, r.timeUp())
		case <-stopped:
			stopped = nil
			timer := time.NewTimer(r.opt.pace.drain)
			defer timer.Stop()
			drained = timer.C
		case <-drained:
			r.ground()
			return
		}
	}
}

// halt ends the sending, once: the first reason counts.
func (r *runner) halt(reason string, err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.haltLocked(reason, err)
}

func (r *runner) haltLocked(reason string, err *Error) {
	if r.stopped {
		return
	}
	r.stopped, r.reason, r.stopErr = true, reason, err
	r.stopNow()
	r.cond.Broadcast()
}

// fail stops the run for an error that is none of a target's.
func (r *runner) fail(err error) {
	var own *Error
	if errors.As(err, &own) {
		r.halt(family.StopOperator, own)
		return
	}
	r.halt(family.StopStorage, r.storage(err))
}

// storage makes the error of a ledger that could not be written.
func (r *runner) storage(err error) *Error {
	return &Error{
		Code: CodeStorage, Happened: "the case cannot be written to: " + err.Error(), Err: err,
		Do: "Free some space, then run the same command again",
	}
}

// timeUp is the end of the time cap. How many replies came in by then is not
// what the plan fixed, so nothing is said of analysing them.
func (r *runner) timeUp() *Error {
	return &Error{
		Code: CodeIncomplete, Happened: "the plan's cap of " + brief(r.plan.Caps.MaxTime) + " of run time is reached",
		Do: "Plan a new case with more time: with replies missing, fixed-n results of this one are exploratory",
	}
}

// capError is the end of a cap on requests, tokens or cost.
func (r *runner) capError(limit string) *Error {
	end := "The plan fixed this end: the replies can be analysed as they are. "
	if families := asksWhole(r.plan); families != "" {
		end += "Results of " + families + " are exploratory, since not all that was committed to was asked. "
	}
	return &Error{
		Code: CodeIncomplete, Happened: "the plan's cap of " + limit + " is reached",
		Do: end + "Running on needs a new case with a higher cap",
	}
}

// ownCap is the end of a cap on this run alone.
func (r *runner) ownCap(limit string) *Error {
	return &Error{
		Code: CodeIncomplete, Happened: "this run's cap of " + limit + " is reached",
		Do: "Run the same command again to go on, before any analysis",
	}
}

// finish writes the stop event and words the end of the run.
func (r *runner) finish() error {
	r.mu.Lock()
	missing, lacking := r.planned-r.settled, r.docket.missing()
	reason, stopErr := r.reason, r.stopErr
	switch {
	case r.stopped && (missing+lacking > 0 || reason == family.StopDrift): // replies of another model settle items, too
		if reason == family.StopCap && (r.givenUp > 0 || r.gaveUp && missing > 0) {
			// No cap left these out: it is not how the plan ends.
			reason, stopErr = family.StopGivenUp, r.unanswered(missing, stopErr.Happened)
		}
	case missing+lacking == 0:
		reason, stopErr = family.StopComplete, nil
	case r.skipped > 0 && r.givenUp == 0:
		reason = family.StopOperator
		stopErr = &Error{
			Code: CodeIncomplete, Happened: fmt.Sprintf("the limit of %s is reached", r.opt.Limit),
			Do: "Run without the limit, or with another, to go on",
		}
	case r.missed > 0 && r.givenUp == 0:
		reason = family.StopGivenUp
		stopErr = &Error{
			Code: CodeIncomplete, Happened: fmt.Sprintf("%s of %s items were not asked at their time", group(r.missed), group(r.planned)),
			Do: "They cannot be asked later: analyse what is there",
		}
	default:
		reason, stopErr = family.StopGivenUp, r.unanswered(missing, "")
	}
	r.reason, r.stopErr = reason, stopErr
	data := family.StopEvent{Reason: reason, Settled: r.settled, Missing: missing}
	if reason == family.StopCap {
		if data.Cap = r.cap; data.Cap == "" {
			data.Cap = family.CapTime
		}
	}
	r.mu.Unlock()
	if stopErr != nil {
		data.Detail = stopErr.Happened
	}
	if _, err := r.w.Append(ledger.EventStop, "", 0, data); err != nil && stopErr == nil {
		stopErr = r.storage(err)
	}
	if stopErr == nil {
		return nil
	}
	stopErr.Kept = r.kept()
	return stopErr
}

// unanswered is the end of a run that gave items up, or follows on one that did, and of
// what ended it then. Labels are asked for only where no reply can be had any more.
func (r *runner) unanswered(missing int64, then string) *Error {
	what, of, why := "items got no reply", r.planned, "while replies are missing, fixed-n results are exploratory"
	if r.docket != nil && missing == r.missed {
		what, of, why = "labels got no answer", r.docket.planned(), "a reply without its label does not enter the tests that read the labels"
	}
	e := &Error{
		Code: CodeIncomplete, Do: "Run the same command again before any analysis: " + why,
		Happened: fmt.Sprintf("%s of %s %s after %d tries each", group(r.givenUp), group(of), what, endpoint.MaxTries),
	}
	if then != "" {
		if r.givenUp == 0 {
			e.Happened = "an earlier run ended without replies that are still missing"
		}
		e.Happened += ", and " + then
		e.Do = "Plan a new case with a higher cap: " + why
	}
	return e
}

func (r *runner) kept() string {
	kept := fmt.Sprintf("%s of %s replies are saved", group(r.settled), group(r.planned))
	if d := r.docket; d != nil {
		kept = fmt.Sprintf("%s of %s replies and %s of %s labels are saved", group(r.settled), group(r.planned), group(d.status.Settled), group(d.status.Planned))
	}
	return kept
}

// barred reports whether an earlier run ended since a target became another model, with
// nothing left to ask the targets: nothing follows unless the operator says so. What a
// judge became bars its labels alone, none of which is settled by it: the next run asks
// for them again.
func (r *runner) barred() bool {
	d := r.swapped
	return d != nil && r.reason == family.StopDrift && r.opt.OnDrift == DriftStop && r.pending()+int(r.skipped) == 0 &&
		(r.docket == nil || d.Target != r.docket.lane.target.Name)
}

func (r *runner) pending() int {
	n := 0
	for _, l := range r.lanes {
		n += len(l.queue) + len(l.timed)
	}
	return n
}

func (r *runner) summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	var unsteady []string
	for _, l := range r.lanes {
		if l.watch.unstable {
			unsteady = append(unsteady, l.target.Name)
		}
	}
	return Summary{
		Unsteady: unsteady,
		CaseID:   r.plan.CaseID, Planned: r.planned, Settled: r.settled, Missing: r.planned - r.settled,
		Sent: r.sent, SentNow: r.sentNow, Classes: r.classes, Failed: r.failed,
		Tokens: r.spent.tokens, Cost: r.spent.cost, Currency: currencyOf(r.plan), Drift: r.drift,
		Labels:  r.docket.labels(),
		Resumed: r.session > 0, AlreadyDone: r.already, Stopped: r.reason, Elapsed: time.Since(r.began),
	}
}

func currencyOf(p *ledger.Plan) string {
	for i := range p.Targets {
		if price := p.Targets[i].Price; price != nil {
			return price.Currency
		}
	}
	if p.Judge != nil && p.Judge.Target.Price != nil {
		return p.Judge.Target.Price.Currency
	}
	return ""
}
