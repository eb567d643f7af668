package ledger

import (
	"os"
	"syscall"
)

// allocate takes size bytes of the disk without writing them, where the file
// system can.
func allocate(f *os.File, size int64) error {
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); err == nil || isFull(err) {
		return err
	}
	return fill(f, size)
}
