package graph

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
)

// unseen are what a target or a rule of a repository that isn't looked into may read.
func (b *builder) unseen(repo string) []Edge {
	if knowsNeither[repo] {
		return nil
	}
	made := b.madeHere(repo)
	var edges []Edge
	if len(b.facts.Defines) > 0 && b.mayRead(repo, made) {
		edges = append(edges, Edge{To: Variables, Why: "may read make variables"})
	}
	if !b.stampless(repo) && (made == nil || made.stamps) {
		edges = append(edges, Edge{To: Status, Why: "may read the workspace status"})
	}
	return edges
}

// knowsNeither are repositories whose targets and rules read neither make variables nor
// the workspace status.
var knowsNeither = map[string]bool{"bazel_tools": true, "platforms": true}

// ofGo are rules_go and Gazelle. They read one make variable, and those that attributes
// name.
var ofGo = map[string]bool{"rules_go": true, "io_bazel_rules_go": true, "gazelle": true, "bazel_gazelle": true}

// gotags is the variable that rules_go takes build tags from.
const gotags = "gotags"

// stampless says that a repository reads no workspace status unless an attribute asks
// for it, and --stamp in general: it is known to, or a Go module for which Gazelle has
// made its BUILD files.
func (b *builder) stampless(repo string) bool {
	if b.stampOption() {
		return false
	}
	return ofGo[repo] || repo == "bazel_skylib" || repo == "rules_shell" || b.moduleOfGo(repo)
}

func (b *builder) moduleOfGo(repo string) bool {
	if b.modulesOfGo == nil {
		b.modulesOfGo = map[string]bool{}
		for _, e := range b.side.Modules.Root.Extensions {
			if GoDeps(e) {
				for _, apparent := range e.Repos {
					b.modulesOfGo[cmp.Or(b.side.Workspace.Repos[""].Mapping[apparent], apparent)] = true
				}
			}
		}
	}
	return b.modulesOfGo[repo]
}

// defines says that one of these variables has another value on the other side.
func (b *builder) defines(names []string) bool {
	if len(b.facts.Defines) == 0 || len(names) == 0 {
		return false
	}
	base, head := bazelrc.Defines(b.side.RC), bazelrc.Defines(b.other.RC)
	return slices.Contains(names, load.AnyVariable) || slices.ContainsFunc(names, func(n string) bool {
		name, value, condition := strings.Cut(n, "=")
		if !condition {
			return slices.Contains(b.facts.Defines, n)
		}
		b, inBase := base[name]
		h, inHead := head[name]
		return (inBase && b == value) != (inHead && h == value)
	})
}

// mayRead says that a repository may read a variable that has another value.
func (b *builder) mayRead(repo string, made *made) bool {
	switch {
	case ofGo[repo], b.moduleOfGo(repo) && b.facts.Generated != nil && b.facts.Generated(repo):
		return slices.Contains(b.facts.Defines, gotags)
	case made == nil || made.variables:
		return true
	}
	return slices.ContainsFunc(b.facts.Defines, made.mentions)
}

// made is what is known of a repository that code of this workspace makes, or a folder
// of it: all text that its files can be made of.
type made struct {
	texts []string
	// stamps says that something in it may read the workspace status, variables that it
	// may read variables without naming them.
	stamps, variables bool
}

func (m *made) mentions(word string) bool {
	return slices.ContainsFunc(m.texts, func(t string) bool { return strings.Contains(t, word) })
}

var (
	// fetches are methods by which a repository's code gets at what is not in the workspace,
	// or at values that are not in its text.
	fetches = regexp.MustCompile(`\. (?:download\w*|execute|symlink|which|extract|path|getenv|os|patch|workspace_root|watch\w*)\b|\bgetattr\b`)
	// elsewhere is a label of another repository in a text; $@ is an output.
	elsewhere = regexp.MustCompile(`(?:^|[^$])@\S`)
	// onHost is a path outside the workspace, in quotes.
	onHost = regexp.MustCompile(`"/[^/"]|\.\./`)
	// wide are loads of what may be rules, rules of Bazel that read more than their attributes
	// say, and code that may read any variable.
	wide = regexp.MustCompile(`\bload\(|\b(?:cc|java|py|objc|apple|android|proto|cpp|go|rust)_|\bvar\b|expand_make_variables`)
	// madeVariable is a variable whose name is made of parts, or may be: $( with anything
	// else after it than a name in parentheses, or a function of locations and a space.
	madeVariable = regexp.MustCompile(`(?:^|[^$])\$(?:["']|\((?:[^A-Za-z]|$|\w+[^\w)\s]|\w+$))`)
	// defines is a condition on variables whose names may be made of parts.
	defines = regexp.MustCompile(`define_values|["']define["'][^=]*(?:%|\+|\.format|\{)`)
	stamped = regexp.MustCompile(`(?i)stamp|status|info_file|version_file`)
)

// madeHere finds of what a repository is made; nil if not all of that can be seen.
func (b *builder) madeHere(repo string) *made {
	m, ok := b.made[repo]
	if !ok {
		texts, ok := b.textsOf(repo)
		if ok {
			m = &made{texts: texts}
			for _, t := range texts {
				m.stamps = m.stamps || stamped.MatchString(t) || wide.MatchString(t)
				m.variables = m.variables || wide.MatchString(t) || madeVariable.MatchString(t) || defines.MatchString(t)
			}
		}
		b.made[repo] = m
	}
	return m
}

func (b *builder) textsOf(repo string) ([]string, bool) {
	root := b.side.Modules.Root
	mapping := b.side.Workspace.Repos[""].Mapping
	named := func(apparent string) bool { return cmp.Or(mapping[apparent], apparent) == repo }
	for _, e := range root.Extensions {
		if !slices.ContainsFunc(e.Repos, named) {
			continue
		}
		texts := slices.Clone(e.Text)
		var strings []string
		for _, t := range e.Tags {
			texts = append(texts, t.Text)
			strings = append(strings, t.Strings...)
		}
		return b.written(e.File, e.Name, texts, strings)
	}
	for _, r := range root.Repositories {
		if !named(r.Name) {
			continue
		}
		if r.File != localRules || r.Rule != "new_local_repository" {
			return b.written(r.File, r.Rule, []string{r.Text}, r.Strings)
		}
		texts, ok := b.files([]string{r.Text}, r.Strings)
		folder := path.Clean(r.Path)
		if !ok || !b.side.hasFolder(folder) {
			return nil, false
		}
		files := b.side.Workspace.Snapshot.Files
		for i := b.side.lower(folder + "/"); i < len(files) && strings.HasPrefix(files[i].Path, folder+"/"); i++ {
			if base := path.Base(files[i].Path); base == "BUILD" || base == "BUILD.bazel" || strings.HasSuffix(base, ".bzl") {
				content, err := b.side.Workspace.Snapshot.Read(b.ctx, files[i].Path)
				if err != nil {
					return nil, false
				}
				texts = append(texts, string(content))
			}
		}
		return texts, !slices.ContainsFunc(texts, elsewhere.MatchString)
	}
	return nil, false
}

// localRules is where Bazel has the rules for repositories in folders.
const localRules = "@bazel_tools//tools/build_defs/repo:local.bzl"

// written are the texts of code of this workspace that writes a repository, and of the
// files that it or its arguments name.
func (b *builder) written(file, name string, texts, arguments []string) ([]string, bool) {
	label, err := load.ParseIn(file, load.Label{}, b.side.Workspace.Repos[""].Mapping)
	if err != nil || label.Repo != "" || b.side.Code == nil {
		return nil, false
	}
	code, refs, err := b.side.Code(label, name)
	if err != nil || slices.ContainsFunc(code, fetches.MatchString) {
		return nil, false
	}
	texts = append(texts, code...)
	if slices.ContainsFunc(texts, onHost.MatchString) {
		return nil, false
	}
	for _, r := range refs {
		arguments = append(arguments, r.Label)
	}
	texts, ok := b.files(texts, arguments)
	return texts, ok && !slices.ContainsFunc(texts, elsewhere.MatchString)
}

// files adds the content of the files that labels name. It fails for what is no file of
// the workspace, but may be one elsewhere.
func (b *builder) files(texts, labels []string) ([]string, bool) {
	for _, text := range labels {
		if strings.HasPrefix(text, "@") {
			return nil, false
		}
		label, err := load.ParseIn(text, load.Label{}, nil)
		if err != nil {
			continue // No label: a text, which is among the texts.
		}
		switch kind, where := b.side.what(label.String(), label); kind {
		case file:
			content, err := b.side.Workspace.Snapshot.Read(b.ctx, where)
			if err != nil || len(content) > 1<<20 {
				return nil, false
			}
			texts = append(texts, string(content))
		case nothing, target, output, folder:
			// Repositories are made before targets are built, and without a path (fetches)
			// no code gets at the files of a folder.
		}
	}
	return texts, true
}
