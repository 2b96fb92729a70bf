package checkout

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/flakes/internal/fakebazel"
)

func TestMain(m *testing.M) { fakebazel.Main(m) }

// repository is one for a test: a line of commits, and a branch that was merged.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	// No configuration of the machine or of a person.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	r := &repository{t: t, dir: t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes a file of the folder "inner" and commits it.
func (r *repository) commit(content string) string {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, "inner"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "inner", "file"), []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.git("add", "-A")
	r.git("commit", "--quiet", "-m", "write "+content)
	return r.git("rev-parse", "HEAD")
}

// Promise: the line is that of first parents, both ends included, and what is not on it is
// refused with the way out.
func TestLine(t *testing.T) {
	r := newRepository(t)
	one, two := r.commit("one"), r.commit("two")
	r.git("checkout", "--quiet", "-b", "side", one)
	side := r.git("commit-tree", "-p", one, "-m", "side", one+"^{tree}")
	r.git("checkout", "--quiet", "main")
	r.git("merge", "--quiet", "--no-ff", "-m", "merge", side)
	four := r.commit("four")
	repository, err := Open(t.Context(), filepath.Join(r.dir, "inner"))
	if err != nil || repository.Prefix != "inner" {
		t.Fatalf("%+v, %v", repository, err)
	}
	line, err := repository.Line(t.Context(), one[:10], "main")
	if err != nil || len(line) != 4 || line[0].ID != one || line[1].ID != two || line[2].Subject != "merge" || line[3].ID != four || line[3].Subject != "write four" {
		t.Errorf("%v, %v", line, err)
	}
	for want, ends := range map[string][2]string{
		"by a merge, and what is bisected is the line of first parents: --good=" + one[:12]: {side, "main"},
		"is not an ancestor of " + side[:12]:                                                {four, side},
		"nothing lies between":                                                              {"main", "main"},
		`resolve revision "nowhere"`:                                                        {"nowhere", "main"},
		`resolve revision "--verbose"`:                                                      {one, "--verbose"},
		"has to be an older commit of the same history":                                     {"main", one},
	} {
		if _, err := repository.Line(t.Context(), ends[0], ends[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", ends, err, want)
		}
	}
}

// Promise: a tree has exactly a commit's files, the person's is not touched, hooks do not
// run, and nothing is left.
func TestTree(t *testing.T) {
	r := newRepository(t)
	one, two := r.commit("one"), r.commit("two")
	hook := filepath.Join(r.dir, ".git", "hooks", "post-checkout")
	if err := errors.Join(os.MkdirAll(filepath.Dir(hook), 0o755), os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(r.dir, "inner", "file")
	if err := os.WriteFile(mine, []byte("my edit"), 0o644); err != nil {
		t.Fatal(err)
	}
	repository, err := Open(t.Context(), filepath.Join(r.dir, "inner"))
	if err != nil {
		t.Fatal(err)
	}
	tree := repository.Tree(filepath.Join(t.TempDir(), "tree"))
	for _, step := range []struct{ commit, want string }{{two, "two"}, {one, "one"}, {two, "two"}} {
		if err := tree.Switch(t.Context(), step.commit); err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(filepath.Join(tree.Root, "file")); err != nil || string(content) != step.want {
			t.Errorf("%q, %v", content, err)
		}
		if _, err := os.Stat(filepath.Join(tree.Root, "left")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what a test left is still there: %v", err)
		}
		if err := os.WriteFile(filepath.Join(tree.Root, "left"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree.Root, "file"), []byte("an edit"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody removed it by hand.
	if err := os.RemoveAll(tree.Dir); err != nil {
		t.Fatal(err)
	}
	if err := tree.Switch(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := tree.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if list := r.git("worktree", "list"); strings.Count(list, "\n") != 0 {
		t.Errorf("work trees: %s", list)
	}
	if content, err := os.ReadFile(mine); err != nil || string(content) != "my edit" {
		t.Errorf("mine: %q, %v", content, err)
	}
	if err := tree.Switch(t.Context(), strings.Repeat("0", 40)); err == nil {
		t.Error("a commit that is not there is checked out")
	}
}

// Promise: what is no repository is refused.
func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}
