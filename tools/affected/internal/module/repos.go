package module

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

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
	// Rest is what their REPO.bazel files say beside what is understood, by the files.
	Rest map[string]string
	// Missing says that there is no MODULE.bazel.
	Missing bool
}

// ReadSet evaluates all of them. It gives a usable set even with problems.
func ReadSet(ctx context.Context, s *snapshot.Snapshot) *Set {
	set := &Set{Root: &File{}, Local: map[string]*File{}, Repos: map[string]*load.Repo{}}
	main := &load.Repo{Mapping: map[string]string{"": ""}}
	set.Repos[""] = main
	defer set.repoFiles(ctx, s)
	root, err := Read(ctx, s, "")
	if err != nil {
		if _, ok := s.Lookup("MODULE.bazel"); ok {
			set.Problems = append(set.Problems, err.Error())
		} else {
			set.Missing = true
		}
		return set
	}
	set.Root, main.Version, main.Module = root, root.Version, root.Name
	folders := map[string]string{}
	for _, o := range root.Overrides {
		if o.Kind != "local_path_override" {
			continue
		}
		if folder := path.Clean(o.Path); seen(s, folder) {
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
		set.Repos[name] = &load.Repo{Name: name, Root: folder, Version: f.Version}
	}
	for _, r := range root.Repositories {
		if folder := path.Clean(r.Path); r.Rule == "local_repository" && r.Name != "" && r.Path != "" && seen(s, folder) {
			set.Repos[r.Name] = &load.Repo{Name: r.Name, Root: folder, Mapping: map[string]string{}}
		}
	}
	main.Mapping = set.mapping(root, "")
	for _, r := range root.Repositories {
		if repo, ok := set.Repos[r.Name]; ok && set.Local[r.Name] == nil {
			repo.Mapping = maps.Clone(main.Mapping) // It has the names of the module that makes it.
		}
	}
	for name, f := range set.Local {
		set.Repos[name].Mapping = set.mapping(f, name)
	}
	return set
}

// Files are those of which a MODULE.bazel, by its path, is made: itself and what it includes.
func (s *Set) Files(path string) []string {
	for _, f := range append(slices.Collect(maps.Values(s.Local)), s.Root) {
		if len(f.Files) > 0 && f.Files[0] == path {
			return f.Files
		}
	}
	return nil
}

// seen says that the files of a folder are among those of the workspace, or beside it.
func seen(s *snapshot.Snapshot, folder string) bool {
	if folder == ".." || strings.HasPrefix(folder, "../") {
		return s.HasFolder(folder)
	}
	return folder != "." && !path.IsAbs(folder)
}

func (s *Set) repoFiles(ctx context.Context, files *snapshot.Snapshot) {
	s.Rest = map[string]string{}
	for _, repo := range s.Repos {
		file := path.Join(repo.Root, "REPO.bazel")
		content, err := files.Read(ctx, file)
		if err != nil {
			continue
		}
		repo.Features, s.Rest[file] = repoFile(file, content)
	}
}

// plainDefaults are what REPO.bazel says of packages that enters no action's key.
var plainDefaults = []string{"default_visibility", "default_testonly", "default_deprecation"}

// repoFile reads a REPO.bazel: the default features of packages, and as text what else
// it says that may matter.
func repoFile(file string, content []byte) (features, rest string) {
	names := starlark.StringDict{}
	parsed, err := options.Parse(file, content, 0)
	if err != nil || load.Multiplies(parsed) {
		return "", string(content)
	}
	program, err := starlark.FileProgram(parsed, func(name string) bool {
		if _, universal := starlark.Universe[name]; universal {
			return false
		}
		names[name] = starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			for _, kv := range kwargs {
				switch key := string(kv[0].(starlark.String)); {
				case name == "repo" && key == "features":
					features = kv[1].String()
				case name == "repo" && slices.Contains(plainDefaults, key):
				default:
					rest += name + "(" + key + "=" + kv[1].String() + ")"
				}
			}
			if len(args) > 0 || name != "repo" {
				rest += name + args.String()
			}
			return starlark.None, nil
		})
		return true
	})
	if err != nil {
		return "", string(content)
	}
	thread := &starlark.Thread{Name: file}
	thread.SetMaxExecutionSteps(10_000_000)
	if _, err := program.Init(thread, names); err != nil {
		return "", string(content)
	}
	return features, rest
}

// severalVersions says that more than one version of a module may be there, each of them a
// repository.
func (s *Set) severalVersions(name string) bool {
	return slices.ContainsFunc(s.Root.Overrides, func(o Override) bool { return o.Kind == "multiple_version_override" && o.Name == name })
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
		switch {
		case d.Name == s.Root.Name:
			m[d.Apparent] = ""
		case s.severalVersions(d.Name):
			m[d.Apparent] = d.Name + "~" + d.Version
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
