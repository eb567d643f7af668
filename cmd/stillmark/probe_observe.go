package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) probeObserveCommand() *cobra.Command {
	var key, nonces, output string
	var logs []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "observe CASE",
		Short: "search our own request logs for the nonces of a case, and put what was found into it",
		Long: `Searches request logs of our own service for the nonces of the case's key (family
E5), and records what was found as an event of the case's ledger: sealed and verified
with the replies. Nonces that were sent to a rival and stand in our logs came there by
way of it. Those that were held back are searched for, too: one that is found says
that key or prompts leaked, and then nothing is concluded.

A log is text, a record a line, in any format; - is standard input. Compressed logs
are piped in. The time of a line is its first RFC 3339 time stamp, or one of a web
server's format. Who searches by other means records the result with --nonces: the
format is documented in package probe/family.`,
		Example: `  stillmark probe observe case --key acme-canary.json --log gateway.jsonl
  zcat gateway-*.gz | stillmark probe observe case --key acme-canary.json --log -
  stillmark probe observe case --nonces found.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case (nonces == "") == (len(logs) == 0):
				return usageError(errors.New("name the logs to search with --log, or what was found with --nonces"))
			case len(logs) > 0 && key == "":
				return usageError(errors.New("name the canary key that drew the nonces with --key"))
			case slices.Contains(logs, "-") && len(logs) > 1:
				return usageError(errors.New("standard input is one log by itself"))
			}
			kase, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			if nonces != "" {
				data, err := os.ReadFile(nonces)
				if err != nil {
					return err
				}
				return a.observe(args[0], data, output, dryRun, "")
			}
			k, err := loadKey(key)
			if err != nil {
				return err
			}
			sent, held, err := probe.NoncesOf(kase.Plan(), k)
			if err != nil {
				return err
			}
			data, err := a.searchLogs(c, logs, append(slices.Clone(sent), held...))
			if err != nil {
				return err
			}
			return a.observe(args[0], data, output, dryRun, countFound(data, sent, held))
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "canary key file of the case")
	f.StringArrayVar(&logs, "log", nil, "request log to search, - for standard input (repeatable)")
	f.StringVar(&nonces, "nonces", "", "file of observed nonces to record instead")
	f.StringVarP(&output, "output", "o", "", "write what was found to this file, too")
	f.BoolVar(&dryRun, "dry-run", false, "search only; nothing is recorded in the case")
	return c
}

// searchLogs reads the logs one after another into one observation.
func (a *app) searchLogs(c *cobra.Command, logs, nonces []string) ([]byte, error) {
	var all family.NonceSearch
	var sightings []family.Sighting
	m := a.newMeter()
	defer m.clear()
	for _, name := range logs {
		in, size := a.in, int64(0)
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			if st, err := f.Stat(); err == nil {
				size = st.Size()
			}
			in = io.Reader(f)
		}
		search, found, err := probe.SearchLog(c.Context(), in, name, nonces, func(read int64) {
			if size > 0 {
				m.share(min(1, float64(read)/float64(size)), "searching "+name)
			} else {
				m.set(fmt.Sprintf("searching: %d MiB", read>>20))
			}
		})
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].Where = name + ", " + found[i].Where
			if n := len(found[i].Where); n > 200 {
				found[i].Where = found[i].Where[n-200:]
			}
		}
		if len(logs) > 1 {
			all.Source = fmt.Sprintf("%d logs from %s to %s", len(logs), logs[0], logs[len(logs)-1])
		} else {
			all.Source = name
		}
		if !search.From.IsZero() && (all.From.IsZero() || search.From.Before(all.From)) {
			all.From = search.From
		}
		if search.Until.After(all.Until) {
			all.Until = search.Until
		}
		all.Lines += search.Lines
		sightings = append(sightings, found...)
	}
	if all.Lines == 0 {
		return nil, usageError(errors.New("the logs are empty: there is nothing to record"))
	}
	if len(all.Source) > 200 {
		all.Source = strings.ToValidUTF8(all.Source[:200], "")
	}
	return family.EncodeSightings(all, sightings)
}

// countFound says in a line what was found of what.
func countFound(data []byte, sent, held []string) string {
	_, found, err := family.ParseSightings(data)
	if err != nil {
		return ""
	}
	distinct := map[string]bool{}
	for _, s := range found {
		distinct[s.Nonce] = true
	}
	of := func(nonces []string) int {
		n := 0
		for _, s := range nonces {
			if distinct[s] {
				n++
			}
		}
		return n
	}
	return fmt.Sprintf("found     %d of %d nonces that are sent, %d of %d that are held back", of(sent), len(sent), of(held), len(held))
}

// observe records an observation and says so.
func (a *app) observe(dir string, data []byte, output string, dryRun bool, found string) error {
	search, sightings, err := family.ParseSightings(data)
	if err != nil {
		return usageError(err)
	}
	if output != "" {
		if err := ledger.WriteNewFile(output, data, 0o600); err != nil {
			return usageError(err)
		}
	}
	record := struct {
		Search    family.NonceSearch `json:"search"`
		Sightings int                `json:"sightings"`
		Event     uint64             `json:"event,omitempty"`
		Recorded  bool               `json:"recorded"`
	}{Search: search, Sightings: len(sightings)}
	if !dryRun {
		event, err := probe.Observe(dir, data, ledger.WriterOptions{})
		if err != nil {
			return err
		}
		record.Event, record.Recorded = event.Seq, true
	}
	if a.asJSON {
		return a.printJSON(record)
	}
	span := "without time stamps"
	if !search.From.IsZero() {
		span = "from " + search.From.Format("2006-01-02T15:04:05Z") + " to " + search.Until.Format("2006-01-02T15:04:05Z")
	}
	fmt.Fprintf(a.out, "searched  %d lines of %s, %s\n", search.Lines, printable(search.Source), span)
	if found != "" {
		fmt.Fprintln(a.out, found)
	}
	if dryRun {
		fmt.Fprintln(a.out, "nothing was recorded (--dry-run)")
		return nil
	}
	fmt.Fprintf(a.out, "recorded  as event %d of the case; next: stillmark analyze %s\n", record.Event, dir)
	return nil
}
