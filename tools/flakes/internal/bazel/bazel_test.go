package bazel

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stormgate.internal/tools/flakes/internal/fakebazel"
	"stormgate.internal/tools/internal/procstat"
)

// parentVariable makes the test's process one that runs Bazel in the named workspace.
const parentVariable = "BAZEL_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		os.Unsetenv(parentVariable) // Bazel is this program too
		w := Workspace{Root: dir, Program: filepath.Join(dir, "tools", "bazel")}
		_, err := w.Test(context.Background(), Request{Targets: []string{"//..."}})
		fmt.Println(err)
		os.Exit(1)
	}
	fakebazel.Main(m)
}

func workspace(t *testing.T, b fakebazel.Behaviour) (*fakebazel.Fake, *Workspace) {
	t.Helper()
	fake := fakebazel.New(t)
	dir := t.TempDir()
	fake.Workspace(dir, b)
	program, name, err := Find(dir)
	if err != nil || name != "tools/bazel" {
		t.Fatalf("%s, %v", name, err)
	}
	return fake, &Workspace{Root: dir, Program: program, Name: name}
}

func ended(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); procstat.Running(pid); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// Promise: the tests that are asked for really run, each time, and what came of it is read.
func TestTest(t *testing.T) {
	fake, w := workspace(t, fakebazel.Behaviour{Targets: []fakebazel.Target{
		{Label: "//e2e:a_test", Specs: []fakebazel.Spec{{Name: "one"}, {Name: "two", Rate: 1}}}, {Label: "//other:b_test"},
	}})
	t.Setenv("BUILD_WORKSPACE_DIRECTORY", "/elsewhere")
	result, err := w.Test(t.Context(), Request{Targets: []string{"//e2e/...", "-//e2e:x"}, Options: []string{"--strategy=ClusterUp=sandboxed"}, Runs: 3})
	if err != nil {
		t.Fatal(err)
	}
	if result.Exit != ExitTestsFailed || len(result.Run.Shards) != 3 || len(result.Run.Failures) != 3 || result.Elapsed <= 0 {
		t.Errorf("exit %d, %d shards, %d failures", result.Exit, len(result.Run.Shards), len(result.Run.Failures))
	}
	if again := result.Run.Failures[0].Rerun; !strings.HasPrefix(again, "tools/bazel test //e2e:a_test --test_filter='^two$'") || !strings.HasSuffix(again, "--strategy=ClusterUp=sandboxed") {
		t.Errorf("to run it again: %s", again)
	}
	call := fake.Calls()[0]
	for _, want := range []string{"--nocache_test_results", "--flaky_test_attempts=1", "--runs_per_test=3", "--strategy=ClusterUp=sandboxed"} {
		if !slices.Contains(call.Arguments, want) {
			t.Errorf("no %s in %q", want, call.Arguments)
		}
	}
	if rest := call.Arguments[len(call.Arguments)-3:]; !slices.Equal(rest, []string{"--", "//e2e/...", "-//e2e:x"}) {
		t.Errorf("targets: %q", rest)
	}
	if call.Directory != w.Root {
		t.Errorf("it ran in %s", call.Directory)
	}
	if err := w.Shutdown(t.Context()); err != nil || fake.Servers() != 0 {
		t.Errorf("shutdown: %v, %d servers", err, fake.Servers())
	}
}

// Promise: what Bazel itself fails in is told by its exit code and its last lines.
func TestTestFails(t *testing.T) {
	fake, w := workspace(t, fakebazel.Behaviour{Broken: "//a:b does not compile"})
	result, err := w.Test(t.Context(), Request{Targets: []string{"//..."}})
	if err != nil || result.Exit != ExitBuildFailed || !strings.Contains(strings.Join(result.Output, "\n"), "//a:b does not compile") {
		t.Errorf("%+v, %v", result, err)
	}
	fake.Behave(w.Root, fakebazel.Behaviour{Exit: 37})
	result, err = w.Test(t.Context(), Request{Targets: []string{"//..."}})
	if err != nil || result.Exit != 37 || result.Run != nil || !strings.Contains(last(result.Output), "FATAL") {
		t.Errorf("%+v, %v", result, err)
	}
	w.Program = filepath.Join(w.Root, "nothing")
	if _, err = w.Test(t.Context(), Request{}); err == nil || !strings.Contains(err.Error(), "run bazel test") {
		t.Errorf("%v", err)
	}
	if err := w.Shutdown(t.Context()); err == nil {
		t.Error("shutdown without Bazel is no error")
	}
}

// Promise: an end in the middle leaves no process, and what was done until then is known;
// so is one of a Bazel that takes no notice, which loses its server too.
func TestInterrupted(t *testing.T) {
	for name, stubborn := range map[string]int{"at once": 0, "at the second signal": 1, "never": 99} {
		t.Run(name, func(t *testing.T) {
			fake, w := workspace(t, fakebazel.Behaviour{Hang: true, Stubborn: stubborn, Targets: []fakebazel.Target{{Label: "//e2e:a_test", Specs: []fakebazel.Spec{{Name: "one"}}}}})
			w.Grace = 50 * time.Millisecond
			if stubborn == 0 {
				w.Grace = time.Minute
			}
			waited := make(chan string, 100)
			w.Interval, w.Waiting = 5*time.Millisecond, func(_ time.Duration, line string) {
				select {
				case waited <- line:
				default:
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				fake.Hangs()
				<-waited // progress is told of
				cancel()
			}()
			result, err := w.Test(ctx, Request{Targets: []string{"//..."}})
			if err != nil || result.Exit != ExitInterrupted || result.Run == nil || len(result.Run.Shards) != 1 {
				t.Fatalf("%+v, %v", result, err)
			}
			ended(t, fake.Calls()[0].PID)
			if stubborn == 99 && fake.Servers() != 0 {
				t.Error("its server is still there")
			}
			if _, err := w.Test(ctx, Request{}); err == nil {
				t.Error("another test is started afterwards")
			}
		})
	}
}

// Promise: Bazel ends when this process is killed.
func TestParentKilled(t *testing.T) {
	fake, w := workspace(t, fakebazel.Behaviour{Hang: true})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), parentVariable+"="+w.Root)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	fake.Hangs()
	bazel := fake.Calls()[0].PID
	if !procstat.Running(bazel) {
		t.Fatal("Bazel does not run")
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
	}
	_ = parent.Wait() // it was killed
	ended(t, bazel)
}

// Promise: without a wrapper it is the Bazel on PATH, and without any the error says where
// it was looked for.
func TestFind(t *testing.T) {
	dir, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	if _, _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "tools/bazel in "+dir) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "bazel"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if program, name, err := Find(dir); err != nil || name != "bazel" || program != filepath.Join(path, "bazel") {
		t.Errorf("%s, %s, %v", program, name, err)
	}
}

// Promise: what `bazel run` told this program, Bazel is not told.
func TestEnvironment(t *testing.T) {
	got := environment([]string{"BUILD_WORKSPACE_DIRECTORY=/a", "HOME=/b", "RUNFILES_DIR=/c", "BUILD=" + strconv.Itoa(1)})
	if !slices.Equal(got, []string{"HOME=/b", "BUILD=1"}) {
		t.Errorf("%q", got)
	}
}
