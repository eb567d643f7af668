package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
)

// fill gives every field of a structure a value: the text to strings, two
// entries to lists, numbers that differ.
func fill(v reflect.Value, text string, n *float64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Float64:
		v.SetFloat(math.Sin(*n) * 100)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + int64(*n)%50)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Bool:
		v.SetBool(int(*n)%2 == 0)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), text, n)
		fill(v.Index(1), text, n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text, n)
		fill(value, text, n)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), text, n)
		}
	}
}

// sample is a report with the same text in all its strings, but for those that
// the layout chooses words by.
func sample(text string) *model.Report {
	r := new(model.Report)
	n := 0.0
	fill(reflect.ValueOf(r).Elem(), text, &n)
	r.Lang = "en"
	for i := range r.Explain {
		r.Explain[i].State = model.StateOpen
	}
	for i := range r.Limits {
		r.Limits[i].State = model.StateDesign
	}
	roles := []ledger.Role{ledger.Rival, ledger.Control}
	for i := range r.Tests {
		r.Tests[i].Role, r.Exploratory[i].Role = roles[i], roles[i]
		r.Acquisition.Targets[i].Role, r.Accounting[i].Role = roles[i], roles[i]
		r.Plots.Forest[i].Rows[0].Role = ledger.Rival
		r.Plots.Curves[i].Curves[0].Role = ledger.Rival
		for j := range r.Acquisition.Matrix.Rows {
			r.Acquisition.Matrix.Rows[j].States = []string{"yes", "unknown"}
		}
	}
	return r
}

func render(t testing.TB, r *model.Report) string {
	t.Helper()
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

var tagPattern = regexp.MustCompile(`<[a-zA-Z/!][^>]*>`)

// Text from outside is inert wherever it stands: no element, no attribute and no
// address of the page is made of it.
func TestHostileText(t *testing.T) {
	t.Parallel()
	calm := render(t, sample("calm"))
	want := map[string]int{}
	for _, tag := range tagPattern.FindAllString(calm, -1) {
		want[strings.Fields(strings.Trim(tag, "<>"))[0]]++
	}
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'"--></style></title></svg><svg onload=alert(1)>`,
		`javascript:alert(1)`, `{{.Secret}}`, `]]><!--`, `&lt;b&gt;`, "`${alert(1)}`", `</mark><iframe src=//evil.example>`,
	} {
		page := render(t, sample(hostile))
		got := map[string]int{}
		for _, tag := range tagPattern.FindAllString(page, -1) {
			got[strings.Fields(strings.Trim(tag, "<>"))[0]]++
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s changes the elements of the page:\n%v\n%v", hostile, got, want)
		}
		for _, tag := range tagPattern.FindAllString(page, -1) {
			if why := oddAttributes(tag); why != "" {
				t.Errorf("%s: %s in %s", hostile, why, tag)
			}
		}
	}
}

var attributePattern = regexp.MustCompile(`\s+([a-zA-Z0-9:-]+)="([^"]*)"`)

// oddAttributes says what a tag has that the layout does not give it.
func oddAttributes(tag string) string {
	for _, m := range attributePattern.FindAllStringSubmatch(tag, -1) {
		switch name := m[1]; name {
		case "src", "style", "action", "formaction", "data", "xlink:href":
			return name
		case "href":
			if !strings.HasPrefix(m[2], "#") {
				return "an address " + m[2]
			}
		default:
			if strings.HasPrefix(name, "on") {
				return name
			}
		}
	}
	if rest := attributePattern.ReplaceAllString(tag, ""); strings.ContainsAny(rest, "=\"'`") {
		return "an attribute without quotes"
	}
	return ""
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	page := render(t, sample("text"))
	for _, never := range []string{"<script", "<link", "<iframe", "<object", "<embed", "<img", "@import", "url(", "http://", "https://", " style="} {
		rest := strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
		if strings.Contains(rest, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	style := page[strings.Index(page, "<style>")+len("<style>") : strings.Index(page, "</style>")]
	sum := sha256.Sum256([]byte(style))
	if policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(html.UnescapeString(page), policy) {
		t.Errorf("the content security policy does not name the hash of the style sheet that is in the page")
	}
	if strings.Count(page, "<style>") != 1 {
		t.Error("more than one style sheet")
	}
	if page != render(t, sample("text")) {
		t.Error("the same report gives two pages")
	}
}

// What a screen reader needs: one main heading, no level left out, headers of
// tables with their scope, names for figures and landmarks, ids that are unique.
func TestAccessible(t *testing.T) {
	t.Parallel()
	page := render(t, sample("text"))
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("id %q twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`aria-labelledby="([^"]*)"|href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		for _, id := range strings.Fields(m[1] + " " + m[2]) {
			if !ids[id] {
				t.Errorf("nothing has the id %q", id)
			}
		}
	}
	last := 0
	main := page[strings.Index(page, "<main"):]
	for _, m := range regexp.MustCompile(`<h([1-6])[ >]`).FindAllStringSubmatch(main, -1) {
		level, _ := strconv.Atoi(m[1])
		if level > last+1 {
			t.Errorf("a heading of level %d follows one of level %d", level, last)
		}
		last = level
	}
	if n := strings.Count(page, "<h1"); n != 1 {
		t.Errorf("%d main headings", n)
	}
	for _, tag := range regexp.MustCompile(`<th[ >][^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(tag, `scope="`) {
			t.Errorf("%s has no scope", tag)
		}
	}
	figures := regexp.MustCompile(`(?s)<svg viewBox[^>]*role="img".*?</svg>`).FindAllString(page, -1)
	for _, svg := range figures {
		if !strings.Contains(svg, "<title id=") || !strings.Contains(svg, "<desc id=") {
			t.Errorf("a figure without title or description: %.80s", svg)
		}
	}
	if len(figures) < 7 {
		t.Errorf("only %d figures", len(figures))
	}
	if !strings.Contains(page, `<html lang="`) || !strings.Contains(page, `class="skip" href="#main"`) {
		t.Error("no language, or no way to skip the contents")
	}
}

// Colours keep a contrast of 4.5 to 1 for text (WCAG 2.2, 1.4.3), in light, dark
// and print.
func TestContrast(t *testing.T) {
	t.Parallel()
	style, err := layout.ReadFile("layout/style.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(style), -1)
	if len(roots) != 3 {
		t.Fatalf("%d sets of colours, want light, dark and print", len(roots))
	}
	luminance := func(hex string) float64 {
		var l float64
		for i, w := range []float64{.2126, .7152, .0722} {
			n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := float64(n) / 255
			if c <= .04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+.055)/1.055, 2.4)
			}
			l += w * c
		}
		return l
	}
	for i, root := range roots {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(root[1], -1) {
			colour[m[1]] = m[2]
		}
		for _, pair := range [][2]string{
			{"ink", "bg"},
			{"ink", "panel"},
			{"soft", "bg"},
			{"soft", "panel"},
			{"rival", "bg"},
			{"seen", "bg"},
			{"ok", "bg"},
			{"warn", "warn-bg"},
			{"ink", "m2"},
			{"ink", "m3"},
			{"ink", "m4"},
			{"unscored", "bg"},
		} {
			a, b := luminance(colour[pair[0]]), luminance(colour[pair[1]])
			if ratio := (math.Max(a, b) + .05) / (math.Min(a, b) + .05); ratio < 4.5 {
				t.Errorf("set %d: %s on %s has contrast %.2f", i, pair[0], pair[1], ratio)
			}
		}
	}
}

// Every label of the layout is used, and every one that is used exists: the
// sample report runs through all of the template.
func TestLabels(t *testing.T) {
	t.Parallel()
	d, err := designOf("en")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range []string{"layout/report.html.tmpl"} {
		data, err := layout.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	for _, name := range []string{"pdf_report.go", "pdf_figures.go", "html.go", "figures.go", "annex.go"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	elsewhere := []string{"judge.", "text.", "ours", "teacher", "student", "state.", "mark.", "caps.", "sample", "curve.caption", "tier.", "class.", "commit.", "mode.", "cert.", "know.", "yes", "no", "unknown", "not tested", "control", "rival"}
	for key := range d.labels {
		used := strings.Contains(source.String(), `"`+key+`"`)
		for _, section := range sections {
			used = used || key == section
		}
		for _, prefix := range elsewhere {
			used = used || strings.HasPrefix(key, prefix)
		}
		if !used {
			t.Errorf("label %q is not used", key)
		}
	}
}

func inside(t *testing.T, f figure) {
	t.Helper()
	for _, s := range f.Shapes {
		for i, c := range []string{s.X, s.X2, s.Y, s.Y2} {
			if c == "" {
				continue
			}
			v, err := strconv.ParseFloat(c, 64)
			limit := float64(f.W)
			if i > 1 {
				limit = float64(f.H)
			}
			if err != nil || math.IsNaN(v) || v < -1 || v > limit+1 {
				t.Errorf("%s: %s %q leaves the figure at %s", f.ID, s.Kind, s.Text, c)
			}
		}
		if strings.Contains(s.Text, "NaN") || strings.Contains(s.Text, "Inf") {
			t.Errorf("%s: %q", f.ID, s.Text)
		}
	}
	if f.Name == "" || f.Desc == "" {
		t.Errorf("%s has no name or no description", f.ID)
	}
}

func TestFiguresStayInside(t *testing.T) {
	t.Parallel()
	for _, language := range model.Languages() {
		figuresStayInside(t, designIn(t, language))
	}
}

func figuresStayInside(t *testing.T, d *design) {
	t.Helper()
	for i, v := range []float64{-300, -4.6, -2, 0, 3.3, 4.6, 5.4, 5.6, 300, 1e6} {
		h := model.Histogram{Target: "t", Scheme: "s", N: 999, From: -4.5, Width: .25, Bins: make([]int, 36), Observed: v, RankP: .001}
		h.Bins[18], h.Bins[0] = 400, 1
		inside(t, d.histogram(i, h))
	}
	inside(t, d.histogram(0, model.Histogram{Target: "t", From: -4.5, Width: .25, Bins: make([]int, 36)}))
	for i, rows := range [][]model.ForestRow{
		nil,
		{{Target: "a"}},
		{{Target: "a", Effect: 1e-9, Lo: -1e-9, Hi: 2e-9}},
		{{Target: strings.Repeat("long name ", 9), Role: ledger.Rival, Effect: 1e5, Lo: -1e5, Hi: 2e5}, {Target: "b", Effect: -3, Lo: -4, Hi: -2}},
	} {
		f := d.forest(i, model.ForestPanel{Scheme: "s", Rows: rows})
		inside(t, f)
	}
	many := model.CurvePanel{Key: "k", Scheme: "s", Mode: ledger.ModeFixedN, Threshold: 7}
	for i := range 8 {
		c := model.Curve{Target: fmt.Sprintf("target-%d", i)}
		for j := range 1000 {
			c.Points = append(c.Points, ledger.CurvePoint{Tokens: int64(j * 100), Log10P: -float64(i*j) / 50})
		}
		many.Curves = append(many.Curves, c)
	}
	inside(t, d.curves(0, many))
	inside(t, d.curves(1, model.CurvePanel{Scheme: "s", Mode: ledger.ModeAnytime, Threshold: 6, Curves: []model.Curve{{Target: "a"}}}))
	inside(t, d.accountingBars([]model.Account{{Target: "a", Planned: 10, Analysed: 7, Missing: 1}, {Target: "b"}}))
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    scale
		want string
	}{
		{scale{lo: 0, hi: 10}, "0 5 10"},
		{scale{lo: -.011, hi: .012}, "−0.01 0.00 0.01"},
		{scale{lo: 0, hi: 325}, "0 100 200 300"},
		{scale{lo: 0, hi: 0}, ""},
	} {
		ticks := c.s.ticks(4)
		var got []string
		for _, v := range ticks {
			got = append(got, designIn(t, "en").tick(v, ticks))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, want %s", c.s, got, c.want)
		}
	}
}

func designIn(t testing.TB, language string) *design {
	t.Helper()
	d, err := designOf(language)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNumberFormats(t *testing.T) {
	t.Parallel()
	v := -1234.567
	when := time.Date(2026, 11, 20, 9, 12, 4, 0, time.UTC)
	en, fr := designIn(t, "en"), designIn(t, "fr")
	for _, c := range []struct{ got, want string }{
		{en.logarithm(&v), "−1,234.57"},
		{en.logarithm((*float64)(nil)), "–"},
		{en.logarithm(-0.001), "0.00"},
		{en.effectText(.0123), "+0.012"},
		{en.effectText(-.00123), "−0.0012"},
		{en.effectText(0), "0.000"},
		{en.significant(.001), "0.001"},
		{en.significant(1.5e-7), "1.5e-07"},
		{en.significant(12345), "12,345"},
		{en.integer(-1234567), "−1,234,567"},
		{en.integer(999), "999"},
		{en.interval(.5, .25, .75), "+0.500 [+0.250, +0.750]"},
		{en.clock(when), "2026-11-20 09:12:04 UTC"},
		{en.percent(.051), "5.1\u00a0%"},
		{fr.logarithm(&v), "−1\u00a0234,57"},
		{fr.effectText(.0123), "+0,012"},
		{fr.significant(1.5e-7), "1,5e-07"},
		{fr.integer(-1234567), "−1\u00a0234\u00a0567"},
		{fr.interval(.5, .25, .75), "+0,500 [+0,250\u00a0; +0,750]"},
		{fr.clock(when), "20/11/2026 09:12:04 UTC"},
		{fr.clock(time.Time{}), "–"},
		{fr.day(when), "20/11/2026"},
		{fr.percent(.051), "5,1\u00a0%"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

var placeholderPattern = regexp.MustCompile(`\{[a-z]+\}`)

// Every language has the labels of English, with the same places for values, and the
// page and the paper in it hold no English word of the layout.
func TestLanguages(t *testing.T) {
	t.Parallel()
	english := regexp.MustCompile(`(?i)(^| )(the|of|and|was|were|with|that|which|not|this|by|from)( |$)`)
	en := designIn(t, "en").labels
	for _, language := range model.Languages() {
		labels := designIn(t, language).labels
		if len(labels) != len(en) {
			t.Errorf("%s has %d labels, English %d", language, len(labels), len(en))
		}
		for key, want := range en {
			got, ok := labels[key]
			a, b := placeholderPattern.FindAllString(want, -1), placeholderPattern.FindAllString(got, -1)
			slices.Sort(a)
			slices.Sort(b)
			if !ok || !slices.Equal(a, b) {
				t.Errorf("%s: label %q is %q, in English %q", language, key, got, want)
			}
			if hit := english.FindString(strings.ReplaceAll(got, "Federal Rules of Evidence", "")); hit != "" && language != "en" {
				t.Errorf("%s: label %q has the English word %q: %s", language, key, hit, got)
			}
		}
		r := sample("text")
		r.Lang = language
		if page := render(t, r); !strings.Contains(page, `<html lang="`+language+`">`) {
			t.Errorf("%s: the page does not say its language", language)
		}
		if _, err := PDF(r); err != nil {
			t.Errorf("%s: %v", language, err)
		}
	}
	r := sample("text")
	r.Lang = "xx"
	if _, err := HTML(r); err == nil || !strings.Contains(err.Error(), `language "xx"`) {
		t.Errorf("a language that is not there: %v", err)
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	r := sample(`=HYPERLINK("http://evil.example","x"),` + "\n\"quoted\"")
	data, err := CSV(r)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+len(r.Tests)+len(r.Exploratory) {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows[1:] {
		for i, cell := range row {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+@") {
				t.Errorf("column %s is a formula: %s", rows[0][i], cell)
			}
		}
		if x, err := strconv.ParseFloat(row[12], 64); err != nil || x == 0 {
			t.Errorf("score %q: %v", row[12], err)
		}
	}
}

// Every table has its header and as many rows as the report has of its kind; no cell
// is a formula; the README names every column.
func TestTables(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := sample(`=HYPERLINK("http://evil.example","x"),` + "\n\"quoted\"")
	files, err := Tables(r)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{ // lists of a sample have two entries
		"controls": 8, "comparisons": 12, "traits": 8, "judge": 20, "parts": 8, "runs": 12, "decoys": 2 * 4, "validation": 2, "curves": 8, "power": 2,
		"accounting": 2, "outcomes": 8, "bounds": 4, "targets": 2, "fingerprints": 4, "events": 2, "exhibits": 8,
	}
	for i, f := range files {
		read, err := csv.NewReader(bytes.NewReader(f.Data)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if n, ok := want[tables[i].name]; !ok || len(read) != 1+n || !slices.Equal(read[0], tables[i].header) {
			t.Errorf("%s has %d rows and the header %v", f.Name, len(read)-1, read[0])
		}
		for _, row := range read {
			for _, cell := range row {
				if _, err := strconv.ParseFloat(cell, 64); err != nil && strings.ContainsAny(cell[:min(1, len(cell))], "=+@-") {
					t.Errorf("%s: a cell is a formula: %s", f.Name, cell)
				}
			}
		}
		if line := "| `" + f.Name + "` | " + strings.Join(read[0], ", ") + " |"; !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks the line %s", line)
		}
		r.Lang = "fr"
		french, err := tables[i].encode(r)
		if err != nil || !bytes.Equal(french, f.Data) {
			t.Errorf("%s is not the same in French: %v", f.Name, err)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d tables, want %d", len(files), len(want))
	}
}

// The draft certificate holds what the case can fill in, blanks for what it cannot, no
// date and no signature, and lines that a court's form takes.
func TestCertificate(t *testing.T) {
	t.Parallel()
	for _, language := range model.Languages() {
		r := sample("text")
		r.Lang, r.Seal.CaseID, r.Seal.PlanSHA256 = language, "2026-11-20_acme-nova-1_01JD8K7Q", strings.Repeat("ab", 32)
		data, err := Certificate(r)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		flat := strings.Join(strings.Fields(text), " ")
		for _, want := range []string{"902(13)", "902(14)", "28 U.S.C. § 1746", "<" + r.Seal.CaseID + ">", "<" + r.Seal.PlanSHA256 + ">", "______________________"} {
			if !strings.Contains(strings.ReplaceAll(flat, "\u00a0", " "), want) {
				t.Errorf("%s: the draft lacks %q", language, want)
			}
		}
		if strings.ContainsAny(text, "{}") || strings.Count(text, "______________________") < 25 {
			t.Errorf("%s: a place was not filled, or blanks are missing:\n%s", language, text)
		}
		for line := range strings.Lines(text) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 78 && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s: a line is longer than 78 characters: %s", language, line)
			}
		}
		page := html.UnescapeString(render(t, r))
		for _, c := range checks {
			if !strings.Contains(page, designIn(t, language).labels[c.Label]) || !slices.Contains(sections, c.Section) {
				t.Errorf("%s: the page lacks the point %s", language, c.Label)
			}
		}
	}
}

// TestPages writes the sample report, which has everything that a page can have, in
// every language into the folder that STILLMARK_PAGES names, for the check in a browser
// (.ci/axe).
func TestPages(t *testing.T) {
	dir := os.Getenv("STILLMARK_PAGES")
	if dir == "" {
		t.Skip("STILLMARK_PAGES is not set")
	}
	for _, language := range model.Languages() {
		r := sample("some text")
		r.Lang = language
		if err := os.WriteFile(filepath.Join(dir, "sample-"+language+".html"), []byte(render(t, r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkHTML(b *testing.B) {
	r := sample("text")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := HTML(r); err != nil {
			b.Fatal(err)
		}
	}
}
