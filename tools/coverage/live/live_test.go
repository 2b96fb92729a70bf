package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
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
	_, err = Ask(t.Context(), at)
	if _, ok := errors.AsType[*Refused](err); !ok || !strings.Contains(err.Error(), "not built with it") {
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

// Whoever asks and does not read holds nobody up.
func TestOneThatDoesNotRead(t *testing.T) {
	large := Snapshot{Meta: make([]byte, 8<<20)} // more than fits between them
	listener, err := Serve("tcp:127.0.0.1:0", func() Snapshot { return large }, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for range 3 {
		silent, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	if s, err := Ask(t.Context(), "tcp:"+listener.Addr().String()); err != nil || len(s.Meta) != len(large.Meta) {
		t.Errorf("%d bytes, %v", len(s.Meta), err)
	}
}

// failing is a listener that can't accept for a while.
type failing struct {
	net.Listener
	errs int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.errs > 0 {
		f.errs--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

// A program that has no descriptors left gives out its coverage when it has some again.
func TestWithoutDescriptors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	failures := make(chan error, 3)
	go serve(&failing{listener, 2}, func() Snapshot { return Snapshot{Process: "p"} }, func(err error) { failures <- err })
	if s, err := Ask(t.Context(), "tcp:"+listener.Addr().String()); err != nil || s.Process != "p" {
		t.Errorf("%+v, %v", s, err)
	}
	if len(failures) != 2 {
		t.Errorf("%d failures were told", len(failures))
	}
}

// Processes that inherit an address have a port each, as far as there are some.
func TestProcessesOfOneAddress(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	probe.Close()
	value := fmt.Sprintf("tcp:127.0.0.1:%d", port)
	for i := range Ports {
		listener, err := Serve(value, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if got := listener.Addr().(*net.TCPAddr).Port; got < port+i || got >= port+Ports {
			t.Errorf("process %d listens at %d, the address is %d", i, got, port)
		}
		if i < Ports-1 {
			continue
		}
		if _, err := Serve(value, nil, nil); err == nil || !strings.Contains(err.Error(), "each of the 15 after it") {
			t.Errorf("one too many: %v", err)
		}
	}
}
