package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/affected/internal/analysis"
	"stormgate.internal/tools/affected/internal/snapshot"
	"stormgate.internal/tools/internal/gittest"
)

// repository is a git repository in a folder of its own.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	// No configuration of the machine or of a person.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("BUILD_WORKSPACE_DIRECTORY", "")
	t.Setenv("BUILD_WORKING_DIRECTORY", "")
	r := &repository{t: t, dir: t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	r.write(map[string]string{
		"MODULE.bazel": "module(name = \"m\")\n",
		"a/BUILD":      "sh_test(name = \"a_test\", srcs = [\"a.sh\"])\nsh_test(name = \"by_hand_test\", srcs = [\"a.sh\"], tags = [\"manual\"])\n",
		"a/a.sh":       "#!/bin/sh\n",
		"b/BUILD":      "sh_test(name = \"b_test\", srcs = [\"b.sh\"], data = glob([\"*.txt\", \"left/*.txt\"], allow_empty = True))\n",
		"b/b.sh":       "#!/bin/sh\n",
		".gitignore":   "ignored.txt\nleft/\n*.tmp\n",
	})
	r.commit("base")
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

func (r *repository) write(files map[string]string) {
	r.t.Helper()
	for name, content := range files {
		file := filepath.Join(r.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *repository) commit(message string) string {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message="+message)
	return r.git("rev-parse", "HEAD")
}

// run runs the command in the repository.
func (r *repository) run(args ...string) (string, string, error) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := command(&stdout, &stderr)
	cmd.SetArgs(append([]string{"--repository=" + r.dir, "--index=" + filepath.Join(r.dir, ".git", "affected.index")}, args...))
	err := cmd.ExecuteContext(r.t.Context())
	return stdout.String(), stderr.String(), err
}

// labels are the tests that it selects.
func (r *repository) labels(args ...string) string {
	r.t.Helper()
	out, _, err := r.run(append(args, "--target_pattern_file=-")...)
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(strings.Fields(out), " ")
}

// TestWorktree: the work tree is tracked files as they are, and new ones that git
// doesn't ignore, staged or not.
func TestWorktree(t *testing.T) {
	r := newRepository(t)
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"modified", func() { r.write(map[string]string{"a/a.sh": "x"}) }, "//a:a_test"},
		{"staged", func() { r.write(map[string]string{"a/a.sh": "x"}); r.git("add", "a/a.sh") }, "//a:a_test"},
		{"staged and taken back", func() {
			r.write(map[string]string{"a/a.sh": "x"})
			r.git("add", "a/a.sh")
			r.write(map[string]string{"a/a.sh": "#!/bin/sh\n"})
		}, ""},
		{"touched", func() { r.write(map[string]string{"a/a.sh": "#!/bin/sh\n"}) }, ""},
		{"untracked", func() { r.write(map[string]string{"b/new.txt": "x"}) }, "//b:b_test"},
		{"ignored", func() { r.write(map[string]string{"b/ignored.txt": "x"}) }, "//b:b_test"},
		{"an ignored folder", func() { r.write(map[string]string{"b/left/new.txt": "x"}) }, "//b:b_test"},
		{"an ignored folder, read by nothing", func() { r.write(map[string]string{"a/left/new.txt": "x"}) }, ""},
		{"an ignored folder with a package", func() {
			r.write(map[string]string{"a/left/BUILD": "sh_test(name = \"left_test\", srcs = [\"//a:a.sh\"])\n"})
		}, "//a/left:left_test"},
		{"ignored files of a new folder", func() { r.write(map[string]string{"b/fresh/new.tmp": "x"}) }, ""},
		{"ignored, and read by nothing", func() { r.write(map[string]string{"a/ignored.txt": "x"}) }, ""},
		{"deleted", func() { r.remove("b/b.sh") }, "//b:b_test"},
		{"removed", func() { r.git("rm", "--quiet", "b/b.sh") }, "//b:b_test"},
		{"renamed", func() { r.git("mv", "b/b.sh", "b/c.sh") }, "//b:b_test"},
		{"mode", func() { r.chmod("b/b.sh", 0o755) }, "//b:b_test"},
		{"link", func() { r.remove("b/b.sh"); r.link("../a/a.sh", "b/b.sh") }, ""},
		{"link to other content", func() { r.remove("b/b.sh"); r.link("../MODULE.bazel", "b/b.sh") }, "//b:b_test"},
		{"new package", func() { r.write(map[string]string{"c/BUILD": "sh_test(name = \"c_test\", srcs = [\"//a:a.sh\"])\n"}) }, "//c:c_test"},
		{"intent to add", func() { r.write(map[string]string{"b/new.txt": "x"}); r.git("add", "--intent-to-add", "b/new.txt") }, "//b:b_test"},
		{"a repository in the repository", func() {
			r.write(map[string]string{"b/inner/BUILD": "sh_test(name = \"inner_test\", srcs = [\"x.sh\"])\n", "b/inner/x.sh": ""})
			(&repository{t: t, dir: filepath.Join(r.dir, "b/inner")}).git("init", "--quiet")
		}, "//b/inner:inner_test"},
	} {
		c.do()
		if got := r.labels("--base=HEAD"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		r.git("reset", "--quiet", "--hard")
		r.git("clean", "-ffdx", "--quiet")
	}
}

// TestUnwatched: a file that git was told not to look at is compared by its content, since
// Bazel reads it. One that a sparse checkout leaves out is not deleted.
func TestUnwatched(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		do         func(r *repository)
		want       string
	}{
		{"assumed unchanged, and so", "--assume-unchanged", func(*repository) {}, ""},
		{"assumed unchanged, edited", "--assume-unchanged", func(r *repository) { r.write(map[string]string{"b/b.sh": "x"}) }, "//b:b_test"},
		{"assumed unchanged, made executable", "--assume-unchanged", func(r *repository) { r.chmod("b/b.sh", 0o755) }, "//b:b_test"},
		{"assumed unchanged, deleted", "--assume-unchanged", func(r *repository) { r.remove("b/b.sh") }, "//b:b_test"},
		{"skipped, and as it was", "--skip-worktree", func(*repository) {}, ""},
		{"skipped, edited", "--skip-worktree", func(r *repository) { r.write(map[string]string{"b/b.sh": "x"}) }, "//b:b_test"},
		{"skipped, absent", "--skip-worktree", func(r *repository) { r.remove("b/b.sh") }, ""},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			r := newRepository(t)
			r.git("update-index", c.flag, "b/b.sh")
			c.do(r)
			if got := r.labels("--base=HEAD"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			out, _, err := r.run("--base=HEAD", "--output=json")
			if err != nil || strings.Contains(out, `"dirty": true`) != (c.want != "") {
				t.Errorf("whether it is dirty is wrong: %v, %s", err, out)
			}
		})
	}
	r := newRepository(t)
	r.git("sparse-checkout", "set", "--no-cone", "/*", "!/b/")
	if _, err := os.Stat(filepath.Join(r.dir, "b", "b.sh")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the sparse checkout has b/b.sh: %v", err)
	}
	r.write(map[string]string{"a/a.sh": "x"})
	if got := r.labels("--base=HEAD"); got != "//a:a_test" {
		t.Errorf("in a sparse checkout: %q, want what was edited", got)
	}
}

// TestLargeFile: a large file counts by its content as others do, and is not kept in memory.
func TestLargeFile(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{"b/large.txt": strings.Repeat("0123456789abcdef", 1<<18)})
	if got := r.labels("--base=HEAD"); got != "//b:b_test" {
		t.Errorf("new: %q", got)
	}
	r.commit("large")
	if err := os.Chtimes(filepath.Join(r.dir, "b", "large.txt"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	r.git("update-index", "--assume-unchanged", "b/large.txt") // So that it is read here.
	if got := r.labels("--base=HEAD"); got != "" {
		t.Errorf("as it was: %q, want nothing: its id is git's", got)
	}
	r.write(map[string]string{"b/large.txt": strings.Repeat("0123456789abcdeF", 1<<18)})
	if got := r.labels("--base=HEAD"); got != "//b:b_test" {
		t.Errorf("edited: %q", got)
	}
}

// TestCheckOfOutputs: Bazel names the files that a target makes, here the target stands for
// them.
func TestCheckOfOutputs(t *testing.T) {
	base := snapshot.Of(map[string]string{
		"MODULE.bazel": "", "a/BUILD": "genrule(name = \"made\", outs = [\"sub/file\"], cmd = \"\")\nfilegroup(name = \"all\", srcs = [\"sub/file\"])\n",
	})
	answer, err := analysis.Compare(t.Context(), base, base, analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules := []queried{{label: "//a:made", kind: "genrule"}, {label: "//a:all", kind: "filegroup", inputs: []string{"//a:sub/file"}}}
	if differences, _ := compareQuery(answer, rules); len(differences) > 0 {
		t.Errorf("differences: %q", differences)
	}
	rules[1].inputs = []string{"//a:sub/other"}
	if differences, _ := compareQuery(answer, rules); len(differences) != 1 || !strings.Contains(differences[0], "//a:sub/other") {
		t.Errorf("differences: %q, want the file that nothing makes", differences)
	}
}

// TestBothSidesHaveLinks: the sides are read at the same time, and links' texts with that.
// With one process of git for both, each took the other's answers now and then, or waited
// for ever.
func TestBothSidesHaveLinks(t *testing.T) {
	r := newRepository(t)
	for i := range 40 {
		r.write(map[string]string{fmt.Sprintf("b/left%d", i): fmt.Sprint(i)})
		r.link(fmt.Sprintf("left%d", i), fmt.Sprintf("b/%d.txt", i))
	}
	r.commit("links")
	r.write(map[string]string{"a/a.sh": "x"})
	r.commit("an edit")
	for range 6 {
		if got := r.labels("--base=HEAD~1", "--head=HEAD"); got != "//a:a_test" {
			t.Fatalf("%q, want the test whose file was edited", got)
		}
	}
}

// TestLargeIgnoredFolder: it is not looked into, and the answer says so; what else git
// ignores is seen all the same.
func TestLargeIgnoredFolder(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{"a/left/x/new.txt": "x"}
	for i := range 1100 {
		files[fmt.Sprintf("b/left/%d.txt", i)] = "x"
	}
	r.write(files)
	out, _, err := r.run("--base=HEAD")
	if err != nil || !strings.Contains(out, "git ignores b/left/: it counts as unchanged") || strings.Contains(out, "git ignores a/left/") || strings.Contains(out, "//b:b_test") {
		t.Errorf("%v: %s", err, out)
	}
	r.write(map[string]string{"b/ignored.txt": "x"})
	if got := r.labels("--base=HEAD"); got != "//b:b_test" {
		t.Errorf("with a file beside it: %q", got)
	}
}

func (r *repository) remove(name string) {
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) link(target, name string) {
	if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) chmod(name string, mode os.FileMode) {
	if err := os.Chmod(filepath.Join(r.dir, name), mode); err != nil {
		r.t.Fatal(err)
	}
}

// TestMergeBase: what the other branch did since is no change of this one.
func TestMergeBase(t *testing.T) {
	r := newRepository(t)
	r.git("checkout", "--quiet", "-b", "work")
	r.write(map[string]string{"a/a.sh": "work"})
	r.commit("work")
	r.git("checkout", "--quiet", "main")
	r.write(map[string]string{"b/b.sh": "main"})
	r.commit("main")
	for args, want := range map[string]string{
		"--base=main --head=work":              "//a:a_test",
		"--base=main --head=work --exact_base": "//a:a_test //b:b_test",
		"--base=work --head=main":              "//b:b_test",
		"--base=:/^main --head=work":           "//a:a_test",
	} {
		if got := r.labels(strings.Fields(args)...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	r.git("checkout", "--quiet", "--detach", "work")
	if got := r.labels("--base=main"); got != "//a:a_test" {
		t.Errorf("detached: %q", got)
	}
}

func TestSubmodule(t *testing.T) {
	inner := newRepository(t)
	outer := newRepository(t)
	if err := os.Mkdir(filepath.Join(outer.dir, ".git", "modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	// What "git submodule add" does, which is a script that needs more programs.
	outer.git("-c", "protocol.file.allow=always", "clone", "--quiet", "--separate-git-dir="+filepath.Join(outer.dir, ".git", "modules", "sub"), inner.dir, "sub")
	for key, value := range map[string]string{"path": "sub", "url": inner.dir} {
		outer.git("config", "--file=.gitmodules", "submodule.sub."+key, value)
	}
	outer.git("config", "submodule.sub.url", inner.dir)
	outer.git("config", "submodule.sub.active", "true")
	outer.write(map[string]string{"a/BUILD": "sh_test(name = \"a_test\", srcs = [\"a.sh\"], data = [\"//sub/b:b.sh\"])\n", "b/BUILD": "sh_test(name = \"b_test\", srcs = [\"//:sub/MODULE.bazel\"])\n", "BUILD": ""})
	base := outer.commit("add a submodule")
	sub := &repository{t: t, dir: filepath.Join(outer.dir, "sub")}
	sub.write(map[string]string{"b/b.sh": "changed"})
	if got, want := outer.labels("--base="+base), "//a:a_test //sub/b:b_test"; got != want {
		t.Errorf("a changed file of the submodule: %q, want %q", got, want)
	}
	t.Run("in a hook", func(t *testing.T) {
		t.Setenv("GIT_INDEX_FILE", ".git/index") // what pre-commit has
		answer, problem, err := outer.run("--base="+base, "--output=json")
		if err != nil || strings.Contains(answer, "sub/MODULE.bazel") {
			t.Errorf("a changed file of the submodule: %v, %s, %s", err, problem, answer)
		}
	})
	sub.commit("inner")
	if got, want := outer.labels("--base="+base), "//a:a_test //sub/b:b_test"; got != want {
		t.Errorf("another commit of the submodule: %q, want %q", got, want)
	}
	head := outer.commit("outer")
	if got, want := outer.labels("--base="+base, "--head="+head), "//a:a_test //sub/b:b_test"; got != want {
		t.Errorf("between commits: %q, want %q", got, want)
	}
	// Of one that was removed git keeps the files.
	if err := os.RemoveAll(sub.dir); err != nil {
		t.Fatal(err)
	}
	if got, want := outer.labels("--base="+base, "--head="+head), "//a:a_test //sub/b:b_test"; got != want {
		t.Errorf("removed since: %q, want %q", got, want)
	}
	// Where it isn't checked out, its commit stands for its files.
	if err := os.Mkdir(sub.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := outer.labels("--base="+base, "--head="+head); !strings.Contains(got, "//a:a_test") || !strings.Contains(got, "//b:b_test") {
		t.Errorf("not checked out: %q: it misses what reads the submodule", got)
	}
}

// TestFolderOfRepository: the workspace may be a folder of the git repository.
func TestFolderOfRepository(t *testing.T) {
	r := newRepository(t)
	r.git("rm", "--quiet", "MODULE.bazel")
	r.write(map[string]string{"w/MODULE.bazel": "module(name = \"w\")\n", "w/c/BUILD": "sh_test(name = \"c_test\", srcs = [\"c.sh\"])\n", "w/c/c.sh": ""})
	base := r.commit("w")
	r.write(map[string]string{"w/c/c.sh": "x", "a/a.sh": "x"})
	r.dir = filepath.Join(r.dir, "w")
	if err := os.Mkdir(filepath.Join(r.dir, ".git"), 0o755); err != nil { // For the index only.
		t.Fatal(err)
	}
	if got := r.labels("--base="+base, "--index=none"); got != "//c:c_test" {
		t.Errorf("selected %q", got)
	}
}

// TestBesideWorkspace: files of the repository beside the workspace count where it uses them:
// by a link, as a module or a repository, in its options.
func TestBesideWorkspace(t *testing.T) {
	r := newRepository(t)
	r.git("rm", "--quiet", "MODULE.bazel")
	r.write(map[string]string{
		"w/s/MODULE.bazel": "module(name = \"w\")\nbazel_dep(name = \"near\")\nlocal_path_override(module_name = \"near\", path = \"../../near\")\nlocal_repository = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:local.bzl\", \"local_repository\")\nlocal_repository(name = \"q\", path = \"../q\")\n",
		"w/s/.bazelrc":     "import %workspace%/../common.bazelrc\n", "w/common.bazelrc": "test --test_env=A=1\n",
		"w/s/BUILD":         "sh_test(name = \"near_test\", srcs = [\"t.sh\"], data = [\"@near//:f.txt\"])\nsh_test(name = \"link_test\", srcs = [\"t.sh\"], data = [\"link.txt\"])\nsh_test(name = \"folder_test\", srcs = [\"t.sh\"], data = [\"folder/in.txt\"])\nsh_test(name = \"q_test\", srcs = [\"t.sh\"], data = [\"@q//:q\"])\n",
		"w/s/t.sh":          "#!/bin/sh\n",
		"near/MODULE.bazel": "module(name = \"near\")\n", "near/BUILD": "exports_files([\"f.txt\"])\n", "near/f.txt": "1",
		"w/q/BUILD": "filegroup(name = \"q\", srcs = [\"q.txt\"], visibility = [\"//visibility:public\"])\n", "w/q/q.txt": "1",
		"shared/x.txt": "1", "shared/deep/in.txt": "1", "shared/other.txt": "1",
	})
	for link, target := range map[string]string{"link.txt": "../../shared/x.txt", "folder": "../../shared/deep"} {
		if err := os.Symlink(target, filepath.Join(r.dir, "w", "s", link)); err != nil {
			t.Fatal(err)
		}
	}
	base := r.commit("w")
	inner := &repository{t: t, dir: filepath.Join(r.dir, "w", "s")}
	for file, want := range map[string]string{
		"near/f.txt": "//:near_test", "w/q/q.txt": "//:q_test", "shared/x.txt": "//:link_test", "shared/deep/in.txt": "//:folder_test", "shared/other.txt": "",
		"w/common.bazelrc": "//:folder_test //:link_test //:near_test //:q_test", "near/BUILD": "//:near_test",
	} {
		content := "2"
		switch file {
		case "w/common.bazelrc":
			content = "test --test_env=A=2\n"
		case "near/BUILD":
			content = "" // The file is not exported any more.
		}
		r.write(map[string]string{file: content})
		if got := inner.labels("--base="+base, "--index=none"); got != want {
			t.Errorf("%s in the work tree: selected %q, want %q", file, got, want)
		}
		head := r.commit("changed")
		if got := inner.labels("--base="+base, "--head="+head, "--index=none"); got != want {
			t.Errorf("%s in a commit: selected %q, want %q", file, got, want)
		}
		r.git("reset", "--quiet", "--hard", base)
	}
	if got := inner.labels("--base="+base, "--index=none"); got != "" {
		t.Errorf("nothing changed: selected %q", got)
	}
}

// TestPersonalFiles: what a person has beside the commits is there before and after.
func TestPersonalFiles(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{".gitignore": ".bazelrc.user\nMODULE.bazel.lock\n", ".bazelrc": "try-import %workspace%/.bazelrc.user\n"})
	base := r.commit("options")
	r.write(map[string]string{".bazelrc.user": "test --test_env=A=1\n", "MODULE.bazel.lock": "{}"})
	out, _, err := r.run("--base=" + base)
	if err != nil || !strings.Contains(out, "0 tests of") || !strings.Contains(out, "git ignores .bazelrc.user") || !strings.Contains(out, "git ignores MODULE.bazel.lock") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestErrors: what can't be answered is refused with the way out.
func TestErrors(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{"a/a.sh": "2"})
	r.commit("second")
	shallow := &repository{t: t, dir: filepath.Join(t.TempDir(), "shallow")}
	r.git("clone", "--quiet", "--depth=1", "file://"+r.dir, shallow.dir)
	bare := &repository{t: t, dir: filepath.Join(t.TempDir(), "bare")}
	r.git("clone", "--quiet", "--bare", r.dir, bare.dir)
	plain := &repository{t: t, dir: t.TempDir()}
	plain.write(map[string]string{"MODULE.bazel": ""})
	nowhere := &repository{t: t, dir: t.TempDir()}
	r.git("checkout", "--quiet", "--orphan", "orphan")
	r.commit("orphan")

	r.git("tag", "of-tree", "main^{tree}")
	base := r.git("rev-parse", "main~1")
	for _, c := range []struct {
		name string
		r    *repository
		args string
		want string
	}{
		{"unknown revision", r, "--base=nope", "no such commit here"},
		{"a tree", r, "--base=main^{tree}", "it is a tree"},
		{"a file", r, "--base=main:a/a.sh", "it is a file (a blob)"},
		{"a head that is a tree", r, "--base=main --head=main:a", "it is a tree"},
		{"a tag of a tree", r, "--base=of-tree", "it is a tree"},
		{"option as a revision", r, "--base=--all", "not a revision"},
		{"unknown head", r, "--base=main --head=nope", "no such commit here"},
		{"no common ancestor", r, "--base=main --head=orphan", "--exact_base"},
		{"shallow", shallow, "--base=" + base, "fetch-depth: 0"},
		{"bare without a head", bare, "--base=main", "--head"},
		{"no repository", plain, "--base=main", "only in a git repository"},
		{"no workspace", nowhere, "--base=main", "--repository"},
		{"no base", r, "", "--base is missing"},
		{"output", r, "--base=main --output=xml", "text, json or github"},
		{"arguments", r, "--base=main x", "only --run takes any"},
		{"run of a revision", r, "--base=main --head=main --run", "leave out --head"},
		{"explain", r, "--base=main --exact_base --explain=//a:nope", "its package has //a:a_test"},
	} {
		_, _, err := c.r.run(append(strings.Fields(c.args), "--index=none")...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.want)
		}
		var usage *usageError
		if wrong := c.name == "no base" || c.name == "output" || c.name == "arguments" || c.name == "run of a revision"; errors.As(err, &usage) != wrong {
			t.Errorf("%s: usage error: %t", c.name, !wrong)
		}
	}
	if got := bare.labels("--base=main~1", "--head=main", "--index=none"); got != "//a:a_test" {
		t.Errorf("bare: %q", got)
	}
}

// TestUnreadable: a file that can't be read is named.
func TestUnreadable(t *testing.T) {
	r := newRepository(t)
	if os.Getuid() == 0 {
		t.Skip("user 0 may read every file")
	}
	r.write(map[string]string{"b/secret.txt": "x"})
	r.chmod("b/secret.txt", 0)
	if _, _, err := r.run("--base=HEAD"); err == nil || !strings.Contains(err.Error(), "secret.txt") {
		t.Errorf("error is %v", err)
	}
}

// TestConflict: conflict markers in a BUILD file are the package's failure, not the
// tool's.
func TestConflict(t *testing.T) {
	r := newRepository(t)
	r.git("checkout", "--quiet", "-b", "work")
	r.write(map[string]string{"a/BUILD": "# work\n"})
	r.commit("work")
	r.git("checkout", "--quiet", "main")
	r.write(map[string]string{"a/BUILD": "# main\n"})
	r.commit("main")
	cmd := exec.Command("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "merge", "work")
	cmd.Dir = r.dir
	if err := cmd.Run(); err == nil {
		t.Fatal("the merge has no conflict")
	}
	out, _, err := r.run("--base=HEAD~1")
	if err != nil || !strings.Contains(out, "widened: //a: at worktree: a/BUILD:1:1") || !strings.Contains(out, "//a:a_test <- ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestJSON holds the names of the output: programs read them.
func TestJSON(t *testing.T) {
	r := newRepository(t)
	base := r.git("rev-parse", "HEAD")
	r.write(map[string]string{"a/a.sh": "x"})
	out, _, err := r.run("--base=main", "--output=json", "--explain=//b:b_test")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"base":{"name":"main","commit":"` + base + `","given":"` + base + `"},"head":{"name":"worktree","commit":"` + base + `","dirty":true},"total":2,` +
		`"changes":[{"path":"a/a.sh","kind":"modified","from":""}],"everything":[],` +
		`"tests":[{"label":"//a:a_test","kind":"sh_test","state":"changed","tags":[],"chain":[{"node":"//a:a_test","why":"sh_test"},{"node":"//a:a.sh","why":"srcs"},{"node":"a/a.sh","why":"modified"}],"reason":"//a:a_test <- a/a.sh modified"}],` +
		`"removed":[],"widened":[],"unused":[],"notes":[],` +
		`"explanations":[{"label":"//b:b_test","affected":false,"chain":[],"reason":"//b:b_test is not affected: nothing that it depends on is among the 1 changes"}]}`
	var got bytes.Buffer
	if err := json.Compact(&got, []byte(out)); err != nil || got.String() != want {
		t.Errorf("got  %s, %v\nwant %s", got.String(), err, want)
	}
}

func TestText(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{"a/a.sh": "x", "docs.md": "x"})
	out, _, err := r.run("--base=HEAD", "--include_manual", "--explain=//b:b_test")
	for _, want := range []string{
		"2 changed files: 2 tests of 3 between HEAD (", "//a:a_test <- a/a.sh modified\n", "//a:by_hand_test <- a/a.sh modified\n",
		"affects no test: docs.md: it is in no package\n", "explain: //b:b_test is not affected",
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: output lacks %q:\n%s", err, want, out)
		}
	}
}

func TestGitHub(t *testing.T) {
	r := newRepository(t)
	summary, output := filepath.Join(t.TempDir(), "summary"), filepath.Join(t.TempDir(), "output")
	t.Setenv("GITHUB_STEP_SUMMARY", summary)
	t.Setenv("GITHUB_OUTPUT", output)
	r.write(map[string]string{"a/a.sh": "x"})
	out, _, err := r.run("--base=HEAD", "--output=github")
	if err != nil || !strings.Contains(out, "| `//a:a_test` | a/a.sh modified |") {
		t.Errorf("%v\n%s", err, out)
	}
	if content, err := os.ReadFile(summary); err != nil || string(content) != out {
		t.Errorf("summary: %q, %v", content, err)
	}
	if content, err := os.ReadFile(output); err != nil || string(content) != "count=1\neverything=false\ntests=//a:a_test\n" {
		t.Errorf("outputs: %q, %v", content, err)
	}
}

// TestRun: Bazel gets the tests in a file, its flags and the configs, and its exit code
// is the answer. Nothing to run runs nothing.
func TestRun(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{"tools/bazel": "#!/bin/sh\ncommand=\"$1\" file=\"${2#--target_pattern_file=}\"\nshift 2\necho \"$command --target_pattern_file=FILE $*\"\nwhile read -r line; do echo \"$line\"; done <\"$file\"\nexit 3\n"})
	r.chmod("tools/bazel", 0o755)
	r.commit("bazel")
	if out, errs, err := r.run("--base=HEAD", "--run"); err != nil || !strings.Contains(errs, "nothing to run") || strings.Contains(out, "test ") && strings.Contains(out, "pattern_file") {
		t.Errorf("nothing to run: %v\n%s%s", err, out, errs)
	}
	r.write(map[string]string{"a/a.sh": "x"})
	out, _, err := r.run("--base=HEAD", "--config=ci", "--run", "--", "--test_output=all", "-k")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("error is %v", err)
	}
	if want := "test --target_pattern_file=FILE --config=ci --test_output=all -k\n//a:a_test\n"; !strings.HasSuffix(out, want) {
		t.Errorf("Bazel got\n%s\nwant\n%s", out, want)
	}
}

func TestTargetPatternFile(t *testing.T) {
	r := newRepository(t)
	file := filepath.Join(t.TempDir(), "patterns")
	for content, want := range map[string]string{"#!/bin/sh\n": "", "x": "//a:a_test\n"} {
		r.write(map[string]string{"a/a.sh": content})
		if _, _, err := r.run("--base=HEAD", "--target_pattern_file="+file); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

// TestIndexIsUsed: the second call evaluates nothing, and a damaged index is said and
// does not change the answer.
func TestIndexIsUsed(t *testing.T) {
	r := newRepository(t)
	r.write(map[string]string{"a/a.sh": "x"})
	for i, want := range []string{"(2/4 new)", "(0/4 new)"} {
		if _, errs, err := r.run("--base=HEAD", "--verbose"); err != nil || !strings.Contains(errs, want) {
			t.Errorf("call %d: %v\n%s", i+1, err, errs)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, ".git", "affected.index"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := r.run("--base=HEAD", "--target_pattern_file=-"); err != nil || !strings.Contains(errs, "made anew") || out != "//a:a_test\n" {
		t.Errorf("damaged: %v\n%s%s", err, out, errs)
	}
}

func TestMain(m *testing.M) { gittest.Main(m) }
