package probe

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

const nonceSuite = `format: 1
name: notes
version: "1"
family: E5
purpose: to be tested
never_use: anywhere else
languages: [en]
draws: 48
groups:
  - category: notes
    lang: en
    reading: {kind: nonce}
    templates:
      - id: n
        text: "Reference {nonce}: name {what} of the {x} planet."
        slots: {x: [first, second, third, fourth, fifth, sixth, seventh, eighth], what: [a moon, the colour, the size, the mass, the heat, a ring]}
`

func loadYAML(t testing.TB, source string) *corpora.Suite {
	t.Helper()
	path := filepath.Join(t.TempDir(), "suite.yaml")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := corpora.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func canaryKey(t testing.TB, seed uint64) *watermark.Key {
	t.Helper()
	k, err := watermark.NewKey(watermark.Spec{Scheme: watermark.Canary, Model: "teacher"}, source(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// gateway stands in front of our own service and writes a request log.
type gateway struct {
	mu  sync.Mutex
	log bytes.Buffer
	to  http.Handler
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	g.mu.Lock()
	fmt.Fprintf(&g.log, `{"time":%q,"path":%q,"body":%q}`+"\n", time.Now().Format(time.RFC3339Nano), r.URL.Path, body)
	g.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.to.ServeHTTP(w, r)
}

// A rival that forwards what it is asked to our service is found by the nonces in our
// own log, end to end; the rival beside it that answers by itself is not.
func TestNoncesEndToEnd(t *testing.T) {
	t.Parallel()
	server := serve(t, nil)
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.Path = ""
	service := &gateway{to: httputil.NewSingleHostReverseProxy(address)}
	ours := httptest.NewServer(service)
	t.Cleanup(ours.Close)

	key := canaryKey(t, 31)
	drawn, err := ExpandSuiteUnder(loadYAML(t, nonceSuite), 1, 0, key)
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, server.URL(), 4)
	in.Targets = []ledger.Target{
		{Name: "forwarder", Role: ledger.Rival, BaseURL: ours.URL + "/v1", Model: "nova"},
		{Name: "other", Role: ledger.Rival, BaseURL: server.URL(), Model: "plain"},
		{Name: "control", Role: ledger.Control, BaseURL: server.URL(), Model: "plain"},
	}
	in.Suites = append(in.Suites, drawn)
	in.Keys = append(in.Keys, PlanKey{Key: key})
	draft, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, test := range draft.Plan.Tests {
		tests = append(tests, test.ID+" "+strings.Join(test.Suites, ","))
	}
	if got := strings.Count(strings.Join(tests, "\n"), "E5/"); got != 2 {
		t.Fatalf("%d tests of E5, want one for each rival: %q", got, tests)
	}
	sealedPlan, err := ledger.EncodePlan(draft.Plan)
	if err != nil {
		t.Fatal(err)
	}
	sent, held, err := NoncesOf(draft.Plan, key)
	if err != nil || len(sent) != 48 || len(held) != 48 {
		t.Fatalf("%d and %d nonces, %v", len(sent), len(held), err)
	}
	for _, n := range held {
		if bytes.Contains(sealedPlan, []byte(n)) {
			t.Fatal("a nonce that is held back stands in the plan")
		}
	}
	dir := sealDraft(t, draft)
	if _, err := Run(t.Context(), dir, RunOptions{pace: quick}); err != nil {
		t.Fatal(err)
	}
	search, found, err := SearchLog(t.Context(), &service.log, "gateway", append(sent, held...), nil)
	if err != nil || len(found) != 24 || search.Lines != 28 || search.From.IsZero() {
		t.Fatalf("%d sightings in %d lines from %v, %v", len(found), search.Lines, search.From, err)
	}
	data, err := family.EncodeSightings(search, found)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Observe(dir, []byte("{}"), ledger.WriterOptions{}); err == nil {
		t.Error("what is no observation was recorded")
	}
	if _, err := Observe(dir, data, ledger.WriterOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := family.Analyze(t.Context(), c, []*watermark.Key{key, in.Keys[0].Key}, family.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, v := range f.Findings {
		switch v.Test {
		case "E5/" + key.ID + "/forwarder":
			// 24 of 24 sent to it, of 24 + 48 that nobody else was sent.
			if v.N != 24 || v.Score != 24 || *v.Log10P > -18.9 || v.Verdict != ledger.VerdictExploratory {
				t.Errorf("forwarder: %s, %v of %d, log10 p %v", v.Verdict, v.Score, v.N, *v.Log10P)
			}
			seen++
		case "E5/" + key.ID + "/other":
			if v.Score != 0 || *v.Log10P != 0 || v.Verdict != ledger.VerdictNone {
				t.Errorf("other: %s, %v of %d, log10 p %v", v.Verdict, v.Score, v.N, *v.Log10P)
			}
			seen++
		}
	}
	if seen != 2 {
		t.Errorf("%d findings of E5", seen)
	}
	if again, err := Run(t.Context(), dir, RunOptions{pace: quick}); err != nil || !again.AlreadyDone {
		t.Errorf("a complete case with an observation is run again: %+v, %v", again, err)
	}
}

func TestSearchLog(t *testing.T) {
	t.Parallel()
	nonce := strings.Repeat("0f", 16)
	for name, tc := range map[string]struct {
		line string
		time string
	}{
		"JSON":          {`{"ts":"2027-01-03T10:11:12.5+01:00","body":"` + nonce + `"}`, "2027-01-03T09:11:12.5Z"},
		"common format": {`127.0.0.1 - - [10/Jan/2027:13:55:36 -0700] "GET /?q=` + nonce + ` HTTP/1.1" 200`, "2027-01-10T20:55:36Z"},
		"upper case":    {"THE TIME: 2027-01-03T10:11:12Z " + strings.ToUpper(nonce), "2027-01-03T10:11:12Z"},
		"inside a run":  {"abc" + nonce + "abc", ""},
		"no zone":       {"2027-01-03T10:11:12 " + nonce, ""},
	} {
		search, found, err := SearchLog(t.Context(), strings.NewReader("first\n"+tc.line+"\nlast"), "log", []string{nonce}, nil)
		if err != nil || search.Lines != 3 || len(found) != 1 || found[0].Nonce != nonce || found[0].Where != "line 2" {
			t.Errorf("%s: %+v, %+v, %v", name, search, found, err)
			continue
		}
		got := ""
		if !found[0].Time.IsZero() {
			got = found[0].Time.Format(time.RFC3339Nano)
		}
		if got != tc.time {
			t.Errorf("%s: time %q, want %q", name, got, tc.time)
		}
	}
	if _, found, err := SearchLog(t.Context(), strings.NewReader(strings.Repeat(nonce+"\n", 20)), "log", []string{nonce}, nil); err != nil || len(found) != sightingsEach {
		t.Errorf("%d sightings are kept, %v", len(found), err)
	}
	if _, _, err := SearchLog(t.Context(), strings.NewReader(strings.Repeat("a", maxLogLine+1)), "log", []string{nonce}, nil); err == nil || !strings.Contains(err.Error(), "line 1 is longer") {
		t.Errorf("an endless line: %v", err)
	}
	if _, found, err := SearchLog(t.Context(), strings.NewReader(nonce[1:]+" 0"), "log", []string{nonce}, nil); err != nil || len(found) != 0 {
		t.Errorf("31 digits are found: %v, %v", found, err)
	}
}

func BenchmarkSearchLog(b *testing.B) {
	line := `{"time":"2027-01-03T10:11:12Z","path":"/v1/chat/completions","id":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","body":"` + strings.Repeat("Tell me about the moons. ", 20) + `"}` + "\n"
	log := strings.Repeat(line, 2000)
	nonces := []string{strings.Repeat("0e", 16)}
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if _, _, err := SearchLog(b.Context(), strings.NewReader(log), "log", nonces, nil); err != nil {
			b.Fatal(err)
		}
	}
}
