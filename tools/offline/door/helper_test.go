// Package door tests the front door, tools/bazel with tools/offline/setup.sh, as people run
// it: with the machine's shell, and with fakes for what it finds, fetches and starts.
package door

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// systemPath is where the machine's shell and its usual programs are. They can't be
// inputs of the build: the front door is what runs before there is a build.
const systemPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

// goVersion is what the fake workspace's go.mod asks for.
const goVersion = "1.26.8"

// fakes are programs by their name. LOG is a file for what they want to say to the test.
var fakes = map[string]string{
	// "go" answers what the machine's would. FAKE_GO is its version.
	"go": `
version=${FAKE_GO:-` + goVersion + `}
[ "$version" != broken ] || exit 1
# As the real one fetches another one of that version.
[ -z "${GOTOOLCHAIN:-}" ] || [ -z "${FAKE_GO_FETCHES:-}" ] || version=${GOTOOLCHAIN#go}
case "$1 ${2:-}" in
"env "*) shift
  for name; do case "$name" in
    GOVERSION) echo "go$version" ;;
    GOROOT) echo "$FAKE/goroot" ;;
    GOPATH) echo "${GOPATH:-$HOME/go}" ;;
    GOMODCACHE) echo "${GOMODCACHE:-${GOPATH:-$HOME/go}/pkg/mod}" ;;
    GOPROXY) echo direct ;;
    GOARCH) echo amd64 ;;
  esac; done ;;
"mod download") echo "download $4" >>"$LOG"
  if [ -n "${FAKE_NO_PROXY:-}" ]; then
    printf '{\n\t"Path": "x",\n\t"Error": "dial https://proxy.invalid/x: no route to host"\n}\n'
    exit 1
  fi
  dir="$FAKE/modules/${4%@*}"
  mkdir -p "$dir/go/private" && echo '{version}' >"$dir/go/private/BUILD.sdk.bazel"
  chmod 555 "$dir/go/private"
  printf '{\n\t"Dir": "%s"\n}\n' "$dir" ;;
"mod vendor") ;;
"install "*) [ -z "${FAKE_NO_PROXY:-}" ] || exit 1
  cp "$FAKE/bazelisk-of-go" "$GOBIN/bazelisk" ;;
*) echo "fake go: $*" >&2; exit 9 ;;
esac`,
	// What a build of Bazelisk gives: no release is in reach, unless FAKE_RELEASES says so.
	"bazelisk-of-go": `
if [ "$1" = --version ]; then
  echo bazelisk >>"$LOG"
  [ -z "${FAKE_SLOW:-}" ] || { echo "probing $$" >"$FAKE/events"; exec sleep 600; }
  [ -n "${FAKE_RELEASES:-}" ] || { echo "could not fetch https://releases.invalid/bazel" >&2; exit 1; }
else
  exec "$FAKE/bazel" "$@"
fi`,
	"bazel": `
[ "${1:-}" != --version ] || exit 0 # none of ours, on PATH
echo "HOME=$HOME" "TMPDIR=${TMPDIR:-}" "PWD=$(pwd -P)" "GOTOOLCHAIN=${GOTOOLCHAIN:-}" "GOPATH=${GOPATH:-}"
for argument; do echo "argument=$argument"; done
case " $* " in
*" build "*) mkdir -p bazel-bin/tools/report/report_ && cp "$FAKE/report" bazel-bin/tools/report/report_/
  exit "${FAKE_BUILD_STATUS:-0}" ;;
*" test "*) [ -n "${FAKE_NO_EVENTS:-}" ] || echo "of $$" >bazel-events.json ;;
esac
echo "registry=${npm_config_registry:-}"
if [ -n "${FAKE_SLOW:-}" ]; then
  for signal in INT TERM HUP; do trap "echo caught=$signal; exit 8" $signal; done
  echo "bazel $$" >"$FAKE/events"
  # The status of a command is no signal's: this one ends with the test.
  read -r line <"$FAKE/never"
fi
exit "${FAKE_STATUS:-0}"`,
	// It writes down what it would mount, and goes on without.
	"bwrap": `
[ -z "${FAKE_NO_NAMESPACES:-}" ] || { echo "bwrap: No permissions to create new namespace" >&2; exit 1; }
: >"$FAKE/binds"
while :; do case "$1" in
  --die-with-parent) shift ;;
  --bind|--ro-bind|--dev-bind) [ -e "$2" ] || { echo "bwrap: no $2" >&2; exit 1; }
    printf '%s\t%s\n' "$2" "$3" >>"$FAKE/binds"; shift 3 ;;
  *) break ;;
esac; done
exec "$@"`,
	"nsenter": `
while [ "$1" != -- ]; do shift; done
shift
PATH="$FAKE:$PATH" exec "$@"`,
	"mmdebstrap": `
echo mmdebstrap >>"$LOG"
case " $* " in *" --format=tar "*) ;; *) echo "E: no archive was asked for" >&2; exit 1 ;; esac
[ -z "${FAKE_NO_MIRROR:-}" ] || { echo "E: cannot reach http://mirror.invalid/debian" >&2; exit 1; }
if [ -n "${FAKE_SLOW_ROOT:-}" ]; then
  echo "mmdebstrap $PPID" >"$FAKE/events"
  read -r line <"$FAKE/never"
fi
cd "$FAKE/root" && exec tar -c .`,
	"newuidmap": ``,
	"npm":       `[ "$*" = "config get registry" ] && echo npm >>"$LOG" && echo "https://npm.invalid/"`,
	// What the front door has Bazel build, and draws a page with.
	"report": `
[ -z "${FAKE_NO_PAGE:-}" ] || { echo "report: no ink" >&2; exit 1; }
echo "drawn: $*"
for argument; do case "$argument" in --out=*) cp "$1" "${argument#--out=}" ;; esac; done`,
	"apt-get": `echo http://mirror.invalid/debian`,
}

// A machine has a home, a checkout and fakes.
type machine struct {
	t         *testing.T
	dir       string
	Home      string
	Workspace string
	// Env is added to the environment, or changes it. What ends without "=" is unset.
	Env []string
	// Programs is PATH.
	Programs string
	Cwd      string
}

// newMachine makes one whose Bazel releases are out of reach.
func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, Home: filepath.Join(dir, "home"), Workspace: filepath.Join(dir, "checkout")}
	m.Programs = m.path("fake") + ":" + systemPath
	for _, name := range []string{"home", "fake/goroot/bin", "fake/root/etc/bazel"} {
		m.mkdir(m.path(name))
	}
	for name, script := range fakes {
		m.write(m.path("fake", name), "#!/bin/sh\n"+script+"\n")
	}
	for _, fifo := range []string{"events", "never"} {
		if err := unix.Mkfifo(m.path("fake", fifo), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.write(m.path("fake/root/etc/bazel/bazelrc"), "common --of_debian\n")
	m.checkout(m.Workspace)
	return m
}

// checkout makes a workspace with the real scripts in dir.
func (m *machine) checkout(dir string) {
	m.t.Helper()
	for name, source := range map[string]string{"tools/bazel": "../../bazel", "tools/offline/setup.sh": "../setup.sh", "tools/report/door.sh": "../../report/door.sh"} {
		content, err := os.ReadFile(source)
		if err != nil {
			m.t.Fatal(err)
		}
		m.write(filepath.Join(dir, name), string(content))
	}
	m.write(filepath.Join(dir, "go.mod"), "module x\n\ngo 1.26.0\n\ntoolchain go"+goVersion+"\n")
	m.write(filepath.Join(dir, ".bazelversion"), "7.7.1\n")
	patch := "diff --git a/go/private/BUILD.sdk.bazel b/go/private/BUILD.sdk.bazel\n--- a/go/private/BUILD.sdk.bazel\n+++ b/go/private/BUILD.sdk.bazel\n@@ -1 +1,2 @@\n {version}\n+# patched\n"
	m.write(filepath.Join(dir, "tools/nogo/rules_go_facts.patch"), patch)
	m.write(filepath.Join(dir, "tools/coverage/rules_go_stdlib.patch"), strings.ReplaceAll(patch, "@@ -1 +1,2 @@\n {version}\n", "@@ -1,2 +1,3 @@\n {version}\n # patched\n"))
	for _, name := range []string{"tools/offline/modules", "tools/coverage/lcov", "tools/coverage/cmd/lcov_merger", "tools/cluster/api", "tools/internal", "sub"} {
		m.mkdir(filepath.Join(dir, name))
	}
}

func (m *machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}

func (m *machine) mkdir(path string) {
	m.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(path, content string) {
	m.t.Helper()
	m.mkdir(filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// remove takes programs away, also those of the system: PATH then has links to all others.
func (m *machine) remove(programs ...string) {
	m.t.Helper()
	links := m.path("programs")
	m.mkdir(links)
	for _, dir := range filepath.SplitList(m.Programs) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if !slices.Contains(programs, entry.Name()) {
				os.Symlink(filepath.Join(dir, entry.Name()), filepath.Join(links, entry.Name())) // the first one wins
			}
		}
	}
	m.Programs = links
}

// command is tools/bazel, called by the path given.
func (m *machine) command(door string, args ...string) *exec.Cmd {
	cmd := exec.Command(door, args...)
	cmd.Dir = m.Cwd
	if cmd.Dir == "" {
		cmd.Dir = m.Workspace
	}
	env := []string{"HOME=" + m.Home, "PATH=" + m.Programs, "FAKE=" + m.path("fake"), "LOG=" + m.path("log")}
	for _, change := range m.Env {
		name, _, set := strings.Cut(change, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if set {
			env = append(env, change)
		}
	}
	cmd.Env = env
	return cmd
}

func (m *machine) door() string { return filepath.Join(m.Workspace, "tools/bazel") }

// run returns what the front door says and its exit status.
func (m *machine) run(args ...string) (string, int) {
	m.t.Helper()
	return finish(m.t, m.command(m.door(), args...))
}

func finish(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), 0
}

// works fails the test unless Bazel was started, and returns the output.
func (m *machine) works(words ...string) string {
	m.t.Helper()
	out, code := m.run("info")
	if code != 0 || !strings.Contains(out, "argument=info\n") {
		m.t.Errorf("exit status %d:\n%s", code, out)
	}
	m.contains(out, words...)
	return out
}

// refuses fails the test unless the front door ended with one line that has all words.
func (m *machine) refuses(words ...string) {
	m.t.Helper()
	out, code := m.run("info")
	if code != 1 || strings.Contains(out, "argument=") {
		m.t.Errorf("exit status %d, want 1 without Bazel:\n%s", code, out)
	}
	m.contains(out, words...)
	last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	if !strings.HasPrefix(last, "tools/bazel: ") {
		m.t.Errorf("it ends with a line of somebody else's: %q", last)
	}
	if strings.Contains(out, ".invalid") {
		m.t.Errorf("it tells an address: %s", out)
	}
}

func (m *machine) contains(out string, words ...string) {
	m.t.Helper()
	for _, word := range words {
		if !strings.Contains(out, word) {
			m.t.Errorf("it says\n%s\nwithout %q", out, word)
		}
	}
}

// shows reports whether a path of the machine is there, as itself, in the root folder.
func (m *machine) shows(path string) bool {
	m.t.Helper()
	data, err := os.ReadFile(m.path("fake/binds"))
	if err != nil {
		m.t.Fatal(err)
	}
	shown := false
	for line := range strings.Lines(string(data)) {
		from, to, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if to == "/" || path == to || strings.HasPrefix(path, to+"/") {
			shown = from == to // the last one wins
		}
	}
	return shown
}

// logged counts what fakes have noted.
func (m *machine) logged(word string) int {
	data, _ := os.ReadFile(m.path("log"))
	return strings.Count(string(data), word)
}

// event waits for a fake to say where it is.
func (m *machine) event() string {
	m.t.Helper()
	data, err := os.ReadFile(m.path("fake/events")) // a fifo: until somebody has written
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

const helperArgument = "door-helper"

// on returns a command for which dir is a file system in memory, mounted with the options.
func (m *machine) on(dir string, flags uintptr, options string, cmd *exec.Cmd) *exec.Cmd {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.mkdir(dir)
	helper := exec.Command(self, append([]string{helperArgument, dir, fmt.Sprint(flags), options}, cmd.Args...)...)
	helper.Dir, helper.Env = cmd.Dir, cmd.Env
	helper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	return helper
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helperArgument {
		fmt.Fprintln(os.Stderr, "test helper:", help(os.Args[2:]))
		os.Exit(9)
	}
	os.Exit(m.Run())
}

func help(args []string) error {
	runtime.LockOSThread()
	var flags uintptr
	if _, err := fmt.Sscan(args[1], &flags); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", args[0], "tmpfs", flags, args[2]); err != nil {
		return err
	}
	return syscall.Exec(args[3], args[3:], os.Environ())
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
