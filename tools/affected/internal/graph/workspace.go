package graph

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
)

// Legacy is the node of what WORKSPACE leads to: repositories, and toolchains.
const Legacy = "repositories of WORKSPACE"

// workspaceFiles are those of which Bazel reads one or two.
var workspaceFiles = []string{"WORKSPACE", "WORKSPACE.bazel", "WORKSPACE.bzlmod"}

// ReadsWorkspace says that Bazel reads WORKSPACE, if there is one: it does up to version 7
// unless told not to, in version 8 if told to, and later never.
func (s *Side) ReadsWorkspace() bool {
	enabled := s.version <= 7 // 0 is a version that isn't known.
	for _, o := range s.RC {
		if o.Name == "enable_workspace" {
			enabled = bazelrc.True(o.Value)
		}
	}
	return enabled
}

// legacy connects what WORKSPACE makes with the files that it is made of: those that
// WORKSPACE and what it loads name, as a label or as a path, files and folders. Code is not
// run, since most of it is in other repositories. Which repositories there are is not known
// either, so that all that no MODULE.bazel makes may be one. If toolchains may be registered
// everything may depend on it.
func (b *builder) legacy() {
	if !b.side.ReadsWorkspace() {
		return
	}
	n := b.node(Legacy, "repositories")
	registers := false
	for _, file := range workspaceFiles {
		if _, ok := b.side.Workspace.Snapshot.Lookup(file); ok {
			registers = b.follow(n, file, load.Label{}, map[string]bool{}) || registers
		}
	}
	if len(n.Edges) == 0 {
		return
	}
	known := map[string]bool{"@bazel_tools": true, "@rules_shell": true}
	for _, module := range languages {
		known["@"+module] = true
	}
	for _, repo := range b.side.Workspace.Repos[""].Mapping {
		known["@"+repo] = true
	}
	for _, name := range sorted(b.graph.Nodes) {
		r := b.graph.Nodes[name]
		if r.Kind == "repository" && !known[name] && !slices.ContainsFunc(r.Edges, func(e Edge) bool { return e.Why == "made by" }) {
			r.Edges = append(r.Edges, Edge{To: Legacy, Why: "may be made by"})
		}
	}
	if registers {
		c := b.graph.Nodes[Configuration]
		c.Edges = append(c.Edges, Edge{To: Legacy, Why: "may register toolchains"})
	}
}

// follow connects a node with a file that Bazel evaluates where it makes repositories, with
// all files and folders of the workspace that its texts may name, and with what it loads. It
// says whether code of it, or code that isn't seen, may register toolchains.
func (b *builder) follow(n *Node, file string, in load.Label, seen map[string]bool) (registers bool) {
	if seen[file] {
		return false
	}
	seen[file] = true
	b.path(n, file, "read")
	content, err := b.side.Workspace.Snapshot.Read(b.ctx, file)
	if err != nil {
		return true
	}
	mapping := map[string]string{}
	if r := b.side.Workspace.Repos[in.Repo]; r != nil {
		maps.Copy(mapping, r.Mapping)
	}
	if m := workspaceName.FindSubmatch(content); m != nil && in.Repo == "" {
		b.workspaceName = string(m[1])
	}
	if b.workspaceName != "" && in.Repo == "" {
		mapping[b.workspaceName] = ""
	}
	texts, loads, err := load.Literals(file, content)
	if err != nil {
		n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: file + " can't be read, so that it may name"})
		return true
	}
	registers = strings.Contains(string(content), "register_") || strings.Contains(string(content), "bind(")
	for _, text := range texts {
		b.named(n, text, in, mapping)
	}
	for _, module := range loads {
		label, err := load.ParseIn(module, in, mapping)
		if err != nil {
			continue
		}
		where, here := b.side.Workspace.File(label)
		if !here {
			registers = registers || label.Repo != "bazel_tools"
			continue
		}
		registers = b.follow(n, where, load.Label{Repo: label.Repo, Package: label.Package}, seen) || registers
	}
	return registers
}

// workspaceName is the name that WORKSPACE gives the main repository.
var workspaceName = regexp.MustCompile(`(?m)^workspace\(\s*name\s*=\s*["']([^"']+)["']`)

// named connects a node with the file or the folder that a text names, by a label or by a
// path from the workspace's top. Of one that is put together, such as //third:%s.BUILD, it
// is the folder before that.
func (b *builder) named(n *Node, text string, in load.Label, mapping map[string]string) {
	if text == "" || len(text) > 300 || strings.Contains(text, "\n") || strings.Contains(text, "://") {
		return
	}
	spaced := strings.Contains(text, " ") // No part of a path, then.
	if i := strings.IndexAny(text, "%{"); i >= 0 && !spaced {
		if i == 0 {
			return
		}
		text = text[:i]
		text = text[:strings.LastIndexAny(text, "/:")+1]
	}
	if pkg, ok := strings.CutSuffix(text, ":"); ok && !spaced || text == "//" { // The rest of it comes from elsewhere.
		label := load.Label{Repo: in.Repo, Package: in.Package}
		if pkg != "" {
			var err error
			if label, err = load.ParseIn(strings.TrimSuffix(pkg, "/")+":all", in, mapping); err != nil {
				label = load.Label{}
			}
		}
		label.Name = "all"
		if where, ok := b.side.Workspace.File(label); ok && path.Dir(where) != "." {
			b.path(n, path.Dir(where), "may name a file of")
		} else if ok {
			n.Edges = append(n.Edges, Edge{To: b.anyFile(), Why: "may name"})
		}
		return
	}
	text = strings.TrimSuffix(text, "/")
	b.path(n, text, "named")
	if strings.ContainsAny(text, ":/") || strings.Contains(text, ".") {
		if label, err := load.ParseIn(text, in, mapping); err == nil {
			if where, ok := b.side.Workspace.File(label); ok {
				b.path(n, where, "named")
			}
		}
	}
}
