package storm

import (
	"context"
	"fmt"
	"testing"
	"time"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redistest"
)

// What is due on other servers of a Redis Cluster does not wait for one that is silent,
// as a server is whose machine has gone: it would be asked for a third of all partitions.
func TestSilentServerDoesNotKeepTheFlusher(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	client := c.Client()
	defer client.Close()
	c.ServeInPart()
	now := int64(1_700_000_000_000)
	b := newBatches(Options{
		Redis: client, Metrics: metrics.New(), Grace: time.Second, Turn: time.Minute, now: func() int64 { return now },
		Settings: config.Storm{BufferThreshold: 5, InactivityTimeout: config.Duration(time.Second), MaxWindowDuration: config.Duration(time.Second), DefaultMaxSize: 10, GlobalMaxSize: 1000},
	})
	const silent = 0
	due := make(map[string]bool) // scopes on the other servers
	for n := range 30 {
		sig := testSignal("A", fmt.Sprint("shop-", n), "1")
		a, err := b.admit(t.Context(), newMember(sig), "name", dedup.Guard{}, "", "")
		if err != nil || a.decision != admitBuffered {
			t.Fatalf("%+v, %v", a, err)
		}
		slot := client.ClusterKeySlot(t.Context(), b.keys(a.ref.scope)[0]).Val()
		if c.Owner(int(slot)) != silent {
			due[a.ref.scope] = true
		}
	}
	if len(due) == 0 || len(due) == 30 {
		t.Fatalf("%d of 30 are on other servers", len(due))
	}
	now += 2000
	c.Server(silent).Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(due) > 0 {
		task, err := b.take(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of what is due is not taken: %v", len(due), err)
		}
		if task.decision == takeFlush {
			delete(due, task.ref.scope)
		}
	}
}
