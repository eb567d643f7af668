package repro

import (
	"os/exec"
	"testing"
)

// Names from a plan are words to the shell and nothing more.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nova-1", "a b", "$(touch x)", "it's", "'; rm -rf /; '", "", "a\"b", "~", "*", "-n"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(name)+"x").Output()
		if err != nil || string(out) != name+"x" {
			t.Errorf("%q became %q: %v", name, out, err)
		}
	}
	if got := shellWord("nova-1"); got != "nova-1" {
		t.Errorf("a plain name is quoted: %s", got)
	}
}
