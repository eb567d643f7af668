package probe

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/served"
	"github.com/stillmark/stillmark/watermark/served/fuse"
)

const nowhere = "http://127.0.0.1:9/v1"

func TestPlan(t *testing.T) {
	t.Parallel()
	in := input(t, nowhere, 50)
	in.Samples = 2
	in.Params.MaxTokens = 400
	in.Keys = []PlanKey{{Key: testKey(t, watermark.KGW)}, {Key: testKey(t, watermark.Gumbel)}}
	for i := range in.Targets {
		in.Targets[i].Price = &ledger.Price{Input: 1, Output: 4, Currency: "USD"}
	}
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	p := d.Plan
	if len(p.Tests) != 4 || len(p.Power) != 4 || len(p.Propositions) != 4 || len(p.Prompts) != 50 || p.Wording != family.WordingVersion {
		t.Fatalf("%d tests, %d rows of power, %d propositions", len(p.Tests), len(p.Power), len(p.Propositions))
	}
	kgw, gumbel := p.Tests[0], p.Tests[2]
	if kgw.Weights != "none" || gumbel.Weights != "min8" || kgw.Mode != ledger.ModeFixedN || !kgw.Primary ||
		!strings.Contains(kgw.Null, "statistically independent of secret key "+in.Keys[0].Key.ID) {
		t.Errorf("%+v %+v", kgw, gumbel)
	}
	e := d.Estimate
	// 2 targets × 50 prompts × 2 samples; 400 tokens each at $4 a million.
	if e.Requests != 200 || e.CompletionTokens != 200*400 || !e.Priced || math.Abs(e.Cost-(200*400*4e-6+float64(e.PromptTokens)*1e-6)) > 1e-12 {
		t.Errorf("%+v", e)
	}
	row := p.Power[0]
	if row.Units != 100*300/2 || math.Abs(row.Log10Alpha-(-6-math.Log10(4))) > 1e-12 || row.EffectUnit == "" {
		t.Errorf("%+v", row)
	}
	// The planner's rows agree with the table of sample sizes: a green-rate lift
	// of .02 needs 17,256 units at 1e-6, so 15,000 at 1e-6/4 see a bit more.
	if row.Effect < .0205 || row.Effect > .0235 {
		t.Errorf("effect %v", row.Effect)
	}
	if len(d.Warnings) != 2 || !strings.Contains(d.Warnings[0], "will be exploratory: it was not committed before serving") {
		t.Errorf("%q", d.Warnings)
	}
	for _, s := range append(d.Warnings, e.Assumptions...) {
		if !strings.HasSuffix(s, ".") {
			t.Errorf("no sentence: %q", s)
		}
	}
	again, err := NewPlan(func() PlanInput { in.Rand = source(2); return in }())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := ledger.EncodePlan(p)
	b, _ := ledger.EncodePlan(again.Plan)
	if !bytes.Equal(a, b) {
		t.Error("the same input and randomness gave another plan")
	}
}

func TestPlanChoices(t *testing.T) {
	t.Parallel()
	in := input(t, nowhere, 5)
	in.Keys = []PlanKey{{Key: testKey(t, watermark.Gumbel), Served: windows(t, 2)}, {Key: testKey(t, watermark.Tournament)}}
	in.Mode, in.StopOnEvidence = ledger.ModeAnytime, true
	only := in.Keys[1].Key.ID
	in.Scored = func(key, target string) bool { return key != only || target == "nova" }
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, test := range d.Plan.Tests {
		ids = append(ids, strings.ReplaceAll(test.ID, only, "T"))
		if test.Weights != "none" || test.Mode != ledger.ModeAnytime || test.Primary == (test.Filter != "") {
			t.Errorf("%+v", test)
		}
	}
	first := in.Keys[0].Key.ID
	want := []string{"E1/" + first + "/nova", "E1/" + first + "/nova/served", "E1/" + first + "/control", "E1/" + first + "/control/served", "E1/T/nova"}
	if !slices.Equal(ids, want) {
		t.Errorf("%q", ids)
	}
	if len(d.Plan.Power) != 3 || math.Abs(d.Plan.Power[0].Log10Alpha-(-6-math.Log10(3))) > 1e-12 {
		t.Errorf("m counts primary tests only: %+v", d.Plan.Power)
	}
	if !d.Plan.Stop.OnEvidence {
		t.Error("the stop rule is lost")
	}
	sealDraft(t, d)
}

// windows is a file of the served windows of h tokens.
func windows(t *testing.T, h int) []byte {
	t.Helper()
	set := watermark.NewWindowSet(h)
	set.Add([]int32{1, 2, 3, 4})
	var b bytes.Buffer
	if err := served.Write(&b, set); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// filter is a filter of one served window.
func filter(t *testing.T, secret []byte) []byte {
	t.Helper()
	b, err := fuse.NewBuilder(2, secret, strings.NewReader("sixteen bytes of"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := b.Stream()
	if err := errors.Join(s.Add([]int32{1, 2}), s.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), &out, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestPlanFilter: a filter stands for an exact file, and the null says what passes it.
func TestPlanFilter(t *testing.T) {
	t.Parallel()
	in := input(t, nowhere, 3)
	in.Keys[0].Served = filter(t, nil)
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	last := d.Plan.Tests[len(d.Plan.Tests)-1]
	if last.Primary || last.Filter != family.WindowsName(in.Keys[0].Served) || !strings.Contains(last.Null, "One in 65536 of those that were not served passes") {
		t.Errorf("the secondary test is %+v", last)
	}
	sealDraft(t, d)
}

func TestPlanRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*PlanInput)
		say    string
	}{
		"no rival":             {func(in *PlanInput) { in.Targets[0].Role = ledger.Control }, "no rival"},
		"no key":               {func(in *PlanInput) { in.Keys = nil }, "no key"},
		"lax alpha":            {func(in *PlanInput) { in.Alpha = 1e-3 }, "laxer"},
		"few decoys":           {func(in *PlanInput) { in.Decoys = 5 }, "5 decoys"},
		"unknown mode":         {func(in *PlanInput) { in.Mode = "peek" }, `mode "peek"`},
		"stop on fixed n":      {func(in *PlanInput) { in.StopOnEvidence = true }, "cannot stop on the evidence"},
		"no budget":            {func(in *PlanInput) { in.Params.MaxTokens = 0 }, "max_tokens"},
		"no prompt":            {func(in *PlanInput) { in.Suites = nil }, "no prompt"},
		"prompt twice":         {func(in *PlanInput) { in.Suites[0].Prompts[1] = in.Suites[0].Prompts[0] }, "twice"},
		"unpriced, money cap":  {func(in *PlanInput) { in.Caps.MaxCost = 5 }, "has no price"},
		"two currencies":       {func(in *PlanInput) { in.Targets[0].Price, in.Targets[1].Price = price("USD"), price("EUR") }, "USD and EUR"},
		"key in place of name": {func(in *PlanInput) { in.Targets[0].APIKeyEnv = "sk-abc-123" }, "api_key_env"},
		"no streaming there": {func(in *PlanInput) {
			in.Targets[0].Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{"stream": {State: "no"}}}
		}, "does not support stream"},
		"no temperature 0 there": {func(in *PlanInput) {
			zero := 0.
			in.Params.Temperature = &zero
			in.Targets[0].Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{"temperature_zero": {State: "no", Detail: "refused: only 1"}}}
		}, "does not take temperature 0"},
		"no system text there": {func(in *PlanInput) {
			for i := range in.Suites[0].Prompts {
				in.Suites[0].Prompts[i].System = "Be brief."
			}
			in.Targets[0].Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{"system_prompt": {State: "no", Detail: "refused: none"}}}
		}, "all prompts of suite s have a system text, which nova refuses"},
		"commitment of another": {func(in *PlanInput) { in.Keys[0].Commitment = commitment(t, testKey(t, watermark.Gumbel)) }, "does not fit"},
		"token of another": {func(in *PlanInput) {
			in.Keys[0].Commitment = commitment(t, in.Keys[0].Key)
			in.Keys[0].Stamp = token(t, []byte("something else"), testNow)
		}, "timestamp of key"},
		"windows of another length": {func(in *PlanInput) {
			in.Keys[0].Served = windows(t, 3)
		}, "they are of 3 tokens"},
		"filter with a secret": {func(in *PlanInput) {
			in.Keys[0].Served = filter(t, bytes.Repeat([]byte{1}, served.SecretBytes))
		}, "made with one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(t, nowhere, 3)
			tc.change(&in)
			_, err := NewPlan(in)
			wantError(t, err, CodeUsage, tc.say)
		})
	}
	t.Run("a money cap with another", func(t *testing.T) {
		t.Parallel()
		in := input(t, nowhere, 3)
		in.Caps = ledger.Caps{MaxCost: 5, MaxRequests: 2}
		d, err := NewPlan(in)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(d.Warnings, "The cap of 2 requests is below the estimate: the run may end before the plan is done.") {
			t.Errorf("%q", d.Warnings)
		}
	})
}

func price(currency string) *ledger.Price {
	return &ledger.Price{Input: 1, Output: 1, Currency: currency}
}

func commitment(t testing.TB, k *watermark.Key) []byte {
	t.Helper()
	c, err := k.Commit("cohort-a")
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unlistedPrompts is what a plan of E1 says where no commitment lists its prompts.
const unlistedPrompts = "every report will say: The prompts were not committed to with the key"

func token(t testing.TB, data []byte, at time.Time) []byte {
	t.Helper()
	a, err := timestamp.NewAuthority("Test Authority", func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := a.Stamp(sha256.Sum256(data))
	if err != nil {
		t.Fatal(err)
	}
	return stamp
}

func TestSealPlan(t *testing.T) {
	t.Parallel()
	in := input(t, nowhere, 4)
	k := &in.Keys[0]
	k.Commitment = commitment(t, k.Key)
	k.Stamp = token(t, k.Commitment, testNow.Add(-48*time.Hour))
	k.ServingFrom = testNow.Add(-24 * time.Hour)
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], unlistedPrompts) {
		t.Errorf("%q", d.Warnings)
	}
	dir := filepath.Join(t.TempDir(), d.Plan.CaseID)
	var stamped [32]byte
	c, err := SealPlan(dir, d, testSigner(), func(digest [32]byte) ([]byte, error) { stamped = digest; return []byte("token"), nil })
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(stamped[:]) != c.PlanSHA256() {
		t.Error("the timestamp is to be over plan.json")
	}
	read := func(name string) []byte {
		data, err := fs.ReadFile(c.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	payload, _, err := ledger.VerifyDSSE(read("plan.dsse.json"), PlanPayload, []ed25519.PublicKey{testSigner().PublicKey().Key})
	if err != nil || !bytes.Equal(payload, c.PlanBytes()) {
		t.Errorf("the envelope holds another plan: %v", err)
	}
	if string(read("plan.tsr")) != "token" {
		t.Error("the token is lost")
	}
	gate := c.Plan().Decoys
	if judged := evidence.JudgeDecoys(evidence.Bernoulli(.25), 5, make([]float64, gate.N), evidence.Plain(20), 1); gate.SDTolerance != judged.SDTolerance || gate.KSLevel != 1e-3 {
		t.Errorf("the plan seals %+v, the decoys are judged by %+v", gate, judged)
	}
	var seed family.DecoySeed
	if err := json.Unmarshal(read("decoys.json"), &seed); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(seed.Seed)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != c.Plan().Decoys.SeedCommitment {
		t.Error("the plan commits to another seed")
	}
	ref := c.Plan().Keys[0]
	if !bytes.Equal(read("commitments/"+ref.Commitment), k.Commitment) || !bytes.Equal(read("commitments/"+ref.Stamp), k.Stamp) {
		t.Error("commitment or token differ")
	}
	if bytes.Contains(c.PlanBytes(), []byte("secret\":")) {
		t.Error("the plan holds a secret")
	}
	if _, err := SealPlan(dir, d, testSigner(), nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing case was touched: %v", err)
	}
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	_, err = SealPlan(filepath.Join(t.TempDir(), "x"), d, testSigner(), func([32]byte) ([]byte, error) { return nil, errors.New("no answer") })
	if err == nil || !strings.Contains(err.Error(), "timestamp the plan: no answer") {
		t.Errorf("%v", err)
	}
}

// The embedded suite makes a plan.
func TestPlanFromSuite(t *testing.T) {
	t.Parallel()
	s, err := corpora.Load("longform-en")
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := ExpandSuite(s, 3, 60)
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, nowhere, 1)
	in.Suites = []PlanSuite{drawn}
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	if ref := d.Plan.Suites[0]; ref.Name != "longform-en" || ref.N != 60 || ref.Seed != 3 || len(d.Plan.Prompts) != 60 {
		t.Errorf("%+v with %d prompts", ref, len(d.Plan.Prompts))
	}
}

// What a family needs to read a reply is sealed with the plan, and sent nowhere.
func TestPlanSealsReadings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mine.jsonl")
	lines := `{"id":"a","lang":"en","text":"Heads or tails?","reading":{"item":"toss","kind":"coin","options":[["heads"],["tails"]]}}
{"id":"b","lang":"en","text":"Tell a story."}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := corpora.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := ExpandSuite(s, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, nowhere, 1)
	in.Suites = []PlanSuite{drawn}
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Plan.Prompts {
		if p.ID == "b" {
			if p.Reading != nil {
				t.Errorf("a reading where none was given: %s", p.Reading)
			}
			continue
		}
		r, err := reading.Parse(p.Reading)
		if err != nil || r.Item != "toss" || r.Kind != reading.KindCoin {
			t.Errorf("%s is read as %+v, error %v", p.Reading, r, err)
		}
	}
	s.Draws = 1
	if _, err := ExpandSuite(s, 1, 0); err == nil {
		t.Error("a pool that needs a key is expanded without one")
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	s := Status{
		Phase: PhaseRunning, Planned: 20000, Settled: 8412, Concurrency: 18, PerMinute: 297, Cost: 51.2, MaxCost: 120, Currency: "USD",
		Classes: map[ledger.Outcome]int64{ledger.OK: 8120, ledger.Refused: 171, ledger.Filtered: 64, ledger.Empty: 9},
		Failed:  map[ledger.Outcome]int64{ledger.Transport: 40, ledger.RateLimited: 8}, ETA: 39 * time.Minute,
	}
	want := "8,412/20,000 42% | ok 8,120 refused 171 filtered 64 empty 9 err 48 | 297 rpm j=18 | $51.20/120 | drift none | ETA 39m"
	if got := s.Line(); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	s = Status{Phase: PhasePaused, Note: "nova: connection refused", Planned: 3, Tokens: 1234, Drift: 2, Evidence: []Evidence{{"a", 2.34, 6}}}
	want = "0/3 0% | ok 0 | 0 rpm | 1,234 tok | drift 2 | log10 e 2.3 of 6.0 | paused: nova: connection refused"
	if got := s.Line(); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	// From outside it is not known how many may be under way, only how many are. What
	// the operator cancelled is no error.
	s = Status{
		Phase: PhaseRunning, Planned: 3, InFlight: 2, Cost: .04, MaxCost: .05,
		Failed: map[ledger.Outcome]int64{ledger.Cancelled: 2, ledger.Transport: 1},
	}
	want = "0/3 0% | ok 0 err 1 | 0 rpm 2 under way | $0.04/0.05 | drift none"
	if got := s.Line(); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	for d, want := range map[time.Duration]string{0: "0s", 10 * time.Millisecond: "10ms", 8 * time.Second: "8s", 90 * time.Second: "2m", 125 * time.Minute: "2h05m"} {
		if got := brief(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

// What the analysis will charge and refuse is said when the plan is made.
func TestPlanKnowsTheCommitment(t *testing.T) {
	t.Parallel()
	plan := func(serving time.Time, labels ...string) *Draft {
		in := input(t, nowhere, 4)
		k := &in.Keys[0]
		c, err := k.Key.Commit(labels...)
		if err != nil {
			t.Fatal(err)
		}
		if k.Commitment, err = c.Encode(); err != nil {
			t.Fatal(err)
		}
		k.Stamp = token(t, k.Commitment, testNow.Add(-48*time.Hour))
		k.ServingFrom = serving
		d, err := NewPlan(in)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	serving := testNow.Add(-24 * time.Hour)
	one, ten := plan(serving), plan(serving, "a", "b", "c", "d", "e", "f", "g", "h", "i")
	if d := one.Plan.Power[0].Log10Alpha - ten.Plan.Power[0].Log10Alpha; math.Abs(d-1) > 1e-9 || ten.Plan.Power[0].Effect <= one.Plan.Power[0].Effect {
		t.Errorf("ten committed keys of which one is tested cost a decade: %+v, %+v", one.Plan.Power[0], ten.Plan.Power[0])
	}
	for at, why := range map[time.Time]string{
		testNow.Add(time.Hour):                     "only after the plan was made",
		testNow.Add(-48*time.Hour + time.Second):   "too close to it",
		testNow.Add(-48*time.Hour + 2*time.Second): "",
	} {
		said := strings.Join(slices.DeleteFunc(plan(at).Warnings, func(w string) bool { return strings.Contains(w, unlistedPrompts) }), " ")
		if why == "" && said != "" || !strings.Contains(said, why) {
			t.Errorf("serving from %s: %q", at, said)
		}
	}
}

// What a target answers in part, or otherwise than it is asked, is said in the plan.
func TestPlanWarnsOfAbilities(t *testing.T) {
	t.Parallel()
	in := input(t, "http://127.0.0.1:1/v1", 6)
	zero := 0.
	in.Params.Temperature = &zero
	in.Suites[0].Prompts[1].System, in.Suites[0].Prompts[4].System = "Be brief.", "Be brief."
	in.Targets[1].Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{
		"system_prompt":    {State: "no", Detail: "refused: none"},
		"temperature_zero": {State: "no", Detail: "accepted, but two replies differ"},
	}}
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(d.Warnings, "\n")
	for _, want := range []string{
		"2 of the 6 prompts of suite s have a system text, which control refuses: it will reject them.",
		"control does not repeat itself at temperature 0 (accepted, but two replies differ)",
	} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not once in\n%s", want, said)
		}
	}
}

// A second run is judged by as many decoys as the first, whatever the machine's clock says.
func TestAutoDecoysFollowTheFirstRun(t *testing.T) {
	t.Parallel()
	for _, n := range []int{99, 199, NoDecoys} {
		first, second := input(t, nowhere, 3), input(t, nowhere, 3)
		first.Decoys = n
		second.After, second.Decoys = &ControlCase{FS: os.DirFS(sealed(t, first))}, AutoDecoys
		if said, err := second.resolveDecoys(); err != nil || said != "" || second.Decoys != n {
			t.Errorf("after %d decoys: %d, %q, %v", n, second.Decoys, said, err)
		}
	}
}
