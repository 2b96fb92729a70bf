// Package bazel runs Bazel's tests in a workspace and says of each whether Bazel's
// action cache, as the last run left it, already had its key.
//
// It differs from package smallrepo in what it asks: there, what a person sees as
// cached; here, keys. A result that a disk cache has is of a key that another commit
// had once, so it says nothing; only the action cache of the output base tells two runs
// in a row apart.
package bazel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"stormgate.internal/tools/internal/child"
)

// Workspace is a workspace with Bazel's output base for it.
type Workspace struct {
	// Root is its directory, OutputBase Bazel's.
	Root, OutputBase string
	// Program is what is run as Bazel.
	Program string
	// Environment has variables for it, "NAME=VALUE", beside this process's own.
	Environment []string
	// Startup has flags before the command, Flags those of every command.
	Startup, Flags []string
	// Scratch is a directory for what Bazel reports.
	Scratch string
}

// Run is what a test run said.
type Run struct {
	// Tests are those that have a verdict, by label. A test that did not build, that is
	// for another system, or that is hidden by the tag manual, has none.
	Tests map[string]Test
	// Graph is the action graph, an analysis.ActionGraphContainer, if it was asked for. It
	// is nil if a package could not be loaded.
	Graph []byte
	// Output is what Bazel printed.
	Output string
}

// Test is what a run said of a test.
type Test struct {
	// Shards is the number of its shards, 1 without sharding.
	Shards int
	// Fresh says that the key of one of them was not the one of the run before.
	Fresh bool
	// Passed says that all of them passed.
	Passed bool
}

// Exit codes of `bazel test`.
const (
	exitPassed    = 0
	exitPartial   = 1 // with --keep_going: something did not load, analyse or build
	exitFailed    = 3 // everything was built, and some test did not pass
	exitNoTests   = 4
	graphFileName = "graph.pb"
)

// Test runs all tests and returns what Bazel said, and the action graph if it is wanted.
// That some tests fail, or do not build, is no error.
func (w *Workspace) Test(ctx context.Context, wantGraph bool) (*Run, error) {
	events, graph := filepath.Join(w.Scratch, "events.json"), filepath.Join(w.Scratch, graphFileName)
	for _, file := range []string{events, graph} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	args := []string{"--keep_going", "--build_event_json_file=" + events}
	if wantGraph {
		args = append(args, "--experimental_aquery_dump_after_build_format=proto", "--experimental_aquery_dump_after_build_output_file="+graph)
	}
	_, output, err := w.Command(ctx, "test", append(args, "//...")...)
	exit := exitPassed
	if failure, ok := errors.AsType[*exec.ExitError](err); ok {
		exit, err = failure.ExitCode(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("run bazel test: %w", err)
	}
	switch exit {
	case exitPassed, exitPartial, exitFailed, exitNoTests:
	default:
		return nil, fmt.Errorf("bazel test ended with %d:\n%s", exit, output)
	}
	file, err := os.Open(events)
	if err != nil {
		return nil, fmt.Errorf("bazel test ended with %d and left no events: %w\n%s", exit, err, output)
	}
	defer file.Close()
	run := &Run{Output: output}
	if run.Tests, err = readEvents(file); err != nil {
		return nil, err
	}
	if wantGraph {
		run.Graph, err = os.ReadFile(graph)
		if exit == exitPartial && errors.Is(err, fs.ErrNotExist) {
			return run, nil // A package that can't be loaded: Bazel writes none then.
		}
		if err != nil {
			return nil, fmt.Errorf("bazel test ended with %d and left no action graph: %w\n%s", exit, err, output)
		}
	}
	return run, nil
}

// readEvents returns what Bazel's build events say of tests.
func readEvents(events io.Reader) (map[string]Test, error) {
	tests := map[string]Test{}
	decoder := json.NewDecoder(events)
	for {
		var event struct {
			ID struct {
				TestResult struct {
					Label string `json:"label"`
				} `json:"testResult"`
			} `json:"id"`
			TestResult *struct {
				Status        string `json:"status"`
				CachedLocally bool   `json:"cachedLocally"`
			} `json:"testResult"`
		}
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return tests, nil
		} else if err != nil {
			return tests, fmt.Errorf("read Bazel's build events: %w", err)
		}
		// NO_STATUS: the test did not build, or the build ended before.
		if event.TestResult == nil || event.TestResult.Status == "NO_STATUS" {
			continue
		}
		label := event.ID.TestResult.Label
		t, again := tests[label]
		t.Passed = (t.Passed || !again) && event.TestResult.Status == "PASSED"
		t.Shards++
		t.Fresh = t.Fresh || !event.TestResult.CachedLocally
		tests[label] = t
	}
}

// Version returns what Bazel says of its version. It needs no server.
func (w *Workspace) Version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, w.Program, "--version")
	cmd.Dir = w.Root
	cmd.Env = append(os.Environ(), w.Environment...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", w.Program, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Shutdown ends the server, if there is one.
func (w *Workspace) Shutdown(ctx context.Context) error {
	if _, output, err := w.Command(ctx, "shutdown"); err != nil {
		return fmt.Errorf("stop the Bazel server: %w\n%s", err, output)
	}
	return nil
}

// Command runs a Bazel command. It returns standard output, and both outputs together.
func (w *Workspace) Command(ctx context.Context, command string, args ...string) (stdout, output string, err error) {
	line := append([]string{"--output_base=" + w.OutputBase}, w.Startup...)
	line = append(line, command)
	if command != "shutdown" {
		line = append(line, "--noshow_progress", "--color=no", "--curses=no")
		line = append(line, w.Flags...)
	}
	cmd := exec.CommandContext(ctx, w.Program, append(line, args...)...)
	cmd.Dir = w.Root
	cmd.Env = append(os.Environ(), w.Environment...)
	return child.Outputs(cmd)
}
