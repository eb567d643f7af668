package family

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// history is what the ledger says about the course of collection.
type history struct {
	sessions  int
	asking    int  // sessions in which anything was sent
	asked     bool // by the session under way
	open      int  // intents without an outcome
	changed   []string
	drifts    []drift
	pauses    map[string]int
	jumps     int
	faults    int
	stop      StopEvent
	collected bool // a stop event came after the last reply
	versions  []string
}

// drift is one change with how often it was seen.
type drift struct {
	DriftEvent
	n int
}

// readCached counts the attempts at replies that were collected in another case:
// for the accounting, since its course is not this one's.
func readCached(c *ledger.Case, targets map[string]*gathered) error {
	cases, names, err := c.Controls()
	if err != nil {
		return err
	}
	for k, sub := range cases {
		for e, err := range sub.Events() {
			if err != nil {
				return fmt.Errorf("read the ledger of case %s: %w", sub.Plan().CaseID, err)
			}
			it, planned := c.Item(e.Item)
			if !planned || !names[k][it.Target.Name] {
				continue
			}
			g := targets[it.Target.Name]
			switch e.Type {
			case ledger.EventIntent:
				g.accounting.Sent++
			case ledger.EventAttemptFailed:
				var a ledger.Attempt
				if err := json.Unmarshal(e.Data, &a); err != nil {
					return fmt.Errorf("read event %d of the ledger of case %s: %w", e.Seq, sub.Plan().CaseID, err)
				}
				g.accounting.Failed[a.Outcome]++
			case ledger.EventDrift:
				g.drift++
			}
		}
	}
	return nil
}

func (h *history) take(e *ledger.Event, owner func(id string) *gathered, targets map[string]*gathered) error {
	switch e.Type {
	case ledger.EventReply:
		if g := owner(e.Item); g != nil && g.target.Imported != nil {
			return nil // there was no intent
		}
		h.open--
	case ledger.EventIntent:
		h.open++
		if !h.asked {
			h.asked = true
			h.asking++
		}
		if g := owner(e.Item); g != nil {
			g.accounting.Sent++
		}
		h.collected = false
	case ledger.EventAttemptFailed:
		var a ledger.Attempt
		if err := json.Unmarshal(e.Data, &a); err != nil {
			return err
		}
		h.open--
		if g := owner(e.Item); g != nil {
			g.accounting.Failed[a.Outcome]++
		}
	case ledger.EventLabelIntent:
		h.open++
	case ledger.EventLabel, ledger.EventLabelFailed:
		h.open--
	case ledger.EventResume, ledger.EventConfigChange:
		var s SessionEvent
		if err := json.Unmarshal(e.Data, &s); err != nil {
			return err
		}
		if s.Kind != KindSession {
			return nil
		}
		h.sessions++
		h.asked = false
		h.changed = append(h.changed, s.Changed...)
		if v := s.Program.Version; v != "" && !slices.Contains(h.versions, v) {
			h.versions = append(h.versions, v)
		}
	case ledger.EventDrift:
		var d DriftEvent
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		if g := targets[d.Target]; g != nil {
			g.drift++
			g.change(d, e.Seq)
		}
		h.addDrift(d)
	case ledger.EventPause:
		var p PauseEvent
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return err
		}
		h.pauses[p.Target]++
	case ledger.EventClockJump:
		h.jumps++
	case ledger.EventFault:
		h.faults++
	case ledger.EventStop:
		h.collected = true
		return json.Unmarshal(e.Data, &h.stop)
	}
	return nil
}

func (h *history) addDrift(d DriftEvent) {
	for i := range h.drifts {
		if h.drifts[i].DriftEvent == d {
			h.drifts[i].n++
			return
		}
	}
	h.drifts = append(h.drifts, drift{d, 1})
}

// deviations lists in sentences where collection was not what the plan says, or
// what a reader must know about its course. The order is fixed.
func (a *analysis) deviations() []string {
	d := []string{}
	add := func(format string, args ...any) { d = append(d, fmt.Sprintf(format, args...)) }
	h := a.history
	for _, g := range a.order {
		acc := &g.accounting
		if im := g.target.Imported; im != nil {
			add("%s: its %d replies were not acquired by this program; they were imported from %q, whose SHA-256 is %s.", acc.Target, im.Lines, im.File, im.SHA256)
		}
		if cached := g.target.Cached; cached != nil {
			add("%s: its replies were collected beforehand, from %s to %s, in case %s, which lies whole in this one; they were not interleaved with those of the other targets.",
				acc.Target, cached.First.UTC().Format(time.DateOnly), cached.Last.UTC().Format(time.DateOnly), cached.CaseID)
		}
		if acc.Missing > 0 {
			add("%s: %d of %d planned replies are missing.", acc.Target, acc.Missing, acc.Planned)
		}
		for _, class := range sortedClasses(acc.Classes) {
			if class != ledger.OK {
				add("%s: %d of %d replies are of class %q and do not enter.", acc.Target, acc.Classes[class], acc.Planned, class)
			}
		}
		if g.redecoded > 0 {
			add("%s: the raw bytes of %d replies say otherwise than what was noted when they arrived; the bytes count.", acc.Target, g.redecoded)
		}
		if g.overlong > 0 {
			add("%s: %d replies are longer than max_tokens, by the target's own count.", acc.Target, g.overlong)
		}
		if len(acc.Models) > 1 {
			names := make([]string, 0, len(acc.Models))
			for name := range acc.Models {
				names = append(names, fmt.Sprintf("%q", name))
			}
			sort.Strings(names)
			add("%s: replies came under several model names: %s.", acc.Target, strings.Join(names, ", "))
		}
	}
	if a.said != nil {
		missing, of := a.said.missing()
		if missing > 0 {
			add("%s: %d of the labels of %d replies are missing.", a.plan.Judge.Target.Name, missing, of)
		}
	}
	for _, x := range h.drifts {
		what := "collection stopped"
		if x.Accepted {
			what = "collection went on"
		}
		add("%s: the %s changed from %q to %q (seen %s; %s).", x.Target, x.Field, x.From, x.To, times(x.n), what)
	}
	if h.sessions > 1 {
		add("Collection was resumed %s.", times(h.sessions-1))
	}
	if h.open > 0 {
		add("%d attempts have no outcome on record: they may have been sent when the program was cut off.", h.open)
	}
	for _, c := range h.changed {
		add("An option was changed while collection went on: %s.", c)
	}
	if len(h.versions) > 1 {
		add("Collection ran under several versions of the program: %s.", strings.Join(h.versions, ", "))
	}
	for _, g := range a.order {
		if n := h.pauses[g.target.Name]; n > 0 {
			add("%s could not be reached at times: collection from it paused %s.", g.target.Name, times(n))
		}
	}
	if h.jumps > 0 {
		add("The clock jumped %s.", times(h.jumps))
	}
	if h.faults > 0 {
		add("%d faults of storage are on record.", h.faults)
	}
	switch {
	case !h.collected:
		add("Collection has no recorded end: replies may still be coming in.")
	case h.stop.Reason == StopEvidence && h.stop.Missing > 0:
		add("Collection stopped early on the evidence, as the plan allows, with %d replies not asked for.", h.stop.Missing)
	case h.stop.Missing > 0:
		add("Collection ended before the plan was done (%s).", h.stop.why())
	}
	for i := range a.results {
		if a.open(i) {
			add("Replies are missing and the end of collection was not fixed by the plan (%s): fixed-n results on the targets concerned are exploratory.", h.ending())
			break
		}
	}
	if a.opt.Decoys != nil && *a.opt.Decoys != a.plan.Decoys.N {
		add("%d decoy keys were scored instead of the planned %d.", *a.opt.Decoys, a.plan.Decoys.N)
	}
	return d
}

// why is the reason to stop, with the cap that was reached.
func (s *StopEvent) why() string {
	if s.Cap == "" {
		return s.Reason
	}
	return s.Reason + " on " + s.Cap
}

// ending is how collection ended, in a few words.
func (h *history) ending() string {
	if !h.collected {
		return "no end on record"
	}
	if h.asking > 1 {
		return fmt.Sprintf("%d sessions, the last one: %s", h.asking, h.stop.why())
	}
	return h.stop.why()
}

func sortedClasses(m map[ledger.Outcome]int64) []ledger.Outcome {
	out := make([]ledger.Outcome, 0, len(m))
	for c := range m {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
