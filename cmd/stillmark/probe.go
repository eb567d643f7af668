package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) probeCommand() *cobra.Command {
	return holder("probe", "plan an audit, carry it out, see how far it is; import replies gathered elsewhere",
		"  stillmark probe plan --target acme-nova-1 --suite longform-en --key key.json --signer signer.pem -o case\n  stillmark probe run case",
		a.probePlanCommand(), a.probeRunCommand(), a.probeStatusCommand(), a.probeImportCommand(), a.probeObserveCommand())
}

type planOptions struct {
	targets, controls, ours, teachers, students []string
	suites                                      []string
	asked                                       []*corpora.Suite // what they named
	set                                         string
	after                                       string
	controlCases                                []string
	keys, commitments, custody, served          []string
	decoyFlag                                   string
	signer, output, tsa                         string
	n                                           int
	seed                                        uint64
	seedGiven                                   bool
	temperature, topP                           float64
	requestSeed                                 int64
	servingFrom, sentinels                      string
	drawing
	arms             []string
	rotationStart    string
	slot             time.Duration
	lags             []int
	judge            string
	dryRun, skipTest bool
	in               probe.PlanInput
}

func (a *app) probePlanCommand() *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan --target NAME [--controls CASE] --suite NAME --key FILE --signer FILE -o CASE",
		Short: "decide everything before the first request, print cost and power, seal the plan",
		Long: `Makes the plan of an audit: targets and controls (with their capability matrix, for
which each is asked a dozen questions), prompts, keys with their commitments, tests
with their null hypotheses, level, decoys, caps. It prints requests, tokens, money
and power, and writes the sealed plan into a new case folder. With --dry-run it
only prints.

The power assumes that replies fill three quarters of --max-tokens and that half of
their positions are distinct scored pairs; --tokens-per-reply and --distinct change
that. Commitments are given in the order of the keys; FILE.tsr beside a commitment
(a token, or a whole response as openssl ts -reply writes it) is taken as its timestamp.

What is asked is a --suite, or a --set of suites: smoke rehearses with some 300 requests
and is no basis of a verdict, standard is what says most for its money, evidential is
everything, twice. A set gives each suite its number of prompts and of replies; -n and
--samples go before it. Families under a canary key need one (--key).

Controls need not be asked for every audit. A plan with --control alone, no target and
no key, collects them; run, analysed and sealed, that case is given to later plans with
--controls CASE, if suites, seeds and parameters are the same. It is copied whole into
the new case, where anybody can check it.

The claim rule asks for two runs. The second is planned with the options of the first
and --after CASE, the sealed first one: it scores only what the first did not, its report
has the numbers of both and of the two together, and it holds the first case whole.
Keyed free choice, canaries and nonces need other items for that: plant them with --runs 2.
Under a canary key the exact tier takes what its commitment lists, and nothing else: where
a suite is asked whole, that of this run is drawn.

` + judgeHelp,
		Example: `  stillmark probe plan --target acme-nova-1 --control older-model --suite longform-en -n 200 --max-tokens 400 \
    --key key.json --commitment key.commitment.json --signer signer.pem -o case
  stillmark probe plan --set smoke --target acme-nova-1 --ours our-model --key key.json --key canary.json --dry-run
  stillmark probe plan --suite refusal-ladder --target acme-nova-1 --ours our-model --judge third-party --signer signer.pem -o case`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.plan(c, &o) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.targets, "target", nil, "configured target to audit, or PROVIDER/MODEL (repeatable)")
	f.StringArrayVar(&o.controls, "control", nil, "configured target to stand beside it under the same keys (repeatable)")
	o.bindControls(f)
	f.StringArrayVar(&o.ours, "ours", nil, "configured target that serves our own model, for comparative families (repeatable)")
	f.StringArrayVar(&o.teachers, "teacher", nil, "configured target that others may have been trained on, for comparative families (repeatable)")
	f.StringArrayVar(&o.students, "student", nil, "configured target that is a known student of our own model: with it comparative families print likelihood ratios (repeatable)")
	o.bindNames(f)
	o.bindJudge(f)
	f.StringArrayVar(&o.suites, "suite", []string{defaultSuite}, "suite: a name of \"corpora list\", a YAML or JSONL file, or a folder of them; its family decides the tests (repeatable)")
	f.StringVar(&o.set, "set", "", "set of suites, in place of --suite or beside it: smoke, standard or evidential (see \"corpora list\")")
	f.IntVarP(&o.n, "number", "n", 0, "prompts to draw of every suite, 0 for all")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the draw of prompts")
	f.StringArrayVar(&o.arms, "arm", nil, "E6: label or id of a watermark key of the rotation, in the order of \"corpora plant\" (repeatable)")
	f.StringVar(&o.rotationStart, "rotation-start", "", "E6: when slot 1 of the rotation begins (RFC 3339)")
	f.DurationVar(&o.slot, "slot", 24*time.Hour, "E6: length of a slot")
	f.IntSliceVar(&o.lags, "lag", []int{0}, "E6: slots by which replies are compared with what was served earlier, a test each")
	o.bindCuts(f)
	f.IntVar(&o.counterfactuals, "counterfactuals", 0, "E4: compare the log-probability of every planted response with so many counterfactual ones, in place of reading replies; needs completions with echo (19 is a good number)")
	f.IntVar(&o.in.Samples, "samples", 1, "replies per prompt and target")
	f.IntVar(&o.in.Params.MaxTokens, "max-tokens", 400, "token limit of a reply")
	f.Float64Var(&o.temperature, "temperature", math.NaN(), "sent only if given")
	f.Float64Var(&o.topP, "top-p", math.NaN(), "sent only if given")
	f.Int64Var(&o.requestSeed, "request-seed", -1, "seed that is sent, plus the sample's number; sent only if given")
	f.StringVar(&o.sentinels, "sentinels", "auto", "rounds of sentinel prompts, whose answers show that a model was changed: auto, 0 for none, or from 3 up")
	f.BoolVar(&o.in.Params.Stream, "stream", true, "ask for streams")
	f.BoolVar(&o.in.StopOnEvidence, "stop-on-evidence", false, "stop collecting once every e-process that is watched, of E1 and E3, reaches its threshold")
	f.Float64Var(&o.in.TokensPerReply, "tokens-per-reply", 0, "assumed length of a reply (default 3/4 of --max-tokens)")
	bindCaps(f, &o.in.Caps, " in all runs together")
	f.BoolVar(&o.skipTest, "skip-target-test", false, "seal no capability matrix, send nothing now")
	o.bindTests(f)
	return c
}

func (o *planOptions) bindControls(f *pflag.FlagSet) {
	f.StringArrayVar(&o.controlCases, "controls", nil, "sealed case, folder or zip, whose controls are reused with their replies (repeatable)")
	f.StringVar(&o.after, "after", "", "sealed case, folder or zip, of the first run that this plan repeats with the same options, at least seven days later")
}

// openControls checks the seals of the cases that this one takes in. release closes
// them.
func (o *planOptions) openControls() (release func(), err error) {
	var open []*integrity.Package
	release = func() {
		for _, p := range open {
			p.Close()
		}
	}
	load := func(flag, name string) (*probe.ControlCase, error) {
		p, err := integrity.Open(name)
		var sealed *integrity.Sealed
		if err == nil {
			open = append(open, p)
			sealed, err = integrity.Check(p)
		}
		if err != nil {
			release()
			return nil, usageError(fmt.Errorf("--%s %s is no sealed case that is whole (stillmark report seal makes one): %w", flag, name, err))
		}
		return &probe.ControlCase{FS: p.FS, KeyID: sealed.Signer.KeyID}, nil
	}
	for _, name := range o.controlCases {
		c, err := load("controls", name)
		if err != nil {
			return nil, err
		}
		o.in.Controls = append(o.in.Controls, *c)
	}
	if o.after != "" {
		if o.in.After, err = load("after", o.after); err != nil {
			return nil, err
		}
	}
	return release, nil
}

// bindTests adds the flags of everything that is decided about the tests, whoever
// gathers the replies, and of the sealing.
func (o *planOptions) bindTests(f *pflag.FlagSet) {
	f.StringArrayVar(&o.keys, "key", nil, "key file (repeatable)")
	f.StringArrayVar(&o.commitments, "commitment", nil, "commitment file of the key at the same position (repeatable)")
	f.StringArrayVar(&o.custody, "custody", nil, "log of the registry (its registry.log) of the key at the same position: shows whom a cohort's key served (repeatable)")
	f.StringArrayVar(&o.served, "served", nil, "file of served windows of the key at the same position: adds a secondary test")
	f.StringVar(&o.servingFrom, "serving-from", "", "when the first token was served under the keys (RFC 3339; default: what the key promises)")
	f.BoolVar(&o.in.Reasoning, "reasoning", false, "declare a test of the separate reasoning text beside every test of E1")
	f.StringVar(&o.in.Mode, "mode", ledger.ModeFixedN, "what the tests report: fixed-n (a p-value) or e-process (an e-value, may stop early)")
	f.Float64Var(&o.in.Alpha, "alpha", probe.DefaultAlpha, "family-wise level")
	f.StringVar(&o.decoyFlag, "decoys", "auto", "decoy keys per test, 0 for none: validity is then not checked; auto: 999, or for schemes of other stacks the most of 999, 199 and 99 with which a test ends within a minute, and with --after as many as the first run")
	f.Float64Var(&o.in.Distinct, "distinct", probe.DefaultDistinct, "assumed share of positions that are distinct scored pairs")
	f.StringVar(&o.signer, "signer", "", "private signing key (required unless --dry-run)")
	f.StringVar(&o.tsa, "tsa", "", "URL of an RFC 3161 authority that timestamps the plan")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan's cost and power, write nothing")
	f.StringVarP(&o.output, "output", "o", "", "case folder to create (required unless --dry-run)")
}

// open checks the options that bindTests adds before anything is read or sent,
// and loads the signer: nil for a dry run.
func (o *planOptions) open(ctx context.Context, a *app) (*ledger.Signer, error) {
	var err error
	switch o.in.Decoys, err = parseDecoys(o.decoyFlag); {
	case err != nil:
		return nil, usageError(err)
	case o.in.Decoys == autoDecoys:
		o.in.Decoys = probe.AutoDecoys
	case o.in.Decoys == 0:
		o.in.Decoys = probe.NoDecoys
	}
	switch {
	case len(o.commitments) > len(o.keys) || len(o.custody) > len(o.keys) || len(o.served) > len(o.keys):
		return nil, usageError(errors.New("more --commitment, --custody or --served files than keys: they belong to the key at the same position"))
	case o.dryRun:
		return nil, nil
	case o.signer == "" || o.output == "":
		return nil, usageError(errors.New("name the --signer and the case folder (-o), or give --dry-run"))
	}
	if _, err := os.Lstat(o.output); err == nil {
		return nil, usageError(fmt.Errorf("%s exists already; a case folder is never overwritten", o.output))
	}
	return a.loadSigner(ctx, o.signer)
}

// stamp asks the authority of --tsa, if one is named.
func (o *planOptions) stamp(ctx context.Context) func([32]byte) ([]byte, error) {
	if o.tsa == "" {
		return nil
	}
	return func(digest [32]byte) ([]byte, error) { return requestStamp(ctx, o.tsa, digest) }
}

// bindCaps adds the flags of caps.
func bindCaps(f *pflag.FlagSet, c *ledger.Caps, when string) {
	f.Int64Var(&c.MaxRequests, "max-requests", 0, "stop before more requests than this"+when)
	f.Int64Var(&c.MaxTokens, "max-total-tokens", 0, "stop before more tokens than this"+when+", by the targets' own count")
	f.Float64Var(&c.MaxCost, "max-cost", 0, "stop before spending more than this"+when+"; needs prices")
	f.DurationVar(&c.MaxTime, "max-time", 0, "stop after this time"+when)
}

func (a *app) plan(c *cobra.Command, o *planOptions) error {
	ctx := c.Context()
	if len(o.targets) == 0 && (len(o.controls) == 0 || len(o.keys) > 0) {
		return usageError(errors.New("name at least one --target; or --control alone, without a --key, for a case of controls"))
	}
	signer, err := o.open(ctx, a)
	if err != nil {
		return err
	}
	release, err := o.openControls()
	if err != nil {
		return err
	}
	defer release()
	f, err := config.Load(a.config)
	if err != nil {
		return err
	}
	o.in.Authority, o.in.Purpose, o.in.TermsReviewedBy = f.Authority, f.Purpose, f.TermsReviewedBy
	for _, group := range []struct {
		role  ledger.Role
		names []string
	}{{ledger.Rival, o.targets}, {ledger.Control, o.controls}, {ledger.Ours, o.ours}, {ledger.Teacher, o.teachers}, {ledger.Student, o.students}} {
		for _, name := range group.names {
			t, err := resolve(f, name)
			if err != nil {
				return err
			}
			t.Role = group.role
			o.in.Targets = append(o.in.Targets, t)
		}
	}
	if err := o.resolveJudge(f); err != nil {
		return err
	}
	if err := o.params(c); err != nil {
		return err
	}
	if err := o.readKeys(); err != nil {
		return err
	}
	if err := o.rotation(); err != nil {
		return err
	}
	set, err := o.wanted(c)
	if err != nil {
		return err
	}
	for _, m := range set {
		if err := o.expand(c, m); err != nil {
			return err
		}
	}
	unwise, err := lintSuites(o.asked)
	if err != nil {
		return err
	}
	if !o.skipTest && !o.dryRun {
		if err := a.testTargets(ctx, o.everybody()); err != nil {
			return err
		}
	}
	o.in.Program, o.in.Now, o.in.Rand = build(), time.Now(), rand.Reader
	draft, err := probe.NewPlan(o.in)
	if err != nil {
		return err
	}
	draft.Warnings = append(append(draft.Warnings, unwise...), o.setLimits(draft.Plan.Tests)...)
	if !o.dryRun {
		if _, err := probe.SealPlan(o.output, draft, signer, o.stamp(ctx)); err != nil {
			return err
		}
	}
	return a.showPlan(o, draft, "stillmark probe run "+o.output)
}

// showPlan prints a plan that was sealed, or would be.
func (a *app) showPlan(o *planOptions, draft *probe.Draft, next string) error {
	if a.asJSON {
		return a.printJSON(struct {
			Case     string            `json:"case,omitempty"`
			CaseID   string            `json:"case_id"`
			Estimate probe.Estimate    `json:"estimate"`
			Power    []ledger.PowerRow `json:"power"`
			Warnings []string          `json:"warnings"`
		}{o.output, draft.Plan.CaseID, draft.Estimate, draft.Plan.Power, draft.Warnings})
	}
	if err := writeDraft(a.out, draft); err != nil {
		return err
	}
	if o.dryRun {
		fmt.Fprintln(a.out, "nothing was written (--dry-run)")
		return nil
	}
	fmt.Fprintf(a.out, "sealed    %s; next: %s\n", draft.Plan.CaseID, next)
	return nil
}

// rotation reads the flags of E6.
func (o *planOptions) rotation() error {
	if len(o.arms) == 0 && o.rotationStart == "" {
		return nil
	}
	r := &probe.Rotation{Slot: o.slot, Lags: o.lags}
	var err error
	if r.Start, err = time.Parse(time.RFC3339, o.rotationStart); err != nil {
		return usageError(fmt.Errorf("--rotation-start %q is no time such as 2027-01-01T00:00:00Z", o.rotationStart))
	}
	for _, name := range o.arms {
		var ids []string
		for i := range o.in.Keys {
			if k := o.in.Keys[i].Key; k.ID == name || k.Label == name {
				ids = append(ids, k.ID)
			}
		}
		if len(ids) != 1 {
			return usageError(fmt.Errorf("--arm %s names %d of the keys that are given with --key; it must name one", name, len(ids)))
		}
		r.Arms = append(r.Arms, ids[0])
	}
	o.in.Rotation = r
	return nil
}

// defaultSuite is asked where neither a suite nor a set is named.
const defaultSuite = "longform-en"

// bindNames adds the flag of C3.
func (o *planOptions) bindNames(f *pflag.FlagSet) {
	f.StringArrayVar(&o.in.Names, "our-name", nil, "C3: another name of our model or its maker, beside those of the target of role ours (repeatable)")
}

// wanted are the suites to ask, those of a set with the numbers that it gives them.
func (o *planOptions) wanted(c *cobra.Command) ([]corpora.Member, error) {
	var out []corpora.Member
	if o.set != "" {
		set, err := corpora.SetByName(o.set)
		if err != nil {
			var names []string
			for _, s := range corpora.Sets() {
				names = append(names, s.Name)
			}
			return nil, usageError(fmt.Errorf("%w%s", err, nearest(o.set, names)))
		}
		out = set.Members
		o.in.Set, o.in.Rehearsal = set.Name, !set.Verdict
		if !c.Flags().Changed("suite") {
			return out, nil
		}
	}
	for _, name := range o.suites {
		out = append(out, corpora.Member{Suite: name})
	}
	return out, nil
}

// setLimits says what a plan of a set can be used for.
func (o *planOptions) setLimits(tests []ledger.Test) []string {
	set, err := corpora.SetByName(o.set)
	if err != nil {
		return nil
	}
	var out []string
	for _, id := range set.Brought {
		if !slices.ContainsFunc(tests, func(t ledger.Test) bool { return t.Family == id }) {
			out = append(out, fmt.Sprintf("%s: no suite of passages given, see corpora passages; the set %s is planned without it.", id, set.Name))
		}
	}
	if !set.Verdict {
		out = append(out, fmt.Sprintf("The set %s is a rehearsal: %s", set.Name, set.NeverUse))
	}
	if set.Runs > 1 {
		out = append(out, fmt.Sprintf("The set %s is to be carried out %d times, at least %d days apart: plan the next run with --after.", set.Name, set.Runs, set.DaysApart))
	}
	return out
}

// expand draws the prompts of a suite, or of all suites of a folder.
func (o *planOptions) expand(c *cobra.Command, m corpora.Member) error {
	suites, err := loadSuites(m.Suite)
	if err != nil {
		return err
	}
	for _, s := range suites {
		if err := o.expandSuite(c, m, s); err != nil {
			return err
		}
	}
	o.asked = append(o.asked, suites...)
	return nil
}

// expandSuite draws the prompts of a suite: once, or once for every canary key where a key
// draws what is asked. Numbers that were given go before those of a set, and those before
// the suite's own.
func (o *planOptions) expandSuite(c *cobra.Command, m corpora.Member, suite *corpora.Suite) error {
	o.seedGiven = c.Flags().Changed("seed")
	n, samples := o.n, suite.Samples
	if m.Prompts > 0 && !c.Flags().Changed("number") {
		n = m.Prompts
	}
	if m.Samples > 0 {
		samples = m.Samples
	}
	add := func(drawn probe.PlanSuite, err error) error {
		if err != nil {
			return usageError(err)
		}
		if !c.Flags().Changed("samples") {
			drawn.Samples = samples
		}
		if !c.Flags().Changed("max-tokens") {
			drawn.ReplyTokens = suite.ReplyTokens
		}
		o.in.Suites = append(o.in.Suites, drawn)
		return nil
	}
	if suite.Family == family.ReadingMode {
		return o.cut(suite, n)
	}
	if suite.Use() == "" {
		return add(o.draw(suite, n, nil, o.in.Keys))
	}
	keys := 0
	for i := range o.in.Keys {
		if k := o.in.Keys[i].Key; k.Scheme == watermark.Canary {
			keys++
			drawn, err := o.draw(suite, n, k, o.in.Keys[i:i+1])
			if err == nil && drawn.Counterfactuals > 0 { // it says how often, and how long replies are
				o.in.Suites = append(o.in.Suites, drawn)
				continue
			}
			if err := add(drawn, err); err != nil {
				return err
			}
		}
	}
	if keys == 0 {
		return usageError(fmt.Errorf("suite %s is drawn by a canary key: name the one under which it was planted with --key", suite.Name))
	}
	return nil
}

// cut makes the prompts of reading mode of a suite of passages, once for every
// watermark key that can be read so.
func (o *planOptions) cut(suite *corpora.Suite, n int) error {
	made := 0
	for i := range o.in.Keys {
		k := o.in.Keys[i].Key
		if !family.MarkKey.Fits(k.Scheme) {
			continue
		}
		passages, err := o.draw(suite, n, k, o.in.Keys[i:i+1])
		if err != nil {
			return usageError(err)
		}
		o.in.Suites = append(o.in.Suites, passages)
		made++
	}
	if made == 0 {
		return usageError(fmt.Errorf("suite %s holds passages of ours: name the key under which they were written with --key", suite.Name))
	}
	return nil
}

// params takes over the sampling parameters that were given; others are not sent.
func (o *planOptions) params(c *cobra.Command) error {
	if c.Flags().Changed("temperature") {
		o.in.Params.Temperature = &o.temperature
	}
	if c.Flags().Changed("top-p") {
		o.in.Params.TopP = &o.topP
	}
	if c.Flags().Changed("request-seed") {
		o.in.Params.Seed = &o.requestSeed
	}
	o.in.Sentinels = -1
	if o.sentinels != "auto" {
		n, err := strconv.Atoi(o.sentinels)
		if err != nil || n < 0 || n == 1 || n == 2 {
			return usageError(fmt.Errorf("--sentinels %q is neither auto, 0 nor a number from 3 up", o.sentinels))
		}
		o.in.Sentinels = n
	}
	if o.in.Params.MaxTokens < 1 {
		return usageError(fmt.Errorf("--max-tokens %d is not at least 1", o.in.Params.MaxTokens))
	}
	return nil
}

func (o *planOptions) readKeys() error {
	for i, path := range o.keys {
		k, err := loadKey(path)
		if err != nil {
			return err
		}
		pk := probe.PlanKey{Key: k, ServingFrom: k.ServingFrom}
		if o.servingFrom != "" {
			if pk.ServingFrom, err = time.Parse(time.RFC3339, o.servingFrom); err != nil {
				return usageError(fmt.Errorf("--serving-from %q is no time such as 2026-12-01T00:00:00Z", o.servingFrom))
			}
		}
		if i < len(o.commitments) {
			if pk.Commitment, err = os.ReadFile(o.commitments[i]); err != nil {
				return err
			}
			if pk.Stamp, err = readStamp(o.commitments[i] + ".tsr"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if i < len(o.custody) && o.custody[i] != "" {
			if pk.Custody, err = os.ReadFile(o.custody[i]); err != nil {
				return err
			}
		}
		if i < len(o.served) && o.served[i] != "" {
			if pk.Served, err = os.ReadFile(o.served[i]); err != nil {
				return err
			}
		}
		o.in.Keys = append(o.in.Keys, pk)
	}
	return nil
}

// testTargets seals each target's capability matrix into it.
func (a *app) testTargets(ctx context.Context, targets []*ledger.Target) error {
	m := a.newMeter()
	defer m.clear()
	for i := range targets {
		m.count("testing targets: "+targets[i].Name, i, len(targets))
		caps, err := endpoint.Test(ctx, *targets[i], endpoint.Options{})
		if err != nil {
			return err
		}
		targets[i].Capabilities = &caps
	}
	return nil
}

func writeDraft(w io.Writer, d *probe.Draft) error {
	e := d.Estimate
	most, all := 0, 0 // a prompt need not be put to every target
	for i := range d.Plan.Targets {
		n := d.Plan.Count(&d.Plan.Targets[i])
		most, all = max(most, n), all+n
	}
	times := "×"
	if most*len(d.Plan.Targets) != all {
		times = "× up to"
	}
	fmt.Fprintf(w, "plan      %d targets %s %d replies to %d prompts, %d requests\ntokens    %d sent, at most %d received\n",
		len(d.Plan.Targets), times, most, len(d.Plan.Prompts), e.Requests, e.PromptTokens, e.CompletionTokens)
	switch {
	case e.Requests == 0:
		fmt.Fprintln(w, "cost      none: nothing is sent")
	case e.Priced:
		fmt.Fprintf(w, "cost      at most %.2f %s, retries apart\n", e.Cost, e.Currency)
	default:
		fmt.Fprintln(w, "cost      unknown: not every target has a price")
	}
	if j := e.Judge; j != nil {
		cost := "cost unknown"
		if j.Priced {
			cost = fmt.Sprintf("about %.2f %s at most", j.Cost, e.Currency)
		}
		fmt.Fprintf(w, "judge     %s, of these: %d requests to label %d replies, about %d tokens sent and at most %d received, %s\n",
			j.Target, j.Requests, j.Replies, j.PromptTokens, j.CompletionTokens, cost)
	}
	if len(d.Plan.Tests) > 0 {
		decoys := "no decoys: validity not checked"
		if n := d.Plan.Decoys.N; n > 0 {
			decoys = fmt.Sprintf("%d decoys each", n)
		}
		fmt.Fprintf(w, "level     %.3g over %d declared tests (Holm), %s\n\n", d.Plan.Alpha, len(d.Plan.Tests), decoys)
		if err := writeShares(w, &e); err != nil {
			return err
		}
		if err := writePromises(w, d.Plan); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, s := range e.Assumptions {
		fmt.Fprintf(w, "assumed   %s\n", s)
	}
	for _, s := range d.Warnings {
		fmt.Fprintf(w, "warning   %s\n", s)
	}
	return nil
}

// writeShares prints what each family costs.
func writeShares(w io.Writer, e *probe.Estimate) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "family\tprompts\trequests\ttokens sent\treceived at most\tcost at most")
	for _, f := range e.Families {
		cost := "unknown"
		switch {
		case f.Requests == 0:
			cost = "none"
		case e.Priced:
			cost = fmt.Sprintf("%.2f %s", f.Cost, e.Currency)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\n", f.Family, f.Prompts, f.Requests, f.PromptTokens, f.CompletionTokens, cost)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// writePromises prints what each test promises, and for families other than E1 what it
// would take to find effects of some sizes, once a family.
func writePromises(w io.Writer, p *ledger.Plan) error {
	tests := map[string]*ledger.Test{}
	for i := range p.Tests {
		tests[p.Tests[i].ID] = &p.Tests[i]
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "test\tmode\tunits expected\tsmallest log10 p\tsmallest effect found with power 0.9")
	shown := map[string]bool{}
	var needed []string
	for _, row := range p.Power {
		test := tests[row.Test]
		effect := "none"
		if row.Effect > 0 {
			effect = fmt.Sprintf("%.4f %s", row.Effect, row.EffectUnit)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", row.Test, test.Mode, row.Units, floorCell(test, &row), effect)
		if shown[test.Family] {
			continue
		}
		shown[test.Family] = true
		few := tierOf(test) == ledger.Comparative && row.Effect == 0
		for _, at := range row.At {
			line := fmt.Sprintf("%s  an effect of %g is found with power %.2f", test.Family, at.Effect, at.Power)
			if at.Units > 0 {
				line += fmt.Sprintf("; %d units would find it with 0.9", at.Units)
			}
			if few {
				line += fmt.Sprintf(": fewer than %d controls", ledger.MinControls)
			}
			needed = append(needed, line)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(needed) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(needed, "\n"))
	}
	return nil
}

func tierOf(t *ledger.Test) ledger.Tier {
	fam, _ := family.ByID(t.Family)
	return fam.Tier
}

// floorCell is the smallest log10 p that a test can reach. The score of a unit of gumbel
// has no upper bound, and so neither has its p a lower one.
func floorCell(t *ledger.Test, row *ledger.PowerRow) string {
	if row.Log10Floor == 0 && row.Units > 0 && tierOf(t) == ledger.Exact {
		return "unbounded"
	}
	return fmt.Sprintf("%.1f", row.Log10Floor)
}

func (a *app) probeRunCommand() *cobra.Command {
	var options probe.RunOptions
	var keyPaths []string
	var tokenizers tokenizerFiles
	var concurrency, limit, signer, tsa string
	c := &cobra.Command{
		Use:   "run CASE",
		Short: "send what the plan says and write down every attempt; again to continue",
		Long: `Carries out the sealed plan. Every attempt is written down before it is sent and
after it is answered, so nothing is lost: after an interruption, a crash or an
error, the same command continues. Transport errors are retried, content never is.
The first Ctrl-C lets replies under way end (30 s at most), the second stops.
Where the plan names a judge, it labels the replies once all of them are in.

The plan's caps bound all runs of the case together. --max-requests, --max-total-tokens,
--max-cost and --max-time bound this run alone, and --limit restricts it to some of the
prompts, in the plan's order: the same command without them goes on.

With --signer, the key that signed the plan, the head of the ledger's Merkle tree is signed
every 1,000 events or 10 minutes and at the end (checkpoints/, C2SP tlog-checkpoint), and
with --tsa timestamped: what lies before a head cannot be changed behind it.

` + passphraseHelp,
		Example: "  stillmark probe run case\n  stillmark probe run case --limit 10 --max-cost 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if concurrency != "auto" {
				n, err := strconv.Atoi(concurrency)
				if err != nil || n < 1 {
					return usageError(fmt.Errorf("-j %q is neither auto nor a number from 1 up", concurrency))
				}
				options.Concurrency = n
			}
			var err error
			if limit != "" {
				if options.Limit, err = probe.ParseLimit(limit); err != nil {
					return err
				}
			}
			if options.Keys, err = loadKeys(keyPaths); err != nil {
				return err
			}
			if options.Tokenizer, err = tokenizers.opener(); err != nil {
				return err
			}
			m := a.newMeter()
			if options.Writer.Checkpoints, err = a.checkpoints(c.Context(), args[0], signer, tsa); err != nil {
				return err
			}
			options.Progress = func(s probe.Status) { m.show(s.Line(), s) }
			options.Abort, options.Program = a.abort, build()
			summary, err := probe.Run(c.Context(), args[0], options)
			m.clear()
			if err != nil {
				return err
			}
			return a.showRun(&summary)
		},
	}
	f := c.Flags()
	f.StringVarP(&concurrency, "jobs", "j", "auto", "attempts under way at each target, or auto")
	f.StringVar(&options.OnDrift, "on-drift", probe.DriftStop, "when a target turns out to be another model: stop or split")
	f.BoolVar(&options.AcceptChanges, "accept-changes", false, "go on although the options differ from the last run's; the change is listed as a deviation")
	f.StringVar(&limit, "limit", "", "only the first N prompts of the plan's order, or those from N to M (N-M)")
	bindCaps(f, &options.Caps, " in this run")
	f.StringArrayVar(&keyPaths, "key", nil, "key file, where the plan may stop on evidence (repeatable)")
	f.StringVar(&signer, "signer", "", "private signing key of the plan: sign checkpoints while running")
	f.StringVar(&tsa, "tsa", "", "URL of an RFC 3161 timestamping authority for the checkpoints")
	tokenizers.bind(f)
	return c
}

// checkpoints says who signs the ledger's heads: nobody where no signer is named.
func (a *app) checkpoints(ctx context.Context, dir, signerPath, tsa string) (*ledger.Checkpoints, error) {
	if signerPath == "" {
		if tsa != "" {
			return nil, usageError(errors.New("--tsa timestamps checkpoints, which nobody signs: name the --signer, too"))
		}
		return nil, nil
	}
	signer, err := a.loadSigner(ctx, signerPath)
	if err != nil {
		return nil, err
	}
	envelope, err := os.ReadFile(filepath.Join(dir, "plan.dsse.json"))
	if err != nil {
		return nil, usageError(err)
	}
	if _, _, err := ledger.VerifyDSSE(envelope, probe.PlanPayload, []ed25519.PublicKey{signer.PublicKey().Key}); err != nil {
		return nil, usageError(fmt.Errorf("checkpoints are signed by the key that signed the plan, and %q (%.16s) is another one: %w", signer.Name(), signer.KeyID(), err))
	}
	c := &ledger.Checkpoints{Signer: signer, Failed: func(err error) { fmt.Fprintf(a.err, "stillmark: %v; the run goes on\n", err) }}
	if tsa != "" {
		c.Stamp = func(digest [32]byte) ([]byte, error) { return requestStamp(ctx, tsa, digest) }
	}
	return c, nil
}

func (a *app) showRun(s *probe.Summary) error {
	if a.asJSON {
		return a.printJSON(s)
	}
	if s.AlreadyDone {
		fmt.Fprintf(a.out, "%s: done already, nothing was sent\n", s.CaseID)
	}
	fmt.Fprintf(a.out, "collected %d of %d replies in %d attempts:%s\n", s.Settled, s.Planned, s.Sent, classes(s.Classes))
	if len(s.Failed) > 0 {
		fmt.Fprintf(a.out, "survived  %s\n", strings.TrimSpace(classes(s.Failed)))
	}
	if l := s.Labels; l != nil {
		fmt.Fprintf(a.out, "judged    %d of %d labels by %s\n", l.Settled, l.Planned, l.Judge)
	}
	if s.Stopped != "" && s.Stopped != family.StopComplete {
		fmt.Fprintf(a.out, "stopped   %s\n", printable(s.Stopped))
	}
	if len(s.Unsteady) > 0 {
		fmt.Fprintf(a.out, "unsteady  %s: at temperature 0 the first two answers to three or more of the eight sentinels differ, so that another model behind the same name would not be noticed\n",
			printable(strings.Join(s.Unsteady, ", ")))
	}
	return nil
}

// classes lists counts by outcome in the order of their names.
func classes(counts map[ledger.Outcome]int64) string {
	var names []string
	for outcome := range counts {
		names = append(names, string(outcome))
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, " %d %s", counts[ledger.Outcome(name)], name)
	}
	return b.String()
}

func (a *app) probeStatusCommand() *cobra.Command {
	var watch bool
	var output outputFiles
	c := &cobra.Command{
		Use:   "status CASE",
		Short: "print how far collection is, and why items are missing",
		Long: `Reads the ledger, also while "probe run" goes on with it, and prints how far collection
is. With --watch it prints a line whenever it has looked again, until collection ends or
you interrupt it.`,
		Example: "  stillmark probe status case\n  stillmark probe status case --watch",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			c, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			var s probe.Status
			if watch {
				s, err = a.watchStatus(cmd.Context(), c)
			} else {
				s, err = probe.ReadStatus(c, time.Now())
			}
			if err != nil {
				return err
			}
			rows := statusRows(&s)
			if err := output.write(s, rows); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(s)
			}
			fmt.Fprintf(a.out, "%s\n\n", printable(s.Line()))
			return a.table(rows)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "look again every few seconds until collection ends")
	output.bind(c.Flags())
	return c
}

// statusRows is the table of a status, a row per target.
func statusRows(s *probe.Status) [][]string {
	rows := [][]string{{"target", "planned", "settled", "missing", "sent", "outcomes", "failed attempts", "epoch"}}
	for _, t := range s.Targets {
		rows = append(rows, []string{
			t.Name, strconv.FormatInt(t.Planned, 10), strconv.FormatInt(t.Settled, 10), strconv.FormatInt(t.Planned-t.Settled, 10),
			strconv.FormatInt(t.Sent, 10), strings.TrimSpace(classes(t.Classes)), strings.TrimSpace(classes(t.Failed)), strconv.Itoa(t.Epoch),
		})
	}
	return rows
}

// watchEvery is how often a ledger is looked at; one that takes long to read is
// looked at less often, so that watching never costs a tenth of a core.
const watchEvery = 2 * time.Second

// watchStatus shows the status until collection has ended.
func (a *app) watchStatus(ctx context.Context, c *ledger.Case) (probe.Status, error) {
	m := a.newMeter()
	defer m.clear()
	for {
		begun := time.Now()
		s, err := probe.ReadStatus(c, begun)
		if err != nil || s.Phase == probe.PhaseDone || s.Phase == probe.PhaseStopped {
			return s, err
		}
		m.show(s.Line(), s)
		select {
		case <-ctx.Done():
			return s, nil // whoever watches has seen enough
		case <-time.After(max(watchEvery, 10*time.Since(begun))):
		}
	}
}
