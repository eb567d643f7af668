package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
)

// powerPlan is what the command prints.
type powerPlan struct {
	Scheme   string             `json:"scheme"`
	Window   int                `json:"window"`
	Model    string             `json:"model"` // where the steps' distributions come from
	Steps    int                `json:"steps"`
	Entropy  float64            `json:"entropy"` // of the steps, bits per token
	Lift     watermark.Lift     `json:"lift"`    // per token of unedited text
	EditRate float64            `json:"edit_rate"`
	Power    float64            `json:"power"`
	Keys     int                `json:"keys"`
	Needed   []watermark.Demand `json:"needed"`
	// With two channels Needed is of the provenance channel, one key, and Traced
	// of an account's among Keys.
	Tracing float64            `json:"tracing_share,omitempty"`
	Traced  []watermark.Demand `json:"needed_tracing,omitempty"`
}

type powerOptions struct {
	spec     watermark.Spec
	keyPath  string
	entropy  float64
	logprobs string
	edits    float64
	alpha    float64
	power    float64
	keys     int
	output   outputFiles
}

// powerLevels are tabled when no level is given: a screening, a warning, the
// exact tier's and one that stands after a thousand tests.
var powerLevels = []float64{1e-2, 1e-3, 1e-6, 1e-9}

func (a *app) powerCommand() *cobra.Command {
	var o powerOptions
	c := &cobra.Command{
		Use:   "power --scheme NAME|--key FILE --entropy BITS|--logprobs FILE",
		Short: "how many tokens it takes to find the mark",
		Long: `Computes how far the scheme lifts a token's mean score, and from that how many
distinct scored tokens of the marked model's own text find the mark at --alpha with
probability --power. It is no forecast for students, who pass on a part only.

The lift is taken over the distributions that tokens are sampled from. With --entropy
the model is a text whose every step has geometric probabilities of that entropy: real
text mixes sure steps with open ones. With --logprobs they are those of a file: JSON
values that are replies of an OpenAI-compatible endpoint with top_logprobs, single
tokens of such replies, or {"logprobs": [natural logarithms of one step]}. What a step
leaves to 1 counts as one more candidate, which understates the lift.

An edit rate of R means that each token is edited with probability R, independently: a
(window, token) pair of h+1 tokens survives with (1-R)^(h+1). --keys corrects for the
number of keys that are tried (Bonferroni). --key takes scheme and settings of a key
file, those of other stacks' keys too.

With --tracing-share S text is marked over two channels: an account's tracing key, one
of --keys, has the windows of that share, and the provenance key has the rest.`,
		Example: `  stillmark watermark power --scheme gumbel --entropy 3
  stillmark watermark power --key key.json --logprobs replies.jsonl
  stillmark watermark power --scheme kgw --delta 1 --entropy 3 --edit-rate 0.2 --alpha 1e-6 --keys 24000`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.output.check(); err != nil {
				return err
			}
			for _, name := range []string{"alpha", "entropy"} {
				if x, _ := c.Flags().GetFloat64(name); c.Flags().Changed(name) && !(x > 0) {
					return usageError(fmt.Errorf("--%s %v is not above 0", name, x))
				}
			}
			if o.keyPath != "" {
				for _, name := range []string{"scheme", "window", "gamma", "delta", "leaves", "tracing-share"} {
					if c.Flags().Changed(name) {
						return usageError(fmt.Errorf("--%s and --key exclude each other: the key says it", name))
					}
				}
				k, err := loadKey(o.keyPath)
				if err != nil {
					return err
				}
				o.spec = k.Spec
			}
			return a.power(o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.spec.Scheme, "scheme", "", "gumbel, gumbel-dual, kgw or tournament")
	f.StringVar(&o.keyPath, "key", "", "key file that says scheme and settings")
	f.IntVar(&o.spec.Params.Window, "window", 0, "tokens that seed a token's word (default 2)")
	f.Float64Var(&o.spec.Params.Gamma, "gamma", 0, "kgw: share of green words (default 0.25)")
	f.Float64Var(&o.spec.Params.Delta, "delta", 0, "kgw: what green logits gain (default 2)")
	f.IntVar(&o.spec.Params.Leaves, "leaves", 0, "tournament: draws that meet in a match (default 2)")
	f.Float64Var(&o.spec.Params.Tracing, "tracing-share", 0, "two channels: share of windows that tracing keys mark")
	f.Float64Var(&o.entropy, "entropy", 0, "bits per token")
	f.StringVar(&o.logprobs, "logprobs", "", "file of the steps' log probabilities, - for standard input")
	f.Float64Var(&o.edits, "edit-rate", 0, "share of tokens that are edited")
	f.Float64Var(&o.alpha, "alpha", 0, "level of the test (default: a table of levels)")
	f.Float64Var(&o.power, "power", .9, "probability of finding the mark")
	f.IntVar(&o.keys, "keys", 1, "keys that are tried")
	o.output.bind(f)
	c.MarkFlagsOneRequired("scheme", "key")
	c.MarkFlagsOneRequired("entropy", "logprobs")
	c.MarkFlagsMutuallyExclusive("entropy", "logprobs")
	return c
}

func (a *app) power(o powerOptions) error {
	if o.keyPath == "" {
		if _, preset := watermark.PresetByName(o.spec.Scheme); preset {
			return usageError(fmt.Errorf("the settings of %s are those of a key: import one, and give --key", o.spec.Scheme))
		}
		if !slices.Contains(watermark.NativeSchemes(), o.spec.Scheme) {
			return usageError(fmt.Errorf("--scheme %q is not known%s", o.spec.Scheme, didYouMean(o.spec.Scheme, watermark.SchemeNames())))
		}
		o.spec.Tokenizer = "any" // the number of tokens does not depend on it
	}
	levels := powerLevels
	if o.alpha > 0 {
		levels = []float64{o.alpha}
	}
	plan := powerPlan{Scheme: o.spec.Scheme, EditRate: o.edits, Power: o.power, Keys: o.keys, Window: o.spec.Params.Window, Tracing: o.spec.Params.Tracing}
	if plan.Window == 0 {
		plan.Window = 2
	}
	steps, err := a.steps(&o, &plan)
	if err != nil {
		return err
	}
	plan.Steps = len(steps)
	for _, step := range steps {
		for _, p := range step {
			if p > 0 {
				plan.Entropy -= p * math.Log2(p) / float64(len(steps))
			}
		}
	}
	if plan.Lift, err = watermark.ExpectedLift(o.spec, steps); err != nil {
		return usageError(err)
	}
	for _, alpha := range levels {
		need := func(account string, keys int) (watermark.Demand, error) {
			spec := o.spec
			spec.Account = account
			return watermark.TokensNeeded(spec, plan.Lift, o.edits, math.Log10(alpha), o.power, keys)
		}
		keys := o.keys
		if plan.Tracing > 0 {
			keys = 1
			d, err := need("any", o.keys)
			if err != nil {
				return usageError(err)
			}
			plan.Traced = append(plan.Traced, d)
		}
		d, err := need("", keys)
		if err != nil {
			return usageError(err)
		}
		plan.Needed = append(plan.Needed, d)
	}
	rows := [][]string{{"channel", "log10_alpha", "effect", "units", "tokens"}}
	for _, x := range []struct {
		channel string
		needed  []watermark.Demand
	}{{"mark", plan.Needed}, {"tracing", plan.Traced}} {
		for _, d := range x.needed {
			rows = append(rows, []string{
				x.channel, strconv.FormatFloat(d.Log10Alpha, 'g', -1, 64), strconv.FormatFloat(d.Effect, 'g', -1, 64), strconv.FormatInt(d.Units, 10), strconv.FormatInt(d.Tokens, 10),
			})
		}
	}
	if err := o.output.write(plan, rows); err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(plan)
	}
	return writePower(a.out, &plan)
}

// steps are the distributions that the lift is taken over.
func (a *app) steps(o *powerOptions, plan *powerPlan) ([][]float64, error) {
	if o.logprobs == "" {
		plan.Model = "geometric probabilities of that entropy at every step"
		step, err := watermark.GeometricStep(o.entropy)
		if err != nil {
			return nil, usageError(fmt.Errorf("--entropy: %w", err))
		}
		return [][]float64{step}, nil
	}
	in := a.in
	if o.logprobs != "-" {
		f, err := os.Open(o.logprobs)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	plan.Model = "log probabilities of a file"
	steps, err := parseSteps(in)
	if err != nil {
		return nil, usageError(fmt.Errorf("--logprobs %s: %w", o.logprobs, err))
	}
	return steps, nil
}

func writePower(w io.Writer, p *powerPlan) error {
	fmt.Fprintf(w, "%s, window %d: lift %.4f per token", p.Scheme, p.Window, p.Lift.Value)
	if p.Lift.SE > 0 {
		fmt.Fprintf(w, " (± %.1g)", p.Lift.SE)
	}
	fmt.Fprintf(w, " at %.2f bits (%s)\n", p.Entropy, p.Model)
	if p.EditRate > 0 {
		fmt.Fprintf(w, "%v of the tokens edited: lift %.4f\n", p.EditRate, p.Needed[0].Effect)
	}
	if p.Tracing == 0 {
		fmt.Fprintf(w, "tokens that find it with probability %v, %d keys tried:\n", p.Power, p.Keys)
		return writeDemands(w, p.Needed)
	}
	fmt.Fprintf(w, "tokens whose provenance channel (%v of the windows) finds it with probability %v:\n", 1-p.Tracing, p.Power)
	if err := writeDemands(w, p.Needed); err != nil {
		return err
	}
	fmt.Fprintf(w, "tokens whose tracing channel (%v of the windows) finds the account with probability %v, %d keys tried:\n", p.Tracing, p.Power, p.Keys)
	return writeDemands(w, p.Traced)
}

func writeDemands(w io.Writer, needed []watermark.Demand) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range needed {
		tokens := "more than ten billion"
		if d.Units > 0 {
			tokens = fmt.Sprint(d.Tokens)
		}
		fmt.Fprintf(t, "  alpha %.3g\t%s\n", math.Pow(10, d.Log10Alpha), tokens)
	}
	return t.Flush()
}

// Limits of a file of log probabilities: a hundred long replies with the twenty
// candidates that endpoints give.
const (
	maxLogprobs = 64 << 20 // bytes
	maxSteps    = 200_000
)

// logprobsValue is any of the forms that parseSteps takes.
type logprobsValue struct {
	Logprobs    json.RawMessage `json:"logprobs"`
	TopLogprobs []tokenLogprob  `json:"top_logprobs"`
	Choices     []struct {
		Logprobs *struct {
			Content []struct {
				TopLogprobs []tokenLogprob `json:"top_logprobs"`
			} `json:"content"`
		} `json:"logprobs"`
	} `json:"choices"`
}

type tokenLogprob struct {
	Logprob float64 `json:"logprob"`
}

// parseSteps reads a stream of JSON values; see the command's help.
func parseSteps(r io.Reader) ([][]float64, error) {
	limited := &io.LimitedReader{R: r, N: maxLogprobs + 1}
	d := json.NewDecoder(limited)
	var steps [][]float64
	for value := 1; ; value++ {
		var v logprobsValue
		err := d.Decode(&v)
		switch {
		case limited.N <= 0:
			return nil, fmt.Errorf("it is longer than %d MiB", maxLogprobs>>20)
		case err == io.EOF && len(steps) == 0:
			return nil, errors.New("it holds no step with candidates: ask the endpoint for top_logprobs")
		case err == io.EOF:
			return steps, nil
		case err != nil:
			return nil, fmt.Errorf("value %d: %w", value, err)
		}
		lists := [][]tokenLogprob{v.TopLogprobs}
		for _, c := range v.Choices {
			if c.Logprobs != nil {
				for _, token := range c.Logprobs.Content {
					lists = append(lists, token.TopLogprobs)
				}
			}
		}
		if len(v.Logprobs) > 0 && v.Logprobs[0] == '[' {
			var plain []float64
			if err := json.Unmarshal(v.Logprobs, &plain); err != nil {
				return nil, fmt.Errorf("value %d: %w", value, err)
			}
			list := make([]tokenLogprob, len(plain))
			for i, x := range plain {
				list[i].Logprob = x
			}
			lists = append(lists, list)
		}
		for _, list := range lists {
			if len(list) == 0 {
				continue
			}
			if len(steps) == maxSteps {
				return nil, fmt.Errorf("it holds more than %d steps", maxSteps)
			}
			step, err := distribution(list)
			if err != nil {
				return nil, fmt.Errorf("value %d: %w", value, err)
			}
			steps = append(steps, step)
		}
	}
}

// distribution gives what the candidates leave to 1 to one more.
func distribution(list []tokenLogprob) ([]float64, error) {
	var (
		step []float64
		sum  float64
	)
	for _, t := range list {
		if !(t.Logprob <= 0) {
			return nil, fmt.Errorf("%v is no logarithm of a probability", t.Logprob)
		}
		p := math.Exp(t.Logprob)
		step = append(step, p)
		sum += p
	}
	// Endpoints round: a sum a little above 1 is scaled.
	if sum > 1.01 {
		return nil, fmt.Errorf("the candidates' probabilities add up to %v", sum)
	}
	if sum < 1 {
		return append(step, 1-sum), nil
	}
	for i := range step {
		step[i] /= sum
	}
	return step, nil
}
