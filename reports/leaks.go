package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// windowSize is how many bytes of a text are looked for before the whole of it is
// compared: enough that few other texts have them.
const windowSize = 12

// leaks looks for the prompts that are withheld in every file of a copy, as they are
// and as JSON writes them. A text whose every stretch without a character that JSON may
// escape is shorter than windowSize bytes is not looked for.
func (w *redactor) leaks(dir string) error {
	known := map[[windowSize]byte][]needle{}
	for text, prompt := range w.texts {
		for _, form := range forms(text) {
			at := plainStretch(form)
			if at < 0 {
				continue
			}
			key := [windowSize]byte(form[at : at+windowSize])
			known[key] = append(known[key], needle{form, at, prompt})
		}
	}
	if len(known) == 0 {
		return nil
	}
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		prompt, err := search(os.DirFS(dir), name, known)
		if err != nil || prompt == "" {
			return err
		}
		return usage(fmt.Errorf("%s would still hold what prompt %s says; withhold the replies that repeat it, or whatever else does, too", name, prompt))
	})
}

// needle is a text that is looked for by the bytes at an offset in it.
type needle struct {
	text   []byte
	at     int
	prompt string
}

// forms are the ways in which a text stands in files.
func forms(text string) [][]byte {
	out := [][]byte{[]byte(text)}
	var b bytes.Buffer
	for _, html := range []bool{false, true} {
		b.Reset()
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(text) == nil {
			out = append(out, bytes.Clone(bytes.Trim(bytes.TrimSpace(b.Bytes()), `"`)))
		}
	}
	return out
}

// plainStretch is the offset of windowSize bytes of a text that no writer of JSON
// escapes, or -1.
func plainStretch(text []byte) int {
	run := 0
	for i, c := range text {
		if run++; c < ' ' || c > '~' || strings.IndexByte(`"\<>&'/`, c) >= 0 {
			run = 0
		}
		if run == windowSize {
			return i + 1 - windowSize
		}
	}
	return -1
}

// maxNeedle bounds the texts: what is held of a file at a time is four of them.
const maxNeedle = 1 << 20

// search returns the prompt whose text stands in a file, or "".
func search(fsys fs.FS, name string, known map[[windowSize]byte][]needle) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 4*maxNeedle)
	have := 0 // bytes of buf
	for {
		n, err := io.ReadFull(f, buf[have:])
		have += n
		for i := 0; i+windowSize <= have; i++ {
			for _, x := range known[[windowSize]byte(buf[i:i+windowSize])] {
				if from := i - x.at; from >= 0 && bytes.HasPrefix(buf[from:have], x.text) {
					return x.prompt, nil
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("search %s: %w", name, err)
		}
		copy(buf, buf[have-2*maxNeedle:have])
		have = 2 * maxNeedle
	}
}
