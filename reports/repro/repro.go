// Package repro writes reproduction kits: what an opposing expert needs to compute a case
// again and to ask its targets again. It stands apart from package reports because it
// expands suites, which brings YAML, and the verifier lays reports out without it.
package repro

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

//go:embed REPRODUCE.md.tmpl
var guide string

// Module is a module that a program was built from, with its checksum as in go.sum.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

// Options says what the kit is made with.
type Options struct {
	Report  string // folder under reports/; "" means the newest
	Program ledger.Build
	Modules []Module // of Program
}

// Result says what was written.
type Result struct {
	Dir    string   `json:"dir"`
	Report string   `json:"report"`
	Files  []string `json:"files"` // in the order of their names
	Keys   []string `json:"keys"`  // that were disclosed and are in the kit as key files
}

// Write makes the kit of a case: the sealed plan, the prompts as they were drawn, the items in the
// order of sending, the commands, what to expect of them, and what cannot be
// reproduced. The same case and program give the same bytes. out must not exist;
// nothing is left of it after an error.
//
// Keys that the case discloses are written as key files, for commands that take one;
// no other secret is in a kit.
func Write(dir, out string, opt Options) (*Result, error) {
	k, err := newKit(dir, opt)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(out); err == nil {
		return nil, reports.Usage(fmt.Errorf("%s exists already; name a folder that does not", out))
	}
	temp, err := os.MkdirTemp(filepath.Dir(out), ".repro-*")
	if err != nil {
		return nil, reports.Usage(fmt.Errorf("write the kit: %w", err))
	}
	defer os.RemoveAll(temp)
	if err := k.write(temp); err != nil {
		return nil, fmt.Errorf("write the kit: %w", err)
	}
	if err := ledger.MoveFolder(temp, out); err != nil {
		return nil, fmt.Errorf("write the kit: %w", err)
	}
	result := &Result{Dir: out, Report: k.report.Seal.ReportID, Keys: []string{}}
	for _, f := range k.files {
		result.Files = append(result.Files, f.Name)
	}
	for _, key := range k.keys {
		result.Keys = append(result.Keys, key.ID)
		result.Files = append(result.Files, kitKey(key))
	}
	slices.Sort(result.Files)
	return result, nil
}

// kit is a reproduction kit in the making.
type kit struct {
	isSealed bool
	dir      string
	c        *ledger.Case
	plan     *ledger.Plan
	report   *model.Report
	opt      Options
	keys     []*watermark.Key // disclosed ones
	suites   []kitSuite
	files    []reports.File
}

// kitSuite is a suite of the plan with what a reader can do about it.
type kitSuite struct {
	ledger.SuiteRef
	File     string // prompts/<name>.jsonl
	Prompts  int
	Withheld int
	// Embedded reports whether this program holds the very suite, and no key draws its
	// prompts: it can expand it again.
	Embedded bool
}

func newKit(dir string, opt Options) (*kit, error) {
	c, err := ledger.Open(dir)
	if err != nil {
		return nil, reports.Usage(err)
	}
	if c.Plan() == nil {
		return nil, reports.Usage(fmt.Errorf("%s has no plan", dir))
	}
	state, err := c.State()
	if err != nil {
		return nil, reports.Usage(err)
	}
	if state.Sealed { // a kit is written from what was sealed, or not at all
		p, err := integrity.Open(dir)
		if err == nil {
			_, err = integrity.Check(p)
			p.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("the case is not as it was sealed, and nothing was written: %w", err)
		}
	}
	if opt.Report == "" {
		newest, err := reports.Newest(dir)
		if err != nil {
			return nil, err
		}
		opt.Report = filepath.Base(newest)
	}
	data, err := os.ReadFile(filepath.Join(dir, "reports", opt.Report, "report.json"))
	if err != nil {
		return nil, reports.Usage(err)
	}
	k := &kit{dir: dir, c: c, plan: c.Plan(), opt: opt, isSealed: state.Sealed}
	if k.report, err = model.Decode(data); err != nil {
		return nil, reports.Usage(err)
	}
	for _, ref := range k.plan.Keys {
		data, err := os.ReadFile(filepath.Join(dir, "disclosed", ref.ID+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		key, err := watermark.OpenDisclosure(data)
		if err != nil || key.ID != ref.ID {
			return nil, reports.Usage(fmt.Errorf("disclosed/%s.json does not disclose the plan's key: %w", ref.ID, cmpErr(err)))
		}
		k.keys = append(k.keys, key)
	}
	for _, make := range []func() error{k.sealed, k.prompts, k.items, k.targets, k.expected, k.program, k.guide} {
		if err := make(); err != nil {
			return nil, fmt.Errorf("make the kit: %w", err)
		}
	}
	return k, nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("another key stands there")
	}
	return err
}

func kitKey(k *watermark.Key) string { return "keys/" + k.ID + ".json" }

func (k *kit) add(name string, data []byte) {
	k.files = append(k.files, reports.File{Name: name, Data: data})
}

func (k *kit) write(dir string) error {
	for _, f := range k.files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := ledger.WriteNewFile(name, f.Data, 0o600); err != nil {
			return err
		}
	}
	if len(k.keys) > 0 {
		if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
			return err
		}
	}
	for _, key := range k.keys {
		if err := key.Save(filepath.Join(dir, filepath.FromSlash(kitKey(key)))); err != nil {
			return err
		}
	}
	return nil
}

// sealed copies the plan with its signature and timestamp.
func (k *kit) sealed() error {
	for _, name := range []string{"plan.json", "plan.dsse.json", "plan.tsr"} {
		data, err := os.ReadFile(filepath.Join(k.dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != "plan.json" {
			continue
		} else if err != nil {
			return err
		}
		k.add(name, data)
	}
	return nil
}

// prompts writes the prompts of each suite as corpora expand --json prints them.
func (k *kit) prompts() error {
	bySuite := map[string]*bytes.Buffer{}
	for _, ref := range k.plan.Suites {
		name := strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r < ' ' {
				return '_'
			}
			return r
		}, ref.Name)
		s := kitSuite{SuiteRef: ref, File: path.Join("prompts", name+".jsonl")}
		if own, err := corpora.Load(ref.Name); err == nil && path.Ext(ref.Name) == "" {
			s.Embedded = own.Info().SHA256 == ref.SHA256 && own.Use() == ""
		}
		k.suites = append(k.suites, s)
		bySuite[ref.Name] = new(bytes.Buffer)
	}
	for i := range k.plan.Prompts {
		q := &k.plan.Prompts[i]
		at := slices.IndexFunc(k.suites, func(s kitSuite) bool { return s.Name == q.Suite })
		if at < 0 || q.Sentinel {
			continue // sentinels enter no test, and every plan draws its own
		}
		if q.Withheld() {
			k.suites[at].Withheld++
			continue
		}
		k.suites[at].Prompts++
		p := corpora.Prompt{ID: q.ID, Lang: q.Lang, Category: q.Category, System: q.System, Text: q.Text}
		if len(q.Reading) > 0 {
			if err := json.Unmarshal(q.Reading, &p.Reading); err != nil {
				return fmt.Errorf("prompt %s: %w", q.ID, err)
			}
		}
		if err := jsonLine(bySuite[q.Suite], p); err != nil {
			return err
		}
	}
	for _, s := range k.suites {
		k.add(s.File, bySuite[s.Name].Bytes())
	}
	return nil
}

// jsonLine writes one record without HTML escapes, as the program's --json does.
func jsonLine(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// items lists what was asked in the order of sending, which the plan's seed fixes.
func (k *kit) items() error {
	var b bytes.Buffer
	for it := range k.plan.Order() {
		line := struct {
			Item   string `json:"item"`
			Target string `json:"target"`
			Suite  string `json:"suite"`
			Prompt string `json:"prompt"`
			Sample int    `json:"sample"`
		}{it.ID, it.Target.Name, it.Prompt.Suite, it.Prompt.ID, it.Sample}
		if err := jsonLine(&b, line); err != nil {
			return err
		}
	}
	k.add("items.jsonl", b.Bytes())
	return nil
}

// live are the targets that the case itself asked.
func (k *kit) live() []ledger.Target {
	return slices.DeleteFunc(slices.Clone(k.plan.Targets), func(t ledger.Target) bool { return !t.Live() })
}

// targets writes a configuration with the targets that were asked. JSON is YAML.
func (k *kit) targets() error {
	var b bytes.Buffer
	b.WriteString("# The targets of the sealed plan. Keys come from the environment, and from nowhere else.\ntargets:\n")
	if len(k.live()) == 0 {
		b.WriteString("  []\n")
	}
	asked := k.live()
	if k.plan.Judge != nil {
		asked = append(asked, k.plan.Judge.Target)
	}
	for _, t := range asked {
		entry := struct {
			Name       string                     `json:"name"`
			Role       ledger.Role                `json:"role"`
			BaseURL    string                     `json:"base_url"`
			Model      string                     `json:"model"`
			APIKeyEnv  string                     `json:"api_key_env,omitempty"`
			Vendor     string                     `json:"vendor,omitempty"`
			PreviousOf string                     `json:"previous_of,omitempty"`
			ExtraBody  map[string]json.RawMessage `json:"extra_body,omitempty"`
		}{t.Name, t.Role, t.BaseURL, t.Model, t.APIKeyEnv, t.Vendor, t.PreviousOf, t.ExtraBody}
		b.WriteString("  - ")
		if err := jsonLine(&b, entry); err != nil {
			return err
		}
	}
	k.add("stillmark.yaml", b.Bytes())
	return nil
}

func (k *kit) expected() error {
	data, err := reports.Expected(k.report)
	k.add("expected.csv", data)
	return err
}

func (k *kit) program() error {
	data, err := json.MarshalIndent(struct {
		Planned ledger.Build `json:"planned_with"`
		Report  ledger.Build `json:"report_built_with"`
		Kit     ledger.Build `json:"kit_written_with"`
		Modules []Module     `json:"modules_of_the_last"`
	}{k.plan.Program, k.report.Build, k.opt.Program, slices.Concat([]Module{}, k.opt.Modules)}, "", "  ")
	k.add("program.json", append(data, '\n'))
	return err
}

// guide writes REPRODUCE.md.
func (k *kit) guide() error {
	t, err := template.New("REPRODUCE.md").Funcs(template.FuncMap{
		"time": func(r *model.Acquired) string {
			return r.First.UTC().Format("2006-01-02 15:04 UTC") + " to " + r.Last.UTC().Format("2006-01-02 15:04 UTC")
		},
		"line": func(s string) string { return strings.Join(strings.Fields(s), " ") },
	}).Parse(guide)
	if err != nil {
		return err
	}
	withheld, keyless := 0, []string{}
	for _, s := range k.suites {
		withheld += s.Withheld
	}
	for _, ref := range k.plan.Keys {
		if !slices.ContainsFunc(k.keys, func(key *watermark.Key) bool { return key.ID == ref.ID }) {
			keyless = append(keyless, ref.ID)
		}
	}
	var asked []*model.Acquired
	for i := range k.report.Acquisition.Targets {
		a := &k.report.Acquisition.Targets[i]
		if slices.ContainsFunc(k.live(), func(t ledger.Target) bool { return t.Name == a.Target }) {
			asked = append(asked, a)
		}
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Plan": k.plan, "Report": k.report, "Suites": k.suites, "Analyze": k.analyzeCommand(), "Rerun": k.planCommand(), "KeyFlags": k.keyFlags(),
		"Withheld": withheld, "Keyless": keyless, "Asked": asked, "Apart": len(k.plan.Targets) - len(k.live()), "Sealed": k.isSealed, "Program": k.opt.Program,
	})
	k.add("REPRODUCE.md", b.Bytes())
	return err
}

func (k *kit) keyFlags() string {
	var b strings.Builder
	for _, key := range k.keys {
		b.WriteString(" --key " + kitKey(key))
	}
	return b.String()
}

func (k *kit) analyzeCommand() string {
	if len(k.keys) == 0 {
		return `stillmark analyze "$CASE" --withheld`
	}
	return `stillmark analyze "$CASE"` + k.keyFlags()
}

// planCommand is the plan of a new run with the options of this one, "" where this
// program cannot plan it from the kit alone: a key is withheld, replies were not asked
// for by this case, prompts are withheld, or a test needs more than suites and a key.
func (k *kit) planCommand() string {
	p := k.plan
	if len(k.keys) < len(p.Keys) || len(k.live()) == 0 || p.After != nil {
		return ""
	}
	args := []string{"stillmark probe plan -c stillmark.yaml"}
	for _, t := range k.live() {
		if flag := map[ledger.Role]string{ledger.Rival: "--target", ledger.Control: "--control", ledger.Ours: "--ours", ledger.Teacher: "--teacher"}[t.Role]; flag != "" {
			args = append(args, flag+" "+shellWord(t.Name))
		}
	}
	for _, s := range k.suites {
		if s.Withheld > 0 {
			return ""
		}
	}
	for _, t := range p.Tests {
		if t.Filter != "" || t.Family != "E1" {
			return ""
		}
	}
	same := !slices.ContainsFunc(k.suites, func(s kitSuite) bool {
		return !s.Embedded || s.Seed != k.suites[0].Seed || s.Prompts != k.suites[0].Prompts
	})
	for _, s := range k.suites {
		if same {
			args = append(args, "--suite "+shellWord(s.Name))
		} else {
			args = append(args, "--suite "+shellWord(s.File))
		}
	}
	if same && len(k.suites) > 0 {
		args = append(args, "-n", strconv.Itoa(k.suites[0].Prompts), "--seed", strconv.FormatUint(k.suites[0].Seed, 10))
	}
	args = append(args, strings.TrimPrefix(k.keyFlags(), " "), fmt.Sprintf("--max-tokens %d --samples %d --decoys %d --alpha %g --stream=%t", p.Params.MaxTokens, p.Samples, p.Decoys.N, p.Alpha, p.Params.Stream))
	if v := p.Params.Temperature; v != nil {
		args = append(args, fmt.Sprintf("--temperature %g", *v))
	}
	if v := p.Params.TopP; v != nil {
		args = append(args, fmt.Sprintf("--top-p %g", *v))
	}
	if v := p.Params.Seed; v != nil {
		args = append(args, fmt.Sprintf("--request-seed %d", *v))
	}
	if len(p.Tests) > 0 && p.Tests[0].Mode == ledger.ModeAnytime {
		args = append(args, "--mode", ledger.ModeAnytime)
	}
	if p.Stop.OnEvidence {
		args = append(args, "--stop-on-evidence")
	}
	if p.Sentinels == nil {
		args = append(args, "--sentinels 0")
	}
	if !slices.ContainsFunc(k.live(), func(t ledger.Target) bool { return t.Capabilities != nil }) {
		args = append(args, "--skip-target-test")
	}
	return strings.Join(append(args, "--signer rerun.pem -o rerun"), " ")
}

// shellWord quotes a word for a shell unless it is plain.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
