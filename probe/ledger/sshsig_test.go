package ledger

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ssh-keygen accepts the signature, and refuses it over another text.
func TestSSHSignature(t *testing.T) {
	t.Parallel()
	s, err := NewSigner("Example AI, Evidence Desk", nil)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("what was signed\n")
	signature, err := SignSSH(message, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifySSH(signature, message, s.PublicKey().Key); err != nil {
		t.Fatal(err)
	}
	other, err := NewSigner("other", nil)
	if err != nil {
		t.Fatal(err)
	}
	if VerifySSH(signature, message, other.PublicKey().Key) == nil || VerifySSH(signature, []byte("another text\n"), s.PublicKey().Key) == nil {
		t.Error("a signature of another key or text passes")
	}
	for i := range signature {
		bad := bytes.Clone(signature)
		bad[i] ^= 2
		if VerifySSH(bad, message, s.PublicKey().Key) == nil {
			t.Fatalf("byte %d was changed without notice", i)
		}
	}
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("STILLMARK_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"sig": signature, "allowed": s.PublicKey().AllowedSigner("signer")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(text string) (string, error) {
		c := exec.Command("ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "signer", "-n", SSHNamespace, "-s", "sig")
		c.Dir, c.Stdin = dir, strings.NewReader(text)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if said, err := verify(string(message)); err != nil || !strings.Contains(said, `Good "stillmark" signature for signer`) {
		t.Errorf("ssh-keygen says %s (%v)", said, err)
	}
	if said, err := verify("another text\n"); err == nil {
		t.Errorf("ssh-keygen accepts another text: %s", said)
	}
}

func FuzzVerifySSH(f *testing.F) {
	s, err := NewSigner("x", bytes.NewReader(make([]byte, 64)))
	if err != nil {
		f.Fatal(err)
	}
	good, err := SignSSH([]byte("m"), s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(sshBegin + "\nAAAA\n" + sshEnd + "\n"))
	f.Fuzz(func(t *testing.T, signature []byte) {
		if VerifySSH(signature, []byte("m"), s.PublicKey().Key) == nil && !bytes.Equal(signature, good) {
			t.Error("another signature passes")
		}
	})
}
