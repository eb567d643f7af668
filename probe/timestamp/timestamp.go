package timestamp

import (
	"crypto/x509"
	"errors"
	"time"
)

var errSkeleton = errors.New("not written yet")

// Request returns a DER TimeStampReq for a SHA-256 digest, with a nonce and
// the wish for the authority's certificate.
func Request(digest [32]byte) ([]byte, error) { return nil, errSkeleton }

// ParseResponse returns the token of a DER TimeStampResp.
func ParseResponse(der []byte) (token []byte, err error) { return nil, errSkeleton }

// Stamp is what a token says.
type Stamp struct {
	Time      time.Time // UTC, whole seconds
	Authority string    // common name of the signing certificate
	Trusted   bool      // the certificate leads to one of the given roots
}

// Verify checks a token. With roots nil the imprint and the signature are
// checked, and the stamp is not trusted.
func Verify(token []byte, digest [32]byte, roots *x509.CertPool) (Stamp, error) {
	return Stamp{}, errSkeleton
}

// Authority is an in-process timestamping authority for tests and the demo.
type Authority struct{}

// NewAuthority draws a root and a signing certificate.
func NewAuthority(name string, now func() time.Time) (*Authority, error) { return nil, errSkeleton }

// Stamp issues a token.
func (a *Authority) Stamp(digest [32]byte) ([]byte, error) { return nil, errSkeleton }

// Respond answers a TimeStampReq with a TimeStampResp, as a server would.
func (a *Authority) Respond(request []byte) ([]byte, error) { return nil, errSkeleton }

// CertPEM is the root certificate.
func (a *Authority) CertPEM() []byte { return nil }
