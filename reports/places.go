package reports

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// numbered are the files of a case whose names count: blobs, fragments of torn
// lines, analyses and reports.
var numbered = regexp.MustCompile(`^(blobs/segment-[0-9]{6}\.bin|ledger\.torn-[1-9][0-9]*|analysis/[0-9]{3,}-[0-9a-f]{8}/findings\.json|` +
	`reports/[0-9]{3,}-[0-9a-f]{8}/(report\.json|report\.html|report\.pdf|findings\.csv|tables/[a-z]+\.csv|certificate-draft\.txt|signer\.pem|report\.dsse\.json|report\.dsse\.tsr|statement\.intoto\.json|statement\.intoto\.json\.sshsig|allowed_signers|report\.dsse\.witness-[0-9a-f]{16}\.(json|pem)))$`)

// places are all files, but the numbered ones, that a case of a plan can hold.
func places(p *ledger.Plan) map[string]bool {
	names := map[string]bool{
		"case.json": true, "plan.json": true, planEnvelope: true, planToken: true, "ledger.jsonl": true, ledger.CustodyName: true, manifestName: true, verifyName: true,
	}
	if p.Format == ledger.PlanSalted {
		names["prompts.jsonl"] = true
	}
	if p.Decoys.SeedCommitment != "" {
		names["decoys.json"] = true
	}
	for _, k := range p.Keys {
		names[path.Join(disclosedDir, k.ID+".json")] = true
		for _, file := range []string{k.Commitment, k.Stamp, k.Custody} {
			if file != "" {
				names[path.Join("commitments", file)] = true
			}
		}
	}
	for _, t := range p.Tests {
		if t.Filter != "" {
			names[t.Filter] = true
		}
	}
	return names
}

// checkPlaces refuses files that no part of a case is made of: a seal would
// vouch for what nobody checks.
func (s *sealing) checkPlaces() error {
	known := places(s.c.Plan())
	var inside []string
	for dir := range s.c.Plan().Inside() {
		inside = append(inside, dir+"/")
	}
	return fs.WalkDir(os.DirFS(s.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || known[name] || ledger.IsCheckpoint(name) || numbered.MatchString(name) {
			return err
		}
		if slices.ContainsFunc(inside, func(dir string) bool { return strings.HasPrefix(name, dir) }) {
			return nil // a case of its own, sealed as it is
		}
		return usage(fmt.Errorf("%s has no place in a sealed case; move it out of %s and seal again", name, s.dir))
	})
}
