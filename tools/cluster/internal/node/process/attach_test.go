package process

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (f *fixture) attachURL(request *rt.AttachRequest) string {
	f.Helper()
	response, err := f.runtime.Attach(f.ctx, request)
	if err != nil {
		f.Fatal(err)
	}
	return response.GetUrl()
}

// Several clients see the same output, which the log has, too; what one of
// them types reaches the container.
func TestAttach(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"echo"}, func(c *rt.ContainerConfig) { c.Stdin, c.StdinOnce = true, true })
	var watched lockedBuffer
	watching := make(chan error, 1)
	address := f.attachURL(&rt.AttachRequest{ContainerId: id, Stdout: true, Stderr: true})
	go func() {
		watching <- session(t.Context(), address, remotecommand.StreamOptions{Stdout: &watched, Stderr: io.Discard})
	}()
	eventually(t, func() error { return f.audience(id, 1) })
	var out bytes.Buffer
	address = f.attachURL(&rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true})
	if err := session(t.Context(), address, remotecommand.StreamOptions{Stdin: strings.NewReader("hello\n"), Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if err := <-watching; err != nil {
		t.Error(err)
	}
	// stdinOnce: the end of the client's input was the container's.
	s := f.await(id)
	want := "hello\nend of input\n"
	if s.GetExitCode() != 0 || f.output(s) != want || out.String() != want || watched.String() != want {
		t.Errorf("exit code %d, log %q, client %q, watcher %q", s.GetExitCode(), f.output(s), out.String(), watched.String())
	}
}

// audience is an error until a container has as many attached clients.
func (f *fixture) audience(id string, want int) error {
	f.runtime.mu.Lock()
	c := f.runtime.containers[id]
	f.runtime.mu.Unlock()
	c.output.mu.Lock()
	defer c.output.mu.Unlock()
	if have := len(c.output.audience); have != want {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Without stdinOnce a container survives its clients' input.
func TestAttachTwice(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"echo"}, func(c *rt.ContainerConfig) { c.Stdin = true })
	for _, word := range []string{"first", "second"} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		address := f.attachURL(&rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true})
		go func() {
			ended <- session(ctx, address, remotecommand.StreamOptions{Stdin: strings.NewReader(word + "\n"), Stdout: io.Discard})
		}()
		f.awaitOutput(id, word)
		cancel()
		<-ended
	}
	if s := f.status(id); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Errorf("state %v", s.GetState())
	}
}

func TestAttachTerminal(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"terminal"}, func(c *rt.ContainerConfig) { c.Stdin, c.Tty = true, true })
	f.awaitOutput(id, "TERM=xterm")
	d := talk(t, t.Context(), f.attachURL(&rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Tty: true}))
	d.sizes <- remotecommand.TerminalSize{Width: 77, Height: 33}
	d.expect("77x33")
	d.say("quit\n")
	if err := d.end(); err != nil {
		t.Errorf("session: %v", err)
	}
	if s := f.await(id); s.GetExitCode() != 5 || !strings.Contains(f.output(s), `got "quit"`) {
		t.Errorf("exit code %d, log %q", s.GetExitCode(), f.output(s))
	}
}

// A client that stops reading must not stop the container or its log.
func TestAttachedClientThatDoesNotRead(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"echo"}, func(c *rt.ContainerConfig) { c.Stdin = true })
	f.runtime.mu.Lock()
	c := f.runtime.containers[id]
	f.runtime.mu.Unlock()
	blocked, unblock := io.Pipe()
	defer unblock.Close()
	ended := make(chan error, 1)
	go func() { ended <- f.runtime.attach(t.Context(), id, nil, unblock, nil, nil) }()
	eventually(t, func() error { return f.audience(id, 1) })
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 40000) // beyond what is kept for a client
	if _, err := io.WriteString(c.process.stdin, text); err != nil {
		t.Fatal(err)
	}
	if err := c.process.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	s := f.await(id)
	if out := f.output(s); out != text+"end of input\n" {
		t.Errorf("log has %d bytes, not %d", len(out), len(text))
	}
	blocked.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the client got no error")
		}
	case <-time.After(patience):
		t.Error("the client still waits")
	}
}
