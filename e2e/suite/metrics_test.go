package suite

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMetricsValue(t *testing.T) {
	const text = `# TYPE gateway_requests_total counter
gateway_requests_total{method="POST",status="201"} 3
gateway_requests_total{method="POST",status="400"} 1
# TYPE gateway_duration_seconds histogram
gateway_duration_seconds_bucket{le="0.1"} 4
gateway_duration_seconds_bucket{le="+Inf"} 5
gateway_duration_seconds_sum 0.7
gateway_duration_seconds_count 5
`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	defer server.Close()
	body, err := newGatewayClient(server.URL).exposition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := parseMetrics(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"gateway_requests_total", nil, 4},
		{"gateway_requests_total", []string{"status", "400"}, 1},
		{"gateway_requests_total", []string{"status", "400", "method", "GET"}, 0},
		{"gateway_duration_seconds_count", nil, 5},
		{"gateway_duration_seconds_bucket", []string{"le", "0.1"}, 4},
		{"nonesuch", nil, 0},
	} {
		if got := metrics.Value(c.name, c.labels...); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	for name, want := range map[string]bool{"gateway_requests_total": true, "gateway_duration_seconds": false} {
		if got := metrics.Has(name); got != want {
			t.Errorf("has %s: %t, want %t", name, got, want)
		}
	}
	if _, err := parseMetrics([]byte("not {a metric")); err == nil {
		t.Error("nonsense parses")
	}
}

func TestMetricsSince(t *testing.T) {
	parse := func(text string) Metrics {
		metrics, err := parseMetrics([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return metrics
	}
	before := parse("a{x=\"1\"} 3\na{x=\"2\"} 5\n")
	after := parse("a{x=\"1\"} 4\na{x=\"2\"} 5\na{x=\"3\"} 7\n")
	changes := after.Since(before)
	for x, want := range map[string]float64{"1": 1, "2": 0, "3": 7} {
		if got := changes.Value("a", "x", x); got != want {
			t.Errorf("change of a{x=%s}: %v, want %v", x, got, want)
		}
	}
	if after.Value("a", "x", "1") != 4 {
		t.Error("the scrape itself was changed")
	}
}
