package metrics

import (
	"fmt"
	"testing"
	"time"
)

func TestStorms(t *testing.T) {
	m := New()
	m.StormAlert("rate", "A")
	m.StormAlert("pattern", "A")
	m.BufferUtilization("shop", 0.25)
	m.BufferOverflowed("shop")
	m.StormObject("staging", "P1", 5)
	wantSamples(t, scrape(t, m), "gateway_storm_cost_savings_percent 80", "gateway_storm_aggregation_ratio 1")
	for members := 6; members <= 10; members++ {
		m.StormObject("staging", "", members)
	}
	for range 2 {
		m.FlushedObject("staging", "P2")
	}
	m.WindowClosed("shop", "A", 45*time.Second)
	m.SignalGathered(sig, "staging")
	m.RedisAvailable(true)
	wantSamples(t, scrape(t, m),
		`gateway_signal_storms_detected_total{signal_name="A",storm_type="rate"} 1`,
		`gateway_signal_storms_detected_total{signal_name="A",storm_type="pattern"} 1`,
		`gateway_namespace_buffer_utilization{namespace="shop"} 0.25`,
		`gateway_namespace_buffer_blocking_total{namespace="shop"} 1`,
		`gateway_storm_buffer_overflow_total{namespace="shop"} 1`,
		`gateway_crds_created_by_type_total{type="storm_aggregated"} 1`,
		`gateway_crds_created_by_type_total{type="individual"} 2`,
		`gateway_crds_created_total{environment="staging",priority="P1"} 1`,
		`gateway_crds_created_total{environment="staging",priority="P2"} 2`,
		"gateway_storm_cost_savings_percent 90",
		fmt.Sprintf("gateway_storm_aggregation_ratio %v", 10.0/12),
		`gateway_storm_window_duration_seconds_bucket{alert_name="A",namespace="shop",le="30"} 0`,
		`gateway_storm_window_duration_seconds_bucket{alert_name="A",namespace="shop",le="60"} 1`,
		"gateway_storm_protection_active 1",
		`gateway_signals_processed_total{environment="staging"} 1`,
		"gateway_deduplication_cache_misses_total 1",
	)
	m.RedisAvailable(false)
	wantSamples(t, scrape(t, m), "gateway_storm_protection_active 0")
}

// No sender can make series without end, however it calls its alerts.
func TestLabelsOfStormsAreBounded(t *testing.T) {
	m := New()
	for i := range maxLabelValues + 3 {
		name := fmt.Sprint("name-", i)
		m.StormAlert("rate", name)
		m.BufferUtilization(name, 1)
		m.BufferOverflowed(name)
		m.WindowClosed(name, name, time.Second)
	}
	wantSamples(t, scrape(t, m),
		`gateway_signal_storms_detected_total{signal_name="other",storm_type="rate"} 3`,
		`gateway_namespace_buffer_utilization{namespace="other"} 1`,
		`gateway_namespace_buffer_blocking_total{namespace="other"} 3`,
		`gateway_storm_buffer_overflow_total{namespace="other"} 3`,
		`gateway_storm_window_duration_seconds_count{alert_name="other",namespace="other"} 3`,
	)
}
