package reports

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// Trouble is something that is wrong with the files of a case.
type Trouble struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"` // first bad byte; -1 where a hash cannot tell
	Detail string `json:"detail"`
	// Repair says what can be done about it; nothing is done by looking.
	Repair     string `json:"repair"`
	Repairable bool   `json:"repairable"`
}

// Health is what Fsck found.
type Health struct {
	CaseID   string    `json:"case_id,omitempty"`
	Sealed   bool      `json:"sealed"`
	Events   uint64    `json:"events"`
	Blobs    int       `json:"blobs"`
	Entries  int       `json:"custody_entries"`
	Troubles []Trouble `json:"troubles"`
}

const (
	repairCopy  = "nothing here can restore it: take the file from a copy of the case"
	repairTorn  = "run stillmark probe run on the case: it moves the fragment to ledger.torn-<n>, says so in the ledger, and goes on; nothing that was acknowledged is lost"
	repairStray = "an interrupted write left it, or a program has the case open: if none has, delete it; it is no part of the case"
)

// Fsck reads every file of a case, sealed or not, a folder or a zip, and says what is
// wrong with it and what can be done. It changes nothing. The error is about reading
// path.
func Fsck(path string) (*Health, error) {
	h := &Health{Troubles: []Trouble{}}
	p, err := integrity.Open(path)
	var bad *integrity.Problem
	if err != nil && !errors.As(err, &bad) {
		return nil, err
	}
	if err != nil {
		h.enter(err)
		return h, nil
	}
	defer p.Close()
	if !p.Zip {
		if err := h.strays(path); err != nil {
			return nil, err
		}
	}
	if log, err := ledger.ReadCustody(p.FS); err != nil {
		h.enter(err)
	} else {
		h.Entries = len(log)
	}
	c, err := ledger.OpenFS(p.FS)
	if err != nil {
		h.enter(err)
		return h, nil
	}
	h.CaseID = c.Plan().CaseID
	if state, err := c.State(); err != nil {
		h.enter(err)
	} else {
		h.Events, h.Sealed = state.Head.Events, state.Sealed
	}
	if h.Blobs, err = c.CheckBlobs(); err != nil {
		h.enter(err)
	}
	if _, err := fs.Stat(p.FS, manifestName); err == nil && h.Sealed {
		h.manifest(p.FS)
		if len(h.Troubles) == 0 {
			if _, err := integrity.Check(p); err != nil {
				h.enter(err)
			}
		}
	}
	return h, nil
}

// manifest holds every file that is there against the manifest: the seal's own check
// ends at the first that differs.
func (h *Health) manifest(fsys fs.FS) {
	data, err := integrity.ReadFile(fsys, manifestName)
	if err != nil {
		h.enter(err)
		return
	}
	listed, err := ledger.ParseManifest(data)
	if err != nil {
		h.enter(&ledger.DamageError{File: manifestName, Offset: -1, Reason: err.Error()})
		return
	}
	for _, e := range listed {
		if slices.ContainsFunc(h.Troubles, func(t Trouble) bool { return t.File == e.Path }) {
			continue // known, and where
		}
		got, _, err := ledger.SumFile(fsys, e.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a redacted copy lacks some: the seal's check knows which
		case err != nil:
			h.enter(&ledger.DamageError{File: e.Path, Offset: -1, Reason: err.Error()})
		case got != e.SHA256:
			h.enter(&ledger.DamageError{File: e.Path, Offset: -1, Reason: "not what was sealed: its SHA-256 is not the one in the manifest"})
		}
	}
}

// strays finds what interrupted writes leave behind.
func (h *Health) strays(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir || !strings.HasPrefix(d.Name(), ".") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		h.Troubles = append(h.Troubles, Trouble{File: filepath.ToSlash(name), Offset: -1, Detail: "no part of a case", Repair: repairStray, Repairable: true})
		if d.IsDir() {
			return fs.SkipDir
		}
		return err
	})
}

// enter takes note of a trouble once.
func (h *Health) enter(err error) {
	t := Trouble{Offset: -1, Detail: err.Error(), Repair: repairCopy}
	var (
		damage *ledger.DamageError
		torn   *ledger.TornError
		bad    *integrity.Problem
		path   *os.PathError
	)
	switch {
	case errors.As(err, &torn):
		t.File, t.Offset, t.Repair, t.Repairable = "ledger.jsonl", torn.Offset, repairTorn, true
		t.Detail = fmt.Sprintf("line %d has no end", torn.Line)
	case errors.As(err, &damage):
		t.File, t.Offset, t.Detail = damage.File, damage.Offset, damage.Reason
		if damage.Line > 0 {
			t.Detail = fmt.Sprintf("line %d: %s", damage.Line, damage.Reason)
		}
	case errors.As(err, &bad):
		t.File, t.Offset, t.Detail = bad.File, bad.Offset, bad.Detail
		if bad.Code == integrity.CodeUnlisted || bad.Code == integrity.CodeForeign {
			t.Repair, t.Repairable = "the seal does not know the file: move it out of the case", true
		}
	case errors.Is(err, ledger.ErrOrder):
		t.File = "ledger.jsonl"
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &path):
		t.File, t.Detail = filepath.ToSlash(path.Path), "the file is missing"
	}
	for _, x := range h.Troubles {
		if x.File == t.File && x.Offset == t.Offset {
			return
		}
	}
	h.Troubles = append(h.Troubles, t)
}
