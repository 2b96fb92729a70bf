package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"stormgate.internal/tools/internal/child"
)

// ComponentProgram is the Failure.Component of a cluster program that ended without
// stating a failure, or that LimitBoot ended.
const ComponentProgram = "cluster"

const (
	// stopGrace is how long the program has to end in order. It needs a second at most.
	stopGrace = 3 * time.Second
	// outputDelay is how long the program's children, which die with it, may hold its
	// output open. Their last lines may state why it ended.
	outputDelay = time.Second
	// firstExtra is the descriptor of a command's first extra file, see exec.Cmd.
	firstExtra = 3
)

// Options configure Start.
type Options struct {
	// Binary is the cluster program. Required unless Command is set.
	Binary string
	// Dir is the cluster's directory: an absolute path, short enough for unix sockets
	// below it, made if absent. Required.
	Dir Dir
	// Args are further arguments of "cluster run", such as --images=FILE.
	Args []string
	// Command runs "cluster run --dir=DIR" by way of another program. Its arguments have
	// to end with those of "cluster run", since Start adds ControlFlag, and each program
	// on the way has to leave open what it inherits. Default: Binary with Args.
	Command *exec.Cmd
	// OnEvent gets each event, in order, from one goroutine. Optional.
	OnEvent func(Event)
	// OnOther gets each line of standard output that is no event. Optional.
	OnOther func(line string)
	// Log gets the program's log. Optional: its last lines are kept for failures anyway.
	Log io.Writer
}

// Process is a cluster program that was started. The cluster ends with it, and it
// ends with the process that started it, however that ends. All methods may be
// called concurrently.
type Process struct {
	// Dir is the cluster's directory.
	Dir Dir

	child   *child.Child
	control *http.ClientConn
	tail    child.Tail
	api     chan struct{}
	ready   chan struct{}
	done    chan struct{}

	mu       sync.Mutex
	stopping bool
	failure  *Failure
}

// Start runs "cluster run" and returns at once: see API, Ready and Done.
func Start(o Options) (*Process, error) {
	p := &Process{Dir: o.Dir, api: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	cmd := o.Command
	if cmd == nil {
		cmd = exec.Command(o.Binary, append([]string{"run", "--dir=" + string(o.Dir)}, o.Args...)...)
		cmd.Dir = "/"
	}
	if cmd.Stdin != nil {
		return nil, errors.New("start cluster: the command has a standard input; its end is the order to end, so it must be left to Start")
	}
	cmd.Stdout = child.EachLine(func(line []byte) { p.read(line, o.OnEvent, o.OnOther) })
	cmd.Stderr = &p.tail
	if o.Log != nil {
		cmd.Stderr = io.MultiWriter(&p.tail, child.Dropping(o.Log))
	}
	cmd.WaitDelay = outputDelay
	conn, theirs, err := controlPair()
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	defer theirs.Close()
	if len(cmd.Args) == 0 {
		cmd.Args = []string{cmd.Path}
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Args = append(cmd.Args, fmt.Sprintf("%s=%d", ControlFlag, firstExtra+len(cmd.ExtraFiles)-1))
	if p.control, err = controlClient(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	if p.child, err = child.Start(cmd, child.Tethered(syscall.SIGKILL), child.OwnGroup()); err != nil {
		p.control.Close()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	go p.wait()
	return p, nil
}

func (p *Process) read(line []byte, onEvent func(Event), onOther func(string)) {
	var event Event
	if err := json.Unmarshal(line, &event); err != nil || event.Kind == "" {
		if onOther != nil {
			onOther(string(bytes.ToValidUTF8(line, []byte("?"))))
		}
		return
	}
	switch event.Kind {
	case EventAPI:
		closeOnce(p.api)
	case EventReady:
		closeOnce(p.api)
		closeOnce(p.ready)
	case EventFailed:
		if event.Failure == nil {
			event.Failure = &Failure{Component: ComponentProgram, Message: "it failed without a reason"}
		}
		p.fail(event.Failure)
	}
	if onEvent != nil {
		onEvent(event)
	}
}

// closeOnce closes a channel that only the calling goroutine closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// fail keeps the first failure: what follows it is its consequence.
func (p *Process) fail(failure *Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = failure
	}
}

func (p *Process) wait() {
	<-p.child.Done()
	p.control.Close()
	if !p.isStopping() {
		p.fail(&Failure{
			Component: ComponentProgram,
			Message:   fmt.Sprintf("the cluster process %d died: %s", p.PID(), p.child.How()),
			LogTail:   p.tail.Lines(),
		})
	}
	close(p.done)
}

// LimitBoot ends a cluster that is not ready within limit from now, for a reason that
// Failure then has. It returns when the cluster is ready or has ended. The program
// has a deadline of its own, and more to say: give it that, and Overtime, first.
func (p *Process) LimitBoot(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ready:
	case <-p.done:
	case <-timer.C:
		if p.isStopping() {
			return
		}
		p.fail(&Failure{
			Component: ComponentProgram,
			Message:   fmt.Sprintf("the cluster was not ready within %v and was stopped", limit),
			LogTail:   p.tail.Lines(),
		})
		// Its error is that the program had to be killed, which is no news here.
		_ = p.Stop(context.Background())
	}
}

// PID is the process id of the program, the cluster's launcher.
func (p *Process) PID() int { return p.child.PID() }

// API is closed when the API takes writes from administrators.
func (p *Process) API() <-chan struct{} { return p.api }

// Ready is closed when the whole cluster is ready.
func (p *Process) Ready() <-chan struct{} { return p.ready }

// Done is closed when the program has ended, and the cluster with it.
func (p *Process) Done() <-chan struct{} { return p.done }

// Failure is why the cluster ended, or is about to end. It is nil while nothing has
// failed, and for a cluster that was stopped.
func (p *Process) Failure() *Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// LogTail are the last lines of the program's log, oldest first.
func (p *Process) LogTail() []string { return p.tail.Lines() }

// Err is Failure of a program that is Done, as an error.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if failure := p.Failure(); failure != nil {
		return failure
	}
	return nil
}

// Exit is how the program ended, as os/exec reports it: nil for exit status 0, and
// while it runs.
func (p *Process) Exit() error { return p.child.Err() }

// ErrStopped says that a cluster was stopped before what was awaited came about.
var ErrStopped = errors.New("the cluster was stopped")

// Await waits for one of API and Ready. It returns a *Failure or ErrStopped if the
// program ends first, and the cause of ctx's end if that does.
func (p *Process) Await(ctx context.Context, milestone <-chan struct{}) error {
	select {
	case <-milestone:
		return nil
	case <-p.done:
		if err := p.Err(); err != nil {
			return err
		}
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CloseInput gives the program the order to end and doesn't wait.
func (p *Process) CloseInput() error {
	p.expectEnd()
	if err := p.child.Input.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("end cluster: %w", err)
	}
	return nil
}

// Stop ends the cluster and waits until it has ended. The error is a
// *child.KilledError if the program had to be killed, since it took more than three
// seconds or ctx ended.
func (p *Process) Stop(ctx context.Context) error {
	p.expectEnd()
	err := p.child.Stop(ctx, stopGrace)
	if _, killed := errors.AsType[*child.KilledError](err); err == nil || killed {
		<-p.done
	}
	return err
}

// expectEnd makes the program's end no failure, unless it has come already.
func (p *Process) expectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = p.stopping || !p.child.Exited()
}

func (p *Process) isStopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// Signal sends a signal to the program; if it has ended, it does nothing.
func (p *Process) Signal(signal os.Signal) error { return p.child.Signal(signal) }

// Kill ends the program by SIGKILL, whatever its state, and waits. The cluster ends
// by itself then.
func (p *Process) Kill() error {
	err := p.child.Kill()
	if err == nil {
		<-p.done
	}
	return err
}
