package reports

import (
	"context"
	"errors"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/watermark"
)

// BuildOptions says what to report.
type BuildOptions struct {
	Analysis string           // folder under analysis/; "" means the newest
	Keys     []*watermark.Key // for the exhibits
	Program  ledger.Build
}

// Built is a report as it was written.
type Built struct {
	ID     string // folder under reports/
	Dir    string // its path
	JSON   string // paths of the files
	HTML   string
	CSV    string
	Report *model.Report
}

// Build writes the report of an analysis into the case folder, under
// reports/<id>. The id is a function of the findings and the program, so that
// building twice gives the same folder with the same bytes; nothing is replaced.
func Build(ctx context.Context, dir string, opt BuildOptions) (*Built, error) {
	return nil, errors.New("not written yet")
}
