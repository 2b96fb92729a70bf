// Package git asks git about a repository: what a revision contains, and what the
// work tree does. It runs the program git, as every other tool of a checkout does:
// so sparse checkouts, partial clones, alternates and filters work as in git itself.
package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Mode is the type of an entry of a tree, as git writes it.
type Mode string

// The modes that git knows.
const (
	Regular    Mode = "100644"
	Executable Mode = "100755"
	Symlink    Mode = "120000"
	Submodule  Mode = "160000"
)

// Entry is a file of a tree or of the work tree.
type Entry struct {
	// Path has slashes and begins at the workspace.
	Path string
	Mode Mode
	// ID is git's object id: of a submodule its commit.
	ID string
	// Unwatched says that git was told to take the file of the work tree for unchanged without
	// looking (assume-unchanged, skip-worktree), Sparse that it may rightly be absent
	// (skip-worktree, as in a sparse checkout).
	Unwatched, Sparse bool
}

// Repository is a git repository, or the part of one below a folder.
type Repository struct {
	// Dir is where git runs: the workspace, or a bare repository.
	Dir string
	// Prefix is the workspace's path in the repository, with a slash at its end,
	// or empty if it is the top.
	Prefix string
	// Bare says that there is no work tree.
	Bare bool
	// Shallow says that history is cut off.
	Shallow bool
	// ObjectFormat is sha1 or sha256.
	ObjectFormat string

	objects *objects
	// objectsOnly says that Dir is the folder of the objects, without a work tree.
	objectsOnly bool
	// apart says that it is a submodule: the variables of a hook are its parent's.
	apart bool
}

// Open finds the repository of a folder.
func Open(ctx context.Context, dir string) (*Repository, error) { return open(ctx, dir, false) }

func open(ctx context.Context, dir string, apart bool) (*Repository, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("find git: %w: it is needed to read revisions", err)
	}
	r := &Repository{Dir: dir, apart: apart}
	out, err := r.run(ctx, "rev-parse", "--is-bare-repository", "--is-shallow-repository", "--show-object-format", "--show-prefix")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: revisions can be compared only in a git repository", dir, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 4 {
		return nil, fmt.Errorf("open %s: git rev-parse answered %q", dir, out)
	}
	r.Bare = lines[0] == "true"
	r.Shallow = lines[1] == "true"
	r.ObjectFormat = lines[2]
	r.Prefix = lines[3]
	return r, nil
}

// Close ends the process that reads objects, if there is one.
func (r *Repository) Close() error {
	if r.objects == nil {
		return nil
	}
	err := r.objects.close()
	r.objects = nil
	return err
}

// Commit is the commit that a revision names.
func (r *Repository) Commit(ctx context.Context, revision string) (string, error) {
	if revision == "" || strings.HasPrefix(revision, "-") {
		return "", fmt.Errorf("resolve revision %q: not a revision", revision)
	}
	id := revision
	if strings.HasPrefix(id, ":/") { // What follows is a text to look for, as a whole.
		if out, err := r.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", id); err == nil {
			id = strings.TrimSpace(string(out))
		}
	}
	out, err := r.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", id+"^{commit}")
	if err != nil {
		if kind := r.kind(ctx, revision); kind != "" {
			return "", fmt.Errorf("resolve revision %q: it is a %s, and has no history: name a commit, a branch or a tag of one", revision, kind)
		}
		if r.Shallow {
			return "", fmt.Errorf("resolve revision %q: not in this clone, which is shallow: fetch it with its history (git fetch --unshallow; in actions/checkout: fetch-depth: 0)", revision)
		}
		return "", fmt.Errorf("resolve revision %q: no such commit here: if it is a branch of a remote, fetch it (git fetch origin) and name it origin/BRANCH", revision)
	}
	fields := strings.Fields(string(out))
	if len(fields) == 0 {
		return "", fmt.Errorf("resolve revision %q: git rev-parse answered %q", revision, out)
	}
	return fields[len(fields)-1], nil
}

// kind is what an object is that is here and no commit: a tree or a blob, by its name or by a
// tag; empty for anything else.
func (r *Repository) kind(ctx context.Context, revision string) string {
	id := revision
	for _, suffix := range []string{"", "^{}"} { // After REV:PATH it would be a part of the path.
		out, err := r.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", id+suffix)
		fields := strings.Fields(string(out))
		if err != nil || len(fields) == 0 {
			return ""
		}
		id = fields[len(fields)-1]
	}
	out, err := r.run(ctx, "cat-file", "-t", id)
	if err != nil {
		return ""
	}
	return strings.Replace(strings.TrimSpace(string(out)), "blob", "file (a blob)", 1)
}

// MergeBase is the best common ancestor of two commits.
func (r *Repository) MergeBase(ctx context.Context, a, b string) (string, error) {
	out, err := r.run(ctx, "merge-base", a, b)
	if err != nil {
		if r.Shallow {
			return "", fmt.Errorf("find the merge base of %s and %s: none in this clone, which is shallow: fetch more history (git fetch --unshallow; in actions/checkout: fetch-depth: 0), or compare with the base itself (--exact_base)", a, b)
		}
		return "", fmt.Errorf("find the merge base of %s and %s: they have no common ancestor: compare with the base itself (--exact_base)", a, b)
	}
	return strings.TrimSpace(string(out)), nil
}

// Tree lists the files of a commit, in the order of their paths.
func (r *Repository) Tree(ctx context.Context, commit string) ([]Entry, error) {
	tree := commit
	if r.Prefix != "" {
		tree += ":" + strings.TrimSuffix(r.Prefix, "/")
	}
	out, err := r.run(ctx, "ls-tree", "-r", "-z", "--full-tree", tree)
	if err != nil {
		if r.Prefix != "" {
			if _, missing := r.run(ctx, "rev-parse", "--verify", "--quiet", tree); missing != nil {
				return nil, nil // The workspace's folder did not exist yet.
			}
		}
		return nil, fmt.Errorf("list the files of %s: %w", commit, err)
	}
	return parseTree(out)
}

func parseTree(out []byte) ([]Entry, error) {
	var entries []Entry
	err := parseEntries(out, func(e Entry, fields []string) { // <mode> SP <type> SP <id> TAB <path>
		e.Mode, e.ID = Mode(fields[0]), fields[2]
		entries = append(entries, e)
	})
	return entries, err
}

// parseEntries takes the records of git ls-tree and of git ls-files apart.
func parseEntries(out []byte, take func(e Entry, fields []string)) error {
	for record := range bytes.SplitSeq(out, []byte{0}) {
		if len(record) == 0 {
			continue
		}
		head, name, ok := strings.Cut(string(record), "\t")
		fields := strings.Fields(head)
		if !ok || len(fields) < 3 {
			return fmt.Errorf("parse what git lists: %q", record)
		}
		take(Entry{Path: name}, fields)
	}
	return nil
}

// Staged lists the files of git's index below the workspace. Paths in conflict have
// one entry with an empty ID.
func (r *Repository) Staged(ctx context.Context) ([]Entry, error) {
	out, err := r.run(ctx, "ls-files", "-s", "-v", "-z")
	if err != nil {
		return nil, fmt.Errorf("list tracked files of %s: %w", r.Dir, err)
	}
	return parseStaged(out)
}

func parseStaged(out []byte) ([]Entry, error) {
	var entries []Entry
	var damaged error
	err := parseEntries(out, func(e Entry, fields []string) { // <tag> SP <mode> SP <id> SP <stage> TAB <path>
		if len(fields) != 4 {
			damaged = fmt.Errorf("parse git ls-files: %q", fields)
			return
		}
		tag := fields[0]
		e.Mode = Mode(fields[1])
		e.Sparse = strings.EqualFold(tag, "S")
		e.Unwatched = e.Sparse || tag == strings.ToLower(tag)
		if e.ID = fields[2]; fields[3] != "0" {
			e.ID = ""
			if n := len(entries); n > 0 && entries[n-1].Path == e.Path {
				return
			}
		}
		entries = append(entries, e)
	})
	return entries, errors.Join(err, damaged)
}

// Dirty is a path whose state in the work tree is not that of git's index.
type Dirty struct {
	Path string
	// Mode is that of the work tree; empty if the file is gone.
	Mode Mode
	// Untracked says that git's index lacks it. Then Mode is not known.
	Untracked bool
	// Submodule says that it is the folder of a submodule.
	Submodule bool
	// Ignored says that git ignores it, which may be a whole folder: its path ends with a
	// slash then. Mode is not known.
	Ignored bool
}

// Status lists what in the work tree below the workspace differs from git's index,
// untracked and ignored files included. Git compares content only of files
// whose size, times or inode differ from what it remembers. A folder that is ignored as
// a whole is one entry: "traditional" would list the 200,000 files of a node_modules.
func (r *Repository) Status(ctx context.Context) ([]Dirty, error) {
	out, err := r.run(ctx, "--no-optional-locks", "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching", "--ignore-submodules=none", "--", ".")
	if err != nil {
		return nil, fmt.Errorf("compare the work tree of %s with git's index: %w", r.Dir, err)
	}
	dirty, err := parseStatus(out)
	if err != nil {
		return nil, err
	}
	// With -z paths begin at the top of the repository.
	for i := range dirty {
		dirty[i].Path = strings.TrimPrefix(dirty[i].Path, r.Prefix)
	}
	return dirty, nil
}

func parseStatus(out []byte) ([]Dirty, error) {
	var dirty []Dirty
	for record := range bytes.SplitSeq(out, []byte{0}) {
		line := string(record)
		if line == "" {
			continue
		}
		var fields []string
		switch line[0] {
		case '1': // 1 XY sub mH mI mW hH hI path
			fields = strings.SplitN(line, " ", 9)
			if len(fields) != 9 || len(fields[1]) != 2 {
				return nil, fmt.Errorf("parse git status: %q", line)
			}
			if fields[1][1] == '.' {
				continue
			}
			dirty = append(dirty, Dirty{Path: fields[8], Mode: workMode(fields[5]), Submodule: strings.HasPrefix(fields[2], "S")})
		case 'u': // u XY sub m1 m2 m3 mW h1 h2 h3 path
			fields = strings.SplitN(line, " ", 11)
			if len(fields) != 11 {
				return nil, fmt.Errorf("parse git status: %q", line)
			}
			dirty = append(dirty, Dirty{Path: fields[10], Mode: workMode(fields[6]), Submodule: strings.HasPrefix(fields[2], "S")})
		case '?':
			if len(line) < 3 {
				return nil, fmt.Errorf("parse git status: %q", line)
			}
			dirty = append(dirty, Dirty{Path: line[2:], Untracked: true})
		case '!':
			if len(line) < 3 {
				return nil, fmt.Errorf("parse git status: %q", line)
			}
			dirty = append(dirty, Dirty{Path: line[2:], Ignored: true})
		case '#':
		default:
			return nil, fmt.Errorf("parse git status: %q", line)
		}
	}
	return dirty, nil
}

func workMode(mode string) Mode {
	if strings.Trim(mode, "0") == "" {
		return ""
	}
	return Mode(mode)
}

// Apart is the same repository with another process that reads objects, which serves one
// at a time.
func (r *Repository) Apart() *Repository {
	apart := *r
	apart.objects = nil
	return &apart
}

// Whole is the repository of which this one may be a folder.
func (r *Repository) Whole(ctx context.Context) (*Repository, error) {
	whole := r.Apart()
	if r.Prefix == "" || r.Bare {
		return whole, nil
	}
	out, err := r.run(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("find the top of the repository of %s: %w", r.Dir, err)
	}
	whole.Dir, whole.Prefix = strings.TrimSuffix(string(out), "\n"), ""
	return whole, nil
}

// Blob reads an object.
func (r *Repository) Blob(ctx context.Context, id string) ([]byte, error) {
	if r.objects == nil {
		o, err := startObjects(r.command(ctx, "cat-file", "--batch"))
		if err != nil {
			return nil, err
		}
		r.objects = o
	}
	return r.objects.read(id)
}

// Has says whether an object is here.
func (r *Repository) Has(ctx context.Context, id string) bool {
	_, err := r.run(ctx, "cat-file", "-e", id)
	return err == nil
}

// At is the repository of a submodule, which must be checked out.
func (r *Repository) At(ctx context.Context, folder string) (*Repository, error) {
	dir := path.Join(r.Dir, folder)
	sub, err := open(ctx, dir, true)
	if err != nil {
		return nil, err
	}
	if sub.Prefix != "" {
		return nil, fmt.Errorf("open submodule %s: it is not checked out", folder)
	}
	return sub, nil
}

// Kept is the repository of a submodule that a commit has at a folder and that is not
// checked out now, such as one that was removed since: git keeps its objects.
func (r *Repository) Kept(ctx context.Context, commit, folder string) (*Repository, error) {
	out, err := r.run(ctx, "config", "--blob="+commit+":.gitmodules", "-z", "--get-regexp", `^submodule\..*\.path$`)
	if err != nil {
		return nil, fmt.Errorf("find submodule %s: %w", folder, err)
	}
	for record := range strings.SplitSeq(string(out), "\x00") {
		key, at, _ := strings.Cut(record, "\n")
		if at != r.Prefix+folder {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(key, "submodule."), ".path")
		dir, err := r.run(ctx, "rev-parse", "--path-format=absolute", "--git-path", "modules/"+name)
		if err != nil {
			return nil, fmt.Errorf("find submodule %s: %w", folder, err)
		}
		kept := &Repository{Dir: strings.TrimSuffix(string(dir), "\n"), ObjectFormat: r.ObjectFormat, objectsOnly: true, apart: true}
		if _, err := kept.run(ctx, "rev-parse", "--git-dir"); err != nil {
			return nil, fmt.Errorf("find submodule %s: %w", folder, err)
		}
		return kept, nil
	}
	return nil, fmt.Errorf("find submodule %s: .gitmodules doesn't name it", folder)
}

func (r *Repository) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return nil, fmt.Errorf("git %s: %s", args[0], text)
		}
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

func (r *Repository) command(ctx context.Context, args ...string) *exec.Cmd {
	if r.objectsOnly {
		// Its work tree is said to be where it was checked out, which is no more.
		args = append([]string{"--git-dir=" + r.Dir, "--work-tree=" + r.Dir}, args...)
	}
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.Dir
	if r.apart {
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return slices.Contains(local, name)
		})
	}
	return cmd
}

// local are the variables by which a hook tells git of its repository (git rev-parse
// --local-env-vars). In a submodule they would name another one's index.
var local = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY",
	"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
	"GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
}

// objects is `git cat-file --batch`.
type objects struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startObjects(cmd *exec.Cmd) (*objects, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	return &objects{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

func (o *objects) read(id string) ([]byte, error) {
	if _, err := io.WriteString(o.in, id+"\n"); err != nil {
		return nil, fmt.Errorf("read object %s: %w", id, err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", id, err)
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return nil, fmt.Errorf("read object %s: git says %q: the clone may be incomplete (git fsck)", id, strings.TrimSpace(line))
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("read object %s: git says %q", id, strings.TrimSpace(line))
	}
	content := make([]byte, size+1)
	if _, err := io.ReadFull(o.out, content); err != nil {
		return nil, fmt.Errorf("read object %s: %w", id, err)
	}
	return content[:size], nil
}

func (o *objects) close() error {
	closed := o.in.Close()
	return errors.Join(closed, o.cmd.Wait())
}
