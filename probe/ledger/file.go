package ledger

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes data to path so that at every moment, a power cut included,
// path holds either the old content or the new one: a temporary file in the
// same folder is written, synced and renamed, then the folder is synced. The
// file gets exactly the permissions perm.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return writeThrough(path, data, perm, os.Rename)
}

// WriteNewFile is [WriteFile] that never replaces anything: where path exists
// the error is fs.ErrExist and nothing is changed.
func WriteNewFile(path string, data []byte, perm fs.FileMode) error {
	return writeThrough(path, data, perm, func(tmp, path string) error {
		// A rename would replace an existing file; a hard link never does.
		if err := os.Link(tmp, path); err != nil {
			return err
		}
		return os.Remove(tmp)
	})
}

func writeThrough(path string, data []byte, perm fs.FileMode, place func(tmp, path string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, storage(err))
	}
	defer func() {
		if err != nil {
			f.Close() // a second Close is harmless
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, storage(err))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(perm); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// storage marks a full disk as ErrStorage and leaves other errors alone.
func storage(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return err
}
