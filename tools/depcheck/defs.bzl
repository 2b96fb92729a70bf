"""go_depcheck_test: which packages a Go package must not link."""

load("@rules_go//go:def.bzl", "GoArchive")

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
            doc = "Why, for whoever trips over it.",
            mandatory = True,
        ),
    },
    test = True,
)
