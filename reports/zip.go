package reports

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// zipDate is 1 January 1980, the first day that a zip can name: the archive of
// a case is a function of its files alone.
const zipDate = 1<<5 | 1

// WriteZip packs all files of fsys into one folder of the given name: sorted,
// without compression, without dates, so that the same files give the same
// archive on every machine, and an archive cannot unpack to more than its size.
func WriteZip(w io.Writer, fsys fs.FS, folder string) error {
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pack the case: %w", err)
	}
	slices.Sort(names)
	z := zip.NewWriter(w)
	for _, name := range names {
		if err := addFile(z, fsys, name, folder+"/"+name); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pack the case: %w", err)
	}
	return nil
}

// addFile reads a file twice: its size and checksum stand before its bytes.
func addFile(z *zip.Writer, fsys fs.FS, name, as string) error {
	read := func(w io.Writer) (int64, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return io.Copy(w, f)
	}
	sum := crc32.NewIEEE()
	size, err := read(sum)
	if err != nil {
		return err
	}
	h := &zip.FileHeader{
		Name: as, Method: zip.Store,
		//lint:ignore SA1019 CreateRaw writes this field as it stands; Modified would add an extra field
		ModifiedDate: zipDate,
		CRC32:        sum.Sum32(), CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
	}
	h.SetMode(0o600)
	w, err := z.CreateRaw(h)
	if err != nil {
		return err
	}
	n, err := read(w)
	if err == nil && n != size {
		err = fmt.Errorf("changed while it was packed")
	}
	return err
}

// writeZip writes the archive to path, through a temporary file, and returns
// its hash.
func writeZip(path, dir, folder string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return "", fmt.Errorf("pack the case: %w", err)
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	defer f.Close()
	sum := sha256.New()
	if err := WriteZip(io.MultiWriter(f, sum), os.DirFS(dir), folder); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("pack the case: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("pack the case: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", fmt.Errorf("pack the case: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// ZipSHA256 is the hash of the archive that [Seal] would write of these files.
func ZipSHA256(fsys fs.FS, folder string) (string, error) {
	sum := sha256.New()
	if err := WriteZip(sum, fsys, folder); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
