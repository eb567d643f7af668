package integrity

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// fixed, numbered and the names that a plan refers to are all that a sealed case
// is made of. Anything else would be vouched for by the signature and checked by
// nobody.
var (
	fixed    = []string{"case.json", "plan.json", "plan.dsse.json", "plan.tsr", "ledger.jsonl", ledger.CustodyName, ManifestName, "VERIFY.md"}
	numbered = []*regexp.Regexp{
		regexp.MustCompile(`^blobs/segment-[0-9]{6}\.bin$`),
		regexp.MustCompile(`^ledger\.torn-[1-9][0-9]*$`),
		regexp.MustCompile(`^analysis/[0-9]{3,}-[0-9a-f]{8}/findings\.json$`),
		regexp.MustCompile(`^reports/[0-9]{3,}-[0-9a-f]{8}/(report\.json|report\.html|report\.pdf|findings\.csv|tables/[a-z]+\.csv|certificate-draft\.txt|` +
			`signer\.pem|report\.dsse\.json|report\.dsse\.tsr|statement\.intoto\.json|statement\.intoto\.json\.sshsig|allowed_signers|report\.dsse\.witness-[0-9a-f]{16}\.(json|pem))$`),
	}
)

// checkPlaces demands that every file has a place in a case of this plan.
func (s *Sealed) checkPlaces(fsys fs.FS) error {
	plan := s.Case.Plan()
	known := slices.Clone(fixed)
	if plan.Format == ledger.PlanSalted {
		known = append(known, "prompts.jsonl")
	}
	if plan.Decoys.SeedCommitment != "" {
		known = append(known, "decoys.json")
	}
	for _, k := range plan.Keys {
		known = append(known, "disclosed/"+k.ID+".json")
		for _, file := range []string{k.Commitment, k.Stamp, k.Custody} {
			if file != "" {
				known = append(known, path.Join("commitments", file))
			}
		}
	}
	for _, t := range plan.Tests {
		if t.Filter != "" {
			known = append(known, t.Filter)
		}
	}
	var inside []string // folders of cases that checkInside checks
	for dir := range plan.Inside() {
		inside = append(inside, dir+"/")
	}
	slices.Sort(known)
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, ok := slices.BinarySearch(known, name); ok || s.ofRedaction(name) {
			return nil
		}
		if ledger.IsCheckpoint(name) || slices.ContainsFunc(numbered, func(r *regexp.Regexp) bool { return r.MatchString(name) }) {
			return nil
		}
		if slices.ContainsFunc(inside, func(dir string) bool { return strings.HasPrefix(name, dir) }) {
			return nil
		}
		return problem(CodeForeign, ExitAltered, name, "has no place in a sealed case: no part of it is checked")
	})
}
