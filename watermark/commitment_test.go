package watermark

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCommitment(t *testing.T) {
	t.Parallel()
	master := testKey(t, plainSpec)
	labels := []string{"a", "b", "c", "d", "e", "f"}
	c, err := master.Commit(labels...)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Leaves) != 7 || c.Leaves[0].KeyID != master.ID {
		t.Fatalf("leaves %+v", c.Leaves)
	}
	if got := rfc6962(t, c.Leaves); hex.EncodeToString(got) != c.Root {
		t.Errorf("root %s; RFC 6962 says %x", c.Root, got)
	}
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if c, err = ParseCommitment(data); err != nil {
		t.Fatal(err)
	}
	keys := []*Key{master}
	for _, label := range labels {
		d, err := master.Derive(label, master.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, d)
	}
	for i, k := range keys {
		if err := c.Check(k); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
		d, err := c.Disclose(k)
		if err != nil {
			t.Fatal(err)
		}
		data, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenDisclosure(data)
		if err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
		if opened.ID != k.ID || opened.Spec != k.Spec || opened.Kind != KindSubkey || d.Proof.Root != c.Root {
			t.Errorf("leaf %d: opened %+v", i, opened)
		}
		if strings.Contains(string(data), hex.EncodeToString(master.secret.reveal())) ||
			strings.Contains(string(data), hex.EncodeToString(master.salt.reveal())) {
			t.Error("the disclosure shows the master's secret or salt")
		}
		a, _ := k.Mark()
		b, err := opened.Mark()
		if err != nil || a.Score([]int32{1, 2}, 3) != b.Score([]int32{1, 2}, 3) {
			t.Errorf("leaf %d: the disclosed key scores otherwise (%v)", i, err)
		}
		if err := c.Check(opened); err != nil {
			t.Errorf("leaf %d: the disclosed key opens no leaf: %v", i, err)
		}
	}

	stranger, err := master.Derive("g", master.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if c.Check(stranger) == nil {
		t.Error("a label that was not committed to opens a leaf")
	}
	other := plainSpec
	other.Params.Window = 3
	if c.Check(testKey(t, other)) == nil {
		t.Error("the same master under another window opens a leaf")
	}
	if _, err := NewCommitment(); err == nil {
		t.Error("nothing was committed to")
	}
	if _, err := NewCommitment(master, keys[1], master); err == nil {
		t.Error("one key was committed to twice")
	}
}

// rfc6962 is section 2.1 of the RFC, written out.
func rfc6962(t *testing.T, leaves []CommitmentLeaf) []byte {
	t.Helper()
	if len(leaves) == 1 {
		h, err := hex.DecodeString(leaves[0].Leaf)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	h := sha256.New()
	h.Write([]byte{1})
	h.Write(rfc6962(t, leaves[:k]))
	h.Write(rfc6962(t, leaves[k:]))
	return h.Sum(nil)
}

// TestLeafDefinition pins the leaf of the key whose master and salt are 0 … 63.
func TestLeafDefinition(t *testing.T) {
	t.Parallel()
	k := testKey(t, plainSpec)
	spec, err := json.Marshal(k.Spec)
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte{0}, "stillmark key commitment v1\n"...)
	data = append(data, k.subsalt()...)
	data = append(data, byte(len(spec)), byte(len(spec)>>8))
	data = append(data, spec...)
	data = append(data, k.subkey()...)
	leaf := sha256.Sum256(data)
	if got := k.leaf(); got != leaf {
		t.Errorf("leaf %x, want %x", got, leaf)
	}
	if k.ID != hex.EncodeToString(leaf[:8]) {
		t.Errorf("id %s", k.ID)
	}
	// Frozen: a change here makes every commitment ever timestamped worthless.
	if k.ID != frozenID {
		t.Errorf("id %s, frozen as %s", k.ID, frozenID)
	}
}

const frozenID = "0d2594c9fe3e8a62"

func TestCommitmentRefuses(t *testing.T) {
	t.Parallel()
	master := testKey(t, plainSpec)
	c, err := master.Commit("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	good, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Disclose(master)
	if err != nil {
		t.Fatal(err)
	}
	disclosure, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	flip := func(data []byte, at int) []byte {
		out := append([]byte(nil), data...)
		if out[at] == '0' {
			out[at] = '1'
		} else {
			out[at] = '0'
		}
		return out
	}
	if _, err := ParseCommitment(good); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDisclosure(disclosure); err != nil {
		t.Fatal(err)
	}
	for at := range good {
		changed, err := ParseCommitment(flip(good, at))
		switch {
		case err != nil:
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("byte %d: %v", at, err)
			}
		case changed.Leaves[0].Spec != c.Leaves[0].Spec:
			// A leaf hides its spec until a key opens it.
			if changed.Check(master) == nil {
				t.Errorf("byte %d of the commitment changed a spec and the key still opens it", at)
			}
		case changed.Leaves[1].Spec == c.Leaves[1].Spec && changed.Leaves[2].Spec == c.Leaves[2].Spec:
			t.Errorf("byte %d (%q) of the commitment changed unnoticed", at, good[at])
		}
	}
	for at := range disclosure {
		if string(disclosure[at]) == "\n" || disclosure[at] == ' ' {
			continue // becomes a digit: malformed anyway, or a longer number
		}
		if _, err := OpenDisclosure(flip(disclosure, at)); err == nil {
			t.Errorf("byte %d (%q) of the disclosure changed and it still opens", at, disclosure[at])
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func TestDisclosureOfImportedKey(t *testing.T) {
	t.Parallel()
	k, err := NewImportedKey(Spec{Scheme: KGW, PRF: Philox, Tokenizer: "x", Vocab: 9}, 1<<63, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	data, err := k.Disclose().Encode()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenDisclosure(data)
	if err != nil || opened.Kind != KindImported || opened.ID != k.ID {
		t.Errorf("%v: %+v", err, opened)
	}
}

// BenchmarkCommit is the commitment of 1,000 accounts.
func BenchmarkCommit(b *testing.B) {
	master := testKey(b, plainSpec)
	labels := make([]string, 1000)
	for i := range labels {
		labels[i] = fmt.Sprint("account ", i)
	}
	for b.Loop() {
		if _, err := master.Commit(labels...); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzOpenDisclosure(f *testing.F) {
	master := testKey(f, plainSpec)
	c, err := master.Commit("a")
	if err != nil {
		f.Fatal(err)
	}
	d, err := c.Disclose(master)
	if err != nil {
		f.Fatal(err)
	}
	for _, d := range []Disclosure{d, master.Disclose()} {
		data, err := d.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := OpenDisclosure(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if _, err := k.Mark(); err != nil {
			t.Errorf("a disclosed key does not mark: %v", err)
		}
	})
}

func FuzzParseCommitment(f *testing.F) {
	c, err := testKey(f, plainSpec).Commit("a", "b")
	if err != nil {
		f.Fatal(err)
	}
	data, err := c.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	if err := c.Bind(committedList(testKey(f, plainSpec), 1), committedList(testKey(f, plainSpec), 2)); err != nil {
		f.Fatal(err)
	}
	if data, err = c.Encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCommitment(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if _, err := c.Encode(); err != nil || len(c.Leaves) == 0 {
			t.Errorf("accepted %d leaves: %v", len(c.Leaves), err)
		}
	})
}

func committedList(k *Key, run int) CommittedList {
	return CommittedList{
		KeyID: k.ID, Family: "E4", Suite: "canary-en", Version: "1.0", SHA256: strings.Repeat("ab", 32), Seed: 1, Run: run,
		Options: []json.RawMessage{json.RawMessage(`{"candidates":10}`)}, Items: []string{k.CommitItem([]byte("what is asked")), k.CommitItem([]byte("more"))},
	}
}

// Lists are kept as they were bound, in one order whatever was bound first, and what
// contradicts itself is refused.
func TestCommittedLists(t *testing.T) {
	t.Parallel()
	k := testKey(t, plainSpec)
	encode := func(lists ...CommittedList) []byte {
		c, err := k.Commit("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Bind(lists...); err != nil {
			t.Fatal(err)
		}
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one, two := committedList(k, 1), committedList(k, 2)
	data := encode(one, two)
	if string(data) != string(encode(two, one)) {
		t.Error("the order of binding shows")
	}
	c, err := ParseCommitment(data)
	if err != nil || c.Format != 2 || len(c.Lists) != 2 || c.Check(k) != nil || c.Lists[1].Run != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	if bare, err := ParseCommitment(encode()); err != nil || bare.Format != 1 || bare.Root != c.Root {
		t.Errorf("without lists: %+v, %v", bare, err)
	}
	for name, change := range map[string]func(*CommittedList){
		"a key that is not committed to": func(l *CommittedList) { l.KeyID = "0123456789abcdef" },
		"no run":                         func(l *CommittedList) { l.Run = 0 },
		"no items":                       func(l *CommittedList) { l.Items = nil },
		"no family":                      func(l *CommittedList) { l.Family = "" },
		"no hash":                        func(l *CommittedList) { l.Items = []string{"what is asked"} },
		"one use twice":                  func(l *CommittedList) { l.Run = 2 },
	} {
		l := committedList(k, 1)
		change(&l)
		c, err := ParseCommitment(data)
		if err != nil {
			t.Fatal(err)
		}
		if c.Lists = c.Lists[1:]; c.Bind(l) == nil {
			t.Errorf("%s is bound", name)
		}
		c.Lists = append(c.Lists, l)
		if forged, err := c.Encode(); err != nil {
			t.Fatal(err)
		} else if _, err := ParseCommitment(forged); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s is read: %v", name, err)
		}
	}
}

// TestCommitItemDefinition pins what is said of an item, by its definition and for good:
// a change here makes every list ever timestamped worthless.
func TestCommitItemDefinition(t *testing.T) {
	t.Parallel()
	k := testKey(t, plainSpec)
	secret, err := hkdf.Key(sha256.New, k.subsalt(), nil, "\x0e\x00committed item", 32)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("what is asked"))
	want := hex.EncodeToString(mac.Sum(nil))
	if got := k.CommitItem([]byte("what is asked")); got != want || got != frozenItem {
		t.Errorf("%s, by definition %s, frozen as %s", got, want, frozenItem)
	}
	derived, err := k.Derive("a", k.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if derived.CommitItem([]byte("what is asked")) == want {
		t.Error("two subkeys say the same of an item")
	}
}

const frozenItem = "5e59a2cb9c9d7307a34e27dc06a137f8b15f324c45a97777f9395236cb829f25"
