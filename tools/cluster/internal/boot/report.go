package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/internal/controlplane"
)

// Step is one part of the boot. Times are seconds since the launcher was
// executed.
type Step struct {
	Name  string  `json:"name"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	// Usage is that of the step's process when the step ended, counted from the
	// process's start.
	controlplane.Usage
}

// ComponentUsage is what one process uses at the time of a report.
type ComponentUsage struct {
	Name string `json:"name"`
	controlplane.Usage
}

// Report describes a boot: DIR/boot.json, and GET /boot with current usages.
type Report struct {
	// Started is when the launcher was executed.
	Started time.Time `json:"started"`
	// Ready is when the cluster was ready, in seconds since Started; 0 before.
	Ready float64 `json:"ready"`
	Steps []Step  `json:"steps"`
	// Components are the processes, init first.
	Components []ComponentUsage `json:"components"`
}

// WriteTable prints the report for people.
func (r Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "step\tstart s\tend s\tCPU s\tRSS MiB\t")
	for _, step := range r.Steps {
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%s\t\n", step.Name, step.Start, step.End, columns(step.Usage))
	}
	if len(r.Components) > 0 {
		var total controlplane.Usage
		fmt.Fprintln(table, "process\t\t\t\t\t")
		for _, component := range r.Components {
			total.CPUSeconds += component.CPUSeconds
			total.RSSBytes += component.RSSBytes
			fmt.Fprintf(table, "%s\t\t\t%s\t\n", component.Name, columns(component.Usage))
		}
		fmt.Fprintf(table, "total\t\t\t%s\t\n", columns(total))
	}
	return table.Flush()
}

func columns(u controlplane.Usage) string {
	return fmt.Sprintf("%.2f\t%d", u.CPUSeconds, u.RSSBytes>>20)
}

func marshalReport(r Report) ([]byte, error) {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode boot report: %w", err)
	}
	return append(encoded, '\n'), nil
}

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
