package tcprelay_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"stormgate.internal/tools/tcprelay"
)

// start returns the address of a relay to the target, and what ends it and waits for
// that.
func start(t *testing.T, target string) (address string, end func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	relay := tcprelay.Relay{Target: target, Logger: slog.New(slog.DiscardHandler)}
	go func() { served <- relay.Serve(ctx, listener) }()
	return listener.Addr().String(), func() error {
		cancel()
		return <-served
	}
}

// Promise: what a client and a server say to each other is the same with a relay.
func TestRequestsPass(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	address, end := start(t, server.Listener.Addr().String())
	body := strings.Repeat("storm ", 1<<16)
	for range 3 {
		response, err := http.Post("http://"+address, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(answer) != body {
			t.Fatalf("%d bytes came back of %d, error %v", len(answer), len(body), err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

// Promise: a client that has said all it has to say still gets the answer.
func TestOneWayEndsBeforeTheOther(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		server, err := target.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		heard, _ := io.ReadAll(server) // ends with the client's way
		_, _ = server.Write(append([]byte("heard "), heard...))
	}()
	address, end := start(t, target.Addr().String())
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("thunder")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(client); err != nil || string(answer) != "heard thunder" {
		t.Fatalf("answer %q, error %v", answer, err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

// Promise: a target that refuses looks like one: the client's connection breaks, it does
// not end in order.
func TestRefusedTargetBreaksTheConnection(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	address, end := start(t, closed.Addr().String())
	// The reset may come before Dial has looked whether there is a connection.
	client, err := net.Dial("tcp", address)
	if err == nil {
		defer client.Close()
		_, err = io.ReadAll(client)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("error %v, want a reset", err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

// Promise: the relay's end is the end of its connections, and it waits for that.
func TestEndClosesConnections(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	address, end := start(t, target.Addr().String())
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"client's": client, "server's": server} {
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("the %s connection still brings %d bytes", name, n)
		}
	}
}
