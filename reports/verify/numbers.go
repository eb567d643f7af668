package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

const checkNumbers = "report matches data"

// numbers computes findings and report again from the raw replies and compares
// every leaf with the sealed ones.
func (v *verifier) numbers(ctx context.Context) error {
	s := v.sealed
	findingsFile := "analysis/" + s.Predicate.Analysis + "/findings.json"
	reportFile := s.Folder + "/report.json"
	findings, sum, err := reports.LoadFindings(v.pkg.FS, s.Predicate.Analysis)
	if err != nil {
		v.fail(integrity.ExitDiffers, CodeNumbers, checkNumbers, findingsFile, -1, "%v", err)
		return nil
	}
	sealedFindings, err := integrity.ReadFile(v.pkg.FS, findingsFile)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if v.hidden.page {
		v.coverage(findings)
		v.summary(findings)
		_, err := v.findings(ctx, findingsFile, sealedFindings, findings, s.Case.Plan().Program.Version)
		if err == nil && v.r.Exit == 0 {
			v.counted()
		}
		return err
	}
	sealedReport, err := integrity.ReadFile(v.pkg.FS, reportFile)
	if err != nil {
		v.fail(integrity.ExitIncomplete, string(integrity.CodeMissing), checkNumbers, reportFile, -1, "%v", err)
		return nil
	}
	report, err := model.Decode(sealedReport)
	if err != nil {
		exit := integrity.ExitDiffers
		if errors.Is(err, ledger.ErrNewerFormat) {
			exit = integrity.ExitIncomplete
		}
		v.fail(exit, CodeNumbers, checkNumbers, reportFile, -1, "%v", err)
		return nil
	}
	v.coverage(findings)
	v.summary(findings)

	basis, err := v.findings(ctx, findingsFile, sealedFindings, findings, report.Build.Version)
	if err != nil || basis == nil {
		return err
	}
	if v.partial() {
		basis = findings
	}
	rebuilt, err := model.Build(ctx, s.Case, basis, model.Options{
		Report: s.Predicate.Report, Analysis: s.Predicate.Analysis, FindingsSHA256: sum,
		Keys: v.shown(findings, report), Tokenizer: v.opt.Tokenizer, Program: report.Build, Lang: report.Lang,
	})
	if err != nil {
		return v.notComputed(ctx, reportFile, err)
	}
	encoded, err := model.Encode(rebuilt)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if !v.compare(reportFile, sealedReport, encoded, report.Build.Version, v.reportRule()) {
		return nil
	}
	v.counted()
	v.layout(report)
	return nil
}

// findings computes the findings again and compares them with the sealed ones; nil if
// they differ. by is the version of the program that wrote them.
func (v *verifier) findings(ctx context.Context, file string, data []byte, sealed *ledger.Findings, by string) (*ledger.Findings, error) {
	again, err := v.analyze(ctx, sealed)
	if err != nil {
		return nil, v.notComputed(ctx, file, err)
	}
	encoded, err := family.Encode(again)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	if !v.compare(file, data, encoded, by, v.findingsRule(sealed)) {
		return nil, nil
	}
	v.committed(again)
	v.exact(sealed)
	return again, nil
}

// counted words how many numbers were computed again.
func (v *verifier) counted() {
	n := v.r.Numbers
	if n.Withheld > 0 {
		v.line(LevelWarn, CodeNumbers, checkNumbers, "recomputed %s/%s numbers from raw replies; %s unverified (%s)",
			group(int64(n.Recomputed)), group(int64(n.Total)), group(int64(n.Withheld)), v.reason())
	} else {
		v.line(LevelOK, CodeNumbers, checkNumbers, "recomputed %s/%s numbers from raw replies", group(int64(n.Recomputed)), group(int64(n.Total)))
	}
}

// notComputed tells a cancelled context and a full disk from a case that cannot be
// computed: neither says anything of the case.
func (v *verifier) notComputed(ctx context.Context, file string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("verify: %w", ctx.Err())
	}
	if disk := (*watermark.SpillError)(nil); errors.As(err, &disk) {
		return fmt.Errorf("verify: %w", err)
	}
	v.fail(integrity.ExitDiffers, CodeNumbers, checkNumbers, file, -1, "cannot be computed again: %v", err)
	return nil
}

// maxDecoys keeps a hostile case from taking days: reports use 9,999.
const maxDecoys = 1_000_000

// analyze computes the findings as the sealed analysis did: over the events
// that it saw, with the number of decoys that it used.
func (v *verifier) analyze(ctx context.Context, sealed *ledger.Findings) (*ledger.Findings, error) {
	opt := family.Options{Tokenizer: v.opt.Tokenizer, Progress: func(p family.Progress) {
		if p.Index == 0 {
			v.opt.Progress("reading replies", int64(p.Done), int64(p.Of))
			return
		}
		const parts = 1000 // of a test, whatever it counts
		v.opt.Progress("recomputing", parts*int64(p.Index-1)+parts*int64(p.Done)/int64(max(1, p.Of)), parts*int64(p.Tests))
	}}
	if len(v.hidden.tests) > 0 {
		opt.Skip = func(t *ledger.Test) bool { return v.hidden.tests[t.ID] }
	}
	c := v.sealed.Case.Prefix(sealed.Events)
	for _, f := range sealed.Findings {
		if f.Verdict == ledger.VerdictUnverified || f.N == 0 {
			continue
		}
		if fam, _ := family.ByID(f.Family); fam.Tier == ledger.Comparative || fam.Lawful != "" && f.Decoys == nil {
			continue // scores no decoys, however many there are
		}
		n := 0
		if f.Decoys != nil {
			n = f.Decoys.N
		}
		if n > maxDecoys {
			return nil, fmt.Errorf("%d decoys are more than are computed", n)
		}
		if n != c.Plan().Decoys.N {
			opt.Decoys = &n
		}
		break
	}
	return family.Analyze(ctx, c, v.usable(), opt)
}

// usable are the keys at hand whose tokenizer is at hand, too.
func (v *verifier) usable() []*watermark.Key {
	var keys []*watermark.Key
	for _, k := range v.keys {
		if !slices.Contains(v.unread, k.ID) {
			keys = append(keys, k)
		}
	}
	return keys
}

// shown are the usable keys that the sealed report must show exhibits for: all of
// them, but for those that the case withholds, of which a report may show none.
func (v *verifier) shown(f *ledger.Findings, r *model.Report) []*watermark.Key {
	return slices.DeleteFunc(v.usable(), func(k *watermark.Key) bool {
		return slices.Contains(v.beside, k.ID) && !slices.ContainsFunc(f.Findings, func(x ledger.Finding) bool {
			return x.Key == k.ID && slices.ContainsFunc(r.Exhibits, func(e model.Exhibits) bool { return e.Test == x.Test })
		})
	})
}

// The reasons why a number is not computed again.
const (
	keyWithheld      = "key withheld"
	tokenizerMissing = "tokenizer not given"
	bytesWithheld    = "withheld as salted hashes"
)

func (v *verifier) reason() string {
	var reasons []string
	if len(v.missing) > len(v.unread) {
		reasons = append(reasons, keyWithheld)
	}
	if len(v.unread) > 0 {
		reasons = append(reasons, tokenizerMissing)
	}
	if v.hidden.any() {
		reasons = append(reasons, bytesWithheld)
	}
	return strings.Join(reasons, " or ")
}

// coverage demands that the analysis has seen every reply: leaving the last
// ones out would be a way to choose.
func (v *verifier) coverage(f *ledger.Findings) {
	for e, err := range v.sealed.Case.Events() {
		if err != nil || e.Seq < f.Events {
			continue
		}
		if e.Collects() {
			v.fail(integrity.ExitDiffers, CodeCoverage, "all replies analysed", "ledger.jsonl", -1,
				"event %d and what follows came after the analysis", e.Seq)
			return
		}
	}
}

// summary compares the statement's own words with the findings.
func (v *verifier) summary(f *ledger.Findings) {
	var verdicts []integrity.Verdict
	for _, x := range f.Findings {
		verdicts = append(verdicts, integrity.Verdict{Test: x.Test, Target: x.Target, Tier: x.Tier, Verdict: x.Verdict})
	}
	p := v.sealed.Predicate
	if !slices.Equal(verdicts, p.Verdicts) || p.Demo != v.sealed.Case.Plan().Demo || p.Signer != v.sealed.Signer.Name {
		v.fail(integrity.ExitDiffers, CodeSummary, "statement agrees", v.sealed.Folder+"/statement.intoto.json", -1,
			"its summary is not that of the findings")
	}
}

// findingsRule says which leaves of findings.json need a key that is withheld:
// all of the tests under that key, and, since they correct each other, the
// corrected values and verdicts of every test. So it is with the tests of what a
// redacted copy lacks, and what it counts.
func (v *verifier) findingsRule(f *ledger.Findings) func(pointer string) leafRule {
	if !v.partial() {
		return func(string) leafRule { return leafCompare }
	}
	withheld := map[string]bool{}
	for i, x := range f.Findings {
		if slices.Contains(v.missing, x.Key) || v.hidden.tests[x.Test] {
			withheld[fmt.Sprintf("/findings/%d", i)] = true
		}
	}
	for i, x := range f.Accounting {
		if v.hidden.targets[x.Target] {
			withheld[fmt.Sprintf("/accounting/%d", i)] = true
		}
	}
	return func(pointer string) leafRule {
		parts := strings.SplitN(pointer, "/", 5)
		if len(parts) >= 3 && withheld["/"+parts[1]+"/"+parts[2]] {
			return leafWithheld
		}
		if len(parts) < 4 || parts[1] != "findings" {
			if strings.HasPrefix(pointer, "/deviations") || under(pointer, "/ladder") {
				return leafWithheld
			}
			return leafCompare
		}
		switch {
		case parts[3] == "holm_log10_p", parts[3] == "verdict", parts[3] == "warnings", parts[3] == "not_shown":
			return leafWithheld
		}
		return leafCompare
	}
}

// keyed are the parts of report.json that are made from findings.
var keyed = []string{
	"/summary", "/tests", "/exploratory", "/plots", "/alternatives", "/method", "/limitations", "/preregistration/keys", "/preregistration/deviations", "/custody",
}

// reportRule says how the leaves of report.json are compared. With a key
// withheld, what is made from findings is held against the sealed findings,
// which proves nothing about the replies; the exhibits cannot be made at all.
func (v *verifier) reportRule() func(pointer string) leafRule {
	exempt := model.Exempt()
	return func(pointer string) leafRule {
		for prefix := range exempt {
			if under(pointer, prefix) {
				return leafExempt
			}
		}
		if !v.partial() {
			return leafCompare
		}
		if len(v.missing) > 0 && under(pointer, "/exhibits") || v.hiddenLeaf(pointer) {
			return leafWithheld
		}
		if strings.HasPrefix(pointer, "/accounting/") && (strings.Contains(pointer, "/bounds/") || len(v.hidden.targets) > 0) {
			return leafConsistent
		}
		for _, prefix := range keyed {
			if under(pointer, prefix) {
				return leafConsistent
			}
		}
		return leafCompare
	}
}

// under reports whether a JSON pointer is at or below another.
func under(pointer, prefix string) bool {
	return pointer == prefix || strings.HasPrefix(pointer, prefix+"/")
}

// exact keeps evidence of the exact tier from being TRUSTED on the word of an
// authority that nobody has looked at: whoever seals a case can be one.
func (v *verifier) exact(f *ledger.Findings) {
	if v.opt.TSARoots == nil && slices.ContainsFunc(f.Findings, func(x ledger.Finding) bool { return x.Tier == ledger.Exact }) {
		v.caps = append(v.caps, "timestamps not checked: no --tsa-root")
	}
}

// layout lays the sealed report out again, all of its files and VERIFY.md, and
// compares the bytes. Another version of the program may lay the same numbers out
// differently, and anybody can write another version into a report: what was not
// compared keeps the case from being TRUSTED.
func (v *verifier) layout(r *model.Report) {
	files, err := reports.Files(r)
	if err != nil {
		v.fail(integrity.ExitDiffers, CodeLayout, "layout", v.sealed.Folder+"/report.json", -1, "cannot be laid out: %v", err)
		return
	}
	differ, tables := []string{}, 0
	for _, f := range files {
		file := v.sealed.Folder + "/" + f.Name
		if r := v.sealed.Redaction; r != nil && slices.Contains(r.Files, file) {
			v.line(LevelWarn, CodeLayout, "layout", "%s is withheld", f.Name)
			v.caps = append(v.caps, f.Name+" withheld")
			continue
		}
		if !v.has(file) && !slices.Contains(alwaysThere, f.Name) {
			v.line(LevelNote, CodeLayout, "layout", "the report has no %s: an earlier version built it", f.Name)
			continue
		}
		switch same := v.laidOut(r, file, f.Name, &differ, f.Data); {
		case !same:
		case strings.HasPrefix(f.Name, "tables/"):
			tables++
		default:
			v.line(LevelOK, CodeLayout, "layout", "%s shows report.json and nothing else", f.Name)
		}
	}
	if tables > 0 {
		v.line(LevelOK, CodeLayout, "layout", "tables/ shows report.json and nothing else, %d files", tables)
	}
	var guides [][]byte // with and without timestamps
	for _, stamped := range []bool{true, false} {
		if guide, err := reports.Instructions(v.pkg.FS, r, v.sealed.Signer, stamped); err == nil {
			guides = append(guides, guide)
		}
	}
	if v.laidOut(r, "VERIFY.md", "VERIFY.md", &differ, guides...) {
		v.line(LevelOK, CodeLayout, "layout", "VERIFY.md holds the commands for this case and nothing else")
	}
	if len(differ) > 0 {
		v.caps = append(v.caps, fmt.Sprintf("%s not compared: written by %s", strings.Join(differ, ", "), v.writtenBy(r)))
	}
}

// alwaysThere are the files that every version laid out; others came later.
var alwaysThere = []string{"report.html", "findings.csv"}

// laidOut reports whether a file is one of what this version lays out; if it is not,
// the check fails, or where another version wrote it, its name is added to differ.
func (v *verifier) laidOut(r *model.Report, file, name string, differ *[]string, want ...[]byte) bool {
	sealed, err := integrity.ReadFile(v.pkg.FS, file)
	if err != nil {
		v.fail(integrity.ExitIncomplete, string(integrity.CodeMissing), "layout", file, -1, "%v", err)
		return false
	}
	at := 0 // the first byte that no rendering has
	for _, data := range want {
		if bytes.Equal(sealed, data) || name == paperName && v.paper(file, sealed, data) {
			return true
		}
		n := 0
		for n < min(len(sealed), len(data)) && sealed[n] == data[n] {
			n++
		}
		at = max(at, n)
	}
	if r.Build.Version == v.opt.Program.Version && r.Build.Arch == v.opt.Program.Arch {
		v.fail(integrity.ExitDiffers, CodeLayout, "layout", file, int64(at), "not what this version lays out from report.json")
		return false
	}
	v.line(LevelWarn, CodeLayout, "layout", "%s was written by %s and was not compared; rely on report.json", name, v.writtenBy(r))
	*differ = append(*differ, name)
	return false
}

// writtenBy names the version of the program that wrote a report, and where that is
// this one its architecture.
func (v *verifier) writtenBy(r *model.Report) string {
	by := "version " + r.Build.Version
	if r.Build.Version == v.opt.Program.Version {
		by += " on " + r.Build.Arch
	}
	return by
}

// paperName is the report as a PDF, which may bear a signature of its own.
const paperName = "report.pdf"

// paper compares a PDF with what the report lays out, and says who signed it.
func (v *verifier) paper(file string, sealed, want []byte) bool {
	cert, err := reports.CheckPDF(sealed, want)
	if err != nil {
		return false
	}
	if cert != nil {
		v.line(LevelNote, CodeDocument, "PDF signature", "%s is signed under a certificate for %q, issued by %q; who that is was not checked (pdfsig says more)",
			path.Base(file), cert.Subject.CommonName, cert.Issuer.CommonName)
	}
	return true
}

func (v *verifier) has(file string) bool {
	_, err := fs.Stat(v.pkg.FS, file)
	return err == nil
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
