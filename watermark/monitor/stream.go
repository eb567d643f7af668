package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLabel bounds one name of a stream, in bytes: names become labels of metrics.
const MaxLabel = 200

// Stream names what is watched on its own. Any part may be empty.
type Stream struct {
	Model  string `json:"model,omitempty"`
	Region string `json:"region,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
	Route  string `json:"route,omitempty"`
}

func (s Stream) labels() [4][2]string {
	return [4][2]string{{"model", s.Model}, {"region", s.Region}, {"epoch", s.Epoch}, {"route", s.Route}}
}

// String is the stream as "model=… region=…", or "all" if nothing names it.
func (s Stream) String() string {
	var parts []string
	for _, l := range s.labels() {
		if l[1] != "" {
			parts = append(parts, l[0]+"="+l[1])
		}
	}
	if parts == nil {
		return "all"
	}
	return strings.Join(parts, " ")
}

// StreamOf reads the members model, region, epoch and route of a JSON line, each a
// string, null or absent; other members are ignored. A nil line is the unnamed stream.
func StreamOf(line []byte) (Stream, error) {
	var s Stream
	if line == nil {
		return s, nil
	}
	if !utf8.Valid(line) {
		return s, errors.New("not UTF-8, hence no JSON")
	}
	if err := json.Unmarshal(line, &s); err != nil {
		return Stream{}, fmt.Errorf("the names of its stream (model, region, epoch, route) cannot be read: %w", err)
	}
	return s, s.check()
}

func (s Stream) check() error {
	for _, l := range s.labels() {
		if len(l[1]) > MaxLabel {
			return fmt.Errorf("%s has %d bytes; a stream's name has at most %d", l[0], len(l[1]), MaxLabel)
		}
	}
	return nil
}
