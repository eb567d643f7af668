package verify

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

func TestWitness(t *testing.T) {
	t.Parallel()
	f := build(t, design{noPaperKey: true})
	dir := f.copyTo(t, t.TempDir())
	witness := must[*ledger.Signer](t)(ledger.NewSigner("Notary Public", stream(81)))
	packed := filepath.Join(t.TempDir(), "witnessed.zip")
	done := must[*reports.CosignResult](t)(reports.Cosign(dir, witness, packed))
	if done.Witnesses != 1 || done.KeyID != witness.KeyID() || done.ZipSHA256 == "" {
		t.Errorf("co-signed %+v", done)
	}
	again := must[*reports.CosignResult](t)(reports.Cosign(dir, witness, ""))
	if again.Witnesses != 1 || again.EnvelopeSHA256 != done.EnvelopeSHA256 {
		t.Errorf("co-signed a second time: %+v", again)
	}

	// A witness changes nothing about who is trusted.
	opt := f.trust()
	for _, path := range []string{dir, packed} {
		if r := f.verify(t, path, opt); r.State != Trusted || r.Exit != 0 || !has(r, LevelNote, CodeWitness) || has(r, LevelWarn, CodeLayout) {
			t.Errorf("%s: %s\n%s", path, r.State, text(t, r))
		}
	}
	opt.Trust = append(opt.Trust, witness.PublicKey())
	if r := f.verify(t, dir, opt); r.State != Trusted || !has(r, LevelOK, CodeWitness) || !strings.Contains(text(t, r), `trusted, "Notary Public"`) {
		t.Errorf("a trusted witness:\n%s", text(t, r))
	}
	opt.Trust = []ledger.PublicKey{witness.PublicKey()}
	if r := f.verify(t, dir, opt); r.State != Valid || r.Exit != integrity.ExitUntrusted || !has(r, LevelOK, CodeWitness) {
		t.Errorf("only the witness is trusted: %s, exit %d", r.State, r.Exit)
	}

	m := load(t, dir)
	folder := "reports/" + f.report + "/"
	envelope := folder + integrity.WitnessName(witness.KeyID())
	key := strings.TrimSuffix(envelope, ".json") + ".pem"
	stranger := must[*ledger.Signer](t)(ledger.NewSigner("Somebody Else", stream(82)))
	strange := folder + integrity.WitnessName(stranger.KeyID())
	strangeKey := strings.TrimSuffix(strange, ".json") + ".pem"
	own := folder + integrity.WitnessName(f.signer.KeyID())
	other := must[[]byte](t)(witness.SignDSSE(ledger.PayloadInToto, []byte("{}")))
	for name, c := range map[string]struct {
		m    fs.FS
		exit int
		file string
	}{
		"without its key":          {with(m, key, nil), integrity.ExitIncomplete, key},
		"without its signature":    {with(m, envelope, nil), integrity.ExitIncomplete, envelope},
		"another statement":        {with(m, envelope, other), integrity.ExitBadSignature, envelope},
		"another's key":            {with(m, key, integrity.WitnessKey(stranger.PublicKey())), integrity.ExitBadSignature, key},
		"a key with a name":        {with(m, key, witness.PublicKey().PEM()), integrity.ExitBadSignature, key},
		"the signer as a witness":  {with(with(m, own, m[folder+"report.dsse.json"].Data), strings.TrimSuffix(own, ".json")+".pem", integrity.WitnessKey(f.signer.PublicKey())), integrity.ExitBadSignature, strings.TrimSuffix(own, ".json") + ".pem"},
		"another's signature":      {with(with(m, strange, m[envelope].Data), strangeKey, integrity.WitnessKey(stranger.PublicKey())), integrity.ExitBadSignature, strange},
		"a name that is none":      {with(m, folder+"report.dsse.witness-x.json", m[envelope].Data), integrity.ExitAltered, folder + "report.dsse.witness-x.json"},
		"a witness of another day": {with(m, "reports/"+integrity.WitnessName(witness.KeyID()), m[envelope].Data), integrity.ExitAltered, "reports/" + integrity.WitnessName(witness.KeyID())},
	} {
		if r := check(t, c.m, f.trust()); r.Exit != c.exit || blamed(r) != c.file {
			t.Errorf("%s: exit %d, want %d; blamed %s, want %s", name, r.Exit, c.exit, blamed(r), c.file)
		}
	}
	for file, step := range map[string]int{key: 1, envelope: 61} {
		for i := 0; i < len(m[file].Data); i += step {
			bad := bytes.Clone(m[file].Data)
			bad[i] ^= 1
			if r := check(t, with(m, file, bad), f.trust()); r.State != Invalid || blamed(r) != file {
				t.Fatalf("%s, byte %d: %s, blamed %q", file, i, r.State, blamed(r))
			}
		}
	}
	// Nothing that was sealed names a witness: one that was taken away is not missed.
	if r := check(t, with(with(m, key, nil), envelope, nil), f.trust()); r.Exit != 0 || has(r, LevelNote, CodeWitness) {
		t.Errorf("without the witness: exit %d", r.Exit)
	}

	t.Run("tools", func(t *testing.T) {
		needTools(t, "bash", "openssl", "sha256sum")
		for _, s := range steps(t, string(m["VERIFY.md"].Data)) {
			if strings.Contains(s.commands, "NOT LISTED") {
				if out, err := shell(t, dir, t.TempDir(), s.commands); err != nil || out != "" {
					t.Errorf("files that are not listed: %q, %v", out, err)
				}
			}
		}
		command := model.SignatureCommands(envelope, folder+"statement.intoto.json", key, ledger.PayloadInToto)
		if out, err := shell(t, dir, t.TempDir(), command); err != nil || !strings.Contains(out, "Verified Successfully") {
			t.Errorf("%s\n%q, %v", command, out, err)
		}
	})
}

func TestCosignRefusals(t *testing.T) {
	t.Parallel()
	f := build(t, design{noPaperKey: true})
	witness := must[*ledger.Signer](t)(ledger.NewSigner("Notary Public", stream(81)))
	if _, err := reports.Cosign(f.dir, f.signer, ""); err == nil || !strings.Contains(err.Error(), "a witness signs with another key") {
		t.Errorf("the signer as a witness: %v", err)
	}
	if _, err := reports.Cosign(f.zip, witness, ""); err == nil || !strings.Contains(err.Error(), "unpack") {
		t.Errorf("a zip: %v", err)
	}
	dir := f.copyTo(t, t.TempDir())
	folder := filepath.Join(dir, "reports", f.report)
	envelope := filepath.Join(folder, integrity.WitnessName(witness.KeyID()))
	report := must[[]byte](t)(os.ReadFile(filepath.Join(folder, "report.json")))
	write(t, dir, "reports/"+f.report+"/report.json", append(bytes.Clone(report), ' '))
	var bad *integrity.Problem
	if _, err := reports.Cosign(dir, witness, ""); !errors.As(err, &bad) || bad.Exit != integrity.ExitAltered {
		t.Errorf("an altered case: %v", err)
	}
	if _, err := os.Lstat(envelope); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an altered case was signed: %v", err)
	}
	write(t, dir, "reports/"+f.report+"/report.json", report)

	// An interrupted command has written the key: the same command ends it.
	key := strings.TrimSuffix(envelope, ".json") + ".pem"
	if err := os.WriteFile(key, integrity.WitnessKey(witness.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	must[*reports.CosignResult](t)(reports.Cosign(dir, witness, ""))
	if r := f.verify(t, dir, f.trust()); r.State != Trusted {
		t.Errorf("after an interrupted command: %s", r.Verdict)
	}
	// A new seal is of a new statement: its witnesses sign again.
	must[*reports.SealResult](t)(reports.Seal(t.Context(), dir, f.signer, reports.SealOptions{Clock: still(4 * 3600e9), Report: f.report}))
	for _, file := range []string{envelope, key} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s outlived its seal: %v", file, err)
		}
	}
}
