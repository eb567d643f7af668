package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"html/template"
	"strings"
	"testing"
)

// TestScanPage: hostile text stays text, and the style sheet is the one that the
// page allows.
func TestScanPage(t *testing.T) {
	t.Parallel()
	page := template.Must(template.New("scan").Parse(scanPage))
	var b bytes.Buffer
	head := struct{ Key, Scheme, StyleHash, Warning string }{"<i>k", "gumbel", styleHash(scanPage), ""}
	body := document{ID: "<script>alert(1)</script>", Summary: "s", Pieces: []piece{{Region: true, Runs: []stretch{{Text: "</p><img src=x>", Class: "d"}}}}}
	for name, data := range map[string]any{"head": head, "document": body, "foot": nil} {
		if err := page.ExecuteTemplate(&b, name, data); err != nil {
			t.Fatal(err)
		}
	}
	out := b.String()
	for _, bad := range []string{"<script", "<img", "<i>k"} {
		if strings.Contains(out, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	_, style, _ := strings.Cut(out, "<style>")
	style, _, found := strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !found || !strings.Contains(html.UnescapeString(out), want) {
		t.Errorf("the page's policy does not hold %s", want)
	}
}
