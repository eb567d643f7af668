package verify

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// dependencies lists all packages that a package is built from, standard
// library apart.
func dependencies(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", path, err)
	}
	return strings.Fields(string(out))
}

// modules that the verifier is allowed to be built from. net/http comes in with
// tiktoken-go, which has a loader that fetches over the network; the embedded
// one is used in its place, and TestNoNetworkOfOurs keeps it from us.
var allowed = map[string][]string{
	"github.com/stillmark/stillmark/reports/verify/integrity": {
		"github.com/stillmark/stillmark/reports/verify/integrity",
		"github.com/stillmark/stillmark/probe/ledger",
		"golang.org/x/mod/",
		"golang.org/x/sys/unix", // file locks and disk space, in the ledger's writer
		"golang.org/x/sys/windows",
	},
	"github.com/stillmark/stillmark/reports/verify": {
		"github.com/stillmark/stillmark/reports/verify",
		"github.com/stillmark/stillmark/reports/verify/integrity",
		"github.com/stillmark/stillmark/reports",
		"github.com/stillmark/stillmark/reports/model",
		"github.com/stillmark/stillmark/probe/ledger",
		"github.com/stillmark/stillmark/probe/wire",
		"github.com/stillmark/stillmark/probe/family",
		"github.com/stillmark/stillmark/probe/timestamp",
		"github.com/stillmark/stillmark/watermark",
		"github.com/stillmark/stillmark/watermark/prf",
		"github.com/stillmark/stillmark/watermark/evidence",
		"github.com/stillmark/stillmark/watermark/served",
		"github.com/stillmark/stillmark/watermark/registry", // the log of a key's custody
		"github.com/stillmark/stillmark/corpora/tokens",
		"github.com/stillmark/stillmark/corpora/reading",
		"github.com/stillmark/stillmark/corpora/canary",
		"golang.org/x/mod/",
		"golang.org/x/sys/",
		"gonum.org/v1/gonum/",
		"github.com/pkoukk/tiktoken-go", "github.com/pkoukk/tiktoken-go-loader", "github.com/pkoukk/tiktoken-go-loader/",
		"github.com/dlclark/regexp2", "github.com/dlclark/regexp2/", "github.com/google/uuid", // of tiktoken-go
		"github.com/digitorus/timestamp", "github.com/digitorus/pkcs7",
		"codeberg.org/go-pdf/fpdf", "codeberg.org/go-pdf/fpdf/internal/", "golang.org/x/image/", // the paper is laid out again
		"golang.org/x/text/", // Unicode normal forms, of the tokenizers
	},
}

func permitted(list []string, path string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
	})
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for layer, list := range allowed {
		for _, path := range dependencies(t, layer) {
			if !permitted(list, path) {
				t.Errorf("%s is built from %s, which its list does not name", layer, path)
			}
			for _, never := range []string{"go-openai", "cobra", "yaml", "probe/endpoint", "pflag"} {
				if strings.Contains(path, never) {
					t.Errorf("%s is built from %s", layer, path)
				}
			}
		}
	}
	// The integrity layer asks nobody. (Package net itself is linked for the IP
	// addresses in X.509 certificates.)
	out, err := exec.Command("go", "list", "-deps", "github.com/stillmark/stillmark/reports/verify/integrity").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path == "net/http" || path == "os/exec" {
			t.Errorf("the integrity layer is built from %s", path)
		}
	}
}

// No package of ours that the verifier is built from imports net/http: what is
// linked for tiktoken-go is never called.
func TestNoNetworkOfOurs(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "github.com/stillmark/stillmark/reports/verify").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(path, "github.com/stillmark/stillmark/") {
			continue
		}
		seen++
		if slices.Contains(strings.Fields(imports), "net/http") {
			t.Errorf("%s imports net/http", path)
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages of ours were looked at", seen)
	}
}
