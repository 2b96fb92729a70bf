package bridge

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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

func TestSignal(t *testing.T) {
	for _, c := range []struct {
		sample string
		trace  []string
		log    []string
		xml    string // case that must be an error
	}{
		{"waits for its context", []string{"set up", "waiting", "told to stop", "cleaned up", "collect", "release"},
			[]string{"Here's a current progress report", "--- FAILED: //e2e:sample_test"}, "spec waits"},
		{"cleanup hangs", []string{"set up", "waiting", "collect", "release"},
			[]string{"Here's a current progress report", "--- FAILED"}, "spec waits"},
		{"Ginkgo hangs", []string{"set up", "waiting", "collect", "release"},
			[]string{"were abandoned", "--- FAILED"}, "spec reports"},
		{"setup hangs", []string{"waiting"}, []string{"terminated after"}, "set up"},
	} {
		t.Run(c.sample, func(t *testing.T) {
			t.Parallel()
			command, log, dir := shard{sample: c.sample, total: 1}.prepare(t)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			for {
				content, _ := os.ReadFile(filepath.Join(dir, "trace"))
				if strings.Contains(string(content), "waiting") {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if err := command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// Bazel kills 15 s after its signal; here that would lose the trace.
			kill := time.AfterFunc(15*time.Second, func() { _ = command.Process.Kill() })
			defer kill.Stop()
			o := concluded(t, command, command.Wait(), log, dir)
			wantExit(t, o, 1)
			wantLog(t, o, c.log...)
			if !slices.Equal(o.trace, c.trace) {
				t.Errorf("order of events: %q, want %q\n%s", o.trace, c.trace, o.log)
			}
			if found := o.testCase(t, c.xml); found.Error == nil && found.Failure == nil {
				t.Errorf("test case: %+v", found)
			}
		})
	}
}
