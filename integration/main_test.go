// Package integration_test holds the tests of the gateway as processes, with a
// real Redis and a real API server, which are killed, stopped and refused in the
// middle of things. What they promise is one sentence: an alert that was answered
// 2xx is in an object, and no incident has two.
//
//	tools/bazel test //integration/...
//	KUBECONFIG=... STORMGATE_GATEWAY=... go test ./integration/...
//
// The tests are long or short by STORMGATE_ROUNDS: "full" makes them as long as
// the promises of the project say (200 rounds, 10,000 alerts).
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
