package main

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

	"golang.org/x/sys/unix"
)

// scratch is a copy of the repository in which mutants are made, kept between runs
// together with what Bazel built of it.
type scratch struct {
	dir  string
	lock *os.File
}

// root is the copy's own directory.
func (s *scratch) root() string { return filepath.Join(s.dir, "workspace") }

// outputBase is Bazel's.
func (s *scratch) outputBase() string { return filepath.Join(s.dir, "output_base") }

// lister returns the files of a repository, relative to it; it may have some that are
// not there.
type lister func(ctx context.Context, repository string) ([]string, error)

// gitFiles lists the files that git tracks and the new ones that git does not ignore.
func gitFiles(ctx context.Context, repository string) ([]string, error) {
	git := exec.CommandContext(ctx, "git", "-C", repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("list its files: %w", err)
	}
	return strings.Split(strings.TrimRight(string(list), "\x00"), "\x00"), nil
}

// newScratch brings the copy in dir up to date with the repository. It copies the files
// that list names, as they are now. No other process can use the directory until close.
func newScratch(ctx context.Context, repository, dir string, list lister) (*scratch, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &scratch{dir: dir, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another run uses %s, choose another --dir: %w", dir, err), s.close())
	}
	if err := s.sync(ctx, repository, list); err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s: %w", repository, err), s.close())
	}
	return s, nil
}

func (s *scratch) close() error { return s.lock.Close() }

func (s *scratch) sync(ctx context.Context, repository string, list lister) error {
	files, err := list(ctx, repository)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, file := range files {
		switch err := copyFile(filepath.Join(repository, file), filepath.Join(s.root(), file)); {
		case errors.Is(err, fs.ErrNotExist): // deleted, and the deletion is not staged yet
		case err != nil:
			return err
		default:
			wanted[file] = true
		}
	}
	return filepath.WalkDir(s.root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := filepath.Rel(s.root(), path)
		if err == nil && !wanted[file] {
			err = os.Remove(path)
		}
		return err
	})
}

// copyFile does not touch a copy that is right, so that Bazel need not read it again.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if have, err := os.Readlink(to); err == nil && have == link {
			return nil
		}
		return replace(to, func() error { return os.Symlink(link, to) })
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if have, err := os.Lstat(to); err == nil && have.Mode() == info.Mode() {
		if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, content) {
			return nil
		}
	}
	return replace(to, func() error { return os.WriteFile(to, content, info.Mode().Perm()) })
}

// replace makes a file where there may be another.
func replace(file string, create func() error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	return create()
}
