package ledger

import (
	"errors"
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
	return writeThrough(path, data, perm, placeNew(os.Link))
}

// placeNew gives a finished file its name unless the name is taken. A rename
// would replace what is there; a hard link never does. File systems without
// hard links (FAT, some network shares) get an empty file of that name first,
// which only one caller can create.
func placeNew(link func(old, name string) error) func(tmp, path string) error {
	return func(tmp, path string) error {
		err := link(tmp, path)
		if err == nil {
			return os.Remove(tmp)
		}
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		return os.Rename(tmp, path)
	}
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

// MoveFolder gives a folder that was made aside its place, which must be free, and
// makes that durable. Both must lie on one file system.
func MoveFolder(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s exists already and was left alone: %w", to, fs.ErrExist)
	}
	if err := os.Rename(from, to); err != nil {
		return storage(err)
	}
	return syncDir(filepath.Dir(to))
}
