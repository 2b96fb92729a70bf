package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// executable puts a shell script in Bazel's place. It may use what the shell itself
// has, and no other program: tests run where there is none.
func executable(t *testing.T, s *scratch, script string) {
	t.Helper()
	write(t, s.root(), "tools/bazel", "#!/bin/sh\nset -eu\n"+script)
	if err := os.Chmod(filepath.Join(s.root(), "tools/bazel"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// repositoryOf makes one with these files.
func repositoryOf(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for file, content := range files {
		write(t, root, file, content)
	}
	return root
}

// allButIgnored lists what git would, for which the tests need no git: the files but
// "ignored", and one that was deleted and whose deletion is not staged.
func allButIgnored(_ context.Context, repository string) ([]string, error) {
	files := []string{"dir/deleted"}
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != "ignored" {
			path, err = filepath.Rel(repository, path)
			files = append(files, path)
		}
		return err
	})
	return files, err
}

func TestScratchIsTheRepositoryAsItIs(t *testing.T) {
	repository := repositoryOf(t, map[string]string{"ignored": "x", "kept": "1", "dir/kept": "2", "script": "3"})
	write(t, repository, "kept", "changed")
	write(t, repository, "new", "4")
	if err := os.Chmod(filepath.Join(repository, "script"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("kept", filepath.Join(repository, "link")); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	write(t, dir, "workspace/left/over", "5") // of an earlier run
	write(t, dir, "workspace/dir/deleted", "6")
	write(t, dir, "workspace/kept", "mutated")
	write(t, dir, "workspace/script", "3")
	s, err := newScratch(t.Context(), repository, dir, allButIgnored)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for file, want := range map[string]string{"kept": "changed", "new": "4", "script": "3", "link": "changed"} {
		if got := read(t, s.root(), file); got != want {
			t.Errorf("%s has %q, want %q", file, got, want)
		}
	}
	for _, file := range []string{"ignored", "dir/deleted", "left/over"} {
		if _, err := os.Lstat(filepath.Join(s.root(), file)); !os.IsNotExist(err) {
			t.Errorf("%s is in the copy (%v)", file, err)
		}
	}
	if info, err := os.Stat(filepath.Join(s.root(), "script")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("script: %v, %v", info.Mode(), err)
	}
	if link, err := os.Readlink(filepath.Join(s.root(), "link")); err != nil || link != "kept" {
		t.Errorf("link: %q, %v", link, err)
	}
}

// Bazel looks again at what has another time.
func TestScratchLeavesAloneWhatIsRight(t *testing.T) {
	repository, dir := repositoryOf(t, map[string]string{"a": "1"}), t.TempDir()
	var before time.Time
	for round := range 2 {
		s, err := newScratch(t.Context(), repository, dir, allButIgnored)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(s.root(), "a"))
		if err != nil {
			t.Fatal(err)
		}
		if round == 1 && !info.ModTime().Equal(before) {
			t.Errorf("a was written again: %v, then %v", before, info.ModTime())
		}
		before = time.Unix(1_000_000_000, 0)
		if err := os.Chtimes(filepath.Join(s.root(), "a"), before, before); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScratchIsForOne(t *testing.T) {
	repository, dir := repositoryOf(t, map[string]string{"a": "1"}), t.TempDir()
	s, err := newScratch(t.Context(), repository, dir, allButIgnored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newScratch(t.Context(), repository, dir, allButIgnored); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second run in the same directory: %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again, err := newScratch(t.Context(), repository, dir, allButIgnored)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}

func TestScratchOfNoRepository(t *testing.T) {
	unknown := errors.New("not a repository")
	list := func(context.Context, string) ([]string, error) { return nil, unknown }
	if _, err := newScratch(t.Context(), t.TempDir(), t.TempDir(), list); !errors.Is(err, unknown) {
		t.Errorf("error %v, want that of the list: a directory that git does not know can't be copied", err)
	}
}
