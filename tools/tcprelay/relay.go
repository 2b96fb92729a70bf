// Package tcprelay passes TCP connections on to one address, each as a connection of its
// own. From outside of a cluster, a relay in a pod reaches a Service as the cluster's own
// clients do: a port-forward to the Service itself is bound to one of its pods.
package tcprelay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds the connection to the target.
const dialTimeout = 10 * time.Second

// Relay passes connections on. Target and Logger are required.
type Relay struct {
	// Target is where connections go, host:port. A name is looked up for each.
	Target string
	// Logger gets the connections that could not be made.
	Logger *slog.Logger
}

// Serve relays the listener's connections until the context ends, and closes it. It
// returns when all connections are closed, nil unless the listener failed before.
func (r *Relay) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	defer listener.Close()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				client.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept connections on %s: %w", listener.Addr(), err)
		}
		open.Go(func() { r.relay(ctx, client) })
	}
}

// relay copies both ways. Each way's end is passed on by itself, so that a client that
// has nothing more to say still gets the answer.
func (r *Relay) relay(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	target, err := dialer.DialContext(ctx, "tcp", r.Target)
	if err != nil {
		r.Logger.Warn("connection not made", "target", r.Target, "error", err)
		reset(client)
		return
	}
	defer target.Close()
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		target.Close()
	})
	defer stop()
	var ways sync.WaitGroup
	ways.Go(func() { pass(target, client) })
	ways.Go(func() { pass(client, target) })
	ways.Wait()
}

// pass copies until from has nothing more. A connection that broke breaks the other one.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		reset(to)
		reset(from)
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other way shows what is wrong
	}
}

// reset closes a connection so that the other end sees a failure, and not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
