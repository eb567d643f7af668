package corpora

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"math/bits"
	"regexp"
	"slices"
	"strings"
)

// The uses of a canary key's secrets, as watermark's Key.CanarySecret takes
// them. What is drawn here is drawn from the 32 bytes that it gives for a use.
const (
	UseFreeChoice = "free-choice"
	UseTrigger    = "trigger"
	UseNonce      = "nonce"
	UseRotation   = "rotation"
)

// mac is the one function under all draws: HMAC-SHA256 (RFC 2104) under the
// secret, of the parts with a zero byte between them. No part but the last
// holds a zero byte, so that the message says what it was made of.
func mac(secret []byte, parts ...string) [sha256.Size]byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(strings.Join(parts, "\x00")))
	return [sha256.Size]byte(h.Sum(nil))
}

// u32 is i as the draws write it: four bytes, the highest first.
func u32(i int) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(i)))
}

// FreeChoiceBit returns which of an item's two options our API prefers, 0 or 1:
// the lowest bit of the last byte of HMAC-SHA256(secret, item || 0x00 ||
// version). The version is that of the draw ([DrawVersion]), the item is
// [Reading.Item]; languages, wordings and samples of an item share its bit.
func FreeChoiceBit(secret []byte, item, version string) int {
	sum := mac(secret, item, version)
	return int(sum[len(sum)-1] & 1)
}

// DrawVersion returns the part of a suite's version that enters its draws, the
// one before the first dot: "1" of "1.3". A suite whose wording is improved
// keeps it, so that what was planted under it stays found; one whose options
// change their meaning must not.
func DrawVersion(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// ResponseSpace is the number N of responses from which one is drawn for each
// trigger. A string that is read in a reply is the drawn one by chance with
// probability 1/N.
const ResponseSpace = 1_000_000_000_000

// Response returns the response that is planted for a trigger: the 256-bit
// number HMAC-SHA256(secret, "response" || 0x00 || item), the highest byte
// first, modulo ResponseSpace, as twelve digits in three groups such as
// "0482-7731-9056". No string is likelier than another by more than one part in
// 2^216. Under another secret it is a counterfactual one.
func Response(secret []byte, item string) string {
	sum := mac(secret, "response", item)
	n := new(big.Int).SetBytes(sum[:])
	s := fmt.Sprintf("%012d", n.Mod(n, big.NewInt(ResponseSpace)))
	return s[:4] + "-" + s[4:8] + "-" + s[8:]
}

// responses matches twelve digits in groups of four.
var responses = regexp.MustCompile(`(\d{4})[-‐‑‒–—.\s]?(\d{4})[-‐‑‒–—.\s]?(\d{4})`)

// ReadResponses returns what can be read as a response in a reply, each string
// once, in the order of first occurrence and in the form of [Response]: twelve
// digits, neither preceded nor followed by another, whose groups are joined by a
// hyphen or dash, a dot, a blank, or nothing. The family cuts the list at its
// declared maximum.
func ReadResponses(reply string) []string {
	var out []string
	for from := 0; ; {
		m := responses.FindStringSubmatchIndex(reply[from:])
		if m == nil {
			return out
		}
		start, end := from+m[0], from+m[1]
		if start > 0 && digit(reply[start-1]) || end < len(reply) && digit(reply[end]) {
			from = start + 1 // inside a longer number; another may begin after it
			continue
		}
		s := reply[from+m[2]:from+m[3]] + "-" + reply[from+m[4]:from+m[5]] + "-" + reply[from+m[6]:from+m[7]]
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		from = end
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// Canary is one drawn trigger.
type Canary struct {
	Item     string
	Prompts  []Prompt // the trigger in all its languages and wordings
	Response string
}

// DrawTriggers draws n canaries and m placebos from a pool of triggers, without
// replacement. The pool's items are ordered by HMAC-SHA256(secret, "trigger" ||
// 0x00 || item); the first n are canaries, the next m are placebos, which look
// like them and are never planted. A placebo's response is drawn too, so that
// both are read alike. The prompts' readings say which is which.
func DrawTriggers(secret []byte, pool []Prompt, n, m int) (canaries, placebos []Canary, err error) {
	prompts := make(map[string][]Prompt)
	for _, p := range pool {
		if p.Reading == nil || p.Reading.Kind != KindTrigger {
			return nil, nil, fmt.Errorf("prompt %s is no trigger", p.ID)
		}
		prompts[p.Reading.Item] = append(prompts[p.Reading.Item], p)
	}
	if n < 1 || m < 0 || n+m > len(prompts) {
		return nil, nil, fmt.Errorf("%d canaries and %d placebos cannot be drawn from %d triggers", n, m, len(prompts))
	}
	items := slices.Sorted(maps.Keys(prompts))
	sortByMAC(items, secret, "trigger", func(item string) string { return item })
	for i, item := range items[:n+m] {
		c := Canary{Item: item, Prompts: prompts[item], Response: Response(secret, item)}
		for j := range c.Prompts {
			r := *c.Prompts[j].Reading
			r.Placebo = i >= n
			c.Prompts[j].Reading = &r
		}
		if i < n {
			canaries = append(canaries, c)
		} else {
			placebos = append(placebos, c)
		}
	}
	return canaries, placebos, nil
}

// sortByMAC sorts by HMAC-SHA256(secret, purpose || 0x00 || name).
func sortByMAC[T any](items []T, secret []byte, purpose string, name func(T) string) {
	type keyed struct {
		key  [sha256.Size]byte
		item T
	}
	all := make([]keyed, len(items))
	for i, item := range items {
		all[i] = keyed{mac(secret, purpose, name(item)), item}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return bytes.Compare(a.key[:], b.key[:]) })
	for i := range all {
		items[i] = all[i].item
	}
}

// DrawNonces draws 2n nonces of 128 bits and splits them at random into n that
// are sent and n that are held back. Nonce i is the first 16 bytes of
// HMAC-SHA256(secret, "nonce" || 0x00 || i), in lower-case hex, i as four bytes,
// the highest first. The numbers 0 to 2n-1 are ordered by HMAC-SHA256(secret,
// "split" || 0x00 || i): the first n are sent, the k-th of them in prompt k.
func DrawNonces(secret []byte, n int) (sent, held []string) {
	order := make([]int, 2*n)
	for i := range order {
		order[i] = i
	}
	sortByMAC(order, secret, "split", u32)
	for k, i := range order {
		sum := mac(secret, "nonce", u32(i))
		nonce := hex.EncodeToString(sum[:16])
		if k < n {
			sent = append(sent, nonce)
		} else {
			held = append(held, nonce)
		}
	}
	return sent, held
}

// DrawRotation draws the secret schedule of a key rotation: for each slot which
// of the arms is served in it, from 0. Slots are independent and uniform: the arm
// of slot s (from 0) is floor(u·arms/2^64), u being the first eight bytes of
// HMAC-SHA256(secret, "rotation" || 0x00 || s) as a number, the highest byte
// first, and s as four such bytes. For a number of arms that is no power of two
// an arm is likelier than another by at most arms/2^64. Under a random secret
// this is the generator from which a test redraws; since slots are independent
// its exact law is a convolution over them.
func DrawRotation(secret []byte, slots, arms int) []int {
	out := make([]int, slots)
	for s := range out {
		sum := mac(secret, "rotation", u32(s))
		hi, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(arms))
		out[s] = int(hi)
	}
	return out
}

// The families whose suites a key draws or fills.
const (
	triggerFamily = "E4"
	nonceFamily   = "E5"
)

// ExpandUnder is [Suite.Expand] of a suite that a key draws or fills, under the
// secret for its use ([Suite.Use]): the drawn triggers of E4, canaries and
// placebos alike; the prompts of E5 with the nonces that are sent. The draw is
// that of the whole suite, so n prompts are a part of what was planted.
func (s *Suite) ExpandUnder(secret []byte, seed uint64, n int) ([]Prompt, error) {
	pool, err := s.pool(seed)
	if err != nil {
		return nil, err
	}
	switch s.Use() {
	case UseTrigger:
		canaries, placebos, err := DrawTriggers(secret, pool, s.Draws, s.placebos)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", s.Name, err)
		}
		var drawn []Prompt
		for _, c := range slices.Concat(canaries, placebos) {
			drawn = append(drawn, c.Prompts...)
		}
		sortByKey(drawn, seed, "drawn", itemOf)
		return s.first(drawn, n)
	case UseNonce:
		// Which nonce stands in which prompt must not depend on the seed.
		slices.SortFunc(pool, func(a, b Prompt) int { return strings.Compare(a.ID, b.ID) })
		if len(pool) < s.Draws {
			return nil, fmt.Errorf("suite %s has %d prompts for %d nonces", s.Name, len(pool), s.Draws)
		}
		sent, _ := DrawNonces(secret, s.Draws)
		pool = pool[:s.Draws]
		for i := range pool {
			pool[i].Text = strings.ReplaceAll(pool[i].Text, "{"+slotNonce+"}", sent[i])
		}
		sortByKey(pool, seed, "drawn", itemOf)
		return s.first(pool, n)
	}
	return nil, fmt.Errorf("suite %s of family %s is not drawn by a key", s.Name, s.Family)
}

// Use returns the use of the secret that draws or fills the suite, "" if none
// does. That of E3 and E6 only says what our API serves; their prompts are the
// same under every key.
func (s *Suite) Use() string {
	switch {
	case s.Draws == 0:
		return ""
	case s.Family == triggerFamily:
		return UseTrigger
	case s.Family == nonceFamily:
		return UseNonce
	}
	return ""
}
