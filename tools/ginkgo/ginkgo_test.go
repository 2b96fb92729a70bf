package ginkgo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var variedSpecs = []string{
	"a lonely thing sits alone", "a lonely thing stands alone",
	"a staircase has step 0", "a staircase has step 1", "a staircase has step 2", "a staircase has step 3",
	"apples are green", "apples are red", "apples when cut turn brown",
	"loop 0 turns", "loop 1 turns", "loop 2 turns", "loop 3 turns",
	"no container (top level)", "no container? (2)",
	"pears are green", "pears are soft",
	"twins look the same", "twins look the same",
}

// The promise of sharding, for any number of shards: together they run every spec
// exactly once, ordered steps stay in one process and in order, and no shard is idle.
// The results are what the processes did.
func TestShardsRunEverySpecOnce(t *testing.T) {
	const units = 11
	for _, total := range []int{0, 1, 2, 3, 4, 7, units} {
		t.Run(fmt.Sprintf("%d shards", total), func(t *testing.T) {
			t.Parallel()
			var ran, reported []string
			for index := range max(total, 1) {
				o := shard{sample: "varied", index: index, total: total}.run(t)
				wantExit(t, o, 0)
				if len(o.trace) == 0 {
					t.Errorf("shard %d ran nothing", index)
				}
				ran = append(ran, o.trace...)
				for _, c := range o.cases() {
					reported = append(reported, c.Name)
				}
				if _, err := os.Stat(filepath.Join(o.dir, "status")); total > 0 && err != nil {
					t.Errorf("the shard status file was not touched: %v", err)
				}
				if _, err := os.Stat(filepath.Join(o.dir, "premature")); err == nil {
					t.Error("the premature exit file was left behind")
				}
				if lines := strings.Count(o.log, "\n"); lines > 3 {
					t.Errorf("a passing shard prints %d lines:\n%s", lines, o.log)
				}
			}
			slices.Sort(ran)
			slices.Sort(reported)
			if !slices.Equal(ran, variedSpecs) {
				t.Errorf("specs that ran: %q", ran)
			}
			if !slices.Equal(reported, variedSpecs) {
				t.Errorf("specs in test.xml: %q", reported)
			}
		})
	}
}

func TestShardWithoutSpecsFails(t *testing.T) {
	for index, want := range []int{0, 0, 1} {
		o := shard{sample: "two containers", index: index, total: 3}.run(t)
		wantExit(t, o, want)
		if want == 1 {
			wantLog(t, o, "shard 3 of 3 has nothing to run", "2 top-level containers", "lower shard_count to 2")
			if len(o.cases()) != 1 || o.cases()[0].Error == nil {
				t.Errorf("test.xml does not show the failure: %+v", o.cases())
			}
		}
	}
}

// Specs are distinguished by their texts. Texts go to other processes, to Ginkgo as
// regular expressions, and into XML.
func TestOddTexts(t *testing.T) {
	ran := 0
	for index := range 2 {
		o := shard{sample: "odd texts", index: index, total: 2}.run(t)
		wantExit(t, o, 0)
		ran += len(o.cases())
	}
	if ran != 4 {
		t.Errorf("test.xml files have %d cases, want 4", ran)
	}
}

// Each of these would otherwise be green without having tested anything, or
// with specs lost between shards.
func TestRunsThatProveNothingFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		shard shard
		want  string
	}{
		{"no specs", shard{sample: "no specs"}, "the suite has no specs"},
		{"only pending specs", shard{sample: "only pending"}, "all specs of the suite are pending"},
		{"focus left in the code", shard{sample: "focused"}, "suite only me"},
		{"skip in BeforeSuite", shard{sample: "suite skips itself"}, "anything runs: skipped: skipped in BeforeSuite: not today"},
		{"texts differ between processes", shard{sample: "named by process"}, "not in the tree that the other process saw: one runs as"},
		{"specs differ between shards", shard{sample: "only in one shard", total: 2}, "only in the tree that the other process saw: three runs"},
		{"Go tests beside the specs", shard{sample: "has Go tests"}, "Go test functions never run beside a Ginkgo suite: make them specs, or move them to another package: Test"},
		{"filter that matches pending specs only", shard{sample: "partly pending", filter: "later"}, `only pending specs match --test_filter=later, such as "one day is for later" at`},
		{"panic while the tree is built", shard{sample: "panics while building"}, "no such tree"},
		{"weight that is no number", shard{sample: "bad weight"}, `label "weight:much" at`},
		{"filter that matches nothing", shard{sample: "varied", filter: "bananas"}, "no spec of the suite matches --test_filter=bananas"},
		{"filter that is no expression", shard{sample: "varied", filter: "a("}, "read --test_filter=a( as a regular expression"},
		{"label filter that matches nothing", shard{sample: "labels", args: []string{"-ginkgo.label-filter=nonesuch"}}, "matches -ginkgo.label-filter=nonesuch"},
		{"repeated in one process", shard{sample: "varied", args: []string{"-test.count=3"}}, "-test.count=3 has no effect on a Ginkgo suite; use --runs_per_test"},
		{"parallel Go tests", shard{sample: "varied", args: []string{"-test.parallel=77"}}, "-test.parallel=77 has no effect on a Ginkgo suite; use shard_count"},
		{"argument", shard{sample: "varied", args: []string{"extra", "-test.count=3"}}, `the argument "extra" has no effect, nor have the flags after it`},
		{"a list", shard{sample: "varied", args: []string{"-test.list=."}}, "-test.list=. lists the specs and runs none, so the test would pass without a spec; to look at the suite: bazel run //e2e:sample_test -- -test.list=."},
		{"help", shard{sample: "varied", args: []string{"-test.v", "-help"}}, "-help prints the flags and runs nothing, so the test would pass without a spec; to look at the suite: bazel run //e2e:sample_test -- -help"},
		{"no time by a flag", shard{sample: "varied", args: []string{"-test.timeout=1ns"}, environment: []string{"TEST_TIMEOUT=60"}}, "no time is left to look at the spec tree: the test has 1ns in all"},
		{"benchmarks", shard{sample: "varied", args: []string{"-test.bench=."}}, "-test.bench=. has no effect"},
		{"Ginkgo's dry run", shard{sample: "varied", args: []string{"-ginkgo.dry-run"}}, "-ginkgo.dry-run walks through the specs and runs none"},
		{"file filter that matches nothing", shard{sample: "varied", args: []string{"-ginkgo.skip-file=samples"}}, "matches -ginkgo.skip-file=samples"},
		{"pending specs that may not be", shard{sample: "partly pending", args: []string{"-ginkgo.fail-on-pending"}}, "--fail-on-pending is set"},
		{"another kind of parallel", shard{sample: "varied", args: []string{"-ginkgo.parallel.total=2"}}, "use shard_count"},
		{"shuffle that is no number", shard{sample: "varied", args: []string{"-test.shuffle=well"}}, "-shuffle=well"},
		{"no timings", shard{sample: "varied", environment: []string{timingsVariable + "=/nonexistent/x.timings.json"}}, "read timings /nonexistent/x.timings.json: no such file"},
		{"shard index out of range", shard{sample: "varied", index: 2, total: 2}, "TEST_SHARD_INDEX: 2 is not below TEST_TOTAL_SHARDS=2"},
		{"status file that can't be touched", shard{sample: "varied", total: 2, environment: []string{"TEST_SHARD_STATUS_FILE=/nonexistent/status"}}, "/nonexistent/status"},
		{"no time left", shard{sample: "setup hangs", environment: []string{"TEST_TIMEOUT=1"}}, "deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.shard.run(t)
			wantExit(t, o, 1)
			wantLog(t, o, c.want)
			// Two of these rules_go's main notices before this package can, and one package flag.
			early := strings.Contains(c.name, "out of range") || strings.Contains(c.name, "can't be touched") || c.name == "help"
			if len(o.cases()) == 0 && !early {
				t.Error("test.xml does not show the failure")
			}
		})
	}
}

// Shards make the same plan only if they see the same in all that the plan depends on.
// If they don't, at least one of them must fail.
func TestTreesThatDifferBetweenShardsFail(t *testing.T) {
	for _, c := range []struct {
		name, sample, filter string
		shards               int
		want                 string
	}{
		{"what is pending", "pending in one shard only", "", 2, "pending in one process only (here "},
		// The shard that would have to run b has a filter that leaves it idle.
		{"seen by an idle shard", "absent in the last shard", "^a|^b", 3, "not in the tree that the other process saw: b runs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			red, log := 0, ""
			for index := range c.shards {
				o := shard{sample: c.sample, index: index, total: c.shards, filter: c.filter}.run(t)
				log += o.log
				if o.exit != 0 {
					red++
				}
			}
			if red == 0 || !strings.Contains(log, c.want) {
				t.Errorf("%d of %d shards failed; want one that says %q:\n%s", red, c.shards, c.want, log)
			}
		})
	}
}

// A container that is put off takes no shard for itself, however heavy.
func TestPendingContainerTakesNoShard(t *testing.T) {
	for index := range 2 {
		o := shard{sample: "heavy and pending", index: index, total: 2}.run(t)
		wantExit(t, o, 0)
		if len(o.trace) != 1 {
			t.Errorf("shard %d ran %q", index, o.trace)
		}
	}
}

// A shard of which a filter leaves pending specs only has nothing to run. Its log shows
// that, and another shard runs what can be run.
func TestFilterLeavesPendingSpecsOnlyToAShard(t *testing.T) {
	ran, idle := 0, 0
	for index := range 2 {
		o := shard{sample: "partly pending", index: index, total: 2, filter: "now|later"}.run(t)
		wantExit(t, o, 0)
		ran += len(o.trace)
		if strings.Contains(o.log, "only pending ones of this shard's specs match --test_filter=now|later") {
			idle++
		}
	}
	if ran != 1 || idle != 1 {
		t.Errorf("%d specs ran, %d shards say that they are idle", ran, idle)
	}
}

// A TestMain can't lose the verdict: Main exits with it, and if the caller of Run
// does not, Bazel finds its file for premature exits.
func TestVerdictIsNotLost(t *testing.T) {
	for _, c := range []struct {
		sample, ending  string
		exit            int
		leavesPremature bool
	}{
		{"two containers", "Main", 0, false},
		{"failing", "Main", ExitFailure, true},
		{"two containers", "return", 0, false},
		{"failing", "return", 0, true},
	} {
		o := shard{sample: c.sample, environment: []string{endingVariable + "=" + c.ending}}.run(t)
		wantExit(t, o, c.exit)
		if _, err := os.Stat(filepath.Join(o.dir, "premature")); (err == nil) != c.leavesPremature {
			t.Errorf("%s, %s: premature exit file: %v", c.sample, c.ending, err)
		}
	}
}

// The unexported fields of testing.M are not promised to anyone.
func TestGoFunctionsOfAnotherVersionOfGo(t *testing.T) {
	type function struct{ Name string }
	for _, c := range []struct {
		m    any
		want []string
	}{
		{struct{}{}, nil},
		{struct{ tests map[string]bool }{map[string]bool{"TestA": true}}, nil},
		{struct{ tests []string }{[]string{"TestA"}}, nil},
		{struct{ tests []struct{ Name int } }{make([]struct{ Name int }, 1)}, nil},
		{struct{ fuzzTargets, examples []function }{[]function{{"FuzzA"}}, []function{{"ExampleA"}}}, []string{"FuzzA", "ExampleA"}},
	} {
		if got := goFunctions(reflect.ValueOf(c.m)); !slices.Equal(got, c.want) {
			t.Errorf("functions of %+v: %q, want %q", c.m, got, c.want)
		}
	}
	if err := errors.Join(refuseGoFunctions(nil), refuseGoFunctions((*testing.M)(nil)), refuseGoFunctions(&testing.M{}), refuseGoFunctions(measure(0))); err != nil {
		t.Error(err)
	}
}

// Only Bazel's timeout counts, unless Ginkgo is given one.
func TestGinkgoHasNoTimeoutOfItsOwn(t *testing.T) {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.Duration("ginkgo.timeout", 0, "")
	suite, _, err := configuration(protocol{shards: 1, timeout: 2 * time.Hour}, flags)
	if err != nil || suite.Timeout != 0 {
		t.Errorf("timeout %v, error %v", suite.Timeout, err)
	}
	if err := flags.Set("ginkgo.timeout", "1h"); err != nil {
		t.Fatal(err)
	}
	suite, _, err = configuration(protocol{shards: 1, timeout: 2 * time.Hour}, flags)
	if err != nil || suite.Timeout != time.Hour { // what Ginkgo has read: here, its default
		t.Errorf("timeout %v, error %v", suite.Timeout, err)
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name        string
		filter      string
		environment []string
		args        []string
		want        []string
	}{
		{name: "part of a text", filter: "green", want: []string{"apples are green", "pears are green"}},
		{name: "expression", filter: "^loop [12]", want: []string{"loop 1 turns", "loop 2 turns"}},
		{name: "suite's name counts", filter: "^sample pears", want: []string{"pears are green", "pears are soft"}},
		{name: "comma is no separator", filter: "red|loop 3,|soft", want: []string{"apples are red", "pears are soft"}},
		{name: "all but", filter: "-^a|^loop|^twins|green", want: []string{"no container (top level)", "no container? (2)", "pears are soft"}},
		{name: "go test -run and -skip", args: []string{"-test.run=^pears", "-test.skip=soft"}, want: []string{"pears are green"}},
		{name: "Ginkgo's own focus", args: []string{"-ginkgo.focus=soft|brown"}, want: []string{"apples when cut turn brown", "pears are soft"}},
		{name: "both", filter: "green", args: []string{"-ginkgo.skip=apples"}, want: []string{"pears are green"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: "varied", filter: c.filter, args: c.args}.run(t)
			wantExit(t, o, 0)
			slices.Sort(o.trace)
			if !slices.Equal(o.trace, c.want) {
				t.Errorf("ran %q, want %q", o.trace, c.want)
			}
			if len(o.cases()) != len(c.want) {
				t.Errorf("test.xml has %d cases, want %d", len(o.cases()), len(c.want))
			}
		})
	}
}

// A filter for one spec of a sharded target leaves the other shards without work. They
// pass. Their logs show that they did nothing, and where the spec is.
func TestFilterLeavesOtherShardsIdle(t *testing.T) {
	ran := 0
	for index := range 3 {
		o := shard{sample: "varied", index: index, total: 3, filter: "^pears are soft$"}.run(t)
		wantExit(t, o, 0)
		ran += len(o.trace)
		if len(o.trace) == 0 {
			wantLog(t, o, "none of this shard's specs match --test_filter=^pears are soft$; 1 of the suite's 19 specs do")
		}
	}
	if ran != 1 {
		t.Errorf("the spec ran %d times in all", ran)
	}
}

func TestResults(t *testing.T) {
	o := shard{sample: "failing", index: 0, total: 1, args: []string{"-test.v"}}.run(t)
	wantExit(t, o, 1)
	suite := o.report.Suites[0]
	if suite.Tests != 5 || suite.Failures != 1 || suite.Errors != 1 || suite.Skipped != 2 {
		t.Errorf("counts: %+v", suite)
	}
	good, bad := o.testCase(t, "outcomes, good"), o.testCase(t, "outcomes, bad")
	if good.ClassName != "e2e.sample_test" || filepath.Base(good.File) != "samples_test.go" || good.Line == 0 || good.Failure != nil || good.Error != nil {
		t.Errorf("passed spec: %+v", good)
	}
	if bad.Failure == nil || bad.Failure.Message != "expected 201,\n  got '202'" || !strings.Contains(bad.Failure.Text, "samples_test.go:") {
		t.Errorf("failed spec: %+v", bad.Failure)
	}
	if want := "wrote red, \uFFFD zero, \uFFFD broken, ]]> <tag> & é"; bad.Output == nil || !strings.Contains(bad.Output.Text, want) {
		t.Errorf("output of the failed spec lacks %q: %+v", want, bad.Output)
	}
	if c := o.testCase(t, "outcomes, panics"); c.Error == nil || !strings.Contains(c.Error.Message, "out of tea") {
		t.Errorf("spec that panicked: %+v", c)
	}
	if c := o.testCase(t, "outcomes, skips itself"); c.Skipped == nil || c.Skipped.Message != "no kettle" {
		t.Errorf("spec that skipped itself: %+v", c)
	}
	if c := o.testCase(t, "outcomes, is for later"); c.Skipped == nil || c.Skipped.Message != "pending" {
		t.Errorf("pending spec: %+v", c)
	}
}

func TestFailuresOutsideSpecs(t *testing.T) {
	for _, c := range []struct{ sample, name, message string }{
		{"before suite", "[BeforeSuite]", "no ground to stand on"},
		{"after suite", "[AfterSuite]", "left a mess"},
		{"setup fails", "acquire environment", "gateway is never ready"},
		{"setup panics", "set up", "panic: no way"},
	} {
		t.Run(c.sample, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: c.sample}.run(t)
			wantExit(t, o, 1)
			wantLog(t, o, c.message, "--- FAILED: //e2e:sample_test", "run again: tools/bazel test //e2e:sample_test\n")
			found := o.testCase(t, c.name)
			problem := found.Failure
			if problem == nil {
				problem = found.Error
			}
			if problem == nil || !strings.Contains(problem.Message, c.message) {
				t.Errorf("test case: %+v", found)
			}
			if spec := o.testCase(t, "anything runs"); c.sample != "after suite" && spec.Skipped == nil {
				t.Errorf("the spec that could not run: %+v", spec)
			}
			if slices.Contains(o.trace, "release") {
				t.Error("what was never acquired was released")
			}
		})
	}
}

func TestInfrastructureFailure(t *testing.T) {
	o := shard{sample: "setup blames infrastructure"}.run(t)
	wantExit(t, o, ExitInfrastructure)
	wantLog(t, o, "--- INFRASTRUCTURE FAILURE, no verdict on the code: //e2e:sample_test: none of 1 specs ran")
	content, err := os.ReadFile(filepath.Join(o.dir, "infrastructure"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "kube-apiserver\nlease: boot failed exit status 1\n"; string(content) != want {
		t.Errorf("file for Bazel: %q, want %q", content, want)
	}
	if c := o.testCase(t, "acquire environment"); c.Error == nil || c.Error.Type != "infrastructure" {
		t.Errorf("test case: %+v", c)
	}
	lost := shard{sample: "cluster lost"}.run(t)
	wantExit(t, lost, ExitInfrastructure)
	wantLog(t, lost, "--- INFRASTRUCTURE FAILURE", "connection refused", "etcd died")
	if content, _ := os.ReadFile(filepath.Join(lost.dir, "infrastructure")); string(content) != "kube-apiserver\netcd died\n" {
		t.Errorf("file for Bazel: %q", content)
	}
	other := shard{sample: "setup fails"}.run(t)
	wantExit(t, other, ExitFailure)
	if _, err := os.Stat(filepath.Join(other.dir, "infrastructure")); err == nil {
		t.Error("a product failure was reported as one of the infrastructure")
	}
}

// Specs whose cluster is gone do not wait for their deadlines.
func TestLossEndsTheSpecs(t *testing.T) {
	t.Parallel()
	o := shard{sample: "loses what it needs"}.run(t)
	wantExit(t, o, ExitInfrastructure)
	wantLog(t, o, "is lost: the specs end now", "--- INFRASTRUCTURE FAILURE", "etcd died")
	if want := []string{"set up", "told to stop", "collect", "release"}; !slices.Equal(o.trace, want) {
		t.Errorf("order of events: %q, want %q", o.trace, want)
	}
}

func TestHooks(t *testing.T) {
	o := shard{sample: "hooks"}.run(t)
	wantExit(t, o, 0)
	if want := []string{"set up", "anything runs", "collect", "release"}; !slices.Equal(o.trace, want) {
		t.Errorf("order of events: %q, want %q", o.trace, want)
	}
	if _, err := os.Stat(filepath.Join(o.dir, "outputs", "log.txt")); err != nil {
		t.Error(err)
	}
	if c := o.testCase(t, "set up"); c.Failure != nil || c.Error != nil {
		t.Errorf("test case of Setup: %+v", c)
	}
	idle := shard{sample: "hooks", filter: "nonesuch"}.run(t)
	if len(idle.trace) > 0 {
		t.Errorf("a run without specs acquired something: %q", idle.trace)
	}
	broken := shard{sample: "hooks fail"}.run(t)
	wantExit(t, broken, 0)
	wantLog(t, broken, "collect artifacts: disk full", "release: panic: cannot let go")
}

// Previewing a suite in the process that runs it would lose these.
func TestHooksOfTheSuiteRun(t *testing.T) {
	o := shard{sample: "hooks of the suite"}.run(t)
	wantExit(t, o, 0)
	slices.Sort(o.trace)
	if want := []string{"after suite", "alone at the top", "before each", "before each", "before suite", "container runs"}; !slices.Equal(o.trace, want) {
		t.Errorf("ran %q, want %q", o.trace, want)
	}
}

func TestFlags(t *testing.T) {
	t.Run("fail fast", func(t *testing.T) {
		o := shard{sample: "fails first", environment: []string{"TESTBRIDGE_TEST_RUNNER_FAIL_FAST=1"}}.run(t)
		wantExit(t, o, 1)
		if len(o.trace) > 0 {
			t.Errorf("ran on: %q", o.trace)
		}
		slow := shard{sample: "fails first"}.run(t)
		wantExit(t, slow, 1)
		if len(slow.trace) != 1 {
			t.Errorf("did not run on: %q", slow.trace)
		}
	})
	t.Run("seed", func(t *testing.T) {
		wantLog(t, shard{sample: "two containers"}.run(t), "[1] sample")
		wantLog(t, shard{sample: "two containers", environment: []string{"TEST_RANDOM_SEED=7"}}.run(t), "[7] sample")
		wantLog(t, shard{sample: "two containers", args: []string{"-ginkgo.seed=9"}, environment: []string{"TEST_RANDOM_SEED=7"}}.run(t), "[9] sample")
	})
	t.Run("verbose", func(t *testing.T) {
		wantLog(t, shard{sample: "two containers", args: []string{"-test.v"}}.run(t), "Random Seed: 1", "samples_test.go:")
	})
	t.Run("random order", func(t *testing.T) {
		orders := map[string]bool{}
		for _, args := range [][]string{{"-test.shuffle=11"}, {"-test.shuffle=11"}, {"-ginkgo.randomize-all", "-ginkgo.seed=12"}, {"-test.shuffle=off"}} {
			o := shard{sample: "in order", args: args}.run(t)
			wantExit(t, o, 0)
			orders[strings.Join(o.trace, ",")] = true
			slices.Sort(o.trace)
			if len(o.trace) != 9 || len(slices.Compact(o.trace)) != 9 {
				t.Errorf("%q ran %q", args, o.trace)
			}
		}
		if len(orders) != 3 || !orders["all 0,all 1,all 2,all 3,all 4,all 5,all 6,all 7,all 8"] {
			t.Errorf("orders: %v", orders)
		}
		wantLog(t, shard{sample: "in order", args: []string{"-test.shuffle=11"}}.run(t), "[11] sample")
	})
	t.Run("environment", func(t *testing.T) {
		o := shard{sample: "reads its environment", environment: []string{"FLAVOUR=apple=green"}}.run(t)
		wantExit(t, o, 0)
		if !slices.Equal(o.trace, []string{"apple=green"}) {
			t.Errorf("ran %q", o.trace)
		}
	})
	// The second attempt of --flaky_test_attempts is a new run with the same files.
	t.Run("second attempt", func(t *testing.T) {
		first := shard{sample: "fails once"}.run(t)
		wantExit(t, first, ExitFailure)
		second := shard{sample: "fails once", dir: first.dir}.run(t)
		wantExit(t, second, 0)
		if c := second.testCase(t, "luck comes the second time"); c.Failure != nil || c.Error != nil || len(second.cases()) != 1 {
			t.Errorf("test.xml after the second attempt: %+v", second.cases())
		}
	})
	t.Run("list", func(t *testing.T) {
		// As bazel run does, of which no verdict is kept.
		o := shard{sample: "two containers", args: []string{"-test.list=tw"}, environment: []string{"BUILD_WORKSPACE_DIRECTORY=/x"}}.run(t)
		wantExit(t, o, 0)
		if o.log != "two runs\n" || len(o.trace) > 0 {
			t.Errorf("log %q, ran %q", o.log, o.trace)
		}
	})
	t.Run("help", func(t *testing.T) {
		o := shard{sample: "two containers", args: []string{"-h"}, environment: []string{"BUILD_WORKSPACE_DIRECTORY=/x"}}.run(t)
		wantExit(t, o, 0)
		wantLog(t, o, "-ginkgo.seed")
	})
}
