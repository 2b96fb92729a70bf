"""Packages of the npm registry as declared, content-hashed inputs.

`npm.package` fetches one package as it was published, by the checksum that npm's own lock
files have, and unpacks it. Nothing of it is executed, and neither Node nor npm is needed by
what depends on it: for a file such as a script of a page, or a program that is published
there ready to run.
"""

load("//tools/npm/private:repository.bzl", "npm_package_repository")

def _npm_impl(ctx):
    for module in ctx.modules:
        for tag in module.tags.package:
            npm_package_repository(
                name = tag.name,
                integrity = tag.integrity,
                package = tag.package,
                version = tag.version,
            )

npm = module_extension(
    doc = "Packages of the npm registry, as repositories.",
    implementation = _npm_impl,
    tag_classes = {
        "package": tag_class(
            doc = """Fetches one package.

Its files are those of the repository's folder `package`, as they are named in it, and
`:files` has all of them. From which registry is what npm on this machine says (`npm config get
registry`), or the variable `npm_config_registry`: the checksum makes it the same.""",
            attrs = {
                "integrity": attr.string(
                    doc = "Checksum as in package-lock.json, and as `npm view NAME@VERSION dist.integrity` prints it: `sha512-...`.",
                    mandatory = True,
                ),
                "name": attr.string(doc = "Name of the repository.", mandatory = True),
                "package": attr.string(doc = "The package's name: `axe-core`, `@scope/name`.", mandatory = True),
                "version": attr.string(doc = "The version, exactly.", mandatory = True),
            },
        ),
    },
)
