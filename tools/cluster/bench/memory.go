package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"stormgate.internal/tools/cluster/internal/clustertest"
)

// proportionalMemory returns what the machine would get back if a process tree
// ended, in bytes: each page of the one binary counts once, not once for each of
// the seven processes that run it as in summed RSS, which moreover grows and
// shrinks with how the page cache happens to hold the file.
func proportionalMemory(root int) (int64, error) {
	tree, err := clustertest.Tree(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, process := range tree {
		share, err := proportionalSetSize(process.Pid)
		if err != nil {
			return 0, err
		}
		sum += share
	}
	return sum, nil
}

func proportionalSetSize(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read memory of process %d: no Pss in its smaps_rollup", pid)
}
