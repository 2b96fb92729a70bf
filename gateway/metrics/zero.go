package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"stormgate.internal/gateway/signal"
)

// beginAtZero makes all series of the counters whose labels have known values only.
// Prometheus' increase() and rate() compare samples, so an event that makes a series
// appear is none to them. An alert rule for a first event needs the 0 before it.
//
// The values are those that other parts of the gateway count with. A further one is
// counted, too, but its first event is seen by no rule: metricstest.Read refuses it.
func (m *Metrics) beginAtZero() {
	each(m.receivedByAdapter, "prometheus", "kubernetes-events")
	each(m.signalsFailed, DeduplicationUnavailable, KubernetesAPI, Cancelled)
	each(m.signalsInvalid,
		signal.ReasonMalformedAlert, signal.ReasonMalformedTime, signal.ReasonNoName, signal.ReasonNameTooLong, signal.ReasonTime)
	each(m.signalsIgnored, ignoredResolved, signal.IgnoredByName, signal.IgnoredBySeverity, signal.IgnoredAge, signal.IgnoredDeleted)
	each(m.signalsCooledDown, "Completed", "Failed", "Cancelled")
	each(m.ownerLookups, "cached", "found", "missing", "stale", "failed")
	each(m.policyFailures, PolicyUndefined, PolicyContradicts, PolicyInvalid)
	each(m.crdsCreatedByType, typeIndividual, typeStorm)
	each(m.crdCreationErrors, "k8s_api_error", "fallback_failed", "fetch_existing_failed")
	each(m.requestsRejected,
		"method", "timestamp", "content_type", "content_encoding", "too_large", "memory", "rate_limit", "unreadable_body",
		string(Unauthenticated), string(Forbidden), string(Undecided),
		signal.ReasonMalformed, signal.ReasonMalformedAlert, signal.ReasonMalformedTime, signal.ReasonNoAlerts, signal.ReasonNoName,
		signal.ReasonNameTooLong, signal.ReasonNoResource, signal.ReasonEventType, signal.ReasonTime)
	each(m.certificateReloads, reloadFailed, reloadSucceeded)
	each(m.redisErrors, "deduplication_check", "deduplication_store", "storm_detection", "storm_aggregation")

	for _, rise := range [][2]string{
		{signal.SeverityInfo, signal.SeverityWarning}, {signal.SeverityInfo, signal.SeverityCritical}, {signal.SeverityWarning, signal.SeverityCritical},
	} {
		m.severityRaised.WithLabelValues(rise[0], rise[1])
	}
	for method, outcomes := range map[string][]AuthenticationOutcome{
		"token":       {Admitted, Unauthenticated, Forbidden, Undecided},
		"certificate": {Admitted, Unauthenticated, Forbidden},
		"none":        {Unauthenticated},
	} {
		for _, outcome := range outcomes {
			m.authentications.WithLabelValues(method, string(outcome))
		}
	}
	for _, failure := range [][2]string{
		{"rate_limited", "429"}, {"service_unavailable", "503"}, {"gateway_timeout", "504"}, {"timeout", "0"}, {"network_error", "0"},
	} {
		m.retryAttempts.WithLabelValues(failure[0], failure[1])
		m.retryExhausted.WithLabelValues(failure[0], failure[1])
	}
}

// each makes the series of a counter with one label.
func each[T ~string](counter *prometheus.CounterVec, values ...T) {
	for _, value := range values {
		counter.WithLabelValues(string(value))
	}
}
