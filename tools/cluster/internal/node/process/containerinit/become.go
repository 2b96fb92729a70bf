package containerinit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// become replaces this process by the program; it returns only with an error.
func (p *Process) become() error {
	if p.Terminal {
		if err := p.useTerminal(); err != nil {
			return err
		}
	} else if err := p.OwnStreams(0, 1, 2); err != nil {
		return err
	}
	if err := p.Credentials.take(); err != nil {
		return err
	}
	// Changed with the program's own rights, so that a directory it cannot
	// enter is an error now rather than a surprise later.
	if err := os.Chdir(p.Dir); err != nil {
		return fmt.Errorf("enter working directory: %w", err)
	}
	program, err := p.Find()
	if err != nil {
		return err
	}
	return p.Explain(program, syscall.Exec(program, p.Args, p.Env))
}

// Find looks for the program as a shell does, in the root that the calling
// thread has. A path is returned as it is.
func (p *Process) Find() (string, error) {
	if len(p.Args) == 0 {
		return "", errors.New("no command: neither the container nor its image names one")
	}
	name := p.Args[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := ""
	for _, variable := range p.Env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, name)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() && unix.Access(candidate, unix.X_OK) == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("exec %s: not found in PATH (%s)", name, path)
}

// Explain says why a program found by Find could not be started, in the root
// that the calling thread has. The error's own words are the kernel's.
func (p *Process) Explain(program string, err error) error {
	var system syscall.Errno
	if !errors.As(err, &system) {
		return fmt.Errorf("exec %s: %w", program, err)
	}
	if _, dirErr := os.Stat(p.Dir); dirErr != nil {
		return fmt.Errorf("enter working directory: %w", dirErr)
	}
	if errors.Is(system, fs.ErrNotExist) {
		// The kernel says so of a missing interpreter, too.
		if _, statErr := os.Stat(program); statErr == nil {
			return fmt.Errorf("exec %s: its interpreter or dynamic loader is not in the container: %w", program, system)
		}
	}
	return fmt.Errorf("exec %s: %w", program, system)
}

// OwnStreams lets a program that runs as another user open /dev/stdout again.
func (p *Process) OwnStreams(descriptors ...int) error {
	for _, fd := range descriptors {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil {
			return fmt.Errorf("examine descriptor %d: %w", fd, err)
		}
		if stat.Mode&unix.S_IFMT != unix.S_IFIFO || stat.Uid == p.Credentials.UID {
			continue
		}
		if err := unix.Fchown(fd, int(p.Credentials.UID), -1); err != nil {
			return fmt.Errorf("hand descriptor %d to user %d: %w", fd, p.Credentials.UID, err)
		}
	}
	return nil
}
