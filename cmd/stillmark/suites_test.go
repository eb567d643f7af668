package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The published schema takes every suite of the program.
func TestSuiteSchemaTakesEmbeddedSuites(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../corpora/suites/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d suites, %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problems := suiteChecker().Check(data); problems != nil {
			t.Errorf("%s: %q", path, problems)
		}
	}
}
