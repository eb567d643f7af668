package main

import (
	"fmt"

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
	return &cobra.Command{
		Use:     "show",
		Short:   "print the configuration as JSON, defaults filled in",
		Example: "  stillmark config show -c stillmark.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := config.Load(a.config)
			if err != nil {
				return err
			}
			return a.printJSON(f)
		},
	}
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
