// Package module evaluates MODULE.bazel: which modules, extensions, repositories and
// toolchains a workspace has, and what each is made of.
package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// Dep is a bazel_dep.
type Dep struct {
	Name string
	// Apparent is the name that files of this module have for it; empty for nodep.
	Apparent string
	Version  string
	// Text is all of it.
	Text string
}

// Override is one of the ..._override functions.
type Override struct {
	Kind string // local_path_override, single_version_override, ...
	Name string // of the module
	Path string // of a local_path_override
	Text string
	// Strings are all that may be labels.
	Strings []string
}

// Tag is a call of a tag class of an extension.
type Tag struct {
	Class string
	// Text is all of it, in one spelling.
	Text string
	// Values are its arguments that are text.
	Values map[string]string
	// Strings are all texts in it, in lists and dictionaries too.
	Strings []string
	// Args are its arguments.
	Args []starlark.Tuple
}

// Extension is a module extension that a module uses.
type Extension struct {
	// File and Name are as use_extension has them.
	File, Name string
	Tags       []Tag
	// Repos are apparent names of the repositories that are used.
	Repos []string
	// Names are the extension's own names for repositories that are used by another one.
	Names map[string]string
	// Injected are repositories that it is given in place of its own, or beside them.
	Injected []string
	// Text is what else was said of it: overridden and injected repositories, the
	// names of used ones.
	Text []string
}

// Repository is made by a repository rule that MODULE.bazel calls itself.
type Repository struct {
	File, Rule, Name string
	Path             string // attribute path
	BuildFile        string // attribute build_file
	Text             string
	// Rest is Text without name, path and build_file.
	Rest    string
	Strings []string
}

// File is an evaluated MODULE.bazel with what it includes.
type File struct {
	Name, RepoName, Version string
	Deps                    []Dep
	Overrides               []Override
	Extensions              []*Extension
	Repositories            []Repository
	// Toolchains and Platforms are patterns in the order of registration.
	Toolchains, Platforms []string
	// Development are statements that are for the development of this module alone, as text.
	Development []string
	// Other are statements that are not known here.
	Other []string
	// Files are paths in the workspace: MODULE.bazel and what it includes.
	Files []string
}

// Read evaluates root/MODULE.bazel; root is empty for the workspace itself. The error
// is fs.ErrNotExist if there is none.
func Read(ctx context.Context, s *snapshot.Snapshot, root string) (*File, error) {
	r := &reader{ctx: ctx, snapshot: s, root: root, out: &File{}}
	if _, ok := s.Lookup(path.Join(root, "MODULE.bazel")); !ok {
		return nil, fmt.Errorf("read %s at %s: %w", path.Join(root, "MODULE.bazel"), s.Name, fs.ErrNotExist)
	}
	if err := r.file(path.Join(root, "MODULE.bazel")); err != nil {
		return nil, err
	}
	return r.out, nil
}

type reader struct {
	ctx      context.Context
	snapshot *snapshot.Snapshot
	root     string
	out      *File
	depth    int
}

var options = &syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}

func (r *reader) file(name string) error {
	if r.depth++; r.depth > 20 {
		return fmt.Errorf("evaluate %s: include is nested too deeply", name)
	}
	defer func() { r.depth-- }()
	content, err := r.snapshot.Read(r.ctx, name)
	if err != nil {
		return err
	}
	r.out.Files = append(r.out.Files, name)
	thread := &starlark.Thread{Name: name, Print: func(*starlark.Thread, string) {}}
	thread.SetMaxExecutionSteps(10_000_000)
	names := starlark.StringDict{}
	parsed, err := options.Parse(name, content, 0)
	if err != nil {
		return fmt.Errorf("evaluate %s: %w", name, err)
	}
	if load.Multiplies(parsed) {
		return fmt.Errorf("evaluate %s: it multiplies by a number that may be large", name)
	}
	program, err := starlark.FileProgram(parsed, func(id string) bool {
		if _, universal := starlark.Universe[id]; universal {
			return false
		}
		if names[id] == nil {
			names[id] = r.function(id)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("evaluate %s: %w", name, err)
	}
	if _, err := program.Init(thread, names); err != nil {
		var eval *starlark.EvalError
		if errors.As(err, &eval) {
			for i := range eval.CallStack {
				if pos := eval.CallStack.At(i).Pos; pos.Line > 0 {
					return fmt.Errorf("evaluate %s: %s", pos, eval.Msg)
				}
			}
		}
		return fmt.Errorf("evaluate %s: %w", name, err)
	}
	return nil
}

type arguments struct {
	positional []string
	named      map[string]starlark.Value
	text       string
	strings    []string
}

func read(args starlark.Tuple, kwargs []starlark.Tuple) arguments {
	a := arguments{named: map[string]starlark.Value{}}
	var parts []string
	for _, v := range args {
		s, _ := starlark.AsString(v)
		a.positional = append(a.positional, s)
		parts = append(parts, v.String())
		collect(v, &a.strings)
	}
	var named []string
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		a.named[name] = kv[1]
		named = append(named, name+"="+kv[1].String())
		collect(kv[1], &a.strings)
	}
	slices.Sort(named)
	a.text = strings.Join(append(parts, named...), ", ")
	return a
}

func (a arguments) get(name string) string {
	s, _ := starlark.AsString(a.named[name])
	return s
}

// argument is a text that is given by its place or by its name; empty if it is not.
func (a arguments) argument(place int, name string) string {
	if place < len(a.positional) {
		return a.positional[place]
	}
	return a.get(name)
}

func collect(v starlark.Value, into *[]string) {
	switch v := v.(type) {
	case starlark.String:
		*into = append(*into, string(v))
	case *starlark.Dict:
		for _, kv := range v.Items() {
			collect(kv[0], into)
			collect(kv[1], into)
		}
	case starlark.Iterable:
		for x := range starlark.Elements(v) {
			collect(x, into)
		}
	}
}

func (r *reader) function(id string) starlark.Value {
	return starlark.NewBuiltin(id, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		a := read(args, kwargs)
		if dev, ok := a.named["dev_dependency"]; ok && bool(dev.Truth()) {
			r.out.Development = append(r.out.Development, id+"("+a.text+")")
			if r.root != "" { // Of a module that is not the main one Bazel takes none.
				if id == "use_extension" {
					return &proxy{&Extension{}}, nil
				}
				return starlark.None, nil
			}
		}
		switch id {
		case "module":
			r.out.Name, r.out.RepoName = a.get("name"), a.get("repo_name")
			if r.out.Name == "" && len(a.positional) > 0 {
				r.out.Name = a.positional[0]
			}
			r.out.Version = a.get("version")
			if v, ok := a.named["bazel_compatibility"]; ok {
				var constraints []string
				collect(v, &constraints)
				version, err := r.snapshot.Read(r.ctx, ".bazelversion")
				if err != nil || !Compatible(strings.TrimSpace(string(version)), constraints) {
					r.out.Other = append(r.out.Other, "module(bazel_compatibility="+v.String()+")") // Bazel may refuse all.
				}
			}
		case "bazel_dep":
			d := Dep{Name: a.argument(0, "name"), Version: a.argument(1, "version"), Text: a.text}
			d.Apparent = d.Name
			if n, ok := a.named["repo_name"]; ok {
				d.Apparent, _ = starlark.AsString(n)
			}
			r.out.Deps = append(r.out.Deps, d)
		case "use_extension":
			e := &Extension{File: a.argument(0, "extension_bzl_file"), Name: a.argument(1, "extension_name")}
			if e.File == "" || e.Name == "" {
				return nil, fmt.Errorf("use_extension takes a file and a name")
			}
			for _, old := range r.out.Extensions {
				if old.File == e.File && old.Name == e.Name && a.named["isolate"] == nil {
					return &proxy{old}, nil
				}
			}
			r.out.Extensions = append(r.out.Extensions, e)
			return &proxy{e}, nil
		case "use_repo", "override_repo", "inject_repo":
			if len(args) == 0 {
				return nil, fmt.Errorf("%s takes what use_extension returned", id)
			}
			p, ok := args[0].(*proxy)
			if !ok {
				return nil, fmt.Errorf("%s takes what use_extension returned, got %s", id, args[0].Type())
			}
			if id != "use_repo" {
				p.extension.Injected = append(p.extension.Injected, a.positional[1:]...)
				for _, v := range a.named {
					if name, ok := starlark.AsString(v); ok {
						p.extension.Injected = append(p.extension.Injected, name)
					}
				}
				slices.Sort(p.extension.Injected)
				p.extension.Text = append(p.extension.Text, id+"("+a.text+")")
				return starlark.None, nil
			}
			p.extension.Repos = append(p.extension.Repos, a.positional[1:]...)
			for name, v := range a.named {
				p.extension.Repos = append(p.extension.Repos, name)
				if own, ok := starlark.AsString(v); ok {
					if p.extension.Names == nil {
						p.extension.Names = map[string]string{}
					}
					p.extension.Names[name] = own
				}
				p.extension.Text = append(p.extension.Text, "repo "+name+"="+v.String())
			}
			slices.Sort(p.extension.Text)
		case "use_repo_rule":
			file, rule := a.argument(0, "repo_rule_bzl_file"), a.argument(1, "repo_rule_name")
			if file == "" || rule == "" {
				return nil, fmt.Errorf("use_repo_rule takes a file and a name")
			}
			return starlark.NewBuiltin(rule, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
				a := read(args, kwargs)
				if dev, ok := a.named["dev_dependency"]; ok && bool(dev.Truth()) {
					r.out.Development = append(r.out.Development, rule+"("+a.text+")")
					if r.root != "" {
						return starlark.None, nil
					}
				}
				rest := read(args, slices.DeleteFunc(slices.Clone(kwargs), func(kv starlark.Tuple) bool {
					return kv[0] == starlark.String("name") || kv[0] == starlark.String("path") || kv[0] == starlark.String("build_file")
				}))
				r.out.Repositories = append(r.out.Repositories, Repository{File: file, Rule: rule, Name: a.get("name"), Path: a.get("path"), BuildFile: a.get("build_file"), Text: a.text, Rest: rest.text, Strings: a.strings})
				return starlark.None, nil
			}), nil
		case "register_toolchains":
			r.out.Toolchains = append(r.out.Toolchains, a.positional...)
		case "register_execution_platforms":
			r.out.Platforms = append(r.out.Platforms, a.positional...)
		case "include":
			label, err := load.ParseLabel(a.argument(0, "label"))
			if err != nil {
				return nil, err
			}
			return starlark.None, r.file(path.Join(r.root, label.Package, label.Name))
		default:
			if strings.HasSuffix(id, "_override") {
				r.out.Overrides = append(r.out.Overrides, Override{Kind: id, Name: a.get("module_name"), Path: a.get("path"), Text: id + "(" + a.text + ")", Strings: a.strings})
				break
			}
			r.out.Other = append(r.out.Other, id+"("+a.text+")")
		}
		return starlark.None, nil
	})
}

// proxy is what use_extension returns: every name is a tag class.
type proxy struct{ extension *Extension }

func (p *proxy) String() string        { return "extension " + p.extension.File + "%" + p.extension.Name }
func (p *proxy) Type() string          { return "module_extension_proxy" }
func (p *proxy) Freeze()               {}
func (p *proxy) Truth() starlark.Bool  { return true }
func (p *proxy) Hash() (uint32, error) { return starlark.String(p.String()).Hash() }
func (p *proxy) AttrNames() []string   { return nil }
func (p *proxy) Attr(name string) (starlark.Value, error) {
	return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		a := read(args, kwargs)
		t := Tag{Class: name, Text: name + "(" + a.text + ")", Values: map[string]string{}, Strings: a.strings, Args: kwargs}
		for k, v := range a.named {
			if s, ok := starlark.AsString(v); ok {
				t.Values[k] = s
			}
		}
		p.extension.Tags = append(p.extension.Tags, t)
		return starlark.None, nil
	}), nil
}
