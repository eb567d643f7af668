package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Help shows a flag with the name of its value, which pflag takes from what stands in
// back quotes: a command that is quoted so would stand there.
func TestFlagValuesHaveNames(t *testing.T) {
	t.Parallel()
	flags := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			flags++
			if name, _ := pflag.UnquoteUsage(f); strings.ContainsAny(name, " \t\n") {
				t.Errorf("%s --%s: its value is called %q", c.CommandPath(), f.Name, name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).rootCommand())
	if flags < 200 {
		t.Errorf("looked at %d flags only", flags)
	}
}
