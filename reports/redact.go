package reports

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// RedactOptions says what a redacted copy withholds. Items and parts multiply: of the
// items that a pattern names, or of all, these parts.
type RedactOptions struct {
	// Items are patterns of item ids, target/suite/prompt/sample, each element one of
	// path.Match. None means all items.
	Items   []string
	Prompts bool // what the items were asked: every request with the prompt, too
	Replies bool // the raw responses of all attempts
	Headers bool // the response headers of all attempts
	// Exhibits withholds the pages of all reports, since they print replies, and the
	// replies that they print. Without it nothing can be withheld that a page shows.
	Exhibits bool
	By, Why  string    // for the custody log
	Now      time.Time // zero: the system's
}

// Redacted says what a redacted copy lacks.
type Redacted struct {
	Path      string `json:"path"`
	Prompts   int    `json:"prompts"`
	Requests  int    `json:"requests"`
	Responses int    `json:"responses"`
	Headers   int    `json:"headers"`
	Pages     int    `json:"report_files"`
	ZipSHA256 string `json:"zip_sha256,omitempty"`
}

// Redact writes a redacted copy of a sealed case, a folder or a zip, to out, which must
// not exist: a zip where the name ends in .zip, a folder else. The case itself is left
// as it is, but for an entry in its custody log. The copy has the signatures of the whole case, and verifies: a salted hash
// stands for all that it lacks. It is refused where the copy would still show
// what is to be withheld, or where its hashes could be guessed.
func Redact(from, out string, opt RedactOptions) (*Redacted, error) {
	r, err := redact(from, out, opt)
	if err != nil {
		return nil, fmt.Errorf("redact: %w", err)
	}
	return r, nil
}

// openToCopy opens a sealed case of which a copy is to be made at out, which must not be
// there yet nor lie inside the case, and checks that it is as it was sealed. The caller
// closes the package.
func openToCopy(from, out string) (*integrity.Package, *integrity.Sealed, error) {
	if _, err := os.Lstat(out); err == nil {
		return nil, nil, usage(fmt.Errorf("%s exists already and was left alone", out))
	}
	p, err := integrity.Open(from)
	if err != nil {
		return nil, nil, err
	}
	var sealed *integrity.Sealed
	if !p.Zip {
		err = checkOutside(out, from)
	}
	if err == nil {
		if sealed, err = integrity.Check(p); err != nil {
			err = fmt.Errorf("nothing was written: %w", err)
		}
	}
	if err != nil {
		p.Close()
		return nil, nil, err
	}
	return p, sealed, nil
}

func redact(from, out string, opt RedactOptions) (*Redacted, error) {
	if !opt.Prompts && !opt.Replies && !opt.Headers && !opt.Exhibits {
		return nil, usage(errors.New("nothing is to be withheld: name prompts, replies, headers or exhibits"))
	}
	if opt.By == "" {
		return nil, usage(errors.New("the custody log says who withheld it: give a name"))
	}
	p, sealed, err := openToCopy(from, out)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	switch {
	case sealed.Redaction != nil:
		return nil, usage(errors.New("this is a redacted copy; withhold everything at once from the whole case"))
	case sealed.Case.Plan().Format != ledger.PlanSalted:
		return nil, usage(errors.New("an earlier version collected this case: its hashes have no salts, so that what is short could be guessed from them; nothing of it can be withheld"))
	case len(sealed.Case.Plan().Inside()) > 0 && (opt.Prompts || opt.Replies || opt.Headers):
		return nil, usage(errors.New("the case holds other sealed cases (a first run, or controls), whose prompts and replies the copy would show in full: only --exhibits can be withheld"))
	}
	w := &redactor{fsys: p.FS, c: sealed.Case, opt: opt, cut: map[int][]ledger.BlobRef{}, texts: map[string]string{}}
	w.r.CaseID = w.c.Plan().CaseID
	if err := w.choose(); err != nil {
		return nil, err
	}
	done, err := w.write(out)
	if err == nil && !p.Zip {
		if err = ledger.AppendCustody(from, w.entry); err != nil {
			err = fmt.Errorf("the copy was written, but the custody log of %s does not say so: %w", from, err)
		}
	}
	return done, err
}

// redactor makes one copy.
type redactor struct {
	fsys    fs.FS
	c       *ledger.Case
	opt     RedactOptions
	r       ledger.Redaction
	prompts map[string]bool          // suite/id
	cut     map[int][]ledger.BlobRef // by segment: what is withheld
	kept    map[int]int64            // by segment: where the last bytes end that stay
	texts   map[string]string        // what must not be found in the copy -> prompt
	entry   ledger.Custody           // of the custody logs
}

// choose finds out what is withheld.
func (w *redactor) choose() error {
	shown, err := w.exhibits()
	if err != nil {
		return err
	}
	matched := 0
	match := func(item string) (bool, error) {
		for _, pattern := range w.opt.Items {
			if ok, err := path.Match(pattern, item); ok || err != nil {
				return ok, err
			}
		}
		return len(w.opt.Items) == 0, nil
	}
	w.prompts = map[string]bool{}
	plan := w.c.Plan()
	for it := range plan.Order() {
		ok, err := match(it.ID)
		if err != nil {
			return usage(fmt.Errorf("item pattern: %w", err))
		}
		if !ok {
			continue
		}
		matched++
		if w.opt.Prompts {
			w.prompts[it.Prompt.Suite+"/"+it.Prompt.ID] = true
		}
	}
	if matched == 0 {
		return usage(fmt.Errorf("no item of the case is named by %s (an item is target/suite/prompt/sample)", strings.Join(w.opt.Items, ", ")))
	}
	for i := range plan.Prompts {
		if q := &plan.Prompts[i]; w.prompts[q.Suite+"/"+q.ID] {
			w.r.Prompts = append(w.r.Prompts, q.Suite+"/"+q.ID)
			for _, text := range []string{q.Text, q.System} {
				if text != "" {
					w.texts[text] = q.Suite + "/" + q.ID
				}
			}
		}
	}
	w.kept = map[int]int64{}
	for line, err := range w.c.Lines() {
		if err != nil {
			return err
		}
		if err := w.event(line.Event, match, shown); err != nil {
			return err
		}
	}
	return w.files()
}

// exhibits lists the items that the reports print.
func (w *redactor) exhibits() (map[string]string, error) {
	shown := map[string]string{} // item -> report
	var pages []string
	for _, pattern := range []string{"reports/*/report.*", "reports/*/tables/*"} {
		found, err := fs.Glob(w.fsys, pattern)
		if err != nil {
			return nil, err
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		if !ledger.Withholdable(page) {
			continue
		}
		if w.opt.Exhibits {
			w.r.Files = append(w.r.Files, page)
		}
		if path.Base(page) != reportJSON {
			continue
		}
		data, err := fs.ReadFile(w.fsys, page)
		if err != nil {
			return nil, err
		}
		report, err := model.Decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", page, err)
		}
		for _, e := range report.Exhibits {
			for _, g := range e.Groups {
				for _, x := range g.Exhibits {
					shown[x.Item] = path.Base(path.Dir(page))
				}
			}
		}
	}
	return shown, nil
}

// event decides about the bytes that an event refers to.
func (w *redactor) event(e ledger.Event, match func(string) (bool, error), shown map[string]string) error {
	it, known := w.c.Item(e.Item)
	if !known {
		refs, err := ledger.RefsOf(&e)
		for _, ref := range refs {
			w.keep(ref)
		}
		return err
	}
	refs, err := ledger.RefsOf(&e)
	if err != nil {
		return err
	}
	chosen, _ := match(it.Of()) // the patterns were tried
	prompt := w.prompts[it.Prompt.Suite+"/"+it.Prompt.ID]
	report, exhibited := shown[it.Of()]
	if !w.opt.Exhibits && exhibited && (prompt || chosen && w.opt.Replies) {
		return usage(fmt.Errorf("%s is an exhibit of report %s, which would still show it; withhold the exhibits, too", it.Of(), report))
	}
	reply := chosen && w.opt.Replies || exhibited && w.opt.Exhibits
	for part, ref := range refs {
		list := &w.r.Requests
		hide := prompt || it.Label > 0 && reply // the judge was shown both
		switch part {
		case ledger.PartResponse:
			list, hide = &w.r.Responses, reply
		case ledger.PartHeaders:
			list, hide = &w.r.Headers, chosen && w.opt.Headers
		}
		if !hide {
			w.keep(ref)
			continue
		}
		*list = append(*list, e.Seq)
		w.cut[ref.Segment] = append(w.cut[ref.Segment], ref)
	}
	return nil
}

func (w *redactor) keep(ref ledger.BlobRef) {
	w.kept[ref.Segment] = max(w.kept[ref.Segment], ref.Offset+ref.Length)
}

// files lists the files of the manifest that the copy lacks: bytes that no event refers
// to may be those of what is withheld, and go wherever something goes.
func (w *redactor) files() error {
	if len(w.r.Prompts) > 0 {
		w.r.Files = append(w.r.Files, ledger.PromptsName)
	}
	segments, err := fs.Glob(w.fsys, "blobs/*")
	if err != nil {
		return err
	}
	if len(w.cut) > 0 {
		w.r.Files = append(w.r.Files, segments...)
	}
	slices.Sort(w.r.Files)
	if w.r.Items() == 0 && len(w.r.Files) == 0 {
		return usage(errors.New("the case holds nothing of what is to be withheld"))
	}
	return nil
}

// write makes the copy beside its place and moves it there when it is whole.
func (w *redactor) write(out string) (*Redacted, error) {
	parent, err := os.MkdirTemp(filepath.Dir(out), ".redact-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, w.c.Plan().CaseID)
	err = fs.WalkDir(w.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains(w.r.Files, name) {
			return err
		}
		return copyFile(w.fsys, name, filepath.Join(dir, filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, err
	}
	for _, name := range w.r.Files {
		if err := w.replace(name, filepath.Join(dir, ledger.RedactedDir, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	list, err := ledger.EncodeRedaction(&w.r)
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{ledger.RedactionName: list, ledger.RedactionNotice: w.r.Notice()} {
		if err := ledger.WriteNewFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	if w.opt.Now.IsZero() {
		w.opt.Now = time.Now()
	}
	w.entry = ledger.Custody{
		Time: w.opt.Now, What: ledger.CustodyRedacted, Who: w.opt.By, Why: w.opt.Why, SHA256: hexSum(list),
		Detail: fmt.Sprintf("%d prompts, %d requests, %d responses, %d headers, %d report files withheld",
			len(w.r.Prompts), len(w.r.Requests), len(w.r.Responses), len(w.r.Headers), w.pages()),
	}
	if err := ledger.AppendCustody(dir, w.entry); err != nil {
		return nil, err
	}
	if err := w.leaks(dir); err != nil {
		return nil, err
	}
	done := &Redacted{
		Path: out, Prompts: len(w.r.Prompts), Requests: len(w.r.Requests), Responses: len(w.r.Responses), Headers: len(w.r.Headers), Pages: w.pages(),
	}
	if p, err := integrity.Open(dir); err != nil {
		return nil, err
	} else if _, err := integrity.Check(p); err != nil {
		return nil, fmt.Errorf("the copy does not verify, and was not kept: %w", err)
	}
	if strings.HasSuffix(out, ".zip") {
		done.ZipSHA256, err = writeZip(out, dir, w.c.Plan().CaseID)
		return done, err
	}
	return done, ledger.MoveFolder(dir, out)
}

func (w *redactor) pages() int {
	n := 0
	for _, name := range w.r.Files {
		if strings.HasPrefix(name, "reports/") {
			n++
		}
	}
	return n
}

// replace writes what is left of a file, if anything is.
func (w *redactor) replace(name, to string) error {
	switch {
	case name == ledger.PromptsName:
		redacted, err := ledger.EncodePrompts(w.withheldPlan())
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		return ledger.WriteNewFile(to, redacted, 0o600)
	case strings.HasPrefix(name, "reports/"):
		return nil
	}
	n := 0
	if _, err := fmt.Sscanf(path.Base(name), "segment-%06d.bin", &n); err != nil {
		return err
	}
	if w.kept[n] == 0 {
		return nil
	}
	return w.segment(n, to)
}

// withheldPlan is the plan without what its withheld prompts say.
func (w *redactor) withheldPlan() *ledger.Plan {
	p := *w.c.Plan()
	p.Prompts = slices.Clone(p.Prompts)
	for i := range p.Prompts {
		if q := &p.Prompts[i]; w.prompts[q.Suite+"/"+q.ID] {
			q.Salt, q.System, q.Text, q.Reading = "", "", "", nil
		}
	}
	return &p
}

// segment copies the bytes of a segment that events refer to and that stay. Between
// them are zeros.
func (w *redactor) segment(n int, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	gone := map[int64]bool{}
	for _, ref := range w.cut[n] {
		gone[ref.Offset] = true
	}
	if err := f.Truncate(w.kept[n]); err != nil {
		return err
	}
	for line, err := range w.c.Lines() {
		if err != nil {
			return err
		}
		refs, err := ledger.RefsOf(&line.Event)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if ref.Segment != n || gone[ref.Offset] {
				continue
			}
			stored, err := w.c.Stored(ref)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt(stored, ref.Offset); err != nil {
				return err
			}
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// copyFile copies a file of a case.
func copyFile(from fs.FS, name, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, in); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
