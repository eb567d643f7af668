package corpora

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
)

// The schema has the members that are read, and no other.
func TestSchemaMembers(t *testing.T) {
	t.Parallel()
	type object struct {
		Properties map[string]json.RawMessage
		Defs       map[string]object `json:"$defs"`
	}
	var schema object
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct {
		name string
		of   any
		has  object
	}{
		{"suite", suiteFile{}, schema},
		{"group", groupFile{}, schema.Defs["group"]},
		{"template", templateFile{}, schema.Defs["template"]},
		{"reading", readingFile{}, schema.Defs["reading"]},
	} {
		var want []string
		for f := range reflect.TypeOf(at.of).Fields() {
			want = append(want, f.Tag.Get("yaml"))
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(at.has.Properties)); !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the program reads %v", at.name, got, want)
		}
	}
	var kinds struct{ Enum []reading.Kind }
	if err := json.Unmarshal(schema.Defs["reading"].Properties["kind"], &kinds); err != nil {
		t.Fatal(err)
	}
	for _, s := range List() {
		suite, err := Load(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, tpl := range suite.templates {
			if tpl.reading != nil && !slices.Contains(kinds.Enum, tpl.reading.kind) {
				t.Errorf("suite %s: kind %q is not in the schema", s.Name, tpl.reading.kind)
			}
		}
	}
}

// What the YAML library says of the program's types is nobody's business.
func TestErrorsNameNoTypes(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		"format: 1\nporpose: a\n",
		"format: 1\ngroups: [{templates: [{id: a, text: b, rows: [1]}]}]\n",
		"format: 1\ntypes: 3\n",
	} {
		_, err := parseYAML([]byte(source))
		if err == nil || strings.Contains(err.Error(), "corpora.") || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", source, err)
		}
	}
}
