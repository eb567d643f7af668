package monitor

import (
	"fmt"
	"math"
	"time"
)

// The bets c_j: from everything, which finds a missing mark soonest, down to 1/64,
// which finds a loss of some hundredths. A factor of 2 between bets loses less than a
// ninth of the best one's growth.
const bets = 7

func bet(j int) float64 { return math.Ldexp(1, -j) }

// Limits.
const (
	// MaxStreams bounds memory, and shows a label that is no name of a stream (an id
	// of a request) before it is too late: the hundredth stream has 1/10,100 of α.
	MaxStreams = 10_000
	// maxPoints of the history are kept for each stream; when they are full, two
	// become one.
	maxPoints = 256
	// recentWeight is what a reply weighs in the recent strength: an exponential
	// average over some 64 replies.
	recentWeight = 1. / 64
)

// Config is declared before the first reply.
type Config struct {
	Key      string  `json:"key"` // id of the key
	Scheme   string  `json:"scheme"`
	Expected float64 `json:"expected"` // q: the mean of y that must be there at least
	Unmarked float64 `json:"unmarked"` // the mean of y without the mark
	Alpha    float64 `json:"alpha"`    // of one false alarm ever, over all streams
	MinUnits int     `json:"min_units"`
}

// Check says what is wrong with a Config.
func (c Config) Check() error {
	switch {
	case !(c.Alpha > 0 && c.Alpha <= .5):
		return fmt.Errorf("alpha %v: the probability of a false alarm is above 0 and at most .5", c.Alpha)
	case !(c.Expected > c.Unmarked && c.Expected < 1):
		return fmt.Errorf("expected strength %.4g: it must lie above %.4g, the mean score per unit of text without the mark, and below 1", c.Expected, c.Unmarked)
	case c.MinUnits < 1:
		return fmt.Errorf("at least %d units a reply: give 1 or more", c.MinUnits)
	}
	return nil
}

// Point is the mean statistic of consecutive replies.
type Point struct {
	Replies int64   `json:"replies"`
	Mean    float64 `json:"mean"`
}

// Watch is the state of one stream.
type Watch struct {
	Stream  Stream `json:"stream"`
	Order   int    `json:"order"`   // s: the level is α/(s(s+1))
	Replies int64  `json:"replies"` // that count, since it was armed
	Skipped int64  `json:"skipped"` // with too few units
	// Recent is the exponential average of y over some 64 replies.
	Recent  float64       `json:"recent"`
	Wealth  [bets]float64 `json:"wealth"` // A_j
	Alarm   *Alarm        `json:"alarm,omitempty"`
	Size    int64         `json:"size"` // replies of a whole point
	History []Point       `json:"history"`
}

// Alarm says that a stream's mark is weaker than declared. It holds no text.
type Alarm struct {
	Stream    Stream    `json:"stream"`
	Time      time.Time `json:"time"`
	Key       string    `json:"key"`
	Scheme    string    `json:"scheme"`
	Reply     int64     `json:"reply"`  // of the stream, from 1
	Recent    float64   `json:"recent"` // exponential average of y
	Expected  float64   `json:"expected"`
	Unmarked  float64   `json:"unmarked"`
	Log10E    float64   `json:"log10_e"`
	Threshold float64   `json:"log10_e_threshold"`
}

// Remaining is the share of the declared lift over unmarked text that is left.
func (a *Alarm) Remaining() float64 { return (a.Recent - a.Unmarked) / (a.Expected - a.Unmarked) }

// Monitor watches streams under one key. It is not safe for concurrent use.
type Monitor struct {
	config  Config
	watches []*Watch // in order of appearance
	by      map[Stream]*Watch
	armed   int // streams armed so far, those armed again included
}

// New starts a monitor without streams.
func New(c Config) (*Monitor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &Monitor{config: c, by: map[Stream]*Watch{}}, nil
}

// Config is what was declared.
func (m *Monitor) Config() Config { return m.config }

// Watches are all streams in the order of their first reply; not to be changed.
func (m *Monitor) Watches() []*Watch { return m.watches }

// Threshold is log10 of the e-value at which a stream raises its alarm.
func (m *Monitor) Threshold(w *Watch) float64 {
	s := float64(w.Order)
	return math.Log10(s) + math.Log10(s+1) - math.Log10(m.config.Alpha)
}

// Log10E is the evidence so far against the mark being as strong as declared.
func (w *Watch) Log10E() float64 {
	e := 1 / math.Log(float64(w.Replies)+math.E) // starts to come
	for _, a := range w.Wealth {
		e += a / bets
	}
	return math.Log10(e)
}

// weight is w_k, without the cancellation of its two terms.
func weight(k float64) float64 {
	a := k + math.E - 1
	return math.Log1p(1/a) / (math.Log(a) * math.Log1p(a))
}

// Add enters a reply with the statistic y of some units, at a time that only alarms
// show. It returns the alarm that this reply raises, if any: a stream raises one, and
// is then counted on without a test until [Monitor.Rearm].
func (m *Monitor) Add(s Stream, y float64, units int, now time.Time) (*Alarm, error) {
	if !(y >= 0 && y <= 1) {
		return nil, fmt.Errorf("monitor: statistic %v is not in [0,1]", y)
	}
	w, ok := m.by[s]
	if !ok {
		if len(m.watches) == MaxStreams {
			return nil, fmt.Errorf("there are %d streams already and %s is new: is one of model, region, epoch, route the name of a request?", MaxStreams, s)
		}
		m.armed++
		w = &Watch{Stream: s, Order: m.armed, Size: 1}
		m.watches = append(m.watches, w)
		m.by[s] = w
	}
	if units < m.config.MinUnits {
		w.Skipped++
		return nil, nil
	}
	w.Replies++
	w.Recent += (y - w.Recent) * max(recentWeight, 1/float64(w.Replies))
	w.record(y)
	if w.Alarm != nil {
		return nil, nil
	}
	q, start := m.config.Expected, weight(float64(w.Replies))
	for j := range w.Wealth {
		w.Wealth[j] = (w.Wealth[j] + start) * max(0, 1+bet(j)*(q-y)/(1-q))
	}
	e, threshold := w.Log10E(), m.Threshold(w)
	if e < threshold {
		return nil, nil
	}
	w.Alarm = &Alarm{
		Stream: s, Time: now, Key: m.config.Key, Scheme: m.config.Scheme, Reply: w.Replies,
		Recent: w.Recent, Expected: q, Unmarked: m.config.Unmarked, Log10E: e, Threshold: threshold,
	}
	return w.Alarm, nil
}

// record adds y to the history, in bounded space.
func (w *Watch) record(y float64) {
	last := len(w.History) - 1
	if last < 0 || w.History[last].Replies >= w.Size {
		if len(w.History) == maxPoints {
			for i := range maxPoints / 2 {
				a, b := w.History[2*i], w.History[2*i+1]
				w.History[i] = Point{a.Replies + b.Replies, (a.Mean*float64(a.Replies) + b.Mean*float64(b.Replies)) / float64(a.Replies+b.Replies)}
			}
			w.History = w.History[:maxPoints/2]
			w.Size *= 2
		}
		w.History = append(w.History, Point{1, y})
		return
	}
	p := &w.History[last]
	p.Replies++
	p.Mean += (y - p.Mean) / float64(p.Replies)
}

// Rearm starts every stream that has raised its alarm again, with the next share of
// α, and says how many they are. Their history goes on.
func (m *Monitor) Rearm() int {
	n := 0
	for _, w := range m.watches {
		if w.Alarm == nil {
			continue
		}
		m.armed++
		n++
		w.Order, w.Alarm, w.Replies, w.Wealth, w.Recent = m.armed, nil, 0, [bets]float64{}, 0
	}
	return n
}

// Alarmed reports whether a stream has raised its alarm.
func (m *Monitor) Alarmed() bool {
	for _, w := range m.watches {
		if w.Alarm != nil {
			return true
		}
	}
	return false
}
