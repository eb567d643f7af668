package reports

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/stillmark/stillmark/probe/timestamp"
)

// DocumentSigner signs PDF files: a key with its certificate. PDF readers know
// X.509 and neither DSSE nor, most of them, Ed25519, so it is another key than the
// one that seals; the seal covers the signed file.
type DocumentSigner struct {
	// Key is ECDSA on P-256 or RSA; it may lie in hardware.
	Key crypto.Signer
	// Chain begins with the key's own certificate.
	Chain []*x509.Certificate
	// Stamp gets an RFC 3161 token for a digest (PAdES B-T); nil: none (B-B).
	Stamp func(ctx context.Context, digest [32]byte) ([]byte, error)
}

const (
	// documentYears is how long a certificate of NewDocumentSigner is valid: the
	// time that commercial records are commonly kept.
	documentYears = 10
	// signatureRoom is kept for the signature in the file: a chain of three
	// certificates and a timestamp take some 10 KB.
	signatureRoom = 16 << 10
)

// NewDocumentSigner draws a P-256 key and signs a certificate for it with itself.
// Readers will say that they do not know who issued it; where that matters, use a
// certificate of an authority that they know.
func NewDocumentSigner(name string, now time.Time, random io.Reader) (*DocumentSigner, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("draw a document key: %w", err)
	}
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a document key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: now.UTC().Truncate(time.Second), NotAfter: now.UTC().AddDate(documentYears, 0, 0).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 36}}, // document signing, RFC 9336
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("draw a document key: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("draw a document key: %w", err)
	}
	return &DocumentSigner{Key: key, Chain: []*x509.Certificate{cert}}, nil
}

// PEM is the file of a document signer: certificates, then the private key
// (PKCS#8). It must be written 0600.
func (d *DocumentSigner) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(d.Key)
	if err != nil {
		return nil, errors.New("the document key cannot leave its place")
	}
	var b bytes.Buffer
	for _, c := range d.Chain {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return b.Bytes(), nil
}

// ParseDocumentSigner reads a file of [DocumentSigner.PEM], or one with a
// certificate that an authority issued.
func ParseDocumentSigner(data []byte) (*DocumentSigner, error) {
	d := &DocumentSigner{}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("document signer: %w", err)
			}
			d.Chain = append(d.Chain, c)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("document signer: the private key is not PKCS#8")
			}
			signer, ok := key.(crypto.Signer)
			if !ok || d.Key != nil {
				return nil, errors.New("document signer: one private key is expected that can sign")
			}
			d.Key = signer
		default:
			return nil, fmt.Errorf("document signer: a %s stands where certificates and one PRIVATE KEY should be", block.Type)
		}
	}
	return d, d.check()
}

func (d *DocumentSigner) check() error {
	if d.Key == nil || len(d.Chain) == 0 {
		return errors.New("document signer: a private key and its certificate are needed")
	}
	switch k := d.Key.Public().(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return errors.New("document signer: of elliptic curves only P-256 is used")
		}
		if !k.Equal(d.Chain[0].PublicKey) {
			return errors.New("document signer: the first certificate is not that of the key")
		}
	case *rsa.PublicKey:
		if !k.Equal(d.Chain[0].PublicKey) {
			return errors.New("document signer: the first certificate is not that of the key")
		}
	default:
		return errors.New("document signer: PDF readers need an ECDSA (P-256) or RSA key")
	}
	return nil
}

// The objects of a file that PDF made, which is all that is ever signed.
var (
	trailerPattern = regexp.MustCompile(`trailer\n<<\n/Size ([0-9]+)\n/Root ([0-9]+) 0 R\n/Info ([0-9]+) 0 R\n>>\nstartxref\n([0-9]+)\n%%EOF\n$`)
	pagePattern    = regexp.MustCompile(`\n([0-9]+) 0 obj\n<</Type /Page\n`)
)

// SignPDF appends an invisible signature over the whole file, as an incremental
// update: the bytes before it stay as they are. The form is PAdES B-B (ETSI EN 319
// 142-1): CAdES detached, the signing certificate among the signed attributes, the
// time in the dictionary; with a stamp B-T.
func SignPDF(ctx context.Context, file []byte, d *DocumentSigner, at time.Time, reason string) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	signed, from, to, err := frame(file, d.Chain[0].Subject.CommonName, reason, at.UTC().Format(pdfTime))
	if err != nil {
		return nil, fmt.Errorf("sign the PDF: %w", err)
	}
	digest := sha256.New()
	digest.Write(signed[:from])
	digest.Write(signed[to:])
	cms, err := d.sign(ctx, digest.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("sign the PDF: %w", err)
	}
	if len(cms) > signatureRoom {
		return nil, fmt.Errorf("sign the PDF: the signature with its certificates takes %d bytes, and %d are kept for it", len(cms), signatureRoom)
	}
	hex.Encode(signed[from+1:], cms)
	return signed, nil
}

// subFilter names the form of the signature.
const subFilter = "/SubFilter /ETSI.CAdES.detached"

// pdfTime is the form of a time in a PDF, in UTC.
const pdfTime = "20060102150405"

// frame appends the update with room for a signature, which goes between the
// brackets at from and to-1.
func frame(file []byte, name, reason, at string) (signed []byte, from, to int, err error) {
	fail := func(why string) ([]byte, int, int, error) { return nil, 0, 0, errors.New(why) }
	trailer := trailerPattern.FindSubmatch(file)
	page := pagePattern.FindSubmatchIndex(file)
	if trailer == nil || page == nil {
		return fail("it is not a file of this program, or it is signed already")
	}
	size, _ := strconv.Atoi(string(trailer[1]))
	root, _ := strconv.Atoi(string(trailer[2]))
	pageNumber, _ := strconv.Atoi(string(file[page[2]:page[3]]))
	catalog, err := object(file, root)
	if err != nil {
		return nil, 0, 0, err
	}
	firstPage, err := object(file, pageNumber)
	if err != nil {
		return nil, 0, 0, err
	}
	if bytes.Contains(firstPage, []byte("/Annots")) {
		return fail("the first page has annotations of its own")
	}
	signature, widget := size, size+1

	out := bytes.NewBuffer(slices.Clone(file))
	offsets := map[int]int{}
	begin := func(n int) {
		offsets[n] = out.Len()
		fmt.Fprintf(out, "%d 0 obj\n", n)
	}
	begin(root)
	out.Write(bytes.TrimSuffix(catalog, []byte(">>\n")))
	fmt.Fprintf(out, "/AcroForm << /Fields [%d 0 R] /SigFlags 3 >>\n>>\nendobj\n", widget)
	begin(pageNumber)
	out.Write(bytes.TrimSuffix(firstPage, []byte(">>\n")))
	fmt.Fprintf(out, "\n/Annots [%d 0 R]\n>>\nendobj\n", widget)
	begin(widget)
	fmt.Fprintf(out, "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature1) /Rect [0 0 0 0] /F 132 /P %d 0 R /V %d 0 R >>\nendobj\n", pageNumber, signature)
	begin(signature)
	fmt.Fprintf(out, "<< /Type /Sig /Filter /Adobe.PPKLite %s\n/M (D:%sZ) /Reason %s /Name %s\n/ByteRange [0 ",
		subFilter, at, hexString(reason), hexString(name))
	const number = 10 // digits of an offset: files of up to 10 GB
	rangeAt := out.Len()
	fmt.Fprintf(out, "%*s %*s %*s]\n/Contents ", number, "", number, "", number, "")
	from = out.Len()
	fmt.Fprintf(out, "<%0*d>", 2*signatureRoom, 0)
	to = out.Len()
	out.WriteString(" >>\nendobj\n")

	xref := out.Len()
	out.WriteString("xref\n")
	numbers := []int{root, pageNumber, widget, signature}
	slices.Sort(numbers)
	for _, n := range numbers {
		fmt.Fprintf(out, "%d 1\n%010d 00000 n \n", n, offsets[n])
	}
	fmt.Fprintf(out, "trailer\n<<\n/Size %d\n/Root %d 0 R\n/Info %s 0 R\n/Prev %s\n>>\nstartxref\n%d\n%%%%EOF\n", size+2, root, trailer[3], trailer[4], xref)

	signed = out.Bytes()
	copy(signed[rangeAt:], fmt.Sprintf("%*d %*d %*d]", number, from, number, to, number, len(signed)-to))
	return signed, from, to, nil
}

// object is the dictionary of an object, from << to >> and a line break.
func object(file []byte, n int) ([]byte, error) {
	head := fmt.Appendf(nil, "\n%d 0 obj\n", n)
	i := bytes.Index(file, head)
	if i < 0 {
		return nil, fmt.Errorf("it has no object %d", n)
	}
	body := file[i+len(head):]
	j := bytes.Index(body, []byte("endobj"))
	if j < 0 || !bytes.HasPrefix(body, []byte("<<")) || !bytes.HasSuffix(bytes.TrimSpace(body[:j]), []byte(">>")) {
		return nil, fmt.Errorf("object %d is no dictionary", n)
	}
	return append(bytes.TrimSpace(body[:j]), '\n'), nil
}

// hexString writes a text string: UTF-16 with a byte order mark.
func hexString(s string) string {
	out := "<FEFF"
	for _, r := range s {
		if r > 0xffff {
			r = '\ufffd'
		}
		out += fmt.Sprintf("%04X", r)
	}
	return out + ">"
}

// The object identifiers of CMS (RFC 5652), ESS (RFC 5035) and the algorithms.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidTimestamp     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidRSASHA256     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type issuerSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type signerInfo struct {
	Version            int
	ID                 issuerSerial
	Digest             pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue // [0] IMPLICIT SET OF attribute
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
	Unsigned           asn1.RawValue `asn1:"optional"`
}

type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      struct{ Type asn1.ObjectIdentifier }
	Certificates asn1.RawValue
	Signers      []signerInfo `asn1:"set"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// sign makes the CMS structure over a digest of the file.
func (d *DocumentSigner) sign(ctx context.Context, digest []byte) ([]byte, error) {
	set, err := signedAttributes(digest, d.Chain[0])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(set)
	value, err := d.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, errors.New("the key did not sign")
	}
	algorithm, _, err := algorithmOf(d.Key.Public())
	if err != nil {
		return nil, err
	}
	var unsigned []byte
	if d.Stamp != nil {
		token, err := d.Stamp(ctx, sha256.Sum256(value))
		if err != nil {
			return nil, fmt.Errorf("timestamp: %w", err)
		}
		stamp := []attribute{{Type: oidTimestamp, Values: []asn1.RawValue{{FullBytes: token}}}}
		if unsigned, err = asn1.MarshalWithParams(stamp, "set"); err != nil {
			return nil, err
		}
		unsigned[0] = 0xa1 // [1] IMPLICIT
	}
	return assemble(d.Chain, set, algorithm, value, unsigned)
}

// signedAttributes is the DER of the set that is signed: content type, digest of
// the file, and SigningCertificateV2 with one ESSCertIDv2, whose hash algorithm is
// the default, SHA-256.
func signedAttributes(digest []byte, cert *x509.Certificate) ([]byte, error) {
	fingerprint := sha256.Sum256(cert.Raw)
	type certID struct{ Hash []byte }
	var attributes []attribute
	for _, a := range []struct {
		typ   asn1.ObjectIdentifier
		value any
	}{
		{oidContentType, oidData},
		{oidMessageDigest, digest},
		{oidSigningCert, struct{ Certs []certID }{[]certID{{fingerprint[:]}}}},
	} {
		attr, err := newAttribute(a.typ, a.value)
		if err != nil {
			return nil, err
		}
		attributes = append(attributes, attr)
	}
	return asn1.MarshalWithParams(attributes, "set")
}

// algorithmOf names the signature algorithm of a key, in CMS and in x509.
func algorithmOf(key crypto.PublicKey) (pkix.AlgorithmIdentifier, x509.SignatureAlgorithm, error) {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: oidECDSASHA256}, x509.ECDSAWithSHA256, nil
	case *rsa.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: oidRSASHA256, Parameters: asn1.NullRawValue}, x509.SHA256WithRSA, nil
	}
	return pkix.AlgorithmIdentifier{}, 0, errors.New("the key is neither ECDSA nor RSA")
}

// assemble puts a SignedData structure together. set is what was signed; in the
// structure it has the tag [0]. unsigned is the DER of [1], or empty.
func assemble(chain []*x509.Certificate, set []byte, algorithm pkix.AlgorithmIdentifier, signature, unsigned []byte) ([]byte, error) {
	tagged := slices.Clone(set)
	tagged[0] = 0xa0
	info := signerInfo{
		Version: 1, ID: issuerSerial{asn1.RawValue{FullBytes: chain[0].RawIssuer}, chain[0].SerialNumber},
		Digest: pkix.AlgorithmIdentifier{Algorithm: oidSHA256}, SignatureAlgorithm: algorithm, Signature: signature,
		SignedAttributes: asn1.RawValue{FullBytes: tagged},
	}
	if len(unsigned) > 0 {
		info.Unsigned = asn1.RawValue{FullBytes: unsigned}
	}
	var certificates []byte
	for _, c := range chain {
		certificates = append(certificates, c.Raw...)
	}
	data := signedData{
		Version: 1, Digests: []pkix.AlgorithmIdentifier{{Algorithm: oidSHA256}},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certificates},
		Signers:      []signerInfo{info},
	}
	data.Content.Type = oidData
	inner, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}

func newAttribute(typ asn1.ObjectIdentifier, value any) (attribute, error) {
	der, err := asn1.Marshal(value)
	return attribute{typ, []asn1.RawValue{{FullBytes: der}}}, err
}

// framePattern finds what a signer chose in an update: time, reason and name.
var framePattern = regexp.MustCompile(`/M \(D:([0-9]{14})Z\) /Reason <FEFF([0-9A-F]*)> /Name <FEFF([0-9A-F]*)>`)

// CheckPDF checks the PDF of a report against the bytes that [PDF] gives: it must
// be them, alone or with the one update that [SignPDF] appends, whose signature
// covers the whole file. It returns the signer's certificate, nil where the file is
// not signed. Who the signer is, is for the reader to judge.
func CheckPDF(file, want []byte) (*x509.Certificate, error) {
	if !bytes.HasPrefix(file, want) {
		return nil, errors.New("it does not begin with what the report lays out")
	}
	if len(file) == len(want) {
		return nil, nil
	}
	chosen := framePattern.FindSubmatch(file[len(want):])
	if chosen == nil {
		return nil, errors.New("what follows the report is no signature of this program")
	}
	again, from, to, err := frame(want, textOfHex(chosen[3]), textOfHex(chosen[2]), string(chosen[1]))
	if err != nil {
		return nil, err
	}
	// But for the signature itself an update has no freedom: it cannot show other
	// pages than the report's.
	if len(again) != len(file) || !bytes.Equal(again[:from+1], file[:from+1]) || !bytes.Equal(again[to-1:], file[to-1:]) {
		return nil, errors.New("what follows the report is more than a signature, or another one")
	}
	der := make([]byte, signatureRoom)
	if _, err := hex.Decode(der, file[from+1:to-1]); err != nil {
		return nil, errors.New("its signature is not written in hexadecimal digits")
	}
	var cms asn1.RawValue // the rest of the room is zeros
	rest, err := asn1.Unmarshal(der, &cms)
	if err != nil || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, errors.New("its signature cannot be read")
	}
	digest := sha256.New()
	digest.Write(file[:from])
	digest.Write(file[to:])
	cert, err := checkCMS(cms.FullBytes, digest.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("its signature is wrong: %w", err)
	}
	return cert, nil
}

// checkCMS checks a structure that [DocumentSigner.sign] made: put together again
// from what is free in it (certificates, signature, timestamp) it must give the
// same bytes.
func checkCMS(der, digest []byte) (*x509.Certificate, error) {
	var outer contentInfo
	var data signedData
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return nil, errors.New("it is no CMS structure")
	}
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil || len(rest) > 0 || len(data.Signers) != 1 {
		return nil, errors.New("it is no CMS structure of one signer")
	}
	chain, err := x509.ParseCertificates(data.Certificates.Bytes)
	if err != nil || len(chain) == 0 {
		return nil, errors.New("it has no certificate")
	}
	info := data.Signers[0]
	set, err := signedAttributes(digest, chain[0])
	if err != nil {
		return nil, err
	}
	algorithm, kind, err := algorithmOf(chain[0].PublicKey)
	if err != nil {
		return nil, err
	}
	again, err := assemble(chain, set, algorithm, info.Signature, info.Unsigned.FullBytes)
	if err != nil || !bytes.Equal(again, der) {
		return nil, errors.New("it is not about this file, or has more than one signature")
	}
	if err := chain[0].CheckSignature(kind, set, info.Signature); err != nil {
		return nil, err
	}
	if len(info.Unsigned.FullBytes) > 0 {
		if err := checkStamp(info.Unsigned, info.Signature); err != nil {
			return nil, fmt.Errorf("its timestamp: %w", err)
		}
	}
	return chain[0], nil
}

// checkStamp checks the timestamp over a signature, but not who made it.
func checkStamp(unsigned asn1.RawValue, signature []byte) error {
	var a attribute
	rest, err := asn1.Unmarshal(unsigned.Bytes, &a)
	if err != nil || len(rest) > 0 || !a.Type.Equal(oidTimestamp) || len(a.Values) != 1 {
		return errors.New("another attribute stands in its place")
	}
	_, err = timestamp.Verify(a.Values[0].FullBytes, sha256.Sum256(signature), nil)
	return err
}

// textOfHex reads what hexString wrote.
func textOfHex(digits []byte) string {
	var out []rune
	for ; len(digits) >= 4; digits = digits[4:] {
		r, err := strconv.ParseUint(string(digits[:4]), 16, 16)
		if err != nil {
			return ""
		}
		out = append(out, rune(r))
	}
	return string(out)
}
