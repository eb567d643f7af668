package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/repro"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) reportCommand() *cobra.Command {
	return holder("report", "the evidence report: build, seal, open, reproduce",
		"  stillmark report build case --key key.json\n  stillmark report seal case --signer signer.pem --disclose key.json -o case.zip",
		a.reportBuildCommand(), a.reportSealCommand(), a.reportCosignCommand(), a.reportReproCommand(), a.reportOpenCommand())
}

// loadKeys reads several key files.
func loadKeys(paths []string) ([]*watermark.Key, error) {
	var keys []*watermark.Key
	for _, path := range paths {
		k, err := loadKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (a *app) reportBuildCommand() *cobra.Command {
	var keyPaths []string
	var tokenizers tokenizerFiles
	var analysis, language string
	c := &cobra.Command{
		Use:   "build CASE",
		Short: "write the report of an analysis: report.json, page, paper and CSV tables",
		Long: `Writes the report of the newest analysis (or --analysis ID) under reports/<id> in the
case. The key files are needed to colour the scored tokens of the exhibits.
Building twice gives the same bytes. A case can hold the report in several
languages, each under an id of its own.`,
		Example: "  stillmark report build case --key key.json\n  stillmark report build case --key key.json --language fr",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := loadKeys(keyPaths)
			if err != nil {
				return err
			}
			open, err := tokenizers.opener()
			if err != nil {
				return err
			}
			built, err := reports.Build(c.Context(), args[0], reports.BuildOptions{
				Analysis: analysis, Keys: keys, Tokenizer: open, Program: build(), Lang: language,
			})
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(map[string]string{"id": built.ID, "json": built.JSON, "html": built.HTML, "pdf": built.PDF, "csv": built.CSV, "tables": built.Tables})
			}
			fmt.Fprintf(a.out, "report  %s\nhtml    %s\npdf     %s\njson    %s\ncsv     %s\ntables  %s\n", built.ID, built.HTML, built.PDF, built.JSON, built.CSV, built.Tables)
			return nil
		},
	}
	c.Flags().StringArrayVar(&keyPaths, "key", nil, "key file (repeatable)")
	c.Flags().StringVar(&analysis, "analysis", "", "analysis to report (default the newest)")
	c.Flags().StringVar(&language, "language", "en", "language of the report: "+strings.Join(model.Languages(), ", "))
	tokenizers.bind(c.Flags())
	return c
}

func (a *app) reportSealCommand() *cobra.Command {
	var signerPath, report, output, tsa, document string
	var disclose []string
	c := &cobra.Command{
		Use:   "seal CASE --signer FILE",
		Short: "close the case: manifest, signed statement, optional timestamp, one zip",
		Long: `Appends the ledger's seal event, lists every file in the manifest, signs an in-toto
statement over all of them (DSSE, Ed25519) and packs the case into one zip.

With --disclose the subkey of a key goes into the case, so that the other side can
recompute every number: it gives away that one subkey and neither the master key
nor any other label. Without it the numbers that need the key stay unverified, and
a verifier cannot reach TRUSTED.

With --document-key report.pdf gets a signature that PDF readers show (PAdES B-B; with
--tsa B-T). PDF readers know certificates and not Ed25519, so it is another key than
the signer's: make one with stillmark signer document, or give a PEM file with an
authority's certificates and the key (P-256 or RSA, PKCS#8).

` + passphraseHelp,
		Example: "  stillmark report seal case --signer signer.pem --disclose key.json -o case.zip",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			signer, err := a.loadSigner(c.Context(), signerPath)
			if err != nil {
				return err
			}
			keys, err := loadKeys(disclose)
			if err != nil {
				return err
			}
			options := reports.SealOptions{Report: report, Disclose: keys, Out: output}
			if document != "" {
				if options.Document, err = a.loadDocumentSigner(c.Context(), document); err != nil {
					return err
				}
				if tsa != "" {
					options.Document.Stamp = func(ctx context.Context, digest [32]byte) ([]byte, error) {
						return requestStamp(ctx, tsa, digest)
					}
				}
			}
			if tsa != "" {
				options.Stamp = func(ctx context.Context, digest [32]byte) ([]byte, error) {
					return requestStamp(ctx, tsa, digest)
				}
			}
			sealed, err := reports.Seal(c.Context(), args[0], signer, options)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(sealed)
			}
			fmt.Fprintf(a.out, "sealed    %s, %d files, signed by %s\nenvelope  %s\n          sha256 %s\n", sealed.Report, sealed.Files, printable(signer.Name()), sealed.Envelope, sealed.EnvelopeSHA256)
			if sealed.Zip != "" {
				fmt.Fprintf(a.out, "package   %s\n          sha256 %s\n", sealed.Zip, sealed.ZipSHA256)
			}
			if !sealed.Stamped {
				fmt.Fprintln(a.out, "timestamp none: the time of the seal is the signer's own claim (give --tsa)")
			}
			if len(sealed.Withheld) > 0 {
				fmt.Fprintf(a.out, "withheld  keys %v: their numbers cannot be verified (give --disclose)\n", sealed.Withheld)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&signerPath, "signer", "", "private signing key (required)")
	f.StringVar(&report, "report", "", "report to seal (default the newest)")
	f.StringVarP(&output, "output", "o", "", "zip to write")
	f.StringVar(&tsa, "tsa", "", "URL of an RFC 3161 timestamping authority")
	f.StringVar(&document, "document-key", "", "PEM file whose key and certificate sign report.pdf")
	f.StringArrayVar(&disclose, "disclose", nil, "key file whose subkey goes into the case (repeatable)")
	c.MarkFlagRequired("signer")
	return c
}

func (a *app) reportCosignCommand() *cobra.Command {
	var signerPath, output string
	c := &cobra.Command{
		Use:   "cosign CASE --signer FILE",
		Short: "add a witness's signature to a sealed case",
		Long: `Signs the statement of a sealed case with the key of a witness, beside the signer's
signature. The files of the case are compared with the seal before; the numbers are
not computed again: a witness who wants to vouch for them runs stillmark verify first.

What it shows is that the holder of this key had this very case before them. Nothing
sealed names the witness, so a co-signature that was taken away again is not missed:
the witness keeps a copy. CASE is the folder; with -o it is packed into a zip again.

` + passphraseHelp,
		Example: "  stillmark report cosign case --signer witness.pem -o case-witnessed.zip",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			signer, err := a.loadSigner(c.Context(), signerPath)
			if err != nil {
				return err
			}
			done, err := reports.Cosign(args[0], signer, output)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(done)
			}
			fmt.Fprintf(a.out, "co-signed %s by %s, key %s, witness %d of this seal\nenvelope  %s\n          sha256 %s\n",
				done.Report, printable(signer.Name()), done.KeyID, done.Witnesses, done.Envelope, done.EnvelopeSHA256)
			if done.Zip != "" {
				fmt.Fprintf(a.out, "package   %s\n          sha256 %s\n", done.Zip, done.ZipSHA256)
			}
			return nil
		},
	}
	c.Flags().StringVar(&signerPath, "signer", "", "private signing key of the witness (required)")
	c.Flags().StringVarP(&output, "output", "o", "", "zip to write")
	c.MarkFlagRequired("signer")
	return c
}

func (a *app) reportReproCommand() *cobra.Command {
	var output, report string
	c := &cobra.Command{
		Use:   "repro CASE -o DIR",
		Short: "write what an opposing expert needs to compute and to run it again",
		Long: `Writes a folder with the sealed plan, the prompts as they were drawn, the items in the
order of sending, the targets as a configuration, disclosed subkeys as key files, the
results with the tolerances for a repeat, the program's build with its modules, and
REPRODUCE.md: the exact commands, and what cannot be reproduced.

The same case gives the same bytes. Nothing secret is written that the case does not
disclose already. DIR must not exist.`,
		Example: "  stillmark report repro case -o kit",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output == "" {
				return usageError(errors.New("name the folder to write (-o DIR)"))
			}
			made, err := repro.Write(args[0], output, repro.Options{Report: report, Program: build(), Modules: modules()})
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(made)
			}
			fmt.Fprintf(a.out, "kit      %s, %d files, of report %s\nread     %s\n", made.Dir, len(made.Files), made.Report, filepath.Join(made.Dir, "REPRODUCE.md"))
			if len(made.Keys) > 0 {
				fmt.Fprintf(a.out, "keys     %s, as the case discloses them\n", strings.Join(made.Keys, ", "))
			} else {
				fmt.Fprintln(a.out, "keys     none: the case discloses none")
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "folder to write (required)")
	c.Flags().StringVar(&report, "report", "", "report to reproduce (default the newest)")
	return c
}

func (a *app) reportOpenCommand() *cobra.Command {
	var onlyPrint bool
	var by string
	c := &cobra.Command{
		Use:     "open CASE",
		Short:   "open the newest HTML report in the browser, or print its path",
		Example: "  stillmark report open case --print",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := reports.Newest(args[0])
			if err != nil {
				return err
			}
			if by != "" {
				if err := ledger.AppendCustody(args[0], ledger.Custody{What: ledger.CustodyOpened, Who: by, Detail: "report " + filepath.Base(folder)}); err != nil {
					return err
				}
			}
			path := filepath.Join(folder, "report.html")
			fmt.Fprintln(a.out, path)
			if onlyPrint {
				return nil
			}
			opener := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
			if opener == nil {
				opener = []string{"xdg-open"}
			}
			if err := exec.Command(opener[0], append(opener[1:], path)...).Start(); err != nil {
				return usageError(fmt.Errorf("no browser could be started (%w); open the file above yourself", err))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&onlyPrint, "print", false, "only print the path")
	c.Flags().StringVar(&by, "by", "", "who opens it, for the custody log (default: no entry)")
	return c
}
