package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// forwardTo opens a port-forward as kubectl does and returns the local port.
func (f *fixture) forwardTo(pod string, port int) uint16 {
	f.Helper()
	response, err := f.runtime.PortForward(f.ctx, &rt.PortForwardRequest{PodSandboxId: pod})
	if err != nil {
		f.Fatal(err)
	}
	address, err := url.Parse(response.GetUrl())
	if err != nil {
		f.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		f.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", address)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		f.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	f.Cleanup(func() { close(stop); <-ended })
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		f.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		f.Fatal(err)
	}
	return ports[0].Local
}

func TestPortForward(t *testing.T) {
	for _, address := range []string{"127.0.0.1:7000", "0.0.0.0:7000", "[::1]:7000"} {
		t.Run(address, func(t *testing.T) {
			f := newFixture(t)
			pod := f.pod("web")
			f.start(pod, "app", []string{"listen", address, "0"}, func(c *rt.ContainerConfig) {
				c.Annotations = map[string]string{portsAnnotation: `[{"containerPort":7000}]`}
			})
			local := f.forwardTo(pod, 7000)
			for _, text := range []string{"short", strings.Repeat("long ", 1<<18)} {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", local))
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					io.WriteString(conn, text)
					conn.(*net.TCPConn).CloseWrite()
				}()
				back, err := io.ReadAll(conn)
				if err != nil || string(back) != text {
					t.Errorf("%d bytes of %d came back, %v", len(back), len(text), err)
				}
				conn.Close()
			}
		})
	}
}

// pipeStream is a client's stream in memory.
type pipeStream struct {
	io.Reader
	io.Writer
}

func TestPortForwardFailures(t *testing.T) {
	f := newFixture(t)
	pod, stopped := f.pod("web"), f.pod("stopped")
	if err := f.runtime.StopPodSandbox(t.Context(), stopped); err != nil {
		t.Fatal(err)
	}
	stream := pipeStream{strings.NewReader(""), io.Discard}
	if err := f.runtime.portForward(t.Context(), pod, 7000, stream); !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), "test/web") {
		t.Errorf("forward to a port without a listener: %v", err)
	}
	for want, err := range map[codes.Code]error{
		codes.InvalidArgument:    f.runtime.portForward(t.Context(), pod, 65536, stream),
		codes.FailedPrecondition: f.runtime.portForward(t.Context(), stopped, 80, stream),
		codes.NotFound:           f.runtime.portForward(t.Context(), "x", 80, stream),
	} {
		if status.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// The streaming library gives port forwards no context that ends, so the
// pod's end must be theirs.
func TestPortForwardEndsWithThePod(t *testing.T) {
	for name, end := range map[string]func(*fixture, string, context.CancelFunc) error{
		"pod is stopped":    func(f *fixture, pod string, _ context.CancelFunc) error { return f.runtime.StopPodSandbox(f.ctx, pod) },
		"caller is stopped": func(_ *fixture, _ string, cancel context.CancelFunc) error { cancel(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			pod := f.pod("web")
			f.start(pod, "app", []string{"listen", "127.0.0.1:7000", "0"}, func(c *rt.ContainerConfig) {
				c.Annotations = map[string]string{portsAnnotation: `[{"containerPort":7000}]`}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			input, types := io.Pipe()
			defer types.Close()
			var seen lockedBuffer
			ended := make(chan error, 1)
			go func() { ended <- f.runtime.portForward(ctx, pod, 7000, pipeStream{input, &seen}) }()
			go io.WriteString(types, "hello")
			eventually(t, func() error {
				if !bytes.Equal([]byte(seen.String()), []byte("hello")) {
					return errors.New("no answer yet")
				}
				return nil
			})
			if err := end(f, pod, cancel); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended: // with an error or, if the container's end came first, as if it had hung up
			case <-time.After(patience):
				t.Error("the session goes on")
			}
		})
	}
}

func TestPortForwardToTheNodesNetwork(t *testing.T) {
	f := newFixture(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			io.WriteString(conn, "node")
			conn.Close()
		}
	}()
	pod := f.pod("system", podNamespaces(func(o *rt.NamespaceOption) { o.Network = rt.NamespaceMode_NODE }))
	var out bytes.Buffer
	if err := f.runtime.portForward(t.Context(), pod, int32(l.Addr().(*net.TCPAddr).Port), pipeStream{strings.NewReader(""), &out}); err != nil || out.String() != "node" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
