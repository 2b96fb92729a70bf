package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stormgate.internal/tools/flakes/internal/busy"
	"stormgate.internal/tools/flakes/internal/fakebazel"
	"stormgate.internal/tools/internal/procstat"
)

// mainVariable makes the test's process one of main.
const mainVariable = "FLAKES_TEST_MAIN"

func TestMain(m *testing.M) {
	busy.Main()
	if os.Getenv(mainVariable) != "" {
		os.Unsetenv(mainVariable) // Bazel is this program too
		main()
		os.Exit(0)
	}
	fakebazel.Main(m)
}

// person is one with a repository, whose Bazel is a fake.
type person struct {
	t    *testing.T
	fake *fakebazel.Fake
	dir  string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	// No configuration of the machine or of a person.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	p := &person{t: t, fake: fakebazel.New(t), dir: t.TempDir()}
	t.Setenv("BUILD_WORKSPACE_DIRECTORY", p.dir)
	t.Setenv("BUILD_WORKING_DIRECTORY", p.dir)
	p.git("init", "--quiet", "--initial-branch=main")
	return p
}

func (p *person) git(args ...string) string {
	p.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit has the workspace behave so from there on.
func (p *person) commit(subject string, b fakebazel.Behaviour) string {
	p.t.Helper()
	p.fake.Workspace(p.dir, b)
	p.git("add", "-A")
	p.git("commit", "--quiet", "--allow-empty", "-m", subject)
	return p.git("rev-parse", "HEAD")
}

// runs calls the command.
func (p *person) runs(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, log bytes.Buffer
	cmd := command(&out, &log)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(ctx)
	return out.String(), log.String(), err
}

func behaves(rate float64) fakebazel.Behaviour {
	return fakebazel.Behaviour{Targets: []fakebazel.Target{{Label: "//e2e:storm_test", Specs: []fakebazel.Spec{{Name: "A storm ends", Rate: rate}, {Name: "A storm begins"}}}}}
}

func endsWith(err error, code int) bool {
	var end *endError
	return errors.As(err, &end) && end.code == code
}

// Promise: one command samples, prints the table, and keeps records, pages of failing runs
// and exports.
func TestSample(t *testing.T) {
	p := newPerson(t)
	b := behaves(0)
	b.Targets[0].Specs[0].Seed = 5
	p.fake.Workspace(p.dir, b)
	stdout, stderr, err := p.runs(t.Context(), "--runs=4", "--load=1", "--random", "--seed=3", "--shared", "--private", "--json=flakes.json", "--markdown=flakes.md", "//e2e/...")
	if !endsWith(err, exitFlaky) {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, part := range []string{"    2      1 ", "//e2e:storm_test A storm ends  .F\n", ", private clusters\n"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("no %q in\n%s", part, stdout)
		}
	}
	for _, part := range []string{"run 3 of 4  seed 5  shared", "tools/bazel test //e2e:storm_test --test_filter='^A storm ends$' --test_arg=-test.shuffle=5"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("no %q in\n%s", part, stderr)
		}
	}
	pages, err := filepath.Glob(filepath.Join(p.dir, defaultPages, "*-run-0003.html"))
	if err != nil || len(pages) != 1 || !strings.Contains(stderr, pages[0]) {
		t.Errorf("pages %q, %v", pages, err)
	}
	records, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "stormgate", "history", "*.json"))
	if err != nil || len(records) != 4 {
		t.Errorf("records %q, %v", records, err)
	}
	for _, name := range []string{"flakes.json", "flakes.md"} {
		if content, err := os.ReadFile(filepath.Join(p.dir, name)); err != nil || !strings.Contains(string(content), "A storm ends") {
			t.Errorf("%s: %v, %s", name, err, content)
		}
	}
}

// Promise: what passes always ends with 0, and one document can go to standard output.
func TestSamplePasses(t *testing.T) {
	p := newPerson(t)
	p.fake.Workspace(p.dir, behaves(0))
	stdout, _, err := p.runs(t.Context(), "--runs=2", "--history=none", "--pages=none", "--json=-", "//e2e:storm_test")
	if err != nil || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, `"passRate": 1`) {
		t.Errorf("%v: %s", err, stdout)
	}
	if left, err := os.ReadDir(os.Getenv("XDG_CACHE_HOME")); err != nil || len(left) > 0 {
		t.Errorf("kept %v, %v", left, err)
	}
}

// Promise: an error comes after what is known.
func TestSampleFails(t *testing.T) {
	p := newPerson(t)
	p.fake.Workspace(p.dir, fakebazel.Behaviour{Broken: "//e2e:storm_test does not compile"})
	stdout, _, err := p.runs(t.Context(), "//e2e/...")
	if err == nil || !strings.Contains(err.Error(), "does not compile") || !strings.Contains(stdout, "no spec came to a result") {
		t.Errorf("%v: %s", err, stdout)
	}
	if err := os.Remove(filepath.Join(p.dir, "tools", "bazel")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := p.runs(t.Context(), "//e2e/..."); err == nil || !strings.Contains(err.Error(), "find Bazel") {
		t.Errorf("%v", err)
	}
	if _, _, err := p.runs(t.Context(), "--bazel=nowhere", "//e2e/..."); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
}

// Promise: Ctrl-C prints what is known and ends with 130; a second one ends at once. Neither
// leaves a process.
func TestCtrlC(t *testing.T) {
	for name, stubborn := range map[string]int{"once": 0, "twice": 1} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			b := behaves(0)
			b.Hang, b.Stubborn = true, stubborn
			p.fake.Workspace(p.dir, b)
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(program, "--load=2", "//e2e/...")
			cmd.Env = append(os.Environ(), mainVariable+"=1")
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p.fake.Hangs()
			children := childrenOf(t, cmd.Process.Pid)
			if len(children) != 3 { // Bazel and two busy ones
				t.Errorf("children %v", children)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for waiting := true; waiting; {
				select {
				case err = <-ended:
					waiting = false
				case <-time.After(50 * time.Millisecond):
					if stubborn > 0 {
						_ = cmd.Process.Signal(os.Interrupt) // it may have ended
					}
				}
			}
			var exit *exec.ExitError
			switch errors.As(err, &exit); {
			case exit == nil:
				t.Fatalf("%v", err)
			case stubborn == 0 && (exit.ExitCode() != exitInterrupted || !strings.Contains(stdout.String(), "A storm ends") || !strings.Contains(stderr.String(), "interrupted")):
				t.Errorf("%v\n%s\n%s", err, stdout.String(), stderr.String())
			case stubborn > 0 && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT:
				t.Errorf("%v\n%s", err, stderr.String())
			}
			for _, pid := range children {
				for end := time.Now().Add(30 * time.Second); procstat.Running(pid); time.Sleep(2 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("process %d is still there", pid)
					}
				}
			}
		})
	}
}

func childrenOf(t *testing.T, parent int) (children []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if stat, err := procstat.Read(e.Name()); err == nil {
			if of, err := stat.Parent(); err == nil && of == parent {
				children = append(children, pid)
			}
		}
	}
	return children
}

// line commits a history of n commits which fails from the given one on; some don't build.
func (p *person) line(n, first int, rate float64, broken ...int) (ids []string) {
	for i := range n {
		b := behaves(0)
		if i >= first {
			b = behaves(rate)
		}
		for _, at := range broken {
			if at == i {
				b.Broken = "//e2e:storm_test does not compile"
			}
		}
		ids = append(ids, p.commit(fmt.Sprintf("change %d", i), b))
	}
	return ids
}

var search16 = []string{"--bisect", "--spec=A storm ends", "--most_runs=100", "--failures=4"}

// Promise: the first bad commit of a rare failure is found, past commits that don't build, in a
// work tree and by a server of which nothing is left; the person's tree is not touched.
func TestBisect(t *testing.T) {
	p := newPerson(t)
	ids := p.line(12, 7, 0.6, 5, 9)
	mine := filepath.Join(p.dir, "fake.json")
	if err := os.WriteFile(mine, []byte("my edit"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append(search16, "--good="+ids[0], "--json=answer.json", "--markdown=answer.md", "//e2e:storm_test")
	stdout, stderr, err := p.runs(t.Context(), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, part := range []string{"The first bad commit of \"A storm ends\" of //e2e:storm_test is\n  " + ids[7][:12] + " change 7\n", "at least 95 %", "one failure proves a commit bad", "lower bound at 99 %"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("no %q in\n%s", part, stdout)
		}
	}
	for _, part := range []string{"12 commits, the good " + ids[0][:12], "change 11: how often the bad end fails", "passes to go", ": good\n", ": bad\n"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("no %q in\n%s", part, stderr)
		}
	}
	for _, call := range p.fake.Calls() {
		line := strings.Join(call.Arguments, " ")
		if call.Directory == p.dir || !strings.HasPrefix(call.Arguments[0], "--output_base=") {
			t.Errorf("it ran in %s: %s", call.Directory, line)
		}
		if call.Arguments[2] == "test" && !strings.Contains(line, "--test_filter=^A storm ends$ --test_sharding_strategy=disabled") {
			t.Errorf("it ran more than the spec: %s", line)
		}
	}
	if content, err := os.ReadFile(mine); err != nil || string(content) != "my edit" {
		t.Errorf("my edit: %q, %v", content, err)
	}
	if p.fake.Servers() != 0 || strings.Contains(p.git("worktree", "list"), "\n") {
		t.Errorf("%d servers, work trees %s", p.fake.Servers(), p.git("worktree", "list"))
	}
	var document struct {
		Candidates []struct{ ID string }
		Confidence float64
	}
	content, err := os.ReadFile(filepath.Join(p.dir, "answer.json"))
	if err := errors.Join(err, json.Unmarshal(content, &document)); err != nil || len(document.Candidates) != 1 || document.Candidates[0].ID != ids[7] || document.Confidence != 0.95 {
		t.Errorf("%v, %s", err, content)
	}
	if content, err := os.ReadFile(filepath.Join(p.dir, "answer.md")); err != nil || !strings.Contains(string(content), "| `"+ids[7][:12]+"` |") {
		t.Errorf("%v, %s", err, content)
	}
	// The same command has the answer without another run.
	calls := len(p.fake.Calls())
	if again, _, err := p.runs(t.Context(), args...); err != nil || again != stdout || len(p.fake.Calls()) != calls {
		t.Errorf("again: %v, %d calls more\n%s", err, len(p.fake.Calls())-calls, again)
	}
}

// Promise: commits that could not be tested where the answer is are listed with it, and a
// spec that is not there is no pass.
func TestBisectRange(t *testing.T) {
	p := newPerson(t)
	ids := p.line(4, 4, 0)
	p.commit("rename the spec", fakebazel.Behaviour{Targets: []fakebazel.Target{{Label: "//e2e:storm_test", Specs: []fakebazel.Spec{{Name: "Another one"}}}}})
	p.commit("rename it back", behaves(0.5))
	stdout, stderr, err := p.runs(t.Context(), append(search16, "--good="+ids[0], "//e2e:storm_test")...)
	if !endsWith(err, exitFlaky) || !strings.Contains(stdout, "rename the spec\n") || !strings.Contains(stdout, "rename it back\n") || !strings.Contains(stdout, ids[3][:12]+" change 3 is good") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	if !strings.Contains(stderr, "left out: 24 runs in a row did not show the spec: no spec matches the filter") {
		t.Error(stderr)
	}
}

// Promise: a spec that the bad end does not have ends the search at once, with what to do.
func TestBisectWithoutTheSpec(t *testing.T) {
	p := newPerson(t)
	ids := p.line(4, 4, 0)
	p.commit("rename the spec", fakebazel.Behaviour{Targets: []fakebazel.Target{{Label: "//e2e:storm_test", Specs: []fakebazel.Spec{{Name: "Another one"}}}}})
	stdout, stderr, err := p.runs(t.Context(), append(search16, "--good="+ids[0], "//e2e:storm_test")...)
	if err == nil || !strings.Contains(err.Error(), "rename the spec does not have the spec: no spec matches the filter") || !strings.Contains(err.Error(), "--spec is the full text") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	if calls := len(p.fake.Calls()); calls > 6 {
		t.Errorf("%d calls of Bazel", calls)
	}
}

// Promise: a spec that does not fail, or fails at the good end, has no answer, but a reason.
func TestBisectNoAnswer(t *testing.T) {
	p := newPerson(t)
	ids := p.line(3, 3, 0)
	stdout, _, err := p.runs(t.Context(), append(search16, "--good="+ids[0], "//e2e:storm_test")...)
	if !endsWith(err, exitFlaky) || !strings.Contains(stdout, "passed 100 times in a row: it fails at a rate below 3.0 %") || !strings.Contains(stdout, "--whole_target") {
		t.Errorf("%v\n%s", err, stdout)
	}
	p.commit("fails", behaves(0.5))
	p.commit("fails still", behaves(0.5))
	stdout, _, err = p.runs(t.Context(), append(search16, "--good=HEAD^", "//e2e:storm_test")...)
	if !endsWith(err, exitFlaky) || !strings.Contains(stdout, "fails still") && !strings.Contains(stdout, "fails as well") {
		t.Errorf("%v\n%s", err, stdout)
	}
	if p.fake.Servers() != 0 {
		t.Error("its server is still there")
	}
}

// Promise: an interruption and a time limit keep what is known and leave no server; the same
// command goes on to the same answer.
func TestBisectResumes(t *testing.T) {
	p := newPerson(t)
	ids := p.line(9, 4, 0.6)
	args := append(search16, "--good="+ids[0], "//e2e:storm_test")
	for first := true; ; first = false {
		stop := len(p.fake.Calls()) + 2 // a batch is done, and another one begun
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for len(p.fake.Calls()) < stop && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		stdout, stderr, err := p.runs(ctx, args...)
		cancel()
		<-done
		if p.fake.Servers() != 0 {
			t.Fatal("its server is still there")
		}
		if err == nil {
			if !strings.Contains(stdout, ids[4][:12]+" change 4") || first {
				t.Errorf("%s\n%s", stdout, stderr)
			}
			break
		}
		if !endsWith(err, exitInterrupted) || !strings.Contains(stdout, "The same command goes on from here") || !first && !strings.Contains(stderr, "known from before") {
			t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
		}
	}
	stdout, _, err := p.runs(t.Context(), append(args, "--afresh", "--for=1ms")...)
	if !endsWith(err, exitFlaky) || !strings.Contains(stdout, "No answer yet: the first bad commit is one of 8 after "+ids[0][:12]) {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// Promise: a Bazel that breaks is tried once more with another server, and then is an error
// that says so, which is no verdict on the commit.
func TestBisectBroken(t *testing.T) {
	p := newPerson(t)
	good := p.commit("good", behaves(0))
	p.commit("breaks Bazel", fakebazel.Behaviour{Exit: 37})
	stdout, stderr, err := p.runs(t.Context(), append(search16, "--good="+good, "//e2e:storm_test")...)
	if err == nil || !strings.Contains(err.Error(), "ended with 37") || !strings.Contains(stderr, "once more, with another server") || !strings.Contains(stdout, "No answer yet") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	p.commit("comes from a cache", fakebazel.Behaviour{Cached: true, Targets: behaves(0).Targets})
	if _, _, err := p.runs(t.Context(), append(search16, "--good="+good, "//e2e:storm_test")...); err == nil || !strings.Contains(err.Error(), "came from a cache") {
		t.Errorf("%v", err)
	}
}

// Promise: a state that can't be read is named, and one bisection is not done twice at once.
func TestBisectState(t *testing.T) {
	p := newPerson(t)
	ids := p.line(2, 1, 1)
	args := append(search16, "--good="+ids[0], "--dir=state", "//e2e:storm_test")
	if _, _, err := p.runs(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "state", "*", "state.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"version":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.runs(t.Context(), args...); err == nil || !strings.Contains(err.Error(), "--afresh begins anew") {
		t.Errorf("%v", err)
	}
	lock, err := os.Open(filepath.Join(filepath.Dir(files[0]), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.runs(t.Context(), args...); err == nil || !strings.Contains(err.Error(), "is being done already") {
		t.Errorf("%v", err)
	}
}

// Promise: a random order has a seed for each run of a bisection.
func TestBisectRandom(t *testing.T) {
	p := newPerson(t)
	ids := p.line(2, 1, 1)
	_, stderr, err := p.runs(t.Context(), append(search16, "--good="+ids[0], "--random", "--seed=70", "--whole_target", "--private", "//e2e:storm_test")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	seeds := 0
	for _, call := range p.fake.Calls() {
		line := strings.Join(call.Arguments, " ")
		if call.Arguments[2] != "test" {
			continue
		}
		if !strings.Contains(line, "--runs_per_test=1 ") || !strings.Contains(line, fmt.Sprintf("--test_arg=-test.shuffle=%d", 70+seeds)) ||
			!strings.Contains(line, "--strategy=ClusterUp=sandboxed") || strings.Contains(line, "--test_filter") {
			t.Errorf("run %d: %s", seeds, line)
		}
		seeds++
	}
	if seeds < 6 {
		t.Errorf("%d runs", seeds)
	}
}

// Promise: a wrong command line is refused, with what is wrong.
func TestUsage(t *testing.T) {
	p := newPerson(t)
	for want, args := range map[string][]string{
		"name the targets":                           {},
		"write it from the top of the workspace on":  {"e2e"},
		"can't be negative":                          {"--runs=-1", "//..."},
		"at most 1000":                               {"--load=1001", "//..."},
		"--seed=-1":                                  {"--seed=-1", "//..."},
		"--good has an effect with --bisect only":    {"--good=x", "//..."},
		"--runs has no effect with --bisect":         {"--bisect", "--runs=3", "--good=x", "//a:b"},
		"one target, not several and no pattern":     {"--bisect", "--good=x", "//..."},
		"needs --good":                               {"--bisect", "//a:b"},
		"--message":                                  {"--bisect", "--good=x", "--message=(", "//a:b"},
		"an error of 0.7":                            {"--bisect", "--good=x", "--error=0.7", "//a:b"},
		"one kind of cluster":                        {"--bisect", "--good=x", "--shared", "--private", "//a:b"},
		"only if --random is there too":              {"--bisect", "--good=x", "--seed=3", "//a:b"},
		"unknown flag":                               {"--nonsense"},
		"above 0.2, that of good ones, and at most ": {"--bisect", "--good=x", "--good_rate=0.2", "--rate=0.1", "//a:b"},
	} {
		_, _, err := p.runs(t.Context(), args...)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if _, _, err := p.runs(t.Context(), "--bisect", "--good=nowhere", "//a:b"); err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("%v", err)
	}
}

// Promise: labels are compared as build events write them.
func TestLabel(t *testing.T) {
	for from, want := range map[string]string{"//e2e:a": "//e2e:a", "//e2e": "//e2e:e2e", "//a/b": "//a/b:b", "@//a": "//a:a", "@x//a:b": "@x//a:b"} {
		if got := label(from); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}
