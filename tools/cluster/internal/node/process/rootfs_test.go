package process

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// writeTree makes files below a new directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImageFilesAreReadOnly(t *testing.T) {
	f := newFixture(t)
	dir := writeTree(t, map[string]string{"a": "A\n", "sub/b": "B\n"})
	if err := os.Symlink("sub/b", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	i := progImage(t)
	i.Reference = "files:1"
	i.Files["/opt/data"] = dir
	i.Files["/opt/data/a"] = filepath.Join(dir, "sub/b") // over a file of the directory
	i.Files["/etc/linked.conf"] = filepath.Join(dir, "link")
	if err := f.images.Put(i); err != nil {
		t.Fatal(err)
	}
	use := func(c *rt.ContainerConfig) { c.Image.Image = "files:1" }
	out, _ := f.run(f.pod("web"), "read", []string{"read", "/opt/data/a", "/opt/data/sub/b", "/etc/linked.conf", "/opt/data/sub"}, use)
	if want := "B\nB\nB\n/opt/data/sub/b\n"; out != want {
		t.Errorf("read %q, want %q", out, want)
	}
	out, _ = f.run(f.pod("web2"), "write", []string{"write", "/opt/data/sub/b", "/opt/data/new", "/etc/linked.conf", "/tmp/x", "/x"}, use)
	want := "/opt/data/sub/b: open /opt/data/sub/b: read-only file system\n" +
		"/opt/data/new: open /opt/data/new: read-only file system\n" +
		"/etc/linked.conf: open /etc/linked.conf: read-only file system\n" +
		"/tmp/x: <nil>\n/x: <nil>\n"
	if out != want {
		t.Errorf("writing said %q, want %q", out, want)
	}
}

// Without this, a pod could read the host by a link in an image's directory.
func TestLinksInImagesStayInTheContainer(t *testing.T) {
	f := newFixture(t)
	secret := writeTree(t, map[string]string{"s": "secret\n"})
	dir := t.TempDir()
	if err := os.Symlink(secret, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	i := progImage(t)
	i.Files["/data"] = dir
	if err := f.images.Put(i); err != nil {
		t.Fatal(err)
	}
	out, s := f.run(f.pod("web"), "read", []string{"read", "/data/out/s"})
	if s.GetExitCode() == 0 || strings.Contains(out, "secret") {
		t.Errorf("read %q through a link", out)
	}
	volume := mounts(&rt.Mount{ContainerPath: "/data/out", HostPath: t.TempDir()})
	id, err := f.create(f.pod("web2"), "app", []string{"read", "/"}, volume)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.runtime.StartContainer(t.Context(), id); err == nil {
		t.Error("a volume was mounted through a link out of the image")
	}
	if entries, err := os.ReadDir(secret); err != nil || len(entries) != 1 {
		t.Errorf("the host's directory has %v, %v", entries, err)
	}
}

func TestVolumes(t *testing.T) {
	f := newFixture(t)
	writable := writeTree(t, map[string]string{"inner/keep": "kept\n"})
	inner := writeTree(t, map[string]string{"config": "nested\n"})
	file := filepath.Join(writeTree(t, map[string]string{"key": "value\n"}), "key")
	missing := filepath.Join(t.TempDir(), "made/by/runtime")
	// A mount inside a read-only volume must be read-only, too.
	outer := t.TempDir()
	if err := os.Mkdir(filepath.Join(outer, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sub", filepath.Join(outer, "sub"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(filepath.Join(outer, "sub"), unix.MNT_DETACH)

	volumes := mounts(
		&rt.Mount{ContainerPath: "/data/inner", HostPath: inner, Readonly: true}, // given before what it lies in
		&rt.Mount{ContainerPath: "/data/", HostPath: writable},
		&rt.Mount{ContainerPath: "/etc/app/key", HostPath: file, Readonly: true},
		&rt.Mount{ContainerPath: "/made", HostPath: missing},
		&rt.Mount{ContainerPath: "/outer", HostPath: outer, Readonly: true, RecursiveReadOnly: true},
		&rt.Mount{ContainerPath: "/noexec", HostPath: t.TempDir(), MountOptions: []string{"noexec", "nosuid", "nodev"}},
		&rt.Mount{ContainerPath: "/dev/termination-log", HostPath: filepath.Join(writable, "inner/keep")},
	)
	pod := f.pod("web")
	out, _ := f.run(pod, "read", []string{"read", "/data/inner/config", "/etc/app/key", "/proc/self/mountinfo"}, volumes)
	if !strings.HasPrefix(out, "nested\nvalue\n") {
		t.Errorf("read %q", out)
	}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) > 5 && fields[4] == "/noexec" && !strings.Contains(fields[5], "nosuid,nodev,noexec") {
			t.Errorf("mount options of /noexec: %q", fields[5])
		}
	}
	out, _ = f.run(pod, "write", []string{"write", "/data/new", "/data/inner/new", "/etc/app/key", "/made/new", "/outer/sub/new", "/dev/termination-log"}, volumes)
	want := "/data/new: <nil>\n" +
		"/data/inner/new: open /data/inner/new: read-only file system\n" +
		"/etc/app/key: open /etc/app/key: read-only file system\n" +
		"/made/new: <nil>\n" +
		"/outer/sub/new: open /outer/sub/new: read-only file system\n" +
		"/dev/termination-log: <nil>\n"
	if out != want {
		t.Errorf("writing said %q, want %q", out, want)
	}
	for _, path := range []string{filepath.Join(writable, "new"), filepath.Join(missing, "new"), filepath.Join(writable, "inner/keep")} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "written\n" {
			t.Errorf("%s on the host: %q, %v", path, text, err)
		}
	}
}

// Promise: what a container writes has an end before the machine's memory has.
func TestWritableFilesAreBounded(t *testing.T) {
	f := newFixture(t)
	out, _ := f.run(f.pod("web"), "size", []string{"sizes", "/", "/dev/shm", "/dev"})
	if want := "/ 1024 MiB\n/dev/shm 64 MiB\n/dev 0 MiB\n"; out != want {
		t.Errorf("sizes are %q, want %q", out, want)
	}
}

// Promise: the machine's shared memory is out of the reach of pods that share
// the node's.
func TestNodeSharedMemory(t *testing.T) {
	f := newFixture(t)
	ofNode := podNamespaces(func(o *rt.NamespaceOption) { o.Ipc = rt.NamespaceMode_NODE })
	name := "/dev/shm/stormgate-" + rand.Text()
	f.run(f.pod("a", ofNode), "put", []string{"write", name})
	if out, _ := f.run(f.pod("b", ofNode), "get", []string{"read", name}); out != "written\n" {
		t.Errorf("another pod in the node's IPC namespace reads %q", out)
	}
	if _, err := os.Stat(name); err == nil {
		os.Remove(name)
		t.Error("the machine's shared memory has the file")
	}
}

// Promise: a link that a pod made in the node's file system leads no other pod
// out of it.
func TestLinksInTheNodesFilesAreRefused(t *testing.T) {
	f := newFixture(t)
	secret := writeTree(t, map[string]string{"s": "secret\n"})
	if err := os.MkdirAll(f.runtime.options.HostRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(f.runtime.options.HostRoot, "data")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{link, link + "/s"} {
		id, err := f.create(f.pod("web"), "app", []string{"read", "/v"}, mounts(&rt.Mount{ContainerPath: "/v", HostPath: source}))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.runtime.StartContainer(t.Context(), id); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("mounting %s: %v", source, err)
		}
	}
}

func TestReadOnlyRoot(t *testing.T) {
	f := newFixture(t)
	readOnly := security0(func(s *rt.LinuxContainerSecurityContext) { s.ReadonlyRootfs = true })
	out, _ := f.run(f.pod("web"), "write", []string{"write", "/x", "/tmp/x", "/etc/hosts2", "/data/x", "/dev/null", "/dev/shm/x"},
		readOnly, mounts(&rt.Mount{ContainerPath: "/data", HostPath: t.TempDir()}))
	want := "/x: open /x: read-only file system\n/tmp/x: open /tmp/x: read-only file system\n" +
		"/etc/hosts2: open /etc/hosts2: read-only file system\n/data/x: <nil>\n/dev/null: <nil>\n/dev/shm/x: <nil>\n"
	if out != want {
		t.Errorf("writing said %q, want %q", out, want)
	}
}

func TestKernelFiles(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	restricted := security0(func(s *rt.LinuxContainerSecurityContext) {
		s.MaskedPaths = []string{"/proc/sys/kernel", "/proc/version", "/proc/no-such-file"}
		s.ReadonlyPaths = []string{"/proc/sys", "/proc/no-such-file"}
	})
	out, _ := f.run(pod, "dev", []string{"read", "/dev", "/dev/pts", "/proc/sys/kernel", "/proc/version", "/dev/null"}, restricted)
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr"} {
		if !strings.Contains(out, "/dev/"+name+"\n") {
			t.Errorf("/dev/%s is missing", name)
		}
	}
	if strings.Contains(out, "/proc/sys/kernel/") || strings.Contains(out, "Linux version") {
		t.Errorf("masked paths show %q", out)
	}
	out, _ = f.run(pod, "mounts", []string{"read", "/proc/self/mountinfo"}, restricted)
	if !strings.Contains(out, " /sys /proc/sys ro") {
		t.Errorf("/proc/sys is not read-only: %q", out)
	}
	out, _ = f.run(pod, "write", []string{"write", "/dev/stdout", "/dev/full", "/dev/zero"}, restricted)
	if !strings.Contains(out, "written\n") || !strings.Contains(out, "/dev/stdout: <nil>") {
		t.Errorf("/dev/stdout is not the log: %q", out)
	}
	if !strings.Contains(out, "/dev/full: write /dev/full: no space left") {
		t.Errorf("/dev/full is not full: %q", out)
	}
}

// The device files are the machine's own: what a pod makes of them would stay.
func TestDevicesKeepTheirMode(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		path := "/dev/" + name
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := f.run(pod, "chmod-"+name, []string{"chmod", path})
		if !strings.Contains(out, "read-only file system") {
			t.Errorf("chmod of a device: %q", out)
		}
		if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() {
			t.Errorf("the machine's %s has mode %v after %v", path, after.Mode(), before.Mode())
		}
	}
}

func TestPodFiles(t *testing.T) {
	f := newFixture(t)
	out, _ := f.run(f.pod("web"), "read", []string{"read", "/etc/hostname", "/etc/resolv.conf", "/etc/hosts", "/etc/passwd"})
	want := "web-host\nnameserver 10.96.0.10\nsearch test.svc.cluster.local svc.cluster.local\noptions ndots:5\n" +
		"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.244.0.1\tweb-host\nroot:x:0:0:root:/root:/bin/sh\n"
	if out != want {
		t.Errorf("read %q, want %q", out, want)
	}
	// An image that brings its own /etc keeps it, but for what is the pod's.
	i := progImage(t)
	i.Files["/etc"] = writeTree(t, map[string]string{"resolv.conf": "image's\n", "passwd": "users of the image\n"})
	if err := f.images.Put(i); err != nil {
		t.Fatal(err)
	}
	out, _ = f.run(f.pod("etc"), "read", []string{"read", "/etc/passwd", "/etc", "/etc/resolv.conf"})
	if want := "users of the image\n/etc/passwd\n/etc/resolv.conf\nnameserver 10.96.0.10\nsearch test.svc.cluster.local svc.cluster.local\noptions ndots:5\n"; out != want {
		t.Errorf("read %q, want %q", out, want)
	}
}

// A program that is linked to shared libraries needs only its image to name
// them and the loader.
func TestDynamicallyLinkedProgram(t *testing.T) {
	i, ok := dynamicImage()
	if !ok {
		// Nothing is lost: under the race detector the test binary itself is
		// dynamically linked, and so then are all the tests' containers.
		t.Log("no dynamically linked program on this machine")
		return
	}
	f := newFixture(t)
	if err := f.images.Put(i); err != nil {
		t.Fatal(err)
	}
	_, s := f.run(f.pod("web"), "app", []string{"--version"}, func(c *rt.ContainerConfig) { c.Image.Image = i.Reference })
	if s.GetExitCode() != 0 {
		t.Errorf("exit code %d: %s", s.GetExitCode(), f.output(s))
	}
}

// dynamicImage finds a program that most machines have, with the directories
// of its libraries.
func dynamicImage() (api.Image, bool) {
	i := api.Image{Reference: "dynamic", Files: map[string]string{}}
	for _, program := range []string{"/usr/bin/redis-server", "/usr/bin/bash", "/bin/ls"} {
		if _, err := os.Stat(program); err == nil {
			i.Entrypoint, i.Files["/app"] = []string{"/app"}, program
			break
		}
	}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
		if _, err := os.Stat(dir); err == nil {
			i.Files[dir] = dir
		}
	}
	return i, len(i.Entrypoint) > 0
}

// A full disk is named in the error, and the failed start leaves nothing behind.
func TestDiskFull(t *testing.T) {
	root := t.TempDir()
	// Room for the own directories of the root and nothing else.
	if err := unix.Mount("small", root, "tmpfs", 0, "nr_inodes=6"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	f := newFixtureAt(t, root)
	_, err := f.runtime.RunPodSandbox(t.Context(), f.podConfig("web"), "")
	if err == nil || !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "test/web") {
		t.Errorf("error %v does not name pod, directory and cause", err)
	}
	if list, err := f.runtime.ListPodSandbox(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if f.network.open != 0 {
		t.Errorf("%d networks left", f.network.open)
	}
	if err := unix.Mount("small", root, "tmpfs", unix.MS_REMOUNT, "nr_inodes=100"); err != nil {
		t.Fatal(err)
	}
	f.run(f.pod("web"), "app", []string{"print", "", "", "0"})
}

// A log that cannot be made is an error of the start; one that fills up later
// must not stop the container.
func TestLogDiskFull(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	dir := f.runtime.sandboxes[pod].config.GetLogDirectory()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=64k,nr_inodes=3"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	_, s := f.run(pod, "flood", []string{"flood", "10000"})
	if s.GetExitCode() != 0 {
		t.Errorf("exit code %d", s.GetExitCode())
	}
	if log := string(f.log.Contents()); strings.Count(log, "container output is lost") != 1 || !strings.Contains(log, "no space left") {
		t.Errorf("the runtime's log is %q", log)
	}
	id, err := f.create(pod, "more", []string{"wait"})
	if err != nil {
		t.Fatal(err)
	}
	err = f.runtime.StartContainer(t.Context(), id)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v does not name directory and cause", err)
	}
	if f.runtime.containers[id].process != nil {
		t.Error("the container has a process")
	}
}
