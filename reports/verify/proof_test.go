package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// proofOf makes the proof of an item.
func proofOf(t testing.TB, fsys fstest.MapFS, item string, bare bool) []byte {
	t.Helper()
	s := must[*integrity.Sealed](t)(integrity.Check(&integrity.Package{FS: fsys}))
	return must[[]byte](t)(must[*integrity.Proof](t)(s.Prove(item, bare)).Encode())
}

// A proof of one reply is checked without the case, and any flipped bit is noticed.
func TestProof(t *testing.T) {
	t.Parallel()
	f := build(t, design{broken: true})
	m := load(t, f.dir)
	opt := f.trust()
	item := "acme-nova-1/longform-en/p003/0"
	data := proofOf(t, m, item, false)
	r := VerifyProof(data, opt)
	if said := text(t, r); r.State != Trusted || r.Exit != 0 || !strings.Contains(said, "reply of "+item) || !strings.Contains(said, "blocks, as the events refer to them") {
		t.Fatalf("%s", said)
	}
	if r := VerifyProof(data, Options{}); r.State != Valid || r.Exit != integrity.ExitUntrusted || strings.Contains(r.Verdict, "recomputed") {
		t.Errorf("nobody trusted: %s", r.Verdict)
	}
	if r := VerifyProof(proofOf(t, m, item, true), opt); r.State != Trusted || !strings.Contains(text(t, r), "the proof is about the lines") {
		t.Errorf("bare: %s", text(t, r))
	}
	for _, at := range positions(len(data)) {
		bad := bytes.Clone(data)
		bad[at] ^= 1 << (at % 7)
		if r := VerifyProof(bad, opt); r.State != Invalid {
			t.Errorf("byte %d (%q -> %q): %s", at, data[at], bad[at], r.Verdict)
		}
	}
	edit := func(change func(p *integrity.Proof)) []byte {
		var p integrity.Proof
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		change(&p)
		return must[[]byte](t)(p.Encode())
	}
	other := must[*ledger.Signer](t)(ledger.NewSigner("Somebody", stream(44)))
	for name, tt := range map[string]struct {
		data []byte
		exit int
	}{
		"another item": {edit(func(p *integrity.Proof) { p.Item = "acme-nova-1/longform-en/p004/0" }), integrity.ExitAltered},
		"another case": {edit(func(p *integrity.Proof) { p.CaseID += "x" }), integrity.ExitBadSignature},
		"a longer answer": {edit(func(p *integrity.Proof) {
			e := &p.Events[len(p.Events)-1]
			e.Stored["response"] = append(e.Stored["response"], ' ')
		}), integrity.ExitAltered},
		"a part of nothing": {edit(func(p *integrity.Proof) { p.Events[0].Stored["response"] = []byte("x") }), integrity.ExitAltered},
		"no event":          {edit(func(p *integrity.Proof) { p.Events = nil }), integrity.ExitAltered},
		"out of order":      {edit(func(p *integrity.Proof) { slices.Reverse(p.Events) }), integrity.ExitAltered},
		"a short path":      {edit(func(p *integrity.Proof) { p.Events[0].Path = p.Events[0].Path[1:] }), integrity.ExitAltered},
		"a later format":    {bytes.Replace(data, []byte(`"format": 1`), []byte(`"format": 2, "more": 1`), 1), integrity.ExitIncomplete},
		"another key":       {edit(func(p *integrity.Proof) { p.Signer = string(integrity.WitnessKey(other.PublicKey())) }), integrity.ExitBadSignature},
		"signed by another key": {edit(func(p *integrity.Proof) {
			cp := must[ledger.Checkpoint](t)(ledger.OpenCheckpoint(p.CaseID, []byte(p.Checkpoint), f.signer.PublicKey().Key))
			p.Signer = string(integrity.WitnessKey(other.PublicKey()))
			p.Checkpoint = string(must[[]byte](t)(ledger.SignCheckpoint(p.CaseID, cp.Size, cp.Root, other)))
		}), integrity.ExitUntrusted},
		"a foreign token": {edit(func(p *integrity.Proof) { p.Token = []byte("x") }), integrity.ExitTime},
		"nothing":         {nil, integrity.ExitAltered},
	} {
		if r := VerifyProof(tt.data, opt); r.Exit != tt.exit || r.State == Trusted {
			t.Errorf("%s: exit %d, want %d: %s", name, r.Exit, tt.exit, r.Verdict)
		}
	}
	s := must[*integrity.Sealed](t)(integrity.Check(&integrity.Package{FS: m}))
	if _, err := s.Prove("nova/none/at/0", false); err == nil {
		t.Error("an item that is not there was proven")
	}
}

// Heads are held against the ledger, and their timestamps against its events.
func TestCheckpointsVerified(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	dir := f.copyTo(t, t.TempDir())
	c := must[*ledger.Case](t)(ledger.Open(dir))
	head := func(size int, at time.Time, signer *ledger.Signer) (string, []byte, []byte) {
		tree := must[*ledger.Tree](t)(c.Prefix(uint64(size)).Tree())
		data := must[[]byte](t)(ledger.SignCheckpoint(c.Plan().CaseID, int64(size), tree.Root(), signer))
		authority := must[*timestamp.Authority](t)(timestamp.NewAuthority("Head Authority", func() time.Time { return at }))
		f.roots.AppendCertsFromPEM(authority.CertPEM())
		return ledger.CheckpointName(int64(size)), data, must[[]byte](t)(authority.Stamp(sha256.Sum256(data)))
	}
	put := func(m fstest.MapFS, name string, note, token []byte) fstest.MapFS {
		m = with(m, name, note)
		if token != nil {
			m = with(m, name+".tsr", token)
		}
		return m
	}
	name, good, token := head(9, caseTime.Add(time.Hour), f.signer)
	_, _, early := head(9, caseTime.Add(-time.Hour), f.signer)
	_, foreign, _ := head(9, caseTime, must[*ledger.Signer](t)(ledger.NewSigner("Somebody", stream(44))))
	wrong := must[[]byte](t)(ledger.SignCheckpoint(c.Plan().CaseID, 9, ledger.Hash{1}, f.signer))
	beyond := must[[]byte](t)(ledger.SignCheckpoint(c.Plan().CaseID, 10_000, ledger.Hash{1}, f.signer))
	base := load(t, dir)
	for label, tt := range map[string]struct {
		files fstest.MapFS
		exit  int
		says  string
	}{
		"in order":          {put(base, name, good, token), 0, "2 signed tree heads, each that of the ledger's first lines, from 9 to"},
		"without a token":   {put(base, name, good, nil), 0, "2 signed tree heads"},
		"stamped before":    {put(base, name, good, early), integrity.ExitTime, "before an event at"},
		"a token alone":     {with(base, name+".tsr", token), integrity.ExitAltered, "a checkpoint that is not there"},
		"by another key":    {put(base, name, foreign, nil), integrity.ExitBadSignature, "signature"},
		"of another ledger": {put(base, name, wrong, nil), integrity.ExitAltered, "do not have the root"},
		"of lines to come":  {put(base, ledger.CheckpointName(10_000), beyond, nil), integrity.ExitAltered, "of 10000 lines, and the ledger has"},
		"by another name":   {put(base, ledger.CheckpointName(8), good, nil), integrity.ExitAltered, "which its name does not say"},
		"another file":      {with(base, "checkpoints/notes.txt", good), integrity.ExitAltered, "no place"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, file := range tt.files {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, dir, name, file.Data)
			}
			reseal(t, f, dir, f.signer)
			r := f.verify(t, dir, f.trust())
			if said := text(t, r); r.Exit != tt.exit || !strings.Contains(said, tt.says) {
				t.Errorf("exit %d, want %d and %q\n%s", r.Exit, tt.exit, tt.says, said)
			}
		})
	}
}

func FuzzCheckProof(f *testing.F) {
	x := build(f, design{prompts: 2, tokens: 5, noStamps: true, noPaperKey: true})
	data := proofOf(f, load(f, x.dir), "acme-nova-1/longform-en/p001/0", false)
	f.Add(data)
	f.Add([]byte(`{"format": 1}`))
	var whole integrity.Proof
	if err := json.Unmarshal(data, &whole); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, got []byte) {
		p, err := integrity.CheckProof(got)
		if err != nil || p.Key.KeyID != x.signer.KeyID() {
			return
		}
		for _, e := range p.Events {
			if !slices.ContainsFunc(whole.Events, func(o integrity.ProvenEvent) bool { return o.Line == e.Line }) {
				t.Errorf("%q passes for a line of the ledger", e.Line)
			}
		}
	})
}
