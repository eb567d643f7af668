package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// offlineAudit makes this binary the child of TestOfflineAudit: it plays a whole
// audit in the folder that it names.
const offlineAudit = "STILLMARK_TEST_OFFLINE_AUDIT"

// plantedKey is an API key that must be in the environment and nowhere else.
const plantedKey = "sk-planted-5b1f0c77e2d94a38"

// TestOfflineAudit plays a whole audit, from key to verification, in a network that
// has nothing but itself: whatever tried to reach another machine would fail, and the
// kernel counts the attempt, although the program might survive it. The
// target asks for a key, echoes it in errors, drops streams and answers hostile text;
// the key is in nothing that any command printed or wrote.
func TestOfflineAudit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("plays a whole audit")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args[0] = "stillmark" // the binary is the program then
	cmd.Env = append(os.Environ(), offlineAudit+"="+dir, "ACME_API_KEY="+plantedKey)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("a network of its own cannot be made here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(data, []byte(plantedKey)) {
			t.Errorf("%s holds the key", path)
		}
		// What commands print is for a terminal: no escape sequence of a target's
		// gets there.
		if strings.HasPrefix(filepath.Base(path), "printed-") && bytes.ContainsRune(data, 0x1b) {
			t.Errorf("%s holds an escape sequence", path)
		}
		if filepath.Base(path) == "report.html" && bytes.Contains(data, []byte("<script")) {
			t.Errorf("%s holds a script", path)
		}
		return nil
	})
	if err != nil || files < 30 {
		t.Errorf("looked at %d files only (%v)", files, err)
	}
}

const offlineScript = `{"models": {"student": {"system_fingerprint": "fp <script>alert(1)</script> \u001b[31m"}}, "faults": [
 {"kind": "status", "model": "student", "at": [26], "status": 500, "header": {"X-Request-Id": "{authorization}"}, "body": "{\"error\":{\"message\":\"\u001b[2J {authorization} <script>alert(1)</script>\"}}"},
 {"kind": "drop", "model": "student", "at": [28], "after_pieces": 5},
 {"kind": "status", "model": "reference", "at": [16], "status": 429, "header": {"Retry-After": "1"}},
 {"kind": "status", "model": "student", "at": [31], "status": 401, "body": "{\"error\":{\"message\":\"Incorrect API key provided: {authorization}\"}}"}
]}`

// auditOffline is the child: every command is a process, and what it prints is kept.
func auditOffline(dir string) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring the loopback device up: %w", err)
	}
	fresh, err := unroutable()
	if err != nil {
		return err
	}
	for _, address := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if c, err := net.DialTimeout("udp", address, time.Second); err == nil {
			c.Close()
			return errors.New("another network can be reached: the test shows nothing")
		}
	}
	before, err := unroutable()
	if err != nil {
		return err
	}
	if before == fresh {
		fmt.Fprintln(os.Stderr, "this kernel does not count attempts to reach another network: those that the audit survives go unseen")
	}
	if err := playAudit(dir); err != nil {
		return err
	}
	if after, err := unroutable(); err != nil || after != before {
		return fmt.Errorf("the audit tried %d times to reach another network (%v)", after-before, err)
	}
	return nil
}

// unroutable is how often this network was asked for a way to another, and had none.
func unroutable() (int, error) {
	total := 0
	snmp, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(snmp)) {
		fields := strings.Fields(line)
		if fields[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		n, err := strconv.Atoi(fields[slices.Index(names, "OutNoRoutes")])
		if err != nil {
			return 0, err
		}
		total += n
	}
	snmp6, err := os.ReadFile("/proc/self/net/snmp6")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return 0, err
	}
	for line := range strings.Lines(string(snmp6)) {
		if value, ok := strings.CutPrefix(line, "Ip6OutNoRoutes"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// playAudit plays the audit in a folder.
func playAudit(dir string) error {
	config := `targets:
  - {name: student, base_url: "http://127.0.0.1:8470/v1", model: student, api_key_env: ACME_API_KEY, price: {input_per_mtok: 1, output_per_mtok: 2, currency: USD}}
  - {name: reference, role: control, base_url: "http://127.0.0.1:8470/v1", model: reference, api_key_env: ACME_API_KEY, price: {input_per_mtok: 1, output_per_mtok: 2, currency: USD}}
`
	for name, text := range map[string]string{"stillmark.yaml": config, "faults.json": offlineScript} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n := 0
	command := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		var printed bytes.Buffer
		cmd := exec.Command(self, args...)
		cmd.Args[0] = "stillmark"
		cmd.Dir = dir
		cmd.Stdout, cmd.Stderr = &printed, &printed
		cmd.Env = append(os.Environ(), offlineAudit+"=")
		return cmd, &printed
	}
	keep := func(args []string, printed []byte) error {
		n++
		return os.WriteFile(filepath.Join(dir, fmt.Sprintf("printed-%02d-%s.txt", n, args[0])), printed, 0o600)
	}
	run := func(code int, args ...string) error {
		cmd, printed := command(args...)
		err := cmd.Run()
		var exit *exec.ExitError
		got := 0
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		} else if err != nil {
			return err
		}
		if got != code {
			return fmt.Errorf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, printed)
		}
		return keep(args, printed.Bytes())
	}
	steps := func(all ...[]string) error {
		for _, args := range all {
			if err := run(0, args...); err != nil {
				return err
			}
		}
		return nil
	}
	if err := steps(
		[]string{"signer", "new", "--name", "Desk", "-o", "signer.pem"},
		[]string{"key", "new", "--scheme", "tournament", "-o", "key.json"},
		[]string{"key", "commit", "key.json"},
	); err != nil {
		return err
	}
	server, served := command("mock", "--key", "key.json", "--port", "8470", "--api-key-env", "ACME_API_KEY", "--script", "faults.json")
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
		_ = keep([]string{"mock"}, served.Bytes())
	}()
	for range 300 {
		if c, err := net.Dial("tcp", "127.0.0.1:8470"); err == nil {
			c.Close()
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := steps(
		[]string{"config", "show", "--origin"},
		[]string{"target", "test", "student", "-o", "caps.json"},
		[]string{
			"probe", "plan", "--target", "student", "--control", "reference", "-n", "16", "--max-tokens", "40", "--decoys", "99", "--max-cost", "5",
			"--key", "key.json", "--commitment", "key.commitment.json", "--signer", "signer.pem", "-o", "case",
		},
	); err != nil {
		return err
	}
	// The key is refused once; then the same command goes on.
	if err := run(21, "probe", "run", "case", "-j", "2", "--progress", "json"); err != nil {
		return err
	}
	return steps(
		[]string{"probe", "run", "case", "--progress", "plain"},
		[]string{"probe", "status", "case", "-o", "status.md"},
		[]string{"case", "log", "case"},
		[]string{"case", "show", "case", "--json"},
		[]string{"analyze", "case", "--key", "key.json"},
		[]string{"report", "build", "case", "--key", "key.json"},
		[]string{"report", "seal", "case", "--signer", "signer.pem", "-o", "case.zip"},
		[]string{"verify", "case.zip", "--trust", "signer.pem.pub", "--key", "key.json"},
		[]string{"verify", "case.zip", "--trust", "signer.pem.pub", "--key", "key.json", "--json"},
	)
}

// loopbackUp brings up the loopback device of a new network.
func loopbackUp() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	var request struct { // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	request.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// playOffline plays the child of TestOfflineAudit where this process is it.
func playOffline() {
	dir := os.Getenv(offlineAudit)
	if dir == "" {
		return
	}
	if err := auditOffline(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
