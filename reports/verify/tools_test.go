package verify

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/reports/model"
)

// needTools skips a test where the tools of VERIFY.md are missing, unless they
// are demanded.
func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("STILLMARK_REQUIRE_TOOLS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// step is a block of commands in VERIFY.md and what the text says it prints.
type step struct {
	commands string
	prints   string // "" means nothing at all
	known    bool   // the text says what is printed
}

var printsPattern = regexp.MustCompile("(?:prints|should print) (?:`([^`]*)`|(nothing|one hash))")

// steps reads the commands out of VERIFY.md: blocks that are indented by four,
// with the sentence that follows.
func steps(t *testing.T, doc string) []step {
	t.Helper()
	var out []step
	for block := range strings.SplitSeq(doc, "\n\n") {
		if strings.HasPrefix(block, "    ") {
			lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
			for i := range lines {
				lines[i] = strings.TrimPrefix(lines[i], "    ")
			}
			out = append(out, step{commands: strings.Join(lines, "\n")})
		} else if m := printsPattern.FindStringSubmatch(block); m != nil && len(out) > 0 && !out[len(out)-1].known {
			out[len(out)-1].known = true
			out[len(out)-1].prints = m[1]
			if m[2] == "one hash" {
				out[len(out)-1].prints = "\n"
			}
		}
	}
	return out
}

// shell runs commands in a case folder. The fixed names under /tmp are moved to
// a folder of this test.
func shell(t *testing.T, dir, tmp, commands string) (string, error) {
	t.Helper()
	c := exec.Command("bash", "-c", "set -o pipefail\n"+strings.ReplaceAll(commands, "/tmp/", tmp+"/"))
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// Every command of VERIFY.md is run with the real tools, and prints what the
// text says it prints; and the report's own commands do too.
func TestVerifyWithoutTheProgram(t *testing.T) {
	t.Parallel()
	needTools(t, "bash", "openssl", "sha256sum", "cmp", "base64")
	f := build(t, design{})
	dir := f.copyTo(t, t.TempDir())
	doc := string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "VERIFY.md"))))
	all := steps(t, doc)
	ran := 0
	for _, s := range all {
		if strings.HasPrefix(s.commands, "stillmark ") {
			continue
		}
		stamps := strings.Contains(s.commands, "authority.pem")
		if stamps { // the reader's own file: it is in no manifest
			write(t, dir, "authority.pem", f.authority.CertPEM())
		}
		out, err := shell(t, dir, t.TempDir(), s.commands)
		switch {
		case err != nil:
			t.Errorf("%s\n%v\n%s", s.commands, err, out)
		case stamps && (!strings.Contains(out, "Verification: OK") || !strings.Contains(out, "Time stamp: Nov 20")):
			t.Errorf("%s\nprinted %q", s.commands, out)
		case !stamps && !s.known:
			t.Errorf("the text does not say what this prints:\n%s\n%s", s.commands, out)
		case s.known && s.prints == "" && out != "", s.known && !strings.Contains(out, s.prints), strings.Contains(out, "BROKEN"):
			t.Errorf("%s\nprinted %q, the text says %q", s.commands, out, s.prints)
		}
		ran++
		if stamps {
			if err := os.Remove(filepath.Join(dir, "authority.pem")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ran < 10 {
		t.Errorf("VERIFY.md has only %d blocks of commands", ran)
	}

	r := must[*model.Report](t)(model.Decode(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "reports", f.report, "report.json")))))
	for _, c := range r.HowTo.Without {
		if out, err := shell(t, dir, t.TempDir(), c.Command); err != nil || out == "" {
			t.Errorf("%s\n%v\n%s", c.Command, err, out)
		}
	}
}

// The same tools say no to what they can see.
func TestToolsSayNo(t *testing.T) {
	t.Parallel()
	needTools(t, "bash", "openssl", "sha256sum")
	f := build(t, design{})
	doc := string(must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, "VERIFY.md"))))
	find := func(part string) step {
		for _, s := range steps(t, doc) {
			if strings.Contains(s.commands, part) {
				return s
			}
		}
		t.Fatalf("VERIFY.md has no command with %q", part)
		return step{}
	}
	folder := "reports/" + f.report + "/"
	for name, c := range map[string]struct {
		file string
		flip func([]byte) []byte
		part string
	}{
		"a file":        {"plan.json", func(b []byte) []byte { b[100] ^= 1; return b }, "sha256sum --check"},
		"the statement": {folder + "statement.intoto.json", func(b []byte) []byte { b[100] ^= 1; return b }, "openssl pkeyutl"},
		"the manifest":  {"manifest-sha256.txt", func(b []byte) []byte { b[3] ^= 1; return b }, "sha256sum manifest-sha256.txt"},
		"the ledger":    {"ledger.jsonl", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "while IFS= read -r line"},
		"the plan":      {"plan.json", func(b []byte) []byte { b[100] ^= 1; return b }, "head -n 1 ledger.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			write(t, dir, c.file, c.flip(must[[]byte](t)(os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.file))))))
			s := find(c.part)
			out, err := shell(t, dir, t.TempDir(), s.commands)
			if err == nil && !strings.Contains(out, "BROKEN") && (s.prints == "\n" || strings.Contains(out, s.prints)) {
				t.Errorf("%s\nsaid yes: %q", s.commands, out)
			}
		})
	}
	dir := f.copyTo(t, t.TempDir())
	write(t, dir, "analysis/extra.json", []byte("{}"))
	if out, err := shell(t, dir, t.TempDir(), find("NOT LISTED").commands); err != nil || !strings.Contains(out, "NOT LISTED analysis/extra.json") {
		t.Errorf("an extra file: %v %q", err, out)
	}
}
