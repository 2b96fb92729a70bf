// Package relay leads connections from one place to another: from a port of the
// loopback to a unix socket, or from one network namespace into the next.
package relay

import (
	"io"
	"net"
	"sync"
)

// Relay joins each connection that a listener accepts to one of its own.
type Relay struct {
	listener net.Listener
	dial     func() (net.Conn, error)

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// Start leads each connection that listener accepts to one that dial makes. A
// failed dial closes the accepted connection. It goes on until Close, or until
// listener is closed; in the latter case connections go on until they end by
// themselves.
func Start(listener net.Listener, dial func() (net.Conn, error)) *Relay {
	r := &Relay{listener: listener, dial: dial, conns: map[net.Conn]struct{}{}}
	go r.accept()
	return r
}

// Addr is where the relay listens.
func (r *Relay) Addr() net.Addr { return r.listener.Addr() }

// Close stops listening and ends every connection.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	return r.listener.Close()
}

func (r *Relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.lead(conn)
	}
}

func (r *Relay) lead(inbound net.Conn) {
	defer inbound.Close()
	outbound, err := r.dial()
	if err != nil {
		return
	}
	defer outbound.Close()
	if !r.hold(inbound, outbound) {
		return
	}
	defer r.drop(inbound, outbound)
	join(inbound, outbound)
}

// hold notes connections for Close. It returns false after Close.
func (r *Relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = struct{}{}
	}
	return true
}

func (r *Relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.conns, conn)
	}
}

// join copies both ways until both have ended. The end of one direction is passed
// on as such, since HTTP/2 and TLS close the two apart.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	forward := func(to, from net.Conn) {
		// An error ends the direction just as an end does; the peers see it in TLS.
		io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		} else {
			to.Close()
		}
	}
	both.Go(func() { forward(a, b) })
	both.Go(func() { forward(b, a) })
	both.Wait()
}
