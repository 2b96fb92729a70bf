package ginkgo

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stormgate.internal/tools/internal/procstat"
)

// If the process that runs the specs ends early, the shard fails. Its log names the
// reason and the spec, and test.xml has a verdict on each spec. In particular an exit
// with code 0 is not success.
func TestProcessThatEndsEarly(t *testing.T) {
	for _, c := range []struct {
		sample, env string
		running     string // spec that has begun
		lost        int    // specs that have not
		reason      string
		again       string
	}{
		{sample: "exits", running: "program leaves early", reason: "exit status 0: did a spec end the process (os.Exit)?",
			again: ` --test_filter='^program leaves early$' --test_sharding_strategy=disabled`},
		{sample: "exits in setup", lost: 1, reason: "exit status 0"},
		{sample: "exits after", reason: "exit status 0"},
		{sample: "panics on the side", running: "program panics", lost: 1, reason: "exit status 2: panic: nobody catches this",
			again: ` --test_filter='^program panics$' --test_sharding_strategy=disabled`},
		{sample: "is killed", running: "program is killed", reason: "signal: killed",
			again: ` --test_filter='^program is killed$' --test_sharding_strategy=disabled`},
		{sample: "leaves a child behind", running: "program leaves early", reason: "exit status 0",
			again: ` --test_filter='^program leaves early$' --test_sharding_strategy=disabled`},
		{sample: "two containers", env: afterVariable + "=3", reason: "exit status 3 after its specs had passed"},
		{sample: "two containers", env: beforeVariable + "=0", reason: "does TestMain get to Run?"},
	} {
		t.Run(c.sample+c.env, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: c.sample, total: 1, environment: []string{c.env}}.run(t)
			wantExit(t, o, ExitFailure)
			wantLog(t, o, c.reason, "--- FAILED: //e2e:sample_test", "run again: tools/bazel test //e2e:sample_test"+c.again+"\n")
			var running string
			lost, process := 0, 0
			for _, one := range o.cases() {
				switch {
				case one.Error == nil:
				case one.Error.Type == kindCutShort:
					running = one.Name
				case one.Error.Type == kindLost:
					lost++
				default:
					process++
					if !strings.Contains(one.Error.Message, c.reason) {
						t.Errorf("test.xml says %q of the process", one.Error.Message)
					}
				}
			}
			if running != c.running || lost != c.lost || process != 1 {
				t.Errorf("test.xml says %q was running, %d specs never began, %d processes failed", running, lost, process)
			}
		})
	}
}

// The stack of a crash is in the artifacts; the log has it too, where the process
// wrote it.
func TestCrashIsKept(t *testing.T) {
	o := shard{sample: "panics on the side"}.run(t)
	for _, content := range []string{o.log, o.file(t, "outputs", specsFolder, "process.txt"), o.testCase(t, "[process]").Error.Text} {
		if !strings.Contains(content, "panic: nobody catches this") || !strings.Contains(content, "samples_crash_test.go:") {
			t.Errorf("no stack in:\n%s", content)
		}
	}
	// Also what the spec had written, and only that one; Ginkgo's own record of it
	// dies with the process.
	for sample, name := range map[string]string{"panics on the side": "program panics", "is killed": "program is killed"} {
		o := shard{sample: sample}.run(t)
		c := o.testCase(t, name)
		if c.Output == nil || c.Output.Text != "about to open 3 bottles\n" {
			t.Errorf("%s: output in test.xml: %+v", sample, c.Output)
		}
		if content := o.file(t, "outputs", specsFolder, fileName(name)+".txt"); !strings.Contains(content, "about to open 3 bottles\n") {
			t.Errorf("%s: the spec's file lacks its output:\n%s", sample, content)
		}
	}
}

// When Bazel kills the process that it has started, the one that runs the specs must
// end too, since it holds the lease. test.xml was written before.
func TestKilledSupervisor(t *testing.T) {
	t.Parallel()
	p := shard{sample: "tells its process"}.start(t, "process ")
	content, err := os.ReadFile(p.dir + "/trace")
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(strings.TrimSpace(string(content)), "process ")
	runner, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	// A signal to Bazel's process group must not reach it besides.
	if group, err := syscall.Getpgid(runner); err != nil || group != runner {
		t.Errorf("process %d is in group %d: %v", runner, group, err)
	}
	// test.xml follows within a moment; a kill before that leaves an older one.
	for !strings.Contains(read(p.dir+"/test.xml"), kindCutShort) {
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	o := p.end(t) // returns when no process has the log open any more
	// It closes the log a moment before it is gone. If it went on, so would this test.
	for procstat.Running(runner) {
		time.Sleep(5 * time.Millisecond)
	}
	if c := o.testCase(t, "program waits"); c.Error == nil || c.Error.Type != kindCutShort {
		t.Errorf("test case: %+v", c)
	}
}

func read(path string) string {
	content, _ := os.ReadFile(path) // what is not there reads as empty
	return string(content)
}

func TestSignal(t *testing.T) {
	for _, c := range []struct {
		sample string
		trace  []string
		log    []string
		xml    string // case that must be an error
	}{
		{"waits for its context", []string{"set up", "waiting", "told to stop", "cleaned up first", "cleaned up last", "collect", "release"},
			[]string{"Here's a current progress report", "--- FAILED: //e2e:sample_test"}, "spec waits"},
		{"cleanup hangs", []string{"set up", "waiting", "collect", "release"},
			[]string{"Here's a current progress report", "--- FAILED"}, "spec waits"},
		{"Ginkgo hangs", []string{"set up", "waiting", "collect", "release"},
			[]string{"were abandoned", "--- FAILED"}, "spec reports"},
		{"setup hangs", []string{"waiting"}, []string{"terminated after"}, "set up"},
		{"stops moving", []string{"set up", "waiting"}, []string{"killed since it went on for more than 14 s after a signal"}, "spec stops"},
	} {
		t.Run(c.sample, func(t *testing.T) {
			t.Parallel()
			p := shard{sample: c.sample, total: 1}.start(t, "waiting")
			// Bazel signals the group. Ginkgo would take a second signal for an order
			// to skip the cleanup.
			if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// Bazel kills 15 s after its signal; here that would lose the trace.
			kill := time.AfterFunc(15*time.Second, func() { _ = p.Process.Kill() })
			defer kill.Stop()
			o := p.end(t)
			wantExit(t, o, ExitFailure)
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

// What a spec starts has no part in this run, even if it is a suite too.
func TestSuiteWithinASpec(t *testing.T) {
	o := shard{sample: "runs another suite", total: 1}.run(t)
	wantExit(t, o, 0)
	if want := []string{"one runs", "two runs"}; !slices.Equal(o.trace, want) {
		t.Errorf("the other suite ran %q, want %q", o.trace, want)
	}
}

// Ginkgo answers SIGUSR1 with a progress report. It comes to the process that
// people know.
func TestProgressReportOnDemand(t *testing.T) {
	t.Parallel()
	p := shard{sample: "can be asked", total: 1}.start(t, "waiting")
	if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "asked")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.end(t)
	wantExit(t, o, ExitFailure)
	wantLog(t, o, "half way")
}

// A signal that comes while the processes are being started is not lost.
func TestSignalAtTheStart(t *testing.T) {
	t.Parallel()
	p := shard{sample: "waits for its context", total: 1, environment: []string{startedVariable + "=1"}}.start(t, "started")
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.end(t)
	if o.exit == 0 {
		t.Errorf("exit code 0\n%s", o.log)
	}
}

func TestWrapperOfRulesGo(t *testing.T) {
	o := shard{sample: "two containers", environment: []string{"GO_TEST_WRAP=true"}}.run(t)
	wantExit(t, o, ExitFailure)
	wantLog(t, o, "rules_go's wrapper would replace test.xml", `env = {"GO_TEST_WRAP": "0"}`)
	if len(o.trace) > 0 {
		t.Errorf("ran %q", o.trace)
	}
	for want, environments := range map[bool][][]string{
		true:  {{"XML_OUTPUT_FILE=/x"}, {"GO_TEST_WRAP=1"}, {"GO_TEST_WRAP=true", "XML_OUTPUT_FILE=/x"}},
		false: {nil, {"PATH=/bin"}, {"GO_TEST_WRAP=0", "XML_OUTPUT_FILE=/x"}, {"XML_OUTPUT_FILE=/x", "GO_TEST_WRAP=false"}},
	} {
		for _, environment := range environments {
			if got := isWrapper(environment); got != want {
				t.Errorf("wrapper with %q: %v", environment, got)
			}
		}
	}
}

func TestTracedProcess(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\ta\nTracerPid:\t0\nUid:\t0\n":   false,
		"Name:\ta\nTracerPid:\t812\nUid:\t0\n": true,
		"Name:\ta\n":                           false,
	} {
		if got := isTraced(status); got != want {
			t.Errorf("%q: traced %v", status, got)
		}
	}
}
