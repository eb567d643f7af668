package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

// clockSkew is how far the clocks of a signer and an authority may disagree
// before an order of times is called wrong. A token is made after what it is
// over; minutes cover a computer without time service, and no fraud needs as
// little.
const clockSkew = 5 * time.Minute

// archive says whether a zip is the very one that sealing writes of its files.
func (v *verifier) archive() {
	if v.pkg.Bag {
		v.line(LevelOK, CodeArchive, "bag", "every file is as the manifests of the bag list it (BagIt, RFC 8493)")
		if v.pkg.Zip {
			v.line(LevelNote, CodeArchive, "archive", "the zip of a bag is not compared: it may hold bytes beside its files")
		}
		return
	}
	if !v.pkg.Zip {
		return
	}
	same, err := v.pkg.SameArchive(func(fsys fs.FS, folder string) (string, error) { return reports.ZipSHA256(fsys, folder) })
	switch {
	case err != nil:
		v.line(LevelWarn, CodeArchive, "archive", "could not be compared: %v", err)
	case !same:
		v.line(LevelWarn, CodeArchive, "archive", "packed again since it was sealed, or holds bytes beside its files; only its files were checked")
	default:
		v.line(LevelOK, CodeArchive, "archive", "byte for byte as sealing writes it")
	}
}

// times checks every timestamp, and that the plan and the commitments come
// first. Errors are about reading the case.
func (v *verifier) times() error {
	first, err := v.firstIntent()
	if err != nil {
		return err
	}
	v.planTime(first)
	v.checkpoints()
	v.loadKeys()
	v.commitments()
	v.sealTime()
	return nil
}

// firstIntent returns the time of the first request, zero if there is none.
func (v *verifier) firstIntent() (time.Time, error) {
	for e, err := range v.sealed.Case.Events() {
		if err != nil {
			return time.Time{}, fmt.Errorf("verify: %w", err)
		}
		if e.Type == ledger.EventIntent {
			return e.Time, nil
		}
	}
	return time.Time{}, nil
}

// authority words whether a stamp's authority was checked.
func (v *verifier) authority(s timestamp.Stamp) string {
	if v.opt.TSARoots == nil {
		return fmt.Sprintf("%q, not checked against roots of yours", s.Authority)
	}
	return fmt.Sprintf("%q, trusted", s.Authority)
}

// stamp checks a token over data. It has failed the check where ok is false.
func (v *verifier) stamp(check, file string, token, data []byte) (s timestamp.Stamp, ok bool) {
	s, err := timestamp.Verify(token, sha256.Sum256(data), v.opt.TSARoots)
	if err != nil {
		v.fail(integrity.ExitTime, "timestamp", check, file, -1, "%v", err)
		return s, false
	}
	if v.opt.TSARoots != nil && !s.Trusted {
		v.fail(integrity.ExitTime, "timestamp", check, file, -1, "the authority %q does not lead to the roots that you gave: %s", s.Authority, s.Untrusted)
		return s, false
	}
	return s, true
}

const stampLayout = "2006-01-02T15:04:05Z"

// level of a stamp that is in order: without roots it is a claim of somebody.
func (v *verifier) level() string {
	if v.opt.TSARoots == nil {
		return LevelWarn
	}
	return LevelOK
}

func (v *verifier) planTime(first time.Time) {
	const check = "plan sealed before data"
	var imported []string
	for _, t := range v.sealed.Case.Plan().Targets {
		if t.Imported != nil {
			imported = append(imported, t.Name)
		}
	}
	if len(imported) > 0 {
		v.line(LevelWarn, CodePlanTime, check, "not shown: replies were not acquired by this program, but imported from files (%s)", strings.Join(imported, ", "))
	}
	token, err := integrity.ReadFile(v.pkg.FS, "plan.tsr")
	if isMissing(err) {
		v.line(LevelWarn, CodePlanTime, check, "by the signer's own record: the plan is the ledger's first event, and bears no third-party timestamp")
		return
	}
	if err != nil {
		v.fail(integrity.ExitTime, CodePlanTime, check, "plan.tsr", -1, "%v", err)
		return
	}
	s, ok := v.stamp(check, "plan.tsr", token, v.sealed.Case.PlanBytes())
	created := v.sealed.Case.Plan().Created
	switch {
	case !ok:
	case s.Time.Before(created.Add(-clockSkew)):
		v.fail(integrity.ExitTime, CodePlanTime, check, "plan.tsr", -1, "stamped at %s, before the plan was made at %s",
			s.Time.UTC().Format(stampLayout), created.UTC().Format(stampLayout))
	case first.IsZero():
		v.line(v.level(), CodePlanTime, check, "RFC 3161 %s, nothing was sent; %s", s.Time.UTC().Format(stampLayout), v.authority(s))
	case s.Time.After(first):
		v.fail(integrity.ExitTime, CodePlanTime, check, "plan.tsr", -1, "stamped at %s, after the first request at %s",
			s.Time.UTC().Format(stampLayout), first.UTC().Format(stampLayout))
	default:
		v.line(v.level(), CodePlanTime, check, "RFC 3161 %s < first request %s; %s",
			s.Time.UTC().Format(stampLayout), first.UTC().Format(stampLayout), v.authority(s))
	}
}

func isMissing(err error) bool {
	var p *integrity.Problem
	return errors.As(err, &p) && p.Code == integrity.CodeMissing
}

// loadKeys opens the disclosed subkeys and takes those that the reader gave.
func (v *verifier) loadKeys() {
	given := map[string]*watermark.Key{}
	for _, k := range v.opt.Keys {
		given[k.ID] = k
	}
	for _, ref := range v.sealed.Case.Plan().Keys {
		file := path.Join("disclosed", ref.ID+".json")
		data, err := integrity.ReadFile(v.pkg.FS, file)
		if err == nil {
			k, err := watermark.OpenDisclosure(data)
			if err == nil && k.ID != ref.ID {
				err = fmt.Errorf("discloses key %s", k.ID)
			}
			if err != nil {
				v.fail(integrity.ExitDiffers, CodeKeys, "disclosed keys", file, -1, "%v", err)
				continue
			}
			v.keys = append(v.keys, k)
			continue
		}
		if k := given[ref.ID]; k != nil && v.madeWithout(ref.ID) {
			v.line(LevelWarn, CodeKeys, "keys", "%s is given, but the sealed analysis was made without it: its tests cannot be compared", ref.ID)
		} else if k != nil {
			v.keys, v.beside = append(v.keys, k), append(v.beside, ref.ID)
			continue
		}
		v.missing = append(v.missing, ref.ID)
	}
	if len(v.missing) > 0 {
		v.line(LevelWarn, CodeKeys, "keys", "unverified (%s): %s", keyWithheld, strings.Join(v.missing, ", "))
	}
	for _, k := range v.keys {
		if k.Tokenizer == "" {
			continue // it scores ids only, or draws canaries
		}
		if _, err := v.opt.Tokenizer.ForKey(k); err != nil {
			v.line(LevelWarn, CodeKeys, "keys", "unverified (%s): %v", tokenizerMissing, err)
			v.unread = append(v.unread, k.ID)
		}
	}
	v.missing = append(v.missing, v.unread...)
}

// madeWithout reports whether the sealed findings withhold every test of a key.
// Findings that cannot be read are reported where they are compared.
func (v *verifier) madeWithout(id string) bool {
	f, _, err := reports.LoadFindings(v.pkg.FS, v.sealed.Predicate.Analysis)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(f.Findings, func(x ledger.Finding) bool {
		return x.Key == id && x.Verdict != ledger.VerdictUnverified
	})
}

const checkCommitted = "keys committed before"

// commitments checks the stamps over the key commitments: their authority, that
// they are older than the plan that refers to them, and that the key opens the
// committed leaf. What a commitment means for a finding is computed with the
// findings; see committed.
func (v *verifier) commitments() {
	const check = checkCommitted
	created := v.sealed.Case.Plan().Created
	v.stamped = map[string]bool{}
	for i := range v.sealed.Case.Plan().Keys {
		ref := &v.sealed.Case.Plan().Keys[i]
		if ref.Commitment == "" || ref.Stamp == "" {
			continue
		}
		file := path.Join(family.CommitmentsDir, ref.Commitment)
		data, err := integrity.ReadFile(v.pkg.FS, file)
		if err != nil {
			v.fail(integrity.ExitTime, CodeCommitment, check, file, -1, "%v", err)
			continue
		}
		stampFile := path.Join(family.CommitmentsDir, ref.Stamp)
		token, err := integrity.ReadFile(v.pkg.FS, stampFile)
		if err != nil {
			v.fail(integrity.ExitTime, CodeCommitment, check, stampFile, -1, "%v", err)
			continue
		}
		s, ok := v.stamp(check, stampFile, token, data)
		if !ok {
			continue
		}
		if s.Time.After(created.Add(clockSkew)) {
			v.fail(integrity.ExitTime, CodeCommitment, check, stampFile, -1, "stamped at %s, after the plan that refers to it was made at %s",
				s.Time.UTC().Format(stampLayout), created.UTC().Format(stampLayout))
			continue
		}
		if err := v.opens(ref.ID, data); err != nil {
			v.fail(integrity.ExitTime, CodeCommitment, check, file, -1, "%v", err)
			continue
		}
		v.stamped[v.authority(s)] = true
	}
}

// committed says what the recomputed findings say of the keys' commitments. A
// key counts as committed before if it is so for every target.
func (v *verifier) committed(f *ledger.Findings) {
	states := map[string]int{}
	refs := v.sealed.Case.Plan().Keys
	for _, ref := range refs {
		state := ""
		for _, x := range f.Findings {
			if x.Key == ref.ID && x.Committed != nil && (state == "" || state == family.CommitBeforeServing) {
				state = x.Committed.State
			}
		}
		states[state]++
	}
	inTime := states[family.CommitBeforeServing]
	var others []string
	for state, n := range states {
		switch state {
		case family.CommitBeforeServing:
		case "":
			others = append(others, fmt.Sprintf("%d not determined", n))
		default:
			others = append(others, fmt.Sprintf("%d %s", n, state))
		}
	}
	rest := strings.Join(sorted(others), ", ")
	switch {
	case len(refs) == 0:
	case states[""] == len(refs):
		v.line(LevelWarn, CodeCommitment, checkCommitted, "not determined: no key at hand has been computed with")
	case inTime == 0:
		v.line(LevelNote, CodeCommitment, checkCommitted, "none (%s): every result is exploratory", rest)
	default:
		if rest != "" {
			rest = " (" + rest + ")"
		}
		v.line(v.level(), CodeCommitment, checkCommitted, "%d of %s stamped before the declared start of serving and the first reply%s; %s",
			inTime, plural(int64(len(refs)), "key"), rest, strings.Join(sorted(slices.Collect(maps.Keys(v.stamped))), "; "))
	}
}

// opens checks that a key at hand opens its commitment, and that the proof in
// its disclosure leads to the committed root.
func (v *verifier) opens(id string, commitment []byte) error {
	c, err := watermark.ParseCommitment(commitment)
	if err != nil {
		return err
	}
	for _, k := range v.keys {
		if k.ID == id {
			return c.Check(k)
		}
	}
	return nil // withheld: said elsewhere
}

func (v *verifier) sealTime() {
	const check = "sealed at"
	s := v.sealed
	v.r.Since = s.Predicate.Sealed
	if s.Token == nil {
		v.line(LevelNote, CodeSealTime, check, "%s, the signer's own claim (no timestamp)", s.Predicate.Sealed.UTC().Format(stampLayout))
		return
	}
	file := s.Folder + "/report.dsse.tsr"
	stamp, ok := v.stamp(check, file, s.Token, s.Envelope)
	switch {
	case !ok:
	case stamp.Time.Before(s.Predicate.Sealed.Add(-clockSkew)):
		v.fail(integrity.ExitTime, CodeSealTime, check, file, -1, "stamped at %s, before the seal event at %s that it is over",
			stamp.Time.UTC().Format(stampLayout), s.Predicate.Sealed.UTC().Format(stampLayout))
	default:
		v.r.Since, v.r.Stamped = stamp.Time.UTC(), stamp.Trusted
		v.line(v.level(), CodeSealTime, check, "RFC 3161 %s; %s", stamp.Time.UTC().Format(stampLayout), v.authority(stamp))
	}
}
