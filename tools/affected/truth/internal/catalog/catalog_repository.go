package catalog

import "stormgate.internal/tools/affected/truth/internal/gittree"

func modules() []Change {
	return kind("MODULE.bazel",
		change("a comment", appendTo("MODULE.bazel", "\n# Nothing more.\n")),
		change("the text of an extension's tag", replace("MODULE.bazel", `text = "one"`, `text = "two"`)),
		change("the file of an extension's tag", replace("MODULE.bazel", `file = "//ext:beta.txt"`, `file = "//ext:template.txt"`)),
		change("a tag more, which nobody uses", replace("MODULE.bazel", "use_repo(seeds,", "seeds.seed(\n    name = \"gamma_seed\",\n    text = \"three\",\n)\nuse_repo(seeds, \"gamma_seed\",")),
		change("a tag more, and its user", replace("MODULE.bazel", "use_repo(seeds,", "seeds.seed(\n    name = \"gamma_seed\",\n    text = \"three\",\n)\nuse_repo(seeds, \"gamma_seed\","), appendTo("ext/BUILD.bazel", test("gamma_test", `data = ["@gamma_seed//:seed"]`))),
		change("texts of two tags", replace("MODULE.bazel", `text = "one"`, `text = "two"`), replace("ext/beta.txt", "beta", "gamma")),
		change("the name of a tag", replace("MODULE.bazel", "name = \"alpha_seed\",", "name = \"first_seed\","), replace("MODULE.bazel", `use_repo(seeds, "alpha_seed",`, `use_repo(seeds, "first_seed",`), replace("ext/BUILD.bazel", "@alpha_seed//:seed", "@first_seed//:seed")),
		change("a repository under another name here", replace("MODULE.bazel", `use_repo(seeds, "alpha_seed", "beta_seed")`, `use_repo(seeds, "beta_seed", first_seed = "alpha_seed")`), replace("ext/BUILD.bazel", `"@alpha_seed//:seed"`, `"@first_seed//:seed"`)),
		change("a name leads to another repository", replace("MODULE.bazel", `use_repo(seeds, "alpha_seed", "beta_seed")`, `use_repo(seeds, alpha_seed = "beta_seed", beta_seed = "alpha_seed")`)),
		change("the directory of a module", rename("fourth", "modules/fourth"), replace("MODULE.bazel", `path = "fourth"`, `path = "modules/fourth"`)),
		change("the directory of a module, to another content", replace("MODULE.bazel", `path = "fourth"`, `path = "modules/fourth"`),
			write("modules/fourth/MODULE.bazel", "module(name = \"fourth\")\n"), write("modules/fourth/BUILD.bazel", "filegroup(\n    name = \"lib\",\n    srcs = [\"lib.txt\"],\n    visibility = [\"//visibility:public\"],\n)\n"), write("modules/fourth/lib.txt", "another fourth\n")),
		change("the directory of a repository", rename("plain", "flat"), replace("MODULE.bazel", `path = "plain"`, `path = "flat"`)),
		change("the directory of a repository, with another content", rename("plain", "flat"), replace("MODULE.bazel", `path = "plain"`, `path = "flat"`), appendTo("flat/plain.txt", "edited\n")),
		change("the build file of a repository", rename("plain.BUILD", "flat.BUILD"), replace("MODULE.bazel", `"//:plain.BUILD"`, `"//:flat.BUILD"`), replace("BUILD.bazel", `"plain.BUILD"`, `"flat.BUILD"`)),
		change("a module more, which nobody uses", replace("MODULE.bazel", "bazel_dep(name = \"fourth\")\n", "bazel_dep(name = \"fourth\")\nbazel_dep(name = \"fifth\")\nlocal_path_override(module_name = \"fifth\", path = \"fifth\")\n"), write("fifth/MODULE.bazel", "module(name = \"fifth\")\n"), appendTo(".bazelignore", "fifth\n")),
		change("the version of this module", replace("MODULE.bazel", `module(name = "mill")`, `module(name = "mill", version = "1.0")`)),
		change("the versions of Bazel that this module allows, of which this is one", replace("MODULE.bazel", `module(name = "mill")`, `module(name = "mill", bazel_compatibility = [">=7.0.0"])`)),
		change("the name of this module", replace("MODULE.bazel", `module(name = "mill")`, `module(name = "watermill")`)),
		change("the name of this module for itself, which is its name", replace("MODULE.bazel", `module(name = "mill")`, `module(name = "mill", repo_name = "mill")`)),
		change("a module under another name here", replace("MODULE.bazel", `bazel_dep(name = "fourth")`, `bazel_dep(name = "fourth", repo_name = "four")`), replace("ext/BUILD.bazel", `"@fourth//:lib"`, `"@four//:lib"`)),
		change("a module under another name in another module", replace("third/MODULE.bazel", `"quarter"`, `"four"`), replace("third/BUILD.bazel", "@quarter//", "@four//")),
		change("a module has a name for this one", appendTo("third/MODULE.bazel", "bazel_dep(name = \"mill\")\n")),
		change("the spelling of a statement", replace("MODULE.bazel", "use_repo(\n    go_deps,\n    \"test_example_alpha\",\n    \"test_example_beta\",\n)", `use_repo(go_deps, "test_example_beta", "test_example_alpha")`)),
	)
}

func repositories() []Change {
	return kind("repository",
		change("a file of a module", appendTo("third/lib.txt", "edited\n")),
		change("a file of a module that no test reaches", appendTo("third/unused.txt", "edited\n")),
		change("a .bzl file of a module", replace("third/defs.bzl", `["--third"]`, `["--three"]`)),
		change("a comment in a .bzl file of a module", appendTo("third/defs.bzl", "# No more.\n")),
		change("a BUILD file of a module", replace("third/BUILD.bazel", `["lib.txt"]`, `["lib.txt", "unused.txt"]`)),
		change("a comment in a BUILD file of a module", appendTo("third/BUILD.bazel", "# No more.\n")),
		change("a file of another module", appendTo("fourth/lib.txt", "edited\n")),
		change("a file in a package that a module's own .bazelignore hides", write("third/.bazelignore", "more\n"), write("third/more/BUILD.bazel", "fail(\"hidden\")\n"), write("third/more/lib.txt", "more\n"), replace("third/BUILD.bazel", `["lib.txt"]`, `["lib.txt", "more/lib.txt"]`)),
		change("a file that an extension's repository reads", appendTo("ext/beta.txt", "edited\n")),
		change("a file that a repository rule reads by default", replace("ext/template.txt", "SEED", "SEED!")),
		change("a file of a repository in a directory", appendTo("plain/plain.txt", "edited\n")),
		change("a new file of a repository in a directory", write("plain/more.txt", "more\n")),
		change("a file of a repository in a directory, outside its glob", write("plain/more.md", "more\n")),
		change("the build file of a repository in a directory", replace("plain.BUILD", `glob(["*.txt"])`, `["plain.txt", "BUILD.bazel"]`)),
		change("a repository rule", replace("ext/repository.bzl", `replace("SEED", text)`, `replace("SEED", text + text)`)),
		change("a comment in a repository rule", appendTo("ext/repository.bzl", "\n# No more.\n")),
		change("an extension", replace("ext/extensions.bzl", "text = seed.text,", "text = seed.text.upper(),")),
		change("an extension, for the same repositories", replace("ext/extensions.bzl", "name = seed.name,", `name = "%s" % seed.name,`)),
		change("an extension gives one text to all", replace("ext/extensions.bzl", "text = seed.text,", `text = "same",`)),
		change("a repository rule, for one of its attributes", replace("ext/repository.bzl", "text = repository_ctx.read(repository_ctx.attr.file)", "text = repository_ctx.read(repository_ctx.attr.file).upper()")),
		change("a comment in an extension", appendTo("ext/extensions.bzl", "\n# No more.\n")),
	)
}

func golang() []Change {
	return append(kind("Go",
		change("a library", replace("golang/count/count.go", "2 * alpha", "3 * alpha")),
		change("a test", replace("golang/name/name_test.go", `t.Error("empty")`, `t.Error("it is empty")`)),
		change("an embedded file", appendTo("golang/name/name.txt", "edited")),
		change("a file of a test's data", appendTo("golang/name/testdata/golden.txt", "edited\n")),
		change("a test of its own", replace("golang/bare/bare_test.go", "TestBare", "TestBarest")),
		change("a program", replace("golang/program/main.go", "fmt.Println(", "fmt.Println(1, ")),
		change("a new source", write("golang/bare/more_test.go", "package bare\n\nimport \"testing\"\n\nfunc TestMore(*testing.T) {}\n"), replace("golang/bare/BUILD.bazel", `["bare_test.go"]`, `["bare_test.go", "more_test.go"]`)),
		change("a new source that no target names", write("golang/bare/more_test.go", "package bare\n")),
		change("a linker's flag", replace("golang/bare/BUILD.bazel", `srcs = ["bare_test.go"],`, `srcs = ["bare_test.go"], gc_linkopts = ["-s"],`)),
	), kind("go.mod",
		change("the version of the language", replace("go.mod", "go 1.26.0\n", "go 1.26.1\n")),
		ofGo(change("the version of the toolchain", replace("go.mod", "toolchain go1.26.8\n", "toolchain go1.26.7\n"))),
		change("no toolchain, and the language's version is the same", replace("go.mod", "go 1.26.0\n\ntoolchain go1.26.8\n", "go 1.26.8\n")),
		ofGo(change("no toolchain, and the language's version is an older one", replace("go.mod", "\ntoolchain go1.26.8\n", ""))),
		change("the version of a module that a directory replaces", replace("go.mod", "example.test/alpha v1.0.0\n", "example.test/alpha v1.0.1\n")),
		change("a comment", replace("go.mod", "go 1.26.0\n", "// The newest.\ngo 1.26.0\n")),
		change("the replacement of one module", replace("go.mod", "=> ./modules/alpha\n", "=> ./modules/alpha2\n")),
		change("a source of a module", replace("modules/alpha/alpha.go", "return 1", "return 3")),
		change("a source of a module's module", replace("modules/gamma/gamma.go", `return "gamma"`, `return "Gamma"`)),
		change("a source of a module that nobody uses", replace("modules/alpha2/alpha.go", "return 2", "return 4")),
		change("a module more, which nobody uses", replace("go.mod", "require example.test/gamma v1.0.0 // indirect\n", "require (\n\texample.test/gamma v1.0.0 // indirect\n\texample.test/delta v1.0.0 // indirect\n)\n"), replace("go.mod", "=> ./modules/gamma\n", "=> ./modules/gamma\n\texample.test/delta => ./modules/delta\n"), write("modules/delta/go.mod", "module example.test/delta\n\ngo 1.26.0\n"), write("modules/delta/delta.go", "package delta\n")),
		change("the directory of a module's module", rename("modules/gamma", "modules/g"), replace("go.mod", "./modules/gamma\n", "./modules/g\n")),
		change("another spelling of the same", replace("go.mod", "require example.test/gamma v1.0.0 // indirect\n", "require (\n\texample.test/gamma v1.0.0 // indirect\n)\n")),
	)...)
}

// ofGo says of a change of the Go SDK whom it affects.
func ofGo(c Change) Change {
	c.Elsewhere = "rules_go downloads the SDK that go.mod names; here it is the machine's"
	c.ElsewhereTests = []string{"//golang/bare:bare_test", "//golang/count:count_test", "//golang/name:name_test", "//golang/program:program_test"}
	return c
}

func rcFiles() []Change {
	return kind(".bazelrc",
		change("a comment", appendTo(".bazelrc", "# Nothing more.\n")),
		change("how output looks", replace(".bazelrc", "--test_output=errors", "--test_output=summary")),
		change("how much runs at once", appendTo(".bazelrc", "build --jobs=3\n")),
		change("a variable of all tests", replace(".bazelrc", "SHARED=1", "SHARED=2")),
		change("a variable of all tests more", appendTo(".bazelrc", "test --test_env=MORE=1\n")),
		change("a define of a config that is not taken", replace(".bazelrc", "build:fast --define=speed=fast", "build:fast --define=speed=faster")),
		change("a define that a test selects by", appendTo(".bazelrc", "build --define=speed=fast\n")),
		change("a define that no test selects by", appendTo(".bazelrc", "build --define=colour=red\n")),
		change("a define, overwritten", appendTo(".bazelrc", "build --define=speed=fast\nbuild --define=speed=slow\n")),
		change("a define, and a setting that asks for it", appendTo(".bazelrc", "build --define=colour=red\n"), replace("sel/BUILD.bazel", `"speed=fast"`, `"colour=red"`)),
		change("a define that rules_go reads", appendTo(".bazelrc", "build --define=gotags=red\n")),
		change("a define that the command of a generator names", appendTo(".bazelrc", "build --define=colour=red\n"), replace("gen/BUILD.bazel", "wc -l < $< > $@", "(wc -l < $<; echo $(colour)) > $@")),
		change("a config is taken", appendTo(".bazelrc", "build --config=fast\n")),
		change("a config of a file that is imported", replace("ci.bazelrc", "CI=1", "CI=2")),
		change("a line of a file that is imported", appendTo("ci.bazelrc", "test --test_env=CI=2\n")),
		change("a file that may be there is", write("user.bazelrc", "build --color=no\n")),
		change("a flag of this repository", appendTo(".bazelrc", "build --//sel:mode=storm\n")),
		change("a flag of this repository, another value and then its default", appendTo(".bazelrc", "build --//sel:mode=storm\nbuild --//sel:mode=calm\n")),
		change("a flag of this repository, at its default", appendTo(".bazelrc", "build --//sel:mode=calm\n")),
		change("variables of actions", appendTo(".bazelrc", "build --action_env=ACTION=1\n")),
		change("timeouts of all tests", appendTo(".bazelrc", "test --test_timeout=120\n")),
		change("lines for other commands", appendTo(".bazelrc", "query --output=label\nrun --config=fast\n")),
		change("the order of two lines", replace(".bazelrc", "build --incompatible_strict_action_env\nbuild --nobuild_runfile_links\n", "build --nobuild_runfile_links\nbuild --incompatible_strict_action_env\n")),
	)
}

func programs() []Change {
	version := change("another version", replace(".bazelversion", "7.7.1", "7.7.2"))
	version.Elsewhere = "Bazelisk runs another Bazel; the Bazel of this machine may be the only one there is"
	return append(append(kind(".bazelversion", version),
		kind("tools/bazel",
			change("a variable for all tests", write("tools/bazel", `#!/bin/sh
# Bazelisk runs this in Bazel's place.
for word in "$@"; do
  case "$word" in
  -*) ;; # before the command
  test) set -- "$@" --test_env=WRAPPED=1; break ;;
  *) break ;;
  esac
done
exec "$BAZEL_REAL" "$@"
`)),
		)...),
		kind("workspace status",
			change("a stable value", replace("tools/status.sh", "hello", "good morning")),
			change("a volatile value", replace("tools/status.sh", "BUILD_COUNTER 1", "BUILD_COUNTER 2")),
			change("a stable value more", appendTo("tools/status.sh", "echo \"STABLE_MORE 1\"\n")),
			change("a comment", appendTo("tools/status.sh", "# Nothing more.\n")),
			change("a volatile value more", appendTo("tools/status.sh", "echo \"BUILD_MORE $(date)\"\n")),
			change("a stable value of a variable", replace("tools/status.sh", "echo \"STABLE_GREETING hello\"\n", "GREETING=welcome\necho \"STABLE_GREETING $GREETING\"\n")),
			change("a stable value of a function", replace("tools/status.sh", "echo \"STABLE_GREETING hello\"\n", "greeting() {\n  echo welcome\n}\necho \"STABLE_GREETING $(greeting)\"\n")),
			change("another program says something else", rename("tools/status.sh", "tools/state.sh"), replace("tools/state.sh", "hello", "welcome"), replace("tools/BUILD.bazel", "status.sh", "state.sh"), replace(".bazelrc", "tools/status.sh", "tools/state.sh")),
			change("another program says the same", rename("tools/status.sh", "tools/state.sh"), replace("tools/BUILD.bazel", "status.sh", "state.sh"), replace(".bazelrc", "tools/status.sh", "tools/state.sh")),
			change("what is stamped", replace("stamp/BUILD.bazel", "grep GREETING", "grep -i GREETING")),
			change("stamping ends", replace("stamp/BUILD.bazel", "stamp = 1", "stamp = 0"), replace("stamp/BUILD.bazel", "grep GREETING bazel-out/stable-status.txt > $@", "echo none > $@")),
		)...)
}

// history is a change of several commits.
func history(name string, commits ...func(*gittree.Editor)) Change {
	return Change{Name: name, Commits: commits}
}

func histories() []Change {
	return kind("history",
		history("an edit, taken back", appendTo("text/a.txt", "edited\n"), replace("text/a.txt", "edited\n", "")),
		history("an edit of all, taken back, and one that stays", appendTo("tools/check.sh", "# edited\n"), replace("tools/check.sh", "# edited\n", ""), appendTo("text/a.txt", "edited\n")),
		history("deleted and made again", remove("use/u.txt"), write("use/u.txt", "u\n")),
		history("deleted and made again, with another content", remove("use/u.txt"), write("use/u.txt", "another u\n")),
		history("there and back", rename("use", "used"), rename("used", "use")),
		history("a test is added, then edited", appendTo("suites/BUILD.bazel", test("s3_test")), replace("suites/BUILD.bazel", test("s3_test"), test("s3_test", `args = ["x"]`))),
		history("a test is added, then removed", appendTo("suites/BUILD.bazel", test("s3_test")), replace("suites/BUILD.bazel", test("s3_test"), "")),
		history("a document, a source, a BUILD file", appendTo("docs/guide.md", "edited\n"), appendTo("gen/words.in", "plum\n"), replace("attrs/BUILD.bazel", `"--verbose"`, `"--quiet"`)),
		history("a rename, then an edit", rename("use/part.txt", "use/piece.txt"), replace("use/BUILD.bazel", `["part.txt"]`, `["piece.txt"]`), appendTo("use/piece.txt", "edited\n")),
		history("a move to another package, then a test there", all(rename("use/v.txt", "alias/v.txt"), appendTo("alias/BUILD.bazel", "\nexports_files([\"v.txt\"])\n"), replace("use/BUILD.bazel", `["v.txt"]`, `["//alias:v.txt"]`)), appendTo("alias/BUILD.bazel", test("moved_test", `data = ["v.txt"]`)), appendTo("alias/v.txt", "edited\n")),
		history("a new rule, then its use", all(write("rules/private/copy.bzl", `"""Copies."""

def _copy_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = out, target_file = ctx.file.src)
    return [DefaultInfo(files = depset([out]))]

copy = rule(
    implementation = _copy_impl,
    attrs = {"src": attr.label(allow_single_file = True)},
)
`), replace("rules/defs.bzl", "load(\"//rules/private:forest.bzl\"", "load(\"//rules/private:copy.bzl\", _copy = \"copy\")\nload(\"//rules/private:forest.bzl\""), appendTo("rules/defs.bzl", "\ncopy = _copy\n")),
			all(replace("use/BUILD.bazel", `"inventory", "pack"`, `"copy", "inventory", "pack"`), appendTo("use/BUILD.bazel", "\ncopy(name = \"copied\", src = \"v.txt\")\n"+test("copied_test", `data = [":copied"]`))), appendTo("docs/guide.md", "edited\n")),
		history("a package is split in three steps", write("text/deep/BUILD.bazel", ""), write("text/deep/BUILD.bazel", "exports_files([\"c.txt\"])\n"), replace("text/BUILD.bazel", `glob(
        ["deep/**"],
        allow_empty = True,
    )`, `["//text/deep:c.txt"]`)),
		history("a link, then what it leads to", link("links/link.txt", "../docs/guide.md"), appendTo("docs/guide.md", "edited\n"), appendTo("docs/linked.md", "edited\n")),
		history("a mode, and back", chmod("text/a.txt", gittree.Executable), chmod("text/a.txt", gittree.Regular)),
		history("a submodule, and back", func(e *gittree.Editor) { e.Pin(SubmodulePath, "lib-edited") }, func(e *gittree.Editor) { e.Pin(SubmodulePath, "v1") }),
		history("three tests in three packages", appendTo("sel/calm.txt", "edited\n"), appendTo("stamp/BUILD.bazel", "\n# edited\n"), appendTo("third/lib.txt", "edited\n")),
		history("nothing but documents", appendTo("docs/guide.md", "edited\n"), appendTo("README.md", "Edited.\n"), write("docs/more.md", "more\n")),
	)
}

func uncommitted() []Change {
	var changes []Change
	for _, c := range []Change{
		history("an edit", appendTo("text/a.txt", "edited\n")),
		history("a new file that git does not know", write("text/new.txt", "new\n")),
		history("a new file that git ignores", write(".gitignore", "*.map\n"), write("text/new.map", "new\n")),
		history("a deletion", remove("text/deep/deeper/e.txt")),
		history("a rename", rename("text/deep/c.txt", "text/deep/deeper/c.txt")),
		history("a link leads elsewhere", link("links/link.txt", "../docs/guide.md")),
		history("a commit, and an edit", appendTo("sel/calm.txt", "edited\n"), appendTo("use/u.txt", "edited\n")),
		history("a commit, taken back", appendTo("sel/calm.txt", "edited\n"), replace("sel/calm.txt", "edited\n", "")),
		history("a BUILD file", replace("attrs/BUILD.bazel", `"--verbose"`, `"--quiet"`)),
		history("a .bzl file", replace("matrix/versions.bzl", "    \"1.1\",\n", "")),
		history("a new package", write("fresh/BUILD.bazel", test("fresh_test")[1:])),
		history("a document", appendTo("docs/guide.md", "edited\n")),
	} {
		c.Uncommitted = true
		changes = append(changes, c)
	}
	return kind("work tree", changes...)
}

func broken() []Change {
	return kind("broken",
		change("a BUILD file that can't be parsed", appendTo("suites/BUILD.bazel", "\nsh_test(\n")),
		change("marks of a conflict in a BUILD file", replace("suites/BUILD.bazel", `    name = "s2_test",`, "<<<<<<< ours\n    name = \"s2_test\",\n=======\n    name = \"s3_test\",\n>>>>>>> theirs\n")),
		change("a BUILD file that names what is not there", replace("use/BUILD.bazel", `["v.txt"]`, `["absent.txt"]`)),
		change("a file that a target still names", remove("use/u.txt")),
		change("a .bzl file that fails", appendTo("rules/listing.bzl", "\nfail(\"broken\")\n")),
		change("a load of what is not there", replace("matrix/BUILD.bazel", `"matrix_tests")`, `"matrix_test")`)),
	)
}
