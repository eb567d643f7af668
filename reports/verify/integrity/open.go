package integrity

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is opened. They are far above any real case (100,000 replies
// make some 10,000 files of a gigabyte in all) and far below what harms.
const (
	maxFiles     = 1 << 20
	maxTotal     = 1 << 40 // bytes after decompression
	maxRatio     = 200     // of decompression; JSON of repeated replies reaches about 20
	ratioFree    = 1 << 20 // bytes below which the ratio is not looked at
	maxPathBytes = 512
)

// Package is a case as it was handed over: a folder, or a zip with one folder in
// it, and this a case or a bag with one. Close it when done.
type Package struct {
	FS     fs.FS
	Zip    bool
	Bag    bool  // the case is the payload of a bag
	Files  int   // regular files
	Bytes  int64 // in all
	closer io.Closer
	path   string // of the archive
	folder string // the one folder in it
}

// Close releases the archive.
func (p *Package) Close() error {
	if p.closer == nil {
		return nil
	}
	return p.closer.Close()
}

// Open opens a folder or a zip and refuses whatever a sealed case cannot hold:
// symbolic links, devices, unsafe, hidden or doubled names, zip bombs, entries
// that two unpackers could read differently. The error is a *Problem, or about
// path itself.
func Open(name string) (*Package, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("open case: %w", err)
	}
	open := func() (*Package, error) { return openZip(name, info.Size()) }
	if info.IsDir() {
		open = func() (*Package, error) { return openFolder(name) }
	}
	p, err := open()
	if err != nil {
		return nil, err
	}
	if err := p.unbag(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func openFolder(name string) (*Package, error) {
	p := &Package{FS: os.DirFS(name)}
	folded := map[string]string{}
	err := fs.WalkDir(p.FS, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == "." {
			return err
		}
		if err := checkName(file, folded); err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return problem(CodeIrregular, ExitAltered, file, "not a regular file (%s); a sealed case holds none", d.Type())
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return p.count(info.Size())
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Package) count(size int64) error {
	p.Files++
	p.Bytes += size
	if p.Files > maxFiles || size < 0 || p.Bytes > maxTotal {
		return problem(CodeArchive, ExitAltered, "", "more than %d files or %d bytes", maxFiles, int64(maxTotal))
	}
	return nil
}

// checkName refuses names that some system reads as another file.
func checkName(name string, folded map[string]string) error {
	refuse := func(why string) error {
		return problem(CodeIrregular, ExitAltered, name, "unsafe name: %s", why)
	}
	switch {
	case !utf8.ValidString(name):
		return refuse("not UTF-8")
	case len(name) > maxPathBytes:
		return refuse("too long")
	case !fs.ValidPath(name), strings.ContainsAny(name, `\:`):
		return refuse("leaves the folder, or could")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return refuse("holds characters that do not print")
	}
	// Names that differ only in case are one file on some systems.
	low := strings.ToLower(name)
	if other, taken := folded[low]; taken && other != name {
		return refuse(fmt.Sprintf("the same as %s on some systems", other))
	} else if taken {
		return problem(CodeArchive, ExitAltered, name, "the name occurs twice")
	}
	folded[low] = name
	return nil
}

func openZip(name string, size int64) (*Package, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open case: %w", err)
	}
	r, err := zip.NewReader(file, size)
	if err != nil {
		file.Close()
		if errors.Is(err, zip.ErrFormat) {
			return nil, problem(CodeArchive, ExitIncomplete, path.Base(name), "neither a case folder nor a whole zip archive")
		}
		return nil, problem(CodeArchive, ExitAltered, path.Base(name), "%v", err)
	}
	p := &Package{Zip: true, closer: file, path: name}
	root, err := p.checkEntries(r.File, size)
	if err == nil {
		p.folder = root
		p.FS, err = fs.Sub(newArchive(r, file), root)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

// archive reads entries that are not compressed at any offset, as a file on disk
// is read: a case is read in the order of its plan, not of its archive. What is
// read so is not held against the archive's own checksums; every file is held
// against the SHA-256 of the manifest.
type archive struct {
	*zip.Reader
	file    io.ReaderAt
	entries map[string]*zip.File
}

func newArchive(r *zip.Reader, file io.ReaderAt) *archive {
	a := &archive{r, file, map[string]*zip.File{}}
	for _, f := range r.File {
		a.entries[f.Name] = f
	}
	return a
}

// Open opens an entry.
func (a *archive) Open(name string) (fs.File, error) {
	f := a.entries[name]
	if f == nil || f.Method != zip.Store {
		return a.Reader.Open(name)
	}
	offset, err := f.DataOffset()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &entry{io.NewSectionReader(a.file, offset, int64(f.UncompressedSize64)), f}, nil
}

// entry is an entry that is not compressed.
type entry struct {
	*io.SectionReader
	of *zip.File
}

func (e *entry) Stat() (fs.FileInfo, error) { return e.of.FileInfo(), nil }
func (e *entry) Close() error               { return nil }

// checkEntries checks every entry before one byte is unpacked, and returns the
// name of the one folder that holds them.
func (p *Package) checkEntries(files []*zip.File, size int64) (root string, err error) {
	folded := map[string]string{}
	var packed int64
	for _, f := range files {
		name := f.Name
		if f.Mode().IsDir() || strings.HasSuffix(name, "/") {
			return "", problem(CodeArchive, ExitAltered, name, "holds an entry for a folder; a sealed archive has files only")
		}
		if err := checkName(name, folded); err != nil {
			return "", err
		}
		if !f.Mode().IsRegular() {
			return "", problem(CodeIrregular, ExitAltered, name, "not a regular file (%s)", f.Mode().Type())
		}
		if f.Flags&1 != 0 || (f.Method != zip.Store && f.Method != zip.Deflate) {
			return "", problem(CodeArchive, ExitAltered, name, "encrypted, or packed with an unknown method")
		}
		top, _, inside := strings.Cut(name, "/")
		if !inside || (root != "" && top != root) {
			return "", problem(CodeArchive, ExitAltered, name, "outside the archive's one folder")
		}
		if f.Method == zip.Store && f.CompressedSize64 != f.UncompressedSize64 {
			return "", problem(CodeArchive, ExitAltered, name, "not compressed, and yet of two sizes")
		}
		root = top
		if f.UncompressedSize64 > math.MaxInt64 || f.CompressedSize64 > math.MaxInt64 {
			return "", problem(CodeArchive, ExitAltered, name, "impossible size")
		}
		packed += int64(f.CompressedSize64)
		if err := p.count(int64(f.UncompressedSize64)); err != nil {
			return "", err
		}
		if size := f.UncompressedSize64; size > ratioFree && size/maxRatio > f.CompressedSize64 {
			return "", problem(CodeArchive, ExitAltered, name, "unpacks to more than %d times its size", maxRatio)
		}
	}
	if p.Files == 0 {
		return "", problem(CodeArchive, ExitIncomplete, "", "the archive is empty")
	}
	if packed > size {
		return "", problem(CodeArchive, ExitAltered, "", "entries overlap: together they are larger than the archive")
	}
	if p.Bytes > ratioFree && p.Bytes/maxRatio > packed {
		return "", problem(CodeArchive, ExitAltered, "", "the archive unpacks to more than %d times its size", maxRatio)
	}
	return root, nil
}

// SameArchive reports whether a zip has the hash that pack gives of its files
// in their folder: then it holds nothing that was not checked, such as bytes
// between or after the entries.
func (p *Package) SameArchive(pack func(fsys fs.FS, folder string) (string, error)) (bool, error) {
	if !p.Zip {
		return false, nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return false, fmt.Errorf("read the archive: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, fmt.Errorf("read the archive: %w", err)
	}
	want, err := pack(p.FS, p.folder)
	return want == hex.EncodeToString(h.Sum(nil)), err
}
