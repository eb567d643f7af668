package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// identifyPolicy is who may ask which account a text came from, why and until
// when: identification names a person, so it runs under a written permission or
// not at all.
type identifyPolicy struct {
	AllowedBy string    `json:"allowed_by"` // who gave the permission
	Purpose   string    `json:"purpose"`
	Operators []string  `json:"operators"` // who may ask
	Keys      []string  `json:"keys"`      // ids of the master keys that may be asked
	Until     time.Time `json:"until"`
	// AuditLog is where every query is recorded; a relative path is relative to
	// the policy's folder. The operator cannot choose another.
	AuditLog string `json:"audit_log"`

	sha256 string
}

// maxPolicy bounds a policy file, in bytes: a page of names.
const maxPolicy = 64 << 10

func loadPolicy(path string) (*identifyPolicy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, err
	}
	p, err := parsePolicy(data)
	if err != nil {
		return nil, usageError(fmt.Errorf("the policy %s is not valid: %w", path, err))
	}
	if !filepath.IsAbs(p.AuditLog) {
		p.AuditLog = filepath.Join(filepath.Dir(path), p.AuditLog)
	}
	return p, nil
}

func parsePolicy(data []byte) (*identifyPolicy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPolicy)
	}
	var p identifyPolicy
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("something follows the object")
	}
	named := func(list []string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
	}
	switch {
	case strings.TrimSpace(p.AllowedBy) == "":
		return nil, errors.New("allowed_by does not say who gave the permission")
	case strings.TrimSpace(p.Purpose) == "":
		return nil, errors.New("purpose does not say what for")
	case !named(p.Operators):
		return nil, errors.New("operators does not say who may ask")
	case !named(p.Keys):
		return nil, errors.New("keys does not say which master keys may be asked")
	case p.Until.IsZero():
		return nil, errors.New("until does not say when the permission ends")
	case p.AuditLog == "":
		return nil, errors.New("audit_log does not say where queries are recorded")
	}
	sum := sha256.Sum256(data)
	p.sha256 = hex.EncodeToString(sum[:])
	return &p, nil
}

// allows says why the policy does not allow a query, or nil.
func (p *identifyPolicy) allows(operator, key string, now time.Time) error {
	switch {
	case !slices.Contains(p.Operators, operator):
		return fmt.Errorf("the policy does not name the operator %q", operator)
	case !slices.Contains(p.Keys, key):
		return fmt.Errorf("the policy does not name the key %s", key)
	case !now.Before(p.Until):
		return fmt.Errorf("the policy ended at %s", p.Until.Format(time.RFC3339))
	}
	return nil
}

// auditRecord is one line of the audit log. A query that was allowed leaves two:
// asked, written before anything is scored, and answered, written before the
// answer is shown.
type auditRecord struct {
	Time         time.Time `json:"time"`
	Stage        string    `json:"stage"` // asked, answered, refused or failed
	Operator     string    `json:"operator"`
	AllowedBy    string    `json:"allowed_by"`
	Purpose      string    `json:"purpose"`
	PolicySHA256 string    `json:"policy_sha256"`
	Key          string    `json:"key"`
	Epoch        string    `json:"epoch,omitempty"`
	LabelsSHA256 string    `json:"labels_sha256,omitempty"` // of the file
	Labels       int       `json:"labels,omitempty"`
	TextSHA256   string    `json:"text_sha256,omitempty"` // of the input, all of it
	Reason       string    `json:"reason,omitempty"`      // of a refusal or failure
	Verdict      string    `json:"verdict,omitempty"`
	// Result are the identified accounts; empty for none.
	Result []watermark.Suspect `json:"result,omitempty"`
	// Previous is the SHA-256 of the line before, so that no line can be changed
	// or taken out unseen; queries at the same moment may name the same line.
	Previous string `json:"previous"`
}

// maxAuditLine bounds a record: a thousand suspects with labels of 256 bytes.
const maxAuditLine = 1 << 20

// appendAudit adds a record at the end of the log and returns when it is on disk.
func appendAudit(path string, r auditRecord) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return &codedError{codeStorage, fmt.Errorf("the audit log cannot be written, nothing is answered: %w", err)}
	}
	defer f.Close()
	if r.Previous, err = lastLine(f); err != nil {
		return &codedError{codeStorage, fmt.Errorf("the audit log %s cannot be continued, nothing is answered: %w", path, err)}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(line, '\n')); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return &codedError{codeStorage, fmt.Errorf("the audit log %s was not written, nothing is answered: %w", path, err)}
	}
	return nil
}

// lastLine is the SHA-256 of a log's last line, without its end; empty for an
// empty log. A log that does not end with a line was cut off.
func lastLine(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return "", err
	}
	from := max(0, info.Size()-maxAuditLine)
	tail, err := io.ReadAll(bufio.NewReader(io.NewSectionReader(f, from, info.Size()-from)))
	if err != nil {
		return "", err
	}
	body, whole := bytes.CutSuffix(tail, []byte{'\n'})
	if !whole {
		return "", errors.New("its last line is not whole")
	}
	sum := sha256.Sum256(body[bytes.LastIndexByte(body, '\n')+1:])
	return hex.EncodeToString(sum[:]), nil
}
