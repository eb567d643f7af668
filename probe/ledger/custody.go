package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"
)

// CustodyName is the custody log of a case: who did what to it, when and why. It goes
// on after the seal, so that no manifest lists it; the seal holds the head that it
// had then.
const CustodyName = "custody.jsonl"

// maxCustody bounds a custody log: ten thousand entries of a kilobyte and more.
const maxCustody = 16 << 20

// maxCustodyText bounds a text of an entry, so that it fits a table of the log.
const maxCustodyText = 2000

// The acts that a custody log holds.
const (
	CustodySealed   = "sealed"
	CustodyCosigned = "co-signed"
	CustodyRedacted = "redacted"
	CustodyExported = "exported"
	CustodyOpened   = "opened"
	CustodyNoted    = "noted" // by a person: handed over, received, stored
)

// Custody is an entry of the custody log. Who and Why are the words of whoever wrote
// it, and nothing proves them.
type Custody struct {
	Seq    uint64    `json:"seq"`  // from 0
	Prev   string    `json:"prev"` // Hash of the entry before
	Time   time.Time `json:"time"`
	What   string    `json:"what"`
	Who    string    `json:"who"`
	Why    string    `json:"why,omitempty"`
	Detail string    `json:"detail,omitempty"`
	SHA256 string    `json:"sha256,omitempty"` // hex, of the file that the act is about
	Hash   string    `json:"hash"`             // hex SHA-256 of the entry without this member
}

// CustodyHead is the state of a custody log.
type CustodyHead struct {
	Entries uint64 `json:"entries"`
	Hash    string `json:"hash"` // of the last one
}

// hash is the entry's Hash.
func (e Custody) hash() (string, error) {
	e.Hash = ""
	data, err := json.Marshal(e)
	return hexSHA256(data), err
}

// ParseCustody reads a custody log and checks its chain. The error is a *[DamageError].
func ParseCustody(data []byte) ([]Custody, error) {
	var out []Custody
	prev := zeroHash
	offset := int64(0)
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		damage := func(reason string) error {
			return &DamageError{File: CustodyName, Line: len(out) + 1, Offset: offset, Reason: reason}
		}
		var e Custody
		if !whole {
			return nil, damage("the line has no end")
		}
		if err := decodeStrict(line, &e); err != nil {
			return nil, damage(err.Error())
		}
		again, err := json.Marshal(e)
		if err == nil {
			err = sameBytes(line, again)
		}
		if err != nil {
			return nil, damage(err.Error())
		}
		if hash, err := e.hash(); err != nil || hash != e.Hash {
			return nil, damage("it does not have the hash that it holds")
		}
		if e.Prev != prev || e.Seq != uint64(len(out)) {
			return nil, damage("it does not follow the entry before: entries were removed, added or moved")
		}
		prev = e.Hash
		offset += int64(len(line)) + 1
		data, out = rest, append(out, e)
	}
	return out, nil
}

// ReadCustody reads the custody log of a case; an older case has none.
func ReadCustody(fsys fs.FS) ([]Custody, error) {
	data, err := readLimited(fsys, CustodyName, maxCustody)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseCustody(data)
}

// HeadOf is the head of a custody log after its first n entries, nil where it has
// fewer, or n is 0.
func HeadOf(log []Custody, n uint64) *CustodyHead {
	if n == 0 || n > uint64(len(log)) {
		return nil
	}
	return &CustodyHead{Entries: n, Hash: log[n-1].Hash}
}

// AppendCustody adds an entry to the custody log of a case folder. Number, hashes and,
// where it is not set, the time are filled in. The log is written anew beside the old
// one and takes its place, so that at every moment one of them is there. Meanwhile the
// case is locked as by a [Writer].
func AppendCustody(dir string, e Custody) (err error) {
	for _, s := range []string{e.What, e.Who, e.Why, e.Detail} {
		if !utf8.ValidString(s) || len(s) > maxCustodyText {
			return fmt.Errorf("custody log: a text is longer than %d bytes or not valid UTF-8", maxCustodyText)
		}
	}
	if e.What == "" || e.Who == "" {
		return errors.New("custody log: an entry says what was done, and who did it")
	}
	locked, err := openLocked(filepath.Join(dir, ledgerName))
	if err != nil {
		return fmt.Errorf("custody log: nothing was added: %w", err)
	}
	defer func() { err = errors.Join(err, closeLocked(locked)) }()
	log, err := ReadCustody(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("custody log: nothing was added: %w", err)
	}
	var b bytes.Buffer
	e.Seq, e.Prev = uint64(len(log)), zeroHash
	for i := range log {
		e.Prev = log[i].Hash
		line, err := json.Marshal(log[i])
		if err != nil {
			return fmt.Errorf("custody log: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC().Round(0)
	if e.Hash, err = e.hash(); err != nil {
		return fmt.Errorf("custody log: %w", err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("custody log: %w", err)
	}
	b.Write(append(line, '\n'))
	if b.Len() > maxCustody {
		return fmt.Errorf("custody log: it would be larger than %d MiB", maxCustody>>20)
	}
	if err := WriteFile(filepath.Join(dir, CustodyName), b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("custody log: %w", err)
	}
	return nil
}
