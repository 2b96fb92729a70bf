package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"stormgate.internal/tools/affected/truth/internal/actionkeys"
	"stormgate.internal/tools/affected/truth/internal/bazel"
	"stormgate.internal/tools/affected/truth/internal/catalog"
	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// patience lets Bazel's server take longer than two minutes to start, as it does on a
// machine that does much else.
const patience = "--local_startup_timeout_secs=900"

// baseBranch is the branch of the small workspace from which all changes start.
const baseBranch = "base"

// small is the small workspace on disk, with its repository and its Bazel server.
type small struct {
	bazel.Workspace
	files actionkeys.Files
	// Of each change: what it starts from, the name of that branch, and what its commits make.
	starts   []gittree.Tree
	branches []string
	trees    [][]gittree.Tree
	// settled are the branches that changes start from, once they were tested.
	settled map[string]settled
}

// settled is what Bazel says of a branch that changes start from.
type settled struct {
	tests map[string]bazel.Test
	keys  map[string]actionkeys.Key
}

// newSmall makes the repository in dir/mill, in place of an earlier one. Bazel's output
// base is below dir too and stays for the next time.
func newSmall(ctx context.Context, opts options, changes []catalog.Change) (*small, error) {
	base, err := catalog.Workspace()
	if err != nil {
		return nil, err
	}
	s := &small{settled: map[string]settled{}}
	s.Root, s.OutputBase, s.Scratch = filepath.Join(opts.dir, "mill"), filepath.Join(opts.dir, "output_base"), opts.dir
	s.Startup = []string{patience}
	for _, old := range []string{s.Root, filepath.Join(opts.dir, "lib")} {
		if err := os.RemoveAll(old); err != nil {
			return nil, err
		}
	}
	submodule, err := catalog.SubmoduleBranches()
	if err != nil {
		return nil, err
	}
	// .gitmodules names it as ../lib.
	commits, err := gittree.Import(ctx, filepath.Join(opts.dir, "lib"), submodule, nil)
	if err != nil {
		return nil, err
	}
	branches := []gittree.Branch{{Name: baseBranch, Commits: []gittree.Tree{base}}}
	for i, c := range changes {
		start, err := c.Start(base)
		if err != nil {
			return nil, err
		}
		trees, err := c.Trees(start)
		if err != nil {
			return nil, err
		}
		from := baseBranch
		if c.Setup != nil {
			from = fmt.Sprintf("setup-%03d", i+1)
			if known := slices.IndexFunc(s.starts, func(t gittree.Tree) bool { return maps.Equal(t, start) }); known >= 0 {
				from = s.branches[known]
			} else {
				branches = append(branches, gittree.Branch{Name: from, From: baseBranch, Commits: []gittree.Tree{start}})
			}
		}
		s.starts, s.branches, s.trees = append(s.starts, start), append(s.branches, from), append(s.trees, trees)
		if c.Uncommitted {
			trees = trees[:len(trees)-1]
		}
		branches = append(branches, gittree.Branch{Name: branchOf(i), From: from, Commits: trees})
	}
	if _, err := gittree.Import(ctx, s.Root, branches, commits); err != nil {
		return nil, err
	}
	// The workspace's own tools/bazel runs what BAZEL_REAL names, as under Bazelisk;
	// that is stormgate's tools/bazel, which must not take itself for Bazelisk's child.
	real := filepath.Join(opts.dir, "bazel")
	script := fmt.Sprintf("#!/bin/sh\nunset BAZEL_REAL\nexec '%s' \"$@\"\n", filepath.Join(opts.repository, "tools", "bazel"))
	if err := os.WriteFile(real, []byte(script), 0o777); err != nil {
		return nil, err
	}
	s.Program = filepath.Join(s.Root, "tools", "bazel")
	s.Environment = []string{"BAZEL_REAL=" + real}
	// Else Bazel does not notice an edit in a directory that is a source. In a fresh
	// output base it would.
	s.Startup = append(s.Startup, "--host_jvm_args=-DBAZEL_TRACK_SOURCE_DIRECTORIES=1")
	s.Flags = []string{"--experimental_convenience_symlinks=ignore", "--disk_cache=" + opts.diskCache}
	s.files = actionkeys.Files{Root: s.Root, OutputBase: s.OutputBase, Status: true}
	return s, s.checkOut(ctx, baseBranch)
}

func branchOf(i int) string { return fmt.Sprintf("change-%03d", i+1) }

// checkOut makes the files of a branch those of the work tree, whatever is there.
func (s *small) checkOut(ctx context.Context, branch string) error {
	if _, err := gittree.Git(ctx, s.Root, nil, "checkout", "--quiet", "--force", branch); err != nil {
		return err
	}
	// Also what a branch's .gitignore hides, and a submodule that it no longer has.
	if _, err := gittree.Git(ctx, s.Root, nil, "clean", "--quiet", "-ffdx"); err != nil {
		return err
	}
	_, err := gittree.Git(ctx, s.Root, nil, "submodule", "--quiet", "update", "--init", "--force")
	return err
}

// keys returns the keys that a run's graph has.
func (s *small) keys(run *bazel.Run) (map[string]actionkeys.Key, error) {
	graph, err := actionkeys.Read(run.Graph)
	if err != nil {
		return nil, err
	}
	return graph.Keys(s.files.Content)
}

// settle brings Bazel's action cache to the state of a branch that changes start from. The
// first time it notes what that is; it fails if there is a test that does not pass, as such
// a test is never answered from a cache.
func (s *small) settle(ctx context.Context, branch string) (settled, error) {
	was, again := s.settled[branch]
	if err := s.checkOut(ctx, branch); err != nil {
		return was, err
	}
	run, err := s.Test(ctx, !again)
	if err != nil {
		return was, err
	}
	for label, test := range run.Tests {
		if !test.Passed {
			return was, fmt.Errorf("%s does not pass in the workspace without a change:\n%s", label, run.Output)
		}
	}
	if again {
		if !maps.EqualFunc(run.Tests, was.tests, func(a, b bazel.Test) bool { return a.Shards == b.Shards }) {
			return was, fmt.Errorf("back at %s there are other tests than before:\n%s", branch, run.Output)
		}
		return was, nil
	}
	if len(run.Tests) == 0 {
		return was, fmt.Errorf("the workspace has no test:\n%s", run.Output)
	}
	if run.Graph == nil {
		return was, fmt.Errorf("a package can't be loaded in the workspace without a change:\n%s", run.Output)
	}
	now := settled{tests: run.Tests}
	if now.keys, err = s.keys(run); err != nil {
		return was, err
	}
	// And once more: what is not in the cache now never is.
	if run, err = s.Test(ctx, false); err != nil {
		return was, err
	}
	for label, test := range run.Tests {
		if test.Fresh {
			return was, fmt.Errorf("%s runs again although nothing changed:\n%s", label, run.Output)
		}
	}
	s.settled[branch] = now
	return now, nil
}

func (s *small) ends(i int) (base, head gittree.Tree) {
	return s.starts[i], s.trees[i][len(s.trees[i])-1]
}

func (s *small) start(i int) string { return s.branches[i] }

// present makes a change's files those of the work tree.
func (s *small) present(ctx context.Context, i int, c catalog.Change) error {
	if err := s.checkOut(ctx, branchOf(i)); err != nil || !c.Uncommitted {
		return err
	}
	committed, trees := s.starts[i], s.trees[i]
	if len(trees) > 1 {
		committed = trees[len(trees)-2]
	}
	return gittree.WriteOut(s.Root, committed, trees[len(trees)-1])
}

// find tests what the change starts from, and then the change. It fails if Bazel runs a
// test again whose key in the action graph is the same: one of the two is wrong then.
func (s *small) find(ctx context.Context, i int, c catalog.Change) (f finding, err error) {
	base, err := s.settle(ctx, s.start(i))
	if err != nil {
		return f, err
	}
	if err := s.present(ctx, i, c); err != nil {
		return f, err
	}
	run, err := s.Test(ctx, true)
	if err != nil {
		return f, err
	}
	f.Tests, f.Truth = sorted(run.Tests), changed(base.tests, run.Tests)
	if run.Graph == nil {
		return f, nil
	}
	keys, err := s.keys(run)
	if err != nil {
		return f, err
	}
	for _, label := range f.Tests {
		switch reason := f.Truth[label]; {
		case reason == "" && keys[label] != base.keys[label]:
			f.CutOff = append(f.CutOff, label)
		case reason == otherKey && keys[label] == base.keys[label]:
			return f, fmt.Errorf("Bazel ran %s again, whose key in the action graph is the same", label)
		}
	}
	return f, nil
}

// otherKey is why most tests belong to the truth.
const otherKey = "another key"

// changed returns the tests whose keys are not the same in two runs, with what became of
// them. The second run is the one after the first.
func changed(before, after map[string]bazel.Test) map[string]string {
	truth := map[string]string{}
	for label, test := range after {
		was, ok := before[label]
		switch {
		case !ok:
			truth[label] = "new"
		case was.Shards != test.Shards:
			truth[label] = "other shards"
		case test.Fresh:
			truth[label] = otherKey
		}
	}
	for label := range before {
		if _, ok := after[label]; !ok {
			truth[label] = "no longer run"
		}
	}
	return truth
}
