package probe

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// kills is how many times the run is killed; STILLMARK_KILLS sets another number.
const kills = 15

// A run that is killed again and again, at moments of nobody's choosing, and
// continued by the same command, ends with the numbers of one that was not.
func TestKillAndResume(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	n := kills
	if v := os.Getenv("STILLMARK_KILLS"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	k := testKey(t, watermark.KGW)
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	reply := func(m watermark.Scheme) mock.Generator {
		return generator(func(req mock.GenRequest) string {
			time.Sleep(5 * time.Millisecond)
			return green(e, m, req.Prompt, 24)
		})
	}
	// Some faults on top: a killed run must not lose count of its retries.
	s := serveModels(t, &mock.Script{Faults: []mock.Fault{
		{Kind: mock.FaultDrop, AfterPieces: 4, At: oneIn(13)},
		{Kind: mock.FaultStatus, Status: 500, At: oneIn(17)},
	}}, map[string]mock.Generator{"nova": reply(mark), "plain": reply(nil)})
	in := input(t, s.URL(), 40*n)
	in.Keys = []PlanKey{{Key: k}}
	in.Params.MaxTokens = 40
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := sealDraft(t, d)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	killed := 0
	for done := false; !done; {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), runCase+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var after <-chan time.Time
		if killed < n {
			after = time.After(30*time.Millisecond + time.Duration(rng.Int64N(int64(120*time.Millisecond))))
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("after %d kills the run ended with %v", killed, err)
			}
			done = true
		case <-after:
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			<-ended
			killed++
		}
	}
	all := events(t, dir)
	orphans := len(all[ledger.EventIntent]) - len(all[ledger.EventReply]) - len(all[ledger.EventAttemptFailed])
	t.Logf("%d kills left %d attempts without an outcome", killed, orphans)
	if killed == 0 {
		t.Fatal("the run was over before it could be killed")
	}
	ref := sealDraft(t, d)
	if _, err := Run(t.Context(), ref, RunOptions{pace: quick}); err != nil {
		t.Fatal(err)
	}
	got, want := findings(t, dir, k), findings(t, ref, k)
	if want.Findings[0].N == 0 || want.Accounting[0].Analysed != int64(40*n) {
		t.Fatalf("the reference has %+v", want.Accounting[0])
	}
	sameNumbers(t, got, want)
	if len(got.Deviations) == 0 || len(want.Deviations) != 0 {
		t.Errorf("deviations %q and %q", got.Deviations, want.Deviations)
	}
}
