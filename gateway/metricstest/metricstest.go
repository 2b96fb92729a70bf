// Package metricstest reads the values of metrics in tests of what counts them.
package metricstest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"stormgate.internal/gateway/metrics"
)

// Read returns the samples other than 0 of all metrics whose names begin with one of the
// prefixes. A key is as in the text format: the name, then the labels by name, such
// as x_total{a="1",b="2"}. The value of a histogram is the number of observations.
//
// The test fails if a counter that begins at 0 for all known values of its labels has
// counted with others: no alert rule would see the first event of these.
func Read(tb testing.TB, m *metrics.Metrics, prefixes ...string) map[string]float64 {
	tb.Helper()
	first, err := atFirst()
	if err != nil {
		tb.Fatal(err)
	}
	all, err := read(m)
	if err != nil {
		tb.Fatal(err)
	}
	samples := make(map[string]float64)
	for name, family := range all {
		for key, value := range family.samples {
			if known := first[name]; family.isCounter && known.samples != nil && !known.has(key) {
				tb.Errorf("%s does not begin at 0: metrics.New does not know these values", key)
			}
			for _, prefix := range prefixes {
				if value != 0 && strings.HasPrefix(name, prefix) {
					samples[key] = value
				}
			}
		}
	}
	return samples
}

// family is a metric with its samples.
type family struct {
	isCounter bool
	samples   map[string]float64
}

func (f family) has(key string) bool {
	_, ok := f.samples[key]
	return ok
}

// atFirst returns metrics that have counted nothing.
var atFirst = sync.OnceValues(func() (map[string]family, error) { return read(metrics.New()) })

// read returns all metrics that have samples, by their names.
func read(m *metrics.Metrics) (map[string]family, error) {
	gathered, err := m.Registry().Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	families := make(map[string]family)
	for _, metric := range gathered {
		samples := make(map[string]float64)
		for _, sample := range metric.GetMetric() {
			key := metric.GetName()
			if len(sample.GetLabel()) > 0 {
				var labels []string
				for _, label := range sample.GetLabel() { // sorted by the registry
					labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
				}
				key += "{" + strings.Join(labels, ",") + "}"
			}
			// All but one of the three are 0.
			samples[key] = sample.GetGauge().GetValue() + sample.GetCounter().GetValue() + float64(sample.GetHistogram().GetSampleCount())
		}
		families[metric.GetName()] = family{isCounter: metric.GetType().String() == "COUNTER", samples: samples}
	}
	return families, nil
}
