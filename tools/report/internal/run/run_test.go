package run

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/report/internal/runtest"
)

// load loads the sample run, with what change makes of its files.
func load(t *testing.T, options Options, change func(name, content string) string) *Run {
	t.Helper()
	r, err := Load(runtest.Write(t, t.TempDir(), change), options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Run) find(t *testing.T, name string) *Shard {
	t.Helper()
	i := slices.IndexFunc(r.Shards, func(s *Shard) bool { return s.Name() == name })
	if i < 0 {
		t.Fatalf("no shard %q", name)
	}
	return r.Shards[i]
}

// Promise: each kind of end that a shard can have gets the verdict of whose it is.
func TestVerdicts(t *testing.T) {
	r := load(t, Options{}, nil)
	for name, want := range map[string]Verdict{
		"//e2e:storm_test (shard 1 of 2)": Product,
		"//e2e:storm_test (shard 2 of 2)": Passed,
		"//e2e:cached_test":               Passed,
		"//e2e:boot_test":                 Infrastructure,
		"//e2e:foreign_test":              Environment,
		"//e2e:crash_test":                Product,
		"//e2e:own_test":                  Environment,
		"//pkg:plain_test":                Product,
		"//pkg:flaky_test":                Product,
		"//pkg:flaky_test (attempt 2)":    Passed,
		"//pkg:exit_test":                 Test,
		"//pkg:idle_test":                 Test,
		"//pkg:slow_test":                 Unknown,
	} {
		if got := r.find(t, name).Verdict; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, f := range r.Failures {
		if f.Case.Name == "A spec fails in a changed environment" && f.Case.Verdict != Environment {
			t.Errorf("a failure in a changed environment is held against: %s", f.Case.Verdict)
		}
	}
	if r.Verdict != Build || !strings.Contains(r.Headline, "1 action failed to build") || !strings.Contains(r.Headline, "3 shards: the product failed") {
		t.Errorf("run: %s, %s", r.Verdict, r.Headline)
	}
	if len(r.NotRun) != 1 || r.NotRun[0].Label != "//pkg:broken_test" || !strings.Contains(r.NotRun[0].Reason, "failed to build") {
		t.Errorf("not run: %+v", r.NotRun)
	}
	if len(r.Builds) != 1 {
		t.Fatalf("builds: %+v", r.Builds)
	}
	if head, _, _ := r.Builds[0].Output.Show(1000); !strings.Contains(head, "syntax error") {
		t.Errorf("output of what was not built: %q", head)
	}
}

// Promise: an interrupted run is no pass, and neither is one of which nothing says how it ended.
func TestInterrupted(t *testing.T) {
	r := load(t, Options{}, func(name, content string) string {
		if name != "events.json" {
			return content
		}
		var kept []string
		for line := range strings.Lines(content) {
			if !strings.Contains(line, "FAILED") && !strings.Contains(line, "FLAKY") && !strings.Contains(line, "TIMEOUT") && !strings.Contains(line, "GoCompilePkg") && !strings.Contains(line, `"finished"`) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	})
	if r.Verdict != Interrupted || r.Counts.FailedShards != 0 {
		t.Errorf("%s, %s, %+v", r.Verdict, r.Headline, r.Counts)
	}
}

// Promise: a failure has its message, place, difference, and its own part of logs, events and
// objects, and none of others.
func TestFailure(t *testing.T) {
	r := load(t, Options{}, nil)
	i := slices.IndexFunc(r.Failures, func(f *Failure) bool { return f.Case.Name == `A storm counts "its" alerts` })
	if i < 0 {
		t.Fatalf("failures: %+v", r.Failures)
	}
	f := r.Failures[i]
	if f.Place != "e2e/storm_test.go:41" || f.Case.At != "e2e/storm_test.go:33" || f.First != "Timed out after 2.000s. Expected <string>: alerts of tenant-7f3a: 3 to equal <string>: alerts of tenant-7f3a: 4" {
		t.Errorf("place %q, first %q", f.Place, f.First)
	}
	if d := f.Difference; d == nil || d.Relation != "to equal" || len(d.Lines) != 2 || d.Lines[1].Mark != "4" {
		t.Errorf("difference: %+v", f.Difference)
	}
	if want := `tools/bazel test //e2e:storm_test --test_filter='^A storm counts "its" alerts$' --test_sharding_strategy=disabled --test_env=ROUNDS=full`; f.Rerun != want {
		t.Errorf("run again: %s", f.Rerun)
	}
	texts := map[string]string{}
	for _, s := range f.Slices {
		head, _, _ := s.Text.Show(1 << 20)
		texts[s.Kind] += head
	}
	for kind, want := range map[string]struct{ has, lacks []string }{
		"log":     {[]string{"tenant-7f3a taken", "tenant-0000 taken"}, []string{"started", "too late"}},
		"events":  {[]string{"Unhealthy x2"}, []string{"Scheduled"}},
		"objects": {[]string{"name: own"}, []string{"others"}},
	} {
		for _, part := range want.has {
			if !strings.Contains(texts[kind], part) {
				t.Errorf("%s lacks %q: %q", kind, part, texts[kind])
			}
		}
		for _, part := range want.lacks {
			if strings.Contains(texts[kind], part) {
				t.Errorf("%s has %q", kind, part)
			}
		}
	}
	if !slices.ContainsFunc(f.Slices, func(s Slice) bool { return s.Kind == "log" && slices.Equal(s.Own, []string{"tenant-7f3a"}) }) {
		t.Errorf("slices: %+v", f.Slices)
	}
	for _, plain := range r.Failures {
		if plain.Case.Name == "TestAdd" && (plain.Place != "add_test.go:9" || plain.Difference == nil || plain.Difference.Actual != "3") {
			t.Errorf("a Go test's failure: %+v, %+v", plain, plain.Difference)
		}
	}
}

// Promise: nothing of another run is shown: a report that was written over is left out, and
// named.
func TestOtherRun(t *testing.T) {
	r := load(t, Options{}, func(name, content string) string {
		return strings.ReplaceAll(content, `timestamp="2026-11-30T12:00:22"`, `timestamp="2026-11-30T18:00:22"`)
	})
	s := r.find(t, "//e2e:own_test")
	if len(s.Cases) != 0 || !slices.ContainsFunc(r.Problems, func(p string) bool {
		return strings.Contains(p, "//e2e:own_test") && strings.Contains(p, "another run")
	}) {
		t.Errorf("cases %+v, problems %q", s.Cases, r.Problems)
	}
}

// Promise: a shard that Bazel had wait for resources is read, and stands where it ran: Bazel's
// start is that of the wait, its duration is without it.
func TestQueued(t *testing.T) {
	for name, finished := range map[string]bool{"a whole run": true, "a run without an end": false} {
		t.Run(name, func(t *testing.T) {
			r := load(t, Options{}, func(name, content string) string {
				content = strings.ReplaceAll(content, `"1796040022400", "testAttemptStart": "2026-11-30T12:00:22.400Z"`, `"1796040007400", "testAttemptStart": "2026-11-30T12:00:07.400Z"`)
				if !finished {
					content = strings.ReplaceAll(content, `{"id": {"buildFinished": {}}`, `{"id": {"nothing": {}}`)
				}
				return content
			})
			s := r.find(t, "//e2e:own_test")
			// The suite's beginning has whole seconds: 22, of which 0.1 is the set-up's.
			if len(s.Cases) == 0 || math.Abs(s.Queued-14.5) > 0.001 || math.Abs(s.Start-21.9) > 0.001 || s.Duration != 2 {
				t.Errorf("%d cases, start %v, queued %v, took %v; problems %q", len(s.Cases), s.Start, s.Queued, s.Duration, r.Problems)
			}
		})
	}
}

// Promise: each file that can't be read is named.
func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	events := runtest.Write(t, dir, nil)
	logs := filepath.Join(dir, "execroot", "_main", "bazel-out", "k8-fastbuild", "testlogs")
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.Rename(logs, copied); err != nil {
		t.Fatal(err)
	}
	r, err := Load(events, Options{})
	if err != nil || r.find(t, "//e2e:own_test").Verdict != Unknown {
		t.Errorf("%v", err)
	}
	for _, what := range []string{"//e2e:own_test: test.xml", "//e2e:own_test: test.log", "//pkg:slow_test: the build events name no test.xml"} {
		if !slices.ContainsFunc(r.Problems, func(p string) bool { return strings.Contains(p, what) }) {
			t.Errorf("%q is not among the problems %q", what, r.Problems)
		}
	}
	if r, err = Load(events, Options{TestLogs: copied}); err != nil || r.find(t, "//e2e:own_test").Verdict != Environment {
		t.Errorf("a copy of the logs: %v, %q", err, r.Problems)
	}
}

// Promise: failures of one cause are one group, whatever names were made at random.
func TestGroups(t *testing.T) {
	for _, same := range [][2]string{
		{"timed out after 2.003s in tenant-7f3a at 10.0.0.7:8080", "timed out after 31s in tenant-9 at 10.0.0.9:80"},
		{"lease 0123456789abcdef at 2026-11-30T12:00:00Z", "lease fedcba9876543210 at 2026-12-01T12:00:00.5Z"},
	} {
		if likeness(same[0]) != likeness(same[1]) {
			t.Errorf("%q and %q are not alike: %q, %q", same[0], same[1], likeness(same[0]), likeness(same[1]))
		}
	}
	if likeness("connection refused") == likeness("connection reset") {
		t.Error("two causes are one")
	}
}

// Promise: with the worker's log a lease is where the server had it; what has no time is
// placed in its order, and marked.
func TestTimeline(t *testing.T) {
	dir := t.TempDir()
	events := runtest.Write(t, dir, nil)
	r, err := Load(events, Options{WorkerLogs: []string{filepath.Join(dir, "worker.log")}})
	if err != nil {
		t.Fatal(err)
	}
	spans := func(name string) []Span {
		for _, lane := range r.Timeline.Lanes {
			if lane.Name == name {
				return lane.Spans
			}
		}
		return nil
	}
	of := func(spans []Span, kind string) []Span {
		return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Kind != kind })
	}
	lease := of(spans("slot 1"), spanLease)
	if len(lease) != 2 || math.Abs(lease[0].Start-13.21) > 1e-6 || math.Abs(lease[0].End-17.3) > 1e-6 || lease[0].Guess {
		t.Errorf("leases of slot 1: %+v", lease)
	}
	specs := of(spans("slot 1"), spanSpec)
	if len(specs) != 4 || specs[0].Start != 13.3 || specs[0].Guess || specs[1].Failure == "" {
		t.Errorf("specs of slot 1: %+v", specs)
	}
	if guessed := of(spans("slot 2"), spanSpec); len(guessed) != 1 || !guessed[0].Guess || math.Abs(guessed[0].Start-13.4) > 1e-6 {
		t.Errorf("specs of slot 2: %+v", guessed)
	}
	if boots := spans("boot"); len(boots) != 1 || math.Abs(boots[0].End-11.9) > 1e-6 {
		t.Errorf("boots: %+v", boots)
	}
	deploys := spans("deployments")
	if len(of(deploys, spanRedeploy)) != 1 || !strings.Contains(of(deploys, spanRedeploy)[0].Note, "stormgate:admin") {
		t.Errorf("deployments: %+v", deploys)
	}
	if len(spans("GoLink")) != 1 || len(spans("storm/gateway-0")) == 0 || len(spans("from the cache")) != 1 {
		t.Errorf("lanes: %+v", r.Timeline.Lanes)
	}
	for _, lane := range r.Timeline.Lanes {
		for _, s := range lane.Spans {
			if s.Start < 0 || s.End < s.Start || s.End > r.Seconds+1 {
				t.Errorf("%s: %+v", lane.Name, s)
			}
		}
	}
}

// Promise: without the worker's log boots come from the shards' own reports, and what that
// lacks is said.
func TestTimelineWithoutWorkerLog(t *testing.T) {
	r := load(t, Options{}, nil)
	i := slices.IndexFunc(r.Timeline.Lanes, func(l Lane) bool { return l.Name == "boot" })
	if i < 0 || math.Abs(r.Timeline.Lanes[i].Spans[0].End-11.9) > 1e-6 {
		t.Errorf("lanes: %+v", r.Timeline.Lanes)
	}
	if !slices.ContainsFunc(r.Absent, func(a string) bool { return strings.Contains(a, "No log of the fixture's worker") }) {
		t.Errorf("absent: %q", r.Absent)
	}
	if len(r.Cluster.Boots) != 1 || len(r.Cluster.Environments) != 2 || len(r.Cluster.Warnings) != 1 || r.Cluster.Pods[0].Unhealthy != 2 {
		t.Errorf("cluster: %+v", r.Cluster)
	}
}

// Promise: balance is of the last attempts, and other shard counts are those of a schedule.
func TestBalance(t *testing.T) {
	r := load(t, Options{}, nil)
	if len(r.Balances) != 1 {
		t.Fatalf("balances: %+v", r.Balances)
	}
	b := r.Balances[0]
	if b.Target != "//e2e:storm_test" || len(b.Shards) != 2 || b.Longest != 8 || b.Mean != 7 || b.SpecSeconds != 2 {
		t.Errorf("balance: %+v", b)
	}
	if got := schedule([]float64{5, 4, 3, 3}, 2); got != 8 {
		t.Errorf("schedule: %v", got)
	}
	if len(r.Chain) == 0 || r.Chain[len(r.Chain)-1].Name != "//e2e:own_test" {
		t.Errorf("chain: %+v", r.Chain)
	}
}

// Promise: a spec that was tried more than once has its tries beside each other.
func TestRepeats(t *testing.T) {
	repeats := load(t, Options{}, nil).Repeats()
	if len(repeats) != 1 || repeats[0].Name != "A coin lands" || !repeats[0].Differ || len(repeats[0].Tries) != 2 || repeats[0].Tries[1].Result != "passed" {
		t.Errorf("%+v", repeats)
	}
}

// Promise: whatever a spec is called, the command that runs it again is one word of a shell.
func TestShellQuote(t *testing.T) {
	for text, want := range map[string]string{
		"//a:b":          "//a:b",
		"it's; rm -rf *": `'it'\''s; rm -rf *'`,
		"":               "''",
	} {
		if got := shellWord(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := expressionFor("a\n(b)\x00"); got != `a\x{a}\(b\)\x{0}` {
		t.Errorf("expression: %s", got)
	}
}

// Promise: what is left out of a text is counted, and no character is cut.
func TestText(t *testing.T) {
	whole := strings.Repeat("ä line\n", 1000)
	head, note, tail := NewText(whole).Show(100)
	if !strings.HasPrefix(whole, head) || !strings.HasSuffix(whole, tail) || !strings.Contains(note, "of 8000 bytes") || len(head)+len(tail) > 120 {
		t.Errorf("%q %q %q", head, note, tail)
	}
	if head, note, tail := NewText("short").Show(100); head != "short" || note != "" || tail != "" {
		t.Errorf("%q %q %q", head, note, tail)
	}
	if _, note, tail := newTail("end\n", 1000).Show(100); !strings.Contains(note, "first 996 of 1000") || tail != "end\n" {
		t.Errorf("%q %q", note, tail)
	}
	if long := NewText(strings.Repeat("x", keepLimit*2)); long.Bytes != keepLimit*2 {
		t.Errorf("%d bytes", long.Bytes)
	}
}

func FuzzText(f *testing.F) {
	f.Add("ä\nb\nc", 2)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 0 || limit > 1<<20 {
			return
		}
		head, note, tail := NewText(text).Show(limit)
		if note == "" && head != text {
			t.Errorf("%q became %q", text, head)
		}
		if !strings.HasPrefix(text, head) || !strings.HasSuffix(text, tail) || len(head)+len(tail) > len(text) {
			t.Errorf("%q became %q and %q", text, head, tail)
		}
	})
}

// Promise: how long the API server took is told by kind of request, the faults that specs
// had injected stand on the axis, and so does what was slow or failed.
func TestAPI(t *testing.T) {
	r := load(t, Options{}, nil)
	byName := map[string]Asked{}
	for _, a := range r.Cluster.API {
		byName[a.Verb+" "+a.Resource] = a
	}
	if a := byName["list remediationrequests"]; a.Requests != 20 || a.P50 != 0.013 || a.P95 != 0.022 || a.P99 != 0.023 || a.Longest != 0.023 || a.Failed+a.Unanswered != 0 {
		t.Errorf("lists: %+v", a)
	}
	if a := byName["create pods"]; a.Failed != 1 || a.P50 != 1.2 {
		t.Errorf("creates: %+v", a)
	}
	if a := byName["get pods/log"]; a.Unanswered != 1 || a.Longest != 0 {
		t.Errorf("a request without an answer: %+v", a)
	}
	var faults, requests []Span
	for _, lane := range r.Timeline.Lanes {
		for _, s := range lane.Spans {
			switch s.Kind {
			case spanFault:
				faults = append(faults, s)
			case spanRequest:
				requests = append(requests, s)
			}
		}
	}
	if len(faults) != 2 || faults[0].Start != 14.5 || faults[0].End != 15.5 || faults[0].Label != "status 503 create remediationrequests.remediation.kubernaut.io in tenant-7f3a, 3 at most" ||
		!strings.Contains(faults[0].Note, "met by 3 requests") {
		t.Errorf("faults: %+v", faults)
	}
	if len(faults) == 2 && (!strings.HasPrefix(faults[1].Label, "delay 300ms create/update/patch") || !strings.Contains(faults[1].Note, "not ended by its spec")) {
		t.Errorf("a fault without an end: %+v", faults[1])
	}
	if len(requests) != 2 || requests[0].Label != "create pods" || !strings.Contains(requests[1].Note, "connection reset by peer") {
		t.Errorf("requests: %+v", requests)
	}
	if !slices.ContainsFunc(r.Absent, func(text string) bool { return strings.HasPrefix(text, "5 requests") }) {
		t.Errorf("nothing says that some were left out: %q", r.Absent)
	}
}
