package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
)

func (a *app) signerCommand() *cobra.Command {
	return holder("signer", "Ed25519 keys that sign plans and reports",
		"  stillmark signer new -o signer.pem --name \"Example AI, Evidence Desk\"",
		a.signerNewCommand(), a.signerDocumentCommand(), a.signerShowCommand())
}

// signerRecord is what may be shown of a signing key.
type signerRecord struct {
	Name   string `json:"name"`
	KeyID  string `json:"key_id"`
	Secret string `json:"secret_file,omitempty"`
	Public string `json:"public_file,omitempty"`
}

func (a *app) signerNewCommand() *cobra.Command {
	var output, name string
	var passphrase bool
	c := &cobra.Command{
		Use:   "new -o FILE --name NAME",
		Short: "draw a signing key: FILE (0600) and its public half FILE.pub",
		Long: `Draws an Ed25519 key. FILE holds the private key (PKCS#8 PEM, 0600), FILE.pub the
public key, which verifiers pass to "stillmark verify --trust". Neither is ever
overwritten. NAME is who signs, as the report will print it.

With --passphrase FILE is encrypted (age, scrypt) under the passphrase in the environment
variable ` + passphraseVariable + `, or the one that you type at the terminal; the age
program opens it as well (age -d). Nobody can recover a passphrase that is lost.`,
		Example: "  stillmark signer new -o signer.pem --name \"Example AI, Evidence Desk\" --passphrase",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			protect, err := a.protection(c.Context(), passphrase, output)
			if err != nil {
				return err
			}
			s, err := ledger.NewSigner(name, nil)
			if err != nil {
				return usageError(err)
			}
			if err := s.SaveProtected(output, protect); err != nil {
				return fmt.Errorf("the signing key was not written: %w", err)
			}
			return a.showSigner(signerRecord{s.Name(), s.KeyID(), output, output + ".pub"})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "signer.pem", "file of the private key")
	c.Flags().StringVar(&name, "name", "", "who signs (required)")
	c.Flags().BoolVar(&passphrase, "passphrase", false, "encrypt the file under a passphrase")
	c.MarkFlagRequired("name")
	return c
}

func (a *app) signerShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "print the name and key id of a private or public signing key",
		Example: "  stillmark signer show signer.pem.pub",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if public, err := ledger.LoadPublic(args[0]); err == nil {
				for _, k := range public {
					if err := a.showSigner(signerRecord{Name: k.Name, KeyID: k.KeyID, Public: args[0]}); err != nil {
						return err
					}
				}
				return nil
			}
			s, err := a.loadSigner(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showSigner(signerRecord{Name: s.Name(), KeyID: s.KeyID(), Secret: args[0]})
		},
	}
}

func (a *app) showSigner(r signerRecord) error {
	if a.asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "signer  %s\nkey id  %s\n", printable(r.Name), r.KeyID)
	if r.Secret != "" {
		fmt.Fprintf(a.out, "private %s\n", r.Secret)
	}
	if r.Public != "" {
		fmt.Fprintf(a.out, "public  %s\n", r.Public)
	}
	return nil
}

func (a *app) signerDocumentCommand() *cobra.Command {
	var output, name string
	var passphrase bool
	c := &cobra.Command{
		Use:   "document -o FILE --name NAME",
		Short: "draw a key with a certificate that signs report.pdf for PDF readers",
		Long: `Draws an ECDSA key (P-256) and signs a certificate for NAME with it, valid for ten years.
FILE holds both (PEM, 0600) and is what "stillmark report seal --document-key" takes. PDF
readers will call the signature valid and its issuer unknown: where that matters, use a
certificate of an authority instead. With --passphrase FILE is encrypted as a key of
stillmark signer new is.`,
		Example: "  stillmark signer document -o document.pem --name \"Example AI, Evidence Desk\"",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			protect, err := a.protection(c.Context(), passphrase, output)
			if err != nil {
				return err
			}
			d, err := reports.NewDocumentSigner(name, time.Now(), rand.Reader)
			if err != nil {
				return err
			}
			data, err := d.PEM()
			if err != nil {
				return err
			}
			if protect != nil {
				if data, err = protect(data); err != nil {
					return err
				}
			}
			if err := ledger.WriteNewFile(output, data, 0o600); err != nil {
				return fmt.Errorf("the document key was not written: %w", err)
			}
			sum := sha256.Sum256(d.Chain[0].Raw)
			record := struct {
				Name        string    `json:"name"`
				Certificate string    `json:"certificate_sha256"`
				Until       time.Time `json:"valid_until"`
				File        string    `json:"secret_file"`
			}{name, hex.EncodeToString(sum[:]), d.Chain[0].NotAfter, output}
			if a.asJSON {
				return a.printJSON(record)
			}
			fmt.Fprintf(a.out, "document signer  %s\ncertificate      sha256 %s, until %s\nprivate          %s\n",
				printable(name), record.Certificate, record.Until.Format(time.DateOnly), output)
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "document.pem", "file of the key and its certificate")
	c.Flags().StringVar(&name, "name", "", "who signs, as PDF readers will show it (required)")
	c.Flags().BoolVar(&passphrase, "passphrase", false, "encrypt the file under a passphrase")
	c.MarkFlagRequired("name")
	return c
}
