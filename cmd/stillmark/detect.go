package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/replies"
	"github.com/stillmark/stillmark/watermark/served"
)

// detection is what the command prints for one text, or for all texts pooled.
// Log10P and Log10E are null when the decoys contradict the null law.
type detection struct {
	ID      string            `json:"id"`
	Scheme  string            `json:"scheme"`
	Key     string            `json:"key"`
	N       int64             `json:"n"`
	Dropped watermark.Dropped `json:"dropped"`
	Weights string            `json:"weights"`
	Score   float64           `json:"score"`
	Mean    float64           `json:"null_mean"`
	Effect  struct {
		Value float64 `json:"value"`
		Lo    float64 `json:"lo"`
		Hi    float64 `json:"hi"`
		Unit  string  `json:"unit"`
	} `json:"effect"`
	Log10P   *float64 `json:"log10_p"`
	Method   string   `json:"log10_p_method"`
	Estimate *float64 `json:"log10_p_estimate"`
	Plain    struct {
		Score  float64  `json:"score"`
		Log10P *float64 `json:"log10_p"`
	} `json:"unweighted"`
	Log10E  *float64 `json:"log10_e"`
	Decoys  *decoys  `json:"decoys"` // null: validity not checked
	Verdict string   `json:"verdict"`
	// Served is the secondary result, with --served.
	Served *servedDetection `json:"served,omitempty"`
	// Dedup is there when it is the peer's rule; Public when the key is printed
	// in public code; Warnings say what limits the result.
	Dedup string `json:"dedup,omitempty"`
	// Statistic is there when it is another than the sum of the units' scores, and
	// Entropies where the weights of that name came from.
	Statistic string `json:"statistic,omitempty"`
	Entropies string `json:"entropies,omitempty"`
	// Payload is the message read, with --payloads.
	Payload  *watermark.PayloadResult `json:"payload,omitempty"`
	Public   bool                     `json:"public_key,omitempty"`
	Warnings []string                 `json:"warnings,omitempty"`
}

// servedDetection is what the positions show whose window was served. It is a
// secondary result: which windows our text has depends on the key through other
// positions, so that no verdict rests on it.
type servedDetection struct {
	File           string   `json:"file"`
	Windows        int      `json:"windows"`         // distinct, in the file
	FalsePositives float64  `json:"false_positives"` // share of windows not served that pass
	N              int64    `json:"n"`
	Filtered       int64    `json:"filtered"` // positions whose window was not served
	Score          float64  `json:"score"`
	Mean           float64  `json:"null_mean"`
	Log10P         *float64 `json:"log10_p"` // null where the result beside it has none
	Method         string   `json:"log10_p_method"`
	Decoys         *decoys  `json:"decoys"`
}

type decoys struct {
	N       int     `json:"n"`
	RankP   float64 `json:"rank_p"`
	SDRatio float64 `json:"sd_ratio"`
	KSP     float64 `json:"ks_p"`
	Pass    bool    `json:"pass"`
}

// The verdicts of detect.
const (
	verdictPresent  = "present"      // p at or below the threshold
	verdictAbsent   = "not-found"    // above it; says nothing about a weaker mark
	verdictWithheld = "withheld"     // the decoys contradict the null law
	verdictNothing  = "insufficient" // nothing to score
)

type detectOptions struct {
	keyPaths  []string
	ids, pool bool
	tokens    bool
	inputForm
	weights   string
	dedup     string
	statistic string
	entropies string // file, or referenceEntropies; none if empty
	payloads  int
	decoyFlag string
	decoys    int // autoDecoys: as many as end within a minute
	threshold float64
	served    string
	secret    string

	auto  bool
	vocab int
	try   []string

	tokenizers tokenizerFiles
	output     outputFiles
}

func (a *app) detectCommand() *cobra.Command {
	var o detectOptions
	c := &cobra.Command{
		Use:   "detect --key FILE|--auto TEXT…|-",
		Short: "score texts or token ids under a key: one result per text, or one for all (--pool)",
		Long: `Reads plain texts, or JSON lines with id, text and optionally prompt (with --ids:
id, tokens and optionally prompt_tokens; --field and --prompt-field name other places
in the line), and prints for each text, or with --pool
for all of them as one stream, how strongly it depends on the key.

The null hypothesis is that the text is independent of the key. A position counts
once per distinct (window, token); windows that occur in the item's prompt are
dropped first. log10 p is the exact tail, or with weights a Chernoff bound; decoy
keys, drawn as the key was but never served, check that law on this very text.
Where they contradict it, p and e are withheld and only the rank stands. The
verdict is per text at --threshold: nothing is corrected for the number of texts.

Schemes of other stacks whose score has no known law (SynthID's) get a rank among
decoys and no p. With --dedup peer repetitions count as that stack's own detector
counts them, to compare numbers with it; no p-value holds then.

What is scored is declared before: the sum over distinct units, plain or weighted, is
the one test, and no smaller of two p-values is ever shown for one. --statistic
weighted-mean gives SynthID's layers their falling weights. --entropies weighs a token
as textseal does, .1 + .9·(H - min H)/(max H - min H) over its text, rounded to eighths
so that the null law is known: from the embedded model, or from a file of JSON lines,
one for each text in their order, with "entropies" (one number for each token) or
"logprobs" (for each token the natural logarithms of its candidates). They must be of
the distributions before the mark: those after it depend on the key, and no p holds.

--auto tries the presets of all known stacks at their usual settings, under their
published keys, the keys of --try and the key files of --key, on all texts as one
stream, and corrects for the whole grid (Holm). It needs --vocab or a key file, for
the width of the logits.`,
		Example: `  stillmark watermark detect --key key.json reply.txt
  stillmark watermark detect --key key.json --pool --json replies.jsonl
  cat replies.jsonl | stillmark watermark detect --key key.json --ids -
  zcat traffic.jsonl.gz | stillmark watermark detect --key key.json --pool --field response.choices.0.message.content -
  stillmark watermark detect --key key.json --entropies reference reply.txt
  stillmark watermark detect --key key.json replies.jsonl -o results.csv
  stillmark watermark detect --auto --vocab 128256 --ids replies.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			err := o.output.check()
			if err != nil {
				return err
			}
			if o.decoys, err = parseDecoys(o.decoyFlag); err != nil {
				return usageError(err)
			}
			if o.threshold > 0 {
				return usageError(fmt.Errorf("--threshold %v: log10 p is never above 0", o.threshold))
			}
			for _, name := range []string{"tokens", "served", "statistic", "entropies", "output"} {
				if o.auto && c.Flags().Changed(name) {
					return usageError(fmt.Errorf("--%s needs one key: leave --auto out", name))
				}
			}
			if o.auto && o.weights != "" && o.weights != watermark.WeightsAuto && o.weights != watermark.WeightsNone {
				return usageError(fmt.Errorf("--auto takes --weights auto or none: not every scheme of the grid has %q", o.weights))
			}
			if o.secret != "" && o.served == "" {
				return usageError(errors.New("--served-secret belongs to the filter of --served"))
			}
			if o.auto {
				return a.search(c.Context(), o, args)
			}
			return a.detect(c.Context(), o, args)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.keyPaths, "key", nil, "key file (required; with --auto optional and repeatable)")
	f.BoolVar(&o.ids, "ids", false, "input is JSON lines of token ids")
	f.BoolVar(&o.pool, "pool", false, "one result for all texts as one stream, each (window, token) counted once in the whole run")
	f.BoolVar(&o.tokens, "tokens", false, "print every position too: JSON lines of token, fate and score before the result (implies --json)")
	o.inputForm.bind(f)
	o.output.bind(f)
	f.StringVar(&o.weights, "weights", "", "auto, none or min8: weight of a repeated pair (default auto when pooled, else none); entropy: see --entropies")
	f.StringVar(&o.dedup, "dedup", watermark.DedupUnit, "unit, or peer: that stack's own rule of repetition, to compare numbers with it")
	f.StringVar(&o.statistic, "statistic", watermark.StatisticSum, "sum, or weighted-mean: SynthID's weights of the layers, for presets with layers")
	f.StringVar(&o.entropies, "entropies", "", "weigh each token by how open its choice was: FILE of entropies, or reference, the embedded model's")
	f.StringVar(&o.decoyFlag, "decoys", "auto", "decoy keys, 0 for none; auto: 999, or for schemes of other stacks the most of 999, 199 and 99 that end within a minute")
	f.IntVar(&o.payloads, "payloads", 0, "read the message of a multi-bit scheme: the most likely of so many payloads, p corrected for them")
	f.StringVar(&o.served, "served", "", "file of served windows (see \"watermark windows\"): a secondary result for those windows alone")
	f.StringVar(&o.secret, "served-secret", "", "secret of the filter that --served names")
	f.BoolVar(&o.auto, "auto", false, "try the schemes of all known stacks, corrected for their number")
	f.IntVar(&o.vocab, "vocab", 0, "with --auto: width of the model's logits (default: that of the first key file)")
	f.StringArrayVar(&o.try, "try", nil, "with --auto: a key to try where it fits, an integer, or integers separated by commas (repeatable)")
	f.Float64Var(&o.threshold, "threshold", -6, "log10 p at or below which the mark counts as present")
	o.tokenizers.bind(f)
	return c
}

// autoDecoys stands for as many decoys as end within decoyTime.
const (
	autoDecoys = -1
	// fewestDecoys resolve a rank to one in a hundred and the null's spread to 30 %.
	fewestDecoys = 99
	decoyTime    = time.Minute
)

func parseDecoys(s string) (int, error) {
	if s == "auto" {
		return autoDecoys, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--decoys %q is neither a number nor auto", s)
	}
	if n > 0 && n < fewestDecoys {
		return 0, fmt.Errorf("--decoys %d says too little: a check of the null law takes at least %d, or 0 for none", n, fewestDecoys)
	}
	return n, nil
}

func (a *app) detect(ctx context.Context, o detectOptions, inputs []string) error {
	if len(o.keyPaths) != 1 {
		if len(o.keyPaths) == 0 {
			return usageError(errors.New(`required flag(s) "key" not set`))
		}
		return usageError(errors.New("--key is given more than once: that is for --auto"))
	}
	if o.vocab != 0 || len(o.try) > 0 {
		return usageError(errors.New("--vocab and --try belong to --auto"))
	}
	if o.dedup != watermark.DedupUnit && o.dedup != watermark.DedupPeer {
		return usageError(fmt.Errorf("--dedup %q is neither unit nor peer", o.dedup))
	}
	a.asJSON = a.asJSON || o.tokens
	k, err := loadKey(o.keyPaths[0])
	if err != nil {
		return err
	}
	mark, err := k.Mark()
	if err != nil {
		return usageError(err)
	}
	if err := watermark.CheckStatistic(o.statistic, k.Scheme); err != nil {
		return usageError(err)
	}
	if o.entropies != "" && o.weights == "" {
		o.weights = watermark.WeightsEntropy
	}
	if (o.entropies != "") != (o.weights == watermark.WeightsEntropy) {
		return usageError(errors.New("--weights entropy and --entropies belong together"))
	}
	if o.entropies != "" && o.dedup == watermark.DedupPeer {
		return usageError(errors.New("--dedup peer counts without weights: leave --entropies out"))
	}
	if o.weights == "" {
		o.weights = watermark.WeightsNone
		if o.pool {
			o.weights = watermark.WeightsAuto
		}
	}
	if o.weights, err = watermark.ResolveWeights(o.weights, k.Scheme); err != nil {
		return usageError(err)
	}
	opt := o.options(o.ids)
	if !o.ids {
		if opt.Tokenizer, err = tokenizerOf(k.Spec, &o.tokenizers); err != nil {
			return err
		}
	}
	s := &scorer{app: a, key: k, mark: mark, o: o, meter: a.newMeter(), reading: a.newMeter()}
	if o.entropies != "" {
		if s.entropies, err = openEntropies(o.entropies, k.Spec); err != nil {
			return err
		}
	}
	if o.served != "" {
		windows, closer, err := a.openWindows(o.served, o.secret)
		if err != nil {
			return err
		}
		defer closer.Close()
		if windows.Window() != mark.Window() {
			return usageError(fmt.Errorf("%s has windows of %d tokens, the key has %d", o.served, windows.Window(), mark.Window()))
		}
		s.windows = windows
	}
	pooled := s.newRun()
	for _, name := range inputs {
		err := a.readInput(name, opt, s.reading, func(it watermark.Item) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if o.pool {
				return s.add(pooled, it)
			}
			d := s.newRun()
			if err := s.add(d, it); err != nil {
				return err
			}
			return s.print(ctx, it.ID, d)
		})
		if err != nil {
			return err
		}
	}
	if err := s.entropies.close(); err != nil {
		return err
	}
	if o.pool {
		if err := s.print(ctx, "pool", pooled); err != nil {
			return err
		}
	}
	return o.output.write(s.found, detectionRows(s.found))
}

// detectionRows are a table of results; what is withheld is empty.
func detectionRows(found []detection) [][]string {
	rows := [][]string{{"id", "verdict", "key", "scheme", "n", "score", "null_mean", "effect", "effect_lo", "effect_hi", "effect_unit", "log10_p", "log10_p_method", "log10_e", "decoys", "rank_p"}}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	perhaps := func(x *float64) string {
		if x == nil {
			return ""
		}
		return number(*x)
	}
	for i := range found {
		d := &found[i]
		row := []string{
			d.ID, d.Verdict, d.Key, d.Scheme, strconv.FormatInt(d.N, 10), number(d.Score), number(d.Mean),
			number(d.Effect.Value), number(d.Effect.Lo), number(d.Effect.Hi), d.Effect.Unit, perhaps(d.Log10P), d.Method, perhaps(d.Log10E), "", "",
		}
		if d.Decoys != nil {
			row[len(row)-2], row[len(row)-1] = strconv.Itoa(d.Decoys.N), number(d.Decoys.RankP)
		}
		rows = append(rows, row)
	}
	return rows
}

// inputForm are the flags that say where texts stand in the input.
type inputForm struct{ format, field, promptField string }

const fieldUsage = `where the text stands in a JSON line, as in choices.0.message.content (default "text", with --ids "tokens")`

func (i *inputForm) bind(f *pflag.FlagSet) {
	f.StringVar(&i.format, "format", "", "text or jsonl (default: told apart by the first line)")
	f.StringVar(&i.field, "field", "", fieldUsage)
	f.StringVar(&i.promptField, "prompt-field", "", `where the prompt stands in a JSON line (default "prompt", with --ids "prompt_tokens")`)
}

func (i *inputForm) options(ids bool) replies.Options {
	return replies.Options{IDs: ids, Format: i.format, Field: i.field, PromptField: i.promptField}
}

// readInput reads a file or standard input, and shows how far it is on a meter,
// which yield hides before it prints.
func (a *app) readInput(name string, opt replies.Options, m *meter, yield func(watermark.Item) error) error {
	return a.readRawInput(name, opt, m, func(_ []byte, it watermark.Item) error { return yield(it) })
}

// readRawInput is readInput that passes the line of each item on as well.
func (a *app) readRawInput(name string, opt replies.Options, m *meter, yield func([]byte, watermark.Item) error) error {
	defer m.clear()
	in := &counted{Reader: a.in}
	texts := 0
	shown := func(raw []byte, it watermark.Item) error {
		err := yield(raw, it)
		if texts++; in.size > 0 {
			m.share(float64(in.read)/float64(in.size), fmt.Sprintf("%s, %d texts", name, texts))
		} else {
			m.set(fmt.Sprintf("%d texts, %d MB read", texts, in.read/1e6))
		}
		return err
	}
	if name == "-" {
		return replies.ReadRaw(in, "standard input", opt, shown)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		if info.IsDir() {
			return usageError(fmt.Errorf("%s is a folder; name the files in it", name))
		}
		in.size = info.Size()
	}
	in.Reader = f
	return replies.ReadRaw(in, name, opt, shown)
}

// counted counts what is read of it; size is 0 where it is not known.
type counted struct {
	io.Reader
	read, size int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

type scorer struct {
	*app
	key     *watermark.Key
	mark    watermark.Scheme
	windows served.Windows // nil: no secondary result
	o       detectOptions
	// meter shows decoys, reading the input.
	meter, reading *meter

	entropies *entropySource // nil: none

	found []detection // for the files that are written
}

// textRun scores one text, or all: every position, and with --served those alone
// whose window was served.
type textRun struct{ all, served *watermark.Detector }

func (s *scorer) newRun() textRun {
	r := textRun{all: s.newDetector(nil)}
	if s.windows != nil {
		r.served = s.newDetector(s.windows.Has)
	}
	return r
}

func (s *scorer) newDetector(keep func(window []int32) bool) *watermark.Detector {
	return watermark.NewDetector(s.mark, watermark.Options{Weights: s.o.weights, Dedup: s.o.dedup, Statistic: s.o.statistic, Keep: keep})
}

// secondary is the result for served windows, under as many decoys as the first.
func (s *scorer) secondary(ctx context.Context, d *watermark.Detector, first *detection) (*servedDetection, error) {
	if f, ok := s.windows.(*served.Filter); ok && f.Err() != nil {
		return nil, f.Err()
	}
	r := d.Result()
	out := &servedDetection{
		File: s.o.served, Windows: s.windows.Len(), FalsePositives: served.FalsePositives(s.windows),
		N: r.N, Filtered: r.Dropped.Filtered, Score: r.Score, Mean: r.Tail.Mean, Method: first.Method,
	}
	if r.N == 0 {
		out.Method = ""
		return out, nil
	}
	if first.Log10P != nil {
		out.Log10P, out.Method = &r.Tail.Log10P, r.Tail.Method
	}
	if first.Decoys == nil {
		return out, nil
	}
	judged, _, err := d.Decoys(ctx, decoySeed, first.Decoys.N, nil)
	if err != nil {
		return nil, err
	}
	out.Decoys = &decoys{judged.N, judged.RankP, judged.SDRatio, judged.KSP, judged.Pass}
	if !judged.Pass && out.Log10P != nil {
		out.Log10P, out.Method = nil, "withheld"
	}
	return out, nil
}

// decoySeed is fixed, so that the same input gives the same output.
var decoySeed = sha256.Sum256([]byte("stillmark watermark detect, decoy keys, version 1"))

func (s *scorer) print(ctx context.Context, id string, run textRun) error {
	d := run.all
	r := d.Result()
	out := detection{ID: id, Scheme: r.Scheme, Key: s.key.ID, N: r.N, Dropped: r.Dropped, Weights: r.Weights, Score: r.Score, Mean: r.Tail.Mean}
	out.Effect.Value, out.Effect.Lo, out.Effect.Hi, out.Effect.Unit = r.Effect.Value, r.Effect.Lo, r.Effect.Hi, family.EffectUnit(r.Law)
	out.Log10P, out.Method, out.Log10E = &r.Tail.Log10P, r.Tail.Method, &r.Log10E
	if r.Tail.Log10Estimate != r.Tail.Log10P {
		out.Estimate = &r.Tail.Log10Estimate
	}
	out.Plain.Score, out.Plain.Log10P = r.Plain.Score, &r.Plain.Tail.Log10P
	out.Verdict = verdictAbsent
	if r.Tail.Log10P <= s.o.threshold {
		out.Verdict = verdictPresent
	}
	if r.N == 0 {
		out.Verdict = verdictNothing
		out.Log10P, out.Log10E, out.Plain.Log10P, out.Method = nil, nil, nil, ""
	} else if s.o.decoys != 0 {
		n, err := s.decoys(ctx, d)
		if err != nil {
			return err
		}
		judged, _, err := d.Decoys(ctx, decoySeed, n, func(done int) {
			if s.o.pool { // one text's take no time
				s.meter.count("decoys", done, n)
			}
		})
		if s.o.pool {
			s.meter.clear()
		}
		if err != nil {
			return err
		}
		out.Decoys = &decoys{judged.N, judged.RankP, judged.SDRatio, judged.KSP, judged.Pass}
		if !judged.Pass {
			out.Log10P, out.Estimate, out.Log10E, out.Plain.Log10P, out.Method = nil, nil, nil, nil, "withheld"
			out.Verdict = verdictWithheld
		}
	}
	if r.Tail.Method == watermark.MethodDecoysOnly && r.N > 0 {
		out.Log10P, out.Estimate, out.Log10E, out.Plain.Log10P, out.Method = nil, nil, nil, nil, watermark.MethodDecoysOnly
		out.Verdict = verdictWithheld
	}
	if r.Statistic != watermark.StatisticSum {
		out.Statistic = r.Statistic
	}
	out.Entropies = s.o.entropies
	if r.Dedup == watermark.DedupPeer {
		out.Dedup = r.Dedup
		out.Warnings = append(out.Warnings, "repetitions count as the other stack counts them: no p-value holds, only the rank among decoys")
	}
	if s.o.payloads > 0 && r.N > 0 {
		read, err := d.Payloads(ctx, s.key, s.o.payloads)
		if err != nil {
			return usageError(err)
		}
		out.Payload = &read
	}
	if w := outOfVocab(d, s.key.Vocab); w != "" {
		out.Warnings = append(out.Warnings, w)
	}
	if p, ok := watermark.PresetByName(s.key.Scheme); ok && p.Approximate != "" && out.Log10P != nil {
		out.Warnings = append(out.Warnings, "p is approximate: "+p.Approximate)
	}
	if s.key.Published() {
		out.Public = true
		out.Warnings = append(out.Warnings, watermark.PublicKeyWarning)
	}
	if run.served != nil {
		var err error
		if out.Served, err = s.secondary(ctx, run.served, &out); err != nil {
			return err
		}
	}
	if len(s.o.output) > 0 {
		s.found = append(s.found, out)
	}
	s.reading.hide()
	if s.asJSON {
		return s.printJSON(out)
	}
	return writeDetection(s.out, &out)
}

// outOfVocab names ids that the marked model does not have; empty if there are none.
func outOfVocab(read interface{ OutOfVocab() (int64, []int32) }, vocab int) string {
	n, ids := read.OutOfVocab()
	if n == 0 {
		return ""
	}
	var list []string
	for _, id := range ids {
		list = append(list, strconv.Itoa(int(id)))
	}
	more := ""
	if n > int64(len(ids)) {
		more = ", …"
	}
	return fmt.Sprintf("tokens outside the vocabulary of %[2]d, which do not count: %[1]d (ids %[3]s%[4]s); are they of another tokenizer?", n, vocab, strings.Join(list, ", "), more)
}

// decoys is how many decoys are scored, and says so before they are where that
// was not asked for.
func (s *scorer) decoys(ctx context.Context, d *watermark.Detector) (int, error) {
	if s.o.decoys != autoDecoys {
		return s.o.decoys, nil
	}
	if _, preset := watermark.PresetByName(s.key.Scheme); !preset {
		return 999, nil
	}
	n, expected, err := d.AutoDecoys(ctx, decoySeed, decoyTime)
	if err == nil && (n < 999 || expected > 10*time.Second) && s.o.pool {
		s.meter.clear()
		fmt.Fprintf(s.err, "stillmark: %d decoy keys, about %s\n", n, expected.Round(time.Second))
	}
	return n, err
}

func writeDetection(w io.Writer, d *detection) error {
	var dropped string
	if d.Dropped != (watermark.Dropped{}) {
		dropped = fmt.Sprintf(" (dropped: %d in the prompt, %d repeats, %d without a whole window, %d outside the vocabulary",
			d.Dropped.Prompt, d.Dropped.Repeat, d.Dropped.Short, d.Dropped.OutOfVocab)
		if d.Dropped.Channel > 0 {
			dropped += fmt.Sprintf(", %d of the other channel", d.Dropped.Channel)
		}
		dropped += ")"
	}
	_, err := fmt.Fprintf(w, "%s: %s under key %s (%s)\n  n %d%s\n", printable(d.ID), d.Verdict, d.Key, d.Scheme, d.N, dropped)
	if err != nil || d.N == 0 {
		return errors.Join(err, writeWarnings(w, d.Warnings))
	}
	fmt.Fprintf(w, "  score %.4g, expected %.4g if independent of the key; effect %+.4f [%+.4f, %+.4f] %s\n",
		d.Score, d.Mean, d.Effect.Value, d.Effect.Lo, d.Effect.Hi, d.Effect.Unit)
	if d.Statistic != "" {
		fmt.Fprintf(w, "  statistic: %s over the layers\n", d.Statistic)
	}
	if d.Entropies != "" {
		fmt.Fprintf(w, "  weights: entropy of each token (%s), in eighths\n", printable(d.Entropies))
	}
	if d.Log10P != nil {
		fmt.Fprintf(w, "  log10 p %.2f (%s)", *d.Log10P, d.Method)
		if d.Estimate != nil {
			fmt.Fprintf(w, ", estimate %.2f", *d.Estimate)
		}
		if d.Weights != watermark.WeightsNone {
			fmt.Fprintf(w, "; unweighted %.2f", *d.Plain.Log10P)
		}
		if *d.Log10E != 0 {
			fmt.Fprintf(w, "; log10 e %.2f", *d.Log10E)
		}
		fmt.Fprintln(w)
	}
	if d.Payload != nil {
		fmt.Fprintf(w, "  payload %d of %d, log10 p %.2f after correction for all of them\n", d.Payload.Payload, len(d.Payload.Each), d.Payload.Log10P)
	}
	writeWarnings(w, d.Warnings)
	if x := d.Served; x != nil {
		fmt.Fprintf(w, "  secondary, served windows only: n %d (%d positions with windows that were not served)", x.N, x.Filtered)
		if x.N > 0 {
			fmt.Fprintf(w, ", score %.4g, expected %.4g", x.Score, x.Mean)
		}
		if x.Log10P != nil {
			fmt.Fprintf(w, ", log10 p %.2f (%s)", *x.Log10P, x.Method)
		}
		if x.Decoys != nil {
			fmt.Fprintf(w, ", rank p %.4g", x.Decoys.RankP)
		}
		if x.FalsePositives > 0 {
			fmt.Fprintf(w, "; of windows that were not served, one in %.0f passes", 1/x.FalsePositives)
		}
		fmt.Fprintln(w, "; the claim rests on the result above")
	}
	switch {
	case d.Method == watermark.MethodDecoysOnly && d.Decoys != nil:
		_, err = fmt.Fprintf(w, "  decoys: %d, rank p %.4g, sd ratio %.3f: this score has no known law, only the rank stands\n", d.Decoys.N, d.Decoys.RankP, d.Decoys.SDRatio)
	case d.Decoys == nil:
		_, err = fmt.Fprintln(w, "  decoys: none, validity not checked")
	case d.Decoys.Pass:
		_, err = fmt.Fprintf(w, "  decoys: %d, rank p %.4g, sd ratio %.3f: the null law holds on this text\n", d.Decoys.N, d.Decoys.RankP, d.Decoys.SDRatio)
	default:
		_, err = fmt.Fprintf(w, "  decoys: %d, rank p %.4g, sd ratio %.3f: they contradict the null law, so p and e are withheld and only the rank stands\n", d.Decoys.N, d.Decoys.RankP, d.Decoys.SDRatio)
	}
	return err
}

func writeWarnings(w io.Writer, warnings []string) error {
	for _, warning := range warnings {
		if _, err := fmt.Fprintf(w, "  warning: %s\n", warning); err != nil {
			return err
		}
	}
	return nil
}
