package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

func testSigner(t testing.TB, seed byte) *Signer {
	t.Helper()
	s, err := NewSigner("Example AI - Evidence Desk", newRand(seed))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oracle lets the secure-systems-lab library sign and verify with our keys.
type oracle struct{ s *Signer }

func (o oracle) KeyID() (string, error)   { return o.s.KeyID(), nil }
func (o oracle) Public() crypto.PublicKey { return o.s.Public() }
func (o oracle) Sign(_ context.Context, data []byte) ([]byte, error) {
	return o.s.Sign(nil, data, crypto.Hash(0))
}

func (o oracle) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(o.s.PublicKey().Key, data, sig) {
		return errors.New("bad signature")
	}
	return nil
}

func TestDSSEAgainstReference(t *testing.T) {
	t.Parallel()
	s := testSigner(t, 1)
	keys := []ed25519.PublicKey{testSigner(t, 2).PublicKey().Key, s.PublicKey().Key}
	es, err := dsse.NewEnvelopeSigner(oracle{s})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := dsse.NewEnvelopeVerifier(oracle{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"", "x", `{"a":"<b>&"}`, strings.Repeat("long ", 1000), "\x00\xff"} {
		if got, want := preAuth(PayloadInToto, []byte(payload)), dsse.PAE(PayloadInToto, []byte(payload)); !bytes.Equal(got, want) {
			t.Errorf("PAE of %.10q: %.60q, want %.60q", payload, got, want)
		}
		ours, err := s.SignDSSE(PayloadInToto, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := es.SignPayload(t.Context(), PayloadInToto, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		// Ed25519 is deterministic: both write the same envelope but for our newline.
		if !bytes.Equal(ours, append(line, '\n')) {
			t.Errorf("envelopes differ:\n%s%s", ours, line)
		}
		var env dsse.Envelope
		if err := json.Unmarshal(ours, &env); err != nil {
			t.Fatal(err)
		}
		if _, err := ev.Verify(t.Context(), &env); err != nil {
			t.Errorf("the reference does not accept ours: %v", err)
		}
		got, key, err := VerifyDSSE(ours, PayloadInToto, keys)
		if err != nil || string(got) != payload || !key.Equal(s.PublicKey().Key) {
			t.Errorf("VerifyDSSE = %.10q, %x, %v", got, key, err)
		}
	}
}

func TestDSSERefusals(t *testing.T) {
	t.Parallel()
	s := testSigner(t, 1)
	keys := []ed25519.PublicKey{s.PublicKey().Key}
	good, err := s.SignDSSE(PayloadInToto, []byte("payload<>"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x01
		if _, _, err := VerifyDSSE(bad, PayloadInToto, keys); err == nil {
			t.Errorf("accepted with byte %d changed: %s", i, bad)
		}
		if _, _, err := VerifyDSSE(good[:i], PayloadInToto, keys); err == nil {
			t.Errorf("accepted when cut at byte %d", i)
		}
	}
	re := func(old, repl string) []byte { return bytes.Replace(good, []byte(old), []byte(repl), 1) }
	var env envelope
	if err := json.Unmarshal(good, &env); err != nil {
		t.Fatal(err)
	}
	twice := env
	twice.Signatures = append(twice.Signatures, env.Signatures[0])
	two, err := twice.encode()
	if err != nil {
		t.Fatal(err)
	}
	forged := env
	forged.Signatures = []envelopeSignature{{KeyID: s.KeyID(), Sig: base64.StdEncoding.EncodeToString(make([]byte, 64))}}
	zero, err := forged.encode()
	if err != nil {
		t.Fatal(err)
	}
	short := env
	short.Signatures = []envelopeSignature{{KeyID: s.KeyID(), Sig: "AAAA"}}
	stub, err := short.encode()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		typ  string
		keys []ed25519.PublicKey
		is   error
	}{
		{"another payload type is asked for", good, "text/plain", keys, nil},
		{"no keys", good, PayloadInToto, nil, ErrUnknownSigner},
		{"a malformed key", good, PayloadInToto, []ed25519.PublicKey{[]byte("short")}, ErrUnknownSigner},
		{"another key", good, PayloadInToto, []ed25519.PublicKey{testSigner(t, 9).PublicKey().Key}, ErrUnknownSigner},
		{"zero signature", zero, PayloadInToto, keys, ErrSignature},
		{"short signature", stub, PayloadInToto, keys, ErrSignature},
		{"two signatures", two, PayloadInToto, keys, nil},
		{"no newline", good[:len(good)-1], PayloadInToto, keys, nil},
		{"spaces", re(`{"`, `{ "`), PayloadInToto, keys, nil},
		{"unknown member", re(`{`, `{"x":1,`), PayloadInToto, keys, nil},
		{"member twice", re(`{`, `{"payload":"",`), PayloadInToto, keys, nil},
		{"escaped character", re(`payloadType`, `payl\u006fadType`), PayloadInToto, keys, nil},
		{"base64 with a line break", re(env.Payload, env.Payload[:4]+`\n`+env.Payload[4:]), PayloadInToto, keys, nil},
		{"base64 for URLs", re(env.Payload, strings.ReplaceAll(strings.ReplaceAll(env.Payload, "+", "-"), "/", "_")+" "), PayloadInToto, keys, nil},
		{"trailing bits", re(env.Signatures[0].Sig, env.Signatures[0].Sig[:len(env.Signatures[0].Sig)-3]+"B=="), PayloadInToto, keys, nil},
		{"empty", nil, PayloadInToto, keys, nil},
		{"null", []byte("null\n"), PayloadInToto, keys, nil},
		{"too large", make([]byte, maxEnvelope+1), PayloadInToto, keys, nil},
	}
	for _, tt := range tests {
		payload, _, err := VerifyDSSE(tt.data, tt.typ, tt.keys)
		if err == nil || payload != nil {
			t.Errorf("%s: accepted", tt.name)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.is)
		}
	}
	if _, err := SignDSSE("x", nil, s, "another id"); err == nil {
		t.Error("signed under another key id")
	}
}

func TestSignerFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lab.key")
	s, err := NewSigner("Example AI – Evidence Desk", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Save: %v, want fs.ErrExist", err)
	}
	got, err := LoadSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name() != s.Name() || got.KeyID() != s.KeyID() || !got.PublicKey().Key.Equal(s.PublicKey().Key) {
		t.Errorf("loaded %s %s", got.Name(), got.KeyID())
	}
	pub, err := LoadPublic(path + ".pub")
	if err != nil || len(pub) != 1 || pub[0].Name != s.Name() || pub[0].KeyID != s.KeyID() || !pub[0].Key.Equal(s.PublicKey().Key) {
		t.Errorf("LoadPublic = %+v, %v", pub, err)
	}
	sealed := filepath.Join(dir, "sealed.key")
	if err := s.SaveProtected(sealed, func(file []byte) ([]byte, error) {
		if again, err := ParseSigner(file); err != nil || again.KeyID() != s.KeyID() {
			t.Errorf("what is to be protected is no key file: %v", err)
		}
		return []byte("sealed"), nil
	}); err != nil || string(readFileT(t, sealed)) != "sealed" {
		t.Errorf("SaveProtected: %v", err)
	}
	broken := filepath.Join(dir, "broken.key")
	if err := s.SaveProtected(broken, func([]byte) ([]byte, error) { return nil, fs.ErrInvalid }); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a protection that fails: %v", err)
	}
	if _, err := os.Lstat(broken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was written without its protection: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, %v", st.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSigner(path); err == nil || !strings.Contains(err.Error(), "permissions") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := LoadSigner(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	// A trust file is several public keys, one after the other.
	other := testSigner(t, 3)
	both, err := ParsePublic(append(s.PublicKey().PEM(), other.PublicKey().PEM()...))
	if err != nil || len(both) != 2 || both[1].Name != other.Name() || both[0].Name != s.Name() {
		t.Errorf("trust file: %+v, %v", both, err)
	}
	bare, err := ParsePublic(s.PublicKey().PEM()[bytes.IndexByte(s.PublicKey().PEM(), '\n')+1:])
	if err != nil || bare[0].Name != unnamed {
		t.Errorf("without a name: %+v, %v", bare, err)
	}
	for _, bad := range [][]byte{
		nil, []byte("hello"), readFileT(t, path), s.PublicKey().PEM()[:80],
		append(s.PublicKey().PEM(), []byte("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n")...),
		make([]byte, maxKeyFile+1),
	} {
		if keys, err := ParsePublic(bad); err == nil {
			t.Errorf("ParsePublic(%.40q) = %+v", bad, keys)
		}
	}
	for _, name := range []string{"", " x", "a\nb", "\x1b[2J", "-----BEGIN", strings.Repeat("x", 201), "\xff"} {
		if _, err := NewSigner(name, nil); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
}

// TestSignerNeverPrints formats a signer in every way that a log line might.
func TestSignerNeverPrints(t *testing.T) {
	t.Parallel()
	s := testSigner(t, 5)
	seed := s.secret().Seed()
	type holder struct {
		Public  *Signer
		private *Signer
		value   Signer
	}
	h := holder{s, s, *s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, v := range []any{s, *s, h, &h, []*Signer{s}, map[string]Signer{"k": *s}, fmt.Errorf("x: %v", s)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	js, err := json.Marshal(map[string]any{"a": s, "b": *s, "c": h})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "signer", s, "h", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "signer", s, "h", h)
	all := out.String()
	if !strings.Contains(all, "[secret]") {
		t.Error("nothing was printed at all")
	}
	for _, leak := range []string{
		string(seed), hex.EncodeToString(seed[:8]), strings.ToUpper(hex.EncodeToString(seed[:8])),
		base64.StdEncoding.EncodeToString(seed)[:12], strings.Trim(fmt.Sprint(seed[:4]), "[]"),
		fmt.Sprintf("%#x, %#x", seed[0], seed[1]),
	} {
		if strings.Contains(all, leak) {
			t.Errorf("the output holds %q", leak)
		}
	}
}

// TestSignerOpenSSL checks what VERIFY.md tells people to run without this
// program: the key id, and the signature over the pre-authentication encoding.
func TestSignerOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	s := testSigner(t, 1)
	if err := s.Save(filepath.Join(dir, "k")); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return out
	}
	if id := hexSHA256(run("pkey", "-pubin", "-in", "k.pub", "-outform", "DER")); id != s.KeyID() {
		t.Errorf("openssl's key id is %s, ours %s", id, s.KeyID())
	}
	if id := hexSHA256(run("pkey", "-in", "k", "-pubout", "-outform", "DER")); id != s.KeyID() {
		t.Errorf("openssl's key id of the private key is %s, ours %s", id, s.KeyID())
	}
	env, err := s.SignDSSE(PayloadInToto, []byte(`{"x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(env, &e); err != nil {
		t.Fatal(err)
	}
	sig, err := canonicalBase64(e.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	writeFileT(t, filepath.Join(dir, "pae"), preAuth(PayloadInToto, []byte(`{"x":1}`)))
	writeFileT(t, filepath.Join(dir, "sig"), sig)
	if out := run("pkeyutl", "-verify", "-pubin", "-inkey", "k.pub", "-rawin", "-in", "pae", "-sigfile", "sig"); !bytes.Contains(out, []byte("Verified Successfully")) {
		t.Errorf("openssl: %s", out)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	s := Statement{
		PredicateType: "https://stillmark.dev/report/v1",
		Subject:       []Subject{{"b.json", map[string]string{"sha256": sum}}, {"a.json", map[string]string{"sha256": sum}}},
		Predicate:     json.RawMessage(`{"verdict":"no-trace","p":[1e-3, -2]}`),
	}
	data, err := EncodeStatement(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Subject[0].Name != "b.json" {
		t.Error("EncodeStatement sorted the caller's slice")
	}
	got, err := DecodeStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != StatementType || got.Subject[0].Name != "a.json" {
		t.Errorf("decoded %+v", got)
	}
	again, err := EncodeStatement(got)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("a second encoding differs: %v", err)
	}
	for name, change := range map[string]func(*Statement){
		"type":             func(s *Statement) { s.Type = "https://in-toto.io/Statement/v0.1" },
		"predicate type":   func(s *Statement) { s.PredicateType = "" },
		"no subject":       func(s *Statement) { s.Subject = nil },
		"subject twice":    func(s *Statement) { s.Subject[1].Name = s.Subject[0].Name },
		"no digest":        func(s *Statement) { s.Subject[0].Digest = nil },
		"capital digest":   func(s *Statement) { s.Subject[0].Digest = map[string]string{"sha256": strings.ToUpper(sum)} },
		"broken predicate": func(s *Statement) { s.Predicate = json.RawMessage(`{`) },
	} {
		bad := s
		bad.Subject = append([]Subject(nil), s.Subject...)
		change(&bad)
		if _, err := EncodeStatement(bad); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	for _, bad := range []string{"", "{}", string(data) + " ", strings.Replace(string(data), "a.json", "c.json", 1), strings.Replace(string(data), `"subject"`, `"x": 1, "subject"`, 1)} {
		if _, err := DecodeStatement([]byte(bad)); err == nil {
			t.Errorf("decoded %.60q", bad)
		}
	}
}

func BenchmarkVerifyDSSE(b *testing.B) {
	s := testSigner(b, 1)
	env, err := s.SignDSSE(PayloadInToto, make([]byte, 100_000))
	if err != nil {
		b.Fatal(err)
	}
	keys := []ed25519.PublicKey{s.PublicKey().Key}
	b.ReportAllocs()
	b.SetBytes(int64(len(env)))
	for b.Loop() {
		if _, _, err := VerifyDSSE(env, PayloadInToto, keys); err != nil {
			b.Fatal(err)
		}
	}
}
