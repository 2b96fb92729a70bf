// Package clustertest runs the cluster binary for tests and benchmarks of it,
// and looks at what it leaves behind.
package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
)

// Cluster is a running `cluster run`.
type Cluster struct {
	*api.Process
	// Dir is its directory.
	Dir string

	events chan api.Event
	seen   int
}

// eventRoom is more events than a boot has: a reader that does not come must not
// block the program's end.
const eventRoom = 100

// Start runs `BINARY run --dir=DIR ARGS...` with its log going to log.
func Start(binary, dir string, log io.Writer, args ...string) (*Cluster, error) {
	return start(api.Options{Binary: binary, Dir: api.Dir(dir), Args: args, Log: log})
}

// StartCommand is Start for a command that leads to `cluster run --dir=DIR` in
// its own way.
func StartCommand(cmd *exec.Cmd, dir string, log io.Writer) (*Cluster, error) {
	return start(api.Options{Command: cmd, Dir: api.Dir(dir), Log: log})
}

func start(options api.Options) (*Cluster, error) {
	c := &Cluster{Dir: string(options.Dir), events: make(chan api.Event, eventRoom)}
	options.OnEvent = func(event api.Event) { c.events <- event }
	var err error
	if c.Process, err = api.Start(options); err != nil {
		return nil, err
	}
	return c, nil
}

// Await reads events up to the first of the given kind, or of one step's name.
// A failure that is not what is waited for is returned as *api.Failure.
func (c *Cluster) Await(ctx context.Context, kind string) (api.Event, error) {
	for {
		select {
		case event := <-c.events:
			if done, err := c.take(event, kind); done {
				return event, err
			}
		case <-c.Done():
			// What it said last is read first.
			for len(c.events) > 0 {
				event := <-c.events
				if done, err := c.take(event, kind); done {
					return event, err
				}
			}
			return api.Event{}, fmt.Errorf("await %q: the cluster ended after %d events", kind, c.seen)
		case <-ctx.Done():
			return api.Event{}, fmt.Errorf("await %q: %w after %d events", kind, context.Cause(ctx), c.seen)
		}
	}
}

// take reports whether the event ends a wait for kind, and with which error.
func (c *Cluster) take(event api.Event, kind string) (bool, error) {
	c.seen++
	switch {
	case event.Kind == kind, event.Step != nil && event.Name == kind:
		return true, nil
	case event.Kind == api.EventFailed:
		return true, fmt.Errorf("await %q: %w", kind, event.Failure)
	}
	return false, nil
}

// Wait waits for the launcher's end and returns its exit error.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-c.Done():
		return c.Exit()
	case <-ctx.Done():
		return fmt.Errorf("wait for the launcher's end: %w", context.Cause(ctx))
	}
}

// RESTConfig returns the client configuration for the identity, api.IdentityAdmin or
// api.IdentityFixture, over the cluster's unix socket, without rate limit.
func (c *Cluster) RESTConfig(ctx context.Context, identity string) (*rest.Config, error) {
	kubeconfig, err := c.Kubeconfig(ctx, identity)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s: %w", identity, err)
	}
	config.Dial = c.Process.Dir.DialAPI
	config.QPS = -1
	return config, nil
}

// Report asks for the boot report with current usages.
func (c *Cluster) Report(ctx context.Context) (api.Report, error) {
	var report api.Report
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster"+api.BootPath, nil)
	if err != nil {
		return report, err
	}
	response, err := c.Control().Do(request)
	if err != nil {
		return report, fmt.Errorf("get boot report: %w", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return report, fmt.Errorf("get boot report: %w", err)
	}
	return report, nil
}
