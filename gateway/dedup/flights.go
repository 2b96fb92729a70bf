package dedup

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
	current map[string]*flight // by lock
}

// flight is a claim that this process holds.
type flight struct {
	incident incident
	token    string
	since    time.Time
	// ending is set before its lock is given back. From then on the lock is not its own,
	// though the token may still get it.
	ending atomic.Bool
	over   chan struct{}

	mu sync.Mutex
	// asked is when the call was made that last found the lock to be its own.
	asked time.Time
	// interrupted says that others may have had the lock meanwhile.
	interrupted bool
}

// keys are those of the scripts about locks.
func (f *flight) keys() []string { return []string{f.incident.key(), f.incident.lock()} }

// confirm notes the answer to a call about the lock, and when that was made. An answer that
// comes after the time for which the lock held from the call before says nothing: the lock may
// have expired, and the answer to the call that took it again may have been lost.
func (f *flight) confirm(asked time.Time, ours bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ours || time.Since(f.asked) > lockTime {
		f.interrupted = true
	}
	f.asked = asked
}

// unbroken reports whether nobody else can have had the lock since the flight began.
func (f *flight) unbroken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.interrupted
}

// start begins a flight, or returns that of another signal if there is one of the incident.
// A lock may expire while its holder goes on, since Redis or the cluster is slow. Another
// one would not see what that holder is about to store. The token's call for the lock was made
// at the time asked.
func (f *flights) start(i incident, token string, asked time.Time) (own, other *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.current[i.lock()]; other != nil {
		return nil, other
	}
	if f.current == nil {
		f.current = make(map[string]*flight)
	}
	own = &flight{incident: i, token: token, since: time.Now(), asked: asked, over: make(chan struct{})}
	f.current[i.lock()] = own
	return own, nil
}

func (f *flights) end(done *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.current, done.incident.lock())
	close(done.over)
}

// lasting returns the flights that began that long ago.
func (f *flights) lasting(age time.Duration) (lasting []*flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, flight := range f.current {
		if time.Since(flight.since) >= age {
			lasting = append(lasting, flight)
		}
	}
	return lasting
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
