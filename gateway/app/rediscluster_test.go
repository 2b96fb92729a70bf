package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

// insist sends an alert until it is accepted, as AlertManager does.
func insist(ctx context.Context, url, body string, refused *atomic.Int64) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+prometheusRoute, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		content, _ := io.ReadAll(response.Body)
		response.Body.Close()
		switch {
		case response.StatusCode < 300:
			return nil
		case response.StatusCode != http.StatusServiceUnavailable:
			return fmt.Errorf("%d: %s", response.StatusCode, content)
		}
		refused.Add(1)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// While slots of a Redis Cluster move, key by key, and replicas take over from all of its
// masters, no alert is lost and no incident gets two objects.
func TestRedisClusterChangesUnderLoad(t *testing.T) {
	const senders = 8
	redis := redistest.StartCluster(t, 3, true)
	c := newCluster(t, "shop", "bank", "fallback")
	var gateways []*gateway
	for range 2 {
		gateways = append(gateways, start(t, "", c, func(cfg *config.Config, o *app.Options) {
			cfg.Infrastructure.Redis.Cluster.Addrs = redis.Addrs[:2]
			storms(10, 10, 5, inactivity(time.Second))(cfg, o)
		}))
	}
	for _, g := range gateways {
		eventually(t, "ready", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	sent := make(map[string]bool) // fingerprints
	var stop atomic.Bool
	var serial, refused atomic.Int64
	var running sync.WaitGroup
	for n := range senders {
		running.Go(func() {
			for !stop.Load() {
				i := int(serial.Add(1))
				name, namespace, pod := fmt.Sprint("Unique", i), "shop", "pod"
				switch i % 3 {
				case 0: // a storm in each of two namespaces
					name, namespace, pod = "Storm", []string{"shop", "bank"}[i/3%2], fmt.Sprint("pod-", i)
				case 1: // an incident that repeats itself
					name, pod = "Repeated", fmt.Sprint("pod-", i%5)
				}
				if err := insist(ctx, gateways[n%2].url, alert(name, namespace, pod), &refused); err != nil {
					t.Errorf("%s about %s of %s: %v", name, pod, namespace, err)
					return
				}
				mu.Lock()
				sent[signal.Fingerprint(name, namespace, "Pod", pod)] = true
				mu.Unlock()
			}
		})
	}
	client := redis.Client()
	defer client.Close()
	moved := make(map[int]bool)
	eventually(t, "keys in many slots", func() bool { return len(redis.Keys("gateway:dedup:incident:*")) > 30 })
	for _, pattern := range []string{"alert:*", "gateway:dedup:incident:*"} {
		for _, key := range redis.Keys(pattern) {
			slot := int(client.ClusterKeySlot(ctx, key).Val())
			if len(moved) >= 12 || moved[slot] {
				continue
			}
			moved[slot] = true
			from := redis.Owner(slot)
			redis.MoveSlot(slot, from, (from+1)%3, func() { time.Sleep(30 * time.Millisecond) })
		}
	}
	for n := range 3 {
		redis.FailOver(n)
	}
	before := serial.Load()
	eventually(t, "more alerts after all changes", func() bool { return serial.Load() > before+30 })
	stop.Store(true)
	running.Wait()
	t.Logf("%d alerts, of which %d were refused at first; %d slots moved", serial.Load(), refused.Load(), len(moved))
	// Those that wait in buffers have theirs when these are flushed.
	eventually(t, "each incident has its object", func() bool {
		objects := c.objects(t)
		for fingerprint := range sent {
			if standing(objects, fingerprint) == 0 {
				return false
			}
		}
		return true
	})
	objects := c.objects(t)
	for fingerprint := range sent {
		if n := standing(objects, fingerprint); n != 1 {
			t.Errorf("%d objects stand for %s", n, fingerprint)
		}
	}
	for _, g := range gateways {
		eventually(t, "ready again", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	}
}

// A master that dies takes with it what its replica had not got yet: alerts that were only
// buffered, and which objects incidents have. When their senders repeat them, each alert has
// exactly one object all the same. Meanwhile what the other masters have goes on.
func TestRedisClusterMasterDiesUnderLoad(t *testing.T) {
	const senders, alerts = 8, 400
	redis := redistest.StartCluster(t, 3, true)
	c := newCluster(t, "shop", "bank", "fallback")
	var gateways []*gateway
	for range 2 {
		gateways = append(gateways, start(t, "", c, func(cfg *config.Config, o *app.Options) {
			cfg.Infrastructure.Redis.Cluster.Addrs = redis.Addrs
			storms(10, 10, 5, inactivity(time.Second))(cfg, o)
		}))
	}
	for _, g := range gateways {
		eventually(t, "ready", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	describe := func(i int) (name, namespace, pod string) {
		switch i % 3 {
		case 0: // a storm in each of two namespaces
			return "Storm", []string{"shop", "bank"}[i/3%2], fmt.Sprint("pod-", i)
		case 1: // an incident that repeats itself
			return "Repeated", "shop", fmt.Sprint("pod-", i%5)
		}
		return fmt.Sprint("Unique", i), "shop", "pod"
	}
	var refused atomic.Int64
	sendAll := func(meanwhile func(sent int64)) {
		var next atomic.Int64
		var running sync.WaitGroup
		for n := range senders {
			running.Go(func() {
				for i := next.Add(1); i <= alerts; i = next.Add(1) {
					name, namespace, pod := describe(int(i))
					if err := insist(ctx, gateways[n%2].url, alert(name, namespace, pod), &refused); err != nil {
						t.Errorf("%s about %s of %s: %v", name, pod, namespace, err)
						return
					}
					meanwhile(i)
				}
			})
		}
		running.Wait()
	}
	var dies sync.Once
	sendAll(func(sent int64) {
		if sent > alerts/2 {
			dies.Do(redis.Server(1).Stop)
		}
	})
	lost := 0
	objects := c.objects(t)
	for i := range alerts {
		name, namespace, pod := describe(i + 1)
		if standing(objects, signal.Fingerprint(name, namespace, "Pod", pod)) == 0 {
			lost++
		}
	}
	t.Logf("%d of %d alerts have no object yet; %d were refused at first", lost, alerts, refused.Load())
	sendAll(func(int64) {})
	eventually(t, "each incident has its object", func() bool {
		objects = c.objects(t)
		for i := range alerts {
			name, namespace, pod := describe(i + 1)
			if standing(objects, signal.Fingerprint(name, namespace, "Pod", pod)) == 0 {
				return false
			}
		}
		return true
	})
	for i := range alerts {
		name, namespace, pod := describe(i + 1)
		if n := standing(objects, signal.Fingerprint(name, namespace, "Pod", pod)); n != 1 {
			t.Errorf("%d objects stand for %s about %s", n, name, pod)
		}
	}
	for _, g := range gateways {
		eventually(t, "ready again", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	}
}

// standing counts the objects that stand for an incident.
func standing(objects []v1alpha1.RemediationRequest, fingerprint string) (n int) {
	for i := range objects {
		if objects[i].StandsFor(fingerprint) {
			n++
		}
	}
	return n
}
