package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// StatementType is the type of in-toto v1 statements
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
const StatementType = "https://in-toto.io/Statement/v1"

// maxStatement bounds a statement as [maxEnvelope] bounds its envelope.
const maxStatement = maxEnvelope / 4 * 3

// Statement is an in-toto v1 statement: files by their digests, and something
// said about them.
type Statement struct {
	Type          string          `json:"_type"` // StatementType; "" is filled in
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is a file with its digests.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // "sha256" -> lower-case hex
}

// EncodeStatement returns the same bytes for the same statement: indented JSON,
// subjects sorted by name.
func EncodeStatement(s Statement) ([]byte, error) {
	if s.Type == "" {
		s.Type = StatementType
	}
	s.Subject = slices.Clone(s.Subject)
	slices.SortStableFunc(s.Subject, func(a, b Subject) int { return strings.Compare(a.Name, b.Name) })
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	data, err := encodeIndented(s)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return data, nil
}

// DecodeStatement reads what [EncodeStatement] wrote, and nothing else.
func DecodeStatement(data []byte) (Statement, error) {
	var s Statement
	if len(data) > maxStatement {
		return s, fmt.Errorf("statement: larger than %d MiB, the most that is read", maxStatement>>20)
	}
	if err := decodeStrict(data, &s); err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	again, err := EncodeStatement(s)
	if err != nil {
		return Statement{}, err
	}
	if err := sameBytes(data, again); err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	return s, nil
}

func (s *Statement) check() error {
	switch {
	case s.Type != StatementType:
		return fmt.Errorf("type is %q, not %q", s.Type, StatementType)
	case s.PredicateType == "":
		return errors.New("the predicate has no type")
	case len(s.Subject) == 0:
		return errors.New("there is no subject")
	}
	for i, sub := range s.Subject {
		if sub.Name == "" || !isHexSHA256(sub.Digest["sha256"]) {
			return fmt.Errorf("subject %q has no name or no SHA-256 in lower-case hex", sub.Name)
		}
		if i > 0 && s.Subject[i-1].Name == sub.Name {
			return fmt.Errorf("subject %q is given twice", sub.Name)
		}
	}
	return nil
}
