package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// meter shows one line of progress on standard error: redrawn in place on a
// terminal, a line every few seconds elsewhere, JSON records on request.
type meter struct {
	mu    sync.Mutex
	w     io.Writer
	mode  string // line, plain, json, none
	every time.Duration
	last  time.Time
	drawn bool
	begun time.Time
}

// Redrawing faster than ten times a second flickers; a log wants a line every
// ten seconds at most.
const (
	redrawEvery = 100 * time.Millisecond
	plainEvery  = 10 * time.Second
)

func (a *app) newMeter() *meter {
	m := &meter{w: a.err, mode: a.progress, every: plainEvery, begun: time.Now()}
	if m.mode == "auto" {
		m.mode = "plain"
		if terminal(a.err) {
			m.mode, m.every = "line", redrawEvery
		}
	}
	return m
}

// set shows text, unless the last one was shown too recently.
func (m *meter) set(text string) { m.show(text, nil) }

// show is set with a record beside the text, for those who asked for JSON.
func (m *meter) show(text string, record any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	// The first plain line waits: what ends sooner needs no progress.
	if m.mode == "none" || now.Sub(m.last) < m.every || (m.mode != "line" && now.Sub(m.begun) < m.every) {
		return
	}
	m.last = now
	switch m.mode {
	case "line":
		fmt.Fprintf(m.w, "\r\x1b[K%s", printable(text))
		m.drawn = true
	case "json":
		line, _ := json.Marshal(struct {
			Progress string `json:"progress"`
			Status   any    `json:"status,omitempty"`
		}{text, record})
		fmt.Fprintf(m.w, "%s\n", line)
	default:
		fmt.Fprintln(m.w, printable(text))
	}
}

// count shows done of total with the time that is left.
func (m *meter) count(what string, done, total int) {
	text := fmt.Sprintf("%s %d/%d", what, done, total)
	if done > 0 && total > 0 {
		left := time.Duration(float64(time.Since(m.begun)) / float64(done) * float64(total-done))
		text += fmt.Sprintf(" %d%% | ETA %s", 100*done/total, left.Round(time.Second))
	}
	m.set(text)
}

// share shows what is being done and how much of all of it is, from 0 to 1.
// 0 begins the time that the rest is reckoned by.
func (m *meter) share(share float64, at string) {
	if share == 0 {
		m.clear()
	}
	left := time.Duration(float64(time.Since(m.begun)) * (1 - share) / max(share, 1e-9))
	m.set(fmt.Sprintf("%.0f%% | ETA %s | %s", 100*share, left.Round(time.Second), at))
}

// hide takes the line away for a moment, in which something else is printed.
func (m *meter) hide() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}

// clear removes the line, so that results stand alone.
func (m *meter) clear() {
	m.hide()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = time.Time{}
	m.begun = time.Now()
}
