package graph

import (
	"maps"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
)

// asked are the names of attributes that aspects of either side may ask for.
func asked(sides ...*Side) []string {
	names := map[string]bool{}
	for _, s := range sides {
		for _, c := range s.classes {
			if c.Foreign {
				names[load.Anything] = true
			}
			if c.Aspect {
				for _, name := range c.Reads {
					names[name] = true
				}
			}
		}
		if slices.ContainsFunc(s.RC, func(o bazelrc.Option) bool { return o.Name == "aspects" }) {
			names[load.Anything] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// quiet adds to a target those attributes that enter no action by themselves, but that
// code may ask for.
func (b *builder) quiet(n *Node, t *load.Target) {
	var own []string
	if c := b.side.classes[t.Class]; c != nil {
		own = c.Reads
	}
	for _, q := range t.Quiet {
		if load.Reads(own, q.File) {
			name := q.File
			if _, ok := n.Parts[name]; ok {
				name += ", of any kind" // Tags, of which a part counts anyway.
			}
			n.Parts[name] = q.Digest
		}
	}
}

// packageOf is the package of a target.
func (b *builder) packageOf(name string) *load.Package {
	if b.side.targets[name] == nil {
		return nil
	}
	l := b.label(name)
	return b.side.Packages[Key(l.Repo, l.Package)]
}

// queried adds to queries what they may print of the targets below them.
func (b *builder) queried() {
	for name, t := range b.side.targets {
		root := b.graph.Nodes[name]
		if !t.Asks || root == nil {
			continue
		}
		var parts []string
		seen := map[string]bool{Configuration: true}
		queue := []string{name}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			n := b.graph.Nodes[at]
			if seen[at] || n == nil {
				continue
			}
			seen[at] = true
			if p := b.packageOf(at); t.AsksFiles && p != nil {
				parts = append(parts, at+" is made of "+digest(p.LoadLabels...))
			}
			if below := b.side.targets[at]; below != nil {
				for _, q := range below.Quiet {
					parts = append(parts, at+" "+q.File+" "+q.Digest)
				}
			}
			for _, e := range n.Edges {
				queue = append(queue, e.To)
			}
		}
		slices.Sort(parts)
		root.Parts["what a query may print"] = digest(parts...)
		root.Digest = digest(root.Digest, root.Parts["what a query may print"])
	}
}

// visited adds to targets, and to their rules, what aspects may ask them for:
// to all that is below a target that has one. Along which attributes an aspect goes is not
// followed.
func (b *builder) visited() {
	if len(b.asked) == 0 {
		return
	}
	all := slices.ContainsFunc(b.side.RC, func(o bazelrc.Option) bool { return o.Name == "aspects" })
	var queue []string
	for name, t := range b.side.targets {
		if c := b.side.classes[t.Class]; all || c != nil && (c.Foreign || len(c.Aspects) > 0) {
			queue = append(queue, name)
		}
	}
	seen := map[string]bool{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		n := b.graph.Nodes[name]
		if seen[name] || n == nil || name == Configuration {
			continue
		}
		seen[name] = true
		var parts []string
		if t := b.side.targets[name]; t != nil {
			for _, q := range t.Quiet {
				if load.Reads(b.asked, q.File) {
					parts = append(parts, q.File+" "+q.Digest)
					n.Parts[q.File+", which an aspect may ask for"] = q.Digest
				}
			}
		}
		if key, ok := strings.CutPrefix(name, "rule "); ok && b.side.byKey[key] != nil {
			for _, a := range b.side.byKey[key].Idle {
				if load.Reads(b.asked, a.File) {
					parts = append(parts, a.File+" "+a.Digest)
					n.Parts[a.File+", which an aspect may ask for"] = a.Digest
				}
			}
		}
		if len(parts) > 0 {
			slices.Sort(parts) // The order of attributes means nothing.
			n.Digest = digest(append(parts, n.Digest)...)
		}
		for _, e := range n.Edges {
			queue = append(queue, e.To)
		}
	}
}
