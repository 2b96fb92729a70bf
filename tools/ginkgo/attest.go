package ginkgo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/internal/ground"
)

const (
	attestName  = "attest environment"
	measureName = "collect coverage"
	// measureLimit bounds the measuring of all grounds. It is more than one of them takes.
	measureLimit = 30 * time.Second
	// attestLimit bounds Attest. It is shorter near the end of the budget.
	attestLimit = 10 * time.Second
)

// deadlineOf leaves half of the budget, which ends at end unless that is zero, to what comes
// after, such as Collect and Release.
func deadlineOf(limit time.Duration, now, end time.Time) time.Time {
	if !end.IsZero() {
		limit = min(limit, end.Sub(now)/2)
	}
	return now.Add(limit)
}

// measure has the coverage collected of what the grounds executed. It is no part of the
// verdict of a test that has failed, and an infrastructure failure of one that has not: a
// pass would be kept in a cache with a coverage that lacks something.
func (r *run) measure(grounds []*ground.Ground) {
	bad := r.results.bad()
	for _, g := range grounds {
		if g.Measure == nil {
			continue
		}
		ctx, cancel := r.interruption.context(deadlineOf(measureLimit, time.Now(), r.deadline), endOfAttest)
		c := testCase{Name: measureName + " of " + g.Name, Began: time.Now()}
		err := call(ctx, c.Name, func(ctx context.Context) error { return g.Measure(ctx, bad) })
		cancel()
		if err == nil || bad {
			continue
		}
		c.Duration = time.Since(c.Began)
		c.Verdict, c.Kind, c.Message, c.Details = failed, kindCoverage, err.Error(), err.Error()
		if r.classifyAs(c.Name, err) {
			c.Verdict, c.Kind = errored, kindInfrastructure
		}
		r.results.apply(change{Other: []testCase{c}})
		fmt.Fprintf(r.out, "%s: %v\n", c.Name, err)
	}
}

// attest calls Attest and records what it says.
func (r *run) attest() {
	if r.options.Attest == nil {
		return
	}
	ctx, cancel := r.interruption.context(deadlineOf(attestLimit, time.Now(), r.deadline), endOfAttest)
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
