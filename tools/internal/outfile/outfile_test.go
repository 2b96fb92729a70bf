package outfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestPlace(t *testing.T) {
	for _, c := range []struct{ started, name, want string }{
		{"/typed", "a/b", "/typed/a/b"}, {"/typed", "/a", "/a"}, {"/typed", "", ""}, {"", "a", "a"},
	} {
		t.Setenv("BUILD_WORKING_DIRECTORY", c.started)
		if got := Place(c.name); got != c.want {
			t.Errorf("%q from %q is %q, want %q", c.name, c.started, got, c.want)
		}
	}
}

// Promise: a file is there as a whole or as it was, and nothing else is left.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	for _, content := range []string{"first", "second"} {
		if err := Replace(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if Replace(filepath.Join(dir, "folder"), nil) == nil || Replace(filepath.Join(dir, "none", "out"), nil) == nil {
		t.Error("what can't be written is no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Promise: what is no regular file is written to, and not replaced: not even by the superuser,
// who could put a file in the place of /dev/null.
func TestReplaceLeavesDevicesAndPipes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		content, err := os.ReadFile(name)
		if err != nil {
			content = []byte(err.Error())
		}
		read <- string(content)
	}()
	if err := Replace(name, []byte("words")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe is %v, %v", info, err)
	}
	if got := <-read; got != "words" {
		t.Errorf("%q came through the pipe", got)
	}
}
