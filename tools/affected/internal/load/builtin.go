package load

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"stormgate.internal/tools/affected/internal/git"
)

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func fn(name string, f builtin) *starlark.Builtin { return starlark.NewBuiltin(name, f) }

// common are the names that BUILD and .bzl files share.
func (l *Loader) common() starlark.StringDict {
	names := starlark.StringDict{
		"struct": fn("struct", starlarkstruct.Make),
		"json":   jsonModule,
		"Label":  fn("Label", l.makeLabel),
		"select": fn("select", makeSelect),
		"depset": fn("depset", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return l.opaque("depset", args, kwargs), nil
		}),
		"fail": fn("fail", fail),
		// These take unknown values.
		"len": fn("len", l.tolerant("len")), "type": fn("type", l.tolerant("type")), "hasattr": fn("hasattr", l.tolerant("hasattr")),
		"int": fn("int", l.tolerant("int")), "range": fn("range", l.tolerant("range")), "repr": fn("repr", l.tolerant("repr")),
		"sorted": fn("sorted", l.tolerant("sorted")), "min": fn("min", l.tolerant("min")), "max": fn("max", l.tolerant("max")),
	}
	l.bounds(names)
	for op, name := range compared {
		names[name] = fn(name, l.compare(op))
	}
	names[unpackName] = fn(unpackName, l.unpack)
	names[rowsName] = fn(rowsName, l.rows)
	names[indexName] = fn(indexName, l.index)
	names[attrName] = fn(attrName, l.attr)
	names[condName] = fn(condName, l.cond)
	names[orName] = fn(orName, l.either(true))
	names[andName] = fn(andName, l.either(false))
	names[notName] = fn(notName, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if vague(args[0]) {
			return l.opaque("not", args, nil), nil
		}
		return !args[0].Truth(), nil
	})
	names[testName] = fn(testName, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if vague(args[0]) {
			l.doubt("%s decided a condition", l.text(args[0]))
		}
		return args[0].Truth(), nil
	})
	names[keepName] = fn(keepName, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if vague(args[0]) {
			// All elements are kept: more labels than there are, never fewer.
			l.conditions = append(l.conditions, l.text(args[0]))
			return starlark.True, nil
		}
		return args[0].Truth(), nil
	})
	return names
}

var jsonModule = func() *starlarkstruct.Module {
	m := &starlarkstruct.Module{Name: "json", Members: starlark.StringDict{}}
	for k, v := range json.Module.Members {
		m.Members[k] = v
	}
	m.Members["encode_indent"] = fn("encode_indent", func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if len(args) != 1 {
			return nil, fmt.Errorf("json.encode_indent takes one value")
		}
		text, err := starlark.Call(thread, json.Module.Members["encode"], args, nil)
		if err != nil {
			return nil, err
		}
		return starlark.Call(thread, json.Module.Members["indent"], starlark.Tuple{text}, kwargs)
	})
	return m
}()

func fail(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var parts []string
	for _, a := range args {
		if s, ok := starlark.AsString(a); ok {
			parts = append(parts, s)
		} else {
			parts = append(parts, a.String())
		}
	}
	for _, kv := range kwargs {
		if s, ok := starlark.AsString(kv[1]); ok && kv[0] == starlark.String("msg") {
			parts = append(parts, s)
		}
	}
	return nil, errors.New("fail: " + strings.Join(parts, " "))
}

// opaque is a value that keeps what it was made of.
func (l *Loader) opaque(name string, args starlark.Tuple, kwargs []starlark.Tuple) *unknown {
	var b strings.Builder
	b.WriteString(name + "(")
	var parts []starlark.Value
	for _, a := range args {
		b.WriteString(l.text(a) + ",")
		parts = append(parts, a)
	}
	for _, kv := range kwargs {
		b.WriteString(string(kv[0].(starlark.String)) + "=" + l.text(kv[1]) + ",")
		parts = append(parts, kv[1])
	}
	l.unsettled("%s", name)
	text := b.String() + ")"
	if len(text) > 400 {
		text = text[:300] + "…" + digest(text)
	}
	return &unknown{loader: l, text: text, parts: parts}
}

// vague says that whether a value is true is not known: it is unknown, or a collection
// of which each element stands for any number of unknown ones.
func vague(v starlark.Value) bool {
	if isUnknown(v) {
		return true
	}
	switch v.(type) {
	case *starlark.List, starlark.Tuple, *starlark.Dict, *starlark.Set:
		n := 0
		for x := range starlark.Elements(v.(starlark.Iterable)) {
			if !isUnknown(x) {
				return false
			}
			n++
		}
		return n > 0
	}
	return false
}

// isUnknown says that a value is unknown as a whole, or a text with one in it.
func isUnknown(v starlark.Value) bool {
	switch v := v.(type) {
	case *unknown:
		return true
	case starlark.String:
		return strings.Contains(string(v), markerOpen)
	}
	return false
}

// hasUnknown says that a value is unknown, or has one in it; so it says of one in which
// there is too much to look at.
func hasUnknown(v starlark.Value) bool {
	visits := 0
	return visitUnknown(v, &visits)
}

func visitUnknown(v starlark.Value, visits *int) bool {
	if *visits++; *visits > maxVisited {
		return true
	}
	switch v := v.(type) {
	case *unknown:
		return true
	case starlark.String:
		return strings.Contains(string(v), markerOpen)
	case *starlark.List, starlark.Tuple, *starlark.Set:
		for x := range starlark.Elements(v.(starlark.Iterable)) {
			if visitUnknown(x, visits) {
				return true
			}
		}
	case *starlark.Dict:
		for _, kv := range v.Items() {
			if visitUnknown(kv[0], visits) || visitUnknown(kv[1], visits) {
				return true
			}
		}
	}
	return false
}

// tolerant is a function of the language that gives an unknown value for one.
func (l *Loader) tolerant(name string) builtin {
	original := starlark.Universe[name]
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		for _, a := range args {
			direct := isUnknown(a) || name == "len" && vague(a)
			list := name == "sorted" || name == "min" || name == "max"
			if name == "sorted" && !direct && hasUnknown(a) {
				if it, ok := a.(starlark.Iterable); ok {
					return starlark.NewList(slices.Collect(starlark.Elements(it))), nil
				}
			}
			if direct || list && hasUnknown(a) {
				return l.opaque(name, args, kwargs), nil
			}
		}
		if name == "sorted" || name == "repr" || name == "min" || name == "max" {
			if err := l.room(name, nil, args, kwargs); err != nil {
				return nil, err
			}
		}
		return starlark.Call(thread, original, args, kwargs)
	}
}

func (l *Loader) compare(op syntax.Token) builtin {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		x, y := args[0], args[1]
		for _, v := range args { // To look through one takes time, as to make one does.
			if many, ok := v.(starlark.Sequence); ok {
				if err := l.charge(op.String(), product(many.Len(), 4)); err != nil {
					return nil, err
				}
			}
		}
		doubtful := hasUnknown(x) || hasUnknown(y)
		vague := func() starlark.Value { return l.opaque(op.String(), args, nil) }
		switch op {
		case syntax.IN, syntax.NOT_IN:
			if _, ok := y.(*unknown); ok {
				return vague(), nil
			}
			v, err := starlark.Binary(syntax.IN, x, y)
			if err != nil {
				if doubtful {
					return vague(), nil
				}
				return nil, err
			}
			found := bool(v.Truth())
			if !found && doubtful {
				return vague(), nil
			}
			return starlark.Bool(found == (op == syntax.IN)), nil
		default:
			if doubtful {
				return vague(), nil
			}
			ok, err := starlark.Compare(op, x, y)
			return starlark.Bool(ok), err
		}
	}
}

// unpack gives n values for an unknown one: `a, b = unknown`.
func (l *Loader) unpack(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	n, err := starlark.AsInt32(args[0])
	if err != nil {
		return nil, err
	}
	u, ok := args[1].(*unknown)
	if !ok {
		return args[1], nil
	}
	row := make(starlark.Tuple, n)
	for i := range row {
		row[i] = u.derive(fmt.Sprintf("%s[%d]", u.text, i))
	}
	return row, nil
}

// cond is `a if c else b`. Of an unknown condition the result has both.
func (l *Loader) cond(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if !vague(args[0]) {
		if args[0].Truth() {
			return starlark.Call(thread, args[1], nil, nil)
		}
		return starlark.Call(thread, args[2], nil, nil)
	}
	parts := starlark.Tuple{args[0]}
	for _, branch := range args[1:] {
		if v, err := starlark.Call(thread, branch, nil, nil); err == nil {
			parts = append(parts, v)
		} // Else this branch is not the one.
	}
	return l.opaque("if", parts, nil), nil
}

// either is `a or b`, or `a and b`.
func (l *Loader) either(or bool) builtin {
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if vague(args[0]) {
			parts := starlark.Tuple{args[0]}
			if v, err := starlark.Call(thread, args[1], nil, nil); err == nil {
				parts = append(parts, v)
			}
			return l.opaque("either", parts, nil), nil
		}
		if bool(args[0].Truth()) == or {
			return args[0], nil
		}
		return starlark.Call(thread, args[1], nil, nil)
	}
}

// attr is x.name. Methods of text in which an unknown value is, or that are given one,
// return an unknown value.
func (l *Loader) attr(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	name := string(args[1].(starlark.String))
	x, ok := args[0].(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("%s has no .%s", args[0].Type(), name)
	}
	v, err := x.Attr(name)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("%s has no .%s", args[0].Type(), name)
	}
	s, ok := args[0].(starlark.String)
	if !ok {
		if !growing[name] {
			return v, nil
		}
		switch args[0].(type) {
		case *starlark.List, *starlark.Dict, *starlark.Set, *starlarkstruct.Module:
			self := args[0]
			return fn(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
				if err := l.room(name, self, args, kwargs); err != nil {
					return nil, err
				}
				return starlark.Call(thread, v, args, kwargs)
			}), nil
		}
		return v, nil
	}
	return fn(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if name != "format" && (isUnknown(s) || slices.ContainsFunc(args, hasUnknown)) {
			return l.opaque(l.text(s)+"."+name, args, kwargs), nil
		}
		if err := l.room(name, s, args, kwargs); err != nil {
			return nil, err
		}
		return starlark.Call(thread, v, args, kwargs)
	}), nil
}

// growing are methods of other values than texts that make more than an element.
var growing = map[string]bool{
	"extend": true, "update": true, "union": true, "items": true, "keys": true, "values": true, "encode": true, "encode_indent": true,
}

// index is x[y]. A dictionary may have an unknown key.
func (l *Loader) index(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	switch x := args[0].(type) {
	case starlark.Mapping:
		v, found, err := x.Get(args[1])
		if err == nil && found {
			return v, nil
		}
		if hasUnknown(x) || hasUnknown(args[1]) {
			return l.opaque("index", args, nil), nil
		}
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("key %s not in %s", l.text(args[1]), x.Type())
	case starlark.Indexable:
		if hasUnknown(args[1]) {
			return l.opaque("index", args, nil), nil
		}
		i, err := starlark.AsInt32(args[1])
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		if i < 0 {
			i += x.Len()
		}
		if i < 0 || i >= x.Len() {
			return nil, fmt.Errorf("index %d out of range: %s has %d elements", i, args[0].Type(), x.Len())
		}
		return x.Index(i), nil
	}
	if hasUnknown(args[0]) || hasUnknown(args[1]) {
		return l.opaque("index", args, nil), nil
	}
	return nil, fmt.Errorf("%s can't be indexed", args[0].Type())
}

// rows does so for each element: `for a, b in unknown`.
func (l *Loader) rows(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	it, ok := args[1].(starlark.Iterable)
	if !ok {
		return args[1], nil
	}
	if _, direct := args[1].(*unknown); !direct && !slices.ContainsFunc(slices.Collect(starlark.Elements(it)), func(x starlark.Value) bool {
		_, ok := x.(*unknown)
		return ok
	}) {
		return args[1], nil
	}
	var out []starlark.Value
	for x := range starlark.Elements(it) {
		row, err := l.unpack(thread, b, starlark.Tuple{args[0], x}, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return starlark.NewList(out), nil
}

func (l *Loader) caller(thread *starlark.Thread) Label {
	for i := range thread.CallStackDepth() {
		if m, ok := l.byFile[thread.CallFrame(i).Pos.Filename()]; ok {
			return m.label
		}
	}
	if p := packageOf(thread); p != nil {
		return p.label
	}
	if m, ok := l.byFile[thread.Name]; ok {
		return m.label
	}
	return Label{}
}

func (l *Loader) makeLabel(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case labelValue:
		return v, nil
	case starlark.String:
		if marked(string(v)) != nil {
			return l.opaque("Label", args, nil), nil
		}
		in := l.caller(thread)
		label, err := parseLabel(string(v), in, l.mapping(in.Repo))
		if err != nil {
			return nil, err
		}
		return labelValue{l, label}, nil
	}
	return l.opaque("Label", args, nil), nil
}

func makeSelect(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	var noMatch starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &v, "no_match_error?", &noMatch); err != nil {
		return nil, err
	}
	if d, ok := v.(*starlark.Dict); ok {
		if d.Len() == 0 {
			return nil, errors.New("select of nothing")
		}
		return &selection{items: []starlark.Value{&branches{d}}}, nil
	}
	return &selection{items: []starlark.Value{v}}, nil
}

// buildNames are what BUILD files know beside the rules.
func (l *Loader) buildNames() starlark.StringDict {
	names := l.common()
	for k, v := range l.nativeFunctions() {
		names[k] = v
	}
	return names
}

func (l *Loader) nativeFunctions() starlark.StringDict {
	inPackage := func(name string, f func(p *loading, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
		return fn(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			p := packageOf(thread)
			if p == nil {
				return nil, fmt.Errorf("%s is called outside of a BUILD file", name)
			}
			return f(p, thread, args, kwargs)
		})
	}
	nothing := func(name string) *starlark.Builtin {
		return fn(name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return starlark.None, nil
		})
	}
	text := func(name string, f func(p *loading) string) *starlark.Builtin {
		return inPackage(name, func(p *loading, _ *starlark.Thread, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			return starlark.String(f(p)), nil
		})
	}
	return starlark.StringDict{
		"exports_files": inPackage("exports_files", (*loading).exports), "licenses": nothing("licenses"), "package_group": inPackage("package_group", (*loading).group),
		"environment_group": nothing("environment_group"), "workspace": nothing("workspace"),
		"package":      inPackage("package", (*loading).packageDefaults),
		"glob":         inPackage("glob", (*loading).glob),
		"subpackages":  inPackage("subpackages", (*loading).subpackages),
		"package_name": text("package_name", func(p *loading) string { return p.label.Package }),
		"repository_name": text("repository_name", func(p *loading) string {
			return "@" + p.label.Repo
		}),
		"repo_name":   text("repo_name", func(p *loading) string { return p.label.Repo }),
		"module_name": text("module_name", func(p *loading) string { return p.loader.workspace.moduleName(p.label.Repo) }),
		"module_version": inPackage("module_version", func(p *loading, _ *starlark.Thread, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			version := ""
			if r, ok := l.workspace.Repos[p.label.Repo]; ok {
				version = r.Version
			}
			return &unknown{loader: l, text: "module_version " + version}, nil
		}),
		"package_default_visibility": inPackage("package_default_visibility", func(p *loading, _ *starlark.Thread, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			var items []starlark.Value
			for _, e := range p.out.Visible {
				if label, err := ParseLabel(e); err == nil {
					items = append(items, labelValue{l, label})
				} else {
					items = append(items, starlark.String(e))
				}
			}
			return starlark.NewList(items), nil
		}),
		"package_relative_label": inPackage("package_relative_label", func(p *loading, _ *starlark.Thread, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			if len(args) != 1 {
				return nil, fmt.Errorf("package_relative_label takes one label")
			}
			if v, ok := args[0].(labelValue); ok {
				return v, nil
			}
			s, ok := starlark.AsString(args[0])
			if !ok {
				return l.opaque("package_relative_label", args, nil), nil
			}
			label, err := parseLabel(s, p.label, l.mapping(p.label.Repo))
			return labelValue{l, label}, err
		}),
		"existing_rule": inPackage("existing_rule", func(p *loading, _ *starlark.Thread, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			if len(args) == 1 {
				if s, ok := starlark.AsString(args[0]); ok {
					if d, ok := p.raw[s]; ok {
						return d, nil
					}
				}
			}
			return starlark.None, nil
		}),
		"existing_rules": inPackage("existing_rules", func(p *loading, _ *starlark.Thread, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			order := p.order
			if p.seen != nil {
				order = p.seen
			}
			d := starlark.NewDict(len(order))
			for _, name := range order {
				if err := d.SetKey(starlark.String(name), p.raw[name]); err != nil {
					return nil, err
				}
			}
			return d, nil
		}),
	}
}

func (w *Workspace) moduleName(repo string) string {
	if repo != "" {
		return repo
	}
	return w.Repos[""].Module
}

func (p *loading) packageDefaults(_ *starlark.Thread, _ starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if p.said {
		p.refuse("package() twice")
	}
	p.said = true
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		switch plain := strings.TrimPrefix(name, "default_"); plain {
		case "visibility", "deprecation", "testonly", "applicable_licenses", "package_metadata":
			p.quiets = append(p.quiets, Part{plain, digest(p.loader.text(kv[1]))})
		}
		switch name {
		case "default_visibility":
			p.out.Visible = p.entries(kv[1])
		case "default_testonly":
			var t Target
			p.say(&t, "testonly", kv[1])
			p.out.TestOnly = t.TestOnly
		}
		switch name {
		case "default_applicable_licenses", "default_package_metadata":
			p.named = append(p.named, p.labels(kv[1])...)
			continue
		case "default_visibility", "default_deprecation", "default_testonly":
			continue
		}
		e := &encoder{loader: p.loader, in: p.label}
		if name == "features" {
			e.plain(kv[1])
		} else {
			e.labels(kv[1], true, true)
		}
		p.defaults = append(p.defaults, name+"="+e.b.String())
		p.refs = append(p.refs, e.refs...)
	}
	return starlark.None, nil
}

func texts(v starlark.Value) ([]string, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("got %s, want a list of strings", v.Type())
	}
	var all []string
	for x := range starlark.Elements(it) {
		s, ok := starlark.AsString(x)
		if !ok {
			return nil, fmt.Errorf("got %s in a list, want a string", x.Type())
		}
		all = append(all, s)
	}
	return all, nil
}

func (p *loading) glob(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var include, exclude, allowEmpty starlark.Value
	excludeDirectories := 1
	if err := starlark.UnpackArgs("glob", args, kwargs, "include?", &include, "exclude?", &exclude, "exclude_directories?", &excludeDirectories, "allow_empty?", &allowEmpty); err != nil {
		return nil, err
	}
	in, err := texts(include)
	if err != nil {
		return nil, fmt.Errorf("glob: %w", err)
	}
	out, err := texts(exclude)
	if err != nil {
		return nil, fmt.Errorf("glob: %w", err)
	}
	p.out.Globs = true
	files := p.loader.workspace.Files(p.label.Repo, p.label.Package)
	if excludeDirectories == 0 {
		files = slices.Concat(files, directories(files))
		slices.Sort(files)
	}
	found, err := glob(files, in, out)
	if err != nil {
		return nil, err
	}
	p.nothingFound("glob", allowEmpty, files, in, len(found))
	for _, f := range files {
		// A submodule whose files can't be seen may have some that match.
		full := path.Join(p.loader.workspace.Repos[p.label.Repo].Root, p.label.Package, f)
		if e, ok := p.loader.workspace.Snapshot.Lookup(full); ok && e.Mode == git.Submodule && !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	return stringList(found), nil
}

func stringList(all []string) *starlark.List {
	items := make([]starlark.Value, len(all))
	for i, s := range all {
		items[i] = starlark.String(s)
	}
	return starlark.NewList(items)
}

func (p *loading) subpackages(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var include, exclude, allowEmpty starlark.Value
	if err := starlark.UnpackArgs("subpackages", args, kwargs, "include", &include, "exclude?", &exclude, "allow_empty?", &allowEmpty); err != nil {
		return nil, err
	}
	in, err := texts(include)
	if err != nil {
		return nil, fmt.Errorf("subpackages: %w", err)
	}
	out, err := texts(exclude)
	if err != nil {
		return nil, fmt.Errorf("subpackages: %w", err)
	}
	p.out.Globs = true
	all := p.loader.workspace.subpackages(p.label.Repo, p.label.Package)
	found, err := glob(all, in, out)
	if err != nil {
		return nil, err
	}
	p.nothingFound("subpackages", allowEmpty, all, in, len(found))
	return stringList(found), nil
}

// bzlNames are what .bzl files know.
func (l *Loader) bzlNames() starlark.StringDict {
	names := l.common()
	names["native"] = &moduleValue{name: "native", members: l.nativeFunctions(), other: func(name string) starlark.Value { return nativeRule{name} }}
	names["attr"] = &moduleValue{name: "attr", other: l.attrFunction}
	names["rule"] = fn("rule", l.makeClass("rule"))
	names["aspect"] = fn("aspect", l.makeClass("aspect"))
	names["macro"] = fn("macro", l.makeClass("macro"))
	names["module_extension"] = fn("module_extension", l.makeExtension)
	names["tag_class"] = fn("tag_class", l.makeTagClass)
	names["repository_rule"] = fn("repository_rule", l.makeRepositoryRule)
	names["transition"] = fn("transition", l.makeTransition)
	names["provider"] = fn("provider", l.makeProvider)
	names["exec_group"], names["subrule"] = fn("exec_group", l.withToolchains), fn("subrule", l.withToolchains)
	names["testing"] = &moduleValue{name: "testing", members: starlark.StringDict{
		"analysis_test": fn("analysis_test", func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			p := packageOf(thread)
			if p == nil {
				return nil, errors.New("testing.analysis_test is called outside of a BUILD file")
			}
			return starlark.None, p.analysisTest(args, kwargs)
		}),
	}, other: func(name string) starlark.Value { return &unknown{loader: l, text: "builtin testing." + name} }}
	names["visibility"] = fn("visibility", l.setVisibility)
	return names
}

// makeTransition keeps what a transition is made of, its outputs last.
func (l *Loader) makeTransition(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	kwargs = slices.Clone(kwargs)
	slices.SortFunc(kwargs, func(x, y starlark.Tuple) int {
		return strings.Compare(string(x[0].(starlark.String)), string(y[0].(starlark.String))) // implementation, inputs, outputs
	})
	return l.opaque("builtin "+b.Name(), args, kwargs), nil
}

// withToolchains keeps what something is made of that is given types of toolchains: labels
// relative to the file that calls it, whoever uses it.
func (l *Loader) withToolchains(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	kwargs = slices.Clone(kwargs)
	for i, kv := range kwargs {
		if kv[0] == starlark.String("toolchains") {
			kwargs[i] = starlark.Tuple{kv[0], l.asLabels("label_list", kv[1], l.caller(thread))}
		}
	}
	return l.opaque("builtin "+b.Name(), args, kwargs), nil
}

func (l *Loader) makeProvider(_ *starlark.Thread, _ *starlark.Builtin, _ starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	build := fn("provider", func(_ *starlark.Thread, _ *starlark.Builtin, _ starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return starlarkstruct.FromKeywords(starlarkstruct.Default, kwargs), nil
	})
	for _, kv := range kwargs {
		if kv[0] == starlark.String("init") {
			return starlark.Tuple{build, build}, nil
		}
	}
	return build, nil
}

func (l *Loader) attrFunction(kind string) starlark.Value {
	return fn("attr."+kind, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		a := &attribute{kind: kind, in: l.caller(thread)}
		for i, v := range args { // attr.label(default) takes its default by position in old files.
			a.flags = append(a.flags, fmt.Sprintf("%d=%s", i, l.text(v)))
			a.parts = append(a.parts, v)
		}
		for _, kv := range kwargs {
			if name := string(kv[0].(starlark.String)); !ofAttributes[name] {
				l.refuseIn(a.in, "attr.%s has no argument %s", kind, name)
			} else if name == "default" && kv[1] != starlark.None && mismatch(kind, kv[1]) {
				l.refuseIn(a.in, "%s is no default of attr.%s", l.text(kv[1]), kind)
			}
			switch name := string(kv[0].(starlark.String)); name {
			case "doc":
			case "default":
				switch v := kv[1].(type) {
				case *starlark.Function, *unknown:
					// A default that is computed: what it may read is not known.
					a.flags = append(a.flags, "default="+l.text(v))
					a.parts = append(a.parts, v)
				default:
					if v != starlark.None {
						a.fallback = l.asLabels(kind, v, a.in) // Also where its rule is of another package.
					}
				}
			case "aspects":
				if it, ok := kv[1].(starlark.Iterable); ok {
					for x := range starlark.Elements(it) {
						if c, ok := x.(*class); ok {
							a.aspects = append(a.aspects, c)
						} else {
							a.flags = append(a.flags, "aspect="+l.text(x))
							a.parts = append(a.parts, x)
						}
					}
				}
			case "providers", "mandatory", "allow_empty", "values":
				// Conditions on what is given: they make errors, no actions.
				a.mandatory = a.mandatory || name == "mandatory" && bool(kv[1].Truth())
				a.limited = a.limited || name != "mandatory"
				if _, off := kv[1].(starlark.Bool); !off || (name == "mandatory") == bool(kv[1].Truth()) {
					a.limits = append(a.limits, name+"="+l.text(kv[1]))
				}
			default:
				a.flags = append(a.flags, name+"="+l.text(kv[1]))
				switch kv[1].(type) {
				case *unknown, *starlark.Function, *class:
					a.parts = append(a.parts, kv[1])
				}
			}
		}
		slices.Sort(a.flags)
		return a, nil
	})
}

// makeClass is rule(), aspect() and macro().
func (l *Loader) makeClass(what string) builtin {
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := &class{loader: l, what: what, file: l.caller(thread), attributes: map[string]*attribute{}, inherited: map[string]bool{}}
		if thread.CallStackDepth() > 1 {
			c.line = thread.CallFrame(1).Pos.Line
		}
		if len(args) > 0 {
			c.implementation = args[0]
		}
		for _, kv := range kwargs {
			if name := string(kv[0].(starlark.String)); what == "rule" && !ofRules[name] {
				l.refuseIn(c.file, "rule() has no argument %s", name)
			}
			switch name := string(kv[0].(starlark.String)); name {
			case "implementation":
				c.implementation = kv[1]
			case "initializer":
				if kv[1] != starlark.None {
					c.initializer = kv[1]
				}
			case "doc", "skylark_testable", "_skylark_testable":
			case "provides":
				c.flags = append(c.flags, "provides="+l.text(kv[1])) // Others may ask for it, and it must be returned.
			case "attrs":
				d, ok := kv[1].(*starlark.Dict)
				if !ok {
					c.unsure = true
					c.unsureParts = append(c.unsureParts, kv[1])
					continue
				}
				for _, entry := range d.Items() {
					key, _ := starlark.AsString(entry[0])
					switch a := entry[1].(type) {
					case *attribute:
						c.attributes[key] = a
					default:
						c.unsure = true
						c.unsureParts = append(c.unsureParts, entry[1])
					}
				}
			case "test":
				c.test = bool(kv[1].Truth())
				c.flags = append(c.flags, "test")
			case "parent", "inherit_attrs":
				if p, ok := kv[1].(*class); ok {
					for k, a := range p.attributes {
						if _, own := c.attributes[k]; !own {
							c.attributes[k] = a
							c.inherited[k] = true
						}
					}
					c.test = c.test || p.test
					c.unsure = c.unsure || p.unsure
					c.unsureParts = append(c.unsureParts, p)
				} else if kv[1] != starlark.None {
					c.unsure = true
					c.unsureParts = append(c.unsureParts, kv[1])
				}
			case "toolchains":
				if it, ok := kv[1].(starlark.Iterable); ok {
					c.toolchains = slices.Collect(starlark.Elements(it))
				}
			case "finalizer":
				c.finalizer = bool(kv[1].Truth())
				c.flags = append(c.flags, name+"="+l.text(kv[1]))
			case "build_setting":
				c.flags = append(c.flags, buildSetting+l.text(kv[1]))
				c.attributes["build_setting_default"] = &attribute{kind: "string", flags: []string{buildSetting + l.text(kv[1])}}
			case "requires", "required_aspect_providers", "required_providers":
				c.extra = append(c.extra, kv[1])
			default:
				c.flags = append(c.flags, name+"="+l.text(kv[1]))
				c.extra = append(c.extra, kv[1])
			}
		}
		slices.Sort(c.flags)
		if what == "rule" && c.withoutTransition() {
			l.refuseIn(c.file, "a rule has an allowlist for transitions, and none")
		}
		return c, nil
	}
}

// refuseIn notes that Bazel refuses a .bzl file, and so what loads it.
func (l *Loader) refuseIn(file Label, format string, args ...any) {
	if m := l.modules[file.String()]; m != nil {
		m.refused = append(m.refused, fmt.Sprintf("%s: ", file)+fmt.Sprintf(format, args...))
	}
}

// withoutTransition says that Bazel refuses a rule: it has the allowlist of those that may have
// transitions, and none.
func (c *class) withoutTransition() bool {
	chosen := func(flag string) bool { return strings.HasPrefix(flag, "cfg=") && !strings.HasPrefix(flag, `cfg="`) }
	allowed, maybe := false, c.unsure || slices.ContainsFunc(c.flags, chosen)
	for name, a := range c.attributes {
		allowed = allowed || name == "_allowlist_function_transition" || name == "_whitelist_function_transition"
		maybe = maybe || slices.ContainsFunc(a.flags, chosen)
	}
	return allowed && !maybe
}
