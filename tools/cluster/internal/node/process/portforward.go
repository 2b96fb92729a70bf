package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// forwardDialTime bounds the connect to a port on the pod's loopback.
const forwardDialTime = 10 * time.Second

// portForward joins a stream to a TCP port on the pod's own loopback, IPv4
// first, until the pod closes the connection or is stopped, or ctx ends.
func (r *Runtime) portForward(ctx context.Context, id string, port int32, stream io.ReadWriter) error {
	if port < 1 || port > 65535 {
		return status.Errorf(codes.InvalidArgument, "port %d is not between 1 and 65535", port)
	}
	s, ns, err := r.networkNamespace(id)
	if err != nil {
		return err
	}
	var conn net.Conn
	dial := func() (err error) {
		conn, err = dialLoopback(ctx, port)
		return err
	}
	if ns == nil {
		err = dial()
	} else {
		err = inNetwork(ns, dial)
		ns.Close()
	}
	if err != nil {
		return fmt.Errorf("forward to pod %s: %w", s.pod(), err)
	}
	defer conn.Close()
	defer context.AfterFunc(s.live, func() { conn.Close() })()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	go func() {
		if _, err := io.Copy(conn, stream); err != nil {
			conn.Close() // the client is gone, or the pod does not listen any more
			return
		}
		_ = conn.(*net.TCPConn).CloseWrite() // the pod may have closed first
	}()
	// The end of the pod's output is the end of the session: no client of this
	// protocol goes on sending after it.
	_, err = io.Copy(stream, conn)
	switch {
	case s.live.Err() != nil:
		return fmt.Errorf("forward to pod %s: the pod has been stopped", s.pod())
	case errors.Is(err, net.ErrClosed):
		return ctx.Err()
	}
	return err
}

// dialLoopback connects within the calling thread's network namespace: dialing
// literal addresses makes the socket on the calling goroutine.
func dialLoopback(ctx context.Context, port int32) (net.Conn, error) {
	dialer := net.Dialer{Timeout: forwardDialTime, FallbackDelay: -1}
	var errs []error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
