package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// maxExecOutput bounds what ExecSync keeps of each stream, in bytes; the rest
// is dropped.
const maxExecOutput = 16 << 20

// ExecSync runs a command in a container and returns its output. A timeout of
// 0 means none. A non-zero exit status is a utilexec.CodeExitError; a timeout,
// after which the command and its process group are killed, wraps
// ErrCommandTimedOut of k8s.io/cri-client, by which probes know it.
func (r *Runtime) ExecSync(ctx context.Context, id string, command []string, timeout time.Duration) (stdout, stderr []byte, err error) {
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var out, errs limitedBuffer
	err = r.exec(limited, id, command, execStreams{stdout: &out, stderr: &errs})
	var exit utilexec.CodeExitError
	switch {
	case limited.Err() != nil && ctx.Err() == nil && err != nil:
		err = fmt.Errorf("%w: %q timed out after %s", remote.ErrCommandTimedOut, strings.Join(command, " "), timeout)
	case errors.As(err, &exit):
		exit.Err = fmt.Errorf("command %q exited with %d: %s", strings.Join(command, " "), exit.Code, errs.kept.Bytes())
		err = exit
	}
	return out.kept.Bytes(), errs.kept.Bytes(), err
}

// execStreams are the streams of an exec'd command; any of them may be nil.
// With a terminal, stderr is not used.
type execStreams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool
	resize         <-chan remotecommand.TerminalSize
}

// beginExec finds a running container and counts the session as running.
func (r *Runtime) beginExec(id string) (*container, error) {
	c, err := r.runningContainer(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed()
	}
	r.running.Add(1)
	return c, nil
}

// exec runs a command in a container, as the container's user and in all its
// namespaces, until it ends. When ctx ends first the command is killed and
// the context's error returned.
func (r *Runtime) exec(ctx context.Context, id string, command []string, streams execStreams) error {
	c, err := r.beginExec(id)
	if err != nil {
		return err
	}
	defer r.running.Done()
	p, err := spawnExec(c, command, streams)
	if err != nil {
		return fmt.Errorf("exec in container %s: %w", c.name(), err)
	}
	go func() {
		// Where containers share their processes' namespace, the container's
		// end is not by itself the end of what came into it later.
		select {
		case <-ctx.Done():
			killGroup(p)
		case <-c.exited:
			killGroup(p)
		case <-p.done:
		}
	}()

	var output sync.WaitGroup
	forward(&output, streams.stdout, p.stdout, p)
	forward(&output, streams.stderr, p.stderr, p)
	if p.stdin != nil {
		go feed(p.stdin, streams.stdin, !streams.terminal)
	}
	resizing := make(chan struct{})
	go func() {
		defer close(resizing)
		if p.terminal != nil && followSize(p, streams.resize) {
			// The client has gone; a terminal that is gone ends its session.
			hangUp(p)
		}
	}()
	<-p.done
	setDrainDeadline(p)
	output.Wait()
	p.close()
	<-resizing
	c.execUsage.add(p.state)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if code := p.exitCode(); code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: int(code)}
	}
	return nil
}

// forward copies output to a client. When the client fails, the stream is
// closed so that the command learns of it by its next write.
func forward(group *sync.WaitGroup, to io.Writer, from *os.File, p *process) {
	if from == nil {
		return
	}
	if to == nil {
		to = io.Discard
	}
	group.Go(func() {
		reader := &failureOf{Reader: from}
		if _, err := io.Copy(to, reader); err != nil && reader.err == nil {
			from.Close()
			if from == p.terminal {
				hangUp(p)
			}
		}
	})
}

// failureOf distinguishes a reader's failure from a writer's.
type failureOf struct {
	io.Reader
	err error
}

func (f *failureOf) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	f.err = err
	return n, err
}

// feed copies a client's input and closes the command's at its end, but not a
// terminal, which ends its input by a character.
func feed(stdin *os.File, from io.Reader, closes bool) {
	if from == nil {
		return
	}
	_, _ = io.Copy(stdin, from) // either side may go first
	if closes {
		stdin.Close()
	}
}

// followSize applies a client's window sizes until the process ends (false) or
// there will be no more because the client has gone (true).
func followSize(p *process, sizes <-chan remotecommand.TerminalSize) bool {
	for {
		select {
		case size, more := <-sizes:
			if !more {
				return true
			}
			resize(p.terminal, size)
		case <-p.done:
			return false
		}
	}
}

// resize sets a terminal's size; a terminal that has ended needs none.
func resize(terminal *os.File, size remotecommand.TerminalSize) {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
}

// killGroup kills an exec'd command and what it started, but for what has made
// a process group of its own.
func killGroup(p *process) { signalGroup(p, unix.SIGKILL) }

// hangUp ends the same processes as a terminal that is gone does.
func hangUp(p *process) { signalGroup(p, unix.SIGHUP) }

func signalGroup(p *process, s unix.Signal) {
	select {
	case <-p.done: // the number may be another group's by now
	default:
		_ = unix.Kill(-p.os.Pid, s) // it may be ending
	}
}

// limitedBuffer keeps the first maxExecOutput bytes and swallows the rest.
type limitedBuffer struct{ kept bytes.Buffer }

func (b *limitedBuffer) Write(data []byte) (int, error) {
	room := max(maxExecOutput-b.kept.Len(), 0)
	b.kept.Write(data[:min(room, len(data))])
	return len(data), nil
}
