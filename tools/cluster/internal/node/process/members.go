package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// members returns the processes of a container: those in its mount namespace,
// which every process of it is in, whatever process namespace they share. The
// namespace must be open: the kernel gives numbers of closed ones to others.
func members(mounts *os.File) ([]int, error) {
	wanted, err := mounts.Stat()
	if err != nil {
		return nil, fmt.Errorf("examine mount namespace: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that has ended since is none of them.
		if found, err := os.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err == nil && os.SameFile(found, wanted) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
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
