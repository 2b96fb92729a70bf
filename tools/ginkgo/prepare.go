package ginkgo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// prepare returns what this process has to do. If that is nothing, the note has the
// reason.
func (r *run) prepare() (a assignment, note string, err error) {
	if r.filter, err = newFilter(r.bazel, flag.CommandLine); err != nil {
		return a, "", err
	}
	measured, err := readTimings(r.bazel.timingsFile)
	if err != nil {
		return a, "", err
	}
	ctx, cancel := r.interruption.context(r.specsDeadline, 0)
	defer cancel()
	tree, err := askPreview(ctx, r.bazel, (r.bazel.shard+1)%r.bazel.shards)
	if err != nil && !r.specsDeadline.IsZero() && time.Now().After(r.specsDeadline) {
		return a, "", fmt.Errorf("no time is left to look at the spec tree: the test has %v in all (--test_timeout, -test.timeout): %w", r.deadline.Sub(r.started), err)
	}
	if err != nil {
		return a, "", fmt.Errorf("look at the spec tree: %w", err)
	}
	all := tree.Specs
	if len(all) == 0 {
		return a, "", errors.New("the suite has no specs: is the file with its containers among the test's sources?")
	}
	if tree.Focused {
		return a, "", focusLeft(all)
	}
	if pattern := flagValue(flag.CommandLine, "test.list"); pattern != "" {
		note, err := list(all, pattern)
		return a, note, err
	}
	if err := r.refuseSerial(all); err != nil {
		return a, "", err
	}
	plan, err := newPlan(all, r.bazel.shards, measured)
	if err != nil {
		return a, "", err
	}
	matching := r.filter.selected(r.options.Name, all)
	if len(matching) == 0 {
		return a, "", fmt.Errorf("no spec of the suite matches %s: the filter is a regular expression over the full text of a spec, "+
			"such as %q; where it is meant for one target of many, name that target", r.filter.describe(r.suite), all[0].Text)
	}
	if !anyToRun(all) {
		return a, "", errors.New("nothing to run: all specs of the suite are pending")
	}
	if !anyToRun(matching) {
		return a, "", fmt.Errorf("only pending specs match %s, such as %q at %s: nothing would run; choose others, or make it an It",
			r.filter.describe(r.suite), matching[0].Text, matching[0].Leaf.location())
	}
	mine := plan.specsOfShard(r.bazel.shard)
	if !anyToRun(mine) {
		most := plan.runnableUnits()
		return a, "", fmt.Errorf("%s has nothing to run: the suite has %s to distribute; lower shard_count to %d, or divide a container",
			r.bazel.position(), describeUnits(most), most)
	}
	mine = r.filter.selected(r.options.Name, mine)
	if !anyToRun(mine) {
		note = fmt.Sprintf("%s: none of this shard's specs match %s; %d of the suite's %d specs do, in other shards\n",
			r.title(), r.filter.describe(r.suite), len(matching), len(all))
		if len(mine) > 0 {
			note = fmt.Sprintf("%s: only pending ones of this shard's specs match %s; others of the suite's %d specs do, in other shards\n",
				r.title(), r.filter.describe(r.suite), len(all))
		}
		return a, note, r.verifyIdle(ctx, all)
	}
	return assignment{Mine: mine, All: all, Started: r.started, Seed: r.suite.RandomSeed}, note, nil
}

// verifyIdle is verify for a shard that starts no runner. It looks at the tree in the
// shard's own role. Without it the chain of comparisons would end here.
func (r *run) verifyIdle(ctx context.Context, all []spec) error {
	own, err := askPreview(ctx, r.bazel, r.bazel.shard)
	if err != nil {
		return fmt.Errorf("look at the spec tree: %w", err)
	}
	return unequal(differences(own.Specs, all))
}

func anyToRun(specs []spec) bool {
	return slices.ContainsFunc(specs, func(s spec) bool { return !s.Pending })
}

// focusLeft is the complaint about FIt, FDescribe and the like.
func focusLeft(all []spec) error {
	var focused []string
	for _, s := range all {
		if !s.Excluded && !s.Pending {
			focused = append(focused, s.Leaf.location()+" "+s.Text)
		}
	}
	if len(focused) > 5 {
		focused = append(focused[:5], fmt.Sprintf("and %d more", len(focused)-5))
	}
	return fmt.Errorf("focused specs are left in the code (FIt, FDescribe, Focus), so others would never run; "+
		"remove the focus and use --test_filter instead:\n  %s", strings.Join(focused, "\n  "))
}

// list answers go test -list.
func list(all []spec, pattern string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", fmt.Errorf("read -list=%s as a regular expression: %w", pattern, err)
	}
	var out strings.Builder
	for _, s := range all {
		if re.MatchString(s.Text) {
			fmt.Fprintln(&out, s.Text)
		}
	}
	return out.String(), nil
}
