package redistest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// slots is how many hash slots every Redis Cluster has.
const slots = 16384

// clusterLimit is how long a change of a Cluster may take to be known to all its servers.
const clusterLimit = 60 * time.Second

// Cluster is a running Redis Cluster without persistence.
type Cluster struct {
	// Addrs are the servers on the loopback: first the masters, then a replica of each, in
	// the same order, if there are any.
	Addrs []string

	tb      testing.TB
	servers []*Server
	masters int
}

// StartCluster starts so many masters, which share all slots evenly, and stops them at
// the end of the test. With replicas, each has one.
func StartCluster(tb testing.TB, masters int, replicas bool) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, masters: masters}
	total := masters
	if replicas {
		total *= 2
	}
	for range total {
		port, bus := FreePort(tb), FreePort(tb)
		// A replica stands for election however long its master has been gone: on a busy machine it
		// may not get the votes in the minute after which it would never try again.
		c.servers = append(c.servers, StartWith(tb, "--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000", "--repl-diskless-sync-delay", "0",
			"--cluster-allow-replica-migration", "no", "--cluster-replica-validity-factor", "0"))
		c.Addrs = append(c.Addrs, "127.0.0.1:"+port)
		// The others learn of it from the first one.
		if n := len(c.servers) - 1; n > 0 {
			c.do(n, "CLUSTER", "MEET", "127.0.0.1", c.port(0), c.busPort(0))
		}
	}
	for n := range masters {
		first, next := n*slots/masters, (n+1)*slots/masters
		c.do(n, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(next-1))
	}
	c.await("all servers know each other", func(n int) bool {
		info := c.do(n, "CLUSTER", "INFO").(string)
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", total))
	})
	if replicas {
		for n := range masters {
			c.do(masters+n, "CLUSTER", "REPLICATE", c.id(n))
		}
		c.await("replicas have the data", func(n int) bool {
			return n < masters || strings.Contains(c.do(n, "INFO", "replication").(string), "master_link_status:up")
		})
	}
	return c
}

// Client returns a client of the Cluster, for looking into it. Close it.
func (c *Cluster) Client() *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs, PoolSize: 1000,
		// Otherwise each server's client leaves a goroutine behind when it is closed.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Server returns the n-th server of Addrs.
func (c *Cluster) Server(n int) *Server { return c.servers[n] }

// ServeInPart makes the servers take commands also while others of them can't be reached.
func (c *Cluster) ServeInPart() {
	c.tb.Helper()
	for n := range c.servers {
		c.do(n, "CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
}

// FailOver makes the replica of the n-th of the first masters its successor, without
// loss, and waits until all servers know.
func (c *Cluster) FailOver(n int) {
	c.tb.Helper()
	replica := c.masters + n
	c.do(replica, "CLUSTER", "FAILOVER")
	id := c.id(replica)
	c.await("the replica is master", func(n int) bool {
		for line := range strings.Lines(c.do(n, "CLUSTER", "NODES").(string)) {
			if strings.HasPrefix(line, id) {
				return strings.Contains(line, "master")
			}
		}
		return false
	})
}

// MoveSlot moves a slot with its keys from one server to another, key by key, as people
// do. Between, if not nil, is called when some of the keys have moved.
func (c *Cluster) MoveSlot(slot, from, to int, between func()) {
	c.tb.Helper()
	text := strconv.Itoa(slot)
	c.do(to, "CLUSTER", "SETSLOT", text, "IMPORTING", c.id(from))
	c.do(from, "CLUSTER", "SETSLOT", text, "MIGRATING", c.id(to))
	for moved := 0; ; {
		keys, _ := c.do(from, "CLUSTER", "GETKEYSINSLOT", text, "10").([]any)
		if len(keys) == 0 {
			break
		}
		c.do(from, append([]any{"MIGRATE", "127.0.0.1", c.port(to), "", "0", "5000", "KEYS"}, keys...)...)
		if moved == 0 && between != nil {
			between()
		}
		moved += len(keys)
	}
	for _, n := range []int{to, from} {
		c.do(n, "CLUSTER", "SETSLOT", text, "NODE", c.id(to))
	}
}

// Owner returns the number of the server that has a slot, and that slot's keys.
func (c *Cluster) Owner(slot int) int {
	c.tb.Helper()
	for _, entry := range c.do(0, "CLUSTER", "SLOTS").([]any) {
		e := entry.([]any)
		if first, last := e[0].(int64), e[1].(int64); int64(slot) < first || int64(slot) > last {
			continue
		}
		port := fmt.Sprint(e[2].([]any)[1])
		for n := range c.servers {
			if c.port(n) == port {
				return n
			}
		}
	}
	c.tb.Fatalf("no server has slot %d", slot)
	return 0
}

// Keys returns all keys of all masters that match.
func (c *Cluster) Keys(pattern string) (keys []string) {
	c.tb.Helper()
	client := c.Client()
	defer client.Close()
	for n := range c.servers {
		if !strings.Contains(c.do(n, "INFO", "replication").(string), "role:master") {
			continue
		}
		for _, key := range c.do(n, "KEYS", pattern).([]any) {
			keys = append(keys, key.(string))
		}
	}
	return keys
}

func (c *Cluster) do(n int, args ...any) any {
	c.tb.Helper()
	client := c.servers[n].Client()
	defer client.Close()
	reply, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		c.tb.Fatalf("server %d of the Cluster: %v: %v", n, args, err)
	}
	return reply
}

func (c *Cluster) id(n int) string { return c.do(n, "CLUSTER", "MYID").(string) }

func (c *Cluster) port(n int) string {
	_, port, _ := strings.Cut(c.Addrs[n], ":")
	return port
}

func (c *Cluster) busPort(n int) string {
	for i, arg := range c.servers[n].extra {
		if arg == "--cluster-port" {
			return c.servers[n].extra[i+1]
		}
	}
	return ""
}

func (c *Cluster) await(what string, ok func(n int) bool) {
	c.tb.Helper()
	deadline := time.Now().Add(clusterLimit)
	for n := range c.servers {
		for !ok(n) {
			if time.Now().After(deadline) {
				c.tb.Fatalf("not within %s: %s; server %d says\n%s\n%s", clusterLimit, what, n, c.do(n, "CLUSTER", "INFO"), c.do(n, "CLUSTER", "NODES"))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}
