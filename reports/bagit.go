package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// ExportOptions say who exports a case, for its custody log and the bag.
type ExportOptions struct {
	By, Why string
	Program ledger.Build
	Now     time.Time // zero: the system's
}

// Exported is a bag that was written.
type Exported struct {
	Path      string `json:"path"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"` // of the payload
	ZipSHA256 string `json:"zip_sha256,omitempty"`
}

// ExportBag writes a sealed case, a folder or a zip, into a bag of the BagIt File
// Packaging Format 1.0 (RFC 8493), which archives and libraries take in: a folder, or
// a zip where the name of out ends in .zip. The payload, under data/, is the case as it
// is, with an entry in its custody log; it verifies in the bag and out of it.
func ExportBag(from, out string, opt ExportOptions) (*Exported, error) {
	done, err := exportBag(from, out, opt)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return done, nil
}

func exportBag(from, out string, opt ExportOptions) (*Exported, error) {
	if opt.By == "" {
		return nil, usage(errors.New("the custody log says who exported the case: give a name"))
	}
	p, sealed, err := openToCopy(from, out)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	parent, err := os.MkdirTemp(filepath.Dir(out), ".export-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(parent)
	id := sealed.Predicate.CaseID
	dir := filepath.Join(parent, id)
	data := filepath.Join(dir, "data")
	err = fs.WalkDir(p.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return copyFile(p.FS, name, filepath.Join(data, filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, err
	}
	entry := ledger.Custody{
		Time: opt.Now, What: ledger.CustodyExported, Who: opt.By, Why: opt.Why, Detail: "BagIt 1.0", SHA256: hexSum(sealed.Envelope),
	}
	if err := ledger.AppendCustody(data, entry); err != nil {
		return nil, err
	}
	done, err := writeTags(dir, id, opt)
	if err != nil {
		return nil, err
	}
	done.Path = out
	if strings.HasSuffix(out, ".zip") {
		done.ZipSHA256, err = writeZip(out, dir, id)
	} else {
		err = ledger.MoveFolder(dir, out)
	}
	if err == nil && !p.Zip {
		if err = ledger.AppendCustody(from, entry); err != nil {
			err = fmt.Errorf("the bag was written, but the custody log of %s does not say so: %w", from, err)
		}
	}
	return done, err
}

// writeTags writes what makes a bag of a folder that has its payload.
func writeTags(dir, caseID string, opt ExportOptions) (*Exported, error) {
	fsys := os.DirFS(dir)
	manifest, err := ledger.BuildManifest(fsys, nil)
	if err != nil {
		return nil, err
	}
	done := &Exported{Files: bytes.Count(manifest, []byte{'\n'})}
	err = fs.WalkDir(fsys, "data", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			done.Bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	info := fmt.Sprintf("Bag-Software-Agent: stillmark %s\nBagging-Date: %s\nExternal-Identifier: %s\nPayload-Oxum: %d.%d\n",
		opt.Program.Version, opt.Now.UTC().Format(time.DateOnly), caseID, done.Bytes, done.Files)
	for _, f := range []ledger.File{
		{Name: "bagit.txt", Data: []byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")},
		{Name: "bag-info.txt", Data: []byte(info)},
		{Name: integrity.ManifestName, Data: manifest},
	} {
		if err := ledger.WriteNewFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			return nil, err
		}
	}
	tags, err := ledger.BuildManifest(fsys, func(name string) bool { return strings.HasPrefix(name, "data/") })
	if err != nil {
		return nil, err
	}
	return done, ledger.WriteNewFile(filepath.Join(dir, integrity.TagManifestName), tags, 0o600)
}
