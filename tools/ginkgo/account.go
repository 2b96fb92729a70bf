package ginkgo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
)

// A green run says that the code was tested. This file finds runs that Ginkgo calls a
// success and that don't show that, and it tells the log which specs did not simply pass.

// tally counts the specs of a run.
type tally struct{ all, passed, failed, skipped, pending int }

func (r *results) tally() tally {
	var t tally
	for _, c := range r.cases() {
		if !c.isSpec() {
			continue
		}
		t.all++
		switch {
		case c.Verdict == passed:
			t.passed++
		case c.bad():
			t.failed++
		case c.Kind == kindPending:
			t.pending++
		default:
			t.skipped++
		}
	}
	return t
}

func (t tally) String() string {
	text := fmt.Sprintf("%d of %d specs passed", t.passed, t.all)
	for _, other := range []struct {
		n    int
		what string
	}{{t.failed, "failed"}, {t.skipped, "skipped"}, {t.pending, "pending"}} {
		if other.n > 0 {
			text += fmt.Sprintf(", %d %s", other.n, other.what)
		}
	}
	return text
}

// refuseUntested records a failure if specs of this shard were to run and none passed or
// failed. The error is nil if there is nothing to refuse.
func (r *run) refuseUntested() error {
	t := r.results.tally()
	if t.all == 0 || t.passed+t.failed > 0 || r.options.AllowSkipped || r.results.bad() {
		return nil
	}
	err := fmt.Errorf("nothing was tested: %s; if that is right for this suite, set Options.AllowSkipped", t)
	r.results.problem(kindUntested, err)
	return err
}

// refuseRetried returns an error for a spec that failed at first and passed later, and
// records it as the spec's failure.
func (r *run) refuseRetried(report ginkgo.SpecReport) error {
	retried := retriesOf(report)
	if len(retried) == 0 || report.Failed() || r.options.AllowRetries {
		return nil
	}
	message := fmt.Sprintf("failed at first and %s at attempt %d; if that is good enough, set Options.AllowRetries. Attempt 1: %s",
		report.State, report.NumAttempts, retried[0].Message)
	r.results.refuse(report.FullText(), refusal{failed, kindRetried, message})
	return errors.New(message)
}

// accountLines is the most lines that account takes.
const accountLines = 12

// account lists the specs that did not simply pass or fail, with the reasons. It is empty
// if there are none.
func (r *results) account() string {
	var lines []string
	for _, c := range r.cases() {
		what := ""
		switch {
		case !c.isSpec():
		case c.Kind == kindPending:
			what = "pending"
		case c.Kind == kindSkipped:
			what = "skipped: " + c.Message
		case c.Verdict == passed && len(c.Retried) > 0:
			what = fmt.Sprintf("passed at attempt %d, after: %s", c.Attempts, c.Retried[0].Message)
		}
		if what != "" {
			lines = append(lines, fmt.Sprintf("  %s %s: %s", c.Spec.Leaf.location(), oneLine(c.Name), shorten(oneLine(what), 300)))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	if more := len(lines) - accountLines + 2; more > 1 {
		lines = append(lines[:accountLines-2], fmt.Sprintf("  and %d more", more))
	}
	return r.tally().String() + ":\n" + strings.Join(lines, "\n") + "\n"
}

// leftOut says which part of the suite a filter keeps from running, also one that the
// suite's own code has set. It is empty without one, or where this process ran nothing.
func (r *run) leftOut() string {
	r.results.mu.Lock()
	all := r.results.tree
	r.results.mu.Unlock()
	if out := len(all) - len(r.filter.selected(r.options.Name, all)); out > 0 {
		return fmt.Sprintf("%d of the suite's %d specs are left out by %s\n", out, len(all), r.filter.describe(r.suite))
	}
	return ""
}

// truthfully makes Ginkgo's short form end with the count of specs where some were
// skipped: Ginkgo says "2/2 specs" of two that were to run, and then "SUCCESS!", even if
// both called Skip. The function that it returns ends that.
func (r *run) truthfully() func() {
	out := formatter.ColorableStdOut
	if r.reporter.Succinct {
		formatter.ColorableStdOut = truthful{out, r}
	}
	return func() { formatter.ColorableStdOut = out }
}

type truthful struct {
	io.Writer
	run *run
}

func (t truthful) Write(p []byte) (int, error) {
	if success := []byte("SUCCESS!"); bytes.Contains(p, success) && t.run.results.settled() {
		if counts := t.run.results.tally(); counts.skipped > 0 {
			if _, err := t.Writer.Write(bytes.Replace(p, success, []byte(counts.String()), 1)); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return t.Writer.Write(p)
}
