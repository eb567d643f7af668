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

// ExitCode is that of configuration errors: nothing was sent.
func (e *ConfigError) ExitCode() int { return 2 }

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

// ExitCode tells a refused key (21), an empty account (22), a rate limit (20), a
// request that the target does not take (2) and the operator's stop (130) from a
// target that cannot be had (25).
func (e *TargetError) ExitCode() int {
	switch e.Outcome {
	case ledger.Auth:
		return 21
	case ledger.Quota:
		return 22
	case ledger.RateLimited:
		return 20
	case ledger.Rejected:
		return 2
	case ledger.Cancelled:
		return 130
	}
	return 25
}
