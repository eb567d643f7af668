package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// ImportFile is a file of one target's replies that were gathered elsewhere: a
// JSON object per line, as package wire reads them ([wire.Line]).
type ImportFile struct {
	Target ledger.Target // name, role, vendor; the model's name if it is known
	Path   string
	// IDs: the lines' token ids are of the tokenizer that the plan's keys were made
	// for, and are to be scored as they are.
	IDs bool
}

// Import is a case that is made of such files: read once to plan it, and once more
// to write it.
type Import struct {
	Draft *Draft
	files []ImportFile
	// of finds a prompt of the plan by what a line says of it.
	of map[promptText]*ledger.Prompt
}

// promptText identifies a prompt by what the model was given.
type promptText struct{ system, text string }

// importWait is how many replies are written before the disk is waited for.
const importWait = 1000

// PlanImport reads the files and makes a plan for what is in them. Targets and
// Params of in are filled in. The suite of in says under which name, family and
// reading the prompts stand: without prompts of its own it takes those of the
// files, else every line must answer one of them.
//
// A line that is no reply, or answers a prompt that is not the suite's, is an
// error with code 2 that names it.
func PlanImport(ctx context.Context, in PlanInput, files []ImportFile) (*Import, error) {
	if len(in.Suites) != 1 {
		return nil, errors.New("probe: an import needs one suite") // a programmer's error
	}
	im := &Import{files: files, of: map[promptText]*ledger.Prompt{}}
	suite := &in.Suites[0]
	s := survey{suite: suite, own: len(suite.Prompts) == 0, index: map[promptText]int{}, used: map[string]bool{}}
	for i, p := range suite.Prompts {
		s.index[promptText{p.System, p.Text}] = i
		s.samples = append(s.samples, 0)
	}
	in.Targets = nil
	for i := range files {
		t, err := s.file(ctx, &files[i])
		if err != nil {
			return nil, err
		}
		in.Targets = append(in.Targets, t)
	}
	if s.own {
		if err := s.name(); err != nil {
			return nil, err
		}
	} else {
		s.drop()
	}
	in.Samples = 1
	in.Params = ledger.Params{MaxTokens: max(1, s.longest)}
	if in.TokensPerReply == 0 {
		in.TokensPerReply = max(1, float64(s.tokens)/float64(max(1, s.lines)))
	}
	counts := map[string]int{}
	for i, p := range suite.Prompts {
		counts[p.ID] = s.samples[i]
	}
	in.Put = func(q *ledger.Prompt) {
		if n := counts[q.ID]; n != 1 {
			q.Samples = n
		}
	}
	var err error
	if im.Draft, err = NewPlan(in); err != nil {
		return nil, err
	}
	for i := range im.Draft.Plan.Prompts {
		q := &im.Draft.Plan.Prompts[i]
		im.of[promptText{q.System, q.Text}] = q
	}
	for _, t := range in.Targets[:len(files)] {
		im.Draft.Warnings = append(im.Draft.Warnings, fmt.Sprintf(
			"The %s replies of %s were not acquired by this program: no result on them reaches the exact tier.", group(int64(t.Imported.Lines)), t.Name))
	}
	return im, nil
}

// survey is what the first reading of the files gathers.
type survey struct {
	suite   *PlanSuite
	own     bool // the suite is made of the files' prompts
	index   map[promptText]int
	ids     []string // of the lines, by prompt; "" where they differ
	samples []int    // the most replies of one target, by prompt
	used    map[string]bool

	lines   int
	tokens  int64
	longest int
}

// file reads one file.
func (s *survey) file(ctx context.Context, f *ImportFile) (ledger.Target, error) {
	t := f.Target
	if t.Model == "" {
		t.Model = t.Name
	}
	sum := sha256.New()
	count := map[int]int{}
	lines := 0
	err := eachLine(ctx, f.Path, sum, func(n int, raw []byte) error {
		l, err := parseImported(f, n, raw)
		if err != nil {
			return err
		}
		lines++
		i, err := s.prompt(f, n, &l)
		if err != nil {
			return err
		}
		count[i]++
		s.samples[i] = max(s.samples[i], count[i])
		length := len(l.Reply.Tokens)
		if length == 0 {
			length = int(float64(len(l.Reply.Text)) / bytesPerToken)
		}
		s.lines++
		s.tokens += int64(length)
		s.longest = max(s.longest, length)
		if u := l.Reply.Usage; u != nil {
			s.longest = max(s.longest, int(u.CompletionTokens))
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if lines == 0 {
		return t, usage("Give a file with a JSON object per line", "%s holds no reply", f.Path)
	}
	t.Imported = &ledger.Imported{File: filepath.Base(f.Path), SHA256: hex.EncodeToString(sum.Sum(nil)), Lines: lines, IDs: f.IDs}
	return t, nil
}

// prompt finds or enters the prompt of a line.
func (s *survey) prompt(f *ImportFile, n int, l *wire.Line) (int, error) {
	at := promptText{l.System, l.Prompt}
	i, known := s.index[at]
	switch {
	case known && s.own:
		if s.ids[i] != l.ID {
			s.ids[i] = ""
		}
	case known:
	case !s.own:
		return 0, usage("Import what was asked with this suite, or give the suite a name of its own",
			"%s line %d answers a prompt that suite %s does not have: %.60q", f.Path, n, s.suite.Ref.Name, l.Prompt)
	default:
		i = len(s.suite.Prompts)
		s.index[at] = i
		s.suite.Prompts = append(s.suite.Prompts, corpora.Prompt{Lang: l.Lang, System: l.System, Text: l.Prompt})
		s.ids = append(s.ids, l.ID)
		s.samples = append(s.samples, 0)
	}
	return i, nil
}

var promptID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,99}$`)

// name gives the files' prompts their ids: those of the lines where all of them
// have one that is a prompt's alone, else numbers.
func (s *survey) name() error {
	fit := true
	for _, id := range s.ids {
		fit = fit && promptID.MatchString(id) && !s.used[id]
		s.used[id] = true
	}
	for i := range s.suite.Prompts {
		id := s.ids[i]
		if !fit {
			id = fmt.Sprintf("p%06d", i+1)
		}
		s.suite.Prompts[i].ID = id
	}
	definition, err := json.Marshal(s.suite.Prompts)
	if err != nil {
		return fmt.Errorf("the suite of the imported prompts: %w", err)
	}
	sum := sha256.Sum256(definition)
	s.suite.Ref.Version, s.suite.Ref.SHA256, s.suite.Ref.N = "1", hex.EncodeToString(sum[:]), len(s.suite.Prompts)
	return nil
}

// drop leaves out prompts of the suite that no line answers.
func (s *survey) drop() {
	prompts, samples := s.suite.Prompts[:0:0], s.samples[:0:0]
	for i, n := range s.samples {
		if n > 0 {
			prompts, samples = append(prompts, s.suite.Prompts[i]), append(samples, n)
		}
	}
	s.suite.Prompts, s.samples, s.suite.Ref.N = prompts, samples, len(prompts)
}

// parseImported reads a line and checks that it is what its file promises.
func parseImported(f *ImportFile, n int, raw []byte) (wire.Line, error) {
	l, err := wire.ParseLine(raw)
	switch {
	case err != nil:
		return l, usage("Mend the line, or leave it out", "%s line %d is no reply: %s", f.Path, n, err)
	case l.Silent:
		return l, usage("Mend the line, or leave it out; a reply that was empty has the text \"\"", "%s line %d has no reply: neither text nor tokens", f.Path, n)
	case f.IDs && (l.Reply.Outcome == ledger.OK || l.Reply.Outcome == ledger.Empty) && (l.Reply.Tokens == nil || l.Reply.PromptTokens == nil):
		return l, usage("Import text, or give the ids of every prompt and reply", "%s line %d has no tokens or prompt_tokens", f.Path, n)
	case !l.Reply.Outcome.Final():
		return l, usage("Mend the line, or leave it out", "%s line %d cannot be used: %s", f.Path, n, l.Reply.Detail)
	}
	return l, nil
}

// Write makes the case folder: the sealed plan, and every line of the files as it
// is. The folder appears only when it is whole.
func (im *Import) Write(ctx context.Context, dir string, signer *ledger.Signer, stamp func([32]byte) ([]byte, error), progress func(done, of int)) error {
	if _, err := os.Lstat(dir); err == nil {
		return usage("Name another folder", "%s exists already; a case folder is never overwritten", dir)
	}
	parent, err := os.MkdirTemp(filepath.Dir(dir), ".import-*")
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer os.RemoveAll(parent)
	made := filepath.Join(parent, "case")
	if _, err := SealPlan(made, im.Draft, signer, stamp); err != nil {
		return err
	}
	w, err := ledger.OpenWriter(made, ledger.WriterOptions{})
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	err = im.fill(ctx, w, progress)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := ledger.MoveFolder(made, dir); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// fill writes the replies into the ledger.
func (im *Import) fill(ctx context.Context, w *ledger.Writer, progress func(done, of int)) error {
	plan := im.Draft.Plan
	session := family.SessionEvent{Kind: family.KindSession, Number: 1, Program: plan.Program}
	if _, err := w.Append(ledger.EventConfigChange, "", 0, session); err != nil {
		return err
	}
	total, done := 0, 0
	for i := range im.files {
		total += plan.Targets[i].Imported.Lines
	}
	for i := range im.files {
		f := &im.files[i]
		t := &plan.Targets[i]
		sample := map[*ledger.Prompt]int{}
		sum := sha256.New()
		err := eachLine(ctx, f.Path, sum, func(n int, raw []byte) error {
			l, err := parseImported(f, n, raw)
			if err != nil {
				return err
			}
			q := im.of[promptText{l.System, l.Prompt}]
			if q == nil {
				return changedFile(f)
			}
			ref, err := w.PutBlob(raw)
			if err != nil {
				return err
			}
			_, durable, err := w.Start(ledger.EventReply, ledger.ItemID(t.Name, q.Suite, q.ID, sample[q]), 1, ledger.Attempt{
				Target: t.Name, Outcome: l.Reply.Outcome, Detail: l.Reply.Detail, Kind: ledger.KindImported, Complete: true,
				Response: &ref, Model: l.Reply.Model, Usage: l.Reply.Usage,
			})
			if errors.Is(err, ledger.ErrOrder) {
				return changedFile(f)
			}
			if err != nil {
				return err
			}
			sample[q]++
			if done++; done%importWait == 0 {
				if progress != nil {
					progress(done, total)
				}
				return durable()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != t.Imported.SHA256 {
			return changedFile(f)
		}
	}
	missing := int64(-done)
	for i := range im.files {
		missing += int64(plan.Count(&plan.Targets[i]))
	}
	_, err := w.Append(ledger.EventStop, "", 0, family.StopEvent{
		Reason: family.StopComplete, Settled: int64(done), Missing: missing, Detail: "replies gathered elsewhere were imported",
	})
	return err
}

func changedFile(f *ImportFile) *Error {
	return usage("Run the same command again", "%s changed while it was read", f.Path)
}

// maxImportLine bounds a line: as much as a reply of the wire.
const maxImportLine = wire.MaxBody

// eachLine calls yield with the number and bytes of every line of a file that is
// not blank, and feeds the whole file to sum.
func eachLine(ctx context.Context, path string, sum io.Writer, yield func(n int, raw []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return usage("Name a readable file", "the replies cannot be read: %s", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(io.TeeReader(file, sum), 1<<20)
	var line []byte
	for n := 1; ; n++ {
		line = line[:0]
		var readErr error
		for {
			var part []byte
			part, readErr = r.ReadSlice('\n')
			if line = append(line, part...); len(line) > maxImportLine {
				return usage("Leave it out", "%s line %d is longer than %d MiB", path, n, maxImportLine>>20)
			}
			if !errors.Is(readErr, bufio.ErrBufferFull) {
				break
			}
		}
		if raw := bytes.TrimSpace(line); len(raw) > 0 {
			if err := yield(n, raw); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return fmt.Errorf("read %s: %w", path, readErr)
		case n%importWait == 0 && ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
