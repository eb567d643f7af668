package monitor

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

func start(t *testing.T, c Config) *Monitor {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func add(t *testing.T, m *Monitor, s Stream, y float64) *Alarm {
	t.Helper()
	a, err := m.Add(s, y, 100, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestMeanIsOne enumerates all courses of 12 replies that score 1 with probability q,
// else 0, which has the largest variance at the border of the null: the mean of the
// e-value is exactly 1.
func TestMeanIsOne(t *testing.T) {
	t.Parallel()
	for _, q := range []float64{.3, .6, .95} {
		const n = 12
		mean := 0.
		for course := range 1 << n {
			m := start(t, Config{Expected: q, Unmarked: .25, Alpha: 1e-300, MinUnits: 1})
			p := 1.
			for i := range n {
				y := float64(course >> i & 1)
				p *= y*q + (1-y)*(1-q)
				add(t, m, Stream{}, y)
			}
			mean += p * math.Pow(10, m.Watches()[0].Log10E())
		}
		if math.Abs(mean-1) > 1e-9 {
			t.Errorf("q = %v: the e-value has mean %.12f", q, mean)
		}
	}
}

// TestFalseAlarms lets lives of three streams run at the border of the null: the
// share with any alarm is at most alpha, and not none.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	const lives, length, alpha, q = 700, 600, .1, .5
	random := rand.New(rand.NewPCG(8, 1))
	for name, draw := range map[string]func() float64{
		"two points": func() float64 {
			if random.Float64() < q {
				return 1
			}
			return 0
		},
		"uniform": random.Float64,
	} {
		alarms := 0
		for range lives {
			m := start(t, Config{Expected: q, Unmarked: .25, Alpha: alpha, MinUnits: 1})
			for i := range length {
				add(t, m, Stream{Region: string(rune('a' + i%3))}, draw())
			}
			if m.Alarmed() {
				alarms++
			}
		}
		rate := float64(alarms) / lives
		if limit := alpha + 3.1*math.Sqrt(alpha*(1-alpha)/lives); rate > limit || alarms == 0 {
			t.Errorf("%s: a false alarm in %.4f of the lives, at most %v allowed (and some expected)", name, rate, limit)
		}
		t.Logf("%s: %.4f", name, rate)
	}
}

// TestWeights sums the weights of the starts.
func TestWeights(t *testing.T) {
	t.Parallel()
	sum := 0.
	for k := 1.; k <= 1e5; k++ {
		if !(weight(k) > 0) {
			t.Fatalf("weight %v", weight(k))
		}
		sum += weight(k)
	}
	if left := 1 / math.Log(1e5+math.E); math.Abs(sum+left-1) > 1e-10 {
		t.Errorf("weights sum to %v with %v to come", sum, left)
	}
}

const alphabet = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ."

// reply samples n tokens of a memoryless model of some 5 bits, under a mark if any.
func reply(mark watermark.Scheme, n int, random *rand.Rand) watermark.Item {
	var out []int32
	ids, logits := make([]int32, len(alphabet)), make([]float32, len(alphabet))
	for range n {
		for i := range alphabet {
			ids[i], logits[i] = int32(alphabet[i]), -float32(i%9)/6
		}
		if mark != nil {
			mark.ProcessCandidates(out, ids, logits)
		}
		total := 0.
		for _, l := range logits {
			total += math.Exp(float64(l))
		}
		u, pick := total*random.Float64(), 0
		for i, l := range logits {
			if math.IsInf(float64(l), -1) {
				continue
			}
			pick = i
			if u -= math.Exp(float64(l)); u < 0 {
				break
			}
		}
		out = append(out, ids[pick])
	}
	return watermark.Item{Tokens: out}
}

func markOf(t *testing.T, scheme string, vocab int, secret byte) watermark.Scheme {
	t.Helper()
	spec := watermark.Spec{Channel: "text", Model: "toy", Tokenizer: "bytes", Epoch: "1", Scheme: scheme, Vocab: vocab}
	var k *watermark.Key
	var err error
	random := bytes.NewReader(bytes.Repeat([]byte{secret}, 256))
	if _, preset := watermark.PresetByName(scheme); preset {
		k, err = watermark.Import(spec, nil, random)
	} else {
		spec.PRF = watermark.AESCTR
		k, err = watermark.NewKey(spec, random)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFaults serves marked replies and then, from reply 201 on, a fault: the alarm
// comes after the fault, and soon; a sound service raises none.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheme string
		fault  func(t *testing.T) watermark.Scheme // what marks after the fault
	}{
		"gumbel sound":        {watermark.Gumbel, nil},
		"kgw sound":           {watermark.KGW, nil},
		"tournament sound":    {watermark.Tournament, nil},
		"gumbel ignored":      {watermark.Gumbel, func(*testing.T) watermark.Scheme { return nil }},
		"dual ignored":        {watermark.GumbelDual, func(*testing.T) watermark.Scheme { return nil }},
		"kgw ignored":         {watermark.KGW, func(*testing.T) watermark.Scheme { return nil }},
		"tournament, key":     {watermark.Tournament, func(t *testing.T) watermark.Scheme { return markOf(t, watermark.Tournament, 256, 9) }},
		"gumbel, key":         {watermark.Gumbel, func(t *testing.T) watermark.Scheme { return markOf(t, watermark.Gumbel, 256, 9) }},
		"green list, width":   {"hf-kgw-lefthash", func(t *testing.T) watermark.Scheme { return markOf(t, "hf-kgw-lefthash", 320, 1) }},
		"green list, ignored": {"hf-kgw-lefthash", func(*testing.T) watermark.Scheme { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := markOf(t, c.scheme, 256, 1)
			random := rand.New(rand.NewPCG(3, 4))
			const accepted, sound, after, tokens = 40, 200, 200, 80
			base := 0.
			for range accepted {
				y, _ := Statistic(ours, reply(ours, tokens, random))
				base += y / accepted
			}
			unmarked := Unmarked(ours)
			m := start(t, Config{Expected: unmarked + .75*(base-unmarked), Unmarked: unmarked, Alpha: 1e-3, MinUnits: 16})
			var alarm *Alarm
			serving := ours
			for i := range sound + after {
				if i == sound && c.fault != nil {
					serving = c.fault(t)
				}
				y, units := Statistic(ours, reply(serving, tokens, random))
				if units < tokens/2 {
					t.Fatalf("a reply of %d units", units)
				}
				a, err := m.Add(Stream{}, y, units, time.Unix(0, 0))
				if err != nil {
					t.Fatal(err)
				}
				if a != nil {
					alarm = a
				}
			}
			switch {
			case c.fault == nil && alarm != nil:
				t.Errorf("false alarm %+v", alarm)
			case c.fault != nil && alarm == nil:
				t.Errorf("no alarm; recent strength %v, expected %v", m.Watches()[0].Recent, m.Config().Expected)
			case c.fault != nil && alarm.Reply <= sound:
				t.Errorf("alarm at reply %d, before the fault", alarm.Reply)
			case c.fault != nil:
				t.Logf("strength %.3f, unmarked %.3f: %d replies", base, unmarked, alarm.Reply-sound)
			}
		})
	}
}

// TestOutOfVocabulary: ids that the key does not know weaken the mark.
func TestOutOfVocabulary(t *testing.T) {
	t.Parallel()
	ours := markOf(t, watermark.Gumbel, 100, 1) // lower-case letters are above
	y, units := Statistic(ours, reply(nil, 100, rand.New(rand.NewPCG(1, 1))))
	if units < 90 || y > .2 {
		t.Errorf("y = %v of %d units", y, units)
	}
}

// TestState cuts a life at every hundredth reply: it goes on as if uncut, and another
// declaration is refused.
func TestState(t *testing.T) {
	t.Parallel()
	c := Config{Key: "k", Scheme: "kgw", Expected: .5, Unmarked: .25, Alpha: 1e-3, MinUnits: 1}
	whole, cut := start(t, c), start(t, c)
	random := rand.New(rand.NewPCG(5, 5))
	for i := range 2000 {
		s := Stream{Route: string(rune('a' + i%2))}
		y := random.Float64() * (1.2 - .8*float64(i/1500)) / 1.2
		add(t, whole, s, y)
		add(t, cut, s, y)
		if i%100 == 0 {
			data, err := cut.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if cut, err = Decode(data, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, _ := whole.Encode()
	b, _ := cut.Encode()
	if !bytes.Equal(a, b) || !whole.Alarmed() {
		t.Errorf("alarmed: %v; uncut and cut lives:\n%s\n%s", whole.Alarmed(), a, b)
	}
	other := c
	other.Expected = .4
	if _, err := Decode(a, other); !errors.Is(err, ErrOther) {
		t.Errorf("another declaration: %v", err)
	}
	before := cut.armed
	if n := cut.Rearm(); n == 0 || cut.Alarmed() || cut.armed != before+n {
		t.Errorf("armed again: %d, %d in all", n, cut.armed)
	}
	if w := cut.Watches()[0]; w.Order <= 2 || w.Log10E() != 0 || cut.Threshold(w) <= whole.Threshold(w)-1 {
		t.Errorf("a stream armed again: %+v", w)
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	m := start(t, Config{Expected: .5, Unmarked: .25, Alpha: 1e-3, MinUnits: 1})
	for range 1000 {
		add(t, m, Stream{Model: "a\"\\\n<b>"}, .6)
	}
	if n := len(m.Watches()[0].History); n > maxPoints || n < maxPoints/2 {
		t.Errorf("%d points", n)
	}
	metrics := string(m.Metrics())
	for _, want := range []string{
		`stillmark_monitor_replies_total{model="a\"\\\n<b>",region="",epoch="",route=""} 1000` + "\n",
		"stillmark_monitor_strength{", "} 0.6\n", "# TYPE stillmark_monitor_alarm gauge\n",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in\n%s", want, metrics)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(m.SVG())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{Expected: .2, Unmarked: .25, Alpha: .1, MinUnits: 1},
		{Expected: 1, Unmarked: .25, Alpha: .1, MinUnits: 1},
		{Expected: math.NaN(), Unmarked: .25, Alpha: .1, MinUnits: 1},
		{Expected: .5, Unmarked: .25, Alpha: 0, MinUnits: 1},
		{Expected: .5, Unmarked: .25, Alpha: .1},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	m := start(t, Config{Expected: .5, Unmarked: .25, Alpha: .1, MinUnits: 5})
	if _, err := m.Add(Stream{}, math.NaN(), 9, time.Time{}); err == nil {
		t.Error("NaN was accepted")
	}
	if _, err := m.Add(Stream{}, 0, 4, time.Time{}); err != nil || m.Watches()[0].Skipped != 1 || m.Watches()[0].Replies != 0 {
		t.Errorf("a short reply: %v, %+v", err, m.Watches()[0])
	}
}

func FuzzStreamOf(f *testing.F) {
	f.Add([]byte(`{"model":"nova","region":"eu","epoch":"2026-12","route":"chat","text":"…"}`))
	f.Add([]byte(`{"model":7}`))
	f.Add([]byte(`{"route":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := StreamOf(line)
		if err == nil && s.check() != nil {
			t.Errorf("accepted %+v", s)
		}
	})
}

func FuzzDecode(f *testing.F) {
	c := Config{Key: "k", Scheme: "kgw", Expected: .5, Unmarked: .25, Alpha: 1e-3, MinUnits: 1}
	m, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	for range 60 {
		if _, err := m.Add(Stream{Model: "a"}, .1, 9, time.Unix(0, 0)); err != nil {
			f.Fatal(err)
		}
	}
	data, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, c)
		if err != nil {
			return
		}
		if _, err := m.Add(Stream{Model: "a"}, .5, 9, time.Unix(0, 0)); err != nil {
			t.Skip(err)
		}
		m.Metrics()
		m.SVG()
	})
}
