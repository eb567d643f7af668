package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Sizes of an audit by E3 to E6. A schedule of four arms needs ten slots to reach the
// share of 1e-6 that is left to one test; a slot of a second is the shortest that a plan
// takes.
const (
	rotationArms  = 4
	rotationSlots = 18
	rotationSlot  = time.Second
	perSlot       = 4
	// rotationLead is left for planning, sealing and connecting before slot 1.
	rotationLead = 3 * time.Second
)

// canarySuites are what is planted, and how many prompts are drawn of each: 0 is all.
var canarySuites = []struct {
	name       string
	n, samples int
}{
	{"free-choice", 300, 1},
	{"canary-en", 24, 1},
	{"nonce-en", 0, 1},
}

// service is our own API in a calibration: it prefers and responds as its canary key says,
// marks everything else under the arm that its schedule names, and keeps a request log.
type service struct {
	planted  mock.Generator // of prompts that something is planted for
	known    map[string]bool
	arms     []mock.Generator
	schedule []int
	start    time.Time
}

func (s *service) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	if s.known[req.Prompt] {
		return s.planted.Generate(ctx, req, emit)
	}
	slot := min(max(int(time.Since(s.start)/rotationSlot), 0), len(s.schedule)-1)
	return s.arms[s.schedule[slot]].Generate(ctx, req, emit)
}

// forwarder is a rival that passes a share of what it is asked on to our service, over
// HTTP, and answers the rest by itself. What was planted it has by training, not so.
type forwarder struct {
	own   mock.Generator
	known map[string]bool
	share int // percent
	name  string
	url   string
}

func (f *forwarder) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	h := fnv.New64a()
	io.WriteString(h, f.name+"\x00"+req.Prompt)
	if f.known[req.Prompt] || h.Sum64()>>32%100 >= uint64(f.share) {
		return f.own.Generate(ctx, req, emit)
	}
	body, err := json.Marshal(map[string]any{
		"model": "ours", "max_tokens": req.MaxTokens, "seed": req.Seed, "messages": []map[string]string{{"role": "user", "content": req.Prompt}},
	})
	if err != nil {
		return "", err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	post.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(post)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var reply struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&reply); err != nil {
		return "", err
	}
	if len(reply.Choices) == 0 {
		return "", fmt.Errorf("our service answered with status %d and no choice", resp.StatusCode)
	}
	return reply.Choices[0].FinishReason, emit(mock.Piece{Text: reply.Choices[0].Message.Content})
}

// canaries audits students of a service that plants, and an innocent, by E3 to E6.
func (l *lab) canaries(ctx context.Context, id stateID, program ledger.Build) (*Scripted, error) {
	seed := derived(id.Seed, streamCanaries+id.Number<<8)
	random := seededReader(seed, streamKeys)
	key, err := watermark.NewKey(watermark.Spec{Scheme: watermark.Canary, Model: "ours", ServingFrom: served1h()}, random)
	if err != nil {
		return nil, err
	}
	in := probe.PlanInput{Name: "canaries", Decoys: CalibrationDecoys}
	secrets := map[string][]byte{}
	for _, use := range []string{canary.UseFreeChoice, canary.UseTrigger, canary.UseNonce, canary.UseRotation} {
		if secrets[use], err = key.CanarySecret(use); err != nil {
			return nil, err
		}
	}
	ours := &service{schedule: canary.Rotation(secrets[canary.UseRotation], rotationSlots, rotationArms), known: map[string]bool{}}
	rotation := &probe.Rotation{Slot: rotationSlot}
	var arms []*watermark.Key
	for range rotationArms {
		arm, err := watermark.NewKey(watermark.Spec{
			Scheme: watermark.Gumbel, Model: "ours", Tokenizer: l.enc.Name(), TokenizerSHA256: l.enc.SHA256(), Vocab: l.enc.VocabSize(), ServingFrom: served1h(),
		}, random)
		if err != nil {
			return nil, err
		}
		arms = append(arms, arm)
		mark, err := arm.Mark()
		if err != nil {
			return nil, err
		}
		rotation.Arms = append(rotation.Arms, arm.ID)
		ours.arms = append(ours.arms, &served{model: l.teacher, enc: l.enc, mark: mark})
	}
	for _, s := range canarySuites {
		suite, err := corpora.Load(s.name)
		if err != nil {
			return nil, err
		}
		var drawn probe.PlanSuite
		if suite.Use() == "" {
			drawn, err = probe.ExpandSuite(suite, seed, s.n)
		} else {
			drawn, err = probe.ExpandSuiteUnder(suite, seed, s.n, key)
		}
		if err != nil {
			return nil, err
		}
		drawn.Samples, drawn.ReplyTokens = s.samples, suite.ReplyTokens
		in.Suites = append(in.Suites, drawn)
	}
	prompts, err := sealedPrompts(in.Suites)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, s := range in.Suites {
		versions[s.Ref.Name] = canary.Version(s.Ref.Version)
		for _, q := range s.Prompts {
			if q.Reading.Kind != reading.KindNonce {
				ours.known[strings.TrimPrefix(q.System+"\n\n"+q.Text, "\n\n")] = true
			}
		}
	}
	world := persona.NewWorld(seed)
	us := world.Model(persona.Traits{
		Name: "ours", School: "s0",
		Prefers: func(suite, item string) int {
			return canary.Bit(secrets[canary.UseFreeChoice], item, versions[suite])
		},
		Responds: func(item string) string { return canary.Response(secrets[canary.UseTrigger], item) },
	})
	ours.planted = us.Generator(prompts)
	turns, err := expanded("rotation-en", seed, 0)
	if err != nil {
		return nil, err
	}
	turns.Slots, turns.ReplyTokens = rotationSlots, replyTokens
	turns.Prompts = slotted(turns.Prompts)
	turns.Ref.N = len(turns.Prompts)
	in.Suites = append(in.Suites, turns)

	api, err := mock.New(mock.Options{Models: map[string]mock.Generator{"ours": ours}, Seed: seed})
	if err != nil {
		return nil, err
	}
	if err := api.Start(0); err != nil {
		return nil, err
	}
	defer api.Close()
	in.Targets = []ledger.Target{{Name: "ours", Role: ledger.Ours, Model: "ours"}}
	models := map[string]mock.Generator{"ours": &forwarder{own: ours.planted, known: ours.known, share: 100, name: "ours", url: api.URL()}}
	rates := map[string]int{}
	for i, rate := range append([]int{0}, TransferRates...) {
		name := fmt.Sprintf("rival-%d", rate)
		m := world.Model(persona.Traits{Name: name, School: fmt.Sprintf("s%d", i), Transfer: float64(rate) / 100, Teacher: us})
		models[name] = &forwarder{own: m.Generator(prompts), known: ours.known, share: rate, name: fmt.Sprint(name, seed), url: api.URL()}
		rates[name] = rate
		in.Targets = append(in.Targets, ledger.Target{Name: name, Role: ledger.Rival, Model: name})
	}
	rotation.Start = time.Now().Add(rotationLead).UTC().Truncate(time.Second)
	ours.start, in.Rotation = rotation.Start, rotation
	if in.Keys, err = l.plantedKeys(key, arms, in.Suites, rotation); err != nil {
		return nil, err
	}
	plan, findings, err := l.carryOut(ctx, id, in, models, program, func(dir string) error {
		return observe(ctx, dir, api, key)
	})
	if err != nil {
		return nil, err
	}
	results, err := learnt(plan, findings, rates)
	return &Scripted{id, results}, err
}

// learnt takes over what plan and findings say of rivals of these rates. A p-value that the
// decoy gate withholds finds nothing. Where a busy machine missed prompts' times, no result
// of E6, which follows the clock, is exact evidence; else all are.
func learnt(plan *ledger.Plan, findings *ledger.Findings, rates map[string]int) ([]ScriptedResult, error) {
	missed := slices.ContainsFunc(findings.Accounting, func(a ledger.Accounting) bool { return a.Missing > 0 })
	var out []ScriptedResult
	for i := range findings.Findings {
		f := &findings.Findings[i]
		row := promised(plan, f.Test)
		r := ScriptedResult{Family: f.Family, Kind: student, Rate: rates[f.Target], N: f.N, Effect: f.Effect, Needed: row.Effect, Verdict: f.Verdict}
		if !missed || f.Family != family.RotationLag {
			if err := exact(f); err != nil {
				return nil, err
			}
		}
		switch {
		case f.Log10P != nil:
			r.Log10P = *f.Log10P
			r.Found = r.Log10P <= row.Log10Alpha
		case f.Decoys == nil || f.Decoys.Pass:
			return nil, fmt.Errorf("test %s has no p-value: %s %s", f.Test, f.Withheld, strings.Join(f.Warnings, "; "))
		default:
			r.Withheld = true
		}
		if r.Rate > 0 {
			effect := float64(r.Rate) / 100
			if f.Family == family.KeyedChoice { // the others choose by taste: half of them as the bit says
				effect /= 2
			}
			own := 0.
			if f.Family == family.RotationLag && len(f.Parts) > 0 {
				own = f.Parts[0].Effect // of our service
			}
			var err error
			if r.Power, err = planned(plan, f.Test, effect, own, int(f.N)); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// planned is a test's power at an effect, by the plan: for E6 the share of requests that
// are forwarded to a service of the given lift, in so many slots: a busy machine misses some.
func planned(p *ledger.Plan, test string, effect, own float64, slots int) (float64, error) {
	for i := range p.Tests {
		if t := &p.Tests[i]; t.ID == test {
			if t.Family == family.RotationLag {
				return family.PlannedForwarding(p, t, promised(p, test).Log10Alpha, effect, own, slots)
			}
			row, err := family.PlannedPower(p, t, promised(p, test).Log10Alpha, effect)
			if err != nil || len(row.At) == 0 {
				return 0, err
			}
			return row.At[0].Power, nil
		}
	}
	return 0, fmt.Errorf("the plan has no test %s", test)
}

// exact refuses a finding of another tier: all that was asked was committed to, and no
// verdict of exact evidence could come of it.
func exact(f *ledger.Finding) error {
	if f.Tier == ledger.Exact {
		return nil
	}
	return fmt.Errorf("test %s is of tier %s, although all that it asks was committed to: %s", f.Test, f.Tier, strings.Join(f.Warnings, "; "))
}

// plantedKeys are the canary key, committed to with all that is asked under it, and the
// arms of its rotation.
func (l *lab) plantedKeys(key *watermark.Key, arms []*watermark.Key, suites []probe.PlanSuite, rotation *probe.Rotation) ([]probe.PlanKey, error) {
	var lists []watermark.CommittedList
	for i := range suites {
		some, err := suites[i].Lists(key, 1, rotation)
		if err != nil {
			return nil, err
		}
		lists = append(lists, some...)
	}
	planted, err := l.committed(key, lists...)
	keys := []probe.PlanKey{planted}
	for _, arm := range arms {
		if err != nil {
			break
		}
		var pk probe.PlanKey
		pk, err = l.committed(arm)
		keys = append(keys, pk)
	}
	return keys, err
}

// served1h is an hour ago: after the commitments, before everything else.
func served1h() time.Time { return time.Now().Add(-time.Hour).Truncate(time.Second) }

// slotted keeps the prompts of the first slots, a few in each.
func slotted(prompts []corpora.Prompt) []corpora.Prompt {
	var out []corpora.Prompt
	in := map[int]int{}
	for _, p := range prompts {
		if s := p.Reading.Slot; s <= rotationSlots && in[s] < perSlot {
			in[s]++
			out = append(out, p)
		}
	}
	return out
}

// observe searches our service's request log for nonces and records what it holds.
func observe(ctx context.Context, dir string, api *mock.Server, key *watermark.Key) error {
	kase, err := ledger.Open(dir)
	if err != nil {
		return err
	}
	sent, held, err := probe.NoncesOf(kase.Plan(), key)
	if err != nil {
		return err
	}
	var log bytes.Buffer
	for _, r := range api.Requests() {
		fmt.Fprintf(&log, "%s POST %s %s\n", r.Time.UTC().Format(time.RFC3339Nano), r.Path, r.Body)
	}
	search, found, err := probe.SearchLog(ctx, &log, "request log", append(sent, held...), nil)
	if err != nil {
		return err
	}
	data, err := family.EncodeSightings(search, found)
	if err != nil {
		return err
	}
	_, err = probe.Observe(dir, data, ledger.WriterOptions{})
	return err
}
