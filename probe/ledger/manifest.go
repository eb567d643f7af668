package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxManifest bounds a manifest: 100,000 files with paths of 500 bytes.
const maxManifest = 64 << 20

// The ways in which a file disagrees with a manifest.
const (
	ManifestMissing   = "missing"   // listed, but not there
	ManifestUnlisted  = "unlisted"  // there, but not listed
	ManifestAltered   = "altered"   // another SHA-256
	ManifestIrregular = "irregular" // no regular file, or a name that cannot be listed
	ManifestMalformed = "malformed" // the manifest itself cannot be read
	ManifestIO        = "io"        // the file cannot be read
)

// ManifestError names the first file, in the order of paths, that does not
// agree with a manifest.
type ManifestError struct {
	Path   string
	Kind   string // one of the Manifest constants
	Offset int64  // byte at which it fails; -1 where a hash cannot tell
	Err    error  // may be nil
}

func (e *ManifestError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Path, manifestKinds(e.Kind))
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func manifestKinds(kind string) string {
	switch kind {
	case ManifestMissing:
		return "the manifest lists it, but it is missing"
	case ManifestUnlisted:
		return "the manifest does not list it"
	case ManifestAltered:
		return "altered: its SHA-256 is not the one in the manifest"
	case ManifestIrregular:
		return "not a regular file with a plain name"
	case ManifestMalformed:
		return "not a manifest"
	}
	return "cannot be read"
}

func (e *ManifestError) Unwrap() error { return e.Err }

// BuildManifest lists every file of fsys but the exempt ones with its SHA-256,
// sorted by path, in the format that `sha256sum -c` reads. exempt may be nil.
func BuildManifest(fsys fs.FS, exempt func(path string) bool) ([]byte, error) {
	paths, err := listFiles(fsys, exempt)
	if err != nil {
		return nil, fmt.Errorf("building the manifest: %w", err)
	}
	var b bytes.Buffer
	for _, p := range paths {
		sum, _, err := SumFile(fsys, p)
		if err != nil {
			return nil, fmt.Errorf("building the manifest: %s: %w", p, err)
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, p)
	}
	return b.Bytes(), nil
}

// CheckManifest compares every file of fsys but the exempt ones with a
// manifest. A listed file that is missing, a file that is not listed and a
// changed byte are all errors, of type *[ManifestError].
func CheckManifest(fsys fs.FS, manifest []byte, exempt func(path string) bool) error {
	listed, err := ParseManifest(manifest)
	if err != nil {
		return err
	}
	paths, err := listFiles(fsys, exempt)
	if err != nil {
		return err
	}
	for i, j := 0, 0; i < len(listed) || j < len(paths); {
		switch {
		case j == len(paths) || i < len(listed) && listed[i].Path < paths[j]:
			return &ManifestError{Path: listed[i].Path, Kind: ManifestMissing, Offset: -1}
		case i == len(listed) || paths[j] < listed[i].Path:
			return &ManifestError{Path: paths[j], Kind: ManifestUnlisted, Offset: -1}
		}
		sum, size, err := SumFile(fsys, paths[j])
		if err != nil {
			return &ManifestError{Path: paths[j], Kind: ManifestIO, Offset: -1, Err: err}
		}
		if sum != listed[i].SHA256 {
			e := &ManifestError{Path: paths[j], Kind: ManifestAltered, Offset: -1}
			if size == 0 {
				e.Offset, e.Err = 0, errors.New("the file is empty")
			}
			return e
		}
		i++
		j++
	}
	return nil
}

// ManifestEntry is one line of a manifest.
type ManifestEntry struct {
	SHA256 string // lower-case hex
	Path   string
}

// ParseManifest reads a manifest strictly: what `sha256sum` would read in
// another way than this program, such as escaped names, is refused.
func ParseManifest(manifest []byte) ([]ManifestEntry, error) {
	malformed := func(offset int, reason string) error {
		return &ManifestError{Path: "manifest", Kind: ManifestMalformed, Offset: int64(offset), Err: errors.New(reason)}
	}
	if len(manifest) > maxManifest {
		return nil, malformed(maxManifest, "larger than any that is read")
	}
	var out []ManifestEntry
	for offset := 0; offset < len(manifest); {
		line, _, whole := bytes.Cut(manifest[offset:], []byte{'\n'})
		sum, path, parted := strings.Cut(string(line), "  ")
		switch {
		case !whole:
			return nil, malformed(offset, "the last line has no end")
		case !parted || !isHexSHA256(sum):
			return nil, malformed(offset, "the line is not a SHA-256, two spaces and a path")
		case !plainPath(path):
			return nil, malformed(offset, "the path cannot be listed")
		case len(out) > 0 && out[len(out)-1].Path >= path:
			return nil, malformed(offset, "the paths are not in order")
		}
		out = append(out, ManifestEntry{sum, path})
		offset += len(line) + 1
	}
	return out, nil
}

// plainPath refuses what sha256sum escapes or a terminal interprets.
func plainPath(path string) bool {
	return fs.ValidPath(path) && path != "." && utf8.ValidString(path) && !strings.ContainsFunc(path, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\\' || r >= 0x80 && r < 0xa0
	})
}

// listFiles returns the paths of all files in byte order.
func listFiles(fsys fs.FS, exempt func(string) bool) ([]string, error) {
	var paths []string
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return &ManifestError{Path: path, Kind: ManifestIO, Offset: -1, Err: err}
		case d.IsDir() || exempt != nil && exempt(path):
			return nil
		case !d.Type().IsRegular() || !plainPath(path):
			return &ManifestError{Path: fmt.Sprintf("%+q", path), Kind: ManifestIrregular, Offset: -1}
		}
		paths = append(paths, path)
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// SumFile returns a file's SHA-256 in hex and its size.
func SumFile(fsys fs.FS, path string) (string, int64, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}
