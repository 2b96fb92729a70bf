// Package bridge runs a Ginkgo v2 suite as a Bazel test.
//
// A test package has one TestMain that hands over to Run, and no Test function:
//
//	func TestMain(m *testing.M) {
//		gomega.RegisterFailHandler(ginkgo.Fail)
//		os.Exit(bridge.Run(bridge.Options{Name: "checkout"}))
//	}
//
// Bazel's rules for Go distribute top-level Test functions over shards. A
// Ginkgo suite has one of those, so their shard 0 would run every spec and the
// other shards would pass having run none. Their wrapper also writes a test.xml
// with that one function in it. Run therefore reads Bazel's test protocol
// itself, and the target must keep the wrapper out (env GO_TEST_WRAP=0):
//
//   - The spec tree is previewed and split by top-level containers, so that an
//     Ordered or Serial container is never cut. The assignment depends on
//     nothing but the tree, is the same in every shard, and is balanced by the
//     number of specs or by declared weights: Label("weight:5") on a container
//     or spec says what the whole of it costs, in specs.
//   - A shard with nothing to run fails, as does one whose sibling (this binary,
//     started once more as the next shard, only to look) sees other specs, one
//     that ran anything else than its own specs, a suite without specs, and a
//     suite with focused specs left in it. A suite may therefore not depend on
//     GinkgoConfiguration or the shard while its tree is built.
//   - --test_filter (or -test.run) is a regular expression over the full text of
//     a spec, as with Ginkgo's own focus. Matching nothing in the whole suite is
//     a failure, matching nothing in one shard is not.
//   - test.xml has one test case per spec, is replaced after each of them, and
//     so tells the truth also after a crash.
//   - The suite's budget is what is left of TEST_TIMEOUT, minus what reporting
//     needs. SIGTERM cancels the running spec, lets its cleanup run, collects,
//     releases and ends before Bazel's SIGKILL 15 s later.
//
// What does not run under Bazel works the same with the same binary under "go
// test", with one shard and -test.timeout as the budget.
package bridge
