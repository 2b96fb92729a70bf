package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"stormgate.internal/e2e/testxml"
)

// verdict is what a run found about a spec: the verdict in test.xml, or that test.xml
// does not have the spec exactly once.
type verdict = testxml.Verdict

const (
	missing verdict = "missing" // the run has no result for it
	twice   verdict = "twice"   // the run has more than one
)

// result is what a run found.
type result struct {
	name     string
	elapsed  time.Duration
	verdicts map[spec][]verdict
}

func (r result) of(s spec) verdict {
	switch all := r.verdicts[s]; len(all) {
	case 0:
		return missing
	case 1:
		return all[0]
	default:
		return twice
	}
}

// comparison sets the verdicts of all runs side by side.
type comparison struct {
	specs   []spec
	results []result
	// unknown are results of specs that the scenarios do not list.
	unknown []spec
}

func compare(specs []spec, results []result) comparison {
	c := comparison{specs: specs, results: results}
	for _, r := range results {
		for s := range r.verdicts {
			if !slices.Contains(specs, s) && !slices.Contains(c.unknown, s) {
				c.unknown = append(c.unknown, s)
			}
		}
	}
	slices.SortFunc(c.unknown, func(a, b spec) int { return strings.Compare(a.scenario+a.text, b.scenario+b.text) })
	return c
}

// notPassed are the specs that did not pass in every run.
func (c comparison) notPassed() []spec {
	var specs []spec
	for _, s := range c.specs {
		if slices.ContainsFunc(c.results, func(r result) bool { return r.of(s) != testxml.Passed }) {
			specs = append(specs, s)
		}
	}
	return specs
}

// dependent are the specs whose verdict is not the same in all runs.
func (c comparison) dependent() []spec {
	var specs []spec
	for _, s := range c.specs {
		if slices.ContainsFunc(c.results, func(r result) bool { return r.of(s) != c.results[0].of(s) }) {
			specs = append(specs, s)
		}
	}
	return specs
}

func (c comparison) allPassed() bool {
	return len(c.specs) > 0 && len(c.results) > 0 && len(c.notPassed()) == 0 && len(c.unknown) == 0
}

func (c comparison) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tSPECS\tPASSED\tOTHER\tSECONDS")
	for _, r := range c.results {
		good := 0
		for _, s := range c.specs {
			if r.of(s) == testxml.Passed {
				good++
			}
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.0f\n", r.name, len(c.specs), good, len(c.specs)-good, r.elapsed.Seconds())
	}
	table.Flush()
	dependent := c.dependent()
	for _, s := range c.notPassed() {
		kind := "the same everywhere"
		if slices.Contains(dependent, s) {
			kind = "not the same everywhere"
		}
		fmt.Fprintf(w, "\n%s: %s (%s)\n", s.scenario, s.text, kind)
		for _, r := range c.results {
			fmt.Fprintf(w, "  %s: %s\n", r.name, r.of(s))
		}
	}
	for _, s := range c.unknown {
		fmt.Fprintf(w, "\n%s: %s: the scenario does not list this spec, but ran it\n", s.scenario, s.text)
	}
	fmt.Fprintf(w, "\n%d specs, %d runs: %d verdicts depend on the run\n", len(c.specs), len(c.results), len(dependent))
}
