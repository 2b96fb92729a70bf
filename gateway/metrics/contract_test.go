package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/signal"
)

// family is a row of the wire contract's list of metrics.
type family struct {
	name   string
	kind   string
	labels string // sorted
	// buckets are the upper bounds of a histogram.
	buckets []float64
}

const (
	counter   = "COUNTER"
	gauge     = "GAUGE"
	histogram = "HISTOGRAM"
)

// doubling returns n bounds, each twice the one before.
func doubling(first float64, n int) []float64 {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first * float64(int(1)<<i)
	}
	return bounds
}

var contract = []family{
	{name: "gateway_signals_received_total", kind: counter, labels: "environment,severity,source"},
	{name: "gateway_signals_deduplicated_total", kind: counter, labels: "environment,signal_name"},
	{name: "gateway_signal_storms_detected_total", kind: counter, labels: "signal_name,storm_type"},
	{name: "gateway_crds_created_total", kind: counter, labels: "environment,priority"},
	{name: "gateway_crd_creation_errors_total", kind: counter, labels: "error_type"},
	{name: "gateway_retry_attempts_total", kind: counter, labels: "error_type,status_code"},
	{name: "gateway_retry_exhausted_total", kind: counter, labels: "error_type,status_code"},
	{name: "gateway_retry_success_total", kind: counter, labels: "attempt,error_type"},
	{name: "gateway_retry_duration_seconds", kind: histogram, labels: "error_type", buckets: doubling(0.1, 8)},
	{name: "gateway_http_request_duration_seconds", kind: histogram, labels: "endpoint,method,status", buckets: doubling(0.001, 10)},
	{name: "gateway_redis_operation_duration_seconds", kind: histogram, labels: "operation", buckets: doubling(0.0001, 10)},
	{name: "gateway_deduplication_cache_hits_total", kind: counter},
	{name: "gateway_deduplication_cache_misses_total", kind: counter},
	{name: "gateway_redis_available", kind: gauge},
	{name: "gateway_redis_outage_count_total", kind: counter},
	{name: "gateway_redis_outage_duration_seconds_total", kind: counter},
	{name: "gateway_namespace_buffer_utilization", kind: gauge, labels: "namespace"},
	{name: "gateway_namespace_buffer_blocking_total", kind: counter, labels: "namespace"},
	{name: "gateway_storm_buffer_overflow_total", kind: counter, labels: "namespace"},
	{name: "gateway_storm_window_duration_seconds", kind: histogram, labels: "alert_name,namespace", buckets: []float64{10, 30, 60, 120, 180, 300}},
	{name: "gateway_storm_aggregation_ratio", kind: gauge},
	{name: "gateway_storm_cost_savings_percent", kind: gauge},
	{name: "gateway_http_requests_in_flight", kind: gauge},
	{name: "gateway_http_requests_total", kind: counter, labels: "method,path,status"},
	{name: "gateway_http_responses_total", kind: counter, labels: "method,path,status_code"},
	{name: "gateway_deduplication_rate", kind: gauge},
	{name: "gateway_deduplication_pool_size", kind: gauge},
	{name: "gateway_deduplication_pool_max_size", kind: gauge},
	{name: "gateway_redis_pool_hits", kind: gauge},
	{name: "gateway_redis_pool_misses", kind: gauge},
	{name: "gateway_redis_pool_timeouts", kind: gauge},
	{name: "gateway_redis_pool_total_connections", kind: gauge},
	{name: "gateway_redis_pool_idle_connections", kind: gauge},
	{name: "gateway_redis_pool_stale_connections", kind: gauge},
	{name: "gateway_redis_pool_connections_total", kind: gauge},
	{name: "gateway_redis_pool_connections_idle", kind: gauge},
	{name: "gateway_redis_pool_connections_active", kind: gauge},
	{name: "gateway_redis_pool_hits_total", kind: counter},
	{name: "gateway_redis_pool_misses_total", kind: counter},
	{name: "gateway_redis_pool_timeouts_total", kind: counter},
	{name: "gateway_rate_limit_exceeded_total", kind: counter, labels: "source_ip"},
	{name: "gateway_signals_received_by_adapter_total", kind: counter, labels: "adapter"},
	{name: "gateway_signals_failed_total", kind: counter, labels: "reason"},
	{name: "gateway_requests_rejected_total", kind: counter, labels: "reason"},
	{name: "gateway_redis_operation_errors_total", kind: counter, labels: "operation"},
	{name: "gateway_signals_processed_total", kind: counter, labels: "environment"},
	{name: "gateway_duplicate_signals_total", kind: counter, labels: "namespace"},
	{name: "gateway_consecutive_503_responses", kind: gauge, labels: "namespace"},
	{name: "gateway_duplicate_crds_prevented_total", kind: counter},
	{name: "gateway_duplicate_prevention_active", kind: gauge},
	{name: "gateway_storm_protection_active", kind: gauge},
	{name: "gateway_crds_created_by_type_total", kind: counter, labels: "type"},
	{name: "gateway_signals_invalid_total", kind: counter, labels: "reason"},
	{name: "gateway_signals_ignored_total", kind: counter, labels: "reason"},
	{name: "gateway_alerts_truncated_total", kind: counter},
	{name: "gateway_heartbeat_timestamp_seconds", kind: gauge, labels: "source"},
	{name: "gateway_objects_cut_total", kind: counter},
	{name: "gateway_objects_resolved_total", kind: counter},
	{name: "gateway_signals_cooled_down_total", kind: counter, labels: "phase"},
	{name: "gateway_owner_lookups_total", kind: counter, labels: "result"},
	{name: "gateway_severity_raised_total", kind: counter, labels: "from,to"},
	{name: "gateway_priority_policy_failures_total", kind: counter, labels: "reason"},
	{name: "gateway_authentications_total", kind: counter, labels: "method,outcome"},
	{name: "gateway_tls_reloads_total", kind: counter, labels: "result"},
	{name: "gateway_tls_certificate_expiry_timestamp_seconds", kind: gauge},
}

// everything lets everything happen once.
func everything(m *Metrics) {
	m.WatchPool(func() *redis.PoolStats { return &redis.PoolStats{Hits: 1, Misses: 1, Timeouts: 1} }, 10)
	m.SignalCreated(sig, "staging", "P1")
	m.SignalDuplicated(sig, "staging", "shop")
	m.SignalGathered(sig, "staging")
	over, beat := *sig, *sig
	over.Resolved = true
	m.SignalIgnored(&over)
	beat.Ignored, beat.Heartbeat = signal.IgnoredByName, "monitoring/k8s"
	m.SignalIgnored(&beat)
	m.SignalInvalid("missing_name")
	m.AlertsTruncated(1)
	m.SeverityRaised("warning", "critical")
	m.PolicyFailed(PolicyUndefined)
	m.ObjectCut()
	m.ObjectResolved()
	m.SignalCooledDown("Completed")
	m.OwnerLookedUp("found")
	m.SignalFailed(sig, DeduplicationUnavailable)
	m.SignalFailed(sig, KubernetesAPI)
	m.StormAlert("rate", "A")
	m.BufferUtilization("shop", 0.5)
	m.BufferOverflowed("shop")
	m.StormObject("staging", "P1", 5)
	m.FlushedObject("staging", "P1")
	m.WindowClosed("shop", "A", time.Minute)
	m.RequestStarted()
	m.RequestEnded("/ready", "GET", 200, time.Millisecond)
	m.RequestRejected("too_large")
	m.RateLimited("10.0.0.1")
	m.Authenticated("token", Admitted)
	m.CertificateReloaded(true)
	m.CertificateExpires(time.Now())
	m.CreateFailed("k8s_api_error")
	m.RetryAttempt("rate_limited", "429")
	m.RetryExhausted("rate_limited", "429")
	m.RetrySucceeded(2)
	m.RetryDuration("rate_limited", time.Second)
	m.RedisOperation("deduplication_check", time.Millisecond)
	m.RedisOperationFailed("deduplication_check")
	m.RedisAvailable(true)
	m.RedisOutageStarted()
	m.RedisOutageEnded(time.Second)
}

// Names, types, labels and buckets are those of the contract's list, and each has
// a sample once what it is about has happened, counters one that is not 0.
func TestContract(t *testing.T) {
	m := New()
	everything(m)
	families := m.Families()
	gathered, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]string)
	buckets := make(map[string][]float64)
	counts := make(map[string]float64)
	for _, f := range gathered {
		kinds[f.GetName()] = f.GetType().String()
		for _, sample := range f.GetMetric() {
			counts[f.GetName()] += sample.GetCounter().GetValue()
		}
		for _, bucket := range f.GetMetric()[0].GetHistogram().GetBucket() {
			buckets[f.GetName()] = append(buckets[f.GetName()], bucket.GetUpperBound())
		}
	}
	for _, want := range contract {
		labels, ok := families[want.name]
		if !ok {
			t.Errorf("%s is missing", want.name)
			continue
		}
		if got := strings.Join(labels, ","); got != want.labels {
			t.Errorf("%s has labels %s, want %s", want.name, got, want.labels)
		}
		kind, ok := kinds[want.name]
		if !ok {
			t.Errorf("%s has no sample", want.name)
			continue
		}
		if want.kind == counter && counts[want.name] == 0 {
			t.Errorf("%s has not counted", want.name)
		}
		if kind != want.kind {
			t.Errorf("%s is a %s, want %s", want.name, kind, want.kind)
		}
		if diff := cmp.Diff(want.buckets, buckets[want.name]); diff != "" {
			t.Errorf("%s: buckets (-want +got):\n%s", want.name, diff)
		}
	}
}

// Promise D48: an alert rule sees the first event of a counter whose labels have known
// values only, since the counter is at 0 before. No event adds a series to such a counter.
func TestCountersBeginAtZero(t *testing.T) {
	m := New()
	atFirst := labelledCounters(t, m)
	for _, name := range []string{"gateway_requests_rejected_total", "gateway_signals_failed_total", "gateway_authentications_total"} {
		if len(atFirst[name]) < 2 {
			t.Errorf("%s begins with series %v", name, atFirst[name])
		}
	}
	everything(m)
	later := labelledCounters(t, m)
	for name, samples := range atFirst {
		for labels, value := range samples {
			if value != 0 {
				t.Errorf("%s{%s} begins at %v", name, labels, value)
			}
		}
		if len(later[name]) != len(samples) {
			t.Errorf("%s began with series %v, and has %v", name, samples, later[name])
		}
	}
}

// labelledCounters returns the samples of counters with labels, by name and labels.
func labelledCounters(t *testing.T, m *Metrics) map[string]map[string]float64 {
	t.Helper()
	gathered, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	counters := make(map[string]map[string]float64)
	for _, f := range gathered {
		for _, sample := range f.GetMetric() {
			if f.GetType().String() != counter || len(sample.GetLabel()) == 0 {
				continue
			}
			if counters[f.GetName()] == nil {
				counters[f.GetName()] = make(map[string]float64)
			}
			var labels []string
			for _, label := range sample.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			counters[f.GetName()][strings.Join(labels, ",")] = sample.GetCounter().GetValue()
		}
	}
	return counters
}
