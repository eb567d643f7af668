package endpoint

import (
	"fmt"

	"github.com/stillmark/stillmark/probe/ledger"
)

// ConfigError is a target that cannot be used as it is configured. Nothing was
// sent.
type ConfigError struct {
	Target  string // name of the target
	Problem string // what is wrong
	Hint    string // what to do
}

// Error gives one sentence: what is wrong and what to do.
func (e *ConfigError) Error() string {
	return "target " + e.Target + ": " + e.Problem + "; " + e.Hint
}

// TargetError is a target that gave no answer to build on. Its outcome says why:
// auth, quota, rate_limited, transport, rejected, cancelled, …
type TargetError struct {
	Target  string
	Outcome ledger.Outcome
	Detail  string // in a sentence
	Hint    string // what to do
}

// Error gives one sentence: what happened and what to do.
func (e *TargetError) Error() string {
	return fmt.Sprintf("target %s: %s; %s", e.Target, e.Detail, e.Hint)
}
