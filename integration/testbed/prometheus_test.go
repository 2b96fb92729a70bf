package testbed

import (
	"strings"
	"testing"
	"time"
)

// Promise: a gateway that Prometheus could not scrape is refused by its pod's name.
func TestPrometheusConfig(t *testing.T) {
	o := PrometheusOptions{Interval: time.Second, Pods: map[string]string{"gateway-a": "http://127.0.0.1:8080"}}
	content, err := o.config()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"scrape_interval: 1s", "- 127.0.0.1:8080", "pod: gateway-a"} {
		if !strings.Contains(string(content), want) {
			t.Errorf("no %q in\n%s", want, content)
		}
	}
	for _, c := range []struct {
		name string
		o    PrometheusOptions
		want string
	}{
		{"no pods", PrometheusOptions{Interval: time.Second}, "pods and a positive interval"},
		{"no interval", PrometheusOptions{Pods: o.Pods}, "pods and a positive interval"},
		{"a URL of another kind", PrometheusOptions{Interval: time.Second, Pods: map[string]string{"gateway-b": "unix:/s"}}, "pod gateway-b"},
	} {
		if _, err := c.o.config(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}
