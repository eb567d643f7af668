package verify

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// changes is how many random changes are tried, 1.5 ms of processor time each. The
// figure in the README was measured with -changes 12000.
var changes = flag.Int("changes", 4_000, "random changes that TestMutations tries")

// mutation changes a package and says how; "" where it could not.
type mutation func(rng *rand.Rand, m, other fstest.MapFS) string

// pick is a file of a package, of a kind.
func pick(rng *rand.Rand, m fstest.MapFS, kind func(name string) bool) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if kind == nil || kind(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[rng.IntN(len(names))]
}

func set(m fstest.MapFS, name string, data []byte) {
	m[name] = &fstest.MapFile{Data: data, Mode: 0o600}
}

// bytesOf changes the bytes of a random file.
func bytesOf(what string, change func(rng *rand.Rand, data []byte) []byte) mutation {
	return func(rng *rand.Rand, m, _ fstest.MapFS) string {
		name := pick(rng, m, nil)
		if len(m[name].Data) == 0 {
			return ""
		}
		set(m, name, change(rng, bytes.Clone(m[name].Data)))
		return what + " " + name
	}
}

// linesOf changes the order or number of the lines of the ledger.
func linesOf(what string, change func(rng *rand.Rand, lines [][]byte) [][]byte) mutation {
	return func(rng *rand.Rand, m, _ fstest.MapFS) string {
		if m["ledger.jsonl"] == nil {
			return "" // an earlier change took it away
		}
		lines := bytes.SplitAfter(m["ledger.jsonl"].Data, []byte("\n"))
		if len(lines) < 3 {
			return ""
		}
		set(m, "ledger.jsonl", bytes.Join(change(rng, slices.Clone(lines[:len(lines)-1])), nil))
		return what
	}
}

// of takes files of another case by the same signer.
func of(what string, kind func(name string) bool) mutation {
	return func(_ *rand.Rand, m, other fstest.MapFS) string {
		n := 0
		for name, file := range other {
			if kind(name) {
				set(m, name, file.Data)
				n++
			}
		}
		if n == 0 {
			return ""
		}
		return what
	}
}

var mutations = []mutation{
	bytesOf("a bit of", func(rng *rand.Rand, b []byte) []byte { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8); return b }),
	bytesOf("a byte of", func(rng *rand.Rand, b []byte) []byte { b[rng.IntN(len(b))] += byte(1 + rng.IntN(255)); return b }),
	bytesOf("truncated", func(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b))] }),
	bytesOf("appended to", func(rng *rand.Rand, b []byte) []byte { return append(b, b[rng.IntN(len(b)):]...) }),
	bytesOf("a newline at the end of", func(_ *rand.Rand, b []byte) []byte { return append(b, '\n') }),
	bytesOf("zeros in", func(rng *rand.Rand, b []byte) []byte {
		at := rng.IntN(len(b))
		clear(b[at:min(len(b), at+1+rng.IntN(200))])
		return b
	}),
	bytesOf("a stretch doubled in", func(rng *rand.Rand, b []byte) []byte {
		at := rng.IntN(len(b))
		return slices.Insert(b, at, b[at:min(len(b), at+1+rng.IntN(100))]...)
	}),
	bytesOf("a stretch cut from", func(rng *rand.Rand, b []byte) []byte {
		at := rng.IntN(len(b))
		return slices.Delete(b, at, min(len(b), at+1+rng.IntN(100)))
	}),
	bytesOf("a digit of", func(rng *rand.Rand, b []byte) []byte {
		for range 50 {
			if at := rng.IntN(len(b)); b[at] >= '0' && b[at] <= '9' {
				b[at] = '0' + (b[at]-'0'+byte(1+rng.IntN(9)))%10
				return b
			}
		}
		return b
	}),
	func(rng *rand.Rand, m, _ fstest.MapFS) string { // without its token a seal's time is the signer's own claim: see TestTimes
		name := pick(rng, m, func(name string) bool { return !strings.HasSuffix(name, "report.dsse.tsr") })
		delete(m, name)
		return "removed " + name
	},
	func(rng *rand.Rand, m, _ fstest.MapFS) string {
		a, b := pick(rng, m, nil), pick(rng, m, nil)
		m[a], m[b] = m[b], m[a]
		return "swapped " + a + " and " + b
	},
	func(rng *rand.Rand, m, _ fstest.MapFS) string {
		a, b := pick(rng, m, nil), pick(rng, m, nil)
		m[a] = m[b]
		return b + " in the place of " + a
	},
	func(rng *rand.Rand, m, _ fstest.MapFS) string {
		name := pick(rng, m, nil)
		to := path.Join(path.Dir(name), "x-"+path.Base(name))
		m[to] = m[name]
		if rng.IntN(2) == 0 {
			delete(m, name)
		}
		return name + " under another name"
	},
	linesOf("two lines of the ledger swapped", func(rng *rand.Rand, l [][]byte) [][]byte {
		i, j := rng.IntN(len(l)), rng.IntN(len(l))
		l[i], l[j] = l[j], l[i]
		return l
	}),
	linesOf("lines of the ledger dropped", func(rng *rand.Rand, l [][]byte) [][]byte {
		i := rng.IntN(len(l))
		return slices.Delete(l, i, min(len(l), i+1+rng.IntN(4)))
	}),
	linesOf("the ledger's end dropped", func(rng *rand.Rand, l [][]byte) [][]byte { return l[:rng.IntN(len(l))] }),
	linesOf("a line of the ledger doubled", func(rng *rand.Rand, l [][]byte) [][]byte {
		return slices.Insert(l, rng.IntN(len(l)), l[rng.IntN(len(l))])
	}),
	linesOf("the ledger rotated", func(rng *rand.Rand, l [][]byte) [][]byte {
		n := 1 + rng.IntN(len(l)-1)
		return append(slices.Clone(l[n:]), l[:n]...)
	}),
	of("an older plan", func(name string) bool {
		return strings.HasPrefix(name, "plan.") || name == "prompts.jsonl" || name == "case.json"
	}),
	of("the plan alone", func(name string) bool { return name == "plan.json" }),
	of("another report, the data as they were", func(name string) bool { return strings.HasPrefix(name, "reports/") }),
	of("other findings", func(name string) bool { return strings.HasPrefix(name, "analysis/") }),
	of("another ledger", func(name string) bool { return name == "ledger.jsonl" }),
	of("other replies", func(name string) bool { return strings.HasPrefix(name, "blobs/") }),
	of("other heads", func(name string) bool { return strings.HasPrefix(name, "checkpoints/") }),
	of("another custody log", func(name string) bool { return name == "custody.jsonl" }),
	of("another manifest", func(name string) bool { return name == "manifest-sha256.txt" }),
}

// same reports whether two packages hold the same.
func same(a, b fstest.MapFS) bool {
	return maps.EqualFunc(a, b, func(x, y *fstest.MapFile) bool { return bytes.Equal(x.Data, y.Data) })
}

// Random changes, of bytes and of structure, alone and two at once, of whole cases and
// of redacted copies: every one is caught.
func TestMutations(t *testing.T) {
	t.Parallel()
	f, later := build(t, design{prompts: 24}), build(t, design{prompts: 24, tokens: 61})
	dir, _ := redactedCopy(t, f, "copy", redactAll)
	plain := build(t, design{plain: true})
	f.roots.AppendCertsFromPEM(plain.authority.CertPEM())
	packages := []fstest.MapFS{load(t, f.dir), load(t, dir), load(t, plain.dir)}
	other := load(t, later.dir)
	opt := f.trust()
	for i, m := range packages {
		if r := check(t, m, opt); r.State == Invalid {
			t.Fatalf("package %d itself: %s", i, r.Verdict)
		}
	}
	total := *changes
	if testing.Short() {
		total = min(total, 600)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	exits := map[int]int{}
	work := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range work {
				rng := rand.New(rand.NewPCG(seed, 99))
				original := packages[seed%uint64(len(packages))]
				var m fstest.MapFS
				var how []string
				for m == nil || same(m, original) {
					m, how = maps.Clone(original), nil
					for range 1 + rng.IntN(8)/6 { // most alone, some two at once
						how = append(how, mutations[rng.IntN(len(mutations))](rng, m, other))
					}
				}
				r := check(t, m, opt)
				if err := caught(r, ""); err != nil {
					t.Errorf("seed %d, package %d, %q: %v", seed, seed%uint64(len(packages)), how, err)
				}
				mu.Lock()
				exits[r.Exit]++
				mu.Unlock()
			}
		})
	}
	for seed := range uint64(total) {
		work <- seed
	}
	close(work)
	wg.Wait()
	t.Logf("%d changes of %d packages, exit codes %v", total, len(packages), exits)
}
