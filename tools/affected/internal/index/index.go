// Package index keeps what was loaded of packages between calls.
//
// An entry is valid for the content of its BUILD file and of every .bzl file that it
// loads, for the names of the package's files if it looks at them, and for the names
// that its module has for repositories. Nothing else enters the evaluation of a
// package. So an entry serves every revision that agrees in these, and one index
// serves all branches.
//
// The file has a version and a checksum. It is replaced atomically. What can't be read
// is rebuilt: an index is never needed.
package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// version is raised when the format or what the loader computes changes.
const version = 18

const magic = "stormgate affected index\n"

// variants is how many versions of a package are kept.
const variants = 6

// Index is the loaded packages.
type Index struct {
	file    string
	builder string
	entries map[string][]*entry
	changed bool
	// Problem says why an existing file was not used.
	Problem string
	// Hits and Misses count.
	Hits, Misses int
}

type entry struct {
	build, mapping, listing string
	loads                   []string // file, id, file, id, ...
	pkg                     *load.Package
	used                    bool
}

// Open reads an index. An empty file name keeps nothing. Builder names the program that
// computes the entries: those of another one are not used.
func Open(file, builder string) *Index {
	x := &Index{file: file, builder: builder, entries: map[string][]*entry{}}
	if file == "" {
		return x
	}
	err := x.regular()
	if errors.Is(err, fs.ErrNotExist) {
		return x
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(file)
	}
	if err == nil {
		var entries map[string][]*entry
		if entries, err = decode(content, builder); err == nil {
			x.entries = entries
			return x
		}
	}
	if !errors.Is(err, errOther) {
		x.Problem = fmt.Sprintf("the index %s can't be used and is made anew: %v", file, err)
	}
	x.changed = true
	return x
}

// regular fails for what is no regular file: a device would be replaced by the index, and a
// pipe be waited for.
func (x *Index) regular() error {
	info, err := os.Stat(x.file)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", x.file)
	}
	return err
}

// errOther is an intact index of another version.
var errOther = errors.New("made by another version")

// Package returns a package of a workspace, from the index if it is there.
func (x *Index) Package(w *load.Workspace, loader *load.Loader, mapping, repo, pkg string) (*load.Package, error) {
	file, ok := w.Build(repo, pkg)
	if !ok {
		return nil, fmt.Errorf("load package %s: no BUILD file", pkg)
	}
	key := "@" + repo + "//" + pkg
	build := id(w.Snapshot, file)
	listing := ""
	for _, e := range x.entries[key] {
		if e.build != build || e.mapping != mapping || e.pkg.Build != file {
			continue
		}
		if e.listing != "" {
			if listing == "" {
				listing = w.Listing(repo, pkg)
			}
			if e.listing != listing {
				continue
			}
		}
		fits := true
		for i := 0; i < len(e.loads) && fits; i += 2 {
			fits = id(w.Snapshot, e.loads[i]) == e.loads[i+1]
		}
		if fits {
			x.Hits++
			e.used = true
			return e.pkg, nil
		}
	}
	x.Misses++
	p, err := loader.Package(repo, pkg)
	if err != nil {
		return nil, err
	}
	e := &entry{build: build, mapping: mapping, pkg: p, used: true}
	if p.Globs {
		e.listing = w.Listing(repo, pkg)
	}
	for _, f := range p.Loads {
		e.loads = append(e.loads, f, id(w.Snapshot, f))
	}
	x.entries[key] = append([]*entry{e}, x.entries[key]...)
	x.changed = true
	return p, nil
}

func id(s *snapshot.Snapshot, file string) string {
	e, ok := s.Lookup(file)
	if !ok {
		return ""
	}
	return e.ID
}

// Save writes the index if it has changed. Entries of packages that no snapshot has
// had for a while are dropped.
func (x *Index) Save() error {
	if x.file == "" || !x.changed {
		return nil
	}
	if err := x.regular(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the index: %w: name another place by --index, or none by --index=none", err)
	}
	for key, list := range x.entries {
		slices.SortStableFunc(list, func(a, b *entry) int {
			switch {
			case a.used && !b.used:
				return -1
			case b.used && !a.used:
				return 1
			}
			return 0
		})
		if len(list) > variants {
			x.entries[key] = list[:variants]
		}
	}
	content := encode(x.entries, x.builder)
	dir := filepath.Dir(x.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the index: %w: name another place by --index, or none by --index=none", err)
	}
	temporary, err := os.CreateTemp(dir, ".index-*")
	if err != nil {
		return fmt.Errorf("write the index: %w: name another place by --index, or none by --index=none", err)
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), x.file)
	}
	if err != nil {
		return fmt.Errorf("write the index: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}

func encode(entries map[string][]*entry, builder string) []byte {
	c := &codec{writing: true, table: map[string]uint64{}}
	c.index(&entries, &builder)
	strings := &codec{writing: true}
	n := uint64(len(c.strings))
	strings.number(&n)
	for _, s := range c.strings {
		strings.raw(&s)
	}
	payload := append(strings.data, c.data...)
	sum := sha256.Sum256(payload)
	out := append([]byte(magic), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(out[len(magic):], version)
	out = append(out, sum[:]...)
	return append(out, payload...)
}

func decode(content []byte, builder string) (map[string][]*entry, error) {
	head := len(magic) + 4 + sha256.Size
	if len(content) < head || string(content[:len(magic)]) != magic {
		return nil, errors.New("it is no index")
	}
	if binary.BigEndian.Uint32(content[len(magic):]) != version {
		return nil, errOther
	}
	payload := content[head:]
	if sum := sha256.Sum256(payload); string(sum[:]) != string(content[len(magic)+4:head]) {
		return nil, errors.New("its checksum is wrong")
	}
	c := &codec{data: payload}
	var n uint64
	c.number(&n)
	if n > uint64(len(payload)) {
		return nil, errors.New("it is cut off")
	}
	c.strings = make([]string, n)
	for i := range c.strings {
		c.raw(&c.strings[i])
	}
	entries := map[string][]*entry{}
	made := ""
	c.index(&entries, &made)
	switch {
	case c.bad:
		return nil, errors.New("it is cut off")
	case made != builder:
		return nil, errOther
	}
	return entries, nil
}
