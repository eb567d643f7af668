package watermark

import (
	"fmt"
	"io"
	"os"
)

// spool is a temporary file of many streams of bytes. Each is written from its
// beginning in blocks, which lie in the file in the order in which they were filled;
// where, is kept in memory: 8 bytes for a block of 8 KiB. Where the system allows it the
// file has no name as soon as it is open, so that it is gone with the program, however
// that ends.
type spool struct {
	file spoolFile
	end  int64
	drop func() // closes the file and takes its name away
}

// spoolFile is what a spool needs of a file; tests put failing ones in.
type spoolFile interface {
	io.ReaderAt
	io.WriterAt
}

// SpillError says that the temporary file of a run could not be written or read.
type SpillError struct{ Err error }

// Error says what to do as well.
func (e *SpillError) Error() string {
	return fmt.Sprintf("a temporary file in %s: %v; what was there before is unchanged: free space, or set TMPDIR to a folder that has some, and run the same command again", os.TempDir(), e.Err)
}

// Unwrap returns the cause.
func (e *SpillError) Unwrap() error { return e.Err }

// ExitCode is that of storage that fails.
func (e *SpillError) ExitCode() int { return 24 }

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "stillmark-units-")
	if err != nil {
		return nil, &SpillError{err}
	}
	named := os.Remove(f.Name()) != nil // as on Windows, while it is open
	return &spool{file: f, drop: func() {
		f.Close()
		if named {
			os.Remove(f.Name())
		}
	}}, nil
}

// spoolBlock is the size of a block, as far as records of the stream's size fill it.
const spoolBlock = 1 << 13

// stream is one of a spool's streams: records of one size, which never lie across
// blocks.
type stream struct {
	in     *spool
	record int     // bytes of one
	block  int     // bytes of a block
	blocks []int64 // where they lie
	tail   []byte  // the last block, not yet in the file
}

func (s *spool) stream(record int) *stream {
	return &stream{in: s, record: record, block: spoolBlock / record * record}
}

// len is the number of records.
func (s *stream) len() int { return (len(s.blocks)*s.block + len(s.tail)) / s.record }

// next is the room for one more record at the end of the stream.
func (s *stream) next() ([]byte, error) {
	if s.tail == nil {
		s.tail = make([]byte, 0, s.block)
	}
	if len(s.tail) == s.block {
		if _, err := s.in.file.WriteAt(s.tail, s.in.end); err != nil {
			return nil, &SpillError{err}
		}
		s.blocks = append(s.blocks, s.in.end)
		s.in.end += int64(s.block)
		s.tail = s.tail[:0]
	}
	s.tail = s.tail[:len(s.tail)+s.record]
	return s.tail[len(s.tail)-s.record:], nil
}

// each calls visit with every record. What it changes in them stays changed.
func (s *stream) each(visit func(record []byte) error) error {
	block := make([]byte, s.block)
	for i := range len(s.blocks) + 1 {
		part := s.tail
		if i < len(s.blocks) {
			part = block
			if _, err := s.in.file.ReadAt(part, s.blocks[i]); err != nil {
				return &SpillError{err}
			}
		}
		for at := 0; at < len(part); at += s.record {
			if err := visit(part[at : at+s.record]); err != nil {
				return err
			}
		}
		if i < len(s.blocks) {
			if _, err := s.in.file.WriteAt(part, s.blocks[i]); err != nil {
				return &SpillError{err}
			}
		}
	}
	return nil
}

// cursor reads a stream's records one after another.
type cursor struct {
	of    *stream
	block int // number of the next one
	part  []byte
	rest  []byte // of part
}

func (s *stream) cursor() *cursor { return &cursor{of: s} }

// next is the next record, valid until the one after it is asked for; nil at the end.
func (c *cursor) next() ([]byte, error) {
	s := c.of
	if len(c.rest) == 0 {
		switch {
		case c.block < len(s.blocks):
			if c.part == nil {
				c.part = make([]byte, s.block)
			}
			if _, err := s.in.file.ReadAt(c.part, s.blocks[c.block]); err != nil {
				return nil, &SpillError{err}
			}
			c.rest = c.part
		case c.block == len(s.blocks):
			c.rest = s.tail
		}
		if c.block++; len(c.rest) == 0 {
			return nil, nil
		}
	}
	record := c.rest[:s.record]
	c.rest = c.rest[s.record:]
	return record, nil
}
