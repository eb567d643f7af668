package model

import (
	"cmp"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

func (b *builder) acquisition() Acquisition {
	items := 0
	for i := range b.plan.Targets {
		items += b.plan.Count(&b.plan.Targets[i])
	}
	a := Acquisition{
		Order: b.text.say("acq.order", "items", b.text.group(int64(items)),
			"seed", strconv.FormatUint(b.plan.OrderSeed, 10)),
		Targets: []Acquired{},
		Matrix:  b.capabilities(),
		Events:  orEmpty(b.rec.noted),
		More:    b.rec.unnoted,
		Params:  ParamsAsSent{Requests: b.rec.requests, Variants: []SentVariant{}},
	}
	if apart := b.apart(); len(apart) > 0 {
		a.Order += " " + b.text.say("acq.apart", "targets", b.text.list(apart))
	}
	for _, t := range b.plan.Targets {
		s := b.rec.targets[t.Name]
		acquired := Acquired{
			Target: t.Name, Role: t.Role, BaseURL: t.BaseURL, Declared: t.Model,
			Models: s.models, Providers: s.providers, Epochs: orEmpty(s.epochs), MoreEpochs: s.stretches - len(s.epochs),
			First: s.first, Last: s.last, Statuses: s.statuses,
			RequestIDs: s.withID, FirstID: s.firstID, LastID: s.lastID, MedianTotalMS: median(s.times),
		}
		if t.Capabilities != nil {
			acquired.TLSCert = t.Capabilities.TLSCertSHA
		}
		a.Targets = append(a.Targets, acquired)
	}
	for _, params := range slices.Sorted(maps.Keys(b.rec.variants)) {
		a.Params.Variants = append(a.Params.Variants, SentVariant{Params: params, Count: b.rec.variants[params]})
	}
	slices.SortStableFunc(a.Params.Variants, func(x, y SentVariant) int { return cmp.Compare(y.Count, x.Count) })
	return a
}

// capabilities lays the sealed capability tests out side by side.
func (b *builder) capabilities() CapMatrix {
	features := map[string]bool{}
	for _, t := range b.plan.Targets {
		if t.Capabilities != nil {
			for name := range t.Capabilities.Support {
				features[name] = true
			}
		}
	}
	m := CapMatrix{Features: orEmpty(slices.Sorted(maps.Keys(features))), Rows: []CapRow{}}
	if len(m.Features) == 0 {
		return m
	}
	for _, t := range b.plan.Targets {
		row := CapRow{Target: t.Name, States: []string{}}
		for _, name := range m.Features {
			state := "not tested"
			if t.Capabilities != nil {
				if s, ok := t.Capabilities.Support[name]; ok {
					state = s.State
				}
			}
			row.States = append(row.States, state)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// planStamp names the plan's timestamp token, "" if there is none.
func (b *builder) planStamp() string {
	const name = "plan.tsr"
	if _, err := fs.Stat(b.c.FS(), name); err != nil {
		return ""
	}
	return name
}

func (b *builder) accounting() []Account {
	accounts := []Account{}
	for _, a := range b.f.Accounting {
		account := Account{
			Target: a.Target, Role: b.roles[a.Target], Planned: a.Planned, Sent: a.Sent,
			Classes: classes(a.Classes), Failed: classes(a.Failed), Missing: a.Missing, Analysed: a.Analysed,
			Usage: a.Usage, Bounds: []Bound{},
		}
		for i := range b.f.Findings {
			f := &b.f.Findings[i]
			if f.Target == a.Target && f.Family == family.Radioactivity && f.Primary && f.N > 0 && f.Replies > 0 {
				account.Bounds = append(account.Bounds, bound(f, b.laws[f.Key], a.Planned-a.Analysed, b.book.Phrase(f.EffectUnit, f)))
			}
			if c := f.Comparison; f.Target == a.Target && c != nil && c.Missing != nil {
				m := c.Missing
				account.Bounds = append(account.Bounds, Bound{
					Test: f.Test, Effect: m.Lead, Unit: f.EffectUnit, Missing: m.Replies, Units: float64(m.Replies),
					NoTrace: m.Alike, Worst: m.Worst, Best: &m.Best,
				})
			}
		}
		accounts = append(accounts, account)
	}
	return accounts
}

// classes lists the counts in the order of the outcomes' names.
func classes(m map[ledger.Outcome]int64) []ClassCount {
	list := []ClassCount{}
	for _, class := range slices.Sorted(maps.Keys(m)) {
		if m[class] != 0 {
			list = append(list, ClassCount{Class: class, Count: m[class]})
		}
	}
	return list
}

// bound says how far the missing items can move an effect, when each would have
// added as many units as an analysed reply did on average.
func bound(f *ledger.Finding, law evidence.Law, missing int64, unit string) Bound {
	b := Bound{Test: f.Test, Effect: f.Effect, Unit: unit, Missing: missing}
	n := float64(f.N)
	b.Units = n / float64(f.Replies) * float64(missing)
	mix := func(effect float64) float64 { return (f.Effect*n + effect*b.Units) / (n + b.Units) }
	// Effects are per unit, for tournament bits per bit.
	low, high := -law.Mean(), 1-law.Mean()
	switch law.Kind {
	case evidence.KindFairBits:
		low, high = -0.5, 0.5
	case evidence.KindExponential:
		high = math.Inf(1)
	}
	b.NoTrace, b.Worst = mix(0), mix(low)
	if !math.IsInf(high, 1) {
		best := mix(high)
		b.Best = &best
	}
	return b
}
