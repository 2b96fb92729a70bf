package signal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Event reads Kubernetes events, in the JSON of core/v1 or of events.k8s.io/v1, one to a
// request. What a watch sends, an object with type and object, is read as its object.
type Event struct {
	// MaxAge is how long before the request an event may have happened last. 0 means any
	// time.
	MaxAge time.Duration
}

// Name is the last element of the adapter's route.
func (Event) Name() string { return "kubernetes-event" }

// Values of an event's type. Normal ones are not about anything that is wrong.
const (
	eventNormal  = "Normal"
	eventWarning = "Warning"
	eventError   = "Error"
)

// event holds what is read of an Event of either version. The members of
// events.k8s.io/v1 that core/v1 calls otherwise are told apart by their names.
type event struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	// Message is note in events.k8s.io/v1.
	Message looseText `json:"message"`
	Note    looseText `json:"note"`
	Action  looseText `json:"action"`
	// InvolvedObject is regarding in events.k8s.io/v1.
	InvolvedObject *eventObject `json:"involvedObject"`
	Regarding      *eventObject `json:"regarding"`

	FirstTimestamp           *time.Time `json:"firstTimestamp"`
	DeprecatedFirstTimestamp *time.Time `json:"deprecatedFirstTimestamp"`
	LastTimestamp            *time.Time `json:"lastTimestamp"`
	DeprecatedLastTimestamp  *time.Time `json:"deprecatedLastTimestamp"`
	EventTime                *time.Time `json:"eventTime"`
	Count                    looseInt   `json:"count"`
	DeprecatedCount          looseInt   `json:"deprecatedCount"`
	Series                   *struct {
		Count            looseInt   `json:"count"`
		LastObservedTime *time.Time `json:"lastObservedTime"`
	} `json:"series"`
	Metadata eventMetadata `json:"metadata"`

	Source              eventSource `json:"source"`
	DeprecatedSource    eventSource `json:"deprecatedSource"`
	ReportingComponent  looseText   `json:"reportingComponent"`
	ReportingController looseText   `json:"reportingController"`
	ReportingInstance   looseText   `json:"reportingInstance"`
}

type eventObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type eventMetadata struct {
	CreationTimestamp *time.Time `json:"creationTimestamp"`
}

// UnmarshalJSON takes what does not say a time for nothing.
func (m *eventMetadata) UnmarshalJSON(data []byte) error {
	type plain eventMetadata
	var p plain
	if json.Unmarshal(data, &p) == nil {
		*m = eventMetadata(p)
	}
	return nil
}

type eventSource struct {
	Component looseText `json:"component"`
	Host      looseText `json:"host"`
}

// UnmarshalJSON takes what is no object for none: nothing depends on the source.
func (s *eventSource) UnmarshalJSON(data []byte) error {
	type plain eventSource
	var p plain
	if json.Unmarshal(data, &p) == nil {
		*s = eventSource(p)
	}
	return nil
}

// looseText is a text that nothing depends on: other types are as good as none.
type looseText string

// UnmarshalJSON reads a string.
func (t *looseText) UnmarshalJSON(data []byte) error {
	*t = looseText(looseString(data))
	return nil
}

// looseInt is a number that nothing depends on: other types are as good as none.
type looseInt int

// UnmarshalJSON reads a number, or the text of one.
func (n *looseInt) UnmarshalJSON(data []byte) error {
	*n = looseInt(looseCount(data))
	return nil
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
func (a Event) Parse(body []byte, received time.Time) ([]Parsed, error) {
	e, deleted, err := parseEvent(body)
	if err != nil {
		return nil, err
	}
	object := e.object()
	if err := e.validate(object); err != nil {
		return nil, err
	}
	first, last := e.times()
	firing, err := firingTime(first.field, first.Time, received)
	if err != nil {
		return nil, err
	}
	if _, err := firingTime(last.field, last.Time, received); err != nil {
		return nil, err
	}
	reason := e.Reason
	s := &Signal{
		Type: "kubernetes-event", Source: "kubernetes-events",
		Name:        reason,
		Severity:    e.severity(),
		Namespace:   object.Namespace,
		Resource:    Resource{Kind: object.Kind, Name: object.Name, Namespace: object.Namespace},
		Labels:      e.labels(object),
		Annotations: e.annotations(first, last),
		FiringTime:  firing, ReceivedTime: received,
		Fingerprint: Fingerprint(reason, object.Namespace, object.Kind, object.Name),
		Payload:     body,
	}
	if deleted {
		s.Ignored = IgnoredDeleted
	} else if a.MaxAge > 0 && !last.IsZero() && received.Sub(last.Time) > a.MaxAge {
		s.Ignored = IgnoredAge
	}
	return []Parsed{{Fingerprint: s.Fingerprint, build: func() *Signal { return s }}}, nil
}

// watchDeleted is how a watch calls the end of an object. API servers delete each event
// an hour after it has happened last.
const watchDeleted = "DELETED"

// parseEvent decodes an event, also as a watch sends it, and reports whether the watch says
// that it was deleted.
func parseEvent(body []byte) (e *event, deleted bool, err error) {
	var watched struct {
		Type   looseText       `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if json.Unmarshal(body, &watched) == nil && watched.Object != nil && string(watched.Object) != "null" {
		body, deleted = watched.Object, watched.Type == watchDeleted
	}
	e = new(event)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, false, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not a Kubernetes event: %v", err)}
	}
	return e, deleted, nil
}

func (e *event) object() eventObject {
	for _, object := range []*eventObject{e.InvolvedObject, e.Regarding} {
		if object != nil {
			return *object
		}
	}
	return eventObject{}
}

func (e *event) validate(object eventObject) error {
	for _, field := range []struct{ name, value, reason string }{
		{"reason", e.Reason, ReasonNoName},
		{"involvedObject.kind (regarding.kind)", object.Kind, ReasonNoResource},
		{"involvedObject.name (regarding.name)", object.Name, ReasonNoResource},
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

// eventMoment is a time and the member that it is from.
type eventMoment struct {
	time.Time
	field string
}

// times returns when the event happened first and last; zero if it does not say.
// Recorders fill either the old members or eventTime and series.
func (e *event) times() (first, last eventMoment) {
	pick := func(candidates ...eventMoment) eventMoment {
		for _, c := range candidates {
			if !c.IsZero() {
				return c
			}
		}
		return candidates[0]
	}
	moment := func(field string, t *time.Time) eventMoment {
		if t == nil {
			return eventMoment{field: field}
		}
		return eventMoment{*t, field}
	}
	var observed *time.Time
	if e.Series != nil {
		observed = e.Series.LastObservedTime
	}
	created := moment("metadata.creationTimestamp", e.Metadata.CreationTimestamp)
	first = pick(moment("firstTimestamp", e.FirstTimestamp), moment("deprecatedFirstTimestamp", e.DeprecatedFirstTimestamp),
		moment("eventTime", e.EventTime), created)
	last = first
	for _, later := range []eventMoment{
		moment("lastTimestamp", e.LastTimestamp), moment("deprecatedLastTimestamp", e.DeprecatedLastTimestamp),
		moment("series.lastObservedTime", observed), moment("eventTime", e.EventTime),
	} {
		if later.After(last.Time) {
			last = later
		}
	}
	if first.IsZero() {
		first = last
	}
	return first, last
}

func (e *event) count() int {
	count := max(int(e.Count), int(e.DeprecatedCount))
	if e.Series != nil {
		count = max(count, int(e.Series.Count))
	}
	return count
}

func (e *event) severity() string {
	if criticalReasons[e.Reason] || e.Type == eventError {
		return SeverityCritical
	}
	return SeverityWarning
}

func (e *event) labels(object eventObject) map[string]string {
	labels := map[string]string{
		"kubernaut.io/event-type":    strings.ToLower(e.Type),
		"kubernaut.io/resource-kind": strings.ToLower(object.Kind),
	}
	if component := cmp.Or(e.Source.Component, e.DeprecatedSource.Component, e.ReportingComponent, e.ReportingController); component != "" {
		labels["kubernaut.io/event-source"] = string(component)
	}
	return labels
}

func (e *event) annotations(first, last eventMoment) map[string]string {
	annotations := map[string]string{}
	count := ""
	if n := e.count(); n > 0 {
		count = strconv.Itoa(n)
	}
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339)
	}
	for key, value := range map[string]string{
		"event-message":   string(cmp.Or(e.Message, e.Note)),
		"event-action":    string(e.Action),
		"source-host":     string(cmp.Or(e.Source.Host, e.DeprecatedSource.Host)),
		"source-instance": string(e.ReportingInstance),
		"event-count":     count,
		"first-timestamp": stamp(first.Time),
		"last-timestamp":  stamp(last.Time),
	} {
		annotations["kubernaut.io/"+key] = value
	}
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	return annotations
}
