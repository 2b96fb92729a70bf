package boot

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processStart returns when this process was executed, to a hundredth of a
// second: loading a binary of 140 MB is part of the boot.
func processStart() (time.Time, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return time.Time{}, fmt.Errorf("read own start time: %w", err)
	}
	// Field 22, counted from the end of the command's name, in ticks since boot.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return time.Time{}, fmt.Errorf("read own start time: unexpected %q", stat)
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read own start time: %w", err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	age := time.Duration(now.Nano()) - time.Duration(ticks)*(time.Second/100)
	return time.Now().Add(-age), nil
}
