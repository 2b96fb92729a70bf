package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/e2e/testxml"
)

func specCase(name string, verdict testxml.Verdict) testxml.Case {
	return testxml.Case{Name: name, File: "e2e/01_a_test.go", Verdict: verdict}
}

var (
	good    = specCase("good", testxml.Passed)
	bad     = specCase("bad", testxml.Failed)
	skipped = specCase("skipped", testxml.Skipped)
	crashed = testxml.Case{Name: "crashed", File: "e2e/01_a_test.go", Verdict: testxml.Errored, Kind: "panicked", Message: "nil"}
	lost    = testxml.Case{Name: "[environment]", Verdict: testxml.Errored, Kind: testxml.Infrastructure, Message: "no cluster"}
	changed = testxml.Case{Name: "attest environment", Verdict: testxml.Failed, Kind: testxml.Attestation, Message: "env was changed"}
	setUp   = testxml.Case{Name: "acquire the environment", Verdict: testxml.Passed}
)

// A failure of something else than the gateway is neither a catch nor a survivor.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		run    testRun
		caught []string
		err    string
	}{
		{"caught", testRun{exit: exitFailed, cases: []testxml.Case{setUp, good, bad}}, []string{"bad"}, ""},
		{"caught, and a crash after it", testRun{exit: exitFailed, cases: []testxml.Case{bad, crashed}}, []string{"bad"}, ""},
		{"caught by several", testRun{exit: exitFailed, cases: []testxml.Case{specCase("b", testxml.Failed), specCase("a", testxml.Failed)}}, []string{"a", "b"}, ""},
		{"survived", testRun{exit: exitPassed, cases: []testxml.Case{setUp, good, skipped}}, nil, ""},
		{"does not compile", testRun{exit: 1, output: "undefined: x"}, nil, "undefined: x"},
		{"no tests", testRun{exit: 4}, nil, "ended with 4"},
		{"no cluster", testRun{exit: exitFailed, cases: []testxml.Case{lost}}, nil, "no cluster"},
		{"cluster lost meanwhile", testRun{exit: exitFailed, cases: []testxml.Case{bad, lost}}, nil, "no cluster"},
		{"the environment was changed", testRun{exit: exitFailed, cases: []testxml.Case{good, changed}}, nil, "attest environment: attestation: env was changed"},
		{"caught, and the environment changed", testRun{exit: exitFailed, cases: []testxml.Case{bad, changed}}, []string{"bad"}, ""},
		{"only a crash", testRun{exit: exitFailed, cases: []testxml.Case{good, crashed}}, nil, "panicked"},
		{"failed without a case", testRun{exit: exitFailed, output: "x", cases: []testxml.Case{good}}, nil, "no spec failed"},
		{"nothing ran", testRun{exit: exitPassed, cases: []testxml.Case{setUp, skipped}}, nil, "no spec ran"},
	} {
		t.Run(c.name, func(t *testing.T) {
			caught, err := judge(c.run)
			if !slices.Equal(caught, c.caught) {
				t.Errorf("caught by %q, want %q", caught, c.caught)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestCheckBaseline(t *testing.T) {
	green := testRun{cases: []testxml.Case{setUp, good}}
	for _, c := range []struct {
		name   string
		run    testRun
		mutant mutant
		err    string
	}{
		{"green", green, mutant{scenario: "01_a", specs: "oo"}, ""},
		{"red", testRun{exit: exitFailed, cases: []testxml.Case{good, bad}}, mutant{scenario: "01_a", specs: "oo"}, "bad"},
		{"not built", testRun{exit: 1}, mutant{scenario: "01_a", specs: "oo"}, "ended with 1"},
		{"no such spec", green, mutant{name: "m", scenario: "01_a", specs: "ooo"}, "mutant m"},
		{"spec of another scenario", green, mutant{name: "m", scenario: "01_b", specs: "oo"}, "mutant m"},
		{"test of the gateway", testRun{cases: []testxml.Case{{Name: "TestA", File: "//gateway/a:a_test", Verdict: testxml.Passed}}}, mutant{test: "//gateway/a:a_test", specs: "^TestA$"}, ""},
		{"no such test", testRun{cases: []testxml.Case{{Name: "TestA", File: "//gateway/a:a_test", Verdict: testxml.Passed}}}, mutant{name: "m", test: "//gateway/a:a_test", specs: "^TestB$"}, "mutant m"},
		{"no filter", green, mutant{name: "m", scenario: "01_a", specs: "("}, "mutant m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkBaseline(c.run, []mutant{c.mutant})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestPrintOutcomes(t *testing.T) {
	var out bytes.Buffer
	printOutcomes(&out, []outcome{
		{mutant: mutant{name: "m1", promise: "p1", scenario: "01_a"}, caught: []string{"s1", "s2"}, elapsed: 2 * time.Second},
		{mutant: mutant{name: "m2", promise: "p2", scenario: "01_a"}},
		{mutant: mutant{name: "m3", promise: "p3", scenario: "01_a"}, err: errors.New("does not compile")},
	})
	want := `MUTANT  BREAKS  CAUGHT BY            SECONDS
m1      p1      01_a: s1             2
                01_a: s2             
m2      p2      NOBODY: it survived  0
m3      p3      ERROR: see below     0

m3: does not compile

3 mutants: 1 caught, 1 survived, 1 errors
`
	if out.String() != want {
		t.Errorf("printed\n%s, want\n%s", out.String(), want)
	}
}
