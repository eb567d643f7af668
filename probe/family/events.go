package family

import "github.com/stillmark/stillmark/probe/ledger"

// The data of the events that the runner writes and the analysis reads back.
// The data of intents, replies and failed attempts are in package ledger.

// The kinds of session and pause.
const (
	KindSession = "session" // a run of the program begins
	KindTarget  = "target"  // one target is paused, or answers again
)

// SessionEvent is the data of the event that opens a run of the program: a
// config_change the first time and where options changed, else a resume. A
// resume of kind "target" ends a pause within a run.
type SessionEvent struct {
	Kind    string       `json:"kind"`
	Number  int          `json:"number,omitempty"`
	OnDrift string       `json:"on_drift,omitempty"`
	Settled int64        `json:"settled"`
	Changed []string     `json:"changed,omitempty"` // options that differ from the run before
	Target  string       `json:"target,omitempty"`
	Program ledger.Build `json:"program,omitzero"`
}

// DriftEvent is the data of a drift event.
type DriftEvent struct {
	Target   string `json:"target"`
	Field    string `json:"field"` // model, fingerprint, provider, headers or sentinels
	From     string `json:"from"`
	To       string `json:"to"`
	Epoch    int    `json:"epoch,omitempty"` // of the target, that the change opens; the first is 1
	Accepted bool   `json:"accepted"`        // collection went on
}

// PauseEvent is the data of a pause event.
type PauseEvent struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
	WaitMS int64  `json:"wait_ms"`
}

// StopEvent is the data of a stop event.
type StopEvent struct {
	Reason  string `json:"reason"`        // one of the reasons below
	Cap     string `json:"cap,omitempty"` // with StopCap: which of the plan's caps
	Detail  string `json:"detail,omitempty"`
	Settled int64  `json:"settled"`
	Missing int64  `json:"missing"`
}

// The reasons to stop.
const (
	StopComplete    = "complete"
	StopEvidence    = "evidence" // every anytime test reached its threshold
	StopCap         = "cap"
	StopGivenUp     = "given-up" // all that could be had was had
	StopRateLimit   = "rate-limit"
	StopAuth        = "auth"
	StopQuota       = "quota"
	StopDrift       = "drift"
	StopStorage     = "storage"
	StopUnavailable = "unavailable"
	StopOperator    = "operator"
)

// The caps of a plan. The first three are reached after a number of replies that
// the plan and the replies' lengths fix; how many come in before time is up is in
// the hands of whoever runs the program.
const (
	CapRequests = "requests"
	CapTokens   = "tokens"
	CapCost     = "cost"
	CapTime     = "time"
)
