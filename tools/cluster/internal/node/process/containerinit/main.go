package containerinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// Main becomes the container's program. If it can not, it reports the reason to
// the runtime and ends with status 128. It is to be called first thing in main
// when the program's first argument is Command.
func Main() {
	// Namespaces, capabilities and user ids belong to threads: everything up
	// to the exec happens on this one.
	runtime.LockOSThread()
	control := os.NewFile(ControlFD, "control")
	if err := run(control); err != nil {
		fmt.Fprint(control, err) // a runtime that is gone needs no report
	}
	os.Exit(128)
}

// run returns only with an error.
func run(control *os.File) error {
	// Whatever the runtime's own parents left open must not reach a program.
	if err := unix.CloseRange(ControlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	// Signals that have a handler go back to their default at exec; one that
	// the runtime's parents ignored would stay ignored.
	signal.Notify(make(chan os.Signal, 1))

	spec, err := readSpec(control)
	if err != nil {
		return fmt.Errorf("read the container's description: %w", err)
	}
	if err := join(spec.Namespaces); err != nil {
		return err
	}
	unix.Umask(0)
	if err := spec.Root.build(); err != nil {
		return err
	}
	unix.Umask(0o022)
	if spec.Process.Pause {
		control.Close() // as an exec would
		pause()
	}
	return spec.Process.become()
}

// readSpec reads up to the end of what the runtime sends.
func readSpec(control io.Reader) (*Spec, error) {
	var spec Spec
	if err := json.NewDecoder(control).Decode(&spec); err != nil {
		return nil, err
	}
	return &spec, nil
}

func join(namespaces []Namespace) error {
	for _, n := range namespaces {
		if err := unix.Setns(n.FD, n.Type); err != nil {
			return fmt.Errorf("join namespace %#x: %w", n.Type, err)
		}
	}
	return nil
}

// pause reaps the orphans of a shared process namespace until it is killed.
func pause() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for range children {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
}
