package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// startGateway starts `stillmark watermark serve` in front of a server and returns its
// URL, with /v1.
func startGateway(t testing.TB, p *program, args ...string) string {
	t.Helper()
	// Not under the test's context, which is done before the clean-up: the gateway is
	// interrupted, as an operator would.
	c := exec.Command(p.path, append(append([]string{"watermark", "serve", "--listen", "127.0.0.1:0"}, args...), p.tokenizer...)...)
	c.Dir, c.Env = p.dir, p.env
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	url := ""
	var said strings.Builder
	for url == "" && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			url = line.URL
		}
	}
	drained := make(chan struct{})
	go func() { // a full pipe would stop it
		defer close(drained)
		_, _ = io.Copy(io.Discard, log)
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
		defer timer.Stop()
		<-drained
		if err := c.Wait(); err != nil && c.ProcessState.ExitCode() != 130 {
			t.Errorf("interrupted, the gateway ended with %v", err)
		}
	})
	if url == "" {
		t.Fatalf("the gateway did not start:\n%s", said.String())
	}
	return url
}

// ask puts one request and returns the reply's text, whole or streamed.
func ask(t testing.TB, url, path string, body map[string]any) string {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url+path, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Error(err)
		return ""
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d, %v: %s", response.StatusCode, err, answer)
		return ""
	}
	events := []string{string(answer)}
	if body["stream"] == true {
		events = strings.Split(strings.TrimSuffix(string(answer), "\n\n"), "\n\n")
		if last := events[len(events)-1]; last != "data: [DONE]" {
			t.Errorf("a stream ends in %q", last)
		}
		events = events[:len(events)-1]
	}
	var text strings.Builder
	finish := ""
	for _, event := range events {
		var e struct {
			Choices []struct {
				Text           string
				Message, Delta struct{ Content string }
				Finish         string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &e); err != nil {
			t.Errorf("%v in %s", err, event)
		}
		for _, c := range e.Choices {
			text.WriteString(c.Text + c.Message.Content + c.Delta.Content)
			finish += c.Finish
		}
	}
	if finish != "length" && finish != "stop" {
		t.Errorf("a reply ends with finish_reason %q", finish)
	}
	return text.String()
}

// found is what `stillmark watermark detect` says of the replies of a file as one run.
// Without decoys: their gate closes once in a thousand times, by chance.
func (p *program) found(t testing.TB, key, file string) (log10P float64, verdict string, n int64) {
	t.Helper()
	var r struct {
		N       int64   `json:"n"`
		Log10P  float64 `json:"log10_p"`
		Verdict string  `json:"verdict"`
	}
	p.run(t, &r, append([]string{"watermark", "detect", "--key", key, "--pool", "--decoys", "0", file}, p.tokenizer...)...)
	return r.Log10P, r.Verdict, r.N
}

// TestGateway puts the gateway in front of a model in llama.cpp that knows nothing of
// marks, on both wires, and finds the mark in the text that comes through, with the
// program as it is: completions and chats, streamed and not, eight at a time.
func TestGateway(t *testing.T) {
	models.Init(t)
	set := models.Find(t)
	m := open(t, set.Teacher, llama.Options{})
	url := listen(t, serve.Served{Name: "teacher", Model: m})
	asked := prompts(t, set, 16)
	p := newProgram(t, set)
	p.key(t, "other.json", "gumbel")
	for _, c := range []struct{ wire, scheme string }{{"vllm", "gumbel"}, {"llamacpp", "tournament"}, {"vllm", "kgw"}} {
		t.Run(c.wire+" "+c.scheme, func(t *testing.T) {
			key := c.wire + "-" + c.scheme + ".json"
			p.key(t, key, c.scheme)
			gateway := startGateway(t, p, "--upstream", url, "--wire", c.wire, "--key", key, "--candidates", "100", "--eos", fmt.Sprint(m.End()))
			texts := make([]string, len(asked))
			began := time.Now()
			var all sync.WaitGroup
			for worker := range 8 {
				all.Go(func() {
					for i := worker; i < len(asked); i += 8 {
						body := map[string]any{"max_tokens": 48, "temperature": 1, "stream": i%4 > 1}
						path := "/completions"
						if i%2 == 1 {
							path, body["messages"] = "/chat/completions", []map[string]string{{"role": "user", "content": asked[i]}}
						} else {
							body["prompt"] = asked[i]
						}
						texts[i] = ask(t, gateway, path, body)
					}
				})
			}
			all.Wait()
			took := time.Since(began)
			var lines strings.Builder
			for i, text := range texts {
				line, err := json.Marshal(map[string]string{"id": fmt.Sprint(i), "prompt": asked[i], "text": text})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&lines, "%s\n", line)
			}
			p.write(t, "replies.jsonl", lines.String())
			log10P, verdict, n := p.found(t, key, "replies.jsonl")
			other, _, _ := p.found(t, "other.json", "replies.jsonl")
			t.Logf("%d units, log10 p %.1f, %s; another key %.2f; 16 replies in %.1f s", n, log10P, verdict, other, took.Seconds())
			if log10P > -10 || verdict != "present" {
				t.Errorf("log10 p %.1f of %d units: %s", log10P, n, verdict)
			}
			if other < -6 { // a fresh key: one in a million
				t.Errorf("another key: log10 p %.1f", other)
			}
		})
	}
}
