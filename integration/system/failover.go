package system

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"stormgate.internal/integration/testbed"
)

// Pair is a Redis with a replica of it.
type Pair struct {
	// Front is where the gateways find Redis; it leads to the primary at first.
	Front *Switch
	// Replica is the other server.
	Replica *testbed.Redis

	t    *testing.T
	link *Switch // from the replica to the primary
}

// NewPair returns a pair whose servers are still to be connected. Front is for
// Options.RedisAddr.
func NewPair(t *testing.T) *Pair {
	t.Helper()
	return &Pair{Front: NewSwitch(t, "unix"), link: NewSwitch(t, "tcp"), t: t}
}

// Addr is an Options.RedisAddr.
func (p *Pair) Addr(primary *testbed.Redis) string {
	p.Front.Point(primary.Addr)
	return p.Front.Addr.String()
}

// Replicate starts the replica and waits until it has the primary's data.
func (p *Pair) Replicate(ctx context.Context, primary *testbed.Redis) {
	p.t.Helper()
	p.link.Point(primary.Addr)
	host, port, err := net.SplitHostPort(p.link.Addr.String())
	if err != nil {
		p.t.Fatal(err)
	}
	p.Replica, err = testbed.StartRedis(ctx, testbed.RedisOptions{Args: []string{
		"--replicaof", host, port, "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "swapdb",
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.Replica.Close)
}

// Cut ends the replication: what the primary gets from now on, the replica lacks.
func (p *Pair) Cut() { p.link.Point("") }

// Caught reports whether the replica has everything that the primary has written.
func (p *Pair) Caught(ctx context.Context, primary *testbed.Redis) bool {
	p.t.Helper()
	written, replicated := info(ctx, p.t, primary), info(ctx, p.t, p.Replica)
	if replicated["master_link_status"] != "up" || replicated["master_sync_in_progress"] != "0" {
		return false
	}
	return offset(p.t, written, "master_repl_offset") <= offset(p.t, replicated, "slave_repl_offset")
}

// FailOver makes the replica the primary and leads the gateways to it.
func (p *Pair) FailOver(ctx context.Context) {
	p.t.Helper()
	client := p.Replica.Client()
	defer client.Close()
	if err := client.SlaveOf(ctx, "NO", "ONE").Err(); err != nil {
		p.t.Fatalf("promote the replica: %v", err)
	}
	p.Front.Point(p.Replica.Addr)
}

// info is a server's INFO replication.
func info(ctx context.Context, t *testing.T, server *testbed.Redis) map[string]string {
	t.Helper()
	client := server.Client()
	defer client.Close()
	text, err := client.Info(ctx, "replication").Result()
	if err != nil {
		t.Fatalf("ask Redis for its replication: %v", err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[key] = value
		}
	}
	return values
}

func offset(t *testing.T, values map[string]string, key string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(values[key], 10, 64)
	if err != nil {
		t.Fatalf("%s of Redis: %v", key, err)
	}
	return n
}
