// Package depcheck finds imports against the direction in which the folders of a
// repository depend on each other. It reads the source tree, so that a new package is
// held to the directions without being listed anywhere.
package depcheck

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bazelbuild/buildtools/build"
	"golang.org/x/mod/modfile"
)

// Forbidden maps a folder of a repository to those from which nothing below it may
// import: neither its Go files, tests included, nor its Starlark files.
type Forbidden map[string][]string

// Finding is an import that is forbidden.
type Finding struct {
	// File is a path below the root, Line counts from 1.
	File string
	Line int
	// Imports is the import path or the label, From the forbidden folder.
	Imports, From string
}

// String is "FILE:LINE imports WHAT: nothing of FROM is allowed here".
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d imports %s: nothing of %s is allowed here", f.File, f.Line, f.Imports, f.From)
}

// Check returns the imports that are forbidden in the repository at root, whose
// go.mod names the module, sorted by file. It is an error if a folder of forbidden
// does not exist: its rule would never find anything. Skipped are folders with a
// go.mod of their own, testdata, and names that begin with a dot or "bazel-".
func Check(root fs.FS, forbidden Forbidden) ([]Finding, error) {
	gomod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("find the module's path: %w", err)
	}
	c := &checker{root: root, module: modfile.ModulePath(gomod)}
	if c.module == "" {
		return nil, fmt.Errorf("find the module's path: go.mod has none")
	}
	for folder, others := range forbidden {
		for _, named := range append([]string{folder}, others...) {
			if info, err := fs.Stat(root, named); err != nil || !info.IsDir() {
				return nil, fmt.Errorf("check imports: %s, of the rule for %s, is no folder of the repository", named, folder)
			}
		}
		c.others = others
		if err := fs.WalkDir(root, folder, c.visit); err != nil {
			return nil, fmt.Errorf("check imports: %w", err)
		}
	}
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.From, b.From))
	})
	return slices.Compact(c.findings), nil
}

type checker struct {
	root     fs.FS
	module   string
	others   []string
	findings []Finding
}

func (c *checker) visit(file string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	name := entry.Name()
	if entry.IsDir() {
		_, nested := fs.Stat(c.root, path.Join(file, "go.mod"))
		if name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "bazel-") || nested == nil {
			return fs.SkipDir
		}
		return nil
	}
	if !entry.Type().IsRegular() {
		return nil
	}
	switch {
	case path.Ext(name) == ".go":
		return c.goFile(file)
	case path.Ext(name) == ".bzl" || name == "BUILD.bazel" || name == "BUILD":
		return c.starlarkFile(file)
	}
	return nil
}

func (c *checker) goFile(file string) error {
	source, err := fs.ReadFile(c.root, file)
	if err != nil {
		return err
	}
	positions := token.NewFileSet()
	parsed, err := parser.ParseFile(positions, file, source, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, i := range parsed.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", file, i.Path.Value, err)
		}
		if below, ok := strings.CutPrefix(imported, c.module+"/"); ok {
			c.check(file, positions.Position(i.Pos()).Line, imported, below)
		}
	}
	return nil
}

func (c *checker) starlarkFile(file string) error {
	source, err := fs.ReadFile(c.root, file)
	if err != nil {
		return err
	}
	parsed, err := build.Parse(file, source)
	if err != nil {
		return err
	}
	for _, statement := range parsed.Stmt {
		load, ok := statement.(*build.LoadStmt)
		if !ok {
			continue
		}
		if below, ok := strings.CutPrefix(load.Module.Value, "//"); ok {
			folder, _, _ := strings.Cut(below, ":")
			start, _ := load.Module.Span()
			c.check(file, start.Line, load.Module.Value, folder)
		}
	}
	return nil
}

func (c *checker) check(file string, line int, imported, folder string) {
	for _, other := range c.others {
		if folder == other || strings.HasPrefix(folder, other+"/") {
			c.findings = append(c.findings, Finding{File: file, Line: line, Imports: imported, From: other})
		}
	}
}
