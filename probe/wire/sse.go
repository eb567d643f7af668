package wire

import "bytes"

// events cuts a stream of server-sent events (the EventSource format of the
// HTML standard) into events: lines end in LF, CRLF or CR, lines that begin
// with a colon are comments, the data lines of an event are joined by LF, and a
// blank line ends it. Comments and blank lines are unlimited, since servers send
// them to keep connections alive.
type events struct {
	b        []byte
	i        int
	complete bool // the end of b is the end of the stream
}

// event is one event. Closed is false for the last one when no blank line ends
// it: its data may have been cut.
type event struct {
	name   string
	data   []byte
	closed bool
}

// next returns the next event that has data. bad is a line that no event stream
// contains; it ends the stream.
func (s *events) next() (ev event, bad []byte, ok bool) {
	var (
		lines int
		own   bool // data is a copy, no longer part of b
	)
	if s.i == 0 {
		s.b = bytes.TrimPrefix(s.b, []byte("\xEF\xBB\xBF"))
	}
	for {
		line, more := s.line()
		if !more {
			return ev, nil, lines > 0
		}
		if len(line) == 0 {
			if lines > 0 {
				ev.closed = true
				return ev, nil, true
			}
			ev.name = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "", "id", "retry": // a comment, or fields for browsers that reconnect
		case "event":
			ev.name = string(value)
		case "error": // llama.cpp writes its errors as a field of this name
			ev.name = "error"
			fallthrough
		case "data":
			switch {
			case lines == 0:
				ev.data = value
			case !own:
				own = true
				ev.data = append(append(bytes.Clone(ev.data), '\n'), value...)
			default:
				ev.data = append(append(ev.data, '\n'), value...)
			}
			lines++
		default:
			return ev, line, false
		}
	}
}

// line returns the next line without its end. A last line without an end counts
// only if the stream is complete: otherwise it may have been cut.
func (s *events) line() ([]byte, bool) {
	rest := s.b[s.i:]
	if len(rest) == 0 {
		return nil, false
	}
	n := bytes.IndexByte(rest, '\n')
	end := n
	if n < 0 {
		end = len(rest)
	}
	if cr := bytes.IndexByte(rest[:end], '\r'); cr >= 0 {
		s.i += cr + 1
		if cr+1 == n {
			s.i++
		}
		return rest[:cr], true
	}
	if n < 0 {
		s.i = len(s.b)
		return rest, s.complete
	}
	s.i += n + 1
	return rest[:n], true
}
