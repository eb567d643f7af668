package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const goodPolicy = `{"allowed_by":"counsel","purpose":"leak 7","operators":["ann"],"keys":["0123456789abcdef"],"until":"2030-01-01T00:00:00Z","audit_log":"a.log"}`

func TestPolicy(t *testing.T) {
	t.Parallel()
	p, err := parsePolicy([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	before, after := p.Until.Add(-time.Second), p.Until
	for _, test := range []struct {
		operator, key string
		now           time.Time
		want          string // of the refusal; empty: allowed
	}{
		{"ann", "0123456789abcdef", before, ""},
		{"bob", "0123456789abcdef", before, `operator "bob"`},
		{"ann", "fedcba9876543210", before, "key fedcba9876543210"},
		{"ann", "0123456789abcdef", after, "ended at 2030"},
	} {
		err := p.allows(test.operator, test.key, test.now)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for _, member := range []string{"allowed_by", "purpose", "operators", "keys", "until", "audit_log"} {
		var object map[string]any
		if err := json.Unmarshal([]byte(goodPolicy), &object); err != nil {
			t.Fatal(err)
		}
		delete(object, member)
		data, _ := json.Marshal(object)
		if _, err := parsePolicy(data); err == nil || !strings.Contains(err.Error(), member) {
			t.Errorf("without %s: %v", member, err)
		}
	}
	for _, bad := range []string{"", "[]", goodPolicy + "{}", strings.Replace(goodPolicy, "purpose", "porpoise", 1), goodPolicy + strings.Repeat(" ", maxPolicy)} {
		if _, err := parsePolicy([]byte(bad)); err == nil {
			t.Errorf("%.80q is taken", bad)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(goodPolicy))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePolicy(data)
		if err == nil && (p.Purpose == "" || len(p.Operators) == 0 || p.Until.IsZero() || len(p.sha256) != 64) {
			t.Errorf("%q gives %+v", data, p)
		}
	})
}

func TestAuditLogIsChained(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	for _, stage := range []string{"asked", "answered", "refused"} {
		if err := appendAudit(path, auditRecord{Stage: stage}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	previous := ""
	for _, line := range lines {
		var r auditRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Previous != previous {
			t.Errorf("%s follows %q: %v", line, previous, err)
		}
		sum := sha256.Sum256([]byte(line))
		previous = hex.EncodeToString(sum[:])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := appendAudit(path, auditRecord{}); exitCode(err) != codeStorage {
		t.Errorf("a log whose last line is cut off is continued: %v", err)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		parse func([]byte) ([]string, error)
		data  string
		want  []string // nil: refused
	}{
		{"one column", parseLabelsCSV, "a\nb b\n\"c,d\"\n", []string{"a", "b b", "c,d"}},
		{"a header", parseLabelsCSV, "\uFEFFid,label\n1,a\n2,b\n", []string{"a", "b"}},
		{"two columns, no header", parseLabelsCSV, "1,a\n2,b\n", nil},
		{"a ragged line", parseLabelsCSV, "label,x\na\n", nil},
		{"objects and strings", parseLabelsJSON, "{\"label\":\"a\",\"plan\":1}\n\n\"b\"\n", []string{"a", "b"}},
		{"an object without a label", parseLabelsJSON, "{\"name\":\"a\"}\n", nil},
		{"a number", parseLabelsJSON, "17\n", nil},
	} {
		got, err := test.parse([]byte(test.data))
		if (err == nil) != (test.want != nil) || !slices.Equal(got, test.want) && test.want != nil {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

func FuzzLabels(f *testing.F) {
	f.Add([]byte("id,label\n1,a\n"))
	f.Add([]byte("{\"label\":\"a\"}\n\"b\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) ([]string, error){parseLabelsCSV, parseLabelsJSON} {
			if labels, err := parse(data); err == nil && len(labels) > len(data) {
				t.Errorf("%d labels from %d bytes", len(labels), len(data))
			}
		}
	})
}
