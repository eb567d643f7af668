package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/corpora"
)

// loadSuites reads a suite by its name or path, or all suites of a folder.
func loadSuites(name string) ([]*corpora.Suite, error) {
	suites, err := corpora.LoadAll(name)
	if err != nil {
		return nil, usageError(explainSuite(name, fmt.Errorf("%w%s", err, suiteHint(name))))
	}
	return suites, nil
}

var suiteChecker = sync.OnceValue(func() *config.Checker { return config.NewChecker(corpora.Schema) })

// explainSuite says of a suite that could not be read, or the first such one of a
// folder, where it departs from the schema, which names what was probably meant.
func explainSuite(name string, err error) error {
	files := []string{name}
	if entries, dirErr := os.ReadDir(name); dirErr == nil {
		files = files[:0]
		for _, e := range entries {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	for _, path := range files {
		if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" || !strings.Contains(err.Error(), path) {
			continue
		}
		if info, statErr := os.Stat(path); statErr != nil || info.Size() > corpora.MaxSource {
			continue
		}
		data, readErr := os.ReadFile(path)
		if readErr != nil {
			continue
		}
		if _, _, problems := suiteChecker().Check(data); problems != nil {
			return fmt.Errorf("suite file %s: %s (stillmark corpora schema prints the schema)", path, strings.Join(problems, "; "))
		}
	}
	return err
}

// loadSuite reads a suite where there can be one only.
func loadSuite(name string) (*corpora.Suite, error) {
	suites, err := loadSuites(name)
	if err != nil {
		return nil, err
	}
	if len(suites) > 1 {
		return nil, usageError(fmt.Errorf("the folder %s holds %d suites, and one is needed here: name its file", name, len(suites)))
	}
	return suites[0], nil
}

// suiteHint names the nearest suite or set to what cannot be a file.
func suiteHint(name string) string {
	if strings.ContainsAny(name, "./\\") {
		return ""
	}
	var known []string
	for _, card := range corpora.List() {
		known = append(known, card.Name)
	}
	for _, set := range corpora.Sets() {
		known = append(known, set.Name)
	}
	return nearest(name, known)
}

// nearest is didYouMean without a list of all.
func nearest(name string, known []string) string {
	if hint := didYouMean(name, known); strings.Contains(hint, "mean") {
		return hint
	}
	return ""
}

// mostWarnings of one suite are said in a plan; corpora lint lists all.
const mostWarnings = 5

// lintSuites looks over the suites of a plan that are not the program's own, whose
// tests do that: what would make a result wrong is refused, anything else is a warning.
func lintSuites(suites []*corpora.Suite) (warnings []string, err error) {
	own := false
	for _, s := range suites {
		if s.Embedded() {
			continue
		}
		own = true
		said := 0
		for _, p := range s.Lint() {
			if p.Unfit() {
				return nil, usageError(fmt.Errorf("suite %s is not fit for a plan: %s. Mend it; stillmark corpora lint lists everything", s.Name, p))
			}
			if said++; said <= mostWarnings {
				warnings = append(warnings, fmt.Sprintf("Suite %s: %s.", s.Name, p))
			}
		}
		if said > mostWarnings {
			warnings = append(warnings, fmt.Sprintf("Suite %s has more such problems: stillmark corpora lint lists them.", s.Name))
		}
	}
	if own {
		for _, p := range corpora.LintAcross(suites) {
			warnings = append(warnings, p.String()+".")
		}
	}
	return warnings, nil
}
