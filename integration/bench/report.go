package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"stormgate.internal/tools/benchmark"
)

// Report is all that a run has measured.
type Report struct {
	Started   time.Time     `json:"started"`
	Floors    []Measurement `json:"floors,omitempty"`
	Workloads []Measurement `json:"workloads,omitempty"`
	// Objects are the results of --objects: each measurement with few objects in the
	// cluster, and with many.
	Objects []ObjectsComparison `json:"objects,omitempty"`
	Soak    *Soak               `json:"soak,omitempty"`
	Goals   []GoalResult        `json:"goals,omitempty"`
}

// WriteTables writes what was measured for people.
func (r *Report) WriteTables(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Floors) > 0 {
		fmt.Fprintln(table, "bare request\tclients\tper s\tp50 ms\tp95 ms\tp99 ms\tAPI CPU ms\tRedis CPU ms\t")
		for _, m := range r.Floors {
			fmt.Fprintf(table, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.3f\t%.3f\t\n",
				m.Name, m.Clients, m.PerSecond, m.Latency.P50, m.Latency.P95, m.Latency.P99, m.API.CPU, m.Redis.CPU)
		}
		fmt.Fprintln(table)
	}
	if len(r.Workloads) > 0 {
		writeWorkloads(table, r.Workloads)
	}
	for _, c := range r.Objects {
		fmt.Fprintf(table, "%s\t%d clients\t%.0f/s with %d objects\t%.0f/s with %d\tratio %.2f\tAPI CPU %.2f and %.2f ms\t\n",
			c.Few.Name, c.Few.Clients, c.Few.PerSecond, c.FewObjects, c.Many.PerSecond, c.ManyObjects, c.Ratio, c.Few.API.CPU, c.Many.API.CPU)
	}
	if len(r.Goals) > 0 {
		writeGoals(table, r.Goals)
	}
	if r.Soak != nil {
		r.Soak.write(table)
	}
	return table.Flush()
}

func writeWorkloads(table io.Writer, workloads []Measurement) {
	fmt.Fprintln(table, "workload\tloop\tper s\tp50 ms\tp95 ms\tp99 ms\terrors\tobjects\tCPU ms: gateway\tRedis\tAPI\tsender\tRSS MiB: gateway\tRedis\tAPI\tof floor: per s\tp50\tAPI CPU\t")
	for _, m := range workloads {
		loop := fmt.Sprint(m.Clients)
		if m.Rate > 0 {
			loop = fmt.Sprintf("%d/s", m.Rate)
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%d\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t%d\t%d\t",
			m.Name, loop, m.PerSecond, m.Latency.P50, m.Latency.P95, m.Latency.P99, m.Errors, m.Objects,
			m.Gateway.CPU, m.Redis.CPU, m.API.CPU, m.Load.CPU, m.Gateway.RSS>>20, m.Redis.RSS>>20, m.API.RSS>>20)
		if m.Floor == "" {
			fmt.Fprintln(table, "\t\t\t")
			continue
		}
		fmt.Fprintf(table, "%.2f\t%.2f\t%.2f\t\n", m.OfFloor, m.LatencyOfFloor, m.APICPUOfFloor)
	}
	fmt.Fprintln(table)
}

// series are the rates and latencies for benchstat. A workload's rate is there also as
// a ratio to the bare request of the same run: a slower machine changes that less.
func (r *Report) series() []benchmark.Series {
	var series []benchmark.Series
	add := func(m Measurement, what, unit string, value float64) {
		name := fmt.Sprintf("%s/clients=%d/%s", m.Name, m.Clients, what)
		if m.Rate > 0 {
			name = fmt.Sprintf("%s/rate=%d/%s", m.Name, m.Rate, what)
		}
		series = append(series, benchmark.Series{Name: name, Unit: unit, Values: []float64{value}})
	}
	for _, m := range slices.Concat(r.Floors, r.Workloads) {
		add(m, "rate", benchmark.PerSecond, m.PerSecond)
		add(m, "p50", benchmark.Seconds, m.Latency.P50/1000)
		add(m, "p95", benchmark.Seconds, m.Latency.P95/1000)
		if m.Floor != "" {
			add(m, "rate", benchmark.Ratio, m.OfFloor)
		}
	}
	for _, g := range r.Goals {
		series = append(series, benchmark.Series{
			Name: fmt.Sprintf("goal/%s/clients=%d/%s", g.Workload, g.Clients, g.Of), Unit: benchmark.Ratio, Values: g.Ratios,
		})
	}
	return series
}
