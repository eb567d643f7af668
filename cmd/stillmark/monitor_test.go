package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/monitor"
)

// TestMonitorWebhook posts an alarm to a server that fails once, and to one that always
// does: what is sent holds no text, and the error does not name the URL.
func TestMonitorWebhook(t *testing.T) {
	t.Parallel()
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v: %v", r.Method, r.Header, err)
		}
		bodies = append(bodies, string(body))
		if len(bodies) == 1 || r.URL.Path == "/secret" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	alarm := &monitor.Alarm{Stream: monitor.Stream{Model: "nova"}, Key: "k", Reply: 9, Expected: .6, Recent: .5, Log10E: 4, Threshold: 3}
	r := &monitoring{o: &monitorOptions{webhook: server.URL + "/alarm"}}
	if err := r.post(context.Background(), alarm); err != nil || len(bodies) != 2 {
		t.Fatalf("%d tries, %v", len(bodies), err)
	}
	var sent monitor.Alarm
	if err := json.Unmarshal([]byte(bodies[1]), &sent); err != nil || sent != *alarm || strings.Contains(bodies[1], "text") {
		t.Errorf("%s: %v", bodies[1], err)
	}
	r.o.webhook = server.URL + "/secret"
	if err := r.post(context.Background(), alarm); err == nil || strings.Contains(err.Error(), "secret") || len(bodies) != 2+webhookTries {
		t.Errorf("%d tries, %v", len(bodies), err)
	}
	server.Close()
	if err := r.post(context.Background(), alarm); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}
