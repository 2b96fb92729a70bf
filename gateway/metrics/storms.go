package metrics

import (
	"sync"
	"time"
)

// storms is what the metrics of storms remember. The zero value is ready for use.
type storms struct {
	names, utilized, places boundedLabel
	windows                 boundedLabel

	mu sync.Mutex
	// aggregated is the number of alerts that share an object. single is the number of
	// alerts that were buffered and got an object of their own.
	aggregated, single float64
}

func (m *Metrics) registerStorms() {
	m.stormsDetected = m.counters("gateway_signal_storms_detected_total", "Alerts that were part of a storm.", "storm_type", "signal_name")
	m.bufferUtilization = gaugeVec(m.registry, "gateway_namespace_buffer_utilization", "Share of a namespace's limit of buffered alerts that was in use when its latest storm alert came.", "namespace")
	m.bufferBlocking = m.counters("gateway_namespace_buffer_blocking_total", "Alerts that found no room to be buffered.", "namespace")
	m.bufferOverflow = m.counters("gateway_storm_buffer_overflow_total", "Windows opened early because there was no room to buffer.", "namespace")
	m.windowDuration = m.histograms("gateway_storm_window_duration_seconds", "Time from the opening of a storm window to its last alert.", []float64{10, 30, 60, 120, 180, 300}, "namespace", "alert_name")
	m.aggregationRatio = m.gauge("gateway_storm_aggregation_ratio", "Share of the storms' alerts that share an object, among those that have an object.")
	m.costSavings = m.gauge("gateway_storm_cost_savings_percent", "Objects that the latest storm object saved, in percent of its alerts.")
	m.protectionActive = m.gauge("gateway_storm_protection_active", "1 if Redis can be reached, so that storms are gathered; else 0.")
}

// StormAlert counts an alert that was part of a storm. The kind is rate or pattern.
func (m *Metrics) StormAlert(kind, name string) {
	m.stormsDetected.WithLabelValues(kind, m.storms.names.admit(name)).Inc()
}

// BufferUtilization sets the share of a namespace's limit that is in use.
func (m *Metrics) BufferUtilization(namespace string, share float64) {
	m.bufferUtilization.WithLabelValues(m.storms.utilized.admit(namespace)).Set(share)
}

// BufferOverflowed counts an alert that found no room to be buffered. Its window is
// opened at once.
func (m *Metrics) BufferOverflowed(namespace string) {
	namespace = m.storms.places.admit(namespace)
	m.bufferBlocking.WithLabelValues(namespace).Inc()
	m.bufferOverflow.WithLabelValues(namespace).Inc()
}

// StormObject counts a storm object that was created with so many members. With an
// empty priority it counts one member that was added to an object instead.
func (m *Metrics) StormObject(environment, priority string, members int) {
	added := 1
	if priority != "" {
		added = members
		m.crdsCreated.WithLabelValues(m.environments.admit(environment), priority).Inc()
		m.crdsCreatedByType.WithLabelValues(typeStorm).Inc()
	}
	m.costSavings.Set(float64(members-1) / float64(members) * 100)
	m.gathered(float64(added), 0)
}

// FlushedObject counts the object of an alert that was buffered and joined no window.
func (m *Metrics) FlushedObject(environment, priority string) {
	m.crdsCreated.WithLabelValues(m.environments.admit(environment), priority).Inc()
	m.crdsCreatedByType.WithLabelValues(typeIndividual).Inc()
	m.gathered(0, 1)
}

func (m *Metrics) gathered(aggregated, single float64) {
	s := &m.storms
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aggregated += aggregated
	s.single += single
	m.aggregationRatio.Set(s.aggregated / (s.aggregated + s.single))
}

// WindowClosed observes the time from a window's opening to its last alert.
func (m *Metrics) WindowClosed(namespace, name string, duration time.Duration) {
	label := m.storms.windows.admit(namespace + "/" + name)
	if label == otherValue {
		namespace, name = otherValue, otherValue
	}
	m.windowDuration.WithLabelValues(namespace, name).Observe(duration.Seconds())
}
