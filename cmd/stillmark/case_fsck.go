package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/reports"
)

func (a *app) caseFsckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fsck CASE",
		Short: "read every file of a case and say what is damaged, where, and what can be repaired",
		Long: `Reads plan, prompts, ledger, every block of raw bytes and the custody log, and of a sealed
case every file against its seal; names the first bad byte of each damaged file and says
what can be done about it. It changes nothing. It computes no numbers and trusts nobody:
that is stillmark verify.

Exit codes: 0 all is whole, 20 what is wrong can be repaired as it says, 30 damaged.`,
		Example: "  stillmark case fsck case",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := reports.Fsck(args[0])
			if err != nil {
				return usageError(err)
			}
			code := 0
			for _, t := range h.Troubles {
				if !t.Repairable {
					code = codeAltered
				} else if code == 0 {
					code = codeIncomplete
				}
			}
			if a.asJSON {
				err = a.printJSON(h)
			} else {
				a.printHealth(args[0], h)
			}
			if err == nil && code != 0 {
				err = &codedError{code, errSilent}
			}
			return err
		},
	}
}

func (a *app) printHealth(path string, h *reports.Health) {
	for _, t := range h.Troubles {
		at := printable(t.File)
		if t.Offset >= 0 {
			at = fmt.Sprintf("%s, byte %d", at, t.Offset)
		}
		word := "damaged   "
		if t.Repairable {
			word = "repairable"
		}
		fmt.Fprintf(a.out, "%s  %s: %s\n            %s\n", word, at, printable(t.Detail), t.Repair)
	}
	if len(h.Troubles) == 0 {
		fmt.Fprintf(a.out, "%s is whole: %d events, %d blocks of raw bytes, %d entries of custody\n", path, h.Events, h.Blobs, h.Entries)
	}
}
