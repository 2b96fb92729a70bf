package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

func prog(args ...string) []string { return append([]string{"/prog", programArg}, args...) }

func TestExecSync(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	id := f.start(pod, "app", []string{"wait"}, func(c *rt.ContainerConfig) {
		c.WorkingDir = "/srv/data"
		c.Envs = []*rt.KeyValue{{Key: "COLOUR", Value: []byte("green")}}
	})
	out, errOut, err := f.runtime.ExecSync(t.Context(), id, prog("print", "out", "err", "0"), 0)
	if string(out) != "out" || string(errOut) != "err" || err != nil {
		t.Errorf("output %q, %q, %v", out, errOut, err)
	}
	_, _, err = f.runtime.ExecSync(t.Context(), id, prog("print", "", "sorry", "42"), patience)
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 42 || !strings.Contains(err.Error(), "sorry") {
		t.Errorf("exit status: %v", err)
	}
	r := f.execReport(id)
	if r.Hostname != "web-host" || r.Dir != "/srv/data" || !strings.Contains(strings.Join(r.Env, " "), "COLOUR=green") {
		t.Errorf("host name %q, directory %q, environment %v", r.Hostname, r.Dir, r.Env)
	}
	for _, name := range []string{"mnt", "net", "uts", "ipc", "pid"} {
		if r.Namespaces[name] == links("/proc/self/ns")[name] {
			t.Errorf("the %s namespace is the node's", name)
		}
	}
	if r.PID == 1 || r.Session != r.PID {
		t.Errorf("process %d leads no session of its own (%d)", r.PID, r.Session)
	}
	for command, word := range map[string]string{"/nope": "no such file", "nope": "PATH"} {
		if _, _, err := f.runtime.ExecSync(t.Context(), id, []string{command}, patience); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "test/web") {
			t.Errorf("%s: error %v does not mention %q", command, err, word)
		}
	}
}

// Probes distinguish a timeout from a failure by this very error, and what timed out
// must not go on.
func TestExecSyncTimeout(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait"})
	f.awaitOutput(id, "ready")
	before := processes(t)
	out, _, err := f.runtime.ExecSync(t.Context(), id, prog("parent"), 300*time.Millisecond)
	if !errors.Is(err, remote.ErrCommandTimedOut) {
		t.Errorf("error %v, output %q", err, out)
	}
	eventually(t, func() error {
		if after := processes(t); after != before {
			return fmt.Errorf("%d processes became %d", before, after)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.runtime.ExecSync(ctx, id, prog("wait"), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
}

func TestExecEndsWithItsContainer(t *testing.T) {
	for _, mode := range []rt.NamespaceMode{rt.NamespaceMode_CONTAINER, rt.NamespaceMode_POD} {
		f := newFixture(t)
		id := f.start(f.pod("web", podNamespaces(func(o *rt.NamespaceOption) { o.Pid = mode })), "app", []string{"wait"})
		f.awaitOutput(id, "ready")
		ended := make(chan error, 1)
		reader, writer := io.Pipe()
		go func() {
			ended <- f.runtime.exec(t.Context(), id, prog("wait"), execStreams{stdout: writer})
		}()
		if _, err := io.ReadFull(reader, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		if err := f.runtime.StopContainer(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			var exit utilexec.CodeExitError
			if !errors.As(err, &exit) || exit.Code != 137 {
				t.Errorf("%v: %v", mode, err)
			}
		case <-time.After(patience):
			t.Errorf("%v: the command goes on", mode)
		}
	}
}

func TestLimitedBuffer(t *testing.T) {
	var b limitedBuffer
	for range 3 {
		if n, err := b.Write(make([]byte, maxExecOutput/2+1)); n != maxExecOutput/2+1 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if b.kept.Len() != maxExecOutput {
		t.Errorf("kept %d bytes", b.kept.Len())
	}
}

// session speaks to the streaming server as kubectl does, through the address
// that the runtime gave.
func session(ctx context.Context, address string, options remotecommand.StreamOptions) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, options)
}

func TestExecSession(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait"})
	response, err := f.runtime.Exec(t.Context(), &rt.ExecRequest{ContainerId: id, Cmd: prog("echo"), Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	var out, errOut bytes.Buffer
	if err := session(t.Context(), response.GetUrl(), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out, Stderr: &errOut}); err != nil {
		t.Fatal(err)
	}
	if out.String() != big+"end of input\n" || errOut.Len() != 0 {
		t.Errorf("%d bytes came back, errors %q", out.Len(), errOut.String())
	}
	response, err = f.runtime.Exec(t.Context(), &rt.ExecRequest{ContainerId: id, Cmd: prog("print", "a", "b", "42"), Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	err = session(t.Context(), response.GetUrl(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
	var exit utilexec.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 42 || out.String() != "a" || errOut.String() != "b" {
		t.Errorf("%v, output %q, %q", err, out.String(), errOut.String())
	}
}

// sizes is a terminal's size queue.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, more := <-s
	if !more {
		return nil
	}
	return &size
}

// dialogue is the client's side of a session: what it has seen, what it types.
type dialogue struct {
	*testing.T
	seen  lockedBuffer
	types *io.PipeWriter
	input *io.PipeReader
	sizes sizes
	ended chan error
}

// talk starts a session with a terminal.
func talk(t *testing.T, ctx context.Context, address string) *dialogue {
	t.Helper()
	d := &dialogue{T: t, sizes: make(sizes, 4), ended: make(chan error, 1)}
	d.input, d.types = io.Pipe()
	go func() {
		d.ended <- session(ctx, address, remotecommand.StreamOptions{Stdin: d.input, Stdout: &d.seen, Tty: true, TerminalSizeQueue: d.sizes})
	}()
	return d
}

func (d *dialogue) expect(text string) {
	d.Helper()
	eventually(d.T, func() error {
		if seen := d.seen.String(); !strings.Contains(seen, text) {
			return fmt.Errorf("the terminal shows %q, not %q", seen, text)
		}
		return nil
	})
}

func (d *dialogue) say(text string) {
	d.Helper()
	if _, err := io.WriteString(d.types, text); err != nil {
		d.Fatal(err)
	}
}

func (d *dialogue) end() error {
	d.Helper()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(patience):
		d.Fatal("the session goes on")
		return nil
	}
}

func TestExecTerminal(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait"})
	response, err := f.runtime.Exec(t.Context(), &rt.ExecRequest{ContainerId: id, Cmd: prog("terminal"), Stdin: true, Stdout: true, Tty: true})
	if err != nil {
		t.Fatal(err)
	}
	d := talk(t, t.Context(), response.GetUrl())
	d.expect("TERM=xterm\r\n")
	d.expect("/dev/pts/0 ")
	for _, size := range []string{"100x40", "81x25"} {
		var s remotecommand.TerminalSize
		if _, err := fmt.Sscanf(size, "%dx%d", &s.Width, &s.Height); err != nil {
			t.Fatal(err)
		}
		d.sizes <- s
		d.expect(size)
	}
	d.say("hello\n")
	d.expect(`got "hello"`)
	d.say("quit\n")
	var exit utilexec.ExitError
	if err := d.end(); !errors.As(err, &exit) || exit.ExitStatus() != 5 {
		t.Errorf("exit: %v", err)
	}
}

// A terminal window that is closed ends what ran in it.
func TestExecTerminalHangsUp(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait"})
	f.awaitOutput(id, "ready")
	before := processes(t)
	response, err := f.runtime.Exec(t.Context(), &rt.ExecRequest{ContainerId: id, Cmd: prog("terminal"), Stdin: true, Stdout: true, Tty: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := talk(t, ctx, response.GetUrl())
	d.expect("TERM=xterm")
	cancel()
	if err := d.end(); err == nil {
		t.Error("the session succeeded")
	}
	eventually(t, func() error {
		if after := processes(t); after != before {
			return fmt.Errorf("%d processes became %d", before, after)
		}
		return nil
	})
}
