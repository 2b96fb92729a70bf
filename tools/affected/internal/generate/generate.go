// Package generate writes a repository of any size, the same each time, to measure on.
package generate

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Files are those of a repository of n packages. A package has a library, a binary that
// a rule of the repository makes, a test by a macro, a go_test and a test with globbed
// data: about a dozen targets and eight files. It depends on up to three packages before
// it, so that what the first ones are changed in reaches most, and a change of the last
// one reaches its own tests.
func Files(n int) map[string]string {
	files := map[string]string{
		"MODULE.bazel": `module(name = "generated")

bazel_dep(name = "rules_go", version = "0.60.0")
bazel_dep(name = "gazelle", version = "0.47.0")

go_deps = use_extension("@gazelle//:extensions.bzl", "go_deps")
go_deps.from_file(go_mod = "//:go.mod")
use_repo(go_deps, "org_example_far")
`,
		".bazelrc":          "build --jobs=4\ntest --test_output=errors\nbuild:race --@rules_go//go/config:race\n",
		".bazelversion":     "7.7.1\n",
		"go.mod":            "module example.org/generated\n\ngo 1.26\n\nrequire example.org/far v1.0.0\n",
		"go.sum":            "example.org/far v1.0.0 h1:x=\n",
		"BUILD.bazel":       "exports_files([\"go.mod\"])\n",
		"rules/BUILD.bazel": "sh_binary(\n    name = \"tool\",\n    srcs = [\"tool.sh\"],\n    visibility = [\"//visibility:public\"],\n)\n",
		"rules/tool.sh":     "#!/bin/sh\n",
		"rules/defs.bzl": `"""Rules and macros of the generated repository."""

load(":names.bzl", "test_name")

def _packed_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    ctx.actions.run(executable = ctx.executable._tool, outputs = [out], inputs = ctx.files.srcs)
    return [DefaultInfo(files = depset([out]))]

packed = rule(
    implementation = _packed_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = True),
        "_tool": attr.label(default = "//rules:tool", executable = True, cfg = "exec"),
    },
)

def checked(name, srcs, shards = 2, **kwargs):
    """Tests of a package."""
    for i in range(shards):
        native.sh_test(
            name = test_name(name, i),
            srcs = srcs,
            args = [str(i)],
            **kwargs
        )
`,
		"rules/names.bzl": "def test_name(name, i):\n    return \"{}_{}_test\".format(name, i)\n",
	}
	for i := range n {
		folder := Package(i)
		base := path.Base(folder)
		var deps []string
		for _, back := range []int{1, 7, 31} {
			if i >= back && i%back == 0 || back == 7 && i >= 7 {
				deps = append(deps, fmt.Sprintf("        \"//%s\",\n", Package(i-back)))
			}
		}
		files[folder+"/BUILD.bazel"] = fmt.Sprintf(`load("@rules_go//go:def.bzl", "go_library", "go_test")
load("//rules:defs.bzl", "checked", "packed")

package(default_visibility = ["//visibility:public"])

go_library(
    name = "%[1]s",
    srcs = [
        "a.go",
        "b.go",
    ],
    importpath = "example.org/generated/%[2]s",
    deps = [
%[3]s        "@org_example_far//:far",
    ],
)

go_test(
    name = "%[1]s_test",
    srcs = ["a_test.go"],
    embed = [":%[1]s"],
)

filegroup(
    name = "data",
    srcs = glob(["data/**"]),
)

packed(
    name = "packed",
    srcs = [":data"],
)

checked(
    name = "check",
    srcs = ["check.sh"],
    data = [":packed"],
)

genrule(
    name = "made",
    srcs = ["in.txt"],
    outs = ["out.txt"],
    cmd = "cp $< $@",
)

sh_test(
    name = "made_test",
    srcs = ["check.sh"],
    data = [
        "out.txt",
        "//%[2]s:data",
    ],
)
`, base, folder, strings.Join(deps, ""))
		for name, content := range map[string]string{
			"a.go": "package " + base + "\n", "b.go": "package " + base + "\n", "a_test.go": "package " + base + "\n",
			"check.sh": "#!/bin/sh\n", "in.txt": "in\n", "data/1.txt": "1\n", "data/deep/2.txt": "2\n",
		} {
			files[folder+"/"+name] = content
		}
	}
	return files
}

// Package is the folder of a package by its number.
func Package(i int) string { return fmt.Sprintf("group%02d/p%04d", i/100, i) }

// Write writes files below a folder.
func Write(dir string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("generate a repository: %w", err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			return fmt.Errorf("generate a repository: %w", err)
		}
	}
	return nil
}
