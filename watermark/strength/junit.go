package strength

import (
	"encoding/xml"
	"fmt"
	"io"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes JUnit's XML: one case for each verdict of a gate (a failed
// one is a failure, an inconclusive one skipped) and one for each figure of the
// run, where only a null calibration can fail.
func (r *Run) WriteJUnit(w io.Writer, verdicts []Verdict) error {
	s := junitSuite{Name: "stillmark watermark strength"}
	for _, v := range verdicts {
		c := junitCase{Class: "gate", Name: v.Condition}
		switch v.Outcome {
		case Fail:
			c.Failure = &junitMessage{v.String()}
		case Inconclusive:
			c.Skipped = &junitMessage{v.String()}
		default:
			c.Output = v.String()
		}
		s.Cases = append(s.Cases, c)
	}
	bad := map[string]bool{}
	for _, m := range r.Uncalibrated() {
		bad[m.Name()] = true
	}
	for _, m := range r.Measurements {
		figure := fmt.Sprintf("%s [%s, %s], n %d", short(m.Value), short(m.Lo), short(m.Hi), m.N)
		c := junitCase{Class: "strength", Name: m.Name(), Output: figure}
		if bad[m.Name()] {
			c.Failure = &junitMessage{"the null is not calibrated: " + figure}
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	for _, c := range s.Cases {
		if c.Failure != nil {
			s.Failures++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
