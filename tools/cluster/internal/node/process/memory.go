package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// How often the memory of a container with a limit is looked at. One that
// doesn't grow is looked at every slowLook, one that grows in half of the time
// that it needs to its limit at its latest speed. So a container that grows
// steadily ends soon after its limit; one that was idle can have gone beyond it
// by what it can touch in slowLook, and what it has touched and given back
// within that time may pass unseen.
const (
	quickLook = 5 * time.Millisecond
	firstLook = 20 * time.Millisecond // after its start
	slowLook  = 250 * time.Millisecond
	// lookShare bounds what looking costs: a look that took T is followed by a
	// pause of lookShare times T.
	lookShare = 20
)

// reasonOutOfMemory is what other runtimes say of such an end.
const reasonOutOfMemory = "OOMKilled"

// memoryWatch ends containers that hold more memory than their limit, as the
// kernel's memory controller would. That needs a cgroup that an ordinary user
// seldom has, and never inside of Bazel's sandbox; with it in some places only,
// the same pod would end in different ways. So /proc tells everywhere.
//
// What counts is what the controller can't reclaim: anonymous and shared memory
// of all the container's processes, the shared parts by proportion. Files do not
// count, even in a file system in memory: volumes and roots have bounds of
// their own.
type memoryWatch struct {
	changed chan struct{} // holds one: a limit is there that was not

	mu      sync.Mutex
	running bool
	asked   []chan struct{} // who waits for a look that begins from now on

	// Only the watch uses these: the processes that there were when the newest
	// of them was the newest.
	processes map[uint64][]int
	newest    string
}

// memoryState is a container's part of the watch.
type memoryState struct {
	// Guarded by Runtime.mu. excess says by what the container went beyond
	// which limit; it is set just before the container is killed for it.
	excess string

	// Only the watch uses these.
	used   uint64
	looked time.Time
}

func newMemoryWatch() *memoryWatch { return &memoryWatch{changed: make(chan struct{}, 1)} }

// memoryLimit is in bytes, 0 for none. The caller holds Runtime.mu.
func (c *container) memoryLimit() int64 { return c.resources.GetMemoryLimitInBytes() }

// watchMemory makes sure that limits of memory are watched if there are any. To
// be called when a container has started or got another limit.
func (r *Runtime) watchMemory() {
	if len(r.limitedContainers()) == 0 {
		return
	}
	w := r.memory
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		select {
		case w.changed <- struct{}{}:
		default:
		}
		return
	}
	w.running = true
	go r.enforceMemory()
}

// checkMemory looks at once, and returns when containers that hold more than they may have
// been killed. Between two looks of the watch a test could be over.
func (r *Runtime) checkMemory(ctx context.Context) error {
	w := r.memory
	looked := make(chan struct{})
	w.mu.Lock()
	running := w.running
	if running {
		w.asked = append(w.asked, looked)
	}
	w.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
	select {
	case <-looked:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enforceMemory looks at containers until none has a limit.
func (r *Runtime) enforceMemory() {
	w := r.memory
	for {
		w.mu.Lock()
		containers := r.limitedContainers()
		asked := w.asked
		w.asked, w.running = nil, len(containers) > 0
		w.mu.Unlock()
		if len(containers) == 0 { // from here on another watch may run
			closeAll(asked)
			return
		}
		begun := time.Now()
		pause := r.lookAtMemory(containers)
		closeAll(asked)
		timer := time.NewTimer(max(pause, lookShare*time.Since(begun)))
		select {
		case <-timer.C:
		case <-w.changed:
			timer.Stop()
		}
	}
}

func closeAll(channels []chan struct{}) {
	for _, c := range channels {
		close(c)
	}
}

// limitedContainers are those that run a process under a limit of memory.
func (r *Runtime) limitedContainers() []*container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*container
	for _, c := range r.containers {
		if c.memoryLimit() > 0 && c.state != rt.ContainerState_CONTAINER_EXITED && c.memory.excess == "" && c.hasProcess() {
			list = append(list, c)
		}
	}
	return list
}

// hasProcess reports whether the container's process has been started.
func (c *container) hasProcess() bool {
	select {
	case <-c.spawned:
		return c.process != nil
	default:
		return false
	}
}

// lookAtMemory kills the containers, and in each pod the largest one, that are
// beyond a limit, and returns how long nothing will be.
func (r *Runtime) lookAtMemory(containers []*container) time.Duration {
	processes, err := r.memory.list()
	if err != nil {
		r.log.Error("memory limits are not enforced", "error", err)
		return slowLook
	}
	pause := slowLook
	pods := map[*sandbox][]*container{}
	for _, c := range containers {
		r.mu.Lock()
		limit := uint64(c.memoryLimit())
		r.mu.Unlock()
		next := c.lookAtMemory(processes, limit)
		if c.memory.used > limit {
			r.killForMemory(c, fmt.Sprintf("the container held %d KiB of memory, its limit is %d KiB (resources.limits.memory)", c.memory.used>>10, limit>>10))
			continue
		}
		pause = min(pause, next)
		pods[c.sandbox] = append(pods[c.sandbox], c)
	}
	for s, of := range pods {
		limit := uint64(r.podMemoryLimit(s))
		if limit == 0 || len(of) < 2 {
			continue
		}
		var sum uint64
		largest := of[0]
		for _, c := range of {
			sum += c.memory.used
			if c.memory.used > largest.memory.used {
				largest = c
			}
		}
		if sum > limit {
			r.killForMemory(largest, fmt.Sprintf("the pod held %d KiB of memory, its limit is %d KiB, and this container most of it", sum>>10, limit>>10))
		}
	}
	return pause
}

// list returns processesByMounts. It reads them again only after a process or a
// thread was made; of those that have ended since nothing can be read any more.
func (w *memoryWatch) list() (map[uint64][]int, error) {
	text, err := readProc("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	// The last field is the newest process's number, see proc_loadavg(5).
	newest := text[strings.LastIndexByte(text, ' ')+1:]
	if newest == w.newest {
		return w.processes, nil
	}
	processes, err := processesByMounts()
	if err == nil {
		w.processes, w.newest = processes, newest
	}
	return processes, err
}

// podMemoryLimit is that of all containers of a pod together, 0 for none. The
// kubelet gives the pod's own limit to containers that have none, and for want
// of the pod's own sums up those of the containers that have one. So a
// container without means that there is no limit for the whole pod.
func (r *Runtime) podMemoryLimit(s *sandbox) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.sandbox == s && c.memoryLimit() == 0 {
			return 0
		}
	}
	return s.memory
}

// killForMemory ends a container. Like a control group whose members share
// their fate, which is what the kubelet asks for, all its processes end.
func (r *Runtime) killForMemory(c *container, excess string) {
	r.mu.Lock()
	c.memory.excess = excess
	r.mu.Unlock()
	r.log.Warn("container is killed for its memory", "container", c.config.GetMetadata().GetName(), "pod", c.sandbox.pod(), "reason", excess)
	if err := c.process.kill(); err != nil {
		r.log.Error("kill container for its memory", "container", c.config.GetMetadata().GetName(), "pod", c.sandbox.pod(), "error", err)
	}
}

// endReason is the reason and the message of a container's end. One that ended
// by itself while it was about to be killed for its memory keeps its own.
func (r *Runtime) endReason(c *container, code int32) (reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.memory.excess != "" && code == 128+int32(unix.SIGKILL):
		return reasonOutOfMemory, c.memory.excess
	case code != 0:
		return "Error", ""
	default:
		return "Completed", ""
	}
}

// lookAtMemory finds out what the container holds and returns when to look
// again.
func (c *container) lookAtMemory(processes map[uint64][]int, limit uint64) time.Duration {
	before, last := c.memory.used, c.memory.looked
	c.memory.used, c.memory.looked = 0, time.Now()
	inode, err := namespaceNumber(c.process.mounts)
	if err != nil {
		return slowLook // it has ended
	}
	c.memory.used = heldMemory(processes[inode], limit)
	grown := int64(c.memory.used) - int64(before)
	switch {
	case last.IsZero():
		return firstLook
	case grown <= 0 || c.memory.used >= limit:
		return slowLook
	}
	toLimit := float64(limit-c.memory.used) / float64(grown) * float64(c.memory.looked.Sub(last))
	return time.Duration(min(max(toLimit/2, float64(quickLook)), float64(slowLook)))
}

// heldMemory is what processes hold in bytes, or more while that does not reach
// limit: the exact number means a walk through all of their memory.
func heldMemory(pids []int, limit uint64) uint64 {
	var most uint64
	for _, pid := range pids {
		// What is resident has all that counts, and files.
		if pages, err := residentPages(pid); err == nil {
			most += pages * uint64(os.Getpagesize())
		}
	}
	if most <= limit {
		return most
	}
	var exact uint64
	for _, pid := range pids {
		held, err := proportionalMemory(pid)
		if err != nil {
			if !errors.Is(err, fs.ErrPermission) {
				continue // it has ended
			}
			// Shared parts count for each, and those with files not at all.
			if u, err := processUsage(pid); err == nil {
				held = u.private
			}
		}
		exact += held
	}
	return exact
}

// residentPages is the second number in /proc/PID/statm, see proc_pid_statm(5).
func residentPages(pid int) (uint64, error) {
	text, err := readProc("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(text, " ")
	resident, _, _ := strings.Cut(rest, " ")
	return strconv.ParseUint(resident, 10, 64)
}

// readProc reads a file of one short line with as few system calls as that takes.
func readProc(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var line [256]byte
	n, err := unix.Read(fd, line[:])
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return string(line[:n]), nil
}

// proportionalMemory sums Pss_Anon and Pss_Shmem of /proc/PID/smaps_rollup, see
// proc_pid_smaps(5): pages that N processes share count as a Nth.
func proportionalMemory(pid int) (uint64, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var sum uint64
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != "Pss_Anon" && name != "Pss_Shmem" {
			continue
		}
		kilobytes, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process %d: memory: %w", pid, err)
		}
		sum += kilobytes << 10
	}
	return sum, lines.Err()
}
