// Package endpoint speaks to the targets of an audit: OpenAI-compatible servers
// named by a base URL, a model and the name of the environment variable that
// holds the key.
//
// Requests go through github.com/sashabaranov/go-openai, never bare: under it
// sits the flight recorder, an HTTPDoer that replaces the request body by
// exactly what the plan says, keeps the raw bytes of request and response,
// refuses redirects, enforces deadlines and redacts the key before a byte
// leaves the package. What the library would decode is not used; replies are
// decoded from the recorded bytes by package wire.
//
// [Client.Send] is one attempt. Attempts go into the case's ledger one by one,
// so the retry loop belongs to the runner; its parts are here:
// [ParseRetryAfter], [Backoff], [AIMD].
//
// The package may import probe/ledger and probe/wire.
package endpoint
