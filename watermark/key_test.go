package watermark

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark/prf"
)

// counting is a reader of 0, 1, 2, … for keys that tests can name.
type counting byte

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(*c)
		*c++
	}
	return len(p), nil
}

func testKey(t testing.TB, spec Spec) *Key {
	t.Helper()
	k, err := NewKey(spec, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var plainSpec = Spec{Scheme: Gumbel, Model: "teacher-1", Tokenizer: "cl100k", Vocab: 100_277}

// TestSubkeyVectors checks the derivation against Python's hmac.
func TestSubkeyVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/vectors/aes-ctr-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Subkeys []struct {
			Master, Scheme, Channel, Model, Tokenizer, Epoch, Label string
			NonceKey                                                string `json:"nonce_key"`
			TokenKey                                                string `json:"token_key"`
			PhiloxKey                                               string `json:"philox_key"`
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Subkeys) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Subkeys {
		spec := Spec{
			Scheme: c.Scheme, Channel: c.Channel, Model: c.Model, Tokenizer: c.Tokenizer,
			Epoch: c.Epoch, Label: c.Label, Vocab: 100,
		}
		k := testKey(t, spec) // whose master is the vectors' 0, 1, …, 31
		if got := hex.EncodeToString(k.secret.reveal()); got != c.Master {
			t.Fatalf("master %s", got)
		}
		if got := hex.EncodeToString(k.subkey()); got != c.NonceKey+c.TokenKey {
			t.Errorf("%+v: subkeys %s", spec, got)
		}
		spec.PRF = Philox
		if got := binary.BigEndian.Uint64(testKey(t, spec).subkey()); strconv.FormatUint(got, 10) != c.PhiloxKey {
			t.Errorf("%+v: philox key %d, want %s", spec, got, c.PhiloxKey)
		}
	}
}

// TestKeysAreSeparate: whatever part of the spec enters the derivation changes
// the subkey, and joined names cannot be confused.
func TestKeysAreSeparate(t *testing.T) {
	t.Parallel()
	base := plainSpec.withDefaults()
	seen := map[string]string{}
	for what, change := range map[string]func(*Spec){
		"nothing":              func(*Spec) {},
		"scheme":               func(s *Spec) { s.Scheme = Tournament },
		"channel":              func(s *Spec) { s.Channel = "reasoning" },
		"model":                func(s *Spec) { s.Model = "teacher-2" },
		"tokenizer":            func(s *Spec) { s.Tokenizer = "o200k" },
		"epoch":                func(s *Spec) { s.Epoch = "2" },
		"label":                func(s *Spec) { s.Label = "a" },
		"boundary of 2 fields": func(s *Spec) { s.Model, s.Tokenizer = "teacher-1c", "l100k" },
	} {
		s := base
		change(&s)
		subkey := string(testKey(t, s).subkey())
		if other, ok := seen[subkey]; ok {
			t.Errorf("changing %s and changing %s give one subkey", what, other)
		}
		seen[subkey] = what
	}
}

func TestSaveLoad(t *testing.T) {
	t.Parallel()
	imported, err := NewImportedKey(Spec{Scheme: Gumbel, PRF: Philox, Tokenizer: "cl100k", Vocab: 100}, 42, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spec := plainSpec
	spec.ServingFrom = time.Date(2027, 1, 2, 3, 4, 5, 6, time.FixedZone("CET", 3600))
	spec.Label = `<a href="x">&`
	master := testKey(t, spec)
	derived, err := master.Derive("account 7", "2027-02")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Key{master, derived, imported, testKey(t, Spec{Scheme: KGW, PRF: Philox, Tokenizer: "x", Vocab: 2})} {
		path := filepath.Join(t.TempDir(), "key.json")
		if err := k.Save(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, mode %v", err, info.Mode())
		}
		got, err := LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != k.ID || got.Spec != k.Spec || got.Kind != k.Kind ||
			!bytes.Equal(got.secret.reveal(), k.secret.reveal()) || !bytes.Equal(got.salt.reveal(), k.salt.reveal()) {
			t.Errorf("saved %+v, loaded %+v", k, got)
		}
		before, _ := os.ReadFile(path)
		if err := k.Save(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("saving over a key: %v", err)
		}
		after, _ := os.ReadFile(path)
		if !bytes.Equal(before, after) {
			t.Error("the refused Save changed the file")
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if err := master.Save(filepath.Join(t.TempDir(), "no", "such", "folder")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("saving into a missing folder: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	good, err := testKey(t, plainSpec).encode()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string {
		s := strings.Replace(string(good), old, new, 1)
		if s == string(good) {
			t.Fatalf("the key file does not contain %s", old)
		}
		return s
	}
	for _, c := range []struct {
		what, data string
		mode       fs.FileMode
		want       error
	}{
		{"as it was", string(good), 0o600, nil},
		{"read-only", string(good), 0o400, nil},
		{"other white space", strings.ReplaceAll(string(good), "\n", "\r\n\t"), 0o600, nil},
		{"readable by the group", string(good), 0o640, ErrPermissions},
		{"readable by all", string(good), 0o604, ErrPermissions},
		{"executable", string(good), 0o700, ErrPermissions},
		{"empty", "", 0o600, ErrMalformed},
		{"binary", "\x00\x01\xff", 0o600, ErrMalformed},
		{"too large", strings.Repeat(" ", maxKeyFile) + string(good), 0o600, ErrMalformed},
		{"trailing data", string(good) + "{}", 0o600, ErrMalformed},
		{"unknown member", edit(`"format"`, `"extra": 1, "format"`), 0o600, ErrMalformed},
		{"doubled member", edit(`"format": 1`, `"format": 1, "format": 1`), 0o600, ErrMalformed},
		{"member in capitals", edit(`"kind"`, `"Kind"`), 0o600, ErrMalformed},
		{"later format", edit(`"format": 1`, `"format": 2`), 0o600, ErrMalformed},
		{"another scheme", edit(`"gumbel"`, `"tournament"`), 0o600, ErrMalformed},
		{"another window", edit(`"window": 2`, `"window": 3`), 0o600, ErrMalformed},
		{"another vocabulary", edit(`100277`, `100278`), 0o600, ErrMalformed},
		{"unknown scheme", edit(`"gumbel"`, `"gumble"`), 0o600, ErrMalformed},
		{"kind changed", edit(`"master"`, `"subkey"`), 0o600, ErrMalformed},
		{"one digit of the secret", edit(`"secret": "00`, `"secret": "01`), 0o600, ErrMalformed},
		{"capital hex", edit(`0a0b0c`, `0A0b0c`), 0o600, ErrMalformed},
		{"short secret", edit(`"secret": "00`, `"secret": "`), 0o600, ErrMalformed},
	} {
		path := filepath.Join(t.TempDir(), "key.json")
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKey(path)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if err != nil && strings.Contains(err.Error(), "0001020304") {
			t.Errorf("%s: the error shows the secret: %v", c.what, err)
		}
	}
	if _, err := LoadKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := LoadKey(t.TempDir()); err == nil {
		t.Error("a folder was loaded")
	}
}

// TestSecretsDoNotPrint writes keys in every way that programs write values.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	k := testKey(t, plainSpec)
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	secret := k.secret.reveal()
	forms := []string{
		hex.EncodeToString(secret[:4]), strings.ToUpper(hex.EncodeToString(secret[8:12])),
		string(secret[32-8:]), fmt.Sprint(secret[:4])[1:8], "0x0, 0x1, 0x2", `\x00\x01\x02`,
	}
	for _, v := range []any{k, *k, k.secret, &k.secret, k.salt, []Secret{k.secret}, map[string]any{"k": k}, s, struct{ s Secret }{k.secret}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "% x", "%08b"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", v)
		if data, err := json.Marshal(v); err == nil {
			out.Write(data)
		}
		for _, f := range forms {
			if strings.Contains(out.String(), f) {
				t.Errorf("%T shows %q in %s", v, f, out.String())
			}
		}
	}
	if got := fmt.Sprintf("%x", k.secret); got != redacted {
		t.Errorf("%%x prints %q", got)
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	master := testKey(t, plainSpec)
	d, err := master.Derive("account-7", "2027-01")
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind != KindSubkey || d.Label != "account-7" || d.Epoch != "2027-01" || d.ID == master.ID {
		t.Errorf("derived %+v", d)
	}
	if bytes.Contains(d.secret.reveal(), master.secret.reveal()[:8]) || bytes.Contains(d.salt.reveal(), master.salt.reveal()[:8]) {
		t.Error("the derived key holds part of the master")
	}
	if _, err := d.Derive("x", "1"); err == nil {
		t.Error("a subkey derived another")
	}
	if _, err := master.Derive("new\nline", "1"); err == nil {
		t.Error("an unprintable label was derived")
	}
	// The master's own subkey, derived, is the master's: same id, same scores.
	own, err := master.Derive("", master.Epoch)
	if err != nil || own.ID != master.ID {
		t.Fatalf("%v, id %s, want %s", err, own.ID, master.ID)
	}
	a, _ := master.Mark()
	b, _ := own.Mark()
	c, _ := d.Mark()
	same, different := 0, 0
	for id := range int32(100) {
		x := a.Score([]int32{1, 2}, id)
		if x == b.Score([]int32{1, 2}, id) {
			same++
		}
		if x != c.Score([]int32{1, 2}, id) {
			different++
		}
	}
	if same != 100 || different != 100 {
		t.Errorf("%d of 100 scores equal under the own subkey, %d differ under another", same, different)
	}
}

func TestImportedKey(t *testing.T) {
	t.Parallel()
	spec := Spec{Scheme: Gumbel, PRF: Philox, Tokenizer: "cl100k", Vocab: 100, Params: Params{Window: 1}}
	k, err := NewImportedKey(spec, 42, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	raw := prf.NewPhilox(42)
	raw.SetWindow([]int32{1})
	if got, want := s.(*gumbel).word([]int32{1}, 2), raw.Word(2); got != want {
		t.Errorf("word %d, want %d", got, want)
	}
	if _, err := k.Derive("a", "1"); err == nil {
		t.Error("an imported key derived another")
	}
	if _, err := NewImportedKey(plainSpec, 42, rand.Reader); err == nil {
		t.Error("a 64-bit key was imported for aes-ctr-v1")
	}
	if _, err := DecoyKey([32]byte{}, 0, k.Spec); err != nil {
		t.Error(err)
	}
}

func TestNewKeyRefuses(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Spec){
		"no scheme":           func(s *Spec) { s.Scheme = "" },
		"unknown prf":         func(s *Spec) { s.PRF = "md5" },
		"no tokenizer":        func(s *Spec) { s.Tokenizer = "" },
		"bad tokenizer hash":  func(s *Spec) { s.TokenizerSHA256 = "abc" },
		"capital hash":        func(s *Spec) { s.TokenizerSHA256 = strings.Repeat("A", 64) },
		"no vocabulary":       func(s *Spec) { s.Vocab = 0 },
		"vast vocabulary":     func(s *Spec) { s.Vocab = 1 << 30 },
		"negative window":     func(s *Spec) { s.Params.Window = -1 },
		"vast window":         func(s *Spec) { s.Params.Window = 65 },
		"gamma for gumbel":    func(s *Spec) { s.Params.Gamma = .25 },
		"gamma of one":        func(s *Spec) { s.Scheme, s.Params.Gamma = KGW, 1 },
		"negative delta":      func(s *Spec) { s.Scheme, s.Params.Delta = KGW, -1 },
		"unknown repeats":     func(s *Spec) { s.Params.Repeats = "some" },
		"invalid UTF-8":       func(s *Spec) { s.Model = "\xff" },
		"control character":   func(s *Spec) { s.Label = "a\x1b[31m" },
		"long name":           func(s *Spec) { s.Model = strings.Repeat("m", 257) },
		"year beyond RFC3339": func(s *Spec) { s.ServingFrom = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		spec := plainSpec
		change(&spec)
		if k, err := NewKey(spec, new(counting)); err == nil {
			t.Errorf("%s: made %+v", what, k)
		}
	}
	if _, err := NewKey(plainSpec, strings.NewReader("too short")); err == nil {
		t.Error("a key was made from too little randomness")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for scheme, want := range map[string]Params{
		Gumbel:     {Window: 2, Repeats: MaskRepeats},
		Tournament: {Window: 2, Repeats: MaskRepeats},
		KGW:        {Window: 2, Gamma: .25, Delta: 2, Repeats: MarkRepeats},
	} {
		k := testKey(t, Spec{Scheme: scheme, Tokenizer: "x", Vocab: 10})
		if k.Params != want || k.PRF != AESCTR || k.Channel != "text" || k.Epoch != "1" {
			t.Errorf("%s: %+v", scheme, k.Spec)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, spec := range combinations() {
		data, err := testKey(f, spec).encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseKey(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		again, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, data); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := json.Compact(&got, again); err != nil || got.String() != want.String() {
			t.Errorf("accepted %s\nand would write %s", want.String(), got.String())
		}
		if _, err := k.Mark(); err != nil {
			t.Errorf("a loaded key does not mark: %v", err)
		}
	})
}
