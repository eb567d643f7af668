package timestamp

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	_ "crypto/sha512" // registers SHA-384 and SHA-512 for crypto.Hash
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// Object identifiers of RFC 5652, 5035, 3161, 3279, 5754 and 5758.
var (
	oidSignedData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCert     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSHA256          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidRSA             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSAWithSHA384   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidRSAWithSHA512   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
)

// signed is a CMS SignedData (RFC 5652, section 5) around a TSTInfo with exactly
// one signer, as RFC 3161, section 2.4.2, demands.
type signed struct {
	content []byte // DER of the TSTInfo
	certs   []*x509.Certificate
	signer  signerInfo
	attrs   map[string]asn1.RawValue // signed attributes with one value each, by OID
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Encapsulated     struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	CRLs         asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signerInfo  `asn1:"set"`
}

type signerInfo struct {
	Version       int
	ID            asn1.RawValue // the certificate is found by its hash instead
	Digest        pkix.AlgorithmIdentifier
	SignedAttrs   asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm     pkix.AlgorithmIdentifier
	Signature     []byte
	UnsignedAttrs asn1.RawValue `asn1:"optional,tag:1"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// unmarshal decodes exactly one DER value.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes follow its end", len(rest))
	}
	return nil
}

func parseSigned(token []byte) (*signed, error) {
	var ci contentInfo
	if err := unmarshal(token, &ci); err != nil {
		return nil, err
	}
	if !ci.Type.Equal(oidSignedData) {
		return nil, errors.New("it is not signed data")
	}
	var sd signedData
	if err := unmarshal(ci.Content.Bytes, &sd); err != nil {
		return nil, err
	}
	if !sd.Encapsulated.Type.Equal(oidTSTInfo) {
		return nil, errors.New("the signed data is not a timestamp")
	}
	if len(sd.Signers) != 1 {
		return nil, fmt.Errorf("it has %d signers, where one is expected", len(sd.Signers))
	}
	if err := checkUnsigned(ci.Content.Bytes, &sd); err != nil {
		return nil, err
	}
	s := &signed{content: sd.Encapsulated.Content, signer: sd.Signers[0]}
	var err error
	if s.certs, err = x509.ParseCertificates(sd.Certificates.Bytes); err != nil {
		return nil, fmt.Errorf("its certificates: %w", err)
	}
	s.attrs, err = parseAttributes(s.signer.SignedAttrs.Bytes)
	return s, err
}

// checkUnsigned looks at what the signature does not cover. The encoding must be
// the only one of its content (encoding/asn1 does not compare the lengths of an
// explicit tag and of what it holds), the version numbers those of RFC 3161 and
// RFC 5652, and the signer's digest algorithm among those announced.
func checkUnsigned(der []byte, sd *signedData) error {
	again, err := asn1.Marshal(*sd)
	if err != nil {
		return err
	}
	if !bytes.Equal(der, again) {
		return errors.New("it is not in DER")
	}
	for _, set := range []asn1.RawValue{sd.Certificates, sd.CRLs, sd.Signers[0].SignedAttrs, sd.Signers[0].UnsignedAttrs} {
		if len(set.FullBytes) > 0 && !set.IsCompound {
			return errors.New("it is not in DER: a set is not marked as one")
		}
	}
	if sd.Version != 3 || sd.Signers[0].Version != 1 {
		return fmt.Errorf("versions %d and %d are not those of a timestamp", sd.Version, sd.Signers[0].Version)
	}
	if !slices.ContainsFunc(sd.DigestAlgorithms, func(a pkix.AlgorithmIdentifier) bool {
		return a.Algorithm.Equal(sd.Signers[0].Digest.Algorithm)
	}) {
		return errors.New("the signer's digest algorithm is not announced")
	}
	return nil
}

// parseAttributes reads signed attributes; each may occur once and has one value
// (RFC 5652, section 11).
func parseAttributes(der []byte) (map[string]asn1.RawValue, error) {
	attrs := make(map[string]asn1.RawValue)
	for len(der) > 0 {
		var a attribute
		rest, err := asn1.Unmarshal(der, &a)
		if err != nil {
			return nil, fmt.Errorf("its signed attributes: %w", err)
		}
		name := a.Type.String()
		if _, twice := attrs[name]; twice || len(a.Values) != 1 {
			return nil, fmt.Errorf("its signed attribute %s does not have exactly one value", name)
		}
		attrs[name] = a.Values[0]
		der = rest
	}
	return attrs, nil
}

// verify checks the signature and returns the signer's certificate, which the
// signed attributes name by its hash.
func (s *signed) verify() (*x509.Certificate, error) {
	hash, err := hashOf(s.signer.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	var contentType asn1.ObjectIdentifier
	if err := s.attribute(oidContentType, &contentType); err != nil {
		return nil, err
	}
	if !contentType.Equal(oidTSTInfo) {
		return nil, errors.New("the signature is for another kind of content")
	}
	var digest []byte
	if err := s.attribute(oidMessageDigest, &digest); err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(s.content)
	if !bytes.Equal(digest, h.Sum(nil)) {
		return nil, errors.New("its content was changed: the signed digest does not match")
	}
	cert, err := s.signingCertificate()
	if err != nil {
		return nil, err
	}
	if err := checkPurpose(cert); err != nil {
		return nil, err
	}
	alg, err := signatureAlgorithm(s.signer.Algorithm.Algorithm, hash)
	if err != nil {
		return nil, err
	}
	// What is signed is the attributes as a SET, not with the tag that they
	// bear inside the structure (RFC 5652, section 5.4).
	set := slices.Clone(s.signer.SignedAttrs.FullBytes)
	set[0] = asn1.TagSet | 0x20
	if err := cert.CheckSignature(alg, set, s.signer.Signature); err != nil {
		return nil, fmt.Errorf("its signature is not valid: %w", err)
	}
	return cert, nil
}

func (s *signed) attribute(oid asn1.ObjectIdentifier, v any) error {
	raw, ok := s.attrs[oid.String()]
	if !ok {
		return fmt.Errorf("the signed attribute %s is missing", oid)
	}
	if err := unmarshal(raw.FullBytes, v); err != nil {
		return fmt.Errorf("the signed attribute %s: %w", oid, err)
	}
	return nil
}

// signingCertificate finds the certificate by the hash in the attribute
// SigningCertificateV2 (RFC 5816) or, from older authorities, SigningCertificate
// with SHA-1 (RFC 3161). Taking issuer and serial number instead would let
// another certificate with the same pair take its place.
func (s *signed) signingCertificate() (*x509.Certificate, error) {
	var want []byte
	hash := crypto.SHA256
	if _, v2 := s.attrs[oidSigningCertV2.String()]; v2 {
		var attr struct {
			Certs []struct {
				Hash     pkix.AlgorithmIdentifier `asn1:"optional"`
				CertHash []byte
				Issuer   asn1.RawValue `asn1:"optional"`
			}
			Policies asn1.RawValue `asn1:"optional"`
		}
		if err := s.attribute(oidSigningCertV2, &attr); err != nil {
			return nil, err
		}
		if len(attr.Certs) == 0 {
			return nil, errors.New("the signed attributes name no certificate")
		}
		if oid := attr.Certs[0].Hash.Algorithm; len(oid) > 0 {
			var err error
			if hash, err = hashOf(oid); err != nil {
				return nil, err
			}
		}
		want = attr.Certs[0].CertHash
	} else {
		var attr struct {
			Certs []struct {
				CertHash []byte
				Issuer   asn1.RawValue `asn1:"optional"`
			}
			Policies asn1.RawValue `asn1:"optional"`
		}
		if err := s.attribute(oidSigningCert, &attr); err != nil {
			return nil, err
		}
		if len(attr.Certs) == 0 {
			return nil, errors.New("the signed attributes name no certificate")
		}
		hash, want = crypto.SHA1, attr.Certs[0].CertHash
	}
	for _, c := range s.certs {
		if bytes.Equal(want, certHash(hash, c.Raw)) {
			return c, nil
		}
	}
	return nil, errors.New("the signer's certificate is not in it")
}

func certHash(hash crypto.Hash, der []byte) []byte {
	switch hash {
	case crypto.SHA1: // names a certificate; the signature itself never rests on it
		sum := sha1.Sum(der)
		return sum[:]
	case crypto.SHA256:
		sum := sha256.Sum256(der)
		return sum[:]
	}
	h := hash.New()
	h.Write(der)
	return h.Sum(nil)
}

// checkPurpose demands a certificate that may sign timestamps and nothing else
// (RFC 3161, section 2.3).
func checkPurpose(c *x509.Certificate) error {
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return errors.New("the signer's certificate is not one for timestamping alone")
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtKeyUsage) && e.Critical {
			return nil
		}
	}
	return errors.New("the purpose of the signer's certificate is not marked critical")
}

func hashOf(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	switch {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("hash algorithm %s is not supported", oid)
}

// signatureAlgorithm maps the signer's algorithm; some authorities give the
// bare key type and leave the hash to the digest algorithm.
func signatureAlgorithm(oid asn1.ObjectIdentifier, hash crypto.Hash) (x509.SignatureAlgorithm, error) {
	switch {
	case oid.Equal(oidRSAWithSHA256), oid.Equal(oidRSA) && hash == crypto.SHA256:
		return x509.SHA256WithRSA, nil
	case oid.Equal(oidRSAWithSHA384), oid.Equal(oidRSA) && hash == crypto.SHA384:
		return x509.SHA384WithRSA, nil
	case oid.Equal(oidRSAWithSHA512), oid.Equal(oidRSA) && hash == crypto.SHA512:
		return x509.SHA512WithRSA, nil
	case oid.Equal(oidECDSAWithSHA256):
		return x509.ECDSAWithSHA256, nil
	case oid.Equal(oidECDSAWithSHA384):
		return x509.ECDSAWithSHA384, nil
	case oid.Equal(oidECDSAWithSHA512):
		return x509.ECDSAWithSHA512, nil
	}
	return 0, fmt.Errorf("signature algorithm %s is not supported", oid)
}
