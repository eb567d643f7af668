package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// forms are the files of testdata/json, one for each form of tokenizer.json.
var forms = []string{"gpt2", "llama3", "qwen", "kimi", "stages", "deepseek", "borders"}

func loadForm(t testing.TB, form string) *Encoding {
	t.Helper()
	e, err := LoadTokenizerJSON(filepath.Join("testdata", "json", form+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type goldenJSON map[string]struct {
	Texts map[string][]int32
	Later map[string][]int32
	More  map[string]struct {
		Text string
		IDs  []int32
	}
	Long  map[string]goldenRun
	Sweep map[string]string
	Drawn string
	NFC   string // of drawn texts, see nfc_test.go
}

// readGoldenJSON reads ids made by the forms' own library; testdata/README.md
// says how.
func readGoldenJSON(t testing.TB) goldenJSON {
	t.Helper()
	data, err := os.ReadFile("testdata/golden-json.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenJSON
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	for _, form := range forms {
		if x := g[form]; len(x.Texts) < 50 || len(x.More) < 9 || len(x.Long) < 20 || len(x.Sweep) < 60 {
			t.Fatalf("golden-json.json is incomplete: %s has %d texts, %d more, %d long, %d sweep", form, len(x.Texts), len(x.More), len(x.Long), len(x.Sweep))
		}
	}
	return g
}

// encodeForm encodes and checks the way back, which gives the normal form.
func encodeForm(t testing.TB, e *Encoding, text string) []int32 {
	t.Helper()
	ids, err := e.Encode(text)
	if err != nil {
		t.Fatalf("%s: %v", e.Name(), err)
	}
	want := text
	if e.nfc {
		want = nfc(text)
	}
	if got := e.Decode(ids); string(got) != want {
		t.Fatalf("%s: decoding gives other bytes:\n got %q\nwant %q", e.Name(), clip(string(got)), clip(want))
	}
	return ids
}

func TestTokenizerJSONAgreesWithItsLibrary(t *testing.T) {
	t.Parallel()
	g := readGolden(t)
	texts := map[string]string{}
	for _, item := range g.Texts {
		texts[item.Name] = item.Text
	}
	for form, want := range readGoldenJSON(t) {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			e := loadForm(t, form)
			for name, ids := range want.Texts {
				if got := encodeForm(t, e, texts[name]); !slices.Equal(got, ids) {
					t.Errorf("%s: ids of %q\n got %v\nwant %v", name, clip(texts[name]), got, ids)
				}
			}
			for name, item := range want.More {
				if got := encodeForm(t, e, item.Text); !slices.Equal(got, item.IDs) {
					t.Errorf("%s: ids of %+q\n got %v %+q\nwant %v %+q", name, clip(item.Text), got, e.Decode(got), item.IDs, e.Decode(item.IDs))
				}
			}
			for _, item := range g.Long {
				ids := encodeForm(t, e, strings.Repeat(item.Unit, item.Times))
				if got := (goldenRun{len(ids), hashIDs(ids)}); got != want.Long[item.Name] {
					t.Errorf("%s: %v, want %v", item.Name, got, want.Long[item.Name])
				}
			}
			for _, block := range g.Sweep {
				if got, want := hashIDs(encodeForm(t, e, sweepText(block.First))), want.Sweep[fmt.Sprint(block.First)]; got != want {
					t.Errorf("ids of the block from U+%04X have hash %s, want %s", block.First, got, want)
				}
			}
		})
	}
}

// everyKind is the alphabet of make-json.mjs: characters of every kind that a
// pattern tells apart.
var everyKind = []rune("aabeestxyzABEMſ'’!.,-/\\#$^`~_[]{}|<>«»—…  \t\r\n\u000b\u0085\u00a0\u2003\u2028\u3000\u200b\u00ad019٣४①½Ⅷ\u0301\u0323\u20dd\u094d龥一\u9fa6ぁゟ\u3040\u309a゠ヿ・ーㇰ中한ñéßøЖдαאع्कก😀👩\u200d✓€©\ue000\U00020000\U0001d7d8\u0000\u001b")

// TestTokenizerJSONDrawn: the ids of 4,000 drawn texts for each form.
func TestTokenizerJSONDrawn(t *testing.T) {
	t.Parallel()
	state := uint32(12345)
	draw := func(n int) int {
		state = state*1664525 + 1013904223
		return int(state>>16) % n
	}
	var texts []string
	for range 4000 {
		var b strings.Builder
		for range 1 + draw(24) {
			c, times := string(everyKind[draw(len(everyKind))]), 1
			if draw(4) == 0 {
				times = 1 + draw(4)
			}
			b.WriteString(strings.Repeat(c, times))
		}
		texts = append(texts, b.String())
	}
	for form, want := range readGoldenJSON(t) {
		e := loadForm(t, form)
		var ids []int32
		for _, text := range texts {
			ids = append(ids, encodeForm(t, e, text)...)
		}
		if got := hashIDs(ids); got != want.Drawn {
			t.Errorf("%s: ids of the drawn texts have hash %s, want %s", form, got, want.Drawn)
		}
	}
}

// sweepText leaves out what is unassigned in Unicode 15.0: the library's tables
// are 16.0.
func sweepText(first rune) string {
	var text strings.Builder
	for c := first; c < first+4096; c++ {
		if unicode.In(c, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co) {
			fmt.Fprintf(&text, "a%[1]cB%[1]c%[1]cc1%[1]c2 %[1]c\n", c)
		}
	}
	return text.String()
}

// TestTokenizerJSONLaterUnicode records the limit that the package comment
// states: what became a letter or digit after Unicode 15.0 is one to the library.
func TestTokenizerJSONLaterUnicode(t *testing.T) {
	t.Parallel()
	want := readGoldenJSON(t)["qwen"].Later
	e := loadForm(t, "qwen")
	var differ []string
	for _, item := range readGolden(t).Later {
		if !slices.Equal(encodeForm(t, e, item.Text), want[item.Name]) {
			differ = append(differ, item.Name)
		}
	}
	if got := strings.Join(differ, " "); got != "garay" {
		t.Errorf("the ids differ for %s: correct the remarks on Unicode in this package", got)
	}
}

// TestWholePieces: a token that merging does not make is used under
// ignore_merges and not without.
func TestWholePieces(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"llama3", "gpt2"} {
		e := loadForm(t, form)
		ids := encodeForm(t, e, " ferry")
		if whole := len(ids) == 1; whole != (form == "llama3") {
			t.Errorf("%s: %d ids", form, len(ids))
		}
	}
}

func TestTokenizerJSONSpecial(t *testing.T) {
	t.Parallel()
	for _, form := range forms {
		e := loadForm(t, form)
		if e.Name() != form {
			t.Errorf("the name of %s.json is %s", form, e.Name())
		}
		for _, text := range []string{"<|endoftext|>", "<think>"} {
			id, ok := e.Special(text)
			if !ok {
				if form == "gpt2" && text == "<think>" {
					continue // it has the one special token of its vocabulary
				}
				t.Fatalf("%s: %s is not known", form, text)
			}
			if got := string(e.Decode([]int32{id})); got != text {
				t.Errorf("%s: id %d decodes to %q, want %q", form, id, got, text)
			}
			if ids := encodeForm(t, e, "a"+text+text); slices.Contains(ids, id) {
				t.Errorf("%s: text becomes the special token %s", form, text)
			}
		}
		top, _ := e.Special("<|im|>")
		if form == "gpt2" {
			top, _ = e.Special("<|endoftext|>")
		}
		if e.VocabSize() != int(top)+1 {
			t.Errorf("%s: width %d, the last added token is %d", form, e.VocabSize(), top)
		}
		encodeForm(t, e, "raw \xff\xfe bytes \xe4\xb8 e\u0301\xcc")
	}
}

// edit loads a form with one change to its JSON.
func edit(t *testing.T, form string, change func(doc map[string]any)) (*Encoding, error) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "json", form+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc)
	if data, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "edited.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadTokenizerJSON(path)
}

// TestTokenizerJSONHash: what decides ids is in the hash, the rest is not.
func TestTokenizerJSONHash(t *testing.T) {
	t.Parallel()
	base := loadForm(t, "qwen").SHA256()
	model := func(doc map[string]any) map[string]any { return doc["model"].(map[string]any) }
	for _, tt := range []struct {
		name   string
		change func(doc map[string]any)
		same   bool
	}{
		{"nothing", func(map[string]any) {}, true},
		{"merges as lists", func(doc map[string]any) {
			var lists []any
			for _, m := range model(doc)["merges"].([]any) {
				left, right, _ := strings.Cut(m.(string), " ")
				lists = append(lists, []string{left, right})
			}
			model(doc)["merges"] = lists
		}, true},
		{"header of a merges.txt", func(doc map[string]any) {
			model(doc)["merges"] = append([]any{"#version: 0.2"}, model(doc)["merges"].([]any)...)
		}, true},
		{"no added tokens", func(doc map[string]any) { doc["added_tokens"] = nil; doc["post_processor"] = nil }, true},
		{"truncation", func(doc map[string]any) { doc["truncation"] = map[string]any{"max_length": 8} }, true},
		{"normalizer in a sequence", func(doc map[string]any) {
			doc["normalizer"] = map[string]any{"type": "Sequence", "normalizers": []any{doc["normalizer"]}}
		}, true},
		{"no normalizer", func(doc map[string]any) { doc["normalizer"] = nil }, false},
		{"ignore_merges", func(doc map[string]any) { model(doc)["ignore_merges"] = true }, false},
		{"one merge less", func(doc map[string]any) { m := model(doc)["merges"].([]any); model(doc)["merges"] = m[:len(m)-1] }, false},
		{"two merges exchanged", func(doc map[string]any) { m := model(doc)["merges"].([]any); m[0], m[1] = m[1], m[0] }, false},
		{"one token more", func(doc map[string]any) { model(doc)["vocab"].(map[string]any)["zzzzz"] = 99999 }, false},
		{"use_regex", func(doc map[string]any) { part(doc, 1)["use_regex"] = true }, false},
		{"other pattern", func(doc map[string]any) { part(doc, 0)["pattern"] = map[string]any{"Regex": `\s+|\S+`} }, false},
	} {
		e, err := edit(t, "qwen", tt.change)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if same := e.SHA256() == base; same != tt.same {
			t.Errorf("%s: the hash is the same: %t, want %t", tt.name, same, tt.same)
		}
	}
}

// part is a member of the pre-tokenizer's sequence.
func part(doc map[string]any, i int) map[string]any {
	return doc["pre_tokenizer"].(map[string]any)["pretokenizers"].([]any)[i].(map[string]any)
}

// TestTokenizerJSONHashFormat computes the documented hash of a small file by
// hand.
func TestTokenizerJSONHashFormat(t *testing.T) {
	t.Parallel()
	e, err := edit(t, "stages", func(doc map[string]any) {
		doc["model"].(map[string]any)["merges"] = []string{"t h", "Ġ t"}
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := "byte-level BPE with merges, 1\n"
	for id := range e.VocabSize() {
		if piece, ok := e.Token(int32(id)); ok && id < len(e.table.pieces) {
			lines += base64.StdEncoding.EncodeToString(piece) + fmt.Sprintf(" %d\n", id)
		}
	}
	id := func(piece string) int { return slices.Index(e.table.pieces, piece) }
	lines += fmt.Sprintf("%d %d\n%d %d\nignore_merges false\nnormalizer NFC\n", id("t"), id("h"), id(" "), id("t"))
	for _, p := range []string{`(?i:[ms]s?+|'k)|[\-x]\d{1,2}+|[^\D1-3]|(?<=e)\P{Ll}(?=.)`, gpt2Pattern} {
		lines += "split " + base64.StdEncoding.EncodeToString([]byte(p)) + "\n"
	}
	sum := sha256.Sum256([]byte(lines))
	if want := hex.EncodeToString(sum[:]); e.SHA256() != want {
		t.Errorf("hash %s, want %s", e.SHA256(), want)
	}
}

func TestTokenizerJSONRefuses(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	model := func(field string, value any) func(object) {
		return func(doc object) { doc["model"].(object)[field] = value }
	}
	vocab := func(token string, id any) func(object) {
		return func(doc object) { doc["model"].(object)["vocab"].(object)[token] = id }
	}
	merge := func(m any) func(object) {
		return func(doc object) { doc["model"].(object)["merges"] = []any{m} }
	}
	top := func(field string, value any) func(object) { return func(doc object) { doc[field] = value } }
	piece := func(i int, field string, value any) func(object) {
		return func(doc object) { part(doc, i)[field] = value }
	}
	regex := func(pattern string) func(object) { return piece(0, "pattern", object{"Regex": pattern}) }
	addedToken := func(field string, value any) func(object) {
		return func(doc object) { doc["added_tokens"].([]any)[0].(object)[field] = value }
	}
	splits := func(kinds ...any) func(object) {
		return func(doc object) { doc["pre_tokenizer"].(object)["pretokenizers"] = kinds }
	}
	byteLevel := object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}
	oneSplit := object{"type": "Split", "pattern": object{"Regex": "a"}, "behavior": "Isolated", "invert": false}
	deep := any("x")
	for range 40 {
		deep = []any{deep}
	}
	for _, tt := range []struct {
		name   string
		change func(doc object)
		want   string
	}{
		{"Unigram", top("model", object{"type": "Unigram", "unk_id": 0, "vocab": []any{[]any{"a", -1.5}}}), "the model Unigram is not taken"},
		{"WordPiece", top("model", object{"type": "WordPiece", "vocab": object{}}), "the model WordPiece is not taken"},
		{"no model", top("model", nil), "no model"},
		{"byte fallback", model("byte_fallback", true), "byte_fallback"},
		{"dropout", model("dropout", 0.1), "dropout 0.1"},
		{"prefix", model("continuing_subword_prefix", "##"), "continuing_subword_prefix"},
		{"suffix", model("end_of_word_suffix", "</w>"), "end_of_word_suffix"},
		{"unknown field of the model", model("surprise", 1), "surprise"},
		{"unknown field", top("surprise", 1), "surprise"},
		{"depth", top("truncation", deep), "nested deeper than 32"},
		{"missing byte", func(doc object) { delete(doc["model"].(object)["vocab"].(object), "A") }, "0x41"},
		{"not byte-level", vocab("▁the", 99999), "not byte-level"},
		{"empty token", vocab("", 99999), "0 bytes"},
		{"long token", vocab(strings.Repeat("a", 1025), 99999), "1025 bytes"},
		{"huge id", vocab("zzzzz", 1<<20), "from 0 to 1048575"},
		{"negative id", vocab("zzzzz", -1), "from 0 to 1048575"},
		{"broken id", vocab("zzzzz", 1.5), "from 0 to 1048575"},
		{"id of text", vocab("zzzzz", "7"), "from 0 to 1048575"},
		{"id twice", vocab("zzzzz", 70), "occurs twice"},
		{"merge of three", merge("a b c"), "no pair"},
		{"merge of one", merge([]string{"a"}), "no pair"},
		{"merge of nothing", merge(" a"), "no pair"},
		{"merge of numbers", merge([]int{1, 2}), "cannot unmarshal"},
		{"merge outside the vocabulary", merge("þ þ"), `"þþ" is not in the vocabulary`},
		{"merge to a special token", func(doc object) {
			vocab("<|endoftext|>", doc["added_tokens"].([]any)[0].(object)["id"])(doc)
			vocab("<|endoftext|", 99999)(doc)
			merge("<|endoftext| >")(doc)
		}, "is a special token"},
		{"normalizer", top("normalizer", object{"type": "NFKC"}), "the normalizer NFKC is not taken"},
		{"normalizer in a sequence", top("normalizer", object{"type": "Sequence", "normalizers": []any{object{"type": "Lowercase"}}}), "Lowercase"},
		{"normalizer without type", top("normalizer", object{}), "no type"},
		{"normalizer of another kind", top("normalizer", 7), "normalizer"},
		{"huge normalizer", top("normalizer", object{"type": "NFC", "x": strings.Repeat("x", maxPart)}), "at most 65536"},
		{"no pre-tokenizer", top("pre_tokenizer", nil), "no pre-tokenizer"},
		{"Metaspace", top("pre_tokenizer", object{"type": "Metaspace"}), "the pre-tokenizer Metaspace is not taken"},
		{"prefix space", piece(1, "add_prefix_space", true), "add_prefix_space"},
		{"prefix space by default", func(doc object) { delete(part(doc, 1), "add_prefix_space") }, "add_prefix_space"},
		{"many Splits", splits(append(slices.Repeat([]any{oneSplit}, 9), byteLevel)...), "more than 8 Splits"},
		{"Split at the end", splits(byteLevel, oneSplit), "the pre-tokenizer ByteLevel is not taken"},
		{"no ByteLevel", splits(oneSplit), "the pre-tokenizer Split is not taken"},
		{"Digits", splits(object{"type": "Digits", "individual_digits": true}, byteLevel), "Digits"},
		{"behavior", piece(0, "behavior", "Removed"), `behavior "Removed"`},
		{"invert", piece(0, "invert", true), "inverted"},
		{"plain string", piece(0, "pattern", object{"String": " "}), "plain string"},
		{"unknown field of a part", piece(0, "surprise", true), "surprise"},
		{"pattern", regex(`a\b`), `the escape \b is not taken`},
		{"long pattern", regex(strings.Repeat("a", 5000)), "5000 bytes"},
		{"decoder", top("decoder", object{"type": "WordPiece"}), "the decoder WordPiece"},
		{"added token without text", addedToken("content", ""), "0 bytes"},
		{"added token with a huge id", addedToken("id", 1<<40), "0 to 1048575"},
		{"added token with the id of another", addedToken("id", 5), "share id 5"},
		{"added token with an id of its own", func(doc object) { vocab("<|endoftext|>", 99999)(doc) }, "the vocabulary gives it 99999"},
		{"added token twice", func(doc object) {
			tokens := doc["added_tokens"].([]any)
			tokens[1].(object)["content"] = tokens[0].(object)["content"]
		}, "occurs twice"},
		{"added tokens with one id", func(doc object) {
			tokens := doc["added_tokens"].([]any)
			tokens[1].(object)["id"] = tokens[0].(object)["id"]
		}, "share id"},
		{"added blanks", func(doc object) { addedToken("content", "    ")(doc); addedToken("special", false)(doc) }, "white space"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := edit(t, "qwen", tt.change); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "edited.json") {
				t.Errorf("error %v, want one with %q and the file's name", err, tt.want)
			}
		})
	}
	for name, data := range map[string]string{
		"empty":         ``,
		"no object":     `[]`,
		"cut off":       `{"model":{"type":"BPE","vocab":{"a":`,
		"followed":      `{} {}`,
		"token twice":   `{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":{"a":1,"a":2},"merges":[]}}`,
		"vocab a list":  `{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":[],"merges":[]}}`,
		"half a string": `{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":{"\ud800":1},"merges":[]}}`,
	} {
		if _, err := parseTokenizerJSON("bad", []byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	big := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxTokenizerFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTokenizerJSON(big); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large a file: error %v", err)
	}
}

// TestMergesAgreeWithRanks: cl100k written as a tokenizer.json gives cl100k's
// ids, though its merges are found by pairs of ids.
func TestMergesAgreeWithRanks(t *testing.T) {
	t.Parallel()
	builtin := get(t, "cl100k")
	e, err := parseTokenizerJSON("copy", asTokenizerJSON(t, builtin))
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range readGolden(t).Texts {
		if got, want := encode(t, e, item.Text), encode(t, builtin, item.Text); !slices.Equal(got, want) {
			t.Errorf("%s: ids of %q\n got %v\nwant %v", item.Name, clip(item.Text), got, want)
		}
	}
	for _, item := range readGolden(t).Long {
		ids := encode(t, e, strings.Repeat(item.Unit, item.Times))
		if got := (goldenRun{len(ids), hashIDs(ids)}); got != item.CL100K {
			t.Errorf("%s: %v, want %v", item.Name, got, item.CL100K)
		}
	}
}

// asTokenizerJSON writes a rank table in the other form: the merge that makes a
// token joins the two parts that are left when merging stops before its rank.
func asTokenizerJSON(t testing.TB, e *Encoding) []byte {
	t.Helper()
	symbols := make([]string, 256)
	for r := range rune(0x200) {
		if b := byteOf(r); b >= 0 {
			symbols[b] = string(r)
		}
	}
	write := func(piece string) string {
		var s strings.Builder
		for i := range len(piece) {
			s.WriteString(symbols[piece[i]])
		}
		return s.String()
	}
	vocab := map[string]int{}
	merges := [][2]string{}
	for rank, piece := range e.table.pieces {
		vocab[write(piece)] = rank
		if len(piece) == 1 {
			continue
		}
		parts := strings.Split(piece, "")[:0]
		for i := range len(piece) {
			parts = append(parts, piece[i:i+1])
		}
		for len(parts) > 2 {
			best := 0
			for i := range len(parts) - 1 {
				if e.table.rank(parts[i]+parts[i+1]) < e.table.rank(parts[best]+parts[best+1]) {
					best = i
				}
			}
			parts = slices.Replace(parts, best, best+2, parts[best]+parts[best+1])
		}
		merges = append(merges, [2]string{write(parts[0]), write(parts[1])})
	}
	data, err := json.Marshal(map[string]any{
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]string{"Regex": cl100kPattern}, "behavior": "Isolated", "invert": false},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}},
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestByteTable(t *testing.T) {
	t.Parallel()
	seen := map[int]rune{}
	for r := range rune(0x300) {
		if b := byteOf(r); b >= 0 {
			if other, twice := seen[b]; twice {
				t.Errorf("byte %#x is both %q and %q", b, other, r)
			}
			seen[b] = r
		}
	}
	if len(seen) != 256 {
		t.Errorf("%d bytes have a character", len(seen))
	}
	for b, want := range map[int]rune{0: 'Ā', '\n': 'Ċ', ' ': 'Ġ', '!': '!', 0x7f: 'ġ', 0xad: 'Ń', 0xff: 'ÿ'} {
		if seen[b] != want {
			t.Errorf("byte %#x is %q, want %q", b, seen[b], want)
		}
	}
}

// FuzzTokenizerJSON starts from files with the 256 bytes and a merge or two: the
// trained ones are too large to be mutated at speed.
func FuzzTokenizerJSON(f *testing.F) {
	small := func(change func(doc, model map[string]any)) {
		vocab := map[string]int{"th": 256, "Ġth": 257}
		for r := range rune(0x200) {
			if b := byteOf(r); b >= 0 {
				vocab[string(r)] = b
			}
		}
		model := map[string]any{"type": "BPE", "vocab": vocab, "merges": []any{"t h", []string{"Ġ", "th"}}}
		doc := map[string]any{"model": model, "pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false}}
		change(doc, model)
		data, err := json.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	small(func(_, _ map[string]any) {})
	small(func(doc, model map[string]any) {
		model["ignore_merges"] = true
		doc["normalizer"] = map[string]any{"type": "NFC"}
		doc["added_tokens"] = []addedToken{{ID: 300, Content: "<|end|>", Special: true}}
		doc["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]string{"Regex": `[\p{Lu}&&[^\p{Han}]]++|(?i:'s)|\S{1,3}`}, "behavior": "Isolated"},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}}
	})
	f.Add([]byte(`{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Sequence","pretokenizers":[]}]}}`))
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":["a a",["a","a"]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseTokenizerJSON("fuzz", data)
		if err != nil {
			return
		}
		for _, text := range []string{"Any text at all, 'tis 100 % \xff bytes. e\u0301", strings.Repeat("aA1 ", 50)} {
			if ids, err := e.Encode(text); err == nil && !e.nfc && string(e.Decode(ids)) != text {
				t.Fatalf("%q decodes to %q", text, e.Decode(ids))
			}
		}
	})
}
