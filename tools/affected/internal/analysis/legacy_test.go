package analysis

import (
	"maps"
	"strings"
	"testing"
)

// onLegacy is a workspace without MODULE.bazel, whose repository @q comes from WORKSPACE.
func onLegacy(extra map[string]string) map[string]string {
	files := onWorkspace(map[string]string{
		".bazelversion": "7.7.1\n",
		".bazelrc":      "common --noenable_bzlmod\n",
		"BUILD":         "sh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\"@q//:f\"])\nsh_test(name = \"y_test\", srcs = [\"t.sh\"])\n",
	})
	delete(files, "MODULE.bazel")
	maps.Copy(files, extra)
	return files
}

// TestLegacyRepositories: what WORKSPACE makes repositories of affects what may use them, and
// everything where toolchains may be registered.
func TestLegacyRepositories(t *testing.T) {
	const x, all = "//:x_test", "//:x_test //:y_test"
	local := onLegacy(map[string]string{"WORKSPACE": "local_repository(name = \"q\", path = \"third/q\")\n", "third/q/BUILD": "exports_files([\"f\"])\n", "third/q/f": "1", "other/f": "1"})
	try(t, "a file of a local repository", local, x, set("third/q/f", "2"))
	try(t, "a new file of a local repository", local, x, set("third/q/g", "2"))
	try(t, "a file of another folder", local, "", set("other/f", "2"))
	try(t, "WORKSPACE itself", local, all, sub("WORKSPACE", "third/q", "other"))
	by := func(text string, more map[string]string) map[string]string {
		files := onLegacy(map[string]string{
			"WORKSPACE": "workspace(name = \"w\")\nload(\"//third:deps.bzl\", \"deps\")\ndeps()\n", "third/BUILD": "", "third/q.BUILD": "1", "third/q.patch": "1", "third/other": "1", "BUILD.q": "1",
			"third/deps.bzl": "load(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\ndef deps(n = \"q\"):\n    http_archive(name = n, url = \"https://example.org/%s\" % n, " + text + ")\n",
		})
		maps.Copy(files, more)
		return files
	}
	written := by(`build_file = "//third:q.BUILD", patches = ["@w//third:q.patch"]`, nil)
	try(t, "code that WORKSPACE loads", written, x, sub("third/deps.bzl", "example.org", "example.com"))
	try(t, "a BUILD file", written, x, set("third/q.BUILD", "2"))
	try(t, "a patch", written, x, set("third/q.patch", "2"))
	try(t, "a file beside them", written, "", set("third/other", "2"))
	try(t, "a label with an at", by(`build_file = "@//third:q.BUILD"`, nil), x, set("third/q.BUILD", "2"))
	try(t, "a label of the package", by(`build_file = Label(":q.BUILD")`, nil), x, set("third/q.BUILD", "2"))
	try(t, "a name alone", by(`build_file = Label("q.BUILD")`, nil), x, set("third/q.BUILD", "2"))
	try(t, "a label that is formatted", by(`build_file = "//third:%s.BUILD" % n`, nil), x, set("third/q.BUILD", "2"))
	try(t, "a label that is put together", by(`build_file = "//third:" + n + ".BUILD"`, nil), x, set("third/q.BUILD", "2"))
	try(t, "a label of the top that is put together", by(`build_file = "//:" + "BUILD." + n`, nil), x, set("BUILD.q", "2"))
	try(t, "a label by format", by(`build_file = "//third:{}.BUILD".format(n)`, nil), x, set("third/q.BUILD", "2"))
	registered := maps.Clone(written)
	registered["third/deps.bzl"] += "    native.register_toolchains(\"@q//:all\")\n"
	try(t, "code that registers toolchains", registered, all, set("third/q.patch", "2"))
	foreign := maps.Clone(written)
	foreign["WORKSPACE"] += "load(\"@q//:deps.bzl\", \"more\")\nmore()\n"
	try(t, "code of another repository, which may register some", foreign, all, set("third/q.patch", "2"))
	broken := maps.Clone(written)
	broken["third/deps.bzl"] += "def f(:\n"
	try(t, "code that can't be read", broken, all, set("third/other", "2"))

	// Where it isn't read it affects nothing.
	with := func(files map[string]string, version, rc string) map[string]string {
		files = maps.Clone(files)
		files[".bazelversion"], files[".bazelrc"] = version+"\n", rc+"\n"
		return files
	}
	try(t, "told not to", with(written, "7.7.1", "common --noenable_workspace"), "", set("third/q.patch", "2"))
	try(t, "Bazel 8", with(written, "8.4.2", ""), "", set("third/q.patch", "2"))
	try(t, "Bazel 8, told to", with(written, "8.4.2", "common --enable_workspace"), x, set("third/q.patch", "2"))
	try(t, "Bazel 8, WORKSPACE itself", with(written, "8.4.2", ""), "", set("WORKSPACE", ""))
	both := with(written, "7.7.1", "")
	both["MODULE.bazel"] = "module(name = \"m\")\nbazel_dep(name = \"q\", version = \"1\")\n"
	try(t, "a module of that name", both, "", set("third/q.patch", "2"))
	both["MODULE.bazel"] = "module(name = \"m\")\n"
	try(t, "beside modules", both, x, set("third/q.patch", "2"))

	head := maps.Clone(written)
	head["third/q.patch"] = "2"
	a := compare(t, written, head, Options{})
	if len(a.Widened) != 1 || !strings.Contains(a.Widened[0].Why, "WORKSPACE is not run") || !strings.Contains(a.Widened[0].Why, "third/q.patch modified") {
		t.Errorf("widened: %v, want words that say so", a.Widened)
	}
	if len(a.Tests) != 1 || a.Tests[0].Reason != "//:x_test <- @q//:f <- @q <- repositories of WORKSPACE <- third/q.patch modified" {
		t.Errorf("tests: %+v", a.Tests)
	}
}
