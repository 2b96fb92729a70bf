package pods

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// currentNamespace is the network namespace of the calling thread; of
// /proc/self it would be that of the process's first thread.
const currentNamespace = "/proc/thread-self/ns/net"

// newNamespace makes a network namespace that lives as long as the returned
// file, or a process or socket in it, does.
func newNamespace() (*os.File, error) {
	var created *os.File
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		var err error
		created, err = os.Open(currentNamespace)
		return err
	})
	if err != nil {
		if created != nil {
			created.Close()
		}
		return nil, err
	}
	return created, nil
}

// inNamespace runs do on a thread that is in the network namespace. Sockets
// that do makes stay in that namespace for their lifetime; do must not start
// goroutines that rely on it.
func inNamespace(namespace *os.File, do func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return do()
	})
}

// onOwnThread runs do with a thread to itself and puts that thread back into
// the network namespace it was in. A thread that can't be put back dies with
// its goroutine, so that no other goroutine ever runs in a wrong namespace.
func onOwnThread(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(currentNamespace)
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = do()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}
