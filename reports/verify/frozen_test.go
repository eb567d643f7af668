package verify

import (
	"crypto/x509"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
)

// Cases that were sealed once and are verified by every later version. They are made by
//
//	go test ./reports/verify -run TestFrozen -freeze NAME
//
// which writes testdata/frozen/NAME-*.zip with what is expected of them. Make new ones
// for a new format; never make old ones anew.
var freeze = flag.String("freeze", "", "name under which frozen cases are made")

const frozenDir = "testdata/frozen"

// frozenVersion is the version that the frozen reports say wrote them. It is none of
// this program's, as they will be read by others.
const frozenVersion = "v0.1.0-frozen"

// frozen is what is expected of a frozen case.
type frozen struct {
	State   State   `json:"state"`
	Exit    int     `json:"exit"`
	Numbers Numbers `json:"numbers"`
	Signer  string  `json:"signer_pem"`
	Roots   string  `json:"tsa_root_pem"`
}

func frozenOptions(t testing.TB, x *frozen) Options {
	t.Helper()
	o := Options{Trust: must[[]ledger.PublicKey](t)(ledger.ParsePublic([]byte(x.Signer))), TSARoots: x509.NewCertPool(), Program: testBuild}
	if !o.TSARoots.AppendCertsFromPEM([]byte(x.Roots)) {
		t.Fatal("no root")
	}
	return o
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	if *freeze != "" {
		makeFrozen(t, *freeze)
	}
	cases := must[[]string](t)(filepath.Glob(filepath.Join(frozenDir, "*.zip")))
	if len(cases) < 3 {
		t.Fatalf("%d frozen cases, want a plain one, a salted one and a redacted copy", len(cases))
	}
	for _, path := range cases {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			var want frozen
			if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(strings.TrimSuffix(path, ".zip")+".json")), &want); err != nil {
				t.Fatal(err)
			}
			r := must[*Result](t)(Verify(t.Context(), path, frozenOptions(t, &want)))
			said := text(t, r)
			if r.State == Invalid {
				t.Fatalf("a case that an earlier version sealed no longer verifies. New members of a report or of findings are omitted where they are empty; numbers stay what they were; a new format keeps the old one's reader.\n%s", said)
			}
			if r.Numbers != want.Numbers {
				t.Errorf("%+v, want %+v\n%s", r.Numbers, want.Numbers, said)
			}
			// Pages and sentences may be laid out and worded otherwise by now: that, and
			// nothing else, may have made VALID of TRUSTED.
			if r.State != want.State && (want.State != Trusted || r.State != Valid || !strings.Contains(r.Verdict, "written by version "+frozenVersion)) {
				t.Errorf("%s, want %s\n%s", r.State, want.State, said)
			}
		})
	}
}

// makeFrozen makes the frozen cases of a format.
func makeFrozen(t *testing.T, name string) {
	small := design{prompts: 4, tokens: 40, noPaperKey: true, program: frozenVersion}
	plain := small
	plain.plain = true
	whole := build(t, small)
	copied, _ := redactedCopy(t, whole, "copy.zip", reports.RedactOptions{Items: []string{"*/*/p001/*"}, Prompts: true, Replies: true, Headers: true, Exhibits: true})
	if err := os.MkdirAll(frozenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	old := build(t, plain)
	for kind, x := range map[string]struct {
		f    *fixture
		path string
	}{"plain": {old, old.zip}, "salted": {whole, whole.zip}, "redacted": {whole, copied}} {
		want := frozen{Signer: string(x.f.signer.PublicKey().PEM()), Roots: string(x.f.authority.CertPEM())}
		r := must[*Result](t)(Verify(t.Context(), x.path, frozenOptions(t, &want)))
		want.State, want.Exit, want.Numbers = r.State, r.Exit, r.Numbers
		to := filepath.Join(frozenDir, name+"-"+kind)
		for ending, data := range map[string][]byte{
			".zip":  must[[]byte](t)(os.ReadFile(x.path)),
			".json": must[[]byte](t)(json.MarshalIndent(want, "", "  ")),
		} {
			if err := ledger.WriteNewFile(to+ending, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
