package corpora

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
)

func passages(t testing.TB, lines string, n int) ([]byte, PassageCount, error) {
	t.Helper()
	enc, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	return Passages(strings.NewReader(lines), PassageOptions{Name: "passages", Version: "1", Lang: "en", Tokenizer: enc, N: n})
}

func TestPassages(t *testing.T) {
	t.Parallel()
	line := func(text string) string {
		data, err := json.Marshal(map[string]string{"id": "x", "text": text, "target": "ours"})
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + "\n"
	}
	long := GenerateText(3, "", 12_000)
	lines := line(long[:1500]) + line("Too short.") + "\n" + line(long[2000:11_000]) + line(long[:1500]) + line(strings.Repeat("海岸の風景", 300))
	data, count, err := passages(t, lines, 0)
	if err != nil {
		t.Fatal(err)
	}
	if count != (PassageCount{Passages: 3, Short: 1, Repeated: 1}) {
		t.Errorf("%+v", count)
	}
	path := filepath.Join(t.TempDir(), "passages.jsonl")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := load(t, path)
	if card := s.Info(); card.Name != "passages" || card.Family != "E2" || card.Origin != OriginModel || card.Items != 3 {
		t.Errorf("card %+v", card)
	}
	if problems := s.Lint(); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	prompts, err := s.Expand(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prompts {
		ids, err := enc.Encode(p.Text)
		if err != nil || len(ids) > MaxPassage || len(ids) < MinPassage || p.Reading.Kind != reading.KindPassage {
			t.Errorf("%s: %d tokens, %+v, error %v", p.ID, len(ids), p.Reading, err)
		}
		if !strings.Contains(long, p.Text) && !strings.HasPrefix(strings.Repeat("海岸の風景", 300), p.Text) {
			t.Errorf("%s is not a part of what was given", p.ID)
		}
	}
	if _, count, err = passages(t, lines, 1); err != nil || count.Passages != 1 {
		t.Errorf("one of them: %+v, error %v", count, err)
	}
	for in, want := range map[string]string{
		"":                        "long enough",
		line("Too short."):        "long enough",
		"{\n":                     "line 1",
		`{"id":"a"}`:              "line 1: no text",
		`{"text":1}`:              "line 1",
		line(long) + "{\"text\":": "line 2",
	} {
		if _, _, err := passages(t, in, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one with %q", in, err, want)
		}
	}
}

func FuzzPassages(f *testing.F) {
	text, _ := json.Marshal(GenerateText(1, "", 2000))
	f.Add(fmt.Sprintf(`{"id":"a","text":%s}`, text))
	f.Add(`{"text":"x"}` + "\n\n{")
	f.Fuzz(func(t *testing.T, lines string) {
		data, count, err := passages(t, lines, 0)
		if err != nil {
			return
		}
		s, err := parseJSONL("fuzz", data)
		if err != nil || s.Info().Prompts > count.Passages {
			t.Fatalf("the suite is not read: %v", err)
		}
	})
}
