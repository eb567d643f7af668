package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

func spellings(secret []byte) [][]byte {
	return [][]byte{
		secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
		[]byte(base64.StdEncoding.EncodeToString(secret)), []byte(base64.RawURLEncoding.EncodeToString(secret)),
	}
}

// numericLeaves visits every number of a JSON tree with its pointer and a
// function that sets it.
func numericLeaves(v any, pointer string, visit func(pointer string, old json.Number, set func(json.Number))) {
	child := func(at string, x any, set func(json.Number)) {
		if n, ok := x.(json.Number); ok {
			visit(at, n, set)
			return
		}
		numericLeaves(x, at, visit)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			child(pointer+"/"+escape(k), v[k], func(n json.Number) { v[k] = n })
		}
	case []any:
		for i := range v {
			child(fmt.Sprintf("%s/%d", pointer, i), v[i], func(n json.Number) { v[i] = n })
		}
	}
}

// changed is another number, near the old one.
func changed(t testing.TB, n json.Number) json.Number {
	t.Helper()
	if i, err := n.Int64(); err == nil {
		return json.Number(strconv.FormatInt(i+1, 10))
	}
	x := must[float64](t)(n.Float64())
	return json.Number(strconv.FormatFloat(x*1.0001, 'g', -1, 64))
}

// Every number of report.json and findings.json, changed one at a time: the
// comparison with a second computation names that very leaf.
func TestEveryNumberIsCompared(t *testing.T) {
	t.Parallel()
	f := build(t, design{broken: true, prompts: 10})
	total, step := 0, 1
	if testing.Short() {
		step = 5
	}
	for _, name := range []string{"reports/" + f.report + "/report.json", "analysis/" + f.analysis + "/findings.json"} {
		data := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, name)))
		sealed, computed := must[any](t)(tree(data)), must[any](t)(tree(data))
		numericLeaves(sealed, "", func(pointer string, old json.Number, set func(json.Number)) {
			for prefix := range model.Exempt() {
				if under(pointer, prefix) {
					t.Errorf("%s is exempt; numbers must not be", pointer)
				}
			}
			if total++; total%step != 0 {
				return
			}
			set(changed(t, old))
			defer set(old)
			c := comparison{rule: func(string) leafRule { return leafCompare }, numbers: new(Numbers)}
			if c.walk("", sealed, computed); c.found != pointer {
				t.Errorf("%s%s was changed, named is %q", name, pointer, c.found)
			}
		})
	}
	if total < 1000 {
		t.Errorf("only %d numbers", total)
	}
	t.Logf("%d numbers, every %d. changed, each named", total, step)
}

// The same through the front door: a number is changed and everything is sealed
// again with the key that the reader trusts.
func TestSealedNumbers(t *testing.T) {
	t.Parallel()
	f := build(t, design{broken: true})
	reportFile := "reports/" + f.report + "/report.json"
	sealed := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, reportFile)))
	var pointers []string
	numericLeaves(must[any](t)(tree(sealed)), "", func(p string, _ json.Number, _ func(json.Number)) {
		if p != "/format" { // another format is refused by the seal already
			pointers = append(pointers, p)
		}
	})
	sample := 24
	if testing.Short() {
		sample = 8
	}
	for i := 0; i < len(pointers); i += len(pointers) / sample {
		t.Run(pointers[i], func(t *testing.T) {
			t.Parallel()
			edited := must[any](t)(tree(sealed))
			numericLeaves(edited, "", func(p string, old json.Number, set func(json.Number)) {
				if p == pointers[i] {
					set(changed(t, old))
				}
			})
			r := new(model.Report)
			if err := json.Unmarshal(must[[]byte](t)(json.Marshal(edited)), r); err != nil {
				t.Fatal(err)
			}
			dir := f.copyTo(t, t.TempDir())
			write(t, dir, reportFile, must[[]byte](t)(model.Encode(r)))
			reseal(t, f, dir, f.signer)
			got := f.verify(t, dir, f.trust())
			want := "INVALID: " + reportFile + "#" + pointers[i] + ":"
			if got.Exit != integrity.ExitDiffers || got.State != Invalid || !strings.HasPrefix(got.Verdict, want) {
				t.Errorf("%s, exit %d: %s", got.State, got.Exit, got.Verdict)
			}
		})
	}
}

func write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is no number is compared as well: sentences, verdicts, layout, summary.
func TestSealedWords(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	folder := "reports/" + f.report + "/"
	findings := "analysis/" + f.analysis + "/findings.json"
	replace := func(name, old, with string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			data := must[[]byte](t)(os.ReadFile(filepath.Join(dir, name)))
			if !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%s does not hold %q", name, old)
			}
			write(t, dir, name, bytes.Replace(data, []byte(old), []byte(with), 1))
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		file   string
	}{
		"a sentence":       {replace(folder+"report.json", "It does not establish how", "It establishes how"), folder + "report.json"},
		"a verdict":        {replace(folder+"report.json", `"verdict": "no-trace"`, `"verdict": "dependence"`), folder + "report.json"},
		"an exhibit":       {replace(folder+"report.json", `"l": 4`, `"l": 1`), folder + "report.json"},
		"the page":         {replace(folder+"report.html", "no trace found", "trace found!!!"), folder + "report.html"},
		"the page's style": {replace(folder+"report.html", "color-scheme: light dark", "color-scheme: light dork"), folder + "report.html"},
		"the table":        {replace(folder+"findings.csv", "no-trace", "yes-trace"), folder + "findings.csv"},
		"another table":    {replace(folder+"tables/accounting.csv", "acme-nova-1,rival,8,", "acme-nova-1,rival,9,"), folder + "tables/accounting.csv"},
		"a certificate":    {replace(folder+"certificate-draft.txt", "I do not certify", "I certify"), folder + "certificate-draft.txt"},
		"a limitation taken": {func(t *testing.T, dir string) {
			editReport(t, dir, folder, func(r *model.Report) { r.Limits = r.Limits[1:] })
		}, folder + "report.json"},
		"an answer added": {func(t *testing.T, dir string) {
			editReport(t, dir, folder, func(r *model.Report) { r.Limits = append(r.Limits, model.Answer{Name: "x"}) })
		}, folder + "report.json"},
		"the findings": {func(t *testing.T, dir string) {
			x, _, err := reports.LoadFindings(os.DirFS(dir), f.analysis)
			if err != nil {
				t.Fatal(err)
			}
			x.Findings[0].Score++
			data := must[[]byte](t)(family.Encode(x))
			write(t, dir, findings, data)
			// A careful forger corrects the hash in the report.
			_, sum, err := reports.LoadFindings(os.DirFS(dir), f.analysis)
			if err != nil {
				t.Fatal(err)
			}
			editReport(t, dir, folder, func(r *model.Report) { r.Seal.FindingsSHA256 = sum })
		}, findings},
		"a disclosed key": {func(t *testing.T, dir string) {
			a, b := "disclosed/"+f.keys[0].ID+".json", "disclosed/"+f.keys[1].ID+".json"
			write(t, dir, b, must[[]byte](t)(os.ReadFile(filepath.Join(dir, a))))
		}, "disclosed/" + f.keys[1].ID + ".json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			c.damage(t, dir)
			reseal(t, f, dir, f.signer)
			r := f.verify(t, dir, f.trust())
			if r.Exit != integrity.ExitDiffers || blamed(r) != c.file {
				t.Errorf("exit %d, blamed %s\n%s", r.Exit, blamed(r), text(t, r))
			}
		})
	}
}

func editReport(t testing.TB, dir, folder string, edit func(*model.Report)) {
	t.Helper()
	r := must[*model.Report](t)(model.Decode(must[[]byte](t)(os.ReadFile(filepath.Join(dir, folder, "report.json")))))
	edit(r)
	write(t, dir, folder+"report.json", must[[]byte](t)(model.Encode(r)))
}

// A report of a later format is called newer, not altered.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	m := load(t, f.dir)
	name := "reports/" + f.report + "/statement.intoto.json"
	st := must[ledger.Statement](t)(ledger.DecodeStatement(m[name].Data))
	st.Predicate = bytes.Replace(st.Predicate, []byte(`"format": 2`), []byte(`"format": 3, "novelty": true`), 1)
	payload := must[[]byte](t)(ledger.EncodeStatement(st))
	envelope := must[[]byte](t)(f.signer.SignDSSE(ledger.PayloadInToto, payload))
	m = with(with(m, name, payload), "reports/"+f.report+"/report.dsse.json", envelope)
	m = with(m, "reports/"+f.report+"/"+integrity.SSHName, must[[]byte](t)(ledger.SignSSH(payload, f.signer)))
	r := check(t, m, f.trust())
	if r.Exit != integrity.ExitIncomplete || !strings.Contains(r.Verdict, "format 3") {
		t.Errorf("exit %d: %s", r.Exit, r.Verdict)
	}
}

func TestCompareTrees(t *testing.T) {
	t.Parallel()
	compare := func(string) leafRule { return leafCompare }
	for _, c := range []struct {
		sealed, computed, found string
	}{
		{`{"a":1}`, `{"a":1}`, ""},
		{`{"a":1.0000000001}`, `{"a":1.0}`, ""}, // rounding
		{`{"a":1.00001}`, `{"a":1.0}`, "/a"},
		{`{"a":1e999}`, `{"a":1.0}`, "/a"},
		{`{"a":100000000000000001}`, `{"a":100000000000000002}`, "/a"},
		{`{"a":1,"b":2}`, `{"a":1}`, "/b"},
		{`{"a":1}`, `{"a":1,"b":2}`, "/b"},
		{`{"a":[1,2]}`, `{"a":[1,2,3]}`, "/a/2"},
		{`{"a":[1,2,3]}`, `{"a":[1,2]}`, "/a/2"},
		{`{"a":"1"}`, `{"a":1}`, "/a"},
		{`{"a":null}`, `{"a":0}`, "/a"},
		{`{"a":0}`, `{"a":null}`, "/a"},
		{`{"a":{}}`, `{"a":[]}`, "/a"},
		{`{"a":true}`, `{"a":false}`, "/a"},
		{`{"a/b~c":1}`, `{"a/b~c":2}`, "/a~1b~0c"},
	} {
		v := newVerifier(Options{})
		same := v.compare("f", []byte(c.sealed), []byte(c.computed), "", compare)
		if same != (c.found == "") {
			t.Errorf("%s and %s: same is %v", c.sealed, c.computed, same)
		} else if !same && v.r.Lines[0].File != "f#"+c.found {
			t.Errorf("%s and %s: %s, want %s", c.sealed, c.computed, v.r.Lines[0].File, c.found)
		}
	}
}

// What another version wrote may be worded otherwise; numbers, verdicts and names may
// not be, and nothing that was sealed may be missing.
func TestCompareAnotherVersion(t *testing.T) {
	t.Parallel()
	compare := func(string) leafRule { return leafCompare }
	for _, c := range []struct {
		sealed, computed string
		found            string
		otherwise        bool
	}{
		{`{"a":1,"s":"An old sentence."}`, `{"a":1,"s":"A new sentence."}`, "", true},
		{`{"a":1}`, `{"a":1,"b":2,"c":[]}`, "", true},
		{`{"a":["One sentence."]}`, `{"a":["One sentence.","And another."]}`, "", true},
		{`{"a":["One sentence.","And another."]}`, `{"a":["One sentence."]}`, "", true},
		{`{"a":1}`, `{"a":1}`, "", false},
		{`{"a":1,"s":"x y"}`, `{"a":2,"s":"x z"}`, "/a", false},
		{`{"verdict":"dependence"}`, `{"verdict":"no-trace"}`, "/verdict", false},
		{`{"a":1,"b":2}`, `{"a":1}`, "/b", false},
		{`{"a":[1,2]}`, `{"a":[1]}`, "/a/1", false},
		{`{"a":null}`, `{"a":0}`, "/a", false},
		{`{"s":"A sentence."}`, `{"s":7}`, "/s", false},
	} {
		v := newVerifier(Options{Program: ledger.Build{Version: "v2"}})
		same := v.compare("f", []byte(c.sealed), []byte(c.computed), "v1", compare)
		switch {
		case same != (c.found == ""), !same && v.r.Lines[0].File != "f#"+c.found, c.otherwise != (len(v.caps) == 1):
			t.Errorf("%s and %s: same is %v, %v, %+v", c.sealed, c.computed, same, v.caps, v.r.Lines)
		case !same:
		case c.otherwise != has(v.r, LevelWarn, CodeNumbers):
			t.Errorf("%s and %s: %+v", c.sealed, c.computed, v.r.Lines)
		}
	}
}
