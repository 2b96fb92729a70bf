package signal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"
)

// Prometheus reads AlertManager's webhook, version 4. The zero value uses the default
// rules.
type Prometheus struct {
	// Targets says what an alert is about. Nil means the default rules.
	Targets *Targets
	// Ignored says which alerts are about nothing that could be remedied. Nil means
	// the default.
	Ignored *Ignored
	// MaxAlerts is how many alerts a body may have. An alert can be a single byte, and takes
	// hundreds of them once it is one. 0 means any number.
	MaxAlerts int
}

// Name is the last element of the adapter's route, and Signal.Source.
func (Prometheus) Name() string { return "prometheus" }

const statusResolved = "resolved"

// webhook is what is read of the envelope. Members that nothing depends on are not
// declared: senders write what they like in them.
type webhook struct {
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	Alerts            []json.RawMessage `json:"alerts"`
}

// looseWebhook is an envelope in which some members are of another type.
type looseWebhook struct {
	TruncatedAlerts   json.RawMessage `json:"truncatedAlerts"`
	Status            json.RawMessage `json:"status"`
	CommonLabels      json.RawMessage `json:"commonLabels"`
	CommonAnnotations json.RawMessage `json:"commonAnnotations"`
	Alerts            json.RawMessage `json:"alerts"`
}

// alert is what is read of one alert.
type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      json.RawMessage   `json:"endsAt"`
}

// looseAlert is an alert in which some members are of another type.
type looseAlert struct {
	Status      json.RawMessage `json:"status"`
	Labels      json.RawMessage `json:"labels"`
	Annotations json.RawMessage `json:"annotations"`
	StartsAt    json.RawMessage `json:"startsAt"`
	EndsAt      json.RawMessage `json:"endsAt"`
}

// memberBytes is about what a label or annotation takes beside its text.
const memberBytes = 64

// Parse returns the body's alerts in order. The error, an *InvalidError, is about
// the body as a whole; what is wrong with a single alert is in its Parsed.
func (p Prometheus) Parse(body []byte, received time.Time) ([]Parsed, error) {
	if err := p.checkCount(body); err != nil {
		return nil, err
	}
	hook, err := parseWebhook(body)
	if err != nil {
		return nil, err
	}
	if len(hook.Alerts) == 0 {
		return nil, &InvalidError{ReasonNoAlerts, "alerts must hold at least one alert"}
	}
	payload, err := splitter(body, hook.Alerts)
	if err != nil {
		return nil, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not an AlertManager webhook: %v", err)}
	}
	common := 0 // what all alerts have in common
	if len(hook.Alerts) > 1 {
		common = len(body)
		for _, raw := range hook.Alerts {
			common -= len(raw)
		}
	}
	parsed := make([]Parsed, len(hook.Alerts))
	for i, raw := range hook.Alerts {
		a, err := parseAlert(raw)
		var s *Signal
		if err == nil {
			s, err = p.normalise(&a, received)
		}
		if err != nil {
			parsed[i] = Parsed{Err: fmt.Errorf("alerts[%d]: %w", i, err), Truncated: hook.TruncatedAlerts}
			continue
		}
		s.Resolved = a.Status == statusResolved || hook.Status == statusResolved
		s.Truncated = hook.TruncatedAlerts
		if s.Resolved {
			s.EndTime = endTime(a.EndsAt, received)
		}
		size := memberBytes * (len(a.Labels) + len(a.Annotations) + len(hook.CommonLabels) + len(hook.CommonAnnotations))
		if len(hook.Alerts) > 1 {
			size += common + len(raw)
		}
		parsed[i] = Parsed{Fingerprint: s.Fingerprint, Truncated: hook.TruncatedAlerts, Size: size, build: func() *Signal {
			whole := *s
			whole.Labels = overlay(a.Labels, hook.CommonLabels)
			whole.Annotations = overlay(a.Annotations, hook.CommonAnnotations)
			whole.Payload = payload(i)
			return &whole
		}}
	}
	return parsed, nil
}

// checkCount refuses bodies with too many alerts before anything is made of these.
func (p Prometheus) checkCount(body []byte) error {
	// There are no more alerts than commas, but for one. So of most bodies nothing more
	// need be read.
	if p.MaxAlerts <= 0 || bytes.Count(body, []byte{','}) < p.MaxAlerts {
		return nil
	}
	var hook struct {
		Alerts elementCount `json:"alerts"`
	}
	if json.Unmarshal(body, &hook) == nil && int(hook.Alerts) > p.MaxAlerts {
		return &InvalidError{ReasonTooMany, fmt.Sprintf("body has %d alerts, at most %d are allowed", hook.Alerts, p.MaxAlerts)}
	}
	return nil
}

// elementCount is the number of a list's elements; 0 for what is no list. If a name is
// repeated it is the highest.
type elementCount int

// UnmarshalJSON counts without keeping anything. The data are valid JSON.
func (n *elementCount) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if data[0] != '[' {
		return nil
	}
	count, depth, text := 0, 0, false
	for i := 1; i < len(data)-1; i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[', c == '{':
			depth++
		case c == ']', c == '}':
			depth--
		case c == ',' && depth == 0:
			count++
		}
	}
	if count > 0 || len(bytes.TrimSpace(data[1:len(data)-1])) > 0 {
		count++
	}
	*n = max(*n, elementCount(count))
	return nil
}

// parseWebhook reads the envelope. Only what is no JSON object, or has no list of
// alerts, is refused.
func parseWebhook(body []byte) (webhook, error) {
	var hook webhook
	if json.Unmarshal(body, &hook) == nil {
		hook.TruncatedAlerts = max(hook.TruncatedAlerts, 0)
		return hook, nil
	}
	var loose looseWebhook
	if err := json.Unmarshal(body, &loose); err != nil {
		return webhook{}, &InvalidError{ReasonMalformed, fmt.Sprintf("body is not an AlertManager webhook: %v", err)}
	}
	hook = webhook{
		TruncatedAlerts: looseCount(loose.TruncatedAlerts), Status: looseString(loose.Status),
		CommonLabels: looseStrings(loose.CommonLabels), CommonAnnotations: looseStrings(loose.CommonAnnotations),
	}
	if loose.Alerts != nil {
		if err := json.Unmarshal(loose.Alerts, &hook.Alerts); err != nil {
			return webhook{}, &InvalidError{ReasonMalformed, fmt.Sprintf("alerts is %s, and must be a list", typeOf(loose.Alerts))}
		}
	}
	return hook, nil
}

// parseAlert reads one alert. Labels identify it and the time orders it, so these must
// be what they should. All else is taken as far as it goes.
func parseAlert(raw json.RawMessage) (alert, error) {
	var a alert
	if json.Unmarshal(raw, &a) == nil {
		return a, nil
	}
	var loose looseAlert
	if err := json.Unmarshal(raw, &loose); err != nil {
		return alert{}, &InvalidError{ReasonMalformedAlert, fmt.Sprintf("alert is %s, and must be an object", typeOf(raw))}
	}
	a = alert{Status: looseString(loose.Status), Annotations: looseStrings(loose.Annotations), EndsAt: loose.EndsAt}
	if loose.Labels != nil {
		var labels map[string]json.RawMessage
		if err := json.Unmarshal(loose.Labels, &labels); err != nil {
			return alert{}, &InvalidError{ReasonMalformedAlert, fmt.Sprintf("labels is %s, and must be an object", typeOf(loose.Labels))}
		}
		a.Labels = make(map[string]string, len(labels))
		for name, value := range labels {
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return alert{}, &InvalidError{ReasonMalformedAlert, fmt.Sprintf("label %.100q is %s, and must be a string", name, typeOf(value))}
			}
			a.Labels[name] = text
		}
	}
	if loose.StartsAt != nil {
		if err := json.Unmarshal(loose.StartsAt, &a.StartsAt); err != nil {
			return alert{}, &InvalidError{ReasonMalformedTime, fmt.Sprintf("startsAt %.100s is no time of RFC 3339", loose.StartsAt)}
		}
	}
	return a, nil
}

// endTime returns when a condition ended: that of the request if the sender does not say
// so, or gives a time to come.
func endTime(raw json.RawMessage, received time.Time) time.Time {
	var end time.Time
	if json.Unmarshal(raw, &end) != nil || end.UTC().Year() <= 1 || end.After(received) {
		return received
	}
	return end
}

// typeOf names the type of a JSON value.
func typeOf(raw json.RawMessage) string {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return "nothing"
	case raw[0] == '"':
		return "a string"
	case raw[0] == '{':
		return "an object"
	case raw[0] == '[':
		return "a list"
	case raw[0] == 't', raw[0] == 'f':
		return "true or false"
	case raw[0] == 'n':
		return "null"
	}
	return "a number"
}

// looseString returns the value if it is a string, else "".
func looseString(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// looseStrings returns the members if the value is an object. A member that is no
// string becomes its JSON text, so that it is not lost.
func looseStrings(raw json.RawMessage) map[string]string {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return nil
	}
	texts := make(map[string]string, len(members))
	for name, value := range members {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		texts[name] = text
	}
	return texts
}

// looseCount returns the value if it is a number above 0, or the text of one, else 0.
func looseCount(raw json.RawMessage) int {
	text := looseString(raw)
	if text == "" {
		text = string(raw)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 1) {
		return 0
	}
	return int(min(n, math.MaxInt32))
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
	targets := p.Targets
	if targets == nil {
		targets = defaultTargets()
	}
	ignored := p.Ignored
	if ignored == nil {
		ignored = defaultIgnored()
	}
	target := targets.find(a.Labels)
	resource := target.Resource
	return &Signal{
		Type: "prometheus-alert", Source: p.Name(),
		Name:         name,
		Severity:     alertSeverity(a.Labels["severity"]),
		Namespace:    resource.Namespace,
		Resource:     resource,
		Detail:       target.detail,
		Ignored:      ignored.reason(a.Labels),
		Heartbeat:    ignored.heartbeat(a.Labels),
		FiringTime:   firing,
		ReceivedTime: received,
		Fingerprint:  Fingerprint(name, resource.Namespace, resource.Kind, resource.Name+target.detail),
	}, nil
}

func alertSeverity(label string) string {
	switch label {
	case SeverityCritical, SeverityWarning, SeverityInfo:
		return label
	}
	return SeverityWarning
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
