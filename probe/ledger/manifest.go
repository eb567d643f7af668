package ledger

import "io/fs"

// ManifestError names the first file that a manifest does not agree with.
type ManifestError struct {
	Path   string
	Kind   string // missing, unlisted, altered, irregular, manifest
	Offset int64  // byte at which it fails, -1 where that cannot be known
	Err    error
}

func (e *ManifestError) Error() string { return e.Path + ": " + e.Kind }
func (e *ManifestError) Unwrap() error { return e.Err }

// BuildManifest lists every file with its SHA-256 in the format of sha256sum,
// sorted by path. exempt names files to be left out.
func BuildManifest(fsys fs.FS, exempt func(path string) bool) ([]byte, error) {
	return nil, errSkeleton
}

// CheckManifest compares all files with the manifest, unlisted ones included.
// The error is a *ManifestError.
func CheckManifest(fsys fs.FS, manifest []byte, exempt func(path string) bool) error {
	return errSkeleton
}
