package index

import (
	"encoding/binary"
	"maps"
	"slices"

	"stormgate.internal/tools/affected/internal/load"
)

// codec writes or reads: one description serves both. Strings are numbers in a table,
// since most are there many times.
type codec struct {
	writing bool
	data    []byte
	bad     bool // reading: the data ended too early, or makes no sense
	strings []string
	table   map[string]uint64
}

func (c *codec) number(n *uint64) {
	if c.writing {
		c.data = binary.AppendUvarint(c.data, *n)
		return
	}
	v, k := binary.Uvarint(c.data)
	if k <= 0 {
		c.bad = true
		c.data = nil
		*n = 0
		return
	}
	c.data = c.data[k:]
	*n = v
}

func (c *codec) raw(s *string) {
	n := uint64(len(*s))
	c.number(&n)
	if c.writing {
		c.data = append(c.data, *s...)
		return
	}
	if n > uint64(len(c.data)) {
		c.bad = true
		c.data = nil
		return
	}
	*s = string(c.data[:n])
	c.data = c.data[n:]
}

func (c *codec) text(s *string) {
	if c.writing {
		n, ok := c.table[*s]
		if !ok {
			n = uint64(len(c.strings))
			c.table[*s] = n
			c.strings = append(c.strings, *s)
		}
		c.number(&n)
		return
	}
	var n uint64
	c.number(&n)
	if n >= uint64(len(c.strings)) {
		c.bad = true
		return
	}
	*s = c.strings[n]
}

func (c *codec) flag(b *bool) {
	n := uint64(0)
	if *b {
		n = 1
	}
	c.number(&n)
	*b = n == 1
}

// list writes or reads a slice.
func list[T any](c *codec, s *[]T, each func(*T)) {
	n := uint64(len(*s))
	c.number(&n)
	if !c.writing {
		if n > uint64(len(c.data)) {
			c.bad = true // Each element takes at least a byte.
			return
		}
		if n > 0 {
			*s = make([]T, n)
		}
	}
	for i := range *s {
		if c.bad {
			return
		}
		each(&(*s)[i])
	}
}

func (c *codec) index(entries *map[string][]*entry, builder *string) {
	c.text(builder)
	keys := slices.Sorted(maps.Keys(*entries))
	list(c, &keys, func(key *string) {
		c.text(key)
		variants := (*entries)[*key]
		list(c, &variants, func(e **entry) {
			if !c.writing {
				*e = &entry{pkg: &load.Package{}}
			}
			c.entry(*e)
		})
		if !c.writing {
			(*entries)[*key] = variants
		}
	})
}

func (c *codec) entry(e *entry) {
	c.text(&e.build)
	c.text(&e.mapping)
	c.text(&e.listing)
	list(c, &e.loads, c.text)
	p := e.pkg
	c.text(&p.Repo)
	c.text(&p.Path)
	c.text(&p.Build)
	c.flag(&p.Globs)
	c.text(&p.Failed)
	c.text(&p.Doubt)
	list(c, &p.Loads, c.text)
	list(c, &p.LoadLabels, c.text)
	list(c, &p.Literals, c.ref)
	list(c, &p.Refused, c.text)
	list(c, &p.Empty, c.text)
	c.optional(&p.Visible)
	c.flag(&p.TestOnly)
	list(c, &p.Exports, func(x *load.Exported) {
		c.text(&x.Name)
		c.optional(&x.Visible)
	})
	list(c, &p.Groups, func(g *load.Group) {
		c.text(&g.Name)
		list(c, &g.Packages, c.text)
		list(c, &g.Includes, c.text)
	})
	list(c, &p.Classes, func(x *load.Class) {
		c.text(&x.Key)
		c.text(&x.Digest)
		c.text(&x.Schema)
		c.text(&x.Code)
		c.flag(&x.Status)
		c.flag(&x.Variables)
		c.flag(&x.Features)
		c.flag(&x.Blind)
		list(c, &x.Parts, c.part)
		list(c, &x.Refs, c.ref)
		list(c, &x.Limits, c.text)
		c.flag(&x.Validates)
		c.flag(&x.Handed)
		c.flag(&x.Anywhere)
		c.flag(&x.Aspect)
		c.flag(&x.Foreign)
		list(c, &x.Reads, c.text)
		list(c, &x.Idle, c.part)
		list(c, &x.Toolchains, c.ref)
		list(c, &x.Aspects, c.text)
	})
	list(c, &p.Targets, func(t *load.Target) {
		c.text(&t.Name)
		c.text(&t.Kind)
		c.text(&t.Class)
		c.text(&t.Symbol)
		c.flag(&t.Test)
		list(c, &t.Constraints, c.text)
		list(c, &t.Variables, c.text)
		stamps := uint64(t.Stamps)
		c.number(&stamps)
		t.Stamps = load.Stamps(stamps)
		list(c, &t.Tags, c.text)
		c.optional(&t.Visible)
		c.flag(&t.TestOnly)
		c.flag(&t.SaysTestOnly)
		c.flag(&t.Asks)
		c.flag(&t.AsksFiles)
		c.flag(&t.Single)
		list(c, &t.Values, c.part)
		c.text(&t.MadeIn)
		list(c, &t.Given, c.text)
		list(c, &t.Quiet, c.part)
		list(c, &t.Attributes, func(a *load.Attribute) {
			c.text(&a.Name)
			c.text(&a.Digest)
			list(c, &a.Refs, c.ref)
			c.flag(&a.Set)
			c.flag(&a.Absent)
			list(c, &a.Outputs, c.text)
		})
	})
}

func (c *codec) ref(r *load.Ref) {
	c.text(&r.Label)
	c.flag(&r.Sure)
	c.flag(&r.Special)
}

// optional is a list that may be nil, which is not the same as empty.
func (c *codec) optional(s *[]string) {
	there := *s != nil
	c.flag(&there)
	if !there {
		return
	}
	list(c, s, c.text)
	if *s == nil {
		*s = []string{}
	}
}

func (c *codec) part(p *load.Part) {
	c.text(&p.File)
	c.text(&p.Digest)
}
