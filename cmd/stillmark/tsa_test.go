package main

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/timestamp"
)

// TestRequestStamp asks an authority over HTTP: its token is for the digest that
// was sent, and an answer to another question is refused.
func TestRequestStamp(t *testing.T) {
	t.Parallel()
	authority, err := timestamp.NewAuthority("test authority", nil)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte // the first answer, replayed at /replay
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "no timestamp query", http.StatusBadRequest)
			return
		}
		if r.URL.Path == "/replay" {
			w.Write(first)
			return
		}
		answer, err := authority.Respond(query)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		first = answer
		w.Write(answer)
	}))
	defer server.Close()
	digest := sha256.Sum256([]byte("a commitment"))
	token, err := requestStamp(t.Context(), server.URL, digest)
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := timestamp.Verify(token, digest, authority.Roots())
	if err != nil || !stamp.Trusted {
		t.Errorf("stamp %+v, %v", stamp, err)
	}
	// A file may hold the whole answer, as openssl writes it.
	for name, data := range map[string][]byte{"token": token, "response": first} {
		path := filepath.Join(t.TempDir(), name+".tsr")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readStamp(path); err != nil || !bytes.Equal(got, token) {
			t.Errorf("the token of a %s: %v", name, err)
		}
	}
	for path, digest := range map[string][32]byte{"/replay": digest, "/replay?other": sha256.Sum256([]byte("another"))} {
		_, err := requestStamp(t.Context(), server.URL+path, digest)
		if err == nil || exitCode(err) != codeUnreached || !strings.Contains(err.Error(), "no timestamp was written") {
			t.Errorf("an answer to another question gave %v", err)
		}
	}
}
