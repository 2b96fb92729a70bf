package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"stormgate.internal/gateway/openapi"
	"stormgate.internal/gateway/signal"
)

const eventRoute = "/api/v1/signals/kubernetes-event"

// fullWebhook has every member of a webhook and of its alerts.
func fullWebhook(alerts ...string) string {
	var all []string
	for _, name := range alerts {
		all = append(all, `{"status":"firing","labels":{"alertname":"`+name+`","namespace":"shop"},"annotations":{"a":"b"},"startsAt":"2025-11-24T10:00:00Z",`+
			`"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus/graph","fingerprint":"abc"}`)
	}
	return `{"version":"4","groupKey":"{}","truncatedAlerts":0,"status":"firing","receiver":"r","groupLabels":{"x":"y"},"commonLabels":{},"commonAnnotations":{},` +
		`"externalURL":"http://alertmanager","alerts":[` + strings.Join(all, ",") + `]}`
}

func fullEvent(kind, reason string) string {
	return `{"type":"` + kind + `","reason":"` + reason + `","message":"m","involvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"u","apiVersion":"v1","resourceVersion":"1"},` +
		`"firstTimestamp":"2025-11-24T10:00:00Z","lastTimestamp":"2025-11-24T10:00:00Z","count":1,"source":{"component":"kubelet","host":"one"}}`
}

// All that the gateway answers is described, and all that is described it answers.
func TestDescriptionIsTrue(t *testing.T) {
	d, err := openapi.Parse(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(s *Server, method, path, body string, headers ...string) {
		t.Helper()
		r := do(s, method, path, body, headers...)
		if err := d.Check(openapi.Exchange{Method: method, Path: path, Request: []byte(body), Status: r.Code, Header: r.Header(), Body: r.Body.Bytes()}); err != nil {
			t.Errorf("%v\nrequest %.300s\nreply %.500s", err, body, r.Body)
		}
	}
	ready := true
	s, _ := newServer(t, func(o *Options) {
		o.Checks = []Check{{"Redis", func(context.Context) error {
			if !ready {
				return errors.New("gone")
			}
			return nil
		}}}
	})
	limited, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 1, 1 })
	do(limited, "POST", route, named("New"))

	for _, path := range []string{"/health", "/healthz", "/ready", "/metrics", route, eventRoute} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
			exchange(s, method, path, "")
		}
	}
	ready = false
	exchange(s, "GET", "/ready", "")
	exchange(s, "GET", "/nowhere", "")
	exchange(s, "POST", "/api/v1/signals/nagios", "{}")

	for _, name := range scripted {
		exchange(s, "POST", route, fullWebhook(name))
		exchange(s, "POST", route, fullWebhook("New", name))
		exchange(s, "POST", eventRoute, fullEvent("Warning", name))
	}
	exchange(s, "POST", eventRoute, fullEvent("Error", "New"))
	exchange(s, "POST", route, named("Resolved", "Resolved"))
	exchange(s, "POST", route, named("Resolved", "New"))
	for _, priority := range []string{"P0", "P1", "P2", "P3"} {
		for _, path := range []string{"aggressive", "moderate", "conservative", "manual"} {
			exchange(s, "POST", route, named("New-"+priority+"-"+path))
		}
	}
	for _, path := range []string{route, eventRoute} {
		exchange(s, "POST", path, "{")
		exchange(s, "POST", path, strings.Repeat(" ", defaultMaxBodyBytes+1))
		exchange(s, "POST", path, "{}", "Content-Type", "text/plain")
		exchange(s, "POST", path, "{}", "Content-Type", ";")
		exchange(s, "POST", path, "{}", "X-Timestamp", "1")
		exchange(limited, "POST", path, "{}")
	}
	exchange(s, "POST", route, `{"alerts":[{"labels":{"alertname":"New"}},{"labels":{}}]}`)
	exchange(s, "POST", route, `{"alerts":[{"labels":{"alertname":"Resolved","severity":"none"}},{"labels":{"alertname":7}},"text"]}`)
	exchange(s, "POST", route, `{"alerts":[{"labels":{}},{"labels":{}}]}`)
	exchange(s, "POST", route, fullWebhook("New"), "Content-Encoding", "br")

	closed, _ := newServer(t, func(o *Options) {
		o.Authenticator, o.Protected = &gatekeeper{}, []string{"/health", "/healthz", "/ready", "/metrics"}
	})
	for _, authorization := range []string{"", "no role", "ask nobody"} {
		exchange(closed, "POST", route, fullWebhook("New"), "Authorization", authorization)
		exchange(closed, "POST", eventRoute, fullEvent("Warning", "New"), "Authorization", authorization)
		for _, path := range []string{"/health", "/healthz", "/ready", "/metrics"} {
			exchange(closed, "GET", path, "", "Authorization", authorization)
		}
		exchange(closed, "PUT", "/metrics", "", "Authorization", authorization)
	}

	old, _ := newServer(t, func(o *Options) { o.Adapters = []Adapter{signal.Event{MaxAge: time.Minute}} })
	exchange(old, "POST", eventRoute, fullEvent("Warning", "Resolved"))
	exchange(old, "POST", eventRoute, `{"type":"Warning","reason":"New","note":"m","regarding":{"kind":"Pod","namespace":"shop","name":"web"},"eventTime":"2025-11-24T10:00:00Z",`+
		`"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null,"series":{"count":2,"lastObservedTime":"2025-11-24T10:00:00Z"}}`)

	if unseen := d.Unseen(); len(unseen) > 0 {
		t.Errorf("described, and not answered: %q", unseen)
	}
}
