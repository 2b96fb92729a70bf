package api

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Usage is what a process has used up to now.
type Usage struct {
	// CPUSeconds is user plus system time of all its threads.
	CPUSeconds float64 `json:"cpuSeconds"`
	// RSSBytes is resident memory, pages of the shared binary included.
	RSSBytes int64 `json:"rssBytes"`
}

// Step is one part of the boot. Times are seconds since the launcher was
// executed.
type Step struct {
	Name  string  `json:"name"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	// Usage is that of the step's process when the step ended, counted from the
	// process's start.
	Usage
}

// ComponentUsage is what one process uses at the time of a report.
type ComponentUsage struct {
	Name string `json:"name"`
	Usage
}

// Report describes a boot. The file [Dir.BootReport] has it as of the end of the
// boot, [BootPath] with current usages.
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
		var total Usage
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

func columns(u Usage) string {
	return fmt.Sprintf("%.2f\t%d", u.CPUSeconds, u.RSSBytes>>20)
}
