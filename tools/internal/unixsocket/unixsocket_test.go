package unixsocket

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/internal/sockettest"
)

// Promise: an HTTP client reaches the socket, whatever host the URL names.
func TestDialerIgnoresTheAddress(t *testing.T) {
	path := filepath.Join(sockettest.Dir(t), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go server.Serve(listener)
	defer server.Close()
	client := http.Client{Transport: &http.Transport{DialContext: Dialer(path), DisableKeepAlives: true}}
	response, err := client.Get("http://cluster/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "cluster" {
		t.Errorf("answer %q, %v", body, err)
	}
}

// Promise: callers can tell that there is no socket, and read which one.
func TestDialWithoutASocket(t *testing.T) {
	path := filepath.Join(sockettest.Dir(t), "s")
	if _, err := Dial(t.Context(), path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

// Promise: MaxPath is the kernel's limit, neither more nor less.
func TestMaxPath(t *testing.T) {
	dir := sockettest.Dir(t)
	for excess, fits := range map[int]bool{0: true, 1: false} {
		path := filepath.Join(dir, strings.Repeat("x", MaxPath+excess-len(dir)-1))
		listener, err := net.Listen("unix", path)
		if err == nil {
			listener.Close()
		}
		if (err == nil) != fits {
			t.Errorf("a path of %d bytes: %v", len(path), err)
		}
	}
}
