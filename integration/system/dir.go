package system

import (
	"os"
	"testing"
)

// shortDir is a directory of the test's own for unix sockets, which can't have
// long paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
