package ginkgo

import (
	"slices"
	"testing"
)

// Bazel's timeout leaves room: the spec is stopped and reported before Bazel
// has to send its signal.
func TestTimeoutOfTheTarget(t *testing.T) {
	t.Parallel()
	o := shard{sample: "out of time", environment: []string{"TEST_TIMEOUT=8"}}.run(t)
	wantExit(t, o, 1)
	if want := []string{"set up", "cleaned up", "collect", "release"}; !slices.Equal(o.trace, want) {
		t.Errorf("order of events: %q, want %q", o.trace, want)
	}
	if c := o.testCase(t, "spec waits"); c.Failure == nil || c.Failure.Type != "timedout" {
		t.Errorf("test case: %+v", c)
	}
}
