package graph

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/git"
	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/module"
)

// GoDeps says that an extension is Gazelle's go_deps, whose repositories are modules
// of go.mod: these are compared by module.
func GoDeps(e *module.Extension) bool {
	return e.Name == "go_deps" && (strings.HasPrefix(e.File, "@gazelle//") || strings.HasPrefix(e.File, "@bazel_gazelle//"))
}

// GoSDK says that an extension is rules_go's go_sdk, which reads go.mod's go and
// toolchain lines.
func GoSDK(e *module.Extension) bool {
	return e.Name == "go_sdk" && (strings.HasPrefix(e.File, "@rules_go//") || strings.HasPrefix(e.File, "@io_bazel_rules_go//"))
}

// goOfRules are the packages of Go modules of which rules of rules_go are made, by the
// beginnings of the rules' names: go.mod chooses their versions, too.
var goOfRules = map[string][]string{
	"go_proto": {
		"@org_golang_google_protobuf//proto:proto", "@org_golang_google_protobuf//runtime/protoimpl:protoimpl", "@org_golang_google_protobuf//cmd/protoc-gen-go:protoc-gen-go",
		"@org_golang_google_grpc//:grpc", "@org_golang_google_grpc//cmd/protoc-gen-go-grpc:protoc-gen-go-grpc",
	},
	"go_grpc": {"@org_golang_google_grpc//:grpc", "@org_golang_google_protobuf//proto:proto"},
	"gomock":  {"@com_github_golang_mock//mockgen:mockgen", "@com_github_golang_mock//gomock:gomock", "@org_uber_go_mock//mockgen:mockgen", "@org_uber_go_mock//gomock:gomock"},
	"nogo":    {"@org_golang_x_tools//go/analysis:analysis", "@org_golang_x_tools//go/gcexportdata:gcexportdata"},
}

// ofRulesOfGo are those of a rule.
func ofRulesOfGo(repo, kind string) []string {
	if !ofGo[repo] {
		return nil
	}
	for _, before := range sorted(goOfRules) {
		if strings.HasPrefix(kind, before) {
			return goOfRules[before]
		}
	}
	return nil
}

// ofGoRule is the node of such a package. These read neither variables nor the workspace
// status by themselves.
func (b *builder) ofGoRule(label string) string {
	repo := b.label(label).Repo
	if _, here := b.side.Workspace.Repos[repo]; here {
		return b.all(repo)
	}
	if _, ok := b.graph.Nodes[label]; !ok {
		n := b.node(label, "external")
		n.Digest = "external"
		n.Edges = []Edge{{To: b.repository(repo), Why: "repository"}}
	}
	return label
}

// modules adds modules, extensions and what repositories are made of.
func (b *builder) modules() {
	all := b.node(Modules, "modules")
	all.Digest, all.File = "modules", ""
	all.Edges = append(all.Edges, Edge{To: Environment, Why: "may read"})
	b.module(b.side.Modules.Root, "")
	for _, name := range sorted(b.side.Modules.Local) {
		b.module(b.side.Modules.Local[name], name)
		if root := b.side.Workspace.Repos[name].Root; b.usedElsewhere(name) && root != "" {
			b.path(all, root, "may be used by a module that can't be seen")
		}
	}
	// A repository that is no extension's is a module's, or comes with one.
	for _, name := range sorted(b.graph.Nodes) {
		n := b.graph.Nodes[name]
		if repo := strings.TrimPrefix(name, "@"); n.Kind == "repository" && !knowsNeither[repo] && repo != "bazel_skylib" && repo != "rules_shell" {
			n.Edges = append(n.Edges, Edge{To: ForeignToolchains, Why: "toolchain"})
		}
		if n.Kind != "repository" || name == "@bazel_tools" || slices.ContainsFunc(n.Edges, func(e Edge) bool { return e.Why == "made by" }) {
			continue
		}
		n.Edges = append(n.Edges, Edge{To: Modules, Why: "module"})
	}
	for _, o := range b.side.RC {
		switch o.Name {
		case "registry": // It says which modules there are, and of what they are made.
			b.path(all, o.Value, "--"+o.Name)
		case "vendor_dir":
			b.vendored(o)
		}
	}
}

// vendored connects repositories with their folders in the folder of --vendor_dir. What
// is in it of no repository that is known here counts for everything: another repository
// may use it.
func (b *builder) vendored(o bazelrc.Option) {
	folder, ok := workspacePath(o.Value)
	if !ok {
		return
	}
	repositories := map[string]*Node{}
	for _, name := range sorted(b.graph.Nodes) {
		if n := b.graph.Nodes[name]; n.Kind == "repository" {
			repositories[strings.TrimPrefix(name, "@")] = n
		}
	}
	done := map[string]bool{}
	for _, side := range []*Side{b.side, b.other} {
		files := side.Workspace.Snapshot.Files
		for i := side.lower(folder + "/"); i < len(files) && strings.HasPrefix(files[i].Path, folder+"/"); i++ {
			first, _, below := strings.Cut(strings.TrimPrefix(files[i].Path, folder+"/"), "/")
			if done[first] {
				continue
			}
			done[first] = true
			// Canonical names are name+, name~, module++extension+name and their like.
			to := b.graph.Nodes[Configuration]
			if parts := strings.FieldsFunc(first, func(r rune) bool { return r == '+' || r == '~' }); below && len(parts) > 0 {
				if n, ok := repositories[parts[len(parts)-1]]; ok {
					to = n
				}
			}
			b.path(to, folder+"/"+first, "--"+o.Name)
		}
	}
}

func (b *builder) module(f *module.File, name string) {
	repo := b.side.Workspace.Repos[name]
	if repo == nil {
		return
	}
	all := b.graph.Nodes[Modules]
	file := path.Join(repo.Root, "MODULE.bazel")
	where := load.Label{Repo: name}
	add := func(node *Node, texts []string, special map[string]bool) {
		for _, text := range texts {
			b.embedded(node, load.EmbeddedLabels(text), where, repo.Mapping)
			if text == "" || len(text) > 300 || strings.Contains(text, "\n") {
				continue
			}
			label, err := load.ParseIn(text, where, repo.Mapping)
			if err != nil {
				continue
			}
			if p, ok := b.side.Workspace.File(label); ok && special[p] {
				continue
			}
			r := load.Ref{Label: label.String(), Sure: strings.HasPrefix(text, "//")}
			for _, to := range b.ref(r) {
				node.Edges = append(node.Edges, Edge{To: to, Why: "names"})
				b.writtenIn(node, to, where, repo.Mapping)
			}
		}
	}
	overridden := map[string]bool{}
	for _, o := range f.Overrides {
		if name != "" {
			break // Only the main module's count.
		}
		overridden[o.Name] = true
		n := b.node("module "+o.Name, "module")
		n.File = file
		n.Digest += " " + o.Text
		add(n, o.Strings, nil)
		if _, local := b.side.Workspace.Repos[o.Name]; local {
			// Its files are nodes themselves.
			continue
		}
		all.Edges = append(all.Edges, Edge{To: "module " + o.Name, Why: "module"})
	}
	for _, d := range f.Deps {
		if _, local := b.side.local(d.Name); local {
			continue // See names.go.
		}
		n := b.node("module "+d.Name, "module")
		n.File = file
		n.Digest += " " + d.Text
		all.Edges = append(all.Edges, Edge{To: "module " + d.Name, Why: "module"})
		canonical := d.Name // Of one with several versions that of the version.
		if mapped, ok := repo.Mapping[d.Apparent]; ok {
			canonical = mapped
		}
		r := b.graph.Nodes[b.repository(canonical)]
		r.Edges = append(r.Edges, Edge{To: "module " + d.Name, Why: "module"})
	}
	for _, e := range f.Extensions {
		b.extension(e, name, file, add)
	}
	for i, r := range f.Repositories {
		if _, local := b.side.Workspace.Repos[r.Name]; local {
			continue
		}
		canonical := repo.Mapping[r.Name]
		if canonical == "" {
			canonical = r.Name
		}
		if place := b.place(f.Repositories, i); place > 1 {
			n := b.graph.Nodes[b.repository(canonical)]
			n.Digest = digest(n.Digest, fmt.Sprint("place ", place))
		}
		n := b.node("repository rule "+canonical, "repository rule")
		if name == "" && b.copied(n, r) {
			n.File = file
			node := b.graph.Nodes[b.repository(canonical)]
			node.Edges = append(node.Edges, Edge{To: "repository rule " + canonical, Why: "made by"})
			continue
		}
		n.File, n.Digest = file, r.File+"%"+r.Rule+"("+r.Text+")"
		add(n, r.Strings, nil)
		b.code(n, r.File, r.Rule, where, repo.Mapping)
		if label, err := load.ParseIn(r.File, where, repo.Mapping); err == nil {
			if _, here := b.side.Workspace.Repos[label.Repo]; !here {
				n.Edges = append(n.Edges, Edge{To: b.repository(label.Repo), Why: "defined in"})
			}
		}
		if r.Path != "" && b.side.hasFolder(path.Clean(r.Path)) {
			n.Edges = append(n.Edges, Edge{To: b.folder("folder "+path.Clean(r.Path), path.Clean(r.Path)), Why: "path"})
		}
		node := b.graph.Nodes[b.repository(canonical)]
		node.Edges = append(node.Edges, Edge{To: "repository rule " + canonical, Why: "made by"})
	}
	other := f.Other
	if name == "" && slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool { return o.Name == "ignore_dev_dependency" && bazelrc.True(o.Value) }) {
		other = slices.Concat(other, f.Development) // Bazel leaves these out.
	}
	if len(other) > 0 {
		n := b.node("statements of "+file, "statements")
		n.File, n.Digest = file, digest(other...)
		c := b.graph.Nodes[Configuration]
		c.Edges = append(c.Edges, Edge{To: "statements of " + file, Why: "statement that is not known"})
	}
}

// place is which of the rules that a MODULE.bazel calls makes a repository: Bazel numbers
// the rules from the second on, and the number is part of the path of the repository's
// files. Up to version 7 it numbers all, later those of one name.
func (b *builder) place(all []module.Repository, at int) int {
	var rules []string
	for _, r := range all[:at+1] {
		if rule := r.File + "%" + r.Rule; !slices.Contains(rules, rule) && (b.side.version <= 7 || r.Rule == all[at].Rule) {
			rules = append(rules, rule)
		}
	}
	return slices.Index(rules, all[at].File+"%"+all[at].Rule) + 1
}

// buildFile is the name of what may become another repository's BUILD file.
var buildFile = regexp.MustCompile(`BUILD|\.bazel$|\.bzl$`)

// writtenIn connects a node that makes a repository with the labels in a file that it reads:
// the file may become a BUILD file there, or a part of one.
func (b *builder) writtenIn(n *Node, named string, in load.Label, mapping map[string]string) {
	node := b.graph.Nodes[named]
	if node == nil || node.Kind != "file" || node.File == "" {
		return
	}
	if buildFile.MatchString(path.Base(node.File)) {
		b.elsewhere(n, node.File, load.Label{Repo: "a repository"}, map[string]bool{})
		return
	}
	if content, err := b.side.Workspace.Snapshot.Read(b.ctx, node.File); err == nil && len(content) <= 1<<20 {
		b.embedded(n, load.EmbeddedLabels(string(content)), in, mapping)
	}
}

// embedded connects a node with labels that were found within a text. Of one that is put
// together it is all that may have its beginning.
func (b *builder) embedded(n *Node, labels []string, in load.Label, mapping map[string]string) {
	const why = "a label in a text"
	for _, text := range labels {
		text = strings.TrimRight(text, ".:`")
		if i := strings.IndexAny(text, "%{"); i >= 0 {
			label, err := load.ParseIn(text[:strings.Index(text, "//")]+"//:all", in, mapping)
			repo, here := b.side.Workspace.Repos[label.Repo]
			if err != nil || !here {
				continue
			}
			before := text[strings.Index(text, "//")+2 : i]
			folder := path.Join(repo.Root, before[:max(0, strings.LastIndexAny(before, "/:"))])
			if folder == "" || folder == "." {
				n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: "a label in a text, which is put together"})
			} else {
				b.path(n, folder, why)
			}
			continue
		}
		label, err := load.ParseIn(text, in, mapping)
		if err != nil {
			continue
		}
		for _, to := range b.ref(load.Ref{Label: label.String()}) {
			n.Edges = append(n.Edges, Edge{To: to, Why: why})
		}
	}
}

// copied makes of a repository that is a folder of the workspace with another BUILD file
// what is in the two: where they are enters no key. It fails for any other repository.
func (b *builder) copied(n *Node, r module.Repository) bool {
	folder := path.Clean(r.Path)
	if r.File != localRules || r.Rule != "new_local_repository" || r.Path == "" || r.BuildFile == "" || !b.side.hasFolder(folder) {
		return false
	}
	label, err := load.ParseIn(r.BuildFile, load.Label{}, b.side.Workspace.Repos[""].Mapping)
	if err != nil {
		return false
	}
	kind, build := b.side.what(label.String(), label)
	if kind != file {
		return false
	}
	n.Parts = map[string]string{build: b.content(build)}
	parts := []string{r.File, r.Rule, r.Rest, b.content(build)}
	files := b.side.Workspace.Snapshot.Files
	takes := b.taking(build, folder)
	for i := b.side.lower(folder + "/"); i < len(files) && strings.HasPrefix(files[i].Path, folder+"/"); i++ {
		if !takes(strings.TrimPrefix(files[i].Path, folder+"/")) {
			continue
		}
		content := b.content(files[i].Path)
		n.Parts[files[i].Path] = content
		parts = append(parts, strings.TrimPrefix(files[i].Path, folder), content)
	}
	n.Digest = digest(parts...)
	// What its BUILD files name of this workspace, and load, is read where it is.
	seen := map[string]bool{}
	for _, name := range sorted(n.Parts) {
		base := path.Base(name)
		if name != build && base != "BUILD" && base != "BUILD.bazel" && !strings.HasSuffix(base, ".bzl") {
			continue
		}
		b.elsewhere(n, name, load.Label{Repo: r.Name}, seen)
	}
	return true
}

// taking gives which files of a folder its BUILD file may take: all, unless it is seen, and
// nothing in the folder says more to Bazel.
func (b *builder) taking(build, folder string) func(file string) bool {
	all := func(string) bool { return true }
	content, err := b.side.Workspace.Snapshot.Read(b.ctx, build)
	if err != nil {
		return all
	}
	texts, ok := load.Taken(build, content)
	files := b.side.Workspace.Snapshot.Files
	for i := b.side.lower(folder + "/"); ok && i < len(files) && strings.HasPrefix(files[i].Path, folder+"/"); i++ {
		base := path.Base(files[i].Path)
		ok = files[i].Mode != git.Submodule && !saysMore.MatchString(base)
	}
	if !ok {
		return all
	}
	return func(file string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return load.Takes(text, file) })
	}
}

// saysMore are names of files that say something to Bazel.
var saysMore = regexp.MustCompile(`^BUILD$|^WORKSPACE|\.bazel$|\.bzl$|^\.bazelignore$`)

// elsewhere connects a node with what a BUILD file of a repository of the main module names,
// and loads, of the workspace: labels that begin with @.
func (b *builder) elsewhere(n *Node, file string, in load.Label, seen map[string]bool) {
	if seen[file] {
		return
	}
	seen[file] = true
	content, err := b.side.Workspace.Snapshot.Read(b.ctx, file)
	if err != nil {
		return
	}
	mapping := b.side.Workspace.Repos[""].Mapping
	texts, loads, err := load.Literals(file, content)
	if err != nil {
		for _, m := range quoted.FindAllSubmatch(content, -1) {
			texts = append(texts, string(m[1]))
		}
	}
	for _, text := range texts {
		if label, err := load.ParseIn(text, in, mapping); err == nil && strings.HasPrefix(text, "@") {
			for _, to := range b.ref(load.Ref{Label: label.String()}) {
				n.Edges = append(n.Edges, Edge{To: to, Why: "named in " + file})
			}
		}
	}
	for _, module := range loads {
		if label, err := load.ParseIn(module, in, mapping); err == nil {
			if where, here := b.side.Workspace.File(label); here {
				b.follow(n, where, load.Label{Repo: label.Repo, Package: label.Package}, seen)
			}
		}
	}
}

func (b *builder) extension(e *module.Extension, module, file string, add func(*Node, []string, map[string]bool)) {
	repo := b.side.Workspace.Repos[module]
	where := load.Label{Repo: module}
	label, err := load.ParseIn(e.File, where, repo.Mapping)
	if err != nil {
		return
	}
	name := "extension " + label.String() + "%" + e.Name
	n := b.node(name, "extension")
	n.File = file
	if n.Parts == nil {
		n.Parts = map[string]string{}
	}
	var special map[string]bool
	if GoDeps(e) || GoSDK(e) {
		special = b.facts.Special
	}
	for i, t := range e.Tags {
		n.Digest = digest(n.Digest, module, t.Text)
		n.Parts[module+" "+t.Text] += string(rune('a' + i%26))
		add(n, t.Strings, special)
	}
	if GoDeps(e) || GoSDK(e) {
		for _, t := range e.Tags {
			if l, err := load.ParseIn(t.Values["go_work"], where, repo.Mapping); err == nil {
				if file, ok := b.side.Workspace.File(l); ok {
					b.goWork(n, file)
				}
			}
		}
	}
	for _, t := range e.Text {
		n.Digest = digest(n.Digest, t)
		n.Parts[t] = "text"
	}
	b.code(n, e.File, e.Name, where, repo.Mapping)
	if _, here := b.side.Workspace.Repos[label.Repo]; !here {
		n.Edges = append(n.Edges, Edge{To: b.repository(label.Repo), Why: "defined in"})
		// It may register toolchains and options of its module's rules.
		r := b.graph.Nodes[b.repository(label.Repo)]
		r.Edges = append(r.Edges, Edge{To: name, Why: "extension"})
	}
	for _, other := range e.Injected {
		n.Edges = append(n.Edges, Edge{To: b.all(cmp.Or(repo.Mapping[other], other)), Why: "in place of one"})
	}
	if GoDeps(e) && module == "" {
		for _, before := range sorted(goOfRules) {
			for _, text := range goOfRules[before] {
				// Not all of them have names here.
				if r, ok := b.graph.Nodes["@"+b.label(text).Repo]; ok && !slices.ContainsFunc(r.Edges, func(e Edge) bool { return e.Why == "made by" }) {
					r.Edges = append(r.Edges, Edge{To: name, Why: "made by"})
				}
			}
		}
	}
	place := b.placeOf(e, module)
	calls := b.calls(e, label, module, name)
	for _, apparent := range e.Repos {
		canonical, ok := repo.Mapping[apparent]
		if !ok {
			canonical = apparent
		}
		r := b.graph.Nodes[b.repository(canonical)]
		maker := name
		if call, ok := calls[cmp.Or(e.Names[apparent], apparent)]; ok {
			maker = call
		}
		// Of another one it would be another repository of the same name.
		r.Digest = digest(r.Digest, maker, cmp.Or(e.Names[apparent], apparent))
		if place > 1 {
			r.Digest = digest(r.Digest, fmt.Sprint("place ", place))
		}
		r.Edges = append(r.Edges, Edge{To: maker, Why: "made by"})
	}
}

// placeOf is which of the extensions of one name, of one repository, an extension is: their
// repositories' paths have its number, too.
func (b *builder) placeOf(e *module.Extension, in string) int {
	of := func(e *module.Extension, in string) (repo, file string) {
		label, err := load.ParseIn(e.File, load.Label{Repo: in}, b.side.Workspace.Repos[in].Mapping)
		if err != nil {
			return "", e.File
		}
		return label.Repo, label.String()
	}
	repo, file := of(e, in)
	modules := b.side.seenModules()
	var files []string
	for _, name := range sorted(modules) { // The main one, by the empty name, first.
		for _, other := range modules[name].Extensions {
			if r, f := of(other, name); r == repo && other.Name == e.Name && !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return slices.Index(files, file) + 1
}

// workPath is a folder that a go.work or a go.mod names.
var workPath = regexp.MustCompile("(?m)(?:^|[\\s\"`])(\\.{1,2}(?:/[^\\s\"`]*)?)(?:$|[\\s\"`])")

// goWork connects an extension with all that a go.work leads to: versions of a module are
// chosen among all of its modules, so that each of them counts for all repositories.
func (b *builder) goWork(n *Node, work string) {
	folders := func(file string) []string {
		content, err := b.side.Workspace.Snapshot.Read(b.ctx, file)
		if err != nil {
			return nil
		}
		var found []string
		for _, m := range workPath.FindAllStringSubmatch(string(content), -1) {
			found = append(found, path.Join(path.Dir(file), m[1]))
		}
		return found
	}
	b.optionFile(n, work, "go.work")
	b.optionFile(n, work+".sum", "go.work")
	used := folders(work)
	for _, folder := range used {
		mod := path.Join(folder, "go.mod")
		b.optionFile(n, mod, "named in go.work")
		b.optionFile(n, path.Join(folder, "go.sum"), "named in go.work")
		for _, replaced := range folders(mod) {
			if !slices.Contains(used, replaced) {
				b.path(n, replaced, "named in "+mod)
			}
		}
	}
}

// calls are nodes for the repositories that an extension makes, by their names, if it can
// be run here and all text that they are made of can be seen: then none is made of another
// one's tags, and none names another one.
func (b *builder) calls(e *module.Extension, label load.Label, in, extension string) map[string]string {
	if in != "" || label.Repo != "" || b.side.Extension == nil || slices.ContainsFunc(e.Text, func(t string) bool { return !strings.HasPrefix(t, "repo ") }) {
		return nil
	}
	for _, name := range sorted(b.side.Modules.Local) {
		local := b.side.Modules.Local[name]
		for _, other := range local.Extensions {
			if l, err := load.ParseIn(other.File, load.Label{Repo: name}, b.side.Workspace.Repos[name].Mapping); err != nil || l == label {
				return nil
			}
		}
	}
	var tags []load.TagCall
	var texts, arguments []string
	for _, t := range e.Tags {
		tags = append(tags, load.TagCall{Class: t.Class, Args: t.Args})
		texts, arguments = append(texts, t.Text), append(arguments, t.Strings...)
	}
	if _, ok := b.written(e.File, e.Name, texts, arguments); !ok {
		return nil
	}
	made, err := b.side.Extension(label, e.Name, b.side.Modules.Root.Name, tags)
	if err != nil {
		return nil
	}
	byName := map[string]load.RepositoryCall{}
	for _, call := range made {
		byName[call.Name] = call
	}
	for _, apparent := range e.Repos {
		if _, ok := byName[cmp.Or(e.Names[apparent], apparent)]; !ok {
			return nil // Bazel's error.
		}
	}
	nodes := map[string]string{}
	for _, own := range sorted(byName) {
		call := byName[own]
		name := "repository " + own + " of " + extension
		n := b.node(name, "repository rule")
		n.File, n.Digest = "MODULE.bazel", digest(call.Text, call.Code.Digest)
		n.Parts = map[string]string{call.Text: "arguments"}
		for _, p := range call.Code.Parts {
			n.Parts[p.File] = p.Digest
		}
		for _, r := range slices.Concat(call.Refs, call.Code.Refs) {
			for _, to := range b.ref(r) {
				n.Edges = append(n.Edges, Edge{To: to, Why: "read"})
			}
		}
		if call.Code.Anywhere {
			n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: "a label that its code puts together"})
		}
		nodes[own] = name
	}
	return nodes
}

// code connects an extension or a repository rule of the workspace with its code, and
// with the files that its code names.
func (b *builder) code(n *Node, file, name string, in load.Label, mapping map[string]string) {
	label, err := load.ParseIn(file, in, mapping)
	if err != nil {
		return
	}
	if _, here := b.side.Workspace.Repos[label.Repo]; !here {
		return
	}
	closure, err := b.side.Closure(label, name)
	if n.Parts == nil {
		n.Parts = map[string]string{}
	}
	if err != nil {
		if p, ok := b.side.Workspace.File(label); ok {
			n.Digest = digest(n.Digest, b.content(p))
		}
	}
	if closure == nil {
		return
	}
	n.Digest = digest(n.Digest, closure.Digest)
	for _, p := range closure.Parts {
		n.Parts[p.File] = p.Digest
	}
	for _, r := range closure.Refs {
		for _, to := range b.ref(r) {
			n.Edges = append(n.Edges, Edge{To: to, Why: "named in its code"})
			b.writtenIn(n, to, load.Label{Repo: label.Repo}, b.side.Workspace.Repos[label.Repo].Mapping)
		}
	}
	b.embedded(n, closure.Embedded, load.Label{Repo: label.Repo}, b.side.Workspace.Repos[label.Repo].Mapping)
	if closure.Anywhere {
		n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: "a label that its code puts together"})
	}
	for _, text := range closure.Labels {
		if why := b.side.unloadable(text); why != "" {
			n.Digest, n.Parts[why] = digest(n.Digest, why), "refused"
		}
	}
	ofBazel := slices.ContainsFunc(closure.Refs, func(r load.Ref) bool { return strings.HasPrefix(r.Label, "@bazel_tools") })
	for _, text := range closure.Texts {
		if strings.Contains(text, "/") && !strings.ContainsAny(text[:1], "/@") {
			b.named(n, text, label, nil) // Rules of Bazel take paths from the workspace's top.
		} else if ofBazel && !strings.Contains(text, "/") && b.side.hasFolder(text) {
			b.path(n, text, "named")
		}
	}
	if closure.Around {
		b.around(n, closure)
	}
	if closure.Environment {
		n.Edges = append(n.Edges, Edge{To: Environment, Why: "may read"})
	}
}

// around connects code of a repository that goes from one path of the workspace to another
// with the files that have a name that is written in it; if there are none, with any.
func (b *builder) around(n *Node, closure *load.Closure) {
	const why = "a path that its code goes along"
	names := map[string]bool{}
	for _, text := range closure.Texts {
		if base := path.Base(text); !strings.ContainsAny(base, "%{") && !strings.HasPrefix(text, "@") && !strings.Contains(text, ":") {
			names[base] = true
		}
	}
	found := false
	for _, e := range b.side.Workspace.Snapshot.Files {
		base := path.Base(e.Path)
		if names[base] && base != "BUILD" && base != "BUILD.bazel" && !closure.Listing {
			n.Edges = append(n.Edges, Edge{To: b.file("file "+e.Path, e.Path), Why: why})
			found = true
		}
	}
	for _, e := range b.other.Workspace.Snapshot.Files {
		if _, here := b.side.Workspace.Snapshot.Lookup(e.Path); !here && names[path.Base(e.Path)] && !closure.Listing {
			n.Edges = append(n.Edges, Edge{To: b.missing("file " + e.Path), Why: why})
			found = true
		}
	}
	if !found {
		n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: why})
	}
}

var (
	pathToken = regexp.MustCompile(`[A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_.+-]+)+`)
	// wordToken is a path, or a word that may be one.
	wordToken = regexp.MustCompile(`[A-Za-z0-9_.+/-]+`)
)

// Mentioned is a script and what it names: files and folders of the workspace, by
// their paths from its top or from where the script is. Of folders only those that no
// package has: others are sources of targets. Comments don't count.
func (s *Side) Mentioned(ctx context.Context, script string) []string {
	return s.mentioned(ctx, []string{script}, false)
}

// mentioned does that for some scripts. If wide, words without a slash count too, and all
// folders.
func (s *Side) mentioned(ctx context.Context, scripts []string, wide bool) []string {
	snap := s.Workspace.Snapshot
	seen := map[string]bool{}
	var queue []string
	add := func(name string) {
		if _, ok := snap.Lookup(name); ok && !seen[name] {
			seen[name] = true
			queue = append(queue, name)
		}
	}
	for _, script := range scripts {
		add(script)
	}
	for i := 0; i < len(queue) && i < 200; i++ {
		content, err := snap.Read(ctx, queue[i])
		if err != nil || len(content) > 1<<20 {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, files := range s.named(line, path.Dir(queue[i]), wide) {
				if len(files) == 1 {
					add(files[0])
					continue
				}
				for _, f := range files { // A folder's are not read in turn.
					seen[f] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// named are the files and folders of the workspace that a line of a script in a folder
// names: a folder as its files.
func (s *Side) named(line, dir string, wide bool) [][]string {
	snap := s.Workspace.Snapshot
	tokens := pathToken
	if wide {
		tokens = wordToken
	}
	var found [][]string
	for _, token := range tokens.FindAllString(line, -1) {
		slash := strings.Contains(token, "/")
		token = strings.TrimLeft(token, "/")
		for _, candidate := range []string{path.Clean(token), path.Clean(afterFirst(token)), path.Join(dir, token), path.Join(dir, afterFirst(token))} {
			if candidate == "." || candidate == ".." || strings.HasPrefix(candidate, "../") || candidate == dir || !wide && !strings.Contains(candidate, "/") {
				continue
			}
			if _, ok := snap.Lookup(candidate); ok {
				found = append(found, []string{candidate})
				continue
			}
			if !slash || !s.hasFolder(candidate) {
				continue
			}
			if _, owned := s.Workspace.LabelOf(candidate + "/x"); !owned || wide {
				var files []string
				for i := s.lower(candidate + "/"); i < len(snap.Files) && strings.HasPrefix(snap.Files[i].Path, candidate+"/"); i++ {
					files = append(files, snap.Files[i].Path)
				}
				found = append(found, files)
			}
		}
	}
	return found
}

// afterFirst drops the first part: of "$workspace/tools/x" the variable's name is
// part of the match.
func afterFirst(token string) string {
	_, rest, _ := strings.Cut(token, "/")
	return rest
}
