package dedup

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redistest"
)

// In a Redis Cluster each partition is cared for by itself, and all of them by one pass
// over the objects.
func TestIndexInARedisCluster(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	client := c.Client()
	defer client.Close()
	s := newStore()
	d := newDeduplicator(t, s, client)
	const objects = 200
	for n := range objects {
		s.create(testSignal(fmt.Sprint("A", n)), fmt.Sprint("o-", n))
	}
	mustCare(t, d)
	if found, err := d.care(t.Context()); err != nil || found != resting {
		t.Fatalf("after it was completed, the index is %s, %v", found, err)
	}
	for n := range objects {
		if got, want := has(t, d, testSignal(fmt.Sprint("A", n))), fmt.Sprintf("=shop/o-%d", n); got != want {
			t.Fatalf("index has %q, want %q", got, want)
		}
	}
	// New incidents need no look at the cluster.
	mustCreate(t, d, s, testSignal("new"))
	mustRepeat(t, d, testSignal("new"), 2)
	if s.finds != 0 {
		t.Errorf("%d searches", s.finds)
	}

	// One server loses its data: its partitions are incomplete, those of others are not.
	admin := c.Server(0).Client()
	defer admin.Close()
	lost := admin.DBSize(t.Context()).Val()
	if err := admin.FlushAll(t.Context()).Err(); err != nil || lost == 0 {
		t.Fatal(lost, err)
	}
	for n := range objects {
		mustRepeat(t, d, testSignal(fmt.Sprint("A", n)), 2)
	}
	if s.finds == 0 || s.finds == objects {
		t.Errorf("%d searches for %d incidents", s.finds, objects)
	}
	before, pages := s.finds, s.pages
	if found, err := d.care(t.Context()); err != nil || found != incomplete || s.pages == pages {
		t.Fatalf("index is %s, %v, after %d pages", found, err, s.pages-pages)
	}
	if mustClaim(t, d, testSignal("another")).Discard(t.Context()); s.finds != before {
		t.Error("a new incident was searched for in a complete index")
	}

	// What is finished is cleared from all servers.
	s.setPhase(v1alpha1.PhaseCompleted)
	for _, p := range d.index.partitions.All() {
		client.Del(t.Context(), restKey+p.Suffix())
	}
	mustCare(t, d)
	for _, key := range c.Keys("gateway:dedup:*") {
		if strings.HasPrefix(key, incidentPrefix) || strings.HasPrefix(key, recordPrefix) {
			t.Errorf("%s is left", key)
		}
	}
}

// Promise: claims on what other servers of a Redis Cluster have are kept while one is silent,
// as a server is whose machine has gone.
func TestSilentServerKeepsOnlyItsOwnClaims(t *testing.T) {
	const silent = 0
	c := redistest.StartCluster(t, 3, false)
	c.ServeInPart()
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs, ContextTimeoutEnabled: true, // as the gateway's own
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	d := newDeduplicator(t, newStore(), client)
	var locks []string // on the other servers
	for n := range 30 {
		claim := mustClaim(t, d, testSignal(fmt.Sprint("A", n)))
		if lock := claim.incident.lock(); c.Owner(int(client.ClusterKeySlot(t.Context(), lock).Val())) != silent {
			locks = append(locks, lock)
		}
	}
	if len(locks) == 0 || len(locks) == 30 {
		t.Fatalf("%d of 30 are on other servers", len(locks))
	}
	c.Server(silent).Pause()
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer cancel()
	keeping.Go(func() { d.keepClaims(ctx) })
	for range 3 { // not only before it is known to be silent
		for _, lock := range locks {
			client.PExpire(t.Context(), lock, lockTime/2)
		}
		for _, lock := range locks {
			waitFor(t, func() bool { return client.PTTL(t.Context(), lock).Val() > lockTime/2 })
		}
	}
}
