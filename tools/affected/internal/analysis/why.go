package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/graph"
	"stormgate.internal/tools/affected/internal/load"
)

// why says what changed about a node.
func (c *comparison) why(name string, base, head *graph.Node) graph.Cause {
	name = graph.Whole(name)
	switch head.Kind {
	case "file":
		return c.fileCause(head.File)
	case "folder":
		return graph.Cause{At: head.File, Why: "files were added or removed"}
	case "missing":
		if l, err := load.ParseLabel(name); err == nil {
			if where, ok := c.sides[0].Workspace.File(l); ok {
				if change, ok := c.changed[where]; ok {
					c.explained[where] = true
					return graph.Cause{At: where, Why: change.Kind}
				}
			}
		}
		return graph.Cause{At: name, Why: "no longer there"}
	case "target":
		return c.targetCause(name, base, head)
	case "rule":
		parts := differing(base, head)
		for _, p := range parts {
			if _, ok := c.changed[p]; ok {
				c.explained[p] = true
				return graph.Cause{At: p, Why: c.changed[p].Kind + ": the rule's implementation"}
			}
		}
		file, _, _ := strings.Cut(strings.TrimPrefix(name, "rule "), "%")
		if l, err := load.ParseLabel(file); err == nil {
			if where, ok := c.sides[1].Workspace.File(l); ok {
				file = where
			}
		}
		c.explained[file] = true
		return graph.Cause{At: file, Why: "the rule's attributes"}
	case "package":
		at := c.packageFile(strings.TrimPrefix(name, "package "), head.File)
		return graph.Cause{At: at, Why: c.kind(at) + ": the package can't be evaluated for certain"}
	case "extension", "repository rule":
		parts := differing(base, head)
		for _, p := range parts {
			if _, ok := c.changed[p]; ok {
				c.explained[p] = true
				return graph.Cause{At: p, Why: c.changed[p].Kind + ": its code"}
			}
		}
		c.explained[head.File] = true
		if base == nil {
			return graph.Cause{At: head.File, Why: name + " is used anew"}
		}
		return graph.Cause{At: head.File, Why: fmt.Sprintf("%s: %s", name, shorten(strings.Join(parts, "; ")))}
	}
	at := head.File
	if at == "" {
		at = name
	}
	if head.Kind == "names" {
		return c.namesCause(name, at, head)
	}
	c.explained[at] = true
	switch {
	case base == nil:
		return graph.Cause{At: at, Why: name + " is new"}
	case head.Kind == "module":
		return graph.Cause{At: at, Why: fmt.Sprintf("%s: was (%s), is (%s)", name, shorten(strings.TrimSpace(base.Digest)), shorten(strings.TrimSpace(head.Digest)))}
	}
	return graph.Cause{At: at, Why: name + " changed"}
}

// namesCause says by which names a repository is known now: its MODULE.bazel may include
// the file that changed.
func (c *comparison) namesCause(name, at string, head *graph.Node) graph.Cause {
	for _, f := range c.sides[1].Modules.Files(at) {
		if _, ok := c.changed[f]; ok {
			c.explained[f] = true
			at = f
		}
	}
	none := func(names string) string { return cmp.Or(names, "none") }
	return graph.Cause{At: at, Why: fmt.Sprintf("%s: was (%s), is (%s)", name, none(head.Parts["was"]), none(head.Parts["is"]))}
}

func shorten(text string) string {
	if len(text) > 200 {
		return text[:200] + "..."
	}
	return text
}

func (c *comparison) kind(file string) string {
	if change, ok := c.changed[file]; ok {
		return change.Kind
	}
	return "changed"
}

func (c *comparison) fileCause(file string) graph.Cause {
	if change, ok := c.changed[file]; ok {
		c.explained[file] = true
		if change.From != "" {
			return graph.Cause{At: file, Why: "renamed from " + change.From}
		}
		return graph.Cause{At: file, Why: change.Kind}
	}
	// Not the file itself: a package began or ended between it and its label, or a
	// target took its name.
	return graph.Cause{At: file, Why: "belongs to another package, or is made by another target"}
}

func differing(base, head *graph.Node) []string {
	if base == nil {
		return slices.Sorted(maps.Keys(head.Parts))
	}
	var names []string
	for k, v := range head.Parts {
		if base.Parts[k] != v {
			names = append(names, k)
		}
	}
	for k := range base.Parts {
		if _, ok := head.Parts[k]; !ok {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names
}

// packageFile is the changed file that made a package's evaluation differ: its BUILD
// file, a file that it loads, else the package's folder.
func (c *comparison) packageFile(key, build string) string {
	for i := 1; i >= 0; i-- {
		p := c.sides[i].Packages[key]
		if p == nil {
			continue
		}
		if _, ok := c.changed[p.Build]; ok {
			c.explained[p.Build] = true
			return p.Build
		}
		for _, f := range p.Loads {
			if _, ok := c.changed[f]; ok {
				c.explained[f] = true
				return f
			}
		}
	}
	repo, _, _ := strings.Cut(strings.TrimPrefix(key, "@"), "//")
	if r := c.sides[1].Workspace.Repos[repo]; r != nil {
		if file := path.Join(r.Root, "REPO.bazel"); c.changed[file].Kind != "" {
			return file
		}
	}
	if build != "" {
		return build
	}
	return key
}

func (c *comparison) targetCause(name string, base, head *graph.Node) graph.Cause {
	l, err := load.ParseLabel(name)
	if err != nil {
		return graph.Cause{At: name, Why: "changed"}
	}
	key := graph.Key(l.Repo, l.Package)
	at := c.packageFile(key, "")
	parts := differing(base, head)
	if at == key {
		// A glob found other files: name one.
		prefix := l.Package + "/"
		for _, change := range c.Changes {
			if (change.Kind == "added" || change.Kind == "deleted" || change.Kind == "renamed") && (l.Package == "" || strings.HasPrefix(change.Path, prefix) || strings.HasPrefix(change.From, prefix)) {
				for _, p := range []string{change.Path, change.From} {
					if p != "" {
						c.explained[p] = true
					}
				}
				return graph.Cause{At: change.Path, Why: fmt.Sprintf("%s: %s of %s", change.Kind, strings.Join(parts, ", "), name)}
			}
		}
	}
	if base == nil || base.Kind != "target" {
		return graph.Cause{At: at, Why: name + " is new"}
	}
	return graph.Cause{At: at, Why: fmt.Sprintf("%s: %s of %s", c.kind(at), strings.Join(parts, ", "), name)}
}

// unused lists changed files that nothing reads.
func (c *comparison) unused() {
	files := map[string]string{} // of nodes
	for _, g := range []*graph.Graph{c.base, c.head} {
		for name, n := range g.Nodes {
			if n.File != "" && (n.Kind == "file" || n.Kind == "folder") {
				files[n.File] = name
			}
		}
	}
	for _, change := range c.Changes {
		if c.explained[change.Path] || c.explained[change.From] && change.From != "" {
			continue
		}
		_, read := files[change.Path]
		_, was := files[change.From]
		why := "no target reads it"
		if read || was {
			why = "no test depends on a target that reads it"
			if c.reachesTest(files[change.Path]) {
				continue
			}
		} else if strings.HasSuffix(change.Path, ".bzl") || strings.HasPrefix(change.Path[strings.LastIndexByte(change.Path, '/')+1:], "BUILD") {
			why = "what targets and rules are made of is the same"
		} else if _, ok := c.sides[1].Workspace.LabelOf(change.Path); !ok {
			why = "it is in no package"
		}
		c.Unused = append(c.Unused, Remark{change.Path, why})
	}
}

func (c *comparison) reachesTest(node string) bool {
	for _, t := range c.Tests {
		for _, link := range t.Chain {
			if link.Node == node {
				return true
			}
		}
	}
	return false
}

// Explanation says of one label why it is affected or not.
type Explanation struct {
	Label    string       `json:"label"`
	Affected bool         `json:"affected"`
	Chain    []graph.Link `json:"chain"`
	Reason   string       `json:"reason"`
}

// Explain says why a label is affected or not.
func (a *Answer) Explain(text string) (Explanation, error) {
	mapping := a.sides[1].Workspace.Repos[""].Mapping
	label, err := load.ParseMapped(text, mapping)
	if err == nil && !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "@") {
		err = errors.New("not a label")
	}
	if err != nil {
		return Explanation{}, fmt.Errorf("explain %s: %w: it must be like //package:name", text, err)
	}
	name := label.String()
	e := Explanation{Label: name, Chain: []graph.Link{}}
	if n := a.head.Nodes[name]; n == nil {
		if a.base.Nodes[name] != nil {
			e.Reason = name + " was removed: base had it"
			return e, nil
		}
		var near []string
		for _, other := range slices.Sorted(maps.Keys(a.head.Nodes)) {
			if strings.HasPrefix(other, "//"+label.Package+":") && a.head.Nodes[other].Kind == "target" {
				near = append(near, other)
			}
		}
		if len(near) > 10 {
			near = append(near[:10], "...")
		}
		if len(near) == 0 {
			return e, fmt.Errorf("explain %s: no such target, and no package //%s", text, label.Package)
		}
		return e, fmt.Errorf("explain %s: no such target; its package has %s", text, strings.Join(near, ", "))
	}
	for _, t := range a.Tests {
		if t.Label == name {
			e.Affected, e.Chain, e.Reason = true, t.Chain, t.Reason
			return e, nil
		}
	}
	chain := graph.Chain(a.head, a.affected, name)
	if chain == nil {
		e.Reason = fmt.Sprintf("%s is not affected: nothing that it depends on is among the %d changes", name, len(a.Changes))
		return e, nil
	}
	e.Affected, e.Chain, e.Reason = true, chain, Words(a.head, chain)
	if t := a.head.Tests[name]; t != nil {
		switch {
		case t.Incompatible:
			e.Reason += " (not listed: it is incompatible with every platform)"
		case t.Manual:
			e.Reason += " (not listed: its tag manual; --include_manual lists it)"
		}
	} else {
		e.Reason += " (not listed: it is no test)"
	}
	return e, nil
}

// Graph is the graph of head, for comparison with Bazel's.
func (a *Answer) Graph() *graph.Graph { return a.head }

// MadeBy is the target of the head that makes a file of this label.
func (a *Answer) MadeBy(label string) (string, bool) { return a.sides[1].MadeBy(label) }

// Total is how many tests head has by the same rules as Tests.
func (a *Answer) Total(includeManual bool) int {
	n := 0
	for _, t := range a.head.Tests {
		if (!t.Manual || includeManual) && !t.Incompatible {
			n++
		}
	}
	return n
}
