package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

func (a *app) verifyCommand() *cobra.Command {
	var trust, roots, keyPaths []string
	var proof string
	var output outputFiles
	var tokenizers tokenizerFiles
	c := &cobra.Command{
		Use:   "verify CASE|ZIP | --proof FILE",
		Short: "check a sealed case offline: completeness, chain, signature, times, every number",
		Long: `Checks a case folder or zip without any network: that every file is there and
unaltered, that the ledger's chain is unbroken, that the plan was sealed before the
data, who signed, and that every number of the report follows from the raw replies.

It ends in one of three states:
  INVALID                 something is wrong; the first failing file is named
  VALID (…)               unaltered, but signed by a key that you did not name (--trust),
                          or timestamps that exact findings rest on were not checked
                          (--tsa-root), or numbers need a key that is withheld (--key),
                          or what a redacted copy lacks
  TRUSTED                 unaltered, signed by a key that you trust, recomputed in full

With --proof it checks, in place of a case, a proof that stillmark case prove wrote: that one
item's lines and raw bytes stood in the ledger when its head was signed.

Exit codes: 0 trusted, 30 altered, 31 bad signature, 32 valid but not trusted, 33 timestamp or plan order, 34 incomplete or newer format, 35 recomputation
differs.`,
		Example: "  stillmark verify case.zip --trust signer.pem.pub --tsa-root tsa.pem",
		Args: func(c *cobra.Command, args []string) error {
			if proof != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			var options verify.Options
			for _, path := range trust {
				keys, err := ledger.LoadPublic(path)
				if err != nil {
					return usageError(err)
				}
				options.Trust = append(options.Trust, keys...)
			}
			for _, path := range roots {
				pem, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if options.TSARoots == nil {
					options.TSARoots = x509.NewCertPool()
				}
				if !options.TSARoots.AppendCertsFromPEM(pem) {
					return usageError(fmt.Errorf("%s holds no PEM certificate", path))
				}
			}
			var err error
			if options.Keys, err = loadKeys(keyPaths); err != nil {
				return err
			}
			if options.Tokenizer, err = tokenizers.opener(); err != nil {
				return err
			}
			options.Program = build()
			var result *verify.Result
			if proof != "" {
				f, err := os.Open(proof)
				if err != nil {
					return err
				}
				defer f.Close()
				data, err := io.ReadAll(io.LimitReader(f, integrity.MaxProof+1)) // more is refused as too large
				if err != nil {
					return err
				}
				result = verify.VerifyProof(data, options)
			} else {
				m := a.newMeter()
				options.Progress = func(stage string, done, total int64) { m.count(stage, int(done), int(total)) }
				result, err = verify.Verify(c.Context(), args[0], options)
				m.clear()
				if err != nil {
					return err
				}
			}
			rows := [][]string{{"level", "code", "check", "file", "detail"}}
			for _, l := range result.Lines {
				rows = append(rows, []string{l.Level, l.Code, l.Check, l.File, l.Detail})
			}
			if err := output.write(result, append(rows, []string{"verdict", string(result.State), "", "", result.Verdict})); err != nil {
				return err
			}
			if a.asJSON {
				err = a.printJSON(result)
			} else {
				err = result.WriteText(a.out)
			}
			if err == nil && result.Exit != 0 {
				err = &codedError{result.Exit, errSilent}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringArrayVar(&trust, "trust", nil, "public key (PEM) of a signer that you trust (repeatable)")
	f.StringArrayVar(&roots, "tsa-root", nil, "root certificate (PEM) of a timestamping authority that you trust (repeatable)")
	f.StringArrayVar(&keyPaths, "key", nil, "key file given to you beside the case, where the case withholds it (repeatable)")
	f.StringVar(&proof, "proof", "", "check a proof of one item in place of a case")
	output.bind(f)
	tokenizers.bind(f)
	return c
}
