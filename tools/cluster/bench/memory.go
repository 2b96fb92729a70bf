package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"stormgate.internal/tools/cluster/clustertest"
)

// privateMemory sums the anonymous memory of a process tree, in bytes. Summed
// RSS counts the pages of the one binary once for each process that runs it.
func privateMemory(root int) (int64, error) {
	tree, err := clustertest.Tree(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, process := range tree {
		anonymous, err := anonymousMemory(process.Pid)
		if err != nil {
			return 0, err
		}
		sum += anonymous
	}
	return sum, nil
}

func anonymousMemory(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read memory of process %d: no RssAnon in its status", pid)
}
