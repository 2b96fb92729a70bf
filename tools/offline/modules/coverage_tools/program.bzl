"""A program that is there already, as a target that Bazel executes."""

def _program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.file.binary, is_executable = True)
    return [DefaultInfo(
        executable = program,
        runfiles = ctx.runfiles([program]),
    )]

program = rule(
    implementation = _program_impl,
    attrs = {"binary": attr.label(
        allow_single_file = True,
        mandatory = True,
    )},
    executable = True,
)
