package live

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Each connection gets the counters as they are then.
func TestSnapshots(t *testing.T) {
	for _, value := range []string{"unix:" + filepath.Join(t.TempDir(), "s"), "tcp:127.0.0.1:0"} {
		n := byte(0)
		listener, err := Serve(value, func() Snapshot { n++; return Snapshot{Meta: []byte("m"), Counters: []byte{n}} }, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		at := listener.Addr().Network() + ":" + listener.Addr().String()
		for want := byte(1); want < 3; want++ {
			s, err := Ask(t.Context(), at)
			if err != nil || string(s.Meta) != "m" || len(s.Counters) != 1 || s.Counters[0] != want {
				t.Errorf("snapshot %+v, %v, want counters %d", s, err, want)
			}
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A program that has no coverage says why.
func TestProgramWithoutCoverage(t *testing.T) {
	at := "unix:" + filepath.Join(t.TempDir(), "s")
	listener, err := Serve(at, func() Snapshot { return Snapshot{Error: "not built with it"} }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := Ask(t.Context(), at); err == nil || !strings.Contains(err.Error(), "not built with it") {
		t.Errorf("error %v", err)
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, value := range []string{"8080", "udp:127.0.0.1:1", "tcp:", "tcp:nonsense", "unix:/nonexistent/directory/s"} {
		if _, err := Serve(value, nil, nil); err == nil {
			t.Errorf("%q is no error", value)
		}
		if _, err := Ask(t.Context(), value); err == nil {
			t.Errorf("asking %q is no error", value)
		}
	}
}

// A program that sends nothing, or not all, has no coverage; and one that never answers
// holds nobody up.
func TestAnswersThatAreNone(t *testing.T) {
	for _, answer := range []string{"", `{"meta": "`, "x"} {
		if _, err := Read(strings.NewReader(answer)); err == nil {
			t.Errorf("%q is no error", answer)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
		}
		cancel()
		<-t.Context().Done()
	}()
	if _, err := Ask(ctx, "tcp:"+listener.Addr().String()); err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("error %v", err)
	}
}
