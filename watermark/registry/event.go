package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/watermark"
)

// State is how far a key has come.
type State string

// The states, in their order.
const (
	Planned   State = "planned"   // drawn, perhaps committed, nothing is served under it
	Serving   State = "serving"   // text is marked under it
	Retired   State = "retired"   // no longer; its text may still turn up
	Disclosed State = "disclosed" // laid open, or leaked: anybody can forge it from then on
)

// States lists the states in their order.
func States() []State { return []State{Planned, Serving, Retired, Disclosed} }

// EventKind says what a line of the log records.
type EventKind string

// The kinds of events.
const (
	EventCreated   EventKind = "created"   // the registry itself, always the first line
	EventAdded     EventKind = "added"     // Keys were taken in; Like is set for decoys
	EventCommitted EventKind = "committed" // Keys are leaves under Root
	EventPublished EventKind = "published" // Root bears Stamp
	EventMoved     EventKind = "moved"     // Keys[0] goes to State at At
	EventRecovered EventKind = "recovered" // Torn bytes of an interrupted line were cut off
)

// Event is one line of the log. What a kind does not use is left out.
type Event struct {
	Seq      int64     `json:"seq"` // from 1
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"event"`
	Operator string    `json:"operator"` // who: what the caller says, no authentication
	Reason   string    `json:"reason"`
	Format   int       `json:"format,omitempty"` // created: version of these files
	Keys     []string  `json:"keys,omitempty"`   // ids
	// Like is the key that decoys were drawn after.
	Like string `json:"like,omitempty"`
	// Root, Leaves and SHA256 are of a commitment: its Merkle root, the number of
	// its leaves (subkeys of accounts among them), and its file's hash.
	Root   string `json:"root,omitempty"`
	Leaves int    `json:"leaves,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Stamp  *Stamp `json:"stamp,omitempty"`
	// State is entered At; serving may replace a key at the same moment.
	State    State     `json:"state,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Replaces string    `json:"replaces,omitempty"`
	// Exploratory is why what is served under the key cannot be exact evidence;
	// empty where a commitment was published before.
	Exploratory string `json:"exploratory,omitempty"`
	Torn        int64  `json:"torn,omitempty"`
	// Previous is the SHA-256 of the line before, without its end; empty in the
	// first line.
	Previous string `json:"previous"`
}

// Stamp is what a third party's timestamp over a commitment file says.
type Stamp struct {
	Time      time.Time `json:"time"`
	Latest    time.Time `json:"latest"` // Time and the stated accuracy
	Authority string    `json:"authority"`
}

const (
	formatVersion = 1
	logName       = "registry.log"
	keysDir       = "keys"
	commitsDir    = "commitments"
	stampSuffix   = ".tsr"
)

// Limits of a registry: an epoch a day and a hundred cohorts for ten years.
const (
	maxKeys  = 500_000
	maxLine  = 16 << 20 // a commitment that names all keys
	maxLog   = 1 << 30
	maxText  = 2000 // bytes of a reason, of an operator's name
	maxStamp = 1 << 20
	// maxCommitment is that of package watermark: a hundred thousand leaves.
	maxCommitment = 64 << 20
)

// encode is the line of an event, without its end.
func (e *Event) encode() ([]byte, error) {
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// parseEvent accepts nothing but what encode writes.
func parseEvent(line []byte) (*Event, error) {
	var e Event
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return nil, err
	}
	again, err := e.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, line) {
		return nil, errors.New("not in the form in which it was written")
	}
	return &e, nil
}

var (
	idForm   = regexp.MustCompile(`^[0-9a-f]{16}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// check says whether the event is complete and has nothing that its kind does
// not use.
func (e *Event) check() error {
	if err := errors.Join(checkText("operator", e.Operator), checkText("reason", e.Reason)); err != nil {
		return err
	}
	for _, id := range slices.Concat(e.Keys, optional(e.Like), optional(e.Replaces)) {
		if !idForm.MatchString(id) {
			return fmt.Errorf("%q is no key id", id)
		}
	}
	used := Event{Seq: e.Seq, Time: e.Time, Kind: e.Kind, Operator: e.Operator, Reason: e.Reason, Previous: e.Previous}
	complete := false
	switch e.Kind {
	case EventCreated:
		used.Format = e.Format
		complete = e.Format > 0
	case EventAdded:
		used.Keys, used.Like = e.Keys, e.Like
		complete = len(e.Keys) > 0
	case EventCommitted:
		used.Keys, used.Root, used.Leaves, used.SHA256 = e.Keys, e.Root, e.Leaves, e.SHA256
		complete = len(e.Keys) > 0 && hashForm.MatchString(e.Root) && e.Leaves >= len(e.Keys) && hashForm.MatchString(e.SHA256)
	case EventPublished:
		used.Root, used.Stamp = e.Root, e.Stamp
		complete = hashForm.MatchString(e.Root) && e.Stamp != nil && !e.Stamp.Time.IsZero() && !e.Stamp.Latest.Before(e.Stamp.Time)
	case EventMoved:
		used.Keys, used.State, used.At, used.Replaces, used.Exploratory = e.Keys, e.State, e.At, e.Replaces, e.Exploratory
		complete = len(e.Keys) == 1 && !e.At.IsZero() && (e.State == Serving || e.Replaces == "" && e.Exploratory == "")
	case EventRecovered:
		used.Torn = e.Torn
		complete = e.Torn > 0
	default:
		return fmt.Errorf("event %q is not known", e.Kind)
	}
	if !complete {
		return fmt.Errorf("event %q is not complete", e.Kind)
	}
	a, err := e.encode()
	if err != nil {
		return err
	}
	b, err := used.encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("event %q holds more than it has", e.Kind)
	}
	return nil
}

func optional(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// checkText keeps what people write printable and in one line.
func checkText(name, s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("the %s is empty", name)
	case len(s) > maxText:
		return fmt.Errorf("the %s is %d bytes long; the limit is %d", name, len(s), maxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the %s contains an unprintable character", name)
	}
	return nil
}

func hashLine(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// readLog reads events and checks their chain. It returns the length of what is
// whole: a last line without its end was never acknowledged and is left out.
func readLog(r io.Reader, visit func(*Event) error) (whole int64, previous string, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLog+1))
	if err != nil {
		return 0, "", err
	}
	if len(data) > maxLog {
		return 0, "", fmt.Errorf("%w: the log is longer than %d bytes", watermark.ErrMalformed, maxLog)
	}
	number := int64(0)
	for line := range bytes.Lines(data) {
		body, ended := bytes.CutSuffix(line, []byte{'\n'})
		if !ended {
			break
		}
		number++
		bad := func(err error) error {
			return fmt.Errorf("%w: %s, line %d (byte %d): %w", watermark.ErrMalformed, logName, number, whole, err)
		}
		if len(line) > maxLine {
			return whole, previous, bad(fmt.Errorf("longer than %d bytes", maxLine))
		}
		e, err := parseEvent(body)
		switch {
		case err != nil:
		case e.Kind == EventCreated && e.Format > formatVersion:
			err = fmt.Errorf("format %d is newer than the format %d of this program", e.Format, formatVersion)
		case e.Seq != number:
			err = fmt.Errorf("its number is %d: a line was added or taken out", e.Seq)
		case e.Previous != previous:
			err = errors.New("it does not follow the line before: a line was changed or taken out")
		default:
			if err = e.check(); err == nil {
				err = visit(e)
			}
		}
		if err != nil {
			return whole, previous, bad(err)
		}
		previous = hashLine(body)
		whole += int64(len(line))
	}
	if number == 0 {
		return 0, "", fmt.Errorf("%w: %s is empty", watermark.ErrMalformed, logName)
	}
	return whole, previous, nil
}
