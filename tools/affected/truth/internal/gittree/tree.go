// Package gittree holds the files of commits in memory, edits them, and makes a git
// repository of them.
//
// What is made does not depend on a disk, a clock or a user: the same trees give the
// same commits, with the same hashes. Edits of a Tree run in a unit test without git.
package gittree

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mode is git's mode of a file.
type Mode string

// The modes that git knows of what is not a directory.
const (
	Regular    Mode = "100644"
	Executable Mode = "100755"
	Symlink    Mode = "120000"
	Submodule  Mode = "160000"
)

// Entry is one file.
type Entry struct {
	Mode Mode
	// Content is a regular file's text, a symbolic link's target, or the name that a
	// commit of a submodule has in Import.
	Content string
}

// Tree has the files of one commit by path, with slashes, relative to the top.
// Directories follow from the files, as in git.
type Tree map[string]Entry

// Clone returns a copy.
func (t Tree) Clone() Tree { return maps.Clone(t) }

// Difference returns the paths that are not the same in both, in order.
func Difference(a, b Tree) []string {
	paths := map[string]bool{}
	for path, entry := range a {
		if b[path] != entry {
			paths[path] = true
		}
	}
	for path, entry := range b {
		if a[path] != entry {
			paths[path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Editor changes a Tree. An edit that does not fit the tree, such as of a file that is
// not there, is kept as an error and changes nothing: an edit must follow the files
// that it is written for.
type Editor struct {
	tree   Tree
	errors []error
}

// Edit returns the tree that edits make of another, which stays as it is.
func Edit(t Tree, edits func(*Editor)) (Tree, error) {
	e := &Editor{tree: t.Clone()}
	edits(e)
	return e.tree, errors.Join(e.errors...)
}

func (e *Editor) failf(format string, args ...any) {
	e.errors = append(e.errors, fmt.Errorf(format, args...))
}

// Content returns a file's content, or a link's target.
func (e *Editor) Content(path string) string {
	entry, ok := e.tree[path]
	if !ok {
		e.failf("read %s: no such file", path)
	}
	return entry.Content
}

// Replace replaces the one place in a file where old is.
func (e *Editor) Replace(path, old, replacement string) {
	entry, ok := e.tree[path]
	if n := strings.Count(entry.Content, old); !ok || n != 1 {
		e.failf("edit %s: it has %q %d times, want once", path, old, n)
		return
	}
	entry.Content = strings.Replace(entry.Content, old, replacement, 1)
	e.tree[path] = entry
}

// Append adds text at a file's end.
func (e *Editor) Append(path, text string) {
	entry, ok := e.tree[path]
	if !ok {
		e.failf("append to %s: no such file", path)
		return
	}
	entry.Content += text
	e.tree[path] = entry
}

// Write makes a file. The mode of one that was there stays; a new one is Regular.
func (e *Editor) Write(path, content string) {
	entry, ok := e.tree[path]
	if !ok || (entry.Mode != Regular && entry.Mode != Executable) {
		entry.Mode = Regular
	}
	entry.Content = content
	e.tree[path] = entry
}

// Chmod makes a file executable, or not.
func (e *Editor) Chmod(path string, mode Mode) {
	entry, ok := e.tree[path]
	if !ok || entry.Mode == mode {
		e.failf("change the mode of %s to %s: it is %q", path, mode, entry.Mode)
		return
	}
	entry.Mode = mode
	e.tree[path] = entry
}

// Link makes a symbolic link, in place of what was there.
func (e *Editor) Link(path, target string) {
	e.tree[path] = Entry{Symlink, target}
}

// Put makes path what another tree has there.
func (e *Editor) Put(path string, entry Entry) {
	e.tree[path] = entry
}

// Pin makes path a submodule at a commit, which is named as in Import.
func (e *Editor) Pin(path, commit string) {
	e.tree[path] = Entry{Submodule, commit}
}

// under returns the paths that are path or below it.
func (e *Editor) under(path string) []string {
	var found []string
	for p := range e.tree {
		if p == path || strings.HasPrefix(p, path+"/") {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// Remove deletes a file, or all files of a directory.
func (e *Editor) Remove(path string) {
	found := e.under(path)
	if len(found) == 0 {
		e.failf("remove %s: no such file or directory", path)
	}
	for _, p := range found {
		delete(e.tree, p)
	}
}

// Rename moves a file, or all files of a directory.
func (e *Editor) Rename(from, to string) {
	found := e.under(from)
	if len(found) == 0 {
		e.failf("rename %s: no such file or directory", from)
	}
	for _, p := range found {
		target := to + strings.TrimPrefix(p, from)
		if _, ok := e.tree[target]; ok {
			e.failf("rename %s: %s is there already", p, target)
			continue
		}
		e.tree[target] = e.tree[p]
		delete(e.tree, p)
	}
}
