package signal

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// eventWith returns a complete event with some members replaced, or removed
// where the value is nil. Dots lead into objects.
func eventWith(t *testing.T, changes map[string]any) string {
	t.Helper()
	e := map[string]any{
		"type": "Warning", "reason": "BackOff", "message": "restarting failed container", "count": 3,
		"firstTimestamp": "2025-11-24T09:59:00+01:00", "lastTimestamp": "2025-11-24T09:59:30Z",
		"involvedObject": map[string]any{"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u", "apiVersion": "v1", "resourceVersion": "7"},
		"source":         map[string]any{"component": "kubelet", "host": "worker-1"},
	}
	for path, value := range changes {
		object, key := e, path
		if outer, inner, nested := strings.Cut(path, "."); nested {
			object, key = e[outer].(map[string]any), inner
		}
		if value == nil {
			delete(object, key)
		} else {
			object[key] = value
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func parseEventWith(t *testing.T, changes map[string]any) *Signal {
	t.Helper()
	body := eventWith(t, changes)
	parsed, err := Event{}.Parse([]byte(body), received)
	if err != nil || len(parsed) != 1 || parsed[0].Err != nil {
		t.Fatalf("Parse(%s) = %+v, %v, want one signal", body, parsed, err)
	}
	s := parsed[0].Signal()
	if s.Fingerprint != parsed[0].Fingerprint || string(s.Payload) != body {
		t.Errorf("fingerprint %s of signal %+v", parsed[0].Fingerprint, s)
	}
	return s
}

func TestEventNormalises(t *testing.T) {
	got := parseEventWith(t, nil)
	want := &Signal{
		Type: "kubernetes-event", Source: "kubernetes-events", Name: "BackOff", Severity: "warning",
		Namespace: "shop", Resource: Resource{Kind: "Pod", Name: "web-1", Namespace: "shop"},
		Labels: map[string]string{"kubernaut.io/event-source": "kubelet", "kubernaut.io/event-type": "warning", "kubernaut.io/resource-kind": "pod"},
		Annotations: map[string]string{
			"kubernaut.io/event-message": "restarting failed container", "kubernaut.io/event-count": "3", "kubernaut.io/source-host": "worker-1",
			"kubernaut.io/first-timestamp": "2025-11-24T09:59:00+01:00", "kubernaut.io/last-timestamp": "2025-11-24T09:59:30Z",
		},
		FiringTime: time.Date(2025, 11, 24, 8, 59, 0, 0, time.UTC), ReceivedTime: received,
		Fingerprint: Fingerprint("BackOff", "shop", "Pod", "web-1"),
		Payload:     got.Payload,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("signal (-want +got):\n%s", diff)
	}
}

// What an event does not say is not made up, but for the time.
func TestEventWithoutOptionalMembers(t *testing.T) {
	got := parseEventWith(t, map[string]any{"message": nil, "count": nil, "firstTimestamp": nil, "lastTimestamp": nil, "source": nil})
	want := map[string]string{"kubernaut.io/event-type": "warning", "kubernaut.io/resource-kind": "pod"}
	if diff := cmp.Diff(want, got.Labels); diff != "" || len(got.Annotations) != 0 || !got.FiringTime.Equal(received) {
		t.Errorf("annotations %v, firing time %s, labels (-want +got):\n%s", got.Annotations, got.FiringTime, diff)
	}
	for _, count := range []int{0, -1} {
		if got := parseEventWith(t, map[string]any{"count": count}).Annotations; got["kubernaut.io/event-count"] != "" {
			t.Errorf("count %d: annotations %v", count, got)
		}
	}
	if got := parseEventWith(t, map[string]any{"firstTimestamp": json.RawMessage("null"), "lastTimestamp": nil}); !got.FiringTime.Equal(received) {
		t.Errorf("null as the first time, and no last: %s", got.FiringTime)
	}
}

func TestEventSeverity(t *testing.T) {
	for _, c := range []struct{ kind, reason, want string }{
		{"Warning", "OOMKilled", "critical"}, {"Warning", "NodeNotReady", "critical"}, {"Warning", "FailedScheduling", "critical"},
		{"Warning", "Evicted", "critical"}, {"Warning", "FailedMount", "critical"}, {"Warning", "NetworkNotReady", "critical"},
		{"Warning", "BackOff", "warning"}, {"Warning", "oomkilled", "warning"}, {"Error", "BackOff", "critical"}, {"Error", "OOMKilled", "critical"},
	} {
		got := parseEventWith(t, map[string]any{"type": c.kind, "reason": c.reason})
		if got.Severity != c.want || got.Labels["kubernaut.io/event-type"] != strings.ToLower(c.kind) {
			t.Errorf("%s %s: severity %s, want %s; labels %v", c.kind, c.reason, got.Severity, c.want, got.Labels)
		}
	}
}

// Events about objects without a namespace have an empty one, which is part of
// their identity: the vector is the wire contract's.
func TestEventClusterScoped(t *testing.T) {
	got := parseEventWith(t, map[string]any{"reason": "DiskPressure", "involvedObject.kind": "Node", "involvedObject.name": "worker-1", "involvedObject.namespace": nil})
	if got.Namespace != "" || got.Resource.ID() != "Node:worker-1" || got.Fingerprint != "6b075608df8e6da41743ea4f537b362eee04a10d24ef195c07f6a466816fb452" {
		t.Errorf("namespace %q, resource %s, fingerprint %s", got.Namespace, got.Resource.ID(), got.Fingerprint)
	}
}

func TestEventRefusals(t *testing.T) {
	longest := strings.Repeat("ä", MaxNameLength)
	if got := parseEventWith(t, map[string]any{"reason": longest}).Name; got != longest {
		t.Errorf("a reason of %d characters became %q", MaxNameLength, got)
	}
	for reason, bodies := range map[string][]string{
		ReasonMalformed: {
			"", "{", "[]", `"text"`, "7", eventWith(t, nil) + "x",
			eventWith(t, map[string]any{"firstTimestamp": "yesterday"}), eventWith(t, map[string]any{"lastTimestamp": 5}),
			eventWith(t, map[string]any{"eventTime": "now"}), eventWith(t, map[string]any{"series": 5}),
			eventWith(t, map[string]any{"involvedObject": "Pod/web"}), eventWith(t, map[string]any{"involvedObject.kind": 1}),
			eventWith(t, map[string]any{"type": 1}), eventWith(t, map[string]any{"reason": []int{}}),
		},
		ReasonNoName: {
			"null", "{}", eventWith(t, map[string]any{"reason": nil}), eventWith(t, map[string]any{"reason": ""}),
		},
		ReasonNameTooLong: {eventWith(t, map[string]any{"reason": longest + "x"})},
		ReasonNoResource: {
			eventWith(t, map[string]any{"involvedObject": nil}),
			eventWith(t, map[string]any{"involvedObject.kind": nil}), eventWith(t, map[string]any{"involvedObject.kind": ""}),
			eventWith(t, map[string]any{"involvedObject.name": nil}), eventWith(t, map[string]any{"involvedObject.name": ""}),
		},
		ReasonEventType: {
			eventWith(t, map[string]any{"type": "Normal"}), eventWith(t, map[string]any{"type": nil}), eventWith(t, map[string]any{"type": ""}),
			eventWith(t, map[string]any{"type": "warning"}), eventWith(t, map[string]any{"type": "Critical"}),
		},
		ReasonTime: {
			eventWith(t, map[string]any{"firstTimestamp": "9999-12-31T23:59:59-01:00"}),
			eventWith(t, map[string]any{"firstTimestamp": "0001-01-01T00:00:00+01:00"}),
			eventWith(t, map[string]any{"lastTimestamp": "9999-12-31T23:59:59-01:00"}),
		},
	} {
		for _, body := range bodies {
			_, err := Event{}.Parse([]byte(body), received)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Reason != reason || invalid.Detail == "" {
				t.Errorf("Parse(%s): error %v, want reason %s", body, err, reason)
			}
		}
	}
}

// Recorders write one event in three ways; all say the same.
func TestEventVersions(t *testing.T) {
	want := &Signal{
		Type: "kubernetes-event", Source: "kubernetes-events", Name: "FailedScheduling", Severity: "critical",
		Namespace: "shop", Resource: Resource{Kind: "Pod", Name: "web-1", Namespace: "shop"},
		Labels: map[string]string{"kubernaut.io/event-source": "default-scheduler", "kubernaut.io/event-type": "warning", "kubernaut.io/resource-kind": "pod"},
		Annotations: map[string]string{
			"kubernaut.io/event-message": "no room", "kubernaut.io/event-count": "14",
			"kubernaut.io/first-timestamp": "2026-03-01T09:00:00Z", "kubernaut.io/last-timestamp": "2026-03-01T09:40:00Z",
		},
		FiringTime: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), ReceivedTime: received,
		Fingerprint: Fingerprint("FailedScheduling", "shop", "Pod", "web-1"),
	}
	const object = `{"kind":"Pod","namespace":"shop","name":"web-1"}`
	for name, body := range map[string]string{
		"core/v1, old members": `{"type":"Warning","reason":"FailedScheduling","message":"no room","involvedObject":` + object + `,
			"firstTimestamp":"2026-03-01T09:00:00Z","lastTimestamp":"2026-03-01T09:40:00Z","count":14,"source":{"component":"default-scheduler"}}`,
		"core/v1, new members": `{"type":"Warning","reason":"FailedScheduling","message":"no room","involvedObject":` + object + `,
			"eventTime":"2026-03-01T09:00:00.000000Z","firstTimestamp":null,"lastTimestamp":null,"series":{"count":14,"lastObservedTime":"2026-03-01T09:40:00.000000Z"},
			"reportingComponent":"default-scheduler","source":{}}`,
		"events.k8s.io/v1": `{"apiVersion":"events.k8s.io/v1","kind":"Event","type":"Warning","reason":"FailedScheduling","note":"no room","regarding":` + object + `,
			"eventTime":"2026-03-01T09:00:00.000000Z","series":{"count":14,"lastObservedTime":"2026-03-01T09:40:00.000000Z"},
			"reportingController":"default-scheduler"}`,
		"events.k8s.io/v1, deprecated members": `{"type":"Warning","reason":"FailedScheduling","note":"no room","regarding":` + object + `,"eventTime":null,
			"deprecatedFirstTimestamp":"2026-03-01T09:00:00Z","deprecatedLastTimestamp":"2026-03-01T09:40:00Z","deprecatedCount":14,
			"deprecatedSource":{"component":"default-scheduler"}}`,
		"of a watch": `{"type":"ADDED","object":{"type":"Warning","reason":"FailedScheduling","message":"no room","involvedObject":` + object + `,
			"firstTimestamp":"2026-03-01T09:00:00Z","lastTimestamp":"2026-03-01T09:40:00Z","count":14,"source":{"component":"default-scheduler"}}}`,
		"unused members of other types": `{"metadata":7,"type":"Warning","reason":"FailedScheduling","message":"no room","involvedObject":{"kind":"Pod","namespace":"shop","name":"web-1","uid":1},
			"firstTimestamp":"2026-03-01T09:00:00Z","lastTimestamp":"2026-03-01T09:40:00Z","count":"14","action":[],"source":"kubelet","reportingComponent":"default-scheduler"}`,
	} {
		parsed, err := Event{}.Parse([]byte(body), received)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want.Payload = []byte(body)
		if diff := cmp.Diff(want, parsed[0].Signal(), cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("%s: signal (-want +got):\n%s", name, diff)
		}
	}
}

// An event that is sent again long after it happened begins nothing.
func TestEventAge(t *testing.T) {
	at := func(ago time.Duration) string { return received.Add(-ago).Format(time.RFC3339) }
	for _, c := range []struct {
		changes map[string]any
		maxAge  time.Duration
		ignored bool
	}{
		{map[string]any{"firstTimestamp": at(time.Hour), "lastTimestamp": at(time.Minute)}, 15 * time.Minute, false},
		{map[string]any{"firstTimestamp": at(time.Hour), "lastTimestamp": at(16 * time.Minute)}, 15 * time.Minute, true},
		{map[string]any{"firstTimestamp": at(time.Hour), "lastTimestamp": at(16 * time.Minute)}, 0, false},
		{map[string]any{"firstTimestamp": at(time.Hour), "lastTimestamp": nil}, 15 * time.Minute, true},
		{map[string]any{"firstTimestamp": nil, "lastTimestamp": nil}, 15 * time.Minute, false},
		{map[string]any{"firstTimestamp": nil, "lastTimestamp": nil, "eventTime": at(time.Hour)}, 15 * time.Minute, true},
		{map[string]any{"firstTimestamp": nil, "lastTimestamp": nil, "eventTime": at(time.Hour), "series": map[string]any{"lastObservedTime": at(0)}}, 15 * time.Minute, false},
		{map[string]any{"firstTimestamp": nil, "lastTimestamp": nil, "metadata": map[string]any{"creationTimestamp": at(time.Hour)}}, 15 * time.Minute, true},
		{map[string]any{"firstTimestamp": at(-time.Hour), "lastTimestamp": at(-time.Hour)}, 15 * time.Minute, false},
	} {
		parsed, err := Event{MaxAge: c.maxAge}.Parse([]byte(eventWith(t, c.changes)), received)
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed[0].Signal().Ignored; (got == IgnoredAge) != c.ignored {
			t.Errorf("%v, at most %s ago: ignored %q", c.changes, c.maxAge, got)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"Warning","reason":"R","involvedObject":{"kind":"Pod","namespace":"n","name":"p"},"firstTimestamp":"2025-11-24T09:59:00Z"}`))
	f.Add([]byte(`{"type":"Error","reason":"\ud800","involvedObject":{"kind":"Node","name":"n"},"count":2,"source":{"host":"h"}}`))
	f.Add([]byte(`{"TYPE":"Normal"}`))
	f.Add([]byte(`{"type":"Warning","reason":"R","note":"n","regarding":{"kind":"Pod","name":"p"},"eventTime":"2026-03-01T09:00:00.408032Z","series":{"count":14,"lastObservedTime":"2026-03-01T09:40:00Z"},"reportingController":"c"}`))
	f.Add([]byte(`{"type":"ADDED","object":{"type":"Warning","reason":"R","involvedObject":{"kind":"Pod","name":"p"},"deprecatedCount":"3"}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := Event{MaxAge: time.Hour}.Parse(body, received)
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		if len(parsed) != 1 || parsed[0].Err != nil {
			t.Fatalf("parsed %+v", parsed)
		}
		s := parsed[0].Signal()
		if s.Name == "" || s.Resource.Kind == "" || s.Resource.Name == "" || s.Severity != "critical" && s.Severity != "warning" || s.Resolved {
			t.Fatalf("signal %+v", s)
		}
		if s.Fingerprint != Fingerprint(s.Name, s.Namespace, s.Resource.Kind, s.Resource.Name) {
			t.Fatalf("fingerprint of %+v", s)
		}
		if year := s.FiringTime.UTC().Year(); year < 1 || year > 9999 {
			t.Fatalf("firing time in the year %d", year)
		}
	})
}

// The end of an event is no occurrence of it, whenever that was.
func TestDeletedEventsAreIgnored(t *testing.T) {
	const event = `{"type":"Warning","reason":"BackOff","involvedObject":{"kind":"Pod","name":"web"},"lastTimestamp":"2025-11-24T10:00:00Z"}`
	received := time.Date(2025, 11, 24, 10, 0, 1, 0, time.UTC)
	for body, want := range map[string]string{
		event: "",
		`{"type":"ADDED","object":` + event + `}`:    "",
		`{"type":"MODIFIED","object":` + event + `}`: "",
		`{"object":` + event + `}`:                   "",
		`{"type":7,"object":` + event + `}`:          "",
		`{"type":"DELETED","object":` + event + `}`:  IgnoredDeleted,
	} {
		for _, maxAge := range []time.Duration{0, time.Minute} {
			parsed, err := Event{MaxAge: maxAge}.Parse([]byte(body), received)
			if err != nil {
				t.Fatal(err)
			}
			if got := parsed[0].Signal().Ignored; got != want {
				t.Errorf("%s: ignored as %q, want %q", body, got, want)
			}
		}
	}
}
