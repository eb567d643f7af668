package watermark

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// twoChannels are the native schemes that can have two, under each PRF.
func twoChannels() (all []Spec) {
	for _, spec := range combinations() {
		spec.Params.Tracing = .5
		all = append(all, spec)
	}
	self := Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Window: 3, Seeding: SelfHash, Tracing: .3}}
	return append(all, self.withDefaults())
}

// account derives a tracing key.
func account(t testing.TB, master *Key, name string) *Key {
	t.Helper()
	k, err := master.DeriveAccount(name, master.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// generateBoth is toy.generate under two channels.
func generateBoth(m *toy, p *TwoChannel, n int, r *rand.Rand) []int32 {
	out := make([]int32, 0, n)
	for range n {
		logits := m.logits(out)
		p.Process(out, logits)
		out = append(out, sample(logits, r))
	}
	return out
}

// TestTwoChannels: each key finds its own windows and those only, the channels
// share nothing, no other account is found, and dense and sparse steps agree.
func TestTwoChannels(t *testing.T) {
	t.Parallel()
	for _, spec := range twoChannels() {
		t.Run(name(spec)+spec.Params.Seeding, func(t *testing.T) {
			t.Parallel()
			master := masterKey(t, spec, 3)
			pair, err := master.TwoChannel("account-1")
			if err != nil {
				t.Fatal(err)
			}
			m, r := newToy(spec.Vocab, 2), rand.New(rand.NewPCG(4, 4))
			var texts [][]int32
			for range 6 {
				texts = append(texts, generateBoth(m, pair, 150, r))
			}
			d := map[string]*Detector{
				"provenance": run(t, master, WeightsNone, texts...),
				"account-1":  run(t, account(t, master, "account-1"), WeightsNone, texts...),
				"account-2":  run(t, account(t, master, "account-2"), WeightsNone, texts...),
			}
			p, a, other := d["provenance"].Result(), d["account-1"].Result(), d["account-2"].Result()
			if p.Tail.Log10P > -8 || a.Tail.Log10P > -5 || p.Log10E < 4 || a.Log10E < 2 {
				t.Errorf("provenance log10 p %.1f (%d units), account %.1f (%d)", p.Tail.Log10P, p.N, a.Tail.Log10P, a.N)
			}
			if other.Tail.Log10P < -4 || spec.Params.Seeding == "" && other.N != a.N {
				t.Errorf("another account: log10 p %.1f of %d units, the first has %d", other.Tail.Log10P, other.N, a.N)
			}
			// Every position is one channel's.
			scored := func(d Detection) int64 { return d.N + d.Dropped.Repeat }
			if total := p.Tokens - p.Dropped.Short; scored(p) != a.Dropped.Channel || scored(a) != p.Dropped.Channel || scored(p)+scored(a) != total {
				t.Errorf("provenance %+v, account %+v, %d positions", p.Dropped, a.Dropped, total)
			}
			share := float64(scored(a)) / float64(scored(a)+scored(p))
			if math.Abs(share-spec.Params.Tracing) > .12 { // a window may occur often
				t.Errorf("the tracing channel has a share of %.2f, want %.2f", share, spec.Params.Tracing)
			}
			seen := map[string]bool{}
			for u := range d["provenance"].Pairs {
				seen[fmt.Sprint(u.Window)] = true
			}
			for u := range d["account-1"].Pairs {
				if seen[fmt.Sprint(u.Window)] {
					t.Fatalf("window %v is both channels'", u.Window)
				}
			}
			for name, x := range d {
				j, _, err := x.Decoys(t.Context(), [32]byte{7}, 200, nil)
				if err != nil || !j.Pass || (name != "account-2") != (j.RankP == 1./201) {
					t.Errorf("%s: decoys %+v, %v", name, j, err)
				}
			}
			ids := make([]int32, spec.Vocab)
			for i := range ids {
				ids[i] = int32(i)
			}
			for at := 3; at < 20; at++ {
				dense := m.logits(texts[0][:at])
				sparse := append([]float32(nil), dense...)
				pair.Process(texts[0][:at], dense)
				pair.Clone().ProcessCandidates(texts[0][:at], ids, sparse)
				for i := range dense {
					if math.Abs(float64(dense[i]-sparse[i])) > 1e-4 {
						t.Fatalf("step %d, token %d: dense %v, sparse %v", at, i, dense[i], sparse[i])
					}
				}
			}
			for _, s := range ScoreTokens(pair.tracing, Item{Tokens: texts[0]}) {
				window, ok := pair.tracing.WindowOf(texts[0][:s.Index])
				if ok && (s.Fate == FateChannel) == pair.tracing.(channel).ours(window) {
					t.Fatalf("position %d is %s", s.Index, s.Fate)
				}
			}
		})
	}
}

// TestTwoChannelsNull: over random masters the p-values of both channels on one
// unmarked text are uniform. Route and keys are drawn together.
func TestTwoChannelsNull(t *testing.T) {
	t.Parallel()
	keys := 3000
	if testing.Short() {
		keys = 600
	}
	for _, spec := range twoChannels() {
		for _, channel := range []string{"", "account"} {
			t.Run(name(spec)+spec.Params.Seeding+channel, func(t *testing.T) {
				t.Parallel()
				items := nullText(spec.Vocab)
				coin := rand.New(rand.NewPCG(8, 8))
				p := make([]float64, keys)
				for i := range p {
					k := masterKey(t, spec, uint64(i))
					if channel != "" {
						k = account(t, k, channel)
					}
					s, err := k.Mark()
					if err != nil {
						t.Fatal(err)
					}
					d := NewDetector(s, Options{Weights: WeightsNone})
					for _, it := range items {
						d.Add(it)
					}
					p[i] = d.null.randomised(d.score, d.weight, coin.Float64())
				}
				if stat, ks := evidence.KolmogorovSmirnov(p); !(ks > 1e-3) {
					t.Errorf("KS distance %v, p %v", stat, ks)
				}
				below := 0
				for _, x := range p {
					if x < .01 {
						below++
					}
				}
				if mean, sd := .01*float64(keys), math.Sqrt(.01*.99*float64(keys)); math.Abs(float64(below)-mean) > 4*sd+1 {
					t.Errorf("%d of %d p-values below .01", below, keys)
				}
			})
		}
	}
}

// TestAccountDisclosure: what an account's disclosure shows holds neither the
// provenance key nor another account's, opens nothing of theirs, and says nothing
// about their words.
func TestAccountDisclosure(t *testing.T) {
	t.Parallel()
	for _, spec := range twoChannels() {
		t.Run(name(spec)+spec.Params.Seeding, func(t *testing.T) {
			t.Parallel()
			master := masterKey(t, spec, 5)
			c, err := master.Commit("account-1", "account-2")
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Leaves) != 3 || c.Leaves[1].Spec.Account != "account-1" {
				t.Fatalf("leaves %+v", c.Leaves)
			}
			d, err := c.Disclose(account(t, master, "account-1"))
			if err != nil {
				t.Fatal(err)
			}
			data, err := d.Encode()
			if err != nil {
				t.Fatal(err)
			}
			disclosed, err := OpenDisclosure(data)
			if err != nil {
				t.Fatal(err)
			}
			shown := disclosed.secret.reveal()
			route := shown[len(shown)/2:]
			parts := func(k *Key) (out [][]byte) {
				own := k.subkey()
				own = own[:len(own)/2]
				if k.Spec.PRF == AESCTR {
					return append(out, own[:16], own[16:], k.subsalt())
				}
				return append(out, own, k.subsalt())
			}
			for _, hidden := range []*Key{master, account(t, master, "account-2")} {
				if !bytes.Equal(hidden.subkey()[len(route):], route) {
					t.Error("the channels have different routes")
				}
				for _, part := range parts(hidden) {
					if bytes.Contains(shown, part) || bytes.Contains(data, []byte(hex.EncodeToString(part))) {
						t.Error("the disclosure shows a part of another key")
					}
				}
			}
			for _, part := range [][]byte{master.secret.reveal(), master.salt.reveal()} {
				if bytes.Contains(data, []byte(hex.EncodeToString(part))) {
					t.Error("the disclosure shows the master")
				}
			}
			if _, err := disclosed.DeriveAccount("account-2", "1"); err == nil {
				t.Error("an account derives another")
			}
			if _, err := disclosed.Derive("", "1"); err == nil {
				t.Error("an account derives the provenance key")
			}
			// With another account's name, or none, the disclosed bytes open nothing.
			for _, name := range []string{"account-2", ""} {
				forged := d
				forged.Spec.Account = name
				if bytes, err := forged.Encode(); err != nil {
					t.Fatal(err)
				} else if _, err := OpenDisclosure(bytes); err == nil {
					t.Errorf("the disclosure opens as %q", name)
				}
			}
			// Scores under the disclosed key and under the hidden ones are unrelated.
			a, err := disclosed.Mark()
			if err != nil {
				t.Fatal(err)
			}
			for _, hidden := range []*Key{master, account(t, master, "account-2")} {
				b, err := hidden.Mark()
				if err != nil {
					t.Fatal(err)
				}
				if r := correlation(a, b, 20_000); math.Abs(r) > 5/math.Sqrt(20_000) {
					t.Errorf("scores correlate by %v", r)
				}
			}
		})
	}
}

// correlation is that of two schemes' scores over random units.
func correlation(a, b Scheme, n int) float64 {
	r := rand.New(rand.NewPCG(1, 7))
	window := make([]int32, a.Window())
	var sa, sb, saa, sbb, sab float64
	for range n {
		for i := range window {
			window[i] = r.Int32N(500)
		}
		token := r.Int32N(500)
		x, y := a.Score(window, token), b.Score(window, token)
		sa, sb, saa, sbb, sab = sa+x, sb+y, saa+x*x, sbb+y*y, sab+x*y
	}
	m := float64(n)
	return (sab - sa*sb/m) / math.Sqrt((saa-sa*sa/m)*(sbb-sb*sb/m))
}

// TestChannelSubkeysByHand writes the derivation out with the library alone.
func TestChannelSubkeysByHand(t *testing.T) {
	t.Parallel()
	spec := Spec{Scheme: Gumbel, Model: "nova", Tokenizer: "toy", Vocab: 500, Epoch: "7", Label: "b", Params: Params{Tracing: .5}}
	master := testKey(t, spec) // whose secret is 0, 1, … 31
	u16 := func(s string) string { return string([]byte{byte(len(s)), 0}) + s }
	info := u16("gumbel") + u16("text") + u16("nova") + u16("toy") + u16("7") + u16("b")
	for _, c := range []struct{ key, own string }{{"", info + "provenance "}, {"ann", info + u16("ann") + "tracing "}} {
		var want []byte
		for _, name := range []string{c.own + "nonce", c.own + "token", info + "route nonce", info + "route token"} {
			part, err := hkdf.Key(sha256.New, master.secret.reveal(), nil, name, 16)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, part...)
		}
		k := master
		if c.key != "" {
			k = account(t, master, c.key)
		}
		if !bytes.Equal(k.subkey(), want) {
			t.Errorf("account %q: subkey %x, want %x", c.key, k.subkey(), want)
		}
	}
	// One channel and two share no subkey.
	spec.Params.Tracing = 0
	if one := testKey(t, spec).subkey(); bytes.Equal(one[:16], master.subkey()[:16]) {
		t.Error("the provenance key is the key of one channel")
	}
}

func TestTwoChannelsIdentify(t *testing.T) {
	t.Parallel()
	labels := accounts(300)
	for _, spec := range []Spec{scanSpec(Gumbel), scanSpec(KGW), scanSpec(Tournament)} {
		spec.Params.Tracing = .5
		t.Run(spec.Scheme, func(t *testing.T) {
			t.Parallel()
			master := masterKey(t, spec, 6)
			pair, err := master.TwoChannel("account-00042")
			if err != nil {
				t.Fatal(err)
			}
			m, r := newToy(500, 2), rand.New(rand.NewPCG(9, 9))
			text := generateBoth(m, pair, 600, r)
			d := run(t, account(t, master, labels[0]), WeightsAuto, text)
			id, err := d.Identify(t.Context(), master, "", labels, -3, nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.Identified != 1 || id.Suspects[0].Label != "account-00042" {
				t.Errorf("identification %+v", id)
			}
			own := run(t, account(t, master, "account-00042"), WeightsAuto, text).Result()
			if first := id.Suspects[0]; math.Abs(first.Log10P-own.Tail.Log10P) > 1e-9*-own.Tail.Log10P {
				t.Errorf("suspect %+v, a detector under its key says %v", first, own.Tail.Log10P)
			}
			plain := run(t, account(t, master, labels[0]), WeightsAuto, m.generate(nil, 600, r, nil))
			if none, err := plain.Identify(t.Context(), master, "", labels, -3, nil); err != nil || none.Identified != 0 {
				t.Errorf("unmarked text gives %+v, %v", none, err)
			}
			for _, wrong := range []struct {
				d     *Detector
				epoch string
			}{{run(t, master, WeightsAuto, text), ""}, {d, "2"}} {
				if _, err := wrong.d.Identify(t.Context(), master, wrong.epoch, labels, -3, nil); err == nil || !strings.Contains(err.Error(), "tracing channel") {
					t.Errorf("scored over another channel: %v", err)
				}
			}
		})
	}
}

func TestTwoChannelsRefuse(t *testing.T) {
	t.Parallel()
	good := Spec{Scheme: Gumbel, Tokenizer: "toy", Vocab: 50, Params: Params{Tracing: .5}}
	for want, change := range map[string]func(s *Spec){
		"only keys with two channels":  func(s *Spec) { s.Params.Tracing, s.Account = 0, "a" },
		"1/256 to 255/256":             func(s *Spec) { s.Params.Tracing = 1 },
		"gumbel-dual has one":          func(s *Spec) { s.Scheme = GumbelDual },
		"has none itself":              func(s *Spec) { s.Account = "a" },
		"unprintable":                  func(s *Spec) { s.Account = "a\n" },
		"and nothing of a native":      func(s *Spec) { s.Scheme, s.PRF = "hf-kgw-lefthash", torchCPU },
		"tracing -0.5: a share of win": func(s *Spec) { s.Params.Tracing = -.5 },
	} {
		spec := good
		change(&spec)
		if want == "and nothing of a native" {
			spec.Scheme = "tgi"
			p, err := Import(Spec{Scheme: "tgi", Vocab: 50}, nil, new(counting))
			if err != nil {
				t.Fatal(err)
			}
			spec = p.Spec
			spec.Params.Tracing = .5
			if err := spec.validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			continue
		}
		if _, err := NewKey(spec, new(counting)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	master, other := masterKey(t, good, 1), masterKey(t, good, 2)
	sub, err := master.Derive("", "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTwoChannel(sub, account(t, master, "a")); err != nil {
		t.Errorf("two subkeys of one master: %v", err)
	}
	one := good
	one.Params.Tracing = 0
	if _, err := NewImportedKey(Spec{Scheme: Gumbel, PRF: Philox, Tokenizer: "toy", Vocab: 50, Params: Params{Tracing: .5}}, 1, new(counting)); err == nil {
		t.Error("an imported key has two channels")
	}
	if _, err := masterKey(t, one, 1).DeriveAccount("a", "1"); err == nil {
		t.Error("a key of one channel has accounts")
	}
	if _, err := master.DeriveAccount("", "1"); err == nil {
		t.Error("an account without a name")
	}
	for _, c := range [][2]*Key{
		{master, account(t, other, "a")}, {account(t, master, "a"), master}, {master, master}, {masterKey(t, one, 1), account(t, master, "a")},
	} {
		if _, err := NewTwoChannel(c[0], c[1]); err == nil {
			t.Errorf("%s and %s make a pair", c[0].ID, c[1].ID)
		}
	}
	later, err := master.DeriveAccount("a", "2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTwoChannel(master, later); err == nil {
		t.Error("keys of two epochs make a pair")
	}
}

// TestTwoChannelsPower: each channel takes the tokens that its share leaves it.
func TestTwoChannelsPower(t *testing.T) {
	t.Parallel()
	spec := scanSpec(Gumbel)
	step, err := GeometricStep(3)
	if err != nil {
		t.Fatal(err)
	}
	need := func(tracing float64, account string) Demand {
		s := spec
		s.Params.Tracing, s.Account = tracing, account
		lift, err := ExpectedLift(s, [][]float64{step})
		if err != nil {
			t.Fatal(err)
		}
		d, err := TokensNeeded(s, lift, 0, -6, .9, 1)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	whole, half, quarter, rest := need(0, ""), need(.5, "a"), need(.25, "a"), need(.25, "")
	tokens := func(share float64) int64 { return int64(math.Ceil(float64(whole.Units)/share)) + 2 }
	if half.Units != whole.Units || half.Tokens != tokens(.5) || quarter.Tokens != tokens(.25) || rest.Tokens != tokens(.75) {
		t.Errorf("one channel %+v, half %+v, quarter %+v, rest %+v", whole, half, quarter, rest)
	}
}
