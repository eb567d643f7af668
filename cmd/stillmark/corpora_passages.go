package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) corporaPassagesCommand() *cobra.Command {
	var o corpora.PassageOptions
	var keyPath, output string
	var tokenizers tokenizerFiles
	c := &cobra.Command{
		Use:   "passages FILE.jsonl|- -o SUITE.jsonl",
		Short: "make a suite of E2 from texts that our own model wrote under its key",
		Long: `Cuts texts of our own model (JSON lines with id and text, as they are logged or
as "watermark generate" writes them) into passages of 256 to 512 tokens of its own
tokenizer, and writes them as a suite of E2, readable by its owner alone: whoever
holds such texts can learn from them what the key prefers.`,
		Example: "  stillmark watermark generate --key key.json -n 1500 --max-tokens 512 -o ours.jsonl\n  stillmark corpora passages ours.jsonl --key key.json -o passages.jsonl\n  stillmark corpora lint passages.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := loadKey(keyPath)
			if err != nil {
				return err
			}
			var enc *tokens.Encoding
			if enc, err = tokenizerOf(k.Spec, &tokenizers); err != nil {
				return err
			}
			o.Tokenizer = enc
			in := io.NopCloser(a.in)
			if args[0] != "-" {
				if in, err = os.Open(args[0]); err != nil {
					return usageError(err)
				}
			}
			defer in.Close()
			suite, count, err := corpora.Passages(in, o)
			if err != nil {
				return usageError(fmt.Errorf("%s: %w", args[0], err))
			}
			if err := watermark.WritePrivate(output, suite); err != nil {
				return usageError(fmt.Errorf("the passages were not written: %w", err))
			}
			if a.asJSON {
				return a.printJSON(struct {
					File string `json:"file"`
					corpora.PassageCount
				}{output, count})
			}
			fmt.Fprintf(a.out, "%s: %d passages; %d texts were too short, %d came before\n", output, count.Passages, count.Short, count.Repeated)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&keyPath, "key", "", "key file of the model that wrote the texts: for its tokenizer")
	f.StringVarP(&output, "output", "o", "", "suite file to write")
	f.StringVar(&o.Name, "name", "passages", "name of the suite")
	f.StringVar(&o.Version, "version", "1", "version of the suite")
	f.StringVar(&o.Lang, "lang", "en", "language of the texts (BCP 47)")
	f.IntVarP(&o.N, "number", "n", 1000, "how many passages, 0 for all")
	tokenizers.bind(f)
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("output")
	return c
}
