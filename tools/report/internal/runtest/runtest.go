// Package runtest has a small run for tests: its build events, and what its tests left. The
// files are written by hand after those of real runs, one for each kind of end that a shard
// can have.
package runtest

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

//go:embed run.txtar
var archive string

// Write writes the run into a folder, and returns the file of its build events. Change is
// called with each file's name and content; nil changes nothing.
func Write(t testing.TB, dir string, change func(name, content string) string) (events string) {
	t.Helper()
	for _, file := range txtar.Parse([]byte(archive)).Files {
		content := strings.ReplaceAll(string(file.Data), "DIR", filepath.ToSlash(dir))
		if change != nil {
			content = change(file.Name, content)
		}
		path := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "events.json")
}
