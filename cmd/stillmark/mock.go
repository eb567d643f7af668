package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) mockCommand() *cobra.Command {
	var (
		scriptPath, keyPath, keyEnv string
		port                        int
		seed                        uint64
	)
	c := &cobra.Command{
		Use:   "mock [--key FILE] [--script FILE]",
		Short: "serve reference models over an OpenAI-compatible API on 127.0.0.1, with scripted faults",
		Long: `Serves n-gram models on 127.0.0.1 until it is interrupted: "reference", which never
saw the key, and with --key "teacher", which marks its replies under it, and "student",
which was trained on the teacher's. A script (JSON) makes the server misbehave: status codes, dropped streams,
hangs, garbage, another model, servers without seeds or log-probabilities.`,
		Example: `  stillmark mock --key key.json --port 8461
  echo '{"faults":[{"kind":"status","status":429,"header":{"Retry-After":"2"},"at":[3]}]}' > faults.json
  stillmark mock --script faults.json`,
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
	f.StringVar(&scriptPath, "script", "", "JSON file of faults and personalities")
	f.StringVar(&keyPath, "key", "", "key file: also serve a teacher that marks its replies under it, and its student")
	f.StringVar(&keyEnv, "api-key-env", "", "environment variable with the bearer token that requests must carry")
	f.IntVar(&port, "port", 8461, "port on 127.0.0.1, 0 for a free one")
	f.Uint64Var(&seed, "seed", 1, "seed of the models")
	return c
}
