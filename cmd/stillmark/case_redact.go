package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/reports"
)

func (a *app) caseRedactCommand() *cobra.Command {
	var opt reports.RedactOptions
	var out string
	c := &cobra.Command{
		Use:   "redact CASE --out NEWCASE --by NAME",
		Short: "make a copy of a sealed case that withholds prompts, replies or headers and still verifies",
		Long: `Writes a copy of a sealed case, a folder or a zip, in which a salted hash stands for
what is withheld. Signatures, timestamps, chain and tree are those of the whole case
and hold for the copy; verify says how many items are withheld, computes every number
that does not need them, and calls the others unverified. The case itself is left as it
is, but for an entry in its custody log.

What is withheld: of the items that --item names (target/suite/prompt/sample, * for
anything within an element), or of all,
  --prompts   what they were asked: every request with the prompt, too
  --replies   the raw responses
  --headers   the response headers
  --exhibits  the pages of the reports, and the replies that these print
Salts are 32 random bytes each and go with what they belong to, so that these hashes
confirm no guess; but who is given a key can try guesses of prompts on the lists that its
commitment holds. What stays: ids, times, outcomes, lengths, usage, model names and the
provider's request ids; and the results. Prompts of built-in suites can be expanded
again from the plan's seed, and ids of prompts with slots end in 12 digits of their own
hash: secret prompts belong in a suite of your own, without slots. A page that would still show what is
withheld, or a reply that repeats a withheld prompt, is an error. Cases that versions
before salts collected cannot be redacted.`,
		Example: `  stillmark case redact case.zip --out holdout.zip --item '*/holdout-en/*/*' --prompts --exhibits --by "J. Doe" --why "holdout prompts stay secret"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			done, err := reports.Redact(args[0], out, opt)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(done)
			}
			fmt.Fprintf(a.out, "copy      %s\nwithheld  %d prompts, %d requests, %d responses, %d headers, %d report files\n",
				done.Path, done.Prompts, done.Requests, done.Responses, done.Headers, done.Pages)
			if done.ZipSHA256 != "" {
				fmt.Fprintf(a.out, "          sha256 %s\n", done.ZipSHA256)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "out", "o", "", "the copy: a zip where the name ends in .zip, a folder else (required)")
	f.StringArrayVar(&opt.Items, "item", nil, "pattern of item ids (repeatable; default all items)")
	f.BoolVar(&opt.Prompts, "prompts", false, "withhold what the items were asked")
	f.BoolVar(&opt.Replies, "replies", false, "withhold the raw responses")
	f.BoolVar(&opt.Headers, "headers", false, "withhold the response headers")
	f.BoolVar(&opt.Exhibits, "exhibits", false, "withhold the pages of the reports and the replies that they print")
	f.StringVar(&opt.By, "by", "", "who withholds it, for the custody log (required)")
	f.StringVar(&opt.Why, "why", "", "for what reason, for the custody log")
	c.MarkFlagRequired("out")
	c.MarkFlagRequired("by")
	return c
}
