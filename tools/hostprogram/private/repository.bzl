"""The repository rule behind host_program.capture."""

# The dynamic loader prints what a program would load. Its path is part of each
# platform's ABI.
_LOADERS = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
]

def _name(ctx):
    """What capture's name is: Bazel's has the extension before it."""
    return ctx.name.split("~")[-1].split("+")[-1]

def _is_static(ctx, program):
    """Whether no path of a dynamic loader stands in the program: the kernel would start it for it.

    To ask a loader is no test: glibc's crashes on some static programs.
    """
    return ctx.execute(["grep", "-q", "-a", "-F"] + [word for loader in _LOADERS for word in ["-e", loader]] + [str(program)]).return_code == 1

def _libraries(ctx, program):
    """Absolute paths of the loader and of every library the program loads; empty if static."""
    if _is_static(ctx, program):
        return None, []
    for loader in _LOADERS:
        if not ctx.path(loader).exists:
            continue
        result = ctx.execute([loader, "--list", str(program)])
        if result.return_code != 0:
            fail("host_program.capture '{}': {} --list {} ended with {}: {}".format(_name(ctx), loader, program, result.return_code, result.stderr or result.stdout))
        libraries = []
        for line in result.stdout.splitlines():
            words = line.strip().split(" ")
            if "not found" in line:
                fail("host_program.capture '{}': {} needs {}, which this machine has not: {}".format(_name(ctx), program, words[0], ctx.attr.install))
            if len(words) >= 3 and words[1] == "=>" and words[2].startswith("/"):
                libraries.append(words[2])
        if loader not in libraries:
            libraries.append(loader)
        return loader, libraries
    fail("host_program.capture '{}': {} needs a dynamic loader, and this machine has none of {}; give host_program.capture a static build by urls and sha256".format(_name(ctx), program, ", ".join(_LOADERS)))

def _host_program_repository_impl(ctx):
    if ctx.attr.urls:
        if not ctx.attr.sha256:
            fail("host_program.capture '{}': urls without sha256: the content must be pinned".format(_name(ctx)))
        ctx.download_and_extract(ctx.attr.urls, output = "archive", sha256 = ctx.attr.sha256, stripPrefix = ctx.attr.strip_prefix)
        program = ctx.path("archive/" + ctx.attr.program)
        if not program.exists:
            fail("host_program.capture '{}': the archive has no {}".format(_name(ctx), ctx.attr.program))
    else:
        program = ctx.which(ctx.attr.program)
        if not program and ctx.getenv("STORMGATE_OFFLINE_ROOT"):
            # The program may well be on the machine: whoever reads this has looked there.
            fail("host_program.capture '{}': no {} in the root folder in which tools/bazel runs Bazel here, {}, whose programs stand for this machine's. Add the Debian package that `{}` installs to offline_packages in tools/offline/setup.sh (or pin an archive by urls and sha256 in MODULE.bazel)".format(
                _name(ctx),
                ctx.attr.program,
                ctx.getenv("STORMGATE_OFFLINE_ROOT"),
                ctx.attr.install,
            ))
        if not program:
            fail("host_program.capture '{}': no {} on this machine's PATH. Install it: {} (or pin an archive by urls and sha256 in MODULE.bazel)".format(
                _name(ctx),
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
            fail("host_program.capture '{}': copy {}: {}".format(_name(ctx), source, result.stderr))
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
        '#!/bin/sh\n# Runs {} with the libraries that were captured with it.\ncase "$0" in */*) root="${{0%/*}}/root" ;; *) root=./root ;; esac\nexec {} "$@"\n'.format(basename, command),
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
