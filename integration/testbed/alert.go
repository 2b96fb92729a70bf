package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Alert is an alert about a pod. Two alerts that are equal here are occurrences
// of one incident.
type Alert struct{ Name, Namespace, Pod string }

// Fingerprint identifies an incident.
type Fingerprint [sha256.Size]byte

// String returns it as the gateway writes it.
func (f Fingerprint) String() string { return fmt.Sprintf("%x", f[:]) }

// Fingerprint is computed here anew from the gateway's contract, so that it does
// not depend on what is tested.
func (a Alert) Fingerprint() Fingerprint { return memberFingerprint(a.Name, a.ResourceID()) }

// WorkloadFingerprint is that of an alert about something that is no pod.
func WorkloadFingerprint(alert, namespace, kind, name string) Fingerprint {
	return memberFingerprint(alert, namespace+":"+kind+":"+name)
}

// ResourceID is how objects name the pod.
func (a Alert) ResourceID() string { return a.Namespace + ":Pod:" + a.Pod }

// memberFingerprint is that of a resource, which has a namespace, with an alert.
func memberFingerprint(name, resourceID string) Fingerprint {
	return sha256.Sum256([]byte(name + ":" + resourceID))
}

// Route is the path that AlertManager sends to.
const Route = "/api/v1/signals/prometheus"

// Notification is the body with which AlertManager would send these alerts, which
// have begun to fire just now.
func Notification(alerts ...Alert) []byte {
	var b strings.Builder
	b.Grow(512 + 768*len(alerts))
	name := alerts[0].Name
	fmt.Fprintf(&b, `{"version":"4","groupKey":"{}:{alertname=\"%s\"}","truncatedAlerts":0,"status":"firing","receiver":"stormgate",`+
		`"groupLabels":{"alertname":%q},"commonLabels":{"severity":"critical"},"commonAnnotations":{},`+
		`"externalURL":"http://alertmanager.example","alerts":[`, name, name)
	startsAt := time.Now().UTC().Format(time.RFC3339Nano)
	for i, a := range alerts {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"status":"firing","labels":{"alertname":%q,"namespace":%q,"pod":%q,"severity":"critical","container":"app",`+
			`"job":"kube-state-metrics","instance":"10.0.0.1:8080","prometheus":"monitoring/k8s"},`+
			`"annotations":{"summary":"Pod is in trouble","description":"Pod %s in namespace %s has been failing for more than 5 minutes",`+
			`"runbook_url":"http://runbooks.example/%s"},"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z",`+
			`"generatorURL":"http://prometheus.example/graph?g0.expr=up+%%3D%%3D+0","fingerprint":"%016x"}`,
			a.Name, a.Namespace, a.Pod, a.Pod, a.Namespace, a.Name, startsAt, i)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

// Answer is the gateway's answer about one alert.
type Answer struct {
	// Code is the HTTP status; each alert of a notification has that of the whole.
	Code                        int
	Status                      string         `json:"status"`
	Fingerprint                 string         `json:"fingerprint"`
	Duplicate                   bool           `json:"duplicate"`
	RemediationRequestName      string         `json:"remediationRequestName"`
	RemediationRequestNamespace string         `json:"remediationRequestNamespace"`
	IsStorm                     bool           `json:"isStorm"`
	WindowID                    string         `json:"windowID"`
	Metadata                    AnswerMetadata `json:"metadata"`
	Detail                      string         `json:"detail"`
}

// AnswerMetadata describes the incident that a duplicate repeats.
type AnswerMetadata struct {
	Count                 int
	RemediationRequestRef string
}

// Accepted reports whether the gateway has taken responsibility for the alert.
func (a Answer) Accepted() bool { return a.Code >= 200 && a.Code < 300 }

// Client sends notifications. The zero value is ready to use.
type Client struct {
	// HTTP is http.DefaultClient if nil.
	HTTP *http.Client
}

// NewClient returns a client that sends up to that many requests at once.
func NewClient(requests int) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = requests, requests
	transport.Proxy = nil
	return &Client{HTTP: &http.Client{Transport: transport}}
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http().CloseIdleConnections() }

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

// Post sends a body to the gateway at the URL and returns the answer's status
// and body.
func (c *Client) Post(ctx context.Context, url string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+Route, strings.NewReader(string(body)))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http().Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return response.StatusCode, answer, nil
}

// Send sends the alerts as one notification and returns the answer about each.
func (c *Client) Send(ctx context.Context, url string, alerts ...Alert) ([]Answer, error) {
	code, body, err := c.Post(ctx, url, Notification(alerts...))
	if err != nil {
		return nil, err
	}
	answers, err := decode(code, body, len(alerts))
	if err != nil {
		return nil, fmt.Errorf("read answer with status %d: %w: %.500s", code, err, body)
	}
	return answers, nil
}

// decode reads an answer: a problem is one for all alerts.
func decode(code int, body []byte, alerts int) ([]Answer, error) {
	answers := make([]Answer, alerts)
	if code >= 300 {
		var problem struct {
			Detail string `json:"detail"`
		}
		if err := json.Unmarshal(body, &problem); err != nil {
			return nil, err
		}
		for i := range answers {
			answers[i] = Answer{Code: code, Detail: problem.Detail}
		}
		return answers, nil
	}
	var reply struct {
		Answer
		Results []Answer `json:"results"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, err
	}
	if alerts == 1 {
		answers[0] = reply.Answer
	} else if copy(answers, reply.Results) != alerts {
		return nil, fmt.Errorf("%d results for %d alerts", len(reply.Results), alerts)
	}
	for i := range answers {
		answers[i].Code = code
	}
	return answers, nil
}
