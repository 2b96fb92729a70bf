package suite

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are the samples of one scrape.
type Metrics struct {
	// ContentType is that of the exposition.
	ContentType string
	samples     model.Vector
}

// Metrics scrapes the gateway. The metrics of a shared gateway move with what
// other shards do, except where a label has a name that is the spec's own.
func (g *GatewayClient) Metrics(ctx context.Context) Metrics {
	ginkgo.GinkgoHelper()
	code, contentType, text, err := g.do(ctx, http.MethodGet, "/metrics", nil)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(code).To(gomega.Equal(http.StatusOK))
	metrics, err := parseMetrics(text)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	metrics.ContentType = contentType
	return metrics
}

// Has reports whether there is a sample of that name, and with labels as for
// Value.
func (m Metrics) Has(name string, labels ...string) bool {
	return len(m.find(name, labels)) > 0
}

// Value sums the samples of that name whose labels include these (name, value,
// name, value, ...). It is 0 if there are none. Histograms and summaries go by
// the names of their parts, such as x_count.
func (m Metrics) Value(name string, labels ...string) float64 {
	var sum float64
	for _, sample := range m.find(name, labels) {
		sum += float64(sample.Value)
	}
	return sum
}

// Since returns by how much each sample has changed since an earlier scrape.
func (m Metrics) Since(earlier Metrics) Metrics {
	values := map[string]model.SampleValue{}
	for _, sample := range earlier.samples {
		values[sample.Metric.String()] = sample.Value
	}
	changes := Metrics{ContentType: m.ContentType}
	for _, sample := range m.samples {
		changes.samples = append(changes.samples, &model.Sample{Metric: sample.Metric, Value: sample.Value - values[sample.Metric.String()]})
	}
	return changes
}

func (m Metrics) find(name string, labels []string) model.Vector {
	var found model.Vector
	for _, sample := range m.samples {
		if string(sample.Metric[model.MetricNameLabel]) != name {
			continue
		}
		matches := true
		for i := 0; i+1 < len(labels); i += 2 {
			matches = matches && string(sample.Metric[model.LabelName(labels[i])]) == labels[i+1]
		}
		if matches {
			found = append(found, sample)
		}
	}
	return found
}

func (g *GatewayClient) exposition(ctx context.Context) ([]byte, error) {
	code, _, body, err := g.do(ctx, http.MethodGet, "/metrics", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET /metrics: answer %d", code)
	}
	return body, err
}

func parseMetrics(text []byte) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return Metrics{}, fmt.Errorf("parse metrics: %w", err)
	}
	var metrics Metrics
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			return Metrics{}, fmt.Errorf("parse metric %s: %w", family.GetName(), err)
		}
		metrics.samples = append(metrics.samples, samples...)
	}
	return metrics, nil
}
