package strength

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// calibrationFormat is the version of the table's record.
const calibrationFormat = 1

// Encode is the table as JSON.
func (c *Calibration) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(c, "", " ")
	return append(data, '\n'), err
}

// ParseCalibration reads what Encode writes.
func ParseCalibration(data []byte) (*Calibration, error) {
	if len(data) > maxRun {
		return nil, fmt.Errorf("it is %d bytes long; the limit is %d", len(data), maxRun)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var c Calibration
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("it is no record of a calibration: %w", err)
	}
	if c.Format != calibrationFormat {
		return nil, fmt.Errorf("its format is %d, not %d", c.Format, calibrationFormat)
	}
	return &c, nil
}

func (c *Calibration) table() table {
	t := table{title: "Null calibration: p-values of random keys on text that knows nothing of them", head: []string{"case", "units", "keys", "KS p"}}
	for _, x := range nullTails {
		t.head = append(t.head, "p <= "+x.name)
	}
	t.head = append(t.head, "verdict")
	for _, x := range c.Cases {
		row := []string{name(x.Labels), fmt.Sprint(x.Units), thousands(int64(x.Keys)), short(Number(x.KSP))}
		for i := range nullTails {
			cell := "-"
			if i < len(x.Tails) {
				t := x.Tails[i]
				cell = fmt.Sprintf("%s (%s–%s)", thousands(t.Count), thousands(t.Lo), thousands(t.Hi))
			}
			row = append(row, cell)
		}
		t.rows = append(t.rows, append(row, x.Verdict))
	}
	return t
}

// thousands writes 1,000,000.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// WriteTable writes the table for people.
func (c *Calibration) WriteTable(w io.Writer) error { return c.table().write(w) }

// WriteMarkdown writes the table as Markdown, with what made it.
func (c *Calibration) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	if c.Command != "" {
		fmt.Fprintf(&b, "Made on %s by `%s`, seed %d.\n\n", c.Date, c.Command, c.Seed)
	}
	for _, line := range c.table().markdown() {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
