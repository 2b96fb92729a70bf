package catalog

import "stormgate.internal/tools/affected/truth/internal/gittree"

// refusals are changes that Bazel refuses, in one of the ways in which it can.
func refusals() []Change {
	const suites = "suites/BUILD.bazel"
	more := func(attribute string) func(*gittree.Editor) {
		return replace(suites, "    name = \"s2_test\",\n", "    name = \"s2_test\",\n    "+attribute+",\n")
	}
	return kind("broken",
		change("a text where a list belongs", more(`data = "x.txt"`)),
		change("an attribute that no such rule has", more(`colour = "red"`)),
		change("an attribute of another type in a list", more(`args = [1]`)),
		change("a target without what it must be given", appendTo(suites, "\nalias(name = \"nothing\")\n")),
		change("two targets of one name", appendTo(suites, test("s2_test"))),
		change("two rules for one output", appendTo("gen/BUILD.bazel", "\ngenrule(name = \"again\", outs = [\"words.out\"], cmd = \"echo > $@\")\n")),
		change("a function in a BUILD file", appendTo(suites, "\ndef nothing():\n    pass\n")),
		change("a loop in a BUILD file", appendTo(suites, "\nfor word in [\"a\"]:\n    print(word)\n")),
		change("a condition in a BUILD file", appendTo(suites, "\nif True:\n    print(1)\n")),
		change("a BUILD file that prints", appendTo(suites, "\nprint(\"loaded\")\n")),
		change("a BUILD file that fails", appendTo(suites, "\nfail(\"not now\")\n")),
		change("a sum of a text and a number", appendTo(suites, "\nSUM = \"a\" + 1\n")),
		change("a label that is none", more(`data = ["//a//b"]`)),
		change("a pattern that is none", more(`data = glob(["/x"])`)),
		change("a label into a package in a package", more(`data = ["//text:pkg/p.txt"]`)),
		change("a package that is not there", more(`data = ["//nowhere:x.txt"]`)),
		change("a repository that is not there", more(`data = ["@nowhere//:x.txt"]`)),
		change("a circle of aliases", more(`data = [":a"]`), appendTo(suites, "\nalias(name = \"a\", actual = \":b\")\n\nalias(name = \"b\", actual = \":a\")\n")),
		change("a circle of loads", replace("rules/private/words.bzl", "SEPARATOR = \"--\"", "load(\":pack.bzl\", \"pack\")\n\nSEPARATOR = \"--\"")),
		change("a load of a private name", appendTo("rules/private/words.bzl", "\n_PRIVATE = 1\n"), replace("rules/private/pack.bzl", `"join")`, `"join", "_PRIVATE")`)),
		change("a load of a file that is not there", replace("matrix/BUILD.bazel", "//rules:matrix.bzl", "//rules:tables.bzl")),
		change("a .bzl file that is gone", remove("rules/matrix.bzl")),
		change("a BUILD file that is gone, of a package that is loaded", remove("rules/private/BUILD.bazel")),
		change("a function that calls itself", replace("matrix/versions.bzl", "NOT_TESTED", "def again(n):\n    return again(n)\n\nAGAIN = again(1)\n\nNOT_TESTED")),
		change("a name twice in a .bzl file", appendTo("matrix/versions.bzl", "\nNOT_TESTED = []\n")),
		change("an implementation that fails", replace("rules/private/pack.bzl", "    out = ctx.actions", "    fail(\"not packed\")\n    out = ctx.actions")),
		change("an implementation that writes nothing", replace("rules/private/forest.bzl", "    ctx.actions.run_shell(", "    ctx.actions.do_nothing(mnemonic = \"Grow\")\n    if not out: ctx.actions.run_shell(")),
		change("a dependency that only tests may have", replace("alias/BUILD.bazel", `srcs = ["target.txt"],`, `srcs = ["target.txt"], testonly = True,`)),
		change("a file that all tests name", remove("tools/check.sh")),
		change("a program of a generator that is gone", remove("tools/upper.sh")),
		change("a link to nothing", link("text/a.txt", "nowhere.txt")),
		change("a link to itself", link("text/a.txt", "a.txt")),
		change("a link to the directory that it is in", link("text/deep/up", ".")),
		change("a link to itself among files of no glob", link("attrs/itself.md", "itself.md")),
		change("a file becomes a directory", remove("use/u.txt"), write("use/u.txt/inside.txt", "inside\n")),
		change("a file becomes a directory with a package", remove("use/u.txt"), write("use/u.txt/BUILD.bazel", "")),
		change("a toolchain that is not there", replace("MODULE.bazel", "    \"//chains:first\",\n", "    \"//chains:third\",\n")),
		change("a setting of a flag that is not there", replace("sel/BUILD.bazel", `{":mode": "storm"}`, `{":mood": "storm"}`)),
		change("no branch that fits", replace("sel/BUILD.bazel", "        \":fast\": [\"--fast\"],\n        \"//conditions:default\": [],\n", "        \":fast\": [\"--fast\"],\n")),
		change("a select of what is no setting", replace("sel/BUILD.bazel", `":fast": ["--fast"]`, `"calm.txt": ["--fast"]`)),
		change("a default visibility that hides all", replace("REPO.bazel", "//visibility:public", "//visibility:private")),
		change("a suite of what is no test", replace(suites, `":s1_test",`, `":s1_test", "//tools:upper",`)),
	)
}

// lines are lines of .bazelrc that say the same in another way, or little.
func lines() []Change {
	const shared = "test --test_env=SHARED=1\n"
	return kind(".bazelrc",
		change("an option in quotes", replace(".bazelrc", shared, "test \"--test_env=SHARED=1\"\n")),
		change("an option and its value in two words", replace(".bazelrc", shared, "test --test_env SHARED=1\n")),
		change("a comment at a line's end", replace(".bazelrc", shared, "test --test_env=SHARED=1  # of all tests\n")),
		change("a line that goes on in the next one", replace(".bazelrc", shared, "test \\\n  --test_env=SHARED=2\n")),
		change("an option for all commands", replace(".bazelrc", shared, "common --test_env=SHARED=2\n")),
		change("another name for a flag of this repository", appendTo(".bazelrc", "build --flag_alias=mode=//sel:mode\nbuild --mode=storm\n")),
		change("a name of a configuration", appendTo(".bazelrc", "build --embed_label=today\n")),
		change("a file that may be there has a variable of all tests", write("user.bazelrc", "test --test_env=MINE=1\n")),
		change("each test is run twice", appendTo(".bazelrc", "test --runs_per_test=2\n")),
		change("a variable that tests inherit", appendTo(".bazelrc", "test --test_env=NOBODY_SETS_THIS\n")),
		change("a config that has this system's name, and is not taken", appendTo(".bazelrc", "test:linux --test_env=SYSTEM=1\n")),
		change("a config that has this system's name, and is taken", appendTo(".bazelrc", "common --enable_platform_specific_config\ntest:linux --test_env=SYSTEM=1\n")),
		change("a variable of repositories that none reads", appendTo(".bazelrc", "common --repo_env=NOBODY_READS_THIS=1\n")),
		change("what a filter leaves out", appendTo(".bazelrc", "test --test_tag_filters=-nightly\n")),
	)
}
