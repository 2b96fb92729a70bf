package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connections are the proxied connections that are open, and the goroutines
// that serve them.
type connections struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]struct{}
}

func newConnections() *connections {
	return &connections{open: map[io.Closer]struct{}{}}
}

// add takes a connection in, or closes it when closeAll was called already.
func (c *connections) add(conn io.Closer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *connections) remove(conn io.Closer) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// closeAll closes all connections and returns when their goroutines have
// ended.
func (c *connections) closeAll() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.open {
		conn.Close()
	}
	c.mu.Unlock()
	c.running.Wait()
}

func (p *proxy) startTCP(ctx context.Context, address netip.AddrPort, front *frontend) error {
	listener, err := p.options.Sockets.ListenTCP(address)
	if err != nil {
		return err
	}
	front.close = listener.Close
	p.conns.running.Go(func() { p.acceptTCP(ctx, listener, front.balancer) })
	return nil
}

func (p *proxy) acceptTCP(ctx context.Context, listener *net.TCPListener, balancer *balancer) {
	for {
		client, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, or the client left before it was accepted.
			p.options.Logger.Warn("accept service connection", "address", listener.Addr(), "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		p.conns.running.Go(func() { p.forwardTCP(ctx, client, balancer) })
	}
}

func (p *proxy) forwardTCP(ctx context.Context, client *net.TCPConn, balancer *balancer) {
	if !p.conns.add(client) {
		return
	}
	defer p.conns.remove(client)
	backend, err := p.dialAny(ctx, addrOf(client.RemoteAddr()), balancer)
	if err != nil {
		p.options.Logger.Info("reset connection: no endpoint of the service can be reached", "service", client.LocalAddr(),
			"client", client.RemoteAddr(), "error", err)
		reset(client)
		return
	}
	if !p.conns.add(backend) {
		return
	}
	defer p.conns.remove(backend)
	var up sync.WaitGroup
	up.Go(func() { pipe(backend, client) })
	pipe(client, backend)
	up.Wait()
}

// dialAny connects to the first backend that takes the connection.
func (p *proxy) dialAny(ctx context.Context, client netip.Addr, balancer *balancer) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: p.options.DialTimeout}
	failures := []error{errors.New("all endpoints failed")}
	for _, backend := range balancer.candidates(client) {
		conn, err := dialer.DialContext(ctx, "tcp4", backend.String())
		if err == nil {
			balancer.chosen(client, backend)
			return conn.(*net.TCPConn), nil
		}
		failures = append(failures, fmt.Errorf("endpoint %s: %w", backend, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// pipe copies until the source ends. The end of its stream is passed on while
// the other direction goes on; a connection that broke breaks both.
func pipe(destination, source *net.TCPConn) {
	if _, err := io.Copy(destination, source); err != nil {
		reset(destination)
		reset(source)
		return
	}
	// It fails only if the destination is gone, which the other direction
	// sees as well.
	_ = destination.CloseWrite()
}

// reset closes a connection in a way that its peer sees as an error, and not
// as the regular end of the stream.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
