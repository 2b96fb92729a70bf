package redisclient

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/certificatetest"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/redistest"
)

// check connects and returns why Redis can't be used.
func check(t *testing.T, cfg config.Redis) error {
	t.Helper()
	client, monitor, err := New(cfg, metrics.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return monitor.Check(t.Context())
}

// Connections are encrypted, both sides show who they are, and a renewed certificate is
// used without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := certificatetest.NewAuthority(t, dir, "ours"), certificatetest.NewAuthority(t, dir, "theirs")
	serverCert, serverKey := ours.Leaf(t, dir, "server")
	clientCert, clientKey := ours.Leaf(t, dir, "client")
	port := redistest.FreePort(t)
	redistest.StartWith(t, "--tls-port", port, "--tls-cert-file", serverCert, "--tls-key-file", serverKey, "--tls-ca-cert-file", ours.File, "--tls-auth-clients", "yes")
	cfg := config.Redis{Addr: "127.0.0.1:" + port, TLS: config.RedisTLS{Enabled: true, CAFile: ours.File, CertFile: clientCert, KeyFile: clientKey}}
	if err := check(t, cfg); err != nil {
		t.Errorf("right certificates: %v", err)
	}
	for name, change := range map[string]func(*config.RedisTLS){
		"no TLS":                   func(c *config.RedisTLS) { *c = config.RedisTLS{} },
		"another authority":        func(c *config.RedisTLS) { c.CAFile = theirs.File },
		"another name":             func(c *config.RedisTLS) { c.ServerName = "redis.example" },
		"no certificate of ours":   func(c *config.RedisTLS) { c.CertFile, c.KeyFile = "", "" },
		"certificate of strangers": func(c *config.RedisTLS) { c.CertFile, c.KeyFile = theirs.Leaf(t, dir, "stranger") },
	} {
		wrong := cfg
		change(&wrong.TLS)
		if err := check(t, wrong); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// The file is read anew for each connection.
	renewed := cfg
	renewed.TLS.CertFile, renewed.TLS.KeyFile = theirs.Leaf(t, dir, "renewed")
	client, monitor, err := New(renewed, metrics.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := monitor.Check(t.Context()); err == nil {
		t.Error("certificate of strangers: accepted")
	}
	ours.Leaf(t, dir, "renewed")
	if err := monitor.Check(t.Context()); err != nil {
		t.Errorf("once the certificate is renewed: %v", err)
	}
}

func TestTLSFilesMustBeReadable(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mentions, cfg := range map[string]config.RedisTLS{
		"infrastructure.redis.tls.ca_file":                {Enabled: true, CAFile: filepath.Join(dir, "none")},
		"holds no certificate":                            {Enabled: true, CAFile: empty},
		"infrastructure.redis.tls.cert_file and key_file": {Enabled: true, CertFile: empty, KeyFile: empty},
	} {
		if _, _, err := New(config.Redis{Addr: "127.0.0.1:1", TLS: cfg}, metrics.New(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), mentions) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func newSentinelClient(addr string) *redis.SentinelClient {
	return redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
}

// Sentinels name the master, also after it has changed.
func TestSentinel(t *testing.T) {
	first, second := redistest.FreePort(t), redistest.FreePort(t)
	master := redistest.StartWith(t, "--port", first, "--bind", "127.0.0.1")
	replica := redistest.StartWith(t, "--port", second, "--bind", "127.0.0.1", "--replicaof", "127.0.0.1", first)
	sentinel := redistest.StartSentinel(t, "main", first)
	m := metrics.New()
	client, monitor, err := New(config.Redis{Sentinel: config.Sentinel{MasterName: "main", Addrs: config.Strings{sentinel}}}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := monitor.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	portOf := func() string { return client.ConfigGet(t.Context(), "port").Val()["port"] }
	if got := portOf(); got != first {
		t.Fatalf("master at port %s, want %s", got, first)
	}
	// Sentinel takes some seconds to know the replica.
	admin := master.Client()
	defer admin.Close()
	sentinels := newSentinelClient(sentinel)
	defer sentinels.Close()
	for deadline := time.Now().Add(60 * time.Second); sentinels.Failover(t.Context(), "main").Err() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no failover in 60 s: %v", sentinels.Failover(t.Context(), "main").Err())
		}
	}
	for deadline := time.Now().Add(60 * time.Second); portOf() != second; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the client is still at port %s", portOf())
		}
		_ = monitor.Check(t.Context())
	}
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Errorf("at the new master: %v", err)
	}
	other := replica.Client()
	defer other.Close()
	if got := other.Get(t.Context(), "key").Val(); got != "value" {
		t.Errorf("the new master has %q", got)
	}
}

// A Cluster is found by some of its servers, can be used as long as a part of it can, and
// says so.
func TestCluster(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	c.ServeInPart()
	m := metrics.New()
	client, monitor, err := New(config.Redis{Cluster: config.RedisCluster{Addrs: config.Strings{c.Addrs[0]}}}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	available := func() float64 { return metricstest.Read(t, m, "gateway_redis_available")["gateway_redis_available"] }
	if err := monitor.Check(t.Context()); err != nil || available() != 1 {
		t.Fatalf("%v, gauge %v", err, available())
	}
	if got := len(c.Keys(probeKey + ":*")); got != partitionCount {
		t.Errorf("%d partitions were written to, want %d", got, partitionCount)
	}
	lost, kept := "", ""
	for _, p := range PartitionsOf(client) {
		if c.Owner(int(slotOf(strings.Trim(string(p), "{}")))) == 2 {
			lost = "key" + p.Suffix()
		} else {
			kept = "key" + p.Suffix()
		}
	}
	c.Server(2).Stop()
	if err := monitor.Check(t.Context()); err != nil || available() != 0 {
		t.Errorf("with two of three servers: %v, gauge %v", err, available())
	}
	if err := client.Set(t.Context(), kept, "1", 0).Err(); err != nil {
		t.Errorf("on a server that is there: %v", err)
	}
	if err := client.Set(t.Context(), lost, "1", 0).Err(); err == nil {
		t.Error("on a server that is not there: no error")
	}
	c.Server(0).Stop()
	c.Server(1).Stop()
	if err := monitor.Check(t.Context()); err == nil || available() != 0 {
		t.Errorf("without servers: %v, gauge %v", err, available())
	}
}

// A server that is silent, as one is whose machine has gone, is no reason to refuse what the
// others can do.
func TestSilentServerOfACluster(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	c.ServeInPart()
	for silent := range c.Addrs {
		m := metrics.New()
		client, monitor, err := New(config.Redis{Cluster: config.RedisCluster{Addrs: c.Addrs}}, m, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := monitor.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := ""
		for _, p := range PartitionsOf(client) {
			if c.Owner(int(slotOf(strings.Trim(string(p), "{}")))) != silent {
				kept = "key" + p.Suffix()
			}
		}
		c.Server(silent).Pause()
		// A readiness probe has 5 s.
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		if err := monitor.Check(ctx); err != nil {
			t.Errorf("server %d is silent: %v", silent, err)
		}
		cancel()
		if err := client.Set(t.Context(), kept, "1", 0).Err(); err != nil {
			t.Errorf("server %d is silent, on another: %v", silent, err)
		}
		if got := metricstest.Read(t, m, "gateway_redis_available")["gateway_redis_available"]; got != 0 {
			t.Errorf("server %d is silent, and the gauge %v", silent, got)
		}
		c.Server(silent).Resume()
		client.Close()
	}
}

// What is configured must be what is there.
func TestClusterOrNot(t *testing.T) {
	c := redistest.StartCluster(t, 1, false)
	if err := check(t, config.Redis{Addr: c.Addrs[0]}); err == nil || !strings.Contains(err.Error(), "set infrastructure.redis.cluster.addrs in place of addr") {
		t.Errorf("a server of a Cluster as addr: %v", err)
	}
	port := redistest.FreePort(t)
	redistest.StartWith(t, "--port", port, "--bind", "127.0.0.1")
	err := check(t, config.Redis{Cluster: config.RedisCluster{Addrs: config.Strings{"127.0.0.1:" + port}}})
	if err == nil || !strings.Contains(err.Error(), "set infrastructure.redis.addr in place of cluster.addrs") {
		t.Errorf("a server of no Cluster in cluster.addrs: %v", err)
	}
}

// Partitions are in slots of their own, spread evenly, whatever the tags look like; Redis
// says which slots these are.
func TestPartitions(t *testing.T) {
	client := redistest.StartCluster(t, 1, false).Client()
	defer client.Close()
	single := redis.NewClient(&redis.Options{})
	defer single.Close()
	partitions := PartitionsOf(client)
	if len(partitions) != partitionCount || len(PartitionsOf(single).All()) != 1 {
		t.Fatalf("%d partitions", len(partitions))
	}
	for i, p := range partitions {
		slot := client.ClusterKeySlot(t.Context(), "a:"+p.Prefix()+"b").Val()
		if width := int64(hashSlots / partitionCount); slot/width != int64(i) {
			t.Errorf("partition %d, %s, is in slot %d", i, p, slot)
		}
		if end := client.ClusterKeySlot(t.Context(), "c"+p.Suffix()).Val(); end != slot {
			t.Errorf("partition %s is in slot %d, its other keys in %d", p, slot, end)
		}
	}
	used := make(map[Partition]int)
	for n := range 6400 {
		used[partitions.Of(strconv.Itoa(n))]++
	}
	for _, p := range partitions {
		if used[p] < 50 || used[p] > 200 {
			t.Errorf("partition %s has %d of 6400", p, used[p])
		}
	}
}
