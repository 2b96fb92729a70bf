package main

import (
	"bytes"
	"log/slog"
	runtimedebug "runtime/debug"
	"strings"
	"testing"

	"stormgate.internal/gateway/config"
)

func TestVersion(t *testing.T) {
	cmd := command(slog.New(slog.DiscardHandler))
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--version"})
	if err := cmd.Execute(); err != nil || out.String() != "gateway "+version+"\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestMissingConfigurationIsNamed(t *testing.T) {
	cmd := command(slog.New(slog.DiscardHandler))
	cmd.SetArgs([]string{"--config", "/nonexistent/gateway.yaml"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "/nonexistent/gateway.yaml") {
		t.Errorf("error %v", err)
	}
}

// Promise: without a limit the heap may become twice as large as what is alive, which ends
// a container that has less.
func TestMemoryLimit(t *testing.T) {
	before := runtimedebug.SetMemoryLimit(-1)
	t.Cleanup(func() { runtimedebug.SetMemoryLimit(before) })
	with := func(value string) func(string) (string, bool) {
		return func(name string) (string, bool) { return value, name == "GOMEMLIMIT" }
	}
	limitMemory(0, with(""))
	limitMemory(1000, with("1GiB"))
	if got := runtimedebug.SetMemoryLimit(-1); got != before {
		t.Errorf("limit %d, want it as it was, %d", got, before)
	}
	limitMemory(1<<30, with("")) // which is as good as not set, to the runtime, too
	if got, want := runtimedebug.SetMemoryLimit(-1), int64(1<<30/10*9); got != want {
		t.Errorf("limit %d, want %d", got, want)
	}
}

// Flags that are given win, even with the value that they have by default.
func TestOnlyGivenFlagsOverride(t *testing.T) {
	for _, c := range []struct {
		args          []string
		listen, redis string
		db            int
	}{
		{nil, ":1", "file:1", 5},
		{[]string{"--listen=:2", "--redis=flag:2", "--redis-db=7"}, ":2", "flag:2", 7},
		{[]string{"--listen=:8080", "--redis=localhost:6379", "--redis-db=0"}, ":8080", "localhost:6379", 0},
	} {
		cmd := command(slog.New(slog.DiscardHandler))
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		text := func(name string) string { value, _ := cmd.Flags().GetString(name); return value }
		db, _ := cmd.Flags().GetInt("redis-db")
		cfg := config.Default()
		cfg.Server.ListenAddr, cfg.Infrastructure.Redis.Addr, cfg.Infrastructure.Redis.DB = ":1", "file:1", 5
		flags{listen: text("listen"), redis: text("redis"), redisDB: db}.override(cmd.Flags().Changed)(&cfg)
		if r := cfg.Infrastructure.Redis; cfg.Server.ListenAddr != c.listen || r.Addr != c.redis || r.DB != c.db {
			t.Errorf("%v: %s, %s, %d", c.args, cfg.Server.ListenAddr, r.Addr, r.DB)
		}
	}
}
