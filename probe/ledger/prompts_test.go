package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// saltedPlan is testPlan with salts.
func saltedPlan(t testing.TB, prompts int) *Plan {
	t.Helper()
	p := testPlan(prompts)
	p.Prompts[0].System, p.Prompts[0].Reading = "Be <brief>.", []byte(`{"kind": "whole"}`)
	if err := p.AddSalts(newRand(7)); err != nil {
		t.Fatal(err)
	}
	return p
}

// saltedCase collects a salted case with headers.
func saltedCase(t testing.TB, p *Plan) (string, []Item) {
	t.Helper()
	dir := createCase(t, p)
	w := openWriterT(t, dir, (&testClock{}).options())
	items := p.Items()
	for _, it := range items {
		req, err := w.PutBlob([]byte(it.Prompt.Text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(EventIntent, it.ID, 1, Intent{Target: it.Target.Name, Request: req}); err != nil {
			t.Fatal(err)
		}
		resp, err := w.PutBlob(responseTo(it.ID))
		if err != nil {
			t.Fatal(err)
		}
		a := Attempt{Target: it.Target.Name, Outcome: OK, Kind: "chat", Status: 200, Complete: true, Response: &resp, Headers: map[string]string{"server": "acme/1.2", "x-request-id": it.ID}}
		if err := w.PutHeaders(&a); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(EventReply, it.ID, 1, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, items
}

// A salted case says the same as a plain one, and no unsalted hash of any content
// stands anywhere in it.
func TestSaltedCase(t *testing.T) {
	t.Parallel()
	p := saltedPlan(t, 3)
	dir, items := saltedCase(t, p)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Prompts {
		a, b := &p.Prompts[i], &c.Plan().Prompts[i]
		if a.Text != b.Text || a.System != b.System || b.Withheld() || (i == 0) != (len(b.Reading) > 0) {
			t.Errorf("prompt %d: %+v, want %+v", i, b, a)
		}
	}
	n := 0
	err = c.Replies(func(rec ReplyRecord) error {
		n++
		again, err := rec.Source.Read(rec.Offset)
		if err != nil {
			return err
		}
		for _, r := range []ReplyRecord{rec, again} {
			if !bytes.Equal(r.Response, responseTo(rec.Item.ID)) || r.Attempt.Headers["x-request-id"] != rec.Item.ID {
				t.Errorf("%s: %q, headers %q", rec.Item.ID, r.Response, r.Attempt.Headers)
			}
		}
		asked, err := c.Blob(rec.Request)
		if string(asked) != rec.Item.Prompt.Text {
			t.Errorf("%s was asked %q", rec.Item.ID, asked)
		}
		return err
	})
	if err != nil || n != len(items) {
		t.Errorf("%d replies of %d, %v", n, len(items), err)
	}
	if blobs, err := c.CheckBlobs(); err != nil || blobs != 3*len(items) {
		t.Errorf("%d blobs, %v", blobs, err)
	}
	var all []byte
	err = fs.WalkDir(c.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, readFileT(t, filepath.Join(dir, name))...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		for _, guess := range []string{it.Prompt.Text, string(responseTo(it.ID)), `{"server":"acme/1.2","x-request-id":"` + it.ID + `"}`} {
			if bytes.Contains(all, []byte(hexSHA256([]byte(guess)))) {
				t.Errorf("the hash of %q alone stands in the case: whoever guesses it can be sure", guess)
			}
		}
	}
	for _, name := range []string{planName, ledgerName} {
		if data := readFileT(t, filepath.Join(dir, name)); bytes.Contains(data, []byte("Tell a story")) || bytes.Contains(data, []byte("acme/1.2")) {
			t.Errorf("%s holds what may have to be withheld", name)
		}
	}
}

// Each line of prompts.jsonl is held against the plan.
func TestPromptsDamaged(t *testing.T) {
	t.Parallel()
	dir := createCase(t, saltedPlan(t, 3))
	good := readFileT(t, filepath.Join(dir, PromptsName))
	lines := strings.SplitAfter(string(good), "\n")
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	leaf := c.Plan().Prompts[1].Leaf
	for name, tt := range map[string]struct {
		data string
		want string // "" if the prompt is withheld
	}{
		"withheld":            {lines[0] + "withheld " + leaf + "\n" + lines[2], ""},
		"withheld as another": {lines[0] + "withheld " + c.Plan().Prompts[0].Leaf + "\n" + lines[2], "line 2"},
		"changed":             {strings.Replace(string(good), "story of 1", "story of 9", 1), "line 2"},
		"swapped":             {lines[1] + lines[0] + lines[2], "line 1"},
		"cut":                 {lines[0] + lines[1], "line 3"},
		"one more":            {string(good) + lines[0], "line 4"},
		"no end":              {string(good[:len(good)-1]), "line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := fstest.MapFS{}
			for _, file := range []string{caseName, planName, ledgerName} {
				m[file] = &fstest.MapFile{Data: readFileT(t, filepath.Join(dir, file))}
			}
			m[PromptsName] = &fstest.MapFile{Data: []byte(tt.data)}
			if tt.want == "" {
				if _, err := OpenFS(m); !errors.Is(err, ErrDamaged) {
					t.Errorf("withheld in a case that is no redacted copy: %v", err)
				}
				redaction, err := EncodeRedaction(&Redaction{CaseID: c.Plan().CaseID, Files: []string{PromptsName}})
				if err != nil {
					t.Fatal(err)
				}
				m[RedactionName] = &fstest.MapFile{Data: redaction}
			}
			c, err := OpenFS(m)
			if tt.want == "" {
				if err != nil || !c.Plan().Prompts[1].Withheld() || c.Plan().Prompts[1].Text != "" || c.Plan().Prompts[0].Withheld() {
					t.Errorf("%v", err)
				}
				return
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), PromptsName) {
				t.Errorf("%v", err)
			}
		})
	}
	if err := os.Remove(filepath.Join(dir, PromptsName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without %s: %v", PromptsName, err)
	}
}

// A salted case takes no reference without a salt, and a plain one none with.
func TestSaltsAreKeptApart(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*Plan{"plain": testPlan(1), "salted": saltedPlan(t, 1)} {
		w := openWriterT(t, createCase(t, p), (&testClock{}).options())
		ref, err := w.PutBlob(bytes.Repeat([]byte("x"), 100))
		if err != nil {
			t.Fatal(err)
		}
		if (ref.Salt == saltSize) != (name == "salted") || ref.Length != 100+ref.Salt {
			t.Errorf("%s: %+v", name, ref)
		}
		ref.Salt = saltSize - ref.Salt
		it := p.Items()[0]
		if _, err := w.Append(EventIntent, it.ID, 1, Intent{Target: it.Target.Name, Request: ref}); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: the other kind of reference was taken: %v", name, err)
		}
	}
}

func FuzzPrompts(f *testing.F) {
	p := saltedPlan(f, 2)
	data, err := EncodePrompts(p)
	if err != nil {
		f.Fatal(err)
	}
	plan, err := EncodePlan(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("withheld " + p.Prompts[0].Leaf + "\n" + "withheld " + p.Prompts[1].Leaf + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := DecodePlan(plan)
		if err != nil {
			t.Fatal(err)
		}
		if q.addPrompts(data, true) != nil {
			return
		}
		if again, err := EncodePrompts(q); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted but written as %q, %v", data, again, err)
		}
	})
}
