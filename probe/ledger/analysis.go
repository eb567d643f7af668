package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SaveAnalysis writes an encoded analysis as analysis/<id>/findings.json into
// the case folder dir and returns its id: a running number, so that the newest
// sorts last, and the beginning of the content's SHA-256. Findings that are
// there already keep their id; nothing is ever overwritten.
func SaveAnalysis(dir string, findings []byte) (id string, err error) {
	folder := filepath.Join(dir, "analysis")
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("list earlier analyses: %w", err)
	}
	sum := sha256.Sum256(findings)
	suffix := "-" + hex.EncodeToString(sum[:4])
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if old, err := os.ReadFile(filepath.Join(folder, e.Name(), "findings.json")); err == nil && string(old) == string(findings) {
			return e.Name(), nil
		}
	}
	id = fmt.Sprintf("%03d%s", len(entries)+1, suffix)
	if err := os.MkdirAll(filepath.Join(folder, id), 0o700); err != nil {
		return "", fmt.Errorf("analysis %s: %w", id, err)
	}
	if err := WriteNewFile(filepath.Join(folder, id, "findings.json"), findings, 0o600); err != nil {
		return "", fmt.Errorf("analysis %s was not written: %w", id, err)
	}
	return id, nil
}
