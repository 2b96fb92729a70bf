package dedup

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 50 * time.Millisecond
)

// flights are the claims that this process holds. A signal that waits for one of them
// learns of its end at once. One that waits for another replica's claim has to poll.
type flights struct {
	mu      sync.Mutex
	current map[string]*flight
}

type flight struct {
	key  string
	over chan struct{}
}

func (f *flights) start(key string) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		f.current = make(map[string]*flight)
	}
	flight := &flight{key: key, over: make(chan struct{})}
	f.current[key] = flight
	return flight
}

func (f *flights) end(done *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A claim whose lock has expired may have a successor.
	if f.current[done.key] == done {
		delete(f.current, done.key)
	}
	close(done.over)
}

// wait returns when it is worth asking for the claim again. Polls are counted from 0.
// The error is the context's.
func (f *flights) wait(ctx context.Context, key string, poll int) error {
	f.mu.Lock()
	flight := f.current[key]
	f.mu.Unlock()
	var over chan struct{}
	interval := min(firstPoll<<min(poll, 10), lastPoll)
	interval += rand.N(interval)
	if flight != nil {
		over = flight.over
		interval = lockTime
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
