"""What Go packages must not link and must not import."""

load("@rules_go//go:def.bzl", "GoArchive")
load("//tools/internal/program:defs.bzl", "program_test")

def _go_depcheck_test_impl(ctx):
    findings = []
    for target in ctx.attr.deps:
        packages = target[GoArchive].transitive.to_list()
        for package in packages:
            for prefix in ctx.attr.forbidden:
                if package.importpath == prefix or package.importpath.startswith(prefix + "/"):
                    findings.append("{} links {}".format(target.label, package.importpath))
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    if findings:
        shown = sorted({f: None for f in findings}.keys())
        lines = ["echo '{}'".format(f) for f in shown[:20]]
        lines.append("echo '{} forbidden packages are linked. Why: {}'".format(len(shown), ctx.attr.reason.replace("'", "")))
        lines.append("exit 1")
    else:
        lines = ["exit 0"]
    ctx.actions.write(script, "#!/bin/sh\n" + "\n".join(lines) + "\n", is_executable = True)
    return [DefaultInfo(executable = script)]

go_depcheck_test = rule(
    implementation = _go_depcheck_test_impl,
    doc = "Fails when a Go package links, directly or not, a package that it must not.",
    attrs = {
        "deps": attr.label_list(
            doc = "The Go packages that are checked.",
            mandatory = True,
            providers = [GoArchive],
        ),
        "forbidden": attr.string_list(
            doc = "Import paths; each stands for itself and everything below it.",
            mandatory = True,
        ),
        "reason": attr.string(
            doc = "Why, for the reader of a failure.",
            mandatory = True,
        ),
    },
    test = True,
)

def import_directions_test(name, forbidden, reason, workspace, tags = [], **kwargs):
    """Fails when a folder of this repository imports from one that it must not depend on.

    Imports are those of all Go files below the folder, tests included, and the
    loads of all Starlark files. A new package needs no entry: the test reads the
    source tree. That is no declared input, so the test runs each time.

    Args:
      name: target name.
      forbidden: dict of folder to list of folders, all from the root of the repository, like `{"gateway": ["tools", "e2e"]}`.
      reason: why, for the reader of a failure.
      workspace: a source file in the root folder of the repository, beside its `go.mod`.
      tags: further tags; default none.
      **kwargs: common attributes of tests (visibility, timeout, ...).
    """
    program_test(
        name = name,
        size = "small",
        args = [
            "--workspace=$(rootpath {})".format(workspace),
            "'--reason={}'".format(reason.replace("'", "")),
        ] + [
            "{}={}".format(folder, ",".join(others))
            for folder, others in forbidden.items()
        ],
        data = [workspace],
        program = Label("//tools/depcheck/cmd/directions"),
        tags = tags + ["external"],
        **kwargs
    )
