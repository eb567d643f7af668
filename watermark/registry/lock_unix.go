//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package registry

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other writers out for as long as the file is open: it dies with the
// process, so that nothing is left to clean up after kill -9.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}

// unlock comes before closing: a child between fork and exec holds a copy of the
// file for a moment, and with it the lock.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// openLog opens the log for its one writer.
func openLog(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }
