package graph

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stormgate.internal/tools/affected/internal/load"
)

// refused adds to a target of head what Bazel refuses of it now, and did not: nothing above
// it can be built. What is allowed now, and was refused, affects nothing.
func (b *builder) refused(n *Node, p *load.Package, t *load.Target, name string) {
	base := b.other.Packages[Key(p.Repo, p.Path)]
	var errors []string
	for _, text := range b.side.refusals(p) {
		if base == nil || !slices.Contains(b.other.refusals(base), text) {
			errors = append(errors, text)
		}
	}
	if was := b.other.targets[name]; was != nil && base != nil {
		errors = append(errors, b.unguarded(b.side.guard(t, p), b.other.guard(was, base))...)
		labels := map[string]bool{}
		for _, a := range t.Attributes {
			for _, r := range a.Refs {
				labels[r.Label] = true
			}
		}
		for _, label := range sorted(labels) {
			user := p
			if made, err := load.ParseLabel(t.MadeIn); err == nil && t.MadeIn != "" && !slices.Contains(t.Given, label) {
				user = &load.Package{Repo: made.Repo, Path: made.Package}
			}
			errors = append(errors, b.forbidden(label, user, b.side.testOnly(t, p), b.other.testOnly(was, base))...)
		}
	}
	if len(errors) > 0 {
		n.Parts["what Bazel refuses"] = digest(errors...)
	}
}

// limits are conditions of a rule that base does not have, and visibilities of its
// defaults that are narrower.
func (b *builder) limits(c *load.Class) []string {
	was := b.other.byKey[c.Key]
	if was == nil {
		return nil
	}
	var more []string
	for _, limit := range c.Limits {
		if !slices.Contains(was.Limits, limit) {
			more = append(more, limit)
		}
	}
	file, _, _ := strings.Cut(c.Key, "%")
	if in, err := load.ParseLabel(file); err == nil {
		for _, r := range c.Refs {
			more = append(more, b.forbidden(r.Label, &load.Package{Repo: in.Repo, Path: in.Package}, true, true)...)
		}
	}
	return more
}

// forbidden says why a package may not depend on a label any more.
func (b *builder) forbidden(text string, p *load.Package, testOnly, wasTestOnly bool) []string {
	if strings.HasPrefix(text, "@") && !strings.Contains(text, "//") {
		return nil
	}
	label := b.label(text)
	if _, here := b.side.Workspace.Repos[label.Repo]; !here {
		return nil
	}
	var errors []string
	if file, was := b.side.guardOfFile(text, label), b.other.guardOfFile(text, label); file != nil && was != nil {
		errors = append(errors, b.unguarded(file, was)...)
	}
	if label.Repo != p.Repo || label.Package != p.Path {
		now, was := b.side.visible(text, label, p), b.other.visible(text, label, p)
		if now.narrower(was) {
			errors = append(errors, "may not see "+text)
		}
	}
	if !testOnly && b.side.isTestOnly(text) && (wasTestOnly || !b.other.isTestOnly(text)) {
		errors = append(errors, "is not testonly, as "+text+" is")
	}
	return errors
}

// guard are the entries of a target's visibility.
func (s *Side) guard(t *load.Target, p *load.Package) []string {
	switch {
	case t.Visible != nil:
		return t.Visible
	case t.Kind == "config_setting" && t.Class == "" && t.Symbol == "":
		return []string{"//visibility:public"} // Unless it says otherwise itself.
	}
	return s.defaultVisibility(p)
}

// guardOfFile are those of a label that is a file, nil if it is none.
func (s *Side) guardOfFile(text string, label load.Label) []string {
	p := s.Packages[Key(label.Repo, label.Package)]
	if p == nil {
		return nil
	}
	if kind, _ := s.what(text, label); kind != file {
		return nil
	}
	for _, e := range p.Exports {
		if e.Name == label.Name && e.Visible != nil {
			return e.Visible
		}
	}
	return s.defaultVisibility(p)
}

// unguarded are package groups of a visibility that aren't there, and were: who may see it
// can't be said then, and Bazel refuses it to all, its own package included.
func (b *builder) unguarded(now, was []string) []string {
	if len(b.other.absentGroups(was, 0)) > 0 {
		return nil // It was refused before.
	}
	var errors []string
	for _, label := range b.side.absentGroups(now, 0) {
		errors = append(errors, label+" is no package group")
	}
	return errors
}

// absentGroups are the labels among entries, and what these include, of which it is certain
// that they are no package groups.
func (s *Side) absentGroups(entries []string, depth int) []string {
	var absent []string
	for _, e := range entries {
		label, err := load.ParseLabel(e)
		if err != nil || strings.HasPrefix(e, "?") || depth > 20 || label.Name == "__pkg__" || label.Name == "__subpackages__" || label.Repo == "" && label.Package == "visibility" {
			continue
		}
		if _, here := s.Workspace.Repos[label.Repo]; !here {
			continue
		}
		p := s.Packages[Key(label.Repo, label.Package)]
		if p == nil {
			absent = append(absent, e)
			continue
		}
		if i := slices.IndexFunc(p.Groups, func(g load.Group) bool { return g.Name == label.Name }); i >= 0 {
			absent = append(absent, s.absentGroups(p.Groups[i].Includes, depth+1)...)
			continue
		}
		if p.Failed == "" && p.Doubt == "" && !slices.ContainsFunc(p.Targets, func(t load.Target) bool { return t.Name == "" || t.Foreign() }) {
			absent = append(absent, e)
		}
	}
	return absent
}

func (s *Side) testOnly(t *load.Target, p *load.Package) bool {
	if isAlias(t) {
		return true // It may be an alias of anything: whoever depends on it may not.
	}
	if t.SaysTestOnly {
		return t.TestOnly
	}
	return t.Test || p.TestOnly
}

func isAlias(t *load.Target) bool { return t.Kind == "alias" && t.Class == "" && t.Symbol == "" }

// isTestOnly says so of what a label stands for.
func (s *Side) isTestOnly(text string) bool {
	return slices.ContainsFunc(s.Settings(text), func(name string) bool {
		t := s.targets[name]
		if t == nil {
			t = s.targets[s.outputs[name]]
		}
		label, err := load.ParseLabel(name)
		p := s.Packages[Key(label.Repo, label.Package)]
		return err == nil && t != nil && p != nil && !isAlias(t) && s.testOnly(t, p)
	})
}

// refusals are why Bazel refuses a package.
func (s *Side) refusals(p *load.Package) []string {
	if all, ok := s.refusing[p]; ok {
		return all
	}
	all := p.Refused
	if s.noEmptyGlobs() {
		all = slices.Concat(all, p.Empty)
	}
	for _, label := range p.LoadLabels {
		if why := s.unloadable(label); why != "" {
			all = append(all[:len(all):len(all)], why)
		}
	}
	all = append(all[:len(all):len(all)], s.acrossPackages(p)...)
	for _, link := range s.Workspace.Snapshot.Endless { // A glob that meets one fails.
		if label, ok := s.Workspace.LabelOf(link); ok && p.Globs && label.Repo == p.Repo && label.Package == p.Path {
			all = append(all[:len(all):len(all)], link+" is a link that has no end")
		}
	}
	s.refusing[p] = all
	return all
}

// acrossPackages are targets and files that a package names as its own, and that are in
// another one: Bazel refuses the package for them.
func (s *Side) acrossPackages(p *load.Package) []string {
	var all []string
	own := load.Label{Repo: p.Repo, Package: p.Path}.String()
	look := func(name string) {
		if !strings.Contains(name, "/") {
			return
		}
		if owner, ok := s.Workspace.Owner(load.Label{Repo: p.Repo, Package: p.Path, Name: name}); ok && owner != p.Path {
			if why := name + " is in the package " + Key(p.Repo, owner); !slices.Contains(all, why) {
				all = append(all, why)
			}
		}
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		if t.Symbol != "" {
			continue
		}
		look(t.Name)
		for _, a := range t.Attributes {
			for _, o := range a.Outputs {
				look(o)
			}
			for _, r := range a.Refs {
				if name, ok := strings.CutPrefix(r.Label, own); ok && r.Sure {
					look(name)
				}
			}
		}
	}
	return all
}

// unloadable says why a .bzl file that is there can't be loaded by a label: its folder is in
// no package, or in another one than the label's.
func (s *Side) unloadable(text string) string {
	label, err := load.ParseLabel(text)
	if err != nil {
		return ""
	}
	if _, here := s.Workspace.Repos[label.Repo]; !here {
		return ""
	}
	if owner, ok := s.Workspace.Owner(label); !ok || owner != label.Package {
		return text + " is a file of no package, or of another one"
	}
	return ""
}

// noEmptyGlobs says that a glob that says nothing of it must match something: so it is
// since Bazel 8, and by an option.
func (s *Side) noEmptyGlobs() bool {
	if s.emptyGlobs == nil {
		forbidden := false
		for _, e := range s.Workspace.Snapshot.Files {
			if e.Path == ".bazelversion" {
				forbidden = s.version >= 8 || s.version == 0
			}
		}
		for _, o := range s.RC {
			if o.Name == "incompatible_disallow_empty_glob" {
				forbidden = o.Value != "0" && o.Value != "false" && o.Value != "no"
			}
		}
		s.emptyGlobs = &forbidden
	}
	return *s.emptyGlobs
}

// sight is who may see something: the package that was asked for, or it can't be known,
// and depends on open entries.
type sight struct {
	sees bool
	open []string
}

func (now sight) narrower(was sight) bool {
	switch {
	case now.sees:
		return false
	case len(now.open) > 0 && !was.sees:
		return slices.ContainsFunc(was.open, func(e string) bool { return !slices.Contains(now.open, e) })
	}
	return was.sees || len(was.open) > 0
}

// visible says whether targets of a package may depend on a label.
func (s *Side) visible(text string, label load.Label, user *load.Package) sight {
	p := s.Packages[Key(label.Repo, label.Package)]
	if p == nil {
		return sight{}
	}
	t := s.targets[text]
	if t == nil {
		t = s.targets[s.outputs[text]]
	}
	if t != nil {
		return s.matches(s.guard(t, p), user)
	}
	for _, e := range p.Exports {
		if e.Name == label.Name {
			if e.Visible == nil {
				return sight{sees: true}
			}
			return s.matches(e.Visible, user)
		}
	}
	// What is not exported may all the same be seen if a target of its package names it.
	var open []string
	for _, e := range s.defaultVisibility(p) {
		open = append(open, "default "+e)
	}
	for i := range p.Targets {
		for _, a := range p.Targets[i].Attributes {
			if slices.ContainsFunc(a.Refs, func(r load.Ref) bool { return r.Label == text }) {
				return sight{open: append(open, "named in its package")}
			}
		}
	}
	return sight{open: open}
}

var (
	ofRepository = regexp.MustCompile(`default_visibility\s*=\s*\[([^\]]*)\]`)
	quoted       = regexp.MustCompile(`["']([^"']*)["']`)
)

// defaultVisibility is that of a package, else that of its repository, else none.
func (s *Side) defaultVisibility(p *load.Package) []string {
	if p.Visible != nil {
		return p.Visible
	}
	entries, ok := s.visibilities[p.Repo]
	if !ok {
		entries = []string{"//visibility:private"}
		if r := s.Workspace.Repos[p.Repo]; r != nil {
			if content, err := s.Workspace.Snapshot.Read(s.ctx, path.Join(r.Root, "REPO.bazel")); err == nil {
				if m := ofRepository.FindSubmatch(content); m != nil {
					entries = nil
					for _, q := range quoted.FindAllSubmatch(m[1], -1) {
						l, err := load.ParseIn(string(q[1]), load.Label{Repo: p.Repo}, r.Mapping)
						if l.Package == "visibility" {
							l.Repo = ""
						}
						text := l.String()
						if err != nil {
							text = "?" + string(q[1])
						}
						entries = append(entries, text)
					}
				}
			}
		}
		s.visibilities[p.Repo] = entries
	}
	return entries
}

func (s *Side) matches(entries []string, user *load.Package) sight {
	var open []string
	for _, e := range entries {
		label, err := load.ParseLabel(e)
		switch {
		case strings.HasPrefix(e, "?") || err != nil:
			open = append(open, e)
		case e == "//visibility:public":
			return sight{sees: true}
		case label.Repo == "" && label.Package == "visibility":
		case label.Name == "__pkg__":
			if label.Repo == user.Repo && label.Package == user.Path {
				return sight{sees: true}
			}
		case label.Name == "__subpackages__":
			if label.Repo == user.Repo && (label.Package == "" || user.Path == label.Package || strings.HasPrefix(user.Path, label.Package+"/")) {
				return sight{sees: true}
			}
		default:
			in := s.inGroup(label, user, 0)
			if in.sees {
				return in
			}
			open = append(open, in.open...)
		}
	}
	return sight{open: open}
}

// inGroup says that a package_group has a package.
func (s *Side) inGroup(label load.Label, user *load.Package, depth int) sight {
	p := s.Packages[Key(label.Repo, label.Package)]
	if p == nil || depth > 20 {
		return sight{open: []string{label.String()}}
	}
	i := slices.IndexFunc(p.Groups, func(g load.Group) bool { return g.Name == label.Name })
	if i < 0 {
		return sight{open: []string{label.String()}}
	}
	has, not := false, false
	var open []string
	for _, spec := range p.Groups[i].Packages {
		if strings.HasPrefix(spec, "?") {
			open = append(open, spec)
			continue
		}
		spec, negative := strings.CutPrefix(spec, "-")
		repo := label.Repo
		if rest, ok := strings.CutPrefix(spec, "@"); ok {
			name, after, _ := strings.Cut(strings.TrimPrefix(rest, "@"), "//")
			repo, spec = name, "//"+after
			if r := s.Workspace.Repos[label.Repo]; r != nil {
				if mapped, ok := r.Mapping[name]; ok {
					repo = mapped
				}
			}
		}
		if spec == "public" || repo == user.Repo && load.Covers(spec, user.Path) {
			has, not = has || !negative, not || negative
		}
	}
	if has && !not {
		return sight{sees: true}
	}
	for _, e := range p.Groups[i].Includes {
		if l, err := load.ParseLabel(e); err == nil {
			in := s.inGroup(l, user, depth+1)
			if in.sees {
				return in
			}
			open = append(open, in.open...)
		} else {
			open = append(open, e)
		}
	}
	return sight{open: open}
}

// majorVersion is the first number of .bazelversion, 0 if it has none.
func majorVersion(text string) int {
	first, _, _ := strings.Cut(strings.TrimSpace(text), ".")
	n, err := strconv.Atoi(cmp.Or(first, "0"))
	if err != nil {
		return 0
	}
	return n
}
