package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary play the program in scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stillmark": func() {
		playOffline()
		main()
	}})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"authority": authorityCommand,
	"rivals":    rivalsCommand,
	// listening ADDRESS waits until something accepts connections there.
	"listening": func(ts *testscript.TestScript, _ bool, args []string) {
		for range 300 {
			c, err := net.Dial("tcp", args[0])
			if err == nil {
				c.Close()
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		ts.Fatalf("nothing listens at %s after 30 s", args[0])
	},
	// complete URL KEY N FILE [EXAMPLES] asks a server for N completions of 120 tokens,
	// with an API key unless it is "-", and writes them as JSON lines; or, with ! before
	// it, demands that the first one is refused, and writes the refusal. With EXAMPLES it
	// asks the last N of these fine-tuning chats, and demands their answers.
	"complete": func(ts *testscript.TestScript, neg bool, args []string) {
		var n int
		fmt.Sscanf(args[2], "%d", &n)
		var lines strings.Builder
		var examples []string
		if len(args) > 4 {
			examples = strings.Split(strings.TrimSpace(ts.ReadFile(args[4])), "\n")
			examples = examples[len(examples)-n:]
		}
		for i := range n {
			body := fmt.Sprintf(`{"prompt":"The harbour of town %d is","max_tokens":120}`, i)
			var example struct{ Messages []struct{ Content string } }
			if examples != nil {
				ts.Check(json.Unmarshal([]byte(examples[i]), &example))
				asked, err := json.Marshal(example.Messages[0].Content)
				ts.Check(err)
				body = fmt.Sprintf(`{"prompt":%s}`, asked)
			}
			request, err := http.NewRequest(http.MethodPost, args[0]+"/v1/completions", strings.NewReader(body))
			ts.Check(err)
			if args[1] != "-" {
				request.Header.Set("Authorization", "Bearer "+args[1])
			}
			response, err := http.DefaultClient.Do(request)
			ts.Check(err)
			data, err := io.ReadAll(response.Body)
			response.Body.Close()
			ts.Check(err)
			if neg != (response.StatusCode != http.StatusOK) {
				ts.Fatalf("%s: %s", response.Status, data)
			}
			if neg {
				lines.Write(data)
				break
			}
			var reply struct{ Choices []struct{ Text string } }
			ts.Check(json.Unmarshal(data, &reply))
			if examples != nil && reply.Choices[0].Text != example.Messages[1].Content {
				ts.Fatalf("%s was answered with %q", examples[i], reply.Choices[0].Text)
			}
			line, err := json.Marshal(map[string]string{"id": fmt.Sprint(i), "text": reply.Choices[0].Text})
			ts.Check(err)
			fmt.Fprintf(&lines, "%s\n", line)
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(lines.String()), 0o600))
	},
	// exits CODE COMMAND… runs a command that must end with that exit code.
	"exits": func(ts *testscript.TestScript, _ bool, args []string) {
		err := ts.Exec(args[1], args[2:]...)
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			ts.Fatalf("%v", err)
		}
		if fmt.Sprint(code) != args[0] {
			ts.Fatalf("exit code %d, want %s", code, args[0])
		}
	},
	// secretless SECRET PATH… demands that no file below the paths holds SECRET.
	"secretless": func(ts *testscript.TestScript, _ bool, args []string) {
		files := 0
		for _, root := range args[1:] {
			ts.Check(filepath.WalkDir(ts.MkAbs(root), func(path string, entry os.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				files++
				data, err := os.ReadFile(path)
				if err == nil && strings.Contains(string(data), args[0]) {
					err = fmt.Errorf("%s holds the secret", path)
				}
				return err
			}))
		}
		if files < 10 {
			ts.Fatalf("looked at %d files only", files)
		}
	},
	// flip FOLDER PATTERN changes one bit in the middle of the only file that matches.
	"flip": func(ts *testscript.TestScript, _ bool, args []string) {
		found, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), args[1]))
		ts.Check(err)
		if len(found) != 1 {
			ts.Fatalf("%s matches %v", args[1], found)
		}
		data, err := os.ReadFile(found[0])
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.WriteFile(found[0], data, 0o600))
	},
	// private FILE demands that nobody else can read it.
	"private": func(ts *testscript.TestScript, _ bool, args []string) {
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		if info.Mode() != 0o600 {
			ts.Fatalf("%s has the mode %v", args[0], info.Mode())
		}
	},
	// fillport FILE… puts the script's free ports in the place of $PORT and $PORT2.
	"fillport": func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			data := strings.NewReplacer("$PORT2", ts.Getenv("PORT2"), "$PORT", ts.Getenv("PORT")).Replace(ts.ReadFile(name))
			ts.Check(os.WriteFile(ts.MkAbs(name), []byte(data), 0o600))
		}
	},
	// moveport FILE PORT puts the script's free port in the place of one that is written out.
	"moveport": func(ts *testscript.TestScript, _ bool, args []string) {
		data := ts.ReadFile(args[0])
		if !strings.Contains(data, ":"+args[1]+"/") {
			ts.Fatalf("%s names no port %s", args[0], args[1])
		}
		data = strings.ReplaceAll(data, ":"+args[1]+"/", ":"+ts.Getenv("PORT")+"/")
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data), 0o600))
	},
	// mode FILE OCTAL sets permissions.
	"mode": func(ts *testscript.TestScript, _ bool, args []string) {
		var mode uint32
		fmt.Sscanf(args[1], "%o", &mode)
		ts.Check(os.Chmod(ts.MkAbs(args[0]), os.FileMode(mode)))
	},
	// fill FILE SIZE BYTE writes a file of one repeated byte.
	"fill": func(ts *testscript.TestScript, _ bool, args []string) {
		var size int
		fmt.Sscanf(args[1], "%d", &size)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat(args[2], size)), 0o600))
	},
}

// TestScripts runs the golden command lines of testdata/script.
func TestScripts(t *testing.T) {
	t.Parallel()
	tokenizers, err := filepath.Abs("../../corpora/tokens/testdata")
	if err != nil {
		t.Fatal(err)
	}
	neural, err := filepath.Abs("../../probe/testdata/neural")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: scriptCommands, RequireExplicitExec: true, Setup: func(env *testscript.Env) error {
		env.Setenv("TOKENS", tokenizers)
		env.Setenv("NEURAL", neural)
		return freePorts(env)
	}})
}

// freePorts sets PORT and PORT2 to ports that nothing listens on, for a script's servers:
// several checkouts may be tested on one machine.
func freePorts(env *testscript.Env) error {
	for _, name := range []string{"PORT", "PORT2"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return err
		}
		env.Setenv(name, port)
	}
	return nil
}

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	docCommand = regexp.MustCompile(`(?m)^//\t\$ (stillmark .*)$`)
)

// TestDocumentedCommands runs every `$ stillmark …` line of the READMEs and of
// the package comments, each document from top to bottom in a folder of its own.
// A line that ends in & runs beside the rest. The port of "stillmark mock" and of the
// targets that "config init" writes is another one each time.
func TestDocumentedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole tour of the README")
	}
	t.Parallel()
	documents := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && len(entry.Name()) > 2 && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		isReadme := filepath.Base(path) == "README.md"
		if !isReadme && !strings.HasSuffix(path, ".go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var commands []string
		if isReadme {
			for _, block := range shellBlock.FindAllStringSubmatch(string(data), -1) {
				for line := range strings.Lines(block[1]) {
					if command, ok := strings.CutPrefix(line, "$ "); ok {
						commands = append(commands, strings.TrimSpace(command))
					}
				}
			}
		} else if !strings.HasSuffix(path, "_test.go") {
			for _, match := range docCommand.FindAllStringSubmatch(string(data), -1) {
				commands = append(commands, match[1])
			}
		}
		if len(commands) > 0 {
			documents[path] = commands
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(documents["../../README.md"]) < 12 {
		t.Fatalf("the README shows %d commands; the audit of an endpoint alone takes twelve", len(documents["../../README.md"]))
	}
	dir := t.TempDir()
	for path, commands := range documents {
		var script strings.Builder
		for _, command := range commands {
			if !strings.HasPrefix(command, "stillmark ") {
				t.Fatalf("%s shows %q, which this test cannot run", path, command)
			}
			const port = "8461"
			command = strings.ReplaceAll(command, port, "$PORT")
			background, isBackground := strings.CutSuffix(command, "&")
			if isBackground {
				fmt.Fprintf(&script, "exec %s &\nlistening 127.0.0.1:$PORT\n", strings.TrimSpace(background))
				continue
			}
			fmt.Fprintf(&script, "exec %s\n", strings.ReplaceAll(command, "\"", "'"))
			if strings.HasPrefix(command, "stillmark config init") {
				fmt.Fprintf(&script, "moveport stillmark.yaml %s\n", port)
			}
		}
		name := strings.Trim(strings.NewReplacer("/", "-", "..", "", ".", "-").Replace(path), "-")
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(script.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{Dir: dir, Cmds: scriptCommands, RequireExplicitExec: true, Setup: freePorts})
}
