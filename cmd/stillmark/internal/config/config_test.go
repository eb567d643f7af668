package config

import (
	"strings"
	"testing"
)

func TestExampleIsValid(t *testing.T) {
	t.Parallel()
	f, err := Parse("example", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Targets) != 4 || f.Targets[0].Price == nil || f.Targets[3].Role != "control" || f.Authority == "" {
		t.Fatalf("decoded %+v", f)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, yaml, want string }{
		{"unknown member", "targets:\n- {name: a, model: m, base_url: 'http://x/v1', api_key: secret}\n", `did you mean "api_key_env"`},
		{"wrong type", "targets: 3\n", "/targets"},
		{"missing model", "targets:\n- {name: a, base_url: 'http://x/v1'}\n", "/targets/0"},
		{"no address", "targets:\n- {name: a, model: m}\n", "neither preset nor base_url"},
		{"same name twice", "targets:\n- {name: a, model: m, preset: vllm}\n- {name: a, model: n, preset: vllm}\n", `two targets are named "a"`},
		{"duplicate key", "purpose: a\npurpose: b\n", "purpose"},
		{"not YAML", "targets: [", "is not a valid configuration"},
		{"bad role", "targets:\n- {name: a, model: m, preset: vllm, role: enemy}\n", "/targets/0/role"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("stillmark.yaml", []byte(test.yaml))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want it to contain %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatalf("the message repeats a value: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("targets: [{name: a}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz", data)
		if err == nil {
			for _, target := range file.Targets {
				if target.Name == "" || target.Model == "" || target.Role == "" {
					t.Fatalf("accepted an incomplete target %+v", target)
				}
			}
		}
	})
}
