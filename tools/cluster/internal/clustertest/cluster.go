// Package clustertest runs the cluster binary for tests and benchmarks of it,
// and looks at what it leaves behind.
package clustertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
)

// Cluster is a running `cluster run`.
type Cluster struct {
	// Dir is its directory.
	Dir string
	// Cmd is its launcher.
	Cmd *exec.Cmd

	stdin  io.Closer
	events chan api.Event
	seen   []api.Event
	done   chan struct{}
	err    error
}

// Start runs `BINARY run --dir=DIR ARGS...` with its log going to log.
func Start(binary, dir string, log io.Writer, args ...string) (*Cluster, error) {
	return StartCommand(exec.Command(binary, append([]string{"run", "--dir=" + dir}, args...)...), dir, log)
}

// StartCommand is Start for a command that leads to `cluster run --dir=DIR` in
// its own way.
func StartCommand(cmd *exec.Cmd, dir string, log io.Writer) (*Cluster, error) {
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	// Room for more events than a boot has: a reader that does not come must
	// not block the end.
	c := &Cluster{Dir: dir, Cmd: cmd, stdin: stdin, events: make(chan api.Event, 100), done: make(chan struct{})}
	go func() {
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var event api.Event
			if json.Unmarshal(lines.Bytes(), &event) == nil {
				c.events <- event
			}
		}
		close(c.events)
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// Await reads events up to the first of the given kind, or of one step's name.
// A failure that is not what is waited for is returned as *api.Failure.
func (c *Cluster) Await(ctx context.Context, kind string) (api.Event, error) {
	for {
		select {
		case event, open := <-c.events:
			if !open {
				return api.Event{}, fmt.Errorf("await %q: the cluster ended after %d events", kind, len(c.seen))
			}
			c.seen = append(c.seen, event)
			if event.Kind == kind || event.Step != nil && event.Name == kind {
				return event, nil
			}
			if event.Kind == api.EventFailed {
				return event, fmt.Errorf("await %q: %w", kind, event.Failure)
			}
		case <-ctx.Done():
			return api.Event{}, fmt.Errorf("await %q: %w after %d events", kind, context.Cause(ctx), len(c.seen))
		}
	}
}

// CloseInput ends the launcher's standard input: the order to end.
func (c *Cluster) CloseInput() error { return c.stdin.Close() }

// Wait waits for the launcher's end and returns its exit error.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the launcher's end: %w", context.Cause(ctx))
	}
}

// Kill ends the launcher whatever its state, and waits for it.
func (c *Cluster) Kill() {
	if err := c.Cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	<-c.done
}

// RESTConfig returns the client configuration for the identity, "admin" or
// "suite", over the cluster's unix socket, without rate limit.
func (c *Cluster) RESTConfig(identity string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.Dir, identity+".kubeconfig"))
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s: %w", identity, err)
	}
	config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", api.Dir(c.Dir).APISocket())
	}
	config.QPS = -1
	return config, nil
}

// Control returns a client for control.sock; the host of its URLs does not matter.
func (c *Cluster) Control() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", api.Dir(c.Dir).ControlSocket())
		},
	}}
}

// Report asks for the boot report with current usages.
func (c *Cluster) Report(ctx context.Context) (api.Report, error) {
	var report api.Report
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster"+api.BootPath, nil)
	if err != nil {
		return report, err
	}
	client := c.Control()
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return report, fmt.Errorf("get boot report: %w", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return report, fmt.Errorf("get boot report: %w", err)
	}
	return report, nil
}
