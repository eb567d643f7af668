package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"sync"
)

const (
	// segmentSize bounds a segment file. A segment is read whole where the case
	// cannot be read at an offset (inside a zip), so it bounds a reader's
	// memory; and 64 MiB hold about ten thousand replies of 2,000 tokens, so
	// that even large cases have few files.
	segmentSize = 64 << 20
	// maxBlob bounds one body: twice the 16 MiB at which the endpoint stops
	// reading, and small enough that no segment is mostly empty.
	maxBlob = 32 << 20
	// cachedSegments is how many segments are held where the file system cannot
	// seek. Replies refer to segments in ascending order but for the requests
	// in flight while one segment ends and the next begins: two are enough.
	cachedSegments = 2
)

var segmentPattern = regexp.MustCompile(`^segment-([0-9]{6})\.bin$`)

func segmentName(n int) string { return fmt.Sprintf("segment-%06d.bin", n) }

// segmentNumber returns the number of a segment file, or 0.
func segmentNumber(name string) int {
	m := segmentPattern.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // six digits
	return n
}

// check refuses references that no writer makes.
func (r BlobRef) check() error {
	if r.Segment < 1 || r.Segment > 999_999 || r.Offset < 0 || r.Salt != 0 && r.Salt != saltSize ||
		r.Length < r.Salt || r.Length > maxBlob+r.Salt || r.Offset > segmentSize-r.Length || !isHexSHA256(r.SHA256) {
		return fmt.Errorf("blob reference %d/%d+%d is impossible", r.Segment, r.Offset, r.Length)
	}
	return nil
}

// The parts of an attempt that have raw bytes.
const (
	PartRequest  = "request"
	PartResponse = "response"
	PartHeaders  = "headers"
	PartContent  = "content" // of an observation
)

// RefsOf are the raw bytes that an event refers to, by part.
func RefsOf(e *Event) (map[string]BlobRef, error) {
	if !e.Collects() && e.Type != EventObservation {
		return nil, nil
	}
	var d struct {
		Request     *BlobRef `json:"request"`
		Response    *BlobRef `json:"response"`
		HeadersBlob *BlobRef `json:"headers_blob"`
		Content     *BlobRef `json:"content"`
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	refs := map[string]BlobRef{}
	for part, ref := range map[string]*BlobRef{PartRequest: d.Request, PartResponse: d.Response, PartHeaders: d.HeadersBlob, PartContent: d.Content} {
		if ref != nil {
			refs[part] = *ref
		}
	}
	return refs, nil
}

// segments reads blobs from the segment files of a case.
type segments struct {
	fsys     fs.FS
	redacted bool // bytes may be withheld: zeros stand for them, or nothing

	mu     sync.Mutex
	cached []cachedSegment // newest last
}

type cachedSegment struct {
	n    int
	data []byte
}

// load returns the bytes of a blob with its salt, in a fresh slice, its hash checked.
func (s *segments) load(ref BlobRef) ([]byte, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	name := path.Join(blobsName, segmentName(ref.Segment))
	damage := func(reason string) error {
		return &DamageError{File: name, Offset: ref.Offset, Reason: reason}
	}
	f, err := s.fsys.Open(name)
	if s.redacted && errors.Is(err, fs.ErrNotExist) {
		return nil, ErrWithheld
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, ref.Length)
	if at, ok := f.(io.ReaderAt); ok {
		n, err := at.ReadAt(data, ref.Offset)
		if n < len(data) {
			if err == io.EOF && s.redacted && isZero(data[:n]) {
				return nil, ErrWithheld
			}
			if err == io.EOF {
				return nil, damage(fmt.Sprintf("the file ends inside a blob of %d bytes", ref.Length))
			}
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	} else {
		whole, err := s.whole(ref.Segment, f)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if ref.Offset+ref.Length > int64(len(whole)) {
			if s.redacted && (ref.Offset >= int64(len(whole)) || isZero(whole[ref.Offset:])) {
				return nil, ErrWithheld
			}
			return nil, damage(fmt.Sprintf("the file ends inside a blob of %d bytes", ref.Length))
		}
		copy(data, whole[ref.Offset:])
	}
	if hexSHA256(data) != ref.SHA256 {
		if s.redacted && isZero(data) {
			return nil, ErrWithheld
		}
		return nil, damage(fmt.Sprintf("the blob of %d bytes that begins here does not have the SHA-256 in the ledger", ref.Length))
	}
	return data, nil
}

// whole returns a segment through the cache.
func (s *segments) whole(n int, f io.Reader) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cached {
		if c.n == n {
			return c.data, nil
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, segmentSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > segmentSize {
		return nil, fmt.Errorf("larger than %d MiB, which no segment is", segmentSize>>20)
	}
	if len(s.cached) == cachedSegments {
		s.cached = append(s.cached[:0], s.cached[1:]...)
	}
	s.cached = append(s.cached, cachedSegment{n, data})
	return data, nil
}
