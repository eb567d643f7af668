package ledger

import (
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"time"
)

// crockford is the alphabet of ULIDs: no I, L, O, U, so that an id survives
// being read aloud.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// maxSlug bounds the name part of a case id: with date and suffix the folder's
// name stays under 64 characters, which every file system and every table of a
// report can hold.
const maxSlug = 40

// NewCaseID returns an id such as 2026-11-20_acme-nova-1_01JD8K7Q: the UTC day,
// the name reduced to lower-case letters, digits and hyphens, and 40 random
// bits. Two cases of one day and name collide with probability 2^-40; [Create]
// then refuses the folder.
func NewCaseID(name string, now time.Time, rand io.Reader) (string, error) {
	var b [5]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("drawing a case id: %w", err)
	}
	suffix := base32.NewEncoding(crockford).EncodeToString(b[:])
	return now.UTC().Format(time.DateOnly) + "_" + slug(name) + "_" + suffix, nil
}

func slug(name string) string {
	var b strings.Builder
	hyphen := false
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			if hyphen && b.Len() > 0 {
				b.WriteByte('-')
			}
			hyphen = false
			b.WriteRune(r)
		default:
			hyphen = true
		}
		if b.Len() >= maxSlug-1 { // no room for a hyphen and a letter
			break
		}
	}
	if b.Len() == 0 {
		return "case"
	}
	return b.String()
}
