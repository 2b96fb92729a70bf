// Package controlplane runs the upstream parts of a control plane (etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler) as processes.
//
// Each part is a Component: a value with Start, Ready and Stop, whose output is
// kept in a log file and, its last lines, in memory, so that the report of a
// death can quote them. The same type runs the node beside the control plane.
package controlplane

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"stormgate.internal/tools/internal/child"
)

// Component is one process of the cluster. The exported fields are its
// configuration: set them before Start and leave them alone after.
type Component struct {
	// Name is the component's name in reports and its argv[0].
	Name string
	// Executable is the multi-call binary. Default /proc/self/exe.
	Executable string
	// Args are the arguments after argv[0].
	Args []string
	// Env is the whole environment of the process; nothing is inherited.
	Env []string
	// Log receives stdout and stderr. Default: the last lines are kept, nothing is written.
	Log *Journal
	// Stdout receives stdout instead of Log. It is written to by one goroutine. While it
	// does not take what it is given, the component waits, once it has filled a pipe
	// (64 KiB); when it returns an error, the next write kills the component by SIGPIPE.
	// Default Log.
	Stdout io.Writer
	// Probe reports whether the component serves; nil error means it does.
	// Without one, a started component counts as ready.
	Probe func(context.Context) error

	// gate and held are the two ends of a held component's pipe; see Hold.
	gate, held *os.File

	mu      sync.Mutex
	process *child.Child
	done    chan struct{}
	err     error
}

// probeInterval is how often Ready asks. It bounds what a boot step can lose, and
// each question costs a component that is busy starting most of a millisecond.
const probeInterval = 15 * time.Millisecond

// Start starts the process; it fails when it was started before. It does not
// wait for it to serve.
func (c *Component) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		return fmt.Errorf("start %s: it was started before", c.Name)
	}
	if c.Log == nil {
		c.Log = &Journal{}
	}
	executable := c.Executable
	if executable == "" {
		executable = "/proc/self/exe"
	}
	cmd := &exec.Cmd{
		Path:   executable,
		Args:   append([]string{c.Name}, c.Args...),
		Env:    c.Env,
		Stdout: c.Log,
		Stderr: c.Log,
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	if c.gate != nil {
		cmd.ExtraFiles = []*os.File{c.gate}
		cmd.Env = append(slices.Clip(cmd.Env), fmt.Sprintf("%s=%d", gateEnv, gateDescriptor))
		defer c.gate.Close()
	}
	process, err := child.Start(cmd, child.WithoutInput())
	if err != nil {
		return err
	}
	c.process, c.done = process, make(chan struct{})
	go func() {
		<-process.Done()
		c.err = &ExitError{Component: c.Name, Cause: process.Err(), Tail: c.Log.Tail()}
		close(c.done)
	}()
	return nil
}

// Pid returns the process id, 0 before Start.
func (c *Component) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return 0
	}
	return c.process.PID()
}

// Done is closed when the process has ended; nil, which blocks for ever, before Start.
func (c *Component) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// Err says how the process ended, as an *ExitError; nil while it runs.
func (c *Component) Err() error {
	select {
	case <-c.Done():
		return c.err
	default:
		return nil
	}
}

// Ready waits until the probe succeeds. It returns an *ExitError when the
// process ends first, and an error that carries the probe's last answer when
// the context does.
func (c *Component) Ready(ctx context.Context) error {
	if c.Probe == nil {
		return c.Err()
	}
	return c.await(ctx, c.Probe)
}

func (c *Component) await(ctx context.Context, probe func(context.Context) error) error {
	if c.Done() == nil {
		return fmt.Errorf("wait for %s: it was not started", c.Name)
	}
	var last error
	err := wait.PollUntilContextCancel(ctx, probeInterval, true, func(ctx context.Context) (bool, error) {
		last = probe(ctx)
		if last == nil {
			return true, nil
		}
		return false, c.Err()
	})
	switch {
	case err == nil:
		return nil
	case c.Err() != nil:
		return c.Err()
	}
	return &NotReadyError{Component: c.Name, Probe: last, Cause: context.Cause(ctx), Tail: c.Log.Tail()}
}

// Stop kills the process and waits for its end; stopping what never ran or has
// ended is no error. There is no graceful part: the data die with the cluster.
func (c *Component) Stop() error {
	done := c.Done()
	if done == nil {
		return nil
	}
	if err := c.process.Kill(); err != nil {
		return fmt.Errorf("stop %s: %w", c.Name, err)
	}
	<-done
	return nil
}

// ExitError says that a component's process has ended.
type ExitError struct {
	Component string
	// Cause is os/exec's account of it; nil for exit status 0.
	Cause error
	// Tail are the last lines of its log.
	Tail []string
}

var _ error = (*ExitError)(nil)

// Error names the component and how it ended.
func (e *ExitError) Error() string {
	how := "exit status 0"
	if e.Cause != nil {
		how = e.Cause.Error()
	}
	return fmt.Sprintf("%s ended unexpectedly: %s", e.Component, how)
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Cause }

// OutOfSpace reports whether the last log lines complain of a full file system,
// which etcd turns into a panic whose trace hides it.
func (e *ExitError) OutOfSpace() bool {
	message := syscall.ENOSPC.Error()
	for _, line := range e.Tail {
		if strings.Contains(line, message) {
			return true
		}
	}
	return false
}

// NotReadyError says that a component did not serve in time.
type NotReadyError struct {
	Component string
	// Probe is the last answer, Cause why the wait ended.
	Probe, Cause error
	// Tail are the last lines of its log.
	Tail []string
}

var _ error = (*NotReadyError)(nil)

// Error names the component, the reason to give up and the last answer.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%s did not become ready: %v; last answer: %v", e.Component, e.Cause, e.Probe)
}

// Unwrap returns why the wait ended.
func (e *NotReadyError) Unwrap() error { return e.Cause }
