package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/controlplane"
)

// The test binary plays the components: what it does is in its first argument.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := roles[os.Args[1]]; ok {
			play(os.Args[2:])
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var roles = map[string]func(args []string){
	"play-serve": func(args []string) {
		fmt.Println("listening")
		if err := os.WriteFile(args[0], nil, 0o600); err != nil {
			os.Exit(9)
		}
		// Not select{}: in a binary without cgo the runtime would call that a deadlock.
		if err := unix.Pause(); err != nil {
			os.Exit(8)
		}
	},
	"play-die": func([]string) {
		fmt.Println("about to fail")
		fmt.Fprintln(os.Stderr, "reason: no luck")
		os.Exit(3)
	},
	"play-full": func([]string) {
		fmt.Fprintln(os.Stderr, "panic: write wal: no space left on device")
		os.Exit(2)
	},
	// play-flood prints more lines than a pipe holds.
	"play-flood": func([]string) {
		for i := range floodLines {
			if _, err := fmt.Printf("%d %s\n", i, strings.Repeat("x", 1000)); err != nil {
				os.Exit(7)
			}
		}
	},
	"play-environment": func([]string) { fmt.Println(os.Args[0], os.Environ()) },
}

// floodLines of 1 KB are several pipes full.
const floodLines = 1000

func newComponent(t *testing.T, args ...string) *controlplane.Component {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &controlplane.Component{Name: "part", Executable: executable, Args: args}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func start(t *testing.T, c *controlplane.Component) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
}

func withDeadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Promise: Ready returns when the probe succeeds, and Stop leaves no process.
func TestComponentLife(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "up")
	c := newComponent(t, "play-serve", mark)
	c.Probe = func(context.Context) error { _, err := os.Stat(mark); return err }
	start(t, c)
	if err := c.Ready(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err != nil {
		t.Fatalf("running component has error %v", err)
	}
	usage, err := c.Usage()
	if err != nil || usage.RSSBytes <= 0 {
		t.Errorf("usage = %+v, %v", usage, err)
	}
	if err := c.Start(); err == nil {
		t.Error("a component could be started twice")
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", c.Pid())); err == nil {
		t.Error("the process is there after Stop")
	}
	if err := c.Stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
	if _, err := c.Usage(); err == nil {
		t.Error("a dead component has a usage")
	}
}

// Promise: a component that dies ends the wait at once, with its status and last words.
func TestReadyReportsDeath(t *testing.T) {
	c := newComponent(t, "play-die")
	c.Probe = func(context.Context) error { return errors.New("never") }
	start(t, c)
	err := c.Ready(withDeadline(t))
	var exit *controlplane.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("error = %v, want an *ExitError", err)
	}
	if exit.Component != "part" || !strings.Contains(exit.Error(), "exit status 3") {
		t.Errorf("error = %v", exit)
	}
	if tail := strings.Join(exit.Tail, "\n"); !strings.Contains(tail, "about to fail") || !strings.Contains(tail, "reason: no luck") {
		t.Errorf("tail = %q, want both stdout's and stderr's line", tail)
	}
	if exit.OutOfSpace() {
		t.Error("an ordinary death is taken for a full disk")
	}
	if c.Err() == nil {
		t.Error("Err is nil after the death")
	}
}

// Promise: a wait that ends at its deadline says what the component last answered.
func TestReadyReportsLastAnswer(t *testing.T) {
	c := newComponent(t, "play-serve", filepath.Join(t.TempDir(), "up"))
	c.Probe = func(context.Context) error { return errors.New("hook rbac failed") }
	start(t, c)
	cause := errors.New("deadline of the boot passed")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	err := c.Ready(ctx)
	var late *controlplane.NotReadyError
	if !errors.As(err, &late) || !errors.Is(err, cause) {
		t.Fatalf("error = %v, want a *NotReadyError with the cause", err)
	}
	if !strings.Contains(err.Error(), "part") || !strings.Contains(err.Error(), "hook rbac failed") {
		t.Errorf("error = %v, want the component and the answer", err)
	}
}

// Promise: a full disk is recognised, since etcd reports it in a panic.
func TestOutOfSpaceIsRecognised(t *testing.T) {
	c := newComponent(t, "play-full")
	start(t, c)
	<-c.Done()
	var exit *controlplane.ExitError
	if !errors.As(c.Err(), &exit) || !exit.OutOfSpace() {
		t.Errorf("error = %v, want an *ExitError that is out of space", c.Err())
	}
}

// Promise: a component sees its own name and the given environment, nothing of the caller's.
func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid")
	c := newComponent(t, "play-environment")
	c.Env = []string{"A=1"}
	start(t, c)
	<-c.Done()
	if got := strings.Join(c.Log.Tail(), "\n"); got != "part [A=1]" {
		t.Errorf("component saw %q", got)
	}
}

func TestNeverStarted(t *testing.T) {
	c := &controlplane.Component{Name: "part", Executable: "/nonexistent/binary", Probe: func(context.Context) error { return nil }}
	if err := c.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "part") {
		t.Errorf("Ready = %v", err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if _, err := c.Usage(); err == nil {
		t.Error("Usage succeeded")
	}
	if err := c.Start(); err == nil || !strings.Contains(err.Error(), "start part") {
		t.Errorf("Start = %v", err)
	}
	if c.Pid() != 0 {
		t.Error("a component that could not start has a pid")
	}
}

// slowWriter takes nothing before it is let go.
type slowWriter struct {
	release chan struct{}
	text    strings.Builder
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.release
	return w.text.Write(p)
}

// Promise: a reader of the audit log that lags makes the API server wait, and costs nothing of the log.
func TestStdoutWaitsForItsReader(t *testing.T) {
	c := newComponent(t, "play-flood")
	reader := &slowWriter{release: make(chan struct{})}
	c.Stdout = reader
	start(t, c)
	select {
	case <-c.Done():
		t.Error("the component ended though nobody read its output")
	case <-time.After(100 * time.Millisecond): // long enough to fill a pipe; a slower machine only finds less
	}
	close(reader.release)
	select {
	case <-c.Done():
	case <-withDeadline(t).Done():
		t.Fatal("the component hangs though its output is read")
	}
	lines := strings.Split(strings.TrimSpace(reader.text.String()), "\n")
	if len(lines) != floodLines || !strings.HasPrefix(lines[floodLines-1], fmt.Sprint(floodLines-1, " ")) {
		t.Errorf("%d lines arrived, the last of them %.20q", len(lines), lines[len(lines)-1])
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// Promise: when the reader of the audit log dies, the API server dies of its next event rather than hang;
// the cluster then ends with an event that names it.
func TestStdoutWithoutReaderEndsTheComponent(t *testing.T) {
	c := newComponent(t, "play-flood")
	c.Stdout = brokenWriter{}
	start(t, c)
	select {
	case <-c.Done():
	case <-withDeadline(t).Done():
		t.Fatal("the component hangs")
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("error = %v, want a death by SIGPIPE", err)
	}
}
