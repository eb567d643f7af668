package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// app is what every command shares: where it reads and writes, and how it shows
// results.
type app struct {
	in       io.Reader
	out, err io.Writer

	asJSON   bool
	progress string            // auto, plain, json, none
	config   string            // path of the configuration file
	envFile  string            // path of a file of environment variables
	fromEnv  map[string]string // flags that the environment set, with the variable

	signal atomic.Int32  // the first signal that arrived, 0 if none
	abort  chan struct{} // closed by the second signal
}

// abortGrace is what a command has to wind up after a second signal.
const abortGrace = 2 * time.Second

// run executes one command line and returns the exit code.
func run(args []string, in io.Reader, out, errw io.Writer) int {
	a := &app{in: in, out: out, err: errw, abort: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			number := int32(s.(syscall.Signal))
			if a.signal.CompareAndSwap(0, number) {
				cancel()
				continue
			}
			close(a.abort)
			time.Sleep(abortGrace)
			os.Exit(128 + int(number))
		}
	}()

	root := a.rootCommand()
	usageOfArguments(root)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return a.exit(err)
}

// exit reports an error as one sentence and gives its exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	code := exitCode(err)
	if s := a.signal.Load(); s != 0 && (errors.Is(err, context.Canceled) || code == codeIncomplete) {
		code = 128 + int(s)
		if err == context.Canceled { // nobody said more
			err = errors.New("interrupted; what was written before is kept, nothing is half-written")
		}
	}
	if errors.Is(err, errSilent) {
		return code
	}
	if a.asJSON {
		var body struct {
			Error struct {
				Kind    string `json:"kind"`
				Message string `json:"message"`
			} `json:"error"`
		}
		body.Error.Kind, body.Error.Message = codeName(code), err.Error()
		json.NewEncoder(a.out).Encode(body)
		return code
	}
	fmt.Fprintf(a.err, "stillmark: %s\n", printable(err.Error()))
	return code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "stillmark",
		Short: "tells whether a language model was trained on another model's outputs",
		Long: `stillmark tells whether a language model was trained on another model's outputs,
with p-values that hold in the far tail and a report that the other side can
verify alone.

The way of the data: key -> watermark -> probe plan -> probe run -> analyze ->
report build -> report seal -> verify. See it all at once with "stillmark quickstart".`,
		Example: `  stillmark quickstart
  stillmark watermark detect --key key.json reply.txt
  stillmark verify case.zip --trust signer.pem.pub`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().BoolVar(&a.asJSON, "json", false, "print records as JSON on standard output, errors as {\"error\":{\"kind\",\"message\"}}")
	root.PersistentFlags().StringVar(&a.progress, "progress", "auto", "progress on standard error: auto, plain, json or none")
	root.PersistentFlags().StringVarP(&a.config, "config", "c", "", "configuration file (default stillmark.yaml here, or in $XDG_CONFIG_HOME/stillmark)")
	root.PersistentFlags().StringVar(&a.envFile, "env-file", "", "file of NAME=value lines, readable by nobody else: variables that are not set yet, such as API keys")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(flagHint(c, err))
	})
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if a.envFile == "" {
			a.envFile = os.Getenv("STILLMARK_ENV_FILE")
		}
		if a.envFile != "" {
			if err := loadEnvFile(a.envFile); err != nil {
				return err
			}
		}
		if err := a.flagsFromEnvironment(c); err != nil {
			return err
		}
		if err := cmp.Or(c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
			return usageError(fmt.Errorf("%w (see %s --help)", err, c.CommandPath()))
		}
		switch a.progress {
		case "auto", "plain", "json", "none":
			return nil
		}
		return usageError(fmt.Errorf("--progress %q is none of auto, plain, json, none", a.progress))
	}
	root.AddCommand(
		a.quickstartCommand(),
		a.keyCommand(),
		a.signerCommand(),
		a.watermarkCommand(),
		a.corporaCommand(),
		a.targetCommand(),
		a.probeCommand(),
		a.analyzeCommand(),
		a.reportCommand(),
		a.caseCommand(),
		a.verifyCommand(),
		a.gateCommand(),
		a.mockCommand(),
		a.configCommand(),
		a.doctorCommand(),
		a.versionCommand(),
		exitCodesHelp(),
	)
	return root
}

// group is the action of a command that only holds others: alone it shows its
// help; with an unknown word it says so and names the nearest command.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	var names []string
	for _, child := range c.Commands() {
		names = append(names, child.Name())
	}
	return usageError(fmt.Errorf("unknown command %q for %q%s (see %s --help)", args[0], c.CommandPath(), didYouMean(args[0], names), c.CommandPath()))
}

// holder makes a command that only holds others.
func holder(use, short, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(children...)
	return c
}

// usageOfArguments makes a wrong number of arguments a usage error that points to
// the help, for a command and all below it.
func usageOfArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError(fmt.Errorf("%w (see %s --help)", err, c.CommandPath()))
			}
			return nil
		}
	}
	for _, child := range c.Commands() {
		usageOfArguments(child)
	}
}

// flagHint names the nearest flag when one is unknown.
func flagHint(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w (see %s --help)", plainFlagError(err), c.CommandPath())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("%w%s (see %s --help)", err, didYouMean("--"+unknown.GetSpecifiedName(), names), c.CommandPath())
}

// plainFlagError says of a flag's value what it should be, where the library repeats
// what its parser said.
func plainFlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	what := map[string]string{
		"int": "whole number", "int64": "whole number", "uint64": "whole number from 0 up", "intSlice": "list of whole numbers",
		"float64": "number", "duration": "time such as 90s or 2h", "bool": "true or false",
	}[f.Value.Type()]
	switch {
	case what == "":
		return err
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("--%s %q is out of range", f.Name, invalid.GetValue())
	}
	return fmt.Errorf("--%s %q is no %s", f.Name, invalid.GetValue(), what)
}

// flagsFromEnvironment sets every flag that was not given from
// STILLMARK_<FLAG>, dashes as underscores. STILLMARK_PASSPHRASE is a passphrase
// and not the flag --passphrase.
func (a *app) flagsFromEnvironment(c *cobra.Command) error {
	a.fromEnv = map[string]string{}
	var failed error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name := "STILLMARK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || failed != nil || name == passphraseVariable {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			failed = usageError(fmt.Errorf("environment variable %s: %w", name, plainFlagError(err)))
			return
		}
		a.fromEnv[f.Name] = name
	})
	return failed
}

// terminal reports whether w is a terminal that may be coloured: colour and
// moving progress lines appear there only, and not under NO_COLOR.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// print writes v as one JSON record.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printable makes hostile text safe for a terminal: control characters (C0,
// C1, bidirectional overrides) are shown as escapes.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
