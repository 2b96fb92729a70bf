package catalog

import "stormgate.internal/tools/affected/truth/internal/gittree"

func contents() []Change {
	return kind("content",
		change("a glob's file", appendTo("text/a.txt", "edited\n")),
		change("a file below the glob's package", appendTo("text/deep/c.txt", "edited\n")),
		change("a file deeper below it", appendTo("text/deep/deeper/e.txt", "edited\n")),
		change("a file that the glob excludes by name", appendTo("text/secret.txt", "edited\n")),
		change("a file that the glob excludes by directory", appendTo("text/draft/x.txt", "edited\n")),
		change("a file in no glob", appendTo("text/orphan.md", "edited\n")),
		change("a file of the package in the package", appendTo("text/pkg/p.txt", "edited\n")),
		change("a file that the package in the package does not use", appendTo("text/pkg/q.txt", "edited\n")),
		change("a generated file's source", appendTo("gen/words.in", "plum\n")),
		change("a source whose output stays the same", replace("gen/words.in", "# words", "# some words")),
		change("a source whose output's output stays the same", replace("gen/words.in", "apple", "grape")),
		change("the source of one of two outputs", replace("gen/split.in", "left", "LEFT")),
		change("a source that no test reaches", appendTo("gen/nobody.in", "edited\n")),
		change("a tool of a generator", replace("tools/upper.sh", "tr a-z A-Z", "tr a-y A-Y")),
		change("a source of a generator with a tool", appendTo("gen/tooled.in", "edited\n")),
		change("a source behind two aliases", appendTo("alias/target.txt", "edited\n")),
		change("a source that no alias names", appendTo("alias/other.txt", "edited\n")),
		change("data of a library of a library", appendTo("runfiles/inner.txt", "edited\n")),
		change("a library of a library", appendTo("runfiles/inner.sh", "# edited\n")),
		change("a library", appendTo("runfiles/outer.sh", "# edited\n")),
		change("a runfile at another place", appendTo("runfiles/placed.txt", "edited\n")),
		change("a test's own script", appendTo("runfiles/own.sh", "# edited\n")),
		change("the script of all tests", appendTo("tools/check.sh", "# edited\n")),
		change("the script of one test", appendTo("tools/lonely.sh", "# edited\n")),
		change("a file of a source directory", appendTo("tree/folder/sub/y", "edited\n")),
		change("a file of an output directory", appendTo("tree/leaves/l1", "edited\n")),
		change("a source of a rule", appendTo("use/u.txt", "edited\n")),
		change("a source of a rule's dependency", appendTo("use/part.txt", "edited\n")),
		change("a source of a macro's rule", appendTo("use/v.txt", "edited\n")),
		change("a rule's default source", appendTo("rules/header.txt", "edited\n")),
		change("a file of a directory without a package", replace("config/app.json", "calm", "storm")),
		change("an argument's file", appendTo("attrs/args.txt", "edited\n")),
		change("a file in the glob of a macro", appendTo("matrix/2.0/two.txt", "edited\n")),
		change("a file that a macro's argument names", appendTo("matrix/one.txt", "edited\n")),
		change("files of two packages", appendTo("text/b.txt", "edited\n"), appendTo("sel/calm.txt", "edited\n")),
	)
}

func additions() []Change {
	return kind("addition",
		change("a file into a glob", write("text/new.txt", "new\n")),
		change("a file into a glob, deep", write("text/deep/very/new.txt", "new\n")),
		change("a file into an exclude", write("text/draft/new.txt", "new\n")),
		change("a file of another extension", write("text/new.md", "new\n")),
		change("a first file for an empty glob", write("text/new.map", "new\n")),
		change("a file into a package in a package", write("text/pkg/new.txt", "new\n")),
		change("a file into a macro's empty glob", write("matrix/1.1/new.txt", "new\n")),
		change("a file for a version without a test", write("matrix/3.0/new.txt", "new\n")),
		change("a file into a source directory", write("tree/folder/new", "new\n")),
		change("a file into a rule's glob", write("tree/leaves/l3", "l3\n")),
		change("a file that a target then names", write("use/new.txt", "new\n"), replace("use/BUILD.bazel", `"u.txt",`, `"new.txt", "u.txt",`)),
		change("a test", write("suites/new.txt", "new\n"), appendTo("suites/BUILD.bazel", test("s3_test", `data = ["new.txt"]`))),
		change("a test with a tag that hides it", appendTo("suites/BUILD.bazel", test("s3_test", `tags = ["manual"]`))),
		change("a target that is no test", appendTo("suites/BUILD.bazel", "\nfilegroup(name = \"new\", srcs = [\"//text:a.txt\"])\n")),
		change("a file of a Go test's data", write("golang/name/testdata/more.txt", "more\n")),
	)
}

func deletions() []Change {
	return kind("deletion",
		change("a file of a glob", remove("text/deep/deeper/e.txt")),
		change("the last file of a directory", remove("text/deep/d.md")),
		change("a file of no glob", remove("text/orphan.md")),
		change("a file of an exclude", remove("text/draft/x.txt")),
		change("a file outside of packages", remove("docs/guide.md")),
		change("a file and its place in a list", remove("use/u.txt"), replace("use/BUILD.bazel", "        \"u.txt\",\n", "")),
		change("a test", replace("suites/BUILD.bazel", test("s2_test"), "")),
		change("a test of a suite", replace("suites/BUILD.bazel", test("s1_test"), ""), replace("suites/BUILD.bazel", "        \":s1_test\",\n", "")),
		change("a file of an output directory", remove("tree/leaves/l2")),
		change("a file of a source directory", remove("tree/folder/sub/y")),
		change("all files of a macro's glob", remove("matrix/2.0")),
		change("a generator that no test reaches", replace("gen/BUILD.bazel", `
# No test reaches it.
genrule(
    name = "nobody",
    srcs = ["nobody.in"],
    outs = ["nobody.out"],
    cmd = "cp $< $@",
)
`, ""), remove("gen/nobody.in")),
	)
}

func renames() []Change {
	return kind("rename",
		change("within a glob", rename("text/a.txt", "text/z.txt"), replace("text/BUILD.bazel", `srcs = ["a.txt"]`, `srcs = ["z.txt"]`)),
		change("deeper within a glob", rename("text/deep/c.txt", "text/deep/deeper/c.txt")),
		change("out of a glob", rename("text/deep/deeper/e.txt", "text/deep/deeper/e.md")),
		change("into an exclude", rename("text/deep/deeper/e.txt", "text/draft/e.txt")),
		change("out of an exclude", rename("text/draft/x.txt", "text/deep/x.txt")),
		change("outside of packages", rename("docs/guide.md", "docs/manual.md")),
		change("from one package into another's glob", rename("text/pkg/q.txt", "text/q.txt")),
		change("out of a package, with its label", rename("use/v.txt", "alias/v.txt"), appendTo("alias/BUILD.bazel", "\nexports_files([\"v.txt\"])\n"), replace("use/BUILD.bazel", `["v.txt"]`, `["//alias:v.txt"]`)),
		change("with an edit", rename("use/part.txt", "use/piece.txt"), appendTo("use/piece.txt", "edited\n"), replace("use/BUILD.bazel", `["part.txt"]`, `["piece.txt"]`)),
		change("a generator's source", rename("gen/words.in", "gen/terms.in"), replace("gen/BUILD.bazel", `srcs = ["words.in"]`, `srcs = ["terms.in"]`)),
		change("a target", replace("use/BUILD.bazel", `name = "part"`, `name = "piece"`), replace("use/BUILD.bazel", `":part"`, `":piece"`)),
		change("a test", replace("suites/BUILD.bazel", `name = "s2_test"`, `name = "s4_test"`)),
		change("a package", rename("alias", "nickname")),
		change("a package that others name", rename("chains", "links/chains"), replace("MODULE.bazel", "//chains:first", "//links/chains:first"), replace("MODULE.bazel", "//chains:second", "//links/chains:second"),
			func(e *gittree.Editor) {
				e.Replace("links/chains/chain.bzl", `toolchains = ["//chains:type"]`, `toolchains = ["//links/chains:type"]`)
			},
			func(e *gittree.Editor) {
				e.Replace("links/chains/chain.bzl", `ctx.toolchains["//chains:type"]`, `ctx.toolchains["//links/chains:type"]`)
			}),
		change("a .bzl file", rename("rules/private/words.bzl", "rules/private/terms.bzl"), replace("rules/private/pack.bzl", ":words.bzl", ":terms.bzl")),
		change("a function, to another .bzl file", replace("rules/private/words.bzl", "\ndef join(words):\n    return \" \".join(words)\n", ""), write("rules/private/join.bzl", "\"\"\"Joins.\"\"\"\n\ndef join(words):\n    return \" \".join(words)\n"), replace("rules/private/pack.bzl", "load(\":words.bzl\", \"SEPARATOR\", \"join\")", "load(\":join.bzl\", \"join\")\nload(\":words.bzl\", \"SEPARATOR\")")),
		change("a BUILD file", rename("listing/two/BUILD", "listing/two/BUILD.bazel")),
		change("two files for each other", rename("chains/first.txt", "chains/third.txt"), rename("chains/second.txt", "chains/first.txt"), rename("chains/third.txt", "chains/second.txt")),
	)
}

func modes() []Change {
	return kind("mode",
		change("a test's data becomes executable", chmod("text/a.txt", gittree.Executable)),
		change("a generator's source becomes executable", chmod("gen/split.in", gittree.Executable)),
		func() Change {
			c := change("a test's script becomes a plain file", chmod("tools/lonely.sh", gittree.Regular))
			c.Elsewhere, c.ElsewhereTests = "no key has a mode, but the script fails where nothing is cached", []string{"//attrs:lonely_test"}
			return c
		}(),
		change("a file outside of packages becomes executable", chmod("docs/guide.md", gittree.Executable)),
		change("a script that no test runs becomes a plain file", chmod("tools/upper.sh", gittree.Regular), replace("tools/upper.sh", "tr a-z A-Z", "tr a-x A-X"), chmod("tools/upper.sh", gittree.Executable)),
		change("an executable is edited too", chmod("text/b.txt", gittree.Executable), appendTo("text/b.txt", "edited\n")),
	)
}

func links() []Change {
	return kind("symlink",
		change("the file that a link leads to, outside of packages", appendTo("docs/linked.md", "edited\n")),
		change("the file that a link of a link leads to", appendTo("text/b.txt", "edited\n")),
		change("a file of a directory that a link leads to", appendTo("outside/folder/n.txt", "edited\n")),
		change("a new file in a directory that a link leads to", write("outside/folder/new.txt", "new\n")),
		change("a link leads elsewhere", link("links/link.txt", "../docs/guide.md")),
		change("a link leads elsewhere, to the same content", write("docs/copy.md", "linked to\n"), link("links/link.txt", "../docs/copy.md")),
		change("the link between leads elsewhere", link("links/between.txt", "../text/a.txt")),
		change("a link becomes a file", write("links/link.txt", "a file\n")),
		change("a link becomes a file of the same content", write("links/link.txt", "linked to\n")),
		change("a file becomes a link", link("chains/first.txt", "../docs/guide.md")),
		change("a link to a directory leads elsewhere", link("links/directory", "../docs")),
		change("a new link in a glob", link("text/linked.txt", "../docs/linked.md")),
		change("a new link in no glob", link("text/linked.md", "../docs/linked.md")),
	)
}

func submodules() []Change {
	pin := func(commit string) func(*gittree.Editor) {
		return func(e *gittree.Editor) { e.Pin(SubmodulePath, commit) }
	}
	return kind("submodule",
		change("at a commit that edits a file of the main repository's test", pin("lib-edited")),
		change("at a commit that edits a file of its own test", pin("own-edited")),
		change("at a commit that edits what no test reaches", pin("readme-edited")),
		change("at a commit that adds a test", pin("test-added")),
		change("at a commit that changes a mode only", pin("mode-changed")),
		change("removed, with what used it", remove(SubmodulePath), remove(".gitmodules"), replace("links/BUILD.bazel", test("submodule_test", `data = ["//vendor/lib:lib.txt"]`), "")),
	)
}

func outside() []Change {
	return kind("outside packages",
		change("a document", appendTo("docs/guide.md", "edited\n")),
		change("a document at the top", appendTo("README.md", "Edited.\n")),
		change("the licence", appendTo("LICENSE", "Edited.\n")),
		change("a file at the top that a test reads", appendTo("root.txt", "edited\n")),
		change("a new file at the top", write("NEWS", "none\n")),
		change("a new directory", write("notes/today.txt", "nothing\n")),
		change("an image", appendTo("docs/image.png", "edited\n")),
		change("a file beside one that a target names", replace("config/unused.json", "{}", "{} ")),
		change("a BUILD file that .bazelignore hides", write("ignored/BUILD.bazel", "fail(\"still hidden\")\n")),
		change("git's attributes", appendTo(".gitattributes", "*.jpg binary\n")),
		change("files that git ignores", write(".gitignore", "/bazel-*\n*.tmp\n")),
	)
}

func packages() []Change {
	return kind("package",
		change("a new one, with a test", write("fresh/BUILD.bazel", test("fresh_test")[1:])),
		change("a new one, without a test", write("fresh/BUILD.bazel", "exports_files([\"x\"])\n")),
		change("a new one, empty, splits a glob", write("text/deep/BUILD.bazel", "")),
		change("a new one splits a glob where nothing matched", write("text/draft/BUILD.bazel", "")),
		change("a new one splits a glob, named BUILD", write("text/deep/deeper/BUILD", "")),
		change("one is removed, and its files join a glob", remove("text/pkg/BUILD.bazel")),
		change("one is removed", remove("suites")),
		change("a new one among what subpackages() finds", write("listing/three/BUILD.bazel", "filegroup(name = \"files\", srcs = glob([\"*.txt\"]))\n"), write("listing/three/3.txt", "3\n")),
		change("one is removed among what subpackages() finds", remove("listing/two")),
		change("BUILD.bazel hides a BUILD", write("listing/two/BUILD.bazel", "filegroup(name = \"files\", srcs = [\"2.txt\", \"BUILD\"])\n")),
		change("BUILD.bazel hides a BUILD that says the same", write("listing/two/BUILD.bazel", "filegroup(name = \"files\", srcs = glob([\"*.txt\"]))\n")),
		change("hidden by .bazelignore", appendTo(".bazelignore", "suites\n")),
		change("shown by .bazelignore", replace(".bazelignore", "ignored\n", ""), write("ignored/BUILD.bazel", test("shown_test")[1:])),
		change("the top one has another test", appendTo("BUILD.bazel", test("top_test"))),
		change("one moves, with a relative label of its own", rename("defaults", "settings")),
		change("one moves into a glob's directory", rename("suites", "text/suites")),
	)
}
