package timestamp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	tsp "github.com/digitorus/timestamp"
)

// demoPolicy stands under the enterprise number that RFC 5612 reserves for
// documentation: nobody can take it for the policy of a real authority.
var demoPolicy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}

// authorityLife is the validity of the certificates: longer than anybody looks
// at a demo case, so that `openssl ts -verify` goes on to accept it.
const authorityLife = 20 * 365 * 24 * time.Hour

// Authority is an in-process timestamping authority for tests and the demo. It
// proves nothing about time, since whoever runs it chooses its clock; its
// certificates bear the name that the caller gives. It is safe for
// concurrent use.
type Authority struct {
	now    func() time.Time
	root   *x509.Certificate
	signer *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewAuthority draws keys for a root and a signing certificate, both named after
// name. now nil means the system's clock.
func NewAuthority(name string, now func() time.Time) (*Authority, error) {
	if name == "" {
		return nil, errors.New("timestamp authority: it needs a name")
	}
	if now == nil {
		now = time.Now
	}
	a := &Authority{now: now}
	if err := a.issue(name); err != nil {
		return nil, fmt.Errorf("timestamp authority: %w", err)
	}
	return a, nil
}

// issue makes the two certificates. The signing one is for timestamping alone,
// marked critical, as RFC 3161, section 2.3, demands.
func (a *Authority) issue(name string) error {
	// An hour before the first stamp: a demo's commitments may be stamped with a
	// clock that runs behind.
	from := a.now().UTC().Add(-time.Hour).Truncate(time.Second)
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + " root"},
		NotBefore: from, NotAfter: from.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if a.root, err = certify(root, root, &rootKey.PublicKey, rootKey); err != nil {
		return err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}) // id-kp-timeStamping
	if err != nil {
		return err
	}
	signer := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: from.Add(authorityLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: usage}},
	}
	a.signer, err = certify(signer, a.root, &a.key.PublicKey, rootKey)
	return err
}

func certify(c, parent *x509.Certificate, pub, key any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Stamp issues a token for a SHA-256 digest. Its time is the clock's, cut to
// whole seconds; the stated accuracy is one second.
func (a *Authority) Stamp(digest [32]byte) ([]byte, error) {
	resp, err := a.respond(&tsp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true})
	if err != nil {
		return nil, err
	}
	return ParseResponse(resp)
}

// Respond answers a DER TimeStampReq with a DER TimeStampResp, as a server would
// over HTTP.
func (a *Authority) Respond(request []byte) ([]byte, error) {
	req, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	return a.respond(req)
}

func (a *Authority) respond(req *tsp.Request) ([]byte, error) {
	ts := tsp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage,
		Time: a.now().UTC().Truncate(time.Second), Accuracy: time.Second,
		Policy: demoPolicy, Nonce: req.Nonce, AddTSACertificate: req.Certificates,
	}
	der, err := ts.CreateResponseWithOpts(a.signer, a.key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("timestamp authority: %w", err)
	}
	return der, nil
}

// Roots is a pool with the authority's root alone.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// CertPEM is the root certificate, for `openssl ts -verify -CAfile`.
func (a *Authority) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}
