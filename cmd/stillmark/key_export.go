package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
)

func (a *app) keyExportCommand() *cobra.Command {
	var stack, output string
	var reveal, unproven bool
	c := &cobra.Command{
		Use:   "export FILE --for vllm|sglang|tensorrt-llm|hf|json -o FILE",
		Short: "write the key as another stack takes it, so that what it serves is what is verified",
		Long: `Writes the JSON that the stack takes, key included, to a new file (0600), and prints how
it is given, from which version the names were taken and how far the stack's text was
compared with ours. A stack that has nothing that marks as the key does is refused with
the reason: no server has aes-ctr-v1; gumbel and gumbel-dual on philox-v1 are vLLM's.

A master is exported under its own epoch and label: derive the others first. "json" is
our own form, for implementations of your own. With --reveal and -o - the file goes to
standard output. What is not known to mark as we read needs --unproven.

stillmark key import --from STACK:FILE is the way back.`,
		Example: `  stillmark key export key.json --for vllm -o watermark.json
  vllm serve MODEL --watermark-config "$(cat watermark.json)"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(watermark.Stacks(), stack) {
				return usageError(fmt.Errorf("--for %q is not known%s", stack, didYouMean(stack, watermark.Stacks())))
			}
			if (output == "-") != reveal {
				return usageError(errors.New("the export holds the key: standard output needs both -o - and --reveal, a file neither"))
			}
			k, err := loadKey(args[0])
			if err != nil {
				return err
			}
			e, err := k.Export(stack)
			if err != nil {
				return usageError(err)
			}
			if e.Unproven != "" && !unproven {
				return usageError(fmt.Errorf("key %s was not exported for %s: %s (then --unproven)", k.ID, stack, e.Unproven))
			}
			if reveal {
				_, err := a.out.Write(e.Config)
				return err
			}
			if err := watermark.WritePrivate(output, e.Config); err != nil {
				return fmt.Errorf("the export was not written: %w", err)
			}
			return a.showExport(k, e, output)
		},
	}
	f := c.Flags()
	f.StringVar(&stack, "for", "", "stack: "+strings.Join(watermark.Stacks(), ", ")+" (required)")
	f.StringVarP(&output, "output", "o", "", "file to write (required); - with --reveal")
	f.BoolVar(&reveal, "reveal", false, "print the key: with -o - only")
	f.BoolVar(&unproven, "unproven", false, "write what is not known to mark as the key reads")
	c.MarkFlagRequired("for")
	c.MarkFlagRequired("output")
	return c
}

func (a *app) showExport(k *watermark.Key, e *watermark.Export, path string) error {
	e.Use = strings.ReplaceAll(e.Use, "FILE", path)
	if a.asJSON {
		return a.printJSON(struct {
			Key  string `json:"key"`
			File string `json:"file"`
			*watermark.Export
		}{k.ID, path, e})
	}
	fmt.Fprintf(a.out, "exported   %s (%s) for %s, in %s (0600)\nuse        %s\nnames      %s\nchecked    %s\n", k.ID, k.Scheme, e.Stack, path, e.Use, e.Source, e.Checked)
	if e.Unproven != "" {
		fmt.Fprintf(a.out, "unproven   %s\n", e.Unproven)
	}
	var err error
	for _, note := range e.Notes {
		_, err = fmt.Fprintf(a.out, "note       %s\n", note)
	}
	return err
}

// readServed reads a stack's configuration, named as STACK:FILE.
func readServed(from string) (scheme string, params map[string]string, err error) {
	stack, path, ok := strings.Cut(from, ":")
	if !ok || !slices.Contains(watermark.Stacks(), stack) {
		return "", nil, usageError(fmt.Errorf("--from %q is not STACK:FILE%s", from, didYouMean(stack, watermark.Stacks())))
	}
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return "", nil, err
	}
	if scheme, params, err = watermark.ParseServed(stack, data); err != nil {
		return "", nil, usageError(fmt.Errorf("%s: %w", path, err))
	}
	return scheme, params, nil
}
