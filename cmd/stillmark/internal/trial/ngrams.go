package trial

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// markPart is a part of a calibration in which n-gram rivals are audited under watermark
// keys, one rival and one key at a time.
type markPart struct {
	name      string // of the part in a state
	family    string
	innocents int
	positives int // at each share
	shares    []int
}

// marked are those parts.
func (c Calibration) marked() []markPart {
	return []markPart{
		{partWatermark, family.Radioactivity, c.Innocents, c.Positives, Shares},
		{partReading, family.ReadingMode, c.Readings, c.Readings / len(ReadingShares), ReadingShares},
	}
}

// ids are the part's trials. Their numbers are the same whatever the counts are:
// innocents are even, students odd.
func (p *markPart) ids(seed uint64) []stateID {
	var out []stateID
	for n := range p.innocents {
		out = append(out, stateID{p.name, seed, 2 * n})
	}
	for n := range p.positives * len(p.shares) {
		out = append(out, stateID{p.name, seed, 2*n + 1})
	}
	return out
}

// trial makes a rival, audits it through the code that a real target gets, and
// returns what the audit says.
func (l *lab) trial(ctx context.Context, id stateID, p markPart, program ledger.Build) (*Trial, error) {
	seed := rand.NewPCG(id.Seed, uint64(id.Number)).Uint64()
	schemes := watermark.Schemes()
	n, innocent := id.Number/2, id.Number%2 == 0
	t := &Trial{stateID: id, Kind: student}
	if innocent {
		t.Kind, t.Scheme = innocentKinds[n%len(innocentKinds)], schemes[(n+n/len(innocentKinds))%len(schemes)]
	} else {
		t.Share, t.Scheme = p.shares[n%len(p.shares)], schemes[n/len(p.shares)%len(schemes)]
	}
	key, err := watermark.NewKey(watermark.Spec{
		Scheme: t.Scheme, Model: "teacher", Tokenizer: l.enc.Name(), TokenizerSHA256: l.enc.SHA256(), Vocab: l.enc.VocabSize(),
		ServingFrom: served1h(),
	}, seededReader(seed, streamKeys))
	if err != nil {
		return nil, err
	}
	mark, err := key.Mark()
	if err != nil {
		return nil, err
	}
	t.Law = mark.Law()
	var rival mock.Generator
	temperature, suite := 1., suiteName
	if innocent {
		rival, temperature, suite, err = l.innocent(n%len(innocentKinds), seed)
	} else {
		marked := markedTokens * t.Share / 100
		rival, err = l.student(mark, marked, markedTokens-marked, seed)
	}
	if err != nil {
		return nil, err
	}
	requests := int64(seed >> 12) // so that a reply does not depend on when it is asked for
	in := probe.PlanInput{
		Name: "calibration", Targets: []ledger.Target{{Name: "rival", Role: ledger.Rival, Model: "rival"}},
		Params: ledger.Params{MaxTokens: replyTokens, Temperature: &temperature, Seed: &requests, Stream: true},
		Decoys: CalibrationDecoys, TokensPerReply: replyTokens, Distinct: distinctShare,
	}
	var drawn probe.PlanSuite
	if p.family == family.ReadingMode {
		drawn, err = l.passages(id, key, mark, seed)
	} else {
		drawn, err = expanded(suite, seed, calibratePrompts)
		drawn.ReplyTokens = 0
	}
	if err != nil {
		return nil, err
	}
	in.Suites = []probe.PlanSuite{drawn}
	lists, err := drawn.Lists(key, 1, nil)
	if err != nil {
		return nil, err
	}
	committed, err := l.committed(key, lists...)
	if err != nil {
		return nil, err
	}
	in.Keys = []probe.PlanKey{committed}
	plan, findings, err := l.carryOut(ctx, id, in, map[string]mock.Generator{"rival": rival}, program, nil)
	if err != nil {
		return nil, err
	}
	if err := exact(&findings.Findings[0]); err != nil {
		return nil, err
	}
	t.read(plan, findings)
	return t, nil
}

// read takes over what plan and findings say of the only test.
func (t *Trial) read(plan *ledger.Plan, findings *ledger.Findings) {
	promised, f := plan.Power[0], &findings.Findings[0]
	t.Needed, t.Units, t.Level = promised.Effect, promised.Units, promised.Log10Alpha
	t.N, t.Verdict = f.N, f.Verdict
	if f.N > 0 {
		t.Effect = f.Effect
	}
	if f.Log10P != nil {
		t.Log10P, t.Plain = *f.Log10P, *f.PlainLog10P
	}
	if f.Decoys != nil {
		t.RankP, t.Gate = f.Decoys.RankP, f.Decoys.Pass
	}
}

// passages lets the teacher write under the key, and makes of its texts the prompts of
// reading mode, as `corpora passages` and `probe plan` do.
func (l *lab) passages(id stateID, key *watermark.Key, mark watermark.Scheme, seed uint64) (probe.PlanSuite, error) {
	var texts bytes.Buffer
	e := json.NewEncoder(&texts)
	for i := range readingPassages {
		ids := l.teacher.Complete(l.prompts[i%len(l.prompts)], refmodel.Sampling{
			Temperature: 1, MaxTokens: passageTokens, Seed: derived(seed, streamPassages) + uint64(i), Mark: mark,
		})
		if err := e.Encode(Sample{ID: fmt.Sprint(i), Text: string(l.enc.Decode(ids))}); err != nil {
			return probe.PlanSuite{}, err
		}
	}
	data, _, err := corpora.Passages(&texts, corpora.PassageOptions{Name: "passages", Version: "1", Lang: "en", Tokenizer: l.enc})
	if err != nil {
		return probe.PlanSuite{}, err
	}
	path := filepath.Join(l.dir, fmt.Sprintf("passages-%d.jsonl", id.Number))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return probe.PlanSuite{}, err
	}
	defer os.Remove(path)
	drawn, err := expanded(path, seed, 0)
	if err != nil {
		return probe.PlanSuite{}, err
	}
	return drawn, drawn.Cut(key, nil, family.DefaultCuts())
}

// committed has the authority timestamp the commitment to a key, and to what is asked under
// it.
func (l *lab) committed(key *watermark.Key, lists ...watermark.CommittedList) (probe.PlanKey, error) {
	commitment, err := key.Commit()
	if err == nil {
		err = commitment.Bind(lists...)
	}
	if err != nil {
		return probe.PlanKey{}, err
	}
	encoded, err := commitment.Encode()
	if err != nil {
		return probe.PlanKey{}, err
	}
	token, err := l.authority.Stamp(sha256.Sum256(encoded))
	return probe.PlanKey{Key: key, Commitment: encoded, Stamp: token}, err
}
