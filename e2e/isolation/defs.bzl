"""scenarios: the programs of test targets, and what they need, for the isolation tool."""

def _scenarios_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(out, json.encode_indent({
        "//{}:{}".format(test.label.package, test.label.name): {
            "env": test[RunEnvironmentInfo].environment,
            "program": ctx.workspace_name + "/" + test[DefaultInfo].files_to_run.executable.short_path,
        }
        for test in ctx.attr.tests
    }, indent = "  ") + "\n")
    return [DefaultInfo(
        files = depset([out]),
        runfiles = ctx.runfiles([out]).merge_all([test[DefaultInfo].default_runfiles for test in ctx.attr.tests]),
    )]

scenarios = rule(
    implementation = _scenarios_impl,
    doc = "Lists test targets as JSON: label to `program` (a runfiles path) and `env`. The tests are not run.",
    attrs = {
        "tests": attr.label_list(
            doc = "Tests of this repository that provide RunEnvironmentInfo.",
            mandatory = True,
            providers = [RunEnvironmentInfo],
        ),
    },
)
