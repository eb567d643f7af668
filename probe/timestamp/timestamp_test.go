package timestamp

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tsp "github.com/digitorus/timestamp"
)

// then is a time in the past: nothing may depend on the present.
var then = time.Date(2019, 3, 1, 12, 30, 15, 987_654_321, time.UTC)

func authorityAt(t testing.TB, at time.Time) *Authority {
	t.Helper()
	a, err := NewAuthority("Demo Authority", func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStampAndVerify(t *testing.T) {
	t.Parallel()
	a := authorityAt(t, then)
	digest := sha256.Sum256([]byte("a sealed plan"))
	token, err := a.Stamp(digest)
	if err != nil {
		t.Fatal(err)
	}
	other := authorityAt(t, then)
	tests := []struct {
		name    string
		roots   *x509.CertPool
		trusted bool
	}{
		{"own root", a.Roots(), true},
		{"no roots", nil, false},
		{"another authority of the same name", other.Roots(), false},
		{"empty pool", x509.NewCertPool(), false},
	}
	for _, tt := range tests {
		s, err := Verify(token, digest, tt.roots)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if s.Trusted != tt.trusted || (s.Untrusted == "") != tt.trusted {
			t.Errorf("%s: trusted %v (%q), want %v", tt.name, s.Trusted, s.Untrusted, tt.trusted)
		}
		if want := then.Truncate(time.Second); !s.Time.Equal(want) || s.Time.Location() != time.UTC {
			t.Errorf("%s: time %v, want %v", tt.name, s.Time, want)
		}
		if s.Authority != "Demo Authority" || s.Accuracy != time.Second {
			t.Errorf("%s: authority %q, accuracy %v", tt.name, s.Authority, s.Accuracy)
		}
	}
	wrong := sha256.Sum256([]byte("another plan"))
	if _, err := Verify(token, wrong, a.Roots()); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("another digest: %v", err)
	}
	if _, err := Verify(append(bytes.Clone(token), 0), digest, a.Roots()); err == nil {
		t.Error("a trailing byte was accepted")
	}
	if _, err := Verify(make([]byte, maxToken+1), digest, nil); err == nil {
		t.Error("an oversized token was accepted")
	}
}

// TestConcurrent is for the race detector: tokens are made, accepted and verified
// side by side.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	a := authorityAt(t, then)
	digest := sha256.Sum256([]byte("a sealed plan"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			request, err := Request(digest)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := a.Respond(request)
			if err != nil {
				t.Error(err)
				return
			}
			token, err := Accept(request, response)
			if err != nil {
				t.Error(err)
				return
			}
			for range 4 {
				if s, err := Verify(token, digest, a.Roots()); err != nil || !s.Trusted {
					t.Errorf("trusted %v, %v", s.Trusted, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestEveryByte changes every bit of a token and cuts it at every byte: nothing
// but the intact one may be trusted, although CMS leaves some bytes unsigned.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	a := authorityAt(t, then)
	digest := sha256.Sum256([]byte("x"))
	token, err := a.Stamp(digest)
	if err != nil {
		t.Fatal(err)
	}
	roots := a.Roots()
	for i := range token {
		for bit := range 8 {
			bad := bytes.Clone(token)
			bad[i] ^= 1 << bit
			if s, err := Verify(bad, digest, roots); err == nil && s.Trusted {
				t.Errorf("accepted with bit %d of byte %d changed: %+v", bit, i, s)
			}
		}
		if _, err := Verify(token[:i], digest, roots); err == nil {
			t.Errorf("accepted when cut at byte %d", i)
		}
	}
}

func TestRequestResponse(t *testing.T) {
	t.Parallel()
	a := authorityAt(t, then)
	digest := sha256.Sum256([]byte("request"))
	req, err := Request(digest)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.Respond(req)
	if err != nil {
		t.Fatal(err)
	}
	token, err := Accept(req, resp)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Verify(token, digest, a.Roots()); err != nil || !s.Trusted {
		t.Errorf("Verify = %+v, %v", s, err)
	}
	// A file holds the token alone, or the whole response.
	for name, data := range map[string][]byte{"token": token, "response": resp} {
		if got, err := Token(data); err != nil || !bytes.Equal(got, token) {
			t.Errorf("the token of a %s: %v", name, err)
		}
	}
	if got, err := Token([]byte("no DER")); err != nil || string(got) != "no DER" {
		t.Errorf("what is no token: %q, %v", got, err)
	}
	again, err := Request(digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(again, resp); err == nil || !strings.Contains(err.Error(), "nonce") {
		t.Errorf("an answer to another request: %v", err)
	}
	elsewhere, err := Request(sha256.Sum256([]byte("elsewhere")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(elsewhere, resp); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("an answer for another digest: %v", err)
	}
	refusal, err := tsp.CreateErrorResponse(tsp.Rejection, tsp.SystemFailure)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseResponse(refusal); err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Errorf("a refusal: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("<html>"), resp[:len(resp)-1], append(bytes.Clone(resp), 1), make([]byte, maxToken+1)} {
		if _, err := ParseResponse(bad); err == nil {
			t.Errorf("ParseResponse accepted %d bytes of something else", len(bad))
		}
	}
	sha512, err := (&tsp.Request{HashAlgorithm: crypto.SHA512, HashedMessage: make([]byte, 64), Certificates: true}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Respond(sha512); err == nil {
		t.Error("a request for SHA-512 was answered")
	}
}

// TestHostileSigners: tokens with a good signature by a certificate that must
// not sign timestamps, or not then.
func TestHostileSigners(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("x"))
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		at     time.Duration
		want   string
	}{
		{"no purpose", func(c *x509.Certificate) { c.ExtraExtensions = nil }, 0, "timestamping alone"},
		{"purpose not critical", func(c *x509.Certificate) {
			c.ExtraExtensions = nil
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
		}, 0, "critical"},
		{"two purposes", func(c *x509.Certificate) {
			c.ExtraExtensions = nil
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageCodeSigning}
		}, 0, "timestamping alone"},
		{"expired at that time", func(*x509.Certificate) {}, 2 * authorityLife, "life"},
		{"not yet valid", func(*x509.Certificate) {}, -24 * time.Hour, "life"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := authorityAt(t, then)
			c := &x509.Certificate{
				SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "x"},
				NotBefore: a.signer.NotBefore, NotAfter: a.signer.NotAfter,
				KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: a.signer.Extensions[1:2],
			}
			for _, e := range a.signer.Extensions {
				if e.Id.Equal(oidExtKeyUsage) {
					c.ExtraExtensions = []pkix.Extension{e}
				}
			}
			tt.change(c)
			var err error
			if a.signer, err = certify(c, c, &a.key.PublicKey, a.key); err != nil {
				t.Fatal(err)
			}
			a.now = func() time.Time { return then.Add(tt.at) }
			token, err := a.Stamp(digest)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := Verify(token, digest, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify = %+v, %v; want an error with %q", s, err, tt.want)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		t.Parallel()
		a := authorityAt(t, then)
		req := tsp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:]}
		resp, err := a.respond(&req)
		if err != nil {
			t.Fatal(err)
		}
		token, err := ParseResponse(resp)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(token, digest, a.Roots()); err == nil {
			t.Error("a token without a certificate was accepted: its signature cannot have been checked")
		}
	})
}

// TestOpenSSL lets another implementation judge the authority's tokens, and
// this one another authority's.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	a := authorityAt(t, time.Now())
	digest := sha256.Sum256([]byte("openssl"))
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput()
		return string(out), err
	}
	token, err := a.Stamp(digest)
	if err != nil {
		t.Fatal(err)
	}
	req, err := Request(digest)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.Respond(req)
	if err != nil {
		t.Fatal(err)
	}
	ca := put("ca.pem", a.CertPEM())
	tokenFile, reqFile, respFile := put("token.tsr", token), put("req.tsq", req), put("resp.tsr", resp)
	sum := hex.EncodeToString(digest[:])
	if out, err := run("ts", "-verify", "-digest", sum, "-token_in", "-in", tokenFile, "-CAfile", ca); err != nil || !strings.Contains(out, "Verification: OK") {
		t.Errorf("openssl does not accept the token: %v\n%s", err, out)
	}
	if out, err := run("ts", "-verify", "-queryfile", reqFile, "-in", respFile, "-CAfile", ca); err != nil || !strings.Contains(out, "Verification: OK") {
		t.Errorf("openssl does not accept the response to the request: %v\n%s", err, out)
	}
	wrong := hex.EncodeToString(make([]byte, 32))
	if out, err := run("ts", "-verify", "-digest", wrong, "-token_in", "-in", tokenFile, "-CAfile", ca); err == nil {
		t.Errorf("openssl accepted the token for another digest:\n%s", out)
	}

	// The other way round: an RSA authority run by openssl.
	config := put("ts.cnf", []byte(`[tsa]
default_tsa = t
[t]
serial = `+filepath.Join(dir, "serial")+`
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.2
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[req]
distinguished_name = dn
[dn]
[ext]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:FALSE
`))
	if out, err := run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-config", config, "-extensions", "ext", "-days", "30",
		"-subj", "/CN=OpenSSL Authority", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatalf("making an authority: %v\n%s", err, out)
	}
	theirs := filepath.Join(dir, "theirs.tsr")
	if out, err := run("ts", "-reply", "-config", config, "-section", "t", "-queryfile", reqFile, "-inkey", filepath.Join(dir, "key.pem"),
		"-signer", filepath.Join(dir, "cert.pem"), "-out", theirs); err != nil {
		t.Fatalf("stamping: %v\n%s", err, out)
	}
	der, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Accept(req, der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if !pool.AppendCertsFromPEM(cert) {
		t.Fatal("no certificate")
	}
	s, err := Verify(got, digest, pool)
	if err != nil || !s.Trusted || s.Authority != "OpenSSL Authority" || time.Since(s.Time).Abs() > time.Minute {
		t.Errorf("Verify of openssl's token = %+v, %v", s, err)
	}
}

func TestNewAuthorityNeedsAName(t *testing.T) {
	t.Parallel()
	if _, err := NewAuthority("", nil); err == nil {
		t.Error("an authority without a name was made")
	}
}

func FuzzVerify(f *testing.F) {
	a := authorityAt(f, then)
	digest := sha256.Sum256([]byte("x"))
	token, err := a.Stamp(digest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Verify(data, digest, a.Roots())
		if err != nil && s != (Stamp{}) {
			t.Errorf("an error and a stamp: %v, %+v", err, s)
		}
		if err == nil && s.Trusted && !s.Time.Equal(then.Truncate(time.Second)) {
			t.Errorf("trusted with time %v", s.Time)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	a := authorityAt(f, then)
	req, err := Request(sha256.Sum256(nil))
	if err != nil {
		f.Fatal(err)
	}
	resp, err := a.Respond(req)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(req, resp)
	f.Fuzz(func(t *testing.T, req, resp []byte) {
		token, err := Accept(req, resp)
		if err == nil && len(token) == 0 {
			t.Error("accepted without a token")
		}
		if _, err := a.Respond(req); err != nil && errors.Is(err, os.ErrInvalid) {
			t.Error(err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	a := authorityAt(b, then)
	digest := sha256.Sum256([]byte("x"))
	token, err := a.Stamp(digest)
	if err != nil {
		b.Fatal(err)
	}
	roots := a.Roots()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(token, digest, roots); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	a, err := NewAuthority("Demo Authority", func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Stamp([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(token, [32]byte{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Latest().Equal(at.Add(time.Second)) {
		t.Errorf("made by %s at the latest, want a second after %s", s.Latest(), at)
	}
}
