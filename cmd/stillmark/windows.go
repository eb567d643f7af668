package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/replies"
	"github.com/stillmark/stillmark/watermark/served"
	"github.com/stillmark/stillmark/watermark/served/fuse"
)

func (a *app) windowsCommand() *cobra.Command {
	return holder("windows", "which windows of a rival's text were served by us: join, build, filter, show",
		`  stillmark watermark windows join --key key.json --ids --replies rival.jsonl traffic-*.jsonl -o served.windows
  stillmark watermark detect --key key.json --pool --ids --served served.windows rival.jsonl`,
		a.windowsJoinCommand(), a.windowsBuildCommand(), a.windowsFilterCommand(), a.windowsShowCommand())
}

// windowsOptions say how windows are cut out of texts.
type windowsOptions struct {
	key    string
	window int
	ids    bool
	inputForm
	output     string
	tokenizers tokenizerFiles
}

func (o *windowsOptions) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key file, for the length of windows, their rules and the tokenizer; the secret is not used")
	f.IntVar(&o.window, "window", 0, "in place of --key: windows of so many generated tokens (needs --ids)")
	f.BoolVar(&o.ids, "ids", false, "input is JSON lines of token ids")
	o.inputForm.bind(f)
	f.StringVarP(&o.output, "output", "o", "", "file to write, - for standard output (required)")
	o.tokenizers.bind(f)
	c.MarkFlagsMutuallyExclusive("key", "window")
	c.MarkFlagsOneRequired("key", "window")
	c.MarkFlagRequired("output")
}

// windowsReader cuts windows out of files.
type windowsReader struct {
	app    *app
	opt    replies.Options
	cutter func() *watermark.Cutter // a goroutine's own
	window int
	meter  *meter

	items, tokens atomic.Int64
}

func (a *app) newWindowsReader(o *windowsOptions) (*windowsReader, error) {
	r := &windowsReader{app: a, opt: o.options(o.ids), meter: a.newMeter()}
	if o.key == "" {
		if !o.ids {
			return nil, usageError(errors.New("texts need a tokenizer: give the --key that names it, or --ids"))
		}
		c, err := watermark.NewPlainCutter(o.window)
		if err != nil {
			return nil, usageError(err)
		}
		r.window = c.Window()
		r.cutter = func() *watermark.Cutter {
			c, _ := watermark.NewPlainCutter(o.window) // as above
			return c
		}
		return r, nil
	}
	k, err := loadKey(o.key)
	if err != nil {
		return nil, err
	}
	mark, err := k.Mark()
	if err != nil {
		return nil, usageError(err)
	}
	if r.window = mark.Window(); r.window < 1 {
		return nil, usageError(fmt.Errorf("%s marks without context: it has no windows", k.Scheme))
	}
	r.cutter = func() *watermark.Cutter { return watermark.NewCutter(mark) }
	if !o.ids {
		if r.opt.Tokenizer, err = tokenizerOf(k.Spec, &o.tokenizers); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// read gives every window of the inputs to one of the sinks, each of which is called
// from one goroutine at a time.
func (r *windowsReader) read(ctx context.Context, inputs []string, sinks []func(window []int32) error) error {
	var total, before int64 // bytes; total is 0 where a size is unknown
	for _, name := range inputs {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.Mode().IsRegular() {
			total = 0
			break
		}
		total += info.Size()
	}
	begun := time.Now()
	progress := func(read int64) {
		done := before + read
		text := fmt.Sprintf("%.1f MB, %d tokens", float64(done)/1e6, r.tokens.Load())
		if total > 0 && done > 0 {
			left := time.Duration(float64(time.Since(begun)) / float64(done) * float64(total-done))
			text += fmt.Sprintf(" %d%% | ETA %s", 100*done/total, left.Round(time.Second))
		}
		r.meter.set(text)
	}
	defer r.meter.clear()
	yields := make([]func(watermark.Item) error, len(sinks))
	for i, sink := range sinks {
		cutter := r.cutter()
		yields[i] = func(it watermark.Item) error {
			var failed error
			cutter.Each(it, func(window []int32) {
				if failed == nil {
					failed = sink(window)
				}
			})
			r.items.Add(1)
			r.tokens.Add(int64(len(it.Tokens)))
			return failed
		}
	}
	for _, name := range inputs {
		n, err := r.readOne(ctx, name, progress, yields)
		if err != nil {
			return err
		}
		before += n
	}
	return nil
}

func (r *windowsReader) readOne(ctx context.Context, name string, progress func(int64), yields []func(watermark.Item) error) (int64, error) {
	in, title := r.app.in, "standard input"
	var size int64
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			return 0, usageError(fmt.Errorf("%s is a folder; name the files in it", name))
		}
		if err == nil {
			size = info.Size()
		}
		in, title = f, name
	}
	return size, replies.ReadParallel(ctx, in, title, r.opt, progress, yields)
}

// windowsReport is what the commands print.
type windowsReport struct {
	File           string  `json:"file"`
	Kind           string  `json:"kind"`   // exact or filter
	Window         int     `json:"window"` // tokens
	Windows        int     `json:"windows"`
	FalsePositives float64 `json:"false_positives"` // share of windows not served that pass
	Keyed          bool    `json:"keyed,omitempty"`
	Shards         int     `json:"shards,omitempty"`
	Items          int64   `json:"traffic_items,omitempty"`
	Tokens         int64   `json:"traffic_tokens,omitempty"`
	Rival          int     `json:"rival_windows,omitempty"` // distinct; join only
}

func (a *app) printWindows(r *windowsReport) error {
	if r.File == "-" {
		return nil // standard output has the file
	}
	if a.asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "%s: %d distinct windows of %d tokens", printable(r.File), r.Windows, r.Window)
	if r.Rival > 0 {
		fmt.Fprintf(a.out, ", %.1f%% of the rival's %d", 100*float64(r.Windows)/float64(r.Rival), r.Rival)
	}
	if r.Tokens > 0 {
		fmt.Fprintf(a.out, ", out of %d tokens of traffic in %d items", r.Tokens, r.Items)
	}
	fmt.Fprintln(a.out)
	if r.FalsePositives > 0 {
		fmt.Fprintf(a.out, "  filter in %d shards: of windows that were not served, one in %.0f passes\n", r.Shards, 1/r.FalsePositives)
		if r.Keyed {
			fmt.Fprintln(a.out, "  it cannot be asked without its secret; with it, any window that one can name can be asked for")
		} else {
			fmt.Fprintln(a.out, "  without a secret: whoever has it can ask for any window, and list windows of short ids by trying them all")
		}
	}
	_, err := fmt.Fprintln(a.out, "  what a filter by served windows shows is a secondary result: the claim rests on the unfiltered test")
	return err
}

func (a *app) windowsJoinCommand() *cobra.Command {
	var o windowsOptions
	var rival []string
	c := &cobra.Command{
		Use:   "join --replies FILE… TRAFFIC…|- -o FILE",
		Short: "the windows of a rival's replies that occur in our traffic, exactly, in one pass over it",
		Long: `Reads the rival's replies into memory and streams the traffic past them: JSON lines of
texts or (--ids) token ids, any number of files of any size, or standard input. It
writes those of the rival's windows that were followed by a token in the traffic, as
the exact file of served windows that "probe plan --served" and "watermark detect
--served" take. Nothing of the traffic but these windows is kept.

Memory is 45 to 75 bytes for a distinct window of the rival's (of 2 tokens), whatever
the size of the traffic; all processors work.`,
		Example: `  stillmark watermark windows join --key key.json --ids --replies rival.jsonl traffic-*.jsonl -o served.windows
  zstdcat logs/*.zst | stillmark watermark windows join --window 2 --ids --replies rival.jsonl - -o served.windows`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.windowsJoin(c.Context(), &o, rival, args) },
	}
	o.bind(c)
	c.Flags().StringArrayVar(&rival, "replies", nil, "the rival's replies, in the form of the traffic (required, repeatable)")
	c.MarkFlagRequired("replies")
	return c
}

func (a *app) windowsJoin(ctx context.Context, o *windowsOptions, rival, traffic []string) error {
	r, err := a.newWindowsReader(o)
	if err != nil {
		return err
	}
	return a.writeTo(o.output, func(w *bufio.Writer) error {
		set := watermark.NewWindowSet(r.window)
		err := r.read(ctx, rival, []func([]int32) error{func(window []int32) error {
			set.Insert(window)
			return nil
		}})
		if err != nil {
			return err
		}
		if set.Len() == 0 {
			return usageError(fmt.Errorf("the rival's replies have no window of %d tokens", r.window))
		}
		r.items.Store(0)
		r.tokens.Store(0)
		join := served.NewJoin(set)
		streams, sinks := make([]*served.Stream, runtime.GOMAXPROCS(0)), make([]func([]int32) error, runtime.GOMAXPROCS(0))
		for i := range streams {
			s := join.Stream()
			streams[i], sinks[i] = s, func(window []int32) error {
				s.Add(window)
				return nil
			}
		}
		if err := r.read(ctx, traffic, sinks); err != nil {
			return err
		}
		for _, s := range streams {
			s.Flush()
		}
		found := join.Found()
		if err := served.Write(w, found); err != nil {
			return err
		}
		return a.printWindows(&windowsReport{
			File: o.output, Kind: "exact", Window: r.window, Windows: found.Len(), Rival: set.Len(),
			Items: r.items.Load(), Tokens: r.tokens.Load(),
		})
	})
}

func (a *app) windowsBuildCommand() *cobra.Command {
	var o windowsOptions
	c := &cobra.Command{
		Use:   "build TRAFFIC…|- -o FILE",
		Short: "all windows of our traffic as an exact set",
		Long: fmt.Sprintf(`Writes every distinct window of the traffic that was followed by a token, as the exact
file of served windows that "probe plan --served" takes: needed when a plan is sealed
before there are replies to join with. The set is held in memory, about 20 bytes a
window of 2 tokens, and ends at %d million windows: beyond, use "windows filter".`, served.MaxWindows>>20),
		Example: "  stillmark watermark windows build --key key.json --ids traffic-*.jsonl -o served.windows",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := a.newWindowsReader(&o)
			if err != nil {
				return err
			}
			return a.writeTo(o.output, func(w *bufio.Writer) error {
				set, err := r.gather(c.Context(), args)
				if err != nil {
					return err
				}
				if err := served.Write(w, set); err != nil {
					return err
				}
				return a.printWindows(&windowsReport{
					File: o.output, Kind: "exact", Window: r.window, Windows: set.Len(), Items: r.items.Load(), Tokens: r.tokens.Load(),
				})
			})
		},
	}
	o.bind(c)
	return c
}

// gather holds all windows of the traffic.
func (r *windowsReader) gather(ctx context.Context, traffic []string) (*watermark.WindowSet, error) {
	var mu sync.Mutex
	set := watermark.NewWindowSet(r.window)
	locals, sinks := make([][]int32, runtime.GOMAXPROCS(0)), make([]func([]int32) error, runtime.GOMAXPROCS(0))
	hand := func(local []int32) error {
		mu.Lock()
		defer mu.Unlock()
		for window := range slices.Chunk(local, r.window) {
			set.Insert(window)
		}
		if set.Len() > served.MaxWindows {
			return usageError(fmt.Errorf("the traffic has more than %d windows; use windows filter", served.MaxWindows))
		}
		return nil
	}
	for i := range sinks {
		sinks[i] = func(window []int32) error {
			locals[i] = append(locals[i], window...)
			if len(locals[i]) < 1<<14 { // the lock is taken seldom
				return nil
			}
			err := hand(locals[i])
			locals[i] = locals[i][:0]
			return err
		}
	}
	if err := r.read(ctx, traffic, sinks); err != nil {
		return nil, err
	}
	for _, local := range locals {
		if err := hand(local); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (a *app) windowsFilterCommand() *cobra.Command {
	var o windowsOptions
	var secretPath string
	c := &cobra.Command{
		Use:   "filter TRAFFIC…|- -o FILE",
		Short: "all windows of our traffic as a filter, for an auditor who may not see the traffic",
		Long: `Writes a binary fuse filter of every distinct window of the traffic that was followed
by a token: 2.25 bytes a window, found always if it was served, and by chance one time
in 65,536 if it was not. "watermark detect --served" and, made without a secret,
"probe plan --served" take it like an exact file.

With --secret the filter says nothing but its size to who does not have the secret.
Who can ask it can ask for any window that he can name: of windows of 2 ids that is
every window, in minutes. watermark/served/FORMAT.md says what is given away, and
has the bytes. The order of tokens after a window, or how often it came, is in no filter.

Memory is about 600 MB for up to 4.3 billion windows and grows beyond; temporary
files beside the output take 8 bytes for a window that did not come a short while ago.`,
		Example: `  stillmark watermark windows filter --window 2 --ids traffic-*.jsonl -o served.filter
  stillmark watermark windows filter --key key.json --secret auditor.secret traffic.jsonl -o served.filter`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.windowsFilter(c.Context(), &o, secretPath, args) },
	}
	o.bind(c)
	c.Flags().StringVar(&secretPath, "secret", "", "file of 32 secret bytes in hex, made if it is not there: the filter cannot be asked without")
	return c
}

func (a *app) windowsFilter(ctx context.Context, o *windowsOptions, secretPath string, traffic []string) error {
	r, err := a.newWindowsReader(o)
	if err != nil {
		return err
	}
	var secret []byte
	if secretPath != "" {
		if secret, err = a.windowsSecret(secretPath, true); err != nil {
			return err
		}
	}
	dir := os.TempDir()
	if o.output != "-" {
		dir = filepath.Dir(o.output)
	}
	return a.writeTo(o.output, func(w *bufio.Writer) error {
		b, err := fuse.NewBuilder(r.window, secret, rand.Reader, dir)
		if err != nil {
			return err
		}
		defer b.Close()
		streams, sinks := make([]*fuse.Stream, runtime.GOMAXPROCS(0)), make([]func([]int32) error, runtime.GOMAXPROCS(0))
		for i := range streams {
			streams[i] = b.Stream()
			sinks[i] = streams[i].Add
		}
		if err := r.read(ctx, traffic, sinks); err != nil {
			return err
		}
		for _, s := range streams {
			if err := s.Flush(); err != nil {
				return &codedError{codeStorage, err}
			}
		}
		defer r.meter.clear()
		shards := 1
		n, err := b.Write(ctx, w, func(done, of int) {
			shards = of
			r.meter.count("shards", done, of)
		})
		if err != nil {
			return err
		}
		return a.printWindows(&windowsReport{
			File: o.output, Kind: "filter", Window: r.window, Windows: int(n), FalsePositives: served.FilterFalsePositives,
			Keyed: secret != nil, Shards: shards, Items: r.items.Load(), Tokens: r.tokens.Load(),
		})
	})
}

// windowsSecret reads a filter's secret, and makes it if it may.
func (a *app) windowsSecret(path string, create bool) ([]byte, error) {
	data, err := watermark.ReadPrivate(path, 2*served.SecretBytes+2)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		secret := make([]byte, served.SecretBytes)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("drawing the secret: %w", err)
		}
		return secret, watermark.WritePrivate(path, fmt.Appendf(nil, "%x\n", secret))
	case err != nil:
		return nil, usageError(fmt.Errorf("the filter's secret: %w", err))
	}
	secret, err := hex.DecodeString(string(bytes.TrimSpace(data)))
	if err != nil || len(secret) != served.SecretBytes {
		return nil, usageError(fmt.Errorf("%s is no secret of a filter: that is %d hex digits", path, 2*served.SecretBytes))
	}
	return secret, nil
}

func (a *app) windowsShowCommand() *cobra.Command {
	var secretPath string
	c := &cobra.Command{
		Use:     "show FILE",
		Short:   "check a file of served windows and say what it holds",
		Example: "  stillmark watermark windows show served.filter --secret auditor.secret",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			w, closer, err := a.openWindows(args[0], secretPath)
			if err != nil {
				return err
			}
			defer closer.Close()
			r := windowsReport{File: args[0], Kind: "exact", Window: w.Window(), Windows: w.Len(), FalsePositives: served.FalsePositives(w)}
			if f, ok := w.(*served.Filter); ok {
				r.Kind, r.Keyed, r.Shards = "filter", f.Keyed(), f.Shards()
			}
			return a.printWindows(&r)
		},
	}
	c.Flags().StringVar(&secretPath, "secret", "", "file of the filter's secret")
	return c
}

// openWindows opens a file of served windows of either kind. A filter is asked from
// its file.
func (a *app) openWindows(path, secretPath string) (served.Windows, io.Closer, error) {
	var secret []byte
	if secretPath != "" {
		var err error
		if secret, err = a.windowsSecret(secretPath, false); err != nil {
			return nil, nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	w, err := served.Open(f, secret)
	if err != nil {
		f.Close()
		return nil, nil, usageError(fmt.Errorf("%s: %w", path, err))
	}
	return w, f, nil
}
