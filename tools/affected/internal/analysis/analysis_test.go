package analysis

import (
	"maps"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/git"
	"stormgate.internal/tools/affected/internal/graph"
	"stormgate.internal/tools/affected/internal/index"
	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// workspace is a small workspace with one of each thing that the tests below change.
var workspace = map[string]string{
	"MODULE.bazel": `module(name = "small", version = "1")
bazel_dep(name = "rules_go", version = "0.60.0")
bazel_dep(name = "gazelle", version = "0.47.0")
bazel_dep(name = "rules_other", version = "1.0")
bazel_dep(name = "near", version = "0")
local_path_override(module_name = "near", path = "third_party/near")
go_sdk = use_extension("@rules_go//go:extensions.bzl", "go_sdk")
go_sdk.from_file(go_mod = "//:go.mod")
go_sdk.nogo(nogo = "//nogo")
go_deps = use_extension("@gazelle//:extensions.bzl", "go_deps")
go_deps.from_file(go_mod = "//:go.mod")
use_repo(go_deps, "org_example_a", "org_example_b")
ext = use_extension("//ext:ext.bzl", "ext")
ext.make(name = "made", source = "//ext:source.txt")
use_repo(ext, "made")
register_toolchains("//tc:all")
`,
	".bazelrc":        "build --jobs=4\ntest --test_env=A=1\nbuild:race --copt=-g\nbuild --workspace_status_command=tools/status.sh\nbuild --//flags:mode=x\n",
	".bazelversion":   "7.7.1\n",
	".bazelignore":    "ignored\n",
	"go.mod":          "module example.org/small\n\ngo 1.26\n\nrequire (\n\texample.org/a v1.0.0\n\texample.org/b v1.0.0\n)\n",
	"go.sum":          "example.org/a v1.0.0 h1:aaa=\nexample.org/b v1.0.0 h1:bbb=\n",
	"BUILD":           "exports_files([\"go.mod\"])\n",
	"README.md":       "hello\n",
	"tools/bazel":     "#!/bin/sh\n# see docs/x.txt\nexec \"$workspace/offline/run.sh\"\n",
	"offline/run.sh":  "#!/bin/sh\n",
	"tools/status.sh": "#!/bin/sh\necho STABLE_A 1\n",
	"docs/x.txt":      "x\n",

	"ext/BUILD":      "",
	"ext/source.txt": "s\n",
	"ext/ext.bzl": `
def _repo_impl(ctx):
    ctx.file("BUILD", ctx.attr.source)
_repo = repository_rule(implementation = _repo_impl, attrs = {"source": attr.label()})
def _impl(ctx):
    for m in ctx.modules:
        for t in m.tags.make:
            _repo(name = t.name, source = t.source)
ext = module_extension(implementation = _impl, tag_classes = {"make": tag_class(attrs = {"name": attr.string(), "source": attr.label()})})
`,

	"third_party/near/MODULE.bazel": "module(name = \"near\")\n",
	"third_party/near/BUILD":        "filegroup(name = \"near\", srcs = [\"near.txt\"], visibility = [\"//visibility:public\"])\n",
	"third_party/near/near.txt":     "n\n",
	"third_party/near/defs.bzl":     "def near_test(name, **kwargs):\n    native.sh_test(name = name, **kwargs)\n",

	"rules/BUILD":   "sh_binary(name = \"tool\", srcs = [\"tool.sh\"])\nsh_binary(name = \"unused\", srcs = [\"unused.sh\"])\n",
	"rules/tool.sh": "#!/bin/sh\n", "rules/unused.sh": "#!/bin/sh\n",
	"rules/defs.bzl": `"""Documentation."""
load(":helper.bzl", "help", "unrelated")
Info = provider(doc = "x", fields = ["a"])
# A comment.
def _impl(ctx):
    """Documentation."""
    return [Info(a = help(ctx))]
def _stamped_impl(ctx):
    return [DefaultInfo(files = depset([ctx.info_file]))]
def _aspect_impl(target, ctx):
    return []
_aspect = aspect(implementation = _aspect_impl, attr_aspects = ["deps"])
def _tc_impl(ctx):
    return [platform_common.ToolchainInfo()]
made = rule(implementation = _impl, attrs = {"srcs": attr.label_list(allow_files = True), "_tool": attr.label(default = "//rules:tool", executable = True, cfg = "exec")})
stamped = rule(implementation = _stamped_impl)
aspected = rule(implementation = _stamped_impl.__name__ if False else _impl, attrs = {"deps": attr.label_list(aspects = [_aspect])})
with_toolchain = rule(implementation = _impl, toolchains = ["//tc:type"])
tc = rule(implementation = _tc_impl, attrs = {"file": attr.label(allow_single_file = True)})
def many(name, n = 2, **kwargs):
    for i in range(n):
        native.sh_test(name = "%s_%d_test" % (name, i), **kwargs)
def by_hand(x):
    return unrelated(x)
`,
	"rules/helper.bzl": "def help(ctx):\n    return ctx.label\ndef unrelated(x):\n    return x\n",

	"tc/BUILD": `load("//rules:defs.bzl", "tc")
toolchain_type(name = "type")
tc(name = "impl", file = "tc.txt")
toolchain(name = "tc", toolchain = ":impl", toolchain_type = ":type")
`,
	"tc/tc.txt": "t\n",
	"flags/BUILD": `load("@rules_other//:flags.bzl", "string_flag")
string_flag(name = "mode", build_setting_default = "y")
config_setting(name = "is_x", flag_values = {":mode": "x"})
`,
	"nogo/BUILD":       "load(\"@rules_go//go:def.bzl\", \"nogo\")\nnogo(name = \"nogo\", config = \"config.json\")\n",
	"nogo/config.json": "{}\n",

	"a/BUILD": `load("//rules:defs.bzl", "aspected", "made", "many", "stamped", "with_toolchain")
load("@near//:defs.bzl", "near_test")
package(default_visibility = ["//visibility:public"], features = ["f"])
filegroup(name = "globbed", srcs = glob(["data/**", "*.dat"], exclude = ["data/not/**"]))
filegroup(name = "folder", srcs = ["dir"])
filegroup(name = "linked", srcs = ["link.txt", "linkdir/in.txt"])
genrule(name = "gen", srcs = ["gen.in"], outs = ["gen.out"], cmd = "cp $(location gen.in) $@", tags = ["x"])
made(name = "made", srcs = ["made.txt"])
stamped(name = "stamped")
aspected(name = "aspected", deps = [":globbed"])
with_toolchain(name = "tooled")
alias(name = "alias", actual = ":made")
sh_test(name = "glob_test", srcs = ["t.sh"], data = [":globbed"])
sh_test(name = "folder_test", srcs = ["t.sh"], data = [":folder"])
sh_test(name = "link_test", srcs = ["t.sh"], data = [":linked"])
sh_test(name = "gen_test", srcs = ["t.sh"], data = ["gen.out"])
sh_test(name = "made_test", srcs = ["t.sh"], data = [":alias"])
sh_test(name = "stamp_test", srcs = ["t.sh"], data = [":stamped"])
sh_test(name = "aspect_test", srcs = ["t.sh"], data = [":aspected"])
sh_test(name = "tool_test", srcs = ["t.sh"], data = [":tooled"])
sh_test(name = "near_data_test", srcs = ["t.sh"], data = ["@near//:near"])
sh_test(name = "repo_test", srcs = ["t.sh"], data = ["@made//:x"])
sh_test(name = "select_test", srcs = ["t.sh"], data = select({"//flags:is_x": ["x.txt"], "//conditions:default": ["y.txt"]}))
sh_test(name = "manual_test", srcs = ["t.sh"], tags = ["manual"])
sh_test(name = "always_test", srcs = ["t.sh"], tags = ["external"])
sh_test(name = "never_test", srcs = ["t.sh"], target_compatible_with = ["@platforms//:incompatible"])
sh_test(name = "attr_test", srcs = ["attr.sh"], args = ["1"], size = "small")
near_test(name = "near_macro_test", srcs = ["t.sh"])
many(name = "many", srcs = ["t.sh"])
test_suite(name = "suite", tests = [":glob_test"])
`,
	"a/t.sh": "#!/bin/sh\n", "a/attr.sh": "#!/bin/sh\n", "a/gen.in": "g\n", "a/made.txt": "m\n", "a/x.txt": "x\n", "a/y.txt": "y\n", "a/one.dat": "1\n",
	"a/data/1.txt": "1\n", "a/data/not/2.txt": "2\n", "a/data/deep/er.txt": "3\n", "a/dir/d.txt": "d\n", "a/link.txt": "-> real.txt", "a/real.txt": "r\n",
	"a/linkdir": "-> ../shared/real", "shared/real/in.txt": "in\n", "a/unused.txt": "u\n",

	"go/BUILD": `load("@rules_go//go:def.bzl", "go_library", "go_test")
go_library(name = "go", srcs = ["go.go"], importpath = "example.org/small/go", deps = ["@org_example_a//pkg"])
go_test(name = "go_test", srcs = ["go_test.go"], embed = [":go"])
go_test(name = "plain_test", srcs = ["plain_test.go"])
`,
	"go/go.go": "package g\n", "go/go_test.go": "package g\n", "go/plain_test.go": "package g\n",
	"other/BUILD":   "load(\"@rules_other//:defs.bzl\", \"odd_macro\")\nodd_macro(name = \"odd\", srcs = [\"odd.txt\"], things = {\"k\": \"thing.txt\"})\nsh_test(name = \"odd_test\", srcs = [\"o.sh\"], data = [\":odd.generated\"])\n",
	"other/odd.txt": "o\n", "other/thing.txt": "t\n", "other/o.sh": "#!/bin/sh\n",
	"ignored/BUILD": "sh_test(name = \"ignored_test\", srcs = [\"i.sh\"])\n", "ignored/i.sh": "#!/bin/sh\n",
}

// all are the tests that `//...` has.
var all = "//a:aspect_test //a:attr_test //a:folder_test //a:gen_test //a:glob_test //a:link_test //a:made_test //a:many_0_test //a:many_1_test //a:near_data_test //a:near_macro_test //a:repo_test //a:select_test //a:stamp_test //a:tool_test //go:go_test //go:plain_test //other:odd_test"

type edit func(files map[string]string)

func set(name, content string) edit { return func(f map[string]string) { f[name] = content } }
func del(names ...string) edit {
	return func(f map[string]string) {
		for _, n := range names {
			delete(f, n)
		}
	}
}

func sub(name, old, replacement string) edit {
	return func(f map[string]string) {
		if !strings.Contains(f[name], old) {
			panic(name + " has no " + old)
		}
		f[name] = strings.Replace(f[name], old, replacement, 1)
	}
}

func both(edits ...edit) edit {
	return func(f map[string]string) {
		for _, e := range edits {
			e(f)
		}
	}
}

// except is all tests but some.
func except(names ...string) string {
	var left []string
	for _, n := range strings.Fields(all) {
		if !slices.Contains(names, n) {
			left = append(left, n)
		}
	}
	return strings.Join(left, " ")
}

const tsh = "//a:aspect_test //a:folder_test //a:gen_test //a:glob_test //a:link_test //a:made_test //a:many_0_test //a:many_1_test //a:near_data_test //a:near_macro_test //a:repo_test //a:select_test //a:stamp_test //a:tool_test"

// readStatus are the tests that read the workspace status, or what other repositories
// define, which may.
const readStatus = "//a:select_test //a:stamp_test //other:odd_test"

// TestChanges says for each kind of change which tests it affects: exactly these, no
// fewer and no more.
func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name string
		edit edit
		want string
	}{
		{"nothing", func(map[string]string) {}, ""},
		{"file that nothing reads", set("README.md", "x"), ""},
		{"file of a package that no target has", set("a/unused.txt", "x"), ""},
		{"source of a test", set("a/attr.sh", "#!/bin/sh\nexit 0\n"), "//a:attr_test"},
		{"source of many tests", set("a/t.sh", "#!/bin/sh\nexit 0\n"), tsh},
		{"globbed file", set("a/data/1.txt", "x"), "//a:glob_test"}, // The aspect sees names alone.
		{"globbed file, added", set("a/data/new.txt", "x"), "//a:aspect_test //a:glob_test"},
		{"globbed file, deleted", del("a/data/1.txt"), "//a:aspect_test //a:glob_test"},
		{"excluded file, added", set("a/data/not/3.txt", "x"), ""},
		{"renamed within the glob", both(del("a/data/1.txt"), set("a/data/renamed.txt", "1\n")), "//a:aspect_test //a:glob_test"},
		{"a package begins in a glob", set("a/data/deep/BUILD", ""), "//a:aspect_test //a:glob_test"},
		{"file in a folder that is a source", set("a/dir/d.txt", "x"), "//a:folder_test"},
		{"file added to a folder that is a source", set("a/dir/e.txt", "x"), "//a:folder_test"},
		{"target of a link", set("a/real.txt", "x"), "//a:link_test"},
		{"target of a linked folder", set("shared/real/in.txt", "x"), "//a:link_test"},
		{"link to something else", set("a/link.txt", "-> x.txt"), "//a:link_test"},
		{"link becomes a file of the same content", set("a/link.txt", "r\n"), ""},
		{"execution bit", set("a/made.txt", "#!m"), "//a:made_test"},
		{"input of a generated file", set("a/gen.in", "x"), "//a:gen_test"},
		{"command of a generated file", sub("a/BUILD", "cp $(location gen.in) $@", "cat $(location gen.in) > $@"), "//a:gen_test"},
		{"generated file becomes a source", both(sub("a/BUILD", "genrule(name = \"gen\", srcs = [\"gen.in\"], outs = [\"gen.out\"], cmd = \"cp $(location gen.in) $@\", tags = [\"x\"])\n", ""), set("a/gen.out", "g\n")), "//a:gen_test"},
		{"source is missing", del("a/attr.sh"), "//a:attr_test"},
		{"attribute of a test", sub("a/BUILD", `args = ["1"]`, `args = ["2"]`), "//a:attr_test"},
		{"size of a test", sub("a/BUILD", `size = "small"`, `size = "medium"`), "//a:attr_test"},
		{"tag of a test", sub("a/BUILD", `size = "small"`, `size = "small", tags = ["t"]`), "//a:attr_test"},
		{"tag of a target that is no test", sub("a/BUILD", `tags = ["x"]`, `tags = ["y"]`), ""},
		{"tag that enters actions", sub("a/BUILD", `tags = ["x"]`, `tags = ["no-cache"]`), "//a:gen_test"},
		{"visibility", sub("a/BUILD", `["//visibility:public"]`, `["//visibility:private"]`), ""},
		{"package's features", sub("a/BUILD", `features = ["f"]`, `features = ["g"]`), ""},
		{"order and comments of a BUILD file", sub("a/BUILD", "stamped(name = \"stamped\")\n", "# A comment.\nstamped(\n    name = 'stamped',\n)\n"), ""},
		{"a label in another spelling", sub("a/BUILD", `data = [":globbed"]`, `data = ["//a:globbed"]`), ""},
		{"new test", sub("a/BUILD", "test_suite(", "sh_test(name = \"fresh_test\", srcs = [\"x.txt\"])\ntest_suite("), "//a:fresh_test"},
		{"removed test", sub("a/BUILD", "near_test(name = \"near_macro_test\", srcs = [\"t.sh\"])\n", ""), ""},
		{"manual no longer", sub("a/BUILD", `tags = ["manual"]`, `tags = []`), "//a:manual_test"},
		{"new package", set("new/BUILD", "sh_test(name = \"new_test\", srcs = [\"//a:t.sh\"])\n"), "//new:new_test"},
		{"removed package", del("go/BUILD"), ""},
		{"test suite", sub("a/BUILD", `tests = [":glob_test"]`, `tests = [":gen_test"]`), ""},

		{"comment of a rule's file", sub("rules/defs.bzl", "# A comment.", "# Another."), ""},
		{"documentation", both(sub("rules/defs.bzl", `"""Documentation."""`, `"""More."""`), sub("rules/defs.bzl", `doc = "x"`, `doc = "y"`)), ""},
		{"implementation of a rule", sub("rules/defs.bzl", "return [Info(a = help(ctx))]", "return [Info(a = help(ctx)), DefaultInfo()]"), "//a:aspect_test //a:made_test //a:tool_test"},
		{"what the implementation calls in another file", sub("rules/helper.bzl", "return ctx.label", "return str(ctx.label)"), "//a:aspect_test //a:made_test //a:tool_test"},
		{"a function of a loaded file that no implementation reaches", sub("rules/helper.bzl", "    return x", "    return [x]"), ""},
		{"macro with the same result", sub("rules/defs.bzl", "for i in range(n):", "for i in [0, 1][:n]:"), ""},
		{"macro with another result", sub("rules/defs.bzl", "native.sh_test(name = \"%s_%d_test\" % (name, i), **kwargs)", "native.sh_test(name = \"%s_%d_test\" % (name, i), args = [\"x\"] if i else [], **kwargs)"), "//a:many_0_test //a:many_1_test"},
		{"macro with another test", sub("rules/defs.bzl", "n = 2", "n = 3"), "//a:many_2_test"},
		{"a loaded file has another name", both(del("rules/helper.bzl"), set("rules/helpers.bzl", workspace["rules/helper.bzl"]), sub("rules/defs.bzl", ":helper.bzl", ":helpers.bzl")), ""},
		{"a loaded file is in another package", both(del("rules/helper.bzl"), set("tc/helper.bzl", workspace["rules/helper.bzl"]), sub("rules/defs.bzl", ":helper.bzl", "//tc:helper.bzl")), "//a:aspect_test //a:made_test //a:tool_test"},
		{"a function moves to another file", both(set("rules/helper.bzl", "def unrelated(x):\n    return x\n"), set("rules/more.bzl", "def help(ctx):\n    return ctx.label\n"), sub("rules/defs.bzl", "load(\":helper.bzl\", \"help\", \"unrelated\")", "load(\":helper.bzl\", \"unrelated\")\nload(\":more.bzl\", \"help\")")), ""},
		{"a name stands for another function", sub("rules/defs.bzl", "\"help\", \"unrelated\"", "\"unrelated\", help = \"unrelated\""), "//a:aspect_test //a:made_test //a:tool_test"},
		{"default of an attribute", sub("rules/defs.bzl", `default = "//rules:tool"`, `default = "//rules:unused"`), "//a:made_test"},
		{"tool that is a default", set("rules/tool.sh", "#!/bin/sh\nexit 1\n"), "//a:made_test"},
		{"tool that nothing uses", set("rules/unused.sh", "#!/bin/sh\nexit 1\n"), ""},
		{"implementation of an aspect", sub("rules/defs.bzl", "def _aspect_impl(target, ctx):\n    return []", "def _aspect_impl(target, ctx):\n    return [Info(a = 1)]"), "//a:aspect_test"},
		{"file of a toolchain", set("tc/tc.txt", "x"), "//a:tool_test"},
		{"registration of toolchains", sub("MODULE.bazel", "register_toolchains(\"//tc:all\")\n", ""), "//a:tool_test"},
		{"branch of a select", set("a/y.txt", "x"), "//a:select_test"},
		{"condition of a select", sub("flags/BUILD", `{":mode": "x"}`, `{":mode": "z"}`), "//a:select_test"},

		{"file of a module in the workspace", set("third_party/near/near.txt", "x"), "//a:near_data_test"},
		{"macro of a module in the workspace", sub("third_party/near/defs.bzl", "native.sh_test(name = name", "native.sh_test(name = name, args = [\"x\"]"), "//a:near_macro_test"},
		{"code of an extension, for the same repositories", sub("ext/ext.bzl", "for t in m.tags.make:", "for t in m.tags.make + []:"), ""},
		{"code of an extension", sub("ext/ext.bzl", "source = t.source)", "source = \"//ext:BUILD\")"), "//a:repo_test"},
		{"code of an extension, which fails", sub("ext/ext.bzl", "for t in m.tags.make:", "for t in m.tags.mace:"), "//a:repo_test"},
		{"code of a repository rule", sub("ext/ext.bzl", `ctx.file("BUILD"`, `ctx.file("BUILD.bazel"`), "//a:repo_test"},
		{"file that a tag names", set("ext/source.txt", "x"), "//a:repo_test"},
		{"tag of an extension", sub("MODULE.bazel", `source = "//ext:source.txt"`, `source = "//a:x.txt"`), "//a:repo_test"},
		{"version of a module", sub("MODULE.bazel", `"rules_other", version = "1.0"`, `"rules_other", version = "1.1"`), "//a:select_test //go:go_test //go:plain_test //other:odd_test"},
		{"version of the workspace's own module", sub("MODULE.bazel", `version = "1")`, `version = "2")`), ""},
		{"comment in MODULE.bazel", sub("MODULE.bazel", "register_toolchains", "# x\nregister_toolchains"), ""},

		{"Go source", set("go/go.go", "package g // x\n"), "//go:go_test"},
		{"nogo's configuration", set("nogo/config.json", "{ }"), "//go:go_test //go:plain_test"},
		{"Go version", sub("go.mod", "go 1.26", "go 1.27"), "//go:go_test //go:plain_test"},
		{"Go toolchain", sub("go.mod", "go 1.26\n", "go 1.26\n\ntoolchain go1.26.1\n"), "//go:go_test //go:plain_test"},
		{"Go toolchain that is the Go version", sub("go.mod", "go 1.26\n", "go 1.26\n\ntoolchain go1.26\n"), ""},
		{"version of a Go module", sub("go.mod", "example.org/a v1.0.0", "example.org/a v1.1.0"), "//go:go_test"},
		{"hash of a Go module", sub("go.sum", "h1:aaa=", "h1:ccc="), "//go:go_test"},
		{"hash of a go.mod", sub("go.sum", "example.org/a v1.0.0 h1", "example.org/a v0.9.0/go.mod h1:x=\nexample.org/a v1.0.0 h1"), ""},
		{"replacement of a Go module", sub("go.mod", "go 1.26\n", "go 1.26\n\nreplace example.org/a => example.org/fork v1.0.0\n"), "//go:go_test"},
		{"file of a Go module that is a folder", both(sub("go.mod", "go 1.26\n", "go 1.26\n\nreplace example.org/b => ./third_party/b\n"), set("third_party/b/b.go", "package b\n")), "//go:go_test"},
		{"aspect of an option", set(".bazelrc", workspace[".bazelrc"]+"build --aspects=//rules:defs.bzl%x\n"), all},
		{"comment in go.mod", sub("go.mod", "go 1.26\n", "// x\ngo 1.26\n"), ""},

		{"input of an unknown macro", set("other/odd.txt", "x"), "//other:odd_test"},
		{"input in a dictionary of an unknown macro", set("other/thing.txt", "x"), "//other:odd_test"},
		{"input of an unknown macro, deleted", del("other/thing.txt"), "//other:odd_test"},
		{"attribute of an unknown macro", sub("other/BUILD", `{"k": "thing.txt"}`, `{"j": "thing.txt"}`), "//other:odd_test"},

		{"Bazel's version", set(".bazelversion", "7.7.2\n"), all},
		{"blank in Bazel's version", set(".bazelversion", "7.7.1"), ""},
		{"option that enters no key", sub(".bazelrc", "--jobs=4", "--jobs=8"), ""},
		{"option of a config that is not used", sub(".bazelrc", "build:race --copt=-g", "build:race --copt=-O"), ""},
		{"option of tests", sub(".bazelrc", "A=1", "A=2"), all},
		{"option that is not known", set(".bazelrc", workspace[".bazelrc"]+"build --frobnicate\n"), all},
		{"comment in .bazelrc", set(".bazelrc", "# x\n"+workspace[".bazelrc"]), ""},
		{"build setting", sub(".bazelrc", "mode=x", "mode=z"), "//a:select_test"},
		{"status command", sub(".bazelrc", "tools/status.sh", "tools/bazel"), readStatus},
		{"what the status command prints", set("tools/status.sh", "#!/bin/sh\necho STABLE_A 2\n"), readStatus},
		{"tools/bazel", sub("tools/bazel", "exec", "exec "), all},
		{"what tools/bazel names", set("offline/run.sh", "#!/bin/sh\nexit 1\n"), all},
		{"what a comment of tools/bazel names", set("docs/x.txt", "y\n"), ""},
		{".bazelignore", set(".bazelignore", ""), "//ignored:ignored_test"},
		{"file in an ignored folder", set("ignored/i.sh", "#!/bin/sh\nexit 1\n"), ""},
		{"lock file", set("MODULE.bazel.lock", "{}"), "//a:select_test //go:go_test //go:plain_test //other:odd_test"},
		{"WORKSPACE", set("WORKSPACE", "x()\n"), all},
		{"attributes for diffs", set(".gitattributes", "*.txt diff=x\n"), ""},
		{"attributes for checkouts", set(".gitattributes", "*.txt eol=crlf\n"), "//a:aspect_test //a:folder_test //a:glob_test //a:link_test //a:made_test //a:near_data_test //a:repo_test //a:select_test //a:tool_test //other:odd_test"},
		{"attributes for checkouts of BUILD files", set(".gitattributes", "BUILD eol=crlf\n"), all},
		{"attributes for checkouts of what is not there", set(".gitattributes", "*.png binary\n"), ""},
		{"attributes for checkouts of one file", set(".gitattributes", "/a/made.txt -text\n"), "//a:made_test"},
		{"attributes for checkouts by another pattern", set(".gitattributes", "a/**/x eol=crlf\n"), all},
		{"attributes for checkouts in a folder", set("a/.gitattributes", "made.txt eol=crlf\n"), "//a:made_test"},
		{"attributes for checkouts in another folder", set("go/.gitattributes", "made.txt eol=crlf\n"), ""},
		{"licences of all packages", set("REPO.bazel", "repo(default_package_metadata = [\"//a:x\"])\n"), all},
		{"visibility of all packages", set("REPO.bazel", "repo(default_visibility = [\"//visibility:public\"])\n"), ""},
		{"what a module of the workspace says of its packages", set("third_party/near/REPO.bazel", "repo(odd = 1)\n"), all},
		{"features of all packages", set("REPO.bazel", "repo(features = [\"x\"])\n"), "//a:select_test //go:go_test //go:plain_test //other:odd_test"},
		{"visibility of all packages", set("REPO.bazel", "repo(default_visibility = [\"//visibility:public\"])\n"), ""},
		{"folders that REPO.bazel ignores", set("REPO.bazel", "ignore_directories([\"x\"])\n"), all},
		{"size that is the default", sub("a/BUILD", "sh_test(name = \"gen_test\",", "sh_test(name = \"gen_test\", size = \"medium\", timeout = \"moderate\","), ""},
		{"timeout that is that of the size", sub("a/BUILD", `size = "small"`, `size = "small", timeout = "short"`), ""},
		{"timeout", sub("a/BUILD", `size = "small"`, `size = "small", timeout = "long"`), "//a:attr_test"},
		{"another system's test", sub("a/BUILD", `size = "small"`, `size = "small", target_compatible_with = ["@platforms//os:windows"]`), ""},
		{"make variable", set(".bazelrc", workspace[".bazelrc"]+"build --define=colour=y\n"), "//go:go_test //other:odd_test //a:select_test"},
		{"make variable that rules_go reads", set(".bazelrc", workspace[".bazelrc"]+"build --define=gotags=y\n"), "//go:go_test //go:plain_test //other:odd_test //a:select_test"},
		{"make variable that a repository's code names", set(".bazelrc", workspace[".bazelrc"]+"build --define=source=y\n"), "//go:go_test //other:odd_test //a:repo_test //a:select_test"},
		{"make variable that is overwritten", set(".bazelrc", workspace[".bazelrc"]+"build --define=x=y --define=x=z\n"), "//go:go_test //other:odd_test //a:repo_test //a:select_test"},

		{"conflict markers in a BUILD file", sub("go/BUILD", "go_test(", "<<<<<<< ours\ngo_test("), "//go:go_test //go:plain_test"},
		{"error in a macro", sub("rules/defs.bzl", "for i in range(n):", "for i in range(nope):"), except("//go:go_test", "//go:plain_test", "//other:odd_test")},
		{"MODULE.bazel that can't be evaluated", sub("MODULE.bazel", "register_toolchains(", "register_toolchains(("), all},
		{"two changes", both(set("go/go.go", "package g // x\n"), set("a/attr.sh", "#!/bin/sh\nx\n")), "//a:attr_test //go:go_test"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			head := maps.Clone(workspace)
			c.edit(head)
			answer, err := Compare(t.Context(), snapshot.Of(workspace), snapshot.Of(head), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, test := range answer.Tests {
				if test.State == "always" || test.Label == "//a:always_test" {
					continue // Its own test is below.
				}
				got = append(got, test.Label)
				if test.Chain[0].Node != test.Label || len(test.Chain) < 2 || test.Reason == "" {
					t.Errorf("%s has no reason: %v", test.Label, test.Chain)
				}
			}
			missed, beyond := difference(strings.Fields(c.want), got), difference(got, strings.Fields(c.want))
			if len(missed)+len(beyond) > 0 {
				t.Errorf("missed %v, beyond %v", missed, beyond)
				for _, test := range answer.Tests {
					t.Log(test.Reason)
				}
				for _, w := range answer.Widened {
					t.Log("widened:", w)
				}
			}
		})
	}
}

func difference(a, b []string) []string {
	var left []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			left = append(left, x)
		}
	}
	return left
}

func compare(t *testing.T, base, head map[string]string, options Options) *Answer {
	t.Helper()
	answer, err := Compare(t.Context(), snapshot.Of(base), snapshot.Of(head), options)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// expect compares a workspace with itself after some edits: the tests that are affected
// are those of want, no more and no fewer.
func expect(t *testing.T, name string, base map[string]string, want string, edits ...edit) {
	t.Helper()
	head := maps.Clone(base)
	both(edits...)(head)
	answer := compare(t, base, head, Options{})
	var got []string
	for _, test := range answer.Tests {
		got = append(got, test.Label)
	}
	if text := strings.Join(got, " "); text != want {
		t.Errorf("%s: affects %q, want %q", name, text, want)
	}
}

// tiny is a workspace with one test, and more files.
func tiny(files map[string]string) map[string]string {
	all := map[string]string{
		"MODULE.bazel": "module(name = \"tiny\", version = \"1\")\n", ".bazelrc": "", "t.sh": "#!/bin/sh\n",
		"BUILD": "sh_test(name = \"t\", srcs = [\"t.sh\"])\n",
	}
	maps.Copy(all, files)
	return all
}

// with are files of a workspace with other ones added or in their place.
func with(files map[string]string, more ...string) map[string]string {
	all := maps.Clone(files)
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// TestOptionsThatCount: options of the system's own config, and the last of two
// spellings.
func TestOptionsThatCount(t *testing.T) {
	system := strings.Replace(runtime.GOOS, "darwin", "macos", 1)
	rc := "common --enable_platform_specific_config\nbuild:" + system + " --test_env=A=1\nbuild:elsewhere --test_env=A=1\n"
	base := tiny(map[string]string{".bazelrc": rc})
	expect(t, "the system's config", base, "//:t", sub(".bazelrc", "A=1", "A=2"))
	expect(t, "another system's config", base, "", sub(".bazelrc", "elsewhere --test_env=A=1", "elsewhere --test_env=A=2"))
	base = tiny(map[string]string{".bazelrc": "common --noenable_platform_specific_config\nbuild:" + system + " --test_env=A=1\n"})
	expect(t, "the system's config, which is off", base, "", sub(".bazelrc", "A=1", "A=2"))
	rc = "build:" + system + " --test_env=A=1\n"
	for version, want := range map[string]string{"": "//:t", "7.7.1\n": "", "8.4.2\n": "//:t", "latest\n": "//:t"} {
		expect(t, "the system's config, unless it is off, of version "+version, tiny(map[string]string{".bazelrc": rc, ".bazelversion": version}), want, sub(".bazelrc", "A=1", "A=2"))
	}
	base = tiny(map[string]string{".bazelrc": "build --jobs=4\nbuild -c dbg\nbuild --compilation_mode=opt\n"})
	expect(t, "two spellings of one option change places", base, "//:t", set(".bazelrc", "build --jobs=4\nbuild --compilation_mode=opt\nbuild -c dbg\n"))
	expect(t, "another spelling of one option", base, "", sub(".bazelrc", "-c dbg", "--compilation_mode=dbg"))
	expect(t, "two options change places", base, "", set(".bazelrc", "build -c dbg\nbuild --compilation_mode=opt\nbuild --jobs=4\n"))
}

func edited(edits ...edit) map[string]string {
	head := maps.Clone(workspace)
	both(edits...)(head)
	return head
}

func find(answer *Answer, label string) *Test {
	for i := range answer.Tests {
		if answer.Tests[i].Label == label {
			return &answer.Tests[i]
		}
	}
	return nil
}

// TestAlways: what Bazel runs each time is listed with any change, and not without one.
func TestAlways(t *testing.T) {
	if test := find(compare(t, workspace, edited(set("README.md", "x")), Options{}), "//a:always_test"); test == nil || test.State != "always" {
		t.Errorf("with a change: %v", test)
	}
	if test := find(compare(t, workspace, workspace, Options{}), "//a:always_test"); test != nil {
		t.Errorf("without a change: %v", test)
	}
	if test := find(compare(t, workspace, edited(set("a/t.sh", "x")), Options{}), "//a:always_test"); test == nil || test.State != "changed" {
		t.Errorf("with a change that it depends on: %v", test)
	}
}

func TestStates(t *testing.T) {
	answer := compare(t, workspace, edited(
		del("go/BUILD"), set("new/BUILD", "sh_test(name = \"new_test\", srcs = [\"//a:t.sh\"])\n"), set("a/attr.sh", "x"), set("docs/y.md", "x"), set("a/unused.txt", "x"),
	), Options{})
	if !slices.Equal(answer.Removed, []string{"//go:go_test", "//go:plain_test"}) {
		t.Errorf("removed: %v", answer.Removed)
	}
	for label, state := range map[string]string{"//new:new_test": "new", "//a:attr_test": "changed"} {
		if test := find(answer, label); test == nil || test.State != state {
			t.Errorf("%s is %v, want %s", label, test, state)
		}
	}
	var unused []string
	for _, u := range answer.Unused {
		unused = append(unused, u.Path)
	}
	if want := []string{"a/unused.txt", "docs/y.md"}; len(difference(want, unused)) > 0 {
		t.Errorf("unused: %v, want %v", unused, want)
	}
}

func TestManual(t *testing.T) {
	head := edited(set("a/t.sh", "x"))
	if find(compare(t, workspace, head, Options{}), "//a:manual_test") != nil {
		t.Error("a manual test is listed")
	}
	if find(compare(t, workspace, head, Options{IncludeManual: true}), "//a:manual_test") == nil {
		t.Error("a manual test is not listed though asked for")
	}
}

// TestConfig: lines of a config count if it is used.
func TestConfig(t *testing.T) {
	answer := compare(t, workspace, edited(sub(".bazelrc", "build:race --copt=-g", "build:race --copt=-O")), Options{Configs: []string{"race"}})
	if len(answer.Everything) != 1 || answer.Everything[0].Path != ".bazelrc" {
		t.Errorf("everything: %v", answer.Everything)
	}
}

// TestReason: the chain is the shortest one, in words.
func TestReason(t *testing.T) {
	answer := compare(t, workspace, edited(set("a/made.txt", "x")), Options{})
	want := "//a:made_test <- alias //a:alias <- made //a:made <- a/made.txt modified"
	if test := find(answer, "//a:made_test"); test == nil || test.Reason != want {
		t.Errorf("reason is %v, want %q", test, want)
	}
	answer = compare(t, workspace, edited(sub("a/BUILD", `args = ["1"]`, `args = ["2"]`)), Options{})
	want = "//a:attr_test <- a/BUILD modified: args of //a:attr_test"
	if test := find(answer, "//a:attr_test"); test == nil || test.Reason != want {
		t.Errorf("reason is %v, want %q", test, want)
	}
}

func TestExplain(t *testing.T) {
	answer := compare(t, workspace, edited(set("a/made.txt", "x"), sub("a/BUILD", `tags = ["manual"]`, `tags = ["manual", "x"]`)), Options{})
	for label, want := range map[string]string{
		"//a:made_test":   "//a:made_test <- alias //a:alias",
		"//a:alias":       "not listed: it is no test",
		"//a:attr_test":   "is not affected",
		"//a:manual_test": "--include_manual",
		"//a:made.txt":    "a/made.txt modified",
	} {
		e, err := answer.Explain(label)
		if err != nil || !strings.Contains(e.Reason, want) {
			t.Errorf("explain %s: %q, %v; want %q", label, e.Reason, err, want)
		}
	}
	for label, want := range map[string]string{"//a:nope": "its package has //a:alias", "//nope:x": "no package //nope", "bad//": "not a label"} {
		if _, err := answer.Explain(label); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("explain %s: %v, want %q", label, err, want)
		}
	}
	removed := compare(t, workspace, edited(del("go/BUILD")), Options{})
	if e, err := removed.Explain("//go:go_test"); err != nil || !strings.Contains(e.Reason, "was removed") {
		t.Errorf("explain of a removed test: %q, %v", e.Reason, err)
	}
}

// TestUnchangedOptions: what an option names counts, though the option is the same.
func TestUnchangedOptions(t *testing.T) {
	for _, c := range []struct {
		option string
		edit   edit
		want   string
	}{
		{"build --aspects=//rules:defs.bzl%x", sub("rules/defs.bzl", "# A comment.", "# B"), all},
		{"build --platforms=//a:made", set("a/made.txt", "x"), all},
		{"test --run_under=//rules:unused", set("rules/unused.sh", "#!/bin/sh\nx\n"), all},
		{"build --override_module=rules_other=third_party/other", set("third_party/other/x.bzl", "x = 2"), "//a:select_test //other:odd_test"},
		{"build --nostamp", set("tools/status.sh", "x"), readStatus},
	} {
		base := edited(set(".bazelrc", workspace[".bazelrc"]+c.option+"\n"), set("third_party/other/x.bzl", "x = 1"))
		head := maps.Clone(base)
		c.edit(head)
		var got []string
		for _, test := range compare(t, base, head, Options{}).Tests {
			if test.Label != "//a:always_test" {
				got = append(got, test.Label)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", c.option, text, c.want)
		}
	}
}

// TestGoModuleInFolder: a module that go.mod replaces by a folder is that folder's files,
// and their imports are followed.
func TestGoModuleInFolder(t *testing.T) {
	base := edited(
		sub("go.mod", "go 1.26\n", "go 1.26\n\nreplace (\n\texample.org/a => ./third_party/a\n\texample.org/b => ./third_party/b\n)\n"),
		set("third_party/a/pkg/a.go", "package pkg\n\nimport _ \"example.org/b/inner\"\n"), set("third_party/a/other/a.go", "package other\n"),
		set("third_party/b/inner/b.go", "package inner\n"),
		sub("go/BUILD", "go_test(name = \"plain_test\", srcs = [\"plain_test.go\"]", "go_test(name = \"plain_test\", srcs = [\"plain_test.go\"], deps = [\"@org_example_a//other\"]"),
	)
	for content, want := range map[string]int{base["third_party/b/inner/b.go"]: 0, base["third_party/b/inner/b.go"] + "// x\n": 1} {
		moved := maps.Clone(base)
		delete(moved, "third_party/b/inner/b.go")
		moved["elsewhere/b/inner/b.go"] = content
		moved["go.mod"] = strings.Replace(moved["go.mod"], "./third_party/b", "./elsewhere/b", 1)
		got := 0
		for _, test := range compare(t, base, moved, Options{}).Tests {
			if test.State != "always" {
				got++
			}
		}
		if got != want {
			t.Errorf("in another folder: %d tests, want %d", got, want)
		}
	}
	for file, want := range map[string]string{
		"third_party/b/inner/b.go": "//go:go_test",
		"third_party/a/pkg/a.go":   "//go:go_test //go:plain_test", // Both are of the module that changed.
	} {
		head := maps.Clone(base)
		head[file] += "// x\n"
		var got []string
		for _, test := range compare(t, base, head, Options{}).Tests {
			if test.State != "always" {
				got = append(got, test.Label)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", file, text, want)
		}
	}
}

// TestWidened: what can't be evaluated is said, with the place.
func TestWidened(t *testing.T) {
	answer := compare(t, workspace, edited(sub("go/BUILD", "go_test(", "<<<<<<< ours\ngo_test(")), Options{})
	if len(answer.Widened) != 1 || answer.Widened[0].Scope != "//go" || !strings.Contains(answer.Widened[0].Why, "go/BUILD:3:1") {
		t.Errorf("widened: %v", answer.Widened)
	}
}

// TestDoubt: a package in which something unknown decides a condition depends on all
// that its files name.
func TestDoubt(t *testing.T) {
	base := map[string]string{
		"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"far\", version = \"1\")\n",
		"BUILD":        "load(\"@far//:far.bzl\", \"FAR\")\nload(\":m.bzl\", \"macro\")\nmacro(FAR)\n",
		"m.bzl":        "def macro(far):\n    if far:\n        native.sh_test(name = \"x_test\", srcs = [\"x.sh\"])\n    else:\n        native.sh_test(name = \"x_test\", srcs = [\"x.sh\"], data = [\"y.txt\"])\n",
		"x.sh":         "x", "y.txt": "y", "z.txt": "z",
	}
	for file, want := range map[string]int{"x.sh": 1, "y.txt": 1, "z.txt": 0} {
		head := maps.Clone(base)
		head[file] += "changed"
		if answer := compare(t, base, head, Options{}); len(answer.Tests) != want || len(answer.Widened) != 1 {
			t.Errorf("%s: %d tests, want %d; widened %v", file, len(answer.Tests), want, answer.Widened)
		}
	}
}

// TestIndexAgrees: answers with an index are those without.
func TestIndexAgrees(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index")
	head := edited(sub("a/BUILD", `args = ["1"]`, `args = ["2"]`), set("a/data/new.txt", "x"), sub("rules/helper.bzl", "return ctx.label", "return str(ctx.label)"))
	want := compare(t, workspace, head, Options{})
	for i := range 3 {
		x := index.Open(file, "test")
		if x.Problem != "" {
			t.Fatal(x.Problem)
		}
		got := compare(t, workspace, head, Options{Index: x})
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
		if i > 0 && x.Misses > 0 {
			t.Errorf("call %d: %d packages were evaluated again", i, x.Misses)
		}
		if !reflect.DeepEqual(got.Tests, want.Tests) {
			t.Errorf("call %d: %v, want %v", i, got.Tests, want.Tests)
		}
	}
}

// TestToolchainLine: where go.mod has a toolchain line, the SDK is that one, whatever the
// go line says.
func TestToolchainLine(t *testing.T) {
	base := edited(sub("go.mod", "go 1.26\n", "go 1.25\n\ntoolchain go1.26.1\n"))
	for line, want := range map[string]int{"go 1.26\n\ntoolchain go1.26.1\n": 0, "go 1.25\n\ntoolchain go1.26.2\n": 2, "go 1.25\n": 2, "go 1.26.1\n": 0} {
		got := 0
		for _, test := range compare(t, base, edited(sub("go.mod", "go 1.26\n", line)), Options{}).Tests {
			if test.State != "always" {
				got++
			}
		}
		if got != want {
			t.Errorf("%q: %d tests, want %d", line, got, want)
		}
	}
}

// TestExtension: an extension that does nothing but call rules is run, so that each of its
// repositories is affected by what it is made of. One that does more affects all of them.
func TestExtension(t *testing.T) {
	files := map[string]string{
		"MODULE.bazel": "module(name = \"m\")\next = use_extension(\"//:ext.bzl\", \"ext\")\next.make(name = \"one\", text = \"1\")\next.make(name = \"two\", file = \"//:two.txt\")\nuse_repo(ext, \"one\", \"two\")\n",
		"ext.bzl": `load(":rule.bzl", "make")
def _impl(ctx):
    for m in ctx.modules:
        for t in m.tags.make:
            make(name = t.name, text = t.text, file = t.file)
ext = module_extension(implementation = _impl, tag_classes = {"make": tag_class(attrs = {"name": attr.string(mandatory = True), "text": attr.string(), "file": attr.label()})})
`,
		"rule.bzl": `def _impl(ctx):
    ctx.file("BUILD", "filegroup(name = 'x', srcs = ['%s'])" % (ctx.read(ctx.attr.file) if ctx.attr.file else ctx.attr.text))
make = repository_rule(implementation = _impl, attrs = {"text": attr.string(), "file": attr.label()})
`,
		"two.txt": "2", "three.txt": "3", "x.sh": "x",
		"BUILD": "exports_files([\"two.txt\", \"three.txt\"])\nsh_test(name = \"one\", srcs = [\"x.sh\"], data = [\"@one//:x\"])\nsh_test(name = \"two\", srcs = [\"x.sh\"], data = [\"@two//:x\"])\n",
	}
	for _, c := range []struct {
		name string
		base edit
		edit edit
		want string
	}{
		{name: "a tag", edit: sub("MODULE.bazel", `text = "1"`, `text = "3"`), want: "//:one"},
		{name: "a file of a tag", edit: set("two.txt", "3"), want: "//:two"},
		{name: "another file of a tag", edit: sub("MODULE.bazel", "//:two.txt", "//:three.txt"), want: "//:two"},
		{name: "a tag more", edit: sub("MODULE.bazel", "use_repo", "ext.make(name = \"more\")\nuse_repo"), want: ""},
		{name: "a tag that lacks what it must have", edit: sub("MODULE.bazel", "use_repo", "ext.make(text = \"more\")\nuse_repo"), want: "//:one //:two"},
		{name: "a tag with a wrong value", edit: sub("MODULE.bazel", `text = "1"`, `text = ["1"]`), want: "//:one //:two"},
		{name: "a tag of no class", edit: sub("MODULE.bazel", "use_repo", "ext.fake(name = \"more\")\nuse_repo"), want: "//:one //:two"},
		{name: "two of a name", edit: sub("MODULE.bazel", "use_repo", "ext.make(name = \"one\")\nuse_repo"), want: "//:one //:two"},
		{name: "a name that it does not make", edit: sub("MODULE.bazel", `"one", "two")`, `"one", "two", "four")`), want: "//:one //:two"},
		{name: "names that change places", edit: sub("MODULE.bazel", `"one", "two")`, `one = "two", two = "one")`), want: "//:one //:two"},
		{name: "the rule", edit: sub("rule.bzl", "name = 'x'", "name = 'x', testonly = 1"), want: "//:one //:two"},
		{name: "a rule's attribute that must be given", edit: sub("rule.bzl", `"text": attr.string()`, `"text": attr.string(), "more": attr.string(mandatory = True)`), want: "//:one //:two"},
		{name: "another text for one of them", edit: sub("ext.bzl", "text = t.text", "text = t.text.upper() or \"none\""), want: "//:two"},
		{name: "the machine", edit: sub("ext.bzl", "text = t.text", "text = t.text if ctx.os.name else t.text"), want: "//:one //:two"},
		{
			name: "a repository that names another", base: sub("rule.bzl", "srcs = ['%s']", "srcs = ['@one//:x', '%s']"),
			edit: sub("MODULE.bazel", `text = "1"`, `text = "3"`), want: "//:one //:two",
		},
		{
			name: "what is fetched", base: sub("rule.bzl", "    ctx.file(", "    ctx.download(\"https://example.org\", \"x\")\n    ctx.file("),
			edit: sub("MODULE.bazel", `text = "1"`, `text = "3"`), want: "//:one //:two",
		},
	} {
		base := maps.Clone(files)
		if c.base != nil {
			c.base(base)
		}
		head := maps.Clone(base)
		c.edit(head)
		var got []string
		for _, test := range compare(t, base, head, Options{}).Tests {
			got = append(got, test.Label)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
	// The name goes to another extension, which stays as it is.
	two := "other = use_extension(\"//:ext.bzl\", \"other\")\nother.make(name = \"one\", text = \"4\")\nother.make(name = \"four\")\n"
	base := maps.Clone(files)
	base["ext.bzl"] = strings.ReplaceAll(base["ext.bzl"], "ext = module_extension(", "other = module_extension(implementation = _impl, tag_classes = {\"make\": tag_class(attrs = {\"name\": attr.string(), \"text\": attr.string(), \"file\": attr.label()})})\next = module_extension(")
	base["MODULE.bazel"] += two + "use_repo(other, \"four\")\n"
	head := maps.Clone(base)
	head["MODULE.bazel"] = strings.Replace(files["MODULE.bazel"], "\"one\", \"two\")", "\"two\")", 1) + two + "use_repo(other, \"one\", \"four\")\n"
	if answer := compare(t, base, head, Options{}); find(answer, "//:one") == nil || find(answer, "//:two") != nil {
		t.Errorf("a name that goes to another extension: %v, want //:one", answer.Tests)
	}
}

// TestFirstToolchain: those after one that fits always don't matter, unless something
// else decides on the order.
func TestFirstToolchain(t *testing.T) {
	files := func(first, register string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nregister_toolchains(" + register + ")\n", "x.sh": "x", "1.txt": "1", "2.txt": "2", ".bazelrc": "",
			"tc.bzl": "def _impl(ctx):\n    return [platform_common.ToolchainInfo()]\ntc = rule(implementation = _impl, attrs = {\"file\": attr.label(allow_single_file = True)})\n" +
				"def _user_impl(ctx):\n    return []\nuser = rule(implementation = _user_impl, toolchains = [\"//:type\"])\n",
			"BUILD": "load(\":tc.bzl\", \"tc\", \"user\")\ntoolchain_type(name = \"type\")\ntc(name = \"tc1\", file = \"1.txt\")\ntc(name = \"tc2\", file = \"2.txt\")\n" +
				"toolchain(name = \"first\", toolchain = \":tc1\", toolchain_type = \":type\"" + first + ")\ntoolchain(name = \"second\", toolchain = \":tc2\", toolchain_type = \":type\")\n" +
				"user(name = \"user\")\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":user\"])\n",
		}
	}
	const both = "\"//:first\", \"//:second\""
	for _, c := range []struct {
		name, first, register string
		edit                  edit
		want                  int
	}{
		{"the first", "", both, set("1.txt", "x"), 1},
		{"the second", "", both, set("2.txt", "x"), 0},
		{"the second, after one with a constraint", ", exec_compatible_with = [\"@platforms//os:linux\"]", both, set("2.txt", "x"), 1},
		{"the second, after one with a setting", ", target_settings = [\":s\"]", both, set("2.txt", "x"), 1},
		{"the second of a pattern", "", "\"//:all\"", set("2.txt", "x"), 1},
		{"the second after a pattern", "", "\"//:all\", \"//:second\"", set("2.txt", "x"), 1},
		{"the second is no more registered", "", both, sub("MODULE.bazel", ", \"//:second\"", ""), 0},
		{"the first is no more registered", "", both, sub("MODULE.bazel", "\"//:first\", ", ""), 1},
		{"another order", "", both, sub("MODULE.bazel", both, "\"//:second\", \"//:first\""), 1},
		{"the first gets a constraint", "", both, sub("BUILD", "toolchain_type = \":type\")", "toolchain_type = \":type\", target_compatible_with = [\"@platforms//os:macos\"])"), 1},
		{"one more, which is not there", "", both, sub("MODULE.bazel", both, both+", \"//:third\""), 1},
		{"one more, by an option", "", both, set(".bazelrc", "build --extra_toolchains=//:second\n"), 1},
		{"one less", "", both + ", \"-//:first\"", set("2.txt", "x"), 1},
	} {
		base := files(c.first, c.register)
		head := maps.Clone(base)
		c.edit(head)
		if got := len(compare(t, base, head, Options{}).Tests); got != c.want {
			t.Errorf("%s: %d tests, want %d", c.name, got, c.want)
		}
	}
}

// TestData: a shell test's data is a set of what its labels stand for, unless something
// else needs them as they are.
func TestData(t *testing.T) {
	files := func(test string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x", "1.txt": "1", "2.txt": "2",
			"BUILD": "alias(name = \"first\", actual = \":second\")\nalias(name = \"second\", actual = \":one\")\nalias(name = \"chosen\", actual = select({\"@platforms//os:linux\": \":one\", \"//conditions:default\": \":two\"}))\n" +
				"filegroup(name = \"one\", srcs = [\"1.txt\"])\nfilegroup(name = \"two\", srcs = [\"2.txt\"])\n" + test + "\n",
		}
	}
	test := func(data string) string { return "sh_test(name = \"t\", srcs = [\"x.sh\"], data = " + data + ")" }
	for _, c := range []struct {
		base, head string
		same       bool
	}{
		{test(`[":first"]`), test(`[":second"]`), true},
		{test(`[":first"]`), test(`[":one"]`), true},
		{test(`[":first"]`), test(`[":first", ":one"]`), true},
		{test(`[":one", ":two"]`), test(`[":two", ":second"]`), true},
		{test(`[":one"]`), test(`[":two"]`), false},
		{test(`[":one"]`), test(`[":one", ":two"]`), false},
		{test(`[":one"]`), test(`[":chosen"]`), false},
		{test(`[":one"]`), test(`[":one"] + select({"//conditions:default": [":one"]})`), false},
		{test(`[":first"], args = ["$(location :first)"]`), test(`[":second"], args = ["$(location :first)"]`), false},
		{test(`[":first"], env = {"A": "$(rootpath :first)"}`), test(`[":one"], env = {"A": "$(rootpath :first)"}`), false},
	} {
		for _, pair := range [][2]string{{c.base, c.head}, {c.head, c.base}} {
			if same := len(compare(t, files(pair[0]), files(pair[1]), Options{}).Tests) == 0; same != c.same {
				t.Errorf("from %s to %s the test is affected: %t, want %t", pair[0], pair[1], !same, !c.same)
			}
		}
	}
	// What it stands for still counts, also where an alias changes.
	for file, content := range map[string]string{"1.txt": "x", "BUILD": strings.Replace(files(test(`[":first"]`))["BUILD"], "actual = \":one\"", "actual = \":two\"", 1)} {
		head := files(test(`[":first"]`))
		head[file] = content
		if len(compare(t, files(test(`[":first"]`)), head, Options{}).Tests) != 1 {
			t.Errorf("%s: the test is not affected", file)
		}
	}
}

// TestCopiedFolder: a repository that is a folder with another BUILD file is what is in
// the two, wherever they are.
func TestCopiedFolder(t *testing.T) {
	base := map[string]string{
		"MODULE.bazel": "module(name = \"m\")\nnew_local_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"new_local_repository\")\n" +
			"new_local_repository(name = \"plain\", path = \"plain\", build_file = \"//:plain.BUILD\")\n",
		"plain/x.txt": "x", "plain/sub/y.txt": "y", "plain.BUILD": "filegroup(name = \"x\", srcs = [\"x.txt\"])\n", "x.sh": "x",
		"BUILD": "exports_files([\"plain.BUILD\"])\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\"@plain//:x\"])\n",
	}
	for name, c := range map[string]struct {
		edit edit
		want int
	}{
		"another folder":                 {both(del("plain/x.txt", "plain/sub/y.txt"), set("flat/x.txt", "x"), set("flat/sub/y.txt", "y"), sub("MODULE.bazel", `path = "plain"`, `path = "flat"`)), 0},
		"another BUILD file":             {both(del("plain.BUILD"), set("flat.BUILD", base["plain.BUILD"]), sub("MODULE.bazel", "//:plain.BUILD", "//:flat.BUILD")), 0},
		"a file":                         {set("plain/x.txt", "z"), 1},
		"a file less":                    {del("plain/x.txt"), 1},
		"a file more that nothing takes": {set("plain/z.txt", "z"), 0},
		"a file that nothing takes":      {set("plain/sub/y.txt", "z"), 0},
		"a file less that nothing takes": {del("plain/sub/y.txt"), 0},
		"a BUILD file more":              {set("plain/sub/BUILD", ""), 1},
		"a .bzl file more":               {set("plain/sub/y.bzl", ""), 1},
		"an ignored folder":              {set("plain/.bazelignore", "sub\n"), 1},
		"the BUILD file":                 {set("plain.BUILD", "filegroup(name = \"x\", srcs = [\"sub/y.txt\"])\n"), 1},
		"a BUILD file that is gone":      {del("plain.BUILD"), 1},
		"a folder that is gone":          {del("plain/x.txt", "plain/sub/y.txt"), 1},
		"another argument":               {sub("MODULE.bazel", `path = "plain"`, `path = "plain", workspace_file_content = "x"`), 1},
	} {
		head := maps.Clone(base)
		c.edit(head)
		if got := len(compare(t, base, head, Options{}).Tests); got != c.want {
			t.Errorf("%s: %d tests, want %d", name, got, c.want)
		}
	}
}

// TestTakenFiles: which files of such a folder its BUILD file takes.
func TestTakenFiles(t *testing.T) {
	for _, c := range []struct {
		name, build string
		want        int // of an edit of plain/sub/y.txt
	}{
		{"another file", "filegroup(name = \"x\", srcs = [\"x.txt\"])\n", 0},
		{"a pattern for others", "filegroup(name = \"x\", srcs = glob([\"*.txt\", \"**/*.md\"]))\n", 0},
		{"the file", "filegroup(name = \"x\", srcs = [\"sub/y.txt\"])\n", 1},
		{"the file, as a label", "filegroup(name = \"x\", srcs = [\"//:sub/y.txt\"])\n", 1},
		{"a pattern", "filegroup(name = \"x\", srcs = glob([\"**/*.txt\"]))\n", 1},
		{"a folder", "filegroup(name = \"x\", srcs = [\"sub\"])\n", 1},
		{"a pattern for a folder", "filegroup(name = \"x\", srcs = glob([\"s*\"], exclude_directories = 0))\n", 1},
		{"the package", "filegroup(name = \"x\", srcs = [\".\"])\n", 1},
		{"a name that is put together", "filegroup(name = \"x\", srcs = [\"su\" + \"b/y.txt\"])\n", 1},
		{"a name that is formatted", "filegroup(name = \"x\", srcs = [\"{}/y.txt\".format(\"sub\")])\n", 1},
		{"names of a loop", "filegroup(name = \"x\", srcs = [d for d in [\"x.txt\"]])\n", 1},
		{"a name that is given a name", "Y = \"x.txt\"\nfilegroup(name = \"x\", srcs = [Y])\n", 1},
		{"a load", "load(\"@bazel_skylib//lib:paths.bzl\", \"paths\")\nfilegroup(name = \"x\", srcs = [\"x.txt\"])\n", 1},
	} {
		base := map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nnew_local_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"new_local_repository\")\n" +
				"new_local_repository(name = \"plain\", path = \"plain\", build_file = \"//:plain.BUILD\")\n",
			"plain/x.txt": "x", "plain/sub/y.txt": "y", "plain.BUILD": c.build, "x.sh": "x",
			"BUILD": "exports_files([\"plain.BUILD\"])\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\"@plain//:x\"])\n",
		}
		head := maps.Clone(base)
		head["plain/sub/y.txt"] = "z"
		if got := len(compare(t, base, head, Options{}).Tests); got != c.want {
			t.Errorf("%s: %d tests, want %d", c.name, got, c.want)
		}
	}
}

// TestIdleAttributes: an attribute that no code reads counts where it is given, and where
// it must be.
func TestIdleAttributes(t *testing.T) {
	files := func(attributes, code, target string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x", "1.txt": "1",
			"BUILD": "load(\":r.bzl\", \"r\")\nr(name = \"r\"" + target + ")\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":r\"])\n",
			"r.bzl": "def _impl(ctx):\n    " + code + "\n    return [DefaultInfo(files = depset([ctx.actions.declare_file(ctx.label.name)]))]\nr = rule(implementation = _impl, attrs = {" + attributes + "})\n",
		}
	}
	for _, c := range []struct {
		name                                           string
		attributes, code, target, attributes2, target2 string
		want                                           int
	}{
		{"one more", "", "pass", "", `"more": attr.string()`, "", 0},
		{"one more, which code reads", "", "x = ctx.attr.more if False else 1", "", `"more": attr.string()`, "", 1},
		{"one more, which code may read", "", "x = getattr(ctx.attr, \"mo\" + \"re\", None)", "", `"more": attr.string()`, "", 1},
		{"one more, which other code may read", "", "x = print(ctx)", "", `"more": attr.string()`, "", 1},
		{"one more, which code may read as a whole", "", "x = print(ctx.attr)", "", `"more": attr.string()`, "", 1},
		{"one more, which must be given", "", "pass", "", `"more": attr.string(mandatory = True)`, "", 1},
		{"one more, with a default", "", "pass", "", `"more": attr.string(default = "x")`, "", 1},
		{"one more, with labels", "", "pass", "", `"more": attr.label_list()`, "", 1},
		{"one more, which is given", "", "pass", "", `"more": attr.string()`, `, more = "x"`, 1},
		{"of another type", `"more": attr.string()`, "pass", `, more = "x"`, `"more": attr.int()`, `, more = "x"`, 1},
		{"of another type, not given", `"more": attr.string()`, "pass", "", `"more": attr.int()`, "", 0},
		{"one less, which is given", `"more": attr.string()`, "pass", `, more = "x"`, "", `, more = "x"`, 1},
		{"one that must be given now, and is", `"more": attr.string()`, "pass", `, more = "x"`, `"more": attr.string(mandatory = True)`, `, more = "x"`, 1},
	} {
		base, head := files(c.attributes, c.code, c.target), files(c.attributes2, c.code, c.target2)
		for _, pair := range [][2]map[string]string{{base, head}, {head, base}} {
			if got := len(compare(t, pair[0], pair[1], Options{}).Tests); got != c.want {
				t.Errorf("%s: %d tests, want %d", c.name, got, c.want)
			}
		}
	}
}

// TestBlind: a rule that only writes text from the analysis sees no content, and all else
// of what it depends on.
func TestBlind(t *testing.T) {
	files := func(returns string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x", "1.txt": "1", "default.txt": "d", ".bazelrc": "",
			"flag.bzl": "flag = rule(implementation = lambda ctx: [], build_setting = config.string(flag = True))\n",
			"part.bzl": "def _impl(ctx):\n    return [DefaultInfo(files = depset(ctx.files.srcs))]\npart = rule(implementation = _impl, attrs = {\"srcs\": attr.label_list(allow_files = True), \"_d\": attr.label(default = \"//:default.txt\")})\n",
			"names.bzl": "Names = provider(fields = [\"names\"])\n" +
				"def _names_impl(target, ctx):\n    return [Names(names = [str(target.label)] + [str(d.label) for d in getattr(ctx.rule.attr, \"srcs\", [])])]\n_names = aspect(implementation = _names_impl, attr_aspects = [\"srcs\"])\n" +
				"def _impl(ctx):\n    out = ctx.actions.declare_file(ctx.label.name)\n    ctx.actions.write(out, \"\".join([n for d in ctx.attr.deps for n in d[Names].names]))\n    " + returns + "\n" +
				"names = rule(implementation = _impl, attrs = {\"deps\": attr.label_list(aspects = [_names])})\n",
			"BUILD": "load(\":names.bzl\", \"names\")\nload(\":part.bzl\", \"part\")\nload(\":flag.bzl\", \"flag\")\nflag(name = \"flag\", build_setting_default = \"a\")\nconfig_setting(name = \"b\", flag_values = {\":flag\": \"b\"})\n" +
				"part(name = \"part\", srcs = [\"1.txt\"] + select({\":b\": [\"default.txt\"], \"//conditions:default\": []}))\nnames(name = \"names\", deps = [\":part\"])\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":names\"])\n",
		}
	}
	const blind = "return [DefaultInfo(files = depset([out]))]"
	content := set("1.txt", "x")
	for _, c := range []struct {
		name, returns string
		edit          edit
		want          int
	}{
		{"content", blind, content, 0},
		{"the content of a default", blind, set("default.txt", "x"), 0},
		{"a file that is gone", blind, del("1.txt"), 0},
		{"a file that is gone, of another package", blind, func(f map[string]string) {
			del("1.txt")(f)
			set("1.txt/BUILD", "")(f)
		}, 1},
		{"another file", blind, both(set("2.txt", "1"), sub("BUILD", "\"1.txt\"", "\"2.txt\"")), 1},
		{"a rule's implementation", blind, sub("part.bzl", "return [", "return [] + ["), 1},
		{"a flag", blind, set(".bazelrc", "build --//:flag=b\n"), 1},
		{"the test's own script", blind, set("x.sh", "y"), 1},
		{"files that it hands on", "return [DefaultInfo(files = depset([out] + ctx.files.deps))]", content, 1},
		{"files that it hands on under the name of its own", "out = ctx.files.deps[0]\n    " + blind, content, 1},
		{"files that it hands on one by one", "for out in ctx.files.deps:\n        pass\n    " + blind, content, 1},
		{"runfiles", "return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles(ctx.files.deps))]", content, 1},
		{"another one's info", "return [ctx.attr.deps[0][DefaultInfo]]", content, 1},
		{"a symbolic link", "more = ctx.actions.declare_file(\"more\")\n    ctx.actions.symlink(output = more, target_file = ctx.files.deps[0])\n    return [DefaultInfo(files = depset([more]))]", content, 1},
		{"a command", "ctx.actions.run_shell(outputs = [out], inputs = ctx.files.deps, command = \"x\")\n    " + blind, content, 1},
		{"a command by another name", "act = ctx.actions\n    act.run_shell(outputs = [out], inputs = ctx.files.deps, command = \"x\")\n    " + blind, content, 1},
		{"a command that getattr gives", "getattr(ctx, \"act\" + \"ions\").run_shell(outputs = [out], inputs = ctx.files.deps, command = \"x\")\n    " + blind, content, 1},
	} {
		base := files(c.returns)
		head := maps.Clone(base)
		c.edit(head)
		if got := len(compare(t, base, head, Options{}).Tests); got != c.want {
			t.Errorf("%s: %d tests, want %d", c.name, got, c.want)
		}
	}
	// An aspect that looks through it sees its dependencies' files.
	base := files(blind)
	base["through.bzl"] = "def _aspect_impl(target, ctx):\n    return [OutputGroupInfo(x = depset(transitive = [d.files for d in getattr(ctx.rule.attr, \"deps\", [])]))]\n_through = aspect(implementation = _aspect_impl, attr_aspects = [\"deps\"])\n" +
		"def _impl(ctx):\n    return [DefaultInfo(files = ctx.attr.dep[OutputGroupInfo].x)]\nthrough = rule(implementation = _impl, attrs = {\"dep\": attr.label(aspects = [_through])})\n"
	base["BUILD"] += "load(\":through.bzl\", \"through\")\nthrough(name = \"through\", dep = \":names\")\nsh_test(name = \"u\", srcs = [\"x.sh\"], data = [\":through\"])\n"
	head := maps.Clone(base)
	content(head)
	if answer := compare(t, base, head, Options{}); find(answer, "//:u") == nil || find(answer, "//:t") != nil {
		t.Errorf("an aspect that looks through it: %v, want //:u", answer.Tests)
	}
}

// TestSpelling: another spelling of the same affects nothing, where it is the same for
// certain.
func TestSpelling(t *testing.T) {
	files := func(code string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x",
			"BUILD": "load(\":r.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":r\"])\n",
			"r.bzl": code + "\nr = rule(implementation = impl, attrs = {\"d\": attr.string_dict(), \"l\": attr.string_list()})\n",
		}
	}
	impl := func(expression string) string {
		return "def impl(ctx):\n    x = " + expression + "\n    return [DefaultInfo(files = depset([ctx.actions.declare_file(str(x))]))]\n"
	}
	const mine = "def sorted(x):\n    return x\n"
	for _, c := range []struct {
		base, head string
		same       bool
	}{
		{impl("sorted(ctx.attr.d.keys())"), impl("sorted([k for k in ctx.attr.d])"), true},
		{impl("sorted(ctx.attr.d.keys())"), impl("sorted(ctx.attr.d)"), true},
		{impl("sorted(ctx.attr.l)"), impl("sorted([k for k in ctx.attr.l])"), true},
		{impl("sorted(ctx.attr.l)"), impl("sorted(ctx.attr.l.keys())"), false}, // An error.
		{impl("sorted(ctx.attr.d.keys())"), impl("sorted(ctx.attr.d.values())"), false},
		{impl("sorted(ctx.attr.d)"), impl("sorted([k + \"x\" for k in ctx.attr.d])"), false},
		{impl("sorted(ctx.attr.d)"), impl("sorted([k for k in ctx.attr.d if k])"), false},
		{impl("sorted(ctx.attr.d)"), impl("sorted(ctx.attr.d, reverse = True)"), false},
		{impl("sorted(ctx.attr.d)"), impl("list(ctx.attr.d)"), false},
		{impl("sorted([ctx.attr.d])"), impl("sorted(ctx.attr.d)"), false},
		{mine + impl("sorted(ctx.attr.l)"), mine + impl("sorted([k for k in ctx.attr.l])"), false},
		{impl("ctx.label.name + \".x\""), impl("\"%s.x\" % ctx.label.name"), true},
		{impl("\"a\" + ctx.label.package + \".x\""), impl("\"a%s.x\" % ctx.label.package"), true},
		{impl("ctx.label.name + \".x\""), impl("\"%r.x\" % ctx.label.name"), false},
		{impl("ctx.label.name + \".x\""), impl("\"%s.y\" % ctx.label.name"), false},
		{impl("ctx.label.name + \".x\""), impl("\"%s.x\" % ctx.label.package"), false},
		{impl("ctx.attr.l + \".x\""), impl("\"%s.x\" % ctx.attr.l"), false},
	} {
		for _, pair := range [][2]string{{c.base, c.head}, {c.head, c.base}} {
			if same := len(compare(t, files(pair[0]), files(pair[1]), Options{}).Tests) == 0; same != c.same {
				t.Errorf("from\n%s to\n%s the test is affected: %t, want %t", pair[0], pair[1], !same, !c.same)
			}
		}
	}
}

// TestSwappedLoads: two names change places, and all that is reached stays the same.
func TestSwappedLoads(t *testing.T) {
	files := func(load string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x",
			"BUILD": "load(\":r.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":r\"])\n",
			"a.bzl": "X = 1\n", "b.bzl": "X = 2\n",
			"r.bzl": load + "def _impl(ctx):\n    return [DefaultInfo(files = depset([ctx.actions.declare_file(str(X - Y))]))]\nr = rule(implementation = _impl)\n",
		}
	}
	const one = "load(\":a.bzl\", \"X\")\nload(\":b.bzl\", Y = \"X\")\n"
	for load, want := range map[string]int{
		"load(\":b.bzl\", \"X\")\nload(\":a.bzl\", Y = \"X\")\n": 1,
		"load(\":b.bzl\", Y = \"X\")\nload(\":a.bzl\", \"X\")\n": 0,
	} {
		if got := len(compare(t, files(one), files(load), Options{}).Tests); got != want {
			t.Errorf("%q: %d tests, want %d", load, got, want)
		}
	}
}

// TestModes: a mode means something for what can be run, and to lose it for anything that
// could be run.
func TestModes(t *testing.T) {
	for content, gained := range map[string]int{"plain text\n": 0, "": 0, "#!/bin/sh\n": 1, "\x7fELF\x00\x01": 1} {
		files := map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", "x.sh": "x", "data": content,
			"BUILD": "sh_test(name = \"t\", srcs = [\"x.sh\"], data = [\"data\"])\n",
		}
		for i, modes := range [][2]git.Mode{{git.Regular, git.Executable}, {git.Executable, git.Regular}, {git.Executable, git.Executable}} {
			base, head := snapshot.Of(files), snapshot.Of(files)
			for side, s := range []*snapshot.Snapshot{base, head} {
				for k := range s.Files {
					if s.Files[k].Path == "data" {
						s.Files[k].Mode = modes[side]
					}
				}
			}
			answer, err := Compare(t.Context(), base, head, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := []int{gained, 1, 0}[i]
			if len(answer.Tests) != want {
				t.Errorf("%q from %s to %s: %d tests, want %d", content, modes[0], modes[1], len(answer.Tests), want)
			}
		}
	}
}

// TestStableStatus: a program that prints line by line is compared by its stable values;
// of any other program each edit counts.
func TestStableStatus(t *testing.T) {
	const first = "#!/bin/sh\n"
	for _, c := range []struct {
		name, base, head string
		want             bool
	}{
		{"a stable value", "echo \"STABLE_A 1\"\n", "echo \"STABLE_A 2\"\n", true},
		{"a stable value without quotes", "echo STABLE_A 1\n", "echo STABLE_A 2\n", true},
		{"a volatile value", "echo STABLE_A 1\necho \"COUNT 1\"\n", "echo STABLE_A 1\necho \"COUNT 2\"\n", false},
		{"a volatile value more", "echo STABLE_A 1\n", "echo COUNT $X\necho STABLE_A 1\n", true},
		{"a volatile value more, without a variable", "echo STABLE_A 1\n", "echo COUNT 1\necho STABLE_A 1\n", false},
		{"a volatile value that a program gives", "echo \"AT $(date +%s)\"\n", "echo \"AT $(date -u +%s)\"\n", false},
		{"a volatile value that any program gives", "echo \"AT $(date +%s)\"\n", "echo \"AT $(touch stable)\"\n", true},
		{"a value that Bazel has among the stable ones", "echo BUILD_USER a\n", "echo BUILD_USER b\n", true},
		{"comments and blank lines", "echo STABLE_A 1\n", "# More.\n\n  echo STABLE_A 1\n", false},
		{"what a variable is", "A=1\necho STABLE_A $A\n", "A=2\necho STABLE_A $A\n", true},
		{"a volatile value in a function", "f() {\necho COUNT 1\n}\necho \"STABLE_A $(f)\"\n", "f() {\necho COUNT 2\n}\necho \"STABLE_A $(f)\"\n", true},
		{"a volatile value in a here-document", "read x <<E\necho COUNT 1\nE\necho STABLE_A $x\n", "read x <<E\necho COUNT 2\nE\necho STABLE_A $x\n", true},
		{"a volatile value as a condition's body", "test -f x &&\necho COUNT 1\necho STABLE_A 1\n", "test -f x &&\necho STABLE_A 1\n", true},
		{"a volatile value of whose success a line speaks", "false\necho COUNT 1\necho STABLE_A $?\n", "false\necho STABLE_A $?\n", true},
		{"two values in a line", "echo COUNT 1; echo STABLE_A 1\n", "echo COUNT 1; echo STABLE_A 2\n", true},
		{"two lines in a value", "echo \"COUNT 1\nSTABLE_A 1\"\n", "echo \"COUNT 1\nSTABLE_A 2\"\n", true},
		{"another shell", "echo STABLE_A 1\n", "!", true},
		{"what it reads", "cat VERSION\n", "cat VERSION\n", false},
	} {
		base := map[string]string{
			"MODULE.bazel": "module(name = \"m\")\n", ".bazelrc": "build --workspace_status_command=tools/status.sh\n", "tools/status.sh": first + c.base, "x.sh": "x",
			"BUILD": "genrule(name = \"g\", outs = [\"g.txt\"], cmd = \"date > $@\", stamp = 1)\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":g\"])\n",
		}
		head := maps.Clone(base)
		head["tools/status.sh"] = first + c.head
		if c.head == "!" {
			head["tools/status.sh"] = "#!/bin/dash\n" + c.base
		}
		if got := len(compare(t, base, head, Options{}).Tests) == 1; got != c.want {
			t.Errorf("%s: affected %t, want %t", c.name, got, c.want)
		}
		// The same program under another name.
		moved := maps.Clone(base)
		moved["tools/state.sh"], moved[".bazelrc"] = first+c.base, "build --workspace_status_command=tools/state.sh\n"
		delete(moved, "tools/status.sh")
		_, plain := (&graph.Side{Workspace: load.NewWorkspace(t.Context(), snapshot.Of(base), map[string]*load.Repo{}), RC: bazelrc.Parse(".bazelrc", []byte(base[".bazelrc"]))}).StableStatus(t.Context())
		if got := len(compare(t, base, moved, Options{}).Tests) == 0; got != plain {
			t.Errorf("%s: renamed and compared by its values: %t, want %t", c.name, got, plain)
		}
	}
}

// TestMadeHere: of a repository that this workspace's own code makes, all text can be
// seen: it reads the workspace status or a variable only if that says so. Whoever gets at
// more than text may read both.
func TestMadeHere(t *testing.T) {
	files := func(code, build, rc string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nmake = use_repo_rule(\"//:make.bzl\", \"make\")\nmake(name = \"made\", template = \"//:template.txt\")\n" +
				"new_local_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"new_local_repository\")\n" +
				"new_local_repository(name = \"plain\", path = \"plain\", build_file = \"//:plain.BUILD\")\n",
			"make.bzl":     "def _impl(ctx):\n    " + code + "\nmake = repository_rule(implementation = _impl, attrs = {\"template\": attr.label()})\n",
			"template.txt": build, "plain.BUILD": build, "plain/x.txt": "x\n", "x.sh": "x",
			"BUILD":     "exports_files([\"template.txt\", \"plain.BUILD\"])\nsh_test(name = \"made_test\", srcs = [\"x.sh\"], data = [\"@made//:x\"])\nsh_test(name = \"plain_test\", srcs = [\"x.sh\"], data = [\"@plain//:x\"])\n",
			"status.sh": "echo STABLE_A $(date)\n", ".bazelrc": "build --workspace_status_command=status.sh\n" + rc,
		}
	}
	const write = `ctx.file("BUILD", ctx.read(ctx.attr.template))`
	const group = `filegroup(name = "x", srcs = ["x.txt"])`
	for _, c := range []struct{ name, code, build, status, define string }{
		{"text alone", write, group, "", ""},
		{"a stamped rule", write, `genrule(name = "x", outs = ["y"], cmd = "date > $@", stamp = 1)`, "made plain", ""},
		{"a stamp in the code", `ctx.file("BUILD", ctx.read(ctx.attr.template) + "x(stamp = 1)")`, group, "made", ""},
		{"a variable", write, `genrule(name = "x", outs = ["y"], cmd = "echo $(colour) > $@")`, "", "made plain"},
		{"another variable", write, `genrule(name = "x", outs = ["y"], cmd = "echo $(size) > $@")`, "", ""},
		{"rules of elsewhere", write, `load("@far//:x.bzl", "x")`, "made plain", "made plain"},
		{"rules of its own", write, `load(":x.bzl", "x")`, "made plain", "made plain"},
		{"rules of Bazel's that know more", write, `cc_library(name = "x")`, "made plain", "made plain"},
		{"what is downloaded", `ctx.download("https://example.org/x", "BUILD")`, group, "made", "made"},
		{"what a program prints", `ctx.file("BUILD", ctx.execute(["x"]).stdout)`, group, "made", "made"},
		{"what the machine has", `ctx.file("BUILD", ctx.read("/etc/x"))`, group, "made", "made"},
		{"by another name", `ctx.file("BUILD", getattr(ctx, "exe" + "cute")(["x"]).stdout)`, group, "made", "made"},
	} {
		base := files(c.code, c.build, "")
		for what, do := range map[string]struct {
			edit edit
			want string
		}{
			"status": {set("status.sh", "echo STABLE_B $(date)\n"), c.status},
			"define": {set(".bazelrc", base[".bazelrc"]+"build --define=colour=red\n"), c.define},
		} {
			head := maps.Clone(base)
			do.edit(head)
			var got []string
			for _, test := range compare(t, base, head, Options{}).Tests {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(test.Label, "//:"), "_test"))
			}
			if text := strings.Join(got, " "); text != do.want {
				t.Errorf("%s: %s affects %q, want %q", c.name, what, text, do.want)
			}
		}
	}
}

// TestVariables: a variable affects whoever names it, and who may read any.
func TestVariables(t *testing.T) {
	for target, want := range map[string]bool{
		`genrule(name = "g", outs = ["g.txt"], cmd = "echo $(colour) > $@")`:                true,
		`genrule(name = "g", outs = ["g.txt"], cmd = "echo $(size) $$x $(SRCS) > $@")`:      true, // "$x" may be x of another rule.
		`genrule(name = "g", outs = ["g.txt"], cmd = "echo $(size) $(SRCS) > $@")`:          false,
		`genrule(name = "g", outs = ["g.txt"], cmd = "cat $(location x.sh) > $@")`:          false,
		`genrule(name = "g", outs = ["g.txt"], cmd = "echo $(size colour) > $@")`:           true,
		`config_setting(name = "g", values = {"define": "colour=red"})`:                     true,
		`config_setting(name = "g", values = {"define": "size=red", "cpu": "k8"})`:          false,
		`config_setting(name = "g", values = {"define": "colour=blue"})`:                    true,
		`config_setting(name = "g", values = {"define": "colour=green"})`:                   false,
		`config_setting(name = "g", define_values = {"size": "1", "colour": "red"})`:        true,
		`config_setting(name = "g", define_values = {"size": "1"})`:                         false,
		`load("@far//:far.bzl", "FAR")` + "\n" + `config_setting(name = "g", values = FAR)`: true,
		`reader(name = "g")`: true,
	} {
		base := map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"far\", version = \"1\")\n",
			"BUILD":        "load(\":reader.bzl\", \"reader\")\n" + target + "\nsh_test(name = \"t\", srcs = [\"x.sh\"], data = [\":g\"])\n",
			"reader.bzl":   "def _impl(ctx):\n    return [DefaultInfo(files = depset([ctx.actions.declare_file(ctx.var[\"c\" + \"olour\"])]))]\nreader = rule(implementation = _impl)\n",
			".bazelrc":     "build --define=colour=blue\n", "x.sh": "x",
		}
		head := maps.Clone(base)
		head[".bazelrc"] = "build --define=colour=red\n"
		if got := len(compare(t, base, head, Options{}).Tests) == 1; got != want {
			t.Errorf("%s: affected %t, want %t", target, got, want)
		}
	}
}

// TestNarrowedByWhatIsKnownOnly: what looks like something that is known to affect
// little, and is not, affects all that it can.
func TestNarrowedByWhatIsKnownOnly(t *testing.T) {
	files := func(build, rc string) map[string]string {
		return map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"far\", version = \"1\")\n",
			"BUILD":        "load(\":sized.bzl\", \"sized\")\n" + build,
			"sized.bzl":    "def _impl(ctx):\n    return [DefaultInfo(files = depset([f for f in ctx.files.srcs if \"x\" in ctx.features]))]\nsized = rule(implementation = _impl, attrs = {\"size\": attr.string(default = \"none\")})\n",
			".bazelrc":     rc, "x.sh": "x", "y.cc": "y", "status.sh": "echo A 1\n",
		}
	}
	const status = "build --workspace_status_command=status.sh\n"
	for _, c := range []struct {
		name, build, rc string
		edit            edit
	}{
		{"size of a rule that makes no test", `sized(name = "s")` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":s"])`, "", sub("BUILD", `name = "s"`, `name = "s", size = "medium"`)},
		{"define_values", `config_setting(name = "c", define_values = {"a": "b"})` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], args = select({":c": ["c"], "//conditions:default": []}))`, "", set(".bazelrc", "build --define=a=b\n")},
		{"features of a rule that asks for them", `package(features = ["x"])` + "\n" + `sized(name = "s")` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":s"])`, "", sub("BUILD", `["x"]`, `["y"]`)},
		{"features of a genrule with a toolchain", `genrule(name = "g", outs = ["g.txt"], cmd = "$(CC_FLAGS)", toolchains = ["@far//:cc_flags"], features = ["x"])` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":g"])`, "", sub("BUILD", `["x"]`, `["y"]`)},
		{"a variable without parentheses", `genrule(name = "g", outs = ["g.txt"], cmd = "echo $V > $@")` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":g"])`, "", set(".bazelrc", "build --define=V=b\n")},
		{"a variable for a rule of Bazel", `cc_library(name = "l", srcs = ["y.cc"])` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":l"])`, "", set(".bazelrc", "build --define=a=b\n")},
		{"a variable for a target elsewhere", `sh_test(name = "t", srcs = ["x.sh"], data = ["@far//:l"])`, "", set(".bazelrc", "build --define=a=b\n")},
		{"the status of a target elsewhere", `sh_test(name = "t", srcs = ["x.sh"], data = ["@far//:l"])`, status, set("status.sh", "echo A 2\n")},
		{"the status of a rule that --stamp stamps", `cc_binary(name = "l", srcs = ["y.cc"])` + "\n" + `sh_test(name = "t", srcs = ["x.sh"], data = [":l"])`, status + "build --stamp\n", set("status.sh", "echo A 2\n")},
	} {
		base := files(c.build+"\n", c.rc)
		head := maps.Clone(base)
		c.edit(head)
		if answer := compare(t, base, head, Options{}); len(answer.Tests) != 1 {
			t.Errorf("%s: the test is not affected", c.name)
		}
	}
}

// TestReasonWithoutCondition: of reasons of one length the one that holds without a
// condition is given, whatever the names.
func TestReasonWithoutCondition(t *testing.T) {
	base := map[string]string{
		"MODULE.bazel": "module(name = \"m\")\n",
		"BUILD": "config_setting(name = \"covered\", values = {\"collect_code_coverage\": \"true\"})\n" +
			"filegroup(name = \"a_special\", srcs = [\"x.txt\"])\nfilegroup(name = \"z_usual\", srcs = [\"x.txt\"])\n" +
			"sh_test(name = \"both_test\", srcs = [\"x.sh\"], data = select({\":covered\": [\":a_special\"], \"//conditions:default\": [\":z_usual\"]}))\n" +
			"sh_test(name = \"special_test\", srcs = [\"x.sh\"], data = select({\":covered\": [\":a_special\"], \"//conditions:default\": []}))\n" +
			"sh_test(name = \"no_default_test\", srcs = [\"x.sh\"], data = select({\":covered\": [\":a_special\"], \":other\": [\":z_usual\"]}))\n" +
			"config_setting(name = \"other\", values = {\"stamp\": \"true\"})\n",
		"x.sh": "x", "x.txt": "x",
	}
	head := maps.Clone(base)
	head["x.txt"] = "y"
	want := map[string]string{"//:both_test": "//:z_usual", "//:special_test": "//:a_special", "//:no_default_test": "//:a_special"}
	tests := compare(t, base, head, Options{}).Tests
	if len(tests) != len(want) {
		t.Errorf("tests %+v", tests)
	}
	for _, test := range tests {
		if got := test.Chain[1].Node; got != want[test.Label] {
			t.Errorf("%s is affected by way of %s, want %s", test.Label, got, want[test.Label])
		}
	}
}

// TestStatusCommand: what the status command reads and runs counts, also by the commit,
// for what is stamped.
func TestStatusCommand(t *testing.T) {
	files := func(rc, script string) map[string]string {
		return tiny(map[string]string{
			".bazelrc": "build " + rc + "\n", "tools/s.sh": "#!/bin/sh\n" + script + "\n", "VERSION": "1", "README": "a", "tools/more.sh": "echo STABLE_B 1\n", "data/v.txt": "1",
			"c.cc": "", "BUILD": "cc_test(name = \"t\", srcs = [\"c.cc\"])\nsh_test(name = \"u\", srcs = [\"t.sh\"])\n",
		})
	}
	const command = " --workspace_status_command=tools/s.sh"
	for _, on := range []string{"--stamp", "--stamp=t", "--stamp=true", "--stamp=1", "--stamp=yes", "--nostamp --stamp=y"} {
		expect(t, on, files(on+command, "echo STABLE_A 1"), "//:t", sub("tools/s.sh", "A 1", "A 2"))
	}
	expect(t, "no stamp", files("--stamp=no"+command, "echo STABLE_A 1"), "", sub("tools/s.sh", "A 1", "A 2"))
	expect(t, "a command with an interpreter", files(`--stamp --workspace_status_command="sh tools/s.sh"`, "echo STABLE_A 1"), "//:t", sub("tools/s.sh", "A 1", "A 2"))
	expect(t, "a command with an argument", files(`--stamp --workspace_status_command="%workspace%/tools/s.sh data/v.txt"`, "cat $1"), "//:t", set("data/v.txt", "2"))
	expect(t, "a command of the machine", files(`--stamp --workspace_status_command=/bin/true`, ""), "", set("README", "b"))
	expect(t, "a command of the machine that may look at the commit", files(`--stamp --workspace_status_command=/opt/status`, ""), "//:t", set("README", "b"))
	for script, file := range map[string]string{
		"echo STABLE_A $(cat VERSION)":                        "VERSION",
		"echo STABLE_A 1\nsh \"$(dirname \"$0\")/more.sh\"":   "tools/more.sh",
		"echo STABLE_A 1\n. ./tools/more.sh":                  "tools/more.sh",
		"if true; then\n  cat \"$PWD/data/v.txt\"\nfi":        "data/v.txt",
		"cat \"$(dirname \"$0\")/../VERSION\"":                "VERSION",
		"for f in data/*.txt; do\n  cat $f\ndone":             "data/v.txt",
		"test -f VERSION && echo STABLE_A yes || echo STABLE": "VERSION",
	} {
		expect(t, script, files("--stamp"+command, script), "//:t", set(file, "echo STABLE_B 2\n"))
		expect(t, script+" and a file that goes", files("--stamp"+command, script), "//:t", del(file))
	}
	expect(t, "a file that comes", tiny(with(files("--stamp"+command, "test -f NEW && echo STABLE_A 1"))), "//:t", set("NEW", ""))
	for script, want := range map[string]string{
		"echo STABLE_COMMIT $(git rev-parse HEAD)":                                      "//:t",
		"echo \"STABLE_COMMIT $(git rev-parse HEAD | cut -c1-8)\"":                      "//:t",
		"commit=$(git describe)\necho \"STABLE_COMMIT $commit\"":                        "//:t",
		"commit() {\n  git describe\n}\necho \"STABLE_COMMIT $(commit)\"":               "//:t",
		"if test -n \"$X\"; then git status; fi\necho STABLE_A 1":                       "//:t",
		"echo STABLE_COMMIT $CI_COMMIT_SHA":                                             "//:t",
		"echo STABLE_FILES `find . | wc -l`":                                            "//:t",
		"python3 -c 'print(\"STABLE_A 1\")'":                                            "//:t",
		"echo BUILD_USER $(make user)":                                                  "//:t",
		"echo \"COMMIT $(git rev-parse HEAD)\"":                                         "",
		"echo \"COMMIT $(git rev-parse HEAD)\"\necho STABLE_A 1":                        "",
		"commit=$(git describe)\necho \"COMMIT $commit\"":                               "",
		"echo STABLE_USER $(whoami)@$(hostname) $(uname -s) $(id -u) $(date +%s) $HOME": "",
		"set -eu\nV=$(cat VERSION)\nif [ \"$V\" = 1 ]; then\n  echo STABLE_A $V\nfi":    "",
		"f() {\n  echo STABLE_A 1\n}\nf":                                                "",
	} {
		expect(t, "any change, with "+script, files("--stamp"+command, script), want, set("README", "b"))
	}
	answer := compare(t, files("--stamp"+command, "echo STABLE_A $(git describe)"), files("--stamp"+command, "echo STABLE_A $(git describe)\n"), Options{})
	if len(answer.Widened) != 1 || !strings.Contains(answer.Widened[0].Why, "asks git for a stable value") {
		t.Errorf("widened: %v", answer.Widened)
	}
}

// TestDeletedPackages: globs see the files of a package that an option deletes.
func TestDeletedPackages(t *testing.T) {
	base := tiny(map[string]string{
		"child/BUILD": "sh_test(name = \"inner\", srcs = [\"f.txt\"])\n", "child/f.txt": "1", "other/BUILD": "", "other/f.txt": "1",
		"BUILD": "sh_test(name = \"t\", srcs = [\"t.sh\"], data = glob([\"*/**\"]))\n",
	})
	for _, rc := range []string{"common --deleted_packages=child\n", "build --deleted_packages=x,//child\n", "build --deleted_packages=@tiny//child\nbuild --deleted_packages=x\n"} {
		deleted := with(base, ".bazelrc", rc)
		expect(t, rc, deleted, "//:t", set("child/f.txt", "2"))
		expect(t, rc+"and a file more", deleted, "//:t", set("child/g.txt", "2"))
		expect(t, rc+"and a package that is not", deleted, "", set("other/f.txt", "2"))
	}
	expect(t, "no option", base, "//child:inner", set("child/f.txt", "2"))
}

// TestFilesOfOptions: files, folders and labels that an option names count, though the
// option stays the same.
func TestFilesOfOptions(t *testing.T) {
	far := "load(\"@foo//:d.bzl\", \"mk_test\")\nmk_test(name = \"far_test\")\n"
	base := tiny(map[string]string{
		"MODULE.bazel": "module(name = \"tiny\")\nbazel_dep(name = \"foo\", version = \"1\")\nbazel_dep(name = \"bar\", version = \"1\")\n",
		"BUILD":        "sh_test(name = \"t\", srcs = [\"t.sh\"])\nsh_binary(name = \"u\", srcs = [\"u.sh\"])\n" + far, "u.sh": "#!/bin/sh\n", "unused.txt": "",
		"p/BUILD": "platform(name = \"p\", constraint_values = [\":c\"])\n", "pm/x": "", "maps/m": "platforms:\n",
		"d.bzl": "load(\":e.bzl\", \"help\")\ndef _impl(target, ctx):\n    return help()\nasp = aspect(implementation = _impl)\n", "e.bzl": "def help():\n    return []\n",
		"third/vendor/foo+/d.bzl": "", "third/vendor/bar+/d.bzl": "", "third/vendor/baz+/d.bzl": "", "reg/modules/foo/1/source.json": "1", ".bazelignore": "third\n",
	})
	const every = "//:far_test //:t"
	for _, c := range []struct {
		rc   string
		edit edit
		want string
	}{
		{"test --run_under='//:u --flag'", set("u.sh", "#!/bin/sh\nx\n"), every},
		{"test --run_under=//:u", set("u.sh", "#!/bin/sh\nx\n"), every},
		{"test --run_under=:u", set("u.sh", "#!/bin/sh\nx\n"), every},
		{"test --run_under='//:u --flag'", set("unused.txt", "x"), ""},
		{"build --platform_mappings=maps/m", set("maps/m", "x"), every},
		{"build --platform_mappings=%workspace%/maps/m", set("maps/m", "x"), every},
		{"build --platform_mappings=maps/m", del("maps/m"), every},
		{"build --platform_mappings=maps/m", set("platform_mappings", "x"), ""},
		{"", set("platform_mappings", "x"), every},
		{"", set("maps/m", "x"), ""},
		{"build --platforms=p", sub("p/BUILD", ":c", ":d"), every},
		{"build --host_platform=p:p", sub("p/BUILD", ":c", ":d"), every},
		{"build --frob=a=//p:p", sub("p/BUILD", ":c", ":d"), every},
		{"build --frob=unused.txt", set("unused.txt", "x"), every},
		{"build --test_env=unused.txt", set("unused.txt", "x"), ""},
		{"build --aspects=//:d.bzl%asp", sub("e.bzl", "[]", "[1]"), every},
		{"build --aspects=//:d.bzl%asp", sub("e.bzl", "[]", "[]  # x"), ""},
		{"common --vendor_dir=third/vendor", set("third/vendor/foo+/d.bzl", "x = 1\n"), "//:far_test"},
		{"common --vendor_dir=third/vendor", set("third/vendor/foo+/new.bzl", "x = 1\n"), "//:far_test"},
		{"common --vendor_dir=%workspace%/third/vendor", del("third/vendor/foo+/d.bzl"), "//:far_test"},
		{"common --vendor_dir=third/vendor", set("third/vendor/baz+/d.bzl", "x = 1\n"), every},
		{"", set("third/vendor/foo+/d.bzl", "x = 1\n"), ""},
		{"common --registry=file:///%workspace%/reg", set("reg/modules/foo/1/source.json", "2"), "//:far_test"},
		{"common --registry=file://%workspace%/reg", set("reg/modules/foo/2/source.json", "2"), "//:far_test"},
		{"common --registry=reg", del("reg/modules/foo/1/source.json"), "//:far_test"},
		{"common --registry=https://example.org/reg", set("reg/modules/foo/1/source.json", "2"), ""},
	} {
		expect(t, c.rc, with(base, ".bazelrc", c.rc+"\n"), c.want, c.edit)
	}
}

// TestSettings: a build setting counts by whatever name an option or a transition sets
// it, and the target that it is set to counts as what it is.
func TestSettings(t *testing.T) {
	flags := tiny(map[string]string{
		"flags/d.bzl": "def _i(ctx):\n    return []\nstring_flag = rule(implementation = _i, build_setting = config.string(flag = True))\n",
		"flags/BUILD": "load(\":d.bzl\", \"string_flag\")\nstring_flag(name = \"mode\", build_setting_default = \"y\")\nstring_flag(name = \"other\", build_setting_default = \"y\")\nalias(name = \"alias\", actual = \":second\")\nalias(name = \"second\", actual = \":mode\")\nconfig_setting(name = \"is_x\", flag_values = {\":mode\": \"x\"})\n",
		"a":           "", "b": "", "BUILD": "sh_test(name = \"plain\", srcs = [\"t.sh\"])\nsh_test(name = \"t\", srcs = [\"t.sh\"], data = select({\"//flags:is_x\": [\"a\"], \"//conditions:default\": [\"b\"]}))\n",
	})
	for _, name := range []string{"//flags:alias", "//flags:mode", "@tiny//flags:second", "@//flags:mode"} {
		expect(t, name, with(flags, ".bazelrc", "build --"+name+"=x\n"), "//:t", sub(".bazelrc", "=x", "=z"))
	}
	expect(t, "another setting", with(flags, ".bazelrc", "build --//flags:other=x\n"), "", sub(".bazelrc", "=x", "=z"))
	expect(t, "a setting that nobody sees", with(flags, ".bazelrc", "build --//flags:made=x\n"), "//:plain //:t", sub(".bazelrc", "=x", "=z"))
	expect(t, "two names change places", with(flags, ".bazelrc", "build --//flags:alias=x\nbuild --//flags:mode=y\n"), "//:t", set(".bazelrc", "build --//flags:mode=y\nbuild --//flags:alias=x\n"))
	expect(t, "two settings change places", with(flags, ".bazelrc", "build --//flags:alias=x\nbuild --//flags:other=y\n"), "", set(".bazelrc", "build --//flags:other=y\nbuild --//flags:alias=x\n"))

	label := tiny(map[string]string{
		"b.txt": "1", "c.txt": "1",
		"BUILD": "label_flag(name = \"lf\", build_setting_default = \":a\")\nalias(name = \"alias\", actual = \":lf\")\nfilegroup(name = \"a\", srcs = [\"t.sh\"])\nfilegroup(name = \"b\", srcs = [\"b.txt\"])\nfilegroup(name = \"c\", srcs = [\"c.txt\"])\n" +
			"sh_test(name = \"plain\", srcs = [\"t.sh\"])\nsh_test(name = \"t\", srcs = [\"t.sh\"], data = [\":lf\"])\n",
	})
	for _, rc := range []string{"--//:lf=//:b", "--//:lf=:b", "--@tiny//:lf=@tiny//:b", "--//:alias=//:b"} {
		expect(t, rc, with(label, ".bazelrc", "build "+rc+"\n"), "//:t", set("b.txt", "2"))
		expect(t, rc+", another one", with(label, ".bazelrc", "build "+rc+"\n"), "", set("c.txt", "2"))
	}
	expect(t, "a flag of another repository", with(label, "BUILD", label["BUILD"]+"load(\"@far//:d.bzl\", \"mk_test\")\nmk_test(name = \"far_test\")\n",
		"MODULE.bazel", "module(name = \"tiny\")\nbazel_dep(name = \"far\", version = \"1\")\n", ".bazelrc", "build --@far//:lf=//:b\n"), "//:far_test", set("b.txt", "2"))
	const rest = "tr = transition(implementation = _t, inputs = [], outputs = [\"//:lf\"])\ndef _i(ctx):\n    return [DefaultInfo(files = ctx.attr.dep[0].files)]\n"
	moved := with(label, "BUILD", strings.Replace(label["BUILD"], "data = [\":lf\"]", "data = [\":r\"]", 1)+"load(\":d.bzl\", \"r\")\nr(name = \"r\", dep = \":lf\", to = \"//:b\")\n")
	for name, code := range map[string]string{
		"a transition":                      "def _t(s, a):\n    return {\"//:lf\": \"//:b\"}\n" + rest + "r = rule(implementation = _i, attrs = {\"to\": attr.string(), \"dep\": attr.label(cfg = tr)})\n",
		"a transition of the rule":          "def _t(s, a):\n    return {\"//:lf\": Label(\"//:b\")}\n" + rest + "r = rule(implementation = _i, cfg = tr, attrs = {\"to\": attr.string(), \"dep\": attr.label()})\n",
		"a transition that calls":           "def _b():\n    return \"//:b\"\ndef _t(s, a):\n    return {\"//:lf\": _b()}\n" + rest + "r = rule(implementation = _i, cfg = tr, attrs = {\"to\": attr.string(), \"dep\": attr.label()})\n",
		"a transition that asks the target": "def _t(s, a):\n    return {\"//:lf\": a.to}\n" + rest + "r = rule(implementation = _i, cfg = tr, attrs = {\"to\": attr.string(), \"dep\": attr.label()})\n",
	} {
		expect(t, name, with(moved, "d.bzl", code), "//:t", set("b.txt", "2"))
		expect(t, name+", another one", with(moved, "d.bzl", code), "", set("c.txt", "2"))
	}
}

// TestBuildFileThatIsALink: a BUILD file that can't be read is its package's failure, and
// no other's.
func TestBuildFileThatIsALink(t *testing.T) {
	for _, to := range []string{"-> nowhere", "-> /etc/passwd", "-> ../../BUILD", "-> BUILD"} {
		base := tiny(map[string]string{
			"BUILD":   "sh_test(name = \"t\", srcs = [\"t.sh\"])\nsh_test(name = \"u\", srcs = [\"u.sh\"], data = [\"//q:lib\"])\n",
			"q/BUILD": to, "q/x.txt": "", "u.sh": "",
		})
		expect(t, to+": another package", base, "//:t", set("t.sh", "x"))
		expect(t, to+": a file of the package", base, "//:u", set("q/x.txt", "x"))
		expect(t, to+": the link", base, "//:u", set("q/BUILD", "-> elsewhere"))
		expect(t, to+": the link becomes a file", base, "//:u", set("q/BUILD", "filegroup(name = \"lib\", srcs = [\"x.txt\"])\n"))
		if answer := compare(t, base, with(base, "q/x.txt", "x"), Options{}); len(answer.Widened) != 1 || !strings.Contains(answer.Widened[0].Why, "q/BUILD is a link") {
			t.Errorf("widened: %v", answer.Widened)
		}
		real := with(base, "q/BUILD", "sh_test(name = \"lib\", srcs = [\"x.txt\"])\n")
		expect(t, to+": the file becomes a link", real, "//:u //q:lib", set("q/BUILD", to))
	}
}

// TestToolchainsByOtherNames: a type's alias is the type, and of modules each one's
// toolchain may be the one that Bazel takes.
func TestToolchainsByOtherNames(t *testing.T) {
	const code = "def _t(ctx):\n    return [platform_common.ToolchainInfo(f = ctx.file.file)]\ntc = rule(implementation = _t, attrs = {\"file\": attr.label(allow_single_file = True)})\n" +
		"def _u(ctx):\n    return []\nu = rule(implementation = _u, toolchains = [\"//tc:TYPE\"])\n"
	files := func(registered, used string) map[string]string {
		return tiny(map[string]string{
			"MODULE.bazel": "module(name = \"tiny\")\nregister_toolchains(\"//tc:t\")\n", "tc/d.bzl": strings.Replace(code, "TYPE", used, 1), "tc/f.txt": "1", "tc/g.txt": "1",
			"tc/BUILD": "load(\":d.bzl\", \"tc\")\ntoolchain_type(name = \"type\")\ntoolchain_type(name = \"other\")\nalias(name = \"alias\", actual = \":type\")\ntc(name = \"i\", file = \"f.txt\")\ntc(name = \"j\", file = \"g.txt\")\ntoolchain(name = \"t\", toolchain = \":i\", toolchain_type = \":" + registered + "\")\n",
			"BUILD":    "load(\"//tc:d.bzl\", \"u\")\nu(name = \"u\")\nsh_test(name = \"t\", srcs = [\"t.sh\"], data = [\":u\"])\n",
		})
	}
	for _, c := range [][3]string{{"type", "type", "//:t"}, {"alias", "type", "//:t"}, {"type", "alias", "//:t"}, {"alias", "alias", "//:t"}, {"other", "alias", ""}} {
		expect(t, c[0]+" used as "+c[1], files(c[0], c[1]), c[2], set("tc/f.txt", "2"))
		expect(t, c[0]+" used as "+c[1]+", another file", files(c[0], c[1]), "", set("tc/g.txt", "2"))
	}
	base := with(files("other", "type"), ".bazelignore", "aa\nzz\n", "MODULE.bazel", "module(name = \"tiny\")\nbazel_dep(name = \"zz\")\nlocal_path_override(module_name = \"zz\", path = \"zz\")\nbazel_dep(name = \"aa\")\nlocal_path_override(module_name = \"aa\", path = \"aa\")\n")
	for _, name := range []string{"aa", "zz"} {
		maps.Copy(base, map[string]string{
			name + "/MODULE.bazel": "module(name = \"" + name + "\")\nbazel_dep(name = \"tiny\")\nregister_toolchains(\"//:t\")\n", name + "/f.txt": "1",
			name + "/BUILD": "load(\"@tiny//tc:d.bzl\", \"tc\")\ntc(name = \"i\", file = \"f.txt\")\ntoolchain(name = \"t\", toolchain = \":i\", toolchain_type = \"@tiny//tc:type\")\n",
		})
	}
	order := sub("MODULE.bazel", "bazel_dep(name = \"aa\")\n", "")
	for _, name := range []string{"aa", "zz"} {
		expect(t, "the toolchain of "+name, base, "//:t", set(name+"/f.txt", "2"))
	}
	expect(t, "another order of modules", base, "//:t", order, sub("MODULE.bazel", "bazel_dep(name = \"zz\")\n", "bazel_dep(name = \"aa\")\nbazel_dep(name = \"zz\")\n"))
	base["aa/MODULE.bazel"] = strings.Replace(base["aa/MODULE.bazel"], "\"//:t\"", "\"//:t\", dev_dependency = True", 1)
	expect(t, "after one for development", base, "//:t", set("zz/f.txt", "2"))
	base["MODULE.bazel"] += "register_toolchains(\"//tc:first\")\n"
	base["tc/BUILD"] += "toolchain(name = \"first\", toolchain = \":j\", toolchain_type = \":type\")\n"
	expect(t, "after the main module's", base, "", set("zz/f.txt", "2"))
	base["MODULE.bazel"] = strings.Replace(base["MODULE.bazel"], "\"//tc:first\"", "\"//tc:first\", dev_dependency = True", 1)
	base[".bazelrc"] = "common --ignore_dev_dependency\n"
	expect(t, "after the main module's, which is left out", base, "//:t", set("zz/f.txt", "2"))
}

// TestNamesMadeOfParts: a variable counts whose name is made of parts, and what getattr
// gives.
func TestNamesMadeOfParts(t *testing.T) {
	for text, want := range map[string]string{
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $(%s_MODE) > $@' % n) for n in ['A']]`:       "//:t",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $(' + n + '_MODE) > $@') for n in ['A']]`:    "//:t",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $(A' + '_MODE) > $@') for n in ['A']]`:       "//:t",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $' + '(A' + '_MODE) > $@') for n in ['A']]`:  "//:t",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $({}_MODE) > $@'.format(n)) for n in ['A']]`: "//:t",
		`[config_setting(name = n, define_values = {n + '_MODE': '1'}) for n in ['A']]`:                 "//:t",
		`[config_setting(name = n, values = {'define': '%s_MODE=1' % n}) for n in ['A']]`:               "//:t",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $(OTHER) $$(%s) > $@' % n) for n in ['A']]`:  "",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'cat $(location :x) %s > $@' % n) for n in ['A']]`: "",
		`[genrule(name = n, outs = [n + '.o'], cmd = 'echo $(A_MODE) > $@') for n in ['A']]`:            "//:t",
		`[filegroup(name = n) for n in ['A']]`:                                                          "",
	} {
		base := tiny(map[string]string{
			"MODULE.bazel": "module(name = \"tiny\")\next = use_extension(\"//ext:ext.bzl\", \"ext\")\nuse_repo(ext, \"made\")\n", "ext/BUILD": "", ".bazelrc": "build --define=A_MODE=1\n",
			"ext/ext.bzl": "def _repo_impl(ctx):\n    ctx.file(\"BUILD\", \"" + text + "\")\n_repo = repository_rule(implementation = _repo_impl)\ndef _impl(ctx):\n    _repo(name = \"made\")\next = module_extension(implementation = _impl)\n",
			"BUILD":       "sh_test(name = \"t\", srcs = [\"t.sh\"], data = [\"@made//:A\"])\n",
		})
		expect(t, text, base, want, sub(".bazelrc", "A_MODE=1", "A_MODE=2"))
	}
	for code, want := range map[string]string{
		`getattr(ctx, "var").get("X", "")`:      "//:t",
		`getattr(ctx, "v" + "ar").get("X", "")`: "//:t",
		`getattr(ctx, NAME).get("X", "")`:       "//:t",
		`getattr(ctx.attr, "x", "")`:            "",
		`getattr(ctx, "label").name`:            "",
	} {
		base := tiny(map[string]string{
			".bazelrc": "build --define=X=1 --workspace_status_command=s.sh\n", "s.sh": "#!/bin/sh\necho STABLE_A 1\n",
			"d.bzl": "NAME = \"va\" + \"r\"\ndef _impl(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, " + code + ")\n    return [DefaultInfo(files = depset([o]))]\nr = rule(implementation = _impl)\n",
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"t\", srcs = [\"t.sh\"], data = [\":r\"])\n",
		})
		expect(t, code, base, want, sub(".bazelrc", "X=1", "X=2"))
		info := with(base, "d.bzl", strings.ReplaceAll(strings.ReplaceAll(base["d.bzl"], `"var"`, `"info_file"`), `.get("X", "")`, ".path"))
		expect(t, code+" of the status", info, want, sub("s.sh", "A 1", "A 2"))
	}
}

// TestGoWork: of a go.work each module's go.mod and go.sum count for all Go modules.
func TestGoWork(t *testing.T) {
	base := tiny(map[string]string{
		"MODULE.bazel": "module(name = \"tiny\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\nbazel_dep(name = \"gazelle\", version = \"0.47.0\")\ngo_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_work = \"//:go.work\")\nuse_repo(go_deps, \"org_example_a\")\n",
		"go.work":      "go 1.26\n\nuse (\n\t./m // x\n\t\"./n\"\n)\n", "m/go.mod": "module example.org/m\ngo 1.26\nrequire example.org/a v1.0.0\n", "m/go.sum": "example.org/a v1.0.0 h1:aaa=\n",
		"n/go.mod": "module example.org/n\ngo 1.26\nrequire example.org/a v1.0.0\nreplace example.org/b => ../third/b\n", "third/b/b.go": "package b\n", "o/go.mod": "module example.org/o\n",
		"m/BUILD": "load(\"@rules_go//go:def.bzl\", \"go_test\")\ngo_test(name = \"go_test\", srcs = [\"x_test.go\"], deps = [\"@org_example_a//pkg\"])\n", "m/x_test.go": "package m\n", "m/go.txt": "",
	})
	for _, e := range []edit{
		sub("m/go.mod", "a v1.0.0", "a v1.1.0"), sub("m/go.sum", "aaa", "bbb"), sub("n/go.mod", "a v1.0.0", "a v1.1.0"), sub("go.work", "\t\"./n\"\n", ""),
		del("n/go.mod"), set("n/go.sum", "x"), set("go.work.sum", "x"), set("third/b/b.go", "package b // x\n"),
	} {
		expect(t, "what go.work leads to", base, "//m:go_test", e)
	}
	expect(t, "another module", base, "", sub("o/go.mod", "/o", "/p"))
	expect(t, "another file", base, "", set("m/go.txt", "x"))
}
