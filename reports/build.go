package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/watermark"
)

// The files of a report.
const (
	reportJSON = "report.json"
	reportHTML = "report.html"
	reportCSV  = "findings.csv"
	reportPDF  = "report.pdf"
)

// BuildOptions says what to report.
type BuildOptions struct {
	Analysis  string               // folder under analysis/; "" means the newest
	Keys      []*watermark.Key     // for the exhibits
	Tokenizer family.OpenTokenizer // of Keys; nil means the built-in ones
	Program   ledger.Build
	Lang      string // of [model.Languages]; "" is English
}

// Built is a report as it was written.
type Built struct {
	ID     string // folder under reports/
	Dir    string // its path
	JSON   string // paths of the files
	HTML   string
	CSV    string
	PDF    string
	Tables string // folder of the other tables
	Report *model.Report
}

// Build writes the report of an analysis into the case folder, under
// reports/<id>. The id is a function of the report, so that building twice
// gives the same folder with the same bytes, and nothing is ever replaced. An
// analysis that was made without one of the keys is refused.
func Build(ctx context.Context, dir string, opt BuildOptions) (*Built, error) {
	if opt.Lang != "" && !slices.Contains(model.Languages(), opt.Lang) {
		return nil, usage(fmt.Errorf("no report is written in language %q; there is %s", opt.Lang, strings.Join(model.Languages(), ", ")))
	}
	c, err := ledger.Open(dir)
	if err != nil {
		return nil, usage(err)
	}
	if opt.Analysis == "" {
		if opt.Analysis, err = newestAnalysis(dir); err != nil {
			return nil, err
		}
	}
	findings, sum, err := LoadFindings(os.DirFS(dir), opt.Analysis)
	if err != nil {
		return nil, usage(err)
	}
	if err := checkAnalysis(dir, opt.Analysis, findings, keyIDs(opt.Keys)); err != nil {
		return nil, err
	}
	r, err := model.Build(ctx, c, findings, model.Options{
		Analysis: opt.Analysis, FindingsSHA256: sum, Keys: opt.Keys, Tokenizer: opt.Tokenizer, Program: opt.Program, Lang: opt.Lang,
	})
	if err != nil {
		return nil, err
	}
	id, err := reportID(dir, r)
	if err != nil {
		return nil, err
	}
	r.Name(id)
	return write(dir, r)
}

// reportID names a report: a running number, so that the newest sorts last, and
// eight hex digits of a hash over the report without an id. A report that is
// there already keeps its number.
func reportID(dir string, r *model.Report) (string, error) {
	data, err := model.Encode(r)
	if err != nil {
		return "", err
	}
	ids, err := folders(dir, "reports")
	if err != nil {
		return "", err
	}
	suffix := "-" + hexSum(data)[:8]
	for _, id := range ids {
		if strings.HasSuffix(id, suffix) {
			return id, nil
		}
	}
	return fmt.Sprintf("%03d%s", len(ids)+1, suffix), nil
}

// folders lists the folders in one part of a case, in the order of their names.
func folders(dir, part string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, part))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", part, err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// File is a file of a report: its name, in the report's folder, and what it holds.
type File struct {
	Name string
	Data []byte
}

// Files lays a report out: everything in its folder that is made from report.json.
func Files(r *model.Report) ([]File, error) {
	var files []File
	for _, f := range []struct {
		name   string
		render func(*model.Report) ([]byte, error)
	}{{reportHTML, HTML}, {reportPDF, PDF}, {reportCSV, CSV}, {certificateName, Certificate}} {
		data, err := f.render(r)
		if err != nil {
			return nil, err
		}
		files = append(files, File{f.name, data})
	}
	tables, err := Tables(r)
	return append(files, tables...), err
}

func write(dir string, r *model.Report) (*Built, error) {
	data, err := model.Encode(r)
	if err != nil {
		return nil, err
	}
	files, err := Files(r)
	if err != nil {
		return nil, err
	}
	b := &Built{ID: r.Seal.ReportID, Dir: filepath.Join(dir, "reports", r.Seal.ReportID), Report: r}
	b.JSON, b.HTML, b.CSV = filepath.Join(b.Dir, reportJSON), filepath.Join(b.Dir, reportHTML), filepath.Join(b.Dir, reportCSV)
	b.PDF, b.Tables = filepath.Join(b.Dir, reportPDF), filepath.Join(b.Dir, "tables")
	if err := os.MkdirAll(b.Tables, 0o700); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	for _, f := range append(files, File{reportJSON, data}) { // last: what has it is whole
		if err := writeOnce(filepath.Join(b.Dir, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
	}
	return b, nil
}

// writeOnce writes a file that must not exist, or must hold the same bytes.
func writeOnce(path string, data []byte) error {
	err := ledger.WriteNewFile(path, data, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if filepath.Base(path) == reportPDF {
		if _, err := CheckPDF(old, data); err == nil {
			return nil // signed meanwhile: it stays so
		}
	}
	if !bytes.Equal(old, data) {
		return fmt.Errorf("%s exists with other content and was left as it is; move its folder away and build again", path)
	}
	return nil
}

// LoadFindings reads analysis/<id>/findings.json and returns its hash beside it.
func LoadFindings(fsys fs.FS, id string) (*ledger.Findings, string, error) {
	name := "analysis/" + id + "/findings.json"
	if !fs.ValidPath(name) {
		return nil, "", fmt.Errorf("%q does not name an analysis", id)
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, "", fmt.Errorf("read findings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	f := new(ledger.Findings)
	if err := d.Decode(f); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	return f, hexSum(data), nil
}

// newestAnalysis is the one whose name sorts last.
func newestAnalysis(dir string) (string, error) {
	ids, err := folders(dir, "analysis")
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", usage(fmt.Errorf("%s has no analysis yet: run stillmark analyze first", dir))
	}
	return ids[len(ids)-1], nil
}

// Newest returns the folder of the newest report of a case.
func Newest(dir string) (string, error) {
	ids, err := folders(dir, "reports")
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", usage(fmt.Errorf("%s has no report yet: run stillmark report build first", dir))
	}
	return filepath.Join(dir, "reports", ids[len(ids)-1]), nil
}

// usageError is an error of use: nothing is damaged, and nothing was sealed.
type usageError struct{ error }

func usage(err error) error { return usageError{err} }

// Usage marks an error as one of use, with exit code 2.
func Usage(err error) error { return usage(err) }

func (e usageError) Unwrap() error { return e.error }

// ExitCode is the code of usage errors.
func (e usageError) ExitCode() int { return 2 }
