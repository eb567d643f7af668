package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
)

//go:embed scan.html.tmpl
var scanPage string

// scanned is what the command prints for one document.
type scanned struct {
	ID     string `json:"id"`
	Scheme string `json:"scheme"`
	Key    string `json:"key"`
	watermark.ScanResult
	Regions  []scannedRegion `json:"regions"`
	Verdict  string          `json:"verdict"`
	Public   bool            `json:"public_key,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
}

type scannedRegion struct {
	watermark.Region
	// Where the region is in the text, in bytes; absent without a tokenizer.
	FromByte *int `json:"from_byte,omitempty"`
	ToByte   *int `json:"to_byte,omitempty"`
}

// The verdicts of scan, besides verdictNothing.
const (
	verdictPassages   = "passages-found"
	verdictNoPassages = "no-passage-found" // says nothing about weaker or shorter ones
)

type scanOptions struct {
	keyPath string
	ids     bool
	inputForm
	output    string
	shortest  int
	level     float64
	decoyFlag string

	tokenizers tokenizerFiles
}

func (a *app) scanCommand() *cobra.Command {
	var o scanOptions
	c := &cobra.Command{
		Use:   "scan --key FILE TEXT…|-",
		Short: "which passages of a mixed document carry the mark",
		Long: `Lays windows of --shortest, twice, four times, … as many positions over each document,
each from every half length on, before any score is looked at; scores each window on
its distinct (window, token) pairs; and reports where windows depend on the key after
correction for all of them. The correction is the number of windows (Bonferroni), and
beside it the rank of the strongest window among the strongest windows under decoy
keys. --level is the family-wise level per document: nothing is corrected for the
number of documents.

A region is the windows that pass, joined where they touch; its edges are the most
likely change points, an estimate. Its p is that of its strongest window, corrected.
With -o the documents are written as an HTML page that needs nothing else.`,
		Example: `  stillmark watermark scan --key key.json essay.txt
  stillmark watermark scan --key key.json -o essay.html essay.txt
  stillmark watermark scan --key key.json --ids --json documents.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.scan(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.keyPath, "key", "", "key file (required)")
	f.BoolVar(&o.ids, "ids", false, "input is JSON lines of token ids")
	o.inputForm.bind(f)
	f.StringVarP(&o.output, "output", "o", "", "HTML page to write")
	f.IntVar(&o.shortest, "shortest", watermark.DefaultShortest, "positions in the shortest windows, 20 to 100000")
	f.Float64Var(&o.level, "level", watermark.DefaultScanLevel, "log10 of the family-wise level of the regions of a document")
	f.StringVar(&o.decoyFlag, "decoys", "auto", "decoy keys, 0 for none; auto as for detect")
	o.tokenizers.bind(f)
	c.MarkFlagRequired("key")
	return c
}

func (a *app) scan(ctx context.Context, o scanOptions, inputs []string) error {
	decoys, err := parseDecoys(o.decoyFlag)
	switch {
	case err != nil:
		return usageError(err)
	case o.shortest < 20 || o.shortest > 100_000:
		return usageError(fmt.Errorf("--shortest %d is not between 20 and 100000", o.shortest))
	case !(o.level < 0) || math.IsInf(o.level, 0):
		return usageError(fmt.Errorf("--level %v is no log10 of a level: it must be negative, such as -3", o.level))
	}
	k, err := loadKey(o.keyPath)
	if err != nil {
		return err
	}
	mark, err := k.Mark()
	if err != nil {
		return usageError(err)
	}
	opt := o.options(o.ids)
	spell := spellerOf(k.Spec, &o.tokenizers)
	if !o.ids {
		if opt.Tokenizer, err = tokenizerOf(k.Spec, &o.tokenizers); err != nil {
			return err
		}
	}
	s := &scanner{
		scorer: &scorer{app: a, key: k, mark: mark, o: detectOptions{decoys: decoys, pool: true, ids: o.ids}, meter: a.newMeter(), reading: a.newMeter()},
		opt:    watermark.ScanOptions{Shortest: o.shortest, Log10Alpha: o.level}, spell: spell,
	}
	read := func() error {
		for _, name := range inputs {
			if err := a.readInput(name, opt, s.reading, func(it watermark.Item) error { return s.scan(ctx, it) }); err != nil {
				return err
			}
		}
		return nil
	}
	if o.output == "" {
		return read()
	}
	s.page = template.Must(template.New("scan").Parse(scanPage))
	return a.writeTo(o.output, func(w *bufio.Writer) error {
		s.html = w
		head := struct{ Key, Scheme, StyleHash, Warning string }{Key: k.ID, Scheme: k.Scheme, StyleHash: styleHash(scanPage)}
		if k.Published() {
			head.Warning = watermark.PublicKeyWarning
		}
		if err := s.page.ExecuteTemplate(w, "head", head); err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
		return s.page.ExecuteTemplate(w, "foot", nil)
	})
}

// styleHash is the page's style sheet as its content security policy names it.
func styleHash(page string) string {
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// scanner scans documents one after another.
type scanner struct {
	*scorer
	opt   watermark.ScanOptions
	spell speller
	page  *template.Template
	html  io.Writer // nil: no page
}

func (s *scanner) scan(ctx context.Context, it watermark.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := watermark.NewScan(s.mark, it, s.opt)
	out := scanned{ID: it.ID, Scheme: s.key.Scheme, Key: s.key.ID, ScanResult: c.Result(), Regions: []scannedRegion{}}
	if out.Windows > 0 && s.o.decoys != 0 {
		d := s.newDetector(nil)
		d.Add(it)
		n, err := s.decoys(ctx, d)
		if err != nil {
			return err
		}
		err = c.Decoys(ctx, decoySeed, n, func(done int) { s.meter.count("decoys", done, n) })
		s.meter.clear()
		if err != nil {
			return err
		}
		out.ScanResult = c.Result()
	}
	for _, r := range out.ScanResult.Regions {
		region := scannedRegion{Region: r}
		if from, ok := s.length(it.Tokens[:r.From]); ok {
			if length, ok := s.length(it.Tokens[r.From:r.To]); ok {
				to := from + length
				region.FromByte, region.ToByte = &from, &to
			}
		}
		out.Regions = append(out.Regions, region)
	}
	switch {
	case out.Windows == 0:
		out.Verdict = verdictNothing
	case len(out.Regions) > 0:
		out.Verdict = verdictPassages
	default:
		out.Verdict = verdictNoPassages
	}
	if w := outOfVocab(c, s.key.Vocab); w != "" {
		out.Warnings = append(out.Warnings, w)
	}
	if s.key.Published() {
		out.Public = true
		out.Warnings = append(out.Warnings, watermark.PublicKeyWarning)
	}
	pieces := s.pieces(c, out.ScanResult.Regions)
	if s.html != nil {
		if err := s.page.ExecuteTemplate(s.html, "document", s.document(&out, pieces)); err != nil {
			return err
		}
	}
	s.reading.hide()
	if s.asJSON {
		return s.printJSON(out)
	}
	return s.write(&out, pieces)
}

// length is that of the tokens' text in bytes, if it is known.
func (s *scanner) length(ids []int32) (int, bool) {
	n := 0
	for _, id := range ids {
		b := s.spell.bytes(id)
		if b == nil {
			return 0, false
		}
		n += len(b)
	}
	return n, true
}

// piece is a stretch of the document inside or outside of regions.
type piece struct {
	Region bool
	Runs   []stretch
}

// stretch is text of one colour.
type stretch struct {
	Text  string
	Class string // a to d: how far above the null mean
	Grey  bool   // not scored
}

// pieces writes the document out. Tokens that end within a character are put
// together with those that end it.
func (s *scanner) pieces(c *watermark.Scan, regions []watermark.Region) []piece {
	law := s.mark.Law()
	mean, sd := law.Mean(), math.Sqrt(law.Variance())
	var (
		out  []piece
		held []byte
	)
	for _, t := range c.Tokens() {
		for len(regions) > 0 && t.Index >= regions[0].To {
			regions = regions[1:]
		}
		inside := len(regions) > 0 && t.Index >= regions[0].From
		if len(out) == 0 || out[len(out)-1].Region != inside || inside && t.Index == regions[0].From {
			out = append(out, piece{Region: inside})
		}
		run := stretch{Grey: t.Fate != watermark.FateScored && t.Fate != watermark.FateRepeat}
		if z := (t.Score - mean) / sd; !run.Grey && z > 0 {
			run.Class = string("abcd"[min(int(z), 3)])
		}
		b := s.spell.bytes(t.Token)
		if b == nil {
			run.Text = strconv.Itoa(int(t.Token)) + " "
		} else if held = append(held, b...); utf8.Valid(held) || len(held) > 2*utf8.UTFMax {
			run.Text = printable(strings.ToValidUTF8(string(held), "\uFFFD"))
			held = held[:0]
		}
		last := &out[len(out)-1]
		if m := len(last.Runs) - 1; m >= 0 && last.Runs[m].Class == run.Class && last.Runs[m].Grey == run.Grey {
			last.Runs[m].Text += run.Text
		} else {
			last.Runs = append(last.Runs, run)
		}
	}
	if len(held) > 0 {
		last := &out[len(out)-1]
		last.Runs = append(last.Runs, stretch{Text: "\uFFFD"})
	}
	return out
}

// summary says in a sentence what the document shows.
func (r *scanned) summary() string {
	if r.Best == nil {
		return fmt.Sprintf("insufficient: %d scorable positions, a window needs %d", r.Positions, r.Shortest)
	}
	text := fmt.Sprintf("%s: %d regions at level 1e%v among %d windows of %d tokens; some passage is marked: ",
		r.Verdict, len(r.Regions), r.Log10Alpha, r.Windows, r.Tokens)
	switch {
	case r.Log10P != nil:
		text += fmt.Sprintf("log10 p %.2f (corrected)", *r.Log10P)
	case r.Decoys != nil:
		text += "no analytic p stands, only the rank"
	default:
		text += "no analytic p stands, and there are no decoys"
	}
	switch {
	case r.Decoys == nil:
		text += "; decoys: none, validity not checked"
	case r.Decoys.Pass || r.Log10P == nil:
		text += fmt.Sprintf(", rank p %.4g of %d decoys", r.RankP, r.Decoys.N)
	}
	return text
}

type regionRow struct{ Tokens, P, Rank, Lift string }

func (r *scannedRegion) row() regionRow {
	row := regionRow{Tokens: fmt.Sprintf("%d-%d", r.From, r.To), P: "withheld", Rank: "-", Lift: fmt.Sprintf("%+.3f", r.Lift)}
	if r.Log10P != nil {
		row.P = fmt.Sprintf("%.2f", *r.Log10P)
	}
	if r.RankP > 0 {
		row.Rank = fmt.Sprintf("%.4g", r.RankP)
	}
	return row
}

// document is what the page shows of one document.
type document struct {
	ID, Summary string
	Rows        []regionRow
	Pieces      []piece
}

func (s *scanner) document(r *scanned, pieces []piece) document {
	d := document{ID: printable(r.ID), Summary: r.summary(), Pieces: pieces}
	for i := range r.Regions {
		d.Rows = append(d.Rows, r.Regions[i].row())
	}
	return d
}

// ANSI colours of the text view: regions are bold, scores green by degree.
const (
	ansiReset = "\x1b[0m"
	ansiBold  = "\x1b[1m"
	ansiGrey  = "\x1b[90m"
)

var ansiGreens = map[string]string{"b": "\x1b[32m", "c": "\x1b[92m", "d": "\x1b[30;42m"}

// write is the text view: on a terminal the whole document in colour, elsewhere
// the beginnings of its regions.
func (s *scanner) write(r *scanned, pieces []piece) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", printable(r.ID), r.summary())
	region := 0
	for _, p := range pieces {
		if !p.Region {
			continue
		}
		var text strings.Builder
		for _, run := range p.Runs {
			text.WriteString(run.Text)
		}
		row := r.Regions[region].row()
		region++
		fmt.Fprintf(&b, "  tokens %s: log10 p %s, rank p %s, lift %s: %s\n", row.Tokens, row.P, row.Rank, row.Lift, excerpt(text.String()))
	}
	if terminal(s.out) && s.html == nil {
		for _, p := range pieces {
			for _, run := range p.Runs {
				if p.Region {
					b.WriteString(ansiBold)
				}
				if run.Grey {
					b.WriteString(ansiGrey)
				}
				b.WriteString(ansiGreens[run.Class])
				b.WriteString(run.Text)
				b.WriteString(ansiReset)
			}
		}
		b.WriteString("\n")
	}
	writeWarnings(&b, r.Warnings)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// excerpt is one line of at most 60 characters.
func excerpt(text string) string {
	const most = 60
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
