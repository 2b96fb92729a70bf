// Package load evaluates BUILD files and the .bzl files of a workspace, as Bazel's
// loading phase does, but from a snapshot: without Bazel, without a checkout and
// without other repositories.
//
// What other repositories define is not there. A value from there is kept as an
// unknown one, with everything that it was made of. If it is called with a name in a
// BUILD file it is taken for a rule or a macro, and each string that it was given for
// a label if there is such a file or target. If an unknown value decides something,
// the package is in doubt. If a file can't be evaluated at all, what its syntax shows
// is taken, and the package has failed. Callers treat both as affected by more.
//
// What a target is made of is compared by digests of values, after all macros. The
// digest of a rule of this workspace covers the functions and constants that its
// implementation reaches, without comments and documentation: these are what its
// actions can depend on.
package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"stormgate.internal/tools/affected/internal/git"
)

// maxSteps bounds the evaluation of one file: a mistake in a loop must not hang. A step may
// make an element of a list, so that it bounds memory too; see maxMade for what makes more.
const maxSteps = 10_000_000

// Loader evaluates files of one snapshot. It is not for concurrent use.
type Loader struct {
	workspace *Workspace
	ctx       context.Context
	modules   map[string]*module // by label
	byFile    map[string]*module
	closures  map[*starlark.Function]*closure
	classes   map[string]*Class
	// definitions are digests of what names of files depend on.
	definitions map[string]string
	// doubts is the first doubt of what is being evaluated, conditions are the unknown
	// ones of its comprehensions.
	doubts     string
	conditions []string
	// strict says that anything unknown is a doubt.
	strict bool
	// made is how much the file that is being evaluated has made, see charge.
	made int
}

// NewLoader returns a loader of a workspace.
func NewLoader(ctx context.Context, w *Workspace) *Loader {
	return &Loader{
		workspace: w, ctx: ctx, modules: map[string]*module{}, byFile: map[string]*module{},
		closures: map[*starlark.Function]*closure{}, classes: map[string]*Class{}, definitions: map[string]string{},
	}
}

func (l *Loader) doubt(format string, args ...any) {
	if l.doubts == "" {
		l.doubts = fmt.Sprintf(format, args...)
	}
}

// unsettled is a doubt where nothing may be unknown.
func (l *Loader) unsettled(format string, args ...any) {
	if l.strict {
		l.doubt(format, args...)
	}
}

func (l *Loader) mapping(repo string) map[string]string {
	if r, ok := l.workspace.Repos[repo]; ok {
		return r.Mapping
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Package evaluates a package's BUILD file.
func (l *Loader) Package(repo, pkg string) (*Package, error) {
	file, ok := l.workspace.Build(repo, pkg)
	if !ok {
		return nil, fmt.Errorf("load package %s: no BUILD file", Label{Repo: repo, Package: pkg})
	}
	out := &Package{Repo: repo, Path: pkg, Build: file}
	if e, ok := l.workspace.Snapshot.Lookup(file); ok && e.Mode == git.Symlink {
		// Bazel may read there what is not seen here.
		out.Failed = file + " is a link that leads to nothing in the workspace"
		return out, nil
	}
	content, err := l.workspace.Snapshot.Read(l.ctx, file)
	if err != nil {
		return nil, fmt.Errorf("load package: %w", err)
	}
	p := &loading{loader: l, out: out, label: Label{Repo: repo, Package: pkg}, raw: map[string]*starlark.Dict{}, byOthers: map[string]bool{}, classes: map[string]bool{}}
	l.doubts, l.conditions = "", nil
	parsed, err := options.Parse(file, content, 0)
	if err != nil {
		out.Failed = explain(err)
		return out, nil
	}
	if features := l.workspace.Repos[repo].Features; features != "" {
		p.defaults = append(p.defaults, "features="+features)
	}
	p.refuseSyntax(parsed)
	o := newOutline(parsed)
	var syntaxTargets []Target
	modules := map[string]starlark.StringDict{}
	loads, labels := map[string]bool{}, map[string]bool{}
	for _, s := range parsed.Stmts {
		ls, ok := s.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		dict, m, err := l.load(ls, p.label, file)
		if m != nil {
			maps.Copy(loads, m.loads)
			maps.Copy(labels, m.labels)
			for _, text := range m.refusals(p.label) {
				p.refuse("%s", text)
			}
			if m.doubt != "" {
				l.doubt("%s", m.doubt)
			}
			l.conditions = append(l.conditions, m.conditions...)
		}
		if err != nil {
			out.Failed = cmpText(out.Failed, explain(err))
			continue
		}
		if old, ok := modules[ls.ModuleName()]; ok {
			maps.Copy(old, dict)
		} else {
			modules[ls.ModuleName()] = maps.Clone(dict)
		}
	}
	out.Loads, out.LoadLabels = sortedKeys(loads), sortedKeys(labels)
	if out.Failed != "" {
		syntaxTargets = p.scan(parsed)
	} else {
		thread := l.thread(file, modules)
		thread.SetLocal(localKey, p)
		err := l.exec(thread, parsed, l.buildNames(), func(name string) starlark.Value {
			if !knownOfBazel.MatchString(name) {
				p.refuse("%s", noName(p.label, name))
			}
			return nativeRule{name}
		}, nil)
		if err == nil {
			err = p.finalize(thread)
		}
		if err != nil {
			out.Failed = explain(err)
			again, err := options.Parse(file, content, 0) // Evaluation changes the syntax.
			if err == nil {
				syntaxTargets = p.scan(again)
			}
		}
	}
	out.Doubt = l.doubts
	p.refuseOutputs()
	if out.Failed != "" {
		// What was evaluated before the error is not taken: it may be half of a macro.
		out.Targets = syntaxTargets
	}
	for i := range out.Targets {
		p.inherited(&out.Targets[i])
		if len(l.conditions) > 0 {
			out.Targets[i].Attributes = append(out.Targets[i].Attributes, Attribute{Name: "a condition that another repository decides", Digest: digest(l.conditions...)})
		}
		if len(p.named) > 0 {
			out.Targets[i].Attributes = append(out.Targets[i].Attributes, Attribute{Name: "metadata by package()", Absent: true, Refs: compact(p.named)})
		}
		defaults := p.defaults
		if p.featureless(&out.Targets[i]) {
			defaults = slices.DeleteFunc(slices.Clone(defaults), func(d string) bool { return strings.HasPrefix(d, "features=") })
		}
		if len(defaults) > 0 {
			out.Targets[i].Attributes = append(out.Targets[i].Attributes, Attribute{Name: "package()", Digest: digest(defaults...), Refs: p.refs})
		}
	}
	if out.Failed != "" || out.Doubt != "" {
		out.Literals = l.literals(p.label, o, out.Loads)
	}
	return out, nil
}

func cmpText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func explain(err error) string {
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		// The innermost place that is a file.
		for i := range eval.CallStack {
			if pos := eval.CallStack.At(i).Pos; pos.Line > 0 {
				return fmt.Sprintf("%s: %s", pos, eval.Msg)
			}
		}
		return eval.Msg
	}
	return err.Error()
}

// literals are all strings of a BUILD file and what it loads that may be labels.
func (l *Loader) literals(in Label, o *outline, loads []string) []Ref {
	e := &encoder{loader: l, in: in}
	add := func(o *outline) {
		for _, s := range o.statements {
			for _, text := range s.labels {
				e.candidate(text, false)
			}
		}
	}
	add(o)
	for _, file := range loads {
		if m, ok := l.byFile[file]; ok && m.outline != nil {
			add(m.outline)
		}
	}
	for _, from := range o.loads {
		if label, err := parseLabel(from.module, in, l.mapping(in.Repo)); err == nil {
			e.repos([]string{label.Repo})
		}
	}
	return compact(e.refs)
}

func (l *Loader) thread(file string, modules map[string]starlark.StringDict) *starlark.Thread {
	thread := &starlark.Thread{
		Name:  file,
		Print: func(*starlark.Thread, string) {},
		Load: func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
			return modules[name], nil
		},
	}
	thread.SetMaxExecutionSteps(maxSteps)
	return thread
}

// exec runs a file. Other gives a value for predeclared names that are not in names.
func (l *Loader) exec(thread *starlark.Thread, f *syntax.File, names starlark.StringDict, other func(string) starlark.Value, globals *starlark.StringDict) error {
	outer := l.made
	defer func() { l.made = outer }()
	l.made = 0
	rewriteStmts(f.Stmts)
	used := starlark.StringDict{}
	program, err := starlark.FileProgram(f, func(name string) bool {
		if _, universal := starlark.Universe[name]; universal && names[name] == nil {
			return false
		}
		v, ok := names[name]
		if !ok {
			v = other(name)
		}
		used[name] = v
		return true
	})
	if err != nil {
		return err
	}
	result, err := program.Init(thread, used)
	if globals != nil {
		*globals = result
	}
	return err
}

// load gives what a load statement asks for.
func (l *Loader) load(s *syntax.LoadStmt, in Label, file string) (starlark.StringDict, *module, error) {
	label, err := parseLabel(s.ModuleName(), in, l.mapping(in.Repo))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: load: %w", s.Load, err)
	}
	if _, here := l.workspace.Repos[label.Repo]; !here {
		dict := starlark.StringDict{}
		for _, name := range s.From {
			symbol := label.String() + "%" + name.Name
			dict[name.Name] = &unknown{loader: l, text: symbol, symbol: symbol}
		}
		return dict, nil, nil
	}
	m := l.module(label)
	if m.err != nil {
		return nil, m, fmt.Errorf("%s: load %s: %w", s.Load, label, m.err)
	}
	return m.globals, m, nil
}

// CycleOfLoads is in a package's Failed if files load each other in a circle: Bazel then
// gives up all that it was asked for, whatever it is to keep going for.
const CycleOfLoads = "cycle of loads"

// module evaluates a .bzl file.
func (l *Loader) module(label Label) *module {
	if m, ok := l.modules[label.String()]; ok {
		if m.loading {
			m.err = errors.New(CycleOfLoads)
		}
		return m
	}
	m := &module{loader: l, label: label, loading: true, loads: map[string]bool{}, labels: map[string]bool{label.String(): true}}
	l.modules[label.String()] = m
	defer func() { m.loading = false }()
	m.file, _ = l.workspace.File(label)
	m.loads[m.file] = true
	l.byFile[m.file] = m
	content, err := l.workspace.Snapshot.Read(l.ctx, m.file)
	if err != nil {
		m.err = err
		return m
	}
	parsed, err := options.Parse(m.file, content, 0)
	if err != nil {
		m.err = err
		return m
	}
	m.refused = invalidSyntax(label, parsed)
	if indentedByTabs(parsed, content) {
		m.refused = append(m.refused, label.String()+" is indented by tabs")
	}
	m.outline = newOutline(parsed)
	outer, outerConditions := l.doubts, l.conditions
	l.doubts, l.conditions = "", nil
	defer func() {
		m.doubt, m.conditions = cmpText(m.doubt, l.doubts), append(m.conditions, l.conditions...)
		l.doubts, l.conditions = outer, outerConditions
	}()
	modules := map[string]starlark.StringDict{}
	for _, s := range parsed.Stmts {
		ls, ok := s.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		dict, other, err := l.load(ls, label, m.file)
		if other != nil {
			maps.Copy(m.loads, other.loads)
			maps.Copy(m.labels, other.labels)
			m.refused = append(m.refused, other.refusals(label)...)
			m.doubt = cmpText(m.doubt, other.doubt)
			m.conditions = append(m.conditions, other.conditions...)
		}
		if err != nil {
			m.err = err
			return m
		}
		if old, ok := modules[ls.ModuleName()]; ok {
			maps.Copy(old, dict)
		} else {
			modules[ls.ModuleName()] = maps.Clone(dict)
		}
	}
	thread := l.thread(m.file, modules)
	err = l.exec(thread, parsed, l.bzlNames(), func(name string) starlark.Value {
		if !builtinName.MatchString(name) {
			l.refuseIn(label, "%s", noName(label, name))
		}
		return &unknown{loader: l, text: "builtin " + name}
	}, &m.globals)
	if err != nil {
		m.err = errors.New(explain(err))
		return m
	}
	for _, name := range sortedKeys(m.globals) {
		if c, ok := m.globals[name].(*class); ok && c.name == "" {
			c.name = name
		}
		if r, ok := m.globals[name].(*repositoryRule); ok && r.name == "" && r.file == label {
			r.name = name
		}
	}
	m.globals.Freeze()
	return m
}

// Module evaluates a .bzl file and returns its global values, for callers that look
// at extensions.
func (l *Loader) Module(label Label) (starlark.StringDict, error) {
	m := l.module(label)
	return m.globals, m.err
}

// Closure is what the value of a name of a .bzl file depends on.
type Closure struct {
	// Digest is of the code. It is the same if that only moves to other files of its package.
	Digest string
	// Parts are the files that have it.
	Parts []Part
	// Refs are all strings in it, which may be labels.
	Refs []Ref
	// Anywhere says that it makes labels of what is not written in it: they may be any.
	Anywhere bool
	// Texts are all texts in it, Labels the files of Parts as they are loaded.
	Texts  []string
	Labels []string
	// Embedded are the labels within its texts that begin with @, as they are written: code
	// that writes a BUILD file has some.
	Embedded []string
	// Around says that, as code of a repository, it may get at files of the workspace by
	// where another one is, Listing that it may so get at any.
	Around, Listing bool
	// Environment says that, as code of a repository, it may read variables of the environment:
	// by itself, or by programs or code of others that it runs.
	Environment bool
}

// Closure follows a name of a .bzl file. It fails if the file can't be evaluated, and
// then gives what could be seen, if anything.
func (l *Loader) Closure(label Label, name string) (*Closure, error) {
	m := l.module(label)
	if m.outline == nil {
		return nil, m.err
	}
	w := l.walk()
	w.name(m, name)
	c := w.done()
	refs := c.strings
	for _, r := range c.repos {
		refs = append(refs, Ref{Label: "@" + r, Sure: true})
	}
	inside := false
	out := &Closure{Digest: c.digest, Parts: c.parts, Refs: refs, Anywhere: c.anywhere}
	for _, p := range c.parts {
		if m, ok := l.byFile[p.File]; ok {
			out.Labels = append(out.Labels, m.label.String())
		}
		for _, t := range w.files[p.File] {
			for _, m := range quotedText.FindAllStringSubmatch(t, -1) {
				out.Texts = append(out.Texts, m[1])
			}
			out.Embedded = append(out.Embedded, EmbeddedLabels(t)...)
			out.Around = out.Around || around.MatchString(t)
			out.Listing = out.Listing || listing.MatchString(t)
			inside = inside || within.MatchString(t)
			out.Environment = out.Environment || environment.MatchString(t)
		}
	}
	out.Around, out.Listing = out.Around && inside, out.Listing && inside
	out.Environment = out.Environment || len(c.repos) > 0
	return out, m.err
}

var (
	// within is a path of the workspace, around a way from one path to another.
	within = regexp.MustCompile(`(?:^|[^.] )\w+ \. workspace_root\b|\. path call\( (?:[^s]|s[^t])`)
	around = regexp.MustCompile(`\. (?:workspace_root|dirname|get_child|readdir|watch_tree)\b`)
	// environment is what gets at variables, if only by a program.
	environment = regexp.MustCompile(`\bgetattr\b|\. (?:getenv|environ|os|execute|download\w*)\b`)
	// listing is a folder's content, or a path of which no part is written.
	listing = regexp.MustCompile(`\. (?:readdir|watch_tree)\b|\. get_child call\( (?:[^s]|s[^t])`)
)

// embeddedLabel is a label with a repository, in any text.
var embeddedLabel = regexp.MustCompile(`@{1,2}[\w.~+-]*//[^\s"'\\,;()\[\]<>|&$]*`)

// EmbeddedLabels are the labels in a text that begin with @, as they are written.
func EmbeddedLabels(text string) []string { return embeddedLabel.FindAllString(text, -1) }

// Code is the text of what a name of a .bzl file depends on, without comments, and what
// Closure gives as references. It fails if the file can't be evaluated.
func (l *Loader) Code(label Label, name string) ([]string, []Ref, error) {
	m := l.module(label)
	if m.err != nil {
		return nil, nil, m.err
	}
	w := l.walk()
	w.name(m, name)
	var texts []string
	for _, file := range sortedKeys(w.files) {
		texts = append(texts, w.files[file]...)
	}
	closure, err := l.Closure(label, name)
	if err != nil {
		return nil, nil, err
	}
	return texts, closure.Refs, nil
}

// scan takes the calls at the top of a BUILD file that could not be evaluated.
func (p *loading) scan(f *syntax.File) []Target {
	var targets []Target
	o := newOutline(f)
	syntax.Walk(f, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		fn, ok := call.Fn.(*syntax.Ident)
		if !ok {
			return true
		}
		name := ""
		for _, a := range call.Args {
			b, ok := a.(*syntax.BinaryExpr)
			if !ok || b.Op != syntax.EQ {
				continue
			}
			if id, ok := b.X.(*syntax.Ident); ok && id.Name == "name" {
				if lit, ok := b.Y.(*syntax.Literal); ok && lit.Token == syntax.STRING {
					name, _ = lit.Value.(string)
				}
			}
		}
		if name == "" {
			return true
		}
		t := Target{Name: name, Kind: fn.Name, Test: testKind.MatchString(fn.Name)}
		if from, ok := o.loads[fn.Name]; ok {
			t.Kind = from.name
			t.Test = foreignTest(from.name)
			t.Symbol = from.module + "%" + from.name
			if label, err := parseLabel(from.module, p.label, p.loader.mapping(p.label.Repo)); err == nil {
				t.Symbol = label.String() + "%" + from.name
			}
		}
		var pr printer
		pr.expr(call)
		e := &encoder{loader: p.loader, in: p.label}
		for _, s := range pr.strings {
			e.candidate(s, false)
		}
		t.Tags = append(t.Tags, slices.DeleteFunc(slices.Clone(pr.strings), func(s string) bool { return s != "manual" && s != "external" })...)
		for _, r := range e.refs {
			if r.Label == "@platforms//:incompatible" {
				t.Constraints = []string{r.Label}
			}
		}
		t.Attributes = []Attribute{{Name: "definition", Digest: digest(pr.b.String()), Refs: compact(e.refs)}}
		targets = append(targets, t)
		return true
	})
	return targets
}
