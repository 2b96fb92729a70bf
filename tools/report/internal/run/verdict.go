package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"stormgate.internal/tools/report/internal/testxml"
)

// Kinds of failure that //tools/ginkgo writes, and whose they are. All others are the
// product's.
var ofKind = map[string]Verdict{
	"infrastructure": Infrastructure,
	"exclusive":      Infrastructure, // nobody could give the spec the environment for itself
	"attestation":    Environment,
	"coverage":       Test,
	"lost":           Test,
	"cut short":      Test,
	"process":        Test,
	"retried":        Test,
	"nothing tested": Test,
	"sharding":       Test,
	"test protocol":  Test,
	"results":        Test,
	"interrupted":    Interrupted,
}

func verdictOf(c testxml.Case) Verdict {
	switch {
	case c.Verdict == testxml.Passed:
		return Passed
	case c.Verdict == testxml.Skipped:
		return Skipped
	}
	return cmp.Or(ofKind[c.Kind], Product)
}

// severity orders verdicts: what a reader has to know first.
var severity = []Verdict{Build, Product, Environment, Infrastructure, Test, Unknown, Interrupted, Skipped, Passed}

func rank(v Verdict) int { return slices.Index(severity, v) }

// judge gives a shard its verdict. A spec that failed on something broken is no verdict on
// the product, and neither is one in an environment that was changed.
func (s *Shard) judge() {
	found := map[Verdict]bool{}
	for _, c := range s.Cases {
		found[c.Verdict] = true
	}
	worst := Unknown
	for _, v := range []Verdict{Infrastructure, Environment, Interrupted, Product, Test} {
		if found[v] {
			worst = v
			break
		}
	}
	switch {
	case s.Status == "PASSED" || s.Status == "FLAKY":
		s.Verdict = Passed
	case s.Status == "NO_STATUS" || s.Status == "INCOMPLETE" || s.Status == "TOOL_HALTED_BEFORE_TESTING":
		s.Verdict = Interrupted
	case s.Status == "REMOTE_FAILURE":
		s.Verdict = Infrastructure
	case s.Status == "FAILED_TO_BUILD":
		s.Verdict = Build
	default:
		s.Verdict = worst
	}
	if s.Verdict == Environment || s.Verdict == Infrastructure {
		for _, c := range s.Cases {
			switch {
			case c.Verdict == Product:
				c.Verdict = s.Verdict
			// Ginkgo calls each signal the user's. This one the shard has sent itself, for what
			// it ran on was lost.
			case c.Verdict == Interrupted && s.Verdict == Infrastructure:
				c.Verdict, c.Message, c.Details = s.Verdict, "ended early, for the infrastructure failed", ""
			}
		}
	}
}

// conclude counts, and sums the run up.
func (r *Run) conclude() {
	c := &r.Counts
	failing := map[Verdict]int{}
	for _, s := range r.Shards {
		c.Shards++
		if s.Cached != "" {
			c.Cached++
		} else {
			c.Ran++
		}
		if !s.Final {
			continue
		}
		if s.Verdict.Bad() {
			c.FailedShards++
			failing[s.Verdict]++
		}
		for _, one := range s.Cases {
			if one.Spec {
				c.Specs++
			}
			switch {
			case !one.Spec:
			case one.Verdict == Passed:
				c.Passed++
			case one.Verdict == Skipped:
				c.Skipped++
			default:
				c.Failed++
			}
		}
	}
	for _, f := range r.Failures {
		switch f.Case.Verdict {
		case Product:
			c.Product++
		case Environment:
			c.Environment++
		case Infrastructure:
			c.Infrastructure++
		case Test:
			c.Test++
		}
	}
	r.Verdict = Passed
	for _, v := range severity {
		if failing[v] > 0 || v == Build && len(r.Builds) > 0 {
			r.Verdict = v
			break
		}
	}
	switch {
	case r.Verdict.Bad():
	case r.Exit == "INTERRUPTED" || r.Exit == "":
		r.Verdict = Interrupted
	case r.ExitCode != 0 && r.Exit != "TESTS_FAILED" && r.Exit != "NO_TESTS_FOUND":
		r.Verdict = Unknown
	case c.Shards == 0:
		r.Verdict = Skipped
	}
	r.Headline = r.headline(failing)
}

// headline is the run in a sentence or two.
func (r *Run) headline(failing map[Verdict]int) string {
	c := r.Counts
	var parts []string
	if n := len(r.Builds); n > 0 {
		parts = append(parts, count(n, "action")+" failed to build")
	}
	for _, v := range severity {
		if failing[v] > 0 && v != Build {
			parts = append(parts, fmt.Sprintf("%s: %s", count(failing[v], "shard"), v.sentence()))
		}
	}
	switch {
	case len(parts) > 0:
	case r.Verdict == Interrupted:
		parts = append(parts, "interrupted: no failure as far as it came")
	case r.Verdict == Unknown:
		parts = append(parts, fmt.Sprintf("Bazel ended with %s, and no test failed", r.Exit))
	case c.Shards == 0:
		parts = append(parts, "no test ran")
	case c.Ran == 0:
		parts = append(parts, "all passed, all from the cache: nothing ran")
	default:
		parts = append(parts, "all passed")
	}
	return strings.Join(parts, "; ")
}

// sentence says what a verdict of shards means.
func (v Verdict) sentence() string {
	switch v {
	case Product:
		return "the product failed"
	case Environment:
		return "the environment did not stay what it was, so its specs say nothing"
	case Infrastructure:
		return "the infrastructure failed, so nothing of the product was tested"
	case Test:
		return "the test itself failed"
	case Interrupted:
		return "interrupted"
	case Unknown:
		return "failed, and left nothing that says why"
	}
	return string(v)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
