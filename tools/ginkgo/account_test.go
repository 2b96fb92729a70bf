package ginkgo

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Ginkgo calls each of these a success, or it is one step from it. A shard in which
// nothing was tested must not be green, nor one in which a failure was made good by
// trying again.
func TestGreensThatShowNothingAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		shard shard
		want  []string
	}{
		{"all specs skip themselves", shard{sample: "skips all"}, []string{
			"nothing was tested: 0 of 3 specs passed, 2 skipped, 1 pending; if that is right for this suite, set Options.AllowSkipped",
			"tea is hot: skipped: no kettle", "tea with milk is white: skipped: no cow", "tea is green: pending"}},
		{"all specs of one shard", shard{sample: "skips all in one shard", index: 1, total: 2}, []string{"nothing was tested: 0 of 1 specs passed, 1 skipped"}},
		{"Skip in BeforeAll", shard{sample: "skips in BeforeAll"}, []string{"nothing was tested: 0 of 2 specs passed, 2 skipped"}},
		{"retry", shard{sample: "retried"}, []string{
			"failed at first and passed at attempt 3; if that is good enough, set Options.AllowRetries. Attempt 1: the kettle is cold",
			"--- FAILED: //e2e:sample_test: 1 of 2 specs"}},
		{"retry by a flag", shard{sample: "retried", args: []string{"-ginkgo.flake-attempts=5"}}, []string{"failed at first and passed at attempt 3"}},
		{"retry until it skips", shard{sample: "retried until it skips"}, []string{"failed at first and skipped at attempt 2"}},
		{"repetition that fails once", shard{sample: "repeated"}, []string{"empty", "1 of 1 specs"}},
		{"AbortSuite", shard{sample: "aborts"}, []string{"no water"}},
		{"DeferCleanup that fails", shard{sample: "cleans up badly"}, []string{"broke the cup"}},
		{"Fail in a goroutine without GinkgoRecover", shard{sample: "fails on the side"}, []string{"the test process ended before its specs did"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.shard.run(t)
			wantExit(t, o, ExitFailure)
			wantLog(t, o, c.want...)
			if strings.Contains(o.log, "SUCCESS") {
				t.Errorf("the log speaks of success:\n%s", o.log)
			}
			suite := o.report.Suites[0]
			if suite.Failures+suite.Errors == 0 {
				t.Errorf("test.xml does not show the failure: %+v", suite)
			}
		})
	}
}

// What did not simply pass is in the log, with its reason.
func TestSkippedSpecsAreInTheSummary(t *testing.T) {
	for sample, c := range map[string]struct{ summary, reason, skipped string }{
		"skips some":       {"1 of 3 specs passed, 1 skipped, 1 pending", "samples_account_test.go:", "tea is hot"},
		"may skip":         {"0 of 1 specs passed, 1 skipped", "tea is hot: skipped: no kettle", "tea is hot"},
		"may skip at once": {"0 of 1 specs passed, 1 skipped", "anything runs: skipped: skipped in BeforeSuite: not today", "anything runs"},
	} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: sample}.run(t)
			wantExit(t, o, 0)
			wantLog(t, o, c.summary+":\n", c.reason)
			if strings.Contains(o.log, "SUCCESS") || strings.Count(o.log, c.summary) != 2 {
				t.Errorf("Ginkgo's line does not say %q:\n%s", c.summary, o.log)
			}
			if one := o.testCase(t, c.skipped); one.Skipped == nil || one.Skipped.Message == "" {
				t.Errorf("test case: %+v", one)
			}
		})
	}
}

// A filter in the suite's own code leaves specs out in every run.
func TestFilteredSpecsAreInTheSummary(t *testing.T) {
	t.Parallel()
	o := shard{sample: "leaves out some"}.run(t)
	wantExit(t, o, 0)
	wantLog(t, o, "1 of the suite's 2 specs are left out by -ginkgo.label-filter=!slow\n")
	if got := o.property("filter"); got != "-ginkgo.label-filter=!slow" {
		t.Errorf("property: %q", got)
	}
}

// The attempts that failed are in test.xml, by the names that Maven Surefire has for
// them, and in the log.
func TestRetriesAreReported(t *testing.T) {
	for sample, c := range map[string]struct {
		spec           string
		exit           int
		flakes, reruns int
		attempts       string
	}{
		"may be retried":  {"tea is hot in the end", 0, 2, 0, "3"},
		"retried":         {"tea is hot in the end", ExitFailure, 0, 2, "3"},
		"retried in vain": {"tea stays cold", ExitFailure, 0, 2, "3"},
	} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: sample}.run(t)
			wantExit(t, o, c.exit)
			one := o.testCase(t, c.spec)
			if len(one.Flakes) != c.flakes || len(one.Reruns) != c.reruns {
				t.Errorf("test case: %+v", one)
			}
			for _, earlier := range append(one.Flakes, one.Reruns...) {
				if earlier.Message != "the kettle is cold" || earlier.Type != "failed" || !strings.Contains(earlier.Text, "samples_account_test.go:") {
					t.Errorf("earlier attempt: %+v", earlier)
				}
			}
			if one.Properties == nil || !slices.Contains(one.Properties.All, xmlProperty{attemptsProperty, c.attempts}) {
				t.Errorf("properties: %+v", one.Properties)
			}
			if c.exit == 0 {
				wantLog(t, o, "tea is hot in the end: passed at attempt 3, after: the kettle is cold")
			}
		})
	}
}

// Promise: each case says when it began, by which its lines in other logs are found.
func TestBegan(t *testing.T) {
	t.Parallel()
	before := time.Now()
	o := shard{sample: "varied"}.run(t)
	after := time.Now()
	if len(o.cases()) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range o.cases() {
		if c.Properties == nil || len(c.Properties.All) != 1 || c.Properties.All[0].Name != beganProperty {
			t.Errorf("%s: properties %+v", c.Name, c.Properties)
			continue
		}
		began, err := time.Parse(time.RFC3339Nano, c.Properties.All[0].Value)
		if err != nil || began.Before(before.Round(0)) || began.After(after) {
			t.Errorf("%s: began %v (%v), not between %v and %v", c.Name, began, err, before, after)
		}
	}
}
