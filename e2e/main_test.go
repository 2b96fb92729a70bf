// Package e2e_test holds the end-to-end scenarios: what a user of the gateway
// sees, on a real cluster, with a real Redis.
//
//	tools/bazel test //e2e/...                     everything, four shards at a time
//	tools/bazel test //e2e:02_ttl_expiration_test  one scenario
//	  --test_filter='record'                       of it, the specs whose text matches
//	tools/bazel run //e2e/isolation                that no verdict depends on what else runs
//
// On a cluster that exists already, to which the overlay storm is applied. Only the
// scenarios for that overlay are chosen (see e2e/BUILD.bazel):
//
//	KUBECONFIG=... STORMGATE_OVERLAY=storm go test ./e2e -ginkgo.focus-file=01_ -ginkgo.focus-file=06_
//
// One file is one scenario and one test target, which is made of that file and this
// one, so scenarios share nothing but package suite. Bazel's shards divide a scenario's
// top-level containers among them. A spec therefore relies on no other spec, on no
// order, and on no namespace, alert or object that it did not make. It waits for what
// it expects (Eventually, with a deadline). It waits for time to pass only where
// silence itself is the promise.
//
// To add a scenario, add a file and run Gazelle.
package e2e_test

import (
	"testing"

	"stormgate.internal/e2e/suite"
)

func TestMain(m *testing.M) { suite.Main(m) }
