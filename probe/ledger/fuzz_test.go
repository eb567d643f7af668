package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func FuzzParseEvent(f *testing.F) {
	for line := range bytes.Lines(readFileT(f, filepath.Join("testdata", "tiny", ledgerName))) {
		f.Add(bytes.TrimSuffix(line, []byte{'\n'}))
	}
	f.Add([]byte(`{"seq":0,"seq":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEvent(line)
		if err != nil {
			return
		}
		again, err := encodeEvent(e)
		if err != nil || !bytes.Equal(again, line) {
			t.Errorf("%q is accepted but written as %q, %v", line, again, err)
		}
	})
}

// FuzzLedger reads arbitrary bytes as the ledger of the golden case.
func FuzzLedger(f *testing.F) {
	files := fstest.MapFS{}
	for _, name := range []string{caseName, planName} {
		files[name] = &fstest.MapFile{Data: readFileT(f, filepath.Join("testdata", "tiny", name))}
	}
	good := readFileT(f, filepath.Join("testdata", "tiny", ledgerName))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("\n"))
	c, err := OpenFS(files)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newState(c.index)
		r := newChainReader(bytes.NewReader(data))
		for {
			l, err := r.step()
			if errors.Is(err, io.EOF) {
				// What is accepted whole begins with the plan's seal.
				if s.Head.Events > 0 && !bytes.Contains(data[:bytes.IndexByte(data, '\n')], []byte(c.PlanSHA256())) {
					t.Errorf("accepted without the plan's hash: %q", data)
				}
				return
			}
			if err != nil {
				return
			}
			if _, err := s.add(l); err != nil {
				return
			}
		}
	})
}

func FuzzDecodePlan(f *testing.F) {
	f.Add(readFileT(f, filepath.Join("testdata", "tiny", planName)))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePlan(data)
		if err != nil {
			return
		}
		if again, err := EncodePlan(p); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted but written as %q, %v", data, again, err)
		}
		if p.Validate() == nil {
			if n, want := len(p.Items()), len(p.Targets)*len(p.Prompts)*p.Samples; n != want {
				t.Errorf("%d items, want %d", n, want)
			}
		}
	})
}

func FuzzVerifyDSSE(f *testing.F) {
	s := testSigner(f, 1)
	env, err := s.SignDSSE(PayloadInToto, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(env)
	f.Add([]byte(`{"payloadType":"","payload":"","signatures":[{"keyid":"","sig":""}]}` + "\n"))
	keys := []ed25519.PublicKey{s.PublicKey().Key}
	f.Fuzz(func(t *testing.T, data []byte) {
		payload, _, err := VerifyDSSE(data, PayloadInToto, keys)
		if err == nil && (!bytes.Equal(data, env) || string(payload) != "payload") {
			t.Errorf("accepted %q", data)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	m, err := BuildManifest(manifestFS(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m)
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseManifest(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, e := range entries {
			b.WriteString(e.SHA256 + "  " + e.Path + "\n")
		}
		if !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%q is accepted but means %q", data, b.Bytes())
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	s := testSigner(f, 1)
	f.Add(s.PublicKey().PEM())
	f.Add([]byte("Signer: x\n-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParsePublic(data)
		if err != nil {
			return
		}
		for _, k := range keys {
			again, err := ParsePublic(k.PEM())
			if err != nil || len(again) != 1 || again[0].KeyID != k.KeyID || again[0].Name != k.Name {
				t.Errorf("%+v is written as %+v, %v", k, again, err)
			}
		}
	})
}

func FuzzDecodeStatement(f *testing.F) {
	sum := hexSHA256(nil)
	data, err := EncodeStatement(Statement{PredicateType: "x", Subject: []Subject{{"a", map[string]string{"sha256": sum}}}, Predicate: []byte(`{"a":1}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStatement(data)
		if err != nil {
			return
		}
		if again, err := EncodeStatement(s); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted but written as %q, %v", data, again, err)
		}
	})
}
