package analysis

import (
	"maps"
	"strings"
	"testing"
)

// TestLabelsPutTogether: a label that code makes of parts may be any, so that all files count
// for what may have it; one that is written counts alone.
func TestLabelsPutTogether(t *testing.T) {
	const x = "//:x_test"
	const extension = `
def _repo_impl(ctx):
    ctx.template("BUILD", LABEL)
_repo = repository_rule(implementation = _repo_impl, attrs = {"which": attr.string()})
def _impl(ctx):
    _repo(name = "made", which = "t")
ext = module_extension(implementation = _impl)
`
	made := func(label, more string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"small\", version = \"1\")\next = use_extension(\"//ext:ext.bzl\", \"ext\")\nuse_repo(ext, \"made\")\n",
			"ext/BUILD":    "", "ext/t.tpl": "1", "ext/other": "1", "ext/ext.bzl": more + strings.Replace(extension, "LABEL", label, 1),
			"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"@made//:A\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		})
	}
	for _, label := range []string{`Label(":" + ctx.attr.which + ".tpl")`, `Label("//ext:%s.tpl" % ctx.attr.which)`, `Label(T[0])`} {
		try(t, "a repository's "+strings.ReplaceAll(label, "/", ""), made(label, "T = [\"t.tpl\"]\n"), x, set("ext/t.tpl", "2"))
	}
	written := made(`Label("t.tpl")`, "")
	try(t, "a repository's label that is written", written, x, set("ext/t.tpl", "2"))
	try(t, "a file beside it", written, "", set("ext/other", "2"))

	const rules = `
def _t(s, a):
    return {"OUT": VALUE}
tr = transition(implementation = _t, inputs = [], outputs = ["OUT"])
def _i(ctx):
    o = ctx.actions.declare_file("o")
    ctx.actions.run_shell(outputs = [o], inputs = ctx.files.dep, command = "x")
    return [DefaultInfo(files = depset([o]))]
r = rule(implementation = _i, attrs = {"dep": attr.label(cfg = tr), "which": attr.string()})
`
	transit := func(out, value string) map[string]string {
		return onWorkspace(map[string]string{
			"d.bzl":   strings.NewReplacer("OUT", out, "VALUE", value).Replace(rules),
			"p/BUILD": "label_flag(name = \"flag\", build_setting_default = \"a.txt\")\nfilegroup(name = \"lib\", srcs = [\":flag\"])\nexports_files([\"a.txt\", \"b.txt\"])\n", "p/a.txt": "1", "p/b.txt": "1",
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\", dep = \"//p:lib\", which = \"b\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		})
	}
	for _, value := range []string{`"//p:" + a.which + ".txt"`, `"//p:%s.txt" % a.which`, `"//p:{}.txt".format(a.which)`, `":".join(["//p", "b.txt"])`, `Label("//p:x").relative(a.which + ".txt")`} {
		try(t, "a transition's "+strings.ReplaceAll(value, "/", ""), transit("//p:flag", value), x, set("p/b.txt", "2"))
	}
	try(t, "a transition's label that is written", transit("//p:flag", `"//p:b.txt"`), x, set("p/b.txt", "2"))
	try(t, "a file beside it", transit("//p:flag", `"//p:a.txt"`), "", set("p/b.txt", "2"))
	try(t, "a transition of an option that is no label", transit("//command_line_option:copt", `["-D" + a.which]`), "", set("p/b.txt", "2"))
	try(t, "a transition of the platform", transit("//command_line_option:platforms", `"//p:" + a.which`), x, set("p/b.txt", "2"))
	swapped := transit("//p:flag", `"//p:" + a.which + ".txt"`)
	swapped["d.bzl"] = strings.Replace(swapped["d.bzl"], `inputs = [], outputs = ["//p:flag"]`, `outputs = ["//p:flag"], inputs = []`, 1)
	try(t, "a transition that names its outputs first", swapped, x, set("p/b.txt", "2"))

	computed := func(label string) map[string]string {
		return onWorkspace(map[string]string{"a.txt": "1", "b.txt": "1",
			"d.bzl": "def _def(name):\n    return " + label + "\ndef _i(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], inputs = [ctx.file._t], command = \"x\")\n    return [DefaultInfo(files = depset([o]))]\nr = rule(implementation = _i, attrs = {\"_t\": attr.label(default = _def, allow_single_file = True)})\n",
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n"})
	}
	try(t, "a computed default's name", computed(`Label("a.txt")`), x, set("a.txt", "2"))
	try(t, "a computed default beside it", computed(`Label("a.txt")`), "", set("b.txt", "2"))
	try(t, "a computed default that is put together", computed(`Label("//:" + name + ".txt")`), x, set("b.txt", "2"))
}

// TestFilesOfRepositories: what a repository is made of may name files of the workspace.
func TestFilesOfRepositories(t *testing.T) {
	const x = "//:x_test"
	files := func(rule, build string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"small\", version = \"1\")\nrule = use_repo_rule(" + rule + ")\nrule(name = \"made\", path = \"third/x\", build_file = \"//third:x.BUILD\")\n",
			"third/BUILD":  "", "third/x.BUILD": build, "third/x/q.txt": "1",
			"lib/BUILD": "exports_files([\"f.txt\"])\n", "lib/f.txt": "1", "lib/g.txt": "1", "lib/d.bzl": "load(\":e.bzl\", \"E\")\nD = E\n", "lib/e.bzl": "E = \"1\"\n",
			"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"@made//:f\"])\n",
		})
	}
	for _, rule := range []string{`"@bazel_tools//tools/build_defs/repo:local.bzl", "new_local_repository"`, `"@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive"`} {
		named := files(rule, "filegroup(name = \"f\", srcs = [\"@small//lib:f.txt\", \"q.txt\"])\n")
		kind := rule[strings.LastIndexByte(rule, ' ')+1:]
		try(t, "a file that the BUILD file names, "+kind, named, x, set("lib/f.txt", "2"))
		try(t, "a file that it does not name, "+kind, named, "", set("lib/g.txt", "2"))
		loads := files(rule, "load(\"@small//lib:d.bzl\", \"D\")\nfilegroup(name = \"f\", tags = [D])\n")
		try(t, "what the BUILD file loads, and that loads, "+kind, loads, x, set("lib/e.bzl", "E = \"2\"\n"))
	}

	// A module's own .bazelignore counts in its folder, and nowhere else.
	near := onWorkspace(map[string]string{
		"MODULE.bazel": "module(name = \"small\")\nbazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"near\")\n", ".bazelignore": "near\n",
		"near/MODULE.bazel": "module(name = \"near\")\n", "near/.bazelignore": "ig\n", "near/ig/BUILD": "fail()\n", "near/ig/f.txt": "1",
		"near/BUILD": "filegroup(name = \"f\", srcs = [\"ig/f.txt\"], visibility = [\"//visibility:public\"])\n", "ig/BUILD": "sh_test(name = \"ig_test\", srcs = [\"//:t.sh\"])\n",
		"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"@near//:f\"])\n",
	})
	try(t, "a file in a folder that a module ignores", near, x, set("near/ig/f.txt", "2"))
	try(t, "a folder of that name elsewhere", near, "//ig:ig_test", sub("ig/BUILD", "sh_test(", "sh_test(args = [\"1\"], "))
	try(t, "a folder that is ignored no more", near, x, set("near/.bazelignore", ""))

	// The version of a module, where a macro asks for it.
	versioned := onWorkspace(map[string]string{"BUILD": "load(\":d.bzl\", \"m\")\nm()\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n", "d.bzl": "def m():\n    native.sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = [native.module_version()])\n"})
	try(t, "a module's version", versioned, x, sub("MODULE.bazel", `version = "1"`, `version = "2"`))
	compatible := maps.Clone(versioned)
	compatible["MODULE.bazel"] = "module(name = \"small\", version = \"1\", bazel_compatibility = [\">=7\"])\n"
	allowed := maps.Clone(compatible)
	allowed[".bazelversion"] = "7.7.1\n"
	allowed["MODULE.bazel"] = "module(name = \"small\", version = \"1\", bazel_compatibility = [\">=7.0.0\"])\n"
	try(t, "versions of Bazel of which this is one before and after", allowed, "", sub("MODULE.bazel", ">=7.0.0", ">=7.1.0"))
	try(t, "versions of Bazel of which this is one no more", allowed, "//:x_test //:y_test", sub("MODULE.bazel", ">=7.0.0", ">=8.0.0"))
	try(t, "versions of Bazel that a module allows", compatible, "//:x_test //:y_test", sub("MODULE.bazel", ">=7", ">=9"))
}

// TestOrderOfAttributes: of two lines of a .gitattributes for one file the later one counts.
func TestOrderOfAttributes(t *testing.T) {
	files := onWorkspace(map[string]string{
		".gitattributes": "*.txt eol=lf\na.txt eol=crlf\n*.png diff=x\n*.sh diff=y\n", "a.txt": "1", "b.png": "1",
		"BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"a.txt\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\"b.png\"])\n",
	})
	try(t, "lines change places", files, "//:x_test", set(".gitattributes", "a.txt eol=crlf\n*.txt eol=lf\n*.png diff=x\n*.sh diff=y\n"))
	try(t, "lines that change no checkout", files, "", set(".gitattributes", "*.sh diff=y\n*.txt eol=lf\n*.png diff=x\na.txt eol=crlf\n"))
	try(t, "comments and spaces", files, "", set(".gitattributes", "# More.\n*.txt  eol=lf\n\na.txt eol=crlf\n*.png diff=x\n*.sh diff=y\n"))
	try(t, "a line moves over a new one", files, "//:x_test //:y_test", set(".gitattributes", "a.txt eol=crlf\n*.png -text\n*.txt eol=lf\n"))
}

// TestBlindOutputs: a rule that writes text alone may all the same give on the files of
// others, by the name of what it wrote.
func TestBlindOutputs(t *testing.T) {
	const x = "//:x_test"
	base := func(body string) map[string]string {
		return onWorkspace(map[string]string{"f.txt": "1",
			"d.bzl": "def _pick(ctx):\n    return ctx.files.deps[0]\ndef _inv(ctx):\n    out = ctx.actions.declare_file(ctx.label.name)\n    ctx.actions.write(out, \"x\")\n" + body + "inv = rule(implementation = _inv, attrs = {\"deps\": attr.label_list(allow_files = True)})\n",
			"BUILD": "load(\":d.bzl\", \"inv\")\ninv(name = \"inv\", deps = [\"f.txt\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":inv\"])\n"})
	}
	const own = "    return [DefaultInfo(files = depset([out]))]\n"
	try(t, "its own", base(own), "", set("f.txt", "2"))
	try(t, "its own, and others by other names", base("    (a, b) = (1, 2)\n    d = {}\n    d[\"a\"] = [y for (y, z) in [(1, 2)]]\n"+own), "", set("f.txt", "2"))
	for name, body := range map[string]string{
		"assigned in a tuple":            "    (out, y) = (_pick(ctx), 1)\n" + own,
		"assigned in a list":             "    [y, out] = [1, _pick(ctx)]\n" + own,
		"assigned without parentheses":   "    if True:\n        y, out = 1, _pick(ctx)\n" + own,
		"assigned in a tuple in another": "    (y, (z, out)) = (1, (2, _pick(ctx)))\n" + own,
		"a lambda's parameter":           "    f = lambda y, out: [DefaultInfo(files = depset([out]))]\n    return f(1, _pick(ctx))\n",
		"a lambda's default":             "    f = lambda out = _pick(ctx): [DefaultInfo(files = depset([out]))]\n    return f()\n",
		"a loop's variable":              "    for ((y, out), z) in [((1, _pick(ctx)), 2)]:\n        return [DefaultInfo(files = depset([out]))]\n",
		"what its parent makes":          "    return ctx.super()\n",
	} {
		try(t, name, base(body), x, set("f.txt", "2"))
	}
	try(t, "a file becomes a link to nothing", base(own), x, set("f.txt", "-> nowhere"))
	try(t, "a file becomes a link to a file", base(own), "", set("f.txt", "-> t.sh"))
}

// TestCodeOfOthers: what code of another repository reads where it is handed a rule's context
// is not seen.
func TestCodeOfOthers(t *testing.T) {
	files := func(repo, call string) map[string]string {
		return onWorkspace(map[string]string{
			"MODULE.bazel": "module(name = \"small\")\nbazel_dep(name = \"" + repo + "\", version = \"1\")\n", ".bazelrc": "build --define=X=1\nbuild --workspace_status_command=tools/s.sh\n", "tools/s.sh": "#!/bin/sh\necho STABLE_A 1\n",
			"d.bzl": "load(\"@" + repo + "//:d.bzl\", \"expand\")\ndef _i(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, expand(" + call + "))\n    return [DefaultInfo(files = depset([o]))]\nr = rule(implementation = _i)\n",
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n"})
	}
	const x = "//:x_test"
	try(t, "variables", files("foo", "ctx"), x, sub(".bazelrc", "X=1", "X=2"))
	try(t, "the status", files("foo", "ctx"), x, sub("tools/s.sh", "A 1", "A 2"))
	try(t, "not handed the context", files("foo", "ctx.label.name"), "", sub(".bazelrc", "X=1", "X=2"))
	try(t, "of a repository that reads no variables but its own", files("rules_go", "ctx"), "", sub(".bazelrc", "X=1", "X=2"))

	// A constant of the implementation and one of the initializer, of one name.
	swapped := onWorkspace(map[string]string{"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n",
		"a.bzl": "V = \"1\"\ndef impl(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], command = V)\n    return [DefaultInfo(files = depset([o]))]\n",
		"b.bzl": "V = \"2\"\ndef ini(**kwargs):\n    if V == \"7\":\n        fail()\n    return kwargs\n",
		"d.bzl": "load(\":a.bzl\", \"impl\")\nload(\":b.bzl\", \"ini\")\nr = rule(implementation = impl, initializer = ini)\n"})
	try(t, "constants change places", swapped, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))

	// A function of the workspace may be called as one of Bazel is whose doc means nothing.
	named := func(name, function string) map[string]string {
		return onWorkspace(map[string]string{"h.bzl": "def macro(doc):\n    return doc\n", "d.bzl": name + "\ndef _i(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, " + function + "(doc = \"1\"))\n    return [DefaultInfo(files = depset([o]))]\nr = rule(implementation = _i, doc = \"3\")\n",
			"BUILD": "load(\":d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n"})
	}
	try(t, "doc of a function that is loaded", named(`load(":h.bzl", "macro")`, "macro"), x, sub("d.bzl", `doc = "1"`, `doc = "2"`))
	try(t, "doc of a function that is defined", named("def provider(doc):\n    return doc\n", "provider"), x, sub("d.bzl", `doc = "1"`, `doc = "2"`))
	try(t, "doc of a rule", named(`load(":h.bzl", "macro")`, "macro"), "", sub("d.bzl", `doc = "3"`, `doc = "4"`))
}

// TestSettingsAtTheirDefault: an option that gives a build setting the value that it has
// anyway affects nothing; one that takes another away does.
func TestSettingsAtTheirDefault(t *testing.T) {
	const x = "//:x_test"
	files := func(kind, value string) map[string]string {
		return onWorkspace(map[string]string{
			"d.bzl": "flag = rule(implementation = lambda ctx: [], build_setting = config." + kind + ")\n",
			"BUILD": "load(\":d.bzl\", \"flag\")\nflag(name = \"f\", build_setting_default = " + value + ")\nalias(name = \"a\", actual = \":f\")\nconfig_setting(name = \"c\", flag_values = {\":f\": \"y\"})\n" +
				"sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = select({\":c\": [\"1\"], \"//conditions:default\": []}))\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		})
	}
	text := files("string(flag = True)", `"y"`)
	try(t, "at its default", text, "", set(".bazelrc", "build --//:f=y\n"))
	try(t, "another value", text, x, set(".bazelrc", "build --//:f=z\n"))
	try(t, "another, and then the default", text, "", set(".bazelrc", "build --//:f=z\nbuild --//:f=y\n"))
	try(t, "the default, and then another", text, x, set(".bazelrc", "build --//:f=y\nbuild --//:f=z\n"))
	try(t, "another default at the same time", text, x, set(".bazelrc", "build --//:f=y\n"), sub("BUILD", `build_setting_default = "y"`, `build_setting_default = "z"`))
	try(t, "several values", files("string(flag = True, allow_multiple = True)", `"y"`), x, set(".bazelrc", "build --//:f=y\n"))
	try(t, "a list", files("string_list(flag = True)", `["y"]`), x, set(".bazelrc", "build --//:f=y\n"))
	gone := maps.Clone(text)
	gone[".bazelrc"] = "build --//:f=z\n"
	try(t, "another value is taken away", gone, x, set(".bazelrc", ""))
	gone[".bazelrc"] = "build --//:f=y\n"
	try(t, "the default is taken away", gone, "", set(".bazelrc", ""))
	try(t, "another kind of setting", text, x, sub("d.bzl", "flag = True", "flag = True, allow_multiple = True"))
}

// TestDefaultsThatNobodyAsksFor: a flag's default counts as one of the values for which
// settings ask, or as none of them, if nothing else has to do with the flag.
func TestDefaultsThatNobodyAsksFor(t *testing.T) {
	const x = "//:x_test"
	const plain = "flag = rule(implementation = lambda ctx: [], build_setting = config.string(flag = True))\n"
	files := func(code, build string) map[string]string {
		return onWorkspace(map[string]string{
			"d.bzl": code,
			"BUILD": "load(\":d.bzl\", \"flag\")\nflag(name = \"f\", build_setting_default = \"a\")\nconfig_setting(name = \"c\", flag_values = {\":f\": \"y\"})\n" + build +
				"sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = select({\":c\": [\"1\"], \"//conditions:default\": []}))\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
		})
	}
	to := func(value string) edit {
		return sub("BUILD", `build_setting_default = "a"`, `build_setting_default = "`+value+`"`)
	}
	base := files(plain, "")
	try(t, "to what nobody asks for", base, "", to("b"))
	try(t, "to what is asked for", base, x, to("y"))
	asked := maps.Clone(base)
	to("y")(asked)
	try(t, "to what nobody asks for from what is", asked, x, sub("BUILD", `build_setting_default = "y"`, `build_setting_default = "a"`))
	try(t, "and another value is asked for", base, x, to("b"), sub("BUILD", `":f": "y"`, `":f": "b"`))
	try(t, "another one asks too", files(plain, "config_setting(name = \"d\", flag_values = {\":f\": \"b\"})\n"), x, to("b"))
	try(t, "an alias asks", files(plain, "alias(name = \"g\", actual = \":f\")\nconfig_setting(name = \"d\", flag_values = {\":g\": \"b\"})\n"), x, to("b"))
	try(t, "code that reads it", files("def _impl(ctx):\n    if ctx.build_setting_value not in [\"a\", \"y\"]:\n        fail(\"no\")\nflag = rule(implementation = _impl, build_setting = config.string(flag = True))\n", ""), x, to("b"))
	try(t, "code that is not seen", files("load(\"@foo//:f.bzl\", \"impl\")\nflag = rule(implementation = impl, build_setting = config.string(flag = True))\n", ""), x, to("b"))
	try(t, "several values", files("flag = rule(implementation = lambda ctx: [], build_setting = config.string(flag = True, allow_multiple = True))\n", ""), x, to("y"))
	given := maps.Clone(base)
	given[".bazelrc"] = "build --//:f=b\n"
	try(t, "an option that sets it", given, x, to("b"))
	try(t, "an option that sets it now", base, x, to("b"), set(".bazelrc", "build --//:f=y\n"))
	user := "u = rule(implementation = lambda ctx: [DefaultInfo(files = depset([ctx.actions.declare_file(ctx.attr.flag.label.name)]))], attrs = {\"flag\": attr.label()})\n"
	try(t, "a rule that has it", with(files(plain+user, "load(\":d.bzl\", \"u\")\nu(name = \"u\", flag = \":f\")\n"), "z/BUILD", ""), x, to("b"))
	transition := "def _t_impl(settings, attr):\n    return {\"//command_line_option:compilation_mode\": \"opt\" if settings[\"//:f\"] == \"b\" else \"dbg\"}\n_t = transition(implementation = _t_impl, inputs = [\"//:f\"], outputs = [\"//command_line_option:compilation_mode\"])\n" +
		"w = rule(implementation = lambda ctx: [], attrs = {\"d\": attr.label(cfg = _t)})\n"
	try(t, "a transition that reads it", files(plain+transition, "load(\":d.bzl\", \"w\")\nw(name = \"w\", d = \":f\")\n"), x, to("b"))
}

// TestNamesOfFlags: another name for a flag is no other value of it.
func TestNamesOfFlags(t *testing.T) {
	const x = "//:x_test"
	base := onWorkspace(map[string]string{
		"d.bzl": "flag = rule(implementation = lambda ctx: [], build_setting = config.string(flag = True))\n",
		"BUILD": "load(\":d.bzl\", \"flag\")\nflag(name = \"f\", build_setting_default = \"a\")\nconfig_setting(name = \"c\", flag_values = {\":f\": \"y\"})\n" +
			"sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = select({\":c\": [\"1\"], \"//conditions:default\": []}))\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
	})
	try(t, "a name", base, "", set(".bazelrc", "build --flag_alias=f=//:f\n"))
	try(t, "a name by which it is set", base, x, set(".bazelrc", "build --flag_alias=f=//:f\nbuild --f=y\n"))
	named := maps.Clone(base)
	named[".bazelrc"] = "build --flag_alias=f=//:f\nbuild --f=y\n"
	try(t, "another name by which it is set", named, "", set(".bazelrc", "build --flag_alias=g=//:f\nbuild --g=y\n"))
	asking := with(base, "BUILD", strings.Replace(base["BUILD"], `flag_values = {":f": "y"}`, `values = {"f": "y"}`, 1))
	try(t, "a name by which a setting asks", asking, x, set(".bazelrc", "build --flag_alias=f=//:f\n"))
}

// TestRulesOfOtherModules: a repository is made of the module that has its rule.
func TestRulesOfOtherModules(t *testing.T) {
	base := holding("@made//:f", map[string]string{
		"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1.5\")\nmade = use_repo_rule(\"@foo//:r.bzl\", \"made\")\nmade(name = \"made\")\n",
	})
	try(t, "another version", base, onlyX, sub("MODULE.bazel", `version = "1.5"`, `version = "2"`))
	near := holding("@made//:f", map[string]string{
		"MODULE.bazel":      "bazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"near\")\nmade = use_repo_rule(\"@near//:r.bzl\", \"made\")\nmade(name = \"made\")\n",
		"near/MODULE.bazel": "module(name = \"near\")\n", "near/BUILD": "", "near/f": "1",
		"near/r.bzl": "def _r(ctx):\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", ctx.read(Label(\"//:f\")))\nmade = repository_rule(implementation = _r)\n",
	})
	try(t, "code of a module in the workspace", near, onlyX, sub("near/r.bzl", "exports_files(['f'])", "exports_files(['f', 'g'])"))
	try(t, "a file that it names", near, onlyX, set("near/f", "2"))
}

// TestVariablesOfRepositories: a variable of repositories affects those whose code may read
// it.
func TestVariablesOfRepositories(t *testing.T) {
	made := func(code string) map[string]string {
		return holding("@made//:f", map[string]string{
			".bazelrc": "common --noenable_workspace\ncommon --repo_env=A=1\n", "ext/BUILD": "", "ext/r.bzl": "def _r(ctx):\n    " + code + "\n    ctx.file(\"BUILD\", \"exports_files(['f'])\")\n    ctx.file(\"f\", \"\")\nmade = repository_rule(implementation = _r)\n",
			"MODULE.bazel": "made = use_repo_rule(\"//ext:r.bzl\", \"made\")\nmade(name = \"made\")\n",
		})
	}
	other := sub(".bazelrc", "A=1", "A=2")
	for _, code := range []string{"ctx.getenv(\"A\")", "ctx.os.environ.get(\"A\")", "ctx.execute([\"x\"])", "getattr(ctx, \"o\" + \"s\")", "ctx.download(\"u\")"} {
		try(t, code, made(code), onlyX, other)
	}
	plain := made("pass")
	try(t, "code that reads none", plain, "", other)
	try(t, "one that Bazel knows", plain, bothTests, sub(".bazelrc", "A=1", "A=1\ncommon --repo_env=BAZEL_SH=/x"))
	try(t, "the path of programs", plain, bothTests, sub(".bazelrc", "A=1", "PATH=1"))
	far := with(holding("@foo//:f", map[string]string{"MODULE.bazel": "bazel_dep(name = \"foo\", version = \"1.5\")\n"}), ".bazelrc", plain[".bazelrc"])
	try(t, "a module elsewhere", far, onlyX, other)
	old := with(plain, "WORKSPACE", "", ".bazelrc", "common --repo_env=A=1\n", ".bazelversion", "7.7.1\n")
	try(t, "with WORKSPACE", old, bothTests, other)
}
