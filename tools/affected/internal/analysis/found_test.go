package analysis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Cases that somebody else found: each says what Bazel does.

const echoX = "def _u(ctx):\n    o = ctx.actions.declare_file(ctx.label.name + \".o\")\n    ctx.actions.run_shell(outputs = [o], command = \"x\")\n    return [DefaultInfo(files = depset([o]))]\n"

// TestFoundForeignToolchains: toolchains that are registered from other repositories count for
// what resolves them, and so do their types for rules of this workspace.
func TestFoundForeignToolchains(t *testing.T) {
	user := func(types, module string) map[string]string {
		return holding(":u", map[string]string{
			"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\nbazel_dep(name = \"platforms\", version = \"1\")\n" + module,
			"rule.bzl":     echoX + "u = rule(implementation = _u, toolchains = [" + types + "])\n",
			"BUILD":        "load(\":rule.bzl\", \"u\")\nu(name = \"u\")\n",
		})
	}
	version := sub("MODULE.bazel", `"foo", version = "1"`, `"foo", version = "2"`)
	plain := user(`"@foo//:type"`, "")
	try(t, "the module of a type", plain, onlyX, version)
	try(t, "the module of a type, optional", user(`config_common.toolchain_type("@foo//:type", mandatory = False)`, ""), onlyX, version)
	try(t, "registered anew", plain, onlyX, func(f map[string]string) { f["MODULE.bazel"] += "register_toolchains(\"@foo//:all\")\n" })
	two := user(`"@foo//:type"`, "register_toolchains(\"@foo//:a\", \"@foo//:b\")\n")
	try(t, "registered in another order", two, onlyX, sub("MODULE.bazel", `"@foo//:a", "@foo//:b"`, `"@foo//:b", "@foo//:a"`))
	ofExtension := user(`"@foo//:type"`, "tc = use_extension(\"@foo//:e.bzl\", \"tc\")\ntc.toolchain(version = \"1.0\")\nuse_repo(tc, \"foo_toolchains\")\nregister_toolchains(\"@foo_toolchains//:all\")\n")
	try(t, "a version that an extension is told", ofExtension, onlyX, sub("MODULE.bazel", `"1.0"`, `"2.0"`))
	other := user(`"@bar//:type"`, "bazel_dep(name = \"bar\", version = \"1\")\ntc = use_extension(\"@foo//:e.bzl\", \"tc\")\ntc.toolchain(version = \"1.0\")\nuse_repo(tc, \"foo_toolchains\")\nregister_toolchains(\"@foo_toolchains//:all\")\n")
	try(t, "an extension of another module than the type", other, onlyX, sub("MODULE.bazel", `"1.0"`, `"2.0"`))

	golang := onWorkspace(map[string]string{
		"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\ngo_sdk = use_extension(\"@rules_go//go:extensions.bzl\", \"go_sdk\")\ngo_sdk.from_file(go_mod = \"//:go.mod\")\n",
		"go.mod":       "module example.org/m\n\ngo 1.25\n",
		"rule.bzl":     "def _u(ctx):\n    sdk = ctx.toolchains[\"@rules_go//go:toolchain\"].sdk\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run(outputs = [o], executable = sdk.go, arguments = [\"version\"])\n    return [DefaultInfo(files = depset([o]))]\nu = rule(implementation = _u, toolchains = [\"@rules_go//go:toolchain\"])\n",
		"BUILD":        "load(\":rule.bzl\", \"u\")\nu(name = \"u\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":u\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
	})
	try(t, "the Go SDK for a rule of the workspace", golang, onlyX, sub("go.mod", "go 1.25", "go 1.26"))
	try(t, "rules_go for a rule of the workspace", golang, onlyX, sub("MODULE.bazel", "0.60.0", "0.61.0"))

	// C++ as people have it: LLVM's toolchains, rules of Bazel or of rules_cc.
	for _, load := range []string{"", "load(\"@rules_cc//cc:defs.bzl\", \"cc_test\")\n"} {
		llvm := onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_cc\", version = \"0.1.5\")\nbazel_dep(name = \"toolchains_llvm\", version = \"1.2.0\")\nllvm = use_extension(\"@toolchains_llvm//toolchain/extensions:llvm.bzl\", \"llvm\")\nllvm.toolchain(llvm_version = \"16.0.0\")\nuse_repo(llvm, \"llvm_toolchain\")\nregister_toolchains(\"@llvm_toolchain//:all\")\n",
			"BUILD":        load + "cc_test(name = \"x_test\", srcs = [\"x.cc\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n", "x.cc": "",
		})
		try(t, "another LLVM "+load[:min(8, len(load))], llvm, onlyX, sub("MODULE.bazel", "16.0.0", "17.0.0"))
		try(t, "another module of LLVM "+load[:min(8, len(load))], llvm, onlyX, sub("MODULE.bazel", "1.2.0", "1.3.0"))
		try(t, "no LLVM "+load[:min(8, len(load))], llvm, onlyX, sub("MODULE.bazel", "register_toolchains(\"@llvm_toolchain//:all\")\n", ""))
	}

	// Toolchains that another repository's macro makes, registered by a pattern.
	macro := user(`"//tc:type"`, "register_toolchains(\"//tc:all\")\n")
	macro["tc/BUILD"] = "load(\"@foo//:d.bzl\", \"declare\")\ntoolchain_type(name = \"type\")\ndeclare(name = \"t\", file = \"f.txt\")\n"
	macro["tc/f.txt"] = "1"
	try(t, "toolchains of another repository's macro", macro, onlyX, set("tc/f.txt", "2"))
	macro["MODULE.bazel"] = strings.Replace(macro["MODULE.bazel"], "//tc:all", "//tc/...", 1)
	try(t, "toolchains of another repository's macro, below a folder", macro, onlyX, set("tc/f.txt", "2"))
}

// TestFoundForeignOptions: options may name targets of other repositories.
func TestFoundForeignOptions(t *testing.T) {
	for _, option := range []string{"test --run_under=@foo//:wrapper", "build --platforms=@foo//:p", "build --extra_execution_platforms=@foo//:p"} {
		files := holding("t.sh", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\n", ".bazelrc": option + "\n"})
		try(t, option, files, bothTests, sub("MODULE.bazel", `"foo", version = "1"`, `"foo", version = "2"`))
	}
	platforms := holding("t.sh", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\nregister_execution_platforms(\"@foo//:all\")\n"})
	try(t, "execution platforms", platforms, bothTests, sub("MODULE.bazel", `"foo", version = "1"`, `"foo", version = "2"`))
}

// TestFoundRulesOfBazel: Bazel's own rules for languages are made of modules that MODULE.bazel
// may give other versions.
func TestFoundRulesOfBazel(t *testing.T) {
	files := func(version, module, kind string) map[string]string {
		return onWorkspace(map[string]string{".bazelversion": version + "\n", "MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"" + module + "\", version = \"1.0.0\")\n",
			"BUILD": kind + "(name = \"x_test\", srcs = [\"t.sh\"])\n", "o/BUILD": "filegroup(name = \"f\")\n"})
	}
	bump := sub("MODULE.bazel", "1.0.0", "2.0.0")
	try(t, "java_test", files("7.7.1", "rules_java", "java_test"), onlyX, bump)
	try(t, "py_test", files("7.7.1", "rules_python", "py_test"), onlyX, bump)
	try(t, "cc_test", files("7.7.1", "rules_cc", "cc_test"), onlyX, bump)
	try(t, "sh_test of Bazel 8", files("8.4.2", "rules_shell", "sh_test"), onlyX, bump)
	try(t, "sh_test of Bazel 7", files("7.7.1", "rules_shell", "sh_test"), "", bump)
	python := files("7.7.1", "rules_python", "py_test")
	python["MODULE.bazel"] += "python = use_extension(\"@rules_python//python/extensions:python.bzl\", \"python\")\npython.toolchain(python_version = \"3.11\", is_default = True)\n"
	try(t, "the version of Python for Bazel's py_test", python, onlyX, sub("MODULE.bazel", "3.11", "3.12"))
	patched := files("7.7.1", "rules_java", "java_test")
	patched["MODULE.bazel"] += "single_version_override(module_name = \"rules_java\", patches = [\"//p:j.patch\"])\n"
	patched["p/BUILD"], patched["p/j.patch"] = "", "1"
	try(t, "a patch of rules_java", patched, onlyX, set("p/j.patch", "2"))
}

// TestFoundGoModulesOfRules: rules_go's own rules are made of Go modules, whose versions go.mod
// decides too: protobuf and gRPC for generated code, x/tools for nogo, mock for gomock.
func TestFoundGoModulesOfRules(t *testing.T) {
	files := func(mod, build string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\nbazel_dep(name = \"gazelle\", version = \"0.47.0\")\ngo_sdk = use_extension(\"@rules_go//go:extensions.bzl\", \"go_sdk\")\ngo_sdk.nogo(nogo = \"//nogo\")\ngo_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_mod = \"//:go.mod\")\nuse_repo(go_deps, \"org_example_a\")\n",
			"go.mod":       "module example.org/m\n\ngo 1.25\n\nrequire (\n\texample.org/a v1.0.0\n\t" + mod + " v1.0.0\n)\n", "go.sum": "",
			"nogo/BUILD": "load(\"@rules_go//go:def.bzl\", \"TOOLS_NOGO\", \"nogo\")\nnogo(name = \"nogo\", deps = TOOLS_NOGO, visibility = [\"//visibility:public\"])\n",
			"BUILD":      build + "sh_test(name = \"y_test\", srcs = [\"t.sh\"])\n", "x.proto": "", "x_test.go": "package x\n",
		})
	}
	bump := func(mod string) edit { return sub("go.mod", mod+" v1.0.0", mod+" v1.1.0") }
	const loads = "load(\"@rules_go//go:def.bzl\", \"go_test\", \"gomock\")\nload(\"@rules_go//proto:def.bzl\", \"go_proto_library\")\nload(\"@protobuf//bazel:proto_library.bzl\", \"proto_library\")\n"
	proto := loads + "proto_library(name = \"p\", srcs = [\"x.proto\"])\ngo_proto_library(name = \"pgo\", importpath = \"example.org/m/p\", proto = \":p\")\ngo_test(name = \"x_test\", srcs = [\"x_test.go\"], deps = [\":pgo\"])\n"
	try(t, "protobuf for generated code", files("google.golang.org/protobuf", proto), onlyX, bump("google.golang.org/protobuf"))
	grpc := strings.Replace(proto, "proto = \":p\"", "compilers = [\"@rules_go//proto:go_proto\", \"@rules_go//proto:go_grpc_v2\"], proto = \":p\"", 1)
	try(t, "grpc for generated code", files("google.golang.org/grpc", grpc), onlyX, bump("google.golang.org/grpc"))
	test := loads + "go_test(name = \"x_test\", srcs = [\"x_test.go\"])\n"
	try(t, "tools for nogo", files("golang.org/x/tools", test), onlyX, bump("golang.org/x/tools"))
	mock := loads + "gomock(name = \"mock\", out = \"mock.go\", interfaces = [\"I\"], library = \":lib\", package = \"x\")\ngo_test(name = \"x_test\", srcs = [\"x_test.go\", \":mock\"])\n"
	try(t, "mock for gomock", files("github.com/golang/mock", mock), onlyX, bump("github.com/golang/mock"))
	try(t, "a module that nothing uses", files("example.org/b", test), "", bump("example.org/b"))
}

// TestFoundSDKByVersion: where MODULE.bazel says the SDK's version, go.mod's doesn't choose it.
func TestFoundSDKByVersion(t *testing.T) {
	files := onWorkspace(map[string]string{
		"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\nbazel_dep(name = \"gazelle\", version = \"0.47.0\")\ngo_sdk = use_extension(\"@rules_go//go:extensions.bzl\", \"go_sdk\")\ngo_sdk.download(version = \"1.26.0\")\ngo_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_mod = \"//:go.mod\")\n",
		"go.mod":       "module example.org/m\n\ngo 1.25\n", "BUILD": "load(\"@rules_go//go:def.bzl\", \"go_test\")\ngo_test(name = \"x_test\", srcs = [\"x_test.go\"])\n", "x_test.go": "package x\n",
	})
	try(t, "the go line", files, "", sub("go.mod", "go 1.25", "go 1.26"))
}

// TestFoundForeignAttributes: an attribute of another repository's rule may name a target of a
// repository that an extension makes, whatever it is called.
func TestFoundForeignAttributes(t *testing.T) {
	oci := holding(":img", map[string]string{
		"MODULE.bazel": "bazel_dep(name = \"rules_oci\", version = \"2\")\nbazel_dep(name = \"rules_distroless\", version = \"1\")\napt = use_extension(\"@rules_distroless//apt:extensions.bzl\", \"apt\")\napt.install(name = \"noble\", lock = \"//:noble.lock.json\")\nuse_repo(apt, \"noble\")\nhttp_file = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_file\")\nhttp_file(name = \"rootfs\", url = \"https://example.org/1.tar\")\n",
		"BUILD":        "load(\"@rules_oci//oci:defs.bzl\", \"oci_image\")\noci_image(name = \"img\", base = \"@rootfs//file\", tars = [\"@noble//bash\"])\n", "noble.lock.json": "1",
	})
	try(t, "a list of an image", oci, onlyX, set("noble.lock.json", "2"))
	try(t, "a base of an image", oci, onlyX, sub("MODULE.bazel", "1.tar", "2.tar"))
	native := holding(":b", map[string]string{
		"MODULE.bazel": "http_archive = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\nhttp_archive(name = \"tcmalloc\", url = \"https://example.org/1.tar\")\n",
		"BUILD":        "cc_binary(name = \"b\", srcs = [\"b.cc\"], malloc = \"@tcmalloc//:tcmalloc\")\n", "b.cc": "",
	})
	try(t, "malloc", native, onlyX, sub("MODULE.bazel", "1.tar", "2.tar"))
	short := maps.Clone(oci)
	short["BUILD"] = strings.Replace(short["BUILD"], "@rootfs//file", "@rootfs", 1)
	try(t, "a base in short", short, onlyX, sub("MODULE.bazel", "1.tar", "2.tar"))
}

// TestFoundForeignGlobs: another repository's macro may glob where it is called.
func TestFoundForeignGlobs(t *testing.T) {
	ts := holding(":lib", map[string]string{
		"MODULE.bazel": "bazel_dep(name = \"aspect_rules_ts\", version = \"3\")\n", "index.ts": "1", "tsconfig.json": "{}",
		"BUILD": "load(\"@aspect_rules_ts//ts:defs.bzl\", \"ts_project\")\nts_project(name = \"lib\")\n",
	})
	try(t, "a source by a default that globs", ts, onlyX, set("index.ts", "2"))
	try(t, "a new source", ts, onlyX, set("more.ts", "2"))
	try(t, "a file by a default name", ts, onlyX, set("tsconfig.json", "2"))
}

// TestFoundVersions: with multiple_version_override a module is several repositories.
func TestFoundVersions(t *testing.T) {
	files := holding("@foo1//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\", repo_name = \"foo1\")\nbazel_dep(name = \"foo\", version = \"2\", repo_name = \"foo2\")\nmultiple_version_override(module_name = \"foo\", versions = [\"1\", \"2\"])\n"})
	try(t, "another version in a label", files, onlyX, sub("BUILD", "@foo1//", "@foo2//"))
	loads := maps.Clone(files)
	loads["BUILD"] = "load(\"@foo1//:d.bzl\", \"foo_test\")\nfoo_test(name = \"x_test\")\n"
	try(t, "another version in a load", loads, onlyX, sub("BUILD", "@foo1//", "@foo2//"))
}

// TestFoundNamesInMadeRepositories: a repository's BUILD file may name targets of the workspace,
// wherever its text is written.
func TestFoundNamesInMadeRepositories(t *testing.T) {
	lib := map[string]string{"lib/BUILD": "filegroup(name = \"l\", srcs = [\"f.txt\"], visibility = [\"//visibility:public\"])\nexports_files([\"f.txt\"])\n", "lib/f.txt": "1"}
	f := set("lib/f.txt", "2")
	in := func(more map[string]string) map[string]string {
		files := maps.Clone(lib)
		maps.Copy(files, more)
		return holding("@made//:g", files)
	}
	for _, at := range []string{"@small", "@", "@@"} {
		const http = "http_archive = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\n"
		try(t, "text in MODULE.bazel "+at, in(map[string]string{"MODULE.bazel": http + "http_archive(name = \"made\", url = \"https://example.org/1.tar\", build_file_content = \"\"\"\nfilegroup(name = \"g\", srcs = [\"" + at + "//lib:f.txt\"])\n\"\"\")\n"}), onlyX, f)
		rule := func(code string, more map[string]string) map[string]string {
			files := map[string]string{"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n", "ext/BUILD": "", "ext/r.bzl": "def _r(ctx):\n    " + code + "\nmade = repository_rule(implementation = _r)\n"}
			maps.Copy(files, more)
			return in(files)
		}
		try(t, "text in a rule "+at, rule("ctx.file(\"BUILD\", 'alias(name = \"g\", actual = \""+at+"//lib:l\")')", nil), onlyX, f)
		try(t, "text in a template "+at, rule("ctx.template(\"BUILD\", Label(\"//ext:g.tpl\"))", map[string]string{"ext/g.tpl": "alias(name = \"g\", actual = \"" + at + "//lib:l\")\n"}), onlyX, f)
		try(t, "a formatted text in a rule "+at, rule("ctx.file(\"BUILD\", 'alias(name = \"g\", actual = \""+at+"//%s:l\")' % \"lib\")", nil), onlyX, f)
		ext := func(call string, more map[string]string) map[string]string {
			files := map[string]string{"MODULE.bazel": "e = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\")\n", "ext/BUILD": "",
				"ext/e.bzl": "load(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\ndef _e(mctx):\n    http_archive(name = \"made\", url = \"https://example.org/1.tar\", " + call + ")\ne = module_extension(implementation = _e)\n"}
			maps.Copy(files, more)
			return in(files)
		}
		try(t, "a BUILD file of an extension "+at, ext("build_file = \"//ext:q.BUILD\"", map[string]string{"ext/q.BUILD": "filegroup(name = \"g\", srcs = [\"" + at + "//lib:f.txt\"])\n"}), onlyX, f)
		try(t, "text of an extension "+at, ext("build_file_content = 'filegroup(name = \"g\", srcs = [\""+at+"//lib:f.txt\"])'", nil), onlyX, f)
	}
}

// TestFoundPathsOfRepositories: further ways of code of repositories to files.
func TestFoundPathsOfRepositories(t *testing.T) {
	made := func(code string) map[string]string {
		return holding("@made//:f", map[string]string{
			"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n", "ext/BUILD": "", "versions.txt": "1",
			"ext/r.bzl": "_MARKER = Label(\"//:MODULE.bazel\")\ndef _root(ctx, label):\n    return ctx.path(label).dirname\ndef _r(ctx):\n    " + code + "\nmade = repository_rule(implementation = _r)\n",
		})
	}
	top := set("versions.txt", "2")
	try(t, "a label in a variable", made("m = Label(\"//:MODULE.bazel\")\n    ctx.file(\"f\", ctx.read(ctx.path(m).dirname.get_child(\"versions.txt\")))"), onlyX, top)
	try(t, "a label in a constant", made("ctx.file(\"f\", ctx.read(ctx.path(_MARKER).dirname.get_child(\"versions.txt\")))"), onlyX, top)
	try(t, "a label of a function", made("ctx.file(\"f\", ctx.read(_root(ctx, _MARKER).get_child(\"versions.txt\")))"), onlyX, top)
	try(t, "a child by parts", made("ctx.file(\"f\", ctx.read(str(ctx.path(_MARKER).dirname) + \"/\" + \"versions.txt\"))"), onlyX, top)
	try(t, "a path by format", made("ctx.file(\"f\", ctx.read(\"%s/versions.txt\" % ctx.path(_MARKER).dirname))"), onlyX, top)
	local := func(path string) map[string]string {
		return holding("@made//:f", map[string]string{
			"MODULE.bazel": "e = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\")\n", "ext/BUILD": "", "vendored/BUILD": "exports_files([\"f\"])\n", "vendored/f": "1", "third/made/BUILD": "exports_files([\"f\"])\n", "third/made/f": "1", "other/f": "1",
			"ext/e.bzl": "load(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"local_repository\")\ndef _e(mctx):\n    base = \"third\"\n    local_repository(name = \"made\", path = " + path + ")\ne = module_extension(implementation = _e)\n",
		})
	}
	try(t, "a folder at the top", local(`"vendored"`), onlyX, set("vendored/f", "2"))
	try(t, "a folder of two parts", local(`base + "/made"`), onlyX, set("third/made/f", "2"))
	try(t, "a folder by join", local(`"/".join([base, "made"])`), onlyX, set("third/made/f", "2"))
}

// TestFoundOptions: options of .bazelrc that enter keys.
func TestFoundOptions(t *testing.T) {
	for _, c := range [][2]string{
		{"build --dynamic_mode=off", "build --dynamic_mode=fully"},
		{"", "build --dynamic_mode=off"},
		{"test --test_arg=yes", "test --test_arg=1"},
		{"test --test_arg=TRUE", "test --test_arg=true"},
		{"test --test_arg=no", "test --test_arg=0"},
		{"test --test_arg --jobs=4", "test --test_arg --jobs=8"},
		{"test --test_filter=yes", "test --test_filter=true"},
		{"build --copt -DA", "build --copt -DB"},
		{"build --copt --jobs=4", "build --copt --jobs=8"},
	} {
		files := holding("t.sh", map[string]string{".bazelrc": c[0] + "\n"})
		try(t, c[0]+" to "+c[1], files, bothTests, set(".bazelrc", c[1]+"\n"))
	}
	for _, c := range [][2]string{
		{"build --jobs 4", "build --jobs 8"},
		{"build --remote_build_event_upload=all", "build --remote_build_event_upload=minimal"},
		{"build --experimental_repository_downloader_retries=2", "build --experimental_repository_downloader_retries=5"},
		{"build --guard_against_concurrent_changes", ""},
		{"build --color yes", "build --color no"},
		{"build --noshow_progress", ""},
	} {
		files := holding("t.sh", map[string]string{".bazelrc": c[0] + "\n"})
		try(t, c[0]+" means nothing", files, "", set(".bazelrc", c[1]+"\n"))
	}
	filtered := holding("t.sh", map[string]string{".bazelrc": "test --test_tag_filters=-slow\n"})
	filtered["BUILD"] = strings.Replace(filtered["BUILD"], "name = \"x_test\"", "name = \"x_test\", tags = [\"slow\"]", 1)
	try(t, "tests that a filter left out", filtered, onlyX, set(".bazelrc", ""))
	unfiltered := with(filtered, ".bazelrc", "")
	if answer := compare(t, unfiltered, filtered, Options{}); len(answer.Tests) != 0 || !slices.Equal(answer.Removed, []string{"//:x_test"}) {
		t.Errorf("tests that a filter leaves out: %v affected, %v removed, want //:x_test removed", answer.Tests, answer.Removed)
	}
	if answer := compare(t, filtered, with(filtered, "t.sh", "#!/bin/sh\n# edited\n"), Options{}); len(answer.Removed) != 0 {
		t.Errorf("tests that a filter leaves out before and after: %v removed, want none", answer.Removed)
	}
	twice := holding("t.sh", map[string]string{".bazelrc": "import %workspace%/a.rc\nbuild --copt=-DB\n", "a.rc": "build --copt=-DA\n"})
	try(t, "imports in another order", twice, bothTests, set(".bazelrc", "build --copt=-DB\nimport %workspace%/a.rc\n"))
}

// TestFoundRefusedPackages: what Bazel refuses of one target breaks all of its package.
func TestFoundRefusedPackages(t *testing.T) {
	files := onWorkspace(map[string]string{"a.txt": "1", "named/n.txt": "1", "target/t.txt": "1",
		"d.bzl": echoX + "u = rule(implementation = _u, attrs = {\"must\": attr.string(mandatory = True), \"one\": attr.string(values = [\"a\", \"b\"]), \"n\": attr.int(), \"l\": attr.label()})\nX = 1\n",
		"BUILD": "load(\":d.bzl\", \"u\")\nu(name = \"u\", must = \"1\")\nfilegroup(name = \"f\", srcs = [\"a.txt\"])\ngenrule(name = \"g\", outs = [\"g.out\"], cmd = \"x\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"])\n" +
			"filegroup(name = \"n\", srcs = [\"named/n.txt\"])\nfilegroup(name = \"target/t\")\ngenrule(name = \"o\", outs = [\"out/o.out\"], cmd = \"x\")\n"})
	const want = "//:x_test"
	for name, e := range map[string]edit{
		"a text in place of a list":              sub("BUILD", `srcs = ["a.txt"]`, `srcs = "a.txt"`),
		"an attribute that Bazel's rule lacks":   sub("BUILD", `srcs = ["a.txt"]`, `srsc = ["a.txt"]`),
		"an attribute that a rule lacks":         sub("BUILD", `must = "1"`, `must = "1", nust = "1"`),
		"an attribute that must be given":        sub("BUILD", `, must = "1"`, ``),
		"a number for a text":                    sub("BUILD", `must = "1"`, `must = 1`),
		"a value that is not among those":        sub("BUILD", `must = "1"`, `must = "1", one = "c"`),
		"a select for tags":                      sub("BUILD", `srcs = ["t.sh"]`, `srcs = ["t.sh"], tags = select({"//conditions:default": ["a"]})`),
		"a select for a rule's visibility":       sub("BUILD", `must = "1"`, `must = "1", visibility = select({"//conditions:default": ["//visibility:public"]})`),
		"a select of nothing":                    sub("BUILD", `srcs = ["a.txt"]`, `srcs = select({})`),
		"a condition that is no label":           sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt"] + select({"//a//b": [], "//conditions:default": []})`),
		"a visibility that is none":              sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt"], visibility = ["//visibility:pubic"]`),
		"packages that are none":                 func(f map[string]string) { f["BUILD"] += "package_group(name = \"pg\", packages = [\"a\"])\n" },
		"a load after other statements":          func(f map[string]string) { f["d.bzl"] += "load(\":e.bzl\", \"E\")\n"; f["e.bzl"] = "E = 1\n" },
		"a default of another type":              sub("d.bzl", `"n": attr.int()`, `"n": attr.int(default = "x")`),
		"an argument that attributes lack":       sub("d.bzl", `"n": attr.int()`, `"n": attr.int(manditory = True)`),
		"an argument that rules lack":            sub("d.bzl", `implementation = _u,`, `implementation = _u, docs = "x",`),
		"a package where this one names a file":  set("named/BUILD", ""),
		"a package where this one has a target":  set("target/BUILD", ""),
		"a package where this one makes a file":  set("out/BUILD", ""),
		"a name that there is not":               sub("BUILD", `srcs = ["a.txt"]`, `srcs = SRCS`),
		"a name that there is not in a function": func(f map[string]string) { f["d.bzl"] += "def never():\n    return nothing_here\n" },
		"tabs before a statement":                func(f map[string]string) { f["d.bzl"] += "def never():\n\treturn 1\n" },
		"a number among texts":                   sub("BUILD", `srcs = ["t.sh"]`, `srcs = ["t.sh"], args = [1]`),
		"a number among labels":                  sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", 1]`),
		"nothing among labels":                   sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", None]`),
		"a number in a dictionary of texts":      sub("BUILD", `srcs = ["t.sh"]`, `srcs = ["t.sh"], env = {"A": 1}`),
		"a number in a branch":                   sub("BUILD", `srcs = ["t.sh"]`, `srcs = ["t.sh"], args = select({"//conditions:default": [1]})`),
		"a label among others that is none":      sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", "//a//b"]`),
		"a relative label that is none":          sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", "a:b"]`),
		"a label above its package":              sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["../a.txt"]`),
		"a link that leads to itself": func(f map[string]string) {
			f["BUILD"] += "filegroup(name = \"globbed\", srcs = glob([\"*.md\"], allow_empty = True))\n"
			f["l.md"] = "-> l.md"
		},
		"a link that leads to where it is": func(f map[string]string) {
			f["BUILD"] += "filegroup(name = \"globbed\", srcs = glob([\"d/**\"], allow_empty = True))\n"
			f["d/up"] = "-> ."
		},
		"a link that leads above where it is": func(f map[string]string) {
			f["BUILD"] += "filegroup(name = \"globbed\", srcs = glob([\"d/**\"], allow_empty = True))\n"
			f["d/e/up"] = "-> ../.."
		},
		"a label that is none":              sub("BUILD", `must = "1"`, `must = "1", l = "//a:b:c"`),
		"an output of two rules":            sub("BUILD", "sh_test(", "genrule(name = \"g2\", outs = [\"g.out\"], cmd = \"x\")\nsh_test("),
		"an output that is named as a rule": sub("BUILD", `outs = ["g.out"]`, `outs = ["f"]`),
		"a genrule without outputs":         sub("BUILD", `outs = ["g.out"], `, ``),
		"a rule without a name":             sub("BUILD", `filegroup(name = "f", `, `filegroup(`),
		"a name that is none":               sub("BUILD", `filegroup(name = "f", `, `filegroup(name = "a//b", `),
		"a function in a BUILD file":        func(f map[string]string) { f["BUILD"] += "def f():\n    pass\n" },
		"a loop in a BUILD file":            func(f map[string]string) { f["BUILD"] += "for x in [1]:\n    print(x)\n" },
		"a condition in a BUILD file":       func(f map[string]string) { f["BUILD"] += "if True:\n    print(1)\n" },
		"a rule that there is not":          func(f map[string]string) { f["BUILD"] += "no_such_rule(name = \"n\")\n" },
		"keywords from a dictionary":        func(f map[string]string) { f["BUILD"] += "filegroup(**{\"name\": \"k\"})\n" },
		"a name twice in a .bzl file":       func(f map[string]string) { f["d.bzl"] += "X = 2\n" },
		"a loop in a .bzl file":             func(f map[string]string) { f["d.bzl"] += "for x in [1]:\n    pass\n" },
		"a size that is none": func(f map[string]string) {
			f["BUILD"] += "sh_test(name = \"z_test\", srcs = [\"t.sh\"], size = \"huge\", tags = [\"manual\"])\n"
		},
		"package() twice": func(f map[string]string) {
			f["BUILD"] = "package(features = [])\npackage(features = [])\n" + f["BUILD"]
		},
	} {
		try(t, name, files, want, e)
	}
	for name, e := range map[string]edit{
		"a package beside": set("beside/BUILD", ""),
		"a load after a text": func(f map[string]string) {
			f["d.bzl"], f["e.bzl"] = "\"\"\"Words.\"\"\"\nload(\":e.bzl\", \"E\")\n"+f["d.bzl"], "E = 1\n"
		},
		"defaults of their types": sub("d.bzl", `"n": attr.int()`, `"n": attr.int(), "o": attr.label(default = None), "p": attr.label_list(default = ["//:a.txt"]), "q": attr.string_dict(default = {"a": "b"}), "r": attr.label(default = lambda: None)`),
		"tabs within a call":      sub("BUILD", `srcs = ["a.txt"]`, "\n\tsrcs = [\"a.txt\"]"),
		"names that there are": func(f map[string]string) {
			f["d.bzl"] += "def never():\n    return [DefaultInfo, cc_common, platform_common, depset, native.sh_test, len, range, fail, CcInfo]\n"
		},
		"a link beside it":           set("d/up", "-> ../e"),
		"a link without a glob":      set("d/up", "-> ."),
		"nothing in a branch":        sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt"] + select({"//conditions:default": None})`),
		"a name with a space":        sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", "a b.txt"]`),
		"a repository's short label": sub("BUILD", `srcs = ["a.txt"]`, `srcs = ["a.txt", "@foo"]`),
		"a tuple":                    sub("BUILD", `srcs = ["a.txt"]`, `srcs = ("a.txt",)`),
	} {
		try(t, name, files, "", e)
	}
	const rules = "def _t(settings, attr):\n    return {\"//command_line_option:compilation_mode\": \"opt\"}\n_t_ = transition(implementation = _t, inputs = [], outputs = [\"//command_line_option:compilation_mode\"])\n" +
		"w = rule(implementation = lambda ctx: [], attrs = {\"d\": attr.label(cfg = _t_), \"_allowlist_function_transition\": attr.label(default = \"@bazel_tools//tools/allowlists/function_transition_allowlist\")})\n"
	moved := onWorkspace(map[string]string{"d.bzl": rules, "BUILD": "load(\":d.bzl\", \"w\")\nw(name = \"w\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"])\n"})
	try(t, "an allowlist without a transition", moved, want, sub("d.bzl", "cfg = _t_", ""))
	try(t, "a transition without an allowlist", moved, "", sub("d.bzl", `"_allowlist_function_transition"`, `"_list"`)) // Bazel 6 refused it.
	try(t, "another transition", moved, "", sub("d.bzl", `"opt"`, `"dbg"`))
	suite := onWorkspace(map[string]string{
		"d.bzl": "def many_tests(name):\n    native.sh_test(name = \"x_test\", srcs = [\"t.sh\"])\n    native.test_suite(name = name, tests = [\":x_test\"])\n",
		"BUILD": "load(\":d.bzl\", \"many_tests\")\nmany_tests(name = \"many\")\n",
	})
	try(t, "a macro's suite", suite, want, sub("BUILD", `"many_tests")`, `"few_tests")`))
	try(t, "a macro's suite, which is a test now", suite, "//:many "+want, func(f map[string]string) {
		f["BUILD"] = "load(\":d.bzl\", \"few_tests\")\nsh_test(name = \"many\", srcs = [\"t.sh\"])\n"
	})
	try(t, "a macro's suite, and a call more", suite, "//:more "+want, func(f map[string]string) {
		f["BUILD"] += "many_tests(name = \"more\")\nfail(1)\n"
	})
	circle := onWorkspace(map[string]string{
		"p/BUILD": "load(\":a.bzl\", \"A\")\n", "p/a.bzl": "load(\":b.bzl\", \"B\")\nA = B\n", "p/b.bzl": "B = 1\n",
		"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"])\n",
	})
	try(t, "files that load each other", circle, want, sub("p/b.bzl", "B = 1", "load(\":a.bzl\", \"A\")\nB = 1"))
	sub("p/b.bzl", "B = 1", "load(\":a.bzl\", \"A\")\nB = 1")(circle)
	try(t, "files that did so before", circle, "", set("p/c.txt", "1"))
}

// TestFoundClosures: functions that decorate others count, however often.
func TestFoundClosures(t *testing.T) {
	files := func(implementation string) map[string]string {
		return onWorkspace(map[string]string{
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
			"d.bzl": "def _wrap(f):\n    def inner(ctx):\n        return f(ctx)\n    return inner\ndef _two(f, g):\n    def inner(ctx):\n        g(ctx)\n        return f(ctx)\n    return inner\ndef _log(ctx):\n    print(1)\ndef _u(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], command = \"one\")\n    return [DefaultInfo(files = depset([o]))]\nr = rule(implementation = " + implementation + ")\n",
		})
	}
	one := sub("d.bzl", `"one"`, `"two"`)
	for _, i := range []string{"_u", "_wrap(_u)", "_wrap(_wrap(_u))", "_wrap(_wrap(_wrap(_u)))", "_two(_wrap(_u), _log)", "_two(_u, _wrap(_log))", "lambda ctx: _u(ctx)", "_wrap(lambda ctx: _wrap(_u)(ctx))", "{\"a\": _u}[\"a\"]", "struct(f = _wrap(_u)).f"} {
		try(t, i, files(i), onlyX, one)
	}
	oneLine := files("_u")
	oneLine["d.bzl"] = "f = lambda ctx: [DefaultInfo()]; g = lambda ctx: [DefaultInfo(files = depset([]))]\nr = rule(implementation = g)\n"
	try(t, "two statements in a line", oneLine, onlyX, sub("d.bzl", "depset([])", "depset()"))
}

// TestFoundWholeFiles: skylib's functions change nothing of what they are given.
func TestFoundWholeFiles(t *testing.T) {
	files := onWorkspace(map[string]string{
		"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"bazel_skylib\", version = \"1\")\n",
		"BUILD":        "load(\":d.bzl\", \"a\", \"b\")\na(name = \"a\")\nb(name = \"b\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":a\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\":b\"])\n",
		"d.bzl":        "load(\"@bazel_skylib//lib:dicts.bzl\", \"dicts\")\n_COMMON = {\"v\": attr.string()}\ndef _a(ctx):\n    o = ctx.actions.declare_file(\"a.o\")\n    ctx.actions.run_shell(outputs = [o], command = \"a1\" + ctx.attr.v)\n    return [DefaultInfo(files = depset([o]))]\ndef _b(ctx):\n    o = ctx.actions.declare_file(\"b.o\")\n    ctx.actions.run_shell(outputs = [o], command = \"b1\" + ctx.attr.v)\n    return [DefaultInfo(files = depset([o]))]\na = rule(implementation = _a, attrs = dicts.add(_COMMON, {\"w\": attr.string()}))\nb = rule(implementation = _b, attrs = dicts.add(_COMMON, {}))\n",
	})
	try(t, "one rule of two", files, onlyX, sub("d.bzl", `"a1"`, `"a2"`))
	try(t, "the other", files, "//:y_test", sub("d.bzl", `"b1"`, `"b2"`))
	try(t, "a function beside them", files, "", func(f map[string]string) { f["d.bzl"] += "def more():\n    return 1\n" })
}

// TestFoundVisibility: variations of what may be seen.
func TestFoundVisibility(t *testing.T) {
	chosen := onWorkspace(map[string]string{"c/BUILD": "config_setting(name = \"c\", define_values = {\"A\": \"1\"})\n",
		"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = select({\"//c\": [\"1\"], \"//conditions:default\": []}))\n"})
	const x = "//:x_test"
	try(t, "a condition becomes private", chosen, x, sub("c/BUILD", `name = "c"`, `name = "c", visibility = ["//visibility:private"]`))
	try(t, "a condition in a package that says nothing new", chosen, "", func(f map[string]string) {
		f["c/BUILD"] = "package(default_visibility = [\"//visibility:private\"])\n" + f["c/BUILD"]
	})
	group := onWorkspace(map[string]string{"lib/BUILD": "filegroup(name = \"l\", visibility = [\"//visibility:public\"])\nalias(name = \"a\", actual = \":l\", visibility = [\"//visibility:public\"])\n", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:a\"])\n"})
	try(t, "an alias becomes private", group, x, sub("lib/BUILD", `actual = ":l", visibility = ["//visibility:public"]`, `actual = ":l"`))
	generated := onWorkspace(map[string]string{"lib/BUILD": "genrule(name = \"g\", outs = [\"g.out\"], cmd = \"x\", visibility = [\"//visibility:public\"])\n", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:g.out\"])\n"})
	try(t, "who makes a file becomes private", generated, x, sub("lib/BUILD", "//visibility:public", "//visibility:private"))
	repo := onWorkspace(map[string]string{"REPO.bazel": "repo(default_visibility = [\"//visibility:public\"])\n", "lib/BUILD": "filegroup(name = \"l\")\n", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:l\"])\n"})
	try(t, "the repository's default", repo, x, set("REPO.bazel", "repo(default_visibility = [\"//visibility:private\"])\n"))
	try(t, "the repository's default by a name", repo, x, set("REPO.bazel", "P = [\"//visibility:private\"]\nrepo(default_visibility = P)\n"))
	try(t, "no REPO.bazel any more", repo, x, del("REPO.bazel"))
	macro := onWorkspace(map[string]string{".bazelversion": "8.4.2\n", "c/BUILD": "filegroup(name = \"l\", visibility = [\"//visibility:public\"])\n", "b/BUILD": "",
		"b/d.bzl": "def _m(name, visibility):\n    native.sh_test(name = name, srcs = [\"t.sh\"], data = [\"//c:l\"])\nm = macro(implementation = _m)\n", "BUILD": "load(\"//b:d.bzl\", \"m\")\nm(name = \"x_test\")\n"})
	try(t, "what a symbolic macro's package may not see", macro, x, sub("c/BUILD", "//visibility:public", "//:__pkg__"))
}

// TestFoundModuleName: a module may have a name for itself that is another one.
func TestFoundModuleName(t *testing.T) {
	files := onWorkspace(map[string]string{"MODULE.bazel": "module(name = \"small\", repo_name = \"my_small\")\n", "other.txt": "1",
		"d.bzl": "def m():\n    native.sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = [native.module_name()])\n", "BUILD": "load(\":d.bzl\", \"m\")\nm()\n"})
	for i := range 20 {
		try(t, fmt.Sprint("another file ", i), files, "", set("other.txt", "2"))
	}
}

// TestFoundQueries: a genquery prints what files a package is made of.
func TestFoundQueries(t *testing.T) {
	files := holding(":q", map[string]string{"BUILD": "genquery(name = \"q\", expression = \"buildfiles(//lib:l)\", scope = [\"//lib:l\"])\n", "lib/BUILD": "filegroup(name = \"l\", visibility = [\"//visibility:public\"])\n", "lib/x.bzl": "X = 1\n", "lib/y.bzl": "Y = 1\n"})
	try(t, "a load that changes nothing else", files, onlyX, sub("lib/BUILD", "filegroup(", "load(\":x.bzl\", \"X\")\nfilegroup("))
	bar := maps.Clone(files)
	bar["BUILD"] = strings.Replace(bar["BUILD"], "buildfiles(//lib:l)", "loadfiles(//lib:l)", 1)
	try(t, "a load of a load", with(bar, "lib/BUILD", "load(\":x.bzl\", \"X\")\n"+bar["lib/BUILD"]), onlyX, set("lib/x.bzl", "load(\":y.bzl\", \"Y\")\nX = 1\n"))
}

// TestFoundSubrules: a default of a subrule is relative to its own package.
func TestFoundSubrules(t *testing.T) {
	files := holding(":u", map[string]string{"lib/BUILD": "exports_files([\"tool.sh\"])\n", "lib/tool.sh": "1",
		"lib/s.bzl": "def _s(ctx, _tool):\n    return _tool\ns = subrule(implementation = _s, attrs = {\"_tool\": attr.label(default = \":tool.sh\", allow_single_file = True)})\n",
		"rule.bzl":  "load(\"//lib:s.bzl\", \"s\")\n" + strings.Replace(echoX, "command = \"x\"", "command = \"x\", inputs = [s()]", 1) + "u = rule(implementation = _u, subrules = [s])\n", "BUILD": "load(\":rule.bzl\", \"u\")\nu(name = \"u\")\n"})
	try(t, "a tool of a subrule", files, onlyX, set("lib/tool.sh", "2"))
	group := holding(":u", map[string]string{"MODULE.bazel": "register_toolchains(\"//tc:t\")\n", "tc/f.txt": "1",
		"tc/d.bzl": "def _t(ctx):\n    return [platform_common.ToolchainInfo(f = ctx.file.file)]\ntc = rule(implementation = _t, attrs = {\"file\": attr.label(allow_single_file = True)})\nGROUP = {\"g\": exec_group(toolchains = [\":type\"])}\n",
		"tc/BUILD": "load(\":d.bzl\", \"tc\")\ntoolchain_type(name = \"type\")\ntc(name = \"i\", file = \"f.txt\")\ntoolchain(name = \"t\", toolchain = \":i\", toolchain_type = \":type\")\n",
		"rule.bzl": "load(\"//tc:d.bzl\", \"GROUP\")\n" + echoX + "u = rule(implementation = _u, exec_groups = GROUP)\n", "BUILD": "load(\":rule.bzl\", \"u\")\nu(name = \"u\")\n"})
	try(t, "a type of another package's group", group, onlyX, set("tc/f.txt", "2"))
}

// TestFoundCanonical: a label may have a canonical repository name.
func TestFoundCanonical(t *testing.T) {
	files := holding("@@_main~e~made//:f", map[string]string{
		"MODULE.bazel": "e = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\")\n", "ext/BUILD": "",
		"ext/e.bzl": "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", \"1\")\n_rule = repository_rule(implementation = _r)\ndef _e(mctx):\n    _rule(name = \"made\")\ne = module_extension(implementation = _e)\n",
	})
	try(t, "a canonical name", files, onlyX, sub("ext/e.bzl", `"f", "1"`, `"f", "2"`))
}

// TestFoundVariations: variations of what was found before.
func TestFoundVariations(t *testing.T) {
	const x = "//:x_test"
	effects := func(code string) map[string]string {
		return onWorkspace(map[string]string{"BUILD": echoed, "d.bzl": code + echoes})
	}
	for _, c := range [][3]string{
		{"FLAGS = []\nFLAGS.extend([\"a\"])\n", `["a"]`, `["b"]`},
		{"FLAGS = []\nFLAGS += [\"a\"]\n", `["a"]`, `["b"]`},
		{"FLAGS = {}\nFLAGS[\"a\"] = \"1\"\n", `"1"`, `"2"`},
		{"FLAGS = {}\nFLAGS.update({\"a\": \"1\"})\n", `"1"`, `"2"`},
		{"FLAGS = []\n_ = [FLAGS.append(v) for v in [\"a\"]]\n", `["a"]`, `["b"]`},
		{"FLAGS = []\ndef reg(v):\n    FLAGS.append(v)\n_ = reg(\"a\")\n", `reg("a")`, `reg("b")`},
		{"FLAGS = []\ndef reg(v):\n    FLAGS.append(v)\ndef all():\n    reg(\"a\")\nall()\n", `reg("a")`, `reg("b")`},
		{"FLAGS = []\nR = FLAGS.append\nR(\"a\")\n", `R("a")`, `R("b")`},
		{"A = [\"a\"]\nFLAGS = A if len(A) else []\n", `["a"]`, `["b"]`},
		{"A = {\"x\": [\"a\"]}\nFLAGS = A[\"x\"]\n", `["a"]`, `["b"]`},
		{"S = struct(l = [])\nS.l.append(\"a\")\nFLAGS = S.l\n", `append("a")`, `append("b")`},
		{"FLAGS = []\n(lambda v: FLAGS.append(v))(\"a\")\n", `("a")`, `("b")`},
		{"FLAGS = [\"b\", \"a\"]\nF2 = sorted(FLAGS, key = lambda v: v)\n", `"b", "a"`, `"a", "b"`},
		{"FLAGS, OTHER = [\"a\"], 1\n", `["a"]`, `["b"]`},
		{"A = [\"a\"]\nFLAGS = [v for v in A]\n", `["a"]`, `["b"]`},
		{"def _f(v = \"a\"):\n    return v\nFLAGS = _f()\n", `v = "a"`, `v = "b"`},
		{"FLAGS = \"%s\" % (\n    # why\n    \"a\"\n)\n", `"a"`, `"b"`},
	} {
		try(t, "effect "+c[0], effects(c[0]), x, sub("d.bzl", c[1], c[2]))
	}
	status := func(script string, more map[string]string) map[string]string {
		files := onWorkspace(map[string]string{".bazelrc": "build --workspace_status_command=tools/status.sh\n", "tools/status.sh": script, "a.txt": "1", "VERSION": "1", "lib.sh": "echo STABLE_B 1\n",
			"d.bzl": "def _s(ctx):\n    return [DefaultInfo(files = depset([ctx.info_file]))]\ns = rule(implementation = _s)\n", "BUILD": "load(\":d.bzl\", \"s\")\ns(name = \"s\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":s\"])\n"})
		maps.Copy(files, more)
		return files
	}
	try(t, "status by cat", status("#!/bin/sh\necho STABLE_V $(cat VERSION)\n", nil), x, set("VERSION", "2"))
	try(t, "status by redirection", status("#!/bin/bash\necho \"STABLE_V $(<VERSION)\"\n", nil), x, set("VERSION", "2"))
	try(t, "status by read", status("#!/bin/bash\nread -r v < VERSION\necho \"STABLE_V $v\"\n", nil), x, set("VERSION", "2"))
	try(t, "status by source", status("#!/bin/bash\nsource ./lib.sh\n", nil), x, set("lib.sh", "echo STABLE_B 2\n"))
	try(t, "status by cd", status("#!/bin/bash\ncd tools/data\necho \"STABLE_V $(cat v.txt)\"\n", map[string]string{"tools/data/v.txt": "1"}), x, set("tools/data/v.txt", "2"))
	try(t, "status by a glob", status("#!/bin/bash\necho \"STABLE_V $(cat tools/data/*.txt)\"\n", map[string]string{"tools/data/v.txt": "1"}), x, set("tools/data/v.txt", "2"))
	try(t, "status by git describe", status("#!/bin/sh\necho \"STABLE_V $(git describe --always)\"\n", nil), x, set("a.txt", "2"))
	try(t, "status by a variable of CI", status("#!/bin/sh\necho \"STABLE_V ${GITHUB_SHA:-none}\"\n", nil), x, set("a.txt", "2"))
	try(t, "status by a checksum", status("#!/bin/sh\necho \"STABLE_V $(sha256sum a.txt)\"\n", nil), x, set("a.txt", "2"))
	try(t, "status by find", status("#!/bin/sh\necho \"STABLE_V $(find . -name '*.txt' | xargs cat)\"\n", nil), x, set("a.txt", "2"))
	try(t, "status by python", status("#!/usr/bin/env python3\nprint('STABLE_V', open('VERSION').read())\n", nil), x, set("VERSION", "2"))
	try(t, "status by a here-document", status("#!/bin/sh\ncat <<EOF\nSTABLE_V $(cat VERSION)\nEOF\n", nil), x, set("VERSION", "2"))
	try(t, "status of volatile values", status("#!/bin/sh\necho COMMIT $(git rev-parse HEAD)\n", nil), "", set("a.txt", "2"))
	binary := status("#!/bin/sh\necho STABLE_V 1\n", map[string]string{"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\n", "b.go": "package main\n",
		"BUILD": "load(\"@rules_go//go:def.bzl\", \"go_binary\")\ngo_binary(name = \"b\", srcs = [\"b.go\"], x_defs = {\"main.v\": \"{STABLE_V}\"})\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":b\"])\n"})
	try(t, "status in a Go binary", binary, x, sub("tools/status.sh", "V 1", "V 2"))

	for _, c := range []struct {
		rc   string
		e    edit
		want string
	}{
		{"test --run_under='env X=1 //:u'", set("u.sh", "2"), bothTests},
		{"test --run_under='bash u.sh'", set("u.sh", "2"), bothTests},
		{"test --run_under //:u", set("u.sh", "2"), bothTests},
		{"test:ci --run_under=//:u\ntest --config=ci", set("u.sh", "2"), bothTests},
		{"test:ci --run_under=//:u", set("u.sh", "2"), ""},
		{"build -c opt\nbuild:x --compilation_mode=dbg\nbuild --config=x", set(".bazelrc", "build:x --compilation_mode=dbg\nbuild --config=x\nbuild -c opt\n"), bothTests},
		{"common:linux --test_env=A=1", sub(".bazelrc", "A=1", "A=2"), bothTests},
		{"test:linux --test_env=A=1\ncommon --noenable_platform_specific_config", sub(".bazelrc", "A=1", "A=2"), ""},
		{"build:ci --test_env=A=1", sub(".bazelrc", "A=1", "A=2"), ""},
		{"build --config=ci\nbuild:ci --config=more\ntest:more --test_env=A=1", sub(".bazelrc", "A=1", "A=2"), bothTests},
		{"try-import %workspace%/ci/ci.bazelrc", set("ci/ci.bazelrc", "test --test_env=A=1\n"), bothTests},
		{"import ci.bazelrc", set("ci.bazelrc", "test --test_env=A=1\n"), bothTests},
	} {
		files := holding("t.sh", map[string]string{".bazelrc": c.rc + "\n", "u.sh": "1"})
		files["BUILD"] += "sh_binary(name = \"u\", srcs = [\"u.sh\"])\n"
		try(t, c.rc, files, c.want, c.e)
	}

	macros := func(kind, body string) map[string]string {
		return onWorkspace(map[string]string{".bazelversion": "8.4.2\n", "a.txt": "1", "b.txt": "1", "BUILD": "load(\":d.bzl\", \"m\")\nm(name = \"x_test\")\n",
			"d.bzl": "def _m(name, visibility, v):\n    native.sh_test(name = name, srcs = [\"t.sh\"], data = [\"a.txt\" if " + body + " else \"b.txt\"])\nm = macro(implementation = _m, attrs = {\"v\": attr." + kind + "})\n"})
	}
	for _, c := range [][2]string{{"label()", "v == None"}, {"label_list()", "v == []"}, {"string_dict()", "v == {}"}, {"bool()", "v == False"}, {"int()", "v == 0"}, {"string_list_dict()", "v == {}"}, {"label(default = \"a.txt\")", "v"}, {"string(default = \"q\")", "v == \"q\""}} {
		try(t, "a macro's "+c[0], macros(c[0], c[1]), x, set("a.txt", "2"))
	}
	inherited := onWorkspace(map[string]string{".bazelversion": "8.4.2\n", "a.txt": "1", "BUILD": "load(\":d.bzl\", \"m\")\nm(name = \"x_test\", srcs = [\"t.sh\"], data = [\"a.txt\"])\n",
		"d.bzl": "def _m(name, visibility, **kwargs):\n    native.sh_test(name = name, **kwargs)\nm = macro(implementation = _m, inherit_attrs = native.sh_test)\n"})
	try(t, "a macro that inherits from a rule of Bazel", inherited, x, set("a.txt", "2"))
	common := maps.Clone(inherited)
	common["d.bzl"] = "def _m(name, visibility, srcs, data = [], **kwargs):\n    native.sh_test(name = name, srcs = srcs, data = data, **kwargs)\nm = macro(implementation = _m, inherit_attrs = \"common\", attrs = {\"srcs\": attr.label_list(), \"data\": attr.label_list()})\n"
	try(t, "a macro that inherits what is common", common, x, set("a.txt", "2"))

	flags := holding(":lf", map[string]string{".bazelversion": "8.4.2\n", "a.txt": "1", "b.txt": "1", ".bazelrc": "build --platforms=//:p\n",
		"BUILD": "label_flag(name = \"lf\", build_setting_default = \"a.txt\")\nplatform(name = \"p\", flags = [\"--//:lf=//:b.txt\"])\nexports_files([\"b.txt\"])\n"})
	try(t, "a flag that a platform sets", flags, bothTests, set("b.txt", "2"))

	deleted := holding(":g", map[string]string{".bazelrc": "build --deleted_packages=a,b\n", "a/BUILD": "", "a/f.txt": "1", "b/BUILD": "", "b/f.txt": "1", "c/BUILD": "", "c/f.txt": "1", "BUILD": "filegroup(name = \"g\", srcs = glob([\"*/f.txt\"]))\n"})
	try(t, "a file of a deleted package", deleted, onlyX, set("b/f.txt", "2"))
	try(t, "a file of a package that is not deleted", deleted, "", set("c/f.txt", "2"))
	work := holding("@org_example_a//pkg", map[string]string{
		"MODULE.bazel": "bazel_dep(name = \"gazelle\", version = \"0.47.0\")\ngo_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_work = \"//go:go.work\")\nuse_repo(go_deps, \"org_example_a\")\n",
		"go/BUILD":     "", "go/go.work": "go 1.26\n\nuse ./m\nuse ../n\n", "go/m/go.mod": "module example.org/m\n", "n/go.mod": "module example.org/n\nrequire example.org/a v1.0.0\n"})
	try(t, "a go.work in a folder", work, onlyX, sub("n/go.mod", "v1.0.0", "v1.1.0"))
	ignored := holding(":g", map[string]string{"d/a/f.txt": "1", "d/b/f.txt": "1", "BUILD": "filegroup(name = \"g\", srcs = glob([\"d/**\"]))\n"})
	try(t, "a folder that is ignored now", ignored, onlyX, set(".bazelignore", "d/b\n"))
	tagged := holding(":c", map[string]string{"MODULE.bazel": "", "f.txt": "1",
		"d.bzl": "I = provider()\ndef _read(attributes):\n    return attributes.tags\ndef _a(target, ctx):\n    a = ctx.rule.attr\n    return [I(t = _read(a))]\na = aspect(implementation = _a)\ndef _c(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, str([d[I].t for d in ctx.attr.of]))\n    return [DefaultInfo(files = depset([o]))]\nc = rule(implementation = _c, attrs = {\"of\": attr.label_list(aspects = [a])})\n",
		"BUILD": "load(\":d.bzl\", \"c\")\nfilegroup(name = \"f\", tags = [\"a\"])\nc(name = \"c\", of = [\":f\"])\n"})
	try(t, "tags by a helper", tagged, onlyX, sub("BUILD", `["a"]`, `["b"]`))
}

// TestFoundEveryday: changes of everyday pull requests, and what they must not select.
func TestFoundEveryday(t *testing.T) {
	files := onWorkspace(map[string]string{
		"a/BUILD": "filegroup(name = \"f\", srcs = glob([\"testdata/**\"]), visibility = [\"//visibility:public\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":f\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n", "a/t.sh": "#!/bin/sh\n", "a/testdata/1": "1",
		"b/BUILD": "alias(name = \"al\", actual = select({\"//conditions:default\": \"//a:f\"}))\nsh_test(name = \"z_test\", srcs = [\"//:t.sh\"], data = [\":al\"])\n", "BUILD": "exports_files([\"t.sh\"])\n",
	})
	try(t, "a package begins in test data", files, "//a:x_test //b:z_test", set("a/testdata/BUILD", ""))
	try(t, "a hidden file in test data", files, "//a:x_test //b:z_test", set("a/testdata/.keep", ""))
	try(t, "BUILD becomes BUILD.bazel", files, "", func(f map[string]string) { f["a/BUILD.bazel"] = f["a/BUILD"]; delete(f, "a/BUILD") })
	try(t, "BUILD.bazel beside BUILD", files, "//a:y_test //b:z_test", func(f map[string]string) {
		f["a/BUILD.bazel"] = strings.Replace(f["a/BUILD"], "name = \"x_test\"", "name = \"x_test\", tags = [\"manual\"]", 1)
		f["a/BUILD.bazel"] = strings.Replace(f["a/BUILD.bazel"], "testdata/**", "testdata/2*", 1)
		f["a/BUILD.bazel"] = strings.Replace(f["a/BUILD.bazel"], "name = \"y_test\"", "name = \"y_test\", size = \"small\"", 1)
	})
	constraints := onWorkspace(map[string]string{"c/BUILD": "constraint_setting(name = \"s\")\nconstraint_value(name = \"gpu\", constraint_setting = \":s\", visibility = [\"//visibility:public\"])\n", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], target_compatible_with = [\"//c:gpu\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	try(t, "a default constraint", constraints, onlyX, sub("c/BUILD", `name = "s"`, `name = "s", default_constraint_value = ":gpu"`))
	transition := onWorkspace(map[string]string{"f.txt": "1", "g.txt": "1",
		"d.bzl": "def _flag(ctx):\n    return []\nflag = rule(implementation = _flag, build_setting = config.string(flag = True))\nVALUES = {\"k\": \"x\"}\ndef _tr(settings, attr):\n    return {\"//:flag\": VALUES[\"k\"]}\ntr = transition(implementation = _tr, inputs = [], outputs = [\"//:flag\"])\ndef _r(ctx):\n    return [DefaultInfo(files = depset(transitive = [d.files for d in ctx.attr.deps]))]\nr = rule(implementation = _r, attrs = {\"deps\": attr.label_list(cfg = tr)})\n",
		"BUILD": "load(\":d.bzl\", \"flag\", \"r\")\nflag(name = \"flag\", build_setting_default = \"y\")\nconfig_setting(name = \"is_x\", flag_values = {\":flag\": \"x\"})\nfilegroup(name = \"f\", srcs = select({\":is_x\": [\"f.txt\"], \"//conditions:default\": [\"g.txt\"]}))\nr(name = \"r\", deps = [\":f\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	try(t, "a value of a transition", transition, onlyX, sub("d.bzl", `"k": "x"`, `"k": "y"`))
	try(t, "a file under a transition", transition, onlyX, set("f.txt", "2"))
	proto := onWorkspace(map[string]string{"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\nbazel_dep(name = \"protobuf\", version = \"29.0\")\n", "x.proto": "1", "y.proto": "1", "x_test.go": "package x\n",
		"BUILD": "load(\"@rules_go//go:def.bzl\", \"go_test\")\nload(\"@rules_go//proto:def.bzl\", \"go_proto_library\")\nload(\"@protobuf//bazel:proto_library.bzl\", \"proto_library\")\nproto_library(name = \"y\", srcs = [\"y.proto\"])\nproto_library(name = \"x\", srcs = [\"x.proto\"], deps = [\":y\"])\ngo_proto_library(name = \"xgo\", importpath = \"m/x\", protos = [\":x\"])\ngo_test(name = \"x_test\", srcs = [\"x_test.go\"], deps = [\":xgo\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	try(t, "a proto file of a dependency", proto, onlyX, set("y.proto", "2"))
	try(t, "another protobuf", proto, onlyX, sub("MODULE.bazel", "29.0", "29.1"))
	patch := holding("@foo//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\nsingle_version_override(module_name = \"foo\", patches = [\"//third_party/foo:a.patch\"])\n", "third_party/foo/BUILD": "", "third_party/foo/a.patch": "1"})
	try(t, "a patch of a module", patch, onlyX, set("third_party/foo/a.patch", "2"))
	deep := holding("@foo//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\nsingle_version_override(module_name = \"bar\", patches = [\"//third_party:a.patch\"])\n", "third_party/BUILD": "", "third_party/a.patch": "1"})
	try(t, "a patch of a module that comes with another", deep, onlyX, set("third_party/a.patch", "2"))
	near := func(path string) map[string]string {
		return map[string]string{path + "/MODULE.bazel": "module(name = \"near\")\n", path + "/BUILD": "exports_files([\"f\"])\n", path + "/f": "1"}
	}
	overridden := holding("@near//:f", near("near"))
	overridden["MODULE.bazel"] += "bazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"near\")\n"
	try(t, "a local module moves", overridden, "", func(f map[string]string) {
		for n := range near("near") {
			delete(f, n)
		}
		maps.Copy(f, near("vendor/near"))
		f["MODULE.bazel"] = strings.Replace(f["MODULE.bazel"], `path = "near"`, `path = "vendor/near"`, 1)
	})
	try(t, "a local module becomes one of a registry", overridden, onlyX, sub("MODULE.bazel", "bazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"near\")\n", "bazel_dep(name = \"near\", version = \"1\")\n"))
	extensions := holding("@made//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\ne = use_extension(\"@foo//:e.bzl\", \"e\")\ne.add(name = \"made\", lock = \"//:lock.json\")\nuse_repo(e, \"made\")\n", "lock.json": "1"})
	try(t, "a lock file of an extension", extensions, onlyX, set("lock.json", "2"))
	try(t, "a new tag of an extension", extensions, onlyX, sub("MODULE.bazel", "use_repo(", "e.more()\nuse_repo("))
	try(t, "a rename of the repository of an extension", extensions, onlyX, sub("MODULE.bazel", "use_repo(e, \"made\")", "use_repo(e, \"made2\", made = \"other\")"))
	moved := onWorkspace(map[string]string{"lib/BUILD": "filegroup(name = \"l\", srcs = [\"f.txt\"], visibility = [\"//visibility:public\"])\n", "lib/f.txt": "1", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:l\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	try(t, "a package moves", moved, onlyX, func(f map[string]string) {
		f["libs/BUILD"], f["libs/f.txt"] = f["lib/BUILD"], f["lib/f.txt"]
		delete(f, "lib/BUILD")
		delete(f, "lib/f.txt")
		f["BUILD"] = strings.Replace(f["BUILD"], "//lib:", "//libs:", 1)
	})
	try(t, "a package moves without its users", moved, onlyX, func(f map[string]string) {
		f["libs/BUILD"], f["libs/f.txt"] = f["lib/BUILD"], f["lib/f.txt"]
		delete(f, "lib/BUILD")
		delete(f, "lib/f.txt")
	})
}

// TestFoundCrashes: what Bazel refuses may not end the program.
func TestFoundCrashes(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"a macro without code":            {"d.bzl": "m = macro(attrs = {})\n", "BUILD": "load(\":d.bzl\", \"m\")\nm(name = \"m\")\n"},
		"a macro of None":                 {"d.bzl": "m = macro(implementation = None)\n", "BUILD": "load(\":d.bzl\", \"m\")\nm(name = \"m\")\n"},
		"a rule without code":             {"d.bzl": "r = rule()\n", "BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\n"},
		"an initializer of text":          {"d.bzl": "def _i(ctx):\n    return []\nr = rule(implementation = _i, initializer = \"x\")\n", "BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\n"},
		"an initializer that returns odd": {"d.bzl": "def _i(ctx):\n    return []\ndef _n(**kw):\n    return {1: 2, \"name\": None}\nr = rule(implementation = _i, initializer = _n)\n", "BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\n"},
		"a list of itself":                {"BUILD": "l = []\nl.append(l)\nl.append(l)\nfilegroup(name = \"f\", srcs = l)\nprint(str(l), l == l, l in l)\n"},
		"a dictionary of itself":          {"BUILD": "d = {}\nd[\"d\"] = d\nfilegroup(name = \"f\", tags = d, srcs = select(d))\n"},
		"odd arguments":                   {"BUILD": "glob()\n"},
		"odd arguments of glob":           {"BUILD": "filegroup(name = \"f\", srcs = glob(include = None, exclude = None))\n"},
		"odd globs":                       {"BUILD": "filegroup(name = \"f\", srcs = glob([\"\"]))\n"},
		"odd package":                     {"BUILD": "package(\"x\", default_visibility = 1, features = 2)\nexports_files(1)\nexports_files(\"t.sh\")\npackage_group(packages = 1)\n"},
		"odd select":                      {"BUILD": "filegroup(name = \"f\", srcs = select(None) + select(1) + [1] + select({1: 2}))\n"},
		"odd names":                       {"BUILD": "filegroup(name = 1)\nfilegroup(name = \"\")\nfilegroup(name = None)\nsh_test(name = \":\", srcs = [\"\", \":\", \"//\", \"@\", \"@@\", \"//:\", \"@//\"])\n"},
		"odd attributes":                  {"d.bzl": "a = attr.label(1, 2, default = [1], aspects = 1, values = 1, mandatory = None)\nr = rule(implementation = 1, attrs = {1: a, \"x\": a, \"y\": None}, toolchains = 1, fragments = None, cfg = 1)\n", "BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\", x = 1, y = {})\n"},
		"a rule that is its own parent":   {"d.bzl": "def _i(ctx):\n    return ctx.super()\nr = rule(implementation = _i, parent = native.sh_test)\nr2 = rule(implementation = _i, parent = r)\n", "BUILD": "load(\":d.bzl\", \"r2\")\nr2(name = \"x_test\", srcs = [\"t.sh\"])\n"},
		"a function that calls itself":    {"d.bzl": "def f(n):\n    return f(n)\n", "BUILD": "load(\":d.bzl\", \"f\")\nf(1)\n"},
		"an odd MODULE.bazel":             {"MODULE.bazel": "module()\nbazel_dep()\nuse_repo()\n", "BUILD": ""},
		"an odd override":                 {"MODULE.bazel": "module(name = \"small\")\nlocal_path_override(path = \"x\")\nlocal_path_override(module_name = \"small\", path = \"x\")\n", "x/MODULE.bazel": "", "BUILD": ""},
		"an odd extension":                {"MODULE.bazel": "e = use_extension(\"//:e.bzl\", \"e\")\ne.x(1, a = None)\nuse_repo(e, 1, a = 2)\nregister_toolchains(1)\ninclude(\":y\")\n", "BUILD": "", "e.bzl": "e = module_extension()\n"},
		"a module that includes itself":   {"MODULE.bazel": "include(\"//:MODULE.bazel\")\n", "BUILD": ""},
		"an odd .bazelrc":                 {".bazelrc": "build\n--\nbuild --\nbuild -\nbuild =\nimport\ntry-import\n:x --y\nbuild: --z\nbuild --config=\nbuild \"\nbuild '\\\n", "BUILD": ""},
		"an odd setting":                  {".bazelrc": "build --//=1\nbuild --@=1\nbuild --//:=1\nbuild --@x\nbuild --flag_alias==\nbuild --flag_alias=x=\n", "BUILD": ""},
		"an odd go.mod":                   {"MODULE.bazel": "go_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_mod = \"//:go.mod\")\n", "go.mod": "module\n", "BUILD": ""},
		"a load of nothing":               {"BUILD": "load(\"\", \"x\")\nload(\"@\", \"x\")\nload(\"//:\", \"x\")\n"},
		"loads in a circle":               {"a.bzl": "load(\":b.bzl\", \"B\")\nA = B\n", "b.bzl": "load(\":a.bzl\", \"A\")\nB = A\n", "BUILD": "load(\":a.bzl\", \"A\")\n"},
		"deep nesting":                    {"BUILD": "x = " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + "\n"},
		"many stars":                      {"BUILD": "filegroup(name = \"f\", srcs = glob([\"" + strings.Repeat("**/a*/", 20) + "x\"]))\n", strings.Repeat("ab/", 40) + "y": ""},
		"links in a circle":               {"a": "-> b", "b": "-> a", "c": "-> c/d", "d": "-> .", "e": "-> ../..", "BUILD": "filegroup(name = \"f\", srcs = glob([\"**\"]))\n"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("panics: %v", r)
				}
			}()
			good := onWorkspace(map[string]string{"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"])\n", "o/BUILD": "sh_test(name = \"o_test\", srcs = [\"//:t.sh\"])\n"})
			bad := maps.Clone(good)
			maps.Copy(bad, files)
			if bad["BUILD"] != good["BUILD"] {
				bad["BUILD"] += good["BUILD"]
			}
			for _, pair := range [][2]map[string]string{{good, bad}, {bad, good}, {bad, bad}} {
				compare(t, pair[0], pair[1], Options{})
			}
			answer := compare(t, good, bad, Options{})
			var labels []string
			for _, test := range answer.Tests {
				labels = append(labels, test.Label)
			}
			t.Logf("selected %v, widened %v", labels, answer.Widened)
		})
	}
}

// TestFoundForeignAttributesOfGo: so too of a repository of go_deps.
func TestFoundForeignAttributesOfGo(t *testing.T) {
	files := func(build string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"bazel_skylib\", version = \"1\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\nbazel_dep(name = \"gazelle\", version = \"0.47.0\")\ngo_deps = use_extension(\"@gazelle//:extensions.bzl\", \"go_deps\")\ngo_deps.from_file(go_mod = \"//:go.mod\")\nuse_repo(go_deps, \"org_example_a\")\n",
			"go.mod":       "module example.org/m\n\ngo 1.25\n\nrequire example.org/a v1.0.0\n", "go.sum": "", "x_test.go": "package x\n", "f": "1",
			"BUILD": "load(\"@rules_go//go:def.bzl\", \"go_cross_binary\", \"go_test\", \"gomock\")\nload(\"@bazel_skylib//rules:diff_test.bzl\", \"diff_test\")\n" + build,
		})
	}
	bump := sub("go.mod", "a v1.0.0", "a v1.1.0")
	try(t, "a library to mock", files("gomock(name = \"mock\", out = \"mock.go\", interfaces = [\"I\"], library = \"@org_example_a//pkg\", package = \"x\")\ngo_test(name = \"x_test\", srcs = [\"x_test.go\", \":mock\"])\n"), onlyX, bump)
	try(t, "a binary for another system", files("go_cross_binary(name = \"b\", platform = \"@rules_go//go/toolchain:linux_arm64\", target = \"@org_example_a//cmd\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":b\"])\n"), onlyX, bump)
	try(t, "a file to compare with", files("diff_test(name = \"x_test\", file1 = \"f\", file2 = \"@org_example_a//:f\")\n"), onlyX, bump)
	try(t, "a dependency", files("go_test(name = \"x_test\", srcs = [\"x_test.go\"], deps = [\"@org_example_a//pkg\"])\n"), onlyX, bump)
}

// TestFoundMadeOfMade: a repository may be made of what another one has.
func TestFoundMadeOfMade(t *testing.T) {
	const http = "http_archive = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\nhttp_archive(name = \"q\", url = \"https://example.org/1.tar\")\n"
	const ext = "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.symlink(CODE, \"f\")\nmade = repository_rule(implementation = _r, attrs = {\"source\": attr.label()DEFAULT})\n"
	rule := func(code, more, given string) map[string]string {
		return holding("@made//:f", map[string]string{"MODULE.bazel": http + "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\"" + given + ")\n", "ext/BUILD": "", "ext/r.bzl": strings.NewReplacer("CODE", code, "DEFAULT", more).Replace(ext)})
	}
	bump := sub("MODULE.bazel", "1.tar", "2.tar")
	try(t, "a label in its code", rule("Label(\"@q//:f\")", "", ""), onlyX, bump)
	try(t, "a default", rule("ctx.attr._s", ", \"_s\": attr.label(default = \"@q//:f\")", ""), onlyX, bump)
	try(t, "an argument", rule("ctx.attr.source", "", ", source = \"@q//:f\""), onlyX, bump)
	tag := holding("@made//:f", map[string]string{"MODULE.bazel": http + "bazel_dep(name = \"foo\", version = \"1\")\ne = use_extension(\"@foo//:e.bzl\", \"e\")\ne.add(lock = \"@q//:lock.json\")\nuse_repo(e, \"made\")\n"})
	try(t, "a tag", tag, onlyX, bump)
	override := holding("@made//:f", map[string]string{".bazelversion": "8.4.2\n", "MODULE.bazel": http + "bazel_dep(name = \"foo\", version = \"1\")\ne = use_extension(\"@foo//:e.bzl\", \"e\")\nuse_repo(e, \"made\")\noverride_repo(e, made = \"q\")\n"})
	try(t, "one in place of another", override, onlyX, bump)
	local := holding("@made//:f", map[string]string{".bazelversion": "8.4.2\n", "q/BUILD": "exports_files([\"f\"])\n", "q/f": "1", "MODULE.bazel": "local_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"local_repository\")\nlocal_repository(name = \"q\", path = \"q\")\nbazel_dep(name = \"foo\", version = \"1\")\ne = use_extension(\"@foo//:e.bzl\", \"e\")\nuse_repo(e, \"made\")\noverride_repo(e, made = \"q\")\n"})
	try(t, "a folder in place of another", local, onlyX, set("q/f", "2"))
}

// TestFoundPlatformPatterns: a pattern may stand for the platforms of a package.
func TestFoundPlatformPatterns(t *testing.T) {
	for _, pattern := range []string{"//p:all", "//p/...", "//p:p", "//p"} {
		files := holding("t.sh", map[string]string{"MODULE.bazel": "register_execution_platforms(\"" + pattern + "\")\n", "p/BUILD": "platform(name = \"p\", constraint_values = [\"@platforms//os:linux\"], exec_properties = {\"a\": \"1\"})\n"})
		try(t, pattern, files, bothTests, sub("p/BUILD", `"1"`, `"2"`))
	}
	option := holding("t.sh", map[string]string{".bazelrc": "build --extra_execution_platforms=//p:all\n", "p/BUILD": "platform(name = \"p\", exec_properties = {\"a\": \"1\"})\n"})
	try(t, "by an option", option, bothTests, sub("p/BUILD", `"1"`, `"2"`))
	alias := holding("t.sh", map[string]string{"MODULE.bazel": "register_execution_platforms(\"//p:al\")\n", "p/BUILD": "alias(name = \"al\", actual = \":p\")\nplatform(name = \"p\", exec_properties = {\"a\": \"1\"})\n"})
	try(t, "by an alias", alias, bothTests, sub("p/BUILD", `"1"`, `"2"`))
}
