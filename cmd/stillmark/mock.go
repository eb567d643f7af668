package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) mockCommand() *cobra.Command {
	var (
		scriptPath, keyPath, keyEnv string
		port                        int
		seed, planSeed              uint64
		suites                      []string
		labeller                    bool
	)
	c := &cobra.Command{
		Use:   "mock [--key FILE] [--script FILE]",
		Short: "serve reference models over an OpenAI-compatible API on 127.0.0.1, with scripted faults",
		Long: `Serves n-gram models on 127.0.0.1 until it is interrupted: "reference", which never
saw the key, and with --key "teacher", which marks its replies under it, and "student",
which was trained on the teacher's; with --labeller also "labeller", a scripted judge
(probe plan --judge) that errs in a twentieth of its answers. A script (JSON) makes the
server misbehave: status codes, dropped streams, hangs, garbage, another model, servers
without seeds or log-probabilities.

A model of the script with "persona" is a scripted one, which answers the prompts of
suites as their families read them, with errors, tastes and a style of its own: a smoke
set can be rehearsed on a few of them. Its members, all optional: vendor (what it says of
its maker; else its name), school (models of one share errors and tastes), ability (0.6:
the chance that it knows an item of middling difficulty), teacher (another persona) with
transfer (the share of items on which it answers as that one does), impostor (the share
of replies about itself in which it claims to be of impostor_vendor), tokenizer (models
of one count tokens alike), speaks (the language in which it speaks of itself), moulds
(true: all prose is made from a few sentences), boundary (rungs by which it refuses
later). Personas know the prompts of --suite as a plan with --seed draws them.`,
		Example: `  stillmark mock --key key.json --port 8461
  echo '{"faults":[{"kind":"status","status":429,"header":{"Retry-After":"2"},"at":[3]}]}' > faults.json
  stillmark mock --script faults.json
  echo '{"models":{"ours":{"persona":{}},"rival":{"persona":{"teacher":"ours","transfer":0.5}}}}' > cast.json
  stillmark mock --script cast.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var key *watermark.Key
			var err error
			if keyPath != "" {
				if key, err = loadKey(keyPath); err != nil {
					return err
				}
			}
			options := mock.Options{Seed: seed}
			if scriptPath != "" {
				if options.Script, err = mock.LoadScript(scriptPath); err != nil {
					return usageError(err)
				}
			}
			if keyEnv != "" {
				if options.APIKey = os.Getenv(keyEnv); options.APIKey == "" {
					return usageError(fmt.Errorf("environment variable %s is empty", keyEnv))
				}
			}
			if options.Models, err = trial.MockModels(seed, key); err != nil {
				return err
			}
			if labeller {
				options.Models["labeller"] = trial.Labeller(seed)
			}
			if err := addPersonas(&options, suites, planSeed); err != nil {
				return err
			}
			server, err := mock.New(options)
			if err != nil {
				return usageError(err)
			}
			if err := server.Start(port); err != nil {
				return &codedError{codeUnreached, fmt.Errorf("the server did not start: %w", err)}
			}
			names := make([]string, 0, len(options.Models))
			for name := range options.Models {
				names = append(names, name)
			}
			slices.Sort(names)
			fmt.Fprintf(a.err, "serving %s at %s until interrupted\n", strings.Join(names, ", "), server.URL())
			<-c.Context().Done()
			return server.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&scriptPath, "script", "", "JSON file of faults, personalities and personas")
	f.StringArrayVar(&suites, "suite", nil, "suite that personas know: a name, a file or a folder (repeatable; default: all embedded ones that no key draws)")
	f.Uint64Var(&planSeed, "plan-seed", 1, "the plan's --seed, which decides in what order a prompt shows its options")
	f.StringVar(&keyPath, "key", "", "key file: also serve a teacher that marks its replies under it, and its student")
	f.StringVar(&keyEnv, "api-key-env", "", "environment variable with the bearer token that requests must carry")
	f.BoolVar(&labeller, "labeller", false, "also serve a scripted judge")
	f.IntVar(&port, "port", 8461, "port on 127.0.0.1, 0 for a free one")
	f.Uint64Var(&seed, "seed", 1, "seed of the models")
	return c
}

// addPersonas puts the scripted models of the script behind the server.
func addPersonas(options *mock.Options, names []string, planSeed uint64) error {
	if options.Script == nil || !slices.ContainsFunc(slices.Collect(maps.Values(options.Script.Models)), func(p mock.Personality) bool { return p.Persona != nil }) {
		return nil
	}
	if len(names) == 0 {
		for _, card := range corpora.List() {
			if card.Draws == 0 {
				names = append(names, card.Name)
			}
		}
	}
	var known []probe.PlanSuite
	for _, name := range names {
		suites, err := loadSuites(name)
		if err != nil {
			return err
		}
		for _, s := range suites {
			drawn, err := probe.ExpandSuite(s, planSeed, 0)
			if err != nil {
				return usageError(err)
			}
			known = append(known, drawn)
		}
	}
	models, err := trial.Personas(options.Seed, options.Script, known)
	if err != nil {
		return err
	}
	maps.Copy(options.Models, models)
	return nil
}
