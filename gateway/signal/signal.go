// Package signal turns what monitoring systems send into one shape. An adapter
// for each kind of sender parses, validates and normalises a request body; the
// rest of the gateway knows only Signal.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Severities, the only values of Signal.Severity.
const (
	SeverityCritical = "critical"
	SeverityWarning  = "warning"
	SeverityInfo     = "info"
)

// MaxNameLength is the longest name of a signal in characters: what the
// resource's schema admits.
const MaxNameLength = 253

// Signal is one alert or event, normalised.
type Signal struct {
	// Type and Source say what sent it: prometheus-alert and prometheus.
	Type, Source string
	// Name is the alert's name, 1 to MaxNameLength characters.
	Name string
	// Severity is critical, warning or info.
	Severity string
	// Namespace is as the sender wrote it: it may be empty, no valid name, or not exist.
	Namespace string
	// Resource is what the signal is about.
	Resource Resource
	// Labels and Annotations are the sender's, complete and of any length.
	Labels, Annotations map[string]string
	// FiringTime is when the condition began; never zero.
	FiringTime time.Time
	// ReceivedTime is when the gateway got the request.
	ReceivedTime time.Time
	// Fingerprint identifies the incident, see Fingerprint.
	Fingerprint string
	// Resolved is true for the end of a condition, which starts nothing.
	Resolved bool
	// Payload is the request body that would have carried this signal alone.
	Payload []byte
}

// Resource names what a signal is about. Kind Unknown and name unknown stand for
// a signal that does not say.
type Resource struct {
	Kind, Name, Namespace string
}

// ID returns namespace:Kind:name, or Kind:name when the namespace is empty.
func (r Resource) ID() string {
	if r.Namespace == "" {
		return r.Kind + ":" + r.Name
	}
	return r.Namespace + ":" + r.Kind + ":" + r.Name
}

// Fingerprint returns the identity of an incident: 64 characters of lower-case
// hex, the SHA-256 of name:namespace:kind:resource. The parts are not escaped,
// so a:b, c and a, b:c are the same; the wire contract wants it so.
func Fingerprint(name, namespace, kind, resource string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{name, namespace, kind, resource}, ":")))
	return hex.EncodeToString(sum[:])
}

// Parsed is one signal of a request, or why that one is not acceptable.
type Parsed struct {
	Signal *Signal
	Err    error
}

// InvalidError says what is wrong with a request or with one signal of it.
type InvalidError struct {
	// Reason is one of a small fixed set of words, for metrics.
	Reason string
	// Detail is for the sender to read.
	Detail string
}

var _ error = (*InvalidError)(nil)

// Error returns the detail.
func (e *InvalidError) Error() string { return e.Detail }

// Reasons of InvalidError.
const (
	ReasonMalformed   = "malformed_body"
	ReasonNoAlerts    = "no_alerts"
	ReasonNoName      = "missing_name"
	ReasonNameTooLong = "name_too_long"
)
