package export

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"stormgate.internal/tools/report/internal/run"
)

type xmlSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Suites   []xmlSuite `xml:"testsuite"`
}

type xmlSuite struct {
	Name     string    `xml:"name,attr"`
	Tests    int       `xml:"tests,attr"`
	Failures int       `xml:"failures,attr"`
	Errors   int       `xml:"errors,attr"`
	Skipped  int       `xml:"skipped,attr"`
	Time     string    `xml:"time,attr"`
	Cases    []xmlCase `xml:"testcase"`
}

type xmlCase struct {
	Name      string      `xml:"name,attr"`
	ClassName string      `xml:"classname,attr"`
	File      string      `xml:"file,attr,omitempty"`
	Time      string      `xml:"time,attr"`
	Failure   *xmlProblem `xml:"failure"`
	Error     *xmlProblem `xml:"error"`
	Skipped   *xmlProblem `xml:"skipped"`
}

type xmlProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes all test cases as one report. What is no verdict on the product is an error,
// with the verdict as its type.
func JUnit(w io.Writer, r *run.Run) error {
	all := xmlSuites{Name: printable(r.Invocation), Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, s := range r.Shards {
		if !s.Final {
			continue
		}
		suite := xmlSuite{Name: printable(s.Name()), Time: fmt.Sprintf("%.3f", s.Duration)}
		cases := s.Cases
		if len(cases) == 0 {
			one := &run.Case{Name: s.Name(), Verdict: s.Verdict, Kind: strings.ToLower(s.Status), Message: s.Status, Duration: s.Duration}
			cases = []*run.Case{one}
		}
		for _, c := range cases {
			file, _, _ := strings.Cut(c.At, ":")
			out := xmlCase{Name: printable(c.Name), ClassName: printable(s.Target), File: printable(file), Time: fmt.Sprintf("%.3f", c.Duration)}
			problem := &xmlProblem{Message: printable(c.Message), Type: string(c.Verdict), Text: printable(c.Details)}
			suite.Tests++
			switch {
			case c.Verdict == run.Skipped:
				suite.Skipped++
				out.Skipped = problem
			case c.Verdict == run.Product:
				suite.Failures++
				out.Failure = problem
			case c.Verdict.Bad():
				suite.Errors++
				out.Error = problem
			}
			suite.Cases = append(suite.Cases, out)
		}
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Errors += suite.Errors
		all.Skipped += suite.Skipped
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// printable makes text fit for XML 1.0.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000 && r <= 0x10FFFF:
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
