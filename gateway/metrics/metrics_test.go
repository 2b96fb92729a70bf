package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/signal"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	// The server counts this request like any other.
	m.httpInFlight.Inc()
	defer m.httpInFlight.Dec()
	r := httptest.NewRecorder()
	m.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	if got := r.Header().Get("Content-Type"); r.Code != 200 || !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Fatalf("%d, Content-Type %s", r.Code, got)
	}
	return r.Body.String()
}

func wantSamples(t *testing.T, text string, samples ...string) {
	t.Helper()
	for _, sample := range samples {
		if !strings.Contains(text, "\n"+sample+"\n") {
			t.Errorf("no sample %s", sample)
		}
	}
}

var sig = &signal.Signal{Type: "prometheus-alert", Source: "prometheus", Name: "A", Severity: "critical", Namespace: "shop"}

// Each event counts once, with the environment that was found.
func TestSignals(t *testing.T) {
	m := New()
	m.SignalCreated(sig, "staging", "P1")
	m.SignalDuplicated(sig, "staging", "shop")
	m.SignalDuplicated(sig, "", "shop")
	m.SignalIgnored(sig)
	m.SignalFailed(sig, DeduplicationUnavailable)
	m.SignalFailed(sig, KubernetesAPI)
	m.SignalFailed(sig, Cancelled)
	wantSamples(t, scrape(t, m),
		`gateway_signals_received_total{environment="staging",severity="critical",source="prometheus-alert"} 2`,
		`gateway_signals_received_total{environment="unknown",severity="critical",source="prometheus-alert"} 5`,
		`gateway_signals_received_by_adapter_total{adapter="prometheus"} 7`,
		`gateway_signals_processed_total{environment="staging"} 2`,
		`gateway_signals_processed_total{environment="unknown"} 1`,
		`gateway_signals_deduplicated_total{environment="staging",signal_name="A"} 1`,
		`gateway_signals_deduplicated_total{environment="unknown",signal_name="A"} 1`,
		`gateway_duplicate_signals_total{namespace="shop"} 2`,
		`gateway_duplicate_crds_prevented_total 2`,
		`gateway_deduplication_cache_hits_total 2`,
		`gateway_deduplication_cache_misses_total 4`,
		`gateway_crds_created_total{environment="staging",priority="P1"} 1`,
		`gateway_crds_created_by_type_total{type="individual"} 1`,
		`gateway_signals_failed_total{reason="deduplication_unavailable"} 1`,
		`gateway_signals_failed_total{reason="kubernetes_api"} 1`,
		`gateway_signals_failed_total{reason="cancelled"} 1`,
		`gateway_consecutive_503_responses{namespace="shop"} 1`,
		`gateway_deduplication_rate 0.6666666666666666`,
	)
	m.SignalCreated(sig, "staging", "P1")
	if strings.Contains(scrape(t, m), "gateway_consecutive_503_responses{") {
		t.Error("the run of failures did not end")
	}
}

func TestRequestsRetriesAndRedis(t *testing.T) {
	m := New()
	m.RequestStarted()
	m.RequestStarted()
	m.RequestEnded("/ready", "GET", 503, 3*time.Millisecond)
	m.RequestRejected("too_large")
	m.RateLimited("10.0.0.1")
	m.CreateFailed("fallback_failed")
	m.RetryAttempt("rate_limited", "429")
	m.RetryExhausted("rate_limited", "429")
	m.RetrySucceeded(2)
	m.RetryDuration("rate_limited", 300*time.Millisecond)
	m.RedisOperation("deduplication_check", time.Millisecond)
	m.RedisOperationFailed("deduplication_check")
	m.RedisAvailable(true)
	m.RedisOutageStarted()
	m.RedisOutageEnded(1500 * time.Millisecond)
	wantSamples(t, scrape(t, m),
		`gateway_http_requests_in_flight 1`,
		`gateway_http_requests_total{method="GET",path="/ready",status="503"} 1`,
		`gateway_http_responses_total{method="GET",path="/ready",status_code="503"} 1`,
		`gateway_http_request_duration_seconds_bucket{endpoint="/ready",method="GET",status="503",le="0.002"} 0`,
		`gateway_http_request_duration_seconds_bucket{endpoint="/ready",method="GET",status="503",le="0.004"} 1`,
		`gateway_http_request_duration_seconds_bucket{endpoint="/ready",method="GET",status="503",le="0.512"} 1`,
		`gateway_requests_rejected_total{reason="too_large"} 1`,
		`gateway_rate_limit_exceeded_total{source_ip="10.0.0.1"} 1`,
		`gateway_crd_creation_errors_total{error_type="fallback_failed"} 1`,
		`gateway_retry_attempts_total{error_type="rate_limited",status_code="429"} 1`,
		`gateway_retry_exhausted_total{error_type="rate_limited",status_code="429"} 1`,
		`gateway_retry_success_total{attempt="2",error_type="success"} 1`,
		`gateway_retry_duration_seconds_bucket{error_type="rate_limited",le="0.2"} 0`,
		`gateway_retry_duration_seconds_bucket{error_type="rate_limited",le="12.8"} 1`,
		`gateway_redis_operation_duration_seconds_bucket{operation="deduplication_check",le="0.0016"} 1`,
		`gateway_redis_operation_duration_seconds_bucket{operation="deduplication_check",le="0.0512"} 1`,
		`gateway_redis_operation_errors_total{operation="deduplication_check"} 1`,
		`gateway_redis_available 1`,
		`gateway_duplicate_prevention_active 1`,
		`gateway_redis_outage_count_total 1`,
		`gateway_redis_outage_duration_seconds_total 1.5`,
	)
}

func TestPool(t *testing.T) {
	m := New()
	m.WatchPool(func() *redis.PoolStats {
		return &redis.PoolStats{Hits: 1, Misses: 2, Timeouts: 3, TotalConns: 7, IdleConns: 5, StaleConns: 6}
	}, 20)
	wantSamples(t, scrape(t, m),
		"gateway_redis_pool_hits 1", "gateway_redis_pool_misses 2", "gateway_redis_pool_timeouts 3",
		"gateway_redis_pool_total_connections 7", "gateway_redis_pool_idle_connections 5", "gateway_redis_pool_stale_connections 6",
		"gateway_redis_pool_connections_total 7", "gateway_redis_pool_connections_idle 5", "gateway_redis_pool_connections_active 2",
		"gateway_redis_pool_hits_total 1", "gateway_redis_pool_misses_total 2", "gateway_redis_pool_timeouts_total 3",
		"gateway_deduplication_pool_size 7", "gateway_deduplication_pool_max_size 20",
	)
}

// The text can be parsed, and every metric of ours says what it is.
func TestExposition(t *testing.T) {
	m := New()
	m.WatchPool(func() *redis.PoolStats { return &redis.PoolStats{} }, 1)
	m.SignalCreated(sig, "staging", "P1")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
	if problems, err := m.Registry().Gather(); err != nil || len(problems) == 0 {
		t.Errorf("gather: %v", err)
	}
}

// However many names, namespaces, environments and addresses there are, the
// number of series is limited.
func TestLabelsChosenBySendersAreBounded(t *testing.T) {
	m := New()
	const extra = 100
	for i := range maxLabelValues + extra {
		text := fmt.Sprint("x-", i)
		m.RateLimited(text)
		s := *sig
		s.Name, s.Namespace = text, text
		m.SignalFailed(&s, DeduplicationUnavailable)
		m.SignalDuplicated(&s, "staging", text)
		m.SignalFailed(&s, DeduplicationUnavailable)
		m.SignalCreated(&s, text, "P1")
	}
	text := scrape(t, m)
	wantSamples(t, text,
		fmt.Sprintf(`gateway_rate_limit_exceeded_total{source_ip="other"} %d`, extra),
		fmt.Sprintf(`gateway_signals_deduplicated_total{environment="staging",signal_name="other"} %d`, extra),
		fmt.Sprintf(`gateway_duplicate_signals_total{namespace="other"} %d`, extra),
		// "unknown" and "staging" are environments, too.
		fmt.Sprintf(`gateway_crds_created_total{environment="other",priority="P1"} %d`, extra+2),
		fmt.Sprintf(`gateway_signals_processed_total{environment="other"} %d`, extra+2),
	)
	series := make(map[string]int)
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "{")
		series[name]++
	}
	for name, n := range series {
		if n > maxLabelValues+1 {
			t.Errorf("%s has %d series", name, n)
		}
	}
	if n := series["gateway_consecutive_503_responses"]; n != 0 {
		t.Errorf("%d namespaces are remembered as failing", n)
	}
}

// An outage that hits more namespaces than there can be series for leaves none
// behind.
func TestRunsOfFailuresEnd(t *testing.T) {
	m := New()
	each := func(do func(*signal.Signal)) {
		for i := range maxLabelValues + 1 {
			s := *sig
			s.Namespace = fmt.Sprint("x-", i)
			do(&s)
		}
	}
	each(func(s *signal.Signal) { m.SignalFailed(s, DeduplicationUnavailable) })
	wantSamples(t, scrape(t, m), `gateway_consecutive_503_responses{namespace="x-0"} 1`, `gateway_consecutive_503_responses{namespace="other"} 1`)
	each(func(s *signal.Signal) { m.SignalCreated(s, "staging", "P1") })
	if strings.Contains(scrape(t, m), "gateway_consecutive_503_responses{") {
		t.Error("a run of failures did not end")
	}
}
