package trial

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The parts of a calibration, as a state names them.
const (
	partWatermark = "radioactivity" // n-gram rivals under watermark keys: E1
	partReading   = "reading"       // the same, as they read passages on: E2
	partStyle     = "style"         // n-gram rivals among n-gram controls: C6
	partScripted  = "scripted"      // scripted rivals among scripted controls: C1 to C8
	partCanaries  = "canaries"      // scripted rivals of a service that plants: E3 to E6
)

// stateID names a finished trial: numbers are the same whatever the counts are.
type stateID struct {
	Part   string `json:"part"`
	Seed   uint64 `json:"seed"`
	Number int    `json:"number"`
}

// state keeps finished trials, one a line, so that the same calibration goes on after
// an interruption. It is safe for concurrent use.
type state struct {
	mu   sync.Mutex
	file *os.File // nil: nothing is kept
	done map[stateID]json.RawMessage
}

// maxState bounds a state file: tens of thousands of trials.
const maxState = 256 << 20

// openState reads the trials of an earlier run. A torn last line is left out.
func openState(path string) (*state, error) {
	s := &state{done: map[stateID]json.RawMessage{}}
	if path == "" {
		return s, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the state: %w", err), f.Close())
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	lines := bufio.NewScanner(bytes.NewReader(data[:whole]))
	lines.Buffer(nil, maxState)
	for lines.Scan() {
		var id stateID
		if err := json.Unmarshal(lines.Bytes(), &id); err != nil || id.Part == "" {
			return nil, errors.Join(&UsageError{fmt.Sprintf("%s is no state of a calibration: name another file", path)}, f.Close())
		}
		s.done[id] = bytes.Clone(lines.Bytes())
	}
	if err := errors.Join(lines.Err(), f.Truncate(int64(whole))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(int64(whole), io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.file = f
	return s, nil
}

func (s *state) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// has reports whether a trial is finished.
func (s *state) has(id stateID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.done[id]
	return ok
}

// keep enters a finished trial.
func (s *state) keep(id stateID, trial any) error {
	line, err := json.Marshal(trial)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[id] = line
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep the trial: %w", err)
	}
	return s.file.Sync()
}

// kept decodes a finished trial.
func kept[T any](s *state, id stateID) (T, error) {
	var t T
	if err := json.Unmarshal(s.done[id], &t); err != nil {
		return t, &UsageError{fmt.Sprintf("the state's trial %d of part %s was kept by another version of the program: name another file", id.Number, id.Part)}
	}
	return t, nil
}
