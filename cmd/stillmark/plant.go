package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/watermark"
)

// The files of a planting, in its folder.
const (
	plantingFile     = "serving.json"
	examplesFile     = "fine-tuning.jsonl"
	instructionsFile = "system-prompt.txt"
	commitmentFile   = "commitment.json"
)

type plantOptions struct {
	key, output, start, tsa string
	suites, arms            []string
	slot                    time.Duration
	lags                    []int
	listFlags
}

func (a *app) corporaPlantCommand() *cobra.Command {
	var o plantOptions
	c := &cobra.Command{
		Use:   "plant --key FILE -o FOLDER",
		Short: "draw canaries from a key: what our API should say or prefer, and the commitment to it",
		Long: `Draws what is planted in our own model's outputs, so that a model trained on them
can be told: which of two equally good renderings our API prefers (E3), what it
answers to questions that only it can answer (E4), nonces of which half are sent to
a rival (E5), and in which slot it serves which of several arms (E6). Placebos are
listed beside them: they look alike and must never be planted.

The key is one of scheme canary, derived for one cohort as a rule. Everything is
drawn from it and can be drawn again. The new folder holds, readable by its owner alone:

  serving.json       what a gateway loads: rules, replies, nonces, schedule, placebos
  fine-tuning.jsonl  the same as chats, for fine-tuning our own model
  system-prompt.txt  the same as instructions, for our own model's system prompt

and commitment.json, which gives nothing away and binds the key as well as every prompt
that the audit will ask under it: with the key alone bound, questions could be chosen
later by its secret and a rival's answers. Have it timestamped (--tsa) before anything
of this is served, and give it to probe plan. Only an audit that asks all that is listed
reaches the exact tier. With --runs 2 the list is cut in two, since a second run counts
new items only. A rotation is listed where every --arm is the file of its key.`,
		Example: `  stillmark key new --scheme canary --model nova -o canary.json
  stillmark key derive canary.json --label acme -o acme-canary.json
  stillmark corpora plant --key acme-canary.json --runs 2 --tsa https://tsa.example/tsr -o acme-planting
  stillmark probe plan --target acme-nova-1 --suite free-choice --key acme-canary.json --commitment acme-planting/commitment.json --signer signer.pem -o case`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.plant(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "canary key file")
	f.StringVarP(&o.output, "output", "o", "", "folder to create")
	f.StringArrayVar(&o.suites, "suite", nil, "suite of family E3, E4, E5 or E6: a name, a file or a folder (repeatable; default: all embedded ones that can be planted)")
	f.StringArrayVar(&o.arms, "arm", nil, "arm of the rotation: the file of a watermark key, or a name (repeatable; without it no rotation is drawn)")
	f.StringVar(&o.start, "start", "", "when the rotation's first slot begins (RFC 3339)")
	f.DurationVar(&o.slot, "slot", 24*time.Hour, "length of a slot of the rotation")
	f.IntSliceVar(&o.lags, "lag", []int{0}, "slots by which replies will be compared with what was served earlier, a test each")
	f.StringVar(&o.tsa, "tsa", "", "RFC 3161 authority that timestamps commitment.json; the token is written beside it")
	o.bind(f)
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("output")
	return c
}

func (a *app) plant(ctx context.Context, o *plantOptions) error {
	k, err := loadKey(o.key)
	if err != nil {
		return err
	}
	options := corpora.PlantOptions{
		KeyID: k.ID, Label: k.Label, Epoch: k.Epoch, Created: time.Now(), Secret: k.CanarySecret, SlotLength: o.slot,
	}
	var ids []string
	if options.Arms, ids, err = o.armKeys(); err != nil {
		return err
	}
	if o.start != "" {
		if options.Start, err = time.Parse(time.RFC3339, o.start); err != nil {
			return usageError(fmt.Errorf("--start %q is no time such as 2027-01-01T00:00:00Z", o.start))
		}
	}
	suites, err := o.plantable()
	if err != nil {
		return err
	}
	planting, err := corpora.Plant(suites, options)
	if err != nil {
		return usageError(err)
	}
	commitment, err := k.Commit()
	if err != nil {
		return usageError(err)
	}
	lists, err := o.listed(k, suites, &probe.Rotation{Arms: ids, Start: options.Start, Slot: o.slot, Lags: o.lags})
	if err == nil {
		err = commitment.Bind(lists...)
	}
	if err != nil {
		return usageError(err)
	}
	if err := writePlanting(ctx, o, planting, commitment); err != nil {
		return err
	}
	record := struct {
		Folder      string `json:"folder"`
		KeyID       string `json:"key_id"`
		Root        string `json:"root"`
		Preferences int    `json:"preferences"`
		Triggers    int    `json:"triggers"`
		Nonces      int    `json:"nonces"`
		Slots       int    `json:"slots"`
		Placebos    int    `json:"placebos"`
		Lists       int    `json:"lists"`
		Stamped     bool   `json:"stamped"`
	}{Folder: o.output, KeyID: k.ID, Root: commitment.Root, Preferences: len(planting.Preferences), Triggers: len(planting.Triggers), Placebos: len(planting.Placebos), Lists: len(commitment.Lists), Stamped: o.tsa != ""}
	if planting.Nonces != nil {
		record.Nonces = len(planting.Nonces.Sent) + len(planting.Nonces.Held)
	}
	if planting.Rotation != nil {
		record.Slots = len(planting.Rotation.Slots)
	}
	if a.asJSON {
		return a.printJSON(record)
	}
	fmt.Fprintf(a.out, "key          %s %s\nplanted      %d preferences, %d triggers, %d nonces (half are held back), %d slots; %d placebos\nfolder       %s: keep it like the key\ncommitment   root %s\nlisted       %s\n",
		k.ID, orNone(k.Label), record.Preferences, record.Triggers, record.Nonces, record.Slots, record.Placebos, o.output, record.Root, listedPrompts(commitment))
	if planting.Rotation != nil && len(ids) == 0 {
		fmt.Fprintln(a.out, "not listed   the rotation, whose arms are names: give the files of their keys, or E6 stays exploratory")
	}
	if record.Stamped {
		fmt.Fprintf(a.out, "timestamp    %s.tsr\n", filepath.Join(o.output, commitmentFile))
		return nil
	}
	fmt.Fprintf(a.out, "next         have %s timestamped before anything of this is served\n", filepath.Join(o.output, commitmentFile))
	return nil
}

// plantable loads the suites to plant: those that were named, or the embedded
// ones that can be.
func (o *plantOptions) plantable() ([]*corpora.Suite, error) {
	names := o.suites
	if len(names) == 0 {
		for _, card := range corpora.List() {
			if o.canPlant(card.Family) {
				names = append(names, card.Name)
			}
		}
	}
	var suites []*corpora.Suite
	for _, name := range names {
		found, err := loadSuites(name)
		if err != nil {
			return nil, err
		}
		if len(found) > 1 { // a folder may hold others beside those that can be planted
			found = slices.DeleteFunc(found, func(s *corpora.Suite) bool { return !o.canPlant(s.Family) })
			if len(found) == 0 {
				return nil, usageError(fmt.Errorf("no suite in the folder %s has anything to plant: suites of E3, E4 and E5 do, and with --arm those of E6", name))
			}
		}
		suites = append(suites, found...)
	}
	return suites, nil
}

// canPlant reports whether suites of a family are planted; a rotation needs arms.
func (o *plantOptions) canPlant(family string) bool {
	switch family {
	case "E3", "E4", "E5":
		return true
	}
	return family == "E6" && len(o.arms) > 0
}

// armKeys are the names of the rotation's arms and, where each is given by the file of its
// key, their ids.
func (o *plantOptions) armKeys() (names, ids []string, err error) {
	for _, arm := range o.arms {
		if info, err := os.Stat(arm); err != nil || !info.Mode().IsRegular() {
			names = append(names, arm)
			continue
		}
		k, err := loadKey(arm)
		if err != nil {
			return nil, nil, err
		}
		names, ids = append(names, cmp.Or(k.Label, k.ID)), append(ids, k.ID)
	}
	if len(ids) < len(names) {
		ids = nil
	}
	return names, ids, nil
}

// listed are the lists of what is planted; a rotation without keys is left out.
func (o *plantOptions) listed(k *watermark.Key, suites []*corpora.Suite, rotation *probe.Rotation) ([]watermark.CommittedList, error) {
	var listed []*corpora.Suite
	for _, s := range suites {
		if s.Family != family.RotationLag || len(rotation.Arms) > 0 {
			listed = append(listed, s)
		}
	}
	return o.lists(k, listed, 0, rotation)
}

// writePlanting writes the folder of a planting, or nothing: what is half-written
// is removed again.
func writePlanting(ctx context.Context, o *plantOptions, p *corpora.Planting, commitment *watermark.Commitment) (err error) {
	dir := o.output
	serving, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	examples, err := p.Examples()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return usageError(fmt.Errorf("%s exists already; a planting is never overwritten", dir))
		}
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("nothing was planted: %w", errors.Join(err, os.RemoveAll(dir)))
		}
	}()
	for _, f := range []struct {
		name string
		data []byte
	}{{plantingFile, append(serving, '\n')}, {examplesFile, examples}, {instructionsFile, []byte(p.Instructions())}} {
		if err := watermark.WritePrivate(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	_, err = writeCommitment(ctx, filepath.Join(dir, commitmentFile), commitment, o.tsa)
	return err
}
