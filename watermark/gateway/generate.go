package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// Why a reply that might be marked is not: nothing is drawn (at temperature 0 a scheme
// that adds to logits marks all the same), or there is but one candidate.
const (
	reasonGreedy = "temperature 0"
	reasonSingle = "top_k 1"
)

// What was done to a reply.
const (
	policyMarked   = "marked"
	policyUnmarked = "unmarked"
	policyPlanted  = "planted" // the reply is a canary's
)

// generation is one request on its way.
type generation struct {
	s     *Server
	id    string
	began time.Time
	chat  bool
	route string

	req     *request
	account *Account
	cohort  string // the account's, or the one that serves in its place now
	policy  string
	reason  string // why a reply is not marked
	planted string
	signing *signing
	mark    *watermark.Request // nil: not marked
	seq     *sequence
	text    text
	random  *rand.Rand

	cands  []candidate
	step   step
	waited time.Duration // for the upstream
	first  time.Duration // to the first token
	finish string
	loss   loss
}

// loss is what was lost of the distributions of a reply's steps.
type loss struct {
	steps                int
	missing, mostMissing float64 // sum and maximum over the steps
	kl, mostKL           float64
}

func (l *loss) add(s *step) {
	l.steps++
	l.missing += s.missing
	l.kl += s.kl
	l.mostMissing, l.mostKL = max(l.mostMissing, s.missing), max(l.mostKL, s.kl)
}

func (l *loss) mean(sum float64) float64 { return sum / float64(max(1, l.steps)) }

// read finds out whose request it is and gives its body.
func (g *generation) read(w http.ResponseWriter, r *http.Request) (body []byte, err error) {
	if g.account, err = g.s.account(r); err != nil {
		return nil, err
	}
	g.cohort = g.account.Cohort
	// The deadline must go again: it would end the wait for the client's leaving, too.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(g.s.opt.ClientTimeout)) // not every writer has one
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, g.s.opt.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refusal(http.StatusRequestEntityTooLarge, "invalid_request_error", "", fmt.Sprintf("the body is larger than the %d bytes that this gateway takes", g.s.opt.MaxBody))
	case err != nil:
		return nil, badRequest("the body cannot be read")
	}
	return body, nil
}

// prepare reads the request and finds out what applies to it. Errors are answered
// before anything else is.
func (g *generation) prepare(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	body, err := g.read(w, r)
	if err != nil {
		return err
	}
	if g.req, err = parseRequest(body, g.chat, g.s.opt.Tools); err != nil {
		return err
	}
	if err := g.s.hasModel(g.req.model); err != nil {
		return err
	}
	if err := g.choose(); err != nil {
		return err
	}
	if g.policy == policyPlanted {
		return nil
	}
	prompt, err := g.prompt(ctx)
	if err != nil {
		return err
	}
	limit, err := g.limit(len(prompt))
	if err != nil {
		return err
	}
	g.req.maxTokens = limit
	room := min(limit, 512) // most replies are shorter than they may be
	g.seq = newSequence(prompt, room)
	if g.policy == policyMarked {
		if g.mark, err = g.signing.begin(prompt, room); err != nil {
			return err
		}
	}
	g.text.stops = g.req.stops
	if g.req.seed != nil {
		g.random = rand.New(rand.NewPCG(uint64(*g.req.seed), 0))
	}
	return nil
}

// choose finds out what is done to the reply.
func (g *generation) choose() error {
	now := time.Now()
	if g.s.opt.Planted != nil {
		if reply, ok := g.s.opt.Planted(g.cohort, g.req.asked()); ok {
			g.policy, g.planted = policyPlanted, reply
			return nil
		}
	}
	switch {
	case g.account.Mark == MarkNever:
		g.policy, g.reason = policyUnmarked, "account"
		return nil
	case g.req.optOut && g.account.Mark != MarkOptional:
		return refusal(http.StatusForbidden, "invalid_request_error", "watermark_required", "replies to this account are always marked: leave watermarking out")
	case g.req.optOut:
		g.policy, g.reason = policyUnmarked, "request"
		return nil
	}
	if g.s.opt.Rotated != nil {
		g.cohort = g.s.opt.Rotated(g.cohort, now)
	}
	signer := *g.account
	signer.Cohort = g.cohort
	signing, err := g.s.opt.Keys.signing(&signer, now)
	if err != nil { // fail closed: nothing is served unmarked because a key is missing
		g.s.opt.Log.LogAttrs(context.Background(), slog.LevelError, "no key", slog.String("id", g.id), slog.String("cohort", g.cohort), slog.String("error", err.Error()))
		return refusal(http.StatusServiceUnavailable, "server_error", "no_key", "this gateway has no key for the account now; its operator was told")
	}
	switch {
	case g.req.topK == 1:
		g.policy, g.reason = policyUnmarked, reasonSingle
		return nil
	case g.req.temperature == 0 && !signing.greedy:
		g.policy, g.reason = policyUnmarked, reasonGreedy
		return nil
	}
	g.signing, g.policy = signing, policyMarked
	return nil
}

// prompt is the ids that the model goes on from.
func (g *generation) prompt(ctx context.Context) ([]int32, error) {
	began := time.Now()
	defer func() { g.waited += time.Since(began) }()
	switch {
	case g.req.promptIDs != nil:
		for _, id := range g.req.promptIDs {
			if id < 0 || int(id) >= g.s.up.vocab {
				return nil, badRequest("the prompt has a token outside of the vocabulary, which has %d", g.s.up.vocab).about(fmt.Sprintf("token %d", id))
			}
		}
		return g.req.promptIDs, nil
	case g.chat:
		return g.s.chatPrompt(ctx, g.req)
	}
	return g.s.textPrompt(ctx, g.req.prompt)
}

// limit is how many tokens the reply may have.
func (g *generation) limit(prompt int) (int, error) {
	if prompt == 0 {
		return 0, badRequest("the prompt has no tokens")
	}
	limit := g.req.maxTokens
	if limit == 0 {
		limit = completionTokens
		if g.chat {
			limit = g.s.opt.MaxTokens
		}
	}
	if limit > g.s.opt.MaxTokens {
		return 0, badRequest("max_tokens must be at most %d here", g.s.opt.MaxTokens)
	}
	if room := g.s.up.context - prompt; g.s.up.context > 0 {
		if room < 1 {
			return 0, badRequest("the prompt has %d tokens, and the model's context holds %d", prompt, g.s.up.context)
		}
		limit = min(limit, room)
	}
	return limit, nil
}

// canary hands the planted reply to emit as if the model had written it.
func (g *generation) canary(emit func(string) error) (string, error) {
	ids, err := g.s.opt.Tokenizer.Encode(g.planted)
	if err != nil {
		return "", err
	}
	g.seq = newSequence(nil, len(ids))
	for _, id := range ids {
		g.seq.add(id)
		send, _ := g.text.push(g.s.bytes(id))
		if err := emit(send); err != nil {
			return "", err
		}
	}
	return "stop", emit(g.text.flush())
}

// tokens draws the reply token by token and hands its text to emit. It returns the
// finish reason.
func (g *generation) tokens(ctx context.Context, emit func(string) error) (string, error) {
	for len(g.seq.generated()) < g.req.maxTokens {
		began, waited := time.Now(), g.waited
		id, err := g.next(ctx)
		if err != nil {
			return "", err
		}
		if g.ended(id) {
			return "stop", emit(g.text.flush())
		}
		g.seq.add(id)
		if g.mark != nil {
			g.mark.Append(id)
		}
		send, stopped := g.text.push(g.s.bytes(id))
		if g.first == 0 {
			g.first = time.Since(g.began)
			g.s.metrics.first.observe(g.first)
		}
		if err := emit(send); err != nil {
			return "", err
		}
		g.s.metrics.own.observe(time.Since(began) - (g.waited - waited))
		if stopped {
			return "stop", nil
		}
	}
	return "length", emit(g.text.flush())
}

func (g *generation) ended(id int32) bool {
	return g.s.ends[id] || slices.Contains(g.req.stopIDs, id)
}

// next draws one token.
func (g *generation) next(ctx context.Context) (int32, error) {
	began := time.Now()
	var err error
	g.cands, err = g.s.up.next(ctx, g.seq, g.cands)
	waited := time.Since(began)
	g.waited += waited
	g.s.metrics.upstream.observe(waited)
	if err != nil {
		return 0, err
	}
	cands := g.s.drawable(g.cands)
	if len(cands) == 0 {
		return 0, errors.New("none of the upstream's candidates is a token of the tokenizer")
	}
	g.step.set(cands, g.req.truncation, g.s.up.vocab)
	g.loss.add(&g.step)
	var mark marker
	if g.mark != nil {
		mark = g.mark
	}
	return g.step.draw(mark, g.req.temperature == 0, g.random)
}

// drawable leaves out ids that are no token: logits may be wider than the vocabulary.
func (s *Server) drawable(cands []candidate) []candidate {
	kept := cands[:0]
	for _, c := range cands {
		if int(c.id) < len(s.known) && s.known[c.id] || s.ends[c.id] {
			kept = append(kept, c)
		}
	}
	return kept
}

// bytes is the text of a token: none for special tokens, as servers have it unless
// they are asked otherwise.
func (s *Server) bytes(id int32) []byte {
	if s.opt.Tokenizer.Control(id) {
		return nil
	}
	b, _ := s.opt.Tokenizer.Token(id)
	return b
}
