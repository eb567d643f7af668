package replies

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// bytesTokenizer has one token per byte.
type bytesTokenizer struct{}

func (bytesTokenizer) Name() string   { return "bytes" }
func (bytesTokenizer) VocabSize() int { return 256 }
func (bytesTokenizer) Encode(text string) ([]int32, error) {
	var ids []int32
	for i := range len(text) {
		ids = append(ids, int32(text[i]))
	}
	return ids, nil
}

func (bytesTokenizer) Decode(ids []int32) []byte {
	var out []byte
	for _, id := range ids {
		out = append(out, byte(id))
	}
	return out
}

func read(input string, opt Options) ([]watermark.Item, error) {
	opt.Tokenizer = bytesTokenizer{}
	var items []watermark.Item
	err := Read(strings.NewReader(input), "in", opt, func(item watermark.Item) error {
		items = append(items, item)
		return nil
	})
	return items, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, input string
		opt         Options
		want        []watermark.Item
	}{
		{"plain", "ab", Options{}, []watermark.Item{{ID: "in", Tokens: []int32{'a', 'b'}}}},
		{"braces are no JSON", "{a}", Options{}, []watermark.Item{{ID: "in", Tokens: []int32{'{', 'a', '}'}}}},
		{"text lines", "{\"id\":\"x\",\"text\":\"a\",\"prompt\":\"b\",\"other\":1}\n\n{\"id\":7,\"text\":\"c\"}\n", Options{}, []watermark.Item{
			{ID: "x", Tokens: []int32{'a'}, Prompt: []int32{'b'}}, {ID: "7", Tokens: []int32{'c'}},
		}},
		{"no id", "{\"text\":\"a\"}", Options{}, []watermark.Item{{ID: "in:1", Tokens: []int32{'a'}}}},
		{"forced text", "{\"text\":\"a\"}", Options{Format: "text"}, []watermark.Item{{ID: "in", Tokens: []int32{'{', '"', 't', 'e', 'x', 't', '"', ':', '"', 'a', '"', '}'}}}},
		{"ids", "{\"id\":\"x\",\"tokens\":[1,2],\"prompt_tokens\":[3]}", Options{IDs: true}, []watermark.Item{{ID: "x", Tokens: []int32{1, 2}, Prompt: []int32{3}}}},
		{"field", `{"id":"x","text":5,"choices":[{"message":{"content":"ab"}}],"request":{"a.b":"c"}}`, Options{Field: "choices.0.message.content", PromptField: `request.a\.b`}, []watermark.Item{{ID: "x", Tokens: []int32{'a', 'b'}, Prompt: []int32{'c'}}}},
		{"field that is null", `{"m":{"content":null}}`, Options{Field: "m.content"}, []watermark.Item{{ID: "in:1"}}},
		{"field of ids", `{"out":[[1],[2,3]],"in":[9]}`, Options{IDs: true, Field: "out.1", PromptField: "in"}, []watermark.Item{{ID: "in:1", Tokens: []int32{2, 3}, Prompt: []int32{9}}}},
		{"prompt field that is not there", `{"t":"a"}`, Options{Field: "t", PromptField: "p"}, []watermark.Item{{ID: "in:1", Tokens: []int32{'a'}}}},
		{"prompt field alone", `{"text":"a","q":"b"}`, Options{PromptField: "q"}, []watermark.Item{{ID: "in:1", Tokens: []int32{'a'}, Prompt: []int32{'b'}}}},
		{"byte order mark", "\ufeff{\"id\":\"x\",\"text\":\"a\"}\n", Options{}, []watermark.Item{{ID: "x", Tokens: []int32{'a'}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(test.input, test.opt)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if len(got[i].Tokens) == 0 {
					got[i].Tokens = nil
				}
				if len(got[i].Prompt) == 0 {
					got[i].Prompt = nil
				}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	long := "{\"text\":\"" + strings.Repeat("a", MaxItem) + "\"}"
	for _, test := range []struct {
		name, input string
		opt         Options
		want        string
	}{
		{"empty", " \n", Options{}, "in: the file is empty"},
		{"empty lines", "\n\n", Options{Format: "jsonl"}, "in: the file is empty"},
		{"binary", "\x7fELF\x00", Options{}, "byte 4 is NUL"},
		{"latin-1", "caf\xe9", Options{}, "byte 3 (0xe9) is not UTF-8"},
		{"long line", long, Options{}, "in, line 1: the line is longer than 16 MiB"},
		{"long text", strings.Repeat("a ", MaxItem), Options{}, "longer than 16 MiB"},
		{"second line broken", "{\"text\":\"a\"}\n{\"text\":", Options{}, "in, line 2: no JSON object"},
		{"text for ids", "{\"text\":\"a\"}", Options{IDs: true}, `no "tokens"`},
		{"ids for text", "{\"tokens\":[1]}", Options{}, `give --ids`},
		{"negative id", "{\"tokens\":[-1]}", Options{IDs: true}, "token id -1 at position 0"},
		{"invalid UTF-8 in JSON", "{\"text\":\"\xff\"}", Options{Format: "jsonl"}, "not UTF-8"},
		{"no such field", `{"a":{"b":"x","c":"y"}}`, Options{Field: "a.text"}, `there is no "a.text"; at that level are b, c`},
		{"field of a text", `{"a":"x"}`, Options{Field: "a.b"}, `above it stands no object`},
		{"entry beyond the list", `{"a":["x"]}`, Options{Field: "a.1"}, `the list has 1 entries`},
		{"field of another kind", `{"a":["x"]}`, Options{Field: "a"}, `"a" is not what is read there`},
		{"field of plain text", "x", Options{Field: "a", Format: "text"}, "a plain text has no fields"},
		{"unknown format", "a", Options{Format: "xml"}, `format "xml"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := read(test.input, test.opt)
			var place *Error
			if !errors.As(err, &place) || !strings.Contains(err.Error(), test.want) || place.ExitCode() != 2 {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{\"id\":\"x\",\"tokens\":[1,2],\"prompt_tokens\":[3]}\n", true, "")
	f.Add("{\"text\":\"a\"}\n{\"text\":\"b\"}", false, "")
	f.Add("plain", false, "")
	f.Add(`{"a":[{"b":"x"}]}`, false, "a.0.b")
	f.Fuzz(func(t *testing.T, input string, ids bool, field string) {
		items, err := read(input, Options{IDs: ids, Field: field})
		if err == nil && len(items) == 0 {
			t.Fatal("no item and no error")
		}
		for _, item := range items {
			for _, id := range item.Tokens {
				if id < 0 {
					t.Fatalf("negative id %d", id)
				}
			}
		}
	})
}
