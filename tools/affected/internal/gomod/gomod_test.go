package gomod

import (
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mod = `module example.org/main

go 1.26

require (
	example.org/a v1.0.0
	example.org/b v1.0.0 // indirect
	example.org/c v1.0.0
)

replace example.org/c => ./c
`

const sum = "example.org/a v1.0.0 h1:a=\nexample.org/a v1.0.0/go.mod h1:am=\nexample.org/b v1.0.0 h1:b=\n"

func parse(t *testing.T, mod, sum string) *File {
	t.Helper()
	f, err := Parse([]byte(mod), []byte(sum))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDiff(t *testing.T) {
	base := parse(t, mod, sum)
	for _, c := range []struct {
		name, old, replacement, want string
	}{
		{"version", "a v1.0.0", "a v1.1.0", "example.org/a"},
		{"removed", "\texample.org/a v1.0.0\n", "", "example.org/a"},
		{"added", "\texample.org/a v1.0.0\n", "\texample.org/a v1.0.0\n\texample.org/d v1.0.0\n", "example.org/d"},
		{"replaced", "=> ./c", "=> ./c2", "example.org/c"},
		{"replaced at another version", "replace example.org/c => ./c", "replace example.org/c => ./c\n\nreplace example.org/a v1.5.0 => example.org/z v1.0.0", ""},
		{"indirect", " // indirect", "", ""},
		{"comment", "go 1.26", "// x\ngo 1.26", ""},
		{"exclude", "go 1.26", "go 1.26\n\nexclude example.org/a v0.9.0", ""},
	} {
		changed := slices.Sorted(maps.Keys(Diff(base, parse(t, strings.Replace(mod, c.old, c.replacement, 1), sum))))
		if got := strings.Join(changed, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := Diff(base, parse(t, mod, strings.Replace(sum, "h1:b=", "h1:x=", 1))); len(got) != 1 || got["example.org/b"] == "" {
		t.Errorf("hash: %v", got)
	}
	if got := Diff(base, parse(t, mod, strings.Replace(sum, "h1:am=", "h1:x=", 1))); len(got) != 0 {
		t.Errorf("hash of a go.mod: %v", got)
	}
	if head := parse(t, strings.Replace(mod, "go 1.26", "go 1.27", 1), sum); head.Toolchain == base.Toolchain {
		t.Error("another go line is the same toolchain")
	}
	if _, err := Parse([]byte("<<<<<<< ours\n"+mod), nil); err == nil {
		t.Error("conflict markers are taken")
	}
}

func TestRepositoryName(t *testing.T) {
	for p, want := range map[string]string{
		"github.com/spf13/cobra": "com_github_spf13_cobra", "golang.org/x/mod": "org_golang_x_mod", "k8s.io/client-go": "io_k8s_client_go",
		"go.starlark.net": "net_starlark_go", "github.com/onsi/ginkgo/v2": "com_github_onsi_ginkgo_v2", "github.com/BurntSushi/toml": "com_github_burntsushi_toml",
	} {
		if got := RepositoryName(p); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

// cache writes a module cache.
func cache(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func reach(t *testing.T, cacheDir, changed string) *Reach {
	t.Helper()
	text := strings.Replace(mod, "replace example.org/c => ./c\n", "", 1)
	return NewReach(parse(t, text, ""), map[string]string{changed: "changed"}, cacheDir)
}

// TestChain: sources say which packages reach a changed module, one package of a module
// may and another not.
func TestChain(t *testing.T) {
	dir := cache(t, map[string]string{
		"example.org/a@v1.0.0/a.go":         "package a\n\nimport _ \"fmt\"\n",
		"example.org/a@v1.0.0/a_test.go":    "package a\n\nimport _ \"example.org/b\"\n",
		"example.org/a@v1.0.0/a_windows.go": "package a\n\nimport _ \"example.org/b\"\n",
		"example.org/a@v1.0.0/ignored.go":   "//go:build ignore\n\npackage a\n\nimport _ \"example.org/b\"\n",
		"example.org/a@v1.0.0/p/p.go":       "package p\n\nimport _ \"example.org/a/q\"\n",
		"example.org/a@v1.0.0/q/q.go":       "package q\n\nimport _ \"example.org/b/deep\"\n",
		"example.org/b@v1.0.0/deep/deep.go": "package deep\n",
	})
	r := reach(t, dir, "example.org/b")
	if got := r.Chain("org_example_a", ""); got != nil {
		t.Errorf("the root package reaches b: %v", got)
	}
	if got, want := strings.Join(r.Chain("org_example_a", "p"), " "), "example.org/a/p example.org/a/q example.org/b/deep example.org/b"; got != want {
		t.Errorf("chain %q, want %q", got, want)
	}
	if got := r.Chain("org_example_b", "deep"); len(got) == 0 {
		t.Error("the changed module does not reach itself")
	}
	if got := r.Chain("org_example_unknown", ""); got != nil {
		t.Errorf("a repository of no module: %v", got)
	}
	if len(r.Coarse) != 0 {
		t.Errorf("coarse: %v", r.Coarse)
	}
}

// TestChainWithoutSources: then a module's go.mod says which modules it can import from,
// and without that it can import from all.
func TestChainWithoutSources(t *testing.T) {
	dir := cache(t, map[string]string{
		"cache/download/example.org/a/@v/v1.0.0.mod": "module example.org/a\n\ngo 1.26\n\nrequire example.org/b v1.0.0\n",
		"cache/download/example.org/b/@v/v1.0.0.mod": "module example.org/b\n\ngo 1.26\n",
		"cache/download/example.org/c/@v/v1.0.0.mod": "module example.org/c\n",
	})
	for _, c := range []struct {
		changed, repo string
		want          bool
		coarse        int
	}{
		{"example.org/b", "org_example_a", true, 0},
		{"example.org/c", "org_example_a", false, 0},
		{"example.org/b", "org_example_c", true, 1}, // No go line: written for a module without a go.mod.
	} {
		r := reach(t, dir, c.changed)
		if got := r.Chain(c.repo, "x") != nil; got != c.want || len(r.Coarse) != c.coarse {
			t.Errorf("%s reaches %s: %t, want %t; coarse %v", c.repo, c.changed, got, c.want, r.Coarse)
		}
	}
	if r := reach(t, "", "example.org/b"); r.Chain("org_example_a", "") == nil || len(r.Coarse) == 0 {
		t.Error("without a cache a module does not reach all")
	}
}

func TestBuilt(t *testing.T) {
	for _, c := range []struct {
		name, constraint string
		want             bool
	}{
		{"a.go", "", true},
		{"a_plan9.go", "", false},
		{"a_plan9_amd64.go", "", false},
		{"a_arm64.go", "", true},
		{"plan9.go", "", true},
		{"a.go", "ignore", false},
		{"a.go", "!custom", true},
		{"a.go", "custom", false},
		{"a.go", "cgo && !race", true},
		{"a.go", "plan9 || arm64", true},
		{"a.go", "plan9 && arm64", false},
		{"a.go", "go1.20", true},
	} {
		text := "package a\n"
		if c.constraint != "" {
			text = "//go:build " + c.constraint + "\n\n" + text
		}
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := Built(c.name, file); got != c.want {
			t.Errorf("%s with %q: %t, want %t", c.name, c.constraint, got, c.want)
		}
	}
}

// FuzzParse: no go.mod and go.sum panic, and none differs from itself.
func FuzzParse(f *testing.F) {
	f.Add([]byte(mod), []byte(sum))
	f.Add([]byte("require x v0"), []byte("a b c"))
	f.Fuzz(func(t *testing.T, mod, sum []byte) {
		file, err := Parse(mod, sum)
		if err == nil && len(Diff(file, file)) != 0 {
			t.Error("a file differs from itself")
		}
	})
}
