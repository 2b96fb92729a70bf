"""covered_go_binary: a Go program that gives out its coverage while it runs."""

load("@bazel_skylib//rules:write_file.bzl", "write_file")
load("@rules_go//go:def.bzl", "go_binary")

def covered_go_binary(name, embed, deps = [], tags = [], **kwargs):
    """A `go_binary` that gives out its coverage while it runs, for tests under `bazel coverage`.

    A program that is built with coverage writes it when it exits. One that serves is
    mostly killed, in a pod or by a test, and writes nothing. This one answers whoever
    connects to the address in `STORMGATE_COVERAGE` (`//tools/coverage/live`). It is built only
    when something needs it: `process_image(covered = ...)`, or `when_covered`.

    It is a program beside the `go_binary` that runs in other builds, so give it that one's
    `x_defs`, `data`, `gc_linkopts` and the like as well. What an orderly end executes, and all
    of a program that ends by itself before it is asked, count as not executed.

    Args:
      name: target name.
      embed: the `go_library` of the program's main package; its visibility must include this package.
      deps: further dependencies; default none.
      tags: further tags; default none, but always `manual`.
      **kwargs: what `go_binary` takes.
    """
    agent = name + "_agent.go"
    write_file(
        name = name + "_agent",
        out = agent,
        content = [
            "package main",
            "",
            "import (",
            '\t"github.com/bazelbuild/rules_go/go/tools/coverdata"',
            '\t"stormgate.internal/tools/coverage/agent"',
            ")",
            "",
            "func init() { agent.Serve(coverdata.SrcPathMapping) }",
            "",
        ],
        tags = ["manual"],
        visibility = ["//visibility:private"],
    )
    go_binary(
        name = name,
        srcs = [agent],
        embed = embed,
        deps = deps + [
            Label("//tools/coverage/agent"),
            Label("@rules_go//go/tools/coverdata"),
        ],
        tags = tags + ["manual"],
        **kwargs
    )
