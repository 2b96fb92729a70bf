package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"stormgate.internal/integration/testbed"
)

const (
	soakSamples = 20
	soakClients = 64
)

// Soak is a long run. Memory is flat if the heap's last samples are like the
// first ones after warming up.
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
	RedisKeys  int64 `json:"redisKeys"`
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
		l := closedLoop(ctx, soakClients, 0, n, func(_, i int) error { return s.send(ctx, i) })
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		result.Alerts += n
		result.Errors += l.errors
		if l.failure != nil && result.Failure == "" {
			result.Failure = l.failure.Error()
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
		result.Samples = append(result.Samples, sample)
		b.progress(fmt.Sprintf("%d of %d alerts after %.0f s: heap %.1f MiB, RSS %.1f MiB, %d goroutines, %d Redis keys, %d errors",
			result.Alerts, alerts, result.Seconds, mebi(sample.Heap), mebi(sample.RSS), sample.Goroutines, sample.RedisKeys, result.Errors))
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
	s.Heap, s.RSS, s.RedisRSS, s.RedisKeys = heap, usage.RSS, redisUsage.RSS, keys
	s.Goroutines, err = gateway.Goroutines(ctx)
	return s, err
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// write writes the samples, and how the last quarter compares with the second:
// the first is for caches and pools to fill.
func (s *Soak) write(w io.Writer) {
	fmt.Fprintf(w, "soak: %d alerts in %.0f s, %d errors %s\n", s.Alerts, s.Seconds, s.Errors, s.Failure)
	fmt.Fprintln(w, "alerts\theap MiB\tRSS MiB\tgoroutines\tRedis MiB\tRedis keys\t")
	for _, sample := range s.Samples {
		fmt.Fprintf(w, "%d\t%.1f\t%.1f\t%d\t%.1f\t%d\t\n", sample.Alerts, mebi(sample.Heap), mebi(sample.RSS), sample.Goroutines, mebi(sample.RedisRSS), sample.RedisKeys)
	}
	if quarter := len(s.Samples) / 4; quarter > 0 {
		early, late := medianHeap(s.Samples[quarter:2*quarter]), medianHeap(s.Samples[len(s.Samples)-quarter:])
		fmt.Fprintf(w, "median heap: second quarter %.1f MiB, last quarter %.1f MiB\n", mebi(early), mebi(late))
	}
}

func medianHeap(samples []SoakSample) int64 {
	var heaps []int64
	for _, sample := range samples {
		heaps = append(heaps, sample.Heap)
	}
	slices.Sort(heaps)
	return heaps[len(heaps)/2]
}
