package probe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// ControlCase is a sealed case whose controls are reused. Whoever gives it has
// checked its seal.
type ControlCase struct {
	FS    fs.FS  // of the case, folder or archive
	KeyID string // of the key that sealed it
}

// adopt takes over the controls of sealed cases: as they are described there, with
// what identifies the case.
func (d *Draft) adopt(in *PlanInput) error {
	for _, control := range in.Controls {
		c, err := ledger.OpenFS(control.FS)
		if err != nil {
			return usage("Give a sealed case", "the control case cannot be read: %s", err)
		}
		state, err := c.State()
		if err != nil {
			return usage("Give a whole case", "control case %s: %s", c.Plan().CaseID, err)
		}
		if !state.Sealed {
			return usage("Seal it first, with `report seal`", "control case %s is not sealed", c.Plan().CaseID)
		}
		taken := 0
		for _, t := range c.Plan().Targets {
			if t.Role != ledger.Control || t.Cached != nil {
				continue
			}
			t.PreviousOf = "" // of a rival there
			t.Cached = &ledger.Cached{CaseID: c.Plan().CaseID, Ledger: state.Head, KeyID: control.KeyID}
			if err := dates(c, &t); err != nil {
				return err
			}
			in.Targets = append(in.Targets, t)
			taken++
		}
		if taken == 0 {
			return usage("Give a case that collected controls", "case %s has no control with replies of its own", c.Plan().CaseID)
		}
		d.controls = append(d.controls, control)
	}
	d.Plan.Targets = in.Targets
	return nil
}

// dates notes from when to when a target's replies were collected.
func dates(c *ledger.Case, t *ledger.Target) error {
	for e, err := range c.Events() {
		if err != nil {
			return err
		}
		if e.Type != ledger.EventReply {
			continue
		}
		if it, ok := c.Item(e.Item); ok && it.Target.Name == t.Name {
			if t.Cached.First.IsZero() {
				t.Cached.First = e.Time
			}
			t.Cached.Last = e.Time
		}
	}
	if t.Cached.First.IsZero() {
		return usage("Give a case in which it was asked", "case %s has no reply of %s", t.Cached.CaseID, t.Name)
	}
	return nil
}

// checkControls refuses controls that were asked something else, and says what is
// missing of those that were not asked everything.
func (d *Draft) checkControls() error {
	for _, control := range d.controls {
		c, err := ledger.OpenFS(control.FS)
		if err != nil {
			return err
		}
		state, err := c.State()
		if err != nil {
			return err
		}
		for i := range d.Plan.Targets {
			t := &d.Plan.Targets[i]
			if t.Cached == nil || t.Cached.CaseID != c.Plan().CaseID {
				continue
			}
			if err := ledger.Reusable(d.Plan, c.Plan(), t.Name); err != nil {
				return usage("Plan with the suites, seeds and parameters of that case, or ask the control anew",
					"the replies of %s in case %s cannot be reused: %s", t.Name, c.Plan().CaseID, err)
			}
			missing := 0
			for j := range d.Plan.Prompts {
				q := &d.Plan.Prompts[j]
				for s := range d.Plan.SamplesOf(q) {
					if !q.Sentinel && !state.Settled(ledger.ItemID(t.Name, q.Suite, q.ID, s)) {
						missing++
					}
				}
			}
			if missing > 0 {
				d.Warnings = append(d.Warnings, fmt.Sprintf("Control %s: %d of the planned replies are missing in case %s.", t.Name, missing, t.Cached.CaseID))
			}
		}
	}
	return nil
}

// follow makes the plan the second run of a sealed case.
func (d *Draft) follow(first *ControlCase) error {
	if first == nil {
		return nil
	}
	c, err := ledger.OpenFS(first.FS)
	if err != nil {
		return usage("Give the sealed case of the first run", "it cannot be read: %s", err)
	}
	state, err := c.State()
	if err != nil {
		return usage("Give a whole case", "case %s: %s", c.Plan().CaseID, err)
	}
	if !state.Sealed {
		return usage("Seal it first, with `report seal`", "case %s is not sealed", c.Plan().CaseID)
	}
	if err := d.Plan.Repeats(c.Plan()); err != nil {
		do := "Plan with the same options as the first run"
		if changed := (*ledger.SuiteVersionError)(nil); errors.As(err, &changed) {
			do = "Use the version of the program that made the first run, or the suite's file of then"
		}
		return usage(do, "this is no second run of case %s: %s", c.Plan().CaseID, err)
	}
	after := &ledger.Cached{CaseID: c.Plan().CaseID, Ledger: state.Head, KeyID: first.KeyID}
	for e, err := range c.Events() {
		if err != nil {
			return err
		}
		if e.Type == ledger.EventReply {
			if after.First.IsZero() {
				after.First = e.Time
			}
			after.Last = e.Time
		}
	}
	if after.First.IsZero() {
		return usage("Give a case with replies", "case %s has none", c.Plan().CaseID)
	}
	if gap := d.Plan.Created.Sub(after.Last); gap < family.RunsApart {
		d.Warnings = append(d.Warnings, fmt.Sprintf("The last reply of the first run came %.1f days ago: the two count as two runs only if this one begins at least %.0f days after it.",
			gap.Hours()/24, family.RunsApart.Hours()/24))
	}
	d.Plan.After, d.after = after, first
	return nil
}

// createAround makes the case beside its place, copies the cases that lie in it and
// then moves it there: the folder appears only when it is whole.
func createAround(dir string, d *Draft, files []ledger.File) (*ledger.Case, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, usage("Name another folder", "%s exists already; a case folder is never overwritten", dir)
	}
	parent, err := os.MkdirTemp(filepath.Dir(dir), ".plan-*")
	if err != nil {
		return nil, fmt.Errorf("seal the plan: %w", err)
	}
	defer os.RemoveAll(parent)
	made := filepath.Join(parent, "case")
	if _, err := ledger.Create(made, d.Plan, files...); err != nil {
		return nil, err
	}
	var done []string
	for _, control := range d.controls {
		c, err := ledger.OpenFS(control.FS)
		if err != nil {
			return nil, err
		}
		id := c.Plan().CaseID
		if slices.Contains(done, id) {
			return nil, usage("Name it once", "control case %s is given twice", id)
		}
		done = append(done, id)
		if err := copyCase(filepath.Join(made, filepath.FromSlash(ledger.ControlPath(id))), control.FS); err != nil {
			return nil, fmt.Errorf("copy control case %s: %w", id, err)
		}
	}
	if d.after != nil {
		if err := copyCase(filepath.Join(made, filepath.FromSlash(ledger.EarlierPath(d.Plan.After.CaseID))), d.after.FS); err != nil {
			return nil, fmt.Errorf("copy the first run, case %s: %w", d.Plan.After.CaseID, err)
		}
	}
	if err := ledger.MoveFolder(made, dir); err != nil {
		return nil, fmt.Errorf("seal the plan: %w", err)
	}
	return ledger.Open(dir)
}

// copyCase copies all files of a case.
func copyCase(dir string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o700)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", name)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil { // archives have no folders
			return err
		}
		src, err := from.Open(name)
		if err != nil {
			return err
		}
		defer src.Close()
		dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(dst, src)
		return errors.Join(err, dst.Sync(), dst.Close())
	})
}
