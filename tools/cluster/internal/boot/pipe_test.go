package boot

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// Promise: a pipe passes each direction's end on by itself; a TLS client that has said its last word
// still gets the answer.
func TestPipePassesHalfClose(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		request, _ := io.ReadAll(conn)
		conn.Write(append([]byte("answer to "), request...))
	}()
	path := filepath.Join(shortDir(t), "s")
	file, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := servePipe(t.Context(), file, server.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "question")
	conn.(*net.UnixConn).CloseWrite()
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "answer to question" {
		t.Errorf("answer = %q, %v", answer, err)
	}
}
