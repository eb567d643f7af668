package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// The files of a redacted copy of a sealed case.
const (
	// RedactionName lists what is withheld.
	RedactionName = "redaction.json"
	// RedactionNotice says the same to people.
	RedactionNotice = "REDACTED.txt"
	// RedactedDir holds what is left of files of which a part is withheld, under the
	// paths that the whole files had. They are not there under these paths, so that
	// the manifest holds for every file that it finds.
	RedactedDir = "redacted"
)

// redactionFormat is the version of redaction.json.
const redactionFormat = 1

// ErrWithheld: the bytes are not in this copy of the case, only their salted hash.
var ErrWithheld = errors.New("withheld as a salted hash")

// Redaction is redaction.json: what a redacted copy of a sealed case lacks. It is
// exactly what is missing: whoever reads the copy finds out the same and compares.
type Redaction struct {
	Format    int      `json:"format"` // 1
	CaseID    string   `json:"case_id"`
	Files     []string `json:"files"`     // of the manifest, that are missing or stand under redacted/
	Prompts   []string `json:"prompts"`   // suite/id
	Requests  []uint64 `json:"requests"`  // ledger events whose bytes are withheld
	Responses []uint64 `json:"responses"` // "
	Headers   []uint64 `json:"headers"`   // "
}

// Items is the number of salted hashes that stand for what they are hashes of.
func (r *Redaction) Items() int {
	return len(r.Prompts) + len(r.Requests) + len(r.Responses) + len(r.Headers)
}

// EncodeRedaction returns redaction.json.
func EncodeRedaction(r *Redaction) ([]byte, error) {
	out := *r
	out.Format = redactionFormat
	out.Files, out.Prompts = some(r.Files), some(r.Prompts)
	out.Requests, out.Responses, out.Headers = some(r.Requests), some(r.Responses), some(r.Headers)
	data, err := encodeIndented(&out)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", RedactionName, err)
	}
	return data, nil
}

// some is a list that is written as [] where it is empty.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// ParseRedaction reads what [EncodeRedaction] wrote, and nothing else.
func ParseRedaction(data []byte) (*Redaction, error) {
	if err := checkFormat(data, RedactionName, redactionFormat); err != nil {
		return nil, err
	}
	r := new(Redaction)
	if err := decodeStrict(data, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", RedactionName, err)
	}
	again, err := EncodeRedaction(r)
	if err != nil {
		return nil, err
	}
	if err := sameBytes(data, again); err != nil {
		return nil, fmt.Errorf("reading %s: %w", RedactionName, err)
	}
	for _, name := range r.Files {
		if !Withholdable(name) {
			return nil, fmt.Errorf("reading %s: %q is no file that can be withheld", RedactionName, name)
		}
	}
	return r, nil
}

// Withholdable reports whether a redacted copy may lack a file: raw bytes and prompts,
// which are checked one by one, and the pages of reports, which print some of them.
func Withholdable(name string) bool {
	dir, base := path.Split(name)
	switch {
	case name == PromptsName:
		return true
	case dir == blobsName+"/":
		return segmentNumber(base) > 0
	case strings.HasPrefix(dir, "reports/") && strings.Count(dir, "/") == 2:
		return base == "report.json" || base == "report.html" || base == "report.pdf"
	case strings.HasPrefix(dir, "reports/") && strings.Count(dir, "/") == 3:
		return strings.HasSuffix(dir, "/tables/") && base == "exhibits.csv"
	}
	return false
}

// Notice is REDACTED.txt.
func (r *Redaction) Notice() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `This is a redacted copy of the sealed case %s.

Withheld are %d prompts, %d requests, %d responses and the headers of %d responses.
A salted hash stands for each, in plan.json or in ledger.jsonl, as it was sealed.
The signatures and timestamps are those of the whole case and hold for this copy.

These files of the manifest are missing, or stand under %s/ without what is withheld:
`, r.CaseID, len(r.Prompts), len(r.Requests), len(r.Responses), len(r.Headers), RedactedDir)
	for _, name := range r.Files {
		fmt.Fprintf(&b, "    %s\n", name)
	}
	b.WriteString(`
In VERIFY.md, the command that checks all files becomes, for those that are there:

    sha256sum --check --quiet --ignore-missing manifest-sha256.txt

What is laid open later is checked against its hash: that of a prompt is the SHA-256
of its line in prompts.jsonl without the newline, that of raw bytes the SHA-256 of
32 bytes of salt and the bytes.
`)
	return b.Bytes()
}

// redactedFS finds a file under redacted/ where it is not in its own place.
type redactedFS struct{ fs.FS }

func (r redactedFS) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) && Withholdable(name) {
		return r.FS.Open(path.Join(RedactedDir, name))
	}
	return f, err
}

// readRedaction returns what is withheld in a file system, nil where nothing is.
func readRedaction(fsys fs.FS) (*Redaction, error) {
	data, err := readLimited(fsys, RedactionName, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseRedaction(data)
}

// Redaction says what is withheld in this copy of the case, nil where nothing is.
// The caller must not change it.
func (c *Case) Redaction() *Redaction { return c.redaction }

// span is a stretch of a segment.
type span struct{ from, to int64 }

// absent gathers what [Case.CheckBlobs] does not find.
type absent struct {
	found   Redaction
	present map[int][]span // by segment: where there are bytes
}

// note enters a blob of an event; err is how loading it went.
func (a *absent) note(e *Event, at *Attempt, ref *BlobRef, err error) error {
	if err == nil {
		a.present[ref.Segment] = append(a.present[ref.Segment], span{ref.Offset, ref.Offset + ref.Length})
		return nil
	}
	if !errors.Is(err, ErrWithheld) {
		return err
	}
	list := &a.found.Requests
	switch {
	case e.Type == EventObservation:
		return fmt.Errorf("event %d: an observation cannot be withheld", e.Seq)
	case at != nil && ref == at.HeadersBlob:
		list = &a.found.Headers
	case at != nil:
		list = &a.found.Responses
	}
	*list = append(*list, e.Seq)
	return nil
}

// check holds what was found against redaction.json, and demands that what is left of
// a segment holds zeros wherever no blob is, and ends with the last one.
func (a *absent) check(c *Case) error {
	damage := func(file, format string, args ...any) error {
		return &DamageError{File: file, Reason: fmt.Sprintf(format, args...)}
	}
	r := c.redaction
	for i := range c.plan.Prompts {
		if q := &c.plan.Prompts[i]; q.Withheld() {
			a.found.Prompts = append(a.found.Prompts, q.Suite+"/"+q.ID)
		}
	}
	switch {
	case r.CaseID != c.plan.CaseID:
		return damage(RedactionName, "it is about case %s", r.CaseID)
	case !slices.Equal(r.Prompts, a.found.Prompts):
		return damage(RedactionName, "it lists %d prompts, withheld are %d, or others", len(r.Prompts), len(a.found.Prompts))
	case !slices.Equal(r.Requests, a.found.Requests), !slices.Equal(r.Responses, a.found.Responses), !slices.Equal(r.Headers, a.found.Headers):
		return damage(RedactionName, "it lists the bytes of %d requests, %d responses and %d headers, withheld are those of %d, %d and %d, or others",
			len(r.Requests), len(r.Responses), len(r.Headers), len(a.found.Requests), len(a.found.Responses), len(a.found.Headers))
	}
	for _, name := range r.Files {
		n := segmentNumber(path.Base(name))
		if n == 0 {
			continue
		}
		// Of a segment with nothing left there is no file.
		if err := c.checkGaps(name, a.present[n]); err != nil && !(errors.Is(err, fs.ErrNotExist) && len(a.present[n]) == 0) {
			return err
		}
	}
	return nil
}

// checkGaps reads a segment and demands zeros outside the spans.
func (c *Case) checkGaps(name string, spans []span) error {
	f, err := c.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	damage := func(at int64, reason string) error {
		return &DamageError{File: path.Join(RedactedDir, name), Offset: at, Reason: reason}
	}
	at := int64(0)
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		for i := range n {
			here := at + int64(i)
			for len(spans) > 0 && spans[0].to <= here {
				spans = spans[1:]
			}
			if len(spans) == 0 {
				return damage(here, "bytes follow the last ones that the ledger refers to")
			}
			if here < spans[0].from && buf[i] != 0 {
				return damage(here, "bytes stand where some are withheld")
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
}

// isZero reports whether there is nothing but zeros.
func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
