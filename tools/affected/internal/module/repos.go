package module

import (
	"context"
	"path"
	"strings"

	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// Set is the modules of a workspace whose MODULE.bazel can be seen: the main one and
// those that are overridden by a folder of the workspace.
type Set struct {
	Root *File
	// Local are overridden modules by name.
	Local map[string]*File
	// Repos are the repositories whose files are in the workspace.
	Repos map[string]*load.Repo
	// Problems are what could not be evaluated.
	Problems []string
	// Missing says that there is no MODULE.bazel.
	Missing bool
}

// ReadSet evaluates all of them. It gives a usable set even with problems.
func ReadSet(ctx context.Context, s *snapshot.Snapshot) *Set {
	set := &Set{Root: &File{}, Local: map[string]*File{}, Repos: map[string]*load.Repo{}}
	main := &load.Repo{Mapping: map[string]string{"": ""}}
	set.Repos[""] = main
	root, err := Read(ctx, s, "")
	if err != nil {
		if _, ok := s.Lookup("MODULE.bazel"); ok {
			set.Problems = append(set.Problems, err.Error())
		} else {
			set.Missing = true
		}
		return set
	}
	set.Root = root
	folders := map[string]string{}
	for _, o := range root.Overrides {
		if o.Kind != "local_path_override" {
			continue
		}
		if folder := path.Clean(o.Path); folder != "." && folder != ".." && !path.IsAbs(folder) && !strings.HasPrefix(folder, "../") {
			folders[o.Name] = folder
		}
	}
	for name, folder := range folders {
		f, err := Read(ctx, s, folder)
		if err != nil {
			if _, ok := s.Lookup(path.Join(folder, "MODULE.bazel")); ok {
				set.Problems = append(set.Problems, err.Error())
			}
			f = &File{Name: name}
		}
		set.Local[name] = f
		set.Repos[name] = &load.Repo{Name: name, Root: folder}
	}
	for _, r := range root.Repositories {
		if folder := path.Clean(r.Path); r.Rule == "local_repository" && r.Name != "" && r.Path != "" && !path.IsAbs(folder) && !strings.HasPrefix(folder, "..") {
			set.Repos[r.Name] = &load.Repo{Name: r.Name, Root: folder, Mapping: map[string]string{}}
		}
	}
	main.Mapping = set.mapping(root, "")
	for name, f := range set.Local {
		set.Repos[name].Mapping = set.mapping(f, name)
	}
	return set
}

// mapping gives the names that a module's files have for repositories. Extensions'
// repositories keep their names; those of a module that is not the main one have the
// module's name before them.
func (s *Set) mapping(f *File, module string) map[string]string {
	m := map[string]string{"": ""}
	if f.Name != "" {
		m[f.Name] = module
	}
	if f.RepoName != "" {
		m[f.RepoName] = module
	}
	for _, d := range f.Deps {
		if d.Apparent == "" {
			continue
		}
		m[d.Apparent] = d.Name
		if d.Name == s.Root.Name {
			m[d.Apparent] = ""
		}
	}
	if module != "" {
		for _, e := range f.Extensions {
			for _, r := range e.Repos {
				m[r] = module + "~" + r
			}
		}
		for _, r := range f.Repositories {
			m[r.Name] = module + "~" + r.Name
		}
	}
	return m
}
