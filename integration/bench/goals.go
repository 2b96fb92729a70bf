package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"stormgate.internal/gateway/api/v1alpha1"
)

// goal is what a workload is to reach, as a ratio to a bare request.
type goal struct {
	workload, floor string
	clients         int
	// latency says that the ratio is that of the median latencies; otherwise it is that of
	// the rates.
	latency bool
	// bound is the most that a ratio of latencies may be, and the least that one of rates
	// may be.
	bound float64
}

// goals are those of the project.
var goals = []goal{
	{"duplicates", floorUpdate, 1, true, 1.5},
	{"storm", floorUpdateOne, 1, true, 1.1},
	{"storm", floorCreate, 64, false, 3},
	{"storm-grouped", floorCreate, 64, false, 8},
	{"unique", floorCreate, 64, false, 1 / 1.05},
}

// GoalResult is how far a goal is reached.
type GoalResult struct {
	Workload string `json:"workload"`
	Floor    string `json:"floor"`
	Clients  int    `json:"clients"`
	// Of is what the ratio is of: p50 or rate.
	Of    string  `json:"of"`
	Bound float64 `json:"bound"`
	// Ratio is the median of Ratios, one of each round.
	Ratio   float64   `json:"ratio"`
	Ratios  []float64 `json:"ratios"`
	Reached bool      `json:"reached"`
	// CPU is what an alert costs, in milliseconds: medians of the rounds.
	Gateway float64 `json:"gatewayCPUMilliseconds"`
	Redis   float64 `json:"redisCPUMilliseconds"`
	API     float64 `json:"apiCPUMilliseconds"`
	Sender  float64 `json:"senderCPUMilliseconds"`
	// FloorAPI is what the bare request costs the API server, and FloorSender its sender.
	FloorAPI    float64 `json:"floorAPICPUMilliseconds"`
	FloorSender float64 `json:"floorSenderCPUMilliseconds"`
	// Load is the machine's load average at the end.
	Load string `json:"load"`
}

// measureGoals measures each goal in rounds. In each, the bare request is measured
// before and after the workload: what else the machine does changes in minutes.
func (b *bed) measureGoals(ctx context.Context, report *Report) error {
	template, err := b.template(ctx)
	if err != nil {
		return err
	}
	for _, w := range workloads() {
		for _, g := range goals {
			if g.workload != w.name || !slices.Contains(b.flags.workloads, w.name) {
				continue
			}
			result, err := b.measureGoal(ctx, w, g, template)
			if err != nil {
				return err
			}
			report.Goals = append(report.Goals, result)
		}
	}
	return nil
}

func (b *bed) measureGoal(ctx context.Context, w workload, g goal, template *v1alpha1.RemediationRequest) (GoalResult, error) {
	gateway, err := b.startGateway(ctx, w.storm())
	if err != nil {
		return GoalResult{}, err
	}
	defer gateway.Close()
	result := GoalResult{Workload: g.workload, Floor: g.floor, Clients: g.clients, Of: "rate", Bound: g.bound}
	if g.latency {
		result.Of = "p50"
	}
	var own, bare []Measurement
	for round := range b.rounds {
		before, err := b.floor(ctx, template, g.clients, g.floor)
		if err != nil {
			return result, err
		}
		m, err := b.measureLoop(ctx, w, gateway, g.clients, fmt.Sprintf("goal-%s-%d-%d", w.name, g.clients, round), func(s *sender) load {
			return closedLoop(ctx, g.clients, b.duration, 0, func(_, i int) error { return s.send(ctx, s.first+i) })
		})
		if err != nil {
			return result, err
		}
		if m.Errors > 0 {
			return result, fmt.Errorf("%s: %d errors: %s", w.name, m.Errors, m.Failure)
		}
		m.Clients = g.clients
		after, err := b.floor(ctx, template, g.clients, g.floor)
		if err != nil {
			return result, err
		}
		ratio := m.PerSecond / ((before.PerSecond + after.PerSecond) / 2)
		if g.latency {
			ratio = m.Latency.P50 / ((before.Latency.P50 + after.Latency.P50) / 2)
		}
		b.progress(fmt.Sprintf("%s; ratio %.2f to %s, %.2f and %.2f ms, %.0f and %.0f/s", m.summary(), ratio, g.floor,
			before.Latency.P50, after.Latency.P50, before.PerSecond, after.PerSecond))
		result.Ratios = append(result.Ratios, ratio)
		own, bare = append(own, m), append(bare, before, after)
	}
	result.Ratio = median(result.Ratios)
	result.Reached = result.Ratio >= g.bound
	if g.latency {
		result.Reached = result.Ratio <= g.bound
	}
	each := func(of []Measurement, cost func(Measurement) Cost) float64 {
		var values []float64
		for _, m := range of {
			values = append(values, cost(m).CPU)
		}
		return median(values)
	}
	result.Gateway = each(own, func(m Measurement) Cost { return m.Gateway })
	result.Redis = each(own, func(m Measurement) Cost { return m.Redis })
	result.API = each(own, func(m Measurement) Cost { return m.API })
	result.Sender = each(own, func(m Measurement) Cost { return m.Load })
	result.FloorAPI = each(bare, func(m Measurement) Cost { return m.API })
	result.FloorSender = each(bare, func(m Measurement) Cost { return m.Load })
	result.Load = loadAverage()
	return result, nil
}

// loadAverage returns that of the last minute, or "?".
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	first, _, _ := strings.Cut(string(content), " ")
	return first
}

// median returns that of some values; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func writeGoals(w io.Writer, results []GoalResult) {
	fmt.Fprintln(w, "goal\tclients\tof\tratio\tbound\treached\trounds\tCPU ms: gateway\tRedis\tAPI\tsender\tbare: API\tsender\tload\t")
	for _, r := range results {
		var rounds []string
		for _, ratio := range r.Ratios {
			rounds = append(rounds, fmt.Sprintf("%.2f", ratio))
		}
		fmt.Fprintf(w, "%s to %s\t%d\t%s\t%.2f\t%.2f\t%t\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%s\t\n", r.Workload, r.Floor, r.Clients, r.Of, r.Ratio, r.Bound, r.Reached,
			strings.Join(rounds, " "), r.Gateway, r.Redis, r.API, r.Sender, r.FloorAPI, r.FloorSender, r.Load)
	}
	fmt.Fprintln(w)
}
