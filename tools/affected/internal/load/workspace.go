package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"path"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/snapshot"
)

// Repo is a repository whose files are in the workspace: the main one, or a module
// that is overridden by a folder.
type Repo struct {
	// Name is empty for the main repository.
	Name string
	// Root is its folder in the workspace, empty for the main repository.
	Root string
	// Features are the default features of its packages (REPO.bazel), as text.
	Features string
	// Mapping is the names that its files have for repositories.
	Mapping map[string]string
	// Version is its module's. Module is the name of the main one.
	Version, Module string
}

// Workspace is which packages a snapshot has, and which files belong to each.
type Workspace struct {
	Snapshot *snapshot.Snapshot
	Repos    map[string]*Repo

	views   map[string]*view
	deleted []Label
	// ignoring are the folders of a repository's .bazelignore.
	ignoring map[string][]string
}

type view struct {
	repo  *Repo
	build map[string]string   // package to its BUILD file's path in the workspace
	files map[string][]string // package to its files, relative to it
	owner map[string]string   // folder to package

	packages []string // the keys of build, in order
}

const noPackage = "\x00"

// NewWorkspace finds the packages of all repositories, but for deleted ones: those that
// --deleted_packages names, whose files are of the package above them.
func NewWorkspace(ctx context.Context, s *snapshot.Snapshot, repos map[string]*Repo, deleted ...Label) *Workspace {
	w := &Workspace{Snapshot: s, Repos: repos, views: map[string]*view{}, ignoring: map[string][]string{}}
	for _, l := range deleted {
		w.deleted = append(w.deleted, Label{Repo: l.Repo, Package: l.Package})
	}
	for name, repo := range repos {
		if content, err := s.Read(ctx, path.Join(repo.Root, ".bazelignore")); err == nil {
			w.ignoring[name] = ParseIgnore(content)
		}
		v := w.view(repo)
		v.packages = slices.Sorted(maps.Keys(v.build))
		w.views[name] = v
	}
	return w
}

// ParseIgnore reads a .bazelignore.
func ParseIgnore(content []byte) []string {
	var folders []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if folder := strings.TrimPrefix(path.Clean(line), "./"); folder != "." {
			folders = append(folders, folder)
		}
	}
	return folders
}

func (w *Workspace) view(repo *Repo) *view {
	v := &view{repo: repo, build: map[string]string{}, files: map[string][]string{}, owner: map[string]string{}}
	prefix := ""
	if repo.Root != "" {
		prefix = repo.Root + "/"
	}
	each := func(do func(name, folder string)) {
		for _, f := range w.Snapshot.Files {
			name, ok := strings.CutPrefix(f.Path, prefix)
			if !ok || strings.HasPrefix(name, "../") || w.ignored(repo.Name, name) {
				continue
			}
			folder := path.Dir(name)
			if folder == "." {
				folder = ""
			}
			do(name, folder)
		}
	}
	each(func(name, folder string) {
		if slices.Contains(w.deleted, Label{Repo: repo.Name, Package: folder}) {
			return
		}
		switch path.Base(name) {
		case "BUILD.bazel":
			v.build[folder] = prefix + name
		case "BUILD":
			if _, ok := v.build[folder]; !ok {
				v.build[folder] = prefix + name
			}
		}
	})
	each(func(name, folder string) {
		if owner := v.ownerOf(folder); owner != noPackage {
			relative := name
			if owner != "" {
				relative = name[len(owner)+1:]
			}
			v.files[owner] = append(v.files[owner], relative)
		}
	})
	return v
}

// ignored says so of a path from the repository's top.
func (w *Workspace) ignored(repo, name string) bool {
	for _, folder := range w.ignoring[repo] {
		if strings.HasPrefix(name, folder) && (len(name) == len(folder) || name[len(folder)] == '/') {
			return true
		}
	}
	return false
}

func (v *view) ownerOf(folder string) string {
	if owner, ok := v.owner[folder]; ok {
		return owner
	}
	owner := noPackage
	if _, ok := v.build[folder]; ok {
		owner = folder
	} else if folder != "" {
		parent := path.Dir(folder)
		if parent == "." {
			parent = ""
		}
		owner = v.ownerOf(parent)
	}
	v.owner[folder] = owner
	return owner
}

// Packages are the packages of a repository, in order. The caller may not change them.
func (w *Workspace) Packages(repo string) []string {
	v, ok := w.views[repo]
	if !ok {
		return nil
	}
	return v.packages
}

// Build is the path of a package's BUILD file.
func (w *Workspace) Build(repo, pkg string) (string, bool) {
	v, ok := w.views[repo]
	if !ok {
		return "", false
	}
	file, ok := v.build[pkg]
	return file, ok
}

// Files are a package's files, relative to it, in order.
func (w *Workspace) Files(repo, pkg string) []string {
	v, ok := w.views[repo]
	if !ok {
		return nil
	}
	return v.files[pkg]
}

// Listing is a digest of the names of a package's files.
func (w *Workspace) Listing(repo, pkg string) string {
	h := sha256.New()
	for _, f := range w.Files(repo, pkg) {
		h.Write([]byte(f))
		h.Write([]byte{0})
	}
	for _, p := range w.subpackages(repo, pkg) {
		h.Write([]byte(p))
		h.Write([]byte{1})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// File is where in the workspace a label would be a file. It need not be there.
func (w *Workspace) File(l Label) (string, bool) {
	repo, ok := w.Repos[l.Repo]
	if !ok {
		return "", false
	}
	return path.Join(repo.Root, l.Package, l.Name), true
}

// Owner is the package that a label's file belongs to. Another one than the label's
// means that there is a package between, so that the label is invalid.
func (w *Workspace) Owner(l Label) (string, bool) {
	v, ok := w.views[l.Repo]
	if !ok {
		return "", false
	}
	folder := path.Dir(path.Join(l.Package, l.Name))
	if folder == "." {
		folder = ""
	}
	owner := v.ownerOf(folder)
	return owner, owner != noPackage
}

// LabelOf is the label that a file of the workspace has; none outside of packages.
func (w *Workspace) LabelOf(file string) (Label, bool) {
	best := (*Repo)(nil)
	for _, repo := range w.Repos {
		if repo.Root == "" && strings.HasPrefix(file, "../") || repo.Root != "" && !strings.HasPrefix(file, repo.Root+"/") || w.ignored(repo.Name, strings.TrimPrefix(file, repo.Root+"/")) {
			continue
		}
		if best == nil || len(repo.Root) > len(best.Root) {
			best = repo
		}
	}
	if best == nil {
		return Label{}, false
	}
	relative := strings.TrimPrefix(file, best.Root+"/")
	folder := path.Dir(relative)
	if folder == "." {
		folder = ""
	}
	owner := w.views[best.Name].ownerOf(folder)
	if owner == noPackage {
		return Label{}, false
	}
	if owner != "" {
		relative = relative[len(owner)+1:]
	}
	return Label{Repo: best.Name, Package: owner, Name: relative}, true
}

func (w *Workspace) subpackages(repo, pkg string) []string {
	prefix := pkg + "/"
	if pkg == "" {
		prefix = ""
	}
	var found []string
	packages := w.Packages(repo)
	first, _ := slices.BinarySearch(packages, prefix)
	for _, p := range packages[first:] {
		rest, below := strings.CutPrefix(p, prefix)
		if !below {
			break // those below are next to each other
		}
		if rest == "" {
			continue
		}
		// A package below another package below this one is that one's.
		folder := path.Dir(p)
		if folder == "." {
			folder = ""
		}
		if w.views[repo].ownerOf(folder) == pkg {
			found = append(found, rest)
		}
	}
	return found
}
