package strength

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// someCases are those whose labels begin with one of the prefixes.
func someCases(prefixes ...string) []Case {
	return slices.DeleteFunc(Cases(), func(c Case) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c.Labels, p) })
	})
}

// TestCommittedCalibration draws the first keys of every case of the committed
// table again, and holds README's table against it.
func TestCommittedCalibration(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/calibration.json")
	if err != nil {
		t.Fatal(err)
	}
	table, err := ParseCalibration(data)
	if err != nil {
		t.Fatal(err)
	}
	cases := Cases()
	if len(table.Cases) != len(cases) {
		t.Fatalf("the table has %d cases, the code %d: calibrate again", len(table.Cases), len(cases))
	}
	for i, c := range cases {
		x := table.Cases[i]
		if x.Labels != c.Labels || x.Keys != c.Keys || x.Units != c.Units || len(x.Prefix) != prefixKeys {
			t.Errorf("case %d is %s with %d keys in the table, %s with %d in the code", i, x.Labels, x.Keys, c.Labels, c.Keys)
			continue
		}
		n := prefixKeys
		if c.shard == tableShard { // 10 ms a key
			n = 4
		}
		d, err := newDrawing(c, table.Seed)
		if err != nil {
			t.Fatal(err)
		}
		u, err := d.draw(t.Context(), 0, n)
		if err != nil {
			t.Fatal(err)
		}
		for k := range u {
			if !sameP(u[k], x.Prefix[k]) {
				t.Errorf("%s: key %d has p %v, in the table %v: the code changed, calibrate again", c.Labels, k, u[k], x.Prefix[k])
				break
			}
		}
		if want := d.verdict(&x); x.Verdict != want {
			t.Errorf("%s: %s, by its figures %s", x.Labels, x.Verdict, want)
		}
	}
	if bad := table.NotUniform(); len(bad) > 0 {
		t.Errorf("not uniform: %v", bad)
	}
	var b strings.Builder
	if err := table.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), b.String()) {
		t.Error("watermark/README.md does not hold the table as calibrate -o FILE.md writes it")
	}
}

// TestCalibrationGoesOn cuts a run off in the middle of a shard, at every stage of
// its state, and wants the result of one that was left alone.
func TestCalibrationGoesOn(t *testing.T) {
	t.Parallel()
	cases := someCases("scheme=tournament/prf=aes-ctr-v1", "scheme=sglang")
	for i := range cases {
		cases[i].Units, cases[i].shard = 20, 400
	}
	config := CalibrationConfig{Cases: cases, Keys: 1800, Seed: 3}
	want, err := Calibrate(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	config.State = t.TempDir()
	for stops := 1; ; stops++ {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		config.Progress = func(share float64, _ string) {
			if share < 0 || share > 1 {
				t.Errorf("share %v", share)
			}
			if seen++; seen == 4 {
				cancel()
			}
		}
		got, err := Calibrate(ctx, config)
		cancel()
		if err == nil {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("after %d stops the table differs", stops)
			}
			if stops < 3 {
				t.Errorf("%d stops only: the test did not interrupt", stops)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		// kill -9 leaves half a shard behind what is whole.
		files, _ := filepath.Glob(filepath.Join(config.State, "*.p"))
		for _, path := range files {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Write(make([]byte, 1000*stops))
			f.Close()
		}
	}
	config.Progress = nil
	config.Seed = 4
	var usage *UsageError
	if _, err := Calibrate(t.Context(), config); !errors.As(err, &usage) || !strings.Contains(err.Error(), "another seed or case") {
		t.Errorf("state of another seed: %v", err)
	}
	// What another version drew is not mixed with what this one draws.
	config.Seed = 3
	path, _ := filepath.Glob(filepath.Join(config.State, "*tournament*weights*.p"))
	f, err := os.OpenFile(path[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := stateFile{f, int64(8*400 + 4)}
	u, _, err := s.read(0)
	if err != nil {
		t.Fatal(err)
	}
	u[5] /= 2
	if err := s.write(0, u); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Calibrate(t.Context(), config); !errors.As(err, &usage) || !strings.Contains(err.Error(), "another version") {
		t.Errorf("state of another version: %v", err)
	}
}

// TestCalibrationCanFail: p-values that are too small, by a bias in the middle or
// in the tail alone, are noticed.
func TestCalibrationCanFail(t *testing.T) {
	t.Parallel()
	c := someCases("scheme=kgw/prf=aes-ctr-v1")[0]
	c.Keys = 20_000
	for name, change := range map[string]func(u float64) float64{
		"sound":  func(u float64) float64 { return u },
		"middle": func(u float64) float64 { return math.Pow(u, 1.05) },
		"tail": func(u float64) float64 {
			if u < 3e-3 {
				return u / 3
			}
			return u
		},
	} {
		d, err := newDrawing(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		d.p = make([]float64, c.Keys)
		for i := range d.p {
			d.p[i] = change((float64(i) + .5) / float64(c.Keys))
		}
		want := NotUniform
		if name == "sound" {
			want = Uniform
		}
		if got := d.judge(); got.Verdict != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCasesCoverThePresets(t *testing.T) {
	t.Parallel()
	cases := Cases()
	for _, name := range watermark.SchemeNames() {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.Spec.Scheme == name }) {
			t.Errorf("%s is not calibrated", name)
		}
	}
}

// The interval's ends are the .0005 and .9995 quantiles, by exact sums of binomial
// coefficients.
func TestBinomialInterval(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		n      int64
		p      float64
		lo, hi int64
	}{
		{1000, .01, 2, 22},
		{10, .5, 0, 10},
		{1, .5, 0, 1},
	} {
		if lo, hi := binomialInterval(test.n, test.p, .999); lo != test.lo || hi != test.hi {
			t.Errorf("Bin(%d, %v): %d..%d, want %d..%d", test.n, test.p, lo, hi, test.lo, test.hi)
		}
	}
}

func FuzzParseCalibration(f *testing.F) {
	f.Add([]byte(`{"format":1,"seed":1,"cases":[{"labels":"a","keys":3,"tails":[{"alpha":0.01,"count":1,"lo":0,"hi":2}],"verdict":"uniform","prefix":[0.5]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCalibration(data)
		if err != nil {
			return
		}
		once, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCalibration(once); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
