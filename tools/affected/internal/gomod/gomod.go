// Package gomod compares go.mod and go.sum by module, and finds which packages of
// other modules can reach a module that changed.
//
// It fetches nothing and runs no go command. The imports of other modules' packages
// are read from Go's module cache if the module is there, else its go.mod says which
// modules it can import from. Where there is neither, the module is taken to import
// from all.
package gomod

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
	modulepath "golang.org/x/mod/module"
)

// File is a go.mod with the hashes of its go.sum.
type File struct {
	// Modules are module paths with what stands for each.
	Modules map[string]Module
	// Toolchain is what the choice of the Go SDK reads: the toolchain line, without one the
	// go line.
	Toolchain string
	// Rest are other lines that may matter to all.
	Rest string
}

// Module is what a module path stands for.
type Module struct {
	// Path and Version are what is fetched: the replacement if there is one.
	Path, Version string
	// Dir is a replacement that is a folder, relative to go.mod.
	Dir string
	// Sum is the hash of its content by go.sum.
	Sum string
}

// Parse reads a go.mod and its go.sum, which may be empty.
func Parse(mod, sum []byte) (*File, error) {
	parsed, err := modfile.Parse("go.mod", mod, nil)
	if err != nil {
		return nil, fmt.Errorf("parse go.mod: %w", err)
	}
	sums := ParseSum(sum)
	f := &File{Modules: map[string]Module{}}
	if parsed.Go != nil {
		f.Toolchain = "go " + parsed.Go.Version
	}
	if parsed.Toolchain != nil && parsed.Toolchain.Name != "default" {
		f.Toolchain = "go " + strings.TrimPrefix(parsed.Toolchain.Name, "go")
	}
	var rest []string
	if parsed.Module != nil {
		rest = append(rest, "module "+parsed.Module.Mod.Path)
	}
	for _, g := range parsed.Godebug {
		rest = append(rest, "godebug "+g.Key+"="+g.Value)
	}
	slices.Sort(rest)
	f.Rest = strings.Join(rest, "; ")
	for _, r := range parsed.Require {
		m := Module{Path: r.Mod.Path, Version: r.Mod.Version}
		for _, x := range parsed.Replace {
			if x.Old.Path != r.Mod.Path || x.Old.Version != "" && x.Old.Version != r.Mod.Version {
				continue
			}
			if x.New.Version == "" {
				m = Module{Dir: x.New.Path}
			} else {
				m = Module{Path: x.New.Path, Version: x.New.Version}
			}
			if x.Old.Version != "" {
				break // The more particular one wins.
			}
		}
		m.Sum = sums[m.Path+" "+m.Version]
		f.Modules[r.Mod.Path] = m
	}
	return f, nil
}

// ParseSum reads go.sum: `path version` to hash. Hashes of go.mod files alone are left
// out: they say nothing of a module's content.
func ParseSum(content []byte) map[string]string {
	sums := map[string]string{}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || strings.HasSuffix(fields[1], "/go.mod") {
			continue
		}
		sums[fields[0]+" "+fields[1]] = fields[2]
	}
	return sums
}

// Diff are the module paths that the two have differently, each with why.
func Diff(base, head *File) map[string]string {
	changed := map[string]string{}
	for p, h := range head.Modules {
		b, ok := base.Modules[p]
		switch {
		case !ok:
			changed[p] = "required anew, " + h.describe(p)
		case b.Path != h.Path || b.Version != h.Version || b.Dir != h.Dir:
			changed[p] = fmt.Sprintf("was %s, is %s", b.describe(p), h.describe(p))
		case b.Sum != h.Sum:
			changed[p] = "another hash in go.sum for " + h.describe(p)
		}
	}
	for p, b := range base.Modules {
		if _, ok := head.Modules[p]; !ok {
			changed[p] = "no longer required, was " + b.describe(p)
		}
	}
	return changed
}

func (m Module) describe(p string) string {
	switch {
	case m.Dir != "":
		return "the folder " + m.Dir
	case m.Path != p:
		return m.Path + " " + m.Version
	}
	return m.Version
}

// RepositoryName is the name that Gazelle gives to a module's repository.
func RepositoryName(p string) string {
	parts := strings.Split(strings.ToLower(p), "/")
	host := strings.Split(parts[0], ".")
	slices.Reverse(host)
	return strings.NewReplacer("-", "_", ".", "_", "~", "_").Replace(strings.Join(append(host, parts[1:]...), "_"))
}

// CacheDir is Go's module cache by the environment, without asking the go command.
func CacheDir() string {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	for dir := range strings.SplitSeq(os.Getenv("GOPATH"), string(filepath.ListSeparator)) {
		if dir != "" {
			return filepath.Join(dir, "pkg", "mod")
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, "go", "pkg", "mod")
}

// Reach finds which packages import a changed module, directly or not.
type Reach struct {
	file    *File
	changed map[string]string
	cache   string
	byRepo  map[string]string // repository to module path
	paths   []string          // module paths, longest first
	seen    map[string][]string
	// followed are the imports of packages.
	followed map[string][]string
	modules  map[string][]string // module path to modules that it can import from
	// Local gives the imports of a package of a module that is a folder: all of the
	// module's for the package "...". It may be nil.
	Local func(dir, pkg string) ([]string, bool)
	// Coarse says for which modules neither sources nor go.mod are at hand.
	Coarse map[string]bool
}

// NewReach prepares to ask about a go.mod. Cache is Go's module cache.
func NewReach(file *File, changed map[string]string, cache string) *Reach {
	r := &Reach{
		file: file, changed: changed, cache: cache, byRepo: map[string]string{}, seen: map[string][]string{},
		followed: map[string][]string{}, modules: map[string][]string{}, Coarse: map[string]bool{},
	}
	for p := range file.Modules {
		r.byRepo[RepositoryName(p)] = p
		r.paths = append(r.paths, p)
	}
	for p := range changed {
		if _, ok := file.Modules[p]; !ok {
			r.byRepo[RepositoryName(p)] = p
		}
	}
	slices.SortFunc(r.paths, func(a, b string) int { return len(b) - len(a) })
	return r
}

// Module is the module of a repository.
func (r *Reach) Module(repo string) (string, bool) {
	p, ok := r.byRepo[repo]
	return p, ok
}

// Files are the files of a repository's module: of a folder as folder gives them, else
// those of the module cache. It fails if neither has them.
func (r *Reach) Files(repo string, folder func(dir string) []string) ([]string, bool) {
	p, ok := r.byRepo[repo]
	if !ok {
		return nil, false
	}
	if dir := r.file.Modules[p].Dir; dir != "" {
		names := folder(dir)
		return names, len(names) > 0
	}
	dir := r.dir(p)
	if dir == "" {
		return nil, false
	}
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	return names, err == nil
}

// Chain is the import paths from a package of a repository to a module that changed,
// the module itself last; nil if it reaches none.
func (r *Reach) Chain(repo, pkg string) []string {
	p, ok := r.byRepo[repo]
	if !ok || len(r.changed) == 0 {
		return nil
	}
	start := path.Join(p, pkg)
	if chain, ok := r.seen[start]; ok {
		return chain
	}
	// Breadth first, so that the chain is a shortest one. What was reached on the way to
	// nothing reaches nothing either.
	type step struct{ importPath, module, from string }
	queue := []step{{start, p, ""}}
	from := map[string]string{start: ""}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if _, ok := r.changed[s.module]; ok {
			chain := []string{s.module}
			for at := s.importPath; at != ""; at = from[at] {
				if at != s.module {
					chain = append(chain, at)
				}
			}
			slices.Reverse(chain)
			r.seen[start] = chain
			return chain
		}
		if known, ok := r.seen[s.importPath]; ok && known == nil {
			continue
		}
		for _, next := range r.next(s.importPath, s.module) {
			m, ok := r.moduleOf(next)
			if module := strings.TrimSuffix(next, whole); !ok && r.changed[module] != "" {
				m, ok = module, true // Required at base only.
			}
			if _, seen := from[next]; ok && !seen {
				from[next] = s.importPath
				queue = append(queue, step{next, m, s.importPath})
			}
		}
	}
	for importPath := range from {
		r.seen[importPath] = nil
	}
	return nil
}

// whole marks a module of which any package is meant.
const whole = "/..."

// next are the packages that a package imports, or modules in place of packages that
// are not known.
func (r *Reach) next(importPath, module string) []string {
	if list, ok := r.followed[importPath]; ok {
		return list
	}
	list, ok := r.imports(importPath, module)
	if !ok {
		// Any package of any module that it requires.
		list = nil
		for _, m := range r.requires(module) {
			list = append(list, m+whole)
		}
	}
	r.followed[importPath] = list
	return list
}

func (r *Reach) moduleOf(importPath string) (string, bool) {
	for _, p := range r.paths {
		if importPath == p || strings.HasPrefix(importPath, p+"/") {
			return p, true
		}
	}
	return "", false
}

// dir is where the module cache has a module; empty if it hasn't.
func (r *Reach) dir(module string) string {
	m, ok := r.file.Modules[module]
	if !ok || m.Dir != "" || r.cache == "" {
		return ""
	}
	escaped, err := modulepath.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	version, err := modulepath.EscapeVersion(m.Version)
	if err != nil {
		return ""
	}
	dir := filepath.Join(r.cache, filepath.FromSlash(escaped)+"@"+version)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// imports are what a package's files import on this system, tests left out; of
// "module/..." those of all its packages. It fails if the module or the package isn't
// in the cache.
func (r *Reach) imports(importPath, module string) ([]string, bool) {
	if local := r.file.Modules[module].Dir; local != "" && r.Local != nil {
		return r.Local(local, strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/"))
	}
	dir := r.dir(module)
	if dir == "" {
		return nil, false
	}
	found := false
	imports := map[string]bool{}
	if strings.HasSuffix(importPath, whole) {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if base := d.Name(); name != dir && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
					return filepath.SkipDir
				}
				return nil
			}
			ok, err := fileImports(name, imports)
			found = found || ok
			return err
		})
		return sortedKeys(imports), found && err == nil
	}
	dir = filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		ok, err := fileImports(filepath.Join(dir, e.Name()), imports)
		if err != nil {
			return nil, false
		}
		found = found || ok
	}
	return sortedKeys(imports), found
}

func sortedKeys(set map[string]bool) []string {
	return slices.Sorted(maps.Keys(set))
}

// fileImports adds a file's imports, if it is a Go file of a package.
func fileImports(name string, imports map[string]bool) (bool, error) {
	if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
		return false, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return false, fmt.Errorf("read imports: %w", err)
	}
	return true, Imports(name, content, imports)
}

// Imports adds what a Go file imports, if it may be compiled on this system.
func Imports(name string, content []byte, imports map[string]bool) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	if !Built(filepath.Base(name), parsed) {
		return nil
	}
	for _, i := range parsed.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			imports[p] = true
		}
	}
	return nil
}

var systems = []string{
	"aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows", "zos",
}

// Built says whether a file may be compiled on this system: by the endings of its
// name, and by its line //go:build, where tags of its own are taken as not set. Every
// architecture counts, since Bazel may build for another.
func Built(name string, file *ast.File) bool {
	parts := strings.Split(strings.TrimSuffix(name, ".go"), "_")
	for _, p := range parts[max(1, len(parts)-2):] {
		if slices.Contains(systems, p) && p != runtime.GOOS {
			return false
		}
	}
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, c := range group.List {
			if !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				return true
			}
			can, _ := possible(expr)
			return can
		}
	}
	return true
}

// possible says whether an expression can be true, and whether it can be false.
func possible(expr constraint.Expr) (canTrue, canFalse bool) {
	switch e := expr.(type) {
	case *constraint.NotExpr:
		t, f := possible(e.X)
		return f, t
	case *constraint.AndExpr:
		t, f := possible(e.X)
		t2, f2 := possible(e.Y)
		return t && t2, f || f2
	case *constraint.OrExpr:
		t, f := possible(e.X)
		t2, f2 := possible(e.Y)
		return t || t2, f && f2
	case *constraint.TagExpr:
		var set bool
		switch tag := e.Tag; {
		case slices.Contains(systems, tag):
			set = tag == runtime.GOOS
		case tag == "unix":
			set = runtime.GOOS != "windows" && runtime.GOOS != "plan9" && runtime.GOOS != "js"
		case tag == "gc" || strings.HasPrefix(tag, "go1."):
			set = true
		case tag == "cgo" || tag == "race" || slices.Contains(architectures, tag):
			return true, true
		}
		return set, !set
	}
	return true, true
}

var architectures = []string{
	"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm",
}

// requires are the modules that a module's go.mod requires; all, if it is not at hand
// or says nothing.
func (r *Reach) requires(module string) []string {
	if list, ok := r.modules[module]; ok {
		return list
	}
	list, ok := r.readRequires(module)
	if !ok {
		r.Coarse[module] = true
		list = slices.Clone(r.paths)
		for p := range r.changed {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	r.modules[module] = list
	return list
}

func (r *Reach) readRequires(module string) ([]string, bool) {
	m, ok := r.file.Modules[module]
	if !ok || m.Dir != "" || r.cache == "" || strings.HasSuffix(m.Version, "+incompatible") {
		return nil, false
	}
	escaped, err := modulepath.EscapePath(m.Path)
	if err != nil {
		return nil, false
	}
	version, err := modulepath.EscapeVersion(m.Version)
	if err != nil {
		return nil, false
	}
	content, err := os.ReadFile(filepath.Join(r.cache, "cache", "download", filepath.FromSlash(escaped), "@v", version+".mod"))
	if err != nil {
		return nil, false
	}
	parsed, err := modfile.ParseLax("go.mod", content, nil)
	if err != nil || parsed.Go == nil && len(parsed.Require) == 0 {
		return nil, false // Written by the go command for a module that has none.
	}
	var list []string
	for _, q := range parsed.Require {
		if _, ok := r.file.Modules[q.Mod.Path]; ok {
			list = append(list, q.Mod.Path)
		}
	}
	return list, true
}
