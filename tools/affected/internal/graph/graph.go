// Package graph joins what was loaded of two snapshots to graphs, and finds what in
// the second depends on something that the first has differently.
//
// A node is a target, a file, a rule of the workspace, a repository, a module, an
// extension, or a part of the configuration. Each has a digest of its own definition,
// without that of what it depends on. A node that has another digest in the other
// snapshot, or isn't there, has changed. A test is affected if it reaches a changed
// node. That is complete: if neither a test nor anything that it reaches has changed,
// then it reaches the same things in both.
package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Edge leads to what a node depends on.
type Edge struct {
	To string
	// Why names the relation: an attribute, or words.
	Why string
	// Special is that of load.Ref.
	Special bool
}

// Node is one of the things above.
type Node struct {
	// Kind is target, file, folder, missing, rule, repository, ... For a target it is
	// "target", its rule is in Rule.
	Kind   string
	Rule   string
	Digest string
	Edges  []Edge
	// Parts are digests of which Digest is made, to say what changed.
	Parts map[string]string
	// File is the path in the workspace that the node is, or that defines it.
	File string
}

// missing says that it stands for something that is not there.
func (n *Node) missing() bool { return n != nil && n.Kind == "missing" }

// Graph is the nodes of one snapshot by their names.
type Graph struct {
	Nodes map[string]*Node
	// Tests are the names of tests.
	Tests map[string]*Test
}

// Test is what is known of a test beside its edges.
type Test struct {
	Label, Kind                    string
	Tags                           []string
	Manual, Uncached, Incompatible bool
}

// Cause is why a node is affected: it changed, or depends on something that is.
type Cause struct {
	// Via is the edge that leads to the next node; nil if the node itself changed.
	Via *Edge
	// At is the file, or another name, that changed, and Why says how.
	At, Why string
}

// Affected finds all nodes of head that reach a changed one. Forced are nodes that
// count as changed whatever their digests say, with why.
func Affected(base, head *Graph, forced map[string]Cause, why func(name string, base, head *Node) Cause) map[string]Cause {
	affected := map[string]Cause{}
	var queue []string
	for _, name := range sorted(head.Nodes) {
		h := head.Nodes[name]
		cause, ok := forced[name]
		if !ok && h.Kind != "file" {
			cause, ok = forced[Whole(name)] // Of a file only the content is.
		}
		if ok {
			affected[name] = cause
			queue = append(queue, name)
			continue
		}
		b := base.Nodes[name]
		if b == nil || b.Digest != h.Digest {
			affected[name] = why(name, b, h)
			queue = append(queue, name)
		}
	}
	// Files first: a chain that ends at a file says more than one that ends at a target.
	slices.SortStableFunc(queue, func(a, b string) int { return rank(head.Nodes[a]) - rank(head.Nodes[b]) })
	users := make(map[string][]user, len(head.Nodes))
	for name, n := range head.Nodes {
		for i := range n.Edges {
			users[n.Edges[i].To] = append(users[n.Edges[i].To], user{name, &n.Edges[i]})
		}
	}
	depth := map[string]int{} // of what has a Via
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		list := users[name]
		slices.SortFunc(list, func(a, b user) int { return strings.Compare(a.name, b.name) })
		for _, u := range list {
			if known, ok := affected[u.name]; ok {
				// As short, and holds without a condition.
				if known.Via != nil && known.Via.Special && !u.edge.Special && depth[u.name] == depth[name]+1 {
					affected[u.name] = Cause{Via: u.edge}
				}
				continue
			}
			affected[u.name] = Cause{Via: u.edge}
			depth[u.name] = depth[name] + 1
			queue = append(queue, u.name)
		}
	}
	return affected
}

type user struct {
	name string
	edge *Edge
}

func rank(n *Node) int {
	switch n.Kind {
	case "file", "folder":
		return 0
	case "target":
		return 1
	}
	return 2
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Link is one step of a chain.
type Link struct {
	// Node is a label, a file's path, or words.
	Node string `json:"node"`
	// Why is the relation to the link before it: the attribute, or words. Of the first
	// link it is its rule, of the last one what changed.
	Why string `json:"why"`
}

// Chain is the way from a node to what changed.
func Chain(head *Graph, affected map[string]Cause, name string) []Link {
	n := head.Nodes[name]
	if n == nil {
		return nil
	}
	kind := n.Rule
	if kind == "" {
		kind = n.Kind
	}
	links := []Link{{Node: name, Why: kind}}
	for range 10_000 {
		cause, ok := affected[name]
		if !ok {
			return nil
		}
		if cause.Via == nil {
			return append(links, Link{Node: cause.At, Why: cause.Why})
		}
		name = cause.Via.To
		links = append(links, Link{Node: name, Why: cause.Via.Why})
	}
	return links
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
