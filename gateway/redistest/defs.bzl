"""redis_test: a Go test that starts the real Redis."""

load("@rules_go//go:def.bzl", "go_test")

def redis_test(name, data = [], env = {}, **kwargs):
    """A `go_test` that package redistest gives the captured Redis, not the machine's.

    Gazelle writes these where a BUILD file has
    `# gazelle:map_kind go_test redis_test //gateway/redistest:defs.bzl`.

    Args:
      name: target name.
      data: further runfiles.
      env: further environment variables of the test.
      **kwargs: what `go_test` takes.
    """

    # Tests run in the folder of their package.
    up = "/".join([".."] * (len(native.package_name().split("/")) + 1))
    go_test(
        name = name,
        data = data + ["@redis//:files", "@redis//:program.sh"],
        env = {"STORMGATE_REDIS_SERVER": up + "/$(rlocationpath @redis//:program.sh)"} | env,
        **kwargs
    )
