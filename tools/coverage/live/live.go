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
	"strings"
)

// Variable names where the program listens: "tcp:HOST:PORT" or "unix:PATH". Whoever
// connects gets a snapshot without credentials, so let it be an address that only the
// program's own pod or user can reach.
const Variable = "STORMGATE_COVERAGE"

// Snapshot is what is sent on each connection, as JSON, before it is closed.
type Snapshot struct {
	// Meta and Counters are what package runtime/coverage writes; package covdata decodes
	// them. Counters has everything since the program began.
	Meta     []byte `json:"meta,omitempty"`
	Counters []byte `json:"counters,omitempty"`
	// Error is why there is neither.
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

// Serve answers connections to a value of Variable until the listener is closed, one at a
// time. It returns once it listens; failed is called if it can't go on.
func Serve(value string, take func() Snapshot, failed func(error)) (net.Listener, error) {
	network, address, err := Split(value)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for requests of coverage: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					failed(fmt.Errorf("accept a request of coverage: %w", err))
				}
				return
			}
			_ = json.NewEncoder(conn).Encode(take()) // who hung up has no use for an error
			_ = conn.Close()
		}
	}()
	return listener, nil
}

// most is the largest snapshot that Read takes, in bytes. Kubernetes as a whole has some
// 20 MB of meta-data.
const most = 256 << 20

// Read reads the snapshot that comes on a connection. It is an error if the program has
// none.
func Read(conn io.Reader) (Snapshot, error) {
	var s Snapshot
	data, err := io.ReadAll(io.LimitReader(conn, most))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("read a snapshot of coverage: %w", err)
	}
	return s, nil
}

// Ask returns a snapshot of the program that listens at a value of Variable.
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
