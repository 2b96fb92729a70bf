package system

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// Switch leads connections to a server that can be changed, as a service does
// whose server fails over: what is connected to the old one is cut.
type Switch struct {
	// Addr is where it listens.
	Addr net.Addr

	mu     sync.Mutex
	target string
	conns  map[net.Conn]struct{}
}

// NewSwitch returns a switch that listens on the network, "unix" or "tcp" for a
// port of the loopback, and leads nowhere.
func NewSwitch(t *testing.T, network string) *Switch {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	w := &Switch{Addr: listener.Addr(), conns: make(map[net.Conn]struct{})}
	go w.serve(listener)
	t.Cleanup(func() {
		listener.Close()
		w.Point("")
	})
	return w
}

// Point leads new connections to a unix socket, or nowhere if the path is empty,
// and cuts all others.
func (w *Switch) Point(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
	for conn := range w.conns {
		conn.Close()
	}
}

func (w *Switch) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go w.pipe(conn)
	}
}

func (w *Switch) pipe(conn net.Conn) {
	defer conn.Close()
	w.mu.Lock()
	target := w.target
	other, err := net.Dial("unix", target)
	if err == nil {
		w.conns[conn], w.conns[other] = struct{}{}, struct{}{}
	}
	w.mu.Unlock()
	if err != nil {
		return // no server is there
	}
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, other}, {other, conn}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // until either end closes
			conn.Close()
			other.Close()
		})
	}
	copying.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
	delete(w.conns, other)
}
