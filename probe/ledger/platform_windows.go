package ledger

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Windows error numbers that package syscall does not name.
const (
	errSharingViolation = syscall.Errno(32)
	errDiskFull         = syscall.Errno(112)
)

// openLocked opens the ledger so that others may read but not write it.
func openLocked(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE,
		syscall.FILE_SHARE_READ, nil, syscall.OPEN_EXISTING, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

func closeLocked(f *os.File) error { return f.Close() }

// syncDir does nothing: NTFS journals names, and folders cannot be synced.
func syncDir(string) error { return nil }

func isFull(err error) bool { return errors.Is(err, errDiskFull) }

// openToOthers is always false: permissions are lists here, not modes.
func openToOthers(fs.FileMode) bool { return false }
