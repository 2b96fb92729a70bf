package main

import (
	"context"
	"fmt"
	"regexp"

	"stormgate.internal/tools/affected/truth/internal/catalog"
	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// Versions of a module that this repository needs indirectly: gazelle's go.mod names
// the older one, so that its files are on a machine that has built this repository.
const (
	indirectModule = "github.com/fsnotify/fsnotify"
	olderVersion   = "v1.7.0"
	olderSum       = "h1:8JEhPFa5W2WU7YfeZzPNqzMP6Lwt7L2715Ggo0nosvA="
)

// ownChanges are changes of this repository as people make them. They must follow the
// files that they name.
func ownChanges() []catalog.Change {
	type edit = func(*gittree.Editor)
	var changes []catalog.Change
	add := func(kind, name string, commits ...edit) {
		changes = append(changes, catalog.Change{Kind: kind, Name: name, Commits: commits})
	}
	appendTo := func(path, text string) edit {
		return func(e *gittree.Editor) { e.Append(path, text) }
	}
	replace := func(path, old, replacement string) edit {
		return func(e *gittree.Editor) { e.Replace(path, old, replacement) }
	}
	both := func(edits ...edit) edit {
		return func(e *gittree.Editor) {
			for _, do := range edits {
				do(e)
			}
		}
	}
	comment := func(path string) edit { return appendTo(path, "\n// A comment more.\n") }

	add("own: service", "a source of the gateway", comment("gateway/storm/window.go"))
	add("own: service", "storm's Lua", appendTo("gateway/storm/scripts/admit.lua", "-- A comment more.\n"))
	add("own: service", "the gateway's main", comment("gateway/cmd/gateway/main.go"))
	add("own: service", "a source's unit test", comment("gateway/storm/window_test.go"))
	add("own: service", "the contract, which a test reads", appendTo("gateway/CONTRACT.md", "\nNothing more.\n"))
	add("own: service", "a new unit test", both(
		func(e *gittree.Editor) {
			e.Write("gateway/amend/more_test.go", "package amend\n\nimport \"testing\"\n\nfunc TestMore(*testing.T) {}\n")
		},
		replace("gateway/amend/BUILD.bazel", `"amend_test.go"`, "\"amend_test.go\",\n        \"more_test.go\"")))
	add("own: scenario", "a scenario", comment("e2e/06_storm_window_ttl_test.go"))
	add("own: scenario", "the scenarios' TestMain", comment("e2e/main_test.go"))
	add("own: scenario", "the scenarios' suite", comment("e2e/suite/storm.go"))
	add("own: scenario", "how many shards", replace("e2e/BUILD.bazel", "srcs = [\"02_ttl_expiration_test.go\"],\n    environment = \":calm\",\n    shard_count = 3,", "srcs = [\"02_ttl_expiration_test.go\"],\n    environment = \":calm\",\n    shard_count = 2,"))
	add("own: manifest", "of one environment", appendTo("gateway/deploy/overlays/storm/kustomization.yaml", "# A comment more.\n"))
	add("own: manifest", "of all environments", appendTo("gateway/deploy/base/rbac.yaml", "# A comment more.\n"))
	add("own: manifest", "of no environment that is tested", appendTo("gateway/deploy/observability/alerts.yaml", "# A comment more.\n"))
	add("own: document", "of the user", appendTo("CHANGELOG.md", "\nNothing more.\n"))
	add("own: document", "a decision has another name", func(e *gittree.Editor) {
		e.Rename("docs/decisions/0008-one-id.md", "docs/decisions/0008-one-identity.md")
	})
	add("own: document", "the rule reference, which a test compares", appendTo("docs/rules.md", "\nNothing more.\n"))
	add("own: tools", "a package that many use", comment("tools/internal/procstat/procstat.go"))
	add("own: tools", "the fixture's client", comment("tools/fixture/client/link.go"))
	add("own: tools", "the Ginkgo bridge", comment("tools/ginkgo/plan.go"))
	add("own: .bzl", "a rule's implementation", replace("tools/fixture/private/environment.bzl", "names = sorted(ctx.attr.forwards.keys())", "names = sorted([name for name in ctx.attr.forwards])"))
	add("own: .bzl", "a comment", appendTo("tools/fixture/private/process_image.bzl", "\n# A comment more.\n"))
	add("own: nogo", "its configuration", replace("tools/nogo/config.json", `"not ours"`, `"of others"`))
	add("own: go.mod", "another version of an indirect module", both(
		func(e *gittree.Editor) {
			setModule(e, "go.mod", `\t`+regexp.QuoteMeta(indirectModule)+` v\S+`, "\t"+indirectModule+" "+olderVersion)
		},
		appendTo("go.sum", indirectModule+" "+olderVersion+" "+olderSum+"\n")))
	add("own: go.mod", "a comment", replace("go.mod", "\ntool (\n", "\n// Programs of other modules.\ntool (\n"))
	add("own: MODULE.bazel", "a comment", appendTo("MODULE.bazel", "\n# A comment more.\n"))
	add("own: MODULE.bazel", "the version of this module", replace("MODULE.bazel", "    name = \"stormgate\",\n    version = \"0.1.0\"", "    name = \"stormgate\",\n    version = \"0.1.1\""))
	add("own: .bazelrc", "a line for the race detector", replace(".bazelrc", "build:race --build_tests_only\n", "build:race --build_tests_only\nbuild:race --jobs=1\n"))
	add("own: .bazelrc", "a variable of all tests", appendTo(".bazelrc", "test --test_env=MORE=1\n"))
	add("own: CI", "its script", appendTo(".ci/run", "# A comment more.\n"))
	add("own: history", "a scenario, storm's Lua and a document", comment("e2e/06_storm_window_ttl_test.go"), appendTo("gateway/storm/scripts/batch.lua", "-- A comment more.\n"), appendTo("README.md", "\nNothing more.\n"))
	add("own: history", "an edit of the gateway, taken back", comment("gateway/server/server.go"), replace("gateway/server/server.go", "\n// A comment more.\n", ""))
	return changes
}

// undo are how many of the last commits a change takes back.
var undo = []int{1, 3, 6}

// lastCommits are changes that take back the last commits: what people did, the other way
// round. A shallow clone may lack some, and a repository may not have as many.
func lastCommits(ctx context.Context, repository string) ([]catalog.Change, error) {
	head, err := gittree.Load(ctx, repository, "HEAD")
	if err != nil {
		return nil, err
	}
	var changes []catalog.Change
	for _, n := range undo {
		before, err := gittree.Load(ctx, repository, fmt.Sprintf("HEAD~%d", n))
		if err != nil {
			break
		}
		changes = append(changes, catalog.Change{Kind: "own: commits", Name: fmt.Sprintf("the last %d taken back", n), Commits: []func(*gittree.Editor){func(e *gittree.Editor) {
			for path := range head {
				if _, ok := before[path]; !ok {
					e.Remove(path)
				}
			}
			for _, path := range sorted(before) {
				if before[path] != head[path] {
					e.Put(path, before[path])
				}
			}
		}}})
	}
	return changes, nil
}

// setModule replaces the one match of a pattern in a file.
func setModule(e *gittree.Editor, path, pattern, replacement string) {
	found := regexp.MustCompile(pattern).FindString(e.Content(path))
	if found == "" {
		found = fmt.Sprintf("what matches %q", pattern)
	}
	e.Replace(path, found, replacement)
}
