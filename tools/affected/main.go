// Command affected says which tests a change can affect, and why. It works in any
// Bazel repository that is kept in git.
//
//	tools/bazel run //tools/affected -- --base=origin/main
//	go build -o affected ./tools/affected && affected --base=origin/main --output=json
//
// # How it answers
//
// It evaluates all BUILD files and the .bzl files of the repository twice, as they are
// at the base and at the head, and compares. That happens in this program
// (internal/load), from git's objects (internal/snapshot): there is no second checkout,
// no Bazel server, and nothing of another repository is fetched. `bazel query` needs
// all three: a checkout of each revision, a server with both graphs, and the
// repositories that define the rules. What is evaluated is kept in an index
// (internal/index).
//
// A target has changed if its evaluated definition has: so an edit of a BUILD file
// affects what it changes, not the whole package, and an edit of a .bzl file affects
// the targets whose definition comes out differently, and those of rules whose
// implementation reaches what was edited. Comments, documentation and formatting are
// no changes. From what changed, the graph leads to tests (internal/graph). What is
// configuration is compared by its own units: .bazelrc by options and variables
// (internal/bazelrc), go.mod by modules (internal/gomod), MODULE.bazel by modules,
// toolchains and the repositories that extensions make (internal/module), the workspace
// status by its stable values.
//
// # What it promises
//
// No test is left out whose action Bazel would run again, in the same configuration on
// the same machine. What can't be evaluated or placed counts as affecting all that it
// could, up to everything, and the output says so. //tools/affected/truth holds that
// against the keys of Bazel's own actions; docs/affected.md has what it found.
//
// It doesn't see what is not in git: large ignored folders, the machine, the lines of a
// .bazelrc outside the repository, and what other repositories do with what they are
// given beyond naming labels.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // Bazel's own, which has said what is wrong.
	}
	fmt.Fprintln(os.Stderr, "affected:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}
