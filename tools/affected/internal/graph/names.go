package graph

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/module"
)

// The runfiles of every program, and so of every test, have a file _repo_mapping. Of each
// repository that has a package among all that the program depends on it lists the names
// that this repository has for those whose files are among the runfiles. Another name, or
// one more, is another key of the test, also if no label changes.

// between is a pair of repositories: of has names for to. They are named as in
// load.Workspace; a repository that an extension makes by extension and own name, since
// each module may have another name for it.
type between struct{ of, to string }

// names are the names that repositories have for each other, sorted. Those of modules
// that are elsewhere are left out: they are part of the module's node, on which all
// depends that uses a repository of another module.
func (s *Side) names() map[between][]string {
	names := map[between][]string{}
	if !s.mapsRepositories() {
		return names
	}
	add := func(of, to, name string) {
		if key := (between{of, to}); name != "" && !slices.Contains(names[key], name) {
			names[key] = append(names[key], name)
		}
	}
	for of, f := range s.seenModules() {
		add(of, of, cmp.Or(f.RepoName, f.Name))
		for _, d := range f.Deps {
			if to, ok := s.local(d.Name); ok {
				add(of, to, d.Apparent)
			}
		}
		for _, e := range f.Extensions {
			for _, apparent := range e.Repos {
				add(of, s.madeBy(e, of, apparent), apparent)
			}
		}
	}
	for _, list := range names {
		slices.Sort(list)
	}
	return names
}

// mapsRepositories says that Bazel knows names of repositories by module at all: it does
// from version 7 on unless it is told not to.
func (s *Side) mapsRepositories() bool {
	enabled := s.version == 0 || s.version >= 7
	for _, o := range s.RC {
		if o.Name == "enable_bzlmod" {
			enabled = bazelrc.True(o.Value)
		}
	}
	return enabled
}

// seenModules are the modules whose MODULE.bazel is in the workspace, the main one by the
// empty name.
func (s *Side) seenModules() map[string]*module.File {
	all := maps.Clone(s.Modules.Local)
	all[""] = s.Modules.Root
	return all
}

// local is the repository of a module, if its files are in the workspace.
func (s *Side) local(name string) (string, bool) {
	if name != "" && name == s.Modules.Root.Name {
		return "", true
	}
	_, ok := s.Modules.Local[name]
	return name, ok
}

// madeBy names a repository of an extension that a module calls by an apparent name.
func (s *Side) madeBy(e *module.Extension, in, apparent string) string {
	file := e.File
	if label, err := load.ParseIn(e.File, load.Label{Repo: in}, s.Workspace.Repos[in].Mapping); err == nil {
		file = label.String()
	}
	return file + "%" + e.Name + " " + cmp.Or(e.Names[apparent], apparent)
}

// renamed connects what has runfiles with names that differ from base's, and by which a
// runfile's repository is called.
func (b *builder) renamed() {
	if !b.isHead {
		return
	}
	was, is := b.other.names(), b.side.names()
	keys := slices.Collect(maps.Keys(is))
	for key := range was {
		if _, ok := is[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b between) int { return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.to, b.to)) })
	var users map[string][]user
	for _, key := range keys {
		if slices.Equal(was[key], is[key]) {
			continue
		}
		of := b.side.seenModules()[key.of]
		if of == nil {
			continue // A module that is no more: nothing has packages of it.
		}
		name := "names of " + called(key.to) + " in " + called(key.of)
		n := b.node(name, "names")
		n.File = path.Join(b.side.Workspace.Repos[key.of].Root, "MODULE.bazel")
		n.Digest = digest(is[key]...)
		n.Parts = map[string]string{"was": strings.Join(was[key], ", "), "is": strings.Join(is[key], ", ")}
		if key == (between{}) {
			// Each test has at least its own program among its runfiles.
			c := b.graph.Nodes[Configuration]
			c.Edges = append(c.Edges, Edge{To: name, Why: namesOfRunfiles})
			continue
		}
		if users == nil {
			users = b.users()
		}
		having, reading := b.reach(users, b.filesOf(key), b.handsOn), b.reach(users, b.nodesOf(key.of), func(string, user) bool { return true })
		for _, target := range sorted(having) {
			if reading[target] && b.runs(target) {
				t := b.graph.Nodes[target]
				t.Edges = append(t.Edges, Edge{To: name, Why: namesOfRunfiles})
			}
		}
	}
}

const namesOfRunfiles = "names of runfiles' repositories"

// called is a repository's name in words.
func called(repo string) string {
	switch {
	case repo == "":
		return "the main module"
	case strings.Contains(repo, "%"):
		file, own, _ := strings.Cut(repo, " ")
		return own + " of " + file
	}
	return "@" + repo
}

// users are the nodes that depend on each node.
func (b *builder) users() map[string][]user {
	users := make(map[string][]user, len(b.graph.Nodes))
	for name, n := range b.graph.Nodes {
		for i := range n.Edges {
			users[n.Edges[i].To] = append(users[n.Edges[i].To], user{name, &n.Edges[i]})
		}
	}
	return users
}

// reach are the nodes from which one can go to one of some nodes by edges that count.
func (b *builder) reach(users map[string][]user, from []string, counts func(to string, u user) bool) map[string]bool {
	reached := map[string]bool{}
	queue := slices.Clone(from)
	for _, name := range from {
		reached[name] = true
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		for _, u := range users[name] {
			if !reached[u.name] && counts(name, u) {
				reached[u.name] = true
				queue = append(queue, u.name)
			}
		}
	}
	return reached
}

// nodesOf are all nodes of repositories that have a module's names: its own, and those
// that rules and extensions of the main module make for that one.
func (b *builder) nodesOf(name string) []string {
	return b.matching(func(node string) bool {
		repo := repoOf(node)
		_, module := b.side.Modules.Local[repo]
		return repo == name || name == "" && repo != noRepository && !module
	})
}

// repoOf is the repository of the label that a node stands for; another text if it stands
// for none.
func repoOf(node string) string {
	node = Whole(node)
	before, _, ok := strings.Cut(node, "//")
	if !ok {
		before = node // A repository as a whole.
	}
	if before == "" {
		return ""
	}
	repo, ok := strings.CutPrefix(before, "@")
	if !ok || strings.Contains(repo, " ") {
		return noRepository
	}
	return repo
}

const noRepository = "no repository"

func (b *builder) matching(matches func(name string) bool) []string {
	var found []string
	for name := range b.graph.Nodes {
		if matches(name) {
			found = append(found, name)
		}
	}
	return found
}

// filesOf are the nodes of which files of a repository may be: its own, and those of
// repositories that can't be seen and may hand them on.
func (b *builder) filesOf(key between) []string {
	repos := map[string]bool{}
	in, made := b.apparent(key.to)
	for _, repo := range in {
		repos[repo] = true
	}
	return b.matching(func(name string) bool {
		n := b.graph.Nodes[name]
		repo := repoOf(name)
		if repo == noRepository {
			return false
		}
		if repos[repo] {
			return !b.compiled(Whole(name))
		}
		return (n.Kind == "external" || n.Kind == "repository") && b.mayHandOn(repo, key, made)
	})
}

// apparent are the repositories, as in names of nodes, that a key stands for, and the
// extension that makes it, if one does.
func (b *builder) apparent(to string) ([]string, *module.Extension) {
	if !strings.Contains(to, "%") {
		return []string{to}, nil
	}
	var repos []string
	var maker *module.Extension
	for _, side := range []*Side{b.side, b.other} {
		for in, f := range side.seenModules() {
			for _, e := range f.Extensions {
				for _, name := range e.Repos {
					if side.madeBy(e, in, name) != to {
						continue
					}
					maker = e
					if canonical, ok := side.Workspace.Repos[in].Mapping[name]; ok {
						name = canonical
					}
					repos = append(repos, name)
				}
			}
		}
	}
	return repos, maker
}

// mayHandOn says that a repository whose files can't be seen may have those of another one
// among the runfiles of its targets.
func (b *builder) mayHandOn(repo string, key between, maker *module.Extension) bool {
	if _, here := b.side.Workspace.Repos[repo]; here || knowsNeither[repo] || ofGo[repo] || repo == "bazel_skylib" || repo == "rules_shell" || b.moduleOfGo(repo) || b.madeHere(repo) != nil {
		return false
	}
	if maker == nil {
		return b.usedElsewhere(key.to)
	}
	extension, own, _ := strings.Cut(key.to, " ")
	switch file, _, _ := strings.Cut(extension, "%"); {
	case GoDeps(maker):
		return false // A Go module's library hands on no file of another one.
	case !b.usedElsewhere(repoOf(file)) || b.newIn(maker, own):
		// Nobody uses it who can't be seen, and what a tag makes is known to who wrote the tag:
		// but for the extension's other repositories.
		return b.siblings(extension)[repo]
	}
	return true
}

// newIn says that tags of an extension name a repository on one side only.
func (b *builder) newIn(maker *module.Extension, own string) bool {
	named := func(s *Side) bool {
		for _, e := range s.Modules.Root.Extensions {
			if e.File == maker.File && e.Name == maker.Name {
				return slices.ContainsFunc(e.Tags, func(t module.Tag) bool { return slices.Contains(t.Strings, own) })
			}
		}
		return false
	}
	return named(b.side) != named(b.other)
}

// siblings are the repositories of an extension, as in names of nodes.
func (b *builder) siblings(extension string) map[string]bool {
	found := map[string]bool{}
	for in, f := range b.side.seenModules() {
		for _, e := range f.Extensions {
			for _, name := range e.Repos {
				if !strings.HasPrefix(b.side.madeBy(e, in, name), extension+" ") {
					continue
				}
				if canonical, ok := b.side.Workspace.Repos[in].Mapping[name]; ok {
					name = canonical
				}
				found[name] = true
			}
		}
	}
	return found
}

// usedElsewhere says that modules which can't be seen may depend on one that is a folder
// of the workspace: it has a version, or no module that can be seen asks for it, so that
// another one does.
func (b *builder) usedElsewhere(name string) bool {
	switch _, here := b.side.local(name); {
	case name == "":
		return false // Nothing that can't be seen depends on the main module.
	case !here:
		return true
	}
	asked := false
	for _, f := range b.side.seenModules() {
		for _, d := range f.Deps {
			if d.Name != name {
				continue
			}
			asked = true
			if !noVersion.MatchString(d.Version) {
				return true
			}
		}
	}
	return !asked
}

// noVersion is what a module has for a version that is in no registry.
var noVersion = regexp.MustCompile(`^[0.]*$`)

// handsOn says whether who depends on a node has its files among its runfiles.
func (b *builder) handsOn(to string, u user) bool {
	switch b.graph.Nodes[u.name].Kind {
	case "target":
	case "rule", "package", "toolchains", "missing":
		return true
	case "configuration":
		return u.edge.Why == "--run_under"
	default:
		return false // What repositories are made of, and the like.
	}
	t := b.side.targets[Whole(u.name)]
	switch {
	case t == nil:
		return true
	case t.Class == "" && t.Symbol == "" && withoutRunfiles[t.Kind]:
		return false
	case isGo(t) && (u.edge.Why == "deps" || u.edge.Why == "embed"):
		return b.graph.Nodes[to].Kind != "external" || !b.moduleOfGo(repoOf(to))
	case isGo(t):
		return u.edge.Why == "data" || u.edge.Why == "target"
	}
	return true
}

// withoutRunfiles are rules of Bazel that have no runfiles but their own outputs.
var withoutRunfiles = map[string]bool{
	"genrule": true, "genquery": true, "config_setting": true, "constraint_setting": true, "constraint_value": true, "platform": true,
	"toolchain_type": true, "test_suite": true,
}

// isGo says that a target is one of the rules of rules_go, of which it is known by which
// attributes files come into the runfiles.
func isGo(t *load.Target) bool {
	repo, rest, _ := strings.Cut(strings.TrimPrefix(t.Symbol, "@"), "//")
	return (repo == "rules_go" || repo == "io_bazel_rules_go") && strings.HasPrefix(rest, "go:def.bzl%")
}

// compiled says that a target's own files are nobody's runfiles.
func (b *builder) compiled(label string) bool {
	t := b.side.targets[label]
	return t != nil && isGo(t) && (t.Kind == "go_library" || t.Kind == "go_source")
}

// runs says that a node may be a program, with runfiles of its own.
func (b *builder) runs(name string) bool {
	n := b.graph.Nodes[name]
	if n.Kind != "target" {
		return false
	}
	t := b.side.targets[Whole(name)]
	if t == nil || t.Test {
		return true
	}
	if t.Class == "" && t.Symbol == "" {
		return !noPrograms.MatchString(t.Kind) && !withoutRunfiles[t.Kind]
	}
	return !isGo(t) || t.Kind != "go_library" && t.Kind != "go_source"
}

// noPrograms are rules of Bazel that make none.
var noPrograms = regexp.MustCompile(`_library$|_import$|^(?:alias|filegroup|toolchain|label_flag|label_setting)$`)
