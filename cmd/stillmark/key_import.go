package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
)

func (a *app) keyImportCommand() *cobra.Command {
	var (
		output, pattern, from string
		spec                  watermark.Spec
		params                []string
	)
	c := &cobra.Command{
		Use:   "import --scheme NAME --param K=V…|--from STACK:FILE --vocab N -o FILE",
		Short: "write a key file for the watermark of another stack (vLLM, Hugging Face, SynthID, …)",
		Long: `Writes the parameters and keys that another stack marks with as a key file, so that its
text can be scored, and where it is cheap marked, here. "stillmark watermark schemes"
lists the schemes with their parameters; what is not given gets that stack's default.

--vocab is the width of the model's logits, not the length of the tokenizer: green
lists are permutations of it. Without a tokenizer only token ids can be scored
(--ids). A --param value may hold commas.

With --from the scheme and its parameters are read from the configuration that the
stack is served with: vllm:FILE, sglang:FILE, tensorrt-llm:FILE or hf:FILE.`,
		Example: `  stillmark key import --scheme vllm-gumbel --param key=0x1f3a9c5e77d20b44 --param context_width=4 --vocab 128256 -o v.json
  stillmark key import --scheme hf-synthid --param keys=654,400,836 --param ngram_len=5 --vocab 256000 -o s.json
  stillmark key import --from vllm:watermark.json --tokenizer cl100k -o v.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			given, err := parseParams(params)
			if err != nil {
				return usageError(err)
			}
			if from != "" {
				if spec.Scheme, given, err = readServed(from); err != nil {
					return err
				}
			}
			if _, ok := watermark.PresetByName(spec.Scheme); !ok {
				return usageError(fmt.Errorf("scheme %q is no scheme of another stack%s", spec.Scheme, didYouMean(spec.Scheme, watermark.PresetNames())))
			}
			if spec.Tokenizer != "" {
				enc, err := openTokenizer(spec.Tokenizer, pattern)
				if err != nil {
					return err
				}
				spec.Tokenizer, spec.TokenizerSHA256 = enc.Name(), enc.SHA256()
				if spec.Vocab == 0 {
					spec.Vocab = enc.VocabSize()
				}
			}
			if spec.Vocab == 0 {
				return usageError(errors.New("--vocab is needed: the width of the model's logits"))
			}
			k, err := watermark.Import(spec, given, rand.Reader)
			var unknown *watermark.UnknownParamError
			if errors.As(err, &unknown) {
				return usageError(fmt.Errorf("%s has no parameter %q%s", unknown.Scheme, unknown.Name, didYouMean(unknown.Name, unknown.Known)))
			}
			if err != nil {
				return usageError(err)
			}
			if err := k.Save(output); err != nil {
				return fmt.Errorf("the key was not written: %w", err)
			}
			for _, w := range k.Warnings() {
				fmt.Fprintf(a.err, "stillmark: warning: %s\n", w)
			}
			return a.showKey(k, output)
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "file to write (required)")
	f.StringVar(&spec.Scheme, "scheme", "", "scheme of the other stack")
	f.StringVar(&from, "from", "", "configuration of the other stack, as STACK:FILE")
	f.StringArrayVar(&params, "param", nil, "a parameter as NAME=VALUE (repeatable)")
	f.IntVar(&spec.Vocab, "vocab", 0, "width of the model's logits (default: the tokenizer's)")
	f.StringVar(&spec.Tokenizer, "tokenizer", "", "tokenizer of the marked model: "+tokenizerUsage+"; without one only token ids can be scored")
	f.StringVar(&pattern, "pattern", "", patternUsage)
	f.StringVar(&spec.Model, "model", "", "name of the marked model")
	f.StringVar(&spec.Epoch, "epoch", "1", "period of the key")
	f.StringVar(&spec.Label, "label", "", "account or cohort")
	c.MarkFlagRequired("output")
	c.MarkFlagsOneRequired("scheme", "from")
	c.MarkFlagsMutuallyExclusive("scheme", "from")
	c.MarkFlagsMutuallyExclusive("param", "from")
	return c
}

// parseParams reads NAME=VALUE arguments.
func parseParams(list []string) (map[string]string, error) {
	params := map[string]string{}
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" || value == "" {
			return nil, errors.New("--param must be NAME=VALUE") // not repeated: it may hold a key
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("--param %s is given twice", name)
		}
		params[name] = value
	}
	return params, nil
}
