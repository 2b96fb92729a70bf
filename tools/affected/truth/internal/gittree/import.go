package gittree

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Branch is a line of commits that starts from another branch's end.
type Branch struct {
	// Name is the branch's, without refs/heads/.
	Name string
	// From is the branch that it starts from, which comes before it in the list;
	// "" for the first of a repository.
	From string
	// Commits are the trees of its commits, first to last; none for a branch that
	// ends where From does.
	Commits []Tree
}

// Author and date of all commits: a commit's hash depends on both.
const author = "truth <truth@example.test> 1700000000 +0000"

// Import makes a repository in dir, in place of one that was there, and returns the
// hash of each branch's last commit. Nothing is checked out. The commits of submodules
// are looked up in submodules by the entries' content.
func Import(ctx context.Context, dir string, branches []Branch, submodules map[string]string) (map[string]string, error) {
	if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	stream, err := importStream(branches, submodules)
	if err != nil {
		return nil, err
	}
	if _, err := Git(ctx, dir, nil, "init", "--quiet", "--initial-branch="+branches[0].Name); err != nil {
		return nil, err
	}
	if _, err := Git(ctx, dir, stream, "fast-import", "--quiet"); err != nil {
		return nil, err
	}
	refs, err := Git(ctx, dir, nil, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	for line := range strings.Lines(refs) {
		name, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		hashes[name] = hash
	}
	return hashes, nil
}

// importStream writes what git fast-import reads (git-fast-import(1), "Input format").
func importStream(branches []Branch, submodules map[string]string) ([]byte, error) {
	var out bytes.Buffer
	mark := 0
	next := func() int { mark++; return mark }
	blobs := map[string]int{}
	ends := map[string]int{}
	trees := map[string]Tree{}
	for _, branch := range branches {
		parent, tree := ends[branch.From], trees[branch.From]
		if branch.From != "" && parent == 0 {
			return nil, fmt.Errorf("branch %s starts from %s, which is not before it", branch.Name, branch.From)
		}
		for _, commit := range branch.Commits {
			changed := Difference(tree, commit)
			for _, path := range changed {
				entry, ok := commit[path]
				if !ok || entry.Mode == Submodule || blobs[entry.Content] != 0 {
					continue
				}
				blobs[entry.Content] = next()
				fmt.Fprintf(&out, "blob\nmark :%d\ndata %d\n%s\n", mark, len(entry.Content), entry.Content)
			}
			message := "Change " + strings.Join(changed, ", ")
			fmt.Fprintf(&out, "commit refs/heads/%s\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", branch.Name, next(), author, author, len(message), message)
			if parent != 0 {
				fmt.Fprintf(&out, "from :%d\n", parent)
			}
			parent = mark
			// Deletions first: a directory may make place for a file.
			for _, path := range changed {
				if _, ok := commit[path]; !ok {
					fmt.Fprintf(&out, "D %s\n", path)
				}
			}
			for _, path := range changed {
				entry, ok := commit[path]
				switch {
				case !ok:
				case entry.Mode == Submodule:
					hash, ok := submodules[entry.Content]
					if !ok {
						return nil, fmt.Errorf("branch %s: submodule %s is at %q, want one of %q", branch.Name, path, entry.Content, slices.Sorted(maps.Keys(submodules)))
					}
					fmt.Fprintf(&out, "M %s %s %s\n", entry.Mode, hash, path)
				default:
					fmt.Fprintf(&out, "M %s :%d %s\n", entry.Mode, blobs[entry.Content], path)
				}
			}
			out.WriteByte('\n')
			tree = commit
		}
		if parent == 0 {
			return nil, fmt.Errorf("branch %s has no commit", branch.Name)
		}
		if len(branch.Commits) == 0 {
			fmt.Fprintf(&out, "reset refs/heads/%s\nfrom :%d\n\n", branch.Name, parent)
		}
		ends[branch.Name], trees[branch.Name] = parent, tree
	}
	return out.Bytes(), nil
}

// WriteOut makes the files on disk, which are those of tree from, those of tree to.
// Submodules must be the same in both.
func WriteOut(dir string, from, to Tree) error {
	changed := Difference(from, to)
	for _, path := range changed {
		if from[path].Mode == Submodule || to[path].Mode == Submodule {
			return fmt.Errorf("write %s: submodules are git's to check out", path)
		}
		if _, ok := from[path]; !ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			return err
		}
		// As git does: no directory is left without files.
		for parent := filepath.Dir(path); parent != "."; parent = filepath.Dir(parent) {
			if os.Remove(filepath.Join(dir, parent)) != nil {
				break
			}
		}
	}
	for _, path := range changed {
		entry, ok := to[path]
		if !ok {
			continue
		}
		target := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
			return err
		}
		switch entry.Mode {
		case Symlink:
			if err := os.Symlink(entry.Content, target); err != nil {
				return err
			}
		case Executable:
			if err := os.WriteFile(target, []byte(entry.Content), 0o777); err != nil {
				return err
			}
		default:
			if err := os.WriteFile(target, []byte(entry.Content), 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

// Git runs git in dir and returns its standard output. The user's own configuration and
// variables have no say, and a submodule may be a directory.
func Git(ctx context.Context, dir string, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "protocol.file.allow=always", "-c", "core.autocrlf=false"}, args...)...)
	cmd.Dir = dir
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	cmd.Env = append(own, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0")
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.WaitDelay = 10 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("git %s in %s: %w\n%s", strings.Join(args, " "), dir, err, bytes.TrimSpace(log.Bytes()))
	}
	return out.String(), nil
}
