package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/monitor"
	"github.com/stillmark/stillmark/watermark/replies"
)

// codeWeak is the exit code of a monitor with a stream in alarm.
const codeWeak = 13

type monitorOptions struct {
	keyPath  string
	ids      bool
	expect   float64
	baseline string
	keep     float64
	alpha    float64
	minUnits int
	stop     bool
	rearm    bool

	webhook, metrics, state, output string

	inputForm
	tokenizers tokenizerFiles
}

func (a *app) monitorCommand() *cobra.Command {
	var o monitorOptions
	c := &cobra.Command{
		Use:   "monitor --key FILE --expect Q|--baseline FILE REPLIES…|-",
		Short: "watch sampled replies of a service and raise an alarm when the mark weakens or is missing",
		Long: `Reads replies that were sampled from a service which marks them, in the forms that
"watermark detect" reads. The members model, region, epoch and route of a JSON line,
all optional, name its stream; each stream is watched on its own.

The null hypothesis is that the mark is there: the mean score per unit of a reply, given
all replies before, is at least Q. A score is 1 for a green token, the share of ones in a
tournament, u = 1 - exp(-Y) for a Gumbel score Y. A reply is one observation, whatever
its length; nothing is assumed of its tokens. Q is declared with --expect, or measured on
accepted replies with --baseline: the share --keep of the lower 95 % end of their lift
over unmarked text. It must suit the traffic: texts with less choice carry a weaker mark.

The probability that a service whose mark is as declared EVER raises an alarm, in any of
its streams, is at most --alpha, however long it is watched: a betting e-process, mixed
over bets and over the reply at which the mark may fail, is compared with s(s+1)/alpha in
the s-th stream to appear. A stream raises one alarm; --rearm starts it again with the
next share of alpha. That no alarm came does not prove the mark.

With --state a run goes on where the last one ended: give it new replies only. The file
is written about once a second while replies come, at every alarm and at the end.
Exit code 13: a stream is in alarm, of this run or an earlier one; 11: no reply counted.`,
		Example: `  stillmark watermark monitor --key key.json --baseline accepted.jsonl --state monitor.json sampled.jsonl
  tail -F tap.jsonl | stillmark watermark monitor --key key.json --expect 0.6 --ids --metrics mark.prom --webhook http://127.0.0.1:9093/alarm -
  stillmark watermark monitor --key key.json --baseline accepted.jsonl -o strength.svg --json sampled.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.keyPath == "" {
				return usageError(errors.New(`required flag(s) "key" not set`))
			}
			if c.Flags().Changed("expect") == (o.baseline != "") {
				return usageError(errors.New("one of --expect and --baseline says how strong the mark must be"))
			}
			if o.baseline == "" && c.Flags().Changed("keep") {
				return usageError(errors.New("--keep belongs to --baseline"))
			}
			return a.monitor(c.Context(), &o, args)
		},
	}
	f := c.Flags()
	f.StringVar(&o.keyPath, "key", "", "key file (required)")
	f.BoolVar(&o.ids, "ids", false, "input is JSON lines of token ids")
	f.Float64Var(&o.expect, "expect", 0, "Q: the mean score per unit that must be there at least")
	f.StringVar(&o.baseline, "baseline", "", "replies that were accepted as marked, of the same form: Q is measured on them")
	f.Float64Var(&o.keep, "keep", .75, "with --baseline: share of the measured lift that must be left")
	f.Float64Var(&o.alpha, "alpha", 1e-3, "probability of a false alarm in the whole life of all streams")
	f.IntVar(&o.minUnits, "min-units", 16, "units that a reply needs to count")
	f.BoolVar(&o.stop, "stop", false, "end at the first alarm instead of reading on")
	f.BoolVar(&o.rearm, "rearm", false, "with --state: start the streams in alarm again")
	f.StringVar(&o.webhook, "webhook", "", "URL that gets each alarm as JSON by POST; no text of a reply is sent")
	f.StringVar(&o.metrics, "metrics", "", "file to write in Prometheus' text format (for a textfile collector)")
	f.StringVar(&o.state, "state", "", "file to go on from, and to keep the state in")
	f.StringVarP(&o.output, "output", "o", "", "FILE.svg: the strength of each stream over time")
	o.inputForm.bind(f)
	o.tokenizers.bind(f)
	return c
}

// saveEvery is how often files are written while replies come. A crash loses the
// evidence of that time, not the guarantee.
const saveEvery = time.Second

// monitoring is a run of the command.
type monitoring struct {
	*app
	o       *monitorOptions
	mark    watermark.Scheme
	opt     replies.Options
	watch   *monitor.Monitor
	meter   *meter
	saved   time.Time
	counted int64
}

var errStop = errors.New("stopped at an alarm")

func (a *app) monitor(ctx context.Context, o *monitorOptions, inputs []string) error {
	if err := o.check(); err != nil {
		return usageError(err)
	}
	k, err := loadKey(o.keyPath)
	if err != nil {
		return err
	}
	mark, err := k.Mark()
	if err != nil {
		return usageError(err)
	}
	r := &monitoring{app: a, o: o, mark: mark, opt: o.options(o.ids), meter: a.newMeter(), saved: time.Now()}
	if !o.ids {
		if r.opt.Tokenizer, err = tokenizerOf(k.Spec, &o.tokenizers); err != nil {
			return err
		}
	}
	config := monitor.Config{Key: k.ID, Scheme: k.Scheme, Expected: o.expect, Unmarked: monitor.Unmarked(mark), Alpha: o.alpha, MinUnits: o.minUnits}
	if o.baseline != "" {
		if config.Expected, err = r.measure(ctx, config.Unmarked); err != nil {
			return err
		}
	}
	if r.watch, err = o.open(config); err != nil {
		return err
	}
	if o.rearm {
		n := r.watch.Rearm()
		fmt.Fprintf(a.err, "stillmark: %d streams start again, with the next shares of alpha\n", n)
	}
	for _, name := range inputs {
		if err = a.readRawInput(name, r.opt, r.meter, func(raw []byte, it watermark.Item) error { return r.add(ctx, raw, it) }); err != nil {
			break
		}
	}
	if errors.Is(err, errStop) {
		err = nil
	}
	if saving := r.save(); err != nil || saving != nil {
		return errors.Join(err, saving)
	}
	return r.finish()
}

// check refuses what cannot be done, before anything is read.
func (o *monitorOptions) check() error {
	if o.output != "" && strings.ToLower(filepath.Ext(o.output)) != ".svg" {
		return fmt.Errorf("-o %s: the figure is written to a file that ends in .svg", o.output)
	}
	if o.rearm && o.state == "" {
		return errors.New("--rearm needs --state: without it every stream starts anew")
	}
	if !(o.keep > 0 && o.keep <= 1) {
		return fmt.Errorf("--keep %v: the share of the lift that must be left is above 0 and at most 1", o.keep)
	}
	if o.webhook != "" {
		if u, err := url.Parse(o.webhook); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("--webhook: not an http or https URL") // it may hold a token: not printed
		}
	}
	return nil
}

// measure is the least strength that the baseline stands for.
func (r *monitoring) measure(ctx context.Context, unmarked float64) (float64, error) {
	var means []float64
	err := r.readInput(r.o.baseline, r.opt, r.meter, func(it watermark.Item) error {
		if y, units := monitor.Statistic(r.mark, it); units >= r.o.minUnits {
			means = append(means, y)
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	const fewest = 20 // below it Student's interval of a bounded mean is a guess
	if len(means) < fewest {
		return 0, usageError(fmt.Errorf("%s has %d replies of at least %d units; a baseline takes %d", r.o.baseline, len(means), r.o.minUnits, fewest))
	}
	interval := evidence.MeanInterval(means)
	if interval.Lo <= unmarked {
		return 0, usageError(fmt.Errorf("%s shows no mark under this key: mean score per unit %.4f [%.4f, %.4f], unmarked text has %.4f", r.o.baseline, interval.Value, interval.Lo, interval.Hi, unmarked))
	}
	q := unmarked + r.o.keep*(interval.Lo-unmarked)
	fmt.Fprintf(r.err, "stillmark: baseline of %d replies: mean score per unit %.4f [%.4f, %.4f], unmarked %.4f; declared: at least %.4f\n", len(means), interval.Value, interval.Lo, interval.Hi, unmarked, q)
	return q, nil
}

// open goes on from a state, or starts.
func (o *monitorOptions) open(config monitor.Config) (*monitor.Monitor, error) {
	if o.state != "" {
		data, err := readAtMost(o.state, monitor.MaxState)
		switch {
		case err == nil:
			m, err := monitor.Decode(data, config)
			if errors.Is(err, monitor.ErrOther) {
				err = fmt.Errorf("%w; what is bet on cannot change under way: give the same flags, or a new file", err)
			}
			if err != nil {
				return nil, usageError(fmt.Errorf("%s was left as it is: %w", o.state, err))
			}
			return m, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	m, err := monitor.New(config)
	if err != nil {
		return nil, usageError(err)
	}
	return m, nil
}

// readAtMost reads a file, and one byte more than it may have.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func (r *monitoring) add(ctx context.Context, raw []byte, it watermark.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stream, err := monitor.StreamOf(raw)
	if err != nil {
		return usageError(fmt.Errorf("reply %s: %w", printable(it.ID), err))
	}
	y, units := monitor.Statistic(r.mark, it)
	alarm, err := r.watch.Add(stream, y, units, time.Now().UTC())
	if err != nil {
		return usageError(err)
	}
	if units >= r.o.minUnits {
		r.counted++
	}
	if alarm != nil {
		r.meter.hide()
		if err := r.print(alarm); err != nil {
			return err
		}
		if err := r.save(); err != nil {
			return err
		}
		if err := r.post(ctx, alarm); err != nil {
			fmt.Fprintf(r.err, "stillmark: the alarm could not be sent to the webhook: %v\n", err)
		}
		if r.o.stop {
			return errStop
		}
	}
	if time.Since(r.saved) >= saveEvery {
		return r.save()
	}
	return nil
}

func (r *monitoring) print(alarm *monitor.Alarm) error {
	if r.asJSON {
		return r.printJSON(alarm)
	}
	_, err := fmt.Fprintf(r.out, "ALARM %s: the mark is weaker than declared\n  at reply %d; recent strength %.4f, declared at least %.4f, unmarked %.4f: %.0f %% of the declared lift is left\n  log10 e %.2f against the mark being there as declared (alarm at %.2f)\n",
		printable(alarm.Stream.String()), alarm.Reply, alarm.Recent, alarm.Expected, alarm.Unmarked, 100*alarm.Remaining(), alarm.Log10E, alarm.Threshold)
	return err
}

// save writes the files that show or keep the state.
func (r *monitoring) save() error {
	r.saved = time.Now()
	var errs []error
	if r.o.state != "" {
		data, err := r.watch.Encode()
		if err == nil {
			err = ledger.WriteFile(r.o.state, data, 0o600)
		}
		errs = append(errs, err)
	}
	if r.o.metrics != "" {
		errs = append(errs, ledger.WriteFile(r.o.metrics, r.watch.Metrics(), 0o644))
	}
	if r.o.output != "" {
		errs = append(errs, ledger.WriteFile(r.o.output, r.watch.SVG(), 0o644))
	}
	return errors.Join(errs...)
}

// A webhook that does not answer must not hold up the watch for long.
const (
	webhookTimeout = 5 * time.Second
	webhookTries   = 3
)

// post sends an alarm. Errors do not name the URL, which may hold a token.
func (r *monitoring) post(ctx context.Context, alarm *monitor.Alarm) error {
	if r.o.webhook == "" {
		return nil
	}
	body, err := json.Marshal(alarm)
	if err != nil {
		return err
	}
	for range webhookTries {
		if err = postOnce(ctx, r.o.webhook, body); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func postOnce(ctx context.Context, address string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("not a URL that can be asked")
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			err = named.Err
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}

// finish says how the streams stand, and with which exit code.
func (r *monitoring) finish() error {
	r.meter.hide()
	alarmed := 0
	for _, w := range r.watch.Watches() {
		state := "no alarm"
		if w.Alarm != nil {
			state = fmt.Sprintf("in ALARM since reply %d", w.Alarm.Reply)
			alarmed++
		}
		if !r.asJSON {
			fmt.Fprintf(r.out, "%s: %s; %d replies, %d too short to count, recent strength %.4f, log10 e %.2f (alarm at %.2f)\n",
				printable(w.Stream.String()), state, w.Replies, w.Skipped, w.Recent, w.Log10E(), r.watch.Threshold(w))
		}
	}
	switch {
	case alarmed > 0:
		return &codedError{codeWeak, fmt.Errorf("the mark is weak or missing in %d of %d streams", alarmed, len(r.watch.Watches()))}
	case r.counted == 0:
		return &codedError{codeInconclusive, fmt.Errorf("no reply has %d units to score: nothing was tested", r.o.minUnits)}
	}
	return nil
}
