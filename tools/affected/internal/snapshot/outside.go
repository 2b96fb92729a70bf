package snapshot

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/git"
)

// A workspace that is a folder of its repository may use files beside it: by links, by
// modules and repositories that are folders, by imports of .bazelrc. They have paths that
// begin with "../", from the workspace.

// above begins the paths of such files.
const above = "../"

var (
	// quotedPath is such a path in a MODULE.bazel, optionPath one in a .bazelrc, goPath one in a
	// go.mod or a go.work.
	quotedPath = regexp.MustCompile(`["'](\.\.(?:/[^"'\n]*)?)["']`)
	optionPath = regexp.MustCompile(`(?:^|[\s="']|%workspace%/)(\.\.(?:/[^\s"'\\]*)?)`)
	goPath     = regexp.MustCompile("(?m)(?:^|[\\s\"`])(\\.\\.(?:/[^\\s\"`]*)?)(?:$|[\\s\"`])")
)

// addOutside adds the files of the repository outside of the workspace that something in it
// leads to. An empty commit is the work tree.
func (s *Snapshot) addOutside(ctx context.Context, repository *git.Repository, commit string) error {
	if repository.Prefix == "" || repository.Bare && commit == "" {
		return nil
	}
	wanted, err := s.outside(ctx)
	if err != nil || len(wanted) == 0 {
		return err
	}
	whole, err := repository.Whole(ctx)
	if err != nil {
		return err
	}
	all := &Snapshot{Name: s.Name}
	if commit != "" {
		err = all.addTree(ctx, whole, commit, "", 0)
	} else {
		err = all.addWorktree(ctx, whole, "", 0)
	}
	s.closers = append(append(s.closers, all.closers...), whole.Close)
	if err != nil {
		return err
	}
	for _, e := range all.Files {
		if strings.HasPrefix(e.Path, repository.Prefix) {
			continue
		}
		relative, err := filepath.Rel("/"+repository.Prefix, "/"+e.Path)
		if err != nil {
			return fmt.Errorf("list files beside the workspace: %w", err)
		}
		e.Path = filepath.ToSlash(relative)
		if slices.ContainsFunc(wanted, func(w string) bool { return leadsTo(w, e.Path) }) {
			s.Files = append(s.Files, e)
		}
	}
	return nil
}

// leadsTo says that a path outside is a file, or the folder that the file is in.
func leadsTo(wanted, file string) bool {
	rest, below := strings.CutPrefix(file, wanted+"/")
	return file == wanted || below && rest != ".." && !strings.HasPrefix(rest, above)
}

// outside are the paths outside of the workspace that links, and files that Bazel or Go
// reads, lead to.
func (s *Snapshot) outside(ctx context.Context) ([]string, error) {
	var found []string
	add := func(from, text string) {
		if name := path.Join(from, text); name == ".." || strings.HasPrefix(name, above) {
			found = append(found, name)
		}
	}
	for _, e := range s.Files {
		base := path.Base(e.Path)
		var expression *regexp.Regexp
		from := ""
		switch {
		case e.Mode == git.Symlink:
			target, err := e.read(ctx, e.ID)
			if err != nil {
				return nil, fmt.Errorf("read link %s at %s: %w", e.Path, s.Name, err)
			}
			if !path.IsAbs(string(target)) {
				add(path.Dir(e.Path), string(target))
			}
			continue
		case e.Mode != git.Regular && e.Mode != git.Executable:
			continue
		case base == "MODULE.bazel" || strings.HasSuffix(base, ".MODULE.bazel") || strings.HasPrefix(base, "WORKSPACE"):
			expression = quotedPath
		case strings.Contains(base, "bazelrc") || strings.HasSuffix(base, ".rc"):
			expression = optionPath
		case base == "go.mod" || base == "go.work":
			expression, from = goPath, path.Dir(e.Path)
		default:
			continue
		}
		content, err := e.read(ctx, e.ID)
		if err != nil {
			return nil, fmt.Errorf("read %s at %s: %w", e.Path, s.Name, err)
		}
		for _, m := range expression.FindAllStringSubmatch(string(content), -1) {
			add(from, m[1])
		}
	}
	return found, nil
}

// HasFolder says that there are files in a folder.
func (s *Snapshot) HasFolder(name string) bool {
	return slices.ContainsFunc(s.Files, func(e Entry) bool { return leadsTo(name, e.Path) && e.Path != name })
}
