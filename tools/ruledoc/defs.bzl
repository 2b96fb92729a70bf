"""The reference of Bazel rules, generated from their docstrings and kept beside them."""

load("//tools/internal/program:defs.bzl", "program_run", "program_test")

_PROGRAM = Label("//tools/ruledoc/cmd/ruledoc")

def rule_reference(name, out, modules, deps = [], tags = [], **kwargs):
    """A Markdown file that documents the rules of .bzl files.

    `<name>_test` fails when the file is not what the docstrings say, and when
    something public has no docstring. `bazel run` of `<name>` writes the file.

    Args:
      name: target name.
      out: the Markdown file, in this package's folder of the source tree.
      modules: labels of .bzl files, in the order of the reference; each has a `bzl_library` of its name without `.bzl`.
      deps: further `bzl_library` targets, of files that those libraries load and do not name; default none.
      tags: common attribute.
      **kwargs: common attributes (visibility, testonly, ...).
    """
    extracts = []
    for i, module in enumerate(modules):
        extract = "{}.{}".format(name, i)
        native.starlark_doc_extract(
            name = extract,
            src = module,
            tags = tags + ["manual"],
            deps = [module.removesuffix(".bzl")] + deps,
        )
        extracts.append(extract)
    args = [
        "--file=" + native.package_name() + "/" + out,
        "'--command=tools/bazel run //{}:{}'".format(native.package_name(), name),
    ]
    inputs = ["$(rootpath {})".format(extract) for extract in extracts]
    program_run(
        name = name,
        args = args + ["--update"] + inputs,
        data = extracts,
        program = _PROGRAM,
        tags = tags,
        **kwargs
    )
    program_test(
        name = name + "_test",
        size = "small",
        args = args + inputs,
        data = [out] + extracts,
        program = _PROGRAM,
        tags = tags,
        **kwargs
    )
