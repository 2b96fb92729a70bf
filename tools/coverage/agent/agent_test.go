package agent

import (
	"io"
	"os"
	"os/exec"
	"runtime/coverage"
	"strings"
	"testing"

	"stormgate.internal/tools/coverage/live"
)

const asProgram = "COVERAGE_AGENT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		Serve(map[string]string{"example.com/x.go": "x.go"})
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen enough
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program starts this test as one with the agent.
func program(t *testing.T, address string) (cmd *exec.Cmd, log *strings.Builder, end func() error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, log = exec.Command(self), &strings.Builder{}
	cmd.Env = append(os.Environ(), asProgram+"=1", live.Variable+"="+address, "GOCOVERDIR="+t.TempDir())
	cmd.Stderr = log
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, log, func() error { _ = input.Close(); return cmd.Wait() }
}

// A program without instrumentation says so instead of sending nothing.
func TestWithoutInstrumentation(t *testing.T) {
	if testing.CoverMode() != "" || coverage.WriteMeta(io.Discard) == nil {
		t.Skip("this test was itself built with coverage")
	}
	if s := take("p", nil); s.Process != "p" || s.Uninstrumented == "" || s.Error != "" || s.Meta != nil || s.Counters != nil {
		t.Errorf("snapshot %+v", s)
	}
}

// A program that can't be measured runs all the same, and says why it is not measured.
func TestFailureToListenIsNoFailureOfTheProgram(t *testing.T) {
	_, log, end := program(t, "nonsense")
	if err := end(); err != nil || !strings.Contains(log.String(), `is "nonsense"`) {
		t.Errorf("%v, %q", err, log)
	}
}
