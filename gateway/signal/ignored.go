package signal

import (
	"sync"

	"stormgate.internal/gateway/config"
)

// Reasons why a signal is ignored: values of Signal.Ignored and of metrics.
const (
	// IgnoredByName means that alerts of this name are about nothing to be remedied.
	IgnoredByName = "alert_name"
	// IgnoredBySeverity means that the severity says so.
	IgnoredBySeverity = "severity"
	// IgnoredAge means that the event happened too long ago.
	IgnoredAge = "too_old"
	// IgnoredDeleted means that a watch says that the event was deleted, not that it
	// happened.
	IgnoredDeleted = "deleted"
)

// Ignored says which alerts start nothing.
type Ignored struct{ names, severities, heartbeats map[string]bool }

// NewIgnored returns what the configuration says.
func NewIgnored(cfg config.Ignore) *Ignored {
	return &Ignored{names: setOf(cfg.AlertNames), severities: setOf(cfg.Severities), heartbeats: setOf(cfg.Heartbeats)}
}

// defaultIgnored is that of a configuration that says nothing.
var defaultIgnored = sync.OnceValue(func() *Ignored { return NewIgnored(config.Default().Processing.Ignore) })

// reason returns why an alert with the labels is ignored, or "".
func (i *Ignored) reason(labels map[string]string) string {
	switch name := labels["alertname"]; {
	case i.names[name], i.heartbeats[name]:
		return IgnoredByName
	case i.severities[labels["severity"]]:
		return IgnoredBySeverity
	}
	return ""
}

// heartbeat returns who is alive if the alert says so by firing, or "".
func (i *Ignored) heartbeat(labels map[string]string) string {
	if name := labels["alertname"]; !i.heartbeats[name] {
		return ""
	}
	if prometheus := labels["prometheus"]; prometheus != "" {
		return prometheus
	}
	return unknownName
}
