package process

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating system thread of its own that ends
// afterwards, whatever namespaces f made it join.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end and stands for the process in /proc:
			// keep it busy while another one does the work.
			defer runtime.UnlockOSThread()
			result <- onThread(f)
			return
		}
		result <- f()
	}()
	return <-result
}

// inNetwork runs f on a thread that has joined a network namespace. What f
// makes there (a socket) stays in it.
func inNetwork(ns *os.File, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("join network namespace: %w", err)
		}
		return f()
	})
}

// newUTS returns a UTS namespace with the given host name.
func newUTS(hostname string) (*os.File, error) {
	return newNamespace(unix.CLONE_NEWUTS, "uts", func() error {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("set host name %q: %w", hostname, err)
		}
		return nil
	})
}

// newIPC returns a namespace for System V and POSIX message objects.
func newIPC() (*os.File, error) {
	return newNamespace(unix.CLONE_NEWIPC, "ipc", func() error { return nil })
}

func newNamespace(kind int, name string, prepare func() error) (ns *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(kind); err != nil {
			return err
		}
		if err := prepare(); err != nil {
			return err
		}
		ns, err = os.Open("/proc/thread-self/ns/" + name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make %s namespace: %w", name, err)
	}
	return ns, nil
}

// duplicate returns another descriptor of an open file, for a use that may
// outlive the original.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
