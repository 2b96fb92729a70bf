package boottest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

// expectFailure waits for the failure and checks what it says and leaves.
func expectFailure(t *testing.T, cluster *clustertest.Cluster, component string, words ...string) {
	t.Helper()
	event, err := cluster.Await(deadline(t, bootTimeout), api.EventFailed)
	if err != nil {
		t.Fatal(err)
	}
	if event.Component != component {
		t.Errorf("component = %q, want %q", event.Component, component)
	}
	for _, word := range words {
		if !strings.Contains(event.Message, word) {
			t.Errorf("error = %q, want one with %q", event.Message, word)
		}
	}
	if err := cluster.Wait(deadline(t, bootTimeout)); err == nil {
		t.Error("the launcher ended with exit status 0")
	}
}

// Promise: a directory that can't be used is named with the way out, before anything is started.
func TestUnusableDirectory(t *testing.T) {
	open := newDir(t)
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dir   string
		words []string
	}{
		"too long":       {"/tmp/" + strings.Repeat("x", 100), []string{"control.sock", "shorter"}},
		"open to others": {open, []string{open, "0755", "chmod 700"}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := start(t, exec.Command(clusterBinary(t), "run", "--dir="+test.dir), test.dir)
			expectFailure(t, cluster, "launcher", test.words...)
		})
	}
	if entries, err := os.ReadDir(open); err != nil || len(entries) != 0 {
		t.Errorf("the refused directory has %v, %v", entries, err)
	}
}

// Promise: a second cluster in the same directory is refused and does not disturb the first.
func TestDirectoryInUse(t *testing.T) {
	first := run(t)
	await(t, first, "etcd")
	second := start(t, exec.Command(clusterBinary(t), "run", "--dir="+first.Dir), first.Dir)
	expectFailure(t, second, "launcher", "another cluster", first.Dir)
	await(t, first, api.EventAPI)
}

// Promise: an images file that is absent or wrong is named.
func TestBrokenImages(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(broken, []byte(`[{"reference": 7}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("absent", func(t *testing.T) {
		expectFailure(t, run(t, "--images="+broken+".absent"), "launcher", "images.json.absent")
	})
	t.Run("wrong", func(t *testing.T) {
		cluster := run(t, "--images="+broken)
		event, err := cluster.Await(deadline(t, bootTimeout), api.EventFailed)
		if err != nil {
			t.Fatal(err)
		}
		if event.Component != "node" || !strings.Contains(strings.Join(event.LogTail, "\n"), broken) {
			t.Errorf("failure = %+v, want the node's with the file in its log", event.Failure)
		}
	})
}

// Promise: a full data file system is recognised behind etcd's panic, and the flag that helps named.
func TestDataTooSmall(t *testing.T) {
	cluster := run(t, "--data-limit=16")
	expectFailure(t, cluster, "etcd", "16 MiB", "full", "--data-limit")
	expectNothingLeft(t, nil, cluster.Dir)
}

// Promise: no boot hangs beyond its deadline.
func TestDeadline(t *testing.T) {
	cluster := run(t, "--deadline=300ms")
	event, err := cluster.Await(deadline(t, bootTimeout), api.EventFailed)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(event.Message, "deadline of 300ms") {
		t.Errorf("failure = %+v, want one that names the deadline", event.Failure)
	}
	expectNothingLeft(t, nil, cluster.Dir)
}

// Promise: where user namespaces are barred a user gets an error that names the setting.
func TestWithoutUserNamespaces(t *testing.T) {
	dir := newDir(t)
	cluster := start(t, barred(t, 1000, clusterBinary(t), "run", "--dir="+dir), dir)
	expectFailure(t, cluster, "launcher", "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces", "run as root")
	expectNothingLeft(t, nil, dir)
}

// Promise: root does without user namespaces where they are barred.
func TestRootWithoutUserNamespaces(t *testing.T) {
	dir := newDir(t)
	cluster := start(t, barred(t, 0, clusterBinary(t), "run", "--dir="+dir), dir)
	await(t, cluster, api.EventReady)
	processes := tree(t, cluster)
	cluster.Kill()
	expectNothingLeft(t, processes, dir)
}

// Promise: a directory on a full disk gives an error that names the file.
func TestFullDisk(t *testing.T) {
	dir := newDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cluster := start(t, onFullDisk(t, dir, clusterBinary(t), "run", "--dir="+dir), dir)
	expectFailure(t, cluster, "init", "boot.json", "no space left on device")
}
