// Package metricstest reads the values of metrics in tests of what counts them.
package metricstest

import (
	"fmt"
	"strings"
	"testing"

	"stormgate.internal/gateway/metrics"
)

// Read returns the samples of all metrics whose names begin with one of the
// prefixes. A key is as in the text format: the name, then the labels by name, such
// as x_total{a="1",b="2"}. The value of a histogram is the number of observations.
func Read(tb testing.TB, m *metrics.Metrics, prefixes ...string) map[string]float64 {
	tb.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		tb.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, family := range families {
		for _, prefix := range prefixes {
			if !strings.HasPrefix(family.GetName(), prefix) {
				continue
			}
			for _, sample := range family.GetMetric() {
				key := family.GetName()
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
		}
	}
	return samples
}
