package model

import (
	"context"
	"errors"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Options are what a report needs beside the case and the findings.
type Options struct {
	Report         string           // id: the folder under reports/
	Analysis       string           // id: the folder under analysis/
	FindingsSHA256 string           // of analysis/<id>/findings.json
	Keys           []*watermark.Key // for the exhibits; a test whose key is missing has none
	Program        ledger.Build     // that writes the report
}

// Build makes the report of a case. It reads the replies once for accounting
// and once for the exhibits, one at a time.
func Build(ctx context.Context, c *ledger.Case, f *ledger.Findings, opt Options) (*Report, error) {
	return nil, errors.New("not written yet")
}
