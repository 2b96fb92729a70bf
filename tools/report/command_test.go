package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/report/internal/runtest"
)

func runs(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command(&out)
	cmd.SetArgs(args)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

// Promise: one call writes the page and all exports, and says the verdict.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	events := runtest.Write(t, dir, nil)
	in := func(name string) string { return filepath.Join(dir, name) }
	said, err := runs(t, events, "--out="+in("page.html"), "--json="+in("run.json"), "--junit="+in("all.xml"), "--markdown="+in("summary.md"), "--trace="+in("trace.json"), "--history="+in("history"))
	if err != nil || !strings.Contains(said, "build: 1 action failed to build") || !strings.Contains(said, in("page.html")) {
		t.Fatalf("%v: %s", err, said)
	}
	for name, part := range map[string]string{"page.html": "<!doctype html>", "run.json": `"failures"`, "all.xml": "<testsuites", "summary.md": "## Test run", "trace.json": "traceEvents"} {
		content, err := os.ReadFile(in(name))
		if err != nil || !strings.Contains(string(content), part) {
			t.Errorf("%s: %v, or it lacks %q", name, err, part)
		}
	}
	if kept, err := os.ReadDir(in("history")); err != nil || len(kept) != 1 {
		t.Errorf("history: %v, %v", kept, err)
	}
}

// Promise: a shard that runs again after a change is explained by the run before.
func TestCommandHistory(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	before := runtest.Write(t, first, func(name, content string) string {
		if name == "events.json" {
			content = strings.NewReplacer("2026-11-30T12:", "2026-11-30T11:", "d1storm_test", "d0storm_test", "000000000001", "000000000000", "17960400", "17960364").Replace(content)
		}
		return strings.ReplaceAll(strings.ReplaceAll(content, "T12:00", "T11:00"), "d9d9d9d9d9d9", "d8d8d8d8d8d8")
	})
	after := runtest.Write(t, second, nil)
	page := filepath.Join(second, "page.html")
	if said, err := runs(t, after, before, "--out="+page); err != nil {
		t.Fatal(err, said)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"its program changed; environment //e2e:storm changed (d9d9d9d9, was d8d8d8d8)", "2 runs, the oldest on the left"} {
		if !strings.Contains(string(content), part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

// Promise: one export can go to standard output, alone.
func TestCommandStandardOutput(t *testing.T) {
	dir := t.TempDir()
	events := runtest.Write(t, dir, nil)
	said, err := runs(t, events, "--out=none", "--markdown=-")
	if err != nil || !strings.HasPrefix(said, "## Test run") {
		t.Errorf("%v: %s", err, said)
	}
	if said, err = runs(t, events, "--out="+filepath.Join(dir, "p.html"), "--json=-"); err != nil || !strings.HasPrefix(said, "{") || !strings.HasSuffix(said, "}\n") {
		t.Errorf("%v: %s", err, said)
	}
}

// Promise: what is wrong with a command line or a file is said, with the way out.
func TestCommandRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("<xml/>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runs(t, bad); err == nil || !strings.Contains(err.Error(), "--build_event_json_file") || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("%v", err)
	}
	if _, err := runs(t, filepath.Join(dir, "none.json")); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("%v", err)
	}
	var usage *usageError
	if _, err := runs(t, "--nonsense"); !errors.As(err, &usage) {
		t.Errorf("%v", err)
	}
}
