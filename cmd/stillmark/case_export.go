package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/reports"
)

func (a *app) caseExportCommand() *cobra.Command {
	var bag string
	opt := reports.ExportOptions{Program: build()}
	c := &cobra.Command{
		Use:   "export CASE --bagit OUT --by NAME",
		Short: "pack a sealed case into a bag (BagIt 1.0) for archives and libraries",
		Long: `Writes a sealed case, a folder or a zip, into a bag of the BagIt File Packaging Format
1.0 (RFC 8493): a zip where the name ends in .zip, a folder else. The case is the payload,
as it is, under data/; the bag's own manifests list its files with their SHA-256.
stillmark verify reads the bag as it reads the case. The custody log says who exported it.`,
		Example: `  stillmark case export case.zip --bagit case-bag.zip --by "J. Doe" --why "deposit with the court"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			done, err := reports.ExportBag(args[0], bag, opt)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(done)
			}
			fmt.Fprintf(a.out, "bag       %s, %d files, %d bytes\n", done.Path, done.Files, done.Bytes)
			if done.ZipSHA256 != "" {
				fmt.Fprintf(a.out, "          sha256 %s\n", done.ZipSHA256)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&bag, "bagit", "", "the bag: a zip where the name ends in .zip, a folder else (required)")
	f.StringVar(&opt.By, "by", "", "who exports it, for the custody log (required)")
	f.StringVar(&opt.Why, "why", "", "for what reason, for the custody log")
	c.MarkFlagRequired("bagit")
	c.MarkFlagRequired("by")
	return c
}
