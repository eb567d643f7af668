package verify

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// load reads a folder into memory, where a test can damage it thousands of
// times without touching the disk.
func load(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	for _, name := range files(t, dir) {
		data, err := fs.ReadFile(os.DirFS(dir), name)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = &fstest.MapFile{Data: data, Mode: 0o600}
	}
	return m
}

// with returns a copy of the files in which one has other content; nil removes it.
func with(m fstest.MapFS, name string, data []byte) fstest.MapFS {
	out := maps.Clone(m)
	if data == nil {
		delete(out, name)
		return out
	}
	out[name] = &fstest.MapFile{Data: data, Mode: 0o600}
	return out
}

// check verifies files in memory.
func check(t testing.TB, m fs.FS, opt Options) *Result {
	t.Helper()
	r, err := newVerifier(opt).run(t.Context(), &integrity.Package{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// blamed is the file that the first failure names, without a JSON pointer.
func blamed(r *Result) string {
	for _, l := range r.Lines {
		if l.Level == LevelFail {
			file, _, _ := strings.Cut(l.File, "#")
			return file
		}
	}
	return ""
}

var failures = []int{
	integrity.ExitAltered, integrity.ExitBadSignature, integrity.ExitTime, integrity.ExitIncomplete, integrity.ExitDiffers,
}

// caught says what is wrong with a verification of a case in which one file was
// damaged, or nothing.
func caught(r *Result, file string) error {
	switch {
	case r.State != Invalid || !slices.Contains(failures, r.Exit):
		return fmt.Errorf("%s, exit %d", r.State, r.Exit)
	case file != "" && blamed(r) != file:
		return fmt.Errorf("exit %d blames %q: %s", r.Exit, blamed(r), r.Verdict)
	}
	return nil
}

// positions are the bytes of a file that are flipped: every third one of a small
// file, a sample of a large one, and always both ends; with STILLMARK_FLIPS=all every
// byte up to four times the size.
func positions(size int) []int {
	const sample = 200
	step, small := 3, 1<<10
	if os.Getenv("STILLMARK_FLIPS") == "all" {
		step, small = 1, 4<<10
	}
	var out []int
	if size > small {
		step = max(step, size/sample)
	}
	if testing.Short() {
		step = max(step, size/20)
	}
	for i := 0; i < size; i += step {
		out = append(out, i)
	}
	if size > 0 && out[len(out)-1] != size-1 {
		out = append(out, size-1)
	}
	return out
}

// One bit flipped anywhere in any file of a sealed case: the verification fails
// and names that very file.
func TestEveryFileFlipped(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	m := load(t, f.dir)
	if r := check(t, m, f.trust()); r.State != Trusted {
		t.Fatalf("the case itself: %s", r.Verdict)
	}
	type flip struct {
		file string
		at   int
	}
	work := make(chan flip)
	var wg sync.WaitGroup
	var mu sync.Mutex
	exits := map[string]map[int]int{}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for w := range work {
				data := bytes.Clone(m[w.file].Data)
				data[w.at] ^= 1 << (w.at % 7)
				r := check(t, with(m, w.file, data), f.trust())
				if err := caught(r, w.file); err != nil {
					t.Errorf("%s, byte %d (%q -> %q): %v", w.file, w.at, m[w.file].Data[w.at], data[w.at], err)
				}
				mu.Lock()
				if exits[w.file] == nil {
					exits[w.file] = map[int]int{}
				}
				exits[w.file][r.Exit]++
				mu.Unlock()
			}
		})
	}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(m)) {
		for _, at := range positions(len(m[name].Data)) {
			work <- flip{name, at}
			n++
		}
	}
	close(work)
	wg.Wait()
	t.Logf("%d flips in %d files", n, len(m))
	for _, name := range slices.Sorted(maps.Keys(exits)) {
		t.Logf("%-60s %v", name, exits[name])
	}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	m := load(t, f.dir)
	names := slices.Sorted(maps.Keys(m))
	run := func(name string, m fstest.MapFS, file string, exits ...int) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := check(t, m, f.trust())
			if err := caught(r, file); err != nil {
				t.Error(err)
			}
			if len(exits) > 0 && !slices.Contains(exits, r.Exit) {
				t.Errorf("exit %d, want one of %v: %s", r.Exit, exits, r.Verdict)
			}
		})
	}
	token := "reports/" + f.report + "/report.dsse.tsr"
	for _, name := range names {
		data := m[name].Data
		if name != token { // without it the time is only the signer's own claim: see TestTimes
			run("remove "+name, with(m, name, nil), "", integrity.ExitIncomplete, integrity.ExitAltered)
		}
		run("empty "+name, with(m, name, []byte{}), name)
		run("truncate "+name, with(m, name, data[:len(data)/2]), name)
		run("cut one byte of "+name, with(m, name, data[:len(data)-1]), name)
		run("append to "+name, with(m, name, append(bytes.Clone(data), '\n')), name)
	}
	run("an extra file", with(m, "analysis/extra.json", []byte("{}")), "analysis/extra.json", integrity.ExitAltered)
	run("a second analysis", with(m, "analysis/999-00000000/findings.json", []byte("{}")), "analysis/999-00000000/findings.json", integrity.ExitAltered)
	run("a second signature", with(m, "reports/001-00000000/report.dsse.json", m["reports/"+f.report+"/report.dsse.json"].Data), "", integrity.ExitAltered)

	swapped := maps.Clone(m)
	a, b := "plan.json", "case.json"
	swapped[a], swapped[b] = swapped[b], swapped[a]
	run("two files swapped", swapped, b, integrity.ExitAltered)

	lines := bytes.SplitAfter(m["ledger.jsonl"].Data, []byte("\n"))
	join := func(l [][]byte) []byte { return bytes.Join(l, nil) }
	n := len(lines) - 1 // the last one is empty
	reordered := slices.Clone(lines)
	reordered[4], reordered[5] = reordered[5], reordered[4]
	run("ledger lines reordered", with(m, "ledger.jsonl", join(reordered)), "ledger.jsonl", integrity.ExitAltered)
	run("a ledger line dropped", with(m, "ledger.jsonl", join(slices.Delete(slices.Clone(lines), 6, 8))), "ledger.jsonl", integrity.ExitAltered)
	run("the last replies dropped", with(m, "ledger.jsonl", join(lines[:n-4])), "ledger.jsonl", integrity.ExitAltered)
	run("a ledger line doubled", with(m, "ledger.jsonl", join(slices.Insert(slices.Clone(lines), 3, lines[3]))), "ledger.jsonl", integrity.ExitAltered)
}

// The chain tells which line of the ledger was changed, and the ledger which
// block of a segment.
func TestTheFirstFailingByteIsNamed(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	m := load(t, f.dir)
	ledgerData := bytes.Clone(m["ledger.jsonl"].Data)
	lines := bytes.SplitAfter(ledgerData, []byte("\n"))
	start := 0
	for _, l := range lines[:10] {
		start += len(l)
	}
	// A digit of the eleventh line's clock: the line stays well-formed.
	at := start + bytes.Index(lines[10], []byte(`"mono_ns":`)) + len(`"mono_ns":`)
	ledgerData[at] = '1' + (ledgerData[at]-'0')%9
	r := check(t, with(m, "ledger.jsonl", ledgerData), f.trust())
	fail := r.Lines[0]
	if !strings.Contains(fail.Detail, "line 11") {
		t.Errorf("line 11 was changed, but: %s", fail.Detail)
	}

	segment := "blobs/segment-000001.bin"
	blobs := bytes.Clone(m[segment].Data)
	blobs[len(blobs)/2] ^= 1
	r = check(t, with(m, segment, blobs), f.trust())
	fail = r.Lines[0]
	if fail.Offset == nil || *fail.Offset > int64(len(blobs)/2) || *fail.Offset < int64(len(blobs)/2-4096) {
		t.Errorf("byte %d was changed, named is %v: %s", len(blobs)/2, fail.Offset, fail.Detail)
	}
}
