// Package sockettest gives tests a place for unix sockets.
package sockettest

import (
	"os"
	"testing"
)

// Dir returns a new directory, which is removed at the end of the test. Its path
// is short enough for sockets some levels below it. That of t.TempDir has the
// test's name and, under Bazel, the sandbox's directory in it, and is too long.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
