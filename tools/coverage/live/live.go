// Package live is how a program gives out its coverage while it runs: a snapshot of its
// counters on each connection. Package agent serves them, package collect takes them.
//
// A program that is built with coverage writes it when it exits. One that serves is mostly
// killed, and then nothing is written.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Variable names where the program listens: "tcp:HOST:PORT" or "unix:PATH". Whoever
// connects gets a snapshot without credentials, so let it be an address that only the
// program's own pod or user can reach.
//
// Processes that inherit it, such as probes, hooks, workers and a second container of a
// pod, listen at the ports after that, the first that is free of Ports.
const Variable = "STORMGATE_COVERAGE"

// Ports is how many processes can listen at a TCP address.
const Ports = 16

// Snapshot is what is sent on each connection, as JSON, before it is closed.
type Snapshot struct {
	// Process tells a process from all others, also from those of other pods.
	Process string `json:"process"`
	// Meta and Counters are what package runtime/coverage writes; package covdata decodes
	// them. Counters has everything since the program began.
	Meta     []byte `json:"meta,omitempty"`
	Counters []byte `json:"counters,omitempty"`
	// Sources are the paths of sources, as Bazel knows them, by the names that files have
	// in Meta.
	Sources map[string]string `json:"sources,omitempty"`
	// Uninstrumented is why the program has no coverage: nothing of it was instrumented.
	Uninstrumented string `json:"uninstrumented,omitempty"`
	// Error is why there is none of the above.
	Error string `json:"error,omitempty"`
}

// Split returns the network and the address of a value of Variable.
func Split(value string) (network, address string, err error) {
	network, address, _ = strings.Cut(value, ":")
	if (network != "tcp" && network != "unix") || address == "" {
		return "", "", fmt.Errorf("%s is %q, it must be tcp:HOST:PORT or unix:PATH", Variable, value)
	}
	return network, address, nil
}

// listen finds the address that is free.
func listen(network, address string) (net.Listener, error) {
	if network != "tcp" {
		return net.Listen(network, address)
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	for i := range Ports {
		this := text
		if port != 0 { // which is any that is free
			this = strconv.Itoa(port + i)
		}
		var l net.Listener
		if l, err = net.Listen(network, net.JoinHostPort(host, this)); !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, fmt.Errorf("%w, as is each of the %d after it", err, Ports-1)
}

const (
	// serveLimit is how long whoever asks may take to read a snapshot.
	serveLimit = 30 * time.Second
	// acceptPause is the time between two attempts to accept a connection.
	acceptPause = 100 * time.Millisecond
)

// Serve answers connections to a value of Variable until the listener is closed. It returns
// once it listens. Failed is called if a connection can't be accepted, such as for want of
// descriptors; it goes on with the next.
func Serve(value string, take func() Snapshot, failed func(error)) (net.Listener, error) {
	network, address, err := Split(value)
	if err != nil {
		return nil, err
	}
	listener, err := listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for requests of coverage: %w", err)
	}
	go serve(listener, take, failed)
	return listener, nil
}

func serve(listener net.Listener, take func() Snapshot, failed func(error)) {
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			failed(fmt.Errorf("accept a request of coverage: %w", err))
			time.Sleep(acceptPause) // what is missing comes back when others end
		default:
			go answer(conn, take)
		}
	}
}

func answer(conn net.Conn, take func() Snapshot) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(serveLimit))
	_ = json.NewEncoder(conn).Encode(take()) // who hung up has no use for an error
}

// most is the largest snapshot that Read takes, in bytes. Kubernetes as a whole has some
// 20 MB of meta-data.
const most = 256 << 20

// Refused is an error that the program itself answered: another question has the same
// answer.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// Read reads the snapshot that comes on a connection. It is an error if the program has
// none.
func Read(conn io.Reader) (Snapshot, error) {
	var s Snapshot
	data, err := io.ReadAll(io.LimitReader(conn, most))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && s.Error != "" {
		err = &Refused{s.Error}
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("read a snapshot of coverage: %w", err)
	}
	return s, nil
}

// Ask returns a snapshot of the program that listens at a value of Variable, which must be
// its own.
func Ask(ctx context.Context, value string) (Snapshot, error) {
	network, address, err := Split(value)
	if err != nil {
		return Snapshot{}, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return Snapshot{}, fmt.Errorf("ask for coverage: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	return Read(conn)
}
