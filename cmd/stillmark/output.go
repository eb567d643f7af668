package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/probe/ledger"
)

// outputFiles are the files that a result is written to beside standard output,
// each in the form that its ending names.
type outputFiles []string

func (o *outputFiles) bind(f *pflag.FlagSet) {
	f.StringArrayVarP((*[]string)(o), "output", "o", nil, "file to write the result to as well: FILE.json, .csv, .md or .txt (repeatable)")
}

// forms are the endings that are known, with how they are written: a record for
// programs, or a table whose first row is its head.
var forms = map[string]func(record any, rows [][]string) ([]byte, error){
	".json": func(record any, _ [][]string) ([]byte, error) {
		b, err := json.MarshalIndent(record, "", "  ")
		return append(b, '\n'), err
	},
	".csv": func(_ any, rows [][]string) ([]byte, error) {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		err := w.WriteAll(rows)
		return b.Bytes(), err
	},
	".md": func(_ any, rows [][]string) ([]byte, error) {
		var b bytes.Buffer
		for i, row := range rows {
			cells := make([]string, len(row))
			for k, c := range row {
				cells[k] = strings.ReplaceAll(printable(c), "|", `\|`)
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(row)))
			}
		}
		return b.Bytes(), nil
	},
	".txt": func(_ any, rows [][]string) ([]byte, error) {
		var b bytes.Buffer
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintln(w, printable(strings.Join(row, "\t")))
		}
		err := w.Flush()
		return b.Bytes(), err
	},
}

// check refuses endings that are not known, before any work is done.
func (o outputFiles) check() error {
	for _, path := range o {
		if ext := strings.ToLower(filepath.Ext(path)); forms[ext] == nil {
			return usageError(fmt.Errorf("-o %s: the ending says the form, and %q is none of .json, .csv, .md, .txt", path, ext))
		}
	}
	return nil
}

// write writes all files.
func (o outputFiles) write(record any, rows [][]string) error {
	for _, path := range o {
		data, err := forms[strings.ToLower(filepath.Ext(path))](record, rows)
		if err == nil {
			err = ledger.WriteFile(path, data, 0o644)
		}
		if err != nil {
			return fmt.Errorf("the result was not written to %s: %w", path, err)
		}
	}
	return nil
}

// writeRecord writes all files, with a row for each member where the form is a table.
func (o outputFiles) writeRecord(record any) error {
	if len(o) == 0 {
		return nil
	}
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	rows := [][]string{{"member", "value"}}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		text := string(value)
		if value[0] == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		}
		rows = append(rows, []string{fmt.Sprint(name), text})
	}
	return o.write(record, rows)
}

// table prints rows in columns.
func (a *app) table(rows [][]string) error {
	b, err := forms[".txt"](nil, rows)
	if err != nil {
		return err
	}
	_, err = a.out.Write(b)
	return err
}
