// Command report draws a whole `bazel test` as one HTML page that needs nothing else, and
// writes it in forms for other programs.
//
//	tools/bazel test --config=report //e2e/...
//	tools/bazel run //tools/report
//
// # What it reads
//
// The build event file (internal/buildevent) says what Bazel did. It names each test's
// test.xml (internal/testxml), beside which test.outputs has what a shard on a leased
// environment left (internal/outputs): attestation, boot report, logs, events, objects. The
// log of the fixture's worker (internal/workerlog) has the server's own times of boots,
// deployments and leases. All but the first are optional. internal/run joins them to one
// model: verdicts, time axis, balance. Records of earlier runs (internal/history) say how
// often specs fail, and why a shard ran (internal/cause).
//
// # What it promises
//
// The page shows nothing that was not read. What could not be read is named on it, and what
// was placed by order, not by time, is drawn so. It has at most 2 MB: logs are cut, with a
// count of what is left out.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	err := command(os.Stdout).Execute()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "report:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}
