// Package snapshot is a workspace's files at one time: of a commit, or of the work
// tree. Two snapshots of a repository can be held at once, without a checkout.
//
// A file's digest is git's object id, in the work tree too. For files that git knows
// and that are unchanged, the id comes from git's index: git compares size, times and
// inode, and reads nothing. Only what is changed or new is read and hashed here.
//
// A symbolic link counts as what it leads to, as in Bazel: a link to a file has that
// file's digest, and below a link to a folder are that folder's files. A submodule's
// files are the files of its commit if it is checked out. If it is not, its commit
// stands for all of them.
package snapshot

import (
	"context"
	"crypto/sha1" //nolint:gosec // Git's object ids.
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/git"
)

// Entry is a file. Symbolic links are resolved: see Link.
type Entry struct {
	// Path has slashes and begins at the workspace; outside of it with "../".
	Path string
	// Mode is git.Regular, git.Executable, git.Symlink (only if it leads nowhere in
	// the workspace) or git.Submodule (only if its files can't be seen).
	Mode git.Mode
	// ID is the content's object id. Of a link that leads nowhere it is that of the
	// link's text, of a submodule it is the commit.
	ID string
	// Link is the path that a symbolic link, in the file's name or in a folder's,
	// leads to; else empty.
	Link string

	read reader
}

type reader func(ctx context.Context, id string) ([]byte, error)

// Snapshot is the files of a workspace. It is not for concurrent use: one process of
// git reads the objects.
type Snapshot struct {
	// Name is the revision as it was given, or "worktree".
	Name string
	// Commit is the commit, of the work tree that of HEAD.
	Commit string
	// Dirty says that it is a work tree with changes to its commit's files.
	Dirty bool
	// Unseen are files and folders of the work tree that git ignores and that are not
	// looked into.
	Unseen []string
	// Files are in the order of their paths.
	Files []Entry
	// Endless are symbolic links that lead to themselves, or to a folder that they are in.
	Endless []string

	byPath  map[string]int
	closers []func() error
	listed  map[string]git.Mode // what was listed before links were resolved
	ignored int                 // files and folders that were found in ignored folders
}

// Lookup finds a file.
func (s *Snapshot) Lookup(name string) (Entry, bool) {
	i, ok := s.byPath[name]
	if !ok {
		return Entry{}, false
	}
	return s.Files[i], true
}

// Mode is the mode of a path before its links are resolved; empty if there is none.
func (s *Snapshot) Mode(name string) git.Mode { return s.listed[name] }

// Read is a file's content.
func (s *Snapshot) Read(ctx context.Context, name string) ([]byte, error) {
	entry, ok := s.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("read %s at %s: %w", name, s.Name, fs.ErrNotExist)
	}
	if entry.Mode == git.Submodule || entry.Mode == git.Symlink {
		return nil, fmt.Errorf("read %s at %s: it is no file", name, s.Name)
	}
	content, err := entry.read(ctx, entry.ID)
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", name, s.Name, err)
	}
	return content, nil
}

// Close ends the processes that read.
func (s *Snapshot) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Commit is the snapshot of a commit.
func Commit(ctx context.Context, repository *git.Repository, name, commit string) (*Snapshot, error) {
	s := &Snapshot{Name: name, Commit: commit}
	if err := s.addTree(ctx, repository, commit, "", 0); err != nil {
		return nil, err
	}
	if err := s.addOutside(ctx, repository, commit); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s.finish(ctx)
}

// Worktree is the snapshot of the work tree: files that git tracks, and new ones also
// if git ignores them. Of ignored folders only small ones are looked into: see mostIgnored.
func Worktree(ctx context.Context, repository *git.Repository, head string) (*Snapshot, error) {
	if repository.Bare {
		return nil, fmt.Errorf("read the work tree of %s: the repository is bare: name a revision by --head", repository.Dir)
	}
	s := &Snapshot{Name: "worktree", Commit: head}
	if err := s.addWorktree(ctx, repository, "", 0); err != nil {
		return nil, err
	}
	if err := s.addOutside(ctx, repository, ""); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s.finish(ctx)
}

// Of makes a snapshot of given files, for tests and for generated repositories. A
// content that begins with "-> " makes a link.
func Of(files map[string]string) *Snapshot {
	s := &Snapshot{Name: "files"}
	contents := map[string][]byte{}
	read := func(_ context.Context, id string) ([]byte, error) { return contents[id], nil }
	for name, content := range files {
		mode := git.Regular
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			mode, content = git.Symlink, target
		} else if strings.HasPrefix(content, "#!") {
			mode = git.Executable
		}
		id := hashBlob(sha1.New(), []byte(content))
		contents[id] = []byte(content)
		s.Files = append(s.Files, Entry{Path: name, Mode: mode, ID: id, read: read})
	}
	s, err := s.finish(context.Background())
	if err != nil {
		panic(err) // Links are read from memory.
	}
	return s
}

const maxNesting = 8 // Submodules in submodules; and links to folders that lead through links.

func (s *Snapshot) addTree(ctx context.Context, repository *git.Repository, commit, prefix string, depth int) error {
	entries, err := repository.Tree(ctx, commit)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Mode == git.Submodule && s.addSubmodule(ctx, repository, e, prefix, depth, commit) {
			continue
		}
		s.Files = append(s.Files, Entry{Path: prefix + e.Path, Mode: e.Mode, ID: e.ID, read: repository.Blob})
	}
	return nil
}

// addSubmodule adds the files of a submodule if they can be seen: those of the work tree,
// or those of a commit.
func (s *Snapshot) addSubmodule(ctx context.Context, repository *git.Repository, e git.Entry, prefix string, depth int, commit string) bool {
	if repository.Bare || depth >= maxNesting {
		return false
	}
	sub, err := repository.At(ctx, e.Path)
	if err != nil && commit != "" {
		// An empty folder is a submodule that nobody has checked out: the work tree, which
		// may be the other side, lacks it too. Without a folder it is of another time.
		if _, missing := os.Lstat(filepath.Join(repository.Dir, filepath.FromSlash(e.Path))); errors.Is(missing, fs.ErrNotExist) {
			sub, err = repository.Kept(ctx, commit, e.Path)
		}
	}
	if err != nil {
		return false
	}
	before := len(s.Files)
	folder := prefix + e.Path + "/"
	if commit == "" {
		err = s.addWorktree(ctx, sub, folder, depth+1)
	} else if sub.Has(ctx, e.ID) {
		err = s.addTree(ctx, sub, e.ID, folder, depth+1)
	} else {
		err = fs.ErrNotExist
	}
	if err != nil {
		s.Files = s.Files[:before]
		return false
	}
	s.closers = append(s.closers, sub.Close)
	return true
}

func (s *Snapshot) addWorktree(ctx context.Context, repository *git.Repository, prefix string, depth int) error {
	type listed struct {
		entries []git.Entry
		err     error
	}
	staged := make(chan listed, 1)
	go func() {
		entries, err := repository.Staged(ctx)
		staged <- listed{entries, err}
	}()
	status, err := repository.Status(ctx)
	index := <-staged
	if err != nil {
		return err
	}
	if index.err != nil {
		return index.err
	}
	dirty := make(map[string]git.Dirty, len(status))
	for _, d := range status {
		if d.Ignored {
			if err := s.addIgnored(repository, prefix, d.Path); err != nil {
				return err
			}
			continue
		}
		s.Dirty = true
		dirty[d.Path] = d
	}
	for _, e := range index.entries {
		d, changed := dirty[e.Path]
		if e.Mode == git.Submodule && (!changed || d.Submodule) {
			if s.addSubmodule(ctx, repository, e, prefix, depth, "") {
				continue
			}
		}
		if !changed && e.Unwatched && e.Mode != git.Submodule {
			there, err := s.addUnwatched(repository, prefix, e)
			if err != nil {
				return err
			}
			if there || !e.Sparse {
				continue
			}
		}
		if !changed {
			s.Files = append(s.Files, Entry{Path: prefix + e.Path, Mode: e.Mode, ID: e.ID, read: repository.Blob})
			continue
		}
		if d.Mode == "" {
			continue // Deleted.
		}
		if err := s.addFile(repository, prefix, e.Path, d.Mode); err != nil {
			return err
		}
	}
	for _, d := range status {
		if !d.Untracked {
			continue
		}
		if folder, ok := strings.CutSuffix(d.Path, "/"); ok {
			if err := s.addFolder(repository, prefix, folder); err != nil {
				return err
			}
			continue
		}
		if err := s.addFile(repository, prefix, d.Path, ""); err != nil {
			return err
		}
	}
	return nil
}

// addUnwatched adds a file that git was told not to look at by its content, and says whether
// it is there. One that a sparse checkout leaves out counts as in the index: nobody deleted it.
func (s *Snapshot) addUnwatched(repository *git.Repository, prefix string, e git.Entry) (bool, error) {
	before := len(s.Files)
	if err := s.addFile(repository, prefix, e.Path, ""); err != nil {
		return false, err
	}
	there := len(s.Files) > before
	if there && (s.Files[before].ID != e.ID || s.Files[before].Mode != e.Mode) || !there && !e.Sparse {
		s.Dirty = true
	}
	return there, nil
}

// mostIgnored is how many files of ignored folders are looked at in all. Bazel's globs
// see them, so that they count; but such a folder may be another program's and have
// 200,000 of them, which would take seconds in each call.
const mostIgnored = 1000

// addIgnored adds a file that git ignores, or the files of a folder: Bazel's globs do
// not ignore them. What is not looked into is noted: a large folder, and a .bazelrc or a
// MODULE.bazel.lock, which is a person's own and was there before.
func (s *Snapshot) addIgnored(repository *git.Repository, prefix, name string) error {
	if base := path.Base(name); strings.Contains(base, "bazelrc") || base == "MODULE.bazel.lock" {
		s.Unseen = append(s.Unseen, prefix+name)
		return nil
	}
	folder, ok := strings.CutSuffix(name, "/")
	if !ok {
		return s.addIgnoredFile(repository, prefix, name)
	}
	files, ok := s.ignoredFiles(repository, folder)
	if !ok {
		s.Unseen = append(s.Unseen, prefix+name)
		return nil
	}
	for _, file := range files {
		if err := s.addIgnoredFile(repository, prefix, file); err != nil {
			return err
		}
	}
	return nil
}

// ignoredFiles are the files of an ignored folder; it fails for one that is too large, or
// that can't be read, such as another user's.
func (s *Snapshot) ignoredFiles(repository *git.Repository, folder string) ([]string, bool) {
	var files []string
	left := mostIgnored - s.ignored
	err := filepath.WalkDir(filepath.Join(repository.Dir, filepath.FromSlash(folder)), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if left--; left < 0 { // Folders count too: they cost the same.
			return errLarge
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return filepath.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(repository.Dir, name)
		files = append(files, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return nil, false
	}
	s.ignored = mostIgnored - left
	return files, true
}

var errLarge = errors.New("too many files")

// addIgnoredFile adds a file by its size and time, and reads it only if it is asked for:
// it may be as large as what programs leave behind, and no commit has it to compare with.
func (s *Snapshot) addIgnoredFile(repository *git.Repository, prefix, name string) error {
	file := filepath.Join(repository.Dir, filepath.FromSlash(name))
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // Deleted since git looked.
	case err != nil:
		return fmt.Errorf("read the work tree: %w", err)
	case info.Mode()&fs.ModeSymlink != 0 && strings.HasPrefix(path.Base(name), "bazel-"):
		return nil // Bazel's own, into which it doesn't look either.
	case !info.Mode().IsRegular():
		return s.addFile(repository, prefix, name, "")
	}
	mode := git.Regular
	if info.Mode()&0o100 != 0 {
		mode = git.Executable
	}
	s.Files = append(s.Files, Entry{
		Path: prefix + name, Mode: mode,
		ID:   hashBlob(sha1.New(), fmt.Appendf(nil, "ignored %q %d %d", prefix+name, info.Size(), info.ModTime().UnixNano())),
		read: func(context.Context, string) ([]byte, error) { return os.ReadFile(file) },
	})
	return nil
}

// addFolder adds a repository in the repository that is no submodule: git looks at
// it as one untracked thing, Bazel as a folder like others.
func (s *Snapshot) addFolder(repository *git.Repository, prefix, folder string) error {
	return filepath.WalkDir(filepath.Join(repository.Dir, folder), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if d.Name() == ".git" {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		relative, err := filepath.Rel(repository.Dir, name)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		return s.addFile(repository, prefix, filepath.ToSlash(relative), "")
	})
}

// addFile adds a file of the work tree by its content.
func (s *Snapshot) addFile(repository *git.Repository, prefix, name string, mode git.Mode) error {
	file := filepath.Join(repository.Dir, filepath.FromSlash(name))
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Deleted since git looked.
	}
	if err != nil {
		return fmt.Errorf("read the work tree: %w", err)
	}
	h := sha1.New()
	if repository.ObjectFormat == "sha256" {
		h = sha256.New()
	}
	var content []byte
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(file)
		if err != nil {
			return fmt.Errorf("read the work tree: %w", err)
		}
		mode, content = git.Symlink, []byte(target)
	case info.Mode().IsRegular():
		if mode != git.Regular && mode != git.Executable {
			mode = git.Regular
			if info.Mode()&0o100 != 0 {
				mode = git.Executable
			}
		}
		if info.Size() > mostKept {
			id, err := hashFile(h, file, info.Size())
			if err != nil {
				return fmt.Errorf("read the work tree: %w: make it readable, or have git ignore it", err)
			}
			s.Files = append(s.Files, Entry{
				Path: prefix + name, Mode: mode, ID: id,
				read: func(context.Context, string) ([]byte, error) { return os.ReadFile(file) },
			})
			return nil
		}
		if content, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("read the work tree: %w: make it readable, or have git ignore it", err)
		}
	default:
		return nil // A socket, a pipe, a folder: no file for Bazel either.
	}
	s.Files = append(s.Files, Entry{
		Path: prefix + name, Mode: mode, ID: hashBlob(h, content),
		read: func(context.Context, string) ([]byte, error) { return content, nil },
	})
	return nil
}

// mostKept is the size, in bytes, up to which a file that was read is kept. A larger one,
// which is no file that Bazel evaluates, is hashed without, and read if it is asked for.
const mostKept = 1 << 20

// hashFile is the object id of a file's content.
func hashFile(h hash.Hash, name string, size int64) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fmt.Fprintf(h, "blob %d\x00", size)
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashBlob(h hash.Hash, content []byte) string {
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// finish sorts, and resolves links.
func (s *Snapshot) finish(ctx context.Context) (*Snapshot, error) {
	s.sort()
	s.listed = make(map[string]git.Mode, len(s.Files))
	links := map[string]string{}
	for _, e := range s.Files {
		s.listed[e.Path] = e.Mode
		if e.Mode != git.Symlink {
			continue
		}
		target, err := e.read(ctx, e.ID)
		if err != nil {
			return nil, fmt.Errorf("read link %s at %s: %w", e.Path, s.Name, err)
		}
		links[e.Path] = string(target)
	}
	if len(links) == 0 {
		return s, nil
	}
	var added []Entry
	for i, e := range s.Files {
		if e.Mode != git.Symlink {
			continue
		}
		final, ok := follow(links, e.Path)
		if !ok {
			if final == "" {
				s.Endless = append(s.Endless, e.Path)
			}
			continue
		}
		if real, ok := s.Lookup(final); ok {
			s.Files[i].Mode, s.Files[i].ID, s.Files[i].Link, s.Files[i].read = real.Mode, real.ID, final, real.read
			continue
		}
		if final == "." || strings.HasPrefix(e.Path, final+"/") {
			s.Endless = append(s.Endless, e.Path)
		}
		s.folder(links, final, e.Path, 0, &added)
	}
	s.Files = append(s.Files, added...)
	s.sort()
	return s, nil
}

// folder adds the files of a folder below a link to it.
func (s *Snapshot) folder(links map[string]string, from, to string, depth int, added *[]Entry) {
	if depth >= maxNesting || from == "." || from == ".." || strings.HasSuffix(from, "/..") || strings.HasPrefix(to+"/", from+"/") {
		return // A link to a folder that it is in itself has no end.
	}
	i, _ := slices.BinarySearchFunc(s.Files, from+"/", func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	for ; i < len(s.Files) && strings.HasPrefix(s.Files[i].Path, from+"/"); i++ {
		e := s.Files[i]
		name := to + e.Path[len(from):]
		link := e.Path
		if _, ok := links[e.Path]; ok {
			final, ok := follow(links, e.Path)
			if !ok {
				continue
			}
			real, ok := s.Lookup(final)
			if !ok {
				s.folder(links, final, name, depth+1, added)
				continue
			}
			e, link = real, final
		}
		*added = append(*added, Entry{Path: name, Mode: e.Mode, ID: e.ID, Link: link, read: e.read})
	}
}

// follow resolves all links in a path. It fails where the path is absolute, which it returns,
// or never ends.
func follow(links map[string]string, name string) (string, bool) {
	for range 40 { // As many as Linux follows.
		replaced := false
		parts := strings.Split(name, "/")
		for i := range parts {
			at := strings.Join(parts[:i+1], "/")
			target, ok := links[at]
			if !ok {
				continue
			}
			if path.IsAbs(target) {
				return target, false
			}
			name = path.Join(path.Dir(at), target, strings.Join(parts[i+1:], "/")) // Outside: see addOutside.
			replaced = true
			break
		}
		if !replaced {
			return name, true
		}
	}
	return "", false
}

func (s *Snapshot) sort() {
	slices.SortFunc(s.Files, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	s.Files = slices.CompactFunc(s.Files, func(a, b Entry) bool { return a.Path == b.Path })
	s.byPath = make(map[string]int, len(s.Files))
	for i, e := range s.Files {
		s.byPath[e.Path] = i
	}
}
