package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) configCommand() *cobra.Command {
	return holder("config", "the configuration file: targets, and who ordered the audit",
		"  stillmark config init -o stillmark.yaml",
		a.configInitCommand(), a.configShowCommand(), a.configValidateCommand(), a.configSchemaCommand())
}

func (a *app) configInitCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "init",
		Short:   "write a commented example configuration; an existing file is kept",
		Example: "  stillmark config init -o stillmark.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := ledger.WriteNewFile(output, []byte(config.Example), 0o644); err != nil {
				return fmt.Errorf("the configuration was not written: %w", err)
			}
			fmt.Fprintf(a.err, "wrote %s\n", output)
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", config.DefaultPath, "file to write")
	return c
}

func (a *app) configShowCommand() *cobra.Command {
	var origin bool
	c := &cobra.Command{
		Use:   "show",
		Short: "print the configuration as JSON, or every value in force with where it came from",
		Long: `Prints the configuration file as JSON. With --origin: every setting and every value of
every target as a plan would record it, with where it came from: a flag, a variable of
the environment, a line of the file, a preset, a default. API keys are never printed,
only whether their variable is set.`,
		Example: "  stillmark config show -c stillmark.yaml\n  stillmark config show --origin",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := config.Load(a.config)
			if err != nil {
				return err
			}
			if !origin {
				return a.printJSON(f)
			}
			settings, err := a.origins(c, f)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, s := range settings {
				if a.asJSON {
					if err := a.printJSON(s); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, printable(s.Value), s.Origin)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&origin, "origin", false, "print every value with where it came from")
	return c
}

// origins lists the settings in force: the program's own, then those of every
// target.
func (a *app) origins(c *cobra.Command, f *config.File) ([]setting, error) {
	var out []setting
	for _, flag := range []string{"config", "env-file", "json", "progress"} {
		s := setting{Name: flag, Value: c.Flags().Lookup(flag).Value.String(), Origin: "default"}
		if v, ok := a.fromEnv[flag]; ok {
			s.Origin = "$" + v
		} else if c.Flags().Changed(flag) {
			s.Origin = "--" + flag
		}
		switch {
		case flag == "config" && s.Value == "":
			s.Value = f.Path
		case flag == "env-file" && s.Value == "":
			continue
		case flag == "env-file" && s.Origin == "default":
			s.Origin = "$STILLMARK_ENV_FILE"
		}
		out = append(out, s)
	}
	r := resolution{file: f}
	r.set("authority", f.Authority, r.at("/authority"))
	r.set("purpose", f.Purpose, r.at("/purpose"))
	r.set("terms_reviewed_by", f.TermsReviewedBy, r.at("/terms_reviewed_by"))
	out = append(out, r.settings...)
	for _, t := range f.Targets {
		r, err := resolveTarget(f, t.Name)
		if err != nil {
			return nil, err
		}
		for _, s := range r.settings {
			s.Name = "targets." + t.Name + "." + s.Name
			out = append(out, s)
		}
	}
	return out, nil
}

func (a *app) configValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "validate [FILE]",
		Short:   "check a configuration file against the schema",
		Example: "  stillmark config validate stillmark.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := a.config
			if len(args) == 1 {
				path = args[0]
			}
			f, err := config.Load(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "valid, %d targets\n", len(f.Targets))
			return nil
		},
	}
}

func (a *app) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "print the JSON schema of the configuration file",
		Example: "  stillmark config schema > stillmark.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(config.Schema)
			return err
		},
	}
}
