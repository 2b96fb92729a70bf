package boot

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"stormgate.internal/tools/internal/relay"
)

// dialTimeout bounds a connection inside one network namespace.
const dialTimeout = 5 * time.Second

// servePipe accepts on a listener that was opened on the host's side, and so
// takes connections from there, and pipes each to address, which is on ours.
// It returns at once; ctx ends it.
func servePipe(ctx context.Context, file *os.File, address string) error {
	listener, err := fileListener(file)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	relay.Start(listener, func() (net.Conn, error) { return net.DialTimeout("tcp", address, dialTimeout) })
	return nil
}

// fileListener takes over an inherited listener.
func fileListener(file *os.File) (net.Listener, error) {
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take over listener %s: %w", file.Name(), err)
	}
	return listener, nil
}
