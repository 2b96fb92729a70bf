// Package checkout has a work tree of its own for commits of a repository, beside that of
// the person, which it never touches.
package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stormgate.internal/tools/flakes/internal/bisect"
)

// Repository is that of a workspace.
type Repository struct {
	// Workspace is a folder of its work tree.
	Workspace string
	// Prefix is the workspace's path in the repository; empty if it is the top.
	Prefix string
}

// Open finds the repository of a workspace.
func Open(ctx context.Context, workspace string) (*Repository, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	prefix, err := git(ctx, workspace, "rev-parse", "--show-prefix")
	if err != nil {
		return nil, fmt.Errorf("open the repository of %s: %w", workspace, err)
	}
	return &Repository{Workspace: workspace, Prefix: filepath.FromSlash(strings.TrimSuffix(prefix, "/"))}, nil
}

// Commit resolves a revision.
func (r *Repository) Commit(ctx context.Context, revision string) (string, error) {
	id, err := git(ctx, r.Workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("resolve revision %q: no such commit here (a branch of a remote has to be fetched, and is named origin/BRANCH; a shallow clone lacks history: git fetch --unshallow)", revision)
	}
	return id, nil
}

// Line lists the commits from good to bad, both included, the oldest first. Of a merge the
// first parent counts.
func (r *Repository) Line(ctx context.Context, good, bad string) ([]bisect.Commit, error) {
	good, err := r.Commit(ctx, good)
	if err != nil {
		return nil, err
	}
	if bad, err = r.Commit(ctx, bad); err != nil {
		return nil, err
	}
	if good == bad {
		return nil, fmt.Errorf("good and bad are both %.12s: nothing lies between them", good)
	}
	if _, err := git(ctx, r.Workspace, "merge-base", "--is-ancestor", good, bad); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%.12s is not an ancestor of %.12s: --good has to be an older commit of the same history, such as git merge-base gives", good, bad)
	}
	out, err := git(ctx, r.Workspace, "log", "--first-parent", "--reverse", "--format=%H%x00%P%x00%s", good+".."+bad)
	if err != nil {
		return nil, fmt.Errorf("list the commits from %.12s to %.12s: %w", good, bad, err)
	}
	subject, err := git(ctx, r.Workspace, "log", "-1", "--format=%s", good)
	if err != nil {
		return nil, fmt.Errorf("read %.12s: %w", good, err)
	}
	commits := []bisect.Commit{{ID: good, Subject: subject}}
	for line := range strings.SplitSeq(out, "\n") {
		fields := strings.SplitN(line, "\x00", 3)
		if len(fields) != 3 {
			continue
		}
		if len(commits) == 1 {
			if first, _, _ := strings.Cut(fields[1], " "); first != good {
				return nil, offLine(good, bad, first)
			}
		}
		commits = append(commits, bisect.Commit{ID: fields[0], Subject: fields[2]})
	}
	return commits, nil
}

// offLine says why good is no commit of the line of first parents that leads to bad. The
// nearest is that commit of the line which the oldest one that good lacks comes after.
func offLine(good, bad, nearest string) error {
	if nearest == "" {
		return fmt.Errorf("%.12s came into the history of %.12s by a merge: name a commit of git log --first-parent %.12s as --good", good, bad, bad)
	}
	return fmt.Errorf("%.12s came into the history of %.12s by a merge, and what is bisected is the line of first parents: --good=%.12s is the newest commit of it that has no more than %.12s", good, bad, nearest, good)
}

// Tree is a work tree for commits.
type Tree struct {
	repository *Repository
	// Dir is its folder, Root the workspace in it.
	Dir, Root string
}

// Tree is the work tree in this folder, which Switch makes where it is not there.
func (r *Repository) Tree(dir string) *Tree {
	return &Tree{repository: r, Dir: dir, Root: filepath.Join(dir, r.Prefix)}
}

// Switch has the tree contain exactly the commit's files, and those that git ignores there.
func (t *Tree) Switch(ctx context.Context, commit string) error {
	if _, err := os.Stat(filepath.Join(t.Dir, ".git")); errors.Is(err, fs.ErrNotExist) {
		// What is registered of a folder that was removed by hand is in the way.
		if _, err := git(ctx, t.repository.Workspace, "worktree", "prune"); err != nil {
			return fmt.Errorf("make a work tree: %w", err)
		}
		if err := os.RemoveAll(t.Dir); err != nil {
			return fmt.Errorf("make a work tree: %w", err)
		}
		if _, err := git(ctx, t.repository.Workspace, "worktree", "add", "--quiet", "--force", "--detach", t.Dir, commit); err != nil {
			return fmt.Errorf("make a work tree of %.12s: %w", commit, err)
		}
	} else if _, err := git(ctx, t.Dir, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return fmt.Errorf("check out %.12s: %w", commit, err)
	}
	if _, err := git(ctx, t.Dir, "clean", "-ffdq"); err != nil {
		return fmt.Errorf("clean the work tree of %.12s: %w", commit, err)
	}
	if _, err := os.Stat(t.Root); err != nil {
		return fmt.Errorf("check out %.12s: the workspace %s is not there", commit, t.repository.Prefix)
	}
	return nil
}

// Remove removes the tree, and what git knows of it.
func (t *Tree) Remove(ctx context.Context) error {
	if _, err := os.Stat(t.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := git(ctx, t.repository.Workspace, "worktree", "remove", "--force", "--force", t.Dir); err != nil {
		return fmt.Errorf("remove the work tree: %w", err)
	}
	return nil
}

// git runs git without hooks, which are the person's, and without the variables that a hook
// sets. It returns standard output without its last line's end.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=" + os.DevNull, "-C", dir}, args...)...)
	for _, entry := range os.Environ() {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR":
		default:
			cmd.Env = append(cmd.Env, entry)
		}
	}
	// A terminal's Ctrl-C is for this program: a checkout that is cut off leaves its lock.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
