package load

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// closure is what a function's behaviour depends on: its own syntax and that of every
// function and constant that it names, of this workspace. Names of other repositories
// are noted, not followed.
type closure struct {
	digest string
	parts  []Part
	// strings are all strings in it.
	strings   []Ref
	repos     []string
	status    bool
	variables bool
	// features says that it may ask for features.
	features bool
	// anywhere says that it makes labels of what is not written in it.
	anywhere bool
}

var (
	// madeLabel is a label of something other than one text: it may be any.
	madeLabel = regexp.MustCompile(`\bLabel call\( (?:[^s]|s[^t]|string literal:"[^"]*" [^,)])`)
	// together is how code puts a text together.
	together = regexp.MustCompile(` (?:\+|%|\+=|%=) |\. (?:format|join|replace|relative|same_package_label) call\(|\bLabel call\(`)
)

// settingOfNoLabel are options whose values are no labels.
var settingOfNoLabel = regexp.MustCompile(`^//command_line_option:(?:c|compilation_mode|cpu|host_cpu|\w*copts?|\w*cxxopts?|\w*conlyopts?|\w*linkopts?|define|stamp|features|host_features|test_arg|test_env|action_env|strip|dynamic_mode|force_pic|collect_code_coverage|java_language_version|java_runtime_version|tool_java_language_version|tool_java_runtime_version|python_version|ios_minimum_os|macos_minimum_os|apple_platform_type)$`)

// puts says that a rule's transitions, or its computed defaults, put labels together of what
// is not written as one: then they may be any. What sets options that are no labels puts
// none together.
func (w *walked) puts(c *class) bool {
	composes := false
	for _, texts := range w.files {
		composes = composes || slices.ContainsFunc(texts, func(t string) bool {
			return together.MatchString(wholeLabel.ReplaceAllString(t, ""))
		})
	}
	if !composes {
		return false
	}
	for _, a := range c.attributes {
		for _, part := range a.parts {
			if f, ok := part.(*starlark.Function); ok && f != nil || setsLabels(part) {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.extra, setsLabels)
}

// wholeLabel is a label of one text, which is seen.
var wholeLabel = regexp.MustCompile(`\bLabel call\( string literal:"[^"]*" , \)`)

// setsLabels says that a value may be a transition that sets something that may be a label.
func setsLabels(v starlark.Value) bool {
	u, ok := v.(*unknown)
	if !ok {
		return false
	}
	if !strings.HasPrefix(u.text, "builtin transition(") || len(u.parts) == 0 {
		return strings.Contains(u.text, "transition")
	}
	var found collector
	found.value(u.parts[len(u.parts)-1]) // Its outputs: see makeTransition.
	return len(found.strings) == 0 || len(found.labels)+len(found.repos) > 0 || slices.ContainsFunc(found.strings, func(s string) bool { return !settingOfNoLabel.MatchString(s) })
}

// writtenName is a getattr of a rule's context by a name that is written there.
var writtenName = regexp.MustCompile(`\bgetattr call\( ctx , string literal:"[^"]*" ,`)

type walked struct {
	loader *Loader
	seen   map[string]bool
	// files are the texts, by file, packages the files' packages.
	files    map[string][]string
	packages map[string]string
	repos    map[string]bool
	strings  map[string]Ref
	unknowns map[*unknown]bool
	captured map[*starlark.Function]bool
	visits   int
}

func (l *Loader) walk() *walked {
	return &walked{loader: l, seen: map[string]bool{}, unknowns: map[*unknown]bool{}, captured: map[*starlark.Function]bool{}, files: map[string][]string{}, packages: map[string]string{}, repos: map[string]bool{}, strings: map[string]Ref{}}
}

func (w *walked) done() *closure {
	c := &closure{}
	var all []string
	for _, file := range slices.Sorted(maps.Keys(w.files)) {
		texts := w.files[file]
		slices.Sort(texts)
		for _, t := range texts {
			c.anywhere = c.anywhere || madeLabel.MatchString(t)
			c.variables = c.variables || strings.Contains(t, ". var ") || strings.Contains(t, ". expand_make_variables ")
			c.features = c.features || strings.Contains(t, "features") || strings.Contains(t, "cc_common")
			c.status = c.status || strings.Contains(t, ". info_file ") || strings.Contains(t, ". version_file ")
			if strings.Contains(t, "getattr") { // It gives the same by its name, which may be made of parts.
				made := strings.Contains(writtenName.ReplaceAllString(t, ""), "getattr call( ctx ,")
				c.variables = c.variables || made || strings.Contains(t, `"var"`)
				c.status = c.status || made || strings.Contains(t, `"info_file"`) || strings.Contains(t, `"version_file"`)
			}
		}
		c.parts = append(c.parts, Part{File: file, Digest: digest(texts...)})
		// Labels in it are relative to the package; which of its files has it, does not matter.
		in, ok := w.packages[file]
		if !ok {
			in = file
		}
		for _, t := range texts {
			all = append(all, digest(in, t))
		}
	}
	slices.Sort(all)
	c.repos = slices.Sorted(maps.Keys(w.repos))
	c.features = c.features || len(c.repos) > 0 // Whose code isn't seen.
	all = append(all, c.repos...)
	c.digest = digest(all...)
	for _, k := range slices.Sorted(maps.Keys(w.strings)) {
		c.strings = append(c.strings, w.strings[k])
	}
	return c
}

// name follows a top-level name of a file.
func (w *walked) name(m *module, name string) {
	key := m.file + "%" + name
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	if from, ok := m.outline.loads[name]; ok {
		label, err := parseLabel(from.module, m.label, w.loader.mapping(m.label.Repo))
		if err != nil {
			return
		}
		if _, ok := w.loader.workspace.Repos[label.Repo]; !ok {
			w.repos[label.Repo] = true
			w.text(m, "load "+name+" "+label.String()+"%"+from.name)
			return
		}
		if other, ok := w.loader.modules[label.String()]; ok && other.outline != nil {
			w.name(other, from.name)
			// Which definition the name stands for: both may be reached anyway.
			w.text(m, "load "+name+" "+w.loader.definition(other, from.name))
		}
		return
	}
	w.whole(m)
	for _, i := range m.outline.binds[name] {
		w.statement(m, i)
	}
	for _, i := range m.outline.effects[name] {
		w.statement(m, i)
	}
}

func (w *walked) text(m *module, text string) {
	w.files[m.file] = append(w.files[m.file], text)
	w.packages[m.file] = Label{Repo: m.label.Repo, Package: m.label.Package}.String()
}

// whole follows all of a file that is one whole, and its order.
func (w *walked) whole(m *module) {
	key := "whole " + m.file
	if !m.outline.whole || w.seen[key] {
		return
	}
	w.seen[key] = true
	texts := []string{"order"}
	for i := range m.outline.statements {
		w.statement(m, i)
		texts = append(texts, m.outline.statements[i].text)
	}
	w.text(m, digest(texts...))
	for _, name := range sortedKeys(m.outline.loads) {
		w.name(m, name)
	}
}

// definition is the digest of all that a name of a file depends on.
func (l *Loader) definition(m *module, name string) string {
	key := m.file + "%" + name
	d, ok := l.definitions[key]
	if !ok {
		w := l.walk()
		w.name(m, name)
		d = w.done().digest
		l.definitions[key] = d
	}
	return d
}

func (w *walked) statement(m *module, i int) {
	key := m.file + "#" + m.outline.statements[i].text
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	s := m.outline.statements[i]
	w.text(m, s.text)
	for _, text := range s.labels {
		if label, err := parseLabel(text, m.label, w.loader.mapping(m.label.Repo)); err == nil && strings.ContainsAny(text, ":/") {
			w.strings[label.String()] = Ref{Label: label.String()}
		}
	}
	for _, n := range s.names {
		w.name(m, n)
	}
}

// function is the closure of a function value.
func (l *Loader) function(fn *starlark.Function) *closure {
	if c, ok := l.closures[fn]; ok {
		return c
	}
	l.closures[fn] = &closure{digest: "recursive"}
	w := l.walk()
	w.value(fn)
	c := w.done()
	l.closures[fn] = c
	return c
}

// which says which function a name stands for: by its text, since inner functions of one file
// may have the same name.
func (l *Loader) which(f *starlark.Function) string {
	pos := f.Position()
	m := l.byFile[pos.Filename()]
	if m == nil || m.outline == nil {
		return "function " + f.Name()
	}
	text := ""
	if i, ok := m.outline.at(pos.Line); ok {
		text = m.outline.statements[i].text
	}
	return "function " + f.Name() + " of " + digest(m.label.Repo, m.label.Package, text)
}

// value follows the functions in a value.
func (w *walked) value(v starlark.Value) {
	if w.visits++; w.visits > maxVisited {
		return // Values in values, many times over.
	}
	switch v := v.(type) {
	case *starlark.Function:
		pos := v.Position()
		m := w.loader.byFile[pos.Filename()]
		if m == nil || m.outline == nil {
			w.files[pos.Filename()] = append(w.files[pos.Filename()], "function "+v.Name())
			return
		}
		w.whole(m)
		for _, i := range m.outline.on(pos.Line) {
			w.statement(m, i)
		}
		// What an inner function has captured.
		for i := range v.NumFreeVars() {
			b, x := v.FreeVar(i)
			if x == nil {
				continue
			}
			if f, ok := x.(*starlark.Function); ok {
				w.files[m.file] = append(w.files[m.file], b.Name+"="+w.loader.which(f))
				if !w.captured[f] { // A function may have captured itself.
					w.captured[f] = true
					w.value(x)
				}
				continue
			}
			w.files[m.file] = append(w.files[m.file], b.Name+"="+w.loader.text(x))
		}
	case *unknown:
		if w.unknowns[v] {
			return
		}
		w.unknowns[v] = true
		for _, p := range v.parts {
			w.value(p)
		}
		for _, r := range inMarker.FindAllStringSubmatch(v.text, -1) {
			w.repo(r[1])
		}
	case *class:
		w.value(v.implementation)
	case *starlark.List:
		for x := range starlark.Elements(v) {
			w.value(x)
		}
	case starlark.Tuple:
		for _, x := range v {
			w.value(x)
		}
	case *starlark.Dict:
		for _, kv := range v.Items() {
			w.value(kv[1])
		}
	}
}

// transits says that a rule, or an attribute of it, may have a transition: a function, or
// a value of another repository. It may take its values from the target's attributes.
func (c *class) transits() bool {
	computed := func(v starlark.Value) bool {
		switch v.(type) {
		case *unknown, *starlark.Function:
			return true
		}
		return false
	}
	for _, a := range c.attributes {
		if slices.ContainsFunc(a.parts, computed) {
			return true
		}
	}
	return slices.ContainsFunc(c.extra, computed)
}

func (w *walked) repo(name string) {
	if _, ok := w.loader.workspace.Repos[name]; !ok {
		w.repos[name] = true
	}
}

// class computes what a class is made of.
func (l *Loader) class(c *class) *Class {
	if c.result != nil {
		return c.result
	}
	out := &Class{Key: c.key()}
	c.result = out // For recursion: an aspect that requires itself.
	var schema []string
	e := &encoder{loader: l, in: c.file}
	w := l.walk()
	w.value(c.implementation)
	w.value(c.initializer)
	for _, name := range slices.Sorted(maps.Keys(c.attributes)) {
		a := c.attributes[name]
		for _, limit := range a.limits {
			out.Limits = append(out.Limits, name+" "+limit)
		}
		if c.what == "rule" && !c.unsure && c.initializer == nil && a.idle() && !w.mentions(name) {
			out.Idle = append(out.Idle, Part{name, digest(a.kind)})
			continue
		}
		text := name + ":" + a.kind + ":" + strings.Join(a.flags, ",")
		if a.fallback != nil {
			inner := &encoder{loader: l, in: a.in}
			inner.attribute(a.kind, a.fallback)
			text += "=" + inner.b.String()
			e.refs = append(e.refs, inner.refs...)
		}
		for _, part := range a.parts {
			e.anything(part)
		}
		out.Foreign = out.Foreign || slices.ContainsFunc(a.flags, func(f string) bool { return strings.HasPrefix(f, "aspect=") })
		for _, aspect := range a.aspects {
			out.Aspects = append(out.Aspects, l.class(aspect).Digest)
			text += "," + l.class(aspect).Digest
		}
		schema = append(schema, text)
	}
	schema = append(schema, c.flags...)
	if c.initializer != nil {
		// Constants of one name, in two files, may change places.
		schema = append(schema, l.text(c.implementation), l.text(c.initializer))
	}
	for _, x := range slices.Concat(c.extra, c.unsureParts) {
		schema = append(schema, l.text(x))
		w.value(x)
		e.anything(x)
	}
	for _, texts := range w.files {
		for i := range texts {
			texts[i] = sameSpelling(texts[i], c.attributes)
		}
	}
	for _, t := range c.toolchains {
		te := &encoder{loader: l, in: c.file}
		te.toolchain(t)
		schema = append(schema, te.b.String())
		out.Toolchains = append(out.Toolchains, te.refs...)
	}
	// Labels in a transition may be values of settings that are labels, those in a computed
	// default the default.
	computed := l.walk()
	for _, x := range c.extra {
		computed.value(x)
	}
	for _, a := range c.attributes {
		for _, part := range a.parts {
			computed.value(part)
		}
	}
	e.refs = append(e.refs, computed.done().strings...)
	out.Anywhere = computed.puts(c)
	code := w.done()
	for _, r := range code.repos {
		e.refs = append(e.refs, Ref{Label: "@" + r, Sure: true})
	}
	out.Parts, out.Code = code.parts, code.digest
	out.Blind = l.blind(c, w)
	out.Validates = c.unsure || out.Foreign || len(w.repos) > 0
	for _, texts := range w.files {
		out.Validates = out.Validates || slices.ContainsFunc(texts, validates.MatchString)
	}
	for _, a := range c.attributes {
		for _, aspect := range a.aspects {
			out.Validates = out.Validates || l.class(aspect).Validates
		}
	}
	out.Aspect, out.Reads = c.what == "aspect", w.reads()
	out.Status, out.Variables, out.Features = code.status, code.variables, code.features
	for _, texts := range w.files {
		out.Handed = out.Handed || len(w.repos) > 0 && slices.ContainsFunc(texts, func(t string) bool {
			return handed.MatchString(header.ReplaceAllString(t, ""))
		})
	}
	out.Refs = compact(e.refs)
	out.Schema = digest(schema...)
	out.Digest = digest(out.Key, out.Schema, code.digest)
	l.classes[out.Digest] = out
	return out
}

// idle says that an attribute means nothing where it is not given, unless code reads it:
// it has no default, need not be given, and holds no labels.
func (a *attribute) idle() bool {
	switch a.kind {
	case "string", "int", "bool", "string_list", "string_dict", "int_list":
	default:
		return false
	}
	return a.fallback == nil && !a.mandatory && !a.limited && len(a.flags) == 0 && len(a.parts) == 0
}

// anyAttribute is code that may read an attribute without its name.
var anyAttribute = regexp.MustCompile(`\b(?:getattr|hasattr|dir|struct)\b|\. attr (?:[^.]|$)|\bctx (?:[^.]|$)`)

// mentions says that what was walked may read an attribute.
func (w *walked) mentions(attribute string) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(attribute) + `\b`)
	for _, texts := range w.files {
		for _, t := range texts {
			if word.MatchString(t) || anyAttribute.MatchString(strings.Replace(t, "( ctx ,", "(", 1)) {
				return true
			}
		}
	}
	return len(w.repos) > 0 // Whose code isn't seen.
}

func compact(refs []Ref) []Ref {
	best := map[string]Ref{}
	for _, r := range refs {
		if known, ok := best[r.Label]; ok {
			r.Sure, r.Special = r.Sure || known.Sure, r.Special && known.Special
		}
		best[r.Label] = r
	}
	var out []Ref
	for _, label := range slices.Sorted(maps.Keys(best)) {
		out = append(out, best[label])
	}
	return out
}

// module is a .bzl file that was loaded.
type module struct {
	label   Label
	file    string // its path in the workspace
	globals starlark.StringDict
	outline *outline
	err     error
	loading bool
	// loads are the files of this workspace that it loads, itself included.
	loads map[string]bool
	// labels are those of loads.
	labels     map[string]bool
	doubt      string
	conditions []string
	loader     *Loader
	// visible is what visibility() says, nil if it isn't called; refused are loads of files
	// that may not be.
	visible, refused []string
}
