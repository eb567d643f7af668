package reports

import (
	"context"
	"crypto"
	"errors"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Signer signs with Ed25519. *ledger.Signer is one; a key in hardware can be
// another.
type Signer interface {
	crypto.Signer
	PublicKey() ledger.PublicKey
}

// SealOptions says what is sealed and how.
type SealOptions struct {
	Report   string           // folder under reports/; "" means the newest
	Disclose []*watermark.Key // keys whose subkey goes into the case
	// Stamp gets an RFC 3161 token for a SHA-256 digest from a timestamping
	// authority. Nil: the time of the seal is the signer's own claim.
	Stamp func(ctx context.Context, digest [32]byte) (token []byte, err error)
	Out   string           // path of the zip; "" means none
	Now   func() time.Time // nil means the system's clock
}

// SealResult says what was sealed.
type SealResult struct {
	Report         string
	Envelope       string // path
	EnvelopeSHA256 string
	Manifest       string // path
	Files          int
	Stamped        bool
	Disclosed      []string // key ids
	Withheld       []string // keys of the plan that are not disclosed
	Zip            string   // path, "" if none
	ZipSHA256      string
}

// Seal closes a case: it discloses the given keys, writes VERIFY.md for this
// very case, appends the seal event to the ledger, lists every file in the
// manifest, signs a statement over all of them and, if asked to, has it
// timestamped and packs the case into one zip. A seal that was interrupted can
// be repeated; a sealed case can be sealed again, which the ledger then shows.
func Seal(ctx context.Context, dir string, signer Signer, opt SealOptions) (*SealResult, error) {
	return nil, errors.New("not written yet")
}
