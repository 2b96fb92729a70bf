// Package metrics holds the gateway's Prometheus metrics. Their names and labels
// are part of the wire contract. Each event is counted once. No label takes an
// unlimited number of values.
//
// All parts of the gateway import this package, so it imports none of them but
// signal.
package metrics

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stormgate.internal/gateway/signal"
)

// unknownEnvironment labels what failed before its environment was found.
const unknownEnvironment = "unknown"

// Values of labels that only this package knows.
const (
	ignoredResolved = "resolved"

	typeIndividual = "individual"
	typeStorm      = "storm_aggregated"

	reloadSucceeded = "success"
	reloadFailed    = "error"
)

// Metrics are all metrics of one gateway. The parts of the gateway call its methods,
// which may run at the same time. Make one with New: the zero value is of no use.
type Metrics struct {
	registry *prometheus.Registry

	signalsReceived     *prometheus.CounterVec
	receivedByAdapter   *prometheus.CounterVec
	signalsDeduplicated *prometheus.CounterVec
	duplicateSignals    *prometheus.CounterVec
	signalsProcessed    *prometheus.CounterVec
	signalsFailed       *prometheus.CounterVec
	signalsInvalid      *prometheus.CounterVec
	signalsIgnored      *prometheus.CounterVec
	alertsTruncated     prometheus.Counter
	heartbeat           *prometheus.GaugeVec
	severityRaised      *prometheus.CounterVec
	objectsCut          prometheus.Counter
	objectsResolved     prometheus.Counter
	signalsCooledDown   *prometheus.CounterVec
	ownerLookups        *prometheus.CounterVec
	policyFailures      *prometheus.CounterVec
	crdsCreated         *prometheus.CounterVec
	crdsCreatedByType   *prometheus.CounterVec
	crdCreationErrors   *prometheus.CounterVec
	duplicatesPrevented prometheus.Counter
	cacheHits           prometheus.Counter
	cacheMisses         prometheus.Counter

	retryAttempts  *prometheus.CounterVec
	retryExhausted *prometheus.CounterVec
	retrySuccess   *prometheus.CounterVec
	retryDuration  *prometheus.HistogramVec

	httpDuration      *prometheus.HistogramVec
	httpRequests      *prometheus.CounterVec
	httpResponses     *prometheus.CounterVec
	httpInFlight      prometheus.Gauge
	requestsRejected  *prometheus.CounterVec
	rateLimitExceeded *prometheus.CounterVec
	consecutive503    *prometheus.GaugeVec

	authentications    *prometheus.CounterVec
	certificateReloads *prometheus.CounterVec
	certificateExpiry  *prometheus.GaugeVec

	redisDuration       *prometheus.HistogramVec
	redisErrors         *prometheus.CounterVec
	redisAvailable      prometheus.Gauge
	redisOutages        prometheus.Counter
	redisOutageDuration prometheus.Counter
	preventionActive    prometheus.Gauge

	stormsDetected    *prometheus.CounterVec
	bufferUtilization *prometheus.GaugeVec
	bufferBlocking    *prometheus.CounterVec
	bufferOverflow    *prometheus.CounterVec
	windowDuration    *prometheus.HistogramVec
	aggregationRatio  prometheus.Gauge
	costSavings       prometheus.Gauge
	protectionActive  prometheus.Gauge
	storms            storms

	deduplication deduplicationRate

	// Labels whose values are chosen by senders and by the owners of namespaces.
	clients, names, namespaces, environments, failing, heartbeats boundedLabel
}

// New returns metrics in a registry of their own, along with those of the Go
// runtime and the process. Counters whose labels have known values only begin at 0.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.signalsReceived = m.counters("gateway_signals_received_total", "Signals received.", "source", "severity", "environment")
	m.receivedByAdapter = m.counters("gateway_signals_received_by_adapter_total", "Signals received, by adapter.", "adapter")
	m.signalsDeduplicated = m.counters("gateway_signals_deduplicated_total", "Signals that repeated an incident in progress.", "signal_name", "environment")
	m.duplicateSignals = m.counters("gateway_duplicate_signals_total", "Signals that repeated an incident in progress, by the namespace of its object.", "namespace")
	m.signalsProcessed = m.counters("gateway_signals_processed_total", "Signals accepted.", "environment")
	m.signalsFailed = m.counters("gateway_signals_failed_total", "Signals that could not be stored.", "reason")
	m.signalsInvalid = m.counters("gateway_signals_invalid_total", "Signals refused for good, one by one.", "reason")
	m.signalsIgnored = m.counters("gateway_signals_ignored_total", "Signals that start nothing.", "reason")
	m.alertsTruncated = m.counter("gateway_alerts_truncated_total", "Alerts that senders left out of their requests.")
	m.heartbeat = gaugeVec(m.registry, "gateway_heartbeat_timestamp_seconds", "Time of the latest alert by which a monitoring system shows that it works.", "source")
	m.objectsResolved = m.counter("gateway_objects_resolved_total", "Times that it was noted on an object that its alert is resolved.")
	m.ownerLookups = m.counters("gateway_owner_lookups_total", "Look-ups of the workload that a signal's resource belongs to.", "result")
	m.signalsCooledDown = m.counters("gateway_signals_cooled_down_total", "Signals that repeated a finished incident in its cool-down.", "phase")
	m.objectsCut = m.counter("gateway_objects_cut_total", "Objects that lack something of their signal, which was too large.")
	m.severityRaised = m.counters("gateway_severity_raised_total", "Objects that a more severe repeat has raised.", "from", "to")
	m.policyFailures = m.counters("gateway_priority_policy_failures_total", "Signals to which the priority policy gave no priority.", "reason")
	m.crdsCreated = m.counters("gateway_crds_created_total", "RemediationRequests created.", "environment", "priority")
	m.crdsCreatedByType = m.counters("gateway_crds_created_by_type_total", "RemediationRequests created, by what they stand for.", "type")
	m.crdCreationErrors = m.counters("gateway_crd_creation_errors_total", "RemediationRequests that could not be created.", "error_type")
	m.duplicatesPrevented = m.counter("gateway_duplicate_crds_prevented_total", "RemediationRequests not created, since the incident had one already.")
	m.cacheHits = m.counter("gateway_deduplication_cache_hits_total", "Signals found to be duplicates.")
	m.cacheMisses = m.counter("gateway_deduplication_cache_misses_total", "Signals found to be new, and signals that failed.")

	m.retryAttempts = m.counters("gateway_retry_attempts_total", "Failures of the Kubernetes API that may be retried.", "error_type", "status_code")
	m.retryExhausted = m.counters("gateway_retry_exhausted_total", "Requests to the Kubernetes API given up after the last retry.", "error_type", "status_code")
	m.retrySuccess = m.counters("gateway_retry_success_total", "Requests to the Kubernetes API that succeeded when retried.", "error_type", "attempt")
	m.retryDuration = m.histograms("gateway_retry_duration_seconds", "Time from the first attempt to the last, of requests that were retried.", prometheus.ExponentialBuckets(0.1, 2, 8), "error_type")

	m.httpDuration = m.histograms("gateway_http_request_duration_seconds", "Time to answer requests.", prometheus.ExponentialBuckets(0.001, 2, 10), "endpoint", "method", "status")
	m.httpRequests = m.counters("gateway_http_requests_total", "Requests answered.", "method", "path", "status")
	m.httpResponses = m.counters("gateway_http_responses_total", "Responses sent.", "method", "path", "status_code")
	m.httpInFlight = m.gauge("gateway_http_requests_in_flight", "Requests being handled.")
	m.requestsRejected = m.counters("gateway_requests_rejected_total", "Requests, and signals of requests, refused before they were processed.", "reason")
	m.rateLimitExceeded = m.counters("gateway_rate_limit_exceeded_total", "Requests refused because the client sent too many.", "source_ip")
	m.consecutive503 = gaugeVec(m.registry, "gateway_consecutive_503_responses", "Signals of a namespace answered 503 in a row.", "namespace")

	m.authentications = m.counters("gateway_authentications_total", "Requests that had to show who sent them.", "method", "outcome")
	m.certificateReloads = m.counters("gateway_tls_reloads_total", "Times that changed certificates were read again, or could not be.", "result")
	m.certificateExpiry = gaugeVec(m.registry, "gateway_tls_certificate_expiry_timestamp_seconds", "When the gateway's certificate expires.")

	m.redisDuration = m.histograms("gateway_redis_operation_duration_seconds", "Time taken by operations on Redis.", prometheus.ExponentialBuckets(0.0001, 2, 10), "operation")
	m.redisErrors = m.counters("gateway_redis_operation_errors_total", "Failed operations on Redis.", "operation")
	m.redisAvailable = m.gauge("gateway_redis_available", "1 if Redis can be reached and takes writes, else 0.")
	m.redisOutages = m.counter("gateway_redis_outage_count_total", "Times that Redis was lost.")
	m.redisOutageDuration = m.counter("gateway_redis_outage_duration_seconds_total", "Length of the outages of Redis that are over.")
	m.preventionActive = m.gauge("gateway_duplicate_prevention_active", "1 if Redis can be reached, so that duplicates are found; else 0.")

	m.registerStorms()
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_deduplication_rate", Help: "Share of the signals of the last five minutes that were duplicates, 0 to 1.",
	}, m.deduplication.value))
	m.beginAtZero()
	return m
}

// Handler serves the metrics in Prometheus' text format. It leaves the request that
// it answers out of the requests in flight. With it, their number could never be
// seen to be 0.
func (m *Metrics) Handler() http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: nil})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.httpInFlight.Dec()
		defer m.httpInFlight.Inc()
		scrape.ServeHTTP(w, r)
	})
}

var descPattern = regexp.MustCompile(`^Desc\{fqName: "(gateway_[a-z0-9_]+)".*variableLabels: \{([^}]*)\}\}$`)

// Families returns the names of all of the gateway's own metrics, each with its
// labels, sorted. A scrape leaves out those that have no samples yet; they are here.
func (m *Metrics) Families() map[string][]string {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m.registry.Describe(descs)
	}()
	families := make(map[string][]string)
	for desc := range descs {
		if found := descPattern.FindStringSubmatch(desc.String()); found != nil {
			families[found[1]] = strings.FieldsFunc(found[2], func(c rune) bool { return c == ',' })
			slices.Sort(families[found[1]])
		}
	}
	return families
}

// Registry returns the registry, for further collectors.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// SignalCreated counts a signal that became an object.
func (m *Metrics) SignalCreated(sig *signal.Signal, environment, priority string) {
	environment = m.received(sig, environment)
	m.signalsProcessed.WithLabelValues(environment).Inc()
	m.crdsCreated.WithLabelValues(environment, priority).Inc()
	m.crdsCreatedByType.WithLabelValues(typeIndividual).Inc()
	m.cacheMisses.Inc()
	m.deduplication.add(false)
	m.recovered(sig.Namespace)
}

// SignalGathered counts a signal that was taken into a storm.
func (m *Metrics) SignalGathered(sig *signal.Signal, environment string) {
	environment = m.received(sig, environment)
	m.signalsProcessed.WithLabelValues(environment).Inc()
	m.cacheMisses.Inc()
	m.deduplication.add(false)
	m.recovered(sig.Namespace)
}

// SignalDuplicated counts a signal that repeated an incident. The environment is
// empty if it is not known.
func (m *Metrics) SignalDuplicated(sig *signal.Signal, environment, objectNamespace string) {
	environment = m.received(sig, environment)
	m.signalsProcessed.WithLabelValues(environment).Inc()
	m.signalsDeduplicated.WithLabelValues(m.names.admit(sig.Name), environment).Inc()
	m.duplicateSignals.WithLabelValues(m.namespaces.admit(objectNamespace)).Inc()
	m.duplicatesPrevented.Inc()
	m.cacheHits.Inc()
	m.deduplication.add(true)
	m.recovered(sig.Namespace)
}

// SignalIgnored counts a signal that starts nothing: its condition is over, or it is
// about nothing that could be remedied. It notes a heartbeat.
func (m *Metrics) SignalIgnored(sig *signal.Signal) {
	m.received(sig, unknownEnvironment)
	reason := sig.Ignored
	if sig.Resolved {
		reason = ignoredResolved
	} else if sig.Heartbeat != "" {
		m.heartbeat.WithLabelValues(m.heartbeats.admit(sig.Heartbeat)).Set(float64(sig.ReceivedTime.Unix()))
	}
	m.signalsIgnored.WithLabelValues(reason).Inc()
}

// SignalInvalid counts a signal that was refused for good, for a reason of a small fixed
// set. The other signals of its request may have been stored.
func (m *Metrics) SignalInvalid(reason string) { m.signalsInvalid.WithLabelValues(reason).Inc() }

// AlertsTruncated counts alerts that a sender left out of a request.
func (m *Metrics) AlertsTruncated(alerts int) { m.alertsTruncated.Add(float64(alerts)) }

// ObjectCut counts an object that lacks something of its signal.
func (m *Metrics) ObjectCut() { m.objectsCut.Inc() }

// ObjectResolved counts an object on which it was noted that its alert is resolved.
func (m *Metrics) ObjectResolved() { m.objectsResolved.Inc() }

// SignalCooledDown counts a signal that repeated an incident which ended in a phase not
// long ago.
func (m *Metrics) SignalCooledDown(phase string) { m.signalsCooledDown.WithLabelValues(phase).Inc() }

// OwnerLookedUp counts a look-up of a workload by how it went.
func (m *Metrics) OwnerLookedUp(result string) { m.ownerLookups.WithLabelValues(result).Inc() }

// SeverityRaised counts an object whose severity has risen.
func (m *Metrics) SeverityRaised(from, to string) { m.severityRaised.WithLabelValues(from, to).Inc() }

// PolicyFailure says why the priority policy gave no priority. It is the value of the
// label reason.
type PolicyFailure string

const (
	// PolicyUndefined means that no rule applies.
	PolicyUndefined PolicyFailure = "undefined"
	// PolicyContradicts means that rules contradict each other, or failed.
	PolicyContradicts PolicyFailure = "contradictory"
	// PolicyInvalid means that the answer is no priority.
	PolicyInvalid PolicyFailure = "invalid"
)

// PolicyFailed counts a signal to which the policy gave no priority.
func (m *Metrics) PolicyFailed(reason PolicyFailure) {
	m.policyFailures.WithLabelValues(string(reason)).Inc()
}

// FailureReason says why a signal could not be stored. It is the value of the label
// reason.
type FailureReason string

const (
	// DeduplicationUnavailable means that it is not known whether the signal is new:
	// Redis failed, or other signals of the incident were in the way for too long.
	DeduplicationUnavailable FailureReason = "deduplication_unavailable"
	// KubernetesAPI means that the Kubernetes API failed.
	KubernetesAPI FailureReason = "kubernetes_api"
	// Cancelled means that the sender did not wait for the answer.
	Cancelled FailureReason = "cancelled"
)

// SignalFailed counts a signal that could not be stored.
func (m *Metrics) SignalFailed(sig *signal.Signal, reason FailureReason) {
	m.received(sig, unknownEnvironment)
	m.cacheMisses.Inc()
	m.signalsFailed.WithLabelValues(string(reason)).Inc()
	if reason == DeduplicationUnavailable {
		m.consecutive503.WithLabelValues(m.failing.admit(sig.Namespace)).Inc()
	}
}

// recovered ends a namespace's run of failures.
func (m *Metrics) recovered(namespace string) {
	if m.failing.forget(namespace) {
		m.consecutive503.DeleteLabelValues(namespace)
		if m.failing.empty() {
			m.consecutive503.DeleteLabelValues(otherValue)
		}
	}
}

// received counts a signal in. The environment is empty if it is not known. The
// result is the value of the label environment.
func (m *Metrics) received(sig *signal.Signal, environment string) string {
	if environment == "" {
		environment = unknownEnvironment
	}
	environment = m.environments.admit(environment)
	m.signalsReceived.WithLabelValues(sig.Type, sig.Severity, environment).Inc()
	m.receivedByAdapter.WithLabelValues(sig.Source).Inc()
	return environment
}

// CreateFailed counts an object that could not be created. The class is
// k8s_api_error, fallback_failed or fetch_existing_failed.
func (m *Metrics) CreateFailed(class string) { m.crdCreationErrors.WithLabelValues(class).Inc() }

// RetryAttempt counts a failure that may be retried. Here and below, class and code
// are the values of the labels error_type and status_code.
func (m *Metrics) RetryAttempt(class, code string) {
	m.retryAttempts.WithLabelValues(class, code).Inc()
}

// RetryExhausted counts a request that failed at the last attempt.
func (m *Metrics) RetryExhausted(class, code string) {
	m.retryExhausted.WithLabelValues(class, code).Inc()
}

// RetrySucceeded counts a request that succeeded at an attempt after the first,
// which has number 1.
func (m *Metrics) RetrySucceeded(attempt int) {
	m.retrySuccess.WithLabelValues("success", strconv.Itoa(attempt)).Inc()
}

// RetryDuration observes how long a request was tried that was retried at least
// once. The class is that of the latest failure.
func (m *Metrics) RetryDuration(class string, duration time.Duration) {
	m.retryDuration.WithLabelValues(class).Observe(duration.Seconds())
}

// RequestStarted counts a request in.
func (m *Metrics) RequestStarted() { m.httpInFlight.Inc() }

// RequestEnded counts a request out. The path is a route's pattern, or other.
func (m *Metrics) RequestEnded(path, method string, status int, duration time.Duration) {
	m.httpInFlight.Dec()
	code := strconv.Itoa(status)
	m.httpDuration.WithLabelValues(path, method, code).Observe(duration.Seconds())
	m.httpRequests.WithLabelValues(method, path, code).Inc()
	m.httpResponses.WithLabelValues(method, path, code).Inc()
}

// RequestRejected counts a request refused for a reason of a small fixed set.
func (m *Metrics) RequestRejected(reason string) { m.requestsRejected.WithLabelValues(reason).Inc() }

// RateLimited counts a request refused because its client sent too many.
func (m *Metrics) RateLimited(client string) {
	m.rateLimitExceeded.WithLabelValues(m.clients.admit(client)).Inc()
}

// AuthenticationOutcome says what became of a request that had to show who sent it. It
// is the value of the label outcome.
type AuthenticationOutcome string

const (
	// Admitted means that the sender may.
	Admitted AuthenticationOutcome = "admitted"
	// Unauthenticated means that it is not known who the sender is.
	Unauthenticated AuthenticationOutcome = "unauthenticated"
	// Forbidden means that the sender may not.
	Forbidden AuthenticationOutcome = "forbidden"
	// Undecided means that the Kubernetes API did not say, or was not asked because the
	// client's address has sent too many bad tokens.
	Undecided AuthenticationOutcome = "undecided"
)

// Authenticated counts a request that had to show who sent it, by a method of a small
// fixed set.
func (m *Metrics) Authenticated(method string, outcome AuthenticationOutcome) {
	m.authentications.WithLabelValues(method, string(outcome)).Inc()
}

// CertificateReloaded counts changed certificates, and each time that files could not
// be read or used.
func (m *Metrics) CertificateReloaded(ok bool) {
	result := reloadFailed
	if ok {
		result = reloadSucceeded
	}
	m.certificateReloads.WithLabelValues(result).Inc()
}

// CertificateExpires sets when the gateway's certificate expires.
func (m *Metrics) CertificateExpires(at time.Time) {
	m.certificateExpiry.WithLabelValues().Set(float64(at.Unix()))
}

// RedisOperation observes an operation on Redis, such as deduplication_check.
func (m *Metrics) RedisOperation(operation string, duration time.Duration) {
	m.redisDuration.WithLabelValues(operation).Observe(duration.Seconds())
}

// RedisOperationFailed counts an operation on Redis that failed.
func (m *Metrics) RedisOperationFailed(operation string) {
	m.redisErrors.WithLabelValues(operation).Inc()
}

// RedisAvailable sets whether Redis could be reached at the latest look.
func (m *Metrics) RedisAvailable(available bool) {
	value := 0.0
	if available {
		value = 1
	}
	m.redisAvailable.Set(value)
	m.preventionActive.Set(value)
	m.protectionActive.Set(value)
}

// RedisOutageStarted counts an outage of Redis: it was reachable, and is not now.
func (m *Metrics) RedisOutageStarted() { m.redisOutages.Inc() }

// RedisOutageEnded adds the length of an outage that is over.
func (m *Metrics) RedisOutageEnded(duration time.Duration) {
	m.redisOutageDuration.Add(duration.Seconds())
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func gaugeVec(registry *prometheus.Registry, name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	registry.MustRegister(g)
	return g
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}
