"""sandboxed: a program run where tests run, to measure what a sandbox costs."""

def _sandboxed_impl(ctx):
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
            runfiles = ctx.runfiles([executable]).merge(program.default_runfiles),
        ),
        RunEnvironmentInfo(environment = environment),
    ]

sandboxed_test = rule(
    implementation = _sandboxed_impl,
    attrs = {
        "program": attr.label(
            doc = "What is run, with its environment and runfiles. `args` are its arguments.",
            executable = True,
            cfg = "target",
            mandatory = True,
        ),
    },
    doc = """Runs a program as a test, and so in linux-sandbox; it passes if the program exits with 0.

    Since a measurement is no verdict, tag it `manual` (no pattern runs it) and
    `external` (its result is never taken from a cache).
    """,
    test = True,
)
