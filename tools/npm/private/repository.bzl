"""The repository rule behind npm.package."""

def _name(ctx):
    """What package's name is: Bazel's has the extension before it."""
    return ctx.name.split("~")[-1].split("+")[-1]

def _registry(ctx):
    """The address of the registry, as npm itself would have it.

    A change of it is no change of the package, so Bazel is not told that this depends on it.
    """
    for variable in ["npm_config_registry", "NPM_CONFIG_REGISTRY"]:
        if ctx.os.environ.get(variable):
            return ctx.os.environ[variable].rstrip("/")
    npm = ctx.which("npm")
    if not npm:
        fail("npm.package '{}': {} is to be fetched from the npm registry, and nothing says where that is. Install npm (apt-get install npm), or set the variable npm_config_registry to the registry's address".format(_name(ctx), ctx.attr.package))
    result = ctx.execute([npm, "config", "get", "registry"])
    address = result.stdout.strip().rstrip("/")
    if result.return_code != 0 or "://" not in address:
        fail("npm.package '{}': `npm config get registry` ended with {}: {}. Set the variable npm_config_registry to the registry's address".format(_name(ctx), result.return_code, result.stderr or result.stdout))
    return address

def _npm_package_repository_impl(ctx):
    package = ctx.attr.package
    url = "{}/{}/-/{}-{}.tgz".format(_registry(ctx), package, package.split("/")[-1], ctx.attr.version)
    result = ctx.download(
        [url],
        output = "package.tgz",
        integrity = ctx.attr.integrity,
        allow_fail = True,
    )
    if not result.success:
        fail("npm.package '{}': {} {} could not be fetched, or is not the one that MODULE.bazel has the checksum of: the warning above has the reason. The variable npm_config_registry names another registry".format(_name(ctx), package, ctx.attr.version))
    ctx.extract("package.tgz", output = "package", stripPrefix = "package")
    ctx.delete("package.tgz")

    # The package's own would hide files from this one.
    for name in ["BUILD", "BUILD.bazel"]:
        ctx.delete("package/" + name)
    ctx.file("BUILD.bazel", """exports_files(glob(["package/**"]), visibility = ["//visibility:public"])

filegroup(
    name = "files",
    srcs = glob(["package/**"]),
    visibility = ["//visibility:public"],
)
""")

npm_package_repository = repository_rule(
    implementation = _npm_package_repository_impl,
    doc = "A package of the npm registry, unpacked.",
    attrs = {
        "integrity": attr.string(mandatory = True),
        "package": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
    },
)
