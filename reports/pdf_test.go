package reports

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports/model"
)

// tool runs a program on the machine; without it the test is skipped, unless it
// is demanded.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("STILLMARK_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func paperOf(t *testing.T, r *model.Report) []byte {
	t.Helper()
	data, err := PDF(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// words is the text of a PDF as a reader's program sees it, blanks made one.
func words(t *testing.T, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.pdf")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(tool(t, "pdftotext", "-layout", file, "-")), " ")
}

func TestPDFIsTheSameTwice(t *testing.T) {
	t.Parallel()
	r := sample("text")
	a, b := paperOf(t, r), paperOf(t, r)
	if !bytes.Equal(a, b) {
		t.Error("two papers of one report differ")
	}
	if n := bytes.Count(a, []byte("/FontFile2")); n < 3 {
		t.Errorf("%d fonts are embedded", n)
	}
	for _, never := range []string{"/JavaScript", "/JS", "/URI", "/Launch", "/EmbeddedFile ", "/Encrypt"} {
		if bytes.Contains(a, []byte(never)) {
			t.Errorf("the paper has a %s", never)
		}
	}
}

// Every string of the report that the page shows is on the paper, too, and every
// section has its heading.
func TestPDFSaysEverything(t *testing.T) {
	t.Parallel()
	r := sample("text")
	for _, s := range []struct{ to *string }{
		{&r.Title},
		{&r.Summary.Question},
		{&r.Summary.Limitation},
		{&r.Summary.NotShown[1]},
		{&r.Tests[0].Null},
		{&r.Tests[1].Sentence},
		{&r.Tests[0].Warnings[0]},
		{&r.Exploratory[1].Null},
		{&r.Explain[0].Claim},
		{&r.Limits[1].Answer},
		{&r.Method.Paragraphs[1]},
		{&r.Prereg.Deviations[0]},
		{&r.Prereg.Propositions[1]},
		{&r.Acquisition.Events[1].Text},
		{&r.Acquisition.Params.Variants[0].Params},
		{&r.Custody.Keys[1].Text},
		{&r.HowTo.Without[1].Shows},
		{&r.Glossary[1].Meaning},
		{&r.Exhibits[1].Groups[1].Exhibits[1].Spans[0].Text},
		{&r.Exhibits[0].Groups[0].Exhibits[0].Prompt},
		{&r.Seal.CaseID},
		{&r.Demo},
	} {
		*s.to = "mark" + strings.Repeat("i", 1+len(marks(r)))
	}
	said := words(t, paperOf(t, r))
	for _, m := range marks(r) {
		if !regexp.MustCompile(m + `([^i]|$)`).MatchString(said) {
			t.Errorf("%q is not on the paper", m)
		}
	}
	d, err := designOf("en")
	if err != nil {
		t.Fatal(err)
	}
	for i, section := range sections {
		if heading := d.labels[section]; section != "summary" && !strings.Contains(said, heading) {
			t.Errorf("section %d has no heading %q", i+1, heading)
		}
	}
	if !strings.Contains(said, "accessible form") {
		t.Error("the paper does not say that the page is the accessible form")
	}
}

var markPattern = regexp.MustCompile(`\bmarki+\b`)

// marks lists the marks that a report holds.
func marks(r *model.Report) []string {
	data, err := model.Encode(r)
	if err != nil {
		panic(err)
	}
	return markPattern.FindAllString(string(data), -1)
}

// A character without a glyph is written as its code point and counted.
func TestPDFWithoutGlyphs(t *testing.T) {
	t.Parallel()
	r := sample("text")
	r.Exhibits[0].Groups[0].Exhibits[0].Spans = []model.Span{{Text: "他说 hello", Level: 2}, {Text: " مرحبا", Level: 4}, {Text: " 😀", Level: 0}}
	r.Exhibits[0].Groups[0].Exhibits[0].Prompt = "Ответь Γειά — naïve"
	said := words(t, paperOf(t, r))
	for _, want := range []string{"U+4ED6 U+8BF4 hello", "U+0645 U+0631 U+062D U+0628 U+0627", "U+1F600", "Ответь Γειά — naïve", "8 characters of 8 kinds have no glyph"} {
		if !strings.Contains(said, want) {
			t.Errorf("the paper does not say %q", want)
		}
	}
	if strings.Contains(words(t, paperOf(t, sample("text"))), "no glyph") {
		t.Error("a paper of plain letters counts missing glyphs")
	}
}

// Text from outside stays inside its lines, however long or odd it is.
func TestPDFOfHostileText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("x", 4000), strings.Repeat("word ", 3000), "(a) \\ ) Tj ET endstream endobj", "\x00\x01\x1b[31m\u202e\u2028", "", "\n\n\n",
		strings.Repeat("中", 700), "a\tb", "{pages}",
	} {
		data := paperOf(t, sample(text))
		if !bytes.HasPrefix(data, []byte("%PDF-")) || trailerPattern.Find(data) == nil {
			t.Errorf("%.20q gives no whole file", text)
		}
	}
}

func documentSigner(t *testing.T) *DocumentSigner {
	t.Helper()
	d, err := NewDocumentSigner("Example AI, Bureau für Beweise", time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSignedPDF(t *testing.T) {
	t.Parallel()
	want := paperOf(t, sample("text"))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "RSA desk"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := timestamp.NewAuthority("test authority", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	stamped := documentSigner(t)
	stamped.Stamp = func(_ context.Context, digest [32]byte) ([]byte, error) { return authority.Stamp(digest) }
	for name, d := range map[string]*DocumentSigner{
		"P-256": documentSigner(t), "RSA": {Key: key, Chain: []*x509.Certificate{cert}}, "stamped": stamped,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signed, err := SignPDF(t.Context(), want, d, time.Now(), "Evidence report")
			if err != nil {
				t.Fatal(err)
			}
			by, err := CheckPDF(signed, want)
			if err != nil || !by.Equal(d.Chain[0]) {
				t.Fatalf("signed by %v: %v", by, err)
			}
			if _, err := SignPDF(t.Context(), signed, d, time.Now(), "again"); err == nil {
				t.Error("a signed file is signed again")
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "r.pdf")
			if err := os.WriteFile(file, signed, 0o600); err != nil {
				t.Fatal(err)
			}
			said := tool(t, "pdfsig", "-nocert", file)
			for _, x := range []string{"Signature is Valid", "ETSI.CAdES.detached", "Total document signed", d.Chain[0].Subject.CommonName} {
				if !strings.Contains(said, x) {
					t.Errorf("pdfsig does not say %q:\n%s", x, said)
				}
			}
			// openssl checks the same signature, with the attributes that CAdES asks for.
			_, from, to, err := frame(want, d.Chain[0].Subject.CommonName, "Evidence report", string(framePattern.FindSubmatch(signed[len(want):])[1]))
			if err != nil {
				t.Fatal(err)
			}
			cms, content, root := filepath.Join(dir, "s.hex"), filepath.Join(dir, "content"), filepath.Join(dir, "root.pem")
			for f, data := range map[string][]byte{cms: signed[from+1 : to-1], content: append(bytes.Clone(signed[:from]), signed[to:]...)} {
				if err := os.WriteFile(f, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			chain, err := d.PEM()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(root, chain, 0o600); err != nil {
				t.Fatal(err)
			}
			script := `xxd -r -p "$1" > "$1.der" && openssl cms -verify -cades -purpose any -inform DER -in "$1.der" -binary -content "$2" -CAfile "$3" -out /dev/null`
			if said := tool(t, "bash", "-c", script, "bash", cms, content, root); !strings.Contains(said, "erification successful") {
				t.Errorf("openssl says %s", said)
			}
		})
	}
}

// Nothing of a signed file can be changed, and nothing be added, without notice.
func TestTamperedPDF(t *testing.T) {
	t.Parallel()
	want := paperOf(t, sample("text"))
	d := documentSigner(t)
	signed, err := SignPDF(t.Context(), want, d, time.Now(), "Evidence report")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for i := 0; i < len(signed); i += 1 + len(signed)/3000 {
		bad := bytes.Clone(signed)
		bad[i] ^= 1
		if _, err := CheckPDF(bad, want); err == nil && hexDigit(signed[i]) != hexDigit(bad[i]) {
			t.Fatalf("byte %d was changed without notice", i)
		}
		tried++
	}
	if tried < 2500 {
		t.Errorf("%d changes were tried", tried)
	}
	other := paperOf(t, sample("other text"))
	resigned, err := SignPDF(t.Context(), other, d, time.Now(), "Evidence report")
	if err != nil {
		t.Fatal(err)
	}
	// An update that shows another page, well signed by the same key.
	shadow := bytes.Replace(bytes.Clone(signed[len(want):]), []byte("/Contents 4 0 R"), []byte("/Contents 6 0 R"), 1)
	for name, bad := range map[string][]byte{
		"another report": resigned, "cut": signed[:len(signed)-1], "appended": append(bytes.Clone(signed), '\n'), "unsigned update": append(bytes.Clone(want), "junk"...),
		"other page": append(bytes.Clone(want), shadow...), "empty": nil, "twice": append(bytes.Clone(signed), signed[len(want):]...),
	} {
		if _, err := CheckPDF(bad, want); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// hexDigit is the value of a digit: its case is no change.
func hexDigit(b byte) byte { return b | 0x20 }

func TestDocumentSignerFiles(t *testing.T) {
	t.Parallel()
	d := documentSigner(t)
	data, err := d.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseDocumentSigner(data)
	if err != nil || !again.Chain[0].Equal(d.Chain[0]) {
		t.Fatalf("%v", err)
	}
	other, err := documentSigner(t).PEM()
	if err != nil {
		t.Fatal(err)
	}
	key := data[bytes.Index(data, []byte("-----BEGIN PRIVATE")):]
	for name, bad := range map[string][]byte{
		"nothing": nil, "no key": data[:len(data)-len(key)], "no certificate": key, "two keys": append(bytes.Clone(data), key...),
		"another's certificate": append(bytes.Clone(other[:bytes.Index(other, []byte("-----BEGIN PRIVATE"))]), key...),
		"odd block":             []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
	} {
		if _, err := ParseDocumentSigner(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzCheckPDF(f *testing.F) {
	r := sample("t")
	r.Exhibits, r.Plots = nil, model.Plots{}
	want, err := PDF(r)
	if err != nil {
		f.Fatal(err)
	}
	d, err := NewDocumentSigner("x", time.Now(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := SignPDF(f.Context(), want, d, time.Now(), "r")
	if err != nil {
		f.Fatal(err)
	}
	// Inputs are edits: every worker of a fuzzing run has a signature of its own.
	update := signed[len(want):]
	f.Add(uint32(0), uint16(0), []byte("\n"))
	f.Add(uint32(len(update)/2), uint16(1), []byte("0"))
	f.Add(uint32(bytes.Index(update, []byte("/ByteRange"))), uint16(40), []byte("/ByteRange [0 1 2 3]"))
	f.Add(uint32(0), uint16(65535), []byte("/ByteRange [0 1 2 3]\n/Contents <"))
	f.Fuzz(func(t *testing.T, at uint32, cut uint16, put []byte) {
		from := int(at) % (len(update) + 1)
		to := min(from+int(cut), len(update))
		changed := slices.Concat(update[:from], put, update[to:])
		_, err := CheckPDF(append(bytes.Clone(want), changed...), want)
		if err == nil && len(changed) > 0 && !bytes.EqualFold(changed, update) {
			t.Errorf("an update that nobody signed passes")
		}
	})
}

func BenchmarkPDF(b *testing.B) {
	r := sample(strings.Repeat("some words of a report ", 20))
	for b.Loop() {
		if _, err := PDF(r); err != nil {
			b.Fatal(err)
		}
	}
}
