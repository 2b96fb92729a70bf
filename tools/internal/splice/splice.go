// Package splice joins two connections.
package splice

import (
	"io"
	"net"
	"sync"
)

// Join copies both ways until both directions have ended; it closes neither
// connection that can be closed in halves. The end of one direction is passed on
// as such, since HTTP/2 and TLS close the two apart. An error ends a direction
// just as an end does: the peers see it in their own protocol.
func Join(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { forward(a, b) })
	both.Go(func() { forward(b, a) })
	both.Wait()
}

func forward(to, from net.Conn) {
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	// Without halves the end can only be passed on by closing both.
	to.Close()
}
