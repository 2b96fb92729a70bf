package ginkgo

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Neither an endless budget nor one that is nearly used up takes the time of what
// comes after.
func TestDeadlineOf(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]time.Duration{
		time.Hour: attestLimit, 15 * time.Second: 7500 * time.Millisecond, 0: 0, -time.Second: -time.Second / 2,
	} {
		if got := deadlineOf(attestLimit, now, now.Add(left)).Sub(now); got != want {
			t.Errorf("%v left: %v for Attest, want %v", left, got, want)
		}
	}
	if got := deadlineOf(attestLimit, now, time.Time{}).Sub(now); got != attestLimit {
		t.Errorf("no budget: %v for Attest, want %v", got, attestLimit)
	}
}

// Whether the environment was the right one is part of the verdict.
func TestAttest(t *testing.T) {
	for _, c := range []struct {
		name  string
		shard shard
		exit  int
		log   []string
		kind  string // of the failure of the attestation
		trace string
	}{
		{"passes", shard{sample: "attested"}, 0,
			[]string{"\nattest environment: passed changes='none at all' environment=sha256:12\n"}, "", "set up, attest, collect, release"},
		{"after specs that fail", shard{sample: "attested", environment: []string{"BRIDGE_FAIL=1"}}, ExitFailure,
			[]string{"broken", "attest environment: passed"}, "", "set up, attest, collect, release"},
		{"within a budget", shard{sample: "attested", environment: []string{"TEST_TIMEOUT=300"}}, 0, nil, "", "set up, attest, collect, release"},
		{"makes a green run red", shard{sample: "attested badly"}, ExitFailure,
			[]string{"attest environment: failed verdict=changed", "--- FAILED: //e2e:sample_test: 0 of 1 specs", "env was changed by suite", "run again: tools/bazel test //e2e:sample_test\n"},
			kindAttest, "set up, anything runs, collect, release"},
		{"has no verdict", shard{sample: "attested without a verdict"}, ExitInfrastructure,
			[]string{"attest environment: infrastructure failure", "--- INFRASTRUCTURE FAILURE"}, kindInfrastructure, ""},
		{"panics", shard{sample: "attest panics"}, ExitFailure, []string{"panic: no pen"}, kindAttest, "set up, anything runs, collect, release"},
		{"hangs", shard{sample: "attest hangs", environment: []string{"TEST_TIMEOUT=300"}}, ExitFailure, []string{"did not end with its context"}, kindAttest, "set up, anything runs, collect, release"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.shard.run(t)
			wantExit(t, o, c.exit)
			wantLog(t, o, c.log...)
			if got := strings.Join(o.trace, ", "); got != c.trace {
				t.Errorf("events: %s, want %s", got, c.trace)
			}
			one := o.testCase(t, attestName)
			problem := one.Failure
			if c.kind == kindInfrastructure {
				problem = one.Error
			}
			switch {
			case c.kind == "" && (one.Failure != nil || one.Error != nil):
				t.Errorf("test case: %+v", one)
			case c.kind != "" && (problem == nil || problem.Type != c.kind):
				t.Errorf("test case: %+v", one)
			}
			if c.shard.sample == "attested" && (o.property("environment") != "sha256:12" || o.property("changes") != "none at all" || o.property(seedProperty) != "1") {
				t.Errorf("properties: %+v", o.report.Suites[0].Properties)
			}
		})
	}
	t.Run("the process ends in it", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "attest exits"}.run(t)
		wantExit(t, o, ExitFailure)
		wantLog(t, o, "the test process ended before its specs did")
	})
	t.Run("not without an environment", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "set-up fails before attest"}.run(t)
		wantExit(t, o, ExitFailure)
		if len(o.trace) > 0 || strings.Contains(o.log, attestName) {
			t.Errorf("attested what was never made ready: %q\n%s", o.trace, o.log)
		}
	})
	// After a signal it leaves time to collect and to release.
	t.Run("hangs after a signal", func(t *testing.T) {
		t.Parallel()
		p := shard{sample: "attest hangs after a signal", total: 1}.start(t, "waiting")
		if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(15*time.Second, func() { _ = p.Process.Kill() })
		defer kill.Stop()
		o := p.end(t)
		wantExit(t, o, ExitFailure)
		if want := []string{"set up", "waiting", "attest", "collect", "release"}; !slices.Equal(o.trace, want) {
			t.Errorf("order of events: %q, want %q\n%s", o.trace, want, o.log)
		}
	})
}
