package ginkgo

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/onsi/ginkgo/v2/types"
)

// seedProperty marks a test.xml as this package's.
const seedProperty = "ginkgo.seed"

// attemptsProperty is how often a spec ran, where that was more than once.
const attemptsProperty = "attempts"

// beganProperty is when a case began, in UTC: RFC 3339 with fractions of a second. What
// draws a run finds by it what else was written at that time.
const beganProperty = "began"

// outputLimit is how much of a spec's output goes into test.xml, in bytes; the
// whole is in the log.
const outputLimit = 256 << 10

// propertyLimit is how much of a property of the suite goes into test.xml, in bytes.
const propertyLimit = 64 << 10

type xmlSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Suites   []xmlSuite `xml:"testsuite"`
}

type xmlSuite struct {
	Name       string        `xml:"name,attr"`
	Tests      int           `xml:"tests,attr"`
	Failures   int           `xml:"failures,attr"`
	Errors     int           `xml:"errors,attr"`
	Skipped    int           `xml:"skipped,attr"`
	Time       string        `xml:"time,attr"`
	Timestamp  string        `xml:"timestamp,attr"`
	Properties []xmlProperty `xml:"properties>property"`
	Cases      []xmlCase     `xml:"testcase"`
}

type xmlProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type xmlCase struct {
	Name      string `xml:"name,attr"`
	ClassName string `xml:"classname,attr"`
	File      string `xml:"file,attr,omitempty"`
	Line      int    `xml:"line,attr,omitempty"`
	Time      string `xml:"time,attr"`
	// The order of these is that of Maven Surefire's schema.
	Properties *xmlProperties `xml:"properties"` // nil: encoding/xml would write an empty list
	Failure    *xmlProblem    `xml:"failure"`
	Reruns     []xmlProblem   `xml:"rerunFailure"` // earlier attempts of a spec that failed
	Flakes     []xmlProblem   `xml:"flakyFailure"` // earlier attempts of a spec that passed
	Error      *xmlProblem    `xml:"error"`
	Skipped    *xmlSkipped    `xml:"skipped"`
	Output     *xmlText       `xml:"system-out"`
}

type xmlProperties struct {
	All []xmlProperty `xml:"property"`
}

type xmlProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type xmlSkipped struct {
	Message string `xml:"message,attr,omitempty"`
}

type xmlText struct {
	Text string `xml:",chardata"`
}

// testCase is one line of the results: a spec, another node, or the run itself. Its fields are
// exported for encoding/gob.
type testCase struct {
	Name     string
	At       level // where it failed, or else where it is
	Began    time.Time
	Duration time.Duration
	Verdict  verdict
	Kind     string // of a failure: failed, panicked, timedout, infrastructure, ...; of a skip: skipped, pending
	Message  string // of a failure or a skip
	Details  string
	Output   string
	Spec     spec      // zero for what is not a spec
	Attempts int       // how often Ginkgo ran it; 0 for what is not a spec
	Retried  []attempt // its attempts that failed before the last one
}

// attempt is one that failed and was followed by another.
type attempt struct{ Kind, Message, Details string }

// Kinds of failure that Ginkgo has no word for.
const (
	kindLost           = "lost"      // never began
	kindCutShort       = "cut short" // began and never ended
	kindProcess        = "process"   // the process ended before its time
	kindInfrastructure = "infrastructure"
	kindAttest         = "attestation"
	kindCoverage       = "coverage"
	kindExclusive      = "exclusive"      // the spec could not be alone
	kindRetried        = "retried"        // failed at first and passed later
	kindUntested       = "nothing tested" // no spec passed or failed
)

// Kinds of skip.
const (
	kindSkipped = "skipped" // it called Skip, or something around it did
	kindPending = "pending"
)

type verdict int

const (
	passed verdict = iota
	skipped
	failed  // an assertion failed
	errored // it did not come to an assertion
)

func (c testCase) bad() bool { return c.Verdict == failed || c.Verdict == errored }

func (c testCase) isSpec() bool { return c.Spec.Leaf.File != "" }

// caseOf translates Ginkgo's report of a spec or of a suite-level node.
func caseOf(r types.SpecReport) testCase {
	c := testCase{
		Name:     r.FullText(),
		At:       levelOf(r.LeafNodeText, r.LeafNodeLocation, nil),
		Began:    r.StartTime,
		Duration: r.RunTime,
		Output:   outputOf(r),
	}
	if r.LeafNodeType.Is(types.NodeTypeIt) {
		c.Spec, c.Attempts, c.Retried = specOf(r), r.NumAttempts, retriesOf(r)
	} else {
		c.Name = strings.TrimSpace(fmt.Sprintf("[%s] %s", r.LeafNodeType, r.LeafNodeText))
	}
	switch {
	case r.State.Is(types.SpecStatePassed):
	case r.State.Is(types.SpecStatePending):
		c.Verdict, c.Kind, c.Message = skipped, kindPending, "pending"
	case r.State.Is(types.SpecStateSkipped):
		c.Verdict, c.Kind, c.Message = skipped, kindSkipped, cmp.Or(r.Failure.Message, "not run")
	default:
		c.Verdict, c.Kind = errored, r.State.String()
		if r.State.Is(types.SpecStateFailed | types.SpecStateTimedout) {
			c.Verdict = failed
		}
		c.Message = r.Failure.Message
		if r.Failure.ForwardedPanic != "" {
			c.Message = strings.TrimSpace(c.Message + "\n" + r.Failure.ForwardedPanic)
		}
		c.Details = fmt.Sprintf("%s\n%s\n%s", c.Message, r.Failure.Location, r.Failure.Location.FullStackTrace)
		if r.Failure.Location.FileName != "" {
			c.At = levelOf("", r.Failure.Location, nil)
		}
		for _, more := range r.AdditionalFailures {
			c.Details += fmt.Sprintf("\nthen, %s: %s\n%s\n", more.State, more.Failure.Message, more.Failure.Location)
		}
	}
	return c
}

// retriesOf returns the attempts of a spec that failed before the last one. Ginkgo keeps
// them among the further failures, which also has those of cleanup nodes. It says which
// are which in the text only.
func retriesOf(r types.SpecReport) []attempt {
	if r.NumAttempts < 2 || r.MaxFlakeAttempts == 0 {
		return nil
	}
	var retried []attempt
	for _, more := range r.AdditionalFailures {
		prefix := fmt.Sprintf("Failure recorded during attempt %d:\n", len(retried)+1)
		message, found := strings.CutPrefix(more.Failure.Message, prefix)
		if !found {
			continue
		}
		message = strings.TrimSpace(message + "\n" + more.Failure.ForwardedPanic)
		retried = append(retried, attempt{
			Kind: more.State.String(), Message: message,
			Details: fmt.Sprintf("%s\n%s\n%s", message, more.Failure.Location, more.Failure.Location.FullStackTrace),
		})
	}
	// Should Ginkgo word it in another way, then no attempt is hidden nevertheless.
	for len(retried) < r.NumAttempts-1 {
		retried = append(retried, attempt{Kind: types.SpecStateFailed.String(), Message: "Ginkgo did not report why"})
	}
	return retried
}

// outputOf is what a person would see of a spec with -v: its GinkgoWriter, steps,
// report entries and failures, in order.
func outputOf(r types.SpecReport) string {
	// Without these, every hook that ran has two lines.
	r.SpecEvents = slices.DeleteFunc(slices.Clone(r.SpecEvents), func(e types.SpecEvent) bool {
		return e.SpecEventType.Is(types.SpecEventNodeStart | types.SpecEventNodeEnd)
	})
	return reporters.RenderTimeline(r, true)
}

// render is test.xml for these cases.
func render(name, className string, started time.Time, elapsed time.Duration, properties []xmlProperty, cases []testCase) ([]byte, error) {
	suite := xmlSuite{
		Name:       printable(name),
		Time:       seconds(elapsed),
		Timestamp:  started.UTC().Format("2006-01-02T15:04:05"),
		Properties: properties,
	}
	for _, c := range cases {
		at := c.At
		if c.isSpec() {
			at = c.Spec.Leaf // where the spec is, not where it failed
		}
		out := xmlCase{
			Name:      printable(c.Name),
			ClassName: printable(className),
			File:      printable(sourcePath(at.File)),
			Line:      at.Line,
			Time:      seconds(c.Duration),
		}
		if c.Output != "" {
			out.Output = &xmlText{Text: printable(shorten(c.Output, outputLimit))}
		}
		suite.Tests++
		problem := &xmlProblem{
			Message: strings.Join(firstLines(c.Message, 3, 300), "\n"),
			Type:    c.Kind,
			Text:    printable(shorten(c.Details, outputLimit)),
		}
		switch c.Verdict {
		case skipped:
			suite.Skipped++
			out.Skipped = &xmlSkipped{Message: printable(c.Message)}
		case failed:
			suite.Failures++
			out.Failure = problem
		case errored:
			suite.Errors++
			out.Error = problem
		}
		if properties := c.properties(); properties != nil {
			out.Properties = &xmlProperties{properties}
		}
		for _, a := range c.Retried {
			earlier := xmlProblem{
				Message: strings.Join(firstLines(a.Message, 3, 300), "\n"), Type: a.Kind,
				Text: printable(shorten(a.Details, outputLimit)),
			}
			if c.bad() {
				out.Reruns = append(out.Reruns, earlier)
			} else {
				out.Flakes = append(out.Flakes, earlier)
			}
		}
		suite.Cases = append(suite.Cases, out)
	}
	var buffer bytes.Buffer
	buffer.WriteString(xml.Header)
	encoder := xml.NewEncoder(&buffer)
	encoder.Indent("", "  ")
	err := encoder.Encode(xmlSuites{
		Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Skipped: suite.Skipped,
		Time: suite.Time, Suites: []xmlSuite{suite},
	})
	if err != nil {
		return nil, fmt.Errorf("render test.xml: %w", err)
	}
	buffer.WriteByte('\n')
	return buffer.Bytes(), nil
}

func (c testCase) properties() []xmlProperty {
	var properties []xmlProperty
	if !c.Began.IsZero() {
		properties = append(properties, xmlProperty{Name: beganProperty, Value: c.Began.UTC().Format(time.RFC3339Nano)})
	}
	if c.Attempts > 1 {
		properties = append(properties, xmlProperty{Name: attemptsProperty, Value: strconv.Itoa(c.Attempts)})
	}
	return properties
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
