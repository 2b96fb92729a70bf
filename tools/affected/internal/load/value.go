package load

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// unknown is a value that can't be computed here: what another repository's file
// defines, what Bazel alone knows, and what is made of such. It keeps its parts, so
// that labels in them are not lost. Wherever it decides something, the loader notes a
// doubt.
type unknown struct {
	loader *Loader
	// text is an expression for it.
	text string
	// symbol is set for what a file of another repository defines.
	symbol string
	// origin is the symbol of what made it.
	origin string
	parts  []starlark.Value
}

const markerOpen, markerEnd = "⟨", "⟩"

var inMarker = regexp.MustCompile(`@([A-Za-z0-9_.~+-]+)//`)

// marked are the repositories of unknown values that became text.
func marked(text string) []string {
	if !strings.Contains(text, markerOpen) {
		return nil
	}
	var repos []string
	for _, m := range inMarker.FindAllStringSubmatch(text, -1) {
		repos = append(repos, m[1])
	}
	return repos
}

func (u *unknown) String() string { return markerOpen + u.text + markerEnd }
func (u *unknown) Type() string   { return "unknown" }
func (u *unknown) Freeze()        {}
func (u *unknown) Truth() starlark.Bool {
	u.loader.doubt("%s decided a condition", u.text)
	return true
}

func (u *unknown) Hash() (uint32, error) {
	u.loader.unsettled("%s", u.text)
	h := fnv.New32a()
	h.Write([]byte(u.text))
	return h.Sum32(), nil
}

func (u *unknown) derive(text string, parts ...starlark.Value) *unknown {
	u.loader.unsettled("%s", text)
	if len(text) > 400 {
		text = text[:300] + "…" + digest(text)
	}
	return &unknown{loader: u.loader, text: text, origin: cmp.Or(u.symbol, u.origin), parts: append([]starlark.Value{u}, parts...)}
}

func (u *unknown) Attr(name string) (starlark.Value, error) {
	d := u.derive(u.text + "." + name)
	if u.symbol != "" {
		d.symbol = u.symbol + "." + name
	}
	return d, nil
}
func (u *unknown) AttrNames() []string { return nil }

func (u *unknown) Get(key starlark.Value) (starlark.Value, bool, error) {
	return u.derive(u.text+"["+u.loader.text(key)+"]", key), true, nil
}

func (u *unknown) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if side == starlark.Left {
		return u.derive("("+u.text+" "+op.String()+" "+u.loader.text(y)+")", y), nil
	}
	return u.derive("("+u.loader.text(y)+" "+op.String()+" "+u.text+")", y), nil
}

func (u *unknown) Unary(op syntax.Token) (starlark.Value, error) {
	return u.derive(op.String() + u.text), nil
}

func (u *unknown) Iterate() starlark.Iterator {
	return &once{value: u.derive(u.text + "[*]")}
}
func (u *unknown) Len() int {
	u.loader.unsettled("%s", u.text)
	return 1
}
func (u *unknown) Items() []starlark.Tuple {
	return []starlark.Tuple{{starlark.String(markerOpen + u.text + markerEnd), u.derive(u.text + "[*]")}}
}

type once struct {
	value starlark.Value
	done  bool
}

func (o *once) Next(p *starlark.Value) bool {
	if o.done {
		return false
	}
	*p, o.done = o.value, true
	return true
}
func (o *once) Done() {}

func (u *unknown) Name() string { return u.text }

// CallInternal makes a target if it is called with a name while a package is loaded:
// then it is taken for a rule or a macro.
func (u *unknown) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var b strings.Builder
	parts := []starlark.Value{}
	b.WriteString(u.text + "(")
	for _, a := range args {
		b.WriteString(u.loader.text(a) + ",")
		parts = append(parts, a)
	}
	for _, kv := range kwargs {
		b.WriteString(string(kv[0].(starlark.String)) + "=" + u.loader.text(kv[1]) + ",")
		parts = append(parts, kv[1])
	}
	b.WriteString(")")
	result := u.derive(b.String(), parts...)
	p := packageOf(thread)
	switch {
	case p == nil || method[u.text[strings.LastIndexByte(u.text, '.')+1:]]:
	case u.symbol != "":
		p.unknownCall(u, args, kwargs)
	case u.origin != "" && p.name(kwargs) != "":
		// What another repository's function made may be a rule: it is one if it is called so.
		kwargs = append(slices.Clone(kwargs), starlark.Tuple{starlark.String("made by"), u})
		p.unknownCall(&unknown{loader: u.loader, text: u.text, symbol: u.origin}, args, kwargs)
	}
	return result, nil
}

// method are methods of the language's own types, which make no targets.
var method = map[string]bool{
	"append": true, "capitalize": true, "clear": true, "count": true, "difference": true, "elems": true, "endswith": true, "extend": true,
	"find": true, "format": true, "get": true, "index": true, "insert": true, "items": true, "join": true, "keys": true, "lower": true,
	"pop": true, "replace": true, "rsplit": true, "setdefault": true, "split": true, "splitlines": true, "startswith": true, "strip": true,
	"to_list": true, "update": true, "upper": true, "values": true,
}

var (
	_ starlark.Callable        = (*unknown)(nil)
	_ starlark.HasAttrs        = (*unknown)(nil)
	_ starlark.HasBinary       = (*unknown)(nil)
	_ starlark.HasUnary        = (*unknown)(nil)
	_ starlark.IterableMapping = (*unknown)(nil)
	_ starlark.Sequence        = (*unknown)(nil)
)

// labelValue is what Label() returns.
type labelValue struct {
	loader *Loader
	label  Label
}

func (l labelValue) String() string        { return "@" + l.canonical() }
func (l labelValue) canonical() string     { return "@" + strings.TrimPrefix(l.label.String(), "@") }
func (l labelValue) Type() string          { return "Label" }
func (l labelValue) Freeze()               {}
func (l labelValue) Truth() starlark.Bool  { return true }
func (l labelValue) Hash() (uint32, error) { return starlark.String(l.String()).Hash() }

func (l labelValue) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	other := y.(labelValue)
	switch op {
	case syntax.EQL:
		return l.label == other.label, nil
	case syntax.NEQ:
		return l.label != other.label, nil
	}
	return false, fmt.Errorf("labels have no order")
}

func (l labelValue) AttrNames() []string {
	return []string{"name", "package", "relative", "repo_name", "same_package_label", "workspace_name", "workspace_root"}
}

func (l labelValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(l.label.Name), nil
	case "package":
		return starlark.String(l.label.Package), nil
	case "repo_name", "workspace_name":
		return starlark.String(l.label.Repo), nil
	case "workspace_root":
		if l.label.Repo == "" {
			return starlark.String(""), nil
		}
		return starlark.String("external/" + l.label.Repo), nil
	case "relative", "same_package_label":
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var text string
			if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &text); err != nil {
				return nil, err
			}
			label, err := parseLabel(text, l.label, l.loader.mapping(l.label.Repo))
			return labelValue{l.loader, label}, err
		}), nil
	}
	return nil, nil
}

// selection is select(): branches, and what was added to them.
type selection struct{ items []starlark.Value }

func (s *selection) String() string        { return "select(...)" }
func (s *selection) Type() string          { return "select" }
func (s *selection) Freeze()               {}
func (s *selection) Truth() starlark.Bool  { return true }
func (s *selection) Hash() (uint32, error) { return 0, errors.New("unhashable type: select") }

func (s *selection) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if op != syntax.PLUS && op != syntax.PIPE {
		return nil, nil
	}
	other := []starlark.Value{y}
	if o, ok := y.(*selection); ok {
		other = o.items
	}
	if side == starlark.Left {
		return &selection{items: slices.Concat(s.items, other)}, nil
	}
	return &selection{items: slices.Concat(other, s.items)}, nil
}

// attribute is attr.label(...) and its like.
type attribute struct {
	kind     string
	fallback starlark.Value // default, nil if there is none
	in       Label          // the package that labels are relative to
	aspects  []*class
	flags    []string // everything else, as text
	// mandatory says that it has to be given, limited that not each value of its type is
	// taken.
	mandatory, limited bool
	// limits are the conditions on what is given.
	limits []string
	parts  []starlark.Value
}

func (a *attribute) String() string        { return "<attr." + a.kind + ">" }
func (a *attribute) Type() string          { return "Attribute" }
func (a *attribute) Freeze()               {}
func (a *attribute) Truth() starlark.Bool  { return true }
func (a *attribute) Hash() (uint32, error) { return 0, errors.New("unhashable type: Attribute") }

// class is a rule, an aspect or a symbolic macro of a file of this workspace.
type class struct {
	loader         *Loader
	what           string // rule, aspect, macro
	file           Label
	line           int32
	name           string
	implementation starlark.Value
	initializer    starlark.Value
	attributes     map[string]*attribute
	inherited      map[string]bool // attributes that are those of another class
	unsure         bool            // attributes are not all known
	unsureParts    []starlark.Value
	test           bool
	finalizer      bool
	flags          []string
	toolchains     []starlark.Value
	extra          []starlark.Value // further values with functions or labels in them: cfg, outputs
	result         *Class
}

func (c *class) String() string        { return "<" + c.what + " " + c.name + ">" }
func (c *class) Type() string          { return c.what }
func (c *class) Freeze()               {}
func (c *class) Truth() starlark.Bool  { return true }
func (c *class) Hash() (uint32, error) { return starlark.String(c.key()).Hash() }
func (c *class) Name() string          { return c.name }
func (c *class) key() string {
	name := c.name
	if name == "" {
		name = fmt.Sprintf("line %d", c.line)
	}
	return c.file.String() + "%" + name
}

func (c *class) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	p := packageOf(thread)
	if p == nil {
		return nil, fmt.Errorf("%s %s is called outside of a BUILD file", c.what, c.name)
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("%s %s takes no positional arguments", c.what, c.name)
	}
	switch c.what {
	case "rule":
		return starlark.None, p.rule(thread, c, kwargs)
	case "macro":
		if c.finalizer && p.seen == nil {
			p.finalizers = append(p.finalizers, func(thread *starlark.Thread) error { return p.macro(thread, c, kwargs) })
			return starlark.None, nil
		}
		return starlark.None, p.macro(thread, c, kwargs)
	}
	return nil, fmt.Errorf("%s %s can't be called", c.what, c.name)
}

// native is a rule that is built into Bazel.
type nativeRule struct{ name string }

func (n nativeRule) String() string        { return "<rule " + n.name + ">" }
func (n nativeRule) Type() string          { return "rule" }
func (n nativeRule) Freeze()               {}
func (n nativeRule) Truth() starlark.Bool  { return true }
func (n nativeRule) Hash() (uint32, error) { return starlark.String(n.name).Hash() }
func (n nativeRule) Name() string          { return n.name }

func (n nativeRule) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	p := packageOf(thread)
	if p == nil {
		return nil, fmt.Errorf("rule %s is called outside of a BUILD file", n.name)
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("rule %s takes no positional arguments", n.name)
	}
	p.native(n.name, kwargs)
	return starlark.None, nil
}

// moduleValue is a namespace such as native or attr, with something for every name.
type moduleValue struct {
	name    string
	members starlark.StringDict
	other   func(name string) starlark.Value
}

func (m *moduleValue) String() string        { return "<module " + m.name + ">" }
func (m *moduleValue) Type() string          { return "module" }
func (m *moduleValue) Freeze()               {}
func (m *moduleValue) Truth() starlark.Bool  { return true }
func (m *moduleValue) Hash() (uint32, error) { return starlark.String(m.name).Hash() }
func (m *moduleValue) AttrNames() []string   { return m.members.Keys() }
func (m *moduleValue) Attr(name string) (starlark.Value, error) {
	if v, ok := m.members[name]; ok {
		return v, nil
	}
	if m.other != nil {
		return m.other(name), nil
	}
	return nil, nil
}

// maxText bounds, in bytes, what is written of one value. What is larger is in doubt.
const maxText = 16 << 20

// text is an expression for a value, the same whenever the value is the same.
func (l *Loader) text(v starlark.Value) string {
	var b strings.Builder
	l.write(&b, v, 0)
	return b.String()
}

func (l *Loader) write(b *strings.Builder, v starlark.Value, depth int) {
	if depth > 50 || b.Len() > maxText {
		b.WriteString("…")
		if b.Len() > maxText {
			l.doubt("a value is larger than is looked at")
		}
		return
	}
	list := func(open string, items starlark.Iterable, end string) {
		b.WriteString(open)
		for x := range starlark.Elements(items) {
			if b.Len() > maxText {
				l.write(b, x, depth+1)
				break
			}
			l.write(b, x, depth+1)
			b.WriteByte(',')
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("()")
	case *unknown:
		b.WriteString(v.text)
	case starlark.String:
		fmt.Fprintf(b, "%q", string(v))
	case labelValue:
		fmt.Fprintf(b, "Label(%q)", v.label.String())
	case *starlark.List:
		list("[", v, "]")
	case starlark.Tuple:
		list("(", v, ")")
	case *starlark.Set:
		list("set(", v, ")")
	case *starlark.Dict:
		b.WriteByte('{')
		for _, kv := range v.Items() {
			l.write(b, kv[0], depth+1)
			b.WriteByte(':')
			l.write(b, kv[1], depth+1)
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case *selection:
		b.WriteString("select(")
		for _, x := range v.items {
			l.write(b, x, depth+1)
			b.WriteByte('+')
		}
		b.WriteByte(')')
	case *starlarkstruct.Struct:
		b.WriteString("struct(")
		names := v.AttrNames()
		for _, n := range names {
			x, err := v.Attr(n)
			if err != nil {
				continue
			}
			b.WriteString(n + "=")
			l.write(b, x, depth+1)
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case *starlark.Function:
		b.WriteString("def:" + l.function(v).digest)
	case *class:
		b.WriteString(v.what + ":" + v.key() + ":" + l.class(v).Digest)
	case *attribute:
		b.WriteString("attr." + v.kind + "(" + strings.Join(v.flags, ",") + ",")
		if v.fallback != nil {
			l.write(b, v.fallback, depth+1)
		}
		b.WriteByte(')')
	case nativeRule:
		b.WriteString("rule:" + v.name)
	case *moduleValue:
		b.WriteString("module:" + v.name)
	case *starlark.Builtin:
		b.WriteString("builtin:" + v.Name())
	default:
		b.WriteString(v.String())
	}
}
