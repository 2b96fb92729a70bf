package gittree

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stormgate.internal/tools/internal/gittest"
)

func TestEditorRefusesWhatDoesNotFit(t *testing.T) {
	base := Tree{"a": {Regular, "one two two"}, "d/x": {Regular, "x"}}
	for _, c := range []struct {
		name, want string
		edit       func(*Editor)
	}{
		{"text that is not there", `it has "three" 0 times, want once`, func(e *Editor) { e.Replace("a", "three", "") }},
		{"text that is there twice", `it has "two" 2 times, want once`, func(e *Editor) { e.Replace("a", "two", "") }},
		{"edit of an absent file", `edit b: it has`, func(e *Editor) { e.Replace("b", "x", "") }},
		{"append to an absent file", `append to b: no such file`, func(e *Editor) { e.Append("b", "x") }},
		{"read of an absent file", `read b: no such file`, func(e *Editor) { e.Content("b") }},
		{"removal of an absent file", `remove b: no such file or directory`, func(e *Editor) { e.Remove("b") }},
		{"rename of an absent file", `rename b: no such file or directory`, func(e *Editor) { e.Rename("b", "c") }},
		{"rename onto another file", `rename a: d/x is there already`, func(e *Editor) { e.Rename("a", "d/x") }},
		{"the mode that a file has", `change the mode of a to 100644`, func(e *Editor) { e.Chmod("a", Regular) }},
		{"the mode of an absent file", `change the mode of b`, func(e *Editor) { e.Chmod("b", Executable) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, err := Edit(base, c.edit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
			if got := Difference(base, tree); len(got) > 0 {
				t.Errorf("it changed %q", got)
			}
		})
	}
}

func TestEditorEdits(t *testing.T) {
	base := Tree{"a": {Executable, "one"}, "d/x": {Regular, "x"}, "d/y": {Symlink, "x"}}
	got, err := Edit(base, func(e *Editor) {
		e.Replace("a", "one", "two")
		e.Append("a", "!")
		e.Write("a2", e.Content("a"))
		e.Rename("d", "f/d")
		e.Write("f/d/y", "a file now")
		e.Link("l", "a")
		e.Pin("s", "v1")
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Tree{
		"a": {Executable, "two!"}, "a2": {Regular, "two!"}, "f/d/x": {Regular, "x"}, "f/d/y": {Regular, "a file now"},
		"l": {Symlink, "a"}, "s": {Submodule, "v1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("tree is %v, want %v", got, want)
	}
	if base["a"].Content != "one" {
		t.Error("the edit changed the tree that it started from")
	}
}

// What git has must be what the trees say: contents, modes, links, submodules, and that
// the same trees are the same commits.
func TestImportMakesWhatTheTreesSay(t *testing.T) {
	ctx := t.Context()
	library, err := Import(ctx, filepath.Join(t.TempDir(), "library"), []Branch{{Name: "v1", Commits: []Tree{{"f": {Regular, "f\n"}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := Tree{
		"plain": {Regular, "plain\n"}, "run": {Executable, "#!/bin/sh\n"}, "dir/link": {Symlink, "../plain"}, "sub": {Submodule, "v1"},
		"empty": {Regular, ""}, "place": {Regular, "of a directory"},
	}
	head := base.Clone()
	delete(head, "run")
	delete(head, "place")
	head["place/below"] = Entry{Regular, "below\n"}
	head["plain"] = Entry{Executable, "plain\n"}
	branches := []Branch{
		{Name: "base", Commits: []Tree{base}},
		{Name: "head", From: "base", Commits: []Tree{head}},
		{Name: "same", From: "head"},
	}
	var first map[string]string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "workspace")
		hashes, err := Import(ctx, dir, branches, library)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = hashes
		}
		if !reflect.DeepEqual(hashes, first) {
			t.Errorf("the second import made %v, the first %v", hashes, first)
		}
		if hashes["head"] != hashes["same"] || hashes["head"] == hashes["base"] {
			t.Errorf("commits are %v", hashes)
		}
		listing, err := Git(ctx, dir, nil, "ls-tree", "-r", "--format=%(objectmode) %(path)", "head")
		if err != nil {
			t.Fatal(err)
		}
		want := "120000 dir/link\n100644 empty\n100644 place/below\n100755 plain\n160000 sub\n"
		if listing != want {
			t.Errorf("head has\n%swant\n%s", listing, want)
		}
		parents, err := Git(ctx, dir, nil, "log", "--format=%H", "head")
		if err != nil || parents != hashes["head"]+"\n"+hashes["base"]+"\n" {
			t.Errorf("history of head is %q (%v)", parents, err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	one := []Tree{{"s": {Submodule, "v2"}}}
	for _, c := range []struct {
		want     string
		branches []Branch
	}{
		{`branch a: submodule s is at "v2", want one of ["v1"]`, []Branch{{Name: "a", Commits: one}}},
		{"branch b starts from a, which is not before it", []Branch{{Name: "b", From: "a", Commits: one}}},
		{"branch c has no commit", []Branch{{Name: "c"}}},
	} {
		if _, err := Import(t.Context(), t.TempDir(), c.branches, map[string]string{"v1": "0"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
}

func TestGitSaysWhatFailed(t *testing.T) {
	_, err := Git(t.Context(), t.TempDir(), nil, "rev-parse", "HEAD")
	if err == nil || !strings.Contains(err.Error(), "git rev-parse HEAD in ") || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("error is %v", err)
	}
}

func TestWriteOutMakesTheFiles(t *testing.T) {
	dir := t.TempDir()
	base := Tree{"plain": {Regular, "plain"}, "d/e/f": {Regular, "f"}, "s": {Submodule, "v1"}}
	head := Tree{"plain": {Executable, "other"}, "link": {Symlink, "plain"}, "d/e": {Regular, "a file now"}, "s": {Submodule, "v1"}}
	without := func(t Tree) Tree {
		t = t.Clone()
		delete(t, "s")
		return t
	}
	if err := WriteOut(dir, Tree{}, without(base)); err != nil {
		t.Fatal(err)
	}
	if err := WriteOut(dir, base, head); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "link")); err != nil || string(content) != "other" {
		t.Errorf("the link leads to %q (%v)", content, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "plain")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the executable has mode %v (%v)", info.Mode(), err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "d/e")); err != nil || string(content) != "a file now" {
		t.Errorf("the file in place of a directory is %q (%v)", content, err)
	}
	if err := WriteOut(dir, head, without(head)); err == nil || !strings.Contains(err.Error(), "submodules are git's") {
		t.Errorf("a submodule that goes: error is %v", err)
	}
}

func TestLoadReadsWhatImportMade(t *testing.T) {
	dir := t.TempDir()
	tree := Tree{"plain": {Regular, "two\nlines\n"}, "bin/run": {Executable, "#!/bin/sh"}, "empty": {Regular, ""}, "link": {Symlink, "plain"}}
	if _, err := Import(t.Context(), dir, []Branch{{Name: "main", Commits: []Tree{tree}}}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := Load(t.Context(), dir, "main")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, tree) {
		t.Errorf("tree is %v, want %v", got, tree)
	}
	if _, err := Load(t.Context(), dir, "absent"); err == nil {
		t.Error("a revision that is not there has a tree")
	}
}

func TestMain(m *testing.M) { gittest.Main(m) }
