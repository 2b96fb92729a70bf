package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxOpen bounds the requests that an open loop has under way; those due beyond
// it start late, and their latencies say so.
const maxOpen = 2000

// Latencies summarise how long requests took, in milliseconds.
type Latencies struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// load is what a loop did.
type load struct {
	// requests is the number of those that were answered as they should be.
	requests int
	// errors counts the others, failure is the first of them.
	errors    int
	failure   error
	elapsed   time.Duration
	latencies Latencies
}

// recorder collects the outcomes of one goroutine.
type recorder struct {
	durations []time.Duration
	errors    int
	failure   error
}

func (r *recorder) record(duration time.Duration, err error) {
	if err != nil {
		r.errors++
		if r.failure == nil {
			r.failure = err
		}
		return
	}
	r.durations = append(r.durations, duration)
}

// closedLoop runs clients that each do one request after the other, for the
// duration or, if limit is positive, for so many requests. do gets the number of
// the client and a number that no other request has.
func closedLoop(ctx context.Context, clients int, duration time.Duration, limit int, do func(client, i int) error) load {
	var next atomic.Int64
	recorders := make([]recorder, clients)
	start := time.Now()
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() {
			for ctx.Err() == nil && (duration == 0 || time.Since(start) < duration) {
				i := int(next.Add(1) - 1)
				if limit > 0 && i >= limit {
					return
				}
				began := time.Now()
				err := do(client, i)
				recorders[client].record(time.Since(began), err)
			}
		})
	}
	running.Wait()
	return summarise(recorders, time.Since(start))
}

// openLoop starts requests at a rate per second, for the duration. Latencies
// count from when a request was due, so that a server that stalls can't hide it
// by being sent less.
func openLoop(ctx context.Context, rate int, duration time.Duration, do func(client, i int) error) load {
	total := int(duration.Seconds() * float64(rate))
	interval := time.Second / time.Duration(rate)
	recorders := make([]recorder, maxOpen)
	due := make(chan int, total)
	start := time.Now()
	var running sync.WaitGroup
	for worker := range maxOpen {
		running.Go(func() {
			for i := range due {
				err := do(worker, i)
				recorders[worker].record(time.Since(start.Add(time.Duration(i)*interval)), err)
			}
		})
	}
	for i := range total {
		select {
		case <-time.After(time.Until(start.Add(time.Duration(i) * interval))):
		case <-ctx.Done():
			total = i
		}
		if ctx.Err() != nil {
			break
		}
		due <- i
	}
	close(due)
	running.Wait()
	return summarise(recorders, time.Since(start))
}

func summarise(recorders []recorder, elapsed time.Duration) load {
	l := load{elapsed: elapsed}
	var all []time.Duration
	for _, r := range recorders {
		all = append(all, r.durations...)
		l.errors += r.errors
		if l.failure == nil {
			l.failure = r.failure
		}
	}
	l.requests = len(all)
	slices.Sort(all)
	l.latencies = Latencies{
		P50: percentile(all, 50), P95: percentile(all, 95), P99: percentile(all, 99), Max: percentile(all, 100),
	}
	return l
}

// percentile returns the smallest of the sorted durations that p percent of them
// do not exceed, in milliseconds; 0 if there are none.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return float64(sorted[max(rank, 1)-1]) / float64(time.Millisecond)
}
