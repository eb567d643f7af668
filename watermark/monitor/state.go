package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// stateFormat names the file; its number grows when older programs cannot go on.
const stateFormat = "stillmark-monitor-state/1"

// MaxState bounds a state that is read, in bytes: 10,000 streams with whole histories.
const MaxState = 256 << 20

// ErrOther says that a state was saved under another declaration.
var ErrOther = errors.New("the state is of another declaration")

type state struct {
	Format  string   `json:"format"`
	Config  Config   `json:"config"`
	Armed   int      `json:"armed"`
	Streams []*Watch `json:"streams"`
}

// Encode is everything that a monitor needs to go on, as JSON. It holds no text and
// no secret.
func (m *Monitor) Encode() ([]byte, error) {
	data, err := json.Marshal(state{stateFormat, m.config, m.armed, m.watches})
	return append(data, '\n'), err
}

// Decode goes on from a state, which must be of the same declaration: what is bet on
// cannot change under way. [ErrOther] says that it is not.
func Decode(data []byte, c Config) (*Monitor, error) {
	m, err := New(c)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxState {
		return nil, fmt.Errorf("the state has %d bytes, more than %d", len(data), MaxState)
	}
	var s state
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("no state of a monitor: %w", err)
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("no state of a monitor that this version reads: format %q, not %q", s.Format, stateFormat)
	}
	if s.Config != c {
		return nil, fmt.Errorf("%w: %+v, not %+v", ErrOther, s.Config, c)
	}
	if len(s.Streams) > MaxStreams || s.Armed < len(s.Streams) {
		return nil, fmt.Errorf("the state has %d streams of %d armed", len(s.Streams), s.Armed)
	}
	m.armed, m.watches = s.Armed, s.Streams
	orders := map[int]bool{}
	for i, w := range s.Streams {
		if w == nil {
			return nil, fmt.Errorf("stream %d of the state is null", i+1)
		}
		if m.by[w.Stream] != nil || orders[w.Order] {
			return nil, fmt.Errorf("stream %s stands twice in the state", w.Stream)
		}
		if err := w.check(s.Armed); err != nil {
			return nil, fmt.Errorf("stream %s of the state: %w", w.Stream, err)
		}
		m.by[w.Stream], orders[w.Order] = w, true
	}
	return m, nil
}

func (w *Watch) check(armed int) error {
	if err := w.Stream.check(); err != nil {
		return err
	}
	if w.Order < 1 || w.Order > armed || w.Replies < 0 || w.Skipped < 0 || w.Size < 1 || len(w.History) > maxPoints || !(w.Recent >= 0 && w.Recent <= 1) {
		return errors.New("a number is outside its range")
	}
	for _, a := range w.Wealth {
		if !(a >= 0) {
			return fmt.Errorf("its evidence is %v", a)
		}
	}
	for _, p := range w.History {
		if p.Replies < 1 || !(p.Mean >= 0 && p.Mean <= 1) {
			return errors.New("a point of its history is outside its range")
		}
	}
	return nil
}
