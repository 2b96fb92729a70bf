package graph

import (
	"maps"
	"slices"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
)

// asked are the names of attributes that aspects and queries of either side may ask for.
// Which targets an aspect visits is not followed.
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
		for _, t := range s.targets {
			if t.Asks {
				names[load.Anything] = true
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
		if load.Reads(own, q.File) || load.Reads(b.asked, q.File) {
			name := q.File
			if _, ok := n.Parts[name]; ok {
				name += ", of any kind" // Tags, of which a part counts anyway.
			}
			n.Parts[name] = q.Digest
		}
	}
}
