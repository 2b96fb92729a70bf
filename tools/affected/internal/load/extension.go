package load

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// A module extension is run as Bazel runs it, on the tags of the main module, if it does
// nothing but read them and call repository rules. So it is known which repository is made
// of what. One that does more, such as reading files, can't be run here.

// TagCall is a call of a tag class in MODULE.bazel.
type TagCall struct {
	Class string
	Args  []starlark.Tuple
}

// RepositoryCall is a repository that an extension makes.
type RepositoryCall struct {
	Name string
	// Text is the rule's arguments.
	Text string
	// Code is what the rule is made of.
	Code *Closure
	// Refs are the labels among the arguments.
	Refs []Ref
}

// extension is what module_extension returns.
type extension struct {
	implementation starlark.Value
	classes        map[string]*tagClass
}

func (x *extension) String() string        { return "<module_extension>" }
func (x *extension) Type() string          { return "module_extension" }
func (x *extension) Freeze()               {}
func (x *extension) Truth() starlark.Bool  { return true }
func (x *extension) Hash() (uint32, error) { return 0, errors.New("unhashable type: module_extension") }

// tagClass is what tag_class returns.
type tagClass struct {
	attributes map[string]*attribute
}

func (c *tagClass) String() string        { return "<tag_class>" }
func (c *tagClass) Type() string          { return "tag_class" }
func (c *tagClass) Freeze()               {}
func (c *tagClass) Truth() starlark.Bool  { return true }
func (c *tagClass) Hash() (uint32, error) { return 0, errors.New("unhashable type: tag_class") }

// repositoryRule is what repository_rule returns.
type repositoryRule struct {
	loader     *Loader
	file       Label
	name       string // of the global variable that it is
	attributes map[string]*attribute
}

func (r *repositoryRule) String() string       { return "<repository_rule " + r.name + ">" }
func (r *repositoryRule) Type() string         { return "repository_rule" }
func (r *repositoryRule) Freeze()              {}
func (r *repositoryRule) Truth() starlark.Bool { return true }
func (r *repositoryRule) Hash() (uint32, error) {
	return starlark.String(r.file.String() + r.name).Hash()
}
func (r *repositoryRule) Name() string { return r.name }

const extensionKey = "affected.extension"

// CallInternal notes a repository of the extension that is run.
func (r *repositoryRule) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	calls, ok := thread.Local(extensionKey).(*[]RepositoryCall)
	if !ok {
		return nil, fmt.Errorf("repository rule %s is called outside of an extension", r.name)
	}
	if len(args) > 0 || r.name == "" {
		return nil, errors.New("a repository rule without a name, or with positional arguments")
	}
	call := RepositoryCall{}
	given := map[string]bool{}
	e := &encoder{loader: r.loader, in: r.file}
	slices.SortFunc(kwargs, func(a, b starlark.Tuple) int {
		return strings.Compare(string(a[0].(starlark.String)), string(b[0].(starlark.String)))
	})
	for _, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		if hasUnknown(kv[1]) {
			return nil, fmt.Errorf("argument %s is not known", key)
		}
		if key == "name" {
			call.Name, _ = starlark.AsString(kv[1])
			continue
		}
		a, ok := r.attributes[key]
		if !ok {
			return nil, fmt.Errorf("repository rule %s has no attribute %s", r.name, key)
		}
		if kv[1] != starlark.None && !a.takes(kv[1]) {
			return nil, fmt.Errorf("repository rule %s: whether it takes such a value for %s is not known", r.name, key)
		}
		given[key] = true
		e.b.WriteString(key + "=")
		if kv[1] == starlark.None {
			e.b.WriteString("None")
		} else {
			e.attribute(a.kind, kv[1])
		}
		e.b.WriteString("\n")
	}
	for name, a := range r.attributes {
		if a.mandatory && !given[name] || len(a.parts) > 0 {
			return nil, fmt.Errorf("repository rule %s: attribute %s is not given, or computed", r.name, name)
		}
	}
	if !repositoryName.MatchString(call.Name) || slices.ContainsFunc(*calls, func(c RepositoryCall) bool { return c.Name == call.Name }) {
		return nil, fmt.Errorf("a repository with the name %q", call.Name)
	}
	code, err := r.loader.Closure(r.file, r.name)
	if err != nil {
		return nil, err
	}
	call.Text, call.Code, call.Refs = e.b.String(), code, compact(e.refs)
	*calls = append(*calls, call)
	return starlark.None, nil
}

var repositoryName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// takes says that an attribute takes a value for certain: else Bazel may fail, and all
// that the extension makes with it.
func (a *attribute) takes(v starlark.Value) bool {
	if a.limited || slices.ContainsFunc(a.flags, func(f string) bool { return !strings.HasPrefix(f, "default=") }) {
		return false
	}
	isText := func(v starlark.Value) bool { _, ok := v.(starlark.String); return ok }
	isLabel := func(v starlark.Value) bool { _, ok := v.(labelValue); return ok || isText(v) }
	all := func(v starlark.Value, is func(starlark.Value) bool) bool {
		list, ok := v.(*starlark.List)
		return ok && !slices.ContainsFunc(slices.Collect(starlark.Elements(list)), func(x starlark.Value) bool { return !is(x) })
	}
	entries := func(v starlark.Value, is func(starlark.Value) bool) bool {
		d, ok := v.(*starlark.Dict)
		return ok && !slices.ContainsFunc(d.Items(), func(kv starlark.Tuple) bool { return !isText(kv[0]) || !is(kv[1]) })
	}
	switch a.kind {
	case "string":
		return isText(v)
	case "int":
		_, ok := v.(starlark.Int)
		return ok
	case "bool":
		_, ok := v.(starlark.Bool)
		return ok
	case "label":
		return isLabel(v)
	case "string_list":
		return all(v, isText)
	case "label_list":
		return all(v, isLabel)
	case "string_dict":
		return entries(v, isText)
	case "string_list_dict":
		return entries(v, func(x starlark.Value) bool { return all(x, isText) })
	}
	return false
}

func attributesOf(kwargs []starlark.Tuple) (map[string]*attribute, bool) {
	attributes := map[string]*attribute{}
	for _, kv := range kwargs {
		if kv[0] != starlark.String("attrs") {
			continue
		}
		d, ok := kv[1].(*starlark.Dict)
		if !ok {
			return nil, false
		}
		for _, entry := range d.Items() {
			name, _ := starlark.AsString(entry[0])
			a, ok := entry[1].(*attribute)
			if !ok {
				return nil, false
			}
			attributes[name] = a
		}
	}
	return attributes, true
}

func (l *Loader) makeRepositoryRule(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	attributes, ok := attributesOf(kwargs)
	if !ok {
		return l.opaque("builtin "+b.Name(), args, kwargs), nil
	}
	return &repositoryRule{loader: l, file: l.caller(thread), attributes: attributes}, nil
}

func (l *Loader) makeTagClass(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	attributes, ok := attributesOf(kwargs)
	if !ok || len(args) > 0 {
		return l.opaque("builtin "+b.Name(), args, kwargs), nil
	}
	return &tagClass{attributes}, nil
}

func (l *Loader) makeExtension(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	x := &extension{classes: map[string]*tagClass{}}
	known := len(args) == 0
	for _, kv := range kwargs {
		switch name := string(kv[0].(starlark.String)); name {
		case "implementation":
			x.implementation = kv[1]
		case "doc":
		case "tag_classes":
			d, ok := kv[1].(*starlark.Dict)
			if !ok {
				known = false
				break
			}
			for _, entry := range d.Items() {
				class, ok := entry[1].(*tagClass)
				key, _ := starlark.AsString(entry[0])
				known = known && ok
				x.classes[key] = class
			}
		default:
			known = false // What it depends on: the machine, the environment.
		}
	}
	if !known || x.implementation == nil {
		return l.opaque("builtin "+b.Name(), args, kwargs), nil
	}
	return x, nil
}

// Extension runs an extension on the tags of the main module, which alone uses it. It
// fails if that can't be done without knowing more than files of this workspace.
func (l *Loader) Extension(label Label, name, module string, tags []TagCall) ([]RepositoryCall, error) {
	m := l.module(label)
	if m.err != nil {
		return nil, m.err
	}
	x, ok := m.globals[name].(*extension)
	if !ok || m.doubt != "" || len(m.conditions) > 0 {
		return nil, fmt.Errorf("%s of %s can't be run", name, label)
	}
	lists := map[string][]starlark.Value{}
	for _, t := range tags {
		class, ok := x.classes[t.Class]
		if !ok {
			return nil, fmt.Errorf("%s of %s has no tag class %s", name, label, t.Class)
		}
		values, err := l.tag(class, t.Args)
		if err != nil {
			return nil, err
		}
		lists[t.Class] = append(lists[t.Class], values)
	}
	byClass := starlark.StringDict{}
	for class := range x.classes {
		byClass[class] = starlark.NewList(lists[class])
	}
	root := starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"name": starlark.String(module), "is_root": starlark.True, "tags": starlarkstruct.FromStringDict(starlarkstruct.Default, byClass),
	})
	ctx := starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{"modules": starlark.NewList([]starlark.Value{root})})
	ctx.Freeze()
	thread := l.thread(m.file, nil)
	var calls []RepositoryCall
	thread.SetLocal(extensionKey, &calls)
	outer, outerConditions := l.doubts, l.conditions
	defer func() { l.doubts, l.conditions, l.strict = outer, outerConditions, false }()
	l.doubts, l.conditions, l.strict = "", nil, true
	result, err := starlark.Call(thread, x.implementation, starlark.Tuple{ctx}, nil)
	switch {
	case err != nil:
		return nil, errors.New(explain(err))
	case l.doubts != "" || len(l.conditions) > 0:
		return nil, fmt.Errorf("%s of %s: in doubt: %s", name, label, l.doubts)
	case result != starlark.None:
		return nil, fmt.Errorf("%s of %s returns something", name, label)
	}
	return calls, nil
}

// tag is what an extension sees of a tag: all attributes, with their defaults.
func (l *Loader) tag(class *tagClass, args []starlark.Tuple) (starlark.Value, error) {
	given := starlark.StringDict{}
	for _, kv := range args {
		given[string(kv[0].(starlark.String))] = kv[1]
	}
	values := starlark.StringDict{}
	for name, a := range class.attributes {
		if len(a.parts) > 0 {
			return nil, fmt.Errorf("attribute %s is computed", name)
		}
		v, ok := given[name]
		switch {
		case ok && !a.takes(v), !ok && a.mandatory:
			return nil, fmt.Errorf("whether a tag is taken is not known: %s", name)
		case ok:
			values[name] = l.asLabels(a.kind, v, Label{})
		case a.fallback != nil:
			values[name] = l.asLabels(a.kind, a.fallback, a.in)
		default:
			zero, ok := zeros[a.kind]
			if !ok {
				return nil, fmt.Errorf("attribute %s has no default that is known", name)
			}
			values[name] = zero()
		}
	}
	for name := range given {
		if _, ok := class.attributes[name]; !ok {
			return nil, fmt.Errorf("no attribute %s", name)
		}
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, values), nil
}

// zeros are the values of attributes that nobody gives.
var zeros = map[string]func() starlark.Value{
	"string": func() starlark.Value { return starlark.String("") }, "int": func() starlark.Value { return starlark.MakeInt(0) },
	"bool": func() starlark.Value { return starlark.False }, "label": func() starlark.Value { return starlark.None },
	"string_list": func() starlark.Value { return starlark.NewList(nil) }, "label_list": func() starlark.Value { return starlark.NewList(nil) },
	"string_dict": func() starlark.Value { return starlark.NewDict(0) }, "string_list_dict": func() starlark.Value { return starlark.NewDict(0) },
}
