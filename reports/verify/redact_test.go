package verify

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// redacted makes a redacted copy of a fixture.
func redactedCopy(t testing.TB, f *fixture, name string, opt reports.RedactOptions) (string, *reports.Redacted) {
	t.Helper()
	opt.By, opt.Why, opt.Now = "J. Doe, counsel", "holdout prompts stay secret", caseTime.AddDate(0, 0, 1)
	out := filepath.Join(t.TempDir(), name)
	return out, must[*reports.Redacted](t)(reports.Redact(f.zip, out, opt))
}

// redactAll withholds something of every kind, and leaves something of most.
var redactAll = reports.RedactOptions{Items: []string{"*/*/p0[01]0/*"}, Prompts: true, Replies: true, Headers: true, Exhibits: true}

// Whatever is withheld: the copy verifies with the signatures of the whole case, says
// what it lacks, computes what it can and is never TRUSTED for what it cannot.
func TestRedacted(t *testing.T) {
	t.Parallel()
	f := build(t, design{prompts: 24})
	whole := f.verify(t, f.dir, f.trust())
	if whole.State != Trusted {
		t.Fatalf("the whole case: %s", text(t, whole))
	}
	for name, tt := range map[string]struct {
		opt        reports.RedactOptions
		state      State
		some, none []string // files that must and must not be there
		says       string
	}{
		"headers": {
			reports.RedactOptions{Headers: true},
			Trusted,
			[]string{"reports/" + f.report + "/report.json", "prompts.jsonl", "redacted/blobs/segment-000001.bin"},
			[]string{"blobs/segment-000001.bin"},
			"the headers of 48 responses",
		},
		"replies of a control": {
			reports.RedactOptions{Items: []string{"control-reference/*/*/*"}, Replies: true},
			Valid,
			[]string{"reports/" + f.report + "/report.json"},
			nil, "24 items are withheld as salted hashes",
		},
		"prompts": {
			reports.RedactOptions{Items: []string{"*/*/p00[0-4]/*"}, Prompts: true, Exhibits: true},
			Valid,
			[]string{"redacted/prompts.jsonl"},
			[]string{"prompts.jsonl", "reports/" + f.report + "/report.html", "reports/" + f.report + "/report.pdf"},
			"5 prompts, the bytes of 10 requests",
		},
		"everything": {
			reports.RedactOptions{Prompts: true, Replies: true, Headers: true, Exhibits: true},
			Valid,
			nil,
			[]string{"redacted/blobs/segment-000001.bin", "blobs/segment-000001.bin"},
			"24 prompts, the bytes of 48 requests and 48 responses",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, done := redactedCopy(t, f, "copy", tt.opt)
			zip, again := redactedCopy(t, f, "copy.zip", tt.opt)
			done.Path, again.Path, again.ZipSHA256 = "", "", ""
			if *done != *again {
				t.Errorf("folder %+v, zip %+v", done, again)
			}
			var results []*Result
			for _, path := range []string{dir, zip} {
				r := f.verify(t, path, f.trust())
				results = append(results, r)
				said := text(t, r)
				wantExit := map[State]int{Trusted: 0, Valid: integrity.ExitUntrusted}[tt.state]
				if r.State != tt.state || r.Exit != wantExit || !has(r, LevelNote, CodeRedaction) || !strings.Contains(said, tt.says) {
					t.Errorf("%s, exit %d\n%s", r.State, r.Exit, said)
				}
				if (r.Numbers.Withheld > 0) != (tt.state == Valid) {
					t.Errorf("%+v\n%s", r.Numbers, said)
				}
				if !strings.Contains(said, `"J. Doe, counsel"`) || !r.Since.Equal(whole.Since) {
					t.Errorf("%s", said)
				}
			}
			if results[0].Numbers != results[1].Numbers {
				t.Errorf("folder %+v, zip %+v", results[0].Numbers, results[1].Numbers)
			}
			there := files(t, dir)
			for _, name := range tt.some {
				if !slices.Contains(there, name) {
					t.Errorf("%s is missing", name)
				}
			}
			for _, name := range tt.none {
				if slices.Contains(there, name) {
					t.Errorf("%s is there", name)
				}
			}
			unseen(t, f, dir, tt.opt)
		})
	}
}

// unseen demands that nothing of what is withheld stands anywhere in a copy, and
// none of its hashes without a salt.
func unseen(t *testing.T, f *fixture, dir string, opt reports.RedactOptions) {
	t.Helper()
	var all []byte
	for _, name := range files(t, dir) {
		all = append(all, must[[]byte](t)(os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))))...)
	}
	c := must[*ledger.Case](t)(ledger.Open(dir))
	whole := must[*ledger.Case](t)(ledger.Open(f.dir))
	if opt.Prompts {
		for i := range whole.Plan().Prompts {
			q := &whole.Plan().Prompts[i]
			if !c.Plan().Prompts[i].Withheld() {
				continue
			}
			for _, secret := range []string{q.Text, q.Salt, sumOf([]byte(q.Text))} {
				if bytes.Contains(all, []byte(secret)) {
					t.Errorf("the copy holds %q of a withheld prompt", secret)
				}
			}
		}
	}
	n := 0
	err := c.Replies(func(rec ledger.ReplyRecord) error {
		if !rec.Withheld {
			return nil
		}
		n++
		response := must[[]byte](t)(whole.Blob(*rec.Attempt.Response))
		stored := must[[]byte](t)(whole.Stored(*rec.Attempt.Response))
		for _, secret := range [][]byte{response, stored[:32], []byte(sumOf(response))} {
			if bytes.Contains(all, secret) {
				t.Errorf("the copy holds %.60q of a withheld reply", secret)
			}
		}
		return nil
	})
	if err != nil || (n > 0) != (opt.Replies || opt.Exhibits) {
		t.Errorf("%d replies withheld, %v", n, err)
	}
}

// What cannot be withheld well is refused, and nothing is left behind.
func TestRedactRefusals(t *testing.T) {
	t.Parallel()
	f, plain := build(t, design{}), build(t, design{plain: true})
	copied, _ := redactedCopy(t, f, "copy", reports.RedactOptions{Headers: true})
	altered := f.copyTo(t, t.TempDir())
	write(t, altered, "case.json", []byte("{}"))
	for name, tt := range map[string]struct {
		from string
		opt  reports.RedactOptions
		want string
	}{
		"nothing":          {f.dir, reports.RedactOptions{By: "me"}, "nothing is to be withheld"},
		"nobody":           {f.dir, reports.RedactOptions{Headers: true}, "give a name"},
		"no such item":     {f.dir, reports.RedactOptions{By: "me", Items: []string{"nova/*/*/*"}, Headers: true}, "no item of the case"},
		"a bad pattern":    {f.dir, reports.RedactOptions{By: "me", Items: []string{"[/*/*/*"}, Headers: true}, "item pattern"},
		"an exhibit":       {f.dir, reports.RedactOptions{By: "me", Replies: true}, "is an exhibit of report " + f.report},
		"its prompt":       {f.dir, reports.RedactOptions{By: "me", Prompts: true}, "is an exhibit of report " + f.report},
		"no salts":         {plain.dir, reports.RedactOptions{By: "me", Headers: true}, "no salts"},
		"a redacted copy":  {copied, reports.RedactOptions{By: "me", Headers: true}, "redacted copy"},
		"an altered case":  {altered, reports.RedactOptions{By: "me", Headers: true}, "case.json"},
		"an existing file": {f.dir, reports.RedactOptions{By: "me", Headers: true}, "exists already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			out := filepath.Join(parent, "out")
			want := 0
			if name == "an existing file" {
				write(t, parent, "out", nil)
				want = 1
			}
			_, err := reports.Redact(tt.from, out, tt.opt)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if left := must[[]os.DirEntry](t)(os.ReadDir(parent)); len(left) != want {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if _, err := ledger.OpenWriter(copied, ledger.WriterOptions{}); err == nil || !strings.Contains(err.Error(), "redacted copy") {
		t.Errorf("a redacted copy was opened for writing: %v", err)
	}
	_, err := reports.Seal(t.Context(), copied, f.signer, reports.SealOptions{})
	wantUsage(t, err, "redacted copy")
}

// A reply that repeats its prompt gives the prompt away.
func TestRedactFindsWhatIsLeft(t *testing.T) {
	t.Parallel()
	f := build(t, design{prompts: 24, hostile: ` You said: Describe harbour no. 3 in a letter.`})
	_, err := reports.Redact(f.dir, filepath.Join(t.TempDir(), "copy"), reports.RedactOptions{
		Items: []string{"*/*/p003/*"}, Prompts: true, Exhibits: true, By: "me",
	})
	wantUsage(t, err, "would still hold what prompt longform-en/p003 says")
}

// A redacted copy is checked as strictly as a whole case: a flipped bit anywhere, and
// whatever else is done to it, is caught.
func TestRedactedTampering(t *testing.T) {
	t.Parallel()
	f := build(t, design{prompts: 24})
	dir, _ := redactedCopy(t, f, "copy", redactAll)
	m := load(t, dir)
	opt := f.trust()
	if r := check(t, m, opt); r.State != Valid {
		t.Fatalf("%s", text(t, r))
	}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(m)) {
		data := m[name].Data
		for _, at := range positions(len(data)) {
			if step := map[bool]int{false: 5, true: 15}[testing.Short()]; at%step != 0 && at != len(data)-1 {
				continue // more bytes of a whole case are flipped by TestEveryFileFlipped
			}
			bad := bytes.Clone(data)
			bad[at] ^= 1 << (at % 7)
			n++
			if err := caught(check(t, with(m, name, bad), opt), ""); err != nil {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
		}
	}
	t.Logf("%d flips in %d files", n, len(m))
	whole := load(t, f.dir)
	segment := "redacted/blobs/segment-000001.bin"
	sealedLog, _, _ := bytes.Cut(m[ledger.CustodyName].Data, []byte("\n"))
	sealedLog = append(bytes.Clone(sealedLog), '\n')
	for name, bad := range map[string]fstest.MapFS{
		"no list":                         with(m, ledger.RedactionName, nil),
		"no notice":                       with(m, ledger.RedactionNotice, nil),
		"no custody log":                  with(m, ledger.CustodyName, nil),
		"the log as it was sealed":        with(m, ledger.CustodyName, sealedLog),
		"a prompt laid open":              with(m, "redacted/prompts.jsonl", whole["prompts.jsonl"].Data),
		"the whole segment":               with(m, segment, whole["blobs/segment-000001.bin"].Data),
		"both":                            with(m, "blobs/segment-000001.bin", whole["blobs/segment-000001.bin"].Data),
		"zeros at the end":                with(m, segment, append(bytes.Clone(m[segment].Data), 0)),
		"more withheld":                   with(m, segment, make([]byte, len(m[segment].Data))),
		"no segment":                      with(m, segment, nil),
		"a page under redacted":           with(m, "redacted/reports/"+f.report+"/report.html", []byte("<h1>Guilty</h1>")),
		"another file under redacted":     with(m, "redacted/plan.json", m["plan.json"].Data),
		"a withheld page of another text": with(m, "reports/"+f.report+"/report.html", []byte("<h1>Guilty</h1>")),
	} {
		r := check(t, bad, opt)
		if err := caught(r, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := check(t, m, f.trust()); r.State != Valid {
		t.Errorf("%s", fmt.Sprint(r.State))
	}
}

// A page must not stand without the report.json that it is laid out from, whoever makes
// the copy; and where nothing is left of a segment nobody's bytes stand in for it.
func TestRedactedByHand(t *testing.T) {
	t.Parallel()
	f := build(t, design{prompts: 4})
	dir, _ := redactedCopy(t, f, "copy", reports.RedactOptions{Prompts: true, Replies: true, Headers: true, Exhibits: true})
	if r := f.verify(t, dir, f.trust()); r.State != Valid || !strings.Contains(text(t, r), "NOT CHECKED") {
		t.Errorf("%s", text(t, r))
	}
	smuggled := filepath.Join(dir, "redacted", "blobs", "segment-000001.bin")
	if err := os.MkdirAll(filepath.Dir(smuggled), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(smuggled, append(make([]byte, 100), "smuggled"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t, dir, f.trust()); r.State != Invalid || r.Exit != integrity.ExitAltered {
		t.Errorf("bytes where none are left: %s", text(t, r))
	}
	if err := os.RemoveAll(filepath.Dir(smuggled)); err != nil {
		t.Fatal(err)
	}

	page := "reports/" + f.report + "/report.html"
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(page, load(t, f.dir)[page].Data)
	list := must[*ledger.Redaction](t)(ledger.ParseRedaction(load(t, dir)[ledger.RedactionName].Data))
	list.Files = slices.DeleteFunc(list.Files, func(name string) bool { return name == page })
	data := must[[]byte](t)(ledger.EncodeRedaction(list))
	write(ledger.RedactionName, data)
	write(ledger.RedactionNotice, list.Notice())
	first, _, _ := bytes.Cut(load(t, dir)[ledger.CustodyName].Data, []byte("\n"))
	write(ledger.CustodyName, append(bytes.Clone(first), '\n'))
	entry := ledger.Custody{Time: caseTime.AddDate(0, 0, 1), What: ledger.CustodyRedacted, Who: "Somebody", SHA256: sumOf(data)}
	if err := ledger.AppendCustody(dir, entry); err != nil {
		t.Fatal(err)
	}
	r := f.verify(t, dir, f.trust())
	if said := text(t, r); r.State != Invalid || r.Exit != integrity.ExitAltered || !strings.Contains(said, "it must be withheld, too") {
		t.Errorf("%s", said)
	}
}
