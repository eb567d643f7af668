package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/stillmark/stillmark/watermark"
)

// Tap writes marked replies for `stillmark watermark monitor --ids`: JSON lines of
// token ids, one file for each key, named by its id, since a monitor watches one key.
// The files hold what was answered and are closed to others (0600). Each line is one
// write at the end of a file that is opened for it, so that files may be moved away at
// any time.
type Tap struct {
	// Dir is the folder; it is created with mode 0700.
	Dir string
	// Share of the marked replies is written, in (0, 1].
	Share float64
	// Region names the place, as monitor's streams do; may be empty.
	Region string
}

// tapped is a line of a tap.
type tapped struct {
	ID      string  `json:"id"`
	Model   string  `json:"model"`
	Region  string  `json:"region,omitempty"`
	Epoch   string  `json:"epoch"`
	Route   string  `json:"route"`
	Cohort  string  `json:"cohort,omitempty"`
	Account string  `json:"account,omitempty"`
	Key     string  `json:"key"`
	Prompt  []int32 `json:"prompt_tokens"`
	Tokens  []int32 `json:"tokens"`
}

func (t *Tap) check() error {
	if !(t.Share > 0 && t.Share <= 1) {
		return fmt.Errorf("the tap's share of replies is %v, and must be above 0 and at most 1", t.Share)
	}
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return fmt.Errorf("the tap: %w", err)
	}
	info, err := os.Stat(t.Dir)
	if err == nil {
		err = watermark.CheckPrivate(t.Dir, info)
	}
	if err != nil {
		return fmt.Errorf("the tap: %w", err)
	}
	return nil
}

// tap writes a reply that ended and is marked.
func (g *generation) tap() {
	t := g.s.opt.Tap
	if t == nil || g.policy != policyMarked || len(g.seq.generated()) == 0 || rand.Float64() >= t.Share {
		return
	}
	k := g.signing.key
	err := t.write(k.ID, tapped{
		ID: g.id, Model: g.s.Model(), Region: t.Region, Epoch: k.Epoch, Route: g.route, Cohort: g.cohort, Account: g.account.Name,
		Key: k.ID, Prompt: g.seq.ids[:g.seq.prompt], Tokens: g.seq.generated(),
	})
	if err != nil { // the reply is not held up by it
		g.s.metrics.tapErrors.Add(1)
		g.s.opt.Log.LogAttrs(context.Background(), slog.LevelError, "the tap cannot be written", slog.String("id", g.id), slog.String("error", err.Error()))
	}
}

func (t *Tap) write(key string, line tapped) error {
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(t.Dir, key+".jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}
