package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"stormgate.internal/e2e/testxml"
)

// outcome is what became of a mutant.
type outcome struct {
	mutant  mutant
	elapsed time.Duration
	// caught are the specs that failed. Without any, and without an error, the mutant
	// survived.
	caught []string
	// err is why there is no verdict: the mutant does not fit the sources, does not
	// compile, or something else than the gateway failed.
	err error
}

func (o outcome) survived() bool { return o.err == nil && len(o.caught) == 0 }

// by names what has caught it.
func (o outcome) by() string { return cmp.Or(o.mutant.scenario, o.mutant.test) }

// judge returns the specs that have caught a mutant. A spec has caught it if one of its
// assertions failed. There is no verdict if the environment may be the reason.
func judge(run testRun) (caught []string, err error) {
	if run.exit != exitPassed && run.exit != exitFailed {
		return nil, fmt.Errorf("it was not built: bazel ended with %d\n%s", run.exit, run.output)
	}
	ran := 0
	var broken []string
	for _, c := range run.cases {
		switch {
		case c.Kind == testxml.Infrastructure:
			return nil, fmt.Errorf("the infrastructure failed: %s: %s", c.Name, c.Message)
		case c.Verdict == testxml.Errored, c.Kind == testxml.Attestation:
			broken = append(broken, fmt.Sprintf("%s: %s: %s", c.Name, c.Kind, c.Message))
		case c.IsSpec() && c.Verdict == testxml.Failed:
			ran++
			caught = append(caught, c.Name)
		case c.IsSpec() && c.Verdict == testxml.Passed:
			ran++
		}
	}
	switch {
	case len(caught) > 0:
		slices.Sort(caught)
		return caught, nil
	case len(broken) > 0:
		return nil, fmt.Errorf("no assertion failed, but the run did:\n%s", strings.Join(broken, "\n"))
	case run.exit == exitFailed:
		return nil, fmt.Errorf("no spec failed, but a test did\n%s", run.output)
	case ran == 0:
		return nil, errors.New("no spec ran")
	}
	return nil, nil
}

// checkBaseline holds the specs of the gateway as it is against the mutants: all
// are green, and each mutant has some that could catch it.
func checkBaseline(run testRun, mutants []mutant) error {
	failed, err := judge(run)
	if err != nil {
		return fmt.Errorf("run the scenarios on the gateway as it is: %w", err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("the gateway as it is fails, so there is no verdict on mutants:\n%s", strings.Join(failed, "\n"))
	}
	var problems []error
	for _, m := range mutants {
		wanted, err := regexp.Compile(m.specs)
		if err != nil {
			problems = append(problems, fmt.Errorf("mutant %s: %w", m.name, err))
			continue
		}
		if !slices.ContainsFunc(run.cases, func(c testxml.Case) bool { return c.File == m.source() && wanted.MatchString(c.Name) }) {
			problems = append(problems, fmt.Errorf("mutant %s: no spec of %s matches %q", m.name, m.source(), m.specs))
		}
	}
	return errors.Join(problems...)
}

// printOutcomes prints the table, and below it what went wrong.
func printOutcomes(w io.Writer, outcomes []outcome) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tBREAKS\tCAUGHT BY\tSECONDS")
	caught, survived, unclear := 0, 0, 0
	for _, o := range outcomes {
		by := "NOBODY: it survived"
		switch {
		case o.err != nil:
			unclear++
			by = "ERROR: see below"
		case o.survived():
			survived++
		default:
			caught++
			by = o.by() + ": " + o.caught[0]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.0f\n", o.mutant.name, o.mutant.promise, by, o.elapsed.Seconds())
		for _, more := range o.caught[min(1, len(o.caught)):] {
			fmt.Fprintf(table, "\t\t%s: %s\t\n", o.by(), more)
		}
	}
	table.Flush()
	for _, o := range outcomes {
		if o.err != nil {
			fmt.Fprintf(w, "\n%s: %v\n", o.mutant.name, o.err)
		}
	}
	fmt.Fprintf(w, "\n%d mutants: %d caught, %d survived, %d errors\n", len(outcomes), caught, survived, unclear)
}
