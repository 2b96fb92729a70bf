package e2e_test

import (
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"stormgate.internal/e2e/suite"
)

// Scenario 08: the gateway's metrics are true. A gateway counts all of its requests
// together, so these specs have a gateway of their own and take turns.

const (
	durationMetric  = "gateway_http_request_duration_seconds_count"
	responsesMetric = "gateway_http_responses_total"
	requestsMetric  = "gateway_http_requests_total"
	inFlightMetric  = "gateway_http_requests_in_flight"
	poolHits        = "gateway_redis_pool_hits_total"
	poolMisses      = "gateway_redis_pool_misses_total"
	poolTimeouts    = "gateway_redis_pool_timeouts_total"
	poolTotal       = "gateway_redis_pool_connections_total"
	poolIdle        = "gateway_redis_pool_connections_idle"
	poolActive      = "gateway_redis_pool_connections_active"
)

// signals returns the labels that a metric has for requests to AlertManager's route.
func signals(of string, status string) []string {
	switch of {
	case durationMetric:
		return []string{"endpoint", suite.PrometheusRoute, "method", "POST", "status", status}
	case requestsMetric:
		return []string{"path", suite.PrometheusRoute, "method", "POST", "status", status}
	}
	return []string{"path", suite.PrometheusRoute, "method", "POST", "status_code", status}
}

// sendNews sends alerts that begin that many incidents.
func sendNews(ctx SpecContext, tenant *suite.Namespace, count int) {
	GinkgoHelper()
	for range count {
		suite.BeginIncident(ctx, tenant.NewAlert())
	}
}

var _ = Describe("The metrics endpoint", func() {
	It("answers in Prometheus' text format, with every metric that needs no event", func(ctx SpecContext) {
		metrics := suite.Gateway().Metrics(ctx)
		Expect(metrics.ContentType).To(HavePrefix("text/plain; version=0.0.4"))
		for _, name := range []string{
			"gateway_deduplication_cache_hits_total", "gateway_deduplication_cache_misses_total",
			"gateway_deduplication_pool_max_size", "gateway_deduplication_pool_size", "gateway_deduplication_rate",
			"gateway_duplicate_crds_prevented_total", "gateway_duplicate_prevention_active",
			"gateway_redis_available", "gateway_redis_outage_count_total", "gateway_redis_outage_duration_seconds_total",
			"gateway_redis_pool_hits", "gateway_redis_pool_idle_connections", "gateway_redis_pool_misses",
			"gateway_redis_pool_stale_connections", "gateway_redis_pool_timeouts", "gateway_redis_pool_total_connections",
			"gateway_storm_aggregation_ratio", "gateway_storm_cost_savings_percent", "gateway_storm_protection_active",
			poolHits, poolIdle, poolActive, poolMisses, poolTimeouts, poolTotal, inFlightMetric,
		} {
			Expect(metrics.Has(name)).To(BeTrue(), name)
		}
	})

	It("has counters for events that have not happened yet, which alert rules would else not notice", func(ctx SpecContext) {
		metrics := suite.Gateway().Metrics(ctx)
		for name, labels := range map[string][]string{
			"gateway_requests_rejected_total":        {"reason", "too_large"},
			"gateway_signals_invalid_total":          {"reason", "malformed_alert"},
			"gateway_signals_failed_total":           {"reason", "kubernetes_api"},
			"gateway_crd_creation_errors_total":      {"error_type", "k8s_api_error"},
			"gateway_retry_exhausted_total":          {"error_type", "rate_limited", "status_code", "429"},
			"gateway_authentications_total":          {"method", "token", "outcome", "forbidden"},
			"gateway_priority_policy_failures_total": {"reason", "contradictory"},
		} {
			Expect(metrics.Has(name, labels...)).To(BeTrue(), name)
		}
	})

	It("has durations by route, method and status, and the number of requests in flight", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		sendNews(ctx, suite.NewNamespace(ctx), 1)

		metrics := suite.Gateway().Metrics(ctx)

		Expect(metrics.Value(durationMetric, signals(durationMetric, "201")...)).To(BeNumerically(">=", 1))
		Expect(metrics.Value("gateway_http_request_duration_seconds_bucket", append(signals(durationMetric, "201"), "le", "+Inf")...)).
			To(Equal(metrics.Value(durationMetric, signals(durationMetric, "201")...)))
		Expect(metrics.Value("gateway_http_request_duration_seconds_sum", signals(durationMetric, "201")...)).To(BeNumerically(">", 0))
		Expect(metrics.Has(inFlightMetric)).To(BeTrue())
	})
})

var _ = Describe("The metrics of Redis' connection pool", func() {
	It("agree with what Redis sees", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		sendNews(ctx, suite.NewNamespace(ctx), 1)

		// A connection may be made or dropped between two looks.
		Eventually(ctx, func(g Gomega, ctx SpecContext) {
			before := suite.GatewayConnections(ctx)
			metrics := suite.Gateway().Metrics(ctx)
			g.Expect(suite.GatewayConnections(ctx)).To(Equal(before))
			g.Expect(metrics.Value(poolTotal)).To(BeEquivalentTo(before))
			// Nothing is going on but the probes.
			g.Expect(metrics.Value(poolIdle)).To(BeEquivalentTo(before))
		}).Should(Succeed())
	})

	It("add up: every connection is idle or active", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		sendNews(ctx, suite.NewNamespace(ctx), 1)

		metrics := suite.Gateway().Metrics(ctx)

		Expect(metrics.Value(poolTotal)).To(BeNumerically(">", 0))
		Expect(metrics.Value(poolTotal)).To(Equal(metrics.Value(poolIdle) + metrics.Value(poolActive)))
		Expect(metrics.Value(poolTimeouts)).To(BeZero())
		// Each has another name besides, with the same value.
		Expect(metrics.Value("gateway_redis_pool_total_connections")).To(Equal(metrics.Value(poolTotal)))
		Expect(metrics.Value("gateway_redis_pool_idle_connections")).To(Equal(metrics.Value(poolIdle)))
		Expect(metrics.Value("gateway_redis_pool_hits")).To(Equal(metrics.Value(poolHits)))
		Expect(metrics.Value("gateway_redis_pool_misses")).To(Equal(metrics.Value(poolMisses)))
	})

	It("count each use of a connection, as far as the commands go that Redis gets", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		const news = 5
		commandsBefore := suite.RedisCommands(ctx)
		before := suite.Gateway().Metrics(ctx)

		sendNews(ctx, tenant, news)

		uses := suite.Gateway().Metrics(ctx).Since(before)
		// For a new incident the gateway reads Redis before it creates the object, and
		// writes to Redis afterwards.
		Expect(uses.Value(poolHits) + uses.Value(poolMisses)).To(BeNumerically(">=", 2*news))
		// Each use is for one command or more.
		Expect(uses.Value(poolHits) + uses.Value(poolMisses)).To(BeNumerically("<=", suite.RedisCommands(ctx)-commandsBefore))
	})

	It("never fall, and show that connections are used again", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		before := suite.Gateway().Metrics(ctx)
		for range 3 {
			sendNews(ctx, tenant, 1)
			after := suite.Gateway().Metrics(ctx)
			Expect(after.Value(poolHits)).To(BeNumerically(">", before.Value(poolHits)))
			for _, counter := range []string{poolMisses, poolTimeouts} {
				Expect(after.Value(counter)).To(BeNumerically(">=", before.Value(counter)), counter)
			}
			before = after
		}
	})
})

var _ = Describe("The metrics of requests", func() {
	It("count an accepted webhook exactly once", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()

		before := suite.Gateway().Metrics(ctx)
		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeCreatedFor(alert))
		Expect(suite.Gateway().Metrics(ctx).Since(before)).To(haveCounted("201"))

		before = suite.Gateway().Metrics(ctx)
		Expect(suite.Gateway().SendPrometheus(ctx, alert).Code).To(Equal(http.StatusAccepted))
		after := suite.Gateway().Metrics(ctx).Since(before)
		Expect(after).To(haveCounted("202"))
		Expect(after.Value("gateway_signals_deduplicated_total", "signal_name", alert.Name)).To(BeEquivalentTo(1))
	})

	It("count a webhook that is no JSON as one 400", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		before := suite.Gateway().Metrics(ctx)

		Expect(suite.Gateway().SendText(ctx, `{"alerts": [`)).To(suite.BeProblem(http.StatusBadRequest, "Bad Request"))

		Expect(suite.Gateway().Metrics(ctx).Since(before)).To(haveCounted("400"))
	})

	It("show a request in flight while it is, and not longer", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		alert := suite.NewNamespace(ctx).NewAlert()
		// Probes of the pod are in flight at times.
		inFlight := func() float64 { return suite.Gateway().Metrics(ctx).Value(inFlightMetric) }
		Eventually(ctx, inFlight).Should(BeZero())

		request := suite.Gateway().BeginPrometheus(ctx, alert)
		Eventually(ctx, inFlight).Should(BeNumerically(">=", 1))
		// For longer than the period of the probes: a probe would end within it.
		Consistently(ctx, inFlight, "1500ms").Should(BeNumerically(">=", 1))
		Expect(request.Finish()).To(suite.BeCreatedFor(alert))

		Eventually(ctx, inFlight).Should(BeZero())
	})
})

var _ = Describe("The metrics of a storm", func() {
	It("tell what it saved, and count its alerts once", func(ctx SpecContext) {
		const before, members = 10, 5 // more than ten of a name are a storm, and five of those open its window
		suite.Exclusively(ctx)
		pods := suite.NewNamespace(ctx).NewAlert().OnPods(1, before+members)
		for _, pod := range pods[:before] {
			suite.BeginIncident(ctx, pod)
		}
		calm := suite.Gateway().Metrics(ctx)

		suite.OpenStorm(ctx, pods[before:]...)

		after := suite.Gateway().Metrics(ctx)
		// One object instead of five.
		Expect(after.Value("gateway_storm_cost_savings_percent")).To(BeEquivalentTo(80))
		Expect(after.Value("gateway_signal_storms_detected_total", "storm_type", "rate", "signal_name", pods[0].Name)).To(BeEquivalentTo(members))
		Expect(after.Since(calm).Value("gateway_crds_created_by_type_total", "type", "storm_aggregated")).To(BeEquivalentTo(1))
		Expect(after.Since(calm).Value("gateway_crds_created_total")).To(BeEquivalentTo(1))
	})
})

// haveCounted matches the changes of the counters after one webhook that was answered
// with that status: one for that status, none for any other.
func haveCounted(status string) types.GomegaMatcher {
	var all []types.GomegaMatcher
	for _, metric := range []string{durationMetric, requestsMetric, responsesMetric} {
		path := "path"
		if metric == durationMetric {
			path = "endpoint"
		}
		all = append(all,
			WithTransform(func(m suite.Metrics) float64 { return m.Value(metric, signals(metric, status)...) }, BeEquivalentTo(1)),
			WithTransform(func(m suite.Metrics) float64 { return m.Value(metric, path, suite.PrometheusRoute) }, BeEquivalentTo(1)),
		)
	}
	return SatisfyAll(all...)
}
