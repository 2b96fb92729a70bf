package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Exec returns the address of an exec session, valid for one connection within
// a minute.
func (r *Runtime) Exec(_ context.Context, request *rt.ExecRequest) (*rt.ExecResponse, error) {
	if _, err := r.runningContainer(request.GetContainerId()); err != nil {
		return nil, err
	}
	return r.streams.GetExec(request)
}

// Attach returns the address of an attach session, as Exec does.
func (r *Runtime) Attach(_ context.Context, request *rt.AttachRequest) (*rt.AttachResponse, error) {
	if _, err := r.runningContainer(request.GetContainerId()); err != nil {
		return nil, err
	}
	return r.streams.GetAttach(request)
}

// PortForward returns the address of a port-forward session, as Exec does.
func (r *Runtime) PortForward(_ context.Context, request *rt.PortForwardRequest) (*rt.PortForwardResponse, error) {
	r.mu.Lock()
	s := r.sandboxes[request.GetPodSandboxId()]
	r.mu.Unlock()
	if s == nil {
		return nil, errNoSandbox(request.GetPodSandboxId())
	}
	return r.streams.GetPortForward(request)
}

// sessions adapts the runtime to the streaming library.
type sessions struct{ runtime *Runtime }

func (s sessions) Exec(ctx context.Context, id string, command []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return s.runtime.exec(ctx, id, command, execStreams{stdin: in, stdout: writer(out), stderr: writer(errOut), terminal: tty, resize: resize})
}

func (s sessions) Attach(ctx context.Context, id string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	return s.runtime.attach(ctx, id, in, writer(out), writer(errOut), resize)
}

func (s sessions) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	return s.runtime.portForward(ctx, id, port, stream)
}

// writer keeps a nil interface nil when its type changes.
func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// streamServer serves the sessions over HTTP. Its connections are hijacked by
// the streaming library, so http.Server cannot close them; the listener can.
type streamServer struct {
	streaming.Server
	http     http.Server
	listener *trackingListener
	served   chan error
}

func serveStreams(addr string, r *Runtime) (*streamServer, error) {
	inner, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for streaming sessions: %w", err)
	}
	config := streaming.DefaultConfig
	config.Addr = inner.Addr().String()
	handler, err := streaming.NewServer(config, sessions{r})
	if err != nil {
		inner.Close()
		return nil, fmt.Errorf("make streaming server: %w", err)
	}
	s := &streamServer{
		Server:   handler,
		listener: &trackingListener{Listener: inner, open: map[*trackedConn]struct{}{}},
		served:   make(chan error, 1),
	}
	s.http.Handler = handler
	go func() { s.served <- s.http.Serve(s.listener) }()
	return s, nil
}

func (s *streamServer) close() error {
	err := s.http.Close()
	s.listener.closeConns()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.served <- http.ErrServerClosed // for a second Close
	if err != nil {
		return fmt.Errorf("close streaming server: %w", err)
	}
	return nil
}

// trackingListener knows its open connections.
type trackingListener struct {
	net.Listener
	mu     sync.Mutex
	closed bool
	open   map[*trackedConn]struct{}
}

type trackedConn struct {
	net.Conn
	listener *trackingListener
}

func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.open[tracked] = struct{}{}
	return tracked, nil
}

func (l *trackingListener) closeConns() {
	l.mu.Lock()
	l.closed = true
	conns := l.open
	l.open = map[*trackedConn]struct{}{}
	l.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
	}
}

func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
