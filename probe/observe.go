package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// NoncesOf are the nonces that a key draws for the case's tests of E5.
func NoncesOf(p *ledger.Plan, key *watermark.Key) (sent, held []string, err error) {
	for i := range p.Tests {
		t := &p.Tests[i]
		if t.Family != family.NonceForwarding || t.Key != key.ID {
			continue
		}
		var o family.E5Options
		if err := json.Unmarshal(t.Options, &o); err != nil {
			return nil, nil, fmt.Errorf("test %s: %w", t.ID, err)
		}
		secret, err := key.CanarySecret(canary.UseNonce)
		if err != nil {
			return nil, nil, err
		}
		sent, held = canary.Nonces(secret, o.Nonces)
		return sent, held, nil
	}
	return nil, nil, usage("Give the key and case that belong together", "case %s has no test of %s under key %s", p.CaseID, family.NonceForwarding, key.ID)
}

// Limits of a search.
const (
	maxLogLine = 16 << 20
	// sightingsEach is how many sightings of one nonce are kept, the first ones: a
	// nonce counts once, the others show where else to look.
	sightingsEach = 5
	nonceDigits   = 32
)

// SearchLog looks for nonces in a request log of any text format, line by line, in
// memory that does not grow with it: 32 hex digits in either case, also inside a
// longer run of them. A line's time is its first RFC 3339 time stamp, or one in
// brackets as web servers write it; lines without a zone have none. progress is told
// how many bytes were read; nil tells nobody.
func SearchLog(ctx context.Context, r io.Reader, source string, nonces []string, progress func(bytes int64)) (family.NonceSearch, []family.Sighting, error) {
	search := family.NonceSearch{Source: source}
	wanted := make(map[[nonceDigits]byte]int, len(nonces))
	for _, n := range nonces {
		if len(n) != nonceDigits {
			return search, nil, fmt.Errorf("search %s: %q is no nonce", source, n)
		}
		wanted[[nonceDigits]byte([]byte(n))] = 0
	}
	var found []family.Sighting
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLogLine)
	var read int64
	for lines.Scan() {
		line := lines.Bytes()
		search.Lines++
		if read += int64(len(line)) + 1; search.Lines%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return search, nil, fmt.Errorf("search %s: %w", source, err)
			}
			if progress != nil {
				progress(read)
			}
		}
		at := timeOf(line)
		if !at.IsZero() {
			if search.From.IsZero() || at.Before(search.From) {
				search.From = at
			}
			if at.After(search.Until) {
				search.Until = at
			}
		}
		eachNonce(line, func(n [nonceDigits]byte) {
			seen, ok := wanted[n]
			if !ok || seen == sightingsEach {
				return
			}
			wanted[n]++
			found = append(found, family.Sighting{Time: at, Where: fmt.Sprintf("line %d", search.Lines), Nonce: string(n[:])})
		})
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return search, nil, fmt.Errorf("search %s: line %d is longer than %d MiB; is this a text file?", source, search.Lines+1, maxLogLine>>20)
	} else if err != nil {
		return search, nil, fmt.Errorf("search %s: %w", source, err)
	}
	return search, found, nil
}

// eachNonce calls f for every 32 hex digits in a row, in lower case.
func eachNonce(line []byte, f func([nonceDigits]byte)) {
	run := 0
	for i, c := range line {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			run++
		default:
			run = 0
		}
		if run >= nonceDigits {
			var n [nonceDigits]byte
			copy(n[:], line[i+1-nonceDigits:])
			for j := range n {
				if n[j] <= 'F' && n[j] >= 'A' {
					n[j] += 'a' - 'A'
				}
			}
			f(n)
		}
	}
}

// accessTime is the time of NCSA's common log format, between brackets.
const accessTime = "02/Jan/2006:15:04:05 -0700"

// timeOf is the first time stamp with a zone in a line, in UTC.
func timeOf(line []byte) time.Time {
	const date = len("2006-01-02")
	for from := 0; ; {
		i := bytes.IndexByte(line[from:], 'T')
		if i < 0 {
			break
		}
		i += from
		from = i + 1
		if i < date || line[i-3] != '-' || line[i-6] != '-' {
			continue
		}
		end := i + 1
		for end < len(line) && end < i+36 && bytes.IndexByte([]byte("0123456789:.+-Z"), line[end]) >= 0 {
			end++
		}
		if t, err := time.Parse(time.RFC3339Nano, string(line[i-date:end])); err == nil {
			return t.UTC()
		}
	}
	if i := bytes.IndexByte(line, '['); i >= 0 && len(line) > i+len(accessTime)+1 {
		if t, err := time.Parse(accessTime, string(line[i+1:i+1+len(accessTime)])); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Observe records observed nonces in a case, as an event of its ledger: they are
// sealed and verified with the replies. The data are checked first; nothing is
// written where they are no observation.
func Observe(dir string, data []byte, opt ledger.WriterOptions) (ledger.Event, error) {
	if _, _, err := family.ParseSightings(data); err != nil {
		return ledger.Event{}, usage("Correct the file", "%s", err)
	}
	w, err := ledger.OpenWriter(dir, opt)
	if err != nil {
		return ledger.Event{}, openError(dir, err)
	}
	e, err := record(w, data)
	if cerr := w.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if errors.Is(err, ledger.ErrSealed) {
		return ledger.Event{}, openError(dir, err)
	}
	if err != nil {
		return ledger.Event{}, &Error{Code: CodeStorage, Happened: "the observation could not be recorded: " + err.Error(), Do: "Free some space, then run the same command again", Err: err}
	}
	return e, nil
}

func record(w *ledger.Writer, data []byte) (ledger.Event, error) {
	ref, err := w.PutBlob(data)
	if err != nil {
		return ledger.Event{}, err
	}
	return w.Append(ledger.EventObservation, "", 0, ledger.Observation{Kind: family.KindNonces, Content: ref})
}
