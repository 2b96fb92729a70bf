package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Identities that [Process.Kubeconfig] gives out. Both are in system:masters, which
// no authorizer stops. The names tell in [Writes] who did what.
const (
	// IdentityFixture is user "stormgate:fixture": a program that deploys.
	IdentityFixture = "fixture"
	// IdentityAdmin is user "stormgate:admin": a person.
	IdentityAdmin = "admin"
)

// CredentialsPath followed by an identity answers GET with a kubeconfig for
// [Dir.APISocket]. Each answer has a new certificate and key. The only copies are the
// answer and what its reader makes of it: the cluster keeps none and writes none to
// a file. Only [Process.Control] takes it. It is 404 for another identity.
const CredentialsPath = "/credentials/"

// ControlFlag is the flag of "cluster run" whose value is the descriptor of a
// connected unix stream socket. The whole control interface is served on it, as HTTP/2
// without TLS, while [Dir.ControlSocket] answers questions only. [Start] sets it.
const ControlFlag = "--control-fd"

// maxRequests is how many requests the control connection takes at a time. Go's default, 250,
// is for servers that must protect themselves from strangers.
const maxRequests = 100_000

// credentialsLimit bounds a kubeconfig, in bytes.
const credentialsLimit = 1 << 20

// controlPair makes a connection for the control interface: our end, and that of the
// program, which inherits it. No path leads to either, so nobody else can use it, and
// nobody can answer in the program's place.
func controlPair() (net.Conn, *os.File, error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the control connection: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "control connection"), os.NewFile(uintptr(ends[1]), "control connection")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make the control connection: %w", err)
	}
	return conn, theirs, nil
}

// controlClient returns a client for which conn is the connection to every host.
// Requests share it.
func controlClient(conn net.Conn) (*http.ClientConn, error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:   protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	client, err := transport.NewClientConn(context.Background(), "http", "cluster:80")
	if err != nil {
		return nil, fmt.Errorf("use the control connection: %w", err)
	}
	return client, nil
}

// Control returns a client for the whole control interface, over the connection that
// the program inherited. The host in its URLs does not matter. A request may be made
// at any time: it is answered when the part of the cluster is up that it is for, and
// fails when the program ends.
func (p *Process) Control() *http.Client { return &http.Client{Transport: p.control} }

// Kubeconfig asks for a kubeconfig of IdentityFixture or IdentityAdmin. It holds a
// private key: keep it in memory, or write it with mode 0600 where only the person for
// whom it is can get at it. [Dir.DialAPI] reaches its server.
func (p *Process) Kubeconfig(ctx context.Context, identity string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster"+CredentialsPath+identity, nil)
	if err != nil {
		return nil, fmt.Errorf("get credentials of %q: %w", identity, err)
	}
	response, err := p.Control().Do(request)
	if err != nil {
		return nil, fmt.Errorf("get credentials of %q: %w", identity, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, credentialsLimit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("get credentials of %q: %w", identity, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("get credentials of %q: %s: %s", identity, response.Status, body)
	}
	return body, nil
}

// InheritedControl takes over the program's end of the connection, for the program.
// The descriptor is the value of ControlFlag.
func InheritedControl(descriptor int) (*os.File, error) {
	refuse := func(why error) error {
		return fmt.Errorf("take the control connection of %s=%d: %w: the flag is for api.Start, which passes a socket; leave it out to run a cluster by hand", ControlFlag, descriptor, why)
	}
	if descriptor <= 2 {
		return nil, refuse(errors.New("it must be above 2, the standard descriptors"))
	}
	for option, want := range map[int]int{syscall.SO_DOMAIN: syscall.AF_UNIX, syscall.SO_TYPE: syscall.SOCK_STREAM, syscall.SO_ACCEPTCONN: 0} {
		got, err := syscall.GetsockoptInt(descriptor, syscall.SOL_SOCKET, option)
		if err != nil {
			return nil, refuse(err)
		}
		if got != want {
			return nil, refuse(errors.New("it is no connected unix stream socket"))
		}
	}
	syscall.CloseOnExec(descriptor)
	return os.NewFile(uintptr(descriptor), "control connection"), nil
}

// ServeControl serves handler on a connection that InheritedControl took over, until
// the other end is closed or ctx ends. It closes the file.
func ServeControl(ctx context.Context, file *os.File, handler http.Handler) error {
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("serve the control connection: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	listener := newOneConn(conn)
	server := &http.Server{
		Handler: handler, Protocols: protocols,
		// A request beyond the limit waits for another's end, and may be the one that ends it.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxRequests},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				listener.Close()
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve the control connection: %w", err)
	}
	return nil
}

// oneConn is a listener that accepts the one connection that it is made with.
type oneConn struct {
	address  net.Addr
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func newOneConn(conn net.Conn) *oneConn {
	l := &oneConn{address: conn.LocalAddr(), accepted: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.accepted <- conn
	return l
}

// Accept returns the connection, and waits for Close the second time.
func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The connection is the server's to close.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the connection's.
func (l *oneConn) Addr() net.Addr { return l.address }

// ReadOnly is what is served on [Dir.ControlSocket], where any process of the user
// may ask: it passes questions on to handler, and answers 403 to changes and to
// [CredentialsPath].
func ReadOnly(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, CredentialsPath) {
			http.Error(w, fmt.Sprintf("%s %s is refused: %s", r.Method, r.URL.Path, readOnly), http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// readOnly says why, and what to do instead.
const readOnly = "control.sock answers questions and changes nothing, since any process of the user can open it; " +
	"changes and credentials are for the program that started the cluster, on a connection that it alone has (api.Process.Control); " +
	"the images of a cluster of your own are named when it starts (cluster up --image-file, cluster run --images)"
