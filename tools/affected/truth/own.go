package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"stormgate.internal/tools/affected/truth/internal/actionkeys"
	"stormgate.internal/tools/affected/truth/internal/bazel"
	"stormgate.internal/tools/affected/truth/internal/catalog"
	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// own is a copy of this repository's last commit, with changes as branches.
type own struct {
	bazel.Workspace
	base  gittree.Tree
	files actionkeys.Files
	trees [][]gittree.Tree // of each change

	baseKeys [2]map[string]actionkeys.Key // as last asked for: all, and without mappings
}

// serverStart is a number that is another one whenever the repository is fetched: once for
// a Bazel server, and after each edit that has its extension evaluated again, such as one
// of the module's version. What reads it, ClusterUp, writes the same bytes whatever it is.
var serverStart = regexp.MustCompile(`^external/[^/]*[~+]stormgate_server/start$`)

// newOwn makes the copy in dir/stormgate. The history before HEAD is left out.
func newOwn(ctx context.Context, opts options, changes []catalog.Change) (*own, error) {
	base, err := gittree.Load(ctx, opts.repository, "HEAD")
	if err != nil {
		return nil, err
	}
	o := &own{base: base}
	o.Root, o.OutputBase, o.Scratch = filepath.Join(opts.dir, "stormgate"), filepath.Join(opts.dir, "output_base"), opts.dir
	o.Startup = []string{patience}
	o.Program = filepath.Join(o.Root, "tools", "bazel")
	o.Flags = []string{"--experimental_convenience_symlinks=ignore", "--disk_cache=" + opts.diskCache}
	o.files = actionkeys.Files{Root: o.Root, OutputBase: o.OutputBase, Same: serverStart.MatchString}
	if err := os.RemoveAll(o.Root); err != nil {
		return nil, err
	}
	branches := []gittree.Branch{{Name: baseBranch, Commits: []gittree.Tree{base}}}
	for i, c := range changes {
		trees, err := c.Trees(base)
		if err != nil {
			return nil, err
		}
		o.trees = append(o.trees, trees)
		branches = append(branches, gittree.Branch{Name: branchOf(i), From: baseBranch, Commits: trees})
	}
	if _, err := gittree.Import(ctx, o.Root, branches, nil); err != nil {
		return nil, err
	}
	return o, o.checkOut(ctx, baseBranch)
}

// keys returns the keys of all tests of `//...` on a branch, and without mappings (see
// actionkeys.Graph). Nothing is executed.
func (o *own) keys(ctx context.Context, branch string) (both [2]map[string]actionkeys.Key, err error) {
	if err := o.checkOut(ctx, branch); err != nil {
		return both, err
	}
	rc, err := os.ReadFile(filepath.Join(o.Root, ".bazelrc"))
	if err != nil {
		return both, err
	}
	graph := filepath.Join(o.Scratch, "graph.pb")
	args := append([]string{"--output=proto", "--output_file=" + graph, "--noinclude_commandline", "--include_artifacts"}, testFlags(string(rc))...)
	if _, output, err := o.Command(ctx, "aquery", append(args, "deps(//...)")...); err != nil {
		return both, fmt.Errorf("bazel aquery: %w\n%s", err, output)
	}
	message, err := os.ReadFile(graph)
	if err != nil {
		return both, err
	}
	read, err := actionkeys.Read(message)
	if err != nil {
		return both, err
	}
	for i := range both {
		read.WithoutMappings = i == 1
		if both[i], err = read.Keys(o.files.Content); err == nil && len(both[i]) == 0 {
			err = errors.New("the action graph has no test")
		}
		if err != nil {
			return both, err
		}
	}
	return both, nil
}

// testFlags returns the flags that a .bazelrc gives to `bazel test` alone: aquery reads
// what it gives to `bazel build` only.
func testFlags(rc string) []string {
	var flags []string
	for line := range strings.Lines(rc) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 && words[0] == "test" {
			flags = append(flags, words[1:]...)
		}
	}
	return flags
}

func (o *own) ends(i int) (base, head gittree.Tree) {
	return o.base, o.trees[i][len(o.trees[i])-1]
}

func (o *own) start(int) string { return baseBranch }

func (o *own) present(ctx context.Context, i int, _ catalog.Change) error {
	return o.checkOut(ctx, branchOf(i))
}

func (o *own) checkOut(ctx context.Context, branch string) error {
	_, err := gittree.Git(ctx, o.Root, nil, "checkout", "--quiet", "--force", branch)
	return err
}

// tries is how often a change is tried while keys of base change by themselves.
const tries = 3

// find compares the action graphs. Selections that only executing could show to be
// beyond truth, by early cut-off, count as truth here.
//
// Base is asked for again after the change. Where a repository of the machine's programs
// is made anew, keys in the graph were others each time, though its files were the same:
// such a change has no truth here, and is an error. A test of which only the mapping of
// repositories has another key is taken for cut off: in the small workspace, where all is
// executed, that was so for all tests after each edit of use_repo.
func (o *own) find(ctx context.Context, i int, _ catalog.Change) (f finding, err error) {
	if o.baseKeys[0] == nil {
		if o.baseKeys, err = o.keys(ctx, baseBranch); err != nil {
			return f, err
		}
	}
	for range tries {
		keys, err := o.keys(ctx, branchOf(i))
		if err != nil {
			return f, err
		}
		before := o.baseKeys
		if o.baseKeys, err = o.keys(ctx, baseBranch); err != nil {
			return f, err
		}
		if drift := changedKeys(before[0], o.baseKeys[0]); len(drift) == 0 {
			f = finding{Tests: sorted(keys[0]), Truth: changedKeys(before[1], keys[1])}
			for _, label := range sorted(changedKeys(before[0], keys[0])) {
				if f.Truth[label] == "" {
					f.CutOff = append(f.CutOff, label)
				}
			}
			return f, nil
		}
	}
	return f, fmt.Errorf("without a change the keys are others each time, %d times in a row", tries)
}

// changedKeys returns the tests whose keys are not the same, with what became of them.
func changedKeys(before, after map[string]actionkeys.Key) map[string]string {
	truth := map[string]string{}
	for label, key := range after {
		switch was, ok := before[label]; {
		case !ok:
			truth[label] = "new"
		case was != key:
			truth[label] = otherKey
		}
	}
	for label := range before {
		if _, ok := after[label]; !ok {
			truth[label] = "no longer there"
		}
	}
	return truth
}
