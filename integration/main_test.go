// Package integration_test holds the tests of the gateway as processes, with a real
// Redis and a real API server. In the middle of the work, processes are killed or
// stopped, and requests are refused. All tests prove one promise: an alert that was
// answered 2xx is in an object, and no incident has two objects.
//
// The parts are in folders of their own: testbed starts gateways and Redis and keeps
// account of alerts, system puts them together with an API server that breaks on
// demand, and bench measures what testbed starts.
//
//	tools/bazel test //integration/...
//	KUBECONFIG=... STORMGATE_GATEWAY=... go test ./integration/...
//
// STORMGATE_ROUNDS=full makes the tests as long as the promises of the project require
// (200 rounds, 10,000 alerts). Without it they are short.
package integration_test

import (
	"os"
	"testing"

	"stormgate.internal/integration/system"
)

func TestMain(m *testing.M) { system.Main(m) }

// rounds is how often a test repeats: so often as promised, or few times.
func rounds(full, few int) int {
	if os.Getenv("STORMGATE_ROUNDS") == "full" {
		return full
	}
	return few
}
