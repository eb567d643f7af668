package main

import "github.com/spf13/cobra"

// exitCodesHelp is a help topic: a command without an action.
func exitCodesHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `Exit codes:

  0   done; a positive finding is still 0
  1   a bug in this program
  2   usage or configuration; nothing was sent
  10  the gate failed                             11  inconclusive, more texts decide
  12  baseline missing, or of other settings
  20  incomplete, the same command goes on        21  the API key was refused
  22  quota or money is gone                      23  the target answers as another model
  24  storage failed                              25  target or authority unavailable
  30  altered                                     31  bad signature
  32  valid, signer not trusted                   33  timestamp or plan order
  34  incomplete package or newer format          35  recomputation differs
  130, 143  interrupted or terminated, after a clean checkpoint

With --json an error is printed on standard output as
{"error":{"kind":"auth","message":"…"}}.`,
	}
}
