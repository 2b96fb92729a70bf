package signal

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/config"
)

var received = time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC)

// The vectors are the wire contract's: other components compute the same value.
func TestFingerprintVectors(t *testing.T) {
	for input, want := range map[string]string{
		"HighMemoryUsage:prod-payment-service:Pod:payment-api-789": "8ac6f8bc4acc94d391b44e85621242bb042d3ffb137aa5fc0d10b00316f30751",
		"DiskPressure::Node:worker-1":                              "6b075608df8e6da41743ea4f537b362eee04a10d24ef195c07f6a466816fb452",
		"PodCrashLooping:default:Unknown:unknown":                  "12c7e310f4ee397b760f993c4ea00837954e55588cfe0ec47563b7d484ee95a4",
	} {
		parts := strings.Split(input, ":")
		if got := Fingerprint(parts[0], parts[1], parts[2], parts[3]); got != want {
			t.Errorf("Fingerprint(%s) = %s, want %s", input, got, want)
		}
	}
	if Fingerprint("a:b", "c", "Pod", "d") != Fingerprint("a", "b:c", "Pod", "d") {
		t.Error("parts must not be escaped")
	}
}

func TestResourceID(t *testing.T) {
	if got := (Resource{Kind: "Pod", Name: "web", Namespace: "shop"}).ID(); got != "shop:Pod:web" {
		t.Errorf("namespaced: %s", got)
	}
	if got := (Resource{Kind: "Node", Name: "one"}).ID(); got != "Node:one" {
		t.Errorf("cluster-scoped: %s", got)
	}
}

func parseOne(t *testing.T, body string) *Signal {
	t.Helper()
	parsed, err := Prometheus{}.Parse([]byte(body), received)
	if err != nil {
		t.Fatalf("Parse(%s): %v", body, err)
	}
	if len(parsed) != 1 || parsed[0].Err != nil {
		t.Fatalf("Parse(%s) = %+v, want one signal", body, parsed)
	}
	return parsed[0].Signal()
}

func TestPrometheusNormalises(t *testing.T) {
	body := `{"version":"4","status":"firing","groupLabels":{"alertname":"HighMemoryUsage"},
		"commonLabels":{"team":"payments","severity":"info","namespace":"elsewhere"},"commonAnnotations":{"summary":"common"},
		"alerts":[{"status":"firing","startsAt":"2025-11-24T09:59:00+01:00","fingerprint":"theirs",
		"labels":{"alertname":"HighMemoryUsage","severity":"critical","namespace":"prod-payment-service","pod":"payment-api-789","team":"own"},
		"annotations":{"summary":"own","runbook":"r"}}]}`
	got := parseOne(t, body)
	want := &Signal{
		Type: "prometheus-alert", Source: "prometheus", Name: "HighMemoryUsage", Severity: "critical",
		Namespace: "prod-payment-service",
		Resource:  Resource{Kind: "Pod", Name: "payment-api-789", Namespace: "prod-payment-service"},
		// The common ones win, but only in what is stored.
		Labels:      map[string]string{"alertname": "HighMemoryUsage", "severity": "info", "namespace": "elsewhere", "pod": "payment-api-789", "team": "payments"},
		Annotations: map[string]string{"summary": "common", "runbook": "r"},
		FiringTime:  time.Date(2025, 11, 24, 8, 59, 0, 0, time.UTC), ReceivedTime: received,
		Fingerprint: "8ac6f8bc4acc94d391b44e85621242bb042d3ffb137aa5fc0d10b00316f30751",
		Payload:     []byte(body),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("signal (-want +got):\n%s", diff)
	}
}

func TestPrometheusSeverity(t *testing.T) {
	for label, want := range map[string]string{
		`"critical"`: "critical", `"warning"`: "warning", `"info"`: "info",
		`"Critical"`: "warning", `"page"`: "warning", `""`: "warning", `null`: "warning",
	} {
		if got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A","severity":`+label+`}}]}`).Severity; got != want {
			t.Errorf("severity %s became %s, want %s", label, got, want)
		}
	}
	if got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A"}}]}`).Severity; got != "warning" {
		t.Errorf("missing severity became %s", got)
	}
}

func TestPrometheusNamespace(t *testing.T) {
	for _, c := range []struct{ labels, want string }{
		{`"namespace":"a","exported_namespace":"b"`, "b"},
		{`"namespace":"","exported_namespace":"b"`, "b"},
		{`"namespace":"a","exported_namespace":""`, "a"},
		{`"namespace":""`, ""},
		{`"k8s.namespace.name":"otel"`, "otel"},
		{`"k8s.namespace.name":"otel","namespace":"a"`, "a"},
		{`"exported_namespace":"b"`, "b"},
		{`"exported_namespace":""`, ""},
		{`"x":"y"`, "default"},
	} {
		if got := parseOne(t, `{"commonLabels":{"namespace":"common"},"alerts":[{"labels":{"alertname":"A",`+c.labels+`}}]}`).Namespace; got != c.want {
			t.Errorf("labels {%s}: namespace %q, want %q", c.labels, got, c.want)
		}
	}
}

func TestPrometheusResource(t *testing.T) {
	all := []string{"pod", "deployment", "statefulset", "daemonset", "node", "service"}
	kinds := []string{"Pod", "Deployment", "StatefulSet", "DaemonSet", "Node", "Service"}
	for first := range all {
		var labels []string
		for _, label := range all[first:] {
			labels = append(labels, fmt.Sprintf("%q:%q", label, "the-"+label))
		}
		got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A",`+strings.Join(labels, ",")+`}}]}`).Resource
		if want := (Resource{Kind: kinds[first], Name: "the-" + all[first], Namespace: "default"}); got != want {
			t.Errorf("labels %v: resource %+v, want %+v", labels, got, want)
		}
	}
	if got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A"}}]}`).Resource; got != (Resource{"Unknown", "unknown", "default"}) {
		t.Errorf("no resource label: %+v", got)
	}
	if got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A","pod":"","node":"n"}}]}`).Resource; got.Kind != "Pod" || got.Name != "" {
		t.Errorf("an empty label that exists must win: %+v", got)
	}
}

func TestPrometheusFiringTimeDefaultsToReceived(t *testing.T) {
	for _, member := range []string{`"status":"firing"`, `"startsAt":"0001-01-01T00:00:00Z"`} {
		if got := parseOne(t, `{"alerts":[{`+member+`,"labels":{"alertname":"A"}}]}`).FiringTime; !got.Equal(received) {
			t.Errorf("alert with %s: firing time %s", member, got)
		}
	}
}

func TestPrometheusResolved(t *testing.T) {
	for _, c := range []struct {
		group, alert string
		want         bool
	}{{"firing", "firing", false}, {"", "", false}, {"firing", "resolved", true}, {"resolved", "", true}, {"resolved", "resolved", true}} {
		body := fmt.Sprintf(`{"status":%q,"alerts":[{"status":%q,"labels":{"alertname":"A"}}]}`, c.group, c.alert)
		if got := parseOne(t, body).Resolved; got != c.want {
			t.Errorf("group %q, alert %q: resolved %t", c.group, c.alert, got)
		}
	}
}

func TestPrometheusEndTime(t *testing.T) {
	at := func(offset time.Duration) string { return received.Add(offset).UTC().Format(time.RFC3339) }
	for member, want := range map[string]time.Time{
		`,"endsAt":"` + at(-time.Minute) + `"`: received.Add(-time.Minute), `,"endsAt":"` + at(time.Hour) + `"`: received,
		``: received, `,"endsAt":""`: received, `,"endsAt":7`: received, `,"endsAt":"0001-01-01T00:00:00Z"`: received, `,"endsAt":null`: received,
	} {
		got := parseOne(t, `{"status":"resolved","alerts":[{"labels":{"alertname":"A"}`+member+`}]}`).EndTime
		if !got.Truncate(time.Second).Equal(want.Truncate(time.Second)) {
			t.Errorf("%s: %s, want %s", member, got, want)
		}
	}
	if got := parseOne(t, `{"alerts":[{"labels":{"alertname":"A"},"endsAt":"2025-01-01T00:00:00Z"}]}`).EndTime; !got.IsZero() {
		t.Errorf("it is firing, and ended at %s", got)
	}
}

func TestPrometheusRefusesBodies(t *testing.T) {
	for body, reason := range map[string]string{
		``:                  ReasonMalformed,
		`{`:                 ReasonMalformed,
		`[]`:                ReasonMalformed,
		`{"alerts":[{}]} x`: ReasonMalformed,
		`null`:              ReasonNoAlerts,
		`{}`:                ReasonNoAlerts,
		`{"alerts":[]}`:     ReasonNoAlerts,
		`{"alerts":null}`:   ReasonNoAlerts,
		`{"alerts":{}}`:     ReasonMalformed,
		`{"alerts":"[]"}`:   ReasonMalformed,
		`"text"`:            ReasonMalformed,
	} {
		_, err := Prometheus{}.Parse([]byte(body), received)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Reason != reason {
			t.Errorf("Parse(%s): error %v, want reason %s", body, err, reason)
		}
	}
}

func TestPrometheusRefusesSingleAlerts(t *testing.T) {
	longest := strings.Repeat("ä", MaxNameLength)
	body, err := json.Marshal(map[string]any{"alerts": []map[string]any{
		{"labels": map[string]string{"alertname": longest}},
		{"labels": map[string]string{"alertname": longest + "x"}},
		{"labels": map[string]string{"alertname": ""}},
		{"labels": map[string]string{"severity": "info"}},
		{},
		{"labels": map[string]string{"alertname": "A"}, "startsAt": "9999-12-31T23:59:59-01:00"},
		{"labels": map[string]any{"alertname": 7}},
		{"labels": map[string]any{"alertname": "A", "pod": map[string]string{"name": "web"}}},
		{"labels": []string{"alertname"}},
		{"labels": map[string]string{"alertname": "A"}, "startsAt": "yesterday"},
		{"labels": map[string]string{"alertname": "A"}, "startsAt": ""},
		{"labels": map[string]string{"alertname": "A"}, "startsAt": 5},
		{"labels": map[string]string{"alertname": "B"}, "annotations": "none", "endsAt": 1, "status": 2, "fingerprint": []int{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Prometheus{}.Parse(body, received)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, p := range parsed {
		var invalid *InvalidError
		errors.As(p.Err, &invalid)
		if invalid == nil {
			invalid = &InvalidError{}
		}
		reasons = append(reasons, invalid.Reason)
	}
	want := []string{
		"", ReasonNameTooLong, ReasonNoName, ReasonNoName, ReasonNoName, ReasonTime,
		ReasonMalformedAlert, ReasonMalformedAlert, ReasonMalformedAlert, ReasonMalformedTime, ReasonMalformedTime, ReasonMalformedTime, "",
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// What is wrong with one alert is said of that one, and the others are as if they had
// come alone.
func TestPrometheusOneBadAlert(t *testing.T) {
	for name, bad := range map[string]string{
		"a text": `"text"`, "a number": `7`, "a list": `[]`, "null": `null`, "label of a number": `{"labels":{"alertname":"A","replica":3}}`,
		"time": `{"labels":{"alertname":"A"},"startsAt":"2025-02-30T00:00:00Z"}`,
	} {
		parsed, err := Prometheus{}.Parse([]byte(`{"alerts":[{"labels":{"alertname":"A"}},`+bad+`,{"labels":{"alertname":"B"}}]}`), received)
		if err != nil || len(parsed) != 3 {
			t.Fatalf("%s: %v", name, err)
		}
		if parsed[0].Err != nil || parsed[1].Err == nil || parsed[2].Err != nil || !strings.HasPrefix(parsed[1].Err.Error(), "alerts[1]: ") {
			t.Errorf("%s: errors %v, %v, %v", name, parsed[0].Err, parsed[1].Err, parsed[2].Err)
		}
		if a, b := parsed[0].Signal(), parsed[2].Signal(); a.Name != "A" || b.Name != "B" || parsed[1].Signal() != nil {
			t.Errorf("%s: %+v, %+v", name, a, b)
		}
	}
}

// What nothing depends on may be anything.
func TestPrometheusUnusedMembers(t *testing.T) {
	for _, value := range []string{`""`, `"text"`, `7`, `-1.5`, `1e999`, `true`, `null`, `[]`, `{}`, `[{"a":1}]`, `{"a":{"b":[]}}`} {
		for _, member := range []string{
			"version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL",
		} {
			s := parseOne(t, `{"`+member+`":`+value+`,"alerts":[{"labels":{"alertname":"A","pod":"p"},"annotations":{"a":"b"}}]}`)
			if s.Name != "A" || s.Resource.Name != "p" || s.Resolved || s.Annotations["a"] == "" {
				t.Errorf("%s is %s: %+v", member, value, s)
			}
		}
		for _, member := range []string{"status", "annotations", "endsAt", "generatorURL", "fingerprint"} {
			s := parseOne(t, `{"commonAnnotations":{"c":"d"},"alerts":[{"labels":{"alertname":"A","pod":"p"},"`+member+`":`+value+`}]}`)
			if s.Name != "A" || s.Resource.Name != "p" || s.Annotations["c"] != "d" {
				t.Errorf("%s of the alert is %s: %+v", member, value, s)
			}
		}
	}
	// What is no text in a map of texts is kept as its JSON.
	s := parseOne(t, `{"commonLabels":{"n":7,"s":"x"},"alerts":[{"labels":{"alertname":"A"},"annotations":{"o":{"b":"c"},"t":"x","z":null}}]}`)
	if s.Labels["n"] != "7" || s.Labels["s"] != "x" || s.Annotations["o"] != `{"b":"c"}` || s.Annotations["t"] != "x" || s.Annotations["z"] != "" {
		t.Errorf("labels %v, annotations %v", s.Labels, s.Annotations)
	}
}

func TestPrometheusTruncated(t *testing.T) {
	for member, want := range map[string]int{`0`: 0, `7`: 7, `"7"`: 7, `7.9`: 7, `-3`: 0, `null`: 0, `{}`: 0, `18446744073709551616`: 1<<31 - 1, `"many"`: 0} {
		parsed, err := Prometheus{}.Parse([]byte(`{"truncatedAlerts":`+member+`,"alerts":[{"labels":{"alertname":"A"}}]}`), received)
		if err != nil || parsed[0].Truncated != want || parsed[0].Signal().Truncated != want {
			t.Errorf("%s: %+v, %v, want %d", member, parsed, err, want)
		}
	}
}

func TestPrometheusIgnored(t *testing.T) {
	for labels, want := range map[string]string{
		`"alertname":"Watchdog","severity":"none"`:       IgnoredByName + " unknown",
		`"alertname":"Watchdog","prometheus":"mon/k8s"`:  IgnoredByName + " mon/k8s",
		`"alertname":"InfoInhibitor","namespace":"shop"`: IgnoredByName + " ",
		`"alertname":"A","severity":"none"`:              IgnoredBySeverity + " ",
		`"alertname":"A","severity":"None"`:              " ",
		`"alertname":"A","severity":"page"`:              " ",
		`"alertname":"A"`:                                " ",
		`"alertname":"watchdog"`:                         " ",
	} {
		s := parseOne(t, `{"alerts":[{"labels":{`+labels+`}}]}`)
		if got := s.Ignored + " " + s.Heartbeat; got != want {
			t.Errorf("%s: %q, want %q", labels, got, want)
		}
	}
	none := Prometheus{Ignored: NewIgnored(config.Ignore{})}
	parsed, err := none.Parse([]byte(`{"alerts":[{"labels":{"alertname":"Watchdog","severity":"none"}}]}`), received)
	if err != nil || parsed[0].Signal().Ignored != "" {
		t.Errorf("nothing is to be ignored: %+v, %v", parsed[0].Signal(), err)
	}
}

// A group's alerts become objects of their own, each with a payload that could
// be sent again by itself.
func TestPrometheusSplitsGroups(t *testing.T) {
	body := `{"version":"4","receiver":"r","Alerts":[],"alerts":[{"labels":{"alertname":"A"},"extra":1},{"labels":{"alertname":"B"}}]}`
	parsed, err := Prometheus{}.Parse([]byte(body), received)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed) != 2 || parsed[0].Signal().Name != "A" || parsed[1].Signal().Name != "B" {
		t.Fatalf("parsed %+v", parsed)
	}
	want := `{"alerts":[{"labels":{"alertname":"A"},"extra":1}],"receiver":"r","version":"4"}`
	if got := string(parsed[0].Signal().Payload); got != want {
		t.Errorf("payload %s, want %s", got, want)
	}
	again := parseOne(t, string(parsed[1].Signal().Payload))
	if again.Fingerprint != parsed[1].Signal().Fingerprint {
		t.Error("the payload of the second alert does not parse to the same incident")
	}
}

// What a group's alerts have in common is not kept once for each of them, or a
// request of 100 kB would take hundreds of megabytes.
func TestPrometheusSignalsAreMadeOneByOne(t *testing.T) {
	common := make([]string, 5000)
	for i := range common {
		common[i] = fmt.Sprintf(`"l%d":""`, i)
	}
	alerts := strings.Repeat(`{"labels":{"alertname":"A"}},`, 1500)
	body := []byte(`{"commonLabels":{` + strings.Join(common, ",") + `},"alerts":[` + strings.TrimSuffix(alerts, ",") + `]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parsed, err := Prometheus{}.Parse(body, received)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20<<20 {
		t.Errorf("a body of %d bytes took %d", len(body), got)
	}
	if s := parsed[1499].Signal(); len(s.Labels) != 5001 {
		t.Errorf("%d labels", len(s.Labels))
	}
}

func FuzzPrometheus(f *testing.F) {
	f.Add([]byte(`{"alerts":[{"labels":{"alertname":"A","namespace":"n","pod":"p"},"startsAt":"2025-11-24T09:59:00Z"}]}`))
	f.Add([]byte(`{"status":"resolved","commonLabels":{"a":"b"},"alerts":[{"labels":{"alertname":"A"}},{"labels":{}}]}`))
	f.Add([]byte(`{"ALERTS":[{"Labels":{"alertname":"\ud800"}}]}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"groupKey":7,"commonLabels":"","truncatedAlerts":"3","alerts":[{"labels":{"alertname":"A","n":3}},{"labels":{"alertname":"B"},"annotations":[1]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := Prometheus{}.Parse(body, received)
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		if len(parsed) == 0 {
			t.Fatal("neither signals nor an error")
		}
		for _, p := range parsed {
			if (p.Signal() == nil) == (p.Err == nil) {
				t.Fatalf("want a signal or an error, got %+v", p)
			}
			if s := p.Signal(); s != nil {
				if s.Name == "" || len(s.Fingerprint) != 64 || s.FiringTime.IsZero() {
					t.Fatalf("incomplete signal %+v", s)
				}
				again, err := Prometheus{}.Parse(s.Payload, received)
				if err != nil || len(again) != 1 || again[0].Err != nil || again[0].Signal().Fingerprint != s.Fingerprint {
					t.Fatalf("payload %s does not stand for its signal: %+v, %v", s.Payload, again, err)
				}
			}
		}
	})
}

// Alerts are counted before anything is made of them, whatever is between their commas.
func TestTooManyAlerts(t *testing.T) {
	const two = `{"labels":{"alertname":"A","x":",[{\\\""}},{"labels":{"alertname":"B"},"y":[1,2,{"z":[3,4]}]}`
	for body, refused := range map[string]bool{
		`{"alerts":[` + two + `]}`:                         false,
		`{"alerts":[` + two + `,0]}`:                       true,
		"{\"alerts\" : [ \n" + two + " ,\n 0 ] , \"a\":1}": true,
		`{"ALERTS":[0,0,0]}`:                               true,
		`{"alerts":[0,0,0],"alerts":[` + two + `]}`:        true,
		`{"other":[0,0,0,0],"alerts":[` + two + `]}`:       false,
		`{"alerts":{"a":1,"b":2,"c":3}}`:                   false,
		`{"alerts":"a,b,c,d"}`:                             false,
		`{"alerts":[0,0,0,]}`:                              false, // no JSON
	} {
		_, err := Prometheus{MaxAlerts: 2}.Parse([]byte(body), time.Now())
		var invalid *InvalidError
		if got := errors.As(err, &invalid) && invalid.Reason == ReasonTooMany; got != refused {
			t.Errorf("%s: refused %t, want %t: %v", body, got, refused, err)
		}
	}
}

// The number is that of a decoder, for all lists.
func FuzzElementCount(f *testing.F) {
	for _, seed := range []string{`[]`, ` [ ] `, `[1]`, `[1,"a,\"]",[2,3],{"b":[4,5]}]`, `{"a":1,"b":2}`, `"[,,]"`, `["\\",1]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var list []json.RawMessage
		if json.Unmarshal([]byte(text), &list) != nil {
			return
		}
		var n elementCount
		if err := json.Unmarshal([]byte(text), &n); err != nil || int(n) != len(list) {
			t.Fatalf("%q: %d elements, want %d, %v", text, n, len(list), err)
		}
	})
}

// What a signal takes beside the body is estimated, and never too little.
func TestSize(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for body, want := range map[string][2]int{
		`{"alerts":[{"labels":{"alertname":"A"}}]}`:                                                                         {0, 1000},
		`{"common":"` + long + `","alerts":[{"labels":{"alertname":"A"}}]}`:                                                 {0, 1000},
		`{"common":"` + long + `","alerts":[{"labels":{"alertname":"A"}},{"labels":{"alertname":"B"}}]}`:                    {5000, 6000},
		`{"commonLabels":{` + members(1000) + `},"alerts":[{"labels":{"alertname":"A"}}]}`:                                  {64_000, 66_000},
		`{"alerts":[{"labels":{"alertname":"A"},"annotations":{` + members(1000) + `}}]}`:                                   {64_000, 66_000},
		`{"alerts":[{"labels":{"alertname":"A"},"annotations":{"a":"` + long + `"}},{"labels":{"alertname":"B","b":"c"}}]}`: {5000, 6000},
	} {
		parsed, err := Prometheus{}.Parse([]byte(body), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed[0].Size; got < want[0] || got > want[1] || len(parsed) > 1 && got < len(parsed[0].Signal().Payload) {
			t.Errorf("%.80s: %d, want %v", body, got, want)
		}
	}
}

func members(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"l%d":""`, i))
	}
	return strings.Join(all, ",")
}
