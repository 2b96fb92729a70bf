package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stormgate.internal/e2e/testxml"
)

// bazel runs tests in the scratch copy. Its server stays between runs.
type bazel struct{ scratch *scratch }

// Bazel's exit codes.
const (
	exitPassed = 0
	exitFailed = 3 // everything was built, and some test did not pass
)

// testRun is what a run of tests came to.
type testRun struct {
	exit  int
	cases []testxml.Case
	// output is the end of what Bazel printed.
	output string
}

// outputTail is how much of Bazel's output is kept, in bytes.
const outputTail = 6000

// test builds the targets and runs them. An error means that Bazel could not be
// run or that its results could not be read; how it ended is in testRun.
func (b *bazel) test(ctx context.Context, targets []string, flags ...string) (testRun, error) {
	events := filepath.Join(b.scratch.dir, "events.json")
	if err := os.Remove(events); err != nil && !errors.Is(err, os.ErrNotExist) {
		return testRun{}, err
	}
	args := []string{
		"test", "--build_event_json_file=" + events, "--color=no", "--curses=no", "--noshow_progress",
		"--experimental_convenience_symlinks=ignore",
		// Static analysis is left out, since the code is wrong on purpose.
		"--norun_validations",
		// rules_go names each function of a Go test in its report only when it is verbose.
		"--test_env=GO_TEST_WRAP_TESTV=1",
	}
	args = append(append(append(args, flags...), "--"), targets...)
	output, err := b.run(ctx, args...)
	run := testRun{output: tail(output, outputTail)}
	if exit, exited := errors.AsType[*exec.ExitError](err); exited && ctx.Err() == nil {
		run.exit, err = exit.ExitCode(), nil
	}
	if err != nil {
		return run, fmt.Errorf("run bazel test: %w\n%s", errors.Join(err, ctx.Err()), run.output)
	}
	if run.exit != exitPassed && run.exit != exitFailed {
		return run, nil
	}
	file, err := os.Open(events)
	if err != nil {
		return run, err
	}
	defer file.Close()
	run.cases, err = readEvents(file)
	return run, err
}

// shutdown ends the server and, with it, the cluster.
func (b *bazel) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if output, err := b.run(ctx, "shutdown"); err != nil {
		return fmt.Errorf("stop the Bazel server of %s: %w\n%s", b.scratch.dir, err, tail(output, outputTail))
	}
	return nil
}

func (b *bazel) run(ctx context.Context, args ...string) ([]byte, error) {
	args = append([]string{"--output_base=" + b.scratch.outputBase()}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(b.scratch.root(), "tools", "bazel"), args...)
	cmd.Dir = b.scratch.root()
	// The signal goes to all that Bazel starts, not only to the script that started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	return cmd.CombinedOutput()
}

// readEvents reads the test.xml of each test action in Bazel's build events.
func readEvents(events io.Reader) ([]testxml.Case, error) {
	var cases []testxml.Case
	decoder := json.NewDecoder(events)
	for {
		var event struct {
			ID struct {
				TestResult *struct {
					Label string `json:"label"`
				} `json:"testResult"`
			} `json:"id"`
			TestResult struct {
				Output []struct {
					Name string `json:"name"`
					URI  string `json:"uri"`
				} `json:"testActionOutput"`
			} `json:"testResult"`
		}
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return cases, nil
		} else if err != nil {
			return nil, fmt.Errorf("read Bazel's build events: %w", err)
		}
		if event.ID.TestResult == nil {
			continue
		}
		found := false
		for _, output := range event.TestResult.Output {
			if output.Name != "test.xml" {
				continue
			}
			found = true
			file, err := localFile(output.URI)
			if err != nil {
				return nil, err
			}
			more, err := testxml.Read(file)
			if err != nil {
				return nil, fmt.Errorf("results of %s: %w", event.ID.TestResult.Label, err)
			}
			cases = append(cases, located(more, event.ID.TestResult.Label)...)
		}
		if !found {
			return nil, fmt.Errorf("results of %s: there is no test.xml", event.ID.TestResult.Label)
		}
	}
}

// located gives the cases of a test that is no scenario the test's label in place of a
// file, which only scenarios report.
func located(cases []testxml.Case, label string) []testxml.Case {
	if strings.HasPrefix(label, "//e2e:") {
		return cases
	}
	for i := range cases {
		cases[i].File = label
	}
	return cases
}

func localFile(uri string) (string, error) {
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Scheme != "file" {
		return "", fmt.Errorf("results are at %q, which is no local file: run without a remote cache", uri)
	}
	return parsed.Path, nil
}

// tail returns at most limit bytes from the end, in whole lines.
func tail(output []byte, limit int) string {
	if cut := len(output) - limit; cut > 0 {
		output = output[cut:]
		if line := bytes.IndexByte(output, '\n'); line >= 0 {
			output = output[line+1:]
		}
	}
	return strings.TrimSpace(string(output))
}
