package family

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
)

// The format of observed nonces, JSON lines. The first line says what was searched:
//
//	{"format":1,"kind":"nonces","source":"gateway-1","lines":81234,"from":"2027-01-01T00:00:00Z","until":"2027-01-08T00:00:00Z"}
//
// source names the log, lines is how many lines (or records) of it were read, from
// and until are the earliest and latest time stamps in it and may be left out. Every
// further line is a nonce as it was found:
//
//	{"time":"2027-01-03T10:11:12Z","where":"line 5120","nonce":"d4c497ae2d29a2ce12bf78d088cfd2dc"}
//
// time is when our service saw it and may be left out; nonce is 32 lower-case hex
// digits. Unknown members are errors, as is anything else.

// KindNonces is the kind of observation events that hold such a file.
const KindNonces = "nonces"

// ObservationFormat is the version of the format.
const ObservationFormat = 1

// Limits of an observation: a search that finds more has found a loop.
const (
	MaxObservation = 16 << 20
	maxSightings   = 100_000
	maxWhere       = 200
)

// NonceSearch is the first line: what was searched.
type NonceSearch struct {
	Format int       `json:"format"`
	Kind   string    `json:"kind"`
	Source string    `json:"source"`
	Lines  int64     `json:"lines"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
}

// Sighting is one nonce as it was found.
type Sighting struct {
	Time  time.Time `json:"time,omitzero"`
	Where string    `json:"where"`
	Nonce string    `json:"nonce"`
}

var noncePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// EncodeSightings writes observed nonces.
func EncodeSightings(s NonceSearch, found []Sighting) ([]byte, error) {
	s.Format, s.Kind = ObservationFormat, KindNonces
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("write observed nonces: %w", err)
	}
	for _, v := range found {
		if err := enc.Encode(v); err != nil {
			return nil, fmt.Errorf("write observed nonces: %w", err)
		}
	}
	if _, _, err := ParseSightings(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ParseSightings reads what [EncodeSightings] wrote, or another program by the same
// format. Errors name the line.
func ParseSightings(data []byte) (NonceSearch, []Sighting, error) {
	var search NonceSearch
	if len(data) > MaxObservation {
		return search, nil, fmt.Errorf("read observed nonces: longer than %d bytes", MaxObservation)
	}
	if !utf8.Valid(data) {
		return search, nil, errors.New("read observed nonces: not valid UTF-8")
	}
	var found []Sighting
	number := 0
	for line := range bytes.Lines(data) {
		number++
		var err error
		if number == 1 {
			err = decodeLine(line, &search)
			switch {
			case err != nil:
			case search.Format != ObservationFormat:
				err = fmt.Errorf("format %d, this program reads %d", search.Format, ObservationFormat)
			case search.Kind != KindNonces:
				err = fmt.Errorf("kind %q is not %q", search.Kind, KindNonces)
			case search.Source == "" || len(search.Source) > maxWhere || search.Lines < 0 || search.Until.Before(search.From):
				err = fmt.Errorf("it must name its source (at most %d bytes), count its lines and not end before it begins", maxWhere)
			}
		} else {
			var s Sighting
			err = decodeLine(line, &s)
			switch {
			case err != nil:
			case !noncePattern.MatchString(s.Nonce):
				err = errors.New("a nonce is 32 lower-case hex digits")
			case len(s.Where) > maxWhere:
				err = fmt.Errorf("where has more than %d bytes", maxWhere)
			case len(found) == maxSightings:
				err = fmt.Errorf("more than %d sightings", maxSightings)
			}
			found = append(found, s)
		}
		if err != nil {
			return search, nil, fmt.Errorf("read observed nonces: line %d: %w", number, err)
		}
	}
	if number == 0 {
		return search, nil, errors.New("read observed nonces: the file is empty; a search that found nothing still says what was searched")
	}
	return search, found, nil
}

// decodeLine reads one line that holds one object.
func decodeLine(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// Observations yields the bytes of the case's observations of a kind, in the order
// in which they were recorded.
func (in *Input) Observations(kind string) ([][]byte, error) {
	var out [][]byte
	for e, err := range in.store.Events() {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if e.Type != ledger.EventObservation {
			continue
		}
		var o ledger.Observation
		if err := json.Unmarshal(e.Data, &o); err != nil {
			return nil, fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
		}
		if o.Kind != kind {
			continue
		}
		data, err := in.store.Blob(o.Content)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		out = append(out, data)
	}
	return out, nil
}

// firstAsked is when each of a target's items was first about to be sent, by its id.
func (in *Input) firstAsked() (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for e, err := range in.store.Events() {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if _, known := out[e.Item]; e.Type == ledger.EventIntent && !known {
			out[e.Item] = e.Time
		}
	}
	return out, nil
}
