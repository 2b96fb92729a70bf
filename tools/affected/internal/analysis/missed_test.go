package analysis

import (
	"maps"
	"strings"
	"testing"
)

// onWorkspace is a small workspace with further files.
func onWorkspace(extra map[string]string) map[string]string {
	files := map[string]string{"MODULE.bazel": "module(name = \"small\", version = \"1\")\n", ".bazelrc": "", "t.sh": "#!/bin/sh\n"}
	maps.Copy(files, extra)
	return files
}

// try says which tests an edit affects.
func try(t *testing.T, name string, base map[string]string, want string, edits ...edit) {
	t.Helper()
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		head := maps.Clone(base)
		both(edits...)(head)
		answer := compare(t, base, head, Options{})
		var labels []string
		for _, test := range answer.Tests {
			labels = append(labels, test.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("affects %q, want %q", got, want)
			for _, test := range answer.Tests {
				t.Log(test.Reason)
			}
			for _, w := range answer.Widened {
				t.Log("widened:", w)
			}
		}
	})
}

// echoes is a rule that depends on FLAGS, echoed a target of it and a test.
const (
	echoes = `
Info = provider()
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(outputs = [out], inputs = ctx.files.deps, command = "echo %s > %s" % (FLAGS, out.path))
    return [DefaultInfo(files = depset([out]))]
r = rule(implementation = _impl, attrs = {"deps": attr.label_list(allow_files = True)})
`
	echoed = "load(\":d.bzl\", \"r\")\nr(name = \"r\", deps = [])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n"
)

// TestEffects: what the top of a .bzl file does to its values counts, however it does it.
func TestEffects(t *testing.T) {
	const append2 = "FLAGS = []\nFLAGS.append(\"a\")\nFLAGS.append(\"b\")\n"
	const a, x = "FLAGS.append(\"a\")\n", "//:x_test"
	files := func(code string) map[string]string {
		return onWorkspace(map[string]string{"BUILD": echoed, "d.bzl": code + echoes})
	}
	registered := files("FLAGS = []\ndef reg(x):\n    FLAGS.append(x)\nreg(\"a\")\nreg(\"b\")\n")
	try(t, "registered by a function", registered, x, sub("d.bzl", `reg("b")`, `reg("c")`))
	try(t, "order of effects", files(append2), x, sub("d.bzl", a+"FLAGS.append(\"b\")\n", "FLAGS.append(\"b\")\n"+a))
	try(t, "an effect twice", files(append2), x, sub("d.bzl", a, a+a))
	try(t, "an effect by another name", files(append2), x, sub("d.bzl", a, "M = FLAGS\nM.append(\"z\")\n"+a))
	try(t, "an effect by another name in place", files("FLAGS = [1]\nM = FLAGS\n"), x, sub("d.bzl", "M = FLAGS\n", "M = FLAGS\nM += [2]\n"))
	try(t, "an effect in a comprehension", files("FLAGS = []\nM = FLAGS\n"), x, sub("d.bzl", "M = FLAGS\n", "M = [FLAGS.append(i) for i in [1]]\n"))
	loaded := files("load(\":a.bzl\", \"reg\")\nFLAGS = []\n_X = reg(FLAGS)\n")
	loaded["a.bzl"] = "def reg(l):\n    l.append(1)\n    return 1\n"
	try(t, "an effect of an assignment", loaded, x, sub("a.bzl", "l.append(1)", "l.append(2)"))
	try(t, "a comment beside effects", files(append2), "", sub("d.bzl", a, "# More.\n"+a))
	try(t, "another name without effects", files("FLAGS = [\"a\"]\nOTHER = struct(x = 1)\n"), "", sub("d.bzl", "x = 1", "x = 2"))
}

// TestConstantsSwap: which of two constants of one name a function means counts, not only
// that both are there.
func TestConstantsSwap(t *testing.T) {
	const x = "//:x_test"
	transitions := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef impl(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], command = V)\n    return [DefaultInfo(files = depset([o]))]\n",
		"b.bzl": "V = \"2\"\ndef tr(settings, attr):\n    return {\"//command_line_option:cpu\": V}\n",
		"d.bzl": "load(\":a.bzl\", \"impl\")\nload(\":b.bzl\", \"tr\")\nr = rule(implementation = impl, attrs = {\"deps\": attr.label_list()}, cfg = transition(implementation = tr, inputs = [], outputs = [\"//command_line_option:cpu\"]))\n"})
	try(t, "constants of two roots swap files", transitions, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
	called := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef one():\n    return V + \"x\"\n", "b.bzl": "V = \"2\"\ndef two():\n    return \"y\" + V\n",
		"d.bzl": "load(\":a.bzl\", \"one\")\nload(\":b.bzl\", \"two\")\ndef _f():\n    return [one(), two()]\nFLAGS = _f\n" + echoes})
	try(t, "constants of two functions swap files", called, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
	parts := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef one(ctx):\n    return V + \"x\"\n", "b.bzl": "V = \"2\"\ndef two(ctx):\n    return \"y\" + V\n",
		"d.bzl": "load(\":a.bzl\", \"one\")\nload(\":b.bzl\", \"two\")\nFS = [one, two]\ndef _f(g, h):\n    return lambda x: g(x) + h(x)\nFLAGS = [_f(one, two)]\n" + echoes})
	try(t, "constants of captured functions swap files", parts, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
}

// TestRefused: what Bazel refuses now, and did not, affects all tests above it; what it
// allows now affects none.
func TestRefused(t *testing.T) {
	const x = "//:x_test"
	both := func(name string, base map[string]string, edits ...edit) {
		t.Helper()
		try(t, name, base, x, edits...)
		head := maps.Clone(base)
		for _, e := range edits {
			e(head)
		}
		try(t, name+", the other way round", head, "", func(f map[string]string) {
			clear(f)
			maps.Copy(f, base)
		})
	}
	lib := func(more map[string]string) map[string]string {
		files := onWorkspace(map[string]string{
			"lib/BUILD": "filegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//visibility:public\"])\n", "lib/l.txt": "l", "other/BUILD": "",
			"BUILD": "filegroup(name = \"m\", srcs = [\"//lib:l\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":m\"])\n",
		})
		maps.Copy(files, more)
		return files
	}
	build := func(text string) map[string]string { return map[string]string{"lib/BUILD": text} }
	both("visibility narrowed", lib(nil), sub("lib/BUILD", "public", "private"))
	both("visibility is gone", lib(nil), sub("lib/BUILD", ", visibility = [\"//visibility:public\"]", ""))
	both("an entry of a visibility is another", lib(build("filegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//:__pkg__\"])\n")), sub("lib/BUILD", "//:__pkg__", "//other:__pkg__"))
	try(t, "an entry more of a visibility", lib(build("filegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//:__pkg__\"])\n")), "", sub("lib/BUILD", `"//:__pkg__"`, `"//:__pkg__", "//other:__pkg__"`))
	try(t, "an entry less that is another package's", lib(build("filegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//:__subpackages__\", \"//other:__pkg__\"])\n")), "", sub("lib/BUILD", `, "//other:__pkg__"`, ``))
	byDefault := build("package(default_visibility = [\"//:__subpackages__\"])\nfilegroup(name = \"l\", srcs = [\"l.txt\"])\n")
	both("default visibility narrowed", lib(byDefault), sub("lib/BUILD", "//:__subpackages__", ":__pkg__"))
	both("default visibility is gone", lib(byDefault), sub("lib/BUILD", "package(default_visibility = [\"//:__subpackages__\"])\n", ""))
	repo := lib(map[string]string{"lib/BUILD": "filegroup(name = \"l\", srcs = [\"l.txt\"])\n", "REPO.bazel": "repo(default_visibility = [\"//visibility:public\"])\n"})
	both("visibility of all packages narrowed", repo, sub("REPO.bazel", "public", "private"))
	both("narrower than that of all packages", repo, sub("lib/BUILD", `["l.txt"]`, `["l.txt"], visibility = ["//other:__pkg__"]`))
	grouped := lib(build("package_group(name = \"g\", packages = [\"//\"], includes = [\":h\"])\npackage_group(name = \"h\", packages = [\"//else/...\"])\nfilegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\":g\"])\n"))
	both("a package group loses the package", grouped, sub("lib/BUILD", `["//"]`, `["//other"]`))
	both("a package group takes the package out", grouped, sub("lib/BUILD", `["//"]`, `["//", "-//"]`))
	both("a package group is gone", grouped, sub("lib/BUILD", "package_group(name = \"g\", packages = [\"//\"], includes = [\":h\"])\n", ""))
	both("an included package group is gone", grouped, sub("lib/BUILD", "package_group(name = \"h\", packages = [\"//else/...\"])\n", ""))
	both("a target has the place of a package group", grouped, sub("lib/BUILD", "package_group(name = \"g\", packages = [\"//\"], includes = [\":h\"])\n", "filegroup(name = \"g\")\n"))
	within := onWorkspace(map[string]string{"groups/BUILD": "package_group(name = \"g\", packages = [\"//...\"])\n", "BUILD": "filegroup(name = \"m\", srcs = [\"f.txt\"], visibility = [\"//groups:g\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":m\"])\n", "f.txt": "1"})
	both("a package group is gone, within the package", within, sub("groups/BUILD", "name = \"g\"", "name = \"h\""))
	both("the package of a package group is gone", within, del("groups/BUILD"))
	ofTest := with(within, "BUILD", "sh_test(name = \"x_test\", srcs = [\"t.sh\"], visibility = [\"//groups:g\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n")
	both("a package group of a test is gone", ofTest, del("groups/BUILD"))
	ofDefault := with(within, "BUILD", "package(default_visibility = [\"//groups:g\"])\n"+"sh_test(name = \"x_test\", srcs = [\"t.sh\"])\n")
	both("a package group of a package is gone", ofDefault, del("groups/BUILD"))
	ofFile := lib(map[string]string{"lib/BUILD": "package_group(name = \"g\", packages = [\"//...\"])\nexports_files([\"l.txt\"], visibility = [\":g\"])\n", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:l.txt\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n"})
	both("a package group of a file is gone", ofFile, sub("lib/BUILD", "name = \"g\"", "name = \"h\""))
	try(t, "a package group loses another package", grouped, "", sub("lib/BUILD", `["//else/..."]`, `["//otherwise"]`))
	try(t, "a package moves to an included group", grouped, "", sub("lib/BUILD", `["//"]`, `[]`), sub("lib/BUILD", `["//else/..."]`, `["//..."]`))
	defaults := lib(map[string]string{"lib/BUILD": "filegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//visibility:public\"])\n",
		"BUILD": "load(\"//rules:d.bzl\", \"r\")\nr(name = \"r\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n", "rules/BUILD": "",
		"rules/d.bzl": "FLAGS = []\n" + strings.Replace(echoes, "{\"deps\":", "{\"_d\": attr.label(default = \"//lib:l\"), \"deps\":", 1)})
	both("visibility of a rule's default narrowed", defaults, sub("lib/BUILD", "public", "private"))

	groups := onWorkspace(map[string]string{"BUILD": "filegroup(name = \"a\", srcs = [\"t.sh\"])\nfilegroup(name = \"b\", srcs = [\":a\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":b\"])\n"})
	both("testonly", groups, sub("BUILD", "name = \"a\",", "name = \"a\", testonly = True,"))
	try(t, "testonly of what only tests have", groups, "", sub("BUILD", "name = \"b\",", "name = \"b\", testonly = True,"))
	const window = "filegroup(name = \"a\", srcs = [\"t.sh\"])\nalias(name = \"w\", actual = \":a\")\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\":w\"])\n"
	behind := onWorkspace(map[string]string{"BUILD": window + "filegroup(name = \"b\", srcs = [\":w\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":b\"])\n"})
	try(t, "testonly behind an alias", behind, "//:x_test", sub("BUILD", "name = \"a\",", "name = \"a\", testonly = True,"))
	testonly := lib(build("package(default_testonly = False)\nfilegroup(name = \"l\", srcs = [\"l.txt\"], visibility = [\"//visibility:public\"])\n"))
	both("default testonly", testonly, sub("lib/BUILD", "default_testonly = False", "default_testonly = True"))

	exported := lib(map[string]string{"lib/BUILD": "exports_files([\"l.txt\", \"m.txt\"])\n", "lib/m.txt": "m", "BUILD": "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"//lib:l.txt\"])\n"})
	both("an export is gone", exported, sub("lib/BUILD", `"l.txt", `, ""))
	both("an export is narrower", exported, sub("lib/BUILD", `"m.txt"]`, `"m.txt"], visibility = ["//other:__pkg__"]`))
	try(t, "another file's export is gone", exported, "", sub("lib/BUILD", `, "m.txt"`, ""))

	loaded := lib(map[string]string{"lib/BUILD": "", "lib/l.bzl": "visibility(\"public\")\nX = \"t.sh\"\n", "BUILD": "load(\"//lib:l.bzl\", \"X\")\nsh_test(name = \"x_test\", srcs = [X])\n"})
	both("visibility of a .bzl file", loaded, sub("lib/l.bzl", `"public"`, `"private"`))
	both("visibility of a .bzl file for others", loaded, sub("lib/l.bzl", `"public"`, `["//other/..."]`))
	try(t, "visibility of a .bzl file for this one", loaded, "", sub("lib/l.bzl", `"public"`, `["//"]`))
	between := maps.Clone(loaded)
	between["other/m.bzl"] = "load(\"//lib:l.bzl\", Y = \"X\")\nX = Y\n"
	between["BUILD"] = strings.Replace(between["BUILD"], "//lib:l.bzl", "//other:m.bzl", 1)
	both("visibility of a .bzl file that another one loads", between, sub("lib/l.bzl", `"public"`, `["//"]`))

	one := onWorkspace(map[string]string{"x.txt": "", "y.txt": "", "BUILD": "filegroup(name = \"f\")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"x.txt\"])\n"})
	both("data twice", one, sub("BUILD", `["x.txt"]`, `["x.txt", ":x.txt"]`))
	both("a target twice", one, sub("BUILD", "filegroup(name = \"f\")\n", "filegroup(name = \"f\")\nfilegroup(name = \"f\")\n"))
	empty := onWorkspace(map[string]string{".bazelversion": "8.4.2\n", "x.md": "", "BUILD": "filegroup(name = \"f\", srcs = glob([\"*.md\"]))\nsh_test(name = \"x_test\", srcs = [\"t.sh\"])\n"})
	both("an empty glob", empty, del("x.md"))
	two := maps.Clone(empty)
	two["BUILD"], two["y.rst"] = strings.Replace(two["BUILD"], `["*.md"]`, `["*.md", "*.rst"]`, 1), ""
	both("a pattern of a glob without a match", two, del("x.md"))
	seven := maps.Clone(empty)
	seven[".bazelversion"] = "7.7.1\n"
	try(t, "an empty glob before Bazel 8", seven, "", del("x.md"))
	seven[".bazelrc"] = "build --incompatible_disallow_empty_glob\n"
	both("an empty glob, by an option", seven, del("x.md"))
	allowed := maps.Clone(empty)
	allowed["BUILD"] = strings.Replace(allowed["BUILD"], `["*.md"]`, `["*.md"], allow_empty = True`, 1)
	try(t, "an empty glob that is allowed", allowed, "", del("x.md"))
	allowed[".bazelversion"] = "7.7.1\n"
	allowed["BUILD"] = strings.Replace(allowed["BUILD"], "True", "False", 1)
	both("an empty glob that is not allowed", allowed, del("x.md"))

	rules := onWorkspace(map[string]string{"BUILD": strings.Replace(echoed, ", deps = []", "", 1), "d.bzl": "FLAGS = []\n" + echoes})
	both("an attribute must be given", rules, sub("d.bzl", "allow_files = True", "allow_files = True, mandatory = True"))
	both("an attribute may not be empty", rules, sub("d.bzl", "allow_files = True", "allow_files = True, allow_empty = False"))
	both("an attribute wants a provider", rules, sub("d.bzl", "allow_files = True", "allow_files = True, providers = [Info]"))
	try(t, "an attribute takes fewer files", rules, x, sub("d.bzl", "allow_files = True", "allow_files = [\".x\"]"))
	valued := maps.Clone(rules)
	valued["d.bzl"] = strings.Replace(valued["d.bzl"], "{\"deps\":", "{\"v\": attr.string(default = \"a\", values = [\"a\", \"b\"]), \"deps\":", 1)
	try(t, "an attribute takes fewer values", valued, x, sub("d.bzl", `["a", "b"]`, `["a"]`))
}

// TestQuiet: what enters no action by itself counts where code asks for it.
func TestQuiet(t *testing.T) {
	const x = "//:x_test"
	aspected := func(code, group string) map[string]string {
		return onWorkspace(map[string]string{
			"BUILD": "load(\":d.bzl\", \"c\")\n" + group + "\nc(name = \"c\", of = [\":f\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":c\"])\n",
			"d.bzl": "I = provider()\ndef _a(target, ctx):\n    return [I(t = " + code + ")]\na = aspect(implementation = _a)\n" +
				"def _c(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, str([d[I].t for d in ctx.attr.of]))\n    return [DefaultInfo(files = depset([o]))]\nc = rule(implementation = _c, attrs = {\"of\": attr.label_list(aspects = [a])})\n",
		})
	}
	const tagged, seen = `filegroup(name = "f", tags = ["a"])`, `filegroup(name = "f", visibility = ["//visibility:private"])`
	tags, wider := sub("BUILD", `tags = ["a"]`, `tags = ["b"]`), sub("BUILD", "private", "public")
	try(t, "tags that an aspect reads", aspected("ctx.rule.attr.tags", tagged), x, tags)
	aside := aspected("ctx.rule.attr.tags", `filegroup(name = "f")`)
	aside["BUILD"] += "filegroup(name = \"g\", tags = [\"a\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"], data = [\":g\"])\n"
	try(t, "tags of what no aspect visits", aside, "", tags)
	try(t, "tags that no aspect reads", aspected("ctx.rule.attr.srcs", tagged), "", tags)
	try(t, "tags that an aspect may read", aspected("getattr(ctx.rule.attr, \"ta\" + \"gs\")", tagged), x, tags)
	try(t, "tags beside what an aspect reads from a list", aspected("[getattr(ctx.rule.attr, k, None) for k in [\"srcs\", \"deps\"]]", tagged), "", tags)
	try(t, "tags beside what an aspect reads from a tuple", aspected("[getattr(ctx.rule.attr, k, None) for k in (\"srcs\", \"deps\")]", tagged), "", tags)
	try(t, "tags among what an aspect reads from a list", aspected("[getattr(ctx.rule.attr, k, None) for k in [\"srcs\", \"tags\"]]", tagged), x, tags)
	try(t, "all that an aspect can list", aspected("dir(ctx.rule.attr)", tagged), x, tags)
	try(t, "visibility that an aspect reads", aspected("ctx.rule.attr.visibility", seen), x, wider)
	try(t, "visibility that no aspect reads", aspected("ctx.rule.attr.tags", seen), "", wider)
	withDefault := aspected("ctx.rule.attr.visibility", `package(default_visibility = ["//visibility:private"])`+"\n"+`filegroup(name = "f")`)
	try(t, "default visibility that an aspect reads", withDefault, x, wider)
	own := func(code, attributes string) map[string]string {
		return onWorkspace(map[string]string{
			"BUILD": "load(\":d.bzl\", \"c\")\nc(name = \"c\", " + attributes + ")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":c\"])\n",
			"d.bzl": "def _c(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.write(o, str(" + code + "))\n    return [DefaultInfo(files = depset([o]))]\nc = rule(implementation = _c)\n",
		})
	}
	try(t, "a rule reads its tags", own("ctx.attr.tags", `tags = ["a"]`), x, tags)
	try(t, "a rule reads none of its tags", own("ctx.attr.name", `tags = ["a"]`), "", tags)
	try(t, "a rule reads testonly", own("ctx.attr.testonly", "testonly = False"), x, sub("BUILD", "False", "True"))
	try(t, "a rule reads its features", own("ctx.features", `features = ["a"]`), x, sub("BUILD", `"a"`, `"b"`))
	try(t, "a rule reads its deprecation", own("getattr(ctx.attr, \"deprecation\")", `deprecation = "a"`), x, sub("BUILD", `"a"`, `"b"`))
	query := func(expression string) map[string]string {
		return onWorkspace(map[string]string{
			"BUILD":     "genquery(name = \"q\", expression = \"" + expression + "\", scope = [\"//lib:l\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":q\"])\n",
			"lib/BUILD": "filegroup(name = \"l\", srcs = [\"f.txt\"], tags = [\"a\"], visibility = [\"//:__pkg__\"])\n", "lib/f.txt": "1",
		})
	}
	try(t, "a query of visibility", query("attr(visibility, public, //lib:l)"), x, sub("lib/BUILD", "//:__pkg__", "//visibility:public"))
	try(t, "a query of tags", query("attr(tags, a, //lib:l)"), x, sub("lib/BUILD", `["a"]`, `["b"]`))
	try(t, "a query of dependencies", query("deps(//lib:l)"), "", sub("lib/BUILD", `["a"]`, `["b"]`))
	listed := onWorkspace(map[string]string{"BUILD": "load(\":d.bzl\", \"m\")\nfilegroup(name = \"f\", visibility = [\"//visibility:private\"])\nm()\n",
		"d.bzl": "def m():\n    native.sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = native.existing_rule(\"f\")[\"visibility\"])\n"})
	try(t, "a macro reads visibility", listed, x, wider)

	byDefault := onWorkspace(map[string]string{"BUILD": "load(\":d.bzl\", \"m\")\npackage(default_visibility = [\"//visibility:private\"])\nm()\n",
		"d.bzl": "def m():\n    native.sh_test(name = \"x_test\", srcs = [\"t.sh\"], args = [str(v) for v in native.package_default_visibility()])\n"})
	try(t, "a macro reads the default visibility", byDefault, x, wider)
	helped := func(call string) map[string]string {
		files := own("help("+call+")", `tags = ["a"]`)
		files["d.bzl"] = "load(\"@foo//:d.bzl\", \"help\")\n" + files["d.bzl"]
		files["MODULE.bazel"] += "bazel_dep(name = \"foo\", version = \"1\")\n"
		return files
	}
	try(t, "another repository's code may read tags", helped("ctx"), x, tags)
	try(t, "another repository's code that is not given the rule", helped("ctx.label"), "", tags)

	for _, attribute := range []string{`deprecation = "a"`, `tags = ["a"]`, `visibility = ["a"]`, `package_metadata = ["a"]`} {
		for repository, want := range map[string]string{"foo": x, "rules_go": ""} {
			foreign := onWorkspace(map[string]string{"BUILD": "load(\"@" + repository + "//:d.bzl\", \"some_library\")\nsome_library(name = \"l\", " + attribute + ")\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":l\"])\n",
				"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"" + repository + "\", version = \"1\")\n", "a": "", "b": ""})
			try(t, "another repository's "+repository+" "+attribute[:4], foreign, want, sub("BUILD", `"a"`, `"b"`))
		}
	}
}

// TestIdleForAspects: an attribute of a rule that nobody gives counts if an aspect asks.
func TestIdleForAspects(t *testing.T) {
	for code, want := range map[string]string{`hasattr(ctx.rule.attr, "version")`: "//:x_test", `"version" in dir(ctx.rule.attr)`: "//:x_test", `hasattr(ctx.rule.attr, "deps")`: ""} {
		files := onWorkspace(map[string]string{"d.bzl": `
def _lib(ctx):
    return []
lib = rule(implementation = _lib, attrs = {"deps": attr.label_list()})
Col = provider()
def _asp(target, ctx):
    return [Col(x = ` + code + `)]
asp = aspect(implementation = _asp)
def _chk(ctx):
    o = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(o, str([d[Col].x for d in ctx.attr.of]))
    return [DefaultInfo(files = depset([o]))]
chk = rule(implementation = _chk, attrs = {"of": attr.label_list(aspects = [asp])})
`, "BUILD": "load(\":d.bzl\", \"chk\", \"lib\")\nlib(name = \"lib\")\nchk(name = \"chk\", of = [\":lib\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":chk\"])\n"})
		try(t, "an aspect asks "+code, files, want, sub("d.bzl", `{"deps": attr.label_list()}`, `{"deps": attr.label_list(), "version": attr.string()}`))
	}
}

// TestBelowBlind: content below a rule that only writes text counts where something other
// than that rule reads it: an aspect above the test, or validation actions, which run with
// the test.
func TestBelowBlind(t *testing.T) {
	const x = "//:x_test"
	const rules = `
def _inv(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, "\n".join([str(d.label) for d in ctx.attr.deps]))
    return [DefaultInfo(files = depset([out]))]
inv = rule(implementation = _inv, attrs = {"deps": attr.label_list(allow_files = True)})
Col = provider()
def _asp(target, ctx):
    files = []
    for a in ["srcs", "deps", "data"]:
        for d in getattr(ctx.rule.attr, a, []):
            files.append(d.files)
            if Col in d:
                files.append(d[Col].files)
    return [Col(files = depset(transitive = files))]
asp = aspect(implementation = _asp, attr_aspects = ["srcs", "deps", "data"])
def _chk(ctx):
    o = ctx.actions.declare_file(ctx.label.name)
    fs = depset(transitive = [d[Col].files for d in ctx.attr.of])
    ctx.actions.run_shell(outputs = [o], inputs = fs, command = "cat %s > %s" % (" ".join([f.path for f in fs.to_list()]), o.path))
    return [DefaultInfo(files = depset([o]))]
chk = rule(implementation = _chk, attrs = {"of": attr.label_list(aspects = [asp])})
`
	through := onWorkspace(map[string]string{"d.bzl": rules, "f.txt": "1", "BUILD": `load(":d.bzl", "chk", "inv")
filegroup(name = "lib", srcs = ["f.txt"])
inv(name = "inv", deps = [":lib"])
sh_test(name = "inv_test", srcs = ["t.sh"], data = [":inv"])
sh_test(name = "other_test", srcs = ["t.sh"], data = [":inv"])
test_suite(name = "suite", tests = [":inv_test", ":other_test"])
chk(name = "chk", of = [":inv_test"], testonly = True)
sh_test(name = "x_test", srcs = ["t.sh"], data = [":chk"])
`})
	// The test below the aspect is selected too: which of both an edge serves isn't told apart.
	try(t, "an aspect sees through a test", through, "//:inv_test //:x_test", set("f.txt", "2"))
	lib := func(info string) map[string]string {
		return onWorkspace(map[string]string{"d.bzl": rules + `
def _lib(ctx):
    v = ctx.actions.declare_file(ctx.label.name + ".ok")
    ctx.actions.run_shell(outputs = [v], inputs = ctx.files.srcs, command = "grep -q fine %s && touch %s" % (ctx.files.srcs[0].path, v.path))
    return [DefaultInfo(), OutputGroupInfo(` + info + `)]
lib = rule(implementation = _lib, attrs = {"srcs": attr.label_list(allow_files = True)})
`, "f.txt": "fine", "BUILD": `load(":d.bzl", "inv", "lib")
filegroup(name = "files", srcs = ["f.txt"])
lib(name = "lib", srcs = [":files"])
filegroup(name = "between", srcs = [":lib"])
inv(name = "inv", deps = [":between"])
sh_test(name = "x_test", srcs = ["t.sh"], data = [":inv"])
`})
	}
	try(t, "validation of what such a rule lists", lib("_validation = depset([v])"), x, set("f.txt", "bad"))
	try(t, "validation under a name that is computed", lib(`**{"_valid" + "ation": depset([v])}`), x, set("f.txt", "bad"))
	try(t, "other output groups", lib("reports = depset([v])"), "", set("f.txt", "bad"))
	library := func(load, kind string) map[string]string {
		return onWorkspace(map[string]string{"MODULE.bazel": "module(name = \"m\")\nbazel_dep(name = \"rules_go\", version = \"0.60.0\")\n", "d.bzl": rules, "f.go": "package f\n",
			"BUILD": load + "load(\":d.bzl\", \"inv\")\n" + kind + "(name = \"lib\", srcs = [\"f.go\"])\ninv(name = \"inv\", deps = [\":lib\"])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":inv\"])\n"})
	}
	try(t, "validation by another repository's rule", library("load(\"@rules_go//go:def.bzl\", \"go_library\")\n", "go_library"), x, set("f.go", "package f\nvar x = 1\n"))
	try(t, "validation by a rule of Bazel", library("", "cc_library"), x, set("f.go", "x"))
	try(t, "no validation by a rule of Bazel", library("", "filegroup"), "", set("f.go", "x"))
}

// TestSymbolicMacros: a value that nobody gives is what Bazel has for it, and whatever a
// macro decides by its values may be decided otherwise.
func TestSymbolicMacros(t *testing.T) {
	const x = "//:x_test"
	files := func(call, kind, args string) map[string]string {
		return onWorkspace(map[string]string{"a.txt": "a", "b.txt": "b", "c.txt": "c",
			"BUILD": "load(\":d.bzl\", \"m\")\nm(name = \"x\"" + call + ")\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
			"d.bzl": "def other():\n    return 1\ndef _i(name, visibility, v):\n    native.sh_test(name = name + \"_test\", srcs = [\"t.sh\"], " + args + ")\nm = macro(implementation = _i, attrs = {\"v\": attr." + kind + "})\n",
		})
	}
	const text, configurable = "string(configurable = False)", "string()"
	try(t, "a value", files(`, v = "1"`, text, "args = [v]"), x, sub("BUILD", `"1"`, `"2"`))
	try(t, "a text that nobody gives", files("", text, `args = ["a" if v == None else "b"]`), x, sub("d.bzl", `else "b"`, `else "c"`))
	try(t, "a file for a text that nobody gives", files("", text, `data = ["a.txt" if v == None else "b.txt"]`), x, set("b.txt", "x"))
	try(t, "a number that nobody gives", files("", "int()", `data = ["a.txt" if v == 0 else "b.txt"]`), x, set("a.txt", "x"))
	try(t, "a file that is taken if the value is a select", files(`, v = ""`, configurable, `data = ["a.txt" if v else "b.txt"]`), x, set("a.txt", "x"))
	try(t, "a file that the macro does not name", files(`, v = "1"`, text, `data = ["a.txt"]`), "", set("c.txt", "x"))
	try(t, "a comment of the macro", files(`, v = "1"`, text, `data = ["a.txt"]`), "", sub("d.bzl", "def _i", "# More.\ndef _i"))
	try(t, "a function beside the macro", files(`, v = "1"`, text, `data = ["a.txt"]`), "", sub("d.bzl", "return 1", "return 2"))
}
