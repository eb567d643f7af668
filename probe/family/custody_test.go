package family

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/registry"
)

// custodyLog is the log of a registry in which a key served; other is one that is
// planned only. disclosed, if not zero, is when the first was laid open.
func custodyLog(t *testing.T, k, other *watermark.Key, disclosed time.Time) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	opt := registry.Options{Operator: "ann", Now: func() time.Time { return testTime.Add(-24 * time.Hour) }}
	if err := registry.Create(dir, "test", opt); err != nil {
		t.Fatal(err)
	}
	w, err := registry.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*watermark.Key{k, other} {
		if err := w.Add(x, "test"); err != nil {
			t.Fatal(err)
		}
	}
	moves := []registry.Move{{To: registry.Serving, At: testTime.Add(-23 * time.Hour), Exploratory: true, Reason: "test"}}
	if !disclosed.IsZero() {
		moves = append(moves, registry.Move{To: registry.Disclosed, At: disclosed, Reason: "test"})
	}
	for _, m := range moves {
		if _, err := w.Move(k.ID, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return must(os.ReadFile(filepath.Join(dir, "registry.log")))
}

func cohortKey(t *testing.T, label string, seed uint64) *watermark.Key {
	t.Helper()
	spec := newKey(t, watermark.Gumbel, 31).Spec
	spec.Label = label
	var b [32]byte
	b[0] = byte(seed)
	k, err := watermark.NewKey(spec, rand.NewChaCha8(b))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A cohort's key on two runs reaches H_cohort if the registry's log shows that it served
// and was not laid open, and H_any for any other log.
func TestCustody(t *testing.T) {
	t.Parallel()
	k, other := cohortKey(t, "pilot", 1), cohortKey(t, "others", 2)
	whole := custodyLog(t, k, other, time.Time{})
	cut := append([]byte{}, whole...)
	cut[len(cut)/2] ^= 1
	for _, tt := range []struct {
		name string
		log  []byte
		want ledger.Rung
	}{
		{"served its cohort", whole, ledger.RungCohort},
		{"none", nil, ledger.RungAny},
		{"damaged", cut, ledger.RungAny},
		{"planned only", custodyLog(t, other, k, time.Time{}), ledger.RungAny},
		{"of other keys", custodyLog(t, other, cohortKey(t, "third", 3), time.Time{}), ledger.RungAny},
		{"laid open before the replies", custodyLog(t, k, other, testTime.Add(-time.Hour)), ledger.RungAny},
		{"laid open long after", custodyLog(t, k, other, testTime.Add(1000*time.Hour)), ledger.RungCohort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := func(seed uint64) *scenario {
				s := newScenario(t, []string{"rival", "control"}, neutral(40))
				s.test(k, ledger.ModeFixedN)
				s.commit(k, testTime.Add(-48*time.Hour))
				rng := rand.New(rand.NewPCG(seed, 7))
				for i, marked := range markedTexts(t, k, seed, 40) {
					s.reply("rival", i, marked)
					s.reply("control", i, text(speak(rng, 80, nil, 0)))
				}
				if tt.log != nil {
					sum := sha256.Sum256(tt.log)
					ref := &s.plan.Keys[0]
					ref.Custody, ref.CustodySHA256 = "keys.log", hex.EncodeToString(sum[:])
					s.files = append(s.files, ledger.File{Name: "commitments/keys.log", Data: tt.log})
				}
				return s
			}
			f := analyze(t, secondRun(t, run(1).build(), run(2), 8*24*time.Hour), k)
			if l := f.Ladder; len(l) != 1 || l[0].Rung != tt.want || (tt.want == ledger.RungAny) != (l[0].Why[0].Code == whyCustody) {
				t.Errorf("%+v", l)
			}
		})
	}
}
