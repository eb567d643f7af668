package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// reserveSize is the disk space that is held back while a case is written, so
// that after the disk fills up the replies under way and the fault itself can
// still be recorded: 64 requests in flight with bodies of 1 MiB each, far above
// what any long answer takes.
const reserveSize = 64 << 20

// reserveName lies in the case folder only while a writer has it open; after
// kill -9 the next writer takes it over.
const reserveName = ".reserve"

// takeReserve creates the reserve file, or completes an existing one.
func takeReserve(dir string, size int64) error {
	path := filepath.Join(dir, reserveName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("reserving disk space: %w", err)
	}
	err = allocate(f, size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("reserving %d MiB of disk space so that a full disk loses nothing: %w", size>>20, storage(err))
	}
	return nil
}

// releaseReserve gives the space back. It reports whether there was any.
func releaseReserve(dir string) (bool, error) {
	err := os.Remove(filepath.Join(dir, reserveName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// fill writes zeros: the way of file systems that cannot allocate. Only the sync
// shows whether there was room for them.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return f.Sync()
}
