package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/repro"
)

// version is set by release builds with -ldflags "-X main.version=v1.2.3".
var version = "dev"

// build identifies this program in plans and reports.
func build() ledger.Build {
	b := ledger.Build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	return b
}

// modules are those that this program was built from.
func modules() []repro.Module {
	list := []repro.Module{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			list = append(list, repro.Module{Path: m.Path, Version: m.Version, Sum: m.Sum})
		}
	}
	return list
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version, the toolchain and the modules that the program was built from",
		Example: "  stillmark version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			record := struct {
				ledger.Build
				Modules []repro.Module `json:"modules"`
			}{Build: build(), Modules: modules()}
			if a.asJSON {
				return a.printJSON(record)
			}
			fmt.Fprintf(a.out, "stillmark %s %s %s/%s\n", record.Version, record.Go, record.OS, record.Arch)
			return nil
		},
	}
}
