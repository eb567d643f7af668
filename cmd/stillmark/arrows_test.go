package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/stillmark/stillmark/"

// rooms says what each package of the program may import of the others. The
// data's way is one-directional: nothing downstream is imported upstream. A
// package that is missing here fails the test: give it a room first.
var rooms = map[string][]string{
	"watermark/prf":            {},
	"watermark/evidence":       {},
	"watermark":                {"watermark/prf", "watermark/evidence"},
	"watermark/registry":       {"watermark"},
	"watermark/replies":        {"watermark"},
	"watermark/served":         {"watermark", "watermark/prf"},
	"watermark/served/fuse":    {"watermark/prf", "watermark/served"},
	"watermark/strength":       {"watermark", "watermark/evidence"},
	"watermark/monitor":        {"watermark", "watermark/evidence"},
	"watermark/gateway":        {"watermark", "watermark/evidence", "watermark/registry", "corpora/tokens"},
	"corpora/tokens":           {},
	"corpora/reading":          {},
	"corpora/canary":           {},
	"corpora":                  {"corpora/tokens", "corpora/reading", "corpora/canary"},
	"corpora/refmodel":         {},
	"corpora/refmodel/gguf":    {},
	"probe/ledger":             {},
	"probe/timestamp":          {},
	"probe/wire":               {"probe/ledger"},
	"probe/endpoint":           {"probe/ledger", "probe/wire"},
	"probe/endpoint/mock":      {"probe/ledger", "probe/wire", "probe/endpoint"},
	"probe/family":             {"watermark", "watermark/evidence", "watermark/registry", "watermark/served", "corpora/tokens", "corpora/reading", "corpora/canary", "probe/ledger", "probe/wire", "probe/timestamp"},
	"probe":                    {"watermark", "watermark/evidence", "watermark/registry", "watermark/served", "corpora", "corpora/tokens", "corpora/reading", "corpora/canary", "probe/ledger", "probe/wire", "probe/timestamp", "probe/endpoint", "probe/family"},
	"reports/model":            {"watermark", "watermark/evidence", "corpora/tokens", "probe/ledger", "probe/wire", "probe/family"},
	"reports":                  {"reports/model", "reports/verify/integrity", "watermark", "watermark/evidence", "probe/ledger", "probe/family", "probe/timestamp"},
	"reports/repro":            {"reports", "reports/model", "reports/verify/integrity", "watermark", "corpora", "probe/ledger"},
	"reports/verify/integrity": {"probe/ledger"},
	"reports/verify":           {"reports/verify/integrity", "reports", "reports/model", "watermark", "watermark/evidence", "corpora/tokens", "probe/ledger", "probe/wire", "probe/timestamp", "probe/family"},

	"probe/endpoint/mock/persona": {"corpora/reading", "probe/ledger", "probe/endpoint/mock"},
}

// TestArrows compares every package's direct imports with its room.
func TestArrows(t *testing.T) {
	t.Parallel()
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Dir = "../.."
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, modulePath)
		if strings.HasPrefix(name, "cmd/") {
			continue // the command may import everything
		}
		seen++
		allowed, known := rooms[name]
		if !known {
			t.Errorf("package %s has no room in this test's table", name)
			continue
		}
		for _, path := range p.Imports {
			own, inside := strings.CutPrefix(path, modulePath)
			if inside && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which its room does not allow", name, own)
			}
			if path == "net/http" && name != "probe/endpoint" && name != "probe/endpoint/mock" && name != "watermark/gateway" {
				t.Errorf("%s imports net/http: only the endpoint and the gateway talk to the network", name)
			}
		}
	}
	if seen < len(rooms) {
		t.Errorf("saw %d packages, the table has %d: remove the rooms that are gone", seen, len(rooms))
	}
}
