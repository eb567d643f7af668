package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) caseFsckCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "fsck CASE",
		Short:   "read the whole ledger and every stored reply and check their hashes",
		Example: "  stillmark case fsck case",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			replies := 0
			if err := c.Replies(func(ledger.ReplyRecord) error { replies++; return nil }); err != nil {
				return &codedError{codeAltered, err}
			}
			head, err := c.LedgerHead()
			if err != nil {
				return &codedError{codeAltered, err}
			}
			fmt.Fprintf(a.err, "%s: %d events and %d replies are whole\n", args[0], head.Events, replies)
			return nil
		},
	}
}
