package tokens

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tinyPattern belongs to testdata/tiny.tiktoken.
const tinyPattern = `'(?:s|t|re|ve|ll|d|m)| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+`

func TestLoadTiktoken(t *testing.T) {
	t.Parallel()
	e, err := LoadTiktoken("testdata/tiny.tiktoken", tinyPattern)
	if err != nil {
		t.Fatal(err)
	}
	if e.Name() != "tiny" || e.VocabSize() != 2048 {
		t.Errorf("%s with %d ids, want tiny with 2048", e.Name(), e.VocabSize())
	}
	// Ids stated by the model's trainers and given by llama.cpp for the same vocabulary.
	want := []int32{644, 560, 597, 574, 279, 260, 1475, 338, 1308, 1095, 287, 32}
	if got := encode(t, e, "The first book of the series was published in "); !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	lib := library(t, e, tinyPattern)
	for _, item := range readGolden(t).Texts {
		agree(t, e, lib, item.Text)
	}
	encode(t, e, "raw \xff\xfe bytes \xe4\xb8")
}

// TestLoadTiktokenKnownPattern: a file with a published pattern gets the fast
// splitter and gives the built-in encoding's ids and hash.
func TestLoadTiktokenKnownPattern(t *testing.T) {
	t.Parallel()
	builtin := get(t, "cl100k")
	var file strings.Builder
	for rank, piece := range builtin.table.pieces {
		fmt.Fprintf(&file, "%s %d\n", base64.StdEncoding.EncodeToString([]byte(piece)), rank)
	}
	path := filepath.Join(t.TempDir(), "copy.tiktoken")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := LoadTiktoken(path, cl100kPattern)
	if err != nil {
		t.Fatal(err)
	}
	if e.SHA256() != builtin.SHA256() {
		t.Errorf("hash %s, the same ranks and pattern have %s", e.SHA256(), builtin.SHA256())
	}
	if e.VocabSize() != 100_256 {
		t.Errorf("width %d, want the 100256 ranks without special tokens", e.VocabSize())
	}
	text := "Known patterns don't need a regular expression."
	if got, want := encode(t, e, text), encode(t, builtin, text); !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

func TestLoadTiktokenRefuses(t *testing.T) {
	t.Parallel()
	tiny, err := os.ReadFile("testdata/tiny.tiktoken")
	if err != nil {
		t.Fatal(err)
	}
	ok := string(tiny)
	tests := []struct{ name, file, pattern, want string }{
		{"empty file", "", tinyPattern, "256 of 256 single bytes"},
		{"missing byte", strings.Replace(ok, "QQ== 65\n", "", 1), tinyPattern, "(the first is 0x41)"},
		{"no rank", "AA==\n", tinyPattern, "line 1: want a base64 piece"},
		{"bad base64", ok + "A*== 3000\n", tinyPattern, "line 2049: the piece is not base64"},
		{"loose base64", ok + "QUF= 3000\n", tinyPattern, "not base64"},
		{"empty piece", ok + " 3000\n", tinyPattern, "the piece is empty"},
		{"text rank", ok + "QUFBQUE= x\n", tinyPattern, "not a whole number"},
		{"negative rank", ok + "QUFBQUE= -1\n", tinyPattern, "not a whole number"},
		{"carriage return", strings.ReplaceAll(ok, "\n", "\r\n"), tinyPattern, "line 1: the rank"},
		{"huge rank", ok + "QUFBQUE= 1048576\n", tinyPattern, "above 1048575"},
		{"long piece", ok + strings.Repeat("QUFB", 400) + " 3000\n", tinyPattern, "longer than 1024 bytes"},
		{"piece twice", ok + "AA== 3000\n", tinyPattern, "occurs twice"},
		{"rank twice", ok + "QUFBQUE= 7\n", tinyPattern, "rank 7 occurs twice"},
		{"binary", "\x7fELF\x02\x01", tinyPattern, "line 1"},
		{"empty pattern", ok, "", "pattern is empty"},
		{"possessive pattern", ok, `[a-z]++|\s`, "does not compile"},
		{"intersection", ok, `[a-z&&[^b]]+`, "subtraction"},
		{"long pattern", ok, strings.Repeat("a", maxPattern+1), "has 4097 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "bad.tiktoken")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadTiktoken(path, tt.pattern); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bad.tiktoken") {
				t.Errorf("error %v, want one with %q and the file's name", err, tt.want)
			}
		})
	}
	if _, err := LoadTiktoken(filepath.Join(t.TempDir(), "absent"), tinyPattern); err == nil {
		t.Error("an absent file loads")
	}
	big := filepath.Join(t.TempDir(), "big.tiktoken")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxRankFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTiktoken(big, tinyPattern); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large a file: error %v", err)
	}
}

func TestPatternsThatFailOnText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, pattern, text, want string }{
		{"gap", `[a-z]+`, "ab cd", "matches nothing at byte 2"},
		{"gap at the end", `[a-z]+`, "ab!", "matches nothing at byte 2"},
		{"gap after wide runes", `é+`, "ééx", "matches nothing at byte 4"},
		{"empty match", `x*`, "ab", "empty string at byte 0"},
	} {
		e, err := LoadTiktoken("testdata/tiny.tiktoken", tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := e.Encode(tt.text); err == nil || ids != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ids %v and error %v, want an error with %q", tt.name, ids, err, tt.want)
		}
	}
}

func FuzzParseRanks(f *testing.F) {
	tiny, err := os.ReadFile("testdata/tiny.tiktoken")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tiny)
	f.Add([]byte("AA== 0\nAQ== 1\n"))
	f.Add([]byte("QUFB 1048575\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseRanks(data)
		if err != nil {
			return
		}
		for rank, piece := range table.pieces {
			if piece != "" && table.rank(piece) != int32(rank) {
				t.Fatalf("piece %q has rank %d, stands at %d", piece, table.rank(piece), rank)
			}
		}
		e, err := newEncoding("fuzz", tinyPattern, table, nil)
		if err != nil {
			t.Fatal(err)
		}
		encode(t, e, "Any text at all, 'tis 100 % \xff bytes.")
	})
}
