package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/registry"
)

func (a *app) keyRegistryCommand() *cobra.Command {
	return holder("registry", "keys with epochs, cohorts and states in one folder: who was served under which key, and when",
		`  stillmark key registry init keys
  stillmark key registry add keys key.json --decoys 3 --reason "winter release"
  stillmark key registry commit keys --tsa https://tsa.example/tsr
  stillmark key registry state keys 0d2594c9fe3e8a62 serving --reason "winter release is live"
  stillmark key registry lookup keys --cohort cohort-a --at 2026-12-24T18:00:00Z`,
		a.registryInitCommand(), a.registryAddCommand(), a.registryCommitCommand(), a.registryPublishCommand(),
		a.registryStateCommand(), a.registryListCommand(), a.registryLookupCommand(), a.registryLogCommand(), a.registryCheckCommand())
}

// operatorOr is who acts: the given name, or the system's user.
func operatorOr(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", usageError(fmt.Errorf("the system does not say who asks: give --operator: %w", err))
	}
	return u.Username, nil
}

// registryStep are the flags of commands that write.
type registryStep struct{ operator, reason string }

func (s *registryStep) bind(c *cobra.Command, reason string) {
	c.Flags().StringVar(&s.operator, "operator", "", "who does it, for the log (default: the system's user)")
	usage := "why, for the log"
	if reason == "" {
		usage += " (required)"
	}
	c.Flags().StringVar(&s.reason, "reason", reason, usage)
	if reason == "" {
		c.MarkFlagRequired("reason")
	}
}

func (s *registryStep) options() (registry.Options, error) {
	operator, err := operatorOr(s.operator)
	return registry.Options{Operator: operator, VerifyStamp: verifyStamp}, err
}

// verifyStamp checks an RFC 3161 token. Whether its authority is to be trusted is
// for the verification of a case to say, which has the roots.
func verifyStamp(token []byte, digest [32]byte) (registry.Stamp, error) {
	s, err := timestamp.Verify(token, digest, nil)
	return registry.Stamp{Time: s.Time, Latest: s.Latest(), Authority: s.Authority}, err
}

// write opens a registry, takes steps in it and closes it.
func (s *registryStep) write(dir string, steps func(*registry.Writer) error) error {
	opt, err := s.options()
	if err != nil {
		return err
	}
	w, err := registry.Open(dir, opt)
	if err != nil {
		return registryError(err)
	}
	return registryError(errors.Join(steps(w), w.Close()))
}

// registryError gives errors of a registry their exit codes.
func registryError(err error) error {
	var refused *registry.RefusedError
	switch {
	case err == nil:
		return nil
	case exitCode(err) != codeBug && !errors.Is(err, watermark.ErrMalformed):
		return err
	case errors.Is(err, watermark.ErrMalformed):
		return &codedError{codeAltered, err}
	case errors.As(err, &refused), errors.Is(err, registry.ErrUnknown), errors.Is(err, registry.ErrLocked), errors.Is(err, watermark.ErrPermissions):
		return usageError(err)
	}
	return err
}

func loadRegistry(dir string) (*registry.Registry, error) {
	r, err := registry.Load(dir)
	return r, registryError(err)
}

func (a *app) registryInitCommand() *cobra.Command {
	var s registryStep
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "begin a registry in a new folder (0700)",
		Long: `Makes a folder that will hold keys, commitments and an append-only log. It is as
secret as the keys in it. Only one process at a time writes it; readers need no lock.`,
		Example: "  stillmark key registry init keys",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			opt, err := s.options()
			if err != nil {
				return err
			}
			if err := registry.Create(args[0], s.reason, opt); err != nil {
				return registryError(err)
			}
			if a.asJSON {
				return a.printJSON(map[string]string{"registry": args[0]})
			}
			_, err = fmt.Fprintf(a.out, "registry   %s\n", args[0])
			return err
		},
	}
	s.bind(c, "the registry was begun")
	return c
}

func (a *app) registryAddCommand() *cobra.Command {
	var s registryStep
	var decoys int
	c := &cobra.Command{
		Use:   "add DIR FILE",
		Short: "take a key in, as planned, and draw decoys beside it",
		Long: `Copies a key file into the registry. Its epoch is the key's, its cohort the key's
label, and it is planned until "state" says otherwise.

With --decoys N, N keys are drawn that are alike in all that a commitment shows and
that are never served: commit them together with the key, and nobody outside can tell
which of them is served. Decoys of a key that is in the registry are drawn by naming
its file again. Every key that is committed and not declared in an audit is charged to
its result, log10 of (committed / declared) in log10 p: 3 decoys cost 0.6.`,
		Example: "  stillmark key registry add keys key.json --decoys 3 --reason \"winter release\"",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := loadKey(args[1])
			if err != nil {
				return err
			}
			var drawn []*watermark.Key
			taken := true
			err = s.write(args[0], func(w *registry.Writer) error {
				if _, err := w.Registry().Find(k.ID); err == nil && decoys > 0 {
					taken = false
				} else if err := w.Add(k, s.reason); err != nil {
					return err
				}
				if decoys == 0 {
					return nil
				}
				var err error
				drawn, err = w.Decoys(k.ID, decoys, rand.Reader, s.reason)
				return err
			})
			if err != nil {
				return err
			}
			if a.asJSON {
				record := struct {
					Key    string   `json:"key"`
					Added  bool     `json:"added"` // false: it was there
					Decoys []string `json:"decoys"`
				}{k.ID, taken, []string{}}
				for _, d := range drawn {
					record.Decoys = append(record.Decoys, d.ID)
				}
				return a.printJSON(record)
			}
			if taken {
				fmt.Fprintf(a.out, "added      %s, planned, epoch %s, cohort %s\n", k.ID, orNone(k.Epoch), orNone(k.Label))
			}
			for _, d := range drawn {
				fmt.Fprintf(a.out, "decoy      %s\n", d.ID)
			}
			_, err = fmt.Fprintf(a.out, "%s is a second copy of the secret: delete it unless something reads it there\n", args[1])
			return err
		},
	}
	s.bind(c, "")
	c.Flags().IntVar(&decoys, "decoys", 0, "keys to draw that are committed beside it and never served")
	return c
}

// publishFrom asks an authority for a timestamp over a commitment, or takes one from a file.
func publishFrom(ctx context.Context, w *registry.Writer, root, tsa, tokenFile, reason string) (registry.Stamp, error) {
	digest, err := w.Registry().CommitmentDigest(root)
	if err != nil {
		return registry.Stamp{}, err
	}
	var token []byte
	if tokenFile != "" {
		token, err = readStamp(tokenFile)
	} else {
		token, err = requestStamp(ctx, tsa, digest)
	}
	if err != nil {
		return registry.Stamp{}, err
	}
	return w.Publish(root, token, reason)
}

type committed struct {
	Root   string          `json:"root"`
	File   string          `json:"file"`
	Leaves int             `json:"leaves"`
	Stamp  *registry.Stamp `json:"stamp,omitempty"`
}

func (a *app) showCommitted(r *committed) error {
	if a.asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "root       %s\ncommitment %s, %d leaves\n", r.Root, r.File, r.Leaves)
	var err error
	if r.Stamp == nil {
		_, err = fmt.Fprintf(a.out, "timestamp  none: until it is published its keys stay exploratory\n")
	} else {
		_, err = fmt.Fprintf(a.out, "timestamp  %s by %s, in %s.tsr\n", r.Stamp.Time.Format(time.RFC3339), printable(r.Stamp.Authority), r.File)
	}
	return err
}

func (a *app) registryCommitCommand() *cobra.Command {
	var s registryStep
	var tsa, labelsFile string
	c := &cobra.Command{
		Use:   "commit DIR [KEY…]",
		Short: "commit to planned keys under one Merkle root, before they are served",
		Long: `Writes one commitment over the given keys, or over all planned keys, decoys included,
that are in none yet: a salted leaf for each, in the order of their hashes, which says
nothing about them. With --labels (CSV or JSON lines, as for "watermark identify")
every master key among them also commits to the subkeys of the labels.

The file can be published. With --tsa an RFC 3161 authority timestamps it at once;
otherwise do that later with "publish". Only a timestamp earlier than serving makes
what is served under a key exact evidence. It binds keys, not what an audit will ask under
them: what E2 to E6 ask is listed by "key commit --suite" or "corpora plant".`,
		Example: "  stillmark key registry commit keys --tsa https://tsa.example/tsr",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var labels []string
			if labelsFile != "" {
				var err error
				if labels, _, err = loadLabels(labelsFile); err != nil {
					return err
				}
			}
			var out committed
			err := s.write(args[0], func(w *registry.Writer) error {
				commitment, err := w.Commit(args[1:], labels, s.reason)
				if err != nil {
					return err
				}
				out = committed{Root: commitment.Root, File: w.Registry().CommitmentPath(commitment.Root), Leaves: len(commitment.Leaves)}
				if tsa == "" {
					return nil
				}
				stamp, err := publishFrom(c.Context(), w, out.Root, tsa, "", s.reason)
				if err != nil {
					return fmt.Errorf("the commitment %s is in the registry and not published (go on with: stillmark key registry publish %s %s --tsa URL): %w", out.Root, args[0], out.Root, err)
				}
				out.Stamp = &stamp
				return nil
			})
			if err != nil {
				return err
			}
			return a.showCommitted(&out)
		},
	}
	s.bind(c, "committed before serving")
	c.Flags().StringVar(&tsa, "tsa", "", "URL of an RFC 3161 timestamping authority")
	c.Flags().StringVar(&labelsFile, "labels", "", "CSV or JSON lines of labels whose subkeys are committed to as well")
	return c
}

func (a *app) registryPublishCommand() *cobra.Command {
	var s registryStep
	var tsa, token string
	c := &cobra.Command{
		Use:   "publish DIR ROOT --tsa URL|--token FILE",
		Short: "enter a third party's timestamp over a commitment",
		Long: `Asks an RFC 3161 authority for a timestamp over the commitment's file, or takes a
token that was made elsewhere (openssl ts -query -data FILE -sha256 -cert …). The token
must be over that very file; whether its authority is trusted is asked when a case is
verified.`,
		Example: "  stillmark key registry publish keys 4033b0dc… --token commitment.tsr",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var out committed
			err := s.write(args[0], func(w *registry.Writer) error {
				commitment, err := findCommitment(w.Registry(), args[1])
				if err != nil {
					return err
				}
				stamp, err := publishFrom(c.Context(), w, commitment.Root, tsa, token, s.reason)
				out = committed{commitment.Root, w.Registry().CommitmentPath(commitment.Root), commitment.Leaves, &stamp}
				return err
			})
			if err != nil {
				return err
			}
			return a.showCommitted(&out)
		},
	}
	s.bind(c, "timestamped")
	c.Flags().StringVar(&tsa, "tsa", "", "URL of an RFC 3161 timestamping authority")
	c.Flags().StringVar(&token, "token", "", "file of a token (DER), alone or in the authority's response")
	c.MarkFlagsOneRequired("tsa", "token")
	c.MarkFlagsMutuallyExclusive("tsa", "token")
	return c
}

// findCommitment finds a root by its beginning.
func findCommitment(r *registry.Registry, root string) (*registry.Commitment, error) {
	var found []*registry.Commitment
	for _, c := range r.Commitments() {
		if len(root) >= 4 && strings.HasPrefix(c.Root, strings.TrimSuffix(root, "…")) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d commitments begin with %q: %w", len(found), root, registry.ErrUnknown)
	}
	return found[0], nil
}

func (a *app) registryStateCommand() *cobra.Command {
	var s registryStep
	var at string
	var m registry.Move
	c := &cobra.Command{
		Use:   "state DIR KEY serving|retired|disclosed --reason TEXT",
		Short: "take a key to its next state: planned, serving, retired, disclosed",
		Long: `Takes a key forward; nothing is ever taken back. KEY is an id or its beginning.

serving needs a commitment that was published earlier: otherwise nothing served under
the key can be exact evidence, which --exploratory accepts and the log says for good.
One key at a time serves a cohort of a model: --replaces retires the one before at the
same moment. retired ends serving. disclosed means that others know the secret, by a
disclosure or a leak: it ends serving, too, and the mark can be forged from then on.

--at schedules a step, or enters a past one late; the log keeps both times.`,
		Example: `  stillmark key registry state keys 0d2594c9 serving --reason "winter release is live"
  stillmark key registry state keys 77aa serving --replaces 0d25 --at 2027-03-01T00:00:00Z --reason "spring release"
  stillmark key registry state keys 0d25 disclosed --reason "case acme-nova"`,
		Args: cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error {
			m.To, m.Reason = registry.State(args[2]), s.reason
			if !slices.Contains(registry.States(), m.To) {
				var names []string
				for _, s := range registry.States() {
					names = append(names, string(s))
				}
				return usageError(fmt.Errorf("state %q is not known%s", args[2], didYouMean(args[2], names)))
			}
			if m.To != registry.Serving && (m.Exploratory || m.Replaces != "") {
				return usageError(errors.New("--exploratory and --replaces belong to serving"))
			}
			var err error
			if m.At, err = parseTime("--at", at); err != nil {
				return err
			}
			var entry *registry.Entry
			err = s.write(args[0], func(w *registry.Writer) (err error) {
				entry, err = w.Move(args[1], m)
				return err
			})
			var refused *registry.RefusedError
			if m.To == registry.Serving && !m.Exploratory && errors.As(err, &refused) && strings.Contains(refused.Reason, "exact evidence") {
				err = usageError(fmt.Errorf("%w; commit and publish first, or say --exploratory", err))
			}
			if err != nil {
				return err
			}
			return a.showEntries([]*registry.Entry{entry}, time.Now(), nil)
		},
	}
	s.bind(c, "")
	f := c.Flags()
	f.StringVar(&at, "at", "", "when it takes effect (RFC 3339; default now)")
	f.StringVar(&m.Replaces, "replaces", "", "serving: the key that serves until then, and is retired")
	f.BoolVar(&m.Exploratory, "exploratory", false, "serving: accept that it cannot be exact evidence")
	return c
}

// parseTime reads a flag's time; empty is the zero time.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usageError(fmt.Errorf("%s %q is no time such as 2026-12-01T00:00:00Z", flag, s))
	}
	return t, nil
}

// parseTimeOrNow reads a flag's time; empty is now.
func parseTimeOrNow(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	return parseTime(flag, s)
}

// registryRow is what list and state print of a key.
type registryRow struct {
	Key         string         `json:"key"`
	Epoch       string         `json:"epoch"`
	Model       string         `json:"model"`
	Channel     string         `json:"channel"`
	Cohort      string         `json:"cohort"`
	State       registry.State `json:"state"` // at the time asked for
	Decoy       bool           `json:"decoy"`
	Added       time.Time      `json:"added"`
	Serving     time.Time      `json:"serving,omitzero"`
	Retired     time.Time      `json:"retired,omitzero"`
	Disclosed   time.Time      `json:"disclosed,omitzero"`
	Exploratory string         `json:"exploratory,omitempty"`
	Commitments []string       `json:"commitments"`
}

func rowOf(e *registry.Entry, t time.Time) registryRow {
	r := registryRow{
		Key: e.Key.ID, Epoch: e.Key.Epoch, Model: e.Key.Model, Channel: e.Key.Channel, Cohort: e.Key.Label, State: e.State(t), Decoy: e.Decoy,
		Added: e.Added, Serving: e.Serving, Retired: e.Retired, Disclosed: e.Disclosed, Exploratory: e.Exploratory, Commitments: e.Roots,
	}
	if r.Commitments == nil {
		r.Commitments = []string{}
	}
	return r
}

// notes are what a line of the list says beside the state.
func (r *registryRow) notes(t time.Time) string {
	var notes []string
	if r.Decoy {
		notes = append(notes, "decoy")
	}
	for _, step := range []struct {
		state registry.State
		at    time.Time
	}{{registry.Serving, r.Serving}, {registry.Retired, r.Retired}, {registry.Disclosed, r.Disclosed}} {
		switch {
		case step.at.IsZero():
		case step.at.After(t):
			notes = append(notes, fmt.Sprintf("%s from %s", step.state, step.at.Format(time.RFC3339)))
		case step.state == r.State:
			notes = append(notes, "since "+step.at.Format(time.RFC3339))
		}
	}
	switch {
	case r.Exploratory != "":
		notes = append(notes, "exploratory: "+r.Exploratory)
	case len(r.Commitments) == 0 && r.State == registry.Planned:
		notes = append(notes, "not committed")
	case len(r.Commitments) > 0:
		notes = append(notes, "root "+r.Commitments[0][:8])
	}
	return strings.Join(notes, "; ")
}

func (a *app) showEntries(entries []*registry.Entry, t time.Time, output outputFiles) error {
	keys, rows := []registryRow{}, [][]string{{"key", "epoch", "model", "channel", "cohort", "state", "notes"}}
	for _, e := range entries {
		r := rowOf(e, t)
		keys = append(keys, r)
		rows = append(rows, []string{r.Key, r.Epoch, orNone(r.Model), r.Channel, orNone(r.Cohort), string(r.State), r.notes(t)})
	}
	if err := output.write(keys, rows); err != nil {
		return err
	}
	if !a.asJSON {
		return a.table(rows)
	}
	for i := range keys {
		if err := a.printJSON(&keys[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) registryListCommand() *cobra.Command {
	var at string
	var output outputFiles
	c := &cobra.Command{
		Use:     "list DIR",
		Short:   "print all keys with epoch, cohort and state, now or at another time",
		Example: "  stillmark key registry list keys -o keys.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			t, err := parseTimeOrNow("--at", at)
			if err != nil {
				return err
			}
			r, err := loadRegistry(args[0])
			if err != nil {
				return err
			}
			return a.showEntries(r.Entries(), t, output)
		},
	}
	c.Flags().StringVar(&at, "at", "", "time (RFC 3339; default now)")
	output.bind(c.Flags())
	return c
}

func (a *app) registryLookupCommand() *cobra.Command {
	var at string
	var s registry.Slot
	c := &cobra.Command{
		Use:   "lookup DIR --cohort COHORT [--at TIME]",
		Short: "which key serves, or served, a cohort",
		Long: `Prints the key that serves a cohort of a model at a time, past and scheduled ones
included. That no key does is an answer and exits 0 (with --json: "key":null). The
model need not be given where the registry has keys of one only.`,
		Example: "  stillmark key registry lookup keys --cohort cohort-a --at 2026-12-24T18:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := parseTimeOrNow("--at", at)
			if err != nil {
				return err
			}
			r, err := loadRegistry(args[0])
			if err != nil {
				return err
			}
			slots := r.Slots()
			if !c.Flags().Changed("model") && len(slots) > 0 {
				s.Model = slots[0].Model
				if slots[len(slots)-1].Model != s.Model {
					return usageError(fmt.Errorf("the registry has keys of several models: give --model"))
				}
			}
			if !slices.Contains(slots, s) {
				var cohorts []string
				for _, o := range slots {
					cohorts = append(cohorts, o.Cohort)
				}
				return usageError(fmt.Errorf("the registry has no key for %s%s", s, didYouMean(s.Cohort, cohorts)))
			}
			e, ok := r.Serving(s, t)
			if !ok {
				if a.asJSON {
					return a.printJSON(map[string]any{"key": nil})
				}
				_, err := fmt.Fprintf(a.out, "no key serves %s at %s\n", s, t.UTC().Format(time.RFC3339))
				return err
			}
			return a.showEntries([]*registry.Entry{e}, t, nil)
		},
	}
	f := c.Flags()
	f.StringVar(&s.Cohort, "cohort", "", "cohort: the label of its keys (default: keys without one)")
	f.StringVar(&s.Model, "model", "", "model (default: the only one)")
	f.StringVar(&s.Channel, "channel", "text", "what is marked")
	f.StringVar(&at, "at", "", "time (RFC 3339; default now)")
	return c
}

func (a *app) registryLogCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "log DIR",
		Short:   "print the registry's log: every step, when, by whom and why",
		Example: "  stillmark key registry log keys",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := loadRegistry(args[0])
			if err != nil {
				return err
			}
			for _, e := range r.Events() {
				if a.asJSON {
					if err := a.printJSON(e); err != nil {
						return err
					}
					continue
				}
				if _, err := fmt.Fprintln(a.out, printable(logLine(e))); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func logLine(e *registry.Event) string {
	what := string(e.Kind)
	switch e.Kind {
	case registry.EventAdded:
		what = "added " + strings.Join(e.Keys, ", ")
		if e.Like != "" {
			what += ", decoys of " + e.Like
		}
	case registry.EventCommitted:
		what = fmt.Sprintf("committed %s, root %s, %d leaves", strings.Join(e.Keys, ", "), e.Root, e.Leaves)
	case registry.EventPublished:
		what = fmt.Sprintf("published root %s, timestamped %s by %s", e.Root, e.Stamp.Time.Format(time.RFC3339), e.Stamp.Authority)
	case registry.EventMoved:
		what = fmt.Sprintf("%s %s from %s on", e.Keys[0], e.State, e.At.Format(time.RFC3339))
		if e.Replaces != "" {
			what += ", replaces " + e.Replaces
		}
		if e.Exploratory != "" {
			what += ", exploratory: " + e.Exploratory
		}
	case registry.EventRecovered:
		what = fmt.Sprintf("recovered, %d bytes cut off", e.Torn)
	}
	return fmt.Sprintf("%d  %s  %s (%s: %s)", e.Seq, e.Time.Format(time.RFC3339), what, e.Operator, e.Reason)
}

func (a *app) registryCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "check log, keys, commitments, timestamps and permissions",
		Long: `Reads every file of the registry: the log's chain and every step in it, the key files,
each commitment opened with its keys, each timestamp over its file, and what lies there
besides. Note the head, the hash of the last line, somewhere else: it shows later that
nothing was cut off at the end. Exits 30 if something is not what was written.`,
		Example: "  stillmark key registry check keys",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := loadRegistry(args[0])
			if err != nil {
				return err
			}
			findings := r.Check(verifyStamp)
			grave := 0
			for _, f := range findings {
				mark := "ok  "
				switch {
				case f.Grave:
					mark = "FAIL"
					grave++
				case f.Problem != "":
					mark = "note"
				}
				if a.asJSON {
					err = a.printJSON(f)
				} else if f.Problem == "" {
					_, err = fmt.Fprintf(a.out, "%s  %s\n", mark, printable(f.What))
				} else {
					_, err = fmt.Fprintf(a.out, "%s  %s: %s\n", mark, printable(f.What), printable(f.Problem))
				}
				if err != nil {
					return err
				}
			}
			if grave > 0 {
				return &codedError{codeAltered, fmt.Errorf("%d of %d things in the registry are not what was written", grave, len(findings))}
			}
			return nil
		},
	}
}
