package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"

	"github.com/stillmark/stillmark/reports/model"
)

// What the report says of times and of commands depends on the timestamps that
// are there.
func TestWordsFollowTheStamps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		d         design
		says, not []string
		command   string
	}{
		"stamped": {
			design{decoys: ledger.MinDecoys}, // fewer pass no gate
			[]string{
				"were declared before the first request;", `timestamped by an authority that calls itself \"Test Authority\" (trust is for the reader to decide: verify --tsa-root), before the declared start`,
				"The plan bears a third-party timestamp", "4 of 4 tests passed the gate", "replies that broke off or came malformed",
			},
			[]string{"signer's own record", "timestamped by Test Authority", "validated on decoy keys", "hold no text"},
			"stillmark verify CASE.zip --trust signer.pem.pub --tsa-root authority.pem",
		},
		"not stamped": {
			design{noStamps: true},
			[]string{"were declared before the first request, by the signer's own record;", "That the plan came first is the signer's own record"},
			[]string{"calls itself", "The plan bears a third-party timestamp"},
			"stillmark verify CASE.zip --trust signer.pem.pub",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := build(t, c.d)
			folder := filepath.Join(f.dir, "reports", f.report)
			data := must[[]byte](t)(os.ReadFile(filepath.Join(folder, "report.json")))
			for _, s := range c.says {
				if !strings.Contains(string(data), s) {
					t.Errorf("the report does not say %q", s)
				}
			}
			for _, s := range c.not {
				if strings.Contains(string(data), s) {
					t.Errorf("the report says %q", s)
				}
			}
			r := must[*model.Report](t)(model.Decode(data))
			guide := string(must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, "VERIFY.md"))))
			if r.Seal.Command != c.command || r.HowTo.With[0] != c.command || !strings.Contains(guide, "    "+c.command+"\n") {
				t.Errorf("the commands are %q, %q, want %q, also in VERIFY.md", r.Seal.Command, r.HowTo.With[0], c.command)
			}
		})
	}
}
