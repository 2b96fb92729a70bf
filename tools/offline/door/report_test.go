package door

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// page is what the fake program draws: the build events of the run.
func (m *machine) page() string {
	data, _ := os.ReadFile(filepath.Join(m.Workspace, "bazel-report.html"))
	return string(data)
}

// Promise: a test with --config=report leaves its page, whatever it ends with, and ends with
// that.
func TestReport(t *testing.T) {
	for _, status := range []int{0, 1, 3, 8} {
		m := newMachine(t)
		m.Env = []string{"FAKE_STATUS=" + strconv.Itoa(status)}
		out, code := m.run("test", "--config=report", "//x", "--", "-//y")
		if code != status {
			t.Errorf("exit status %d, want %d", code, status)
		}
		m.contains(out, "argument=test\nargument=--config=report\nargument=//x\nargument=--\nargument=-//y\n", "drawn: "+m.Workspace+"/bazel-events.json")
		if !strings.HasPrefix(m.page(), "of ") {
			t.Errorf("status %d: the page is %q", status, m.page())
		}
	}
}

// Promise: what draws is built once, by the same server, and again when its sources change.
func TestReportIsBuiltOnce(t *testing.T) {
	m := newMachine(t)
	source := filepath.Join(m.Workspace, "tools/report/main.go")
	m.write(source, "package main")
	for _, want := range []int{1, 0, 0} {
		out, _ := m.run("--output_base=/x", "test", "--config", "report", "//x")
		if got := strings.Count(out, "argument=build\n"); got != want {
			t.Errorf("built %d times, want %d:\n%s", got, want, out)
		}
		if got := strings.Count(out, "argument=--output_base=/x\n"); got != 1+want {
			t.Errorf("the server is the one asked for %d times, want %d:\n%s", got, 1+want, out)
		}
		m.contains(out, "drawn: ")
	}
	m.write(source, "package main // changed")
	if out, _ := m.run("test", "--config=report", "//x"); strings.Count(out, "argument=build\n") != 1 {
		t.Errorf("what draws is that of before:\n%s", out)
	}
}

// Promise: where no page can be made, a line says why, and the status is Bazel's.
func TestNoReport(t *testing.T) {
	for change, want := range map[string]string{
		"FAKE_NO_EVENTS=1":    "no build events",
		"FAKE_NO_PAGE=1":      "no ink",
		"FAKE_BUILD_STATUS=1": "could not be built",
	} {
		m := newMachine(t)
		m.write(filepath.Join(m.Workspace, "bazel-events.json"), "of another run")
		m.Env = []string{"FAKE_STATUS=3", change}
		out, code := m.run("test", "--config=report", "//x")
		if code != 3 {
			t.Errorf("%s: exit status %d", change, code)
		}
		m.contains(out, "argument=//x", "tools/bazel: no page of this run: ", want)
		if m.page() != "" {
			t.Errorf("%s: the page is %q", change, m.page())
		}
	}
	// A person who ends the build does not want the test.
	m := newMachine(t)
	m.Env = []string{"FAKE_BUILD_STATUS=8"}
	if out, code := m.run("test", "--config=report", "//x"); code != 8 || strings.Contains(out, "argument=//x") {
		t.Errorf("exit status %d:\n%s", code, out)
	}
}

// Promise: no other call makes or builds anything.
func TestReportIsNotAskedFor(t *testing.T) {
	for _, args := range [][]string{
		{"test", "//x"}, {"run", "//x", "--", "test", "--config=report"}, {"query", "--config=report", "//x"}, {"test", "//x", "--", "--config=report"}, {"info"}, {},
	} {
		m := newMachine(t)
		out, code := m.run(args...)
		if code != 0 || strings.Contains(out, "drawn") || strings.Contains(out, "argument=build\n") || m.page() != "" {
			t.Errorf("%q: exit status %d:\n%s", args, code, out)
		}
	}
}

// ready makes the program first, and starts a test that waits.
func (m *machine) ready(start func(cmd *exec.Cmd)) (cmd *exec.Cmd, bazel int) {
	m.t.Helper()
	if out, code := m.run("test", "--config=report", "//x"); code != 0 {
		m.t.Fatalf("exit status %d:\n%s", code, out)
	}
	if err := os.Remove(filepath.Join(m.Workspace, "bazel-report.html")); err != nil {
		m.t.Fatal(err)
	}
	m.Env = append(m.Env, "FAKE_SLOW=1")
	cmd = m.command(m.door(), "test", "--config=report", "//x")
	start(cmd)
	if _, id, found := strings.Cut(m.event(), " "); found {
		bazel = atoi(m.t, id)
	}
	return cmd, bazel
}

// Promise: signals to the front door alone are Bazel's, and an interrupted run has its page.
func TestReportSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		m := newMachine(t)
		m.Env = []string{"STORMGATE_BAZEL=offline"}
		var out bytes.Buffer
		cmd, bazel := m.ready(func(cmd *exec.Cmd) {
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != 8 || !strings.Contains(out.String(), "caught="+strings.TrimPrefix(unix.SignalName(signal), "SIG")) {
			t.Errorf("%v: %v\n%s", signal, cmd.ProcessState, out.String())
		}
		if want := "of " + strconv.Itoa(bazel) + "\n"; m.page() != want {
			t.Errorf("%v: the page is %q, want %q", signal, m.page(), want)
		}
	}
}

// Promise: Bazel killed outright is a status of its own, with the page.
func TestReportOfKilled(t *testing.T) {
	m := newMachine(t)
	cmd, bazel := m.ready(func(cmd *exec.Cmd) {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	if err := syscall.Kill(bazel, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGKILL) || m.page() == "" {
		t.Errorf("exit status %d, and the page is %q", code, m.page())
	}
}

// Promise: Ctrl-C in a terminal reaches Bazel once, as three make it kill its server.
func TestReportCtrlC(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	m := newMachine(t)
	// It says each one, and ends at the next line of its input, which is the terminal.
	m.write(m.path("fake/bazel"), `#!/bin/sh
case " $* " in *" build "*) mkdir -p bazel-bin/tools/report/report_ && cp "$FAKE/report" bazel-bin/tools/report/report_/; exit ;; esac
[ "${1:-}" != --version ] || exit 0
echo events >bazel-events.json
[ -n "${FAKE_SLOW:-}" ] || exit 0
trap 'echo interrupt >>"$LOG"; echo caught >"$FAKE/events"' INT
echo "bazel $$" >"$FAKE/events"
while ! read -r line; do :; done
[ "$line" = enough ] && exit 8
`)
	cmd, _ := m.ready(func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := terminal.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if got := m.event(); got != "caught" {
		t.Errorf("Bazel says %q", got)
	}
	if _, err := terminal.WriteString("enough\n"); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 8 || m.logged("interrupt") != 1 || m.page() == "" {
		t.Errorf("exit status %d, %d interrupts, and the page is %q", code, m.logged("interrupt"), m.page())
	}
}
