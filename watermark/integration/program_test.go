package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// build makes the program under test once.
var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "stillmark-integration"); err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", filepath.Join(dir, "stillmark"), "./cmd/stillmark")
	if out, err := c.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := build(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program is the program under test in a folder of its own.
type program struct {
	path, dir string
	env       []string
	// tokenizer are the flags that name the models' tokenizer.
	tokenizer []string
}

func newProgram(t testing.TB, set models.Set) *program {
	t.Helper()
	built, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &program{
		path: filepath.Join(built, "stillmark"), dir: dir,
		env:       []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "NO_COLOR=1"},
		tokenizer: []string{"--tokenizer", set.Tokenizer, "--pattern", set.Pattern},
	}
}

func (p *program) command(t testing.TB, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), p.path, args...)
	c.Dir, c.Env = p.dir, p.env
	return c
}

// run runs a command line, which must succeed. With a result the command prints JSON,
// which is decoded into it.
func (p *program) run(t testing.TB, result any, args ...string) {
	t.Helper()
	if result != nil {
		args = append(args, "--json")
	}
	var out, errs bytes.Buffer
	c := p.command(t, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("stillmark %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		t.Fatalf("stillmark %s: %v in\n%s", strings.Join(args, " "), err, out.String())
	}
}

func (p *program) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// key makes a key of our own for the models' tokenizer.
func (p *program) key(t testing.TB, name, scheme string) string {
	t.Helper()
	p.run(t, nil, append([]string{"key", "new", "-o", name, "--scheme", scheme, "--model", "teacher"}, p.tokenizer...)...)
	return filepath.Join(p.dir, name)
}

// listen serves models on loopback.
func listen(t testing.TB, served ...serve.Served) string {
	t.Helper()
	s := httptest.NewServer(serve.New(served...))
	t.Cleanup(s.Close)
	return s.URL
}
