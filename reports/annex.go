package reports

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stillmark/stillmark/reports/model"
)

// certificateName is the draft certificate as a text to copy into counsel's own form.
const certificateName = "certificate-draft.txt"

// check is a point of the reviewer's checklist and the section that answers it.
type check struct{ Label, Section string }

var checks = []check{
	{"check.verified", "howto"},
	{"check.signer", "howto"},
	{"check.others", "howto"},
	{"check.order", "prereg"},
	{"check.deviations", "prereg"},
	{"check.all", "tests"},
	{"check.repeats", "tests"},
	{"check.decoys", "method"},
	{"check.controls", "tests"},
	{"check.missing", "accounting"},
	{"check.retries", "accounting"},
	{"check.params", "acquisition"},
	{"check.drift", "acquisition"},
	{"check.exhibits", "exhibits"},
	{"check.keys", "custody"},
	{"check.open", "alternatives"},
	{"check.words", "summary"},
}

// form is the draft certificate under Rules 902(13) and 902(14) of the Federal Rules
// of Evidence: blanks, and what the case itself can fill in.
type form struct {
	Title, Draft string
	Points       []string
	Sign         string
	KnowTitle    string
	Know         []string
	Not          string
}

func (d *design) certificate(r *model.Report) form {
	f := form{
		Title: d.fill("cert.title"), Draft: d.fill("cert.draft"), Sign: d.fill("cert.sign"),
		KnowTitle: d.fill("cert.know"), Not: d.fill("know.not"),
	}
	first, last := r.Prereg.Sealed, r.Prereg.Sealed
	for _, s := range r.Custody.Data { // the last dated step of the data is the last reply
		if !s.Time.IsZero() {
			last = s.Time
		}
	}
	b := r.Prereg.Program
	fill := strings.NewReplacer("{case}", r.Seal.CaseID, "{program}", fmt.Sprintf("%s, %s, %s/%s", b.Version, b.Go, b.OS, b.Arch),
		"{first}", d.clock(first), "{last}", d.clock(last), "{plan}", r.Seal.PlanSHA256, "{head}", r.Seal.LedgerHead)
	for i := 1; d.labels[fmt.Sprintf("cert.%d", i)] != ""; i++ {
		f.Points = append(f.Points, fill.Replace(d.labels[fmt.Sprintf("cert.%d", i)]))
	}
	for i := 1; d.labels[fmt.Sprintf("know.%d", i)] != ""; i++ {
		f.Know = append(f.Know, d.labels[fmt.Sprintf("know.%d", i)])
	}
	return f
}

// Certificate is the draft certificate as plain text, in lines of at most 78
// characters.
func Certificate(r *model.Report) ([]byte, error) {
	d, err := designOf(r.Lang)
	if err != nil {
		return nil, fmt.Errorf("load the layout: %w", err)
	}
	f := d.certificate(r)
	var b strings.Builder
	write := func(first, rest, text string) {
		b.WriteString(wrap(first, rest, text, 78))
		b.WriteString("\n")
	}
	write("", "", f.Title)
	write("", "", f.Draft)
	for i, p := range f.Points {
		write(fmt.Sprintf("%2d. ", i+1), "    ", p)
	}
	write("", "", f.Sign)
	write("", "", f.KnowTitle)
	for _, k := range f.Know {
		write("  - ", "    ", k)
	}
	write("", "", f.Not)
	return []byte(b.String()), nil
}

// wrap breaks a text at blanks. A word that is longer than a line stands alone.
func wrap(first, rest, text string, width int) string {
	var b strings.Builder
	b.WriteString(first)
	at := utf8.RuneCountInString(first)
	start := true
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }) {
		n := utf8.RuneCountInString(word)
		switch {
		case start:
		case at+1+n > width:
			b.WriteString("\n" + rest)
			at = utf8.RuneCountInString(rest)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at, start = at+n, false
	}
	b.WriteByte('\n')
	return b.String()
}
