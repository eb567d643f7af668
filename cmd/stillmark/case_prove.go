package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

func (a *app) caseProveCommand() *cobra.Command {
	var out string
	var bare bool
	c := &cobra.Command{
		Use:   "prove CASE ITEM -o FILE",
		Short: "write a small proof that one reply stood in the signed ledger",
		Long: `Writes a file that shows what was asked and answered of one item, with the lines of
the ledger, their audit paths (RFC 6962) to a signed checkpoint, and the checkpoint's
timestamp where it has one. Whoever has it checks it without the case:
  stillmark verify --proof FILE --trust signer.pem.pub
The raw bytes of request, response and headers are in it, with the salts that open
their hashes; --bare leaves them out. An item is target/suite/prompt/sample, as stillmark
case events prints it. The case is a sealed one, a folder or a zip.`,
		Example: "  stillmark case prove case.zip acme-nova-1/longform-en/w-letter-9f31/0 -o reply.proof.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := integrity.Open(args[0])
			if err != nil {
				return err
			}
			defer p.Close()
			sealed, err := integrity.Check(p)
			if err != nil {
				return fmt.Errorf("nothing was proven: %w", err)
			}
			proof, err := sealed.Prove(args[1], bare)
			if err != nil {
				return usageError(err)
			}
			data, err := proof.Encode()
			if err != nil {
				return err
			}
			if err := ledger.WriteNewFile(out, data, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "%s: %d events of %s\n", out, len(proof.Events), printable(proof.Item))
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "file of the proof (required)")
	c.Flags().BoolVar(&bare, "bare", false, "leave out the raw bytes")
	c.MarkFlagRequired("out")
	return c
}
