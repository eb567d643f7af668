package family

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// CompareOptions are what a plan may choose of a comparative family.
type CompareOptions struct {
	// Students name targets of the plan that are known students of our own model:
	// they calibrate the likelihood ratio and are no controls.
	Students []string `json:"students,omitempty"`
	// Names are further names of our model and its maker, beside those that the target
	// of role ours bears. Only C3 reads them.
	Names []string `json:"names,omitempty"`
	// Labels says who reads the replies: the rules, or the plan's judge ([LabelsJudge]).
	Labels string `json:"labels,omitempty"`
}

// sides says who is compared with whom in a comparative test. It is a function of
// the plan alone.
type sides struct {
	rival    *ledger.Target
	ours     *ledger.Target // the first of its role
	teachers []*ledger.Target
	controls []*ledger.Target
	students []*ledger.Target
	previous *ledger.Target // the control that is the rival's previous version, or nil
	names    []string       // of ours, as the plan gives them
	not      []string       // targets that are no controls, with the reason
}

// sides sorts the plan's targets. No control is a target that serves as a teacher or
// is ours, one whose vendor makes a teacher or us (its kin learn from the same
// texts), one that is the same model as another side or a control before it (what is
// served twice is one observation), another rival, or a student.
func (in *Input) sides() (*sides, error) {
	var opt CompareOptions
	if err := decodeOptions(in.Test, &opt); err != nil {
		return nil, err
	}
	s := &sides{rival: in.plannedTarget(in.Test.Target), names: opt.Names}
	for _, name := range opt.Students {
		t := in.plannedTarget(name)
		if t == nil || t == s.rival || t.Role == ledger.Ours {
			return nil, fmt.Errorf("test %s: student %q is not another target of the plan", in.Test.ID, name)
		}
		s.students = append(s.students, t)
	}
	student := func(t *ledger.Target) bool { return slices.Contains(s.students, t) }
	for _, t := range in.Targets(ledger.Ours, ledger.Teacher) {
		switch {
		case student(t):
		case t.Role == ledger.Ours && s.ours == nil:
			s.ours = t
		case t.Role == ledger.Teacher:
			s.teachers = append(s.teachers, t)
		}
	}
	for _, t := range in.Targets() {
		if t == s.rival {
			continue
		}
		if why := s.noControl(t, student(t)); why != "" {
			s.not = append(s.not, t.Name+" "+why)
			continue
		}
		s.controls = append(s.controls, t)
		if t.PreviousOf == s.rival.Name && s.previous == nil {
			s.previous = t
		}
	}
	return s, nil
}

// noControl says why a target is no control, or "".
func (s *sides) noControl(t *ledger.Target, student bool) string {
	switch {
	case student || t.Role == ledger.Student:
		return "is a student of our own model"
	case t == s.ours:
		return "is our model"
	case t.Role == ledger.Ours:
		return "is another endpoint of our model"
	case t.Role == ledger.Teacher:
		return "serves as a teacher"
	case t.Role == ledger.Rival:
		return "is another rival"
	case sameModel(t, s.rival):
		return "is the same model as " + s.rival.Name
	}
	for _, u := range s.controls {
		if sameModel(t, u) {
			return "is the same model as " + u.Name + ", which counts once"
		}
	}
	for _, u := range s.columns() {
		switch {
		case sameModel(t, u):
			return "is the same model as " + u.Name
		case vendor(t) != "" && vendor(t) == vendor(u):
			return "is of the same vendor as " + u.Name + ", a teacher"
		}
	}
	return ""
}

// columns are the teachers of the agreement matrix, ours first.
func (s *sides) columns() []*ledger.Target {
	if s.ours == nil {
		return s.teachers
	}
	return append([]*ledger.Target{s.ours}, s.teachers...)
}

// rows are the sources of the agreement matrix: the rival, the controls and, for the
// calibration only, students.
func (s *sides) rows() []*ledger.Target {
	return slices.Concat([]*ledger.Target{s.rival}, s.controls, s.students)
}

// pool are those from whom it is learnt how common an answer is: all but students.
func (s *sides) pool() []*ledger.Target {
	return slices.Concat([]*ledger.Target{s.rival}, s.controls, s.columns())
}

// everybody lists each target that is read once: rows, then columns.
func (s *sides) everybody() []*ledger.Target { return slices.Concat(s.rows(), s.columns()) }

// SameModel reports whether two targets are one model, as far as their names tell.
func SameModel(a, b *ledger.Target) bool { return sameModel(a, b) }

// sameModel reports whether two targets are one model: by its name, whatever its host
// writes before a slash and wherever it is served. A name that says nothing, such as
// that of a local server's only model, counts at the same address only.
func sameModel(a, b *ledger.Target) bool {
	x, y := baseModel(a), baseModel(b)
	return x == y && (a.BaseURL == b.BaseURL || len(x) > 3 && !slices.Contains([]string{"default", "model", "local", "local-model", "chat", "main"}, x))
}

func baseModel(t *ledger.Target) string {
	return strings.ToLower(t.Model[strings.LastIndexByte(t.Model, '/')+1:])
}

func vendor(t *ledger.Target) string { return strings.ToLower(strings.TrimSpace(t.Vendor)) }

// vendors counts the declared vendors of targets.
func vendors(targets []*ledger.Target) int {
	seen := map[string]bool{}
	for _, t := range targets {
		if v := vendor(t); v != "" {
			seen[v] = true
		}
	}
	return len(seen)
}

// plannedTarget finds a target of the plan by its name.
func (in *Input) plannedTarget(name string) *ledger.Target {
	for i := range in.plan.Targets {
		if t := &in.plan.Targets[i]; t.Name == name {
			return t
		}
	}
	return nil
}

// Foresee says, in sentences, what will limit a comparative test whatever is answered:
// it is known before anything is sent. It says nothing of other tests.
func Foresee(p *ledger.Plan, t *ledger.Test) ([]string, error) {
	if !comparative(t) {
		return nil, nil
	}
	s, err := (&Input{Test: t, plan: p}).sides()
	if err != nil {
		return nil, err
	}
	var out []string
	say := func(on bool, format string, args ...any) {
		if on {
			out = append(out, fmt.Sprintf(t.Family+" on "+s.rival.Name+": "+format, args...))
		}
	}
	say(s.ours == nil, "there is no target of our own model (role ours), so there will be nothing to compare with.")
	n := len(s.controls)
	say(n < ledger.MinControls, "%s of at least %d: the only verdict will be \"too few controls\".", count(n, "control"), ledger.MinControls)
	say(n >= ledger.MinControls && vendors(s.controls) < minVendors, "the controls come from %d declared vendors, fewer than %d.", vendors(s.controls), minVendors)
	say(s.ours != nil && len(s.teachers) == 0 && t.Family != Identity, "there is no other teacher (role teacher), so what strong models have in common with ours will not be taken off.")
	return out, nil
}
