package gittree

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Load reads the tree of a commit. A submodule's entry has the hash of its commit.
func Load(ctx context.Context, dir, revision string) (Tree, error) {
	listing, err := Git(ctx, dir, nil, "ls-tree", "-r", "-z", "--full-tree", "--format=%(objectmode) %(objectname) %(path)", revision)
	if err != nil {
		return nil, err
	}
	tree := Tree{}
	var wanted bytes.Buffer
	var paths []string
	for line := range strings.SplitSeq(strings.TrimSuffix(listing, "\x00"), "\x00") {
		parts := strings.SplitN(line, " ", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("list the files of %s: %q is no entry", revision, line)
		}
		mode, object, path := Mode(parts[0]), parts[1], parts[2]
		tree[path] = Entry{Mode: mode, Content: object}
		if mode != Submodule {
			paths = append(paths, path)
			fmt.Fprintln(&wanted, object)
		}
	}
	contents, err := Git(ctx, dir, wanted.Bytes(), "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	// Each is "HASH blob SIZE", the content and a line's end (git-cat-file(1)).
	for _, path := range paths {
		head, rest, _ := strings.Cut(contents, "\n")
		size, err := strconv.Atoi(head[strings.LastIndex(head, " ")+1:])
		if err != nil || size >= len(rest) {
			return nil, fmt.Errorf("read %s of %s: git says %q", path, revision, head)
		}
		entry := tree[path]
		entry.Content = rest[:size]
		tree[path] = entry
		contents = rest[size+1:]
	}
	return tree, nil
}
