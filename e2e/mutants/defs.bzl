"""go_sources: the sources of Go packages, for tests that read them."""

load("@rules_go//go:def.bzl", "GoArchive")

def _go_sources_impl(ctx):
    packages = depset(transitive = [dep[GoArchive].transitive for dep in ctx.attr.deps]).to_list()
    files = []
    for package in packages:
        if package.label.repo_name == ctx.label.repo_name:
            # _embedsrcs is not part of rules_go's interface: it may be renamed.
            files += list(package.srcs) + list(package._embedsrcs)
    return [DefaultInfo(files = depset(files), runfiles = ctx.runfiles(files))]

go_sources = rule(
    implementation = _go_sources_impl,
    doc = "The source files, embedded ones included, of Go packages and of all packages of this repository that they link.",
    attrs = {
        "deps": attr.label_list(
            doc = "Go packages.",
            mandatory = True,
            providers = [GoArchive],
        ),
    },
)
