package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

// TestObservation: what was seen on our own side is part of the chain, and its bytes
// are checked as those of any reply.
func TestObservation(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	w := openWriterT(t, dir, new(testClock).options())
	data := []byte(`{"format":1}` + "\n")
	ref, err := w.PutBlob(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]any{
		"no kind": Observation{Content: ref},
		"no blob": Observation{Kind: "nonces"},
		"unknown": map[string]any{"kind": "nonces", "content": ref, "more": 1},
	} {
		if _, err := w.Append(EventObservation, "", 0, bad); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	event, err := w.Append(EventObservation, "", 0, Observation{Kind: "nonces", Content: ref})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range c.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != event.Seq {
			continue
		}
		var o Observation
		if err := json.Unmarshal(e.Data, &o); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Blob(o.Content); err != nil || !bytes.Equal(got, data) || o.Kind != "nonces" {
			t.Errorf("%+v holds %q, %v", o, got, err)
		}
	}
	before, err := c.CheckBlobs()
	if err != nil {
		t.Fatal(err)
	}
	path := dir + "/blobs/segment-000001.bin"
	raw := readFileT(t, path)
	raw[ref.Offset] ^= 1
	writeFileT(t, path, raw)
	c, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if n, err := c.CheckBlobs(); !errors.As(err, &damage) {
		t.Errorf("a changed byte of an observation passes: %d of %d blobs, %v", n, before, err)
	}
}
