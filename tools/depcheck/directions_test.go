package depcheck

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return root
}

// A wrong import is found wherever it stands; what only looks like one is not.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		file, content string
		want          string // "" for nothing
	}{
		"library":         {"gateway/a/a.go", "package a\n\nimport _ \"m.test/tools/x\"\n", "gateway/a/a.go:3 imports m.test/tools/x: nothing of tools is allowed here"},
		"test":            {"gateway/a/a_test.go", "package a\nimport (\n\t\"fmt\"\n\tx \"m.test/e2e\"\n)\n", "gateway/a/a_test.go:4 imports m.test/e2e: nothing of e2e is allowed here"},
		"build tag":       {"gateway/a_windows.go", "//go:build never\n\npackage a\nimport `m.test/tools`\n", "gateway/a_windows.go:4 imports m.test/tools: nothing of tools is allowed here"},
		"load":            {"gateway/BUILD.bazel", "load(\"//tools/x:defs.bzl\", \"x\")\n", "gateway/BUILD.bazel:1 imports //tools/x:defs.bzl: nothing of tools is allowed here"},
		"load of root":    {"gateway/a.bzl", "load(\"//tools:defs.bzl\", \"x\")\n", "gateway/a.bzl:1 imports //tools:defs.bzl: nothing of tools is allowed here"},
		"other way":       {"tools/a.go", "package a\nimport \"m.test/gateway\"\n", ""},
		"own":             {"gateway/a/a.go", "package a\nimport \"m.test/gateway/b\"\n", ""},
		"longer name":     {"gateway/a/a.go", "package a\nimport \"m.test/toolsmith\"\n", ""},
		"other module":    {"gateway/a/a.go", "package a\nimport \"other.test/tools\"\n", ""},
		"other repo":      {"gateway/BUILD.bazel", "load(\"@rules_go//tools:def.bzl\", \"x\")\n", ""},
		"target":          {"gateway/BUILD.bazel", "x(name = \"x\", visibility = [\"//tools:__pkg__\"])\n", ""},
		"comment":         {"gateway/a/a.go", "package a\n\n// import \"m.test/tools\"\n", ""},
		"testdata":        {"gateway/testdata/a.go", "package a\nimport \"m.test/tools\"\n", ""},
		"nested module":   {"gateway/nested/a.go", "package a\nimport \"m.test/tools\"\n", ""},
		"Bazel's symlink": {"gateway/bazel-out/a.go", "package a\nimport \"m.test/tools\"\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(map[string]string{
				"go.mod": "module m.test\n", "gateway/nested/go.mod": "module n.test\n", "e2e/e2e.go": "package e2e\n", "tools/x.go": "package tools\n",
				test.file: test.content,
			})
			findings, err := Check(root, Forbidden{"gateway": {"tools", "e2e"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Trim(fmt.Sprint(findings), "[]"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A check that can find nothing is an error, not a pass.
func TestCheckErrors(t *testing.T) {
	for _, test := range []struct {
		files     map[string]string
		forbidden Forbidden
		want      string
	}{
		{map[string]string{"a/a.go": "package a"}, nil, "go.mod"},
		{map[string]string{"go.mod": "go 1.26\n"}, nil, "go.mod has none"},
		{map[string]string{"go.mod": "module m\n", "a/a.go": "package a"}, Forbidden{"a": {"b"}}, "b, of the rule for a, is no folder"},
		{map[string]string{"go.mod": "module m\n", "b/a.go": "package a"}, Forbidden{"a": {"b"}}, "a, of the rule for a, is no folder"},
		{map[string]string{"go.mod": "module m\n", "b/b.go": "package b", "a/a.go": "import"}, Forbidden{"a": {"b"}}, "a/a.go:1"},
		{map[string]string{"go.mod": "module m\n", "b/b.go": "package b", "a/BUILD.bazel": "load("}, Forbidden{"a": {"b"}}, "a/BUILD.bazel:2"},
	} {
		if _, err := Check(tree(test.files), test.forbidden); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.files, err, test.want)
		}
	}
}
