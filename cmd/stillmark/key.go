package main

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) keyCommand() *cobra.Command {
	return holder("key", "watermark keys: draw, show, derive per cohort, commit before serving, keep in a registry",
		"  stillmark key new -o key.json --scheme gumbel --tokenizer cl100k --model nova\n  stillmark key commit key.json --tsa https://tsa.example/tsr",
		a.keyNewCommand(), a.keyImportCommand(), a.keyShowCommand(), a.keyDeriveCommand(), a.keyCommitCommand(), a.keyExportCommand(), a.keyRegistryCommand())
}

func (a *app) keyNewCommand() *cobra.Command {
	var (
		output, servingFrom, pattern string
		spec                         watermark.Spec
		marks, selfHash, withPrompt  bool
	)
	c := &cobra.Command{
		Use:   "new -o FILE",
		Short: "draw a key and write it with its whole specification (0600)",
		Long: `Draws 32 random bytes and writes them with everything that embedding and detection
must agree on: scheme, pseudo-random function, parameters, tokenizer with its
hash, vocabulary width, model, epoch and label. An existing file is never
overwritten. Where the tokenizer is a file, detection must be given the same file
(and pattern). A .tiktoken file lists no special tokens, and models may pad their
logits: give --vocab where the model's logits are wider.

Schemes: gumbel (strongest per token, leaves the distribution unchanged over the
key), kgw (a bias on a keyed green list, works at temperature 0), tournament
(SynthID's tournament with independent layers), gumbel-dual (gumbel under two keys, for
speculative decoding). A key of scheme canary marks no text: it draws the secrets of
probes with planted canaries (see stillmark corpora plant), and takes --model,
--epoch, --label and --serving-from only.

With --tracing-share S the key has two channels: a keyed coin gives each window, with
probability S, to the tracing key of an account, else to this key, which all accounts
share. Text then says whose model it is and whose account it was for, each channel with
the tokens of its share. Accounts' keys are derived with "key derive --account"; one of
them disclosed shows neither this key nor another account's.`,
		Example: "  stillmark key new -o key.json --scheme kgw --tokenizer o200k --model nova --epoch 2026-11 --label cohort-a",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if servingFrom != "" {
				var err error
				if spec.ServingFrom, err = time.Parse(time.RFC3339, servingFrom); err != nil {
					return usageError(fmt.Errorf("--serving-from %q is no time such as 2026-12-01T00:00:00Z", servingFrom))
				}
			}
			if spec.Scheme == watermark.Canary {
				return a.newCanary(c, spec, output)
			}
			if _, preset := watermark.PresetByName(spec.Scheme); preset {
				return usageError(fmt.Errorf("%s is a scheme of another stack: take its key over with stillmark key import --scheme %s", spec.Scheme, spec.Scheme))
			}
			if !slices.Contains(watermark.NativeSchemes(), spec.Scheme) {
				return usageError(fmt.Errorf("scheme %q is not known%s", spec.Scheme, didYouMean(spec.Scheme, newSchemes())))
			}
			if selfHash {
				spec.Params.Seeding = watermark.SelfHash
			}
			if withPrompt {
				spec.Params.Contexts = watermark.WithPrompt
			}
			if spec.Params.Leaves == 2 {
				spec.Params.Leaves = 0 // the form in which two are written
			}
			enc, err := openTokenizer(spec.Tokenizer, pattern)
			if err != nil {
				return err
			}
			spec.Tokenizer, spec.TokenizerSHA256 = enc.Name(), enc.SHA256()
			if spec.Vocab == 0 {
				spec.Vocab = enc.VocabSize()
			}
			if marks {
				spec.Params.Repeats = watermark.MarkRepeats
			}
			k, err := watermark.NewKey(spec, rand.Reader)
			if err != nil {
				return usageError(err)
			}
			if err := k.Save(output); err != nil {
				return fmt.Errorf("the key was not written: %w", err)
			}
			return a.showKey(k, output)
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "key.json", "file to write")
	f.StringVar(&spec.Scheme, "scheme", watermark.Gumbel, "scheme: "+strings.Join(newSchemes(), ", "))
	f.StringVar(&spec.PRF, "prf", watermark.AESCTR, "pseudo-random function: "+strings.Join(watermark.PRFs(), ", "))
	f.StringVar(&spec.Tokenizer, "tokenizer", "cl100k", "tokenizer of the marked model: "+tokenizerUsage)
	f.StringVar(&pattern, "pattern", "", patternUsage)
	f.IntVar(&spec.Vocab, "vocab", 0, "width of the model's logits (default: the tokenizer's)")
	f.StringVar(&spec.Model, "model", "", "name of the marked model")
	f.StringVar(&spec.Channel, "channel", "text", "what is marked")
	f.StringVar(&spec.Epoch, "epoch", "1", "period of the key")
	f.StringVar(&spec.Label, "label", "", "account or cohort")
	f.StringVar(&servingFrom, "serving-from", "", "promise, committed to, that nothing is served under the key before this time (RFC 3339)")
	f.IntVar(&spec.Params.Window, "window", 2, "tokens in a context window")
	f.Float64Var(&spec.Params.Gamma, "gamma", 0, "kgw: share of green words (default 0.25)")
	f.Float64Var(&spec.Params.Delta, "delta", 0, "kgw: what green logits gain, in nats (default 2)")
	f.BoolVar(&selfHash, "self-hash", false, "kgw: let a token's colour depend on one anchor among the window's tokens (min-hash)")
	f.IntVar(&spec.Params.Leaves, "leaves", 2, "tournament: draws that meet in a match")
	f.Float64Var(&spec.Params.Alpha, "alpha", 0, "gumbel-dual: share of the second key (default 0.1)")
	f.Float64Var(&spec.Params.Tracing, "tracing-share", 0, "two channels: share of windows that tracing keys of accounts mark, such as 0.5")
	f.BoolVar(&withPrompt, "with-prompt", false, "let the first windows of a reply reach back into the prompt")
	f.BoolVar(&marks, "mark-repeats", false, "mark positions whose window occurred before in the reply, too")
	return c
}

// newSchemes lists what a fresh key can be made for.
func newSchemes() []string { return append(watermark.NativeSchemes(), watermark.Canary) }

// newCanary draws a key that marks no text. A flag about text that was given is
// a mistake, not a wish to be ignored.
func (a *app) newCanary(c *cobra.Command, spec watermark.Spec, output string) error {
	var wrong error
	c.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains([]string{"output", "scheme", "model", "epoch", "label", "serving-from"}, f.Name) && c.LocalNonPersistentFlags().Lookup(f.Name) != nil {
			wrong = usageError(fmt.Errorf("--%s has no meaning for a canary key, which marks no text", f.Name))
		}
	})
	if wrong != nil {
		return wrong
	}
	k, err := watermark.NewKey(watermark.Spec{
		Scheme: watermark.Canary, Model: spec.Model, Epoch: spec.Epoch, Label: spec.Label, ServingFrom: spec.ServingFrom,
	}, rand.Reader)
	if err != nil {
		return usageError(err)
	}
	if err := k.Save(output); err != nil {
		return fmt.Errorf("the key was not written: %w", err)
	}
	return a.showKey(k, output)
}

// loadKey reads a key file; its errors are the user's to mend.
func loadKey(path string) (*watermark.Key, error) {
	k, err := watermark.LoadKey(path)
	if err != nil {
		return nil, usageError(err)
	}
	return k, nil
}

func (a *app) keyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "print a key's specification and id, never its secret",
		Example: "  stillmark key show key.json --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := loadKey(args[0])
			if err != nil {
				return err
			}
			return a.showKey(k, args[0])
		},
	}
}

func (a *app) showKey(k *watermark.Key, path string) error {
	if a.asJSON {
		return a.printJSON(struct {
			ID       string         `json:"id"`
			Kind     watermark.Kind `json:"kind"`
			File     string         `json:"file"`
			Spec     watermark.Spec `json:"spec"`
			Public   bool           `json:"public_key,omitempty"`
			Warnings []string       `json:"warnings,omitempty"`
		}{k.ID, k.Kind, path, k.Spec, k.Published(), k.Warnings()})
	}
	fmt.Fprintf(a.out, "key        %s (%s, in %s)\nscheme     %s on %s", k.ID, k.Kind, path, k.Scheme, k.PRF)
	if k.Scheme != watermark.Canary {
		fmt.Fprintf(a.out, ", window %d", k.Params.Window)
	}
	if !k.Params.Preset.IsZero() {
		fmt.Fprintf(a.out, ", %s", k.Params.Preset)
	}
	if k.Scheme == watermark.KGW {
		fmt.Fprintf(a.out, ", gamma %v, delta %v", k.Params.Gamma, k.Params.Delta)
	}
	if k.Scheme != watermark.Canary {
		fmt.Fprintf(a.out, "\ntokenizer  %s, vocabulary %d", orNone(k.Tokenizer), k.Vocab)
	}
	fmt.Fprintf(a.out, "\nmodel      %s\nepoch      %s\nlabel      %s\n", orNone(k.Model), k.Epoch, orNone(k.Label))
	if k.Params.Tracing > 0 {
		channel := fmt.Sprintf("provenance, beside accounts' tracing keys with a share of %v", k.Params.Tracing)
		if k.Account != "" {
			channel = fmt.Sprintf("tracing of account %s, a share of %v", printable(k.Account), k.Params.Tracing)
		}
		fmt.Fprintf(a.out, "channel    %s\n", channel)
	}
	if !k.ServingFrom.IsZero() {
		fmt.Fprintf(a.out, "serving    not before %s\n", k.ServingFrom.Format(time.RFC3339))
	}
	if k.Published() {
		fmt.Fprintf(a.out, "warning    %s\n", watermark.PublicKeyWarning)
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable(s)
}

func (a *app) keyDeriveCommand() *cobra.Command {
	var output, label, account, epoch string
	c := &cobra.Command{
		Use:   "derive FILE --label LABEL|--account ACCOUNT -o FILE",
		Short: "write the key of one cohort, account or epoch: it holds the derived subkey only",
		Long: `Writes a key file that can mark and detect under one label and epoch and gives away
neither the master key nor any other label's subkey. Of a key with two channels,
--account writes the tracing key of an account.`,
		Example: "  stillmark key derive key.json --label account-17 -o account-17.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := loadKey(args[0])
			if err != nil {
				return err
			}
			if epoch == "" {
				epoch = k.Epoch
			}
			derive := func() (*watermark.Key, error) { return k.Derive(label, epoch) }
			if account != "" {
				derive = func() (*watermark.Key, error) { return k.DeriveAccount(account, epoch) }
			}
			derived, err := derive()
			if err != nil {
				return usageError(err)
			}
			if err := derived.Save(output); err != nil {
				return fmt.Errorf("the key was not written: %w", err)
			}
			return a.showKey(derived, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "file to write (required)")
	c.Flags().StringVar(&label, "label", "", "account or cohort")
	c.Flags().StringVar(&account, "account", "", "account, of a key with two channels")
	c.Flags().StringVar(&epoch, "epoch", "", "period (default: that of the key)")
	c.MarkFlagRequired("output")
	c.MarkFlagsOneRequired("label", "account")
	c.MarkFlagsMutuallyExclusive("label", "account")
	return c
}

func (a *app) keyCommitCommand() *cobra.Command {
	var output, tsa string
	var labels, names []string
	var listing listFlags
	var number int
	c := &cobra.Command{
		Use:   "commit FILE [--label LABEL…] [--suite NAME…]",
		Short: "commit to a key before serving: a salted hash that can be published",
		Long: `Writes a commitment: the Merkle root over one salted leaf per subkey. It gives
nothing away and binds the key with its whole specification. Labels of a key with two
channels are its accounts.

With --tsa an RFC 3161 authority timestamps the file, and the token is written
beside it (FILE.tsr). A key counts as exact evidence only if that time is earlier
than the first token served under the key and than the first reply collected from
a rival: commit first, serve afterwards.

That is half of it: who knows key and answers can choose what is asked. --suite lists
prompts, of their number -n, which gives nothing away either; what E2 to E6 ask reaches the
exact tier only if it was listed, and a result of E1 says if it was not. Of what corpora
plant draws, its own commitment holds the list already.`,
		Example: "  stillmark key commit key.json --suite longform-en -n 200 -o key.commitment.json --tsa https://tsa.example/tsr",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := loadKey(args[0])
			if err != nil {
				return err
			}
			commitment, err := k.Commit(labels...)
			if err == nil {
				err = bindSuites(commitment, k, labels, names, number, &listing)
			}
			if err != nil {
				return usageError(err)
			}
			if output == "" {
				output = strings.TrimSuffix(args[0], ".json") + ".commitment.json"
			}
			stamp, err := writeCommitment(c.Context(), output, commitment, tsa)
			if err != nil {
				return err
			}
			record := struct {
				Root   string `json:"root"`
				File   string `json:"file"`
				Stamp  string `json:"stamp,omitempty"`
				Leaves int    `json:"leaves"`
				Lists  int    `json:"lists"`
			}{Root: commitment.Root, File: output, Stamp: stamp, Leaves: len(commitment.Leaves), Lists: len(commitment.Lists)}
			if a.asJSON {
				return a.printJSON(record)
			}
			fmt.Fprintf(a.out, "root       %s\ncommitment %s, %d leaves\n", record.Root, record.File, record.Leaves)
			switch listed := listedPrompts(commitment); {
			case listed != "":
				fmt.Fprintf(a.out, "listed     %s\n", listed)
			case k.Scheme == watermark.Canary:
				fmt.Fprintln(a.out, "listed     nothing: what is asked under a canary key stays exploratory (give --suite)")
			}
			if record.Stamp == "" {
				fmt.Fprintln(a.out, "timestamp  none: without one the key stays exploratory (give --tsa)")
			} else {
				fmt.Fprintf(a.out, "timestamp  %s\n", record.Stamp)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "file to write (default FILE.commitment.json)")
	c.Flags().StringVar(&tsa, "tsa", "", "URL of an RFC 3161 timestamping authority")
	c.Flags().StringArrayVar(&labels, "label", nil, "labels to commit to besides the key's own (repeatable)")
	c.Flags().IntVarP(&number, "number", "n", 0, "prompts to list of every suite, 0 for all")
	c.Flags().StringArrayVar(&names, "suite", nil, "suite to list for every key that is committed to: a name, a file or a folder (repeatable)")
	listing.bind(c.Flags())
	listing.bindCuts(c.Flags())
	return c
}

// bindSuites lists suites for the key and those that it derives for labels.
func bindSuites(c *watermark.Commitment, k *watermark.Key, labels, names []string, n int, o *listFlags) error {
	var suites []*corpora.Suite
	for _, name := range names {
		found, err := loadSuites(name)
		if err != nil {
			return err
		}
		suites = append(suites, found...)
	}
	keys := []*watermark.Key{k}
	for _, label := range labels {
		d, err := k.DeriveFor(label)
		if err != nil {
			return err
		}
		keys = append(keys, d)
	}
	for _, key := range keys {
		lists, err := o.lists(key, suites, n, nil)
		if err == nil {
			err = c.Bind(lists...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
