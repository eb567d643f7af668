package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// tried is one combination of a search.
type tried struct {
	Scheme string            `json:"scheme"`
	Params map[string]string `json:"params,omitempty"`
	Key    string            `json:"key"` // a key file's id, or what the key is called
	Public bool              `json:"public_key"`
	N      int64             `json:"n"`
	Score  float64           `json:"score"`
	Log10P float64           `json:"log10_p"` // of the rank, where the score has no law
	Method string            `json:"log10_p_method"`
	Holm   float64           `json:"log10_p_holm"`
	Decoys *decoys           `json:"decoys,omitempty"`
}

// searchResult is what --auto prints.
type searchResult struct {
	Tests   int     `json:"tests"` // combinations tried, all of which Holm corrects for
	Texts   int     `json:"texts"`
	Verdict string  `json:"verdict"`
	Tried   []tried `json:"tried"` // smallest p first
	// Warnings say what limits the result.
	Warnings []string `json:"warnings,omitempty"`
}

// rankDecoys is how many decoys rank a score that has no law in a search.
const rankDecoys = 199

// search scores all texts as one stream under the whole grid.
func (a *app) search(ctx context.Context, o detectOptions, inputs []string) error {
	if o.dedup != watermark.DedupUnit {
		return usageError(errors.New("--dedup peer gives no p-value that --auto could correct"))
	}
	grid, keys, err := a.grid(&o)
	if err != nil {
		return err
	}
	opt := o.options(o.ids)
	if !o.ids {
		if len(keys) == 0 || keys[0].Tokenizer == "" {
			return usageError(errors.New("--auto reads token ids (--ids), or text with the tokenizer of a key file (--key)"))
		}
		if opt.Tokenizer, err = tokenizerOf(keys[0].Spec, &o.tokenizers); err != nil {
			return err
		}
	}
	result := searchResult{Verdict: verdictAbsent}
	var detectors []*watermark.Detector
	for _, c := range grid {
		k, err := c.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", c.Scheme, err)
		}
		keys = append(keys, k)
	}
	named := len(keys) - len(grid)
	for i, k := range keys {
		mark, err := k.Mark()
		if err != nil {
			return usageError(err)
		}
		detectors = append(detectors, watermark.NewDetector(mark, watermark.Options{Weights: o.weights}))
		t := tried{Scheme: k.Scheme, Key: k.ID, Public: k.Published()}
		if i >= named {
			t.Key, t.Params = grid[i-named].Key, grid[i-named].Params
		}
		result.Tried = append(result.Tried, t)
	}
	if len(keys) == 0 {
		return usageError(errors.New("there is nothing to try"))
	}
	m := a.newMeter()
	for _, name := range inputs {
		err := a.readInput(name, opt, m, func(it watermark.Item) error {
			for _, d := range detectors {
				if err := ctx.Err(); err != nil {
					return err
				}
				d.Add(it)
			}
			result.Texts++
			return nil
		})
		if err != nil {
			return err
		}
	}
	m.clear()
	var log10P []float64
	for i, d := range detectors {
		if err := result.Tried[i].score(ctx, d); err != nil {
			return err
		}
		m.count("combinations", i+1, len(detectors))
		log10P = append(log10P, result.Tried[i].Log10P)
	}
	m.clear()
	result.Tests = len(detectors)
	for i, p := range evidence.Holm(log10P) {
		result.Tried[i].Holm = p
		if p > o.threshold {
			continue
		}
		// A hit is checked on this very text before it is called one.
		t := &result.Tried[i]
		n := o.decoys
		if n == autoDecoys {
			if n, _, err = detectors[i].AutoDecoys(ctx, decoySeed, decoyTime); err != nil {
				return err
			}
		}
		if n > 0 {
			judged, _, err := detectors[i].Decoys(ctx, decoySeed, n, func(done int) { m.count("decoys", done, n) })
			m.clear()
			if err != nil {
				return err
			}
			t.Decoys = &decoys{judged.N, judged.RankP, judged.SDRatio, judged.KSP, judged.Pass}
		}
		if t.Decoys == nil || t.Decoys.Pass {
			result.Verdict = verdictPresent
		} else if result.Verdict == verdictAbsent {
			result.Verdict = verdictWithheld
		}
	}
	slices.SortStableFunc(result.Tried, func(a, b tried) int {
		switch {
		case a.Log10P < b.Log10P:
			return -1
		case a.Log10P > b.Log10P:
			return 1
		}
		return 0
	})
	if w := outOfVocab(detectors[0], o.vocab); w != "" {
		result.Warnings = append(result.Warnings, w)
	}
	if a.asJSON {
		return a.printJSON(result)
	}
	return result.write(a.out)
}

// grid is what is tried: the key files and the candidates of the presets.
func (a *app) grid(o *detectOptions) ([]watermark.Candidate, []*watermark.Key, error) {
	var keys []*watermark.Key
	for _, path := range o.keyPaths {
		k, err := loadKey(path)
		if err != nil {
			return nil, nil, err
		}
		if len(keys) > 0 && (k.Tokenizer != keys[0].Tokenizer || k.TokenizerSHA256 != keys[0].TokenizerSHA256) && !o.ids {
			return nil, nil, usageError(fmt.Errorf("%s names another tokenizer than the first key: one text has one tokenizer", path))
		}
		keys = append(keys, k)
	}
	var spec watermark.Spec
	if len(keys) > 0 {
		spec = keys[0].Spec
	}
	if o.vocab == 0 {
		o.vocab = spec.Vocab
	}
	if o.vocab == 0 {
		return nil, nil, usageError(errors.New("--auto needs --vocab, the width of the model's logits, or a key file that says it"))
	}
	grid, err := watermark.Candidates(o.vocab, spec, o.try)
	if err != nil {
		return nil, nil, usageError(err)
	}
	return grid, keys, nil
}

// score fills in what a detector found.
func (t *tried) score(ctx context.Context, d *watermark.Detector) error {
	r := d.Result()
	t.N, t.Score, t.Log10P, t.Method = r.N, r.Score, r.Tail.Log10P, r.Tail.Method
	if r.Tail.Method != watermark.MethodDecoysOnly || r.N == 0 {
		return nil
	}
	judged, _, err := d.Decoys(ctx, decoySeed, rankDecoys, nil)
	if err != nil {
		return err
	}
	t.Log10P, t.Method = math.Log10(judged.RankP), "decoy-rank"
	t.Decoys = &decoys{judged.N, judged.RankP, judged.SDRatio, judged.KSP, judged.Pass}
	return nil
}

func (r *searchResult) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: tried %d combinations of scheme, settings and key on %d texts as one stream; p is corrected for all of them (Holm)\n", r.Verdict, r.Tests, r.Texts)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scheme\tsettings\tkey\tn\tlog10 p\tcorrected\t")
	for _, x := range r.Tried {
		note := ""
		if x.Public && x.Holm <= -2 {
			note = watermark.PublicKeyWarning
		}
		if x.Decoys != nil && x.Method != "decoy-rank" {
			state := "the null law holds"
			if !x.Decoys.Pass {
				state = "they contradict the null law"
			}
			note += fmt.Sprintf("; %d decoys, rank p %.3g: %s", x.Decoys.N, x.Decoys.RankP, state)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t%s\n", x.Scheme, settings(x.Params), x.Key, x.N, x.Log10P, x.Holm, note)
	}
	return errors.Join(t.Flush(), writeWarnings(w, r.Warnings))
}

func settings(params map[string]string) string {
	v, err := watermark.NewValues(params)
	if err != nil || v.IsZero() {
		return "-"
	}
	return v.String()
}
