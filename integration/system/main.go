// Package system is what the integration tests share: real gateway processes, a
// real Redis and a real API server, with a proxy between the gateways and the API
// server that breaks on demand.
package system

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/fixture/client"
)

// acquireLimit is how long the API server may take to be there.
const acquireLimit = 2 * time.Minute

// environment is the API server that all tests of the process use.
var environment *client.Environment

// Main is a TestMain: it leases an API server for the tests.
func Main(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), acquireLimit)
	leased, err := client.Acquire(ctx, client.WithoutForwards())
	cancel()
	if err != nil {
		reportInfrastructure(err)
		os.Exit(1)
	}
	environment = leased
	code := m.Run()
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := leased.Release(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if err := testbed.CoverageError(); err != nil {
		// A pass would be kept in the cache with coverage that lacks something.
		reportInfrastructure(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// reportInfrastructure reports to Bazel that the failure is no verdict on the product.
func reportInfrastructure(err error) {
	fmt.Fprintln(os.Stderr, err)
	if path := os.Getenv("TEST_INFRASTRUCTURE_FAILURE_FILE"); path != "" {
		if err := os.WriteFile(path, []byte(err.Error()+"\n"), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
