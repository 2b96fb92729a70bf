// Package catalog has a small workspace and the changes of it on which the tool
// affected is compared with Bazel.
//
// The workspace has a little of everything that a Bazel repository can be made of; its
// tests do nothing, as only what Bazel runs again matters. A change is a function of the
// workspace, without a disk or a clock, so that all runs see the same.
package catalog

import (
	"embed"
	"fmt"
	"strings"

	"golang.org/x/tools/txtar"

	"stormgate.internal/tools/affected/truth/internal/gittree"
)

//go:embed workspace/*.txtar
var workspace embed.FS

//go:embed setups/*.txtar
var setups embed.FS

// SubmodulePath is where the workspace has a submodule.
const SubmodulePath = "vendor/lib"

// Workspace returns the small workspace.
func Workspace() (gittree.Tree, error) {
	files, err := workspace.ReadDir("workspace")
	if err != nil {
		return nil, err
	}
	return gittree.Edit(gittree.Tree{}, func(e *gittree.Editor) {
		for _, file := range files {
			content, err := workspace.ReadFile("workspace/" + file.Name())
			if err != nil {
				panic(err) // it is in this program
			}
			for _, f := range txtar.Parse(content).Files {
				e.Write(f.Name, string(f.Data))
				if strings.HasPrefix(string(f.Data), "#!") {
					e.Chmod(f.Name, gittree.Executable)
				}
			}
		}
		e.Link("links/link.txt", "../docs/linked.md")
		e.Link("links/chain.txt", "between.txt")
		e.Link("links/between.txt", "../text/b.txt")
		e.Link("links/directory", "../outside/folder")
		e.Pin(SubmodulePath, "v1")
	})
}

// SubmoduleBranches is the history of the submodule: each branch's name is that of one
// of its commits.
func SubmoduleBranches() ([]gittree.Branch, error) {
	v1 := gittree.Tree{
		"BUILD.bazel": {Mode: gittree.Regular, Content: `exports_files(["lib.txt"])

sh_test(
    name = "lib_test",
    srcs = ["//tools:check.sh"],
    data = ["own.txt"],
)
`},
		"lib.txt": {Mode: gittree.Regular, Content: "lib\n"},
		"own.txt": {Mode: gittree.Regular, Content: "own\n"},
		"README":  {Mode: gittree.Regular, Content: "A library.\n"},
	}
	branches := []gittree.Branch{{Name: "v1", Commits: []gittree.Tree{v1}}}
	for _, b := range []struct {
		name  string
		edits func(*gittree.Editor)
	}{
		{"lib-edited", appendTo("lib.txt", "edited\n")},
		{"readme-edited", appendTo("README", "Edited.\n")},
		{"own-edited", appendTo("own.txt", "edited\n")},
		{"test-added", appendTo("BUILD.bazel", test("more_test", `data = ["lib.txt"]`))},
		{"mode-changed", chmod("README", gittree.Executable)},
	} {
		tree, err := gittree.Edit(v1, b.edits)
		if err != nil {
			return nil, fmt.Errorf("submodule at %s: %w", b.name, err)
		}
		branches = append(branches, gittree.Branch{Name: b.name, From: "v1", Commits: []gittree.Tree{tree}})
	}
	return branches, nil
}

// Change is one change of the workspace.
type Change struct {
	Kind, Name string
	// Setup makes of the workspace the one that this change starts from; nil if that is the
	// workspace itself. What few changes need is no part of what all others are tried on.
	Setup func(*gittree.Editor)
	// Commits are the edits that it is made of, first to last.
	Commits []func(*gittree.Editor)
	// Uncommitted says that the last of them stays in the work tree.
	Uncommitted bool
	// Elsewhere says, if not empty, why tests change their keys on a
	// machine that obeys what this one may not, such as .bazelversion.
	Elsewhere string
	// ElsewhereTests are these tests, all if there are none.
	ElsewhereTests []string
}

// Start returns the workspace before the change.
func (c Change) Start(base gittree.Tree) (gittree.Tree, error) {
	if c.Setup == nil {
		return base, nil
	}
	tree, err := gittree.Edit(base, c.Setup)
	if err != nil {
		return nil, fmt.Errorf("set-up of change %q: %w", c.Name, err)
	}
	return tree, nil
}

// Trees returns the workspace after each of the change's commits, from its Start on.
func (c Change) Trees(start gittree.Tree) ([]gittree.Tree, error) {
	tree := start
	var trees []gittree.Tree
	for i, edits := range c.Commits {
		next, err := gittree.Edit(tree, edits)
		if err != nil {
			return nil, fmt.Errorf("change %q, commit %d: %w", c.Name, i+1, err)
		}
		trees = append(trees, next)
		tree = next
	}
	return trees, nil
}

// Changes returns all changes, in a fixed order.
func Changes() []Change {
	var all []Change
	for _, some := range [][]Change{
		contents(), additions(), deletions(), renames(), modes(), links(), submodules(), outside(), packages(),
		builds(), testAttributes(), starlark(), aspectsAndToolchains(), configuration(),
		modules(), repositories(), golang(), rcFiles(), programs(), histories(), uncommitted(), broken(), pullRequests(),
		refusals(), lines(), onSetups(),
	} {
		all = append(all, some...)
	}
	return all
}

// kind returns changes of one commit each.
func kind(name string, changes ...Change) []Change {
	for i := range changes {
		changes[i].Kind = name
	}
	return changes
}

// on are changes that start from a set-up: a file of setups, of which each part is a file
// of the workspace, or with + before its name what comes at the end of one.
func on(setup string, changes ...Change) []Change {
	content, err := setups.ReadFile("setups/" + setup + ".txtar")
	if err != nil {
		panic(err) // It is in this program.
	}
	edits := func(e *gittree.Editor) {
		for _, f := range txtar.Parse(content).Files {
			if name, more := strings.CutPrefix(f.Name, "+"); more {
				e.Append(name, string(f.Data))
				continue
			}
			e.Write(f.Name, string(f.Data))
			if strings.HasPrefix(string(f.Data), "#!") {
				e.Chmod(f.Name, gittree.Executable)
			}
		}
	}
	for i := range changes {
		changes[i].Setup = edits
	}
	return changes
}

// change is a change of one commit.
func change(name string, edits ...func(*gittree.Editor)) Change {
	return Change{Name: name, Commits: []func(*gittree.Editor){all(edits...)}}
}

func all(edits ...func(*gittree.Editor)) func(*gittree.Editor) {
	return func(e *gittree.Editor) {
		for _, edit := range edits {
			edit(e)
		}
	}
}

// Edits as values, for tables.

func replace(path, old, replacement string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Replace(path, old, replacement) }
}

func write(path, content string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Write(path, content) }
}

func appendTo(path, text string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Append(path, text) }
}

func remove(path string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Remove(path) }
}

func rename(from, to string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Rename(from, to) }
}

func chmod(path string, mode gittree.Mode) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Chmod(path, mode) }
}

func link(path, target string) func(*gittree.Editor) {
	return func(e *gittree.Editor) { e.Link(path, target) }
}

// test is a test's text for a BUILD file.
func test(name string, attributes ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nsh_test(\n    name = %q,\n    srcs = [\"//tools:check.sh\"],\n", name)
	for _, a := range attributes {
		fmt.Fprintf(&b, "    %s,\n", a)
	}
	b.WriteString(")\n")
	return b.String()
}
