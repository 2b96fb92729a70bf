// Package ginkgo runs a Ginkgo v2 suite as a Bazel test.
//
// In this repository the name ginkgo always means Ginkgo's own package: a file
// that needs this one imports it as bazelginkgo.
//
// A test package has no Test function. It has one TestMain, which hands over to Main:
//
//	package checkout_test
//
//	import (
//		"testing"
//
//		. "github.com/onsi/ginkgo/v2"
//		. "github.com/onsi/gomega"
//
//		bazelginkgo "stormgate.internal/tools/ginkgo"
//	)
//
//	func TestMain(m *testing.M) {
//		RegisterFailHandler(Fail)
//		bazelginkgo.Main(bazelginkgo.Options{M: m, Name: "checkout"})
//	}
//
//	var _ = Describe("A cart", func() {
//		It("is empty at first", func() { Expect(newCart().Items()).To(BeEmpty()) })
//	})
//
//	var _ = Describe("An order", Label("weight:3"), func() { ... })
//
// The test target names the number of shards, among which the top-level containers
// are divided:
//
//	load("//tools/ginkgo:defs.bzl", "ginkgo_test")
//
//	ginkgo_test(
//		name = "checkout_test",
//		srcs = ["checkout_test.go"],
//		shard_count = 2,
//		deps = [":checkout", "//tools/ginkgo", "@com_github_onsi_ginkgo_v2//:ginkgo", "@com_github_onsi_gomega//:gomega"],
//	)
//
// # Why the sharding of rules_go does not do
//
// rules_go (0.60) gives shard i every n-th top-level Test function. A Ginkgo
// suite has one of those. A target with one Test function and shard_count = 3 was
// tried. Shard 0 runs everything. Shards 1 and 2 print "no tests to run", pass, and
// leave a test.xml without a test case. The wrapper of rules_go would also replace
// test.xml by one that has that single function in it. ginkgo_test switches the
// wrapper off (GO_TEST_WRAP=0), and Main fails where it finds it.
//
// # Three processes
//
// The process that Bazel starts is a supervisor. It starts its own binary twice: once
// in the role of the next shard, to look at the spec tree, and once as the runner,
// which runs the specs of this shard. Together that takes 25 ms of each shard for a
// binary of 50 MB. All that TestMain does before Main is done in all three processes.
// Ginkgo's ReportBeforeSuite and ReportAfterSuite run in the look at the tree, too.
//
// The supervisor keeps the results and gives the verdict. A runner that ends before
// it has reported its end has failed, whatever its exit code is, so os.Exit(0) in a
// spec is not green. After a crash, test.xml and the log name the spec that was
// running and the reason why the process ended. test.xml then also has what that spec
// had written to GinkgoWriter.
//
// Under a debugger (on Linux) the specs run in the first process.
//
// # What runs where
//
// Top-level containers are never divided, so Ordered ones stay whole. A top-level spec
// counts as a container of its own. Containers that have a spec text in common stay
// together.
//
// The heaviest container is placed first, and each goes to the shard that has the
// least so far. The weight of a spec is, in this order:
//
//   - the time that it took, if the target has a timings file, which the command
//     timings writes,
//   - what a label such as Label("weight:5") declares, in average specs, on the spec or
//     on a container around it, for the whole of that node,
//   - 1.
//
// A pending spec weighs nothing. All of this is read from inputs of the test: the
// binary and the timings file.
//
// When all shards are green, every spec ran exactly once, except pending ones and
// those that a filter leaves out. The proof goes round the shards. Each shard divides
// the tree that its preview saw in the role of the next shard. After the run it
// compares that tree with the tree that it saw itself, in all that the division
// depends on: texts, places, labels, and what is pending. It also compares what Ginkgo
// ran with its share. Each shard's tree is therefore the next shard's tree, round to
// the first, so all shards have divided one tree in one way. The proof takes for
// granted that all shards have the same inputs, and that a shard sees the same tree as
// the preview in its role.
//
// A suite may therefore not depend on GinkgoConfiguration, the shard, time or chance
// while its tree is built. A shard fails if its tree is another than its preview saw,
// which finds most of such suites.
//
// # Serial
//
// Serial specs run last in their shard, and while one runs, no spec of another shard does:
// around each top-level container that is Serial or contains a Serial spec,
// Options.Exclusive keeps everybody else away from the environment, also other targets and
// other runs of --runs_per_test. What Setup leases by tools/fixture/client does that by
// itself. Without either, nothing that this package controls could do it, so Serial specs
// are refused if there is more than one shard.
//
// A container with specs of both kinds is alone as a whole, and need not be among the
// last. Nor need a Serial one in a package that does not import this one, directly or not,
// or one with a SpecPriority. The log has a line for each time and how long it took, and
// test.xml has both as properties (exclusive.times, exclusive.seconds).
//
// # Process number
//
// GinkgoParallelProcess() is the number of the shard, from 1, and ParallelTotal of
// GinkgoConfiguration() is the number of shards. That holds in Setup, in the bodies of
// containers (of packages that import this one, directly or not) and in all nodes. Two
// targets that run at once, or two runs of --runs_per_test, have the same numbers: names
// in a cluster that they share need something of the target in them, too.
//
// Shards are sandboxes, so each is a process 1 in all other respects. Each runs the first
// function of SynchronizedBeforeSuite and the last of SynchronizedAfterSuite,
// ReportBeforeSuite and ReportAfterSuite, with its own specs. The report of a spec says
// process 1.
//
// # Green without a test
//
// A run that would be green without having tested anything fails: a shard with nothing
// to run, a suite without specs, a suite in which focus is left (FIt), a suite that has
// pending specs only, a filter that selects pending specs only, a flag or an argument that
// has no effect here (-test.count), a flag with which nothing runs (-h, -test.list,
// -ginkgo.dry-run), and Go tests in the same package (if Options.M is given). Under
// "bazel run", of which Bazel keeps no verdict, -h and -test.list are answered.
//
// A shard fails in which no spec passed or failed, since all of them called Skip or are
// pending, unless the suite sets Options.AllowSkipped. A spec fails that failed at first
// and passed when Ginkgo tried it again (FlakeAttempts), unless the suite sets
// Options.AllowRetries. The end of the log counts and names the specs that were skipped,
// are pending, or were tried again, and how many a filter leaves out.
//
// Not noticed are a spec without an assertion, and Fail in a goroutine that outlives the
// suite.
//
// An environment can be another than the one that was asked for. Options.Attest says
// whether it was, all the time, the right one. Its error makes a green run red. What
// lends an environment, as tools/fixture/client does, is asked as well.
//
// # Flags
//
//   - --test_filter (-test.run, -test.skip) is a regular expression over the full text
//     of a spec, alone or after the suite's name, as with Ginkgo's focus. A leading "-"
//     turns it round: specs that match are left out. A filter that matches nothing in
//     the suite fails. A shard of which nothing matches, or pending specs only, passes,
//     and the log has a line about it.
//   - --runs_per_test: the number of the run is its random seed. Without it the seed
//     is 1, so that a verdict which Bazel caches does not depend on the time of day. The
//     log names the seed. --test_arg=-ginkgo.seed=7 sets it. -test.shuffle=7 sets it
//     too, and makes the order of specs random.
//   - --flaky_test_attempts: every attempt is a run of its own.
//   - --test_arg takes -test.v, -test.failfast and -test.timeout as with go test, and
//     -ginkgo.* as with Ginkgo. Of two timeouts the shorter one holds.
//   - -ginkgo.sleep-on-failure=10m pauses a spec that failed, before its cleanup, for that long.
//     The lease and all that the spec made stay, and the log says how to reach them. Under
//     "bazel run --test_sharding_strategy=disabled TARGET -- -ginkgo.sleep-on-failure=10m" the
//     log shows at once, there is no timeout, and a person can connect. With --test_arg it takes
//     --test_output=streamed and a --test_timeout that is long enough. A signal ends the pause
//     and the suite.
//   - --test_timeout: Setup and the specs have it all, except up to 15 s at the end for
//     cleanup and reports. Ginkgo's own limit holds only if it is given
//     (-ginkgo.timeout). SIGTERM prints a progress report and cancels the running spec.
//     Then its cleanup runs, then Attest, Collect and Release, and under "bazel coverage"
//     what the environment executed is asked for after Attest. The results are complete
//     before Bazel's SIGKILL, which comes 15 s later.
//
// # Results
//
// test.xml has one test case for each spec of the shard, with text, file, line, time,
// output and failure, one for Setup, one for Attest ("attest environment"), whose
// properties are the suite's, and one for coverage that can't be had ("collect coverage"). A
// case has the property began, when it did. A spec that Ginkgo ran more than once has the property
// attempts, and its earlier failures as flakyFailure if it passed in the end and as
// rerunFailure if not, as Maven Surefire has them. test.xml is kept up to date while specs
// run. In the test's undeclared outputs, specs/ has a file for each spec that failed, with
// its uncut output. A log that ends in failure has a digest of at most 20 lines at its
// end. The last line is the command that runs again what failed. If Setup, Exclusive,
// Attest or Blame declares a failure to be one of the infrastructure, then the log,
// test.xml, TEST_INFRASTRUCTURE_FAILURE_FILE (for Bazel) and the exit code show it.
//
// The same binary works under "go test". There it has one shard, and -test.timeout is
// the budget.
package ginkgo
