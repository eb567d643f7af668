package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

// Options are the reader's own: what the case says of itself is not enough.
type Options struct {
	Trust []ledger.PublicKey // signers that the reader trusts
	Keys  []*watermark.Key   // keys given beside the case, where it withholds them
	// Tokenizer opens the tokenizers of the keys; nil means the built-in ones.
	// Numbers that need one that it does not open stay unverified.
	Tokenizer family.OpenTokenizer
	TSARoots  *x509.CertPool // nil: timestamps are checked, their authority is not
	Program   ledger.Build   // this program: a page that it wrote must be what it writes again
	Progress  func(stage string, done, total int64)
}

// State is what a case comes to.
type State string

// The states.
const (
	Invalid State = "INVALID"
	Valid   State = "VALID"
	Trusted State = "TRUSTED"
)

// The levels of a line.
const (
	LevelOK   = "ok"
	LevelWarn = "warn"
	LevelNote = "note"
	LevelFail = "FAIL"
)

// The codes of the checks. They are stable; the codes of failures are these or
// the ones of package integrity.
const (
	CodePackage    = "package"
	CodeArchive    = "archive"
	CodeLedger     = "ledger"
	CodePlanTime   = "plan_time"
	CodeCommitment = "commitment"
	CodeSignature  = "signature"
	CodeSigner     = "signer"
	CodeWitness    = "witness"
	CodeControls   = "control_case"
	CodeEarlier    = "first_run"
	CodeSealTime   = "seal_time"
	CodeKeys       = "keys"
	CodeNumbers    = "numbers"
	CodeSummary    = "statement_summary"
	CodeLayout     = "layout"
	CodeCoverage   = "coverage"
	CodeLog        = "transparency_log"
	CodeDemo       = "demo"
	CodeRehearsal  = "rehearsal"
	CodeOthers     = "other_reports"
	CodeDocument   = "pdf_signature"
	CodeJudge      = "judge_requests"
)

// Line is one line of the checklist.
type Line struct {
	Level  string `json:"level"`
	Code   string `json:"code"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
	File   string `json:"file,omitempty"`
	Offset *int64 `json:"offset,omitempty"` // first failing byte, where it is known
}

// Result is the outcome of a verification.
type Result struct {
	State   State     `json:"state"`
	Exit    int       `json:"exit"` // 0, or 30 to 35
	Case    string    `json:"case_id,omitempty"`
	Signer  string    `json:"signer,omitempty"` // as the reader's own list names it; else as it names itself
	KeyID   string    `json:"key_id,omitempty"`
	Since   time.Time `json:"unaltered_since,omitzero"`
	Stamped bool      `json:"since_is_timestamped"` // by an authority that the reader trusts
	Lines   []Line    `json:"checks"`
	Numbers Numbers   `json:"numbers"`
	Verdict string    `json:"verdict"`
	// NotProven says what no verification of files can show.
	NotProven string `json:"not_proven"`
}

// Numbers counts the numeric leaves of findings.json and report.json.
type Numbers struct {
	Total      int `json:"total"`
	Recomputed int `json:"recomputed"`
	Withheld   int `json:"withheld"` // need a key that was not given
	Exempt     int `json:"exempt"`   // listed in the report's schema with a reason
}

const notProven = "that the replies came from the named company, or that the conclusions are right."

// Verify checks the case in a folder or a zip. The error is about reading path
// or about the context; whatever is wrong with the case is in the result.
//
// The checks go from the outside in, and a case that is not what was sealed is
// not computed with. The exit code is that of the first failure.
func Verify(ctx context.Context, path string, opt Options) (*Result, error) {
	v := newVerifier(opt)
	p, err := integrity.Open(path)
	if err != nil {
		return v.refuse(err)
	}
	defer p.Close()
	return v.run(ctx, p)
}

func newVerifier(opt Options) *verifier {
	if opt.Progress == nil {
		opt.Progress = func(string, int64, int64) {}
	}
	return &verifier{opt: opt, r: &Result{NotProven: notProven, Lines: []Line{}}}
}

// run checks an opened package.
func (v *verifier) run(ctx context.Context, p *integrity.Package) (*Result, error) {
	v.pkg = p
	v.opt.Progress("hashes", 0, int64(p.Files))
	var err error
	if v.sealed, err = integrity.Check(p); err != nil {
		return v.refuse(err)
	}
	v.opt.Progress("hashes", int64(p.Files), int64(p.Files))
	v.integrity()
	v.signer()
	v.witnesses()
	v.custody()
	if err := v.redaction(); err != nil {
		return nil, err
	}
	v.controls()
	if err := v.times(); err != nil {
		return nil, err
	}
	if err := v.earlier(); err != nil {
		return nil, err
	}
	if err := v.others(); err != nil {
		return nil, err
	}
	v.judge()
	if v.r.Exit != 0 {
		v.line(LevelNote, CodeNumbers, checkNumbers, "not computed: the case has failed before")
	} else if err := v.numbers(ctx); err != nil {
		return nil, err
	}
	v.line(LevelNote, CodeLog, "transparency log", "none: the case holds no entry of a public log")
	if v.sealed.Case.Plan().Demo {
		v.line(LevelNote, CodeDemo, "demonstration", "toy models and a demonstration authority: no finding about any product")
	}
	if v.sealed.Case.Plan().Rehearsal {
		v.line(LevelNote, CodeRehearsal, "rehearsal", "the set of suites (%s) is never to be used for a verdict: no finding has one", v.sealed.Case.Plan().Set)
	}
	v.conclude()
	return v.r, nil
}

// verifier is a verification under way.
type verifier struct {
	opt       Options
	r         *Result
	pkg       *integrity.Package
	sealed    *integrity.Sealed
	keys      []*watermark.Key // at hand
	beside    []string         // ids of keys at hand that the case withholds
	hidden    redacted         // of a redacted copy
	missing   []string         // ids of keys that nothing can be computed with: withheld, unread
	unread    []string         // ids of keys at hand whose tokenizer is not
	proof     bool             // of one item: no numbers are computed
	trusted   bool             // the signer is on the reader's list
	unchecked []string         // folders and files of the case that nothing is computed from
	stamped   map[string]bool  // who stamped the commitments, in words
	caps      []string         // why the state is VALID at most
}

func (v *verifier) line(level, code, check, format string, args ...any) {
	v.r.Lines = append(v.r.Lines, Line{Level: level, Code: code, Check: check, Detail: fmt.Sprintf(format, args...)})
}

// fail adds a failure. The first one decides the exit code.
func (v *verifier) fail(exit int, code, check, file string, offset int64, format string, args ...any) {
	l := Line{Level: LevelFail, Code: code, Check: check, Detail: fmt.Sprintf(format, args...), File: file}
	if offset >= 0 {
		l.Offset = &offset
	}
	v.r.Lines = append(v.r.Lines, l)
	if v.r.Exit == 0 {
		v.r.Exit = exit
	}
}

// refuse ends a verification whose integrity does not hold.
func (v *verifier) refuse(err error) (*Result, error) {
	var p *integrity.Problem
	if !errors.As(err, &p) {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v.fail(p.Exit, string(p.Code), checkOf(p.Code), p.File, p.Offset, "%s", p.Detail)
	v.line(LevelNote, CodeNumbers, checkNumbers, "not computed: the files are not what was sealed")
	v.conclude()
	return v.r, nil
}

// checkOf names the check that an integrity problem is about.
func checkOf(code integrity.Code) string {
	switch code {
	case integrity.CodeSignature, integrity.CodePlanSigned:
		return "signature"
	case integrity.CodeChain, integrity.CodeMerkle, integrity.CodeBlob, integrity.CodeCheckpoint:
		return "ledger unbroken"
	case integrity.CodeStatement, integrity.CodePlan:
		return "statement agrees"
	case integrity.CodeCustody:
		return "custody log"
	case integrity.CodeUnsealed, integrity.CodeNewer, integrity.CodeMissing:
		return "package complete"
	}
	return "package unaltered"
}

// integrity words what package integrity has found good.
func (v *verifier) integrity() {
	s := v.sealed
	v.r.Case, v.r.KeyID, v.r.Signer = s.Predicate.CaseID, s.Signer.KeyID, s.Signer.Name
	v.line(LevelOK, CodePackage, "package complete", "%s, %s", plural(int64(v.pkg.Files), "file"), size(v.pkg.Bytes))
	v.archive()
	v.line(LevelOK, CodeLedger, "ledger unbroken", "%s, %s of raw bytes, %s, 0 gaps",
		plural(int64(s.Ledger.Events), "event"), plural(int64(s.Blobs), "block"), plural(int64(s.Resumes), "resumption"))
}

func (v *verifier) signer() {
	s := v.sealed
	v.line(LevelOK, CodeSignature, "signature", "Ed25519 over %s and the manifest, key %.16s…", plural(int64(s.Subjects-1), "file"), s.Signer.KeyID)
	v.known(s.Signer)
}

// known says whether a signer is on the reader's list.
func (v *verifier) known(signer ledger.PublicKey) {
	for _, k := range v.opt.Trust {
		if k.KeyID == signer.KeyID && k.Key.Equal(signer.Key) {
			v.trusted = true
			v.r.Signer = k.Name
			v.line(LevelOK, CodeSigner, "signer trusted", "%q", k.Name)
			return
		}
	}
	why := "not among the keys that you trust"
	if len(v.opt.Trust) == 0 {
		why = "no trusted keys were given (--trust)"
	}
	v.line(LevelWarn, CodeSigner, "signer unknown", "%s; it calls itself %q", why, signer.Name)
}

// witnesses words the co-signatures. None of them makes the signer a trusted one.
func (v *verifier) witnesses() {
	for _, w := range v.sealed.Witnesses {
		level, who := LevelNote, "NOT among the keys that you trust, and anybody can add a signature"
		for _, k := range v.opt.Trust {
			if k.KeyID == w.KeyID && k.Key.Equal(w.Key) {
				level, who = LevelOK, fmt.Sprintf("trusted, %q", k.Name)
			}
		}
		v.line(level, CodeWitness, "witness", "key %.16s… signed the same statement: %s", w.KeyID, who)
	}
}

// controls words the sealed cases inside this one.
func (v *verifier) controls() {
	for _, c := range v.sealed.Controls {
		level, who := LevelWarn, "not among the keys that you trust, but within this seal"
		for _, k := range append(v.opt.Trust, v.sealed.Signer) {
			if k.KeyID == c.Signer.KeyID && k.Key.Equal(c.Signer.Key) {
				level, who = LevelOK, "the key that sealed this case"
				if !k.Key.Equal(v.sealed.Signer.Key) {
					who = "trusted"
				}
			}
		}
		v.line(level, CodeControls, "control case", "%s is whole and unaltered: %s, sealed by %q (key %.16s…), %s",
			c.Predicate.CaseID, plural(int64(c.Ledger.Events), "event"), c.Signer.Name, c.Signer.KeyID, who)
	}
}

// earlier checks the order of times in the first run, which lies in this case: its
// plan and its commitments came first there, too. Its numbers are part of this
// case's, and computed with them.
func (v *verifier) earlier() error {
	first := v.sealed.Earlier
	if first == nil {
		return nil
	}
	dir := ledger.EarlierPath(first.Predicate.CaseID)
	fsys, err := fs.Sub(v.pkg.FS, dir)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	level, who := LevelWarn, "by another key than this case"
	if first.Signer.KeyID == v.sealed.Signer.KeyID {
		level, who = LevelOK, "by the key that sealed this case"
	}
	v.line(level, CodeEarlier, "first run", "%s is whole and unaltered: %s, sealed %s", first.Predicate.CaseID, plural(int64(first.Ledger.Events), "event"), who)
	sub := newVerifier(v.opt)
	sub.pkg, sub.sealed = &integrity.Package{FS: fsys}, first
	if err := sub.times(); err != nil {
		return err
	}
	for _, l := range sub.r.Lines {
		if l.Level == LevelOK || l.Level == LevelNote {
			continue
		}
		l.Check = "first run: " + l.Check
		if l.File != "" {
			l.File = path.Join(dir, l.File)
		}
		v.r.Lines = append(v.r.Lines, l)
	}
	if v.r.Exit == 0 {
		v.r.Exit = sub.r.Exit
	}
	return nil
}

// others names the report that is checked, and what lies beside it unchecked: it
// is signed, but nobody has computed it again.
func (v *verifier) others() error {
	for _, pattern := range []string{"analysis/*", "reports/*", "ledger.torn-*", "blobs/*"} {
		found, err := fs.Glob(v.pkg.FS, pattern)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		for _, name := range found {
			if !v.sealed.Segments[name] && name != v.sealed.Folder && name != "analysis/"+v.sealed.Predicate.Analysis {
				v.unchecked = append(v.unchecked, name)
			}
		}
	}
	const check = "report checked"
	checked := fmt.Sprintf("%s, of analysis/%s", v.sealed.Folder, v.sealed.Predicate.Analysis)
	if len(v.unchecked) == 0 {
		v.line(LevelOK, CodeOthers, check, "%s; the case holds no other", checked)
	} else {
		v.line(LevelWarn, CodeOthers, check, "%s; NOT CHECKED: %s", checked, strings.Join(v.unchecked, ", "))
	}
	return nil
}

// conclude gives the state, the exit code and the verdict.
func (v *verifier) conclude() {
	r := v.r
	since := ""
	if !r.Since.IsZero() {
		since = " since " + r.Since.UTC().Format(time.RFC3339)
		if !r.Stamped {
			since += " (the signer's own claim)"
		}
	}
	also := ""
	if len(v.caps) > 0 {
		also = " Also: " + strings.Join(v.caps, "; ") + "."
	}
	computed := ", recomputed"
	if v.proof {
		computed = ""
	}
	switch {
	case r.Exit != 0:
		r.State = Invalid
		for _, l := range r.Lines {
			if l.Level == LevelFail {
				r.Verdict = "INVALID: " + l.place() + l.Detail
				break
			}
		}
	case v.partial():
		r.State, r.Exit = Valid, integrity.ExitUntrusted
		r.Verdict = fmt.Sprintf("VALID, not TRUSTED: unaltered%s, but %s, so %s of %s are unverified.%s",
			since, v.lacking(), group(int64(r.Numbers.Withheld)), plural(int64(r.Numbers.Total), "number"), also)
	case !v.trusted:
		r.State, r.Exit = Valid, integrity.ExitUntrusted
		r.Verdict = "VALID (unknown signer): unaltered" + since + computed + ", signed by a key that you did not name as trusted." + also
	case len(v.caps) > 0:
		r.State, r.Exit = Valid, integrity.ExitUntrusted
		r.Verdict = "VALID (" + strings.Join(v.caps, "; ") + "): unaltered" + since + computed + ", signed by a key that you trust."
	default:
		r.State = Trusted
		r.Verdict = "TRUSTED: unaltered" + since + "."
	}
	if r.State != Invalid && len(v.unchecked) > 0 {
		r.Verdict += " Checked is " + v.sealed.Folder + ", and no other report."
	}
}

// lacking says what could not be computed with, in a half-sentence.
func (v *verifier) lacking() string {
	var parts []string
	if n := len(v.missing) - len(v.unread); n > 0 {
		parts = append(parts, verbal(n, "key is", "keys are")+" withheld")
	}
	if v.hidden.any() {
		parts = append(parts, v.hiddenWords())
	}
	if n := len(v.unread); n > 0 {
		parts = append(parts, fmt.Sprintf("the tokenizer of %s was not given", plural(int64(n), "key")))
	}
	return strings.Join(parts, " and ")
}
