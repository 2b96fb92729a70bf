package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"stormgate.internal/tools/internal/procstat"
)

// members returns the processes of a container: those in its mount namespace, and
// what they started in further ones, as sandboxes of browsers and builds do. In a pod
// with a shared process namespace a process of a further one whose parent has ended is
// nobody's, and ends with the pod. The namespace must be open: the kernel gives numbers
// of closed ones to others.
func members(mounts *os.File) ([]int, error) {
	wanted, err := namespaceNumber(mounts)
	if err != nil {
		return nil, err
	}
	processes, err := processesByMounts()
	if err != nil {
		return nil, err
	}
	return processes[wanted], nil
}

// namespaceNumber is the number of an open namespace.
func namespaceNumber(namespace *os.File) (uint64, error) {
	info, err := namespace.Stat()
	if err != nil {
		return 0, fmt.Errorf("examine mount namespace: %w", err)
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// processesByMounts returns the processes below this one by the numbers of the mount
// namespaces that they and their ancestors are in.
func processesByMounts() (map[uint64][]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	self := os.Getpid()
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/mnt", &own); err != nil {
		return nil, fmt.Errorf("examine own mount namespace: %w", err)
	}
	type process struct {
		mounts uint64
		parent int
	}
	all := map[int]process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// A process that has ended since is in none.
		var stat unix.Stat_t
		if err := unix.Stat("/proc/"+name+"/ns/mnt", &stat); err != nil || stat.Ino == own.Ino {
			continue
		}
		if status, err := procstat.Read(name); err == nil {
			if parent, err := status.Parent(); err == nil {
				all[pid] = process{stat.Ino, parent}
			}
		}
	}
	processes := map[uint64][]int{}
	for pid, p := range all {
		processes[p.mounts] = append(processes[p.mounts], pid)
		// The bound is for numbers that were used again meanwhile, and make a loop.
		for last, n := p.mounts, len(all); n > 0; n-- {
			above, known := all[p.parent]
			if p.parent == self || !known {
				break
			}
			if p = above; p.mounts != last {
				last = p.mounts
				processes[last] = append(processes[last], pid)
			}
		}
	}
	return processes, nil
}

// killPatience bounds the killing of a container's left-over processes.
const killPatience = 10 * time.Second

// killMembers kills the processes of a container until none is left. It is
// needed only where no process namespace does so.
func killMembers(mounts *os.File) error {
	deadline := time.Now().Add(killPatience)
	for {
		// Each round kills what the one before let fork. Ended processes that
		// wait to be reaped have no mount namespace any more.
		pids, err := members(mounts)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v are still there after %v", pids, killPatience)
		}
		time.Sleep(time.Millisecond) // the end of another process's child can not be waited for
	}
}
