package boot

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/api"
)

// shortDir returns a directory whose sockets fit into a unix address, which
// t.TempDir's does not inside a build sandbox.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Promise: another user's directory is refused. In a namespace with one user id nothing can be given
// away and all of root's is ours, so the other user is the one who asks.
func TestAnothersDirectory(t *testing.T) {
	dir := shortDir(t)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkPrivate(dir, info, os.Geteuid()+1); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("error = %v, want one with %q", err, "belongs to user")
	}
}

// Promise: a directory in which the administrator's key would not be safe, or the sockets not fit, is
// refused before anything is written, with the directory's name and the way out.
func TestUnusableDirectories(t *testing.T) {
	open := shortDir(t)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(shortDir(t), "link")
	if err := os.Symlink(shortDir(t), link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(shortDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := "/tmp/" + strings.Repeat("x", api.MaxSocketPath)
	for name, test := range map[string]struct{ dir, want string }{
		"relative":         {"cluster", "absolute"},
		"not clean":        {"/tmp/../tmp/c", "absolute"},
		"empty":            {"", "absolute"},
		"too long":         {long, "choose a shorter directory"},
		"open to others":   {open, "chmod 700 " + open},
		"symbolic link":    {link, link},
		"file":             {file, file},
		"parent is absent": {filepath.Join(shortDir(t), "a", "b"), "a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openDirectory(test.dir)
			if err == nil {
				d.close()
				t.Fatalf("%s was accepted", test.dir)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

// Promise: the longest allowed directory really fits, so that the check is neither off by one nor
// lenient: listen fails with a bare "invalid argument" otherwise.
func TestLongestDirectory(t *testing.T) {
	base := shortDir(t)
	dir := filepath.Join(base, strings.Repeat("x", api.MaxSocketPath-len(base)-len("//control.sock")))
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if n := len(d.paths.Dir.ControlSocket()); n != api.MaxSocketPath {
		t.Fatalf("control.sock's path has %d bytes, want the limit", n)
	}
	if len(d.paths.nodeControl()) > len(d.paths.Dir.ControlSocket()) {
		t.Errorf("the node's socket %s is longer than the one that is checked", d.paths.nodeControl())
	}
	file, err := listen(d.paths.Dir.ControlSocket())
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := openDirectory(dir + "x"); err == nil {
		t.Error("one byte more was accepted")
	}
}

// Promise: two clusters never share a directory, and the lock ends with its holder.
func TestDirectoryIsLocked(t *testing.T) {
	dir := shortDir(t)
	first, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDirectory(dir); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Fatalf("error = %v", err)
	}
	first.close()
	second, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.close()
}

// Promise: what a killed cluster left is removed, and nothing that is not ours.
func TestStaleFilesAreRemoved(t *testing.T) {
	dir := shortDir(t)
	p := paths{Dir: api.Dir(dir)}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.Dir.APISocket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	foreign := filepath.Join(dir, "notes.txt")
	for _, file := range []string{p.Dir.Kubeconfig(), p.Dir.BootReport(), foreign} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("left: %v, %v, want notes.txt alone", entries, err)
	}
}

func TestRemove(t *testing.T) {
	for name, test := range map[string]struct {
		keepLogs, made bool
		extra          string
		want           []string // nil: the directory itself is gone
	}{
		"made by us":             {made: true},
		"made by the caller":     {want: []string{}},
		"with a file of another": {made: true, extra: "notes.txt", want: []string{"notes.txt"}},
		"logs kept":              {made: true, keepLogs: true, want: []string{"boot.json", "logs"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := paths{Dir: api.Dir(shortDir(t)), KeepLogs: test.keepLogs, Made: test.made}
			for _, dir := range []string{p.Dir.Logs(), p.data()} {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			files := []string{p.Dir.APISocket(), p.Dir.ControlSocket(), p.Dir.Kubeconfig(), p.Dir.BootReport(), p.Dir.Log("etcd")}
			if test.extra != "" {
				files = append(files, filepath.Join(string(p.Dir), test.extra))
			}
			for _, file := range files {
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the launcher and init may both do it
				if err := p.remove(); err != nil {
					t.Fatal(err)
				}
			}
			entries, err := os.ReadDir(string(p.Dir))
			if test.want == nil {
				if !os.IsNotExist(err) {
					t.Errorf("the directory is there: %v", entries)
				}
				return
			}
			got := []string{}
			for _, entry := range entries {
				got = append(got, entry.Name())
			}
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("left %q, want %q", got, test.want)
			}
		})
	}
}
