package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/internal/child"
)

// sleeperVariable makes this program one that only sleeps.
const sleeperVariable = "STORMGATE_TEST_SLEEPER"

func TestMain(m *testing.M) {
	if os.Getenv(sleeperVariable) != "" {
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	if value, ok := strings.CutPrefix(os.Args[len(os.Args)-1], ControlFlag+"="); ok {
		if err := playControlled(value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program runs shell text in place of the cluster program. There may be no program
// beside the shell, so cat is the shell's own, and sleep is this program.
func program(t *testing.T, text string, change func(*Options)) *Process {
	t.Helper()
	command := exec.Command("/bin/sh", "-c", `cat() { while read -r line; do :; done; }; sleep() { "$SELF"; }; `+text)
	command.Env = append(os.Environ(), fmt.Sprintf("SELF=/proc/%d/exe", os.Getpid()), sleeperVariable+"=1")
	options := Options{Command: command, Dir: Dir(t.TempDir())}
	if change != nil {
		change(&options)
	}
	p, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Promise: events arrive whole and in order, milestones are passed, and the end of
// the input ends the program without an error.
func TestStart(t *testing.T) {
	var kinds, others []string
	var log bytes.Buffer
	p := program(t, `echo starting >&2
echo '{"event":"step","name":"etcd","start":0.1,"end":0.2}'
echo 'what is this'
echo '{"event":"api"}'
echo '{"event":"news of a later version"}'
echo '{"event":"ready"}'
cat`, func(o *Options) {
		o.OnEvent = func(e Event) {
			kinds = append(kinds, e.Kind)
			if e.Kind == EventStep && (e.Step == nil || e.Step.Name != "etcd" || e.End != 0.2) {
				t.Errorf("step %+v", e)
			}
		}
		o.OnOther = func(line string) { others = append(others, line) }
		o.Log = &log
	})
	for _, milestone := range []<-chan struct{}{p.API(), p.Ready()} {
		if err := p.Await(soon(t), milestone); err != nil {
			t.Fatal(err)
		}
	}
	if p.Err() != nil || p.Failure() != nil || p.Exit() != nil {
		t.Errorf("while it runs: %v, %v, %v", p.Err(), p.Failure(), p.Exit())
	}
	if err := p.Stop(soon(t)); err != nil {
		t.Errorf("stop: %v", err)
	}
	<-p.Done()
	if p.Err() != nil {
		t.Errorf("after the stop: %v", p.Err())
	}
	if want := []string{"step", "api", "news of a later version", "ready"}; !slices.Equal(kinds, want) {
		t.Errorf("events %q, want %q", kinds, want)
	}
	if !slices.Equal(others, []string{"what is this"}) || log.String() != "starting\n" {
		t.Errorf("other lines %q, log %q", others, log.String())
	}
}

// Promise: why a cluster ended is what it said itself, else how the program died,
// with the last lines of its log; and a wait for it ends with that.
func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		text, component, message string
		tail                     []string
		limit                    time.Duration
	}{
		"said by the program": {
			text:      `echo '{"event":"failed","component":"etcd","error":"it is full","logTail":["a","b"]}'; exit 1`,
			component: "etcd", message: "it is full", tail: []string{"a", "b"},
		},
		"said without a reason": {text: `echo '{"event":"failed"}'; exit 1`, component: ComponentProgram, message: "without a reason"},
		"died":                  {text: "echo last words >&2; exit 7", component: ComponentProgram, message: "died: exit status 7", tail: []string{"last words"}},
		"killed":                {text: "kill -9 $$", component: ComponentProgram, message: "died: signal: killed"},
		"left":                  {text: "exit 0", component: ComponentProgram, message: "died: exit status 0"},
		"late": {
			text: "echo still at it >&2; cat", limit: 50 * time.Millisecond,
			component: ComponentProgram, message: "not ready within 50ms", tail: []string{"still at it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := program(t, test.text, nil)
			if test.limit > 0 {
				for len(p.LogTail()) == 0 {
					time.Sleep(time.Millisecond)
				}
				go p.LimitBoot(test.limit)
			}
			err := p.Await(soon(t), p.Ready())
			var failure *Failure
			if !errors.As(err, &failure) {
				t.Fatalf("await: %v", err)
			}
			if failure.Component != test.component || !strings.Contains(failure.Message, test.message) || !slices.Equal(failure.LogTail, test.tail) {
				t.Errorf("failure %+v", failure)
			}
			if p.Failure() != failure || !errors.Is(p.Err(), failure) {
				t.Errorf("kept: %v and %v", p.Failure(), p.Err())
			}
		})
	}
}

// Promise: a program that does not obey is killed, and the caller hears of it.
func TestStopByForce(t *testing.T) {
	p := program(t, `echo '{"event":"ready"}'; while :; do sleep 60; done`, nil)
	if err := p.Await(soon(t), p.Ready()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time"))
	var killed *child.KilledError
	if err := p.Stop(ctx); !errors.As(err, &killed) || !strings.Contains(err.Error(), "no time") {
		t.Errorf("stop: %v", err)
	}
	if p.Err() != nil {
		t.Errorf("after a stop that was asked for: %v", p.Err())
	}
}

// Promise: a stop that comes after the death doesn't hide it, and a second order to
// end is no error.
func TestStopAfterDeath(t *testing.T) {
	p := program(t, "sleep 60 & exit 7", nil) // what is left behind holds the log open
	for !p.child.Exited() {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if err := p.CloseInput(); err != nil {
			t.Errorf("order to end: %v", err)
		}
	}
	if err := p.Stop(soon(t)); err != nil {
		t.Errorf("stop: %v", err)
	}
	if p.Err() == nil || !strings.Contains(p.Err().Error(), "died: exit status 7") {
		t.Errorf("the cluster ended with %v", p.Err())
	}
}

// Promise: a limit says nothing of a cluster that is being stopped.
func TestLimitAfterStop(t *testing.T) {
	p := program(t, "cat", nil)
	if err := p.CloseInput(); err != nil {
		t.Fatal(err)
	}
	p.LimitBoot(0)
	<-p.Done()
	if p.Err() != nil {
		t.Errorf("after a stop that was asked for: %v", p.Err())
	}
}

// Promise: a command whose input is not ours to end is refused.
func TestCommandWithInput(t *testing.T) {
	cmd := exec.Command("cat")
	cmd.Stdin = strings.NewReader("")
	if _, err := Start(Options{Command: cmd}); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("error %v", err)
	}
}

// Promise: who waits for a cluster that another stops is not left waiting.
func TestAwaitEnds(t *testing.T) {
	p := program(t, "cat", nil)
	if err := p.Stop(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.Await(soon(t), p.Ready()); !errors.Is(err, ErrStopped) {
		t.Errorf("await of a stopped cluster: %v", err)
	}
	p = program(t, "cat", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if err := p.Await(ctx, p.Ready()); !errors.Is(err, reason) {
		t.Errorf("await with an ended context: %v", err)
	}
}

// Promise: a program that is not there is named.
func TestStartOfNothing(t *testing.T) {
	_, err := Start(Options{Binary: "/nowhere/cluster", Dir: Dir(t.TempDir())})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start cluster") {
		t.Errorf("error %v", err)
	}
}

// Promise: questions are asked at the directory's socket, whatever a URL's host says.
func TestAsk(t *testing.T) {
	parent, err := os.MkdirTemp("", "t") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := Dir(filepath.Join(parent, "c"))
	if err := os.Mkdir(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", dir.ControlSocket())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })}
	go server.Serve(listener)
	defer server.Close()
	response, err := dir.Ask().Get("http://cluster" + BootPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != BootPath {
		t.Errorf("answer %q, %v", body, err)
	}
	if _, err := dir.DialAPI(t.Context(), "tcp", "cluster:443"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dial of an API server that is not there: %v", err)
	}
}
