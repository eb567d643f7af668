package watermark

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ErrPermissions is wrapped for a file or folder with secrets that others could
// read, or a file that is executable.
var ErrPermissions = errors.New("it is open to others")

// CheckPrivate refuses a file that grants anything beyond 0600, and a folder
// beyond 0700. Nothing is checked on Windows, which has no such bits.
func CheckPrivate(path string, info fs.FileInfo) error {
	most := fs.FileMode(0o600)
	if info.IsDir() {
		most = 0o700
	}
	if mode := info.Mode().Perm(); mode&^most != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s has permissions %#o; make them %04o with: chmod %o %s: %w", path, mode, most, most, path, ErrPermissions)
	}
	return nil
}

// ReadPrivate reads a file of secrets, of at most limit bytes, that must be closed
// to others.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: %w", path, ErrMalformed)
	}
	if err := CheckPrivate(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes: %w", path, limit, ErrMalformed)
	}
	return data, err
}

// WritePrivate creates a file of mode 0600 with the data or leaves nothing behind.
// The data is on disk before the name exists: linking a finished temporary file is
// the one way to create that is both atomic and refuses an existing name, for
// which the error wraps [fs.ErrExist].
func WritePrivate(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // made with 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists and was left as it is: %w", path, fs.ErrExist)
		}
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes a new name in a folder durable. Windows has no way to sync a
// folder.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
