"""ginkgo_test: a Ginkgo v2 suite as a Go test whose specs Bazel's shards divide."""

load("@rules_go//go:def.bzl", "go_test")

def ginkgo_test(name, timings = None, env = {}, data = [], **kwargs):
    """A `go_test` for a package whose TestMain calls `//tools/ginkgo`.

    Args:
      name: target name.
      timings: file of how long each spec takes, as `bazel run //tools/ginkgo/timings`
        writes it: the shards are balanced by time. It is an input of the test.
        Default: `<name>.timings.json` if the package has that file.
      env: further environment variables of the test; default none.
      data: further runfiles; default none.
      **kwargs: what `go_test` takes (srcs, deps, shard_count, size, tags, ...).
        `shard_count` is at most the number of top-level containers.
    """
    if timings == None:
        found = native.glob([name + ".timings.json"], allow_empty = True)
        timings = found[0] if found else None
    go_test(
        name = name,
        data = data + ([timings] if timings else []),
        env = {
            # rules_go's wrapper would write a test.xml with one test case over
            # ours with one per spec.
            "GO_TEST_WRAP": "0",
        } | ({"GINKGO_BRIDGE_TIMINGS": "$(rlocationpath {})".format(timings)} if timings else {}) | env,
        **kwargs
    )
