package splice

import (
	"io"
	"net"
	"testing"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// Promise: a peer that has ended its direction still gets the answer.
func TestJoinPassesHalvesOn(t *testing.T) {
	asker, near := tcpPair(t)
	far, answerer := tcpPair(t)
	go Join(near, far)
	go func() {
		question, _ := io.ReadAll(answerer)
		answerer.Write(append([]byte("answer to "), question...))
		answerer.Close()
	}()
	io.WriteString(asker, "question")
	asker.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(asker); err != nil || string(answer) != "answer to question" {
		t.Errorf("answer = %q, %v", answer, err)
	}
}

// Promise: an end reaches a connection that knows no halves.
func TestJoinClosesWhatHasNoHalves(t *testing.T) {
	asker, near := net.Pipe()
	far, answerer := net.Pipe()
	joined := make(chan struct{})
	go func() { Join(near, far); close(joined) }()
	asker.Close()
	if rest, err := io.ReadAll(answerer); err != nil || len(rest) != 0 {
		t.Errorf("read %q, %v", rest, err)
	}
	answerer.Close()
	<-joined
}
