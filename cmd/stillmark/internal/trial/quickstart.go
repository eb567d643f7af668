package trial

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/verify"
	"github.com/stillmark/stillmark/watermark"
)

// decoyKeys is the default of every audit; reports for a court take 9,999.
const decoyKeys = 999

// demoPort is tried first for the demo server: any unassigned one would do.
const demoPort = 18461

// Quickstart are the settings of the demonstration.
type Quickstart struct {
	Seed    uint64
	Dir     string // created; the case and its keys stay there
	Program ledger.Build
	// Said is told what happened, a line at a time; Progress what is going on.
	Said     func(line string)
	Progress func(text string)
}

// Outcome is what the demonstration leaves behind.
type Outcome struct {
	Plan     *ledger.Plan
	Findings *ledger.Findings
	Verified *verify.Result
	Case     string // folder
	Zip      string
	Report   string // report.html
	Signer   string // public key file
	Root     string // certificate of the demo authority
	Elapsed  time.Duration
}

// Run carries the demonstration through: it trains the teacher and the rivals,
// commits to the keys, serves the rivals over HTTP with two injected faults,
// audits them, reports, seals and verifies. Everything after the training is
// the code that a real target gets.
func (q Quickstart) Run(ctx context.Context) (*Outcome, error) {
	begun := time.Now()
	if err := os.MkdirAll(q.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of the demonstration: %w", err)
	}
	out := &Outcome{
		Case: filepath.Join(q.Dir, "case"), Zip: filepath.Join(q.Dir, "case.zip"),
		Signer: filepath.Join(q.Dir, "signer.pem.pub"), Root: filepath.Join(q.Dir, "authority.pem"),
	}
	if _, err := os.Lstat(out.Case); err == nil {
		return nil, &UsageError{fmt.Sprintf("%s exists already; a case is never overwritten, name another folder with --dir", out.Case)}
	}
	d := &demo{Quickstart: q, out: out}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"train", d.train},
		{"commit", d.commit},
		{"serve and plan", d.plan},
		{"collect", d.collect},
		{"analyse", d.analyse},
		{"report and seal", d.report},
		{"verify", d.verify},
	} {
		started := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.Progress("")
		d.said("%-16s %5.1f s   %s", step.name, time.Since(started).Seconds(), d.note)
	}
	out.Elapsed = time.Since(begun)
	return out, d.close()
}

// demo is one demonstration under way.
type demo struct {
	Quickstart
	out       *Outcome
	note      string // what the step that just ended has to say
	world     *world
	signer    *ledger.Signer
	authority *timestamp.Authority
	keys      []probe.PlanKey
	server    *mock.Server
}

func (d *demo) said(format string, args ...any) { d.Said(fmt.Sprintf(format, args...)) }

func (d *demo) close() error {
	if d.server == nil {
		return nil
	}
	return d.server.Close()
}

func (d *demo) train(ctx context.Context) error {
	var err error
	d.Progress("training the reference models")
	if d.world, err = build(d.Seed, func(format string, args ...any) {
		d.Progress("")
		d.said("  "+format, args...)
		d.Progress("training the reference models")
	}); err != nil {
		return fmt.Errorf("training the reference models: %w", err)
	}
	d.note = fmt.Sprintf("a teacher, its marked replies, %d rivals", len(d.world.rivals))
	return ctx.Err()
}

// stampMargin passes between a timestamp and what must come after it: a token has
// the accuracy of one second and is written in whole seconds.
const stampMargin = 2 * time.Second

// commit has the demo authority timestamp the commitment to each key and to what is asked
// under it, and waits before anything is served.
func (d *demo) commit(context.Context) error {
	var err error
	if d.authority, err = timestamp.NewAuthority("stillmark demo authority (not a third party)", nil); err != nil {
		return err
	}
	if err := ledger.WriteFile(d.out.Root, d.authority.CertPEM(), 0o644); err != nil {
		return err
	}
	if d.signer, err = ledger.NewSigner("stillmark quickstart (demo signer)", seededReader(d.Seed, streamSigner)); err != nil {
		return err
	}
	if err := d.signer.Save(strings.TrimSuffix(d.out.Signer, ".pub")); err != nil {
		return err
	}
	for _, k := range d.world.keys {
		lists, err := d.world.audit.Lists(k, 1, nil)
		if err != nil {
			return err
		}
		commitment, err := k.Commit()
		if err == nil {
			err = commitment.Bind(lists...)
		}
		if err != nil {
			return err
		}
		encoded, err := json.MarshalIndent(commitment, "", "  ")
		if err != nil {
			return err
		}
		encoded = append(encoded, '\n')
		token, err := d.authority.Stamp(sha256.Sum256(encoded))
		if err != nil {
			return err
		}
		if err := k.Save(filepath.Join(d.Dir, "key-"+k.Scheme+".json")); err != nil {
			return err
		}
		d.keys = append(d.keys, probe.PlanKey{Key: k, Commitment: encoded, Stamp: token})
	}
	time.Sleep(stampMargin)
	d.note = fmt.Sprintf("%d keys committed and timestamped before serving, by a demo authority", len(d.keys))
	return nil
}

// faults are injected while replies are collected: the server answers one
// request with 429 and asks to wait a second, and drops one stream half way.
func faults() *mock.Script {
	return &mock.Script{Faults: []mock.Fault{
		{Kind: "status", Model: "suspect-" + watermark.Gumbel, At: []int{40}, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}},
		{Kind: "drop", Model: "innocent", At: []int{60}, AfterPieces: 30},
	}}
}

func (d *demo) plan(ctx context.Context) error {
	var err error
	if d.server, err = mock.New(mock.Options{Models: d.world.generators(), Script: faults(), Seed: derived(d.Seed, streamServer)}); err != nil {
		return err
	}
	// The plan holds the address, so a fixed port makes two runs of one seed equal.
	if d.server.Start(demoPort) != nil {
		if err := d.server.Start(0); err != nil {
			return fmt.Errorf("the demo server did not start: %w", err)
		}
	}
	served := time.Now().UTC()
	for i := range d.keys {
		d.keys[i].ServingFrom = served
	}
	var targets []ledger.Target
	trainedUnder := map[string]string{}
	for i, r := range d.world.rivals {
		t := ledger.Target{Name: r.name, Role: ledger.Rival, BaseURL: d.server.URL(), Model: r.name}
		if r.key == nil {
			t.Role = ledger.Control
		} else {
			trainedUnder[r.name] = r.key.ID
		}
		d.Progress(fmt.Sprintf("testing targets %d/%d", i+1, len(d.world.rivals)))
		caps, err := endpoint.Test(ctx, t, endpoint.Options{})
		if err != nil {
			return err
		}
		t.Capabilities = &caps
		targets = append(targets, t)
	}
	seed := int64(d.Seed)
	draft, err := probe.NewPlan(probe.PlanInput{
		Name: "quickstart", Demo: true,
		Authority: "stillmark quickstart", Purpose: "a demonstration on reference models that are part of the program",
		Targets: targets,
		Suites:  []probe.PlanSuite{d.world.audit},
		Params:  ledger.Params{MaxTokens: replyTokens, Seed: &seed, Stream: true},
		Keys:    d.keys,
		// Suspects and mixes are scored under their own scheme's key, innocent
		// and control under all.
		Scored: func(key, target string) bool {
			own, known := trainedUnder[target]
			return !known || own == key
		},
		Decoys: decoyKeys, TokensPerReply: replyTokens,
		Program: d.Program, Now: time.Now(), Rand: seededReader(d.Seed, streamPlan),
	})
	if err != nil {
		return err
	}
	stamp := func(digest [32]byte) ([]byte, error) { return d.authority.Stamp(digest) }
	kase, err := probe.SealPlan(d.out.Case, draft, d.signer, stamp)
	if err != nil {
		return err
	}
	time.Sleep(stampMargin) // the plan's token must be earlier than the first request
	d.out.Plan = kase.Plan()
	d.note = fmt.Sprintf("%d targets at %s, %d requests, %d tests, plan sealed", len(targets), d.server.URL(), draft.Estimate.Requests, len(d.out.Plan.Tests))
	return nil
}

func (d *demo) collect(ctx context.Context) error {
	summary, err := probe.Run(ctx, d.out.Case, probe.RunOptions{
		Program: d.Program, Progress: func(s probe.Status) { d.Progress(s.Line()) },
	})
	if err != nil {
		return err
	}
	var survived []string
	for _, record := range d.server.Requests() {
		if record.Fault != "" {
			survived = append(survived, fmt.Sprintf("%s at %s", map[string]string{"status": "429 Retry-After 1 s", "drop": "dropped stream"}[record.Fault], record.Model))
		}
	}
	d.note = fmt.Sprintf("%d of %d replies in %d attempts; survived: %s", summary.Settled, summary.Planned, summary.Sent, strings.Join(survived, ", "))
	return nil
}

func (d *demo) analyse(ctx context.Context) error {
	kase, err := ledger.Open(d.out.Case)
	if err != nil {
		return err
	}
	d.out.Findings, err = family.Analyze(ctx, kase, d.world.keys, family.Options{Progress: func(p family.Progress) {
		if p.Index == 0 {
			return // they are few
		}
		d.Progress(fmt.Sprintf("test %d/%d %s: %s %d/%d", p.Index, p.Tests, p.Test, p.Step, p.Done, p.Of))
	}})
	if err != nil {
		return err
	}
	encoded, err := family.Encode(d.out.Findings)
	if err != nil {
		return err
	}
	if _, err := ledger.SaveAnalysis(d.out.Case, encoded); err != nil {
		return err
	}
	d.note = fmt.Sprintf("%d tests, each against %d decoy keys", len(d.out.Findings.Findings), d.out.Plan.Decoys.N)
	return nil
}

func (d *demo) report(ctx context.Context) error {
	d.Progress("building the report")
	built, err := reports.Build(ctx, d.out.Case, reports.BuildOptions{Keys: d.world.keys, Program: d.Program})
	if err != nil {
		return err
	}
	d.out.Report = built.HTML
	stamp := func(_ context.Context, digest [32]byte) ([]byte, error) { return d.authority.Stamp(digest) }
	// The key of a certificate is drawn anew every time: no number depends on it.
	document, err := reports.NewDocumentSigner(d.signer.Name(), time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	document.Stamp = stamp
	sealed, err := reports.Seal(ctx, d.out.Case, d.signer, reports.SealOptions{
		Disclose: d.world.keys, Out: d.out.Zip, Stamp: stamp, Document: document,
	})
	if err != nil {
		return err
	}
	d.note = fmt.Sprintf("%d files, subkeys disclosed, signed and timestamped", sealed.Files)
	return nil
}

func (d *demo) verify(ctx context.Context) error {
	trusted, err := ledger.LoadPublic(d.out.Signer)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.authority.CertPEM())
	d.out.Verified, err = verify.Verify(ctx, d.out.Zip, verify.Options{
		Trust: trusted, TSARoots: roots, Program: d.Program,
		Progress: func(stage string, done, total int64) { d.Progress(fmt.Sprintf("verify: %s %d/%d", stage, done, total)) },
	})
	if err != nil {
		return err
	}
	d.note = fmt.Sprintf("%s, recomputed %d of %d numbers", d.out.Verified.State, d.out.Verified.Numbers.Recomputed, d.out.Verified.Numbers.Total)
	if d.out.Verified.Exit != 0 {
		return fmt.Errorf("the sealed case does not verify: %s", d.out.Verified.Verdict)
	}
	return nil
}

// WriteSummary prints what the demonstration found, for people.
func (o *Outcome) WriteSummary(w io.Writer, table func(io.Writer, *ledger.Plan, *ledger.Findings) error) error {
	if err := table(w, o.Plan, o.Findings); err != nil {
		return err
	}
	strongest := 0.0
	for i := range o.Findings.Findings {
		f := &o.Findings.Findings[i]
		if f.Role == ledger.Control && f.Log10P != nil {
			strongest = math.Min(strongest, *f.Log10P)
		}
	}
	_, err := fmt.Fprintf(w, `
This is a demonstration: n-gram students memorise their training text, so these
strengths predict nothing about large models. What carries over is the calibration
(the smallest log10 p among controls is %.2f) and every step of the way.

report   %s
case     %s
package  %s

Next:
  1. open the report:          stillmark report open %s
  2. verify it as the other side would:
                               stillmark verify %s --trust %s --tsa-root %s
  3. audit a real endpoint:    stillmark config init, then the README's tour for research teams
`, strongest, o.Report, o.Case, o.Zip, o.Case, o.Zip, o.Signer, o.Root)
	return err
}
