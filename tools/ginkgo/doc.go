// Package ginkgo runs a Ginkgo v2 suite as a Bazel test.
//
// In this repository the name ginkgo always means Ginkgo's own package: a file
// that needs this one imports it as bazelginkgo.
//
// A test package has one TestMain that hands over to Main, and no Test function:
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
// and its target says how many shards its top-level containers are divided among:
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
// suite has one of those. A target with one Test function and shard_count = 3,
// tried: shard 0 runs everything; shards 1 and 2 print "no tests to run", pass,
// and leave a test.xml without a test case. Its wrapper would also replace
// test.xml by one with that single function in it, so ginkgo_test keeps it out
// (GO_TEST_WRAP=0), and Main fails where it finds it.
//
// # Three processes
//
// The process that Bazel starts is a supervisor. It starts its own binary again
// as the next shard, only to look at the spec tree, and once more, as itself, to
// run its specs (25 ms of each shard for a binary of 50 MB). The supervisor keeps
// the results and gives the verdict: a runner that ends without having said that
// it is through has failed, whatever its exit code, so os.Exit(0) in a spec is
// not green, and after a crash test.xml and the log name the spec that was running
// and what the process died of, and test.xml has what that spec had written to
// GinkgoWriter. All that TestMain does before Main is done in all three. Under a
// debugger (on Linux) the specs run in the first process.
//
// # What runs where
//
//   - Top-level containers, and specs without one, are never divided, so Ordered
//     and Serial ones stay whole. Those that have a spec text in common stay
//     together.
//   - The heaviest is placed first, each with the shard that has least so far. What
//     a spec weighs is the time it took, if the target has a timings file (command
//     timings writes it); else what a label such as Label("weight:5") on it or a
//     container around it declares, in average specs and for the whole node; else 1.
//     Everything that decides is an input of the test: the binary and that file.
//     Pending specs weigh nothing.
//   - When all shards are green, every spec that is not pending (of a filter's, that it
//     selects) ran exactly once. Each shard divides the tree that a preview in the
//     role of the next shard sees. It then holds the whole tree that it sees itself
//     against that one, in all that the division goes by (texts, places, labels, what
//     is pending), and what Ginkgo ran against its share. So, shard by shard and round
//     to the first, all have one tree, and thus one division. Taken for granted is that
//     all shards are of the same inputs, and that a shard and the preview in its role
//     see the same. A suite may therefore not depend on GinkgoConfiguration, the shard,
//     time or chance while its tree is built; most of that is found out, in a shard
//     that sees something else than its preview.
//   - What would be green without having tested anything fails: a shard with
//     nothing to run, a suite without specs, with focus left in it (FIt), with
//     pending specs only, a filter that selects only such, flags that have no effect
//     here (-test.count), and Go tests in the same package (if Options.M is given).
//
// # Flags
//
//   - --test_filter (-test.run, -test.skip): a regular expression over the full text
//     of a spec, alone or after the suite's name, as with Ginkgo's focus; with a
//     leading "-" it leaves out what matches. What matches nothing in the suite
//     fails; a shard of which nothing matches, or only pending specs, passes, and
//     says so.
//   - --runs_per_test: each run has its number as random seed; otherwise the seed
//     is 1, so that a verdict which Bazel caches does not depend on the time of day.
//     The log says it; --test_arg=-ginkgo.seed=7 sets it, -test.shuffle=7 also
//     makes the order of specs random.
//   - --flaky_test_attempts: every attempt is a run of its own.
//   - --test_arg: -test.v, -test.failfast, -test.list and -test.timeout as with go
//     test; -ginkgo.* as with Ginkgo.
//   - --test_timeout: specs may take what is left of it after Setup, minus up to
//     15 s for cleanup and reports; Ginkgo's own limit holds only if it is given
//     (-ginkgo.timeout). SIGTERM prints a progress report and cancels the
//     running spec; its cleanup runs, then Collect and Release, and the results are
//     complete before Bazel's SIGKILL 15 s later.
//
// # Results
//
// test.xml has one test case per spec of the shard with text, file, line, time,
// output and failure, and one for Setup. It is kept up to date while specs run. In
// the test's undeclared outputs, specs/ has a file for each spec that failed, with
// its uncut output. A failing log ends with a digest of at most 20 lines; the last
// is the command that runs again what failed. A failure that Setup or Blame
// declares to be one of the infrastructure is told apart in the log, in test.xml,
// for Bazel (TEST_INFRASTRUCTURE_FAILURE_FILE), and by the exit code.
//
// The same binary works under "go test", with one shard and -test.timeout as the
// budget.
package ginkgo
