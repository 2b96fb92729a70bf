package run

import (
	"strings"
	"testing"
)

// Promise: a failure in a line says what is wrong, not only that something is.
func TestBeginning(t *testing.T) {
	for text, want := range map[string]string{
		"\nexit status 1\nmore\n": "exit status 1 more",
		"Timed out after 2 s.\nwanted each of 9 resources, once, but\n  missing: 3 of 9\nand more":                  "Timed out after 2 s. wanted each of 9 resources, once, but missing: 3 of 9",
		"apply objects:\nmanifest.yaml:\nline 3 is no YAML\nsee above":                                              "apply objects: manifest.yaml: line 3 is no YAML",
		"redis is not ready\n  pod redis-1: phase Running\n    container redis: ended: exit code 1\n    last lines": "redis is not ready pod redis-1: phase Running container redis: ended: exit code 1",
		"to have {key: value}\n    <map>: {\n  \"count\": \"7\",\n    }\n":                                          "to have {key: value} <map>: { \"count\": \"7\", }",
		"a:\nb:\nc:\nd:\ne:\nf:\ng": "a: b: c: d: e:",
	} {
		if got := beginning(text, 2); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Promise: the place of a panic is the workspace's line, not that of the runtime.
func TestPanicsPlace(t *testing.T) {
	stack := "GOROOT/src/runtime/panic.go:336 +0x129\nFull Stack Trace\n  pkg.f(...)\n\texternal/rules/x.go:3 +0x1\n" +
		"  pkg.g(0x1)\n\t/tmp/sandbox/execroot/_main/e2e/suite/namespace.go:99 +0x4a\n\te2e/a_test.go:7\n"
	f := &Failure{Case: &Case{Details: "Test Panicked\n" + stack}}
	f.describe()
	if f.Place != "e2e/suite/namespace.go:99" {
		t.Errorf("place %q", f.Place)
	}
	f = &Failure{Case: &Case{Details: "Test Panicked\nGOROOT/src/runtime/panic.go:336 +0x129\n"}}
	if f.describe(); f.Place != "GOROOT/src/runtime/panic.go:336" {
		t.Errorf("place %q without a line of the workspace", f.Place)
	}
}

// Promise: an action that failed is a line of what it wrote, once for each target.
func TestBuildFailures(t *testing.T) {
	r := load(t, Options{}, nil)
	if len(r.Builds) != 1 || r.Builds[0].First == "" || r.Builds[0].Same || !strings.HasPrefix(strings.TrimSpace(r.Builds[0].Output.text), r.Builds[0].First) {
		t.Errorf("%+v", r.Builds)
	}
}
