package relay

import (
	"errors"
	"io"
	"net"
	"testing"
)

// start returns a relay whose connections lead to what dial makes, and one
// connection to it.
func start(t *testing.T, dial func() (net.Conn, error)) (*Relay, *net.TCPConn) {
	t.Helper()
	relay := Start(listen(t), dial)
	conn, err := net.Dial("tcp", relay.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return relay, conn.(*net.TCPConn)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// answering returns a dial to a server that answers when its client has ended its
// side.
func answering(t *testing.T) func() (net.Conn, error) {
	t.Helper()
	server := listen(t)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request, _ := io.ReadAll(conn)
				conn.Write(append([]byte("answer to "), request...))
			}()
		}
	}()
	return func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) }
}

// Promise: the end of each direction is passed on by itself; a TLS client that has
// said its last word still gets the answer.
func TestHalfCloseIsPassedOn(t *testing.T) {
	_, conn := start(t, answering(t))
	io.WriteString(conn, "question")
	conn.CloseWrite()
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "answer to question" {
		t.Errorf("answer = %q, %v", answer, err)
	}
}

// Promise: a connection that leads nowhere ends; it does not hang.
func TestFailedDialEndsTheConnection(t *testing.T) {
	_, conn := start(t, func() (net.Conn, error) { return nil, errors.New("nobody there") })
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
}

// Promise: Close ends the connections that are open, and takes no more.
func TestCloseEndsConnections(t *testing.T) {
	dial := answering(t)
	dialed := make(chan struct{})
	relay, conn := start(t, func() (net.Conn, error) {
		defer close(dialed)
		return dial()
	})
	<-dialed
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
	if other, err := net.Dial("tcp", relay.Addr().String()); err == nil {
		other.Close()
		t.Error("it still listens")
	}
}
