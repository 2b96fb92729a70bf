// Package child runs programs as children of this process: it starts them, keeps
// the last lines of their output, notices their end, and ends them.
//
// The end of its standard input is a child's order to end. It comes when the child is
// stopped, and when this process dies. A tether is for children that don't read their
// input: a signal that the kernel sends them when this process dies.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// outputDelay is how long the end of a child's output is awaited after the child's
// own. Processes that it left behind may hold the output open for longer.
const outputDelay = 200 * time.Millisecond

// Child is a running or ended program. All methods may be called concurrently.
type Child struct {
	// Input is the program's standard input; nil where the command had one of its own,
	// and with WithoutInput.
	Input io.WriteCloser

	name  string
	cmd   *exec.Cmd
	start func(*exec.Cmd) error
	done  chan struct{}
	// inputless is set by WithoutInput.
	inputless bool
	err       error // after done
}

// Option changes how Start starts a program.
type Option func(*Child)

// Tethered has the kernel send the child the signal when this process dies, even by
// SIGKILL. Without it a child may outlive this process.
func Tethered(signal syscall.Signal) Option {
	return func(c *Child) {
		attributes(c.cmd).Pdeathsig = signal
		c.start = startTethered
	}
}

// OwnGroup gives the child a process group of its own: a terminal's Ctrl-C is then
// for this process, which ends the child in order.
func OwnGroup() Option {
	return func(c *Child) { attributes(c.cmd).Setpgid = true }
}

// OwnSession gives the child a session of its own: it survives the end of this
// process's terminal.
func OwnSession() Option {
	return func(c *Child) { attributes(c.cmd).Setsid = true }
}

// WithoutInput gives the child an empty standard input, and leaves Input nil.
func WithoutInput() Option {
	return func(c *Child) { c.inputless = true }
}

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// Start starts the command, whose output goes to where it says. A command without
// a standard input gets one whose other end is Input.
func Start(cmd *exec.Cmd, options ...Option) (*Child, error) {
	c := &Child{name: filepath.Base(cmd.Path), cmd: cmd, start: (*exec.Cmd).Start, done: make(chan struct{})}
	if len(cmd.Args) > 0 && cmd.Args[0] != "" {
		c.name = filepath.Base(cmd.Args[0])
	}
	for _, option := range options {
		option(c)
	}
	if cmd.Stdin == nil && !c.inputless {
		input, err := cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.name, err)
		}
		c.Input = input
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = outputDelay
	}
	if err := c.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		err := cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it ended well; what it left behind holds its output open
		}
		c.err = err
		close(c.done)
	}()
	return c, nil
}

// PID is the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the child has ended and its output has been read.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err is how the child ended: nil for exit status 0, and while it runs.
func (c *Child) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// How describes the end of a child for people, such as "exit status 0" or
// "signal: killed". It is for a child that is Done.
func (c *Child) How() string {
	if err := c.Err(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// Exited reports whether the program has ended, perhaps a moment before Done: its
// output may still be held open by what it left behind.
func (c *Child) Exited() bool {
	return errors.Is(c.cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// Wait waits for the child's end and returns how it ended, or why ctx did.
func (c *Child) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s to end: %w", c.name, context.Cause(ctx))
	}
}

// Signal sends a signal; for a child that has ended it does nothing.
func (c *Child) Signal(signal os.Signal) error {
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", signal, c.name, err)
	}
	return nil
}

// Kill ends the child by SIGKILL, if it has not ended, and waits for its end.
func (c *Child) Kill() error {
	if err := c.Signal(os.Kill); err != nil {
		return err
	}
	<-c.done
	return nil
}

// KilledError says that a child did not end by itself.
type KilledError struct {
	// Name is the program's.
	Name string
	// Grace is how long it had; less where Cause is set.
	Grace time.Duration
	// Cause is why the context of Stop ended before Grace was over; nil if it did not.
	Cause error
}

var _ error = (*KilledError)(nil)

// Error says why the child was killed.
func (e *KilledError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s was killed, since no time was left to let it end by itself: %v", e.Name, e.Cause)
	}
	return fmt.Sprintf("%s did not end by itself within %v and was killed", e.Name, e.Grace)
}

// Unwrap returns the cause.
func (e *KilledError) Unwrap() error { return e.Cause }

// Stop gives the order to end, by closing Input, and waits for the end. It kills the
// child when grace is over or ctx ends, and then returns a *KilledError. A child that
// ends by itself is no error, whatever its exit status: see Err.
func (c *Child) Stop(ctx context.Context, grace time.Duration) error {
	if c.Input != nil {
		c.Input.Close()
	}
	select {
	case <-c.done:
		return nil
	default: // first: with no grace or an ended context, the choice below is random
	}
	force := time.NewTimer(grace)
	defer force.Stop()
	killed := &KilledError{Name: c.name, Grace: grace}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		killed.Cause = context.Cause(ctx)
	case <-force.C:
	}
	switch err := c.cmd.Process.Kill(); {
	case errors.Is(err, os.ErrProcessDone):
		// It ended by itself. Something that it left behind holds its output.
		<-c.done
		return nil
	case err != nil:
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.done
	return killed
}
