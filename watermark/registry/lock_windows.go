package registry

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// errSharingViolation is Windows' error number, which package syscall does not name.
const errSharingViolation = syscall.Errno(32)

// openLog opens the log so that others may read but not write it.
func openLog(path string) (*os.File, error) {
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

func lock(*os.File) error { return nil }

func unlock(*os.File) error { return nil }
