package catalog

import (
	"maps"
	"slices"
	"testing"

	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// What README promises: at least 200 changes, beside those of this repository,
// over all kinds. A kind that lost its last change would go unnoticed in a table.
func TestChangesAreManyAndOfAllKinds(t *testing.T) {
	kinds := map[string]int{}
	names := map[string]bool{}
	changes := Changes()
	for _, c := range changes {
		kinds[c.Kind]++
		if id := c.Kind + ": " + c.Name; names[id] {
			t.Errorf("two changes are named %q", id)
		} else {
			names[id] = true
		}
	}
	if len(changes) < 200 {
		t.Errorf("%d changes, want at least 200", len(changes))
	}
	want := []string{
		".bazelrc", ".bazelversion", ".bzl", "BUILD", "Go", "MODULE.bazel", "addition", "aspect", "broken", "configuration", "content",
		"deletion", "go.mod", "history", "mode", "outside packages", "package", "pull request", "rename", "repository", "submodule", "symlink",
		"test attribute", "toolchain", "tools/bazel", "work tree", "workspace status",
	}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("kinds are %q, want %q", got, want)
	}
}

// An edit that no longer fits the workspace would test nothing.
func TestEveryChangeAppliesAndChangesWhatItSays(t *testing.T) {
	base, err := Workspace()
	if err != nil {
		t.Fatal(err)
	}
	// Those that end where they began.
	nothing := map[string]bool{
		"an edit, taken back": true, "deleted and made again": true, "there and back": true, "a test is added, then removed": true,
		"a mode, and back": true, "a submodule, and back": true, "a commit, taken back": true,
	}
	for _, c := range Changes() {
		start, err := c.Start(base)
		if err != nil {
			t.Error(err)
			continue
		}
		trees, err := c.Trees(start)
		if err != nil {
			t.Error(err)
			continue
		}
		before := start
		for i, tree := range trees {
			if len(gittree.Difference(before, tree)) == 0 {
				t.Errorf("change %q: commit %d changes nothing", c.Name, i+1)
			}
			before = tree
		}
		if same := len(gittree.Difference(start, before)) == 0; same != nothing[c.Name] {
			t.Errorf("change %q: that all is as before is %v, want %v", c.Name, same, nothing[c.Name])
		}
	}
}

// The history of the submodule is the same in every run, or commits would not be.
func TestSubmoduleBranchesHaveWhatChangesPin(t *testing.T) {
	branches, err := SubmoduleBranches()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range branches {
		names = append(names, b.Name)
	}
	base, err := Workspace()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(Changes(), Change{Name: "base"}) {
		start, err := c.Start(base)
		if err != nil {
			t.Fatal(err)
		}
		trees, err := c.Trees(start)
		if err != nil {
			t.Fatal(err)
		}
		for _, tree := range append(trees, base) {
			if entry := tree[SubmodulePath]; entry.Mode == gittree.Submodule && !slices.Contains(names, entry.Content) {
				t.Errorf("change %q pins %q, want one of %q", c.Name, entry.Content, names)
			}
		}
	}
}
