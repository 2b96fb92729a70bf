// Package signal turns what monitoring systems send into one shape. An adapter
// for each kind of sender parses, validates and normalises a request body; the
// rest of the gateway knows only Signal.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
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
	// Type and Source say what sent it: prometheus-alert and prometheus, or
	// kubernetes-event and kubernetes-events.
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
	// Detail tells the resource apart from others that Kind, Name and Namespace are the
	// same of: labels as {a="b"}, sorted, or "". It is part of the fingerprint.
	Detail string
	// Resolved is true for the end of a condition, which starts nothing.
	Resolved bool
	// EndTime is when the condition ended, if Resolved.
	EndTime time.Time
	// Ignored says why the signal starts nothing though it is firing, or is "".
	Ignored string
	// Heartbeat names the monitoring system that shows by this signal that it works, or
	// is "".
	Heartbeat string
	// Truncated is the number of signals that the sender left out of the request.
	Truncated int
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
	// Err is nil, or wraps an *InvalidError, in which case there is no signal.
	Err error
	// Fingerprint is the signal's.
	Fingerprint string
	// Truncated is the signal's.
	Truncated int
	// Size estimates how many bytes of memory the signal takes, without what it shares with
	// the body.
	Size int

	build func() *Signal
}

// Signal returns the signal, or nil if there is none. It is put together anew by
// each call, since all signals of a request together can be a thousand times
// larger than the request: each has what they have in common.
func (p Parsed) Signal() *Signal {
	if p.build == nil {
		return nil
	}
	return p.build()
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
	ReasonMalformed      = "malformed_body"
	ReasonMalformedAlert = "malformed_alert"
	ReasonMalformedTime  = "malformed_time"
	ReasonNoAlerts       = "no_alerts"
	ReasonTooMany        = "too_many_alerts"
	ReasonNoName         = "missing_name"
	ReasonNameTooLong    = "name_too_long"
	ReasonNoResource     = "missing_resource"
	ReasonEventType      = "event_type"
	ReasonTime           = "time_out_of_range"
)

// checkName refuses names that the resource's schema does not admit.
func checkName(field, name string) error {
	if n := utf8.RuneCountInString(name); n > MaxNameLength {
		return &InvalidError{ReasonNameTooLong, fmt.Sprintf("%s has %d characters, at most %d are allowed", field, n, MaxNameLength)}
	}
	return nil
}

// firingTime returns the time that the sender gives, or that of the request if it
// gives none. It refuses years that Kubernetes can't store. A valid RFC 3339 time may
// be in such a year once it is turned into UTC.
func firingTime(field string, given, received time.Time) (time.Time, error) {
	if given.IsZero() {
		return received, nil
	}
	if year := given.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{}, &InvalidError{ReasonTime, fmt.Sprintf("%s is outside of the years 1 to 9999 in UTC", field)}
	}
	return given, nil
}
