package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stormgate.internal/tools/internal/procstat"
)

// Process is a process as /proc shows it.
type Process struct {
	Pid    int
	Parent int
	// Name is the base name of argv[0].
	Name string
	// started is when, in ticks since the machine's boot. A later process with the
	// same pid has another.
	started int64
}

// Tree lists a process and all its descendants, in whatever namespaces, itself first.
func Tree(root int) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]Process{}
	var tree []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		process, ok := read(pid)
		if !ok {
			continue
		}
		if pid == root {
			tree = append(tree, process)
		}
		children[process.Parent] = append(children[process.Parent], process)
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("list processes below %d: it is gone", root)
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].Pid]...)
	}
	return tree, nil
}

// Find returns the first process of the name.
func Find(tree []Process, name string) (Process, error) {
	for _, process := range tree {
		if process.Name == name {
			return process, nil
		}
	}
	return Process{}, fmt.Errorf("no process %q among %v", name, tree)
}

func read(pid int) (Process, bool) {
	stat, err := procstat.Read(strconv.Itoa(pid))
	if err != nil {
		return Process{}, false
	}
	parent, err := stat.Parent()
	if err != nil {
		return Process{}, false
	}
	started, err := stat.Int(22)
	if err != nil {
		return Process{}, false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return Process{}, false
	}
	name, _, _ := strings.Cut(string(cmdline), "\x00")
	if strings.HasSuffix(name, "cluster") && bytes.HasPrefix(cmdline, []byte(name+"\x00init\x00")) {
		name = "init"
	}
	return Process{Pid: pid, Parent: parent, Name: filepath.Base(name), started: started}, true
}

// AwaitGone waits until none of the processes is left, zombies included, and
// nothing of the given directory is mounted here. It returns how long that
// took, or what is left when ctx ends.
func AwaitGone(ctx context.Context, processes []Process, dir string) (time.Duration, error) {
	start := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		var left []string
		for _, process := range processes {
			if now, ok := read(process.Pid); ok && now.started == process.started {
				left = append(left, fmt.Sprintf("process %d (%s)", process.Pid, process.Name))
			}
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return 0, fmt.Errorf("list mounts: %w", err)
		}
		if bytes.Contains(mounts, []byte(" "+dir+"/")) {
			left = append(left, "a mount below "+dir)
		}
		if len(left) == 0 {
			return time.Since(start), nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return time.Since(start), fmt.Errorf("left behind: %s", strings.Join(left, ", "))
		}
	}
}
