package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"stormgate.internal/tools/benchmark"
)

// Result is what a benchmark writes as JSON.
type Result struct {
	Binary string `json:"binary"`
	// Sandboxed says that the clusters were booted inside a test's sandbox.
	Sandboxed bool  `json:"sandboxed"`
	Runs      []Run `json:"runs"`
}

// Budgets of the design, on an idle machine with two cores.
const (
	podReadyBudget          = 1.0   // seconds
	sandboxedPodReadyBudget = 1.5   // seconds
	stopBudget              = 0.5   // seconds
	idleCPUBudget           = 3.0   // percent of a core
	idleMemoryBudget        = 400.0 // MiB
)

// WriteTable prints medians, with smallest and largest, beside the budgets.
func (r Result) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "median of %d\tvalue\tmin\tmax\tbudget\n", len(r.Runs))
	row := func(name string, budget float64, value func(Run) float64) {
		values := make([]float64, 0, len(r.Runs))
		for _, run := range r.Runs {
			values = append(values, value(run))
		}
		limit := ""
		if budget > 0 {
			limit = fmt.Sprintf("%.1f", budget)
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%s\n", name, median(values), slices.Min(values), slices.Max(values), limit)
	}
	row("API usable, s", 0, func(r Run) float64 { return r.API })
	row("cluster ready, s", 0, func(r Run) float64 { return r.Ready })
	budget := podReadyBudget
	if r.Sandboxed {
		budget = sandboxedPodReadyBudget
	}
	row("first pod Ready, s", budget, func(r Run) float64 { return r.PodReady })
	row("stop, s", stopBudget, func(r Run) float64 { return r.Stop })
	row("CPU of all, s", 0, func(r Run) float64 { return total(r.Components).CPUSeconds })
	row("RSS of all, MiB", 0, func(r Run) float64 { return mib(total(r.Components).RSSBytes) })
	for i, component := range r.Runs[0].Components {
		row("CPU of "+component.Name+", s", 0, func(r Run) float64 { return r.Components[min(i, len(r.Components)-1)].CPUSeconds })
		row("RSS of "+component.Name+", MiB", 0, func(r Run) float64 { return mib(r.Components[min(i, len(r.Components)-1)].RSSBytes) })
	}
	if idle := r.Runs[0].Idle; idle != nil {
		fmt.Fprintf(table, "idle CPU over %.0f s, %% of a core\t%.1f\t\t\t%.1f\n", idle.Seconds, idle.CPUPercent, idleCPUBudget)
		fmt.Fprintf(table, "idle memory (PSS), MiB\t%.0f\t\t\t%.0f\n", mib(idle.ProportionalBytes), idleMemoryBudget)
		fmt.Fprintf(table, "idle RSS, the binary's pages %d times, MiB\t%.0f\t\t\t\n", len(r.Runs[0].Components), mib(idle.RSSBytes))
	}
	return table.Flush()
}

// Series returns the measurements for benchstat.
func (r Result) Series() []benchmark.Series {
	boot := "boot/"
	if r.Sandboxed {
		boot = "sandboxed boot/"
	}
	each := func(name, unit string, value func(Run) float64) benchmark.Series {
		series := benchmark.Series{Name: boot + name, Unit: unit}
		for _, run := range r.Runs {
			series.Values = append(series.Values, value(run))
		}
		return series
	}
	series := []benchmark.Series{
		each("API usable", benchmark.Seconds, func(r Run) float64 { return r.API }),
		each("cluster ready", benchmark.Seconds, func(r Run) float64 { return r.Ready }),
		each("first pod Ready", benchmark.Seconds, func(r Run) float64 { return r.PodReady }),
		each("stop", benchmark.Seconds, func(r Run) float64 { return r.Stop }),
		each("CPU", benchmark.CPUSeconds, func(r Run) float64 { return total(r.Components).CPUSeconds }),
		each("RSS", benchmark.Bytes, func(r Run) float64 { return float64(total(r.Components).RSSBytes) }),
	}
	if idle := r.Runs[0].Idle; idle != nil {
		series = append(series,
			benchmark.Series{Name: "idle/CPU", Unit: benchmark.Cores, Values: []float64{idle.CPUPercent / 100}},
			benchmark.Series{Name: "idle/PSS", Unit: benchmark.Bytes, Values: []float64{float64(idle.ProportionalBytes)}},
		)
	}
	return series
}

// median of a non-empty list; the mean of the middle two where its length is even.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
