package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// file is what a writer needs of an open file; tests put failing ones in.
type file interface {
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// segmentWriter appends blobs to segment files. Bytes are never overwritten:
// what a dead writer left behind its last reference stays where it is, unread.
type segmentWriter struct {
	dir  string // blobs/
	wrap func(name string, f file) file

	mu      sync.Mutex
	n       int // number of the current segment
	size    int64
	current file
	dirty   bool
	full    []file // filled up, to be synced and closed
	created bool   // the folder has a name that is not yet durable
}

// openSegments continues after the newest segment. ends are the places up to
// which the ledger refers to each segment; a shorter file is damage.
func openSegments(dir string, ends map[int]int64, wrap func(string, file) file) (*segmentWriter, error) {
	w := &segmentWriter{dir: dir, wrap: wrap, n: 1}
	for n, end := range ends {
		name := segmentName(n)
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if st.Size() < end {
			return nil, &DamageError{
				File: path.Join(blobsName, name), Offset: st.Size(),
				Reason: fmt.Sprintf("the file ends here, but the ledger refers to %d bytes", end),
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		w.n = max(w.n, segmentNumber(e.Name()))
	}
	return w, w.open()
}

// open opens segment w.n and places the next blob at its end.
func (w *segmentWriter) open() error {
	name := segmentName(w.n)
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.size = st.Size()
	w.current = w.wrap(path.Join(blobsName, name), f)
	w.created = true
	return nil
}

// put writes a blob and returns its place. It is not yet synced.
func (w *segmentWriter) put(b []byte) (BlobRef, error) {
	ref := BlobRef{Length: int64(len(b)), SHA256: hexSHA256(b)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size+ref.Length > segmentSize {
		old := w.current
		w.n++
		if err := w.open(); err != nil {
			w.n--
			return BlobRef{}, err
		}
		w.full = append(w.full, old)
	}
	ref.Segment, ref.Offset = w.n, w.size
	if _, err := w.current.WriteAt(b, w.size); err != nil {
		return BlobRef{}, err
	}
	w.size += ref.Length
	w.dirty = true
	return ref, nil
}

// holds reports whether a blob lies within what was written.
func (w *segmentWriter) holds(ref BlobRef) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return ref.Segment < w.n || ref.Segment == w.n && ref.Offset+ref.Length <= w.size
}

// sync makes every blob durable that was put before the call.
func (w *segmentWriter) sync() error {
	w.mu.Lock()
	files, created := w.full, w.created
	if w.dirty {
		files = append(files[:len(files):len(files)], w.current)
	}
	filled := len(w.full)
	w.full, w.dirty, w.created = nil, false, false
	w.mu.Unlock()
	for i, f := range files {
		if err := f.Sync(); err != nil {
			w.mu.Lock() // what was not synced is still to be synced
			w.full = append(files[i:filled:filled], w.full...)
			w.dirty, w.created = true, true
			w.mu.Unlock()
			return err
		}
		if i < filled {
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	if created {
		return syncDir(w.dir)
	}
	return nil
}

func (w *segmentWriter) close() error {
	err := w.sync()
	return errors.Join(err, w.current.Close())
}
