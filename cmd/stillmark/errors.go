package main

import (
	"errors"
	"io/fs"
	"syscall"
)

// The exit codes. Packages give their errors an ExitCode method; what has none
// is a bug (1), unless it is about a file that the user named (2).
const (
	codeBug        = 1
	codeUsage      = 2
	codeIncomplete = 20
	codeStorage    = 24
	codeUnreached  = 25
	codeAltered    = 30
)

var codeNames = map[int]string{
	codeBug: "internal", codeUsage: "usage", 10: "gate_failed", 11: "inconclusive", 12: "baseline",
	13: "watermark_weak", codeIncomplete: "incomplete", 21: "auth", 22: "quota", 23: "drift",
	codeStorage: "storage", codeUnreached: "target_unavailable", codeAltered: "altered", 31: "bad_signature",
	32: "signer_not_trusted", 33: "time_order", 34: "incomplete_package", 35: "recomputation_differs",
	130: "interrupted", 143: "terminated",
}

func codeName(code int) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return "internal"
}

// errSilent ends a command with an exit code when everything has been said.
var errSilent = errors.New("")

// codedError carries an exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }
func (e *codedError) ExitCode() int { return e.code }

// usageError marks an error of usage or configuration: nothing was sent.
func usageError(err error) error { return &codedError{codeUsage, err} }

// exitCode finds the exit code that an error carries.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	var path *fs.PathError
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
		return codeStorage
	case errors.As(err, &path), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist):
		return codeUsage
	}
	return codeBug
}
