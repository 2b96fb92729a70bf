package redisclient

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// changes are what the monitor has counted.
type changes struct {
	available bool
	outages   int
	// down is the length of the outages that are over, in seconds.
	down float64
}

func changesIn(t *testing.T, m *metrics.Metrics) changes {
	t.Helper()
	samples := metricstest.Read(t, m, "gateway_redis_")
	return changes{
		available: samples["gateway_redis_available"] == 1,
		outages:   int(samples["gateway_redis_outage_count_total"]),
		down:      samples["gateway_redis_outage_duration_seconds_total"],
	}
}

func connect(t *testing.T, addr string) (redis.UniversalClient, *Monitor, *metrics.Metrics) {
	t.Helper()
	m := metrics.New()
	client, monitor, err := New(config.Redis{Addr: addr, PoolSize: 4}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, monitor, m
}

func TestCommandsFailAtOnceWhileRedisIsAway(t *testing.T) {
	server := redistest.New(t)
	client, monitor, m := connect(t, server.Addr)
	// More often than the pool has connections: it must not fall into its pause.
	for range 20 {
		var unreachable *UnreachableError
		if err := client.Get(t.Context(), "key").Err(); !errors.As(err, &unreachable) {
			t.Fatalf("error %v", err)
		}
	}
	if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { p.Get(t.Context(), "key"); return nil }); err == nil {
		t.Error("a pipeline succeeded")
	}
	err := monitor.Check(t.Context())
	if c := changesIn(t, m); err == nil || c.available || c.outages != 0 {
		t.Errorf("before the first contact: %v, %+v", err, c)
	}
	server.Start()
	// At the first request, without anybody having looked in between.
	err = client.Set(t.Context(), "key", "value", 0).Err()
	if c := changesIn(t, m); err != nil || !c.available {
		t.Errorf("with Redis: %v, %+v", err, c)
	}
}

func TestOutage(t *testing.T) {
	server := redistest.Start(t)
	client, monitor, m := connect(t, server.Addr)
	if err := monitor.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	err := client.Get(t.Context(), "key").Err()
	if c := changesIn(t, m); err == nil || c.available || c.outages != 1 || c.down != 0 {
		t.Errorf("the first command: %v, %+v", err, c)
	}
	server.Start()
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	if c := changesIn(t, m); !c.available || c.outages != 1 || c.down <= 0 {
		t.Errorf("changes %+v", c)
	}
}

func TestBadRepliesAndImpatientSendersAreNoOutage(t *testing.T) {
	client, _, m := connect(t, redistest.Start(t).Addr)
	if err := client.Get(t.Context(), "none").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("missing key: %v", err)
	}
	client.Set(t.Context(), "text", "x", 0)
	if err := client.HGetAll(t.Context(), "text").Err(); err == nil {
		t.Error("a wrong type was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Get(ctx, "text").Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if c := changesIn(t, m); !c.available || c.outages != 0 {
		t.Errorf("changes %+v", c)
	}
}

func TestRunFindsRedisByItself(t *testing.T) {
	server := redistest.New(t)
	_, monitor, m := connect(t, server.Addr)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); monitor.Run(ctx) }()
	server.Start()
	for deadline := time.Now().Add(10 * time.Second); !changesIn(t, m).available; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not found in 10 s")
		}
	}
	cancel()
	<-done
}

// A server that answers and takes no writes is as good as none, from the first command
// that finds it out. Once it takes writes again, it is used at once.
func TestServerThatTakesNoWrites(t *testing.T) {
	for name, c := range map[string]struct{ spoil, mend []any }{
		"replica":          {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
		"out of memory":    {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"no permission":    {[]any{"ACL", "SETUSER", "default", "-set", "-eval"}, []any{"ACL", "SETUSER", "default", "+@all"}},
		"too few replicas": {[]any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			client, monitor, m := connect(t, server.Addr)
			if err := monitor.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			admin := server.Client()
			defer admin.Close()
			if err := admin.Do(t.Context(), c.spoil...).Err(); err != nil {
				t.Fatal(err)
			}
			if err := client.Eval(t.Context(), "return redis.call('SET', KEYS[1], '1')", []string{"key"}).Err(); err == nil {
				t.Error("a write succeeded")
			}
			if c := changesIn(t, m); c.available || c.outages != 1 {
				t.Errorf("after the first write: %+v", c)
			}
			var unreachable *UnreachableError
			if err := monitor.Check(t.Context()); !errors.As(err, &unreachable) {
				t.Errorf("readiness: %v", err)
			}
			if err := client.Get(t.Context(), "key").Err(); !errors.As(err, &unreachable) {
				t.Errorf("the next command: %v", err)
			}
			if err := admin.Do(t.Context(), c.mend...).Err(); err != nil {
				t.Fatal(err)
			}
			if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
				t.Errorf("with a server that takes writes again: %v", err)
			}
			if c := changesIn(t, m); !c.available || c.outages != 1 || c.down <= 0 {
				t.Errorf("afterwards: %+v", c)
			}
		})
	}
}

// Readiness finds it out by itself, too.
func TestReadinessFindsThatNoWritesAreTaken(t *testing.T) {
	server := redistest.Start(t)
	_, monitor, m := connect(t, server.Addr)
	if err := monitor.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin := server.Client()
	defer admin.Close()
	admin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1")
	if err := monitor.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "READONLY") || changesIn(t, m).available {
		t.Errorf("error %v", err)
	}
}

// A user of its own, with a password, is enough.
func TestUserOfAnACL(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client()
	defer admin.Close()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "gateway", "on", ">secret", "~gateway:*", "~alert:*", "+@all", "-@admin", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"secret": true, "wrong": false} {
		client, monitor, err := New(config.Redis{Addr: server.Addr, Username: "gateway", Password: password}, metrics.New(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = monitor.Check(t.Context())
		if (err == nil) != want {
			t.Errorf("password %s: %v", password, err)
		}
		if name := client.Do(t.Context(), "ACL", "WHOAMI").Val(); want && name != "gateway" {
			t.Errorf("user %v", name)
		}
		_ = client.Close()
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("refused")
	if err := (&UnreachableError{cause}); !errors.Is(err, cause) || err.Error() != "Redis is unreachable: refused" {
		t.Error(err)
	}
	if err := (&UnavailableError{"storm_detection", cause}); !errors.Is(err, cause) || err.Error() != "Redis operation storm_detection failed: refused" {
		t.Error(err)
	}
	if err := (&UnreachableError{}); err.Error() != "Redis has not been reached yet" {
		t.Error(err)
	}
}
