package boot

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/procstat"
)

// processStart returns when this process was executed, to a hundredth of a
// second: loading a binary of 140 MB is part of the boot.
func processStart() (time.Time, error) {
	stat, err := procstat.Read("self")
	if err != nil {
		return time.Time{}, fmt.Errorf("read own start time: %w", err)
	}
	// Field 22 counts ticks since the machine's boot.
	ticks, err := stat.Int(22)
	if err != nil {
		return time.Time{}, fmt.Errorf("read own start time: %w", err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	age := time.Duration(now.Nano()) - time.Duration(ticks)*procstat.Tick
	return time.Now().Add(-age), nil
}
