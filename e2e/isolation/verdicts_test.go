package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/e2e/testxml"
)

// What would hide a dependency, were it taken for a pass.
func TestCompare(t *testing.T) {
	one, two := spec{"//e2e:a", "one"}, spec{"//e2e:a", "two"}
	of := func(name string, first, second []verdict) result {
		return result{name: name, verdicts: map[spec][]verdict{one: first, two: second}}
	}
	good := []verdict{testxml.Passed}
	for _, c := range []struct {
		name      string
		second    result
		allPassed bool
		dependent []spec
		prints    string
	}{
		{"the same", of("alone", good, good), true, nil, "0 verdicts depend"},
		{"one fails alone", of("alone", good, []verdict{testxml.Failed}), false, []spec{two}, "//e2e:a: two (not the same everywhere)\n  together: passed\n  alone: failed\n"},
		{"one is missing", of("alone", good, nil), false, []spec{two}, "alone: missing"},
		{"one ran twice", of("alone", []verdict{testxml.Passed, testxml.Passed}, good), false, []spec{one}, "alone: twice"},
		{"one was skipped", of("alone", []verdict{testxml.Skipped}, good), false, []spec{one}, "alone: skipped"},
		{"the environment failed", of("alone", []verdict{testxml.Errored}, good), false, []spec{one}, "1 verdicts depend"},
		{"one that nobody knows", result{name: "alone", verdicts: map[spec][]verdict{one: good, two: good, {"//e2e:a", "three"}: good}}, false, nil, "three: the scenario does not list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := compare([]spec{one, two}, []result{of("together", good, good), c.second})
			if got.allPassed() != c.allPassed || !slices.Equal(got.dependent(), c.dependent) {
				t.Errorf("all passed %t, dependent %v", got.allPassed(), got.dependent())
			}
			var text bytes.Buffer
			got.print(&text)
			if !strings.Contains(text.String(), c.prints) {
				t.Errorf("prints no %q:\n%s", c.prints, text.String())
			}
		})
	}
}

// A spec that fails in each run does not depend on it, and is no success.
func TestCompareOfFailures(t *testing.T) {
	one := spec{"//e2e:a", "one"}
	bad := result{name: "together", verdicts: map[spec][]verdict{one: {testxml.Failed}}}
	if c := compare([]spec{one}, []result{bad, bad}); c.allPassed() || len(c.dependent()) != 0 {
		t.Errorf("all passed %t, dependent %v", c.allPassed(), c.dependent())
	}
	if c := compare(nil, nil); c.allPassed() {
		t.Error("nothing at all is a success")
	}
}
