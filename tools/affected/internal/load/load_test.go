package load

import (
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/affected/internal/snapshot"
)

func workspace(t *testing.T, files map[string]string) *Workspace {
	t.Helper()
	return NewWorkspace(t.Context(), snapshot.Of(files), map[string]*Repo{"": {Mapping: map[string]string{"": "", "main": ""}}})
}

func loadPackage(t *testing.T, files map[string]string, pkg string) *Package {
	t.Helper()
	w := workspace(t, files)
	p, err := NewLoader(t.Context(), w).Package("", pkg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// targets is name, kind and sure labels of each target.
func targets(p *Package) string {
	var all []string
	for _, t := range p.Targets {
		text := t.Kind + " " + t.Name
		for _, a := range t.Attributes {
			for _, r := range a.Refs {
				if r.Sure || a.Name == "srcs" && len(r.Label) == len("//:x") {
					text += " " + a.Name + "=" + r.Label
				}
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name, build, bzl string
		want             string
	}{
		{"native rule", `filegroup(name = "a", srcs = ["x", ":y", "//p:z", "@main//q:q", "@far//r"])`, "", "filegroup a srcs=//:x srcs=//:y srcs=//p:z srcs=//q:q srcs=@far//r:r"},
		{"glob", `filegroup(name = "a", srcs = glob(["**/*.txt"], exclude = ["b*"]))`, "", "filegroup a srcs=//:a.txt srcs=//:d/c.txt"},
		{"select", `filegroup(name = "a", srcs = ["x"] + select({":c": ["y"], "//conditions:default": []}) + ["z"])`, "", "filegroup a srcs=//:c srcs=//:x srcs=//:y srcs=//:z"},
		{"comprehension", `[filegroup(name = n, srcs = [n + ".txt"]) for n in ["a", "b"] if n != "b"]`, "", "filegroup a srcs=//:a.txt"},
		{"macro", `load(":m.bzl", "m"); m("a", deps = ["x"])`, `def m(name, **kwargs): native.cc_library(name = name + "_lib", **kwargs)`, "cc_library a_lib deps=//:x"},
		{"macro that asks for its package", `load(":m.bzl", "m"); m()`, `def m(): native.filegroup(name = native.package_name() + "root", srcs = [native.package_relative_label("x"), Label("//p:y")])`, "filegroup root srcs=//:x srcs=//p:y"},
		{"macro that asks for rules", `load(":m.bzl", "m"); filegroup(name = "a"); m()`, `def m(): [native.filegroup(name = n + "2", srcs = [n]) for n in native.existing_rules().keys()]`, "filegroup a; filegroup a2 srcs=//:a"},
		{"rule", `load(":m.bzl", "r"); r(name = "a", l = "x", ls = ["y"], d = {"z": "v"}, s = "x", out = "o")`, `r = rule(implementation = lambda ctx: [], attrs = {"l": attr.label(), "ls": attr.label_list(), "d": attr.label_keyed_string_dict(), "s": attr.string(), "out": attr.output()})`, "r a d=//:z l=//:x ls=//:y"},
		{"symbolic macro", `load(":m.bzl", "m"); m(name = "a", x = "y")`, "def _m(name, visibility, x, z):\n    native.filegroup(name = name, srcs = [x] + z)\nm = macro(implementation = _m, attrs = {\"x\": attr.label(), \"z\": attr.label_list(default = [\"//p:d\"])})", "filegroup a srcs=//:y srcs=//p:d macro=//:y macro=//p:d"},
		{"what another repository defines", `load("@far//:d.bzl", "far_test"); far_test(name = "a", srcs = ["x"])`, "", "far_test a srcs=//:x"},
		{"condition on what another repository defines", `load("@far//:d.bzl", "F"); filegroup(name = "a", srcs = ["x"] if F else ["y"])`, "", "filegroup a srcs=//:x srcs=//:y srcs=@far"},
		{"list of another repository", `load("@far//:d.bzl", "F"); filegroup(name = "a", srcs = [f for f in F if "x" in f] + ["y"])`, "", "filegroup a srcs=//:y srcs=@far"},
		{"dictionary of another repository", `load("@far//:d.bzl", "F"); [filegroup(name = "a", srcs = [v]) for k, v in F.items()]`, "", "filegroup a srcs=@far"},
		{"text of another repository", `load("@far//:d.bzl", "F"); filegroup(name = "a", srcs = ["%s.x" % F, ",".join([F])])`, "", "filegroup a srcs=@far"},
		{"fallback for what another repository defines", `load("@far//:d.bzl", "F"); filegroup(name = "a", srcs = F or ["x"])`, "", "filegroup a srcs=//:x srcs=@far"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			files := map[string]string{"BUILD": strings.ReplaceAll(c.build, "; ", "\n"), "a.txt": "", "b.txt": "", "d/c.txt": "", "e/BUILD": "", "e/f.txt": ""}
			if c.bzl != "" {
				files["m.bzl"] = c.bzl
			}
			p := loadPackage(t, files, "")
			if p.Failed != "" || p.Doubt != "" {
				t.Errorf("failed %q, doubt %q", p.Failed, p.Doubt)
			}
			if got := targets(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestFailed: an error names the place, and the syntax still shows targets.
func TestFailed(t *testing.T) {
	for _, c := range []struct{ name, build, bzl, want string }{
		{"syntax", "<<<<<<< ours\n", "", "BUILD:1:"},
		{"missing file", "load(\":none.bzl\", \"x\")\nsh_test(name = \"t_test\")\n", "", "none.bzl"},
		{"missing name", "load(\":m.bzl\", \"x\")\nsh_test(name = \"t_test\")\n", "y = 1", "x"},
		{"fail", "load(\":m.bzl\", \"m\")\nsh_test(name = \"t_test\")\nm()\n", "def m(): fail('no', 'good')", "m.bzl:1:14: fail: no good"},
		{"cycle", "load(\":m.bzl\", \"m\")\nsh_test(name = \"t_test\")\n", "load(':m.bzl', 'm')", "cycle"},
		{"endless", "load(\":m.bzl\", \"m\")\nsh_test(name = \"t_test\")\nm()", "def m():\n    for a in range(1000000):\n        for b in range(1000000):\n            pass", "too many steps"},
	} {
		files := map[string]string{"BUILD": c.build}
		if c.bzl != "" {
			files["m.bzl"] = c.bzl
		}
		p := loadPackage(t, files, "")
		if !strings.Contains(p.Failed, c.want) {
			t.Errorf("%s: failed with %q, want %q", c.name, p.Failed, c.want)
		}
		if c.name != "syntax" && (len(p.Targets) != 1 || p.Targets[0].Name != "t_test" || !p.Targets[0].Test) {
			t.Errorf("%s: targets %v", c.name, p.Targets)
		}
	}
}

// TestDoubt: what decides a statement's condition unseen is said.
func TestDoubt(t *testing.T) {
	p := loadPackage(t, map[string]string{"BUILD": "load(\"@far//:d.bzl\", \"F\")\nload(\":m.bzl\", \"m\")\nm(F)\n", "m.bzl": "def m(f):\n    if f == 1:\n        native.filegroup(name = \"a\", srcs = [\"//named:here\"])\n"}, "")
	if !strings.Contains(p.Doubt, "@far//:d.bzl%F") || !slices.ContainsFunc(p.Literals, func(r Ref) bool { return r.Label == "//named:here" }) {
		t.Errorf("doubt %q, literals %v", p.Doubt, p.Literals)
	}
}

func TestParseLabel(t *testing.T) {
	in := Label{Package: "p"}
	mapping := map[string]string{"me": "", "short": "long", "": ""}
	for text, want := range map[string]string{
		"a": "//p:a", ":a": "//p:a", "d/a": "//p:d/a", "//q": "//q:q", "//q/r": "//q/r:r", "//q:a": "//q:a", "//:a": "//:a",
		"@me//q:a": "//q:a", "@short//q": "@long//q:q", "@@short//q": "@short//q:q", "@other": "@other//:other", "@//q": "//q:q", "@@//q": "//q:q",
	} {
		if l, err := parseLabel(text, in, mapping); err != nil || l.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, l, err, want)
		}
	}
	for _, text := range []string{"", ":", "//", "/a", "a\nb", "@a:b", "//a/:b"} {
		if l, err := parseLabel(text, in, mapping); err == nil {
			t.Errorf("%q is %s", text, l)
		}
	}
}

func TestGlob(t *testing.T) {
	files := []string{"a.txt", "b.go", "d/a.txt", "d/e/a.txt", "d/e/b.go"}
	for _, c := range []struct{ include, exclude, want string }{
		{"*.txt", "", "a.txt"},
		{"**/*.txt", "", "a.txt d/a.txt d/e/a.txt"},
		{"**", "d/**", "a.txt b.go"},
		{"d/*", "", "d/a.txt"},
		{"*/?.txt", "", "d/a.txt"},
		{"d/**/a.*", "", "d/a.txt d/e/a.txt"},
		{"a*t", "", "a.txt"},
		{"[a].txt", "", ""},
	} {
		var exclude []string
		if c.exclude != "" {
			exclude = []string{c.exclude}
		}
		got, err := glob(files, []string{c.include}, exclude)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s without %s: %v, %v; want %s", c.include, c.exclude, got, err, c.want)
		}
	}
	for _, pattern := range []string{"", "/a", "../a", "a/./b", "a**"} {
		if _, err := glob(files, []string{pattern}, nil); err == nil {
			t.Errorf("%q is taken", pattern)
		}
	}
}

// FuzzPackage: no BUILD file panics.
func FuzzPackage(f *testing.F) {
	f.Add("load(\":m.bzl\", \"m\")\nm(name = \"a\", srcs = glob([\"*\"]))\n", "def m(**kwargs): native.filegroup(**kwargs)")
	f.Add("load(\"@x//:y.bzl\", \"z\")\n[z(name = a) for a, b in z if a[0] and not b.c()]", "")
	f.Add("x = select({\"a\": [1]}) + [2]\nfilegroup(name = x, srcs = {1: x})", "r = rule(implementation = 1, attrs = {\"a\": 1}, toolchains = 3)")
	f.Fuzz(func(t *testing.T, build, bzl string) {
		w := NewWorkspace(t.Context(), snapshot.Of(map[string]string{"BUILD": build, "m.bzl": bzl}), map[string]*Repo{"": {Mapping: map[string]string{"": ""}}})
		if _, err := NewLoader(t.Context(), w).Package("", ""); err != nil {
			t.Error(err)
		}
	})
}
