"""A program with arguments and files, as a test or as a target of `bazel run`."""

def _impl(ctx):
    program = ctx.attr.program[DefaultInfo]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = executable,
        target_file = program.files_to_run.executable,
        is_executable = True,
    )
    environment = ctx.attr.program[RunEnvironmentInfo].environment if RunEnvironmentInfo in ctx.attr.program else {}
    return [
        DefaultInfo(
            executable = executable,
            runfiles = ctx.runfiles([executable] + ctx.files.data).merge(program.default_runfiles),
        ),
        RunEnvironmentInfo(environment = environment),
    ]

_ATTRS = {
    "data": attr.label_list(
        doc = "Files that `args` name by `$(rootpath ...)`. Default none.",
        allow_files = True,
    ),
    "program": attr.label(
        doc = "What is run, with its environment and runfiles. `args` are its arguments.",
        executable = True,
        cfg = "target",
        mandatory = True,
    ),
}

program_test = rule(
    implementation = _impl,
    attrs = _ATTRS,
    doc = "Runs a program as a test, and so in linux-sandbox; it passes if the program exits with 0.",
    test = True,
)

program_run = rule(
    implementation = _impl,
    attrs = _ATTRS,
    doc = "Runs a program by `bazel run`.",
    executable = True,
)
