package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/timestamp"
)

// TestRegistryPublish: a registry whose commitment an authority timestamps over
// HTTP serves its key as evidence, and its check finds nothing.
func TestRegistryPublish(t *testing.T) {
	t.Parallel()
	authority, err := timestamp.NewAuthority("test authority", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, _ := io.ReadAll(r.Body)
		answer, err := authority.Respond(query)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(answer)
	}))
	defer server.Close()
	dir := t.TempDir()
	keys, file := filepath.Join(dir, "keys"), filepath.Join(dir, "key.json")
	program := func(want int, args ...string) string {
		t.Helper()
		var out, errw bytes.Buffer
		if code := run(args, strings.NewReader(""), &out, &errw); code != want {
			t.Fatalf("%s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errw.String())
		}
		return out.String() + errw.String()
	}
	says := func(text, want string) {
		t.Helper()
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	_, id, _ := strings.Cut(program(0, "key", "new", "-o", file, "--label", "cohort-a"), "key        ")
	id = id[:16]
	program(0, "key", "registry", "init", keys)
	program(0, "key", "registry", "add", keys, file, "--decoys", "2", "--reason", "release")
	says(program(0, "key", "registry", "commit", keys, "--tsa", server.URL), "by test authority")
	// The authority's clock is good to a second, which counts against the key.
	at := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	says(program(0, "key", "registry", "state", keys, id[:6], "serving", "--at", at, "--reason", "live"), "planned  serving from "+at)
	check := program(0, "key", "registry", "check", keys)
	if strings.Contains(check, "note") || strings.Contains(check, "FAIL") || strings.Contains(check, "exploratory") {
		t.Errorf("check says %s", check)
	}
	says(check, `by "test authority"`)
	says(program(0, "key", "registry", "lookup", keys, "--cohort", "cohort-a", "--at", at, "--json"), `"state":"serving"`)

	// An unreachable authority leaves the commitment, and says how to go on.
	other := filepath.Join(dir, "other.json")
	program(0, "key", "new", "-o", other, "--label", "cohort-b")
	program(0, "key", "registry", "add", keys, other, "--reason", "release")
	says(program(25, "key", "registry", "commit", keys, "--tsa", "http://127.0.0.1:1/"), "go on with: stillmark key registry publish")
	root := program(0, "key", "registry", "log", keys, "--json")
	root = root[strings.LastIndex(root, `"root":"`)+8:][:64]
	says(program(2, "key", "registry", "publish", keys, root, "--token", other), "does not belong to the commitment")
	says(program(0, "key", "registry", "publish", keys, root[:8], "--tsa", server.URL), "by test authority")
}
