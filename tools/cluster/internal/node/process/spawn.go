package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

// drainTime bounds how long output is read after the process that wrote it
// has ended, in case a process outside of the container holds the other end.
const drainTime = 2 * time.Second

// process is a child in some namespaces.
type process struct {
	os   *os.Process
	done chan struct{} // closed when it has ended and was reaped

	// stdin and terminal are nil unless asked for; with a terminal, stdout is
	// the same file and stderr is nil.
	stdin, stdout, stderr, terminal *os.File

	state   *os.ProcessState // valid after done
	waitErr error            // valid after done
	started time.Time
	// mounts is the mount namespace that was made for it, nil if it joined
	// one. Kept open, its number stays this container's: see members.
	mounts *os.File
}

// launch describes a process to spawn.
type launch struct {
	spec       containerinit.Spec
	join       []joined
	cloneFlags uintptr
	// pid is a process namespace, or a pidfd of a process in it, to be born
	// in; nil for the node's or a new one by cloneFlags.
	pid   *os.File
	stdin bool // ignored with a terminal, which has always input
}

// joined is a namespace file and its CLONE_NEW flags.
type joined struct {
	file  *os.File
	flags int
}

// placeInit makes the container init a file below root and returns its path; that
// of this program if there is none.
func placeInit(root string, program []byte) (string, error) {
	if program == nil {
		return "/proc/self/exe", nil
	}
	// A process that some other goroutine starts meanwhile would hold the file
	// open for writing until its own exec, and the kernel executes no such file.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	path := filepath.Join(root, "container-init")
	if err := os.WriteFile(path, program, 0o500); err != nil {
		return "", fmt.Errorf("place the container init: %w", err)
	}
	return path, nil
}

// startInit starts the container init at path with the given descriptors.
func startInit(path string, files []*os.File, cloneFlags uintptr, pid *os.File) (*process, error) {
	var child *os.Process
	start := func() (err error) {
		child, err = os.StartProcess(path, []string{containerinit.Command, containerinit.Command}, &os.ProcAttr{
			Dir:   "/",
			Env:   []string{"GOMAXPROCS=1"}, // of the init itself; the program gets its own
			Files: files,
			Sys:   &syscall.SysProcAttr{Cloneflags: cloneFlags, Setsid: true},
		})
		return err
	}
	if pid != nil {
		inner := start
		start = func() error {
			return onThread(func() error {
				if err := unix.Setns(int(pid.Fd()), unix.CLONE_NEWPID); err != nil {
					return fmt.Errorf("join process namespace: %w", err)
				}
				return inner()
			})
		}
	}
	if err := start(); err != nil {
		return nil, err
	}
	return reap(child), nil
}

// reap makes a process of a child that has just been started.
func reap(child *os.Process) *process {
	p := &process{os: child, done: make(chan struct{}), started: time.Now()}
	go func() {
		p.state, p.waitErr = child.Wait()
		close(p.done)
	}()
	return p
}

// spawn starts a process and returns when its program runs, or with the
// reason why it does not, be it that ctx has ended.
func (r *Runtime) spawn(ctx context.Context, l *launch) (_ *process, err error) {
	var files, ours []*os.File // the child's, and those to close on failure
	defer func() {
		if err != nil {
			closeFiles(ours)
		}
	}()
	theirs, control, err := controlSocket()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	streams, mine, err := openStreams(l.stdin, l.spec.Process.Terminal)
	if err != nil {
		theirs.Close()
		return nil, err
	}
	ours = mine[:]
	files = append(streams, theirs)
	for i, j := range l.join {
		files = append(files, j.file)
		l.spec.Namespaces = append(l.spec.Namespaces, containerinit.Namespace{FD: containerinit.ControlFD + 1 + i, Type: j.flags})
	}
	p, err := startInit(r.init, files, l.cloneFlags, l.pid)
	closeFiles(append(streams, theirs))
	if err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	p.stdin, p.stdout, p.stderr = mine[0], mine[1], mine[2]
	stop := context.AfterFunc(ctx, func() { _ = p.kill() })
	// Now, while it waits for its description: a program can have ended before
	// anything is read of it, and still have left processes behind.
	if l.cloneFlags&unix.CLONE_NEWNS != 0 {
		p.mounts, err = os.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.os.Pid))
	}
	if err == nil {
		err = l.confirm(p, control)
	}
	if !stop() {
		err = ctx.Err() // whatever it looked like from here
	}
	if err != nil {
		err = p.explain(err)
		p.close()
		_ = p.kill() // it ends by itself, too
		<-p.done
		return nil, err
	}
	return p, nil
}

// explain adds to the error of a start how the process ended, if it did so by itself: one
// that was killed says nothing.
func (p *process) explain(err error) error {
	if _, silent := errors.AsType[*net.OpError](err); !silent {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(endNotice):
		return fmt.Errorf("%w (container init lives)", err)
	}
	if p.state == nil {
		return fmt.Errorf("%w (container init: %w)", err, p.waitErr)
	}
	return fmt.Errorf("%w (container init ended: %v)", err, p.state)
}

// endNotice is how much later than its socket's the end of a process may show.
const endNotice = time.Second

// confirm sends the description and waits for the exec. It takes over the
// terminal if there is one.
func (l *launch) confirm(p *process, control *net.UnixConn) error {
	// A child that ended early says why; the broken pipe is not the cause.
	sendErr := json.NewEncoder(control).Encode(&l.spec)
	var message []byte
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := control.ReadMsgUnix(text, rights)
		if oobn > 0 {
			master, err := receivedFile(rights[:oobn])
			if err != nil {
				return err
			}
			p.terminal, p.stdin, p.stdout = master, master, master
			continue // the byte that carried it means nothing
		}
		message = append(message, text[:max(n, 0)]...)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			break
		}
		if err != nil {
			sendErr = errors.Join(sendErr, err)
			break
		}
	}
	switch {
	case len(message) > 0:
		return errors.New(string(message))
	case sendErr != nil:
		return fmt.Errorf("talk to container init: %w", sendErr)
	}
	return nil
}

// controlSocket returns the child's end of a socket pair and ours.
func controlSocket() (*os.File, *net.UnixConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	return theirs, conn.(*net.UnixConn), nil
}

// receivedFile takes the one descriptor out of a control message.
func receivedFile(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil || len(fds) != 1 {
			continue
		}
		return pollable(fds[0])
	}
	return nil, errors.New("receive terminal: message without a descriptor")
}

// pollable makes a file of a terminal's master, whose reading can be ended.
func pollable(fd int) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make terminal non-blocking: %w", err)
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

// signal sends a signal; one that comes too late is no error.
func (p *process) signal(s os.Signal) error {
	if err := p.os.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// kill ends the process and, if it is the first of a process namespace, all
// others in that.
func (p *process) kill() error {
	return p.signal(unix.SIGKILL)
}

// close lets go of our ends of the standard streams and of the process's
// mounts.
func (p *process) close() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr, p.mounts} {
		if f != nil {
			f.Close() // the terminal is closed twice; the second time does nothing
		}
	}
}

// exitCode is the process's status as a shell sees it; valid after done.
func (p *process) exitCode() int32 {
	if p.waitErr != nil {
		return 255
	}
	ws := p.state.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int32(ws.Signal())
	}
	return int32(ws.ExitStatus())
}

// descriptor returns a pidfd of the process, which the caller closes.
func (p *process) descriptor() (*os.File, error) {
	var fd int
	var err error
	handleErr := p.os.WithHandle(func(handle uintptr) {
		fd, err = unix.FcntlInt(handle, unix.F_DUPFD_CLOEXEC, 0)
	})
	switch {
	case errors.Is(handleErr, os.ErrNoHandle):
		return nil, errors.New("this kernel gives no process descriptors (Linux 5.4 or newer is needed)")
	case handleErr != nil:
		return nil, fmt.Errorf("the process has ended: %w", handleErr)
	case err != nil:
		return nil, fmt.Errorf("duplicate process descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}
