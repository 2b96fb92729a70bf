package analysis

import (
	"maps"
	"strings"
	"testing"
)

// holding is a workspace in which x_test has a label among its data, and y_test nothing.
func holding(label string, extra map[string]string) map[string]string {
	files := onWorkspace(map[string]string{"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"" + label + "\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	for name, content := range extra {
		if name == "BUILD" {
			content += files[name]
		}
		if name == "MODULE.bazel" {
			content = files[name] + content
		}
		files[name] = content
	}
	return files
}

const onlyX, bothTests = "//:x_test", "//:x_test //:y_test"

// TestDevelopment: what a module that is not the main one has for its development alone does
// not count, so that it matters whether it says so.
func TestDevelopment(t *testing.T) {
	near := func(module string) map[string]string {
		return holding("@near//:u", map[string]string{
			"MODULE.bazel":      "bazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"near\")\n",
			"near/MODULE.bazel": "module(name = \"near\")\n" + module,
			"near/d.bzl":        "def _t(ctx):\n    return [platform_common.ToolchainInfo(f = ctx.file.file)]\ntc = rule(implementation = _t, attrs = {\"file\": attr.label(allow_single_file = True)})\ndef _u(ctx):\n    return [DefaultInfo(files = depset([ctx.toolchains[\"//:type\"].f]))]\nu = rule(implementation = _u, toolchains = [\"//:type\"])\n",
			"near/e.bzl":        "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", ctx.attr.text)\n_rule = repository_rule(implementation = _r, attrs = {\"text\": attr.string()})\ndef _e(mctx):\n    _rule(name = \"made\", text = str([t.text for m in mctx.modules for t in m.tags.add]))\ne = module_extension(implementation = _e, tag_classes = {\"add\": tag_class(attrs = {\"text\": attr.string()})})\n",
			"near/f.txt":        "1",
			"near/BUILD":        "load(\":d.bzl\", \"tc\", \"u\")\ntoolchain_type(name = \"type\")\ntc(name = \"i\", file = \"f.txt\")\ntoolchain(name = \"t\", toolchain = \":i\", toolchain_type = \":type\")\nu(name = \"u\", visibility = [\"//visibility:public\"])\nfilegroup(name = \"g\", srcs = [\"@made//:f\"], visibility = [\"//visibility:public\"])\n",
		})
	}
	registers := near("register_toolchains(\"//:t\")\n")
	try(t, "a module's toolchains", registers, onlyX, sub("near/MODULE.bazel", `"//:t")`, `"//:t", dev_dependency = True)`))
	// Execution platforms are all targets'.
	platforms := near("register_execution_platforms(\"//p\")\n")
	platforms["near/p/BUILD"] = "platform(name = \"p\", constraint_values = [\"@platforms//os:linux\"])\n"
	try(t, "a module's execution platforms", platforms, bothTests, sub("near/MODULE.bazel", `"//p")`, `"//p", dev_dependency = True)`))
	try(t, "an execution platform of a module", platforms, bothTests, sub("near/p/BUILD", "os:linux", "cpu:arm64"))
	uses := near("e = use_extension(\"//:e.bzl\", \"e\")\ne.add(text = \"1\")\nuse_repo(e, \"made\")\n")
	uses["BUILD"] = strings.Replace(uses["BUILD"], "@near//:u", "@near//:g", 1)
	try(t, "a module's tags", uses, onlyX, sub("near/MODULE.bazel", `"e")`, `"e", dev_dependency = True)`))
	uses["near/MODULE.bazel"] = strings.Replace(uses["near/MODULE.bazel"], "e.add", "f = use_extension(\"//:e.bzl\", \"e\", dev_dependency = False)\nf.add", 1)
	try(t, "tags of a second use", uses, onlyX, sub("near/MODULE.bazel", "dev_dependency = False", "dev_dependency = True"))
	ignores := holding("@foo//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\nregister_toolchains(\"//tc:t\")\n", ".bazelrc": "common --ignore_dev_dependency\n", "tc/BUILD": "toolchain_type(name = \"type\")\ntoolchain(name = \"t\", toolchain = \":type\", toolchain_type = \"@foo//:type\")\n"})
	try(t, "an option that ignores them", ignores, bothTests, sub("MODULE.bazel", `"//tc:t")`, `"//tc:t", dev_dependency = True)`))
}

// TestModuleByKeyword: functions of MODULE.bazel take their arguments by name too.
func TestModuleByKeyword(t *testing.T) {
	included := holding("@foo//:f", map[string]string{"MODULE.bazel": "include(label = \"//:x.MODULE.bazel\")\n", "x.MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\n"})
	try(t, "include", included, onlyX, sub("x.MODULE.bazel", `"1"`, `"2"`))
	ext := map[string]string{
		"MODULE.bazel": "e = use_extension(extension_bzl_file = \"//ext:e.bzl\", extension_name = \"e\")\nuse_repo(e, \"made\")\n", "ext/BUILD": "",
		"ext/e.bzl": "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", \"1\")\n_rule = repository_rule(implementation = _r)\ndef _e(mctx):\n    _rule(name = \"made\")\ne = module_extension(implementation = _e)\n",
	}
	try(t, "use_extension", holding("@made//:f", ext), onlyX, sub("ext/e.bzl", `"f", "1"`, `"f", "2"`))
	ext["MODULE.bazel"] = "made = use_repo_rule(repo_rule_bzl_file = \"//ext:e.bzl\", repo_rule_name = \"made\")\nmade(name = \"made\")\n"
	ext["ext/e.bzl"] = "def _r(ctx):\n    ctx.file(\"f\", \"1\")\nmade = repository_rule(implementation = _r)\n"
	try(t, "use_repo_rule", holding("@made//:f", ext), onlyX, sub("ext/e.bzl", `"f", "1"`, `"f", "2"`))
	// Of one that can't be evaluated it is not known what leads where.
	ext["MODULE.bazel"] += "x = \"a\" * len([1])\n"
	try(t, "what can't be evaluated", holding("@made//:f", ext), bothTests, sub("ext/e.bzl", `"f", "1"`, `"f", "2"`))
}

// TestPathsOfRepositories: code that makes repositories gets at files in more ways than by a
// label.
func TestPathsOfRepositories(t *testing.T) {
	made := func(code, attrs string, extra map[string]string) map[string]string {
		files := map[string]string{
			"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n", "ext/BUILD": "", "versions.txt": "1", "ext/t.tpl": "1", "ext/my t.tpl": "1", "other.txt": "1",
			"ext/r.bzl": "def _r(ctx):\n    " + code + "\nmade = repository_rule(implementation = _r, attrs = {" + attrs + "})\n",
		}
		maps.Copy(files, extra)
		return holding("@made//:f", files)
	}
	top := set("versions.txt", "2")
	try(t, "a child of the workspace", made(`ctx.file("f", ctx.read(ctx.workspace_root.get_child("versions.txt")))`, "", nil), onlyX, top)
	try(t, "a path of the workspace", made(`ctx.file("f", ctx.read(str(ctx.workspace_root) + "/versions.txt"))`, "", nil), onlyX, top)
	try(t, "a file beside a label's", made(`ctx.file("f", ctx.read(ctx.path(Label("//:MODULE.bazel")).dirname.get_child("versions.txt")))`, "", nil), onlyX, top)
	try(t, "a folder that is listed", made(`ctx.file("f", str(ctx.path(Label("//:MODULE.bazel")).dirname.readdir()))`, "", nil), onlyX, set("new.txt", ""))
	try(t, "what code does not get at", made(`ctx.file("f", "1")`, "", nil), "", top)
	try(t, "a default by its name", made(`ctx.template("f", ctx.attr._t)`, `"_t": attr.label(default = "t.tpl")`, nil), onlyX, set("ext/t.tpl", "2"))
	try(t, "a default of a list by its name", made(`ctx.template("f", ctx.attr._t[0])`, `"_t": attr.label_list(default = ["t.tpl"])`, nil), onlyX, set("ext/t.tpl", "2"))
	try(t, "a label with a space", made(`ctx.template("f", Label("//ext:my t.tpl"))`, "", nil), onlyX, set("ext/my t.tpl", "2"))
	try(t, "an argument with a space", made(`ctx.template("f", ctx.attr.t)`, `"t": attr.label()`, map[string]string{"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\", t = \"//ext:my t.tpl\")\n"}), onlyX, set("ext/my t.tpl", "2"))
	local := func(path string) map[string]string {
		return holding("@made//:f", map[string]string{
			"MODULE.bazel": "e = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\")\n", "ext/BUILD": "", "third/made/BUILD": "exports_files([\"f\"])\n", "third/made/f": "1", "third/other/f": "1",
			"ext/e.bzl": "load(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"local_repository\")\ndef _e(mctx):\n    local_repository(name = \"made\", path = " + path + ")\ne = module_extension(implementation = _e)\n",
		})
	}
	try(t, "a folder that an extension makes a repository", local(`"third/made"`), onlyX, set("third/made/f", "2"))
	try(t, "another folder", local(`"third/made"`), "", set("third/other/f", "2"))
	try(t, "a folder that is put together", local(`"third/%s" % "made"`), onlyX, set("third/made/f", "2"))
	package_ := holding("@made//:f", map[string]string{"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n", "ext/BUILD": "", "ext/r.bzl": "def _r(ctx):\n    ctx.file(\"f\", \"1\")\nmade = repository_rule(implementation = _r)\n"})
	try(t, "the package of code of MODULE.bazel is gone", package_, onlyX, del("ext/BUILD"))
}

// TestLoadsFromPackages: a .bzl file can be loaded only from the package that has it.
func TestLoadsFromPackages(t *testing.T) {
	files := onWorkspace(map[string]string{"lib/BUILD": "", "lib/l.bzl": "load(\":m.bzl\", \"Y\")\nX = Y\n", "lib/m.bzl": "Y = \"t.sh\"\n", "sub/z.bzl": "Z = \"t.sh\"\n",
		"BUILD": "load(\"//lib:l.bzl\", \"X\")\nload(\"//:sub/z.bzl\", \"Z\")\nfilegroup(name = \"f\", srcs = [X, Z])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"])\n", "other/BUILD": "sh_test(name = \"y_test\", srcs = [\"//:f\"])\n"})
	try(t, "its package is gone", files, "//:x_test //other:y_test", del("lib/BUILD"))
	try(t, "another package has it now", files, "//:x_test //other:y_test", set("sub/BUILD", ""))
	try(t, "its package has another file", files, "", set("lib/x.txt", ""))
	try(t, "its package comes", func() map[string]string {
		f := maps.Clone(files)
		delete(f, "lib/BUILD")
		return f
	}(), "", set("lib/BUILD", ""))
}

// TestToolchainTypesInAnyPlace: a type of toolchains stands for its toolchains wherever it is
// named.
func TestToolchainTypesInAnyPlace(t *testing.T) {
	files := func(build, code string) map[string]string {
		return holding(":u", map[string]string{
			"MODULE.bazel": "register_toolchains(\"//tc:t\")\n", "tc/f.txt": "1",
			"tc/d.bzl": "def _t(ctx):\n    return [platform_common.ToolchainInfo(f = ctx.file.file), platform_common.TemplateVariableInfo({\"F\": \"f\"})]\ntc = rule(implementation = _t, attrs = {\"file\": attr.label(allow_single_file = True)})\n",
			"tc/BUILD": "load(\":d.bzl\", \"tc\")\ntoolchain_type(name = \"type\")\ntc(name = \"i\", file = \"f.txt\")\ntoolchain(name = \"t\", toolchain = \":i\", toolchain_type = \":type\")\n",
			"BUILD":    build, "rule.bzl": code,
		})
	}
	const f = "tc/f.txt"
	impl := "def _u(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], command = \"x\")\n    return [DefaultInfo(files = depset([o]))]\n"
	const load = "load(\":rule.bzl\", \"u\")\nu(name = \"u\")\n"
	try(t, "an execution group", files(load, impl+"u = rule(implementation = _u, exec_groups = {\"g\": exec_group(toolchains = [\"//tc:type\"])})\n"), onlyX, set(f, "2"))
	try(t, "an execution group, by a function", files(load, impl+"u = rule(implementation = _u, exec_groups = {\"g\": exec_group(toolchains = [config_common.toolchain_type(\"//tc:type\", mandatory = False)])})\n"), onlyX, set(f, "2"))
	try(t, "a subrule", files(load, "def _s(ctx):\n    return 1\ns = subrule(implementation = _s, toolchains = [\"//tc:type\"])\n"+impl+"u = rule(implementation = _u, subrules = [s])\n"), onlyX, set(f, "2"))
	try(t, "a genrule", files("genrule(name = \"u\", outs = [\"o\"], cmd = \"echo $(F) > $@\", toolchains = [\"//tc:type\"])\n", ""), onlyX, set(f, "2"))
	try(t, "no type", files(load, impl+"u = rule(implementation = _u)\n"), "", set(f, "2"))
}

// TestNamesOfRepositories: files of a repository have the names that its makers give them, and
// a test's runfiles say which names there are.
func TestNamesOfRepositories(t *testing.T) {
	local := holding("@q//:g", map[string]string{
		"MODULE.bazel": "bazel_dep(name = \"near\", repo_name = \"n\")\nlocal_path_override(module_name = \"near\", path = \"near\")\nlocal_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"local_repository\")\nlocal_repository(name = \"q\", path = \"q\")\n",
		"lib/BUILD":    "exports_files([\"f.txt\"])\n", "lib/f.txt": "1", "near/MODULE.bazel": "module(name = \"near\")\n", "near/BUILD": "exports_files([\"f.txt\"])\n", "near/f.txt": "1",
		"q/BUILD": "filegroup(name = \"g\", srcs = [\"@small//lib:f.txt\", \"@n//:f.txt\"], visibility = [\"//visibility:public\"])\n",
	})
	try(t, "the main module's name in a local repository", local, onlyX, set("lib/f.txt", "2"))
	try(t, "a module's name in a local repository", local, onlyX, set("near/f.txt", "2"))
}

// TestMadeByOthersFunctions: what another repository's function returns may be a rule.
func TestMadeByOthersFunctions(t *testing.T) {
	skylib := map[string]string{"MODULE.bazel": "bazel_dep(name = \"bazel_skylib\", version = \"1\")\nbazel_dep(name = \"with_cfg.bzl\", version = \"1\")\n", "f.txt": "1", "r.txt": "1"}
	files := func(code, build string) map[string]string {
		return onWorkspace(map[string]string{"MODULE.bazel": "module(name = \"small\")\n" + skylib["MODULE.bazel"], "d.bzl": code, "BUILD": build, "f.txt": "1", "lib.bzl": "def value():\n    return 1\ndef other():\n    return 1\n"})
	}
	unit := "load(\"@bazel_skylib//lib:unittest.bzl\", \"analysistest\", \"asserts\", \"unittest\")\nload(\":lib.bzl\", \"value\")\ndef _impl(ctx):\n    env = unittest.begin(ctx)\n    asserts.equals(env, 1, value())\n    return unittest.end(env)\nmy_test = unittest.make(_impl)\nshown_test = analysistest.make(_impl, attrs = {\"_f\": attr.label(default = \"//:f.txt\", allow_single_file = True)})\ndef suite(name):\n    unittest.suite(name, my_test)\n"
	changed := sub("lib.bzl", "def value():\n    return 1", "def value():\n    return 2")
	beside := sub("lib.bzl", "def other():\n    return 1", "def other():\n    return 2")
	single := files(unit, "load(\":d.bzl\", \"my_test\")\nmy_test(name = \"x_test\")\n")
	try(t, "a rule of unittest", single, onlyX, changed)
	try(t, "a rule of unittest, code beside it", single, "", beside)
	shown := files(unit, "load(\":d.bzl\", \"shown_test\")\nfilegroup(name = \"g\", srcs = [\"f.txt\"])\nshown_test(name = \"x_test\", target_under_test = \":g\")\n")
	try(t, "a rule of analysistest", shown, onlyX, changed)
	try(t, "its target", shown, onlyX, set("f.txt", "2"))
	suite := files(unit, "load(\":d.bzl\", \"suite\")\nsuite(\"my_tests\")\n")
	try(t, "a suite of unittest", suite, "//:my_tests", changed)
	try(t, "a suite of unittest, code beside it", suite, "", beside)
	native := files("load(\":lib.bzl\", \"value\")\ndef _impl(ctx):\n    return [testing.TestResult(value())] if False else []\ndef my(name):\n    testing.analysis_test(name = name, implementation = _impl, attrs = {\"f\": attr.label(allow_single_file = True)}, attr_values = {\"f\": \"//:f.txt\"})\n", "load(\":d.bzl\", \"my\")\nmy(name = \"x_test\")\n")
	try(t, "an analysis test of Bazel", native, onlyX, changed)
	try(t, "a file of an analysis test of Bazel", native, onlyX, set("f.txt", "2"))
	cfg := files("load(\"@with_cfg.bzl\", \"with_cfg\")\nopt_filegroup, _inner = with_cfg(native.filegroup).set(\"compilation_mode\", \"opt\").build()\n",
		"load(\":d.bzl\", \"opt_filegroup\")\nopt_filegroup(name = \"o\", srcs = [\"f.txt\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":o\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n")
	try(t, "a rule that with_cfg makes", cfg, onlyX, set("f.txt", "2"))
	try(t, "what it is made of", cfg, onlyX, sub("d.bzl", `"opt"`, `"dbg"`))
	rules := files("load(\"@rules_testing//lib:analysis_test.bzl\", \"analysis_test\")\nload(\":lib.bzl\", \"value\")\ndef _impl(env, target):\n    value()\ndef _my(name):\n    analysis_test(name = name, impl = _impl, target = \"//:g\")\nTESTS = [_my]\n",
		"load(\":d.bzl\", \"TESTS\")\nload(\"@rules_testing//lib:test_suite.bzl\", \"test_suite\")\nfilegroup(name = \"g\", srcs = [\"f.txt\"])\ntest_suite(name = \"all\", tests = TESTS)\n")
	rules["MODULE.bazel"] += "bazel_dep(name = \"rules_testing\", version = \"1\")\n"
	try(t, "a suite of rules_testing", rules, "//:all", changed)
	try(t, "what a suite of rules_testing tests", rules, "//:all", set("f.txt", "2"))
}

// TestNamesOfMacros: what another repository's macro makes may have any name, also one that
// a target beside it begins with.
func TestNamesOfMacros(t *testing.T) {
	const odd = "load(\"@foo//:d.bzl\", \"odd\")\n"
	foo := func(label, build string) map[string]string {
		return holding(label, map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1\")\n", "odd.txt": "1", "x.txt": "1", "BUILD": build})
	}
	try(t, "a prefix", foo(":gen_odd", odd+"odd(name = \"odd\", srcs = [\"odd.txt\"])\n"), onlyX, set("odd.txt", "2"))
	try(t, "no part of its name", foo(":else", odd+"odd(name = \"odd\", srcs = [\"odd.txt\"])\n"), onlyX, set("odd.txt", "2"))
	try(t, "a name that a group begins with", foo(":odd.made", odd+"filegroup(name = \"odd\", srcs = [\"x.txt\"])\nodd(name = \"thing\", srcs = [\"odd.txt\"])\n"), onlyX, set("odd.txt", "2"))
	try(t, "an output of a rule of Bazel", foo(":libodd.a", "cc_library(name = \"odd\", srcs = [\"odd.txt\"])\n"), onlyX, set("odd.txt", "2"))
	same := onWorkspace(map[string]string{"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"foo\", version = \"1\")\n", "x.txt": "1", "y.txt": "1",
		"BUILD": odd + "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"x.txt\"])\nodd(name = \"x_test\", srcs = [\"y.txt\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\":x_test.more\"])\n"})
	try(t, "a test whose name a macro takes too", same, bothTests, set("x.txt", "2"))
	try(t, "what that macro makes", same, bothTests, set("y.txt", "2"))
	first := maps.Clone(same)
	first["BUILD"] = odd + "odd(name = \"x_test\", srcs = [\"y.txt\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"x.txt\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\":x_test.more\"])\n"
	try(t, "a macro before the test", first, bothTests, set("y.txt", "2"))
	for _, name := range []string{"-odd.txt", "a$b.txt", "my odd.txt"} {
		files := foo(":odd", odd+"odd(name = \"odd\", things = [\""+name+"\"])\n")
		files[name] = "1"
		try(t, "a file that is called "+name, files, onlyX, set(name, "2"))
	}
}

// TestGoneOfMetadata: attributes that enter no action name targets all the same, and Bazel
// refuses what names one that isn't there.
func TestGoneOfMetadata(t *testing.T) {
	files := func(attribute string) map[string]string {
		return holding(":f", map[string]string{"license/BUILD": "filegroup(name = \"l\", visibility = [\"//visibility:public\"])\n", "BUILD": "filegroup(name = \"f\", " + attribute + " = [\"//license:l\"])\n"})
	}
	for _, a := range []string{"applicable_licenses", "package_metadata"} {
		try(t, a+" is gone", files(a), onlyX, set("license/BUILD", ""))
		try(t, a+" is another", files(a), "", sub("license/BUILD", `name = "l",`, `name = "l", srcs = ["BUILD"],`))
	}
	byDefault := files("deprecation")
	byDefault["BUILD"] = "package(default_applicable_licenses = [\"//license:l\"])\n" + strings.Replace(byDefault["BUILD"], "deprecation = [\"//license:l\"]", "", 1)
	try(t, "the default of a package is gone", byDefault, bothTests, set("license/BUILD", ""))
}

// TestFinalizers: a macro that is a finalizer sees all targets of its package.
func TestFinalizers(t *testing.T) {
	files := onWorkspace(map[string]string{".bazelversion": "8.4.2\n", "f.txt": "1",
		"BUILD": "load(\":d.bzl\", \"fin\")\nfin(name = \"fin\")\nfilegroup(name = \"f\", srcs = [\"f.txt\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		"d.bzl": "def _fin(name, visibility):\n    native.sh_test(name = name + \"_test\", srcs = [\"t.sh\"], data = [n for n, r in native.existing_rules().items() if r[\"kind\"] == \"filegroup\"])\nfin = macro(implementation = _fin, finalizer = True)\n"})
	try(t, "a target after it", files, "//:fin_test", set("f.txt", "2"))
	try(t, "a new target after it", files, "//:fin_test", sub("BUILD", "filegroup(", "filegroup(name = \"g\")\nfilegroup("))
	try(t, "another kind of target after it", files, "", sub("BUILD", "filegroup(", "alias(name = \"g\", actual = \"t.sh\")\nfilegroup("))
}

// TestOptionsThatRefuse: checks that are turned on may fail what was built without.
func TestOptionsThatRefuse(t *testing.T) {
	for _, o := range []string{"check_visibility", "run_validations"} {
		files := holding("t.sh", map[string]string{".bazelrc": "build --no" + o + "\n"})
		try(t, o+" is on again", files, bothTests, set(".bazelrc", ""))
	}
	conditional := holding("t.sh", map[string]string{".bazelrc": "try-import-if-bazel-version >=7.0.0 %workspace%/seven.rc\n", "seven.rc": "test --test_env=A=1\n"})
	try(t, "a file for a version of Bazel", conditional, bothTests, sub("seven.rc", "A=1", "A=2"))
}

// TestNamesAmongRunfiles: the runfiles of a test say by which names repositories know those
// whose files are among them.
func TestNamesAmongRunfiles(t *testing.T) {
	const rest = "bazel_dep(name = \"near\", repo_name = \"n\")\nlocal_path_override(module_name = \"near\", path = \"near\")\nbazel_dep(name = \"far\")\nlocal_path_override(module_name = \"far\", path = \"far\")\nbazel_dep(name = \"foo\", version = \"1\")\ne = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\", \"other\")\n"
	files := func(data, build string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel":      "module(name = \"small\")\n" + rest,
			"near/MODULE.bazel": "module(name = \"near\")\nbazel_dep(name = \"far\", repo_name = \"f\")\n",
			"near/BUILD":        "filegroup(name = \"both\", srcs = [\"f.txt\", \"@f//:f.txt\"], visibility = [\"//visibility:public\"])\nexports_files([\"f.txt\"])\nsh_binary(name = \"tool\", srcs = [\"tool.sh\"], visibility = [\"//visibility:public\"])\n",
			"near/f.txt":        "1", "near/tool.sh": "#!/bin/sh\n",
			"far/MODULE.bazel": "module(name = \"far\")\n", "far/BUILD": "exports_files([\"f.txt\"])\n", "far/f.txt": "1",
			"ext/BUILD": "", "ext/e.bzl": "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", \"1\")\n_rule = repository_rule(implementation = _r)\ndef _e(mctx):\n    _rule(name = \"made\")\n    _rule(name = \"other\")\n    _rule(name = \"third\")\ne = module_extension(implementation = _e)\n",
			"BUILD": build + "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"" + data + "\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		})
	}
	const module, near, x = "MODULE.bazel", "near/MODULE.bazel", "//:x_test"
	pair := files("@n//:both", "")
	try(t, "the name of this module", pair, bothTests, sub(module, `"small"`, `"large"`))
	try(t, "a module that had no name", func() map[string]string {
		f := maps.Clone(pair)
		f[module] = rest
		return f
	}(), bothTests, sub(module, "bazel_dep", "module(name = \"small\")\nbazel_dep"))
	try(t, "its name for itself", pair, bothTests, sub(module, `"small"`, `"small", repo_name = "s"`))
	try(t, "its name for itself, which is its name", pair, "", sub(module, `"small"`, `"small", repo_name = "small"`))
	try(t, "its version", pair, "", sub(module, `"small"`, `"small", version = "2"`))
	without := maps.Clone(pair)
	without[".bazelrc"] = "common --noenable_bzlmod\n"
	try(t, "without modules", without, "", sub(module, `"small"`, `"large"`))
	try(t, "the name of another module here", pair, x, sub(module, `"n"`, `"m"`), sub("BUILD", "@n//", "@m//"))
	try(t, "the name of a module that comes with another one", pair, x, sub(module, `"far")`, `"far", repo_name = "g")`))
	try(t, "the name of a module whose files no test has", files("@n//:f.txt", ""), "", sub(module, `"far")`, `"far", repo_name = "g")`))
	try(t, "the name that another module has for one", pair, x, sub(near, `"f"`, `"g"`), sub("near/BUILD", "@f//", "@g//"))
	try(t, "the name that another module has for one whose files no test has", files("@n//:f.txt", ""), "", sub(near, `"f"`, `"g"`), sub("near/BUILD", "@f//", "@g//"))
	try(t, "another module names this one", files("@n//:f.txt", ""), x, sub(near, "bazel_dep", "bazel_dep(name = \"small\")\nbazel_dep"))
	try(t, "another module's name for itself", files("@n//:f.txt", ""), x, sub(near, `"near"`, `"near", repo_name = "itself"`))
	try(t, "a module that no test has anything of names this one", pair, x, sub("far/MODULE.bazel", "module(name = \"far\")\n", "module(name = \"far\")\nbazel_dep(name = \"small\")\n"))
	try(t, "an included file", with(pair, "more.MODULE.bazel", "bazel_dep(name = \"more\", version = \"1\")\n"), x, sub(module, "bazel_dep(name = \"far\")\n", "include(\"//:more.MODULE.bazel\")\n"), set("more.MODULE.bazel", "bazel_dep(name = \"far\", repo_name = \"g\")\n"))

	made := files("@made//:f", "")
	more := func(name string) edit {
		return sub(module, `"made", "other")`, `"made", "other", more = "`+name+`")`)
	}
	try(t, "a repository by one name more", made, x, more("made"))
	try(t, "a repository by one name less", with(made, module, strings.Replace(made[module], `"other")`, `"other", more = "made")`, 1)), x, sub(module, `, more = "made"`, ""))
	try(t, "another repository by one name more", made, "", more("other"))
	try(t, "a repository that had no name", made, "", more("third"))
	// Extensions of modules that can't be seen: what else may have files of their repositories.
	foreign := files("@foo//:tool", "")
	foreign[module] += "g = use_extension(\"@foo//:g.bzl\", \"g\")\ng.tag(name = \"one\")\nuse_repo(g, \"one\")\n"
	try(t, "a name for what a module may have", foreign, x, sub(module, `use_repo(g, "one")`, `use_repo(g, "one", "two")`))
	try(t, "a name for what a tag makes anew", files("@near//:f.txt", ""), "", func(f map[string]string) {
		f[module] += "g = use_extension(\"@foo//:g.bzl\", \"g\")\ng.tag(name = \"one\")\nuse_repo(g, \"one\")\n"
	})

	tool := files(":g", "genrule(name = \"g\", outs = [\"g.out\"], cmd = \"$(location @n//:tool) > $@\", tools = [\"@n//:tool\"])\n")
	try(t, "a name of a tool's module for itself", tool, x, sub(near, `"near"`, `"near", repo_name = "itself"`))
	source := files(":g", "genrule(name = \"g\", outs = [\"g.out\"], cmd = \"cp $< $@\", srcs = [\"@n//:f.txt\"])\n")
	try(t, "a name of a module of which a file is copied", source, "", sub(near, `"near"`, `"near", repo_name = "itself"`))

	aliased := files("@n//:alias", "exports_files([\"f.txt\"])\n")
	aliased["f.txt"], aliased[near] = "1", aliased[near]+"bazel_dep(name = \"small\")\n"
	aliased["near/BUILD"] += "alias(name = \"alias\", actual = \"@small//:f.txt\", visibility = [\"//visibility:public\"])\n"
	try(t, "an alias less, of another module", aliased, x, sub("BUILD", "@n//:alias", "f.txt"))

	head := maps.Clone(pair)
	sub(module, `"far")`, `"far", repo_name = "g")`)(head)
	answer := compare(t, pair, head, Options{})
	if want := "//:x_test <- MODULE.bazel names of @far in the main module: was (far), is (g)"; len(answer.Tests) != 1 || !strings.Contains(answer.Tests[0].Reason, "was (far), is (g)") {
		t.Errorf("the reason is %v, want like %q", answer.Tests, want)
	}
}

// TestPlacesOfRepositories: Bazel numbers the rules and the extensions of one name that make
// repositories, and the number is in the paths of their files.
func TestPlacesOfRepositories(t *testing.T) {
	files := func(version string) map[string]string {
		return holding("@made//:f", map[string]string{
			".bazelversion": version + "\n", "ext/BUILD": "", "ext/r.bzl": "def _r(ctx):\n    ctx.file(\"f\", \"1\")\nmade = repository_rule(implementation = _r)\nbeside = repository_rule(implementation = _r)\n",
			"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n",
		})
	}
	before := sub("MODULE.bazel", "made = use", "beside = use_repo_rule(\"//ext:r.bzl\", \"beside\")\nbeside(name = \"beside\")\nmade = use")
	try(t, "a rule before it", files("7.7.1"), onlyX, before)
	try(t, "a rule before it, of Bazel 8", files("8.4.2"), "", before)
	try(t, "a rule after it", files("7.7.1"), "", func(f map[string]string) {
		f["MODULE.bazel"] += "beside = use_repo_rule(\"//ext:r.bzl\", \"beside\")\nbeside(name = \"beside\")\n"
	})
	const code = "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", \"1\")\n_rule = repository_rule(implementation = _r)\ndef _e(mctx):\n    _rule(name = \"%s\")\ne = module_extension(implementation = _e)\n"
	extension := holding("@made//:f", map[string]string{
		"ext/BUILD": "", "ext/e.bzl": strings.Replace(code, "%s", "made", 1), "ext/g.bzl": strings.Replace(code, "%s", "other", 1),
		"MODULE.bazel": "e = use_extension(\"//ext:e.bzl\", \"e\")\nuse_repo(e, \"made\")\n",
	})
	try(t, "an extension of the same name before it", extension, onlyX, sub("MODULE.bazel", "e = use", "g = use_extension(\"//ext:g.bzl\", \"e\")\nuse_repo(g, \"other\")\ne = use"))
	try(t, "an extension of the same name after it", extension, "", func(f map[string]string) {
		f["MODULE.bazel"] += "g = use_extension(\"//ext:g.bzl\", \"e\")\nuse_repo(g, \"other\")\n"
	})
}

// TestModulesForOthers: a module that is a folder of the workspace, and that others may use
// which can't be seen.
func TestModulesForOthers(t *testing.T) {
	files := func(module string) map[string]string {
		return holding("@foo//:f", map[string]string{
			"MODULE.bazel":      "bazel_dep(name = \"foo\", version = \"1\")\n" + module + "local_path_override(module_name = \"near\", path = \"near\")\n",
			"near/MODULE.bazel": "module(name = \"near\")\n", "near/BUILD": "exports_files([\"f.txt\"])\n", "near/f.txt": "1",
		})
	}
	changed := set("near/f.txt", "2")
	try(t, "one that nobody asks for here", files(""), onlyX, changed)
	try(t, "one of a version", files("bazel_dep(name = \"near\", version = \"1.2\")\n"), onlyX, changed)
	try(t, "one without a version", files("bazel_dep(name = \"near\")\n"), "", changed)
	try(t, "one of no version", files("bazel_dep(name = \"near\", version = \"0.0.0\")\n"), "", changed)
}
