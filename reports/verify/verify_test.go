package verify

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

func TestTrusted(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for _, path := range []string{f.dir, f.zip} {
		r := f.verify(t, path, f.trust())
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", &text)
		if r.State != Trusted || r.Exit != 0 {
			t.Fatalf("%s: %s, exit %d", path, r.State, r.Exit)
		}
		if r.Numbers.Recomputed != r.Numbers.Total || r.Numbers.Total < 200 {
			t.Errorf("%s: recomputed %d of %d numbers", path, r.Numbers.Recomputed, r.Numbers.Total)
		}
		if !strings.Contains(text.String(), "VERDICT TRUSTED: unaltered since 2026-11-20T12:00:00Z.") {
			t.Error("the verdict does not name the timestamp's time")
		}
	}
	_ = os.Getenv
	_ = ledger.OK
}
