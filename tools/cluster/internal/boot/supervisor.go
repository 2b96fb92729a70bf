package boot

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/controlplane"
)

// supervisor starts components and ends the cluster when one of them dies.
type supervisor struct {
	end context.CancelCauseFunc

	// mu is held while a component starts, so that reap never sees a child
	// that is not in owned yet.
	mu    sync.Mutex
	owned map[int]bool
}

func newSupervisor(end context.CancelCauseFunc) *supervisor {
	return &supervisor{end: end, owned: map[int]bool{}}
}

func (s *supervisor) start(c *controlplane.Component) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.Start(); err != nil {
		return err
	}
	s.owned[c.Pid()] = true
	go func() {
		<-c.Done()
		s.end(c.Err())
	}()
	return nil
}

// reap buries orphans, which the kernel hands to process 1: without it a pod
// whose exec'd commands leave children behind would fill the process table.
// Components are left to os/exec, which waits for them itself.
func (s *supervisor) reap(ctx context.Context) {
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, unix.SIGCHLD)
	defer signal.Stop(deaths)
	for {
		select {
		case <-deaths:
			s.reapAll()
		case <-ctx.Done():
			return
		}
	}
}

func (s *supervisor) reapAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var info unix.Siginfo
		// WNOWAIT only looks: the child may be a component's.
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
			return
		}
		pid := childPid(&info)
		if pid == 0 || s.owned[pid] {
			// No child is left, or it is a component's: then the cluster ends anyway.
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}

// childPid reads si_pid, which x/sys leaves in the union it does not export. On
// 64-bit Linux the union begins at byte 16 and si_pid is its first member.
func childPid(info *unix.Siginfo) int {
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), 16)))
}
