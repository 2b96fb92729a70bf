// Package outcome says what a `bazel test` means for each spec, and for each test that has
// no specs: whether it is an execution that says something of it, and what.
package outcome

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/report/runs"
)

// Whole is the name of a test's own row, where it has no specs. Specs have a text.
const Whole = ""

// Record is a run's record with a row for each test that has no specs. It is for
// statistics; what is kept is runs.RecordOf, which report reads.
func Record(r *runs.Run) runs.Record {
	record := runs.RecordOf(r)
	for _, s := range r.Shards {
		if s.Cached != "" || hasSpecs(s) {
			continue
		}
		verdict := s.Verdict
		if verdict == runs.Unknown && (s.Status == "FAILED" || s.Status == "TIMEOUT") {
			verdict = runs.Test // Bazel says that it failed, and nothing says why
		}
		if verdict == runs.Skipped {
			continue
		}
		record.Specs = append(record.Specs, runs.Spec{Target: s.Target, Name: Whole, Verdict: string(verdict), Seconds: s.Duration})
	}
	return record
}

func hasSpecs(s *runs.Shard) bool {
	return slices.ContainsFunc(s.Cases, func(c *runs.Case) bool { return c.Spec })
}

// Counts says that a verdict is about the spec, and not about what it runs on.
func Counts(v runs.Verdict) bool { return v == runs.Passed || v == runs.Product || v == runs.Test }

// Kind is what a run says of one spec.
type Kind string

// The kinds.
const (
	Passed Kind = "passed"
	Failed Kind = "failed"
	// Blank says nothing, since what the spec runs on failed, or the run was ended.
	Blank Kind = "blank"
	// Missing says nothing, since the spec did not come to its end, or is none.
	Missing Kind = "missing"
)

// One is what a run says of one spec.
type One struct {
	Kind Kind
	// Why has the first line of a failure, or says why nothing is said.
	Why string
}

// Spec is what to look for.
type Spec struct {
	Target string
	// Name is the spec's full text, or that of a Go test; Whole for all of the test.
	Name string
	// Message selects failures by what they say; nil for all. Others are Missing.
	Message *regexp.Regexp
}

// Of returns what the runs of a build say of the spec, in the order of Bazel's numbers, on
// which the outcome has no influence. Cached counts results that are none of this build.
func Of(r *runs.Run, spec Spec) (outcomes []One, cached int) {
	by := map[int][]*runs.Shard{}
	var numbers []int
	for _, s := range r.Shards {
		if s.Target != spec.Target || !s.Final {
			continue
		}
		if s.Cached != "" {
			cached++
			continue
		}
		if by[s.Run] == nil {
			numbers = append(numbers, s.Run)
		}
		by[s.Run] = append(by[s.Run], s)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		outcomes = append(outcomes, spec.judge(r, by[n]))
	}
	return outcomes, cached
}

// judge looks at the shards of one run.
func (spec Spec) judge(r *runs.Run, shards []*runs.Shard) One {
	if spec.Name == Whole {
		return spec.judgeWhole(r, shards)
	}
	one := One{Kind: Missing, Why: fmt.Sprintf("%s has no test case of this name", spec.Target)}
	for _, s := range shards {
		i := slices.IndexFunc(s.Cases, func(c *runs.Case) bool { return c.Name == spec.Name && c.Verdict != runs.Skipped })
		switch {
		case i >= 0 && elsewhere(s):
			// Not even a pass counts where the environment was another one.
			return blank(r, s)
		case i >= 0 && s.Cases[i].Verdict == runs.Passed:
			return One{Kind: Passed}
		case i >= 0:
			return spec.failed(r, s, s.Cases[i])
		case elsewhere(s):
			one = blank(r, s) // the spec may have been there
		case s.Verdict.Bad() && one.Kind == Missing:
			one.Why = message(r, s, nil)
		}
	}
	return one
}

func (spec Spec) judgeWhole(r *runs.Run, shards []*runs.Shard) One {
	one := One{Kind: Passed}
	for _, s := range shards {
		switch {
		case elsewhere(s):
			one = blank(r, s)
		case s.Verdict.Bad():
			return spec.failed(r, s, nil)
		}
	}
	return one
}

// elsewhere says that it was not the test, nor what it tests, that ended the shard.
func elsewhere(s *runs.Shard) bool {
	return s.Verdict == runs.Infrastructure || s.Verdict == runs.Environment || s.Verdict == runs.Interrupted
}

func blank(r *runs.Run, s *runs.Shard) One {
	return One{Kind: Blank, Why: s.Verdict.Words() + ": " + message(r, s, nil)}
}

// failed is for a case, or for nil for the whole shard.
func (spec Spec) failed(r *runs.Run, s *runs.Shard, c *runs.Case) One {
	first := message(r, s, c)
	if spec.Message != nil && !spec.Message.MatchString(fullMessages(r, s, c)) {
		return One{Kind: Missing, Why: "it fails with another message: " + first}
	}
	return One{Kind: Failed, Why: first}
}

// message is what the first failure of a shard, or of one case of it, says in a line.
func message(r *runs.Run, s *runs.Shard, c *runs.Case) string {
	for _, f := range r.Failures {
		if f.Shard == s && (c == nil || f.Case == c) {
			return strings.TrimSpace(f.First)
		}
	}
	return "Bazel says " + s.Status
}

func fullMessages(r *runs.Run, s *runs.Shard, c *runs.Case) string {
	var all []string
	for _, f := range r.Failures {
		if f.Shard == s && (c == nil || f.Case == c) {
			all = append(all, f.Message)
		}
	}
	return strings.Join(all, "\n")
}

var goTest = regexp.MustCompile(`^(Test|Fuzz|Example)[^\s]*$`)

// Filter is a --test_filter that selects the spec alone; empty for Whole. That of a Go test
// takes each part of its name by itself, as package testing does.
func (spec Spec) Filter() string {
	if spec.Name == Whole {
		return ""
	}
	if !goTest.MatchString(spec.Name) {
		return "^" + regexp.QuoteMeta(spec.Name) + "$"
	}
	parts := strings.Split(spec.Name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
