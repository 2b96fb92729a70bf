// Package unixsocket connects to unix sockets by their path.
package unixsocket

import (
	"context"
	"net"
)

// MaxPath is the most bytes that a socket's path may have: sun_path of unix(7)
// holds 108, and one is its terminating zero.
const MaxPath = 107

// Dial connects to the socket at path. A connection is made or refused at once,
// unless the server's queue is full; then ctx bounds the wait.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// Dialer returns a function that connects to the socket at path and ignores the
// address that it is called with, as http.Transport and rest.Config take one: a
// client then speaks to the socket whatever host its URLs name.
func Dialer(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, path) }
}
