package catalog

import "stormgate.internal/tools/affected/truth/internal/gittree"

// onSetups are changes of what few workspaces have.
func onSetups() []Change {
	var changes []Change
	for _, some := range [][]Change{
		onTransitions(), onRegistry(), onRepositories(), onAttributes(), onMacros(), onExecution(), onGroups(), onQueries(), onSkylib(), onTags(),
	} {
		changes = append(changes, some...)
	}
	return changes
}

func onTransitions() []Change {
	return on("transition", kind("configuration",
		change("what a transition takes from an attribute", replace("trans/BUILD.bazel", `mode = "calm"`, `mode = "storm"`)),
		change("a transition's code", replace("trans/with.bzl", `attr.mode}`, `"storm"}`)),
		change("the file of a branch that a transition takes", appendTo("trans/rain.txt", "more\n")),
		change("a flag's default, which a transition sets too", replace("sel/BUILD.bazel", `build_setting_default = "calm"`, `build_setting_default = "storm"`)),
		change("a transition without its allowlist", replace("trans/with.bzl", "        \"_allowlist_function_transition\": attr.label(\n            default = \"@bazel_tools//tools/allowlists/function_transition_allowlist\",\n        ),\n", "")),
		change("no transition, and no allowlist", replace("trans/with.bzl", "        \"_allowlist_function_transition\": attr.label(\n            default = \"@bazel_tools//tools/allowlists/function_transition_allowlist\",\n        ),\n", ""), replace("trans/with.bzl", `attr.label(cfg = _to_mode)`, `attr.label_list()`), replace("trans/BUILD.bazel", "    dep = \":weather\",\n    mode = \"storm\"", "    dep = [\":weather\"],\n    mode = \"storm\""), replace("trans/BUILD.bazel", "    dep = \":weather\",\n    mode = \"calm\"", "    dep = [\":weather\"],\n    mode = \"calm\"")),
		change("an allowlist without a transition", replace("trans/with.bzl", `attr.label(cfg = _to_mode)`, `attr.label_list()`), replace("trans/BUILD.bazel", "    dep = \":weather\",\n    mode = \"storm\"", "    dep = [\":weather\"],\n    mode = \"storm\""), replace("trans/BUILD.bazel", "    dep = \":weather\",\n    mode = \"calm\"", "    dep = [\":weather\"],\n    mode = \"calm\"")),
	)...)
}

func onRegistry() []Change {
	return on("registry", kind("MODULE.bazel",
		change("another version of a module", replace("MODULE.bazel", `name = "foo", version = "1.0"`, `name = "foo", version = "1.1"`)),
		change("another version of a module, which asks for another one of a module", replace("MODULE.bazel", `name = "bar", version = "1.0"`, `name = "bar", version = "1.1"`)),
		change("one version of two, in a test", replace("reg/BUILD.bazel", "@twin1//", "@twin2//")),
		change("what a name stands for of two versions", replace("MODULE.bazel", `version = "1.0", repo_name = "twin1"`, `version = "1.0", repo_name = "twin"`), replace("MODULE.bazel", `version = "2.0", repo_name = "twin2"`, `version = "2.0", repo_name = "twin1"`)),
		change("a file of a module of a registry", appendTo("registry/foo-1.0/lib-1.0.txt", "edited\n")),
	)...)
}

func onRepositories() []Change {
	return append(on("listing", kind("repository",
		change("a file of a directory that code lists", appendTo("repos/tree/a.txt", "edited\n")),
		change("a new file of a directory that code lists", write("repos/tree/c.txt", "c\n")),
		change("a file less of a directory that code lists", remove("repos/tree/b.txt")),
	)...), on("repositories", kind("repository",
		change("a file that code goes to by paths", appendTo("repos/versions.txt", "2.0\n")),
		change("a variable that code reads", replace(".bazelrc", "SEED=1", "SEED=2")),
		change("a file that a written BUILD file names", appendTo("repos/named.txt", "edited\n")),
		change("a file that code links", appendTo("repos/linked.txt", "edited\n")),
		change("a template", appendTo("repos/page.tpl", "edited\n")),
		change("what is written into a template", replace("MODULE.bazel", `word = "one"`, `word = "two"`)),
		change("a file that a command prints", appendTo("repos/printed.txt", "edited\n")),
		change("what a repository is made of, which another one is made of", replace("MODULE.bazel", `text = "one"`, `text = "two"`)),
		change("what a file is that a repository is made of", replace("MODULE.bazel", `file = "@alpha_seed//:seed.txt"`, `file = "@beta_seed//:seed.txt"`)),
		change("a constant of code for repositories", replace("repos/defs.bzl", `    srcs = ["out.txt"],`, `    srcs = ["out.txt", "BUILD.bazel"],`)),
		change("code of one of several rules", replace("repos/defs.bzl", `ctx.getenv("SEED", "none")`, `ctx.getenv("SEED", "none") + "!"`)),
		change("a comment among code for repositories", appendTo("repos/defs.bzl", "# No more.\n")),
		change("the package of code for repositories", rename("repos", "code"), func(e *gittree.Editor) {
			for _, name := range []string{"by_path", "by_env", "by_alias", "by_link", "by_template", "by_command", "of_made"} {
				e.Replace("MODULE.bazel", `use_repo_rule("//repos:defs.bzl", "`+name+`")`, `use_repo_rule("//code:defs.bzl", "`+name+`")`)
			}
			for _, label := range []string{"linked.txt", "page.tpl", "printed.txt"} {
				e.Replace("code/defs.bzl", `"//repos:`+label, `"//code:`+label)
			}
			e.Replace("code/defs.bzl", "@@//repos:", "@@//code:")
			e.Replace("code/defs.bzl", `get_child("repos")`, `get_child("code")`)
		}),
	)...)...)
}

func onAttributes() []Change {
	const build = "uses/BUILD.bazel"
	return on("attributes", append(kind("test attribute",
		change("a variable that a dependency gives", replace(build, `colour = "red"`, `colour = "blue"`)),
		change("what paths in a variable lead to", replace(build, "srcs = [\"in.txt\"],\n)\n\ngroups", "srcs = [\"in.txt\", \"help.txt\"],\n)\n\ngroups")),
		change("a variable that is no longer inherited", replace(build, "    env_inherit = [\"SOME_VARIABLE\"],\n", "")),
		change("a script behind a group of files", appendTo("uses/start.sh", "# edited\n")),
		change("another script behind a group of files", replace(build, `srcs = ["start.sh"]`, `srcs = ["again.sh"]`), rename("uses/start.sh", "uses/again.sh")),
		change("a test that another one has behind an alias", appendTo("uses/in.txt", "edited\n")),
		change("a tag that a suite leaves out", replace(build, "    name = \"extra_test\",\n", "    name = \"extra_test\",\n    tags = [\"slow\"],\n")),
	), kind("BUILD",
		change("data of a generator's program", appendTo("uses/help.txt", "edited\n")),
		change("a generator's program", appendTo("uses/helper.sh", "echo more\n")),
		change("a file that two ways lead to has another name", rename("uses/in.txt", "uses/input.txt"), replace(build, "srcs = [\"in.txt\"],\n    outs", "srcs = [\"input.txt\"],\n    outs"), replace(build, "$(location in.txt)", "$(location input.txt)"), replace(build, "srcs = [\"in.txt\"],\n)\n\ngroups", "srcs = [\"input.txt\"],\n)\n\ngroups")),
		change("another group of outputs", replace(build, `output_group = "extra"`, `output_group = "more"`)),
		change("an output of no group that is taken", replace("uses/defs.bzl", `write(more, "more")`, `write(more, "still more")`)),
		change("an output of a group", replace("uses/defs.bzl", `write(extra, "extra")`, `write(extra, "another extra")`)),
		change("a package in a directory that is a source", rename("uses/folder/BUILD.txt", "uses/folder/BUILD")),
		change("a directory that is a source becomes a file", remove("uses/folder"), write("uses/folder", "a file\n")),
	)...)...)
}

func onMacros() []Change {
	return on("macros", append(kind(".bzl",
		change("a value of a table", replace("cases/table.bzl", `"right": "2"`, `"right": "3"`)),
		change("another order of a table", replace("cases/table.bzl", "  \"left\": \"1\",\n  \"right\": \"2\"\n", "  \"right\": \"2\",\n  \"left\": \"1\"\n")),
		change("an entry more in the middle of a table", replace("cases/table.bzl", "  \"left\": \"1\",\n", "  \"left\": \"1\",\n  \"middle\": \"5\",\n")),
		change("an entry less in a table", replace("cases/table.bzl", "  \"left\": \"1\",\n", "")),
		change("a default of a macro's argument", replace("cases/cases.bzl", `suffix = "_test"`, `suffix = "_check_test"`)),
		change("what a macro returns", replace("cases/cases.bzl", "        names.append(test)", "        names.insert(0, test)")),
		change("what a macro returns less", replace("cases/cases.bzl", "        names.append(test)", "        if index: names.append(test)")),
		change("a field of a struct that is handed on", replace("cases/twice.bzl", "struct(copy = _lib.copy)", "struct(copy = _lib.copy, tests = _lib.tests)")),
		change("a field of a struct is another function", replace("cases/cases.bzl", "    copy = _copy,\n", "    copy = _none,\n"), replace("cases/cases.bzl", "lib = struct(", "def _none(name):\n    native.filegroup(name = name)\n\nlib = struct(")),
		change("another module's macro", replace("third/macros.bzl", `data = [file, Label("//:lib.txt")]`, `data = [file]`)),
		change("another module's macro looks for other files", replace("third/macros.bzl", `"third/*.txt"`, `"third/*.*"`), write("cases/third/u.md", "u\n")),
		change("a file that another module's macro names", appendTo("third/lib.txt", "edited\n")),
	), kind("package",
		change("a file for a macro that makes a test of each", write("cases/third/u.txt", "u\n")),
		change("a file less for a macro that makes a test of each", remove("cases/third/t.txt"), write("cases/third/v.txt", "v\n")),
		change("a file into a glob of a macro that returns names", write("cases/right/r.txt", "r\n")),
		change("a new one splits a macro's glob", write("cases/left/BUILD.bazel", "")),
		change("one of macros moves", rename("cases", "checks")),
		change("a file that a macro's label names", appendTo("cases/copied.txt", "edited\n")),
	)...)...)
}

func onExecution() []Change {
	return append(on("execution", append(kind("toolchain",
		change("the file of another module's first", appendTo("third/tools/a.txt", "edited\n")),
		change("the file of another module's second", appendTo("third/tools/b.txt", "edited\n")),
		change("another module registers one only", replace("third/MODULE.bazel", "//tools:all", "//tools:b")),
		change("another module's is registered here, before its own order", replace("MODULE.bazel", "    \"//chains:first\",\n", "    \"@third//tools:b\",\n    \"//chains:first\",\n")),
		change("another module registers none for others", replace("third/MODULE.bazel", `register_toolchains("//tools:all")`, `register_toolchains("//tools:all", dev_dependency = True)`)),
		change("a module more registers one, which is not the first", appendTo("fourth/MODULE.bazel", "\nbazel_dep(name = \"third\")\n\nregister_toolchains(\"//:again\")\n"), appendTo("fourth/BUILD.bazel", "\ntoolchain(name = \"again\", toolchain = \"@third//tools:b_stamper\", toolchain_type = \"@third//tools:type\")\n"), replace("third/tools/BUILD.bazel", "    name = \"b_stamper\",\n", "    name = \"b_stamper\",\n    visibility = [\"//visibility:public\"],\n")),
		change("the file of one in a group of execution", appendTo("chains/first.txt", "edited again\n")),
		change("the type in a group of execution", replace("exec/defs.bzl", `exec_group(toolchains = ["//chains:type"])`, `exec_group(toolchains = ["@third//tools:type"])`), replace("exec/defs.bzl", `toolchains["//chains:type"]`, `toolchains["@third//tools:type"]`)),
		change("the rule of another module", replace("third/tools/defs.bzl", `toolchains[Label("//tools:type")].text]))`, `toolchains[Label("//tools:type")].text], order = "preorder"), runfiles = ctx.runfiles([ctx.toolchains[Label("//tools:type")].text]))`)),
	), kind("test attribute",
		change("a property of the group that tests run in", replace("exec/BUILD.bazel", `{"test.memory": "1"}`, `{"test.memory": "2"}`)),
	)...)...), on("machine", kind("configuration",
		change("a property of the platform that all runs on", replace("machine/BUILD.bazel", `"pool": "small"`, `"pool": "large"`)),
		change("a file beside platforms", appendTo("machine/notes.txt", "more\n")),
		change("a platform more, before the others", appendTo("machine/BUILD.bazel", "\nplatform(\n    name = \"first\",\n    exec_properties = {\"pool\": \"other\"},\n    parents = [\":parent\"],\n)\n")),
	)...)...)
}

func onGroups() []Change {
	const guarded = "guarded/BUILD.bazel"
	return on("groups", append(kind("BUILD",
		change("packages of a group that another one includes", replace(guarded, `["//guest/..."]`, `["//nobody/..."]`)),
		change("a group includes no other one", replace(guarded, "    includes = [\":more\"],\n", "")),
		change("a group has a package more", replace(guarded, `["//nobody"]`, `["//nobody", "//outsider"]`)),
		change("a group that is gone", replace(guarded, "package_group(\n    name = \"more\",\n    packages = [\"//guest/...\"],\n)\n", "")),
		change("visibility of what a window shows", replace(guarded, `visibility = [":friends"]`, `visibility = ["//visibility:private"]`)),
		change("visibility of a window", replace(guarded, "    actual = \":files\",\n    visibility = [\"//visibility:public\"],\n", "    actual = \":files\",\n")),
		change("visibility of a setting", replace(guarded, "    values = {\"define\": \"speed=fast\"},\n    visibility = [\"//visibility:public\"],\n", "    values = {\"define\": \"speed=fast\"},\n    visibility = [\"//visibility:private\"],\n")),
		change("a setting no longer says who may see it", replace(guarded, "    values = {\"define\": \"speed=fast\"},\n    visibility = [\"//visibility:public\"],\n", "    values = {\"define\": \"speed=fast\"},\n")),
		change("visibility of a file", replace(guarded, "//guest:__subpackages__", "//guest:__pkg__")),
		change("a file that is exported no more", replace(guarded, "exports_files(\n    [\"open.txt\"],\n    visibility = [\"//guest:__subpackages__\"],\n)\n", "")),
		change("what only tests may have, behind a window", replace(guarded, "    srcs = [\"f.txt\"],\n", "    srcs = [\"f.txt\"],\n    testonly = True,\n")),
		change("a package's default visibility, which nothing needs", replace(guarded, "default_visibility = [\"//visibility:private\"]", "default_visibility = [\"//visibility:public\"]")),
	), kind(".bzl",
		change("who may load a file", replace("guarded/private.bzl", "//guest/...", "//nobody/...")),
		change("anybody may load a file", replace("guarded/private.bzl", "\nvisibility([\"//guest/...\"])\n", "")),
	)...)...)
}

func onQueries() []Change {
	return on("queries", kind("BUILD",
		change("a dependency less of what a query prints", replace("asks/BUILD.bazel", "        \":low\",\n", "")),
		change("a tag for which a query asks", replace("asks/BUILD.bazel", `tags = ["red"]`, `tags = ["blue"]`)),
		change("a tag for which no query asks", replace("asks/BUILD.bazel", `tags = ["red"]`, `tags = ["green"]`)),
		change("a load more, of what a query prints", write("use/more.bzl", "\"\"\"More.\"\"\"\n\nMORE = 1\n"), replace("use/BUILD.bazel", "load(\"//rules:defs.bzl\"", "load(\":more.bzl\", \"MORE\")\nload(\"//rules:defs.bzl\"")),
		change("a query's expression", replace("asks/BUILD.bazel", `"deps(//asks:top)"`, `"deps(//asks:top, 1)"`)),
		change("a content of what a query prints", appendTo("asks/two.txt", "edited\n")),
	)...)
}

func onSkylib() []Change {
	const build = "sky/BUILD.bazel"
	return on("skylib", append(kind(".bzl",
		change("a function in a file whose attributes are put together", replace("sky/defs.bzl", "return paths.basename(name)", "return paths.dirname(name)")),
		change("a name that another module's function makes", replace("sky/defs.bzl", `paths.join("joined", "out.txt")`, `paths.join("joined", "more", "out.txt")`)),
		change("an attribute that is put to others", replace("sky/defs.bzl", `attr.label(allow_single_file = True)}`, `attr.label(allow_single_file = True), "_more": attr.label(default = "//:root.txt", allow_single_file = True)}`), replace("sky/defs.bzl", "[ctx.file.base] + ", "[ctx.file.base, ctx.file._more] + ")),
	), append(kind("BUILD",
		change("words that a rule writes", replace(build, `content = ["words"]`, `content = ["other words"]`)),
		change("what takes a place in a template", replace(build, `{"WORD": "word"}`, `{"WORD": "verb"}`)),
		change("a template of a rule", appendTo("sky/page.tpl", "more\n")),
		change("a path among outputs", replace(build, `subpath = "left.out"`, `subpath = "right.out"`)),
		change("a program that a rule runs", appendTo("sky/copy.sh", "echo more >>\"$2\"\n")),
		change("a file of one that is put to others", appendTo("sky/one.txt", "edited\n")),
		change("a file that must be the same", appendTo("sky/copied.in", "edited\n")),
		change("a file that must be the same as a repository's", appendTo("sky/seed.txt", "edited\n")),
		change("a repository's file that must be the same", replace("MODULE.bazel", `text = "one"`, `text = "two"`)),
	), kind("configuration",
		change("a flag by a switch", appendTo(".bazelrc", "build --//sky:loud\n")),
		change("a flag by a switch that is off", appendTo(".bazelrc", "build --no//sky:loud\n")),
		change("a value of two settings in one", replace(".bazelrc", "--//sky:level=low", "--//sky:level=high")),
		change("another module's flag has another default", replace(build, "build_setting_default = False", "build_setting_default = True")),
		change("a value more that a flag may have", replace(build, "        \"high\",\n        \"low\",\n", "        \"high\",\n        \"low\",\n        \"none\",\n")),
	)...)...)...)
}

func onTags() []Change {
	return on("tags", kind(".bazelrc",
		change("a filter less", replace(".bazelrc", "test --test_tag_filters=-nightly\n", "")),
		change("a filter more, of what no test has", replace(".bazelrc", "-nightly", "-nightly,-weekly")),
		change("a filter the other way round", replace(".bazelrc", "-nightly", "nightly")),
		change("an argument of all tests is spelled in another way", replace(".bazelrc", "--test_arg=yes", "--test_arg=1")),
		change("a config that is taken later", appendTo(".bazelrc", "test --config=later\n")),
	)...)
}
