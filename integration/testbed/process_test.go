package testbed

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

// program writes a shell script.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProcessOutputAndEnd(t *testing.T) {
	var lines []string
	var log strings.Builder
	p, err := start("printer", exec.Command(program(t, "echo one; echo two >&2; exit 3\n")), &log, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if got := strings.Join(lines, " "); got != "one two" || p.Tail() != "one\ntwo" || log.String() != "printer | one\nprinter | two\n" {
		t.Errorf("lines %q, tail %q, log %q", got, p.Tail(), &log)
	}
	if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "two") {
		t.Errorf("Stop = %v", err)
	}
	p.Kill() // of one that has ended
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	ready := make(chan string, 1)
	p, err := start("stubborn", exec.Command(program(t, "trap '' TERM; echo ready; while :; do :; done\n")), nil, func(line string) { ready <- line })
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	if usage, err := p.Usage(); err != nil || usage.RSS <= 0 {
		t.Errorf("Usage = %+v, %v", usage, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err == nil || !strings.Contains(err.Error(), "stop stubborn") {
		t.Errorf("Stop = %v", err)
	}
	if _, err := p.Usage(); err == nil {
		t.Error("a process that was killed has a usage")
	}
}

// The test's own use of the processor must be seen, in the right unit.
func TestUsageOfCountsProcessorTime(t *testing.T) {
	before, err := UsageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, err := UsageOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if used := after.CPU - before.CPU; used >= 20*time.Millisecond {
			break
		}
	}
}

func TestRedisKeepsItsDataWhenTold(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		var args []string
		want := int64(0)
		if persistent {
			args, want = []string{"--appendonly", "yes"}, 1
		}
		r, err := StartRedis(t.Context(), RedisOptions{Args: args})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		client := r.Client()
		if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		client = r.Client()
		if n, err := client.Exists(t.Context(), "key").Result(); n != want || err != nil {
			t.Errorf("persistent=%t: key exists %d times, %v", persistent, n, err)
		}
		client.Close()
	}
}
