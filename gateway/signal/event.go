package signal

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event reads Kubernetes events, in the JSON of core/v1, one to a request.
type Event struct{}

// Name is the last element of the adapter's route.
func (Event) Name() string { return "kubernetes-event" }

// Values of an event's type. Normal ones are not about anything that is wrong.
const (
	eventNormal  = "Normal"
	eventWarning = "Warning"
	eventError   = "Error"
)

// event holds what is read of core/v1's Event. As in webhook, fields that nothing
// depends on are declared so that a wrong type in them is an error.
type event struct {
	Type           string    `json:"type"`
	Reason         string    `json:"reason"`
	Message        string    `json:"message"`
	FirstTimestamp time.Time `json:"firstTimestamp"`
	LastTimestamp  time.Time `json:"lastTimestamp"`
	Count          int       `json:"count"`
	InvolvedObject struct {
		Kind            string `json:"kind"`
		Namespace       string `json:"namespace"`
		Name            string `json:"name"`
		UID             string `json:"uid"`
		APIVersion      string `json:"apiVersion"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"involvedObject"`
	Source struct {
		Component string `json:"component"`
		Host      string `json:"host"`
	} `json:"source"`
}

// criticalReasons are the reasons that are critical whatever the event's type.
var criticalReasons = map[string]bool{
	"OOMKilled":        true,
	"NodeNotReady":     true,
	"FailedScheduling": true,
	"Evicted":          true,
	"FailedMount":      true,
	"NetworkNotReady":  true,
}

// Parse returns the body's only signal, or an *InvalidError.
func (Event) Parse(body []byte, received time.Time) ([]Parsed, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not a Kubernetes event: %v", err)}
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	firing, err := firingTime("firstTimestamp", e.FirstTimestamp, received)
	if err != nil {
		return nil, err
	}
	object := e.InvolvedObject
	s := &Signal{
		Type: "kubernetes-event", Source: "kubernetes-events",
		Name:        e.Reason,
		Severity:    e.severity(),
		Namespace:   object.Namespace,
		Resource:    Resource{Kind: object.Kind, Name: object.Name, Namespace: object.Namespace},
		Labels:      e.labels(),
		Annotations: e.annotations(),
		FiringTime:  firing, ReceivedTime: received,
		Fingerprint: Fingerprint(e.Reason, object.Namespace, object.Kind, object.Name),
		Payload:     body,
	}
	return []Parsed{{Fingerprint: s.Fingerprint, build: func() *Signal { return s }}}, nil
}

func (e *event) validate() error {
	for _, field := range []struct{ name, value, reason string }{
		{"reason", e.Reason, ReasonNoName},
		{"involvedObject.kind", e.InvolvedObject.Kind, ReasonNoResource},
		{"involvedObject.name", e.InvolvedObject.Name, ReasonNoResource},
	} {
		if field.value == "" {
			return &InvalidError{field.reason, field.name + " is missing or empty"}
		}
	}
	if err := checkName("reason", e.Reason); err != nil {
		return err
	}
	switch e.Type {
	case eventWarning, eventError:
		return nil
	case eventNormal:
		return &InvalidError{ReasonEventType, "events of type Normal are not accepted"}
	}
	return &InvalidError{ReasonEventType, "type must be Warning or Error"}
}

func (e *event) severity() string {
	if criticalReasons[e.Reason] || e.Type == eventError {
		return SeverityCritical
	}
	return SeverityWarning
}

func (e *event) labels() map[string]string {
	labels := map[string]string{
		"kubernaut.io/event-type":    strings.ToLower(e.Type),
		"kubernaut.io/resource-kind": strings.ToLower(e.InvolvedObject.Kind),
	}
	if e.Source.Component != "" {
		labels["kubernaut.io/event-source"] = e.Source.Component
	}
	return labels
}

func (e *event) annotations() map[string]string {
	annotations := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			annotations["kubernaut.io/"+key] = value
		}
	}
	set("event-message", e.Message)
	set("source-host", e.Source.Host)
	if e.Count > 0 {
		set("event-count", strconv.Itoa(e.Count))
	}
	if !e.FirstTimestamp.IsZero() {
		set("first-timestamp", e.FirstTimestamp.Format(time.RFC3339))
	}
	if !e.LastTimestamp.IsZero() {
		set("last-timestamp", e.LastTimestamp.Format(time.RFC3339))
	}
	return annotations
}
