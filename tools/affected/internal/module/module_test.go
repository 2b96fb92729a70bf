package module

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"stormgate.internal/tools/affected/internal/snapshot"
)

func TestReadSet(t *testing.T) {
	set := ReadSet(t.Context(), snapshot.Of(map[string]string{
		"MODULE.bazel": `module(name = "main", repo_name = "m")
bazel_dep(name = "a", version = "1", repo_name = "apparent")
bazel_dep(name = "near", version = "0")
local_path_override(module_name = "near", path = "third_party/near")
local_path_override(module_name = "outside", path = "../outside")
single_version_override(module_name = "a", patches = ["//p:a.patch"])
e = use_extension("@apparent//:e.bzl", "e")
e.tag(name = "x", list = ["//p:q"])
use_repo(e, "r", renamed = "s")
use_extension("@apparent//:e.bzl", "e").tag(name = "y")
local_repository = use_repo_rule("@bazel_tools//tools/build_defs/repo:local.bzl", "local_repository")
local_repository(name = "lr", path = "lr")
register_toolchains("//tc:all", dev_dependency = True)
include("//p:more.MODULE.bazel")
frobnicate("x")
`,
		"p/more.MODULE.bazel":           "bazel_dep(name = \"more\", version = \"1\")\n",
		"third_party/near/MODULE.bazel": "module(name = \"near\")\nbazel_dep(name = \"main\", repo_name = \"up\")\n",
	}))
	if len(set.Problems) > 0 || set.Missing {
		t.Fatal(set.Problems)
	}
	root := set.Root
	if len(root.Extensions) != 1 || len(root.Extensions[0].Tags) != 2 || strings.Join(root.Extensions[0].Repos, " ") != "r renamed" {
		t.Errorf("extensions: %+v", root.Extensions)
	}
	if len(root.Deps) != 3 || len(root.Overrides) != 3 || len(root.Other) != 1 || strings.Join(root.Toolchains, " ") != "//tc:all" {
		t.Errorf("root: %+v", root)
	}
	for repo, want := range map[string]string{"": "", "near": "third_party/near", "lr": "lr"} {
		if r := set.Repos[repo]; r == nil || r.Root != want {
			t.Errorf("repository %q: %+v", repo, r)
		}
	}
	if len(set.Repos) != 3 {
		t.Errorf("repositories: %v", set.Repos)
	}
	for apparent, want := range map[string]string{"main": "", "m": "", "apparent": "a", "near": "near", "more": "more"} {
		if got, ok := set.Repos[""].Mapping[apparent]; !ok || got != want {
			t.Errorf("%s is %q, want %q", apparent, got, want)
		}
	}
	if got := set.Repos["near"].Mapping["up"]; got != "" {
		t.Errorf("the main module is %q in a module that depends on it", got)
	}
}

func TestProblems(t *testing.T) {
	for name, content := range map[string]string{
		"syntax": "module(", "arguments": "use_extension()", "use_repo": "use_repo(1)", "include": "include(\"//:none\")", "cycle": "include(\"//:MODULE.bazel\")",
	} {
		set := ReadSet(t.Context(), snapshot.Of(map[string]string{"MODULE.bazel": content}))
		if len(set.Problems) != 1 || !strings.Contains(set.Problems[0], "MODULE.bazel") && name != "include" {
			t.Errorf("%s: %v", name, set.Problems)
		}
	}
	if set := ReadSet(t.Context(), snapshot.Of(nil)); !set.Missing {
		t.Error("a missing MODULE.bazel is not noticed")
	}
	if _, err := Read(t.Context(), snapshot.Of(nil), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// FuzzRead: no MODULE.bazel panics.
func FuzzRead(f *testing.F) {
	f.Add("module(name = 1)\nx = use_extension(\"a\", \"b\")\nx.y(z = {1: [2]})\nuse_repo(x, a = \"b\")")
	f.Add("use_repo_rule(\"a\", \"b\")(name = 3)\nlocal_path_override(module_name = \"x\", path = \"/\")")
	f.Fuzz(func(t *testing.T, content string) {
		ReadSet(t.Context(), snapshot.Of(map[string]string{"MODULE.bazel": content}))
	})
}
