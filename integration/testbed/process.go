package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tailLines is how much of a process' output is kept.
const tailLines = 40

// Process is a running program, which is killed when this one ends.
type Process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // after exited is closed

	mu   sync.Mutex
	tail []string
}

// start runs the command. Each line of its output is kept for errors, written to
// log if that is not nil, and given to line, which may be nil.
func start(name string, cmd *exec.Cmd, log io.Writer, line func(string)) (*Process, error) {
	p := &Process{name: name, cmd: cmd, exited: make(chan struct{})}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer reader.Close()
		p.readOutput(reader, log, line)
	}()
	go func() {
		p.err = cmd.Wait()
		<-read
		close(p.exited)
	}()
	return p, nil
}

func (p *Process) readOutput(output io.Reader, log io.Writer, line func(string)) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		if log != nil {
			fmt.Fprintf(log, "%s | %s\n", p.name, text)
		}
		p.mu.Lock()
		if len(p.tail) == tailLines {
			p.tail = p.tail[1:]
		}
		p.tail = append(p.tail, text)
		p.mu.Unlock()
		if line != nil {
			line(text)
		}
	}
	_, _ = io.Copy(io.Discard, output) // a line that was too long must not stop the process
}

// PID is the process' number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Tail returns the last lines of the process' output.
func (p *Process) Tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Signal sends a signal. It is an error if the process has ended.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %s to %s: %w", signal, p.name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL, if it has not ended, and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// Stop asks the process to end and waits for it. It is an error if the process fails,
// or if it is killed because it did not end before the context.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop %s: %w; its output ends with:\n%s", p.name, context.Cause(ctx), p.Tail())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended: %w; its output ends with:\n%s", p.name, p.err, p.Tail())
	}
	return nil
}

// Usage is what a process has used.
type Usage struct {
	// CPU is user and system time, with the kernel's resolution of 10 ms.
	CPU time.Duration
	// RSS is resident memory in bytes.
	RSS int64
}

// clockTick is the unit of times in /proc on every Linux architecture.
const clockTick = time.Second / 100

// Usage returns what the process has used up to now.
func (p *Process) Usage() (Usage, error) { return UsageOf(p.PID()) }

// UsageOf returns what a process has used up to now.
func UsageOf(pid int) (Usage, error) {
	fail := func(err error) (Usage, error) {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fail(err)
	}
	// The name in parentheses may contain anything.
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	const utime, stime, rss = 11, 12, 21
	if len(fields) <= rss {
		return fail(errors.New("unknown form of stat"))
	}
	var numbers [3]int64
	for i, field := range []int{utime, stime, rss} {
		if numbers[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return fail(err)
		}
	}
	return Usage{
		CPU: time.Duration(numbers[0]+numbers[1]) * clockTick,
		RSS: numbers[2] * int64(os.Getpagesize()),
	}, nil
}
