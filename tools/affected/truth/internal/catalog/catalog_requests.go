package catalog

// pullRequests are changes as people make them: several files and commits for one
// purpose. All others look for one thing that can go wrong.
func pullRequests() []Change {
	library := replace("golang/count/count.go", "// Double returns twice alpha's.\nfunc Double() int { return 2 * alpha.Count() }\n", "// Double returns twice alpha's.\nfunc Double() int { return Times(2) }\n\n// Times returns n times alpha's.\nfunc Times(n int) int { return n * alpha.Count() }\n")
	libraryTest := appendTo("golang/count/count_test.go", "\nfunc TestTimes(t *testing.T) {\n\tif Times(0) != 0 {\n\t\tt.Error(\"not zero\")\n\t}\n}\n")
	return kind("pull request",
		history("a function, its test, a line in a document", all(library, libraryTest), appendTo("docs/guide.md", "Times(n) is n times alpha's.\n")),
		history("a mended bug, with a test that shows it", libraryTest, library),
		history("a new package with a test", all(write("golang/sum/sum.go", "// Package sum adds.\npackage sum\n\n// Of returns a sum.\nfunc Of(a, b int) int { return a + b }\n"), write("golang/sum/sum_test.go", "package sum\n\nimport \"testing\"\n\nfunc TestOf(t *testing.T) {\n\tif Of(1, 2) != 3 {\n\t\tt.Error(\"wrong\")\n\t}\n}\n"),
			write("golang/sum/BUILD.bazel", "load(\"@rules_go//go:def.bzl\", \"go_library\", \"go_test\")\n\ngo_library(\n    name = \"sum\",\n    srcs = [\"sum.go\"],\n    importpath = \"example.test/mill/golang/sum\",\n)\n\ngo_test(\n    name = \"sum_test\",\n    srcs = [\"sum_test.go\"],\n    embed = [\":sum\"],\n)\n")), appendTo("README.md", "It adds.\n")),
		history("another version of a dependency", all(replace("go.mod", "=> ./modules/alpha\n", "=> ./modules/alpha2\n"), appendTo("README.md", "With alpha 2.\n"))),
		history("data of a test, and what the test says of it", appendTo("attrs/args.txt", "one more\n"), replace("attrs/BUILD.bazel", `"--verbose"`, `"--lines=2"`)),
		history("a generator gets another command, its input a new line", replace("gen/BUILD.bazel", "grep -v '^#' $< | sort > $@", "grep -v '^#' $< | sort -u > $@"), appendTo("gen/words.in", "quince\n")),
		history("a file goes to the package that uses it", all(rename("use/v.txt", "alias/v.txt"), appendTo("alias/BUILD.bazel", "\nexports_files([\"v.txt\"])\n"), replace("use/BUILD.bazel", `["v.txt"]`, `["//alias:v.txt"]`)), appendTo("alias/v.txt", "and moved\n")),
		history("a version more is tested, with its files", replace("matrix/versions.bzl", "    \"2.0\",\n", "    \"2.0\",\n    \"2.1\",\n"), write("matrix/2.1/two.txt", "two and one\n"), appendTo("docs/guide.md", "2.1 is tested.\n")),
		history("a rule writes another separator, with its documentation", replace("rules/private/words.bzl", `SEPARATOR = "--"`, `SEPARATOR = "=="`), replace("rules/private/pack.bzl", `"""Packs files into one."""`, `"""Packs files into one, with a separator after each."""`), appendTo("docs/guide.md", "The separator is ==.\n")),
		history("documents are put in order", rename("docs/guide.md", "docs/manual.md"), appendTo("docs/manual.md", "More.\n"), appendTo("README.md", "See docs/manual.md.\n")),
		history("a test is split in two", replace("attrs/BUILD.bazel", "    shard_count = 2,\n", ""), appendTo("attrs/BUILD.bazel", test("second_test"))),
		history("what all tests run, and the document of it", appendTo("tools/check.sh", "# Ends well.\n"), appendTo("docs/guide.md", "Tests end well.\n")),
		history("flags for a person who looks at failures", appendTo(".bazelrc", "test:debug --test_output=streamed\ntest:debug --nocache_test_results\n"), appendTo("README.md", "Debug with --config=debug.\n")),
		history("a timeout for a slow test", replace("golang/name/BUILD.bazel", "    name = \"name_test\",\n", "    name = \"name_test\",\n    timeout = \"long\",\n"), appendTo("docs/guide.md", "Patience.\n")),
		history("an extension's text, and the file of another tag", replace("MODULE.bazel", `text = "one"`, `text = "first"`), appendTo("ext/beta.txt", "edited\n")),
		history("formatting and comments everywhere", all(appendTo("rules/private/pack.bzl", "\n# The end.\n"), appendTo("text/BUILD.bazel", "\n# The end.\n"), appendTo("MODULE.bazel", "\n# The end.\n"), appendTo("tools/status.sh", "# The end.\n"))),
	)
}
