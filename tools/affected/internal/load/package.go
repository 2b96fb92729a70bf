package load

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// loading is a package while its BUILD file is evaluated.
type loading struct {
	loader *Loader
	out    *Package
	label  Label // of the package, without a name
	raw    map[string]*starlark.Dict
	order  []string
	// byOthers are names that calls of other repositories' code have, beside which a target
	// may have them too.
	byOthers map[string]bool
	// finalizers are calls of macros that see all targets, seen what they see, once they run.
	finalizers []func(thread *starlark.Thread) error
	seen       []string
	classes    map[string]bool
	defaults   []string // package(...), as text, but what enters no action
	refs       []Ref    // of package(...)
	named      []Ref    // of package(...), what enters no action
	quiets     []Part   // of package(...), what enters no action
	said       bool     // package(...) was called
}

const localKey = "affected.package"

func packageOf(thread *starlark.Thread) *loading {
	p, _ := thread.Local(localKey).(*loading)
	return p
}

// keyless are attributes that enter no action of a target.
var keyless = map[string]bool{
	"name": true, "visibility": true, "deprecation": true, "testonly": true, "licenses": true, "distribs": true,
	"applicable_licenses": true, "package_metadata": true, "generator_name": true, "generator_function": true,
	"generator_location": true,
}

// metadata are those of them that hold labels of targets.
var metadata = map[string]bool{"applicable_licenses": true, "package_metadata": true}

// labels are those in a value that holds labels.
func (p *loading) labels(v starlark.Value) []Ref {
	e := &encoder{loader: p.loader, in: p.label}
	e.labels(v, true, true)
	return compact(e.refs)
}

// labelless are attributes of all rules that hold no labels.
var labelless = map[string]bool{
	"tags": true, "features": true, "size": true, "timeout": true, "flaky": true, "shard_count": true, "local": true,
	"exec_properties": true, "importpath": true, "importmap": true, "linkstatic": true,
}

// labelled are attributes that hold labels in every rule that has them.
var labelled = map[string]bool{
	"srcs": true, "src": true, "deps": true, "data": true, "hdrs": true, "actual": true, "tools": true, "exec_tools": true,
	"toolchains": true, "exports": true, "runtime_deps": true, "textual_hdrs": true, "tests": true, "embed": true, "embedsrcs": true,
	"target_compatible_with": true, "exec_compatible_with": true, "compatible_with": true, "restricted_to": true,
	"constraint_values": true, "constraint_setting": true, "toolchain": true, "toolchain_type": true, "target_settings": true,
}

// executionTag are the tags that enter the actions of a target that is no test.
var executionTag = regexp.MustCompile(`^(block-|requires-|no-|supports-|disable-|cpu:|gpu:|resources:|local$|exclusive|external$)`)

var testKind = regexp.MustCompile(`_tests?$|_test_suites?$`)

// suiteKind is a macro that makes tests and a test_suite of them.
var suiteKind = regexp.MustCompile(`(?:^|_)suites?$`)

// foreignTest says that what another repository calls so makes tests.
func foreignTest(kind string) bool {
	return testKind.MatchString(kind) || kind == "test" || kind == "tests" || suiteKind.MatchString(kind)
}

// testless are endings of names of rules that make no tests.
var testless = regexp.MustCompile(`_(library|binary|toolchain|import|image|proto|source)$`)

func (p *loading) name(kwargs []starlark.Tuple) string {
	for _, kv := range kwargs {
		if kv[0].(starlark.String) == "name" {
			switch v := kv[1].(type) {
			case starlark.String:
				if marked(string(v)) == nil {
					return string(v)
				}
			case labelValue:
				return v.label.Name
			}
		}
	}
	return ""
}

// remember keeps a target for existing_rules.
func (p *loading) remember(kind, name string, kwargs []starlark.Tuple, byOthers bool) {
	if name == "" {
		return
	}
	_, taken := p.raw[name]
	if byOthers && taken && !p.byOthers[name] {
		return // It makes something else under that name.
	}
	d := starlark.NewDict(len(kwargs) + 1)
	_ = d.SetKey(starlark.String("kind"), starlark.String(kind)) // A fresh dictionary takes keys.
	for _, kv := range kwargs {
		_ = d.SetKey(kv[0], kv[1])
	}
	if !taken {
		p.order = append(p.order, name)
	} else if !byOthers && !p.byOthers[name] {
		p.refuse("two targets are named %s", name)
	}
	p.raw[name], p.byOthers[name] = d, byOthers
}

// finalize runs the macros that are finalizers: they see the targets of all others.
func (p *loading) finalize(thread *starlark.Thread) error {
	p.seen = append([]string{}, p.order...)
	for _, f := range p.finalizers {
		if err := f(thread); err != nil {
			return err
		}
	}
	return nil
}

// rule makes a target of a rule of this workspace.
func (p *loading) rule(thread *starlark.Thread, c *class, kwargs []starlark.Tuple) error {
	if c.initializer != nil {
		more, err := initialized(thread, c, kwargs)
		if err != nil {
			return err
		}
		kwargs = more
	}
	p.refuseRule(c, kwargs)
	result := p.loader.class(c)
	if !p.classes[result.Digest] {
		p.classes[result.Digest] = true
		p.addClass(result)
	}
	kind := cmp.Or(c.name, "rule")
	t := Target{Name: p.name(kwargs), Kind: kind, Class: result.Digest, Test: c.test, Single: c.single(kwargs)}
	p.declare(t, kwargs, func(name string) string {
		if a, ok := c.attributes[name]; ok {
			if c.transits() && strings.HasPrefix(a.kind, "string") {
				return "" // A transition may make a label of it.
			}
			return a.kind
		}
		if c.unsure {
			return ""
		}
		if labelled[name] {
			return "label_list"
		}
		return "string"
	}, func(name string) string {
		// An attribute that the rule's digest leaves out (idle) counts where it is given.
		if a, ok := c.attributes[name]; ok {
			return a.declared()
		}
		return " of every rule, or an error"
	})
	// The outputs that are named by a default are not followed: labels to them
	// resolve to the target whose name they begin with.
	return nil
}

// declared is what a rule says of an attribute, as text.
func (a *attribute) declared() string {
	return fmt.Sprint(" ", a.kind, a.flags, a.mandatory, a.limited)
}

// buildSetting is before what kind of a build setting a rule is.
const buildSetting = "build_setting="

// singleText is build_setting_default of a flag whose values are single texts.
var singleText = &attribute{kind: "string", flags: []string{buildSetting + "builtin config.string(flag=True,)"}}

// DefaultDigest is the Digest of build_setting_default of a flag whose values are single
// texts, if it is this one.
func DefaultDigest(value string) string {
	return digest(fmt.Sprintf("%q", value) + singleText.declared())
}

// single says that a rule makes such a flag, of a default that is known.
func (c *class) single(kwargs []starlark.Tuple) bool {
	a, ok := c.attributes["build_setting_default"]
	return ok && a.declared() == singleText.declared() && slices.ContainsFunc(kwargs, func(kv starlark.Tuple) bool {
		_, text := kv[1].(starlark.String)
		return kv[0] == starlark.String("build_setting_default") && text && !isUnknown(kv[1])
	})
}

// askedOptions are the options for which values of a config_setting asks, as "--name".
func askedOptions(v starlark.Value) []Part {
	var asked []Part
	if d, ok := v.(*starlark.Dict); ok {
		for _, key := range d.Keys() {
			if name, ok := starlark.AsString(key); ok {
				asked = append(asked, Part{File: "--" + name})
			}
		}
	}
	return asked
}

// asked are the values for which flag_values of a config_setting asks; none of what isn't a
// single text.
func (p *loading) asked(v starlark.Value) []Part {
	d, ok := v.(*starlark.Dict)
	if !ok || hasUnknown(d) {
		return nil
	}
	var asked []Part
	for _, kv := range d.Items() {
		label, isLabel := kv[0].(labelValue)
		if text, ok := starlark.AsString(kv[0]); ok {
			parsed, err := parseLabel(text, p.label, p.loader.mapping(p.label.Repo))
			label.label, isLabel = parsed, err == nil
		}
		if value, ok := starlark.AsString(kv[1]); ok && isLabel {
			asked = append(asked, Part{label.label.String(), DefaultDigest(value)})
		}
	}
	return asked
}

func (p *loading) addClass(c *Class) {
	p.out.Classes = append(p.out.Classes, *c)
	for _, d := range c.Aspects {
		if a, ok := p.loader.classes[d]; ok && !p.classes[d] {
			p.classes[d] = true
			p.addClass(a)
		}
	}
}

func initialized(thread *starlark.Thread, c *class, kwargs []starlark.Tuple) ([]starlark.Tuple, error) {
	v, err := starlark.Call(thread, c.initializer, nil, kwargs)
	if err != nil {
		return nil, fmt.Errorf("initializer of %s: %w", c.name, err)
	}
	d, ok := v.(*starlark.Dict)
	if !ok {
		return kwargs, nil
	}
	out := slices.Clone(kwargs)
	for _, kv := range d.Items() {
		i := slices.IndexFunc(out, func(o starlark.Tuple) bool { return o[0] == kv[0] })
		if i >= 0 {
			out[i] = kv
		} else if _, ok := kv[0].(starlark.String); ok {
			out = append(out, kv)
		}
	}
	return out, nil
}

// native makes a target of a rule that is built into Bazel.
func (p *loading) native(kind string, kwargs []starlark.Tuple) {
	p.refuseNative(kind, kwargs)
	t := Target{Name: p.name(kwargs), Kind: kind, Test: strings.HasSuffix(kind, "_test")}
	if !plain[kind] && kind != "genrule" {
		t.Variables, t.Stamps = []string{AnyVariable}, IfAsked
	}
	p.add(t, kwargs, func(name string) string {
		switch {
		case name == "outs" || name == "out":
			return "output_list"
		case labelled[name]:
			return "label_list"
		case name == "flag_values":
			return "label_keyed_string_dict"
		case labelless[name]:
			return "string"
		}
		return ""
	})
}

// unknownCall makes a target of a call of something that another repository defines.
func (p *loading) unknownCall(u *unknown, args starlark.Tuple, kwargs []starlark.Tuple) {
	_, kind, _ := strings.Cut(u.symbol, "%")
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	t := Target{Name: p.name(kwargs), Kind: kind, Symbol: u.symbol, Test: foreignTest(kind)}
	code := append(slices.Clone(args), values(kwargs)...)
	for i, a := range args {
		kwargs = append(slices.Clone(kwargs), starlark.Tuple{starlark.String(fmt.Sprintf("argument %d", i+1)), a})
	}
	if t.Name == "" && len(args) > 0 {
		if s, ok := args[0].(starlark.String); ok && marked(string(s)) == nil && !strings.ContainsAny(string(s), ":/ ") {
			t.Name = string(s)
		}
	}
	// Bazel wants names of rules that are tests to end so; of targets it is a custom.
	t.Test = t.Test || t.foreign() && !testless.MatchString(kind) && testKind.MatchString(t.Name) || strings.Contains(u.symbol, "//lib:unittest.bzl%")
	if t.Name == "" {
		t.Test = false // Nothing can name it.
	}
	t.Attributes = append(t.Attributes, p.handed(code)...)
	t.Attributes = append(t.Attributes, p.found(kind, kwargs)...)
	p.add(t, kwargs, func(name string) string {
		switch {
		case name == "outs" || name == "out" || name == "output" || name == "outputs":
			return "outputs?"
		case labelled[name]:
			return "labels?"
		case labelless[name]:
			return "string"
		}
		return ""
	})
}

// finders are macros of other repositories that look for files themselves if they are given
// none: the attribute that is missing then, and what they take.
var finders = map[string]struct {
	attribute string
	files     *regexp.Regexp
}{"ts_project": {"srcs", regexp.MustCompile(`\.[cm]?tsx?$|^tsconfig\.json$`)}}

// found are the files that such a macro takes.
func (p *loading) found(kind string, kwargs []starlark.Tuple) []Attribute {
	finder, ok := finders[kind]
	if !ok || slices.ContainsFunc(kwargs, func(kv starlark.Tuple) bool {
		return kv[0] == starlark.String(finder.attribute) && kv[1] != starlark.None
	}) {
		return nil
	}
	p.out.Globs = true
	e := &encoder{loader: p.loader, in: p.label}
	for _, f := range p.loader.workspace.Files(p.label.Repo, p.label.Package) {
		if finder.files.MatchString(f) {
			e.ref(Label{Repo: p.label.Repo, Package: p.label.Package, Name: f})
			e.b.WriteString(f + "\n")
		}
	}
	return []Attribute{{Name: "files that it finds", Digest: digest(e.b.String()), Refs: compact(e.refs)}}
}

// handed is the code of this workspace that other code is given: it may call it, and so read
// what it names and make what it makes.
func (p *loading) handed(given starlark.Tuple) []Attribute {
	w := p.loader.walk()
	for _, v := range given {
		w.value(v)
	}
	if len(w.files) == 0 {
		return nil
	}
	e := &encoder{loader: p.loader, in: p.label}
	for _, file := range sortedKeys(w.files) {
		for _, t := range w.files[file] {
			for _, m := range quotedText.FindAllStringSubmatch(t, -1) {
				e.candidate(m[1], false)
			}
		}
	}
	code := w.done()
	e.repos(code.repos)
	e.refs = append(e.refs, code.strings...)
	return []Attribute{{Name: "code that it is given", Digest: code.digest, Refs: compact(e.refs)}}
}

func values(kwargs []starlark.Tuple) starlark.Tuple {
	var all starlark.Tuple
	for _, kv := range kwargs {
		all = append(all, kv[1])
	}
	return all
}

// analysisTest is testing.analysis_test: a test of a rule of its own.
func (p *loading) analysisTest(args starlark.Tuple, kwargs []starlark.Tuple) error {
	for i, name := range []string{"name", "implementation"} {
		if i < len(args) {
			kwargs = append(slices.Clone(kwargs), starlark.Tuple{starlark.String(name), args[i]})
		}
	}
	t := Target{Name: p.name(kwargs), Kind: "analysis_test", Test: true}
	t.Attributes = p.handed(values(kwargs))
	var given []starlark.Tuple
	for _, kv := range kwargs {
		d, ok := kv[1].(*starlark.Dict)
		if !ok || kv[0] != starlark.String("attr_values") {
			given = append(given, kv)
			continue
		}
		for _, attribute := range d.Items() {
			if _, ok := attribute[0].(starlark.String); !ok {
				return fmt.Errorf("testing.analysis_test: attr_values has a key that is a %s", attribute[0].Type())
			}
			given = append(given, attribute)
		}
	}
	p.add(t, given, func(name string) string {
		if labelless[name] {
			return "string"
		}
		return ""
	})
	return nil
}

// add takes a target with its attributes. typeOf gives an attribute's type, or "" if it
// may hold labels.
func (p *loading) add(t Target, kwargs []starlark.Tuple, typeOf func(name string) string) {
	p.declare(t, kwargs, typeOf, nil)
}

// declare is add for a rule whose attributes are known: declared gives what the rule says
// of one.
func (p *loading) declare(t Target, kwargs []starlark.Tuple, typeOf, declared func(name string) string) {
	p.fill(&t, kwargs, typeOf, declared)
	p.remember(t.Kind, t.Name, kwargs, t.Symbol != "")
	p.out.Targets = append(p.out.Targets, t)
}

func (p *loading) fill(t *Target, kwargs []starlark.Tuple, typeOf, declared func(name string) string) {
	for _, kv := range kwargs {
		if kv[0].(starlark.String) == "tags" {
			var found collector
			found.value(kv[1])
			t.Tags = append(t.Tags, found.strings...)
		}
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		if kv[1] == starlark.None {
			continue
		}
		p.say(t, name, kv[1])
		if name == "name" || keyless[name] && !t.foreign() {
			p.quiet(t, name, kv[1])
			if metadata[name] {
				t.Attributes = append(t.Attributes, Attribute{Name: name, Absent: true, Refs: p.labels(kv[1])})
			}
			continue
		}
		a := Attribute{Name: name}
		e := &encoder{loader: p.loader, in: p.label}
		switch kind := typeOf(name); {
		case name == "tags":
			tags := t.Tags
			if !t.Test && (t.Symbol == "" || testless.MatchString(t.Kind) && !t.foreign()) {
				p.quiet(t, name, kv[1])
				tags = nil
				for _, tag := range t.Tags {
					if executionTag.MatchString(tag) {
						tags = append(tags, tag)
					}
				}
			}
			if len(tags) == 0 {
				continue
			}
			e.b.WriteString(strings.Join(tags, "\n"))
		case name == "message" && t.Kind == "genrule" && t.Symbol == "" && t.Class == "":
			p.quiet(t, name, kv[1])
			continue // It is printed.
		case t.Test && t.Symbol == "" && name == "flaky":
			p.quiet(t, name, kv[1])
			continue // How often it is tried enters no key.
		case t.Test && t.Symbol == "" && (name == "size" || name == "timeout") && t.usual(name, kwargs):
			p.quiet(t, name, kv[1])
			continue
		case name == "flags" && t.Kind == "platform" && t.Symbol == "":
			e.anything(kv[1])
			for _, text := range e.sure(kv[1]) {
				if _, value, ok := strings.Cut(text, "="); ok {
					e.candidate(value, false)
				}
			}
		case name == "visibility":
			e.plain(kv[1])
			e.refs = nil // It names packages.
		case kind == "":
			e.anything(kv[1])
		case kind == "labels?":
			e.anything(kv[1])
			for i := range e.refs {
				e.refs[i].Sure = true
			}
		case kind == "outputs?":
			e.anything(kv[1])
			e.made(kv[1])
		default:
			e.attribute(kind, kv[1])
		}
		if kind := typeOf(name); kind == "label_list" || kind == "labels?" {
			p.twice(t, name, kv[1])
		}
		text := e.b.String()
		if t.Kind == "sh_test" && t.Symbol == "" && t.Class == "" && name == "args" {
			// In a test's arguments both are the path among the runfiles.
			text = strings.NewReplacer("$(location ", "$(rootpath ", "$(locations ", "$(rootpaths ").Replace(text)
		}
		if declared != nil {
			text += declared(name)
		}
		a.Digest = digest(text)
		a.Refs = compact(e.refs)
		a.Outputs = e.outputs
		if name == "target_compatible_with" && !strings.Contains(e.b.String(), "select{") {
			for _, r := range a.Refs {
				t.Constraints = append(t.Constraints, r.Label)
			}
		}
		t.Variables = append(t.Variables, variables(e.b.String())...)
		if t.Kind == "config_setting" {
			t.Variables = append(t.Variables, defined(name, kv[1])...)
			switch name {
			case "flag_values":
				t.Values = append(t.Values, p.asked(kv[1])...)
			case "values":
				t.Values = append(t.Values, askedOptions(kv[1])...)
			}
		}
		if t.Kind == "genquery" && t.Symbol == "" && queries.MatchString(text) {
			t.Asks = true
			t.AsksFiles = t.AsksFiles || printsFiles.MatchString(text)
		}
		t.Attributes = append(t.Attributes, a)
		t.Stamps = max(t.Stamps, stamps(name, kv[1]))
	}
	p.set(t, kwargs)
	if p.featureless(t) {
		for _, a := range t.Attributes {
			if a.Name == "features" {
				t.Quiet = append(t.Quiet, Part{a.Name, a.Digest})
			}
		}
		t.Attributes = slices.DeleteFunc(t.Attributes, func(a Attribute) bool { return a.Name == "features" })
	}
	slices.Sort(t.Variables)
	t.Variables = slices.Compact(t.Variables)
	slices.SortFunc(t.Attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
}

// stamps says what an attribute says of stamping. A value in x_defs may name a variable
// of the workspace status in braces (rules_go).
func stamps(name string, v starlark.Value) Stamps {
	switch name {
	case "stamp":
		if v == starlark.False {
			return Never
		}
		if i, err := starlark.AsInt32(v); err == nil && i <= 0 {
			if i == 0 {
				return Never
			}
			return IfAsked
		}
		return Always
	case "x_defs":
		var found collector
		found.value(v)
		if len(found.repos) > 0 || slices.ContainsFunc(found.strings, func(s string) bool { return strings.Contains(s, "{") }) {
			return Always
		}
	}
	return Never
}

// featureless says that no feature enters an action of a target. A genrule's make variable
// CC_FLAGS follows them, which a toolchain gives it.
func (p *loading) featureless(t *Target) bool {
	switch {
	case t.Symbol != "":
		return false
	case t.Class != "":
		c := p.loader.classes[t.Class]
		return c != nil && !c.Features
	}
	return plain[t.Kind] || t.Kind == "genrule" && !slices.ContainsFunc(t.Attributes, func(a Attribute) bool { return a.Name == "toolchains" })
}

// set marks the data of a shell test whose order and spelling don't matter: its runfiles
// are a set of files. Whatever names one of the labels, as $(location) does, needs it in
// this spelling; a list in a select is not looked into.
func (p *loading) set(t *Target, kwargs []starlark.Tuple) {
	if t.Kind != "sh_test" || t.Symbol != "" || t.Class != "" {
		return
	}
	at := -1
	for i, a := range t.Attributes {
		if a.Name == "data" {
			at = i
		}
	}
	if at < 0 {
		return
	}
	for _, kv := range kwargs {
		if kv[0] == starlark.String("data") {
			if list, ok := kv[1].(*starlark.List); !ok || hasUnknown(list) {
				return
			}
		} else if strings.Contains(p.loader.text(kv[1]), "$") {
			return
		}
	}
	t.Attributes[at].Set = true
}

// variable is what may be a make variable in an attribute's value, named what is one for
// certain, but for a shell's after two dollars.
var (
	variable = regexp.MustCompile(`\$[A-Za-z_(]`)
	named    = regexp.MustCompile(`\$(?:([A-Za-z_])|\(([A-Za-z_][A-Za-z0-9_]*)\))`)
)

// variables are the make variables that a value may name.
func variables(text string) []string {
	text = location.ReplaceAllString(text, "")
	var names []string
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1]+m[2])
		if m[1] != "" {
			// $NAME is the variable N before "AME" in a command, and NAME to other rules.
			names = append(names, AnyVariable)
		}
	}
	if variable.MatchString(named.ReplaceAllString(text, "")) {
		names = append(names, AnyVariable)
	}
	return names
}

// defined are the variables that an attribute of a config_setting asks for.
func defined(attribute string, v starlark.Value) []string {
	if attribute != "values" && attribute != "define_values" {
		return nil
	}
	d, ok := v.(*starlark.Dict)
	if !ok || hasUnknown(d) {
		return []string{AnyVariable}
	}
	var names []string
	for _, kv := range d.Items() {
		key, _ := starlark.AsString(kv[0])
		if value, ok := starlark.AsString(kv[1]); attribute == "define_values" && ok {
			names = append(names, key+"="+value)
		} else if attribute == "define_values" {
			names = append(names, AnyVariable)
		} else if value, ok := starlark.AsString(kv[1]); key == "define" && ok {
			names = append(names, value) // NAME=VALUE
		} else if key == "define" {
			names = append(names, AnyVariable)
		}
	}
	return names
}

// plain are rules of Bazel that know neither features nor variables nor stamps but by
// what their attributes say.
var plain = map[string]bool{
	"alias": true, "config_setting": true, "constraint_setting": true, "constraint_value": true, "filegroup": true,
	"platform": true, "sh_binary": true, "sh_library": true, "sh_test": true, "test_suite": true, "toolchain": true, "toolchain_type": true,
}

// timeouts are those that a test of a size has if it says none.
var timeouts = map[string]string{"small": "short", "medium": "moderate", "large": "long", "enormous": "eternal"}

// usual says that size or timeout is given as what it would be anyway.
func (t *Target) usual(name string, kwargs []starlark.Tuple) bool {
	given := map[string]string{"size": "medium"}
	for _, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		if key != "size" && key != "timeout" || kv[1] == starlark.None {
			continue
		}
		text, ok := starlark.AsString(kv[1])
		if !ok {
			return false
		}
		given[key] = text
	}
	if name == "size" {
		return given["size"] == "medium"
	}
	return timeouts[given["size"]] == given["timeout"]
}

// macro calls a symbolic macro.
func (p *loading) macro(thread *starlark.Thread, c *class, kwargs []starlark.Tuple) error {
	given := map[string]bool{}
	var args []starlark.Tuple
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		given[name] = true
		v := kv[1]
		if a, ok := c.attributes[name]; ok {
			v = p.loader.asLabels(a.kind, v, p.label)
		}
		args = append(args, starlark.Tuple{kv[0], v})
	}
	for _, name := range sortedKeys(c.attributes) {
		if given[name] {
			continue
		}
		a := c.attributes[name]
		var v starlark.Value = starlark.None
		switch zero, ok := zeros[a.kind]; {
		case a.fallback != nil:
			v = p.loader.asLabels(a.kind, a.fallback, a.in)
		case c.inherited[name]: // None, so that the rule's own default is not overwritten.
		case ok:
			v = zero()
		case strings.HasSuffix(a.kind, "_list"):
			v = starlark.NewList(nil)
		case strings.HasSuffix(a.kind, "_dict"):
			v = starlark.NewDict(0)
		}
		args = append(args, starlark.Tuple{starlark.String(name), v})
	}
	if !given["visibility"] {
		args = append(args, starlark.Tuple{starlark.String("visibility"), starlark.None})
	}
	if c.implementation == nil || c.implementation == starlark.None {
		return fmt.Errorf("macro %s has no implementation", c.name)
	}
	first := len(p.out.Targets)
	_, err := starlark.Call(thread, c.implementation, nil, args)
	// Bazel makes a select of each value that is configurable, on which a macro may decide
	// otherwise than on the value. So each target depends on all that the macro is made of
	// and given, and on what that may name.
	w := p.loader.walk()
	w.value(c.implementation)
	e := &encoder{loader: p.loader, in: p.label}
	for _, kv := range args {
		if name := kv[0].(starlark.String); name != "visibility" && name != "testonly" && name != "deprecation" {
			e.b.WriteString(string(name) + "=")
			e.anything(kv[1])
		}
	}
	var labels []string
	for _, r := range compact(e.refs) {
		labels = append(labels, r.Label)
	}
	for _, texts := range w.files {
		for _, t := range texts {
			for _, m := range quotedText.FindAllStringSubmatch(t, -1) {
				e.candidate(m[1], false)
			}
		}
	}
	code := w.done()
	e.repos(code.repos)
	for i := first; i < len(p.out.Targets); i++ {
		t := &p.out.Targets[i]
		if t.MadeIn == "" { // Else by a macro that this one calls.
			t.MadeIn, t.Given = Label{Repo: c.file.Repo, Package: c.file.Package, Name: "__pkg__"}.String(), labels
		}
		var refs []Ref
		for _, r := range compact(e.refs) {
			if r.Label != (Label{Repo: p.label.Repo, Package: p.label.Package, Name: t.Name}).String() {
				refs = append(refs, r)
			}
		}
		t.Attributes = append(t.Attributes, Attribute{Name: "macro", Digest: digest(code.digest, e.b.String()), Refs: refs})
	}
	return err
}

// asLabels makes labels of the strings of an attribute that holds labels.
func (l *Loader) asLabels(kind string, v starlark.Value, in Label) starlark.Value {
	if !strings.HasPrefix(kind, "label") {
		return v
	}
	switch v := v.(type) {
	case starlark.String:
		if label, err := parseLabel(string(v), in, l.mapping(in.Repo)); err == nil {
			return labelValue{l, label}
		}
	case *starlark.List:
		var items []starlark.Value
		for x := range starlark.Elements(v) {
			items = append(items, l.asLabels("label", x, in))
		}
		return starlark.NewList(items)
	}
	return v
}
