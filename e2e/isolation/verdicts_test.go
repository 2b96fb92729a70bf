package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const report = `<testsuites><testsuite name="//e2e:a_test">
<testcase name="acquire the environment" classname="e2e.a_test" time="0.9"></testcase>
<testcase name="one" file="e2e/a_test.go" line="1"></testcase>
<testcase name="two" file="e2e/a_test.go" line="2"><failure message="m" type="failed">m</failure><system-out>x</system-out></testcase>
<testcase name="three" file="e2e/a_test.go" line="3"><error message="m"></error></testcase>
<testcase name="four" file="e2e/a_test.go" line="4"><skipped message="m"></skipped></testcase>
</testsuite></testsuites>`

func TestReadCases(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.xml")
	if err := os.WriteFile(file, []byte(report), 0o666); err != nil {
		t.Fatal(err)
	}
	cases, err := readCases(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cases {
		got = append(got, c.Name+" "+string(c.verdict()))
	}
	if want := []string{"one passed", "two failed", "three errored", "four skipped"}; !slices.Equal(got, want) {
		t.Errorf("cases %q, want %q", got, want)
	}
	if _, err := readCases(file + "x"); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(file, []byte("<testsuites>"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readCases(file); err == nil {
		t.Error("half a file reads without an error")
	}
}

// What would hide a dependency, were it taken for a pass.
func TestCompare(t *testing.T) {
	one, two := spec{"//e2e:a", "one"}, spec{"//e2e:a", "two"}
	of := func(name string, first, second []verdict) result {
		return result{name: name, verdicts: map[spec][]verdict{one: first, two: second}}
	}
	good := []verdict{passed}
	for _, c := range []struct {
		name      string
		second    result
		allPassed bool
		dependent []spec
		prints    string
	}{
		{"the same", of("alone", good, good), true, nil, "0 verdicts depend"},
		{"one fails alone", of("alone", good, []verdict{failed}), false, []spec{two}, "//e2e:a: two (not the same everywhere)\n  together: passed\n  alone: failed\n"},
		{"one is missing", of("alone", good, nil), false, []spec{two}, "alone: missing"},
		{"one ran twice", of("alone", []verdict{passed, passed}, good), false, []spec{one}, "alone: twice"},
		{"one was skipped", of("alone", []verdict{skipped}, good), false, []spec{one}, "alone: skipped"},
		{"the environment failed", of("alone", []verdict{errored}, good), false, []spec{one}, "1 verdicts depend"},
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
	bad := result{name: "together", verdicts: map[spec][]verdict{one: {failed}}}
	if c := compare([]spec{one}, []result{bad, bad}); c.allPassed() || len(c.dependent()) != 0 {
		t.Errorf("all passed %t, dependent %v", c.allPassed(), c.dependent())
	}
	if c := compare(nil, nil); c.allPassed() {
		t.Error("nothing at all is a success")
	}
}
