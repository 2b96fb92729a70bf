package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

// spawnExec starts a command in a running container, from a thread that has
// joined it. A process in between, as for a container's start, would cost the
// initialization of this whole program for each of a probe's commands.
func spawnExec(c *container, command []string, streams execStreams) (_ *process, err error) {
	program := containerinit.Process{
		Args: command, Env: c.environment(streams.terminal || c.config.GetTty()), Dir: c.workingDir(),
		Credentials: c.security.credentials(), Terminal: streams.terminal,
	}
	target, err := c.process.descriptor()
	if err != nil {
		return nil, err
	}
	defer target.Close()
	theirs, ours, err := openStreams(streams.stdin != nil, streams.terminal)
	if err != nil {
		return nil, err
	}
	var p *process
	err = onThread(func() error {
		if err := enterContainer(target); err != nil {
			return err
		}
		if streams.terminal {
			master, terminal, err := openTerminal(&program)
			if err != nil {
				return err
			}
			closeFiles(theirs)
			theirs, ours = []*os.File{terminal, terminal, terminal}, [3]*os.File{master, master, nil}
		}
		child, err := startLimited(&program, theirs)
		if err != nil {
			return err
		}
		p = reap(child)
		p.stdin, p.stdout, p.stderr = ours[0], ours[1], ours[2]
		if streams.terminal {
			p.terminal = p.stdout
		}
		return nil
	})
	closeFiles(theirs)
	if err != nil {
		closeFiles(ours[:])
	}
	return p, err
}

// enterContainer joins a container's namespaces with the calling thread. What
// the thread starts is in its process namespace, too.
func enterContainer(target *os.File) error {
	// The kernel wants a thread that shares no working directory.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare working directory: %w", err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID
	if err := unix.Setns(int(target.Fd()), all); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return errors.New("the container has ended")
		}
		return fmt.Errorf("join the container: %w", err)
	}
	unix.Umask(0o022)
	return nil
}

// openTerminal opens a terminal of the container that the calling thread is in.
func openTerminal(program *containerinit.Process) (master, terminal *os.File, err error) {
	masterFD, terminalFD, err := containerinit.OpenTerminal(program.Credentials.UID)
	if err != nil {
		return nil, nil, err
	}
	terminal = os.NewFile(uintptr(terminalFD), "terminal")
	if master, err = pollable(masterFD); err != nil {
		terminal.Close()
		return nil, nil, err
	}
	return master, terminal, nil
}

// startLimited starts a program from the calling thread, which is in the
// container and good for nothing else afterwards.
func startLimited(program *containerinit.Process, files []*os.File) (*os.Process, error) {
	path, err := program.Find()
	if err != nil {
		return nil, err
	}
	if !program.Terminal {
		for _, f := range files {
			if err := program.OwnStreams(int(f.Fd())); err != nil {
				return nil, err
			}
		}
	}
	// Whatever this program's own parents left open must not reach a container.
	if err := unix.CloseRange(containerinit.ControlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("close inherited descriptors: %w", err)
	}
	if err := program.Credentials.Limit(); err != nil {
		return nil, err
	}
	child, err := os.StartProcess(path, program.Args, &os.ProcAttr{
		Dir: program.Dir, Env: program.Env, Files: files,
		Sys: &syscall.SysProcAttr{
			Setsid: true, Setctty: program.Terminal,
			Credential: &syscall.Credential{
				Uid: program.Credentials.UID, Gid: program.Credentials.GID,
				Groups: program.Credentials.Groups, NoSetGroups: program.Credentials.KeepGroups,
			},
		},
	})
	if err != nil {
		return nil, program.Explain(path, err)
	}
	return child, nil
}

// openStreams opens a child's standard streams and our ends of them: pipes, but
// for no input and for what a terminal will replace.
func openStreams(stdin, terminal bool) (theirs []*os.File, ours [3]*os.File, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, f := range append(theirs, ours[:]...) {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := range ours {
		var t *os.File
		switch {
		case terminal || i == 0 && !stdin:
			t, err = os.OpenFile(os.DevNull, os.O_RDWR, 0)
		case i == 0:
			t, ours[i], err = os.Pipe()
		default:
			ours[i], t, err = os.Pipe()
		}
		if err != nil {
			return theirs, ours, fmt.Errorf("open standard streams: %w", err)
		}
		theirs = append(theirs, t)
	}
	return theirs, ours, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close() // one that was there twice is closed already
		}
	}
}
