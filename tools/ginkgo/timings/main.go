// Command timings measures the specs of sharded Ginkgo tests, so that their
// shards can be balanced by time (tools/ginkgo):
//
//	bazel test //e2e/... --runs_per_test=5
//	bazel run //tools/ginkgo/timings            every sharded target that ran
//	bazel run //tools/ginkgo/timings -- //e2e:storm_test
//
// It reads the test.xml files of the last runs from bazel-testlogs and writes
// <target>.timings.json beside each target's BUILD file, to be checked in: the
// median time of each spec that passed, in tenths of a second. The file is an
// input of the test, so the target runs again once.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	workspace := os.Getenv("BUILD_WORKSPACE_DIRECTORY")
	if workspace == "" {
		workspace = "."
	}
	logs := flag.String("logs", "", "where the test.xml files are; default: bazel-testlogs of the workspace")
	flag.Parse()
	if *logs == "" {
		*logs = filepath.Join(workspace, "bazel-testlogs")
	}
	if err := run(os.Stdout, workspace, *logs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "timings:", err)
		os.Exit(1)
	}
}

// run updates the timings of these targets, or of all without one.
func run(out io.Writer, workspace, logs string, labels []string) error {
	found, err := measure(logs)
	if err != nil {
		return err
	}
	chosen, err := choose(found, labels)
	if err != nil {
		return err
	}
	for _, t := range chosen {
		path := filepath.Join(workspace, filepath.FromSlash(t.path)+".timings.json")
		if err := writeTimings(path, t.medians()); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s\n", t.label(), t.summary())
	}
	return nil
}
