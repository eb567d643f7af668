package registry

import (
	"io"
	"slices"
	"time"
)

// Custody is what the log of a registry says of one key to somebody who has no keys: the
// log alone, without the folder. A key serves the cohort of its label and no other, since
// that is how the registry finds it.
type Custody struct {
	Served    time.Time // when it began to serve; zero: never
	Disclosed time.Time // from when on anybody could have it; zero: never
	Decoy     bool
}

// ReadCustody reads a registry's log and what it says of a key. The chain of the log and
// the form of its lines are checked, the steps of other keys are not. ok is false where
// the log does not know the key. A key was disclosed when it was last said to be.
func ReadCustody(log io.Reader, id string) (c Custody, ok bool, err error) {
	_, _, err = readLog(log, func(e *Event) error {
		if !slices.Contains(e.Keys, id) {
			return nil
		}
		switch e.Kind {
		case EventAdded:
			ok, c.Decoy = true, e.Like != ""
		case EventMoved:
			switch e.State {
			case Serving:
				c.Served = e.At
			case Disclosed:
				c.Disclosed = e.At
			}
		}
		return nil
	})
	return c, ok && err == nil, err
}
