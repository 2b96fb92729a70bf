// Package testxml reads the test.xml of a test: as //tools/ginkgo writes it, as rules_go
// does for Go's own tests, and as Bazel does where a test writes none.
package testxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Verdict is the result of a case.
type Verdict string

// The verdicts.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"  // an assertion failed
	Errored Verdict = "errored" // it did not come to an assertion
	Skipped Verdict = "skipped"
)

// Report is a test.xml.
type Report struct {
	Suites []Suite
}

// Suite is a group of cases.
type Suite struct {
	Name string
	// Began has whole seconds; zero where the file does not say.
	Began    time.Time
	Duration time.Duration
	// Properties are the suite's, such as stormgate.slot.
	Properties map[string]string
	Cases      []Case
}

// Case is a spec, a Go test, or something else that was prepared or went wrong.
type Case struct {
	// Name of a spec is its full text.
	Name, ClassName string
	// File and Line are where it is in the source tree; only a spec has them.
	File string
	Line int
	// Began is zero where the file does not say.
	Began    time.Time
	Duration time.Duration
	Verdict  Verdict
	// Kind, Message and Details describe what did not pass.
	Kind, Message, Details string
	// Output is what it wrote.
	Output string
	// Earlier are its attempts that failed before the last one.
	Earlier []Attempt
	// Attempts is how often it ran: 1 where the file does not say.
	Attempts int
}

// IsSpec reports whether the case is a spec of //tools/ginkgo.
func (c Case) IsSpec() bool { return c.File != "" }

// Bad reports whether the case failed or did not come to an assertion.
func (c Case) Bad() bool { return c.Verdict == Failed || c.Verdict == Errored }

// Attempt is one that failed and was followed by another.
type Attempt struct{ Kind, Message, Details string }

// Properties are those of all suites; of two values the later one counts.
func (r Report) Properties() map[string]string {
	all := map[string]string{}
	for _, s := range r.Suites {
		for name, value := range s.Properties {
			all[name] = value
		}
	}
	return all
}

// BeganProperty is when a case began: RFC 3339 with fractions of a second.
const BeganProperty = "began"

type xmlProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type xmlProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (p xmlProblem) attempt() Attempt {
	return Attempt{Kind: p.Type, Message: p.Message, Details: p.Text}
}

type xmlCase struct {
	Name       string        `xml:"name,attr"`
	ClassName  string        `xml:"classname,attr"`
	File       string        `xml:"file,attr"`
	Line       string        `xml:"line,attr"`
	Time       string        `xml:"time,attr"`
	Properties []xmlProperty `xml:"properties>property"`
	Failure    *xmlProblem   `xml:"failure"`
	Error      *xmlProblem   `xml:"error"`
	Skipped    *xmlProblem   `xml:"skipped"`
	Reruns     []xmlProblem  `xml:"rerunFailure"`
	Flakes     []xmlProblem  `xml:"flakyFailure"`
	Output     string        `xml:"system-out"`
	Errors     string        `xml:"system-err"`
}

// Read reads a file, which may have no suite, as rules_go's of a run that is not verbose.
// If that ends too early, or goes on as something else than XML, the
// cases before that are returned with the error.
func Read(r io.Reader) (Report, error) {
	var report Report
	decoder := xml.NewDecoder(r)
	var suite *Suite
	found := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return report, fmt.Errorf("read test.xml: %w", err)
		}
		t, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		switch t.Name.Local {
		case "testsuites":
			found = true
		case "testsuite":
			found = true
			report.Suites = append(report.Suites, suiteOf(t))
			suite = &report.Suites[len(report.Suites)-1]
		case "property":
			var p xmlProperty
			if err := decoder.DecodeElement(&p, &t); err != nil {
				return report, fmt.Errorf("read test.xml: %w", err)
			}
			if suite != nil {
				suite.Properties[p.Name] = p.Value
			}
		case "testcase":
			var c xmlCase
			if err := decoder.DecodeElement(&c, &t); err != nil {
				return report, fmt.Errorf("read test.xml: %w", err)
			}
			if suite == nil {
				report.Suites = append(report.Suites, Suite{Properties: map[string]string{}})
				suite = &report.Suites[0]
			}
			suite.Cases = append(suite.Cases, c.translate())
		}
	}
	if !found {
		return report, errors.New("read test.xml: it has no test suite")
	}
	return report, nil
}

func suiteOf(start xml.StartElement) Suite {
	s := Suite{Properties: map[string]string{}}
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "name":
			s.Name = a.Value
		case "time":
			s.Duration = seconds(a.Value)
		case "timestamp":
			s.Began = moment(a.Value)
		}
	}
	return s
}

// moment reads RFC 3339, also without a zone, which JUnit's schema has; then it is UTC.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// longest bounds what a file can claim of a duration.
const longest = 30 * 24 * time.Hour

func seconds(text string) time.Duration {
	s, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil || !(s >= 0 && s <= longest.Seconds()) {
		return 0
	}
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}

func (c xmlCase) translate() Case {
	out := Case{
		Name: c.Name, ClassName: c.ClassName, File: c.File, Duration: seconds(c.Time),
		Verdict: Passed, Output: c.Output, Attempts: 1,
	}
	out.Line, _ = strconv.Atoi(c.Line) // 0 says that it is not known
	if c.Errors != "" {
		out.Output = strings.TrimLeft(out.Output+"\n"+c.Errors, "\n")
	}
	for _, not := range []struct {
		verdict Verdict
		problem *xmlProblem
	}{{Skipped, c.Skipped}, {Failed, c.Failure}, {Errored, c.Error}} {
		if p := not.problem; p != nil {
			out.Verdict, out.Kind, out.Message, out.Details = not.verdict, p.Type, p.Message, strings.TrimSpace(p.Text)
		}
	}
	for _, p := range append(c.Reruns, c.Flakes...) {
		out.Earlier = append(out.Earlier, p.attempt())
	}
	out.Attempts += len(out.Earlier)
	for _, p := range c.Properties {
		switch p.Name {
		case BeganProperty:
			out.Began = moment(p.Value)
		case "attempts":
			if n, err := strconv.Atoi(p.Value); err == nil && n > 0 && n < 1000 {
				out.Attempts = n
			}
		}
	}
	return out
}
