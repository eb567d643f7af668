package watermark

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"
)

// canaryKey is a canary master from fixed bytes.
func canaryKey(t *testing.T) *Key {
	t.Helper()
	k, err := NewKey(Spec{Scheme: Canary, Model: "nova"}, bytes.NewReader(bytes.Repeat([]byte{7}, masterBytes+saltBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The secret is two expansions of the master, written out here with the library alone.
func TestCanarySecretByHand(t *testing.T) {
	t.Parallel()
	got, err := canaryKey(t).CanarySecret("free-choice")
	if err != nil {
		t.Fatal(err)
	}
	u16 := func(s string) string { return string([]byte{byte(len(s)), 0}) + s }
	info := u16("canary") + u16("canary") + u16("nova") + u16("") + u16("1") + u16("") + "canary"
	subkey, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{7}, 32), nil, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hkdf.Key(sha256.New, subkey, nil, u16("canary use")+u16("free-choice"), 32)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("secret %s, by hand %s", hex.EncodeToString(got), hex.EncodeToString(want))
	}
}

func TestCanaryKeys(t *testing.T) {
	t.Parallel()
	k := canaryKey(t)
	if _, err := k.Mark(); err == nil || !strings.Contains(err.Error(), "marks no text") {
		t.Errorf("a canary key marks text: %v", err)
	}
	d, err := k.Derive("cohort-a", "2026-11")
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Derive("cohort-a", "2026-11")
	if err != nil || again.ID != d.ID {
		t.Errorf("deriving twice gives %s and %s (%v)", d.ID, again.ID, err)
	}
	seen := map[string]string{}
	for name, x := range map[string]*Key{"master": k, "cohort-a": d} {
		for _, use := range []string{"free-choice", "trigger", "nonce"} {
			s, err := x.CanarySecret(use)
			if err != nil {
				t.Fatal(err)
			}
			if other, dup := seen[string(s)]; dup {
				t.Errorf("%s/%s has the secret of %s", name, use, other)
			}
			seen[string(s)] = name + "/" + use
		}
	}
	c, err := NewCommitment(k, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(d); err != nil {
		t.Errorf("a derived canary key does not open its leaf: %v", err)
	}
	path := filepath.Join(t.TempDir(), "k.json")
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := d.CanarySecret("trigger")
	b, err := loaded.CanarySecret("trigger")
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("a saved canary key draws otherwise: %v", err)
	}
}

func TestCanaryRefusals(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]Spec{
		"tokenizer": {Scheme: Canary, Tokenizer: "cl100k"},
		"vocab":     {Scheme: Canary, Vocab: 10},
		"params":    {Scheme: Canary, Params: Params{Window: 2}},
		"prf":       {Scheme: Canary, PRF: AESCTR},
	} {
		if _, err := NewKey(spec, bytes.NewReader(make([]byte, 64))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	text, err := NewKey(Spec{Scheme: Gumbel, Tokenizer: "cl100k", Vocab: 100}, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := text.CanarySecret("trigger"); err == nil {
		t.Error("a watermark key draws canaries")
	}
	if _, err := canaryKey(t).CanarySecret(""); err == nil {
		t.Error("a canary secret without a use")
	}
	if _, err := DecoyKey([32]byte{}, 0, Spec{Scheme: Canary}); err == nil {
		t.Error("a canary spec gives a decoy mark")
	}
}
