package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) probeImportCommand() *cobra.Command {
	var o planOptions
	var target, suite string
	var families []string
	var ids bool
	c := &cobra.Command{
		Use:   "import --target NAME --suite NAME --key FILE --signer FILE -o CASE FILE.jsonl",
		Short: "make a case of replies that were gathered elsewhere",
		Long: `Makes a case of replies that another program gathered: a file with one JSON object
per line, with the members prompt and text, and if wanted id (of the prompt), system,
lang, reasoning, model, finish_reason, usage, and the token ids prompt_tokens and
tokens. With --ids these ids are scored as they are; they must be of the tokenizer
that the keys were made for. Each line is kept as it is. Other arms of the same
audit come from files of their own: --control NAME=FILE, --ours, --teacher.

--suite is a name for the prompts of the file. If it names a suite of "stillmark
corpora list", or a YAML or JSONL file, every line must answer one of its prompts,
which then keep their ids and the way in which their replies are read.

Such a case is marked: this program did not acquire the replies, so nothing shows
when, from whom and with what parameters. No result on them is accusation grade.
With --judge, stillmark probe run has the judge label them; nothing else is asked.`,
		Example: `  stillmark probe import --target nova --suite pilot --key key.json --signer signer.pem -o case replies.jsonl
  stillmark probe import --target nova --control other=other.jsonl --suite pilot --ids --key key.json --dry-run replies.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if target == "" || suite == "" {
				return usageError(errors.New("name the target and the suite: --target NAME --suite NAME"))
			}
			signer, err := o.open(ctx, a)
			if err != nil {
				return err
			}
			release, err := o.openControls()
			if err != nil {
				return err
			}
			defer release()
			f, err := config.Load(a.config)
			if err != nil {
				return err
			}
			o.in.Authority, o.in.Purpose, o.in.TermsReviewedBy = f.Authority, f.Purpose, f.TermsReviewedBy
			files, err := o.importFiles(f, target, args[0], ids)
			if err != nil {
				return err
			}
			if err := o.resolveJudge(f); err != nil {
				return err
			}
			if err := o.readKeys(); err != nil {
				return err
			}
			drawn, err := o.importSuite(suite, families)
			if err != nil {
				return err
			}
			unwise, err := lintSuites(o.asked)
			if err != nil {
				return err
			}
			o.in.Suites = []probe.PlanSuite{drawn}
			o.in.Program, o.in.Now, o.in.Rand = build(), time.Now(), rand.Reader
			if o.in.Judge != nil && !o.dryRun {
				if err := a.testTargets(ctx, o.everybody()); err != nil {
					return err
				}
			}
			m := a.newMeter()
			m.set("reading " + filepath.Base(args[0]))
			im, err := probe.PlanImport(ctx, o.in, files)
			if err == nil && !o.dryRun {
				err = im.Write(ctx, o.output, signer, o.stamp(ctx), func(done, of int) { m.count("importing replies", done, of) })
			}
			m.clear()
			if err != nil {
				return err
			}
			im.Draft.Warnings = append(im.Draft.Warnings, unwise...)
			next := "stillmark analyze " + o.output
			if o.in.Judge != nil {
				next = "stillmark probe run " + o.output
			}
			return a.showPlan(&o, im.Draft, next)
		},
	}
	f := c.Flags()
	f.StringVar(&target, "target", "", "name of the model that FILE.jsonl is of")
	f.StringArrayVar(&o.controls, "control", nil, "NAME=FILE: replies of a control to the same prompts (repeatable)")
	f.StringArrayVar(&o.ours, "ours", nil, "NAME=FILE: replies of our own model, for comparative families (repeatable)")
	f.StringArrayVar(&o.teachers, "teacher", nil, "NAME=FILE: replies of a model that others may have been trained on (repeatable)")
	f.StringArrayVar(&o.students, "student", nil, "NAME=FILE: replies of a known student of our own model, for likelihood ratios (repeatable)")
	o.bindNames(f)
	o.bindJudge(f)
	f.StringVar(&suite, "suite", "", "name for the prompts, or a suite that they are of")
	f.StringArrayVar(&families, "family", nil, "family of tests that reads them (repeatable; default that of the suite, or E1)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the draw that the prompts of a known suite come from")
	f.IntVarP(&o.n, "number", "n", 0, "size of that draw, 0 for all")
	f.BoolVar(&ids, "ids", false, "score the lines' token ids, not their text")
	o.bindControls(f)
	o.bindTests(f)
	return c
}

// importFiles lists the files by the roles of their targets. What the
// configuration says of a target of that name is taken over.
func (o *planOptions) importFiles(f *config.File, target, path string, ids bool) ([]probe.ImportFile, error) {
	files := []probe.ImportFile{{Target: ledger.Target{Name: target, Role: ledger.Rival}, Path: path}}
	for _, group := range []struct {
		flag  string
		role  ledger.Role
		given []string
	}{{"--control", ledger.Control, o.controls}, {"--ours", ledger.Ours, o.ours}, {"--teacher", ledger.Teacher, o.teachers}, {"--student", ledger.Student, o.students}} {
		for _, s := range group.given {
			name, path, ok := strings.Cut(s, "=")
			if !ok || name == "" || path == "" {
				return nil, usageError(fmt.Errorf("%s %q is not NAME=FILE", group.flag, s))
			}
			files = append(files, probe.ImportFile{Target: ledger.Target{Name: name, Role: group.role}, Path: path})
		}
	}
	for i := range files {
		t := &files[i].Target
		files[i].IDs = ids
		if k := slices.IndexFunc(f.Targets, func(c config.Target) bool { return c.Name == t.Name }); k >= 0 {
			c := f.Targets[k]
			t.Model, t.Vendor = c.Model, c.Vendor
			if t.Role == ledger.Control {
				t.PreviousOf = c.PreviousOf
			}
		}
	}
	return files, nil
}

// importSuite is the suite that the lines are of: a known one with its prompts, or
// a name.
func (o *planOptions) importSuite(name string, families []string) (probe.PlanSuite, error) {
	drawn := probe.PlanSuite{}
	drawn.Ref.Name = name
	known := slices.ContainsFunc(corpora.List(), func(i corpora.Info) bool { return i.Name == name })
	if _, err := os.Stat(name); known || err == nil {
		s, err := loadSuite(name)
		if err != nil {
			return drawn, err
		}
		o.asked = append(o.asked, s)
		if drawn, err = probe.ExpandSuite(s, o.seed, o.n); err != nil {
			return drawn, usageError(err)
		}
	}
	var all []string
	for _, f := range family.Families() {
		all = append(all, f.ID)
	}
	for i, id := range families {
		if !slices.Contains(all, id) {
			return drawn, usageError(fmt.Errorf("family %q is not known%s", id, didYouMean(id, all)))
		}
		if i == 0 {
			drawn.Family = id
		} else {
			drawn.Also = append(drawn.Also, id)
		}
	}
	return drawn, nil
}
