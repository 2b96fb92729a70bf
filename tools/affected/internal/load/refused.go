package load

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// What Bazel refuses enters no action, but what depends on it can't be built: whatever is
// refused in one snapshot and not in the other affects all above it.

// Exported is a file that exports_files names.
type Exported struct {
	Name string
	// Visible are the entries of its visibility, none if nothing was said.
	Visible []string
}

// Group is a package_group.
type Group struct {
	Name               string
	Packages, Includes []string
}

// refuse notes that Bazel refuses the package.
func (p *loading) refuse(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.out.Refused, text) {
		p.out.Refused = append(p.out.Refused, text)
	}
}

// visibilities are those that Bazel has a name for.
var visibilities = words("public private legacy_public")

// entries are those of a visibility, as labels. What is not known begins with a question mark.
func (p *loading) entries(v starlark.Value) []string {
	out := []string{}
	if hasUnknown(v) {
		return []string{"?" + p.loader.text(v)}
	}
	var found collector
	found.value(v)
	for _, text := range found.strings {
		if label, err := parseLabel(text, p.label, p.loader.mapping(p.label.Repo)); err == nil {
			if label.Package == "visibility" {
				label.Repo = ""
				if !visibilities[label.Name] {
					p.refuse("there is no %s", label)
				}
			}
			out = append(out, label.String())
		} else {
			out = append(out, "?"+text)
		}
	}
	for _, l := range found.labels {
		out = append(out, l.String())
	}
	return out
}

// say takes from an attribute what decides who may depend on a target.
func (p *loading) say(t *Target, name string, v starlark.Value) {
	switch name {
	case "visibility":
		t.Visible = p.entries(v)
	case "testonly":
		t.TestOnly = bool(v == starlark.True || v == starlark.MakeInt(1) || hasUnknown(v))
		if i, err := starlark.AsInt32(v); err == nil {
			t.TestOnly = i != 0
		}
		t.SaysTestOnly = true
	}
}

// twice notes a label that a list has twice.
func (p *loading) twice(t *Target, name string, v starlark.Value) {
	switch v := v.(type) {
	case *selection:
		for _, item := range v.items {
			if b, ok := item.(*branches); ok {
				for _, kv := range b.Items() {
					p.twice(t, name, kv[1])
				}
			} else {
				p.twice(t, name, item)
			}
		}
	case *starlark.List:
		seen := map[string]bool{}
		for x := range starlark.Elements(v) {
			var text string
			switch x := x.(type) {
			case labelValue:
				text = x.label.String()
			case starlark.String:
				label, err := parseLabel(string(x), p.label, p.loader.mapping(p.label.Repo))
				if err != nil || isUnknown(x) {
					continue
				}
				text = label.String()
			default:
				continue
			}
			if seen[text] {
				p.refuse("%s of %s has %s twice", name, t.Name, text)
			}
			seen[text] = true
		}
	}
}

func (p *loading) exports(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var visible []string
	var names []string
	for _, v := range args {
		var found collector
		found.value(v)
		names = append(names, found.strings...)
	}
	for _, kv := range kwargs {
		switch kv[0].(starlark.String) {
		case "srcs":
			var found collector
			found.value(kv[1])
			names = append(names, found.strings...)
		case "visibility":
			if kv[1] != starlark.None {
				visible = p.entries(kv[1])
			}
		}
	}
	for _, n := range names {
		p.out.Exports = append(p.out.Exports, Exported{Name: strings.TrimPrefix(n, ":"), Visible: visible})
	}
	return starlark.None, nil
}

func (p *loading) group(_ *starlark.Thread, _ starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g := Group{Name: p.name(kwargs)}
	for _, kv := range kwargs {
		switch kv[0].(starlark.String) {
		case "packages":
			var found collector
			found.value(kv[1])
			g.Packages = found.strings
			for _, spec := range found.strings {
				if text := strings.TrimPrefix(spec, "-"); text != "public" && text != "private" && !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "@") {
					p.refuse("a package group with the package %q", spec)
				}
			}
			if hasUnknown(kv[1]) {
				g.Packages = append(g.Packages, "?"+p.loader.text(kv[1]))
			}
		case "includes":
			g.Includes = p.entries(kv[1])
		}
	}
	p.out.Groups = append(p.out.Groups, g)
	return starlark.None, nil
}

// nothingFound notes patterns of a glob that match nothing, where that may be refused:
// allowed is what the call says of it.
func (p *loading) nothingFound(what string, allowed starlark.Value, files, include []string, found int) {
	if allowed != nil && allowed != starlark.None && bool(allowed.Truth()) {
		return
	}
	var empty []string
	for _, pattern := range include {
		if some, err := glob(files, []string{pattern}, nil); err == nil && len(some) == 0 {
			empty = append(empty, fmt.Sprintf("%s: nothing matches %s", what, pattern))
		}
	}
	if found == 0 {
		empty = append(empty, fmt.Sprintf("%s: nothing is left of %q", what, include))
	}
	for _, text := range empty {
		if allowed == starlark.False || what == "subpackages" {
			p.refuse("%s", text)
		} else if !slices.Contains(p.out.Empty, text) {
			p.out.Empty = append(p.out.Empty, text)
		}
	}
}

// visibleTo says that a .bzl file may be loaded by files of a package.
func (m *module) visibleTo(in Label) bool {
	if m.visible == nil || in.Repo == m.label.Repo && in.Package == m.label.Package {
		return true
	}
	return slices.ContainsFunc(m.visible, func(spec string) bool {
		if spec == "public" || strings.HasPrefix(spec, "?") {
			return true
		}
		repo := m.label.Repo
		if rest, ok := strings.CutPrefix(spec, "@"); ok {
			name, after, _ := strings.Cut(strings.TrimPrefix(rest, "@"), "//")
			repo, spec = name, "//"+after
			if mapped, ok := m.loader.mapping(m.label.Repo)[name]; ok {
				repo = mapped
			}
		}
		return repo == in.Repo && Covers(spec, in.Package)
	})
}

// Covers says that //package or //package/... has a package.
func Covers(spec, pkg string) bool {
	text, ok := strings.CutPrefix(spec, "//")
	if !ok {
		return false
	}
	if text == "..." {
		return true
	}
	if folder, ok := strings.CutSuffix(text, "/..."); ok {
		return pkg == folder || strings.HasPrefix(pkg, folder+"/")
	}
	return path.Clean("/"+text) == path.Clean("/"+pkg)
}

// setVisibility is visibility() in a .bzl file.
func (l *Loader) setVisibility(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	m := l.byFile[thread.Name]
	if m == nil {
		return starlark.None, nil
	}
	m.visible = []string{}
	for _, kv := range kwargs {
		args = append(args, kv[1])
	}
	for _, v := range args {
		if hasUnknown(v) {
			m.visible = append(m.visible, "?")
		}
		var found collector
		found.value(v)
		m.visible = append(m.visible, found.strings...)
	}
	return starlark.None, nil
}

// refusals says what Bazel refuses if files of a package load a file.
func (m *module) refusals(in Label) []string {
	if m.visibleTo(in) {
		return m.refused
	}
	return append(slices.Clone(m.refused), fmt.Sprintf("%s may not be loaded by //%s", m.label, in.Package))
}
