package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

// has reports whether the checklist holds a line of a level with a code.
func has(r *Result, level, code string) bool {
	for _, l := range r.Lines {
		if l.Level == level && l.Code == code {
			return true
		}
	}
	return false
}

func text(t testing.TB, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]design{
		"fixed n":      {},
		"e-process":    {mode: ledger.ModeAnytime},
		"faults":       {broken: true, prompts: 14},
		"in French":    {broken: true, prompts: 14, lang: "fr"},
		"hostile text": {hostile: "\x1b[31m<script>alert(1)</script>\u202e\x00 </svg> 你好 مرحبا"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := build(t, d)
			for _, path := range []string{f.dir, f.zip} {
				r := f.verify(t, path, f.trust())
				said := text(t, r)
				if r.State != Trusted || r.Exit != 0 || has(r, LevelWarn, CodeLayout) {
					t.Fatalf("%s: %s, exit %d\n%s", path, r.State, r.Exit, said)
				}
				if r.Numbers.Recomputed != r.Numbers.Total || r.Numbers.Total < 200 {
					t.Errorf("%s: recomputed %d of %d numbers", path, r.Numbers.Recomputed, r.Numbers.Total)
				}
				if !strings.Contains(said, "VERDICT TRUSTED: unaltered since 2026-11-20T12:00:00Z.") {
					t.Error("the verdict does not name the timestamp's time")
				}
				if strings.ContainsAny(said, "\x1b\x00\u202e") {
					t.Error("the checklist prints a control character")
				}
			}
		})
	}
}

func TestSigners(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	stranger := must[*ledger.Signer](t)(ledger.NewSigner("Somebody Else", stream(77)))
	// The same name, another key: a name proves nothing.
	namesake := must[*ledger.Signer](t)(ledger.NewSigner(f.signer.Name(), stream(78)))
	for name, trust := range map[string][]ledger.PublicKey{
		"nobody": nil, "a stranger": {stranger.PublicKey()}, "a namesake": {namesake.PublicKey()},
	} {
		opt := f.trust()
		opt.Trust = trust
		r := f.verify(t, f.dir, opt)
		if r.State != Valid || r.Exit != integrity.ExitUntrusted || !has(r, LevelWarn, CodeSigner) {
			t.Errorf("trusting %s: %s, exit %d", name, r.State, r.Exit)
		}
	}

	t.Run("signed again with another key", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		reseal(t, f, dir, stranger)
		r := f.verify(t, dir, f.trust())
		if r.State != Valid || r.Exit != integrity.ExitUntrusted {
			t.Errorf("%s, exit %d: %s", r.State, r.Exit, r.Verdict)
		}
	})
	t.Run("signed again, but the plan is not", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		open(t, dir)
		_, err := reports.Seal(t.Context(), dir, stranger, reports.SealOptions{})
		if err == nil || !strings.Contains(err.Error(), "seal with the key that signed the plan") {
			t.Errorf("sealing with another key than the plan's: %v", err)
		}
	})
}

// open takes the seal event off a ledger, as somebody would who wants to seal
// other files under it.
func open(t testing.TB, dir string) {
	t.Helper()
	path := filepath.Join(dir, "ledger.jsonl")
	data := must[[]byte](t)(os.ReadFile(path))
	cut := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	if !bytes.Contains(data[cut:], []byte(`"type":"seal"`)) {
		t.Fatal("the last event is not the seal")
	}
	if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeyWithheld(t *testing.T) {
	t.Parallel()
	f := build(t, design{withhold: true})
	r := f.verify(t, f.dir, f.trust())
	said := text(t, r)
	if r.State != Valid || r.Exit != integrity.ExitUntrusted || !strings.Contains(said, "unverified (key withheld)") {
		t.Errorf("%s, exit %d\n%s", r.State, r.Exit, said)
	}
	if n := r.Numbers; n.Withheld == 0 || n.Recomputed == 0 || n.Recomputed+n.Withheld != n.Total {
		t.Errorf("numbers %+v", n)
	}
	opt := f.trust()
	opt.Keys = f.keys
	if r := f.verify(t, f.zip, opt); r.State != Trusted || r.Numbers.Recomputed != r.Numbers.Total {
		t.Errorf("with the keys given: %s\n%s", r.State, text(t, r))
	}
	opt.Keys = f.keys[:1]
	if r := f.verify(t, f.zip, opt); r.State != Valid || r.Numbers.Withheld == 0 {
		t.Errorf("with one of two keys given: %s\n%s", r.State, text(t, r))
	}

	// Without the keys, a report that says otherwise than its findings is still found.
	dir := f.copyTo(t, t.TempDir())
	path := filepath.Join(dir, "reports", f.report, "report.json")
	data := must[[]byte](t)(os.ReadFile(path))
	data = bytes.Replace(data, []byte(`"verdict": "no-trace"`), []byte(`"verdict": "dependence"`), 1)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	reseal(t, f, dir, f.signer)
	if r := f.verify(t, dir, f.trust()); r.Exit != integrity.ExitDiffers {
		t.Errorf("a verdict was changed: %s", text(t, r))
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	t.Run("no timestamps", func(t *testing.T) {
		t.Parallel()
		f := build(t, design{noStamps: true})
		r := f.verify(t, f.zip, f.trust())
		if r.State != Trusted || r.Stamped || !has(r, LevelWarn, CodePlanTime) || !has(r, LevelNote, CodeSealTime) ||
			!strings.Contains(r.Verdict, "the signer's own claim") {
			t.Errorf("%s", text(t, r))
		}
	})
	t.Run("commitments after serving", func(t *testing.T) {
		t.Parallel()
		f := build(t, design{late: true})
		r := f.verify(t, f.dir, f.trust())
		if r.State != Trusted || !has(r, LevelNote, CodeCommitment) {
			t.Errorf("%s", text(t, r))
		}
	})
	t.Run("plan stamped before it was made", func(t *testing.T) {
		t.Parallel()
		f := build(t, design{earlyPlan: true})
		r := f.verify(t, f.dir, f.trust())
		if r.Exit != integrity.ExitTime || blamed(r) != "plan.tsr" || !strings.Contains(r.Verdict, "before the plan was made") {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})
	t.Run("commitment stamped after the plan", func(t *testing.T) {
		t.Parallel()
		f := build(t, design{future: true})
		r := f.verify(t, f.dir, f.trust())
		if r.Exit != integrity.ExitTime || !strings.HasPrefix(blamed(r), "commitments/") || !strings.Contains(r.Verdict, "after the plan that refers to it") {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})
	t.Run("commitments as the findings have them", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			d     design
			level string
			want  string
		}{
			"in time":    {design{}, LevelOK, "2 of 2 keys stamped before"},
			"late":       {design{late: true}, LevelNote, "none (2 late): every result is exploratory"},
			"unstamped":  {design{noStamps: true}, LevelNote, "none (2 unstamped)"},
			"withheld":   {design{withhold: true}, LevelWarn, "not determined"},
			"no serving": {design{noServing: true}, LevelNote, "none (2 serving-unknown)"},
		} {
			f := build(t, c.d)
			r := f.verify(t, f.dir, f.trust())
			if !has(r, c.level, CodeCommitment) || !strings.Contains(text(t, r), c.want) {
				t.Errorf("%s: %s", name, text(t, r))
			}
		}
	})
	t.Run("plan stamped after the first request", func(t *testing.T) {
		t.Parallel()
		f := build(t, design{latePlan: true})
		r := f.verify(t, f.dir, f.trust())
		if r.Exit != integrity.ExitTime || blamed(r) != "plan.tsr" {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})

	f := build(t, design{})
	t.Run("no roots given", func(t *testing.T) {
		t.Parallel()
		opt := f.trust()
		opt.TSARoots = nil
		r := f.verify(t, f.dir, opt)
		if r.State != Valid || r.Exit != integrity.ExitUntrusted || r.Stamped || !has(r, LevelWarn, CodeSealTime) || !has(r, LevelWarn, CodeCommitment) ||
			!strings.HasPrefix(r.Verdict, "VALID (timestamps not checked: no --tsa-root)") {
			t.Errorf("%s", text(t, r))
		}
		// Where nothing rests on a timestamp, none has to be checked.
		late := build(t, design{late: true})
		opt.Trust = []ledger.PublicKey{late.signer.PublicKey()}
		if r := late.verify(t, late.dir, opt); r.State != Trusted || r.Exit != 0 {
			t.Errorf("exploratory results only: %s", text(t, r))
		}
	})
	t.Run("another authority", func(t *testing.T) {
		t.Parallel()
		other := must[*timestamp.Authority](t)(timestamp.NewAuthority("Other", time.Now))
		opt := f.trust()
		opt.TSARoots = x509.NewCertPool()
		opt.TSARoots.AppendCertsFromPEM(other.CertPEM())
		r := f.verify(t, f.dir, opt)
		if r.Exit != integrity.ExitTime || r.State != Invalid {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})
	t.Run("the seal's token replaced", func(t *testing.T) {
		t.Parallel()
		m := load(t, f.dir)
		name := "reports/" + f.report + "/report.dsse.tsr"
		token := must[[]byte](t)(f.authority.Stamp(sha256.Sum256([]byte("something else"))))
		r := check(t, with(m, name, token), f.trust())
		if r.Exit != integrity.ExitTime || blamed(r) != name {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
		// Removing it leaves the signer's own claim, in plain words.
		r = check(t, with(m, name, nil), f.trust())
		if r.State != Trusted || r.Stamped || !strings.Contains(r.Verdict, "own claim") {
			t.Errorf("%s", text(t, r))
		}
	})
	t.Run("a seal stamped before it was made", func(t *testing.T) {
		t.Parallel()
		dir := f.copyTo(t, t.TempDir())
		open(t, dir)
		early := must[*timestamp.Authority](t)(timestamp.NewAuthority("Early", func() time.Time { return caseTime }))
		must[*reports.SealResult](t)(reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{
			Clock: still(2 * time.Hour),
			Stamp: func(_ context.Context, d [32]byte) ([]byte, error) { return early.Stamp(d) },
		}))
		opt := f.trust()
		opt.TSARoots = nil
		if r := f.verify(t, dir, opt); r.Exit != integrity.ExitTime {
			t.Errorf("exit %d\n%s", r.Exit, text(t, r))
		}
	})
}

func TestSealAgain(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	stamp := func(_ context.Context, d [32]byte) ([]byte, error) { return f.authority.Stamp(d) }
	seal := func(dir string, opt reports.SealOptions) {
		t.Helper()
		must[*reports.SealResult](t)(reports.Seal(t.Context(), dir, f.signer, opt))
		if r := f.verify(t, dir, f.trust()); r.State != Trusted {
			t.Fatalf("%s", text(t, r))
		}
	}
	// Interrupted between the seal event and the signature.
	dir := f.copyTo(t, t.TempDir())
	before := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "ledger.jsonl")))
	for _, name := range []string{"manifest-sha256.txt", "reports/" + f.report + "/report.dsse.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := f.verify(t, dir, f.trust()); r.Exit != integrity.ExitIncomplete {
		t.Errorf("half a seal: exit %d", r.Exit)
	}
	seal(dir, reports.SealOptions{Stamp: stamp})
	if after := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "ledger.jsonl"))); !bytes.Equal(before, after) {
		t.Error("repeating an interrupted seal wrote a second seal event")
	}
	// Another report of the same findings: the first seal stays in the record.
	built := must[*reports.Built](t)(reports.Build(t.Context(), dir, reports.BuildOptions{Keys: f.keys, Program: ledger.Build{Version: "v9"}}))
	if built.ID == f.report {
		t.Fatal("another program has built the same report")
	}
	seal(dir, reports.SealOptions{Report: built.ID})
	if n := bytes.Count(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "ledger.jsonl"))), []byte(`"type":"seal"`)); n != 2 {
		t.Errorf("%d seal events, want 2", n)
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for name, c := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"left-over temporary file": {func(dir string) error { return os.WriteFile(filepath.Join(dir, ".plan.json.tmp-1"), nil, 0o600) }, "left over"},
		"findings replaced": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "analysis", f.analysis, "findings.json"), []byte(`{"format":1,"findings":[]}`), 0o600)
		}, "build it again"},
		"report edited": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "reports", f.report, "report.json"), []byte(`{"format":1}`), 0o600)
		}, "not in the form"},
		"no report": {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "reports")) }, "report build first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, err := reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for _, out := range []string{"case.zip", "reports/case.zip"} {
		dir := f.copyTo(t, t.TempDir())
		_, err := reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{Out: filepath.Join(dir, out)})
		if err == nil || !strings.Contains(err.Error(), "lies in the case") {
			t.Errorf("an archive inside the case: %v", err)
		}
	}
	// A report that has not seen the last replies.
	dir := f.copyTo(t, t.TempDir())
	open(t, dir)
	path := filepath.Join(dir, "analysis", f.analysis, "findings.json")
	var findings ledger.Findings
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(path)), &findings); err != nil {
		t.Fatal(err)
	}
	findings.Events -= 5
	early := must[[]byte](t)(json.Marshal(findings))
	must[string](t)(ledger.SaveAnalysis(dir, early))
	must[*reports.Built](t)(reports.Build(t.Context(), dir, reports.BuildOptions{Program: testBuild}))
	if _, err := reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{}); err == nil || !strings.Contains(err.Error(), "after the analysis") {
		t.Errorf("replies came after the analysis: %v", err)
	}
}

// Nothing is built or sealed that a verifier with the disclosed keys would compute
// otherwise.
func TestMadeWithoutTheKey(t *testing.T) {
	t.Parallel()
	f := build(t, design{withhold: true})
	build := func(dir string, opt reports.BuildOptions) (*reports.Built, error) {
		opt.Program = testBuild
		return reports.Build(t.Context(), dir, opt)
	}
	seal := func(dir string, opt reports.SealOptions) error {
		_, err := reports.Seal(t.Context(), dir, f.signer, opt)
		return err
	}
	refused := func(err error, want ...string) {
		t.Helper()
		var coded interface{ ExitCode() int }
		if !errors.As(err, &coded) || coded.ExitCode() != 2 {
			t.Fatalf("%v has no exit code 2", err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	dir := f.copyTo(t, t.TempDir())
	open(t, dir)
	c := must[*ledger.Case](t)(ledger.Open(dir))
	analyze := func(keys ...*watermark.Key) string {
		findings := must[*ledger.Findings](t)(family.Analyze(t.Context(), c, keys, family.Options{}))
		return must[string](t)(ledger.SaveAnalysis(dir, must[[]byte](t)(family.Encode(findings))))
	}
	// The newest analysis has one key of two; an older one has both.
	partial := analyze(f.keys[0])
	_, err := build(dir, reports.BuildOptions{Keys: f.keys})
	refused(err, "analysis "+partial+" was made without key "+f.keys[1].ID, "--analysis "+f.analysis)
	one := must[*reports.Built](t)(build(dir, reports.BuildOptions{Keys: f.keys[:1]}))
	refused(seal(dir, reports.SealOptions{Disclose: f.keys}), "without key "+f.keys[1].ID, "--analysis "+f.analysis)
	if _, err := os.Stat(filepath.Join(dir, "disclosed")); err == nil {
		t.Error("a key was disclosed before the seal was refused")
	}
	// With the key that the analysis had, it is sound.
	if err := seal(dir, reports.SealOptions{Disclose: f.keys[:1]}); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t, dir, f.trust()); r.State != Valid || r.Numbers.Recomputed == 0 {
		t.Errorf("one key of two: %s", text(t, r))
	}
	// What was disclosed stays so: a report without its exhibits is refused, though
	// no key is given now, and so is an analysis without any key.
	open(t, dir)
	bare := must[*reports.Built](t)(build(dir, reports.BuildOptions{}))
	refused(seal(dir, reports.SealOptions{}), "report "+bare.ID+" was built without key "+f.keys[0].ID, "--analysis "+partial)
	none := analyze()
	must[*reports.Built](t)(build(dir, reports.BuildOptions{}))
	refused(seal(dir, reports.SealOptions{}), "analysis "+none+" was made without key "+f.keys[0].ID, "--analysis "+partial)
	// The advice leads out: the report that is there already is named.
	again := must[*reports.Built](t)(build(dir, reports.BuildOptions{Analysis: partial, Keys: f.keys[:1]}))
	if again.ID != one.ID {
		t.Errorf("built %s, want %s again", again.ID, one.ID)
	}
	if err := seal(dir, reports.SealOptions{Report: again.ID}); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t, dir, f.trust()); r.State != Valid {
		t.Errorf("sealed again: %s", text(t, r))
	}
	both := must[*reports.Built](t)(build(dir, reports.BuildOptions{Analysis: f.analysis, Keys: f.keys}))
	if err := seal(dir, reports.SealOptions{Report: both.ID, Disclose: f.keys}); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t, dir, f.trust()); r.State != Trusted {
		t.Errorf("with both keys: %s", text(t, r))
	}
	// Without an analysis that has them, the advice is to make one.
	lone := f.copyTo(t, t.TempDir())
	open(t, lone)
	if err := os.RemoveAll(filepath.Join(lone, "analysis", f.analysis)); err != nil {
		t.Fatal(err)
	}
	findings := must[*ledger.Findings](t)(family.Analyze(t.Context(), c, nil, family.Options{}))
	must[string](t)(ledger.SaveAnalysis(lone, must[[]byte](t)(family.Encode(findings))))
	_, err = build(lone, reports.BuildOptions{Keys: f.keys})
	refused(err, "was made without keys "+f.keys[0].ID+", "+f.keys[1].ID, "run stillmark analyze "+lone)
}

// A reader may have a key that the case withholds, and that its analysis or its
// report was made without. That is no fault of the case.
func TestReadersKeyThatTheCaseLacks(t *testing.T) {
	t.Parallel()
	f := build(t, design{withhold: true})
	opt := f.trust()
	opt.Keys = f.keys
	seal := func(dir, analysis string) *Result {
		t.Helper()
		built := must[*reports.Built](t)(reports.Build(t.Context(), dir, reports.BuildOptions{Analysis: analysis, Program: testBuild}))
		must[*reports.SealResult](t)(reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{Report: built.ID, Clock: still(2 * time.Hour)}))
		return f.verify(t, dir, opt)
	}
	dir := f.copyTo(t, t.TempDir())
	if r := seal(dir, f.analysis); r.State != Trusted || r.Numbers.Recomputed != r.Numbers.Total {
		t.Errorf("a report without exhibits: %s", text(t, r))
	}
	c := must[*ledger.Case](t)(ledger.Open(dir))
	findings := must[*ledger.Findings](t)(family.Analyze(t.Context(), c, f.keys[1:], family.Options{}))
	partial := must[string](t)(ledger.SaveAnalysis(dir, must[[]byte](t)(family.Encode(findings))))
	r := seal(dir, partial)
	if said := text(t, r); r.State != Valid || !strings.Contains(said, f.keys[0].ID+" is given, but the sealed analysis was made without it") || r.Numbers.Withheld == 0 {
		t.Errorf("an analysis without one of the keys: %s", said)
	}
}

// Two runs over the same replies give the same archive, byte for byte, where no
// authority adds its own time and serial number and no document key its randomness.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	a, b := build(t, design{noStamps: true, noPaperKey: true}), build(t, design{noStamps: true, noPaperKey: true})
	if !bytes.Equal(must[[]byte](t)(os.ReadFile(a.zip)), must[[]byte](t)(os.ReadFile(b.zip))) {
		t.Error("two archives of the same case differ")
	}
	again := must[*reports.Built](t)(reports.Build(t.Context(), a.dir, reports.BuildOptions{Keys: a.keys, Program: testBuild}))
	if again.ID != a.report {
		t.Errorf("building again gave report %s, not %s", again.ID, a.report)
	}
}

// The drawn secrets must be in no file of the case, however they are written.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for i := range f.keys {
		master := make([]byte, 32)
		if _, err := stream(byte(i + 1)).Read(master); err != nil {
			t.Fatal(err)
		}
		for name, file := range load(t, f.dir) {
			for _, spelling := range spellings(master) {
				if bytes.Contains(file.Data, spelling) {
					t.Errorf("%s holds the master secret of key %d", name, i)
				}
			}
		}
	}
}

// Verification of a case of a thousand replies: all of it, and the integrity
// layer alone.
func BenchmarkVerify(b *testing.B) {
	f := build(b, design{prompts: 500, tokens: 120, decoys: 99})
	replies := 1000.0
	b.Run("integrity", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := integrity.Open(f.dir)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := integrity.Check(p); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/replies*1000, "s/1000replies")
	})
	for _, path := range []string{f.dir, f.zip} {
		b.Run("all/"+strings.TrimPrefix(filepath.Ext(path), "."), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := f.verify(b, path, f.trust()); r.State != Trusted {
					b.Fatal(r.Verdict)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/replies*1000, "s/1000replies")
		})
	}
}

// A case as earlier versions made it, without salts, verifies as ever.
func TestPlainCase(t *testing.T) {
	t.Parallel()
	f := build(t, design{plain: true})
	for _, path := range []string{f.dir, f.zip} {
		if r := f.verify(t, path, f.trust()); r.State != Trusted || r.Numbers.Recomputed != r.Numbers.Total-r.Numbers.Exempt {
			t.Errorf("%s: %+v\n%s", path, r.Numbers, text(t, r))
		}
	}
}

// A disk that is full while a case is computed again is an error of this machine: the
// case is not said to differ.
func TestFullDiskSaysNothingOfTheCase(t *testing.T) {
	t.Parallel()
	v := &verifier{}
	err := v.notComputed(t.Context(), "analysis/a/findings.json", fmt.Errorf("test e1: %w", &watermark.SpillError{Err: syscall.ENOSPC}))
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) || coded.ExitCode() != 24 {
		t.Errorf("%v", err)
	}
}
