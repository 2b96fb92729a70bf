// Package testxml reads the test.xml of a scenario, as //tools/ginkgo writes it,
// for the tools that run scenarios and judge by their specs.
package testxml

import (
	"encoding/xml"
	"fmt"
	"os"
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

// Infrastructure is the Kind of a failure that is no verdict on the product.
const Infrastructure = "infrastructure"

// Case is a test case: a spec, or something else that went wrong or was prepared.
type Case struct {
	// Name is the full text of a spec.
	Name string
	// File is where it is in the source tree; only a spec has one.
	File    string
	Verdict Verdict
	// Kind and Message describe what did not pass.
	Kind, Message string
}

// IsSpec reports whether the case is a spec. Others are the set-up, and failures of the
// run as a whole.
func (c Case) IsSpec() bool { return c.File != "" }

type problem struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
}

// Read returns all cases of a test.xml, in its order. The error satisfies
// errors.Is(err, fs.ErrNotExist) if there is no such file.
func Read(file string) ([]Case, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var report struct {
		Suites []struct {
			Cases []struct {
				Name    string   `xml:"name,attr"`
				File    string   `xml:"file,attr"`
				Failure *problem `xml:"failure"`
				Error   *problem `xml:"error"`
				Skipped *problem `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(content, &report); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var cases []Case
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			one := Case{Name: c.Name, File: c.File, Verdict: Passed}
			for _, not := range []struct {
				verdict Verdict
				problem *problem
			}{{Skipped, c.Skipped}, {Failed, c.Failure}, {Errored, c.Error}} {
				if not.problem != nil {
					one.Verdict, one.Kind, one.Message = not.verdict, not.problem.Type, not.problem.Message
				}
			}
			cases = append(cases, one)
		}
	}
	return cases, nil
}
