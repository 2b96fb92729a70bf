package storm

import (
	"context"
	"sync/atomic"
	"time"
)

// TestSignal returns an alert about a pod.
var TestSignal = testSignal

// TestPriorities returns a policy by which critical signals in production come first.
var TestPriorities = testPriorities

// SetClock makes the scripts go by a clock of the test, in ms.
func (o *Options) SetClock(clock *atomic.Int64) {
	o.now = clock.Load
}

// Step sees to one batch if one is due, see Run.
func (s *Storms) Step(ctx context.Context) (time.Duration, error) { return s.step(ctx) }

// Wait waits until what is being done beside the requests is done.
func (s *Storms) Wait() { s.settler.running.Wait() }
