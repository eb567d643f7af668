package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) caseLogCommand() *cobra.Command {
	var add, by, why string
	var output outputFiles
	c := &cobra.Command{
		Use:   "log CASE",
		Short: "print the custody log: who did what to the case, when and why; or add an entry",
		Long: `Prints the custody log of a case: a chain of entries, each with the hash of the one
before. Sealing, co-signing, redacting, exporting and opening a case with --by write one; --add
writes one of your own, as when the case changes hands. Entries are never changed or
removed: the seal holds the head that the log had then, and whatever was sealed must be
there when the case is verified. Who and why are the words of whoever wrote the entry.
(The events of collection are another record: stillmark case events.)`,
		Example: `  stillmark case log case
  stillmark case log case --add "handed over on an encrypted drive" --by "J. Doe" --why "discovery"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			if _, err := ledger.Open(args[0]); err != nil {
				return usageError(err)
			}
			if add != "" {
				if by == "" {
					return usageError(errors.New("an entry says who wrote it: give --by"))
				}
				if err := ledger.AppendCustody(args[0], ledger.Custody{What: ledger.CustodyNoted, Who: by, Why: why, Detail: add}); err != nil {
					return err
				}
			}
			log, err := ledger.ReadCustody(os.DirFS(args[0]))
			if err != nil {
				return &codedError{codeAltered, err}
			}
			rows := [][]string{{"seq", "time", "what", "who", "detail", "why", "sha256"}}
			for _, e := range log {
				rows = append(rows, []string{strconv.FormatUint(e.Seq, 10), e.Time.Format(time.RFC3339), e.What, e.Who, e.Detail, e.Why, e.SHA256})
			}
			if err := output.write(log, rows); err != nil {
				return err
			}
			for _, e := range log {
				if a.asJSON {
					if err := a.printJSON(e); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(a.out, "%4d  %s  %-9s by %s", e.Seq, e.Time.Format(time.RFC3339), printable(e.What), printable(e.Who))
				for _, s := range []string{e.Detail, e.Why} {
					if s != "" {
						fmt.Fprintf(a.out, "; %s", printable(s))
					}
				}
				if e.SHA256 != "" {
					fmt.Fprintf(a.out, " (sha256 %.16s…)", e.SHA256)
				}
				fmt.Fprintln(a.out)
			}
			if len(log) == 0 && !a.asJSON {
				fmt.Fprintln(a.err, "the custody log is empty: it begins when the case is sealed, or with --add")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&add, "add", "", "text of a new entry")
	f.StringVar(&by, "by", "", "who writes it")
	f.StringVar(&why, "why", "", "for what reason")
	output.bind(f)
	return c
}
