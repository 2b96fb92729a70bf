package ginkgo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	attestName = "attest environment"
	// attestLimit bounds Attest. It is shorter near the end of the budget.
	attestLimit = 10 * time.Second
)

// attestDeadline leaves half of the budget, which ends at end unless that is zero, to
// Collect and Release.
func attestDeadline(now, end time.Time) time.Time {
	limit := attestLimit
	if !end.IsZero() {
		limit = min(limit, end.Sub(now)/2)
	}
	return now.Add(limit)
}

// attest calls Attest and records what it says.
func (r *run) attest() {
	if r.options.Attest == nil {
		return
	}
	ctx, cancel := r.interruption.context(attestDeadline(time.Now(), r.deadline), endOfAttest)
	defer cancel()
	c := testCase{Name: attestName, Began: time.Now()}
	said := make(chan map[string]string, 1) // not a variable: a call left behind may still write
	err := call(ctx, attestName, func(ctx context.Context) error {
		properties, err := r.options.Attest(ctx)
		said <- properties
		return err
	})
	c.Duration = time.Since(c.Began)
	var properties map[string]string
	select {
	case properties = <-said:
	default: // it panicked, or did not end
	}
	verdict := "passed"
	if err != nil {
		c.Verdict, c.Kind, c.Message, c.Details = failed, kindAttest, err.Error(), err.Error()
		verdict = "failed"
		if r.classifyAs(attestName, err) {
			c.Verdict, c.Kind = errored, kindInfrastructure
			verdict = "infrastructure failure"
		}
	}
	r.results.apply(change{Other: []testCase{c}, Properties: properties})
	var line strings.Builder
	fmt.Fprintf(&line, "%s: %s", attestName, verdict)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&line, " %s=%s", oneLine(name), shellWord(shorten(oneLine(properties[name]), 200)))
	}
	fmt.Fprintln(r.out, line.String())
}
