package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
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

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version, the toolchain and the modules that the program was built from",
		Example: "  stillmark version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type module struct {
				Path    string `json:"path"`
				Version string `json:"version"`
				Sum     string `json:"sum"`
			}
			record := struct {
				ledger.Build
				Modules []module `json:"modules"`
			}{Build: build(), Modules: []module{}}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, m := range info.Deps {
					record.Modules = append(record.Modules, module{m.Path, m.Version, m.Sum})
				}
			}
			if a.asJSON {
				return a.printJSON(record)
			}
			fmt.Fprintf(a.out, "stillmark %s %s %s/%s\n", record.Version, record.Go, record.OS, record.Arch)
			return nil
		},
	}
}
