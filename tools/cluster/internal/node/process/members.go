package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// members returns the processes of a container: those in its mount namespace,
// which every process of it is in, whatever process namespace they share. The
// namespace must be open: the kernel gives numbers of closed ones to others.
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

// processesByMounts returns all processes by the number of their mount namespace.
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
	processes := map[uint64][]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// A process that has ended since is in none.
		var stat unix.Stat_t
		if err := unix.Stat("/proc/"+name+"/ns/mnt", &stat); err == nil {
			processes[stat.Ino] = append(processes[stat.Ino], pid)
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
