package load

import (
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// branches is the dictionary of a select.
type branches struct{ *starlark.Dict }

// encoder writes a value as text in which equal things are equal, and collects the
// labels in it.
type encoder struct {
	loader  *Loader
	in      Label // the package that labels are relative to
	b       strings.Builder
	refs    []Ref
	outputs []string
	depth   int
	visits  int
}

// attribute writes a value of an attribute whose type is known.
func (e *encoder) attribute(kind string, v starlark.Value) {
	switch kind {
	case "label", "label_list":
		e.labels(v, true, true)
	case "label_keyed_string_dict":
		e.labels(v, true, false)
	case "string_keyed_label_dict", "label_list_dict":
		e.labels(v, false, true)
	case "output", "output_list":
		e.made(v)
		e.b.WriteString(e.loader.text(v))
	default:
		e.plain(v)
	}
}

func (e *encoder) ref(label Label) {
	e.refs = append(e.refs, Ref{Label: label.String(), Sure: true})
}

func (e *encoder) labels(v starlark.Value, keys, values bool) {
	if e.visits++; e.depth > 50 || e.visits > maxVisited {
		e.b.WriteString("…") // A value that has itself.
		return
	}
	e.depth++
	defer func() { e.depth-- }()
	each := func(items starlark.Iterable) {
		e.b.WriteByte('[')
		for x := range starlark.Elements(items) {
			e.labels(x, keys, values)
			e.b.WriteByte(',')
		}
		e.b.WriteByte(']')
	}
	switch v := v.(type) {
	case starlark.String:
		if repos := marked(string(v)); repos != nil {
			e.repos(repos)
			e.b.WriteString(string(v))
			return
		}
		label, err := parseLabel(string(v), e.in, e.loader.mapping(e.in.Repo))
		if err != nil {
			e.b.WriteString(string(v))
			return
		}
		e.ref(label)
		e.b.WriteString(label.String())
	case labelValue:
		e.ref(v.label)
		e.b.WriteString(v.label.String())
	case *starlark.List:
		each(v)
	case starlark.Tuple:
		each(v)
	case *starlark.Set:
		each(v)
	case *starlark.Dict:
		e.b.WriteByte('{')
		for _, kv := range v.Items() {
			if keys {
				e.labels(kv[0], true, true)
			} else {
				e.plain(kv[0])
			}
			e.b.WriteByte(':')
			if values {
				e.labels(kv[1], true, true)
			} else {
				e.plain(kv[1])
			}
			e.b.WriteByte(',')
		}
		e.b.WriteByte('}')
	case *selection:
		e.selection(v, func(x starlark.Value) { e.labels(x, keys, values) })
	default:
		e.anything(v)
	}
}

func (e *encoder) selection(s *selection, branch func(starlark.Value)) {
	for _, item := range s.items {
		b, ok := item.(*branches)
		if !ok {
			branch(item)
			e.b.WriteByte('+')
			continue
		}
		e.b.WriteString("select{")
		isDefault := func(v starlark.Value) bool { s, ok := v.(starlark.String); return ok && s == "//conditions:default" }
		hasDefault := slices.ContainsFunc(b.Items(), func(kv starlark.Tuple) bool { return isDefault(kv[0]) })
		for _, kv := range b.Items() {
			before := len(e.refs)
			if isDefault(kv[0]) {
				e.b.WriteString("default")
			} else {
				e.labels(kv[0], true, true)
			}
			e.b.WriteByte(':')
			branch(kv[1])
			e.b.WriteByte(',')
			for i := before; i < len(e.refs) && hasDefault && !isDefault(kv[0]); i++ {
				e.refs[i].Special = true
			}
		}
		e.b.WriteString("}+")
	}
}

// plain writes a value that has no labels, but in conditions of a select.
func (e *encoder) plain(v starlark.Value) {
	if s, ok := v.(*selection); ok {
		e.selection(s, e.plain)
		return
	}
	e.sure(v)
	e.b.WriteString(e.loader.text(v))
}

// sure collects the labels and repositories in a value, and returns its strings.
func (e *encoder) sure(v starlark.Value) []string {
	var found collector
	found.value(v)
	e.repos(found.repos)
	for _, l := range found.labels {
		e.ref(l)
	}
	return found.strings
}

var location = regexp.MustCompile(`\$\((?:location|locations|execpath|execpaths|rootpath|rootpaths|rlocationpath|rlocationpaths)\s+([^)]+)\)`)

// anything writes a value whose type is not known: each string may be a label.
func (e *encoder) anything(v starlark.Value) {
	if s, ok := v.(*selection); ok {
		e.selection(s, e.anything)
		return
	}
	for _, text := range e.sure(v) {
		e.candidate(text, false)
		for _, m := range location.FindAllStringSubmatch(text, -1) {
			e.candidate(strings.TrimSpace(m[1]), true)
		}
	}
	e.b.WriteString(e.loader.text(v))
}

func (e *encoder) candidate(text string, sure bool) {
	if text == "" || len(text) > 300 || strings.Contains(text, "\n") || strings.Contains(text, "$(") {
		return
	}
	label, err := parseLabel(text, e.in, e.loader.mapping(e.in.Repo))
	if err != nil {
		return
	}
	e.refs = append(e.refs, Ref{Label: label.String(), Sure: sure || strings.HasPrefix(text, "//") || strings.HasPrefix(text, ":")})
}

func (e *encoder) repos(names []string) {
	for _, name := range names {
		if _, ok := e.loader.workspace.Repos[name]; !ok {
			e.refs = append(e.refs, Ref{Label: "@" + name, Sure: true})
		}
	}
}

// toolchain writes a toolchain type: a label, or config_common.toolchain_type(label).
func (e *encoder) toolchain(v starlark.Value) {
	if _, ok := v.(*unknown); ok {
		e.anything(v)
		return
	}
	e.labels(v, true, true)
}

// made collects the names of outputs.
func (e *encoder) made(v starlark.Value) {
	var found collector
	found.value(v)
	for _, text := range found.strings {
		e.outputs = append(e.outputs, strings.TrimPrefix(text, ":"))
	}
	for _, l := range found.labels {
		e.outputs = append(e.outputs, l.Name)
	}
}

// collector finds all strings and labels in a value.
type collector struct {
	strings []string
	labels  []Label
	repos   []string
	depth   int
	visits  int
}

func (c *collector) value(v starlark.Value) {
	if c.visits++; c.depth > 50 || c.visits > maxVisited {
		return // Its text is in doubt, too: see write.
	}
	c.depth++
	defer func() { c.depth-- }()
	each := func(items starlark.Iterable) {
		for x := range starlark.Elements(items) {
			c.value(x)
		}
	}
	switch v := v.(type) {
	case starlark.String:
		if repos := marked(string(v)); repos != nil {
			c.repos = append(c.repos, repos...)
			return
		}
		c.strings = append(c.strings, string(v))
	case labelValue:
		c.labels = append(c.labels, v.label)
	case *unknown:
		for _, m := range inMarker.FindAllStringSubmatch(v.text, -1) {
			c.repos = append(c.repos, m[1])
		}
		for _, p := range v.parts {
			c.value(p)
		}
	case *starlark.List:
		each(v)
	case starlark.Tuple:
		each(v)
	case *starlark.Set:
		each(v)
	case *starlark.Dict:
		for _, kv := range v.Items() {
			c.value(kv[0])
			c.value(kv[1])
		}
	case *branches:
		c.value(v.Dict)
	case *selection:
		for _, x := range v.items {
			c.value(x)
		}
	case *attribute:
		if v.fallback != nil {
			c.value(v.fallback)
		}
		for _, p := range v.parts {
			c.value(p)
		}
	case interface {
		AttrNames() []string
		Attr(string) (starlark.Value, error)
	}:
		if _, ok := v.(starlark.Callable); ok {
			return
		}
		if _, ok := v.(*moduleValue); ok {
			return
		}
		for _, n := range v.AttrNames() {
			if x, err := v.Attr(n); err == nil && x != nil {
				if _, ok := x.(*starlark.Builtin); !ok {
					c.value(x)
				}
			}
		}
	}
}
