package suite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormgate.internal/gateway/redistest"
)

func TestHoldIsExclusive(t *testing.T) {
	client := newRedisClient(redistest.Start(t).Addr)
	defer client.Close()
	var holders, most atomic.Int32
	var processes sync.WaitGroup
	for range 8 {
		processes.Go(func() {
			h, err := takeHold(t.Context(), client, "hold")
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n > 1 {
				most.Store(n)
			}
			holders.Add(-1)
			if err := h.release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	processes.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d had it at once", n)
	}
}

// A process that waits comes before one that arrives later, even if the later one has
// just had the hold. A process that died while it waited delays the others only briefly.
func TestHoldIsFair(t *testing.T) {
	client := newRedisClient(redistest.Start(t).Addr)
	defer client.Close()
	first, err := takeHold(t.Context(), client, "hold")
	if err != nil {
		t.Fatal(err)
	}
	died, cancel := context.WithCancel(t.Context())
	queue := func() int64 { return client.ZCard(t.Context(), "hold:queue").Val() }
	joined := func(n int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); queue() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", queue(), n)
			}
		}
	}
	go takeHold(died, client, "hold")
	joined(1)
	cancel()
	order := make(chan string, 2)
	var processes sync.WaitGroup
	take := func(name string) {
		processes.Go(func() {
			h, err := takeHold(t.Context(), client, "hold")
			if err != nil {
				t.Error(err)
				return
			}
			order <- name
			if err := h.release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	take("the one that waits")
	joined(2)
	if err := first.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	take("the one that had it")
	processes.Wait()
	if got := <-order; got != "the one that waits" {
		t.Errorf("%s was first", got)
	}
	if n := queue(); n != 0 {
		t.Errorf("%d are left in the queue", n)
	}
}

func TestHoldOfAnother(t *testing.T) {
	client := newRedisClient(redistest.Start(t).Addr)
	defer client.Close()
	mine, err := takeHold(t.Context(), client, "hold")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*Interval)
	defer cancel()
	if _, err := takeHold(ctx, client, "hold"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second hold: %v", err)
	}
	if ttl := client.PTTL(t.Context(), "hold").Val(); ttl <= 0 || ttl > holdTTL {
		t.Errorf("the hold of a process that is killed lasts %s", ttl)
	}
	// A process that lost the hold does not end the next one's.
	if err := client.Set(t.Context(), "hold", "another", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if err := mine.release(t.Context()); !errors.Is(err, errHoldLost) {
		t.Errorf("release of a hold that was lost: %v", err)
	}
	if got := client.Get(t.Context(), "hold").Val(); got != "another" {
		t.Errorf("the other's hold is %q", got)
	}
}
