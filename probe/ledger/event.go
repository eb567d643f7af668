package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Files of a case that this package writes and reads itself.
const (
	caseName   = "case.json"
	planName   = "plan.json"
	ledgerName = "ledger.jsonl"
	blobsName  = "blobs"
)

// maxLine bounds a line of the ledger. Bodies lie in segments, so that a line
// with sixty response headers has about 4 KiB; the rest is for free text.
const maxLine = 1 << 20

// zeroHash is the Prev of the first event.
var zeroHash = strings.Repeat("0", 64)

// PlanSealed is the data of the first event.
type PlanSealed struct {
	PlanSHA256 string `json:"plan_sha256"`
}

// ClockJump is the data of a clock_jump event.
type ClockJump struct {
	Seconds float64 `json:"seconds"` // wall clock minus monotonic clock, since the last event that agreed
}

// Fault is the data of a fault event.
type Fault struct {
	Kind   string `json:"kind"` // FaultTornLine, FaultDiskFull, or the runner's own
	Detail string `json:"detail"`
	File   string `json:"file,omitempty"`   // where a fragment was moved to
	Bytes  int64  `json:"bytes,omitempty"`  // its length
	SHA256 string `json:"sha256,omitempty"` // its hash
}

// The faults that this package records itself.
const (
	FaultTornLine = "torn_line"
	FaultDiskFull = "disk_full"
)

// encodeEvent returns the line of an event, without the newline. encoding/json
// writes members in the order of the struct and escapes newlines, so that the
// bytes are a function of the event and hold no line break.
func encodeEvent(e Event) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("the %s event has %d bytes, more than the %d a line may have", e.Type, len(line), maxLine)
	}
	return line, nil
}

// parseEvent is the inverse of encodeEvent and refuses every other spelling of
// the same event.
func parseEvent(line []byte) (Event, error) {
	var e Event
	if err := decodeStrict(line, &e); err != nil {
		return Event{}, err
	}
	again, err := encodeEvent(e)
	if err != nil {
		return Event{}, err
	}
	if err := sameBytes(line, again); err != nil {
		return Event{}, err
	}
	return e, nil
}

// ParseEvent reads a line of a ledger, without its newline. It has only one spelling.
func ParseEvent(line []byte) (Event, error) {
	if len(line) > maxLine {
		return Event{}, fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	return parseEvent(line)
}

// Line is one line of the ledger.
type Line struct {
	Event  Event
	Raw    []byte // without the newline; valid until the next step of the iteration
	Hash   string // hex SHA-256 of Raw: the Prev of the next event
	Offset int64  // of its first byte in ledger.jsonl
}

// chainReader reads a ledger line by line and checks that every line holds the
// hash of the line before.
type chainReader struct {
	r    *bufio.Reader
	buf  []byte
	last int64  // offset of the line read last
	next int64  // offset of the next line
	n    uint64 // lines read
	prev string
}

func newChainReader(r io.Reader) *chainReader {
	return &chainReader{r: bufio.NewReaderSize(r, 64<<10), prev: zeroHash}
}

// step returns the next line, io.EOF at the end, a *TornError for an incomplete
// last line, or a *DamageError.
func (c *chainReader) step() (Line, error) {
	offset := c.next
	number := int(c.n) + 1
	damage := func(format string, args ...any) error {
		return &DamageError{File: ledgerName, Line: number, Offset: offset, Reason: fmt.Sprintf(format, args...)}
	}
	raw, err := c.readLine()
	switch {
	case errors.Is(err, io.EOF) && len(raw) == 0:
		return Line{}, io.EOF
	case errors.Is(err, io.EOF):
		return Line{}, &TornError{Line: number, Offset: offset, Bytes: len(raw)}
	case errors.Is(err, bufio.ErrTooLong):
		return Line{}, damage("the line is longer than %d bytes", maxLine)
	case err != nil:
		return Line{}, fmt.Errorf("reading %s: %w", ledgerName, err)
	}
	e, err := parseEvent(raw)
	if err != nil {
		return Line{}, damage("%v", err)
	}
	hash := hexSHA256(raw)
	if e.Prev != c.prev || e.Seq != c.n {
		return Line{}, c.blame(e, hash, number, offset)
	}
	c.n++
	c.prev = hash
	c.last = offset
	return Line{Event: e, Raw: raw, Hash: hash, Offset: offset}, nil
}

// blame finds out which of two lines was changed. Line k holds a hash that line
// k-1 does not have. If line k+1 holds line k's hash then line k is as it was
// written, and the change is in line k-1, or lines between them are gone.
func (c *chainReader) blame(e Event, hash string, number int, offset int64) error {
	next, err := c.readLine()
	var after Event
	intact := err == nil && json.Unmarshal(next, &after) == nil && after.Prev == hash
	d := &DamageError{File: ledgerName, Line: number, Offset: offset}
	switch {
	case number == 1:
		d.Reason = "it is not the first line that was written"
	case e.Seq != c.n && intact:
		d.Reason = fmt.Sprintf("event %d stands where event %d should be: lines were removed, added or moved", e.Seq, c.n)
	case intact:
		d.Line, d.Offset = number-1, c.last
		d.Reason = fmt.Sprintf("its hash is not the one that line %d holds", number)
	case err != nil:
		d.Reason = fmt.Sprintf("it does not hold the hash of line %d: one of the two was changed", number-1)
	default:
		d.Reason = fmt.Sprintf("it holds neither the hash of line %d nor has it the hash that line %d holds", number-1, number+1)
	}
	return d
}

// readLine returns the next line without its newline. At the end of the file it
// returns io.EOF with what is left.
func (c *chainReader) readLine() ([]byte, error) {
	c.buf = c.buf[:0]
	for {
		part, err := c.r.ReadSlice('\n')
		c.buf = append(c.buf, part...)
		c.next += int64(len(part))
		if len(c.buf) > maxLine+1 {
			return nil, bufio.ErrTooLong
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(c.buf, []byte{'\n'}), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return c.buf, err
		}
	}
}
