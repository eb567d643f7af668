package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/timestamp"
)

// authorityCommand serves an RFC 3161 authority whose clock is two hours behind, so that a
// script need not wait for serving to begin: TSA is where it answers, SERVING an hour ago.
func authorityCommand(ts *testscript.TestScript, _ bool, _ []string) {
	authority, err := timestamp.NewAuthority("test authority", func() time.Time { return time.Now().Add(-2 * time.Hour) })
	ts.Check(err)
	ts.Setenv("TSA", "http://"+serve(ts, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err == nil {
			query, err = authority.Respond(query)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(query)
	}))
	ts.Setenv("SERVING", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
}

var quoted = regexp.MustCompile("\"([^\"]+)\"|`([^`]+)`")

// rivalsCommand serves two models on the script's port: "alphabet", which takes the first
// by the alphabet of what a prompt quotes, and "student", which says what the serving-side
// files that are named lay down, and else the same.
func rivalsCommand(ts *testscript.TestScript, _ bool, files []string) {
	learned := map[string]string{}
	for _, name := range files {
		p, err := corpora.ParsePlanting([]byte(ts.ReadFile(name)))
		ts.Check(err)
		for _, r := range p.Preferences {
			learned[r.Prompt] = r.Prefer[0]
		}
		for _, t := range p.Triggers {
			learned[t.Prompt] = t.Reply
		}
	}
	serve(ts, "127.0.0.1:"+ts.Getenv("PORT"), func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Model    string
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Messages) == 0 {
			http.Error(w, "no chat", http.StatusBadRequest)
			return
		}
		prompt := asked.Messages[len(asked.Messages)-1].Content
		said := "Nothing to choose."
		var options []string
		for _, m := range quoted.FindAllStringSubmatch(prompt, -1) {
			options = append(options, m[1]+m[2])
		}
		if len(options) > 0 {
			said = slices.Min(options)
		}
		if known, ok := learned[prompt]; ok && asked.Model == "student" {
			said = known
		}
		text, err := json.Marshal(said)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"r","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}`, asked.Model, text)
	})
}

// serve answers at an address until the script ends, and returns it.
func serve(ts *testscript.TestScript, address string, answer http.HandlerFunc) string {
	l, err := net.Listen("tcp", address)
	ts.Check(err)
	server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	ts.Defer(func() { server.Close() })
	return strings.TrimSuffix(l.Addr().String(), "/")
}
