package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"stormgate.internal/integration/testbed"
)

const (
	soakSamples = 20
	soakClients = 64
)

// Memory is flat if the median of its last quarter of samples is not above that of the
// second quarter by more than one of these, whichever is more. The first quarter is for
// caches and pools to fill.
const (
	soakShare = 0.10
	soakSlack = 4 << 20
)

// errGrows says that a soak's memory has grown.
var errGrows = errors.New("memory grows")

// Soak is a long run.
type Soak struct {
	Alerts  int          `json:"alerts"`
	Errors  int          `json:"errors"`
	Failure string       `json:"failure,omitempty"`
	Seconds float64      `json:"seconds"`
	Samples []SoakSample `json:"samples"`
}

// SoakSample is what the gateway holds after a part of the alerts. Bytes.
type SoakSample struct {
	Alerts     int   `json:"alerts"`
	RSS        int64 `json:"rssBytes"`
	Heap       int64 `json:"heapBytes"` // live, after a garbage collection
	Goroutines int   `json:"goroutines"`
	RedisRSS   int64 `json:"redisRSSBytes"`
	// RedisUsed is what Redis has allocated.
	RedisUsed int64 `json:"redisUsedBytes"`
	RedisKeys int64 `json:"redisKeys"`
	// PerSecond is the rate of this part.
	PerSecond float64 `json:"perSecond"`
	// GatewayCPU, RedisCPU and APICPU are in milliseconds per alert of this part.
	GatewayCPU float64 `json:"gatewayCPUMilliseconds"`
	RedisCPU   float64 `json:"redisCPUMilliseconds"`
	APICPU     float64 `json:"apiCPUMilliseconds"`
}

// soak sends alerts in parts: duplicates, storms, and one in twenty that is new.
// After each part the cluster is compared with the answers, and the incidents
// end and their objects are deleted, as an operator's retention would do.
func (b *bed) soak(ctx context.Context, alerts int) (*Soak, error) {
	gateway, err := b.startGateway(ctx, fromTenth())
	if err != nil {
		return nil, err
	}
	defer gateway.Close()
	result := &Soak{}
	part := max(alerts/soakSamples, 1)
	started := time.Now()
	for result.Alerts < alerts {
		n := min(part, alerts-result.Alerts)
		s, err := b.newSender(ctx, soakWorkload(), gateway, soakClients)
		if err != nil {
			return result, err
		}
		m, err := b.measure(ctx, gateway, 1, func() load {
			return closedLoop(ctx, soakClients, 0, n, func(_, i int) error { return s.send(ctx, i) })
		})
		if err != nil {
			return result, err
		}
		result.Alerts += n
		result.Errors += m.Errors
		if m.Failure != "" && result.Failure == "" {
			result.Failure = m.Failure
		}
		result.Seconds = time.Since(started).Seconds()
		if _, err := s.verify(ctx); err != nil {
			return result, err
		}
		if err := s.close(ctx); err != nil {
			return result, err
		}
		sample, err := b.soakSample(ctx, gateway, result.Alerts)
		if err != nil {
			return result, err
		}
		sample.PerSecond, sample.GatewayCPU, sample.RedisCPU, sample.APICPU = m.PerSecond, m.Gateway.CPU, m.Redis.CPU, m.API.CPU
		result.Samples = append(result.Samples, sample)
		b.progress(fmt.Sprintf("%d of %d alerts after %.0f s, %.0f/s: heap %.1f MiB, RSS %.1f MiB, %d goroutines, Redis %.1f MiB with %d keys, CPU an alert %.3f ms gateway, %.3f ms Redis, %.3f ms API, %d errors",
			result.Alerts, alerts, result.Seconds, m.PerSecond, mebi(sample.Heap), mebi(sample.RSS), sample.Goroutines, mebi(sample.RedisUsed), sample.RedisKeys,
			m.Gateway.CPU, m.Redis.CPU, m.API.CPU, result.Errors))
		if b.flags.profiles != "" && (len(result.Samples) == 1 || result.Alerts == alerts) {
			if err := b.fetchProfile(ctx, gateway, "heap?gc=1", fmt.Sprintf("soak-%d.heap", result.Alerts)); err != nil {
				return result, err
			}
		}
	}
	return result, nil
}

func soakWorkload() workload {
	return workload{
		name: "soak", namespaces: stormNamespaces,
		alert: func(namespaces []string, i int) testbed.Alert {
			switch part, n := i%20, i/20; {
			case part == 0:
				return testbed.Alert{Name: fmt.Sprint("Unique", n%1000), Namespace: namespaces[n%len(namespaces)], Pod: fmt.Sprint("pod-", n/4000)}
			case part < 5:
				// So many pods in so many storms, again and again: members deduplicate.
				return stormAlert(namespaces, i%4000)
			default:
				return testbed.Alert{Name: fmt.Sprint("Repeated", i%repeated), Namespace: namespaces[0], Pod: "pod"}
			}
		},
	}
}

func (b *bed) soakSample(ctx context.Context, gateway *testbed.Gateway, alerts int) (SoakSample, error) {
	s := SoakSample{Alerts: alerts}
	heap, err := gateway.LiveHeap(ctx)
	if err != nil {
		return s, err
	}
	usage, err := gateway.Usage()
	if err != nil {
		return s, err
	}
	redisUsage, err := b.redis.Usage()
	if err != nil {
		return s, err
	}
	client := b.redis.Client()
	defer client.Close()
	keys, err := client.DBSize(ctx).Result()
	if err != nil {
		return s, fmt.Errorf("count Redis keys: %w", err)
	}
	text, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return s, fmt.Errorf("ask Redis for its memory: %w", err)
	}
	_, rest, _ := strings.Cut(text, "\nused_memory:")
	line, _, _ := strings.Cut(rest, "\r")
	if s.RedisUsed, err = strconv.ParseInt(line, 10, 64); err != nil {
		return s, fmt.Errorf("read Redis' memory: %w", err)
	}
	s.Heap, s.RSS, s.RedisRSS, s.RedisKeys = heap, usage.RSS, redisUsage.RSS, keys
	s.Goroutines, err = gateway.Goroutines(ctx)
	return s, err
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// series are what must not grow, each by its name.
func (s *Soak) series() map[string]func(SoakSample) int64 {
	return map[string]func(SoakSample) int64{
		"heap":         func(m SoakSample) int64 { return m.Heap },
		"RSS":          func(m SoakSample) int64 { return m.RSS },
		"Redis memory": func(m SoakSample) int64 { return m.RedisUsed },
	}
}

// quarters returns the medians of the second and the last quarter of the samples; false
// if there are too few.
func (s *Soak) quarters(of func(SoakSample) int64) (early, late int64, ok bool) {
	quarter := len(s.Samples) / 4
	if quarter == 0 {
		return 0, 0, false
	}
	middle := func(samples []SoakSample) int64 {
		var values []float64
		for _, sample := range samples {
			values = append(values, float64(of(sample)))
		}
		return int64(median(values))
	}
	return middle(s.Samples[quarter : 2*quarter]), middle(s.Samples[len(s.Samples)-quarter:]), true
}

// verdict returns what has grown, or what else went wrong.
func (s *Soak) verdict() error {
	var problems []error
	if s.Errors > 0 {
		problems = append(problems, fmt.Errorf("%d alerts were not accepted: %s", s.Errors, s.Failure))
	}
	series := s.series()
	for _, name := range slices.Sorted(maps.Keys(series)) {
		early, late, ok := s.quarters(series[name])
		if !ok {
			return errors.Join(append(problems, fmt.Errorf("%d samples are too few to compare", len(s.Samples)))...)
		}
		if late-early > max(soakSlack, int64(soakShare*float64(early))) {
			problems = append(problems, fmt.Errorf("%w: %s from %.1f to %.1f MiB", errGrows, name, mebi(early), mebi(late)))
		}
	}
	return errors.Join(problems...)
}

// write writes the samples, and how the last quarter compares with the second.
func (s *Soak) write(w io.Writer) {
	fmt.Fprintf(w, "soak: %d alerts in %.0f s, %d errors %s\n", s.Alerts, s.Seconds, s.Errors, s.Failure)
	fmt.Fprintln(w, "alerts\tper s\theap MiB\tRSS MiB\tgoroutines\tRedis MiB\tRedis RSS MiB\tRedis keys\tCPU ms: gateway\tRedis\tAPI\t")
	for _, m := range s.Samples {
		fmt.Fprintf(w, "%d\t%.0f\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t%d\t%.3f\t%.3f\t%.3f\t\n", m.Alerts, m.PerSecond, mebi(m.Heap), mebi(m.RSS), m.Goroutines,
			mebi(m.RedisUsed), mebi(m.RedisRSS), m.RedisKeys, m.GatewayCPU, m.RedisCPU, m.APICPU)
	}
	series := s.series()
	for _, name := range slices.Sorted(maps.Keys(series)) {
		if early, late, ok := s.quarters(series[name]); ok {
			fmt.Fprintf(w, "median %s: second quarter %.1f MiB, last quarter %.1f MiB\n", name, mebi(early), mebi(late))
		}
	}
}
