package verify

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stillmark/stillmark/reports/model"
)

// The published schema describes the report that is written, and no other.
func TestSchema(t *testing.T) {
	t.Parallel()
	raw := must[[]byte](t)(model.Schema())
	doc := must[any](t)(jsonschema.UnmarshalJSON(bytes.NewReader(raw)))
	c := jsonschema.NewCompiler()
	if err := c.AddResource("report.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := must[*jsonschema.Schema](t)(c.Compile("report.schema.json"))
	for name, d := range map[string]design{"fixed n": {broken: true}, "e-process, keys withheld": {withhold: true, noStamps: true}} {
		f := build(t, d)
		data := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, "reports", f.report, "report.json")))
		report := must[any](t)(jsonschema.UnmarshalJSON(bytes.NewReader(data)))
		if err := schema.Validate(report); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		report.(map[string]any)["surprise"] = json.Number("1")
		if schema.Validate(report) == nil {
			t.Errorf("%s: a report with an unknown member passes", name)
		}
	}
}
