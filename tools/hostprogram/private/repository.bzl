"""The repository rule behind host_program.capture."""

# The dynamic loader prints what a program would load. Its path is part of each
# platform's ABI.
_LOADERS = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
]

def _libraries(ctx, program):
    """Absolute paths of the loader and of every library the program loads; empty if static."""
    for loader in _LOADERS:
        if not ctx.path(loader).exists:
            continue
        result = ctx.execute([loader, "--list", str(program)])
        if result.return_code != 0:
            if "statically linked" in result.stderr + result.stdout:
                return None, []
            fail("{}: {} --list {} failed: {}".format(ctx.name, loader, program, result.stderr or result.stdout))
        libraries = []
        for line in result.stdout.splitlines():
            words = line.strip().split(" ")
            if "not found" in line:
                fail("{}: {} needs {}, which this machine has not: {}".format(ctx.name, program, words[0], ctx.attr.install))
            if len(words) >= 3 and words[1] == "=>" and words[2].startswith("/"):
                libraries.append(words[2])
        if loader not in libraries:
            libraries.append(loader)
        return loader, libraries
    fail("{}: no dynamic loader among {}; give host_program.capture a static build by urls and sha256".format(ctx.name, ", ".join(_LOADERS)))

def _host_program_repository_impl(ctx):
    if ctx.attr.urls:
        if not ctx.attr.sha256:
            fail("host_program.capture '{}': urls without sha256: the content must be pinned".format(ctx.name))
        ctx.download_and_extract(ctx.attr.urls, output = "archive", sha256 = ctx.attr.sha256, stripPrefix = ctx.attr.strip_prefix)
        program = ctx.path("archive/" + ctx.attr.program)
        if not program.exists:
            fail("host_program.capture '{}': the archive has no {}".format(ctx.name, ctx.attr.program))
    else:
        program = ctx.which(ctx.attr.program)
        if not program:
            fail("host_program.capture '{}': no {} on this machine's PATH. Install it: {} (or pin an archive by urls and sha256 in MODULE.bazel)".format(
                ctx.name,
                ctx.attr.program,
                ctx.attr.install,
            ))
        program = program.realpath

    # An upgrade of the machine's package makes this repository anew.
    ctx.watch(program)
    basename = ctx.attr.program.split("/")[-1]
    destination = "/usr/bin/" + basename
    loader, libraries = _libraries(ctx, program)
    files = {destination: program}
    for library in libraries:
        files[library] = ctx.path(library).realpath
        ctx.watch(files[library])

    for path, source in files.items():
        # Copies: a link would let an upgrade change an input under a running build.
        target = "root" + path
        ctx.file(target, "")
        result = ctx.execute(["cp", "--dereference", str(source), str(ctx.path(target))])
        if result.return_code != 0:
            fail("host_program.capture '{}': copy {}: {}".format(ctx.name, source, result.stderr))
        ctx.execute(["chmod", "0755", str(ctx.path(target))])

    if loader:
        directories = sorted({path.rpartition("/")[0]: None for path in libraries}.keys())
        command = '"$root{}" --library-path "{}" --argv0 "{}" "$root{}"'.format(
            loader,
            ":".join(["$root" + d for d in directories]),
            basename,
            destination,
        )
    else:
        command = '"$root{}"'.format(destination)
    ctx.file(
        "program.sh",
        '#!/bin/sh\n# Runs {} with the libraries that were captured with it.\nroot="$(dirname "$0")/root"\nexec {} "$@"\n'.format(basename, command),
        executable = True,
    )
    ctx.file("files.bzl", '"""Written by host_program.capture: the files of {} and where they belong."""\n\nPROGRAM = {}\n\nFILES = {{\n{}}}\n'.format(
        basename,
        repr(destination),
        "".join(["    {}: Label({}),\n".format(repr(path), repr("//:root" + path)) for path in sorted(files)]),
    ))
    ctx.file("BUILD.bazel", """exports_files(["program.sh"] + glob(["root/**"]), visibility = ["//visibility:public"])

filegroup(
    name = "files",
    srcs = glob(["root/**"]) + ["program.sh"],
    visibility = ["//visibility:public"],
)
""")

host_program_repository = repository_rule(
    implementation = _host_program_repository_impl,
    doc = "A program of the machine with its shared libraries, or of an archive.",
    attrs = {
        "install": attr.string(mandatory = True),
        "program": attr.string(mandatory = True),
        "sha256": attr.string(),
        "strip_prefix": attr.string(),
        "urls": attr.string_list(),
    },
    environ = ["PATH"],
)
