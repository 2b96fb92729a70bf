package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := 1; i <= 100; i++ {
		hundred = append(hundred, time.Duration(i)*time.Millisecond)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      int
		want   float64
	}{
		{nil, 50, 0},
		{hundred[:1], 50, 1},
		{hundred[:1], 99, 1},
		{hundred[:2], 50, 1},
		{hundred[:3], 50, 2},
		{hundred, 50, 50},
		{hundred, 95, 95},
		{hundred, 99, 99},
		{hundred, 100, 100},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %d of %d is %g, want %g", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestClosedLoopWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		l := closedLoop(t.Context(), 4, time.Second, 0, func(client, i int) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(10 * time.Millisecond)
			if i%100 == 7 {
				return errors.New("refused")
			}
			return nil
		})
		if most.Load() != 4 {
			t.Errorf("%d requests at once, want 4", most.Load())
		}
		if l.requests != 396 || l.errors != 4 || l.failure == nil || l.elapsed != time.Second {
			t.Errorf("%d requests, %d errors (%v) in %s", l.requests, l.errors, l.failure, l.elapsed)
		}
		if l.latencies != (Latencies{10, 10, 10, 10}) {
			t.Errorf("latencies are %+v", l.latencies)
		}
	})
}

func TestClosedLoopEndsAtItsLimit(t *testing.T) {
	seen := make([]atomic.Int64, 1000)
	l := closedLoop(t.Context(), 7, 0, len(seen), func(_, i int) error {
		seen[i].Add(1)
		return nil
	})
	if l.requests != len(seen) {
		t.Errorf("%d requests, want %d", l.requests, len(seen))
	}
	for i := range seen {
		if n := seen[i].Load(); n != 1 {
			t.Errorf("request %d was done %d times", i, n)
		}
	}
}

func TestClosedLoopEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := closedLoop(ctx, 1, 0, 0, func(_, i int) error {
		if i == 9 {
			cancel()
		}
		return nil
	})
	if l.requests != 10 {
		t.Errorf("%d requests, want 10", l.requests)
	}
}

// A server that stalls for a second at the start makes all that were due
// meanwhile late, though it answers each at once when it gets to it.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := openLoop(t.Context(), 100, 2*time.Second, func(int, int) error {
			time.Sleep(time.Until(start.Add(time.Second)))
			return nil
		})
		if l.requests != 200 || l.errors != 0 {
			t.Errorf("%d requests, %d errors", l.requests, l.errors)
		}
		// Due every 10 ms from 0: 100 of them before the server was there.
		if want := (Latencies{P50: 0, P95: 900, P99: 980, Max: 1000}); l.latencies != want {
			t.Errorf("latencies are %+v", l.latencies)
		}
	})
}
