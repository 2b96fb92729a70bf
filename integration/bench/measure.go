package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"stormgate.internal/integration/testbed"
)

// Measurement is one loop's result. Requests are alerts, also where several of
// them share a notification, or bare requests; costs are for each.
type Measurement struct {
	Name string `json:"name"`
	// Clients is 0 for an open loop, Rate for a closed one.
	Clients int `json:"clients,omitempty"`
	Rate    int `json:"rate,omitempty"`

	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Failure  string  `json:"failure,omitempty"`
	Seconds  float64 `json:"seconds"`
	// PerSecond counts requests that were answered as they should be.
	PerSecond float64   `json:"perSecond"`
	Latency   Latencies `json:"latencyMilliseconds"`

	Gateway Cost `json:"gateway"`
	Redis   Cost `json:"redis"`
	API     Cost `json:"api"`
	// Load is what the sender costs, which has the same cores to run on.
	Load Cost `json:"load"`

	// Objects is the number of objects that the alerts have made; the cluster's
	// content was compared with the answers.
	Objects int `json:"objects,omitempty"`
	// Floor is the bare request that this is compared with.
	Floor string `json:"floor,omitempty"`
	// OfFloor is the throughput divided by the floor's, with as many clients.
	OfFloor float64 `json:"ofFloor,omitempty"`
	// LatencyOfFloor is the median latency divided by the floor's.
	LatencyOfFloor float64 `json:"latencyOfFloor,omitempty"`
	// APICPUOfFloor is the API server's CPU time divided by the floor's, which
	// depends less than the others on what else the machine does.
	APICPUOfFloor float64 `json:"apiCPUOfFloor,omitempty"`
}

// Cost is what a process spends.
type Cost struct {
	// CPU is in milliseconds per request.
	CPU float64 `json:"cpuMilliseconds"`
	// RSS is in bytes, at the end.
	RSS int64 `json:"rssBytes"`
}

// measure runs a loop, each request of which counts for so many, and takes the
// processes' usages before and after.
func (b *bed) measure(ctx context.Context, gateway *testbed.Gateway, each int, loop func() load) (Measurement, error) {
	before, err := b.usages(ctx, gateway)
	if err != nil {
		return Measurement{}, err
	}
	l := loop()
	l.requests, l.errors = each*l.requests, each*l.errors
	if ctx.Err() != nil {
		return Measurement{}, context.Cause(ctx)
	}
	after, err := b.usages(ctx, gateway)
	if err != nil {
		return Measurement{}, err
	}
	cost := func(before, after testbed.Usage) Cost {
		return Cost{
			CPU: float64(after.CPU-before.CPU) / float64(time.Millisecond) / float64(max(l.requests+l.errors, 1)),
			RSS: after.RSS,
		}
	}
	m := Measurement{
		Requests: l.requests, Errors: l.errors, Seconds: l.elapsed.Seconds(),
		PerSecond: float64(l.requests) / l.elapsed.Seconds(), Latency: l.latencies,
		Gateway: cost(before.Gateway, after.Gateway), Redis: cost(before.Redis, after.Redis),
		API: cost(before.API, after.API), Load: cost(before.Load, after.Load),
	}
	if l.failure != nil {
		m.Failure = l.failure.Error()
	}
	return m, nil
}

func (m *Measurement) summary() string {
	loop := fmt.Sprintf("%d clients", m.Clients)
	if m.Rate > 0 {
		loop = fmt.Sprintf("%d due a second", m.Rate)
	}
	return fmt.Sprintf("%s, %s: %.0f/s, p50 %.2f ms, p99 %.2f ms, %d errors", m.Name, loop, m.PerSecond, m.Latency.P50, m.Latency.P99, m.Errors)
}

// compare sets the ratios to the floor with as many clients.
func (m *Measurement) compare(floors []Measurement, name string) {
	i := slices.IndexFunc(floors, func(f Measurement) bool { return f.Name == name && f.Clients == m.Clients })
	if i < 0 {
		return // an open loop has none
	}
	floor := floors[i]
	m.Floor = name
	m.OfFloor = m.PerSecond / floor.PerSecond
	m.LatencyOfFloor = m.Latency.P50 / floor.Latency.P50
	m.APICPUOfFloor = m.API.CPU / floor.API.CPU
}

// measureAll fills the report with floors and workloads.
func (b *bed) measureAll(ctx context.Context, report *Report) error {
	template, err := b.template(ctx)
	if err != nil {
		return err
	}
	for _, clients := range b.clients {
		floors, err := b.floors(ctx, template, clients)
		if err != nil {
			return err
		}
		report.Floors = append(report.Floors, floors...)
	}
	for _, w := range workloads() {
		if !slices.Contains(b.flags.workloads, w.name) {
			continue
		}
		if err := b.measureWorkload(ctx, w, report); err != nil {
			return err
		}
	}
	return nil
}

// measureWorkload measures closed and open loops with a gateway of their own.
func (b *bed) measureWorkload(ctx context.Context, w workload, report *Report) error {
	gateway, err := b.startGateway(ctx, w.storm())
	if err != nil {
		return err
	}
	defer gateway.Close()
	for _, clients := range b.clients {
		m, err := b.measureLoop(ctx, w, gateway, clients, fmt.Sprintf("%s-%d", w.name, clients), func(s *sender) load {
			return closedLoop(ctx, clients, b.duration, 0, func(_, i int) error { return s.send(ctx, s.first+i) })
		})
		if err != nil {
			return err
		}
		m.Clients = clients
		m.compare(report.Floors, w.floor)
		b.progress(m.summary())
		report.Workloads = append(report.Workloads, m)
	}
	for _, rate := range b.rates {
		m, err := b.measureLoop(ctx, w, gateway, maxOpen, fmt.Sprintf("%s-rate-%d", w.name, rate), func(s *sender) load {
			return openLoop(ctx, max(rate/s.group, 1), b.duration, func(_, i int) error { return s.send(ctx, s.first+i) })
		})
		if err != nil {
			return err
		}
		m.Rate = rate
		b.progress(m.summary())
		report.Workloads = append(report.Workloads, m)
	}
	return nil
}

// measureLoop measures one loop and compares the cluster with the answers.
func (b *bed) measureLoop(ctx context.Context, w workload, gateway *testbed.Gateway, requests int, profile string, loop func(*sender) load) (Measurement, error) {
	s, err := b.newSender(ctx, w, gateway, requests)
	if err != nil {
		return Measurement{}, err
	}
	profiled := b.profile(ctx, gateway, profile)
	m, err := b.measure(ctx, gateway, s.group, func() load { return loop(s) })
	if profileErr := <-profiled; err == nil {
		err = profileErr
	}
	if err != nil {
		return m, err
	}
	m.Name = w.name
	if m.Objects, err = s.verify(ctx); err != nil {
		return m, err
	}
	return m, s.close(ctx)
}

// profile takes a CPU profile of the gateway for as long as a measurement, if one
// is wanted. The channel gets one error, or nil, when it is written.
func (b *bed) profile(ctx context.Context, gateway *testbed.Gateway, name string) <-chan error {
	done := make(chan error, 1)
	if b.flags.profiles == "" {
		done <- nil
		return done
	}
	seconds := max(int(b.duration.Seconds()), 1)
	go func() {
		done <- b.fetchProfile(ctx, gateway, fmt.Sprintf("profile?seconds=%d", seconds), name+".cpu")
	}()
	return done
}

// fetchProfile writes one of the gateway's profiles to the directory for them.
func (b *bed) fetchProfile(ctx context.Context, gateway *testbed.Gateway, profile, name string) error {
	content, err := gateway.Profile(ctx, profile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.flags.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.flags.profiles, name), content, 0o644)
}
