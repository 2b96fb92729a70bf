package process

import (
	"context"
	"io"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// attach joins a client to a running container's streams until the container
// ends, the client fails or ctx ends. Input for a container that was made
// without stdin is not read. A container with stdinOnce loses its stdin with
// the first session that had it.
func (r *Runtime) attach(ctx context.Context, id string, in io.Reader, stdout, stderr io.Writer, sizes <-chan remotecommand.TerminalSize) error {
	c, err := r.runningContainer(id)
	if err != nil {
		return err
	}
	p := c.process
	l := c.output.listen()
	defer c.output.leave(l)

	if in != nil && p.stdin != nil {
		once := c.config.GetStdinOnce() && p.terminal == nil
		go feed(p.stdin, in, once)
		if once {
			defer p.stdin.Close()
		}
	}
	delivered := make(chan error, 1)
	go func() { delivered <- l.deliver(stdout, stderr) }()
	for {
		select {
		case size, more := <-sizes:
			if !more {
				return nil // the client has gone
			}
			if p.terminal != nil {
				resize(p.terminal, size)
			}
		case err := <-delivered:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
