// Package bazel runs `bazel test` in a workspace, reads what came of it, and ends it in
// order: when it is told to, and when this process dies.
package bazel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stormgate.internal/tools/internal/child"
	"stormgate.internal/tools/report/runs"
)

// Exit codes of Bazel.
const (
	ExitPassed      = 0
	ExitBuildFailed = 1
	// ExitCommandLine is for options and targets that Bazel does not know.
	ExitCommandLine = 2
	ExitTestsFailed = 3
	ExitNoTests     = 4
	ExitInterrupted = 8
)

// How Bazel is ended: first as Ctrl-C does, which lets tests release what they have. More
// make the client kill its server, as Bazel says it does at the third.
const (
	grace       = 40 * time.Second
	secondGrace = 10 * time.Second
	repeat      = 500 * time.Millisecond
)

// Workspace is where Bazel runs.
type Workspace struct {
	// Root is the folder of the workspace.
	Root string
	// Program is what is run as Bazel: see Find. Name is how a person calls it there.
	Program, Name string
	// Startup are options before the command.
	Startup []string
	// Waiting is called every Interval while Bazel runs, with its last line; nil for none.
	Waiting func(since time.Duration, line string)
	// Interval is between calls of Waiting; default 30 s.
	Interval time.Duration
	// Grace is how long Bazel may take to end; default 40 s.
	Grace time.Duration
}

// Find finds the program that a person of this workspace would run, and how a person would
// call it from there.
func Find(root string) (program, name string, err error) {
	wrapper := filepath.Join(root, "tools", "bazel")
	if info, err := os.Stat(wrapper); err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0 {
		return wrapper, "tools/bazel", nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("find Bazel: %w", err)
	}
	for _, name := range []string{"bazelisk", "bazel"} {
		if file, err := exec.LookPath(name); err == nil {
			return file, name, nil
		}
	}
	return "", "", fmt.Errorf("find Bazel: no executable tools/bazel in %s, and neither bazelisk nor bazel on PATH", root)
}

// Request is one `bazel test`.
type Request struct {
	// Targets are patterns, also negative ones.
	Targets []string
	// Options are Bazel's, such as --strategy=ClusterUp=sandboxed.
	Options []string
	// Runs of each test, at least 1.
	Runs int
}

// Result is what came of it.
type Result struct {
	// Exit is Bazel's exit code.
	Exit int
	// Run is nil where Bazel wrote no build events.
	Run *runs.Run
	// Output are the last lines that Bazel printed.
	Output []string
	// Elapsed is all that it took.
	Elapsed time.Duration
}

// arguments of `bazel test`. Each run has to run: no cache may answer, and no further
// attempt may hide a failure.
func (r Request) arguments(events string) []string {
	args := []string{
		"--build_event_json_file=" + events, "--nocache_test_results", "--flaky_test_attempts=1", "--nokeep_going", "--test_keep_going",
		fmt.Sprintf("--runs_per_test=%d", max(1, r.Runs)), "--color=no", "--curses=no", "--show_progress_rate_limit=20", "--test_output=summary", "--test_summary=none",
	}
	return slices.Concat(args, r.Options, []string{"--"}, r.Targets)
}

// Test runs the tests. That some of them fail is no error, nor is an exit code of Bazel's.
// When ctx ends, Bazel is ended, and what it did until then is the result. Its exit code
// is ExitInterrupted then.
func (w *Workspace) Test(ctx context.Context, r Request) (*Result, error) {
	dir, err := os.MkdirTemp("", "flakes")
	if err != nil {
		return nil, fmt.Errorf("run bazel test: %w", err)
	}
	defer os.RemoveAll(dir)
	events := filepath.Join(dir, "events.json")
	started := time.Now()
	exit, output, err := w.command(ctx, "test", r.arguments(events)...)
	result := &Result{Exit: exit, Output: output, Elapsed: time.Since(started)}
	if err != nil {
		return nil, err
	}
	result.Run, err = runs.Load(events, runs.Options{FindWorkerLogs: true, Program: w.Name})
	if errors.Is(err, fs.ErrNotExist) || exit != ExitPassed && exit != ExitTestsFailed && err != nil {
		return result, nil // it ended before it wrote any; its output says why
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Shutdown ends the workspace's server, if there is one.
func (w *Workspace) Shutdown(ctx context.Context) error { return w.must(ctx, "shutdown") }

// Expunge ends the server and removes all that it made in its output base.
func (w *Workspace) Expunge(ctx context.Context) error { return w.must(ctx, "clean", "--expunge") }

func (w *Workspace) must(ctx context.Context, command string, args ...string) error {
	exit, output, err := w.command(ctx, command, args...)
	if err == nil && exit != 0 {
		err = fmt.Errorf("it ended with %d:\n%s", exit, strings.Join(output, "\n"))
	}
	if err != nil {
		return fmt.Errorf("bazel %s: %w", command, err)
	}
	return nil
}

// command runs Bazel and returns its exit code and last lines.
func (w *Workspace) command(ctx context.Context, verb string, args ...string) (exit int, output []string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, context.Cause(ctx)
	}
	var tail child.Tail
	cmd := exec.Command(w.Program, slices.Concat(w.Startup, []string{verb}, args)...)
	cmd.Dir = w.Root
	cmd.Env = environment(os.Environ())
	cmd.Stdout, cmd.Stderr = &tail, &tail
	// A server that Bazel starts closes what it has; a script on the way may not.
	cmd.WaitDelay = time.Second
	c, err := child.Start(cmd, child.OwnGroup(), child.WithoutInput(), child.Tethered(syscall.SIGINT))
	if err != nil {
		return 0, nil, fmt.Errorf("run bazel %s: %w", verb, err)
	}
	w.wait(ctx, c, &tail)
	<-c.Done()
	var failed *exec.ExitError
	switch err := c.Err(); {
	case ctx.Err() != nil:
		return ExitInterrupted, tail.Lines(), nil
	case errors.As(err, &failed) && failed.ExitCode() > 0:
		return failed.ExitCode(), tail.Lines(), nil
	case err != nil:
		return 0, nil, fmt.Errorf("run bazel %s: %w:\n%s", verb, err, strings.Join(tail.Lines(), "\n"))
	}
	return 0, tail.Lines(), nil
}

// wait returns when the child has ended, by itself or since ctx did.
func (w *Workspace) wait(ctx context.Context, c *child.Child, tail *child.Tail) {
	started := time.Now()
	interval := w.Interval
	if interval <= 0 {
		interval = 30 * time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-c.Done():
			return
		case <-ctx.Done():
			w.end(c)
			return
		case <-tick.C:
			if w.Waiting != nil {
				w.Waiting(time.Since(started), last(tail.Lines()))
			}
		}
	}
}

func last(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// end ends Bazel, what a script on the way to it started included.
func (w *Workspace) end(c *child.Child) {
	signal := func(s syscall.Signal) {
		_ = syscall.Kill(-c.PID(), s) // it may have ended
	}
	patience := w.Grace
	if patience <= 0 {
		patience = grace
	}
	signal(syscall.SIGINT)
	if within(c, patience) {
		return
	}
	// Signals that come before the one before is noticed count as one with it.
	for range int(secondGrace / repeat) {
		signal(syscall.SIGINT)
		if within(c, repeat) {
			return
		}
	}
	signal(syscall.SIGKILL)
}

func within(c *child.Child, patience time.Duration) bool {
	select {
	case <-c.Done():
		return true
	case <-time.After(patience):
		return false
	}
}

// environment is without what `bazel run` tells a program: a Bazel that it starts would take
// another workspace for its own, or fetch anew what reads these.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "BUILD_WORKSPACE_DIRECTORY", "BUILD_WORKING_DIRECTORY", "BUILD_EXECROOT", "BUILD_ID", "RUNFILES_DIR", "RUNFILES_MANIFEST_FILE", "JAVA_RUNFILES", "PYTHON_RUNFILES":
			return true
		}
		return false
	})
}
