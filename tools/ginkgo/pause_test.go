package ginkgo

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// looked is what the sample leaves whose first spec fails and pauses.
var looked = []string{"looked at", "cleaned up", "pauses goes on"}

// Promise: a spec that failed stays before its cleanup, and the log says how to reach what
// it stands on. Other specs run afterwards, also where there are shards.
func TestPause(t *testing.T) {
	for _, total := range []int{0, 1} {
		o := shard{sample: "ground is looked at", total: total, args: []string{"-ginkgo.sleep-on-failure=100ms"}}.run(t)
		wantExit(t, o, ExitFailure)
		if !slices.Equal(o.trace, looked) {
			t.Errorf("the specs left %q, want %q", o.trace, looked)
		}
		wantLog(t, o, "Paused on failure", "failed at ", ":\n        broken", "environment:", "the gateway is at 127.0.0.1:8081")
	}
}

// Promise: a pause costs a test that Bazel holds to a timeout no more than that, and says
// so. A signal ends it with cleanup and reports, as it ends specs.
func TestPauseEndsWithTheTest(t *testing.T) {
	p := shard{sample: "ground is looked at", environment: []string{"TEST_TIMEOUT=60"}, args: []string{"-ginkgo.sleep-on-failure=10m"}}.start(t, "looked at")
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.end(t)
	wantExit(t, o, ExitFailure)
	wantLog(t, o, "--test_timeout gives it more", "broken")
	if !slices.Equal(slices.Compact(o.trace), looked[:2]) {
		t.Errorf("the specs left %q", o.trace)
	}
}

// Promise: under "bazel run" the test's timeout does not end what comes after a pause.
func TestPauseWithoutTimeout(t *testing.T) {
	o := shard{sample: "ground is looked at", environment: []string{"TEST_TIMEOUT=1", "BUILD_WORKSPACE_DIRECTORY=/"}, args: []string{"-ginkgo.sleep-on-failure=1100ms"}}.run(t)
	if !slices.Equal(o.trace, looked) || strings.Contains(o.log, "--test_timeout") {
		t.Errorf("the specs left %q\n%s", o.trace, o.log)
	}
}
