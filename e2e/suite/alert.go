package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Alert is one alert as Prometheus sees it. Its incident is identified by name,
// namespace and pod; a copy of it that differs elsewhere is the same incident.
type Alert struct {
	Name      string
	Namespace string
	Pod       string
	Severity  string
	// Labels and Annotations come on top of those above.
	Labels      map[string]string
	Annotations map[string]string
	// StartsAt is when it began to fire. Zero: when it is sent.
	StartsAt time.Time
}

// OnPod returns the same alert for another pod, which makes it another incident.
func (a Alert) OnPod(pod string) Alert {
	a.Pod = pod
	return a
}

// InNamespace returns the same alert for another namespace, which makes it
// another incident.
func (a Alert) InNamespace(n *Namespace) Alert {
	a.Namespace = n.Name
	return a
}

// Fingerprint is what identifies the incident, computed here anew from the
// gateway's contract: SHA-256 over name:namespace:kind:resource.
func (a Alert) Fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{a.Name, a.Namespace, "Pod", a.Pod}, ":")))
	return hex.EncodeToString(sum[:])
}

// ResourceID is how objects name the affected resource.
func (a Alert) ResourceID() string { return fmt.Sprintf("%s:Pod:%s", a.Namespace, a.Pod) }

// OnWhat names the alert and its resource, for messages.
func (a Alert) OnWhat() string { return a.Name + " on " + a.Pod }

// OnPods returns the same alert for pods number from to last, counted from 1.
func (a Alert) OnPods(from, last int) []Alert {
	var alerts []Alert
	for i := from; i <= last; i++ {
		alerts = append(alerts, a.OnPod(fmt.Sprintf("%s-%d", a.Pod, i)))
	}
	return alerts
}

// Repeat returns a list that has the alert that many times.
func Repeat(alert Alert, times int) []Alert {
	return slices.Repeat([]Alert{alert}, times)
}

func (a Alert) labels() map[string]string {
	labels := map[string]string{"alertname": a.Name, "namespace": a.Namespace, "pod": a.Pod, "severity": a.Severity}
	maps.Copy(labels, a.Labels)
	return labels
}

// webhook is AlertManager's notification, version 4.
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
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // zero while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// notification is what AlertManager would send for these alerts, grouped by
// alert name.
func notification(alerts []Alert) webhook {
	out := webhook{
		Version:     "4",
		Status:      "firing",
		Receiver:    "stormgate",
		ExternalURL: "http://alertmanager.example",
		Alerts:      []webhookAlert{},
	}
	for i, a := range alerts {
		labels := a.labels()
		if i == 0 {
			out.GroupLabels = map[string]string{"alertname": a.Name}
			out.GroupKey = fmt.Sprintf("{}:{alertname=%q}", a.Name)
			out.CommonLabels, out.CommonAnnotations = maps.Clone(labels), maps.Clone(a.Annotations)
		}
		common := func(mine map[string]string) func(string, string) bool {
			return func(name, value string) bool { return mine[name] != value }
		}
		maps.DeleteFunc(out.CommonLabels, common(labels))
		maps.DeleteFunc(out.CommonAnnotations, common(a.Annotations))
		startsAt := a.StartsAt
		if startsAt.IsZero() {
			startsAt = time.Now()
		}
		out.Alerts = append(out.Alerts, webhookAlert{
			Status:       "firing",
			Labels:       labels,
			Annotations:  a.Annotations,
			StartsAt:     startsAt.UTC(),
			GeneratorURL: "http://prometheus.example/graph",
			Fingerprint:  fmt.Sprintf("%016x", i), // the gateway computes its own
		})
	}
	return out
}
