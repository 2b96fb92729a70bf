package signal

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Prometheus reads AlertManager's webhook, version 4.
type Prometheus struct{}

// Name is the last element of the adapter's route, and Signal.Source.
func (Prometheus) Name() string { return "prometheus" }

const statusResolved = "resolved"

// webhook is the envelope. Fields that nothing here depends on are still
// declared, so that a wrong type in them is an error.
type webhook struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []json.RawMessage `json:"alerts"`
}

type alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// resourceKinds maps labels to the kind of resource they name; the first label
// that exists wins.
var resourceKinds = []struct{ label, kind string }{
	{"pod", "Pod"},
	{"deployment", "Deployment"},
	{"statefulset", "StatefulSet"},
	{"daemonset", "DaemonSet"},
	{"node", "Node"},
	{"service", "Service"},
}

// Parse returns the body's alerts in order. The error, an *InvalidError, is about
// the body as a whole; what is wrong with a single alert is in its Parsed.
func (p Prometheus) Parse(body []byte, received time.Time) ([]Parsed, error) {
	var hook webhook
	if err := json.Unmarshal(body, &hook); err != nil {
		return nil, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not an AlertManager webhook: %v", err)}
	}
	if len(hook.Alerts) == 0 {
		return nil, &InvalidError{ReasonNoAlerts, "alerts must hold at least one alert"}
	}
	alerts := make([]alert, len(hook.Alerts))
	for i, raw := range hook.Alerts {
		if err := json.Unmarshal(raw, &alerts[i]); err != nil {
			return nil, &InvalidError{ReasonMalformed, fmt.Sprintf("alerts[%d] is malformed: %v", i, err)}
		}
	}
	payload, err := splitter(body, hook.Alerts)
	if err != nil {
		return nil, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not an AlertManager webhook: %v", err)}
	}
	parsed := make([]Parsed, len(alerts))
	for i := range alerts {
		s, err := p.normalise(&alerts[i], received)
		if err != nil {
			parsed[i].Err = fmt.Errorf("alerts[%d]: %w", i, err)
			continue
		}
		s.Resolved = alerts[i].Status == statusResolved || hook.Status == statusResolved
		parsed[i] = Parsed{Fingerprint: s.Fingerprint, build: func() *Signal {
			whole := *s
			whole.Labels = overlay(alerts[i].Labels, hook.CommonLabels)
			whole.Annotations = overlay(alerts[i].Annotations, hook.CommonAnnotations)
			whole.Payload = payload(i)
			return &whole
		}}
	}
	return parsed, nil
}

// normalise returns what identifies and ranks the alert, which depends on nothing
// but the alert itself.
func (p Prometheus) normalise(a *alert, received time.Time) (*Signal, error) {
	name := a.Labels["alertname"]
	if name == "" {
		return nil, &InvalidError{ReasonNoName, "labels.alertname is missing or empty"}
	}
	if err := checkName("labels.alertname", name); err != nil {
		return nil, err
	}
	firing, err := firingTime("startsAt", a.StartsAt, received)
	if err != nil {
		return nil, err
	}
	namespace := alertNamespace(a.Labels)
	resource := Resource{Kind: "Unknown", Name: "unknown", Namespace: namespace}
	for _, candidate := range resourceKinds {
		if value, ok := a.Labels[candidate.label]; ok {
			resource.Kind, resource.Name = candidate.kind, value
			break
		}
	}
	return &Signal{
		Type: "prometheus-alert", Source: p.Name(),
		Name:         name,
		Severity:     alertSeverity(a.Labels["severity"]),
		Namespace:    namespace,
		Resource:     resource,
		FiringTime:   firing,
		ReceivedTime: received,
		Fingerprint:  Fingerprint(name, namespace, resource.Kind, resource.Name),
	}, nil
}

func alertSeverity(label string) string {
	switch label {
	case SeverityCritical, SeverityWarning, SeverityInfo:
		return label
	}
	return SeverityWarning
}

// alertNamespace prefers the label that Prometheus keeps when a scraped series
// has none of its own. An empty label is an answer, too.
func alertNamespace(labels map[string]string) string {
	if namespace, ok := labels["namespace"]; ok {
		return namespace
	}
	if namespace, ok := labels["exported_namespace"]; ok {
		return namespace
	}
	return "default"
}

func overlay(base, over map[string]string) map[string]string {
	merged := make(map[string]string, len(base)+len(over))
	maps.Copy(merged, base)
	maps.Copy(merged, over)
	return merged
}

// splitter returns a function that gives the payload of the alert at an index:
// the body itself when it holds one alert, else its envelope with only that alert.
// The function may be called by several goroutines at once.
func splitter(body []byte, alerts []json.RawMessage) (func(index int) []byte, error) {
	if len(alerts) == 1 {
		return func(int) []byte { return body }, nil
	}
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	for key := range envelope {
		// The decoder matched the key whatever its case.
		if strings.EqualFold(key, "alerts") {
			delete(envelope, key)
		}
	}
	return func(index int) []byte {
		alone := maps.Clone(envelope)
		alone["alerts"] = encode(alerts[index : index+1])
		return encode(alone)
	}, nil
}

// encode is for what was decoded from JSON and therefore can be encoded again.
func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
