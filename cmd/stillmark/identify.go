package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/replies"
)

// identified is what the command prints.
type identified struct {
	Key     string  `json:"key"`
	Scheme  string  `json:"scheme"`
	Epoch   string  `json:"epoch"`
	Verdict string  `json:"verdict"`
	Level   float64 `json:"log10_alpha"`
	watermark.Identification
	Dropped watermark.Dropped `json:"dropped"`
	Decoys  *decoys           `json:"decoys"` // null: validity not checked
	// Warnings say what limits the result.
	Warnings []string `json:"warnings,omitempty"`
}

// The verdicts of identify, besides verdictNothing and verdictWithheld.
const (
	verdictIdentified = "identified"
	verdictSeveral    = "several-accounts"
	verdictNobody     = "not-identified" // a normal answer
)

type identifyOptions struct {
	keyPath, labels, policy string
	operator, epoch         string
	ids                     bool
	inputForm
	weights string
	decoys  int
	level   float64

	tokenizers tokenizerFiles
}

func (a *app) identifyCommand() *cobra.Command {
	var o identifyOptions
	c := &cobra.Command{
		Use:   "identify --key MASTER --labels FILE --policy FILE TEXT…|-",
		Short: "which of many accounts' keys marked a text",
		Long: `Scores all texts as one stream under the subkey of every label and names those whose
p passes --level after Holm's adjustment for all labels. "Not identified" is a normal
answer and exits 0. Several accounts mean that their texts are mixed. An account's
text quoted by another is still the first one's text: what is identified is whose key
marked it, not who published it.

It runs only under a policy file, JSON, that allows the operator to ask:

  {"allowed_by": "who gave the permission", "purpose": "what for",
   "operators": ["who may ask"], "keys": ["id of the master key"],
   "until": "2027-01-31T00:00:00Z", "audit_log": "identify.log"}

Every query, a refused one too, is appended to the audit log with the hash of the
text, and is on disk before the answer is shown. The operator's name is what the
caller says or the system's user: the log is no authentication.

Under a key with two channels the labels are accounts, and the tracing channel is
scored.

--labels is a CSV file with a column "label", or of one column without a header, or
a .jsonl file of {"label": …} or of strings.`,
		Example: "  stillmark watermark identify --key master.json --labels accounts.csv --policy policy.json leak.txt",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.identify(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.keyPath, "key", "", "master key file (required)")
	f.StringVar(&o.labels, "labels", "", "CSV or JSON lines of labels (required)")
	f.StringVar(&o.policy, "policy", "", "policy file that allows the query (required)")
	f.StringVar(&o.operator, "operator", "", "who asks (default: the system's user)")
	f.StringVar(&o.epoch, "epoch", "", "period of the subkeys (default: that of the key)")
	f.BoolVar(&o.ids, "ids", false, "input is JSON lines of token ids")
	o.inputForm.bind(f)
	f.StringVar(&o.weights, "weights", watermark.WeightsAuto, "auto, none or min8: weight of a repeated pair")
	f.IntVar(&o.decoys, "decoys", 999, "decoy keys that check the null law, 0 for none")
	f.Float64Var(&o.level, "level", -6, "log10 of the family-wise level")
	o.tokenizers.bind(f)
	for _, name := range []string{"key", "labels", "policy"} {
		c.MarkFlagRequired(name)
	}
	return c
}

func (a *app) identify(ctx context.Context, o identifyOptions, inputs []string) error {
	if !(o.level < 0) || o.decoys < 0 {
		return usageError(errors.New("--level must be negative, such as -6, and --decoys not"))
	}
	var err error
	if o.operator, err = operatorOr(o.operator); err != nil {
		return err
	}
	policy, err := loadPolicy(o.policy)
	if err != nil {
		return err
	}
	k, err := loadKey(o.keyPath)
	if err != nil {
		return err
	}
	if o.epoch == "" {
		o.epoch = k.Epoch
	}
	record := auditRecord{Operator: o.operator, AllowedBy: policy.AllowedBy, Purpose: policy.Purpose, PolicySHA256: policy.sha256, Key: k.ID, Epoch: o.epoch}
	log := func(stage string, reason error) error {
		record.Time, record.Stage = time.Now().UTC(), stage
		if reason != nil {
			record.Reason = reason.Error()
		}
		return appendAudit(policy.AuditLog, record)
	}
	if refused := policy.allows(o.operator, k.ID, time.Now()); refused != nil {
		if err := log("refused", refused); err != nil {
			return err
		}
		return usageError(fmt.Errorf("%w: nothing was scored, the query is in the audit log", refused))
	}
	labels, sum, err := loadLabels(o.labels)
	if err != nil {
		return err
	}
	record.Labels, record.LabelsSHA256 = len(labels), sum
	d, sum, err := a.readSuspect(ctx, k, &o, labels, inputs)
	if err != nil {
		return err
	}
	record.TextSHA256 = sum
	if err := log("asked", nil); err != nil {
		return err
	}
	out, err := a.ask(ctx, k, &o, d, labels)
	if err != nil {
		return errors.Join(err, log("failed", err))
	}
	record.Verdict, record.Result = out.Verdict, out.Suspects[:out.Identified]
	if err := log("answered", nil); err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(out)
	}
	return writeIdentified(a.out, out)
}

// readSuspect scores the inputs under the master's own key, or with two channels
// under any account's: it only finds the units. It hashes them, too.
func (a *app) readSuspect(ctx context.Context, k *watermark.Key, o *identifyOptions, labels, inputs []string) (*watermark.Detector, string, error) {
	finder := k
	if k.Params.Tracing > 0 {
		var err error
		if finder, err = k.DeriveAccount(labels[0], o.epoch); err != nil {
			return nil, "", usageError(err)
		}
	}
	mark, err := finder.Mark()
	if err != nil {
		return nil, "", usageError(err)
	}
	if o.weights == watermark.WeightsEntropy {
		return nil, "", usageError(errors.New("identify takes no entropies: --weights auto, none or min8"))
	}
	if o.weights, err = watermark.ResolveWeights(o.weights, k.Scheme); err != nil {
		return nil, "", usageError(err)
	}
	opt := o.options(o.ids)
	if !o.ids {
		if opt.Tokenizer, err = tokenizerOf(k.Spec, &o.tokenizers); err != nil {
			return nil, "", err
		}
	}
	d := watermark.NewDetector(mark, watermark.Options{Weights: o.weights})
	hash := sha256.New()
	for _, name := range inputs {
		in, title := a.in, "standard input"
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, "", err
			}
			defer f.Close()
			in, title = f, name
		}
		err := replies.Read(io.TeeReader(in, hash), title, opt, func(it watermark.Item) error {
			d.Add(it)
			return ctx.Err()
		})
		if err != nil {
			return nil, "", err
		}
	}
	return d, hex.EncodeToString(hash.Sum(nil)), nil
}

// ask identifies and checks the null law on the text.
func (a *app) ask(ctx context.Context, k *watermark.Key, o *identifyOptions, d *watermark.Detector, labels []string) (*identified, error) {
	m := a.newMeter()
	defer m.clear()
	id, err := d.Identify(ctx, k, o.epoch, labels, o.level, func(done int) { m.count("keys", done, len(labels)) })
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, usageError(err)
	}
	out := &identified{Key: k.ID, Scheme: k.Scheme, Epoch: o.epoch, Level: o.level, Identification: id, Dropped: d.Result().Dropped}
	if w := outOfVocab(d, k.Vocab); w != "" {
		out.Warnings = append(out.Warnings, w)
	}
	switch {
	case id.N == 0:
		out.Verdict = verdictNothing
		return out, nil
	case id.Identified == 0:
		out.Verdict = verdictNobody
	case id.Identified == 1:
		out.Verdict = verdictIdentified
	default:
		out.Verdict = verdictSeveral
	}
	if o.decoys > 0 {
		m.clear()
		judged, _, err := d.Decoys(ctx, decoySeed, o.decoys, func(done int) { m.count("decoys", done, o.decoys) })
		if err != nil {
			return nil, err
		}
		out.Decoys = &decoys{judged.N, 0, judged.SDRatio, judged.KSP, judged.Pass}
		if !judged.Pass {
			out.Verdict, out.Identified, out.Suspects = verdictWithheld, 0, []watermark.Suspect{}
		}
	}
	return out, nil
}

func writeIdentified(w io.Writer, r *identified) error {
	fmt.Fprintf(w, "%s: %d of %d keys at level 1e%v, from %d units under key %s (%s, epoch %s)\n",
		r.Verdict, r.Identified, r.Keys, r.Level, r.N, r.Key, r.Scheme, printable(r.Epoch))
	for i, s := range r.Suspects {
		mark := " "
		if i < r.Identified {
			mark = "*"
		}
		fmt.Fprintf(w, "  %s %s: log10 p %.2f alone, %.2f adjusted for all keys\n", mark, printable(s.Label), s.Log10P, s.Log10Holm)
	}
	if len(r.Suspects) > 1 {
		fmt.Fprintf(w, "  the second is %.2f decades behind the first\n", r.Gap)
	}
	err := writeWarnings(w, r.Warnings)
	switch {
	case r.Verdict == verdictNothing:
	case r.Decoys == nil:
		_, err = fmt.Fprintln(w, "  decoys: none, validity not checked")
	case r.Decoys.Pass:
		_, err = fmt.Fprintf(w, "  decoys: %d, sd ratio %.3f: the null law holds on this text\n", r.Decoys.N, r.Decoys.SDRatio)
	default:
		_, err = fmt.Fprintf(w, "  decoys: %d, sd ratio %.3f: they contradict the null law, so nobody is named\n", r.Decoys.N, r.Decoys.SDRatio)
	}
	return err
}

// maxLabelsFile bounds a file of labels, in bytes: a million of 64.
const maxLabelsFile = 64 << 20

// loadLabels reads labels and the hash of their file.
func loadLabels(path string) (labels []string, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLabelsFile+1))
	if err != nil {
		return nil, "", err
	}
	parse := parseLabelsCSV
	if strings.HasSuffix(path, ".jsonl") {
		parse = parseLabelsJSON
	}
	if labels, err = parse(data); err == nil && len(labels) == 0 {
		err = errors.New("it lists no label")
	}
	if err != nil {
		return nil, "", usageError(fmt.Errorf("the labels in %s cannot be used: %w", path, err))
	}
	hash := sha256.Sum256(data)
	return labels, hex.EncodeToString(hash[:]), nil
}

func checkLabelsSize(data []byte) error {
	if len(data) > maxLabelsFile {
		return fmt.Errorf("the file is longer than %d MiB", maxLabelsFile>>20)
	}
	return nil
}

// parseLabelsCSV takes the column "label", or the only one. Spaces belong to a
// label: keys are derived from exactly these bytes.
func parseLabelsCSV(data []byte) ([]string, error) {
	if err := checkLabelsSize(data); err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\uFEFF"))))
	r.ReuseRecord = true
	column := -1
	var labels []string
	for {
		record, err := r.Read()
		if err == io.EOF {
			return labels, nil
		}
		if err != nil {
			return nil, err
		}
		if column < 0 {
			for i, name := range record {
				if name == "label" {
					column = i
				}
			}
			if column >= 0 {
				continue
			}
			if len(record) != 1 {
				return nil, errors.New(`no column is named "label"`)
			}
			column = 0
		}
		if len(labels) == watermark.MaxLabels {
			return nil, fmt.Errorf("there are more than %d", watermark.MaxLabels)
		}
		labels = append(labels, strings.Clone(record[column]))
	}
}

// parseLabelsJSON takes lines of {"label": …} or of strings.
func parseLabelsJSON(data []byte) ([]string, error) {
	if err := checkLabelsSize(data); err != nil {
		return nil, err
	}
	var labels []string
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var object struct{ Label *string }
		var label string
		if json.Unmarshal(line, &label) != nil {
			if err := json.Unmarshal(line, &object); err != nil || object.Label == nil {
				return nil, fmt.Errorf("line %d is neither a string nor an object with a label", number)
			}
			label = *object.Label
		}
		if len(labels) == watermark.MaxLabels {
			return nil, fmt.Errorf("there are more than %d", watermark.MaxLabels)
		}
		labels = append(labels, label)
	}
	return labels, nil
}
