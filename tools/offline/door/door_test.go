package door

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Promise: whatever HOME and XDG_CACHE_HOME are, the front door works or says what to set.
func TestHome(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*machine)
		want   []string // of a refusal; nil if it works
	}{
		"as usual": {func(*machine) {}, nil},
		"relative": {func(m *machine) { m.Home = "home" }, []string{"HOME is 'home'", "absolute"}},
		"with a space": {func(m *machine) { m.Home = m.path("my home") },
			[]string{"my home/.cache", "space", "set XDG_CACHE_HOME"}},
		"with a space, and a cache without": {func(m *machine) {
			m.Home = m.path("my home")
			m.Env = []string{"XDG_CACHE_HOME=" + m.path("cache")}
		}, nil},
		"not a folder": {func(m *machine) { m.Home = m.path("fake/go") },
			[]string{"can't be written", "Not a directory", "set XDG_CACHE_HOME"}},
		"relative cache":      {func(m *machine) { m.Env = []string{"XDG_CACHE_HOME=cache"} }, []string{"XDG_CACHE_HOME is 'cache'", "absolute"}},
		"cache elsewhere":     {func(m *machine) { m.Env = []string{"XDG_CACHE_HOME=" + m.path("cache")} }, nil},
		"a cache that is new": {func(m *machine) { m.Env = []string{"XDG_CACHE_HOME=" + m.path("a/b/c")} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.change(m)
			if test.want != nil {
				m.refuses(test.want...)
				return
			}
			m.works()
		})
	}
}

// Promise: without HOME the password file's is taken, by all that is started.
func TestNoHome(t *testing.T) {
	for _, change := range []string{"HOME", "HOME="} {
		m := newMachine(t)
		m.Env = []string{change, "XDG_CACHE_HOME=" + m.path("cache"), "GOPATH=" + m.path("go")}
		self, err := user.Current()
		if err != nil || self.HomeDir == "" || self.HomeDir == "/" {
			m.refuses("HOME is not set", "set HOME")
			continue
		}
		m.works("HOME=" + self.HomeDir + " ")
	}
}

// Promise: a home that can't be written is named with the way out, and that way works.
func TestReadOnlyHome(t *testing.T) {
	m := newMachine(t)
	out, code := finish(t, m.on(m.Home, unix.MS_RDONLY, "", m.command(m.door(), "info")))
	if code != 1 {
		t.Errorf("exit status %d", code)
	}
	m.contains(out, "Read-only file system", "set XDG_CACHE_HOME")

	m.Env = []string{"XDG_CACHE_HOME=" + m.path("cache")}
	out, code = finish(t, m.on(m.Home, unix.MS_RDONLY, "", m.command(m.door(), "info")))
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	m.contains(out, "argument=info", "argument=--bazelrc="+m.path("cache/stormgate/bazelrc"), "GOPATH="+m.path("cache/stormgate/gopath"))
}

// Promise: before anything is fetched it is known whether the disk has room for it.
func TestFullHome(t *testing.T) {
	for _, way := range []string{"", "offline"} {
		m := newMachine(t)
		m.Env = []string{"STORMGATE_BAZEL=" + way}
		out, code := finish(t, m.on(m.Home, 0, "size=1m", m.command(m.door(), "info")))
		if code != 1 || m.logged("") > 1 {
			t.Errorf("exit status %d", code)
		}
		m.contains(out, "MiB free", "make room", "set XDG_CACHE_HOME")
	}
}

// Promise: Bazel's disk cache is with the other caches, unless a person chose another place.
func TestDiskCache(t *testing.T) {
	m := newMachine(t)
	if out := m.works(); strings.Contains(out, "bazelrc") {
		t.Errorf("in the usual place no option is needed:\n%s", out)
	}
	m.Env = []string{"XDG_CACHE_HOME=" + m.path("cache")}
	m.works("argument=--bazelrc=" + m.path("cache/stormgate/bazelrc"))
	content, err := os.ReadFile(m.path("cache/stormgate/bazelrc"))
	if want := `common --disk_cache="` + m.path("cache/stormgate/disk") + "\"\n"; err != nil || string(content) != want {
		t.Errorf("bazelrc is %q, %v, want %q", content, err, want)
	}
	m.Env = append(m.Env, "BAZEL_REAL="+m.path("fake/bazel")) // as Bazelisk calls it
	m.works("argument=--bazelrc=" + m.path("cache/stormgate/bazelrc"))
	m.write(filepath.Join(m.Workspace, "user.bazelrc"), "common --disk_cache=/mine\n")
	if out := m.works(); strings.Contains(out, "bazelrc") {
		t.Errorf("a person's choice is overridden:\n%s", out)
	}
}

// Promise: what Bazel writes is the machine's, wherever it lies, and never the root folder's.
func TestRootFolderShowsTheMachine(t *testing.T) {
	m := newMachine(t)
	m.Env = []string{"XDG_CACHE_HOME=" + m.path("cache")}
	m.works()
	for _, path := range []string{m.Home, m.Workspace, m.path("cache/bazel"), "/tmp/x", "/var/tmp", "/home", "/proc/self", "/dev/null"} {
		if !m.shows(path) {
			t.Errorf("%s is not the machine's", path)
		}
	}
	for _, path := range []string{"/usr/bin/bazel", "/bin/sh", "/lib/x", "/etc/bazel/bazelrc", "/etc/apt"} {
		if m.shows(path) {
			t.Errorf("%s is the machine's", path)
		}
	}
	// Debian's Go is a folder of links into another one.
	shared := m.path("share/src")
	m.mkdir(shared)
	if err := os.Symlink(shared, m.path("fake/goroot/src")); err != nil {
		t.Fatal(err)
	}
	m.works()
	data, err := os.ReadFile(m.path("fake/binds"))
	if err != nil || !strings.Contains(string(data), shared+"\t"+shared+"\n") {
		t.Errorf("links of GOROOT lead nowhere: %s, %v", data, err)
	}
}

// Promise: where Bazel has no room for sandboxes' folders, it gets another one.
func TestTmpdir(t *testing.T) {
	for value, want := range map[string]string{"/nonexistent/x": "TMPDIR= ", "relative": "TMPDIR= ", "": "TMPDIR= ", os.TempDir(): "TMPDIR=" + os.TempDir() + " "} {
		m := newMachine(t)
		m.Env = []string{"TMPDIR=" + value}
		out := m.works(want)
		if says := strings.Contains(out, "TMPDIR is '"+value+"'"); says != (want == "TMPDIR= " && value != "") {
			t.Errorf("TMPDIR=%s: it says so: %v\n%s", value, says, out)
		}
	}
}

// Promise: it is called from anywhere, by any path.
func TestPlace(t *testing.T) {
	m := newMachine(t)
	link := m.path("link")
	if err := os.Symlink(m.door(), link); err != nil {
		t.Fatal(err)
	}
	spaced, long := m.path("my checkout"), m.path(strings.Repeat("long/", 300))
	m.checkout(spaced)
	m.checkout(long)
	for name, test := range map[string]struct{ door, cwd string }{
		"subfolder":  {"../tools/bazel", filepath.Join(m.Workspace, "sub")},
		"elsewhere":  {m.door(), m.Home},
		"link":       {link, m.Workspace},
		"spaces":     {filepath.Join(spaced, "tools/bazel"), spaced},
		"long":       {"./tools/bazel", long},
		"the system": {m.door(), "/usr"},
	} {
		t.Run(name, func(t *testing.T) {
			m.t, m.Cwd = t, test.cwd
			out, code := finish(t, m.command(test.door, "info"))
			if code != 0 {
				t.Errorf("exit status %d", code)
			}
			m.contains(out, "PWD="+test.cwd+" ", "argument=info\n")
			if test.cwd == "/usr" && m.shows("/usr/bin/bazel") {
				t.Error("the machine's /usr hides the root folder's")
			}
		})
	}
}

// Promise: arguments and exit status pass as they are.
func TestPassesThrough(t *testing.T) {
	m := newMachine(t)
	m.Env = []string{"FAKE_STATUS=37"}
	out, code := m.run("run", "//x", "--", "a b", "", "*", "$HOME")
	if code != 37 {
		t.Errorf("exit status %d, want 37", code)
	}
	m.contains(out, "argument=run\nargument=//x\nargument=--\nargument=a b\nargument=\nargument=*\nargument=$HOME\n")
}

// Promise: closed descriptors are no reason to fail, or to write to a file of ours.
func TestClosedDescriptors(t *testing.T) {
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
		m := newMachine(t)
		sh := m.command("/bin/sh", "-c", `"$0" info `+closed, m.door())
		if out, code := finish(t, sh); code != 0 {
			t.Errorf("%s: exit status %d:\n%s", closed, code, out)
		}
	}
}

// Promise: what is missing is named, with what to install.
func TestMissingPrograms(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*machine)
		want   []string // of a refusal; nil if it works
	}{
		"go":      {func(m *machine) { m.remove("go", "bazelisk", "bazel") }, []string{"neither bazelisk nor go", "install Go " + goVersion}},
		"go then": {func(m *machine) { m.remove("go"); m.Env = []string{"STORMGATE_BAZEL=offline"} }, []string{"no go on PATH", goVersion}},
		"a go that runs": {func(m *machine) { m.Env = []string{"FAKE_GO=broken", "STORMGATE_BAZEL=offline"} },
			[]string{"does not run", goVersion}},
		"a newer go":                    {func(m *machine) { m.Env = []string{"FAKE_GO=1.19.8"} }, []string{"Go is 1.19.8", "asks for " + goVersion}},
		"a newer go, none in reach":     {func(m *machine) { m.Env = []string{"FAKE_GO=1.25.1"} }, []string{"Go is 1.25.1", "asks for " + goVersion}},
		"a newer go, but it is fetched": {func(m *machine) { m.Env = []string{"FAKE_GO=1.25.1", "FAKE_GO_FETCHES=1"} }, nil},
		"nothing, with a newer go":      {func(m *machine) { m.Env = []string{"FAKE_GO=1.27.0"} }, nil},
		"bazelisk's module":             {func(m *machine) { m.Env = []string{"FAKE_NO_PROXY=1"} }, []string{"could not be built", "go" + goVersion, "HTTPS_PROXY"}},
		"modules": {func(m *machine) { m.Env = []string{"FAKE_NO_PROXY=1", "STORMGATE_BAZEL=offline"} },
			[]string{"rules_go", "no route to host", "HTTPS_PROXY"}},
		"the mirror":      {func(m *machine) { m.Env = []string{"FAKE_NO_MIRROR=1"} }, []string{"mmdebstrap failed: E: cannot reach URL", "http_proxy"}},
		"namespaces":      {func(m *machine) { m.Env = []string{"FAKE_NO_NAMESPACES=1"} }, []string{"namespaces", "sysctl", "seccomp"}},
		"another setting": {func(m *machine) { m.Env = []string{"STORMGATE_BAZEL=yes"} }, []string{"'yes'", "bazelisk", "offline"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.change(m)
			if test.want == nil {
				m.works()
				return
			}
			m.refuses(test.want...)
		})
	}
}

// Promise: where a program is missing, its package is named, or installed for root.
func TestMissingPackages(t *testing.T) {
	for program, name := range map[string]string{"bwrap": "bubblewrap", "mmdebstrap": "mmdebstrap", "git": "git"} {
		m := newMachine(t)
		m.remove(program)
		// Of an apt-get that installs nothing root is told as well.
		m.Env = []string{"STORMGATE_BAZEL=offline"}
		out, _ := m.run("info")
		m.contains(out, name)
		if os.Geteuid() != 0 {
			m.contains(out, "apt-get install "+name)
		}
	}
}

// Promise: a home that is itself a git repository doesn't keep the patches from rules_go.
func TestPatchesInARepository(t *testing.T) {
	m := newMachine(t)
	git := exec.Command("/usr/bin/env", "git", "init", "-q", m.Home)
	git.Env = []string{"PATH=" + systemPath}
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.works()
	files, err := filepath.Glob(filepath.Join(m.Home, ".cache/stormgate/offline/modules-*/rules_go/go/private/BUILD.sdk.bazel"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if content, err := os.ReadFile(files[0]); err != nil || strings.Count(string(content), "# patched") != 2 {
		t.Errorf("patched is %q, %v", content, err)
	}
}

// Promise: releases out of reach are remembered once the other way works, and not before.
func TestRemembers(t *testing.T) {
	m := newMachine(t)
	marker := filepath.Join(m.Home, ".cache/stormgate/bazelisk-out-of-reach")
	m.Env = []string{"FAKE_NO_MIRROR=1"} // a moment without any network
	m.refuses("out of reach")
	if _, err := os.Stat(marker); err == nil {
		t.Error("a machine without network is left to the registries for a day")
	}
	m.Env = nil
	m.works("out of reach")
	if _, err := os.Stat(marker); err != nil {
		t.Error(err)
	}
	if out := m.works(); strings.Contains(out, "tools/bazel:") || m.logged("bazelisk") != 2 || m.logged("mmdebstrap") != 2 {
		t.Errorf("it tries again: bazelisk %d times, mmdebstrap %d times\n%s", m.logged("bazelisk"), m.logged("mmdebstrap"), out)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	m.Env = []string{"FAKE_RELEASES=1"}
	m.works()
}

// Promise: two first runs at once make everything once, and the one that waits says so.
func TestTwoFirstRuns(t *testing.T) {
	m := newMachine(t)
	m.Env = []string{"STORMGATE_BAZEL=offline", "FAKE_SLOW_ROOT=1"}
	first := m.command(m.door(), "info")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	m.event()
	second := m.command(m.door(), "info")
	stderr, err := second.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 200)
	n, err := stderr.Read(said)
	if err != nil || !strings.Contains(string(said[:n]), "waiting") {
		t.Errorf("the second says %q, %v", said[:n], err)
	}
	m.letGo()
	if err := first.Wait(); err != nil {
		t.Error("first:", err)
	}
	if err := second.Wait(); err != nil {
		t.Error("second:", err)
	}
	if m.logged("mmdebstrap") != 1 || m.logged("download") != 2 {
		t.Errorf("mmdebstrap ran %d times, %d modules were fetched", m.logged("mmdebstrap"), m.logged("download"))
	}
}

// letGo lets fakes that wait go on.
func (m *machine) letGo() {
	m.t.Helper()
	file, err := os.OpenFile(m.path("fake/never"), os.O_WRONLY, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	file.WriteString("go on\n")
	file.Close()
}

// Promise: a first run that was ended in the middle leaves the next one a clean start.
func TestFirstRunBrokenOff(t *testing.T) {
	for name, end := range map[string]func(cmd *exec.Cmd) error{
		"killed":     func(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) },
		"Ctrl-C":     func(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) },
		"terminated": func(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Env = []string{"STORMGATE_BAZEL=offline", "FAKE_SLOW_ROOT=1"}
			first := m.command(m.door(), "info")
			first.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			m.event()
			if err := end(first); err != nil {
				t.Fatal(err)
			}
			if err := first.Wait(); err == nil {
				t.Error("the first run went well")
			}
			// As a download leaves it: folders that can't be written.
			locked := filepath.Join(m.Home, ".cache/stormgate/offline/tmp.old/locked")
			m.write(filepath.Join(locked, "file"), "")
			if err := os.Chmod(locked, 0o500); err != nil {
				t.Fatal(err)
			}
			m.Env = []string{"STORMGATE_BAZEL=offline"}
			m.works()
			if left, err := filepath.Glob(filepath.Join(m.Home, ".cache/stormgate/offline/tmp.*")); err != nil || len(left) != 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// Promise: signals to the front door are Bazel's, which is that very process.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		m := newMachine(t)
		m.Env = []string{"STORMGATE_BAZEL=offline", "FAKE_SLOW=1"}
		cmd := m.command(m.door(), "info")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var bazel int
		if _, id, found := strings.Cut(m.event(), " "); found {
			bazel = atoi(t, id)
		}
		if bazel != cmd.Process.Pid {
			t.Errorf("Bazel is process %d, and the front door %d: signals reach only one", bazel, cmd.Process.Pid)
			syscall.Kill(bazel, syscall.SIGKILL)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != 8 || !strings.Contains(out.String(), "caught="+strings.TrimPrefix(unix.SignalName(signal), "SIG")) {
			t.Errorf("%v: %v\n%s", signal, cmd.ProcessState, out.String())
		}
	}
}

// Promise: Ctrl-C ends the look for Bazel's releases, which on some networks takes minutes.
func TestCtrlCWhileProbing(t *testing.T) {
	m := newMachine(t)
	m.Env = []string{"FAKE_SLOW=1"}
	cmd := m.command(m.door(), "info")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(m.event(), " ")
	probe, err := unix.PidfdOpen(atoi(t, id), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(probe)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it went well")
	}
	// Readable once it has ended.
	ended := []unix.PollFd{{Fd: int32(probe), Events: unix.POLLIN}}
	if n, err := unix.Poll(ended, 10_000); n != 1 {
		t.Errorf("the probe goes on: %v", err)
		unix.PidfdSendSignal(probe, unix.SIGKILL, nil, 0)
	}
}

// Promise: in the root folder, where npm is not, Bazel knows from where npm on this machine
// has packages; what a person set wins, and without npm nothing is set.
func TestRegistryOfNPM(t *testing.T) {
	m := newMachine(t)
	m.Env = []string{"STORMGATE_BAZEL=offline"}
	m.works("registry=https://npm.invalid/\n")
	m.works("registry=https://npm.invalid/\n")
	if n := m.logged("npm"); n != 1 {
		t.Errorf("npm was asked %d times", n)
	}
	m.Env = append(m.Env, "npm_config_registry=https://mine.invalid")
	m.works("registry=https://mine.invalid\n")

	m = newMachine(t)
	m.remove("npm")
	m.Env = []string{"STORMGATE_BAZEL=offline"}
	m.works("registry=\n")
}
