// Package ground connects what a suite stands on with what runs the suite.
//
// A package that lends something to a test process, such as tools/fixture/client,
// registers it here. A package that runs tests, such as tools/ginkgo, asks here before
// it gives a verdict. So neither imports the other, and no TestMain can forget to
// connect them: a verdict without the attestation of its ground is not one.
package ground

import (
	"context"
	"slices"
	"sync"
)

// Ground is something that a verdict depends on, beside the test's own code.
type Ground struct {
	// Name is for messages, such as "environment //e2e:calm".
	Name string
	// Attest reports whether the ground was, up to now, what it has to be. Properties are
	// facts for the test's report. An error means that a pass would not be one. If it has
	// a method Infrastructure() bool that returns true, the failure is not the tested
	// software's. Attest may be called more than once, and after the ground was given
	// back: then it returns what was true at that moment.
	Attest func(ctx context.Context) (properties map[string]string, err error)
	// Measure adds what the ground has executed for the test to the test's coverage, under
	// `bazel coverage`. An error means that it lacks something, and is one of the
	// infrastructure. Failed is that the test has: then nobody wants its coverage, and
	// nothing is asked. Nil means that there is nothing to measure.
	Measure func(ctx context.Context, failed bool) error
	// Exclusive waits until nobody else uses the ground. It returns share, which ends
	// that. Nil means that the ground can't be had exclusively.
	Exclusive func(ctx context.Context) (share func(context.Context) error, err error)
	// Reach says, in lines, how a person gets at the ground and at what the test made there,
	// while a failed spec is paused. Nil means that there is nothing to say.
	Reach func(ctx context.Context) string
}

var (
	mu      sync.Mutex
	grounds []*Ground
)

// Register adds a ground for the rest of this process's life.
func Register(g Ground) {
	mu.Lock()
	defer mu.Unlock()
	grounds = append(grounds, &g)
}

// All returns the registered grounds, in the order in which they were registered.
func All() []*Ground {
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(grounds)
}
