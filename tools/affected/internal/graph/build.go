package graph

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/git"
	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/module"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// Names of nodes that are no labels.
const (
	// Configuration is what every test depends on.
	Configuration = "configuration"
	// Status is the workspace status.
	Status = "workspace status"
	// Variables is what --define sets.
	Variables = "make variables"
	// Modules is the modules whose files are elsewhere, as a whole: which of them
	// depends on which can't be seen without fetching them.
	Modules = "modules of other repositories"
	// Environment is the variables that code of repositories may read.
	Environment = "environment of repositories"
	// ForeignToolchains is the toolchains that are registered from other repositories.
	ForeignToolchains = "toolchains of other repositories"
)

// Side is one snapshot with all that was loaded of it.
type Side struct {
	Workspace *load.Workspace
	Modules   *module.Set
	Packages  map[string]*load.Package // by repository and path: `@repo//path`
	RC        []bazelrc.Option         // effective
	// Defined are the names of configs that .bazelrc has.
	Defined []string
	// Closure gives what a name of a .bzl file depends on, Code its text too.
	Closure func(file load.Label, name string) (*load.Closure, error)
	Code    func(file load.Label, name string) ([]string, []load.Ref, error)
	// Extension runs an extension of the main module.
	Extension func(file load.Label, name, module string, tags []load.TagCall) ([]load.RepositoryCall, error)

	targets map[string]*load.Target // by label
	outputs map[string]string       // output's label to the target's
	failed  map[string]bool         // packages
	classes map[string]*load.Class  // by digest
	byKey   map[string]*load.Class
	ctx     context.Context
	// version is the first number of Bazel's version, emptyGlobs what noEmptyGlobs has found,
	// visibilities are the defaults of repositories.
	version      int
	emptyGlobs   *bool
	visibilities map[string][]string
	// refusing are the answers of refusals.
	refusing map[*load.Package][]string
}

// Key is the key of a package in Side.Packages.
func Key(repo, pkg string) string {
	if repo == "" {
		return "//" + pkg
	}
	return "@" + repo + "//" + pkg
}

func (s *Side) prepare(ctx context.Context) {
	s.ctx, s.visibilities, s.refusing = ctx, map[string][]string{}, map[*load.Package][]string{}
	if content, err := s.Workspace.Snapshot.Read(ctx, ".bazelversion"); err == nil {
		s.version = majorVersion(string(content))
	}
	s.targets, s.outputs, s.failed = map[string]*load.Target{}, map[string]string{}, map[string]bool{}
	s.classes, s.byKey = map[string]*load.Class{}, map[string]*load.Class{}
	for key, p := range s.Packages {
		for i := range p.Classes {
			s.classes[p.Classes[i].Digest] = &p.Classes[i]
			s.byKey[p.Classes[i].Key] = &p.Classes[i]
		}
		s.failed[key] = p.Failed != ""
		for i := range p.Targets {
			t := &p.Targets[i]
			if t.Name == "" {
				continue
			}
			label := load.Label{Repo: p.Repo, Package: p.Path, Name: t.Name}.String()
			if old := s.targets[label]; old == nil || !old.Hides(t) {
				s.targets[label] = t
			}
			for _, a := range t.Attributes {
				for _, o := range a.Outputs {
					s.outputs[load.Label{Repo: p.Repo, Package: p.Path, Name: o}.String()] = label
				}
			}
		}
	}
}

// what a label is on one side.
type what int

const (
	nothing what = iota
	target
	output
	file
	folder
)

func (s *Side) what(text string, label load.Label) (what, string) {
	if _, ok := s.targets[text]; ok {
		return target, text
	}
	if t, ok := s.outputs[text]; ok {
		return output, t
	}
	where, ok := s.Workspace.File(label)
	if !ok {
		return nothing, ""
	}
	if _, ok := s.Workspace.Snapshot.Lookup(where); ok {
		if owner, ok := s.Workspace.Owner(label); ok && owner == label.Package {
			return file, where
		}
		return nothing, ""
	}
	if s.hasFolder(where) {
		return folder, where
	}
	return nothing, ""
}

// MadeBy is the target that makes a file of this label, as far as its attributes say.
func (s *Side) MadeBy(label string) (string, bool) {
	t, ok := s.outputs[label]
	return t, ok
}

// submodule is the submodule that a label's file would be in, if its files can't be
// seen: its commit stands for all of them.
func (s *Side) submodule(label load.Label) (string, bool) {
	where, ok := s.Workspace.File(label)
	if !ok {
		return "", false
	}
	for p := where; p != "." && p != "/"; p = path.Dir(p) {
		if e, ok := s.Workspace.Snapshot.Lookup(p); ok && e.Mode == git.Submodule {
			return p, true
		}
	}
	return "", false
}

func (s *Side) hasFolder(where string) bool {
	files := s.Workspace.Snapshot.Files
	i := s.lower(where + "/")
	return i < len(files) && strings.HasPrefix(files[i].Path, where+"/")
}

func (s *Side) lower(prefix string) int {
	files := s.Workspace.Snapshot.Files
	lo, hi := 0, len(files)
	for lo < hi {
		mid := (lo + hi) / 2
		if files[mid].Path < prefix {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

type builder struct {
	ctx         context.Context
	side, other *Side
	isHead      bool
	// asked are names of attributes that something may ask any target for.
	asked  []string
	graph  *Graph
	parsed map[string]load.Label
	facts  Facts
	// modulesOfGo are the repositories of go_deps, once they were asked for.
	modulesOfGo map[string]bool
	// workspaceName is what WORKSPACE calls this repository.
	workspaceName string
	// known are repositories that a module which can be seen has a name for, once asked.
	known map[string]bool
	// made is of what repositories that this workspace makes are made.
	made map[string]*made
	// shapes are edges that become edges to shapes.
	shapes []struct {
		name string
		node *Node
		edge int
	}
}

// Facts are what the graphs are built for.
type Facts struct {
	// Special are files whose content is compared in another way.
	Special map[string]bool
	// Defines are the make variables whose values differ: whoever reads others only is not
	// connected with Variables.
	Defines []string
	// Generated says that a repository is a Go module that has no BUILD files of its own, so
	// that Gazelle makes them. Nil says so of none.
	Generated func(repo string) bool
}

// Build makes the graphs of both sides.
func Build(ctx context.Context, base, head *Side, facts Facts) (*Graph, *Graph) {
	base.prepare(ctx)
	head.prepare(ctx)
	b, h := build(ctx, base, head, false, facts), build(ctx, head, base, true, facts)
	narrowDefaults(b, h)
	return b.graph, h.graph
}

func build(ctx context.Context, side, other *Side, isHead bool, facts Facts) *builder {
	b := &builder{ctx: ctx, isHead: isHead, side: side, other: other, parsed: map[string]load.Label{}, facts: facts, made: map[string]*made{},
		graph: &Graph{Nodes: make(map[string]*Node, 4*len(side.targets)), Tests: map[string]*Test{}}}
	b.node(Configuration, "configuration")
	b.node(Status, "workspace status")
	b.node(Variables, "make variables")
	b.node(ForeignToolchains, "toolchains")
	b.node(Environment, "environment")
	b.status()
	b.asked = asked(side, other)
	for _, key := range sorted(side.Packages) {
		b.pkg(key, side.Packages[key])
	}
	b.toolchains()
	b.options()
	b.modules()
	b.legacy()
	b.visited()
	b.queried()
	seen := b.seenThrough()
	for _, s := range b.shapes {
		if seen[s.name] {
			continue
		}
		s.node.Edges[s.edge].To = b.shape(s.node.Edges[s.edge].To)
	}
	b.renamed()
	return b
}

// Prefixes of the names of nodes that stand for what Bazel's analysis knows of others: of
// targets all but the content of files, of a file that it is there.
const (
	shapeOf    = "shape of "
	presenceOf = "presence of "
)

// Whole is the name of the node that one stands for, else its own.
func Whole(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, shapeOf), presenceOf)
}

// shape is the node of what analysis knows of another node.
func (b *builder) shape(name string) string {
	whole := b.graph.Nodes[name]
	if whole == nil {
		return name
	}
	if b.side.validates(name) {
		return name // Its validation reads content.
	}
	switch whole.Kind {
	case "target", "rule":
		if _, ok := b.graph.Nodes[shapeOf+name]; ok {
			return shapeOf + name
		}
		n := b.node(shapeOf+name, whole.Kind)
		n.Rule, n.Digest, n.Parts, n.File = whole.Rule, whole.Digest, whole.Parts, whole.File
		for _, e := range whole.Edges {
			to := ""
			if b.goneBeside(name, e.To) {
				to = b.presence(e.To)
			} else {
				to = b.shape(e.To)
			}
			n.Edges = append(n.Edges, Edge{To: to, Why: e.Why})
		}
		return shapeOf + name
	case "file":
		n := b.node(presenceOf+name, "file")
		n.Digest, n.File = "there", whole.File
		if e, ok := b.side.Workspace.Snapshot.Lookup(whole.File); ok && e.Mode == git.Symlink {
			n.Digest = "a link to nothing" // A missing input to whoever has it.
		}
		return presenceOf + name
	case "folder":
		n := b.node(shapeOf+name, "folder")
		n.Digest, n.File = whole.Digest, whole.File
		return shapeOf + name
	}
	return name
}

// goneBeside says that a target names a file of its own package that is gone: Bazel takes it
// for a file, and looks for it only when an action reads it.
func (b *builder) goneBeside(user, name string) bool {
	t, p := b.side.targets[user], b.packageOf(user)
	if !b.graph.Nodes[name].missing() || t == nil || t.Symbol != "" || t.MadeIn != "" || p == nil || p.Failed != "" || p.Doubt != "" {
		return false
	}
	label := b.label(name)
	if label.Repo != p.Repo || label.Package != p.Path {
		return false
	}
	if owner, ok := b.side.Workspace.Owner(label); !ok || owner != label.Package {
		return false
	}
	kind, _ := b.other.what(name, label)
	return kind == file
}

// presence is the node of a file of which only the name counts.
func (b *builder) presence(name string) string {
	n := b.node(presenceOf+name, "file")
	n.Digest = "there"
	if where, ok := b.side.Workspace.File(b.label(name)); ok {
		n.File = where
	}
	return presenceOf + name
}

// seenThrough are the targets that something other than a suite depends on, or an aspect
// that an option names visits: an aspect may see what is below them.
func (b *builder) seenThrough() map[string]bool {
	seen := map[string]bool{}
	all := slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool { return o.Name == "aspects" })
	for name, n := range b.graph.Nodes {
		if all {
			seen[name] = true
		}
		if n.Kind == "target" && n.Rule == "test_suite" && b.side.targets[name] != nil && b.side.targets[name].Symbol == "" {
			continue
		}
		for _, e := range n.Edges {
			seen[e.To] = true
		}
	}
	return seen
}

// validates says that a target may have validation actions: they run with a test that
// depends on it, even if that reads nothing of it. What isn't seen may have some, and
// rules of Bazel for languages have.
func (s *Side) validates(label string) bool {
	t := s.targets[label]
	switch {
	case t == nil:
		return false
	case t.Symbol != "":
		return true
	case t.Class != "":
		c := s.classes[t.Class]
		return c == nil || c.Validates
	}
	return !plainRules[t.Kind]
}

// plainRules are rules of Bazel that validate nothing.
var plainRules = map[string]bool{
	"alias": true, "config_setting": true, "constraint_setting": true, "constraint_value": true, "filegroup": true, "genquery": true, "genrule": true,
	"label_flag": true, "label_setting": true, "platform": true, "sh_binary": true, "sh_library": true, "sh_test": true, "test_suite": true,
	"toolchain": true, "toolchain_type": true,
}

// blind says that no action of a target reads a file of another one.
func (s *Side) blind(label string) bool {
	t := s.targets[label]
	if t == nil || t.Class == "" {
		return t != nil && t.Kind == "genquery" && t.Symbol == "" // It prints names.
	}
	c := s.classes[t.Class]
	return c != nil && c.Blind && !c.Status
}

func (b *builder) node(name, kind string) *Node {
	if n, ok := b.graph.Nodes[name]; ok {
		return n
	}
	n := &Node{Kind: kind}
	b.graph.Nodes[name] = n
	return n
}

func (b *builder) label(text string) load.Label {
	l, ok := b.parsed[text]
	if !ok {
		l, _ = load.ParseLabel(text) // Written by Label.String.
		b.parsed[text] = l
	}
	return l
}

// ref gives the nodes that a reference leads to.
func (b *builder) ref(r load.Ref) []string {
	if repo, ok := strings.CutPrefix(r.Label, "@"); ok && !strings.Contains(repo, "//") {
		return []string{b.repository(repo)}
	}
	label := b.label(r.Label)
	if _, here := b.side.Workspace.Repos[label.Repo]; !here {
		if _, there := b.other.Workspace.Repos[label.Repo]; !there {
			if !r.Sure && !b.knownRepository(label.Repo) {
				return nil
			}
			return []string{b.external(r.Label, label)}
		}
	}
	switch kind, where := b.side.what(r.Label, label); kind {
	case target:
		return []string{r.Label}
	case output:
		return []string{where}
	case file:
		return []string{b.file(r.Label, where)}
	case folder:
		return []string{b.folder(r.Label, where)}
	}
	if in, ok := b.side.submodule(label); ok {
		return []string{b.file("file "+in, in)}
	}
	// What the other side has there is missing here: that is a difference.
	if kind, _ := b.other.what(r.Label, label); kind != nothing {
		return []string{b.missing(r.Label)}
	}
	if !r.Sure {
		return nil
	}
	// A file or a target that something makes: the call with the longest name that
	// this one begins with, else all of which no name is known.
	key := Key(label.Repo, label.Package)
	p := b.side.Packages[key]
	if p == nil {
		return []string{b.missing(r.Label)}
	}
	best, unnamed := "", []string(nil)
	var within, foreign []string // targets with a name that is a part of this one, and such as may make any
	for i := range p.Targets {
		t := &p.Targets[i]
		own := load.Label{Repo: p.Repo, Package: p.Path, Name: t.Name}.String()
		switch {
		case t.Name == "":
			unnamed = append(unnamed, unnamedLabel(p, i))
		case !t.MakesMore():
		case strings.HasPrefix(label.Name, t.Name) && len(label.Name) > len(t.Name) && strings.ContainsRune("._-/", rune(label.Name[len(t.Name)])):
			if len(t.Name) > len(best) {
				best = t.Name
			}
		case strings.Contains(label.Name, t.Name):
			within = append(within, own)
		case t.Foreign():
			foreign = append(foreign, own)
		}
	}
	switch {
	case best != "":
		return []string{load.Label{Repo: p.Repo, Package: p.Path, Name: best}.String()}
	case p.Failed != "":
		return []string{b.packageNode(key, p)}
	case len(unnamed)+len(within) > 0:
		return append(unnamed, within...)
	case len(foreign) > 0 && !patternName.MatchString(label.Name):
		return foreign
	}
	return []string{b.missing(r.Label)}
}

// patternName is what follows a colon where no target is meant.
var patternName = regexp.MustCompile(`^(?:__pkg__|__subpackages__|all|all-targets|\*|\.\.\.)$`)

func unnamedLabel(p *load.Package, i int) string {
	return fmt.Sprintf("%s of %s, call %d", p.Targets[i].Kind, Key(p.Repo, p.Path), i+1)
}

func (b *builder) missing(label string) string {
	b.node(label, "missing").Digest = "missing"
	return label
}

func (b *builder) file(label, where string) string {
	if _, ok := b.graph.Nodes[label]; ok {
		return label
	}
	n := b.node(label, "file")
	n.File = where
	n.Digest = b.content(where)
	return label
}

// content is a file's digest, or that of all a submodule that can't be seen.
func (b *builder) content(where string) string {
	e, ok := b.side.Workspace.Snapshot.Lookup(where)
	if !ok {
		return "missing"
	}
	if e.Mode == git.Regular || e.Mode == git.Executable && b.inert(where, e) {
		return "file " + e.ID
	}
	return "file " + e.ID + " " + string(e.Mode)
}

// inert says that it means nothing that a file has become executable: it is text without a
// line #!, so that no program is run by it. Bazel has no mode in any key; a script that
// can't be executed any more fails where nothing is cached, also without such a line.
func (b *builder) inert(where string, e snapshot.Entry) bool {
	o, ok := b.other.Workspace.Snapshot.Lookup(where)
	if !ok || o.ID != e.ID || o.Mode != git.Regular || !b.isHead {
		return false // It is compared with nothing, its mode with the same, or lost it.
	}
	content, err := b.side.Workspace.Snapshot.Read(b.ctx, where)
	return err == nil && !bytes.HasPrefix(content, []byte("#!")) && !bytes.ContainsRune(content, 0)
}

func (b *builder) folder(label, where string) string {
	if _, ok := b.graph.Nodes[label]; ok {
		return label
	}
	n := b.node(label, "folder")
	n.File = where
	files := b.side.Workspace.Snapshot.Files
	var names []string
	for i := b.side.lower(where + "/"); i < len(files) && strings.HasPrefix(files[i].Path, where+"/"); i++ {
		names = append(names, files[i].Path)
		inner := "file " + files[i].Path
		if l, ok := b.side.Workspace.LabelOf(files[i].Path); ok {
			inner = l.String()
		}
		if _, taken := b.side.targets[inner]; taken {
			inner = "file " + files[i].Path
		}
		n.Edges = append(n.Edges, Edge{To: b.file(inner, files[i].Path), Why: "folder"})
	}
	n.Digest = digest(names...)
	return label
}

// anyFile is all files of the workspace, for what may read any of them.
func (b *builder) anyFile() string {
	const name = "any file"
	if _, ok := b.graph.Nodes[name]; ok {
		return name
	}
	n := b.node(name, "files")
	var names []string
	for _, e := range b.side.Workspace.Snapshot.Files {
		names = append(names, e.Path)
		n.Edges = append(n.Edges, Edge{To: b.file("file "+e.Path, e.Path), Why: "file of the workspace"})
	}
	n.Digest = digest(names...)
	return name
}

func (b *builder) knownRepository(name string) bool {
	if b.known == nil {
		b.known = map[string]bool{"bazel_tools": true}
		for in, f := range b.side.seenModules() {
			mapping := b.side.Workspace.Repos[in].Mapping
			for _, canonical := range mapping {
				b.known[canonical] = true
			}
			for _, e := range f.Extensions {
				for _, apparent := range e.Repos {
					b.known[cmp.Or(mapping[apparent], apparent)] = true
				}
			}
			for _, r := range f.Repositories {
				b.known[cmp.Or(mapping[r.Name], r.Name)] = true
			}
		}
	}
	return b.known[name] || b.hasLegacy()
}

// hasLegacy says that WORKSPACE may make repositories.
func (b *builder) hasLegacy() bool {
	return b.side.ReadsWorkspace() && slices.ContainsFunc(workspaceFiles, func(file string) bool {
		_, ok := b.side.Workspace.Snapshot.Lookup(file)
		return ok
	})
}

// external is a label of a repository whose files are elsewhere.
func (b *builder) external(text string, label load.Label) string {
	if _, ok := b.graph.Nodes[text]; !ok {
		n := b.node(text, "external")
		n.Digest = "external"
		n.Edges = append([]Edge{{To: b.repository(label.Repo), Why: "repository"}}, b.unseen(label.Repo)...)
	}
	return text
}

func (b *builder) repository(name string) string {
	if _, here := b.side.Workspace.Repos[name]; here {
		return Configuration // A repository of the workspace as a whole: its files are nodes.
	}
	node := "@" + name
	if _, ok := b.graph.Nodes[node]; !ok {
		b.node(node, "repository").Digest = "repository"
	}
	return node
}

// all is a repository with whatever is in it: of one in the workspace its folder.
func (b *builder) all(name string) string {
	if r, here := b.side.Workspace.Repos[name]; here && r.Root != "" {
		return b.folder("folder "+r.Root, r.Root)
	}
	return b.repository(name)
}

// packageNode stands for a package as a whole.
func (b *builder) packageNode(key string, p *load.Package) string {
	name := "package " + key
	if _, ok := b.graph.Nodes[name]; ok {
		return name
	}
	n := b.node(name, "package")
	n.File = p.Build
	parts := []string{p.Failed, p.Doubt, b.content(p.Build)}
	for _, f := range p.Loads {
		parts = append(parts, f, b.content(f))
	}
	parts = append(parts, b.side.Workspace.Files(p.Repo, p.Path)...)
	n.Digest = digest(parts...)
	for _, r := range p.Literals {
		for _, to := range b.ref(r) {
			n.Edges = append(n.Edges, Edge{To: to, Why: "named in the package"})
		}
	}
	if p.Failed != "" {
		// It may glob.
		for _, f := range b.side.Workspace.Files(p.Repo, p.Path) {
			l := load.Label{Repo: p.Repo, Package: p.Path, Name: f}
			if kind, where := b.side.what(l.String(), l); kind == file {
				n.Edges = append(n.Edges, Edge{To: b.file(l.String(), where), Why: "file of the package"})
			}
		}
	}
	return name
}

func (b *builder) pkg(key string, p *load.Package) {
	classes := map[string]*load.Class{}
	for i := range p.Classes {
		classes[p.Classes[i].Digest] = &p.Classes[i]
	}
	for i := range p.Classes {
		b.class(&p.Classes[i], classes)
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		name := unnamedLabel(p, i)
		if t.Name != "" {
			name = load.Label{Repo: p.Repo, Package: p.Path, Name: t.Name}.String()
		}
		if t.Name != "" && b.side.targets[name] != t {
			if t.Symbol == "" {
				continue // A second target of that name: Bazel's error.
			}
			// Another repository's macro makes something else under that name.
			beside := name + ", made by " + t.Symbol
			for b.graph.Nodes[beside] != nil {
				beside += ", again"
			}
			named := b.node(name, "target")
			named.Edges = append(named.Edges, Edge{To: beside, Why: "made beside it"})
			name = beside
		}
		n := b.node(name, "target")
		n.Rule, n.File = t.Kind, ""
		n.Parts = make(map[string]string, len(t.Attributes)+2)
		n.Parts["rule"] = t.Kind + " " + t.Symbol
		if c, ok := classes[t.Class]; ok {
			n.Parts["rule"] = c.Key
			n.Edges = append(n.Edges, Edge{To: "rule " + c.Key, Why: "rule"})
		}
		if p.Failed != "" || p.Doubt != "" {
			n.Edges = append(n.Edges, Edge{To: b.packageNode(key, p), Why: "package in doubt"})
		}
		seen := map[string]bool{}
		for _, a := range t.Attributes {
			n.Parts[a.Name] = a.Digest
			if a.Set {
				n.Parts[a.Name] = b.set(a.Refs)
			}
			for _, r := range a.Refs {
				for _, to := range b.ref(r) {
					if a.Absent && !b.graph.Nodes[to].missing() {
						continue
					}
					if !seen[to] && to != name {
						seen[to] = true
						n.Edges = append(n.Edges, Edge{To: to, Why: a.Name, Special: r.Special})
						// Unless something is above the test, whose aspect sees through it.
						if a.Name == "data" && t.Kind == "sh_test" && t.Class == "" && t.Symbol == "" && b.side.blind(to) {
							b.shapes = append(b.shapes, struct {
								name string
								node *Node
								edge int
							}{name, n, len(n.Edges) - 1})
						}
					}
				}
			}
		}
		if t.Symbol != "" {
			if repo, ok := strings.CutPrefix(t.Symbol, "@"); ok {
				repo, _, _ = strings.Cut(repo, "//")
				n.Edges = append(n.Edges, Edge{To: b.repository(repo), Why: "rule of"})
				n.Edges = append(n.Edges, b.unseen(repo)...)
				for _, label := range ofRulesOfGo(repo, t.Kind) {
					n.Edges = append(n.Edges, Edge{To: b.ofGoRule(label), Why: "rule of"})
				}
			}
		} else if t.Class == "" {
			n.Edges = append(n.Edges, Edge{To: b.repository("bazel_tools"), Why: "rule of Bazel"})
			n.Edges = append(n.Edges, b.ofLanguage(t)...)
		}
		if t.Stamps == load.Always || t.Stamps == load.IfAsked && b.stampOption() || p.Failed != "" {
			n.Edges = append(n.Edges, Edge{To: Status, Why: "stamped"})
		}
		if b.defines(t.Variables) || p.Failed != "" {
			n.Edges = append(n.Edges, Edge{To: Variables, Why: "make variables"})
		}
		if t.Kind == "toolchain_type" && t.Class == "" && t.Symbol == "" {
			// Whoever names it, such as an execution group, may get one of them.
			n.Edges = append(n.Edges, Edge{To: b.toolchainType(name), Why: "toolchain"})
		}
		b.quiet(n, t)
		if b.isHead {
			b.refused(n, p, t, name)
		}
		var parts []string
		for _, k := range sorted(n.Parts) {
			parts = append(parts, k, n.Parts[k])
		}
		n.Digest = digest(parts...)
		if t.Test && p.Repo == "" && b.side.targets[name] == t {
			n.Edges = append(n.Edges, Edge{To: Configuration, Why: "configuration"})
			b.graph.Tests[name] = &Test{Label: name, Kind: t.Kind, Tags: t.Tags, Manual: t.Manual(), Uncached: t.Uncached(), Incompatible: b.incompatible(t.Constraints)}
		}
	}
}

// languages are the modules of which Bazel's rules for languages are made, by the beginnings
// of their names.
var languages = map[string]string{"cc": "rules_cc", "objc": "rules_cc", "java": "rules_java", "py": "rules_python", "proto": "protobuf", "android": "rules_android"}

// ofLanguage are what a rule of Bazel for a language is made of beside Bazel: a module, whose
// version MODULE.bazel may choose, and toolchains.
func (b *builder) ofLanguage(t *load.Target) []Edge {
	before, _, _ := strings.Cut(t.Kind, "_")
	module := languages[before]
	if before == "sh" && b.side.version >= 8 {
		module = "rules_shell"
	}
	var edges []Edge
	if !plainRules[t.Kind] {
		edges = append(edges, Edge{To: ForeignToolchains, Why: "toolchain"})
	}
	if module != "" {
		edges = append(edges, Edge{To: b.all(module), Why: "rule of"})
	}
	return edges
}

// set is a digest of the targets and files that labels stand for.
func (b *builder) set(refs []load.Ref) string {
	var labels []string
	for _, r := range refs {
		label := r.Label
		for range 20 {
			t := b.side.targets[label]
			if b.label(label).Repo != "" {
				break // That the repository has a package among all counts: see names.go.
			}
			if t == nil || t.Kind != "alias" || t.Class != "" || t.Symbol != "" || len(t.Attributes) != 1 || len(t.Attributes[0].Refs) != 1 || t.Attributes[0].Digest != load.LabelDigest(t.Attributes[0].Refs[0].Label) {
				break
			}
			label = t.Attributes[0].Refs[0].Label
		}
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return digest(slices.Compact(labels)...)
}

// incompatible says that `bazel test //...` skips a target with these constraints: one
// that no platform has, or another system's than this one, unless an option chooses the
// platform.
func (b *builder) incompatible(constraints []string) bool {
	for _, label := range constraints {
		if label == "@platforms//:incompatible" {
			return true
		}
		system, ok := strings.CutPrefix(label, "@platforms//os:")
		if !ok || b.choosesPlatform() {
			continue
		}
		if system == "osx" {
			system = "macos"
		}
		if slices.Contains(systems, system) && system != strings.Replace(runtime.GOOS, "darwin", "macos", 1) {
			return true
		}
	}
	return false
}

// systems are those whose names are the same in Go and as a constraint, but for macos.
var systems = []string{"android", "freebsd", "linux", "macos", "netbsd", "openbsd", "windows"}

func (b *builder) choosesPlatform() bool {
	return slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool {
		return o.Name == "platforms" || o.Name == "host_platform" || o.Name == "cpu" || o.Name == "platform_mappings" || o.Name == "experimental_platforms"
	})
}

func (b *builder) stampOption() bool { return bazelrc.Stamp(b.side.RC) }

func (b *builder) class(c *load.Class, classes map[string]*load.Class) {
	name := "rule " + c.Key
	if n, ok := b.graph.Nodes[name]; ok && n.Digest != "" {
		return
	}
	n := b.node(name, "rule")
	n.Parts = map[string]string{"attributes": c.Schema}
	for _, p := range c.Parts {
		n.Parts[p.File] = p.Digest
	}
	n.Digest = digest(c.Schema, c.Code)
	if more := b.limits(c); b.isHead && len(more) > 0 {
		n.Parts["conditions"] = digest(more...)
		n.Digest = digest(n.Digest, n.Parts["conditions"])
	}
	for _, r := range c.Refs {
		for _, to := range b.ref(r) {
			n.Edges = append(n.Edges, Edge{To: to, Why: "default"})
		}
	}
	for _, r := range c.Refs {
		if repo, ok := strings.CutPrefix(r.Label, "@"); ok && c.Handed && !strings.Contains(repo, "//") {
			n.Edges = append(n.Edges, b.unseen(repo)...)
		}
	}
	if c.Anywhere {
		n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: "a label that its code puts together"})
	}
	for _, r := range c.Toolchains {
		for _, label := range b.side.Settings(r.Label) { // Also of what it is an alias of.
			n.Edges = append(n.Edges, Edge{To: b.toolchainType(label), Why: "toolchain"})
		}
	}
	for _, a := range c.Aspects {
		if other, ok := classes[a]; ok {
			n.Edges = append(n.Edges, Edge{To: "rule " + other.Key, Why: "aspect"})
		}
	}
	if c.Variables {
		n.Edges = append(n.Edges, Edge{To: Variables, Why: "reads make variables"})
	}
	if c.Status {
		n.Edges = append(n.Edges, Edge{To: Status, Why: "reads the workspace status"})
	}
}

func (b *builder) toolchainType(label string) string {
	name := "toolchains of type " + label
	if _, ok := b.graph.Nodes[name]; ok {
		return name
	}
	n := b.node(name, "toolchains")
	if l := b.label(label); label != "" {
		if _, here := b.side.Workspace.Repos[l.Repo]; !here {
			// Its module may register some, and so may others.
			n.Edges = append(n.Edges, Edge{To: b.repository(l.Repo), Why: "type of"}, Edge{To: ForeignToolchains, Why: "toolchain"})
		}
	}
	return name
}

// elsewhereOf is the repository that a pattern is of, if its files can't be seen.
func (b *builder) elsewhereOf(pattern string) (string, bool) {
	text := strings.TrimPrefix(pattern, "-")
	if !strings.HasPrefix(text, "@") {
		return "", false
	}
	label, err := load.ParseMapped(text, b.side.Workspace.Repos[""].Mapping)
	if err != nil {
		return "", false
	}
	_, here := b.side.Workspace.Repos[label.Repo]
	return label.Repo, !here
}

// foreignToolchains connects the toolchains that are registered from repositories which
// can't be seen with what may take one: rules of other repositories and of Bazel, and of
// the types of the workspace those that its own code may have made toolchains for.
func (b *builder) foreignToolchains(patterns, loose []string) {
	n := b.graph.Nodes[ForeignToolchains]
	n.File = "MODULE.bazel"
	var all, own []string
	for _, pattern := range patterns {
		repo, ok := b.elsewhereOf(pattern)
		if !ok {
			continue
		}
		all = append(all, pattern)
		n.Edges = append(n.Edges, Edge{To: b.repository(repo), Why: "registered"})
		if b.madeByOwnCode(repo) {
			own = append(own, b.repository(repo))
		}
	}
	n.Digest = digest(all...)
	for _, label := range loose {
		n.Edges = append(n.Edges, Edge{To: label, Why: "registered"})
	}
	for _, name := range sorted(b.graph.Nodes) {
		text, ok := strings.CutPrefix(name, "toolchains of type ")
		if !ok || text == "" {
			continue
		}
		if _, here := b.side.Workspace.Repos[b.label(text).Repo]; !here {
			continue
		}
		t := b.graph.Nodes[name]
		for _, to := range append(own, loose...) {
			t.Edges = append(t.Edges, Edge{To: to, Why: "may be registered"})
		}
	}
}

// madeByOwnCode says that code of the workspace makes a repository.
func (b *builder) madeByOwnCode(repo string) bool {
	for in, f := range b.side.seenModules() {
		mapping := b.side.Workspace.Repos[in].Mapping
		own := func(file string) bool {
			label, err := load.ParseIn(file, load.Label{Repo: in}, mapping)
			_, here := b.side.Workspace.Repos[label.Repo]
			return err == nil && here
		}
		for _, e := range f.Extensions {
			if own(e.File) && slices.ContainsFunc(e.Repos, func(r string) bool { return cmp.Or(mapping[r], r) == repo }) {
				return true
			}
		}
		for _, r := range f.Repositories {
			if cmp.Or(mapping[r.Name], r.Name) == repo && own(r.File) {
				return true
			}
		}
	}
	return false
}

// toolchains connects types of toolchains with the registered ones.
func (b *builder) toolchains() {
	patterns := slices.Clone(b.side.Modules.Root.Toolchains)
	for _, o := range b.side.RC {
		if o.Name == "extra_toolchains" {
			patterns = append(patterns, strings.Split(o.Value, ",")...)
		}
	}
	// Those of the main module and of options come first. Which of two other modules does is
	// not all seen here, nor which of their registrations are for development alone: none of
	// theirs is taken for the one that Bazel takes.
	first := len(patterns)
	for _, name := range b.localModules() {
		for _, p := range b.side.Modules.Local[name].Toolchains {
			patterns = append(patterns, b.asMain(name, p))
		}
	}
	mapping := b.side.Workspace.Repos[""].Mapping
	inOrder := !slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool {
		return o.Name == "extra_toolchains" || o.Name == "ignore_dev_dependency"
	}) &&
		!slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(p, "-") })
	var loose []string // what other repositories' macros make, of which it isn't seen what it is
	byType := map[string][]string{}
	decided := map[string]bool{} // types of which a toolchain was found that fits always
	for i, pattern := range patterns {
		for _, t := range b.match(pattern, mapping) {
			types := []string(nil)
			if target := b.side.targets[t]; target != nil && target.Symbol != "" {
				loose = append(loose, t)
				continue
			}
			if target := b.side.targets[t]; target != nil {
				for _, a := range target.Attributes {
					if a.Name == "toolchain_type" {
						for _, r := range a.Refs {
							types = append(types, b.side.Settings(r.Label)...)
						}
					}
				}
			}
			if len(types) == 0 {
				types = []string{""} // Whose type can't be seen.
			}
			for _, ty := range types {
				if target := b.side.targets[t]; decided[ty] && target != nil && target.Kind == "toolchain" {
					continue // Bazel takes the first that fits.
				}
				byType[ty] = append(byType[ty], t)
				decided[ty] = decided[ty] || inOrder && i < first && ty != "" && t == label(pattern, mapping) && fits(b.side.targets[t])
			}
		}
	}
	b.foreignToolchains(patterns, loose)
	for _, ty := range sorted(byType) {
		list := byType[ty]
		name := b.toolchainType(ty)
		n := b.graph.Nodes[name]
		n.File = "MODULE.bazel"
		n.Digest = digest(list...)
		for _, t := range list {
			for _, to := range b.ref(load.Ref{Label: t, Sure: true}) {
				n.Edges = append(n.Edges, Edge{To: to, Why: "registered"})
			}
		}
		repo := b.label(ty).Repo
		if _, here := b.side.Workspace.Repos[repo]; here && ty != "" {
			continue
		}
		// Rules of other repositories use it, of which is not seen which.
		if repo == "bazel_tools" || ty == "" {
			b.graph.Nodes[Configuration].Edges = append(b.graph.Nodes[Configuration].Edges, Edge{To: name, Why: "toolchain"})
			continue
		}
		r := b.graph.Nodes[b.repository(repo)]
		r.Edges = append(r.Edges, Edge{To: name, Why: "toolchain"})
	}
}

// asMain is a pattern of a module in the workspace as the main module would write it.
func (b *builder) asMain(module, pattern string) string {
	text := strings.TrimPrefix(pattern, "-")
	sign := pattern[:len(pattern)-len(text)]
	if strings.HasPrefix(text, "//") {
		return sign + "@@" + module + text
	}
	if rest, ok := strings.CutPrefix(text, "@"); ok && !strings.HasPrefix(rest, "@") {
		apparent, after, _ := strings.Cut(rest, "//")
		if repo, ok := b.side.Workspace.Repos[module].Mapping[apparent]; ok {
			return sign + "@@" + repo + "//" + after
		}
	}
	return pattern
}

// localModules are the names of the modules in the workspace, in the order in which the
// dependencies lead to them.
func (b *builder) localModules() []string {
	local := b.side.Modules.Local
	var names []string
	queue := []*module.File{b.side.Modules.Root}
	for i := 0; i < len(queue); i++ {
		for _, d := range queue[i].Deps {
			if f, ok := local[d.Name]; ok && !slices.Contains(names, d.Name) {
				names, queue = append(names, d.Name), append(queue, f)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(local)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// label is the label that a pattern is, if it is one.
func label(pattern string, mapping map[string]string) string {
	l, err := load.ParseMapped(pattern, mapping)
	if err != nil {
		return ""
	}
	return l.String()
}

// fits says that a toolchain fits whatever the platforms and the configuration are.
func fits(t *load.Target) bool {
	return t != nil && t.Kind == "toolchain" && t.Class == "" && t.Symbol == "" && !slices.ContainsFunc(t.Attributes, func(a load.Attribute) bool {
		return a.Name != "toolchain" && a.Name != "toolchain_type" && a.Name != "tags" && a.Name != "features"
	})
}

// match expands a pattern of toolchains or platforms.
func (b *builder) match(pattern string, mapping map[string]string) []string {
	text := strings.TrimPrefix(pattern, "-")
	if !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "@") {
		return nil
	}
	label, err := load.ParseMapped(text, mapping)
	if err != nil {
		return nil
	}
	if _, here := b.side.Workspace.Repos[label.Repo]; !here {
		return nil
	}
	recursive := label.Package == "..." || strings.HasSuffix(label.Package, "/...")
	if !recursive && label.Name != "all" && label.Name != "*" && label.Name != "all-targets" {
		return []string{label.String()}
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(label.Package, "..."), "/")
	var found []string
	for _, p := range b.side.Workspace.Packages(label.Repo) {
		if p != prefix && (!recursive || prefix != "" && !strings.HasPrefix(p, prefix+"/")) {
			continue
		}
		pkg := b.side.Packages[Key(label.Repo, p)]
		if pkg == nil {
			continue
		}
		for i := range pkg.Targets {
			if t := &pkg.Targets[i]; t.Name != "" && (t.Kind == "toolchain" || t.Kind == "platform" || t.Class != "" && strings.Contains(t.Kind, "toolchain") || t.Foreign()) {
				found = append(found, load.Label{Repo: label.Repo, Package: p, Name: t.Name}.String())
			}
		}
	}
	slices.Sort(found)
	return found
}

// options connects the configuration with the targets that options name.
func (b *builder) options() {
	configuration := b.graph.Nodes[Configuration]
	mapping := b.side.Workspace.Repos[""].Mapping
	name := func(text, why string) {
		if repo, ok := b.elsewhereOf(text); ok {
			configuration.Edges = append(configuration.Edges, Edge{To: b.repository(repo), Why: why})
		}
		for _, t := range b.match(text, mapping) {
			for _, to := range b.ref(load.Ref{Label: t, Sure: true}) {
				configuration.Edges = append(configuration.Edges, Edge{To: to, Why: why})
			}
		}
	}
	for _, o := range b.side.RC {
		scope, _ := bazelrc.Classify(o.Name)
		if scope == bazelrc.Setting {
			b.setting(o)
			continue
		}
		if scope != bazelrc.Everything && scope != bazelrc.Tests || o.Name == "extra_toolchains" {
			continue
		}
		switch o.Name {
		case "override_module", "override_repository", "inject_repository":
			b.overridden(o)
			continue
		case "vendor_dir", "registry", "deleted_packages", "flag_alias":
			continue // See modules: these are read where repositories are made.
		case "package_path":
			for _, folder := range strings.Split(o.Value, ":") {
				b.path(configuration, folder, "--"+o.Name)
			}
			continue
		case "aspects":
			b.aspects(o)
		}
		for _, v := range optionWords(o.Value) {
			if file, _, ok := strings.Cut(v, ".bzl%"); ok {
				v = file + ".bzl" // An aspect: all of its file counts.
			}
			if !slices.Contains(programsOwn, o.Name) {
				name(v, "--"+o.Name)
				b.optionFile(configuration, v, "--"+o.Name)
			}
			// Bazel takes p:x for //p:x.
			if strings.Contains(v, ":") || labelOption.MatchString(o.Name) {
				if l, err := load.ParseMapped("//"+v, mapping); err == nil && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "@") && b.side.targets[l.String()] != nil {
					name(l.String(), "--"+o.Name)
				}
			}
		}
	}
	if !slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool { return o.Name == "platform_mappings" }) {
		b.optionFile(configuration, "platform_mappings", "which Bazel reads by its name")
	}
	platforms := slices.Clone(b.side.Modules.Root.Platforms)
	for _, module := range b.localModules() {
		for _, p := range b.side.Modules.Local[module].Platforms {
			platforms = append(platforms, b.asMain(module, p))
		}
	}
	for _, p := range platforms {
		name(p, "execution platform")
	}
	n := b.node("execution platforms", "platforms")
	n.File = "MODULE.bazel"
	n.Digest = digest(platforms...)
	configuration.Edges = append(configuration.Edges, Edge{To: "execution platforms", Why: "platforms"})
}

// programsOwn are options whose values programs get as they are: no file that they name
// is read but by what has it among its inputs.
var programsOwn = []string{"test_env", "test_arg", "test_filter", "action_env", "host_action_env"}

// labelOption is an option whose value is a label, also if it has neither // nor a colon.
var labelOption = regexp.MustCompile(`platforms?$|_toolchains?$|_top$|_sdk$|_malloc$|_launcher$`)

// optionWords are the parts of an option's value that may be labels or files: with lists,
// with what is given to a name, and with a program's arguments.
func optionWords(value string) []string {
	words := []string{value}
	for _, w := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '=' || r == ' ' || r == '\t' || r == '\'' || r == '"' }) {
		if w != value {
			words = append(words, w)
		}
	}
	return words
}

// workspacePath is the path that an option names, from the workspace's top.
func workspacePath(text string) (string, bool) {
	text = strings.TrimPrefix(text, "file:")
	if before, after, ok := strings.Cut(text, "%workspace%"); ok && strings.Trim(before, "/") == "" {
		text = strings.TrimPrefix(after, "/")
	}
	clean := path.Clean(text)
	return clean, text != "" && clean != "." && !path.IsAbs(clean)
}

// optionFile connects a node with a file that an option names, if there is one, or was.
func (b *builder) optionFile(n *Node, text, why string) {
	file, ok := workspacePath(text)
	if !ok {
		return
	}
	if _, here := b.side.Workspace.Snapshot.Lookup(file); here {
		n.Edges = append(n.Edges, Edge{To: b.file("file "+file, file), Why: why})
	} else if _, there := b.other.Workspace.Snapshot.Lookup(file); there {
		n.Edges = append(n.Edges, Edge{To: b.missing("file " + file), Why: why})
	}
}

// path connects a node with the file or the folder that an option names.
func (b *builder) path(n *Node, text, why string) {
	b.optionFile(n, text, why)
	if folder, ok := workspacePath(text); ok {
		if b.side.hasFolder(folder) {
			n.Edges = append(n.Edges, Edge{To: b.folder("folder "+folder, folder), Why: why})
		} else if b.other.hasFolder(folder) {
			n.Edges = append(n.Edges, Edge{To: b.missing("folder " + folder), Why: why})
		}
	}
}

// aspects connects the configuration with the code of the aspects that --aspects names,
// also with what its file loads.
func (b *builder) aspects(o bazelrc.Option) {
	for _, v := range strings.Split(o.Value, ",") {
		file, name, ok := strings.Cut(v, "%")
		if !ok {
			continue
		}
		n := b.node("aspect "+v, "aspect")
		b.code(n, file, name, load.Label{}, b.side.Workspace.Repos[""].Mapping)
		c := b.graph.Nodes[Configuration]
		c.Edges = append(c.Edges, Edge{To: "aspect " + v, Why: "--" + o.Name})
	}
}

// Settings are the labels that a build setting has: its own, and those of what it is if
// it is an alias.
func (s *Side) Settings(label string) []string {
	all := []string{label}
	for i := 0; i < len(all) && i < 1000; i++ {
		t := s.targets[all[i]]
		if t == nil || t.Kind != "alias" {
			continue
		}
		for _, a := range t.Attributes {
			for _, r := range a.Refs {
				if a.Name == "actual" && !slices.Contains(all, r.Label) {
					all = append(all, r.Label)
				}
			}
		}
	}
	return all
}

// Default says that a build setting is a flag of single texts whose default is a value.
func (s *Side) Default(label, value string) bool {
	t := s.targets[label]
	return t != nil && t.Class != "" && slices.ContainsFunc(t.Attributes, func(a load.Attribute) bool {
		return a.Name == "build_setting_default" && a.Digest == load.DefaultDigest(value)
	})
}

// setting connects a build setting that an option sets with the targets that its value
// names: they take the place of a label_flag.
func (b *builder) setting(o bazelrc.Option) {
	mapping := b.side.Workspace.Repos[""].Mapping
	label, err := load.ParseMapped(o.Name, mapping)
	if err != nil {
		return
	}
	var values []Edge
	for _, v := range optionWords(o.Value) {
		if !strings.HasPrefix(v, "//") && !strings.HasPrefix(v, "@") && !strings.Contains(v, ":") {
			continue
		}
		if !strings.HasPrefix(v, "//") && !strings.HasPrefix(v, "@") {
			v = "//" + v
		}
		if l, err := load.ParseMapped(v, mapping); err == nil {
			for _, to := range b.ref(load.Ref{Label: l.String()}) {
				values = append(values, Edge{To: to, Why: "set by --" + o.Name})
			}
		}
	}
	if len(values) == 0 {
		return
	}
	for _, text := range b.side.Settings(label.String()) {
		l := b.label(text)
		n := b.graph.Nodes[text]
		if _, here := b.side.Workspace.Repos[l.Repo]; !here {
			n = b.graph.Nodes[b.repository(l.Repo)] // Which of its targets use the setting isn't seen.
		}
		if n == nil {
			n = b.graph.Nodes[Configuration]
		}
		n.Edges = append(n.Edges, values...)
	}
}

// overridden connects a repository with the folder of the workspace that an option puts
// in its place.
func (b *builder) overridden(o bazelrc.Option) {
	repo, folder, _ := strings.Cut(o.Value, "=")
	folder = path.Clean(strings.TrimPrefix(folder, "%workspace%/"))
	if folder == "." || path.IsAbs(folder) || !b.side.hasFolder(folder) {
		return
	}
	if _, here := b.side.Workspace.Repos[repo]; here {
		return
	}
	n := b.graph.Nodes[b.repository(repo)]
	n.Edges = append(n.Edges, Edge{To: b.folder("folder "+folder, folder), Why: "overridden"})
}
