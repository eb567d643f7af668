// Package canary draws what is planted from the secrets of a canary key: which
// of two renderings our API prefers, responses to triggers, nonces, a rotation
// schedule. Every draw is a function of 32 secret bytes that is written down byte
// by byte, so that an audit, a gateway, the verifier and another program draw the
// same. It also reads responses in replies. The package imports the standard
// library only.
package canary

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
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

// Bit returns which of an item's two options our API prefers, 0 or 1:
// the lowest bit of the last byte of HMAC-SHA256(secret, item || 0x00 ||
// version). The version is that of the draw ([Version]), the item is
// the one of the reading; languages, wordings and samples of an item share its bit.
func Bit(secret []byte, item, version string) int {
	sum := mac(secret, item, version)
	return int(sum[len(sum)-1] & 1)
}

// Version returns the part of a suite's version that enters its draws, the
// one before the first dot: "1" of "1.3". A suite whose wording is improved
// keeps it, so that what was planted under it stays found; one whose options
// change their meaning must not.
func Version(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// Space is the number N of responses from which one is drawn for each
// trigger. A string that is read in a reply is the drawn one by chance with
// probability 1/N.
const Space = 1_000_000_000_000

// Response returns the response that is planted for a trigger: the 256-bit
// number HMAC-SHA256(secret, "response" || 0x00 || item), the highest byte
// first, modulo Space, as twelve digits in three groups such as
// "0482-7731-9056". No string is likelier than another by more than one part in
// 2^216. Under another secret it is a counterfactual one.
func Response(secret []byte, item string) string {
	return digits(mac(secret, "response", item))
}

// digits is a number modulo Space in the form of [Response].
func digits(sum [sha256.Size]byte) string {
	n := new(big.Int).SetBytes(sum[:])
	s := fmt.Sprintf("%012d", n.Mod(n, big.NewInt(Space)))
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

// Order orders the items of a pool of triggers for a draw without replacement:
// by HMAC-SHA256(secret, "trigger" || 0x00 || item). The first are canaries, those
// after them placebos.
func Order(secret []byte, items []string) []string {
	out := slices.Sorted(slices.Values(items))
	sortByMAC(out, secret, "trigger", func(item string) string { return item })
	return out
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

// Nonces draws 2n nonces of 128 bits and splits them at random into n that
// are sent and n that are held back. Nonce i is the first 16 bytes of
// HMAC-SHA256(secret, "nonce" || 0x00 || i), in lower-case hex, i as four bytes,
// the highest first. The numbers 0 to 2n-1 are ordered by HMAC-SHA256(secret,
// "split" || 0x00 || i): the first n are sent, the k-th of them in prompt k.
func Nonces(secret []byte, n int) (sent, held []string) {
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

// Rotation draws the secret schedule of a key rotation: for each slot which
// of the arms is served in it, from 0. Slots are independent and uniform: the arm
// of slot s (from 0) is floor(u·arms/2^64), u being the first eight bytes of
// HMAC-SHA256(secret, "rotation" || 0x00 || s) as a number, the highest byte
// first, and s as four such bytes. For a number of arms that is no power of two
// an arm is likelier than another by at most arms/2^64. Under a random secret
// this is the generator from which a test redraws; since slots are independent
// its exact law is a convolution over them.
func Rotation(secret []byte, slots, arms int) []int {
	out := make([]int, slots)
	for s := range out {
		sum := mac(secret, "rotation", u32(s))
		hi, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(arms))
		out[s] = int(hi)
	}
	return out
}

// Candidates returns the response to a trigger among b counterfactual ones, in
// ascending order, which says nothing of which it is: what a test of
// log-probabilities puts to a rival. The counterfactuals are the numbers
// HMAC-SHA256(secret, "counterfactual" || 0x00 || item || 0x00 || j), the highest byte
// first, modulo Space, in the form of [Response], for j = 0, 1, 2, … as four bytes,
// the highest first; one that is the response or came before is passed over.
func Candidates(secret []byte, item string, b int) []string {
	out := []string{Response(secret, item)}
	for j := 0; len(out) <= b; j++ {
		if c := digits(mac(secret, "counterfactual", item, u32(j))); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}

// Pick returns a number below n, uniform under a random secret: floor(u·n/2^64), u
// being the first eight bytes of HMAC-SHA256(secret, "pick" || 0x00 || item).
func Pick(secret []byte, item string, n int) int {
	sum := mac(secret, "pick", item)
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(n))
	return int(hi)
}
