package timestamp

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	tsp "github.com/digitorus/timestamp"
)

// parsing lets the library parse one token at a time: the PKCS #7 package below
// it (github.com/digitorus/pkcs7, ber.go) counts its depth in a package variable.
var parsing sync.Mutex

func parse(token []byte) (*tsp.Timestamp, error) {
	parsing.Lock()
	defer parsing.Unlock()
	return tsp.Parse(token)
}

// maxToken bounds what is parsed. Tokens of public authorities, with their
// certificates, have 3 to 8 KiB.
const maxToken = 64 << 10

// nonceBits is the length of a request's nonce: enough that no answer to
// another request fits by chance.
const nonceBits = 64

// Request returns a DER TimeStampReq for a SHA-256 digest, with a random nonce
// and the wish for the authority's certificate.
func Request(digest [32]byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, fmt.Errorf("timestamp request: %w", err)
	}
	req := tsp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, Nonce: nonce}
	der, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("timestamp request: %w", err)
	}
	return der, nil
}

// ParseResponse returns the token of a DER TimeStampResp. A refusal by the
// authority is an error that says why. The token is not verified.
func ParseResponse(der []byte) (token []byte, err error) {
	if len(der) > maxToken {
		return nil, fmt.Errorf("timestamp response: %d bytes, more than the %d that are read", len(der), maxToken)
	}
	var resp struct {
		Status struct {
			Status int
			Text   []asn1.RawValue `asn1:"optional"`
			Fail   asn1.BitString  `asn1:"optional"`
		}
		Token asn1.RawValue `asn1:"optional"`
	}
	if err := unmarshal(der, &resp); err != nil {
		return nil, fmt.Errorf("timestamp response: %w", err)
	}
	switch status := tsp.Status(resp.Status.Status); status {
	case tsp.Granted, tsp.GrantedWithMods:
	default:
		why := status.String()
		for _, t := range resp.Status.Text {
			why += fmt.Sprintf(", %.200q", t.Bytes)
		}
		return nil, fmt.Errorf("timestamp response: the authority says: %s", why)
	}
	if len(resp.Token.FullBytes) == 0 {
		return nil, errors.New("timestamp response: granted, but without a token")
	}
	return resp.Token.FullBytes, nil
}

// Token returns the token in a file as a third party left it: the token itself, or a
// whole DER TimeStampResp, as `openssl ts -reply` writes it. What is neither is returned
// as it is, for [Verify] to refuse.
func Token(data []byte) ([]byte, error) {
	var outer, first asn1.RawValue
	if _, err := asn1.Unmarshal(data, &outer); err != nil || outer.Tag != asn1.TagSequence {
		return data, nil
	}
	// A token begins with the type of its content, a response with its status.
	if _, err := asn1.Unmarshal(outer.Bytes, &first); err != nil || first.Tag != asn1.TagSequence {
		return data, nil
	}
	return ParseResponse(data)
}

// Accept returns the token of a response, verified and compared with the
// request: same digest, same nonce.
func Accept(request, response []byte) (token []byte, err error) {
	req, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	if token, err = ParseResponse(response); err != nil {
		return nil, err
	}
	if _, err := Verify(token, [32]byte(req.HashedMessage), nil); err != nil {
		return nil, err
	}
	ts, err := parse(token)
	if err != nil {
		return nil, fmt.Errorf("timestamp token: %w", err)
	}
	if req.Nonce != nil && (ts.Nonce == nil || req.Nonce.Cmp(ts.Nonce) != 0) {
		return nil, errors.New("timestamp token: it answers another request (the nonce differs)")
	}
	return token, nil
}

func parseRequest(der []byte) (*tsp.Request, error) {
	if len(der) > maxToken {
		return nil, fmt.Errorf("timestamp request: %d bytes, more than the %d that are read", len(der), maxToken)
	}
	req, err := tsp.ParseRequest(der)
	if err != nil {
		return nil, fmt.Errorf("timestamp request: %w", err)
	}
	if req.HashAlgorithm != crypto.SHA256 || len(req.HashedMessage) != 32 {
		return nil, errors.New("timestamp request: the digest is not a SHA-256")
	}
	return req, nil
}

// maxAccuracy bounds what a token may state: authorities give seconds.
const maxAccuracy = 24 * time.Hour

// Stamp is what a verified token says.
type Stamp struct {
	Time      time.Time     // UTC; most authorities give whole seconds
	Accuracy  time.Duration // as the authority states it; 0 = not stated
	Authority string        // common name of the signing certificate, as it claims
	Trusted   bool          // the certificate leads to one of the given roots
	Untrusted string        // why not
}

// Latest is the end of the interval in which the token may have been made: its
// time and the stated accuracy. What must come after the stamp must come after it.
func (s Stamp) Latest() time.Time { return s.Time.Add(s.Accuracy) }

// Verify checks a token against a digest: its form, the digest in it, the
// authority's signature, and that the signer's certificate is one for
// timestamping and was valid at the token's own time. An error means that the
// token proves nothing.
//
// With roots the chain is checked too, at the token's own time, since the
// certificates may have expired long before the evidence is read; a chain that
// does not lead to roots leaves Trusted false and says why. Revocation is not
// checked: that would need a network. It is safe for concurrent use.
func Verify(token []byte, digest [32]byte, roots *x509.CertPool) (Stamp, error) {
	s, err := verify(token, digest, roots)
	if err != nil {
		return Stamp{}, fmt.Errorf("timestamp token: %w", err)
	}
	return s, nil
}

func verify(token []byte, digest [32]byte, roots *x509.CertPool) (Stamp, error) {
	if len(token) > maxToken {
		return Stamp{}, fmt.Errorf("%d bytes, more than the %d that are read", len(token), maxToken)
	}
	signed, err := parseSigned(token)
	if err != nil {
		return Stamp{}, err
	}
	signer, err := signed.verify()
	if err != nil {
		return Stamp{}, err
	}
	// The form has been checked, so that the library sees plain DER with one signer.
	ts, err := parse(token)
	if err != nil {
		return Stamp{}, err
	}
	if ts.HashAlgorithm != crypto.SHA256 || !bytes.Equal(ts.HashedMessage, digest[:]) {
		return Stamp{}, fmt.Errorf("it is for another file: digest %.64x, not %x", ts.HashedMessage, digest)
	}
	if ts.Accuracy < 0 || ts.Accuracy > maxAccuracy {
		return Stamp{}, fmt.Errorf("it states an accuracy of %s, which no authority has", ts.Accuracy)
	}
	at := ts.Time.UTC()
	if at.Before(signer.NotBefore) || at.After(signer.NotAfter) {
		return Stamp{}, fmt.Errorf("its time %s lies outside of its certificate's life", at.Format(time.RFC3339))
	}
	s := Stamp{Time: at, Accuracy: ts.Accuracy, Authority: signer.Subject.CommonName}
	if roots == nil {
		s.Untrusted = "no root certificate was given"
		return s, nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range signed.certs {
		intermediates.AddCert(c)
	}
	_, err = signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		s.Untrusted = err.Error()
		return s, nil
	}
	s.Trusted = true
	return s, nil
}
