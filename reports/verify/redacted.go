package verify

import (
	"fmt"
	"path"
	"slices"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// redacted is what cannot be computed with in a redacted copy of a case.
type redacted struct {
	tests    map[string]bool // ids of tests that read something that is withheld
	targets  map[string]bool // whose replies are withheld, in part
	requests bool
	page     bool // the sealed report is not there
}

// any reports whether some number cannot be computed again.
func (h *redacted) any() bool { return len(h.tests)+len(h.targets) > 0 || h.requests || h.page }

// partial reports whether something is missing that numbers are computed with: the
// sealed findings then stand in for what cannot be computed, so that at least the
// report can be held against them.
func (v *verifier) partial() bool { return len(v.missing) > 0 || v.hidden.any() }

// redaction words what is withheld, and finds out what it takes away.
func (v *verifier) redaction() error {
	r := v.sealed.Redaction
	v.hidden = redacted{tests: map[string]bool{}, targets: map[string]bool{}}
	if r == nil {
		return nil
	}
	v.hidden.requests = len(r.Requests) > 0
	v.hidden.page = slices.Contains(r.Files, v.sealed.Folder+"/report.json")
	plan := v.sealed.Case.Plan()
	for i := range plan.Prompts {
		if q := &plan.Prompts[i]; q.Withheld() {
			for j := range plan.Tests {
				t := &plan.Tests[j]
				v.hide(t, t.Reads(q) && (t.Family != family.Radioactivity || q.Asks(t.Target)))
			}
		}
	}
	for e, err := range v.sealed.Case.Events() {
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		_, response := slices.BinarySearch(r.Responses, e.Seq)
		_, headers := slices.BinarySearch(r.Headers, e.Seq)
		it, known := v.sealed.Case.Item(e.Item)
		if !known || !response && !headers {
			continue
		}
		if e.Type == ledger.EventLabel && response {
			for j := range plan.Tests {
				t := &plan.Tests[j]
				by, err := family.ByJudge(t)
				if err != nil {
					return fmt.Errorf("verify: %w", err)
				}
				v.hide(t, by && t.Reads(it.Prompt))
			}
		}
		if e.Type != ledger.EventReply {
			continue
		}
		if response {
			v.hidden.targets[it.Target.Name] = true
		}
		for j := range plan.Tests {
			t := &plan.Tests[j]
			reads := t.Reads(it.Prompt) && (t.Family != family.Radioactivity || t.Target == it.Target.Name)
			v.hide(t, reads && (response || t.Family == family.Wrapper))
		}
	}
	v.line(LevelNote, CodeRedaction, "redacted copy", "withheld as salted hashes: %s, the bytes of %s and %s, the headers of %s; everything else is there",
		plural(int64(len(r.Prompts)), "prompt"), plural(int64(len(r.Requests)), "request"), plural(int64(len(r.Responses)), "response"), plural(int64(len(r.Headers)), "response"))
	if v.hidden.page {
		v.withoutPage()
	}
	return nil
}

// withoutPage is for a copy without report.json, from which all other files of the report
// are laid out: a page must not stand alone, and nothing vouches for the tables.
func (v *verifier) withoutPage() {
	for _, name := range []string{"report.html", "report.pdf", "tables/exhibits.csv"} {
		if file := path.Join(v.sealed.Folder, name); v.has(file) {
			v.fail(integrity.ExitAltered, CodeRedaction, "redacted copy", file, -1, "it shows what report.json says, which is withheld: it must be withheld, too")
		}
	}
	v.line(LevelWarn, CodeRedaction, "redacted copy", "the report is withheld; findings.json holds its results")
	v.line(LevelWarn, CodeLayout, "layout", "NOT CHECKED, since the report that it is laid out from is withheld: findings.csv, tables/, certificate-draft.txt, VERIFY.md")
}

func (v *verifier) hide(t *ledger.Test, yes bool) {
	if yes {
		v.hidden.tests[t.ID] = true
	}
}

// custody words the custody log.
func (v *verifier) custody() {
	log := v.sealed.Custody
	if len(log) == 0 {
		v.line(LevelNote, CodeCustody, "custody log", "none: an earlier version sealed the case")
		return
	}
	last := log[len(log)-1]
	after := ""
	if head := v.sealed.Predicate.Custody; head != nil {
		after = fmt.Sprintf(", %d of them sealed", head.Entries)
	}
	v.line(LevelNote, CodeCustody, "custody log", "%s, chain unbroken%s; the last one: %s by %q. Later entries are the words of whoever wrote them",
		verbal(len(log), "entry", "entries"), after, last.What, last.Who)
}

// hiddenWords says in a half-sentence what is not there to compute with.
func (v *verifier) hiddenWords() string {
	words := verbal(v.sealed.Redaction.Items(), "item is", "items are") + " withheld as salted hashes"
	if v.hidden.page {
		words += ", the report is withheld"
	}
	return words
}

// hiddenLeaf says whether a leaf of report.json needs what is withheld.
func (v *verifier) hiddenLeaf(pointer string) bool {
	if v.hidden.requests && (under(pointer, "/acquisition/params_as_sent") || under(pointer, "/alternatives")) {
		return true
	}
	return len(v.hidden.targets)+len(v.hidden.tests) > 0 && (under(pointer, "/exhibits") || under(pointer, "/alternatives"))
}

// CodeRedaction and CodeCustody are the codes of the lines above and of what fails there.
const (
	CodeRedaction = string(integrity.CodeRedaction)
	CodeCustody   = string(integrity.CodeCustody)
)
