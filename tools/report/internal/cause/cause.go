// Package cause says why Bazel ran a shard or answered it from a cache, by comparing a run
// with the record of the one before. The build events don't have a test's key; what they
// and the shards' reports name of it is compared, and what they don't name is said to be
// unknown.
package cause

import (
	"fmt"
	"slices"
	"strings"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/run"
)

// Set sets Why of all shards. Before is nil where no earlier run is known.
func Set(r *run.Run, before *history.Record) {
	for _, s := range r.Shards {
		s.Why = why(r, s, before)
	}
}

func why(r *run.Run, s *run.Shard, before *history.Record) string {
	switch {
	case s.Cached == "action cache":
		return "cached: no input has changed since this Bazel server ran it"
	case s.Cached != "":
		return "cached: its result for these inputs was in the disk or remote cache"
	case s.Attempt > 1:
		return "ran again: the attempt before failed (--flaky_test_attempts, or flaky = True)"
	}
	if option := uncached(r.Options); option != "" {
		return "ran: asked not to use a cached result (" + option + ")"
	}
	if before == nil {
		return "ran: why is not known, as no earlier run is on record"
	}
	i := slices.IndexFunc(before.Shards, func(b history.Shard) bool {
		return b.Target == s.Target && b.Shard == s.Shard && b.Run == s.Run
	})
	if i < 0 {
		return "ran: it was not part of the run before" + changedOptions(r.Options, before.Options)
	}
	b := before.Shards[i]
	var reasons []string
	if b.Of != s.Of {
		reasons = append(reasons, fmt.Sprintf("the number of shards was %d and is %d", b.Of, s.Of))
	}
	if b.Program != "" && s.Program != "" && b.Program != s.Program {
		reasons = append(reasons, "its program changed")
	}
	if s.Lease != nil {
		if b.Digest != "" && s.Lease.Digest != "" && b.Digest != s.Lease.Digest {
			reasons = append(reasons, fmt.Sprintf("environment %s changed (%.8s, was %.8s)", s.Lease.Environment, s.Lease.Digest, b.Digest))
		}
		if cluster, _, _ := strings.Cut(s.Lease.Cluster, " "); b.Cluster != "" && cluster != "" && b.Cluster != cluster {
			reasons = append(reasons, "the cluster program changed")
		}
	}
	if options := changedOptions(r.Options, before.Options); options != "" {
		reasons = append(reasons, strings.TrimPrefix(options, "; "))
	}
	if run.Verdict(b.Verdict).Bad() {
		reasons = append(reasons, "it had failed in the run before, and failures are never taken from the cache")
	}
	if len(reasons) > 0 {
		return "ran: " + strings.Join(reasons, "; ")
	}
	text := "ran: unknown. What of its inputs the files name is as in the run before"
	if s.Program == "" {
		text += ", but no digest of its program is among that"
	}
	return text + "; its data, or its tags (external), may say why"
}

// uncached is the option that forbids cached results; empty if none does.
func uncached(options []string) string {
	for _, o := range slices.Backward(options) {
		switch o {
		case "--nocache_test_results", "--cache_test_results=no", "--cache_test_results=0", "--cache_test_results=false", "-t-":
			return o
		case "--cache_test_results", "--cache_test_results=yes", "--cache_test_results=1", "--cache_test_results=true", "--cache_test_results=auto":
			return ""
		}
	}
	return ""
}

// changedOptions names options that enter a test's key and that only one run has.
func changedOptions(now, then []string) string {
	var changed []string
	for _, side := range []struct {
		these, others []string
		sign          string
	}{{now, then, "now "}, {then, now, "no longer "}} {
		for _, o := range side.these {
			if matters(o) && !slices.Contains(side.others, o) {
				changed = append(changed, side.sign+o)
			}
		}
	}
	if len(changed) == 0 {
		return ""
	}
	return "; options changed: " + strings.Join(changed, ", ")
}

func matters(option string) bool {
	for _, prefix := range []string{
		"--test_filter", "--test_arg", "--test_env", "--runs_per_test", "--test_sharding_strategy", "--config", "--compilation_mode", "--define", "--run_under",
		"--features", "--platforms", "--test_timeout", "--@", "--//", "--copt", "--action_env", "--collect_code_coverage",
	} {
		if strings.HasPrefix(option, prefix) {
			return option != "--config=report"
		}
	}
	return false
}
