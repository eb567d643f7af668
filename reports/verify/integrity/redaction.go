package integrity

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// checkRedaction reads what a redacted copy lacks, if it is one. That it lacks
// this and nothing else is checked file by file, prompt by prompt and block by block.
func (s *Sealed) checkRedaction(fsys fs.FS) error {
	if _, err := fs.Stat(fsys, ledger.RedactionName); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	bad := func(file, format string, args ...any) error {
		return problem(CodeRedaction, ExitAltered, file, format, args...)
	}
	data, err := ReadFile(fsys, ledger.RedactionName)
	if err != nil {
		return err
	}
	r, err := ledger.ParseRedaction(data)
	if err != nil {
		return classify(err, CodeRedaction, ledger.RedactionName)
	}
	if !slices.IsSorted(r.Files) || len(slices.Compact(slices.Clone(r.Files))) != len(r.Files) {
		return bad(ledger.RedactionName, "its files are not in order")
	}
	notice, err := ReadFile(fsys, ledger.RedactionNotice)
	if err != nil {
		return err
	}
	if at := firstDifference(notice, r.Notice()); at >= 0 {
		p := problem(CodeRedaction, ExitAltered, ledger.RedactionNotice, "not what %s says", ledger.RedactionName)
		p.Offset = at
		return p
	}
	s.Redaction, s.redactionSHA256 = r, sum(data)
	return nil
}

// listed is the manifest without the files that a redacted copy lacks. Each must be
// one of the manifest.
func (s *Sealed) listed(manifest []byte) ([]byte, error) {
	if s.Redaction == nil {
		return manifest, nil
	}
	var rest []byte
	n := 0
	for line := range bytes.Lines(manifest) {
		_, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if _, withheld := slices.BinarySearch(s.Redaction.Files, name); withheld {
			n++
		} else {
			rest = append(rest, line...)
		}
	}
	if n != len(s.Redaction.Files) {
		return nil, problem(CodeRedaction, ExitAltered, ledger.RedactionName, "it lists a file that the manifest does not")
	}
	return rest, nil
}

// ofRedaction reports whether a file is one that a redacted copy has beside those of
// the whole case.
func (s *Sealed) ofRedaction(file string) bool {
	if s.Redaction == nil {
		return false
	}
	name, inside := strings.CutPrefix(file, ledger.RedactedDir+"/")
	if inside {
		_, inside = slices.BinarySearch(s.Redaction.Files, name)
	}
	return file == ledger.RedactionName || file == ledger.RedactionNotice || inside && !strings.HasPrefix(name, "reports/")
}

// checkCustody checks the chain of the custody log, that it goes on from where it was
// when the case was sealed, and that it says who made a redacted copy.
func (s *Sealed) checkCustody(fsys fs.FS) error {
	log, err := ledger.ReadCustody(fsys)
	if err != nil {
		return classify(err, CodeCustody, ledger.CustodyName)
	}
	s.Custody = log
	bad := func(format string, args ...any) error {
		return problem(CodeCustody, ExitAltered, ledger.CustodyName, format, args...)
	}
	head := s.Predicate.Custody
	if head != nil {
		if have := ledger.HeadOf(log, head.Entries); have == nil || *have != *head {
			return bad("not the log that was sealed, of %d entries, or its continuation", head.Entries)
		}
	} else if len(log) > 0 && s.Predicate.Format > 1 {
		return bad("the signed statement does not name it")
	}
	if s.Redaction != nil && !slices.ContainsFunc(log, func(e ledger.Custody) bool {
		return e.What == ledger.CustodyRedacted && e.SHA256 == s.redactionSHA256
	}) {
		return bad("it does not say who withheld what %s lists", ledger.RedactionName)
	}
	return nil
}
