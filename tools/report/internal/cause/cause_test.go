package cause

import (
	"strings"
	"testing"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/run"
)

func shard() *run.Shard {
	return &run.Shard{
		Target: "//e2e:a", Shard: 1, Of: 2, Run: 1, Attempt: 1, Program: "p1",
		Lease: &run.Lease{Environment: "//e2e:calm", Digest: "d1", Cluster: "c1"},
	}
}

func before() *history.Record {
	return &history.Record{Shards: []history.Shard{{Target: "//e2e:a", Shard: 1, Of: 2, Run: 1, Verdict: "passed", Program: "p1", Digest: "d1", Cluster: "c1"}}}
}

// Promise: the reason is what the files name, and where they name none, it says unknown.
func TestSet(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *run.Run, s *run.Shard, b *history.Record)
		none   bool
		want   []string
	}{
		"action cache":   {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Cached = "action cache" }, want: []string{"cached: no input has changed"}},
		"disk cache":     {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Cached = "disk or remote cache" }, want: []string{"cached:", "disk or remote"}},
		"first run":      {none: true, want: []string{"not known", "no earlier run"}},
		"new":            {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Target = "//e2e:b" }, want: []string{"not part of the run before"}},
		"program":        {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Program = "p2" }, want: []string{"its program changed"}},
		"environment":    {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Lease.Digest = "d2" }, want: []string{"environment //e2e:calm changed (d2, was d1)"}},
		"cluster":        {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Lease.Cluster = "c2" }, want: []string{"cluster program changed"}},
		"failed before":  {change: func(_ *run.Run, _ *run.Shard, b *history.Record) { b.Shards[0].Verdict = "product" }, want: []string{"had failed in the run before"}},
		"shards":         {change: func(_ *run.Run, _ *run.Shard, b *history.Record) { b.Shards[0].Of = 3 }, want: []string{"shards was 3 and is 2"}},
		"option":         {change: func(r *run.Run, _ *run.Shard, _ *history.Record) { r.Options = []string{"--test_arg=-v"} }, want: []string{"now --test_arg=-v"}},
		"option gone":    {change: func(_ *run.Run, _ *run.Shard, b *history.Record) { b.Options = []string{"--test_arg=-v"} }, want: []string{"no longer --test_arg=-v"}},
		"asked for":      {change: func(r *run.Run, _ *run.Shard, _ *history.Record) { r.Options = []string{"--nocache_test_results"} }, want: []string{"asked not to use a cached result"}},
		"second attempt": {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Attempt = 2 }, want: []string{"the attempt before failed"}},
		"two reasons": {change: func(_ *run.Run, s *run.Shard, b *history.Record) { s.Program = "p2"; b.Shards[0].Verdict = "test" },
			want: []string{"its program changed; it had failed"}},
		"nothing known":     {want: []string{"unknown", "as in the run before"}},
		"no digests at all": {change: func(_ *run.Run, s *run.Shard, _ *history.Record) { s.Program, s.Lease = "", nil }, want: []string{"unknown", "no digest of its program"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, s, b := &run.Run{}, shard(), before()
			r.Shards = []*run.Shard{s}
			if test.change != nil {
				test.change(r, s, b)
			}
			if test.none {
				b = nil
			}
			Set(r, b)
			for _, part := range test.want {
				if !strings.Contains(s.Why, part) {
					t.Errorf("%q lacks %q", s.Why, part)
				}
			}
		})
	}
}
