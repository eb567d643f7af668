package reports

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// CosignResult says what a witness signed.
type CosignResult struct {
	Report         string `json:"report"`
	KeyID          string `json:"key_id"`
	Envelope       string `json:"envelope"` // path
	EnvelopeSHA256 string `json:"envelope_sha256"`
	Witnesses      int    `json:"witnesses"`     // of this seal, with this one
	Zip            string `json:"zip,omitempty"` // path
	ZipSHA256      string `json:"zip_sha256,omitempty"`
}

// Cosign adds the signature of a witness over the statement of a sealed case,
// beside the signer's. It refuses a case that is not sealed or that was altered,
// and the signer's own key; it does not compute the numbers again. Packed into
// out, unless that is empty.
func Cosign(dir string, witness Signer, out string) (*CosignResult, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, usage(fmt.Errorf("co-sign: %s is no folder; unpack the archive and co-sign its folder", dir))
	}
	if out != "" {
		if err := checkOutside(out, dir); err != nil {
			return nil, fmt.Errorf("co-sign: %w", err)
		}
	}
	if err := checkStray(dir); err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	p, err := integrity.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	defer p.Close()
	key := witness.PublicKey()
	name := integrity.WitnessName(key.KeyID)
	sealed, err := integrity.Check(p)
	var bad *integrity.Problem
	if errors.As(err, &bad) && bad.Code == integrity.CodeMissing && path.Base(bad.File) == name {
		// This key is there without its signature: the command was interrupted before.
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(keyFile(bad.File)))); err != nil {
			return nil, fmt.Errorf("co-sign: %w", err)
		}
		sealed, err = integrity.Check(p)
	}
	if err != nil {
		return nil, fmt.Errorf("co-sign: nothing was signed: %w", err)
	}
	if key.Key.Equal(sealed.Signer.Key) {
		return nil, usage(fmt.Errorf("co-sign: %q (%.16s) sealed this case; a witness signs with another key", key.Name, key.KeyID))
	}
	envelope, err := ledger.SignDSSE(ledger.PayloadInToto, sealed.Statement, witness, key.KeyID)
	if err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	at := filepath.Join(dir, filepath.FromSlash(sealed.Folder), name)
	if err := ledger.WriteFile(keyFile(at), integrity.WitnessKey(key), 0o600); err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	if err := ledger.WriteFile(at, envelope, 0o600); err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	err = ledger.AppendCustody(dir, ledger.Custody{
		What: ledger.CustodyCosigned, Who: key.Name, Detail: "key " + key.KeyID, SHA256: hexSum(envelope),
	})
	if err != nil {
		return nil, fmt.Errorf("co-sign: %w", err)
	}
	result := &CosignResult{
		Report: sealed.Predicate.Report, KeyID: key.KeyID, Envelope: at, EnvelopeSHA256: hexSum(envelope), Witnesses: 1,
	}
	for _, w := range sealed.Witnesses {
		if w.KeyID != key.KeyID {
			result.Witnesses++
		}
	}
	if out != "" {
		if result.ZipSHA256, err = writeZip(out, dir, sealed.Predicate.CaseID); err != nil {
			return nil, fmt.Errorf("co-sign: %w", err)
		}
		result.Zip = out
	}
	return result, nil
}

// keyFile is the file of the key beside a co-signature.
func keyFile(envelope string) string { return strings.TrimSuffix(envelope, ".json") + ".pem" }
