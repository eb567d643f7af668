package family

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Wrapper is the family of this file: C8. An endpoint that forwards to ours, or serves
// our weights, answers short and fully determined requests in our distribution, which
// a student hardly does. Two samples of strings are compared by their mean discrepancy
// under a kernel on characters; what surrounds the replies (headers, members, stream,
// errors, latency) is described.
const Wrapper = "C8"

const wrapperExtractor = "string-kernel-1: characters in threes to fives of the whole reply, 4096 buckets, projected on 128 signs"

func c8Family() Family {
	return Family{
		ID: Wrapper, Name: "wrapper", Tier: ledger.Comparative,
		Rung:  "H_fwd or H_wt: forwards to our service, or serves our weights",
		Needs: []string{"chat"}, run: together(alone(runC8)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, wrapperUnit, wrapperSpread, reading.KindProtocol)
		},
		null:        "The replies of {target} to protocol prompts are no closer in distribution to those of our endpoint, beyond their closeness to other teachers', than a control's.",
		alternative: "The replies of {target} to protocol prompts are closer in distribution to those of our endpoint than any control's.",
	}
}

const wrapperUnit = "closeness of distributions (minus the squared mean discrepancy of strings)"

// wrapperSpread is that of scripted endpoints with 6 to 8 replies per prompt.
var wrapperSpread = spread{between: .005, within: .12}

const (
	kernelDims = 128
	// maxReplies of a prompt and side are compared: all relabellings of eight and eight
	// are worked out.
	maxReplies = evidence.MaxPool / 2
)

// embedding is a string as a vector of length 1: inner products estimate the cosine of
// two strings' counts of character sequences.
type embedding [kernelDims]float32

// runC8 compares distributions of replies.
func runC8(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the double-centred closeness of the target's replies to ours: minus the unbiased squared mean discrepancy of the two samples of strings, averaged over prompts",
		unit:      wrapperUnit, extractor: wrapperExtractor,
		// Equal distributions give 0 on average; two replies each can come out closer than that.
		lo: -4, hi: 2,
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(reading.KindProtocol)
	if err != nil {
		return nil, err
	}
	seen, err := tables(ctx, in, wrapperExtractor, sd.everybody(), newEnvelope,
		func(a *Answer) (*embedding, bool) {
			if r.of[a.Item.Prompt] == nil {
				return nil, false
			}
			if a.Reply.Outcome != ledger.OK {
				return nil, true // its envelope still counts
			}
			return embed(a.Reply.Text), true
		},
		func(e *envelope, a *Answer, v *embedding) {
			e.take(a)
			if v == nil {
				return
			}
			if p := a.Item.Prompt; len(e.replies[p]) < maxReplies {
				e.replies[p] = append(e.replies[p], v)
			}
			e.whole++
		})
	if err != nil {
		return nil, err
	}
	s.replies = seen[sd.rival].whole
	g := newAgreement(sd)
	test := evidence.NewExchange(in.Rand("within prompts"), permutations)
	for _, p := range in.Prompts() {
		if r.of[p] == nil {
			continue
		}
		c := g.cell(r.item[p], p.Category, p)
		for i, row := range g.rows {
			for j, column := range g.teachers {
				a, b := seen[row].replies[p], seen[column].replies[p]
				if row == column || len(a) < 2 || len(b) < 2 {
					continue
				}
				if row == sd.rival && column == sd.ours {
					all := evidence.MeanDiscrepancy(kernel(a, b), len(a), len(b))
					test.Add(all)
					g.set(c, i, j, -all[0], 1)
					continue
				}
				g.set(c, i, j, -discrepancy(a, b), 1)
			}
		}
	}
	if test.Blocks() > 0 {
		s.permuted = &ledger.Permutation{
			Null:   "Within prompts the replies of the target and of our endpoint may be exchanged: they come from one distribution. A small value means that the two differ; one that is not small fits forwarding or the same weights, and shows neither.",
			Log10P: test.Log10P(), N: int64(test.Blocks()), B: permutations,
		}
	}
	if sd.ours != nil {
		s.traits = surroundings(sd, seen)
	}
	return in.compare(sd, g, s), nil
}

// embed makes the vector of a reply. Its ends are marked, so that short replies have
// sequences, too.
func embed(text string) *embedding {
	var counts [sequenceFeatures]float64
	countSequences("\x02\x02"+clip(text)+"\x03\x03", &counts)
	v := new(embedding)
	for k, n := range counts {
		if n == 0 {
			continue
		}
		w := float32(math.Sqrt(n)) // so that repetition does not outweigh variety
		lo, hi := scatter(uint64(2*k)), scatter(uint64(2*k+1))
		for d := range 64 {
			v[d] += w * sign(lo>>d)
			v[64+d] += w * sign(hi>>d)
		}
	}
	norm := 0.
	for _, x := range v {
		norm += float64(x * x)
	}
	for d := range v {
		v[d] /= float32(math.Sqrt(norm))
	}
	return v
}

// sign turns a bit into +1 or -1.
func sign(bit uint64) float32 { return float32(1 - 2*int(bit&1)) }

// scatter turns a number into 64 bits without structure (the finaliser of SplitMix64,
// Steele et al., OOPSLA 2014).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func inner(a, b *embedding) float64 {
	s := float32(0)
	for d := range a {
		s += float32(a[d] * b[d])
	}
	return min(max(float64(s), -1), 1)
}

// kernel are the pooled inner products, row by row.
func kernel(a, b []*embedding) []float64 {
	all := slices.Concat(a, b)
	k := make([]float64, 0, len(all)*len(all))
	for _, x := range all {
		for _, y := range all {
			k = append(k, inner(x, y))
		}
	}
	return k
}

// discrepancy is the observed value of evidence.MeanDiscrepancy.
func discrepancy(a, b []*embedding) float64 {
	within := func(x []*embedding) float64 {
		s := 0.
		for i := range x {
			for j := range i {
				s += inner(x[i], x[j])
			}
		}
		return 2 * s / float64(len(x)*(len(x)-1))
	}
	cross := 0.
	for _, x := range a {
		for _, y := range b {
			cross += inner(x, y)
		}
	}
	return within(a) + within(b) - 2*cross/float64(len(a)*len(b))
}

// envelope gathers a target's replies and what surrounds them.
type envelope struct {
	target  *ledger.Target
	replies map[*ledger.Prompt][]*embedding // maxReplies of each prompt
	whole   int64                           // replies, all of them
	seen    map[string]map[string]int       // values by trait
	first   []float64                       // milliseconds to the first byte
	speed   []float64                       // tokens per second after it
}

func newEnvelope(t *ledger.Target) *envelope {
	return &envelope{target: t, replies: map[*ledger.Prompt][]*embedding{}, seen: map[string]map[string]int{}}
}

// The traits of an envelope, in the order in which they are listed.
var envelopeTraits = []string{
	"form of the response id", "members of the reply", "response headers", "server header", "fingerprint", "finish reason", "usage", "framing of the stream", "status and members of refused requests",
}

// note counts a value of a trait.
func (e *envelope) note(trait int, value string) {
	name := envelopeTraits[trait]
	if e.seen[name] == nil {
		e.seen[name] = map[string]int{}
	}
	if m := e.seen[name]; len(m) < 1000 || m[value] > 0 { // a hostile server varies without end
		m[value]++
	}
}

// take enters one settled attempt.
func (e *envelope) take(a *Answer) {
	at := a.Attempt
	if at.Status >= 400 {
		e.note(8, fmt.Sprintf("%d %s", at.Status, memberNames(a.Raw)))
		return
	}
	e.note(0, idForm(a.Reply.ResponseID))
	body, events := firstDocument(a.Raw)
	e.note(1, memberNames(body))
	var names []string
	for name := range at.Headers {
		names = append(names, strings.ToLower(name))
		if strings.EqualFold(name, "server") {
			e.note(3, at.Headers[name])
		}
	}
	slices.Sort(names)
	e.note(2, strings.Join(names, " "))
	e.note(4, present(a.Reply.Fingerprint != ""))
	e.note(5, a.Reply.Finish)
	e.note(6, usageForm(a.Reply.Usage))
	if at.Stream {
		text := max(len(a.Reply.Text)+len(a.Reply.Reasoning), 1)
		perEvent := "a token or so"
		if per := text / max(events, 1); per > 12 {
			perEvent = "several tokens"
		}
		e.note(7, perEvent+" per event")
	}
	if at.FirstByteMS > 0 {
		e.first = append(e.first, at.FirstByteMS)
		if u := a.Reply.Usage; u != nil && u.CompletionTokens > 0 && at.TotalMS > at.FirstByteMS {
			e.speed = append(e.speed, 1000*float64(u.CompletionTokens)/(at.TotalMS-at.FirstByteMS))
		}
	}
}

func present(yes bool) string {
	if yes {
		return "present"
	}
	return "absent"
}

func usageForm(u *ledger.Usage) string {
	switch {
	case u == nil:
		return "absent"
	case u.ReasoningTokens > 0:
		return "with reasoning tokens"
	case u.Cost > 0:
		return "with cost"
	}
	return "plain"
}

// idForm is an id with its letters and digits levelled after the first separator.
func idForm(id string) string {
	prefix, rest := "", id
	if i := strings.IndexAny(id, "-_:"); i >= 0 {
		prefix, rest = id[:i+1], id[i+1:]
	}
	return fmt.Sprintf("%s(%d)", prefix, len(rest))
}

// firstDocument is the JSON text of a reply, or the first one of a stream, and how
// many events there are.
func firstDocument(raw []byte) (document []byte, events int) {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		for line := range bytes.Lines(raw) {
			if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:")); ok {
				if events++; events == 1 {
					document = data
				}
			}
		}
		return document, events
	}
	return raw, 1
}

// memberNames lists the names of a JSON object's members in their order: server
// software writes them in one of its own.
func memberNames(raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw[:min(len(raw), maxRead)]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "no object"
	}
	var names []string
	for d.More() && len(names) < 32 {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			break
		}
		names = append(names, name)
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			break
		}
	}
	return strings.Join(names, " ")
}

// maxTrait bounds a trait's value in characters; what a server says is printed.
const maxTrait = 160

// usual is the most frequent value of a trait, as it may be printed.
func (e *envelope) usual(trait string) string {
	best, most := "not seen", 0
	values := make([]string, 0, len(e.seen[trait]))
	for v := range e.seen[trait] {
		values = append(values, v)
	}
	slices.Sort(values)
	for _, v := range values {
		if n := e.seen[trait][v]; n > most {
			best, most = v, n
		}
	}
	out := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, best)
	if len(out) > maxTrait {
		out = out[:maxTrait] + "..."
	}
	return out
}

// surroundings describes the envelopes of rival and ours, with the number of controls
// that are as ours. What nobody shows is left out.
func surroundings(sd *sides, e map[*ledger.Target]*envelope) []ledger.Trait {
	var out []ledger.Trait
	add := func(name string, of func(*envelope) string, compared bool) {
		t := ledger.Trait{Name: name, Rival: of(e[sd.rival]), Ours: of(e[sd.ours])}
		if t.Rival == "not seen" && t.Ours == "not seen" {
			return
		}
		for _, c := range sd.controls {
			if !compared {
				break
			}
			t.Of++
			if of(e[c]) == t.Ours {
				t.Alike++
			}
		}
		out = append(out, t)
	}
	for _, name := range envelopeTraits {
		add(name, func(e *envelope) string { return e.usual(name) }, true)
	}
	add("context limit, in tokens", func(e *envelope) string {
		if c := e.target.Capabilities; c != nil && c.ContextLimit > 0 {
			return strconv.Itoa(c.ContextLimit)
		}
		return "not seen"
	}, true)
	middle := func(x []float64, unit string) string {
		if len(x) == 0 {
			return "not seen"
		}
		return strconv.FormatFloat(median(x), 'f', 0, 64) + unit
	}
	add("time to the first byte, median", func(e *envelope) string { return middle(e.first, " ms") }, false)
	add("speed after it, median", func(e *envelope) string { return middle(e.speed, " tokens/s") }, false)
	return out
}
