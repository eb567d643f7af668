package wire

import (
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// fault is an error as a target words it.
type fault struct {
	set           bool
	message, typ  string
	code          string // a word, or a number as text
	moderated     bool   // metadata.reasons: OpenRouter's moderation
	miniMaxStatus int    // base_resp.status_code
}

// read reads the error member: an object, or a bare string.
func (f *fault) read(p *parser) error {
	if p.peek() == '"' {
		b, err := p.str()
		f.message = clean(string(b))
		return err
	}
	if p.peek() != '{' {
		return p.skip()
	}
	return p.object(func(name []byte) error { return f.member(p, name) })
}

// member reads one member of an error.
func (f *fault) member(p *parser, name []byte) error {
	text := func(dst *string) error {
		switch p.peek() {
		case '"':
			b, err := p.str()
			if *dst == "" {
				*dst = clean(string(b))
			}
			return err
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			b, err := p.number()
			if *dst == "" {
				*dst = string(b[:min(len(b), maxDetail)])
			}
			return err
		}
		return p.skip()
	}
	switch string(name) {
	case "message", "detail":
		return text(&f.message)
	case "type":
		return text(&f.typ)
	case "code", "status":
		return text(&f.code)
	case "metadata":
		if p.peek() != '{' {
			return p.skip()
		}
		return p.object(func(name []byte) error {
			f.moderated = f.moderated || string(name) == "reasons"
			return p.skip()
		})
	}
	return p.skip()
}

// baseResp reads MiniMax's status object; status_code 0 is success.
func (f *fault) baseResp(p *parser) error {
	if p.peek() != '{' {
		return p.skip()
	}
	return p.object(func(name []byte) error {
		switch string(name) {
		case "status_code":
			n, err := p.count()
			if err == nil && n != 0 {
				f.set = true
				f.miniMaxStatus = int(n)
				f.code = strconv.FormatInt(n, 10)
			}
			return err
		case "status_msg":
			if p.peek() != '"' {
				return p.skip()
			}
			b, err := p.str()
			if f.message == "" {
				f.message = clean(string(b))
			}
			return err
		}
		return p.skip()
	})
}

// sentence is the error in the target's words.
func (f *fault) sentence() string {
	switch {
	case f.message != "":
		return f.message
	case f.code != "":
		return f.code
	}
	return f.typ
}

// words are the error codes and types that say more than a status, in lower
// case. Sources: the providers' pages on errors (OpenAI, Anthropic, DeepSeek,
// Moonshot, Alibaba Model Studio, Azure, vLLM).
var words = map[string]ledger.Outcome{
	"insufficient_quota":                   ledger.Quota,
	"billing_hard_limit_reached":           ledger.Quota,
	"billing_not_active":                   ledger.Quota,
	"exceeded_current_quota_error":         ledger.Quota,
	"insufficient_balance":                 ledger.Quota,
	"insufficient_credits":                 ledger.Quota,
	"billing_error":                        ledger.Quota,
	"arrearage":                            ledger.Quota,
	"rate_limit_exceeded":                  ledger.RateLimited,
	"rate_limit_error":                     ledger.RateLimited,
	"rate_limit_reached_error":             ledger.RateLimited,
	"requests":                             ledger.RateLimited,
	"tokens":                               ledger.RateLimited,
	"throttling":                           ledger.RateLimited,
	"throttling.ratequota":                 ledger.RateLimited,
	"throttling.allocationquota":           ledger.RateLimited,
	"invalid_api_key":                      ledger.Auth,
	"invalidapikey":                        ledger.Auth,
	"authentication_error":                 ledger.Auth,
	"invalid_authentication_error":         ledger.Auth,
	"permission_error":                     ledger.Auth,
	"permission_denied_error":              ledger.Auth,
	"account_deactivated":                  ledger.Auth,
	"content_filter":                       ledger.Filtered,
	"content_policy_violation":             ledger.Filtered,
	"data_inspection_failed":               ledger.Filtered,
	"datainspectionfailed":                 ledger.Filtered,
	"responsibleaipolicyviolation":         ledger.Filtered,
	"server_error":                         ledger.Transport,
	"api_error":                            ledger.Transport,
	"internal_error":                       ledger.Transport,
	"internal_server_error":                ledger.Transport,
	"internalservererror":                  ledger.Transport,
	"overloaded_error":                     ledger.Transport,
	"engine_overloaded_error":              ledger.Transport,
	"engine_overloaded":                    ledger.Transport,
	"service_unavailable":                  ledger.Transport,
	"timeout_error":                        ledger.Transport,
	"timeout":                              ledger.Transport,
	"invalid_request_error":                ledger.Rejected,
	"badrequesterror":                      ledger.Rejected,
	"context_length_exceeded":              ledger.Rejected,
	"model_not_found":                      ledger.Rejected,
	"not_found_error":                      ledger.Rejected,
	"notfounderror":                        ledger.Rejected,
	"exceed_context_size_error":            ledger.Rejected,
	"invalid_parameter_error":              ledger.Rejected,
	"unsupported_parameter":                ledger.Rejected,
	"unsupported_value":                    ledger.Rejected,
	"string_above_max_length":              ledger.Rejected,
	"request_too_large":                    ledger.Rejected,
	"resource_not_found_error":             ledger.Rejected,
	"unprocessableentityerror":             ledger.Rejected,
	"validation_error":                     ledger.Rejected,
	"invalid_request":                      ledger.Rejected,
	"unsupported_country_region_territory": ledger.Auth,
}

// quotaPhrases mark an exhausted account where no code does: Anthropic (400)
// and DeepSeek (402).
var quotaPhrases = []string{"credit balance is too low", "insufficient balance"}

// word is what code, message and type say; "" if nothing. The more special comes
// first: Anthropic's type for an empty account is invalid_request_error.
func (f *fault) word() ledger.Outcome {
	if f.moderated {
		return ledger.Filtered
	}
	if o, ok := words[strings.ToLower(f.code)]; ok {
		return o
	}
	low := strings.ToLower(f.message)
	for _, s := range quotaPhrases {
		if strings.Contains(low, s) {
			return ledger.Quota
		}
	}
	return words[strings.ToLower(f.typ)]
}

// miniMax are the status codes of MiniMax's base_resp.
var miniMax = map[int]ledger.Outcome{
	1000: ledger.Transport, 1001: ledger.Transport, 1013: ledger.Transport, 1024: ledger.Transport, 1033: ledger.Transport,
	1002: ledger.RateLimited, 1039: ledger.RateLimited, 1041: ledger.RateLimited,
	1004: ledger.Auth, 2049: ledger.Auth,
	1008: ledger.Quota,
	1026: ledger.Filtered, 1027: ledger.Filtered,
	1042: ledger.Rejected, 2013: ledger.Rejected,
}

// outcome classes an error that came with status 200: by a code that is an HTTP
// status (OpenRouter), by words, or as malformed.
func (f *fault) outcome() ledger.Outcome {
	if o, ok := miniMax[f.miniMaxStatus]; ok {
		return o
	}
	if n, err := strconv.Atoi(f.code); err == nil && n >= 400 && n <= 599 {
		return statusOutcome(n, *f)
	}
	if o := f.word(); o != "" {
		return o
	}
	return ledger.Malformed
}

// statusOutcome is the table of statuses.
//
//	401 403           auth, unless the error says quota or filter
//	402               quota
//	408 409 425 5xx   transport
//	429               rate_limited, or quota where the error says so
//	400 and other 4xx rejected, unless the error says quota, filter, rate limit or key
//	3xx, 407, others  transport: something between us and the target answered
func statusOutcome(status int, f fault) ledger.Outcome {
	word := f.word()
	switch {
	case status == 402:
		return ledger.Quota
	case status == 429:
		if word == ledger.Quota {
			return ledger.Quota
		}
		return ledger.RateLimited
	case status == 401 || status == 403:
		if word == ledger.Quota || word == ledger.Filtered {
			return word
		}
		return ledger.Auth
	case status == 407 || status == 408 || status == 409 || status == 425 || status == 499:
		return ledger.Transport
	case status >= 400 && status <= 499:
		switch word {
		case ledger.Quota, ledger.Filtered, ledger.RateLimited, ledger.Auth:
			return word
		}
		return ledger.Rejected
	}
	return ledger.Transport
}

// faultEvent reads the data of an error event: an error object, bare or under
// its member, or text.
func (d *decoder) faultEvent(data []byte) {
	if err := d.document(data, true); err != nil || !d.fault.set {
		d.fault = fault{set: true, message: clean(string(data))}
	}
}
