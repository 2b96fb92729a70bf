"""A program of the machine as a declared, content-hashed input.

Some servers that tests need can't be built by Bazel in reasonable time, but the
machine's package manager has them. `host_program.capture` copies such a program
together with the shared libraries that it loads into a repository; what depends
on it is keyed by the content of those files, runs in sandboxes and containers
that have no libraries of their own, and doesn't change when the machine's
package is upgraded in the middle of a build.
"""

load("//tools/hostprogram/private:repository.bzl", "host_program_repository")

def _host_program_impl(ctx):
    for module in ctx.modules:
        for tag in module.tags.capture:
            host_program_repository(
                name = tag.name,
                install = tag.install,
                program = tag.program,
                sha256 = tag.sha256,
                strip_prefix = tag.strip_prefix,
                urls = tag.urls,
            )

host_program = module_extension(
    doc = "Programs of the machine, with their libraries, as repositories.",
    implementation = _host_program_impl,
    tag_classes = {
        "capture": tag_class(
            doc = """Captures one program.

The repository has `files.bzl` with `FILES`, a dict of absolute path to label for
`process_image(files = ...)`, and `PROGRAM`, the program's absolute path in it;
and the script `:program.sh`, which with `:files` runs it in place, for tests without a
container.""",
            attrs = {
                "install": attr.string(
                    doc = "What installs the program, for the error when it is missing: `apt-get install redis-server`.",
                    mandatory = True,
                ),
                "name": attr.string(doc = "Name of the repository.", mandatory = True),
                "program": attr.string(
                    doc = "The program's name on PATH, or with `urls` its path in the archive.",
                    mandatory = True,
                ),
                "sha256": attr.string(doc = "With `urls`: checksum of the archive; required then."),
                "strip_prefix": attr.string(doc = "With `urls`: folder of the archive to leave out."),
                "urls": attr.string_list(
                    doc = "Instead of the machine's own: an archive of a statically linked build, or of one whose libraries the machine has.",
                ),
            },
        ),
    },
)
