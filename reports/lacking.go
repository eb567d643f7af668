package reports

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/watermark"
)

// A verifier computes with every key that it has. A key whose tests are withheld
// in the sealed findings, or whose exhibits are not in the sealed report, would
// make it find other numbers, in a case where nothing is wrong. So neither is
// built nor sealed.

// checkAnalysis refuses an analysis that was made without one of the keys.
func checkAnalysis(dir, id string, f *ledger.Findings, keys []string) error {
	lacking := withheld(f, keys)
	if len(lacking) == 0 {
		return nil
	}
	made := fmt.Sprintf("analysis %s was made without %s", id, list(lacking))
	if other := withAll(dir, f, keys); other != "" {
		return usage(fmt.Errorf("%s, analysis %s with: run stillmark report build %s --analysis %s --key …", made, other, dir, other))
	}
	return usage(fmt.Errorf("%s: run stillmark analyze %s --key …, then build the report again", made, dir))
}

// withheld lists those of the keys whose tests are withheld.
func withheld(f *ledger.Findings, keys []string) []string {
	var ids []string
	for _, x := range f.Findings {
		if x.Verdict == ledger.VerdictUnverified && slices.Contains(keys, x.Key) && !slices.Contains(ids, x.Key) {
			ids = append(ids, x.Key)
		}
	}
	return ids
}

// withAll is the newest analysis of the same replies that was made with all of
// the keys, or "". Running the analysis again would not make it the newest.
func withAll(dir string, f *ledger.Findings, keys []string) string {
	ids, err := folders(dir, "analysis")
	if err != nil {
		return ""
	}
	for _, id := range slices.Backward(ids) {
		other, _, err := LoadFindings(os.DirFS(dir), id)
		if err == nil && reflect.DeepEqual(other.Accounting, f.Accounting) && len(withheld(other, keys)) == 0 {
			return id
		}
	}
	return ""
}

// checkExhibits refuses a report that was built without one of the keys: it shows
// no replies where the key would have marked some.
func checkExhibits(dir string, f *ledger.Findings, r *model.Report, keys []string) error {
	var lacking []string
	for _, x := range f.Findings {
		if !model.Shown(&x) || x.N == 0 || !slices.Contains(keys, x.Key) || slices.Contains(lacking, x.Key) {
			continue
		}
		if !slices.ContainsFunc(r.Exhibits, func(e model.Exhibits) bool { return e.Test == x.Test }) {
			lacking = append(lacking, x.Key)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return usage(fmt.Errorf("report %s was built without %s: run stillmark report build %s --analysis %s --key …, and seal the one that it names (--report)",
		r.Seal.ReportID, list(lacking), dir, r.Seal.AnalysisID))
}

func list(keys []string) string {
	if len(keys) == 1 {
		return "key " + keys[0]
	}
	return "keys " + strings.Join(keys, ", ")
}

func keyIDs(keys []*watermark.Key) []string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// toDisclose are the keys that are given and those that an earlier seal has
// disclosed: these stay disclosed.
func (s *sealing) toDisclose(given []*watermark.Key) []string {
	ids := keyIDs(given)
	for _, ref := range s.c.Plan().Keys {
		if s.isDisclosed(ref.ID) && !slices.Contains(ids, ref.ID) {
			ids = append(ids, ref.ID)
		}
	}
	return ids
}

func (s *sealing) isDisclosed(id string) bool {
	_, err := os.Stat(filepath.Join(s.dir, disclosedDir, id+".json"))
	return err == nil
}
