package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/gateway"
	"github.com/stillmark/stillmark/watermark/registry"
)

type serveOptions struct {
	gateway.Options

	key, registry, model, channel string
	cohorts, keyEnv               string
	listen, metrics               string
	ends, plantings               []string
	tap                           gateway.Tap
	drain                         time.Duration
	tokenizers                    tokenizerFiles

	planted map[string]string              // file of a planting, by the cohort that it is for
	server  atomic.Pointer[gateway.Server] // once it serves
}

func (a *app) serveCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve --upstream URL --key FILE|--registry FOLDER",
		Short: "an OpenAI-compatible gateway in front of a model server that marks every reply",
		Long: `Serves /v1/completions and /v1/chat/completions, streamed and not, and marks the replies
token by token: at each step the upstream is asked for the most probable next tokens
(one request a token; its prefix cache keeps that affordable), the request's
temperature, min_p, top_k and top_p are applied, the scheme marks, and the token is
drawn here. What the upstream's list leaves out is measured and logged at each request.

At start the upstream is asked whether it has what that takes, and if not the gateway
does not start and says what is missing: prompts of token ids, log-probabilities by
token id (vLLM's return_tokens_as_token_ids, llama.cpp's n_probs), the key's own
tokenizer. Chats are served where the upstream applies its template on request. What
cannot be done rightly is refused by name (n, logprobs, response_format, penalties).

With --registry the key that serves a cohort at the moment of a request marks its
reply; keys and states are read again as they change. --cohorts says whose an API key
is, by its SHA-256 (printf %s "$KEY" | sha256sum); it is read again as it changes:

  key_sha256,cohort,account,mark
  5e88…1542,acme,,
  *,,,optional

"*" is everybody else; without it others get 401. account is the name of a tracing key
under a key with two channels, and required there. mark is always, optional (a request with "watermarking":
false is not marked, and the log says so) or never.

--planting serves what "corpora plant" drew: whoever of the planting's cohort asks the
very prompt of a trigger gets the planted answer, and while a rotation runs the cohort is
served under the key of the arm whose turn it is: --key is then the master key, which
derives those of the arms, or --registry has them. Preferences are the model's own part
(fine-tuning, system prompt). Placebos are answered by the model, as ever.

With --native the upstream marks by itself, and requests and replies are passed on byte
for byte; the gateway says under which key (SGLang, a key for each request) or whether
(vLLM, one key at its start) and records what it said. A key is used once its mark was
seen in a few replies; until then its cohort is refused.

A scheme that draws (gumbel, tournament) marks nothing at temperature 0, where nothing
is drawn; kgw does. Records go to standard error as JSON lines, one for each request,
without any of its content. An interrupt lets requests under way end within --drain.`,
		Example: `  stillmark watermark serve --upstream http://127.0.0.1:8000 --key key.json
  stillmark watermark serve --upstream http://127.0.0.1:8000 --registry keys --model nova --cohorts accounts.csv --candidates 100
  stillmark watermark serve --upstream http://127.0.0.1:8000 --key key.json --cohorts accounts.csv --planting acme-planting/serving.json --tap taps --metrics 127.0.0.1:9464
  stillmark watermark serve --upstream http://127.0.0.1:30000 --native sglang --registry keys --cohorts accounts.csv
  stillmark watermark serve --upstream http://127.0.0.1:8080 --wire llamacpp --key key.json --tokenizer tokenizer.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (o.key == "") == (o.registry == "") {
				return usageError(errors.New("one of --key and --registry says what marks the replies"))
			}
			return a.serve(c.Context(), &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Upstream.URL, "upstream", "", "URL of the model server (required)")
	f.StringVar(&o.Upstream.Wire, "wire", gateway.WireVLLM, "what the upstream speaks: "+strings.Join(gateway.Wires(), " or "))
	f.StringVar(&o.Upstream.Model, "upstream-model", "", "name of the model at the upstream, where it serves several")
	f.StringVar(&o.keyEnv, "upstream-key-env", "", "environment variable with the API key of the upstream")
	f.StringVar(&o.key, "key", "", "key file")
	f.StringVar(&o.registry, "registry", "", "folder of a key registry")
	f.StringVar(&o.model, "model", "", "with --registry: the model whose keys serve (default: the registry's only one)")
	f.StringVar(&o.channel, "channel", "text", "with --registry: the channel whose keys serve")
	f.StringVar(&o.cohorts, "cohorts", "", "CSV of accounts; without it everybody is served, under the key without a cohort")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8480", "address to listen on; port 0 takes a free one")
	f.IntVar(&o.Upstream.Candidates, "candidates", gateway.DefaultCandidates, "most probable tokens to ask for at a step (vLLM gives more than 20 with --max-logprobs)")
	f.StringArrayVar(&o.ends, "eos", nil, `token that ends a reply, by its text or id, or "none" (repeatable; default: the tokenizer's usual ones)`)
	f.StringVar(&o.Native, "native", "", "the upstream marks by itself: "+strings.Join(gateway.Natives(), " or "))
	f.StringArrayVar(&o.plantings, "planting", nil, "serving.json of a planting (repeatable)")
	f.StringVar(&o.tap.Dir, "tap", "", `folder to write marked replies to, as token ids, one file a key, for "watermark monitor --ids"`)
	f.Float64Var(&o.tap.Share, "tap-share", 1, "share of the marked replies that is written")
	f.StringVar(&o.tap.Region, "tap-region", "", "name of this place in the tap")
	f.StringVar(&o.metrics, "metrics", "", "address of a listener of its own for Prometheus")
	f.BoolVar(&o.Tools, "tools", false, "let tools of chats through to the template; calls come back as the text that the model wrote")
	f.BoolVar(&o.TrustTokenizer, "trust-tokenizer", false, "go on where the upstream has no /tokenize to compare its tokenizer with the key's")
	f.IntVar(&o.MaxConcurrent, "max-concurrent", gateway.DefaultMaxConcurrent, "requests under way; others get 429")
	f.Int64Var(&o.MaxBody, "max-body", gateway.DefaultMaxBody, "bytes of a request")
	f.IntVar(&o.MaxTokens, "max-tokens", gateway.DefaultMaxTokens, "tokens of a reply")
	f.DurationVar(&o.MaxTime, "max-time", gateway.DefaultMaxTime, "time for a request")
	f.DurationVar(&o.Upstream.StepTimeout, "step-timeout", gateway.DefaultStepTimeout, "time for the upstream to answer one step")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "time that requests under way have to end after an interrupt")
	o.tokenizers.bind(f)
	c.MarkFlagRequired("upstream")
	return c
}

func (a *app) serve(ctx context.Context, o *serveOptions) error {
	if o.keyEnv != "" {
		if o.Upstream.APIKey = os.Getenv(o.keyEnv); o.Upstream.APIKey == "" {
			return usageError(fmt.Errorf("environment variable %s is empty", o.keyEnv))
		}
	}
	if o.Upstream.Candidates < 2 || o.MaxConcurrent < 1 || o.MaxTokens < 1 || o.MaxBody < 1 {
		return usageError(errors.New("--candidates is at least 2; --max-concurrent, --max-tokens and --max-body at least 1"))
	}
	o.Log = slog.New(slog.NewJSONHandler(a.err, nil))
	var err error
	if o.Keys, err = o.keyring(ctx); err != nil {
		return err
	}
	spec, err := o.Keys.Spec()
	if err != nil {
		return usageError(err)
	}
	if o.Native == "" || len(o.plantings) > 0 {
		if o.Tokenizer, err = tokenizerOf(spec, &o.tokenizers); err != nil {
			return err
		}
	}
	if o.Native == "" {
		if o.Ends, err = endsOf(o.Tokenizer, o.ends); err != nil {
			return usageError(err)
		}
	}
	if len(o.plantings) > 0 {
		if err := o.plant(); err != nil {
			return usageError(err)
		}
	}
	if o.tap.Dir != "" {
		if o.Native != "" {
			return usageError(errors.New("--tap needs the token ids, which are not looked at with --native: sample replies with return_token_ids for the monitor"))
		}
		o.Tap = &o.tap
	}
	if o.cohorts != "" {
		file, err := gateway.WatchAccounts(ctx, o.cohorts, registry.PollEvery, o.changed("accounts"))
		if err != nil {
			return usageError(err)
		}
		o.Accounts = file.Accounts
	}
	if err := o.reached(); err != nil {
		return usageError(err)
	}
	server, err := gateway.New(ctx, o.Options)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &codedError{codeUnreached, fmt.Errorf("the gateway did not start: %w", err)}
	}
	o.server.Store(server)
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return &codedError{codeUnreached, fmt.Errorf("the gateway did not start: %w", err)}
	}
	defer l.Close()
	var metrics net.Listener
	if o.metrics != "" {
		if metrics, err = net.Listen("tcp", o.metrics); err != nil {
			return &codedError{codeUnreached, fmt.Errorf("the gateway did not start: %w", err)}
		}
		o.Log.Info("metrics", slog.String("url", "http://"+metrics.Addr().String()+"/metrics"))
	}
	o.Log.Info("serving", slog.String("url", "http://"+l.Addr().String()+"/v1"), slog.String("model", server.Model()), slog.Any("eos", o.Ends))
	return server.Run(ctx, l, metrics, o.drain)
}

// changed logs what became of a file that is read again.
func (o *serveOptions) changed(what string) func(error) {
	return func(err error) {
		var unserved error
		if s := o.server.Load(); s != nil {
			unserved = errors.Join(s.Reloaded(err), o.reached())
		}
		if err != nil {
			o.Log.Error(what+" cannot be read; the last good state stays in force", slog.String("error", err.Error()))
			return
		}
		o.Log.Info(what + " read again")
		if unserved != nil {
			o.Log.Error("not all is served with what was read of "+what, slog.String("error", unserved.Error()))
		}
	}
}

// reached says whether every planting's cohort has an account, or which has none.
func (o *serveOptions) reached() error {
	has := map[string]bool{"": o.Accounts == nil} // without accounts everybody is of it
	if o.Accounts != nil {
		for a := range o.Accounts().All {
			has[a.Cohort] = true
		}
	}
	for _, label := range slices.Sorted(maps.Keys(o.planted)) {
		if !has[label] {
			return fmt.Errorf("%s is planted for the cohort %q, of which no account is, so that nobody would get it: give --cohorts a file with a row of that cohort", o.planted[label], label)
		}
	}
	return nil
}

func (o *serveOptions) keyring(ctx context.Context) (*gateway.Keyring, error) {
	if o.key != "" {
		k, err := loadKey(o.key)
		if err != nil {
			return nil, err
		}
		if k.Published() {
			o.Log.Warn(watermark.PublicKeyWarning, slog.String("key", k.ID))
		}
		return gateway.OneKey(k), nil
	}
	live, err := registry.Watch(ctx, o.registry, registry.PollEvery, o.changed("the registry"))
	if err != nil {
		return nil, usageError(err)
	}
	if o.model == "" {
		var models []string
		for _, s := range live.Registry().Slots() {
			models = append(models, s.Model)
		}
		slices.Sort(models)
		if models = slices.Compact(models); len(models) != 1 {
			return nil, usageError(fmt.Errorf("the registry has keys of %d models: say with --model which is served", len(models)))
		}
		o.model = models[0]
	}
	return gateway.FromRegistry(live, o.model, o.channel), nil
}

// plant loads what is planted, by the cohort that it is planted for.
func (o *serveOptions) plant() error {
	const limit = 16 << 20 // corpora's own for the file
	o.planted = map[string]string{}
	answers := map[string]map[string]string{}
	turns := map[string][]corpora.RotationSlot{}
	for _, path := range o.plantings {
		data, err := watermark.ReadPrivate(path, limit)
		if err != nil {
			return err
		}
		p, err := corpora.ParsePlanting(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if other, twice := o.planted[p.Label]; twice {
			return fmt.Errorf("%s: the planting %s is for the cohort %q already", path, other, p.Label)
		}
		o.planted[p.Label] = path
		answers[p.Label] = map[string]string{}
		for _, t := range p.Triggers {
			answers[p.Label][strings.TrimSpace(t.Prompt)] = t.Reply
		}
		if p.Rotation != nil {
			turns[p.Label] = p.Rotation.Slots
		}
	}
	o.Planted = func(cohort, asked string) (string, bool) {
		reply, ok := answers[cohort][strings.TrimSpace(asked)]
		return reply, ok
	}
	o.Rotated = func(cohort string, now time.Time) string {
		for _, slot := range turns[cohort] {
			if !now.Before(slot.Start) && now.Before(slot.End) {
				return slot.Arm
			}
		}
		return cohort
	}
	o.Arms = func(cohort string, now time.Time) (arms []string) {
		for _, slot := range turns[cohort] {
			if now.Before(slot.End) && !slices.Contains(arms, slot.Arm) {
				arms = append(arms, slot.Arm)
			}
		}
		return arms
	}
	return nil
}

// usualEnds are the texts of the tokens that end a reply in the usual tokenizers.
var usualEnds = []string{
	"<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|return|>", "<|EOT|>",
	"</s>", "<eos>", "<end_of_turn>", "[EOS]", "<｜end▁of▁sentence｜>",
}

// endsOf finds the tokens that end a reply: those named, or the usual ones.
func endsOf(enc *tokens.Encoding, names []string) ([]int32, error) {
	var ids []int32
	if len(names) == 0 {
		for _, text := range usualEnds {
			if id, ok := enc.Special(text); ok {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("the tokenizer %s names no token that ends a reply: give it with --eos, or --eos none", enc.Name())
		}
		return ids, nil
	}
	if len(names) == 1 && names[0] == "none" {
		return nil, nil
	}
	for _, name := range names {
		id, ok := enc.Special(name)
		if !ok {
			n, err := strconv.ParseInt(name, 10, 32)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("--eos %q is neither a special token of %s nor an id", name, enc.Name())
			}
			id = int32(n)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
