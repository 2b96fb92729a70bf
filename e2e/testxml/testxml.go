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

// Kinds of failures that are no verdict on the product alone.
const (
	// Infrastructure is that of a failure of what the specs run on.
	Infrastructure = "infrastructure"
	// Attestation is that of a run in which the environment did not stay what it was.
	Attestation = "attestation"
)

// Case is a test case: a spec, or something else that went wrong or was prepared.
type Case struct {
	// Name is the full text of a spec.
	Name string
	// File is where it is in the source tree; only a spec has one.
	File    string
	Verdict Verdict
	// Kind and Message describe what did not pass.
	Kind, Message string
	// Retries is how many attempts of a spec failed before the last one.
	Retries int
}

// IsSpec reports whether the case is a spec. Others are the set-up, and failures of the
// run as a whole.
func (c Case) IsSpec() bool { return c.File != "" }

type problem struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
}

// Properties returns the properties of the suite in a test.xml, such as those of the
// attestation. The error is as with Read, or names a property that is there with two
// values.
func Properties(file string) (map[string]string, error) {
	var report struct {
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"testsuite>properties>property"`
	}
	if err := decode(file, &report); err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for _, p := range report.Properties {
		if other, found := properties[p.Name]; found && other != p.Value {
			return nil, fmt.Errorf("read %s: property %s is both %q and %q", file, p.Name, other, p.Value)
		}
		properties[p.Name] = p.Value
	}
	return properties, nil
}

// Read returns all cases of a test.xml, in its order. The error satisfies
// errors.Is(err, fs.ErrNotExist) if there is no such file.
func Read(file string) ([]Case, error) {
	var report struct {
		Suites []struct {
			Cases []struct {
				Name    string   `xml:"name,attr"`
				File    string   `xml:"file,attr"`
				Failure *problem `xml:"failure"`
				Error   *problem `xml:"error"`
				Skipped *problem `xml:"skipped"`
				// Of a spec that passed, and of one that failed.
				Flakes []problem `xml:"flakyFailure"`
				Reruns []problem `xml:"rerunFailure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := decode(file, &report); err != nil {
		return nil, err
	}
	var cases []Case
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			one := Case{Name: c.Name, File: c.File, Verdict: Passed, Retries: len(c.Flakes) + len(c.Reruns)}
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

func decode(file string, report any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(content, report); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}
