package app_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

// sent is a request of testdata/cases, and what must come of it.
type sent struct {
	file     string
	event    bool // to the route of events
	packed   bool
	chunked  bool
	code     int
	statuses string // of each alert
}

// cases are requests that real senders make. Those of one group are sent to one gateway,
// in order.
var cases = []struct {
	name     string
	requests []sent
	// objects are namespace, kind, name and severity, sorted.
	objects []string
}{
	{"targets behind kube-state-metrics: deployments", []sent{
		{file: "01a-ksm-pod-label-deployment.json", code: 201, statuses: "created"},
		{file: "01b-ksm-pod-label-deployment.json", code: 201, statuses: "created"},
		{file: "01a-ksm-pod-label-deployment.json", code: 202, statuses: "duplicate"},
	}, []string{"demo-shop Deployment basket warning", "demo-shop Deployment checkout warning"}},
	{"targets behind kube-state-metrics: nodes", []sent{
		{file: "01c-ksm-pod-label-node.json", code: 201, statuses: "created"},
		{file: "01d-ksm-pod-label-node.json", code: 201, statuses: "created"},
	}, []string{"fallback Node worker-1 critical", "fallback Node worker-2 critical"}},
	{"two claims", []sent{{file: "03a-two-claims.json", code: 201, statuses: "created created"}},
		[]string{"demo-shop PersistentVolumeClaim data-a critical", "demo-shop PersistentVolumeClaim data-b critical"}},
	{"two hosts", []sent{{file: "03b-two-hosts-two-mounts.json", code: 201, statuses: "created created"}},
		[]string{"default Host 192.0.2.11:9100 warning", "default Host 192.0.2.12:9100 critical"}},
	{"two jobs", []sent{{file: "03c-two-jobs-two-autoscalers.json", code: 201, statuses: "created created"}},
		[]string{"demo-shop Job nightly-a warning", "demo-shop Job nightly-b warning"}},
	{"watchdog", []sent{{file: "05-watchdog.json", code: 200, statuses: "ignored ignored"}}, nil},
	{"group of 150", []sent{{file: "06-group-of-150.json", code: 201}}, nil},
	{"group of 150 in chunks", []sent{{file: "06-group-of-150.json", chunked: true, code: 201}}, nil},
	{"one empty time", []sent{{file: "09a-one-alert-empty-time.json", code: 201, statuses: "created created error"}},
		[]string{"demo-shop Pod web-1 critical", "demo-shop Pod web-2 critical"}},
	{"one label that is a number", []sent{{file: "09b-one-alert-number-label.json", code: 201, statuses: "created created error"}},
		[]string{"demo-shop Pod web-1 critical", "demo-shop Pod web-2 critical"}},
	{"empty strings for maps", []sent{{file: "11a-empty-strings-for-maps.json", code: 201, statuses: "created"}}, []string{"demo-shop Pod web-1 critical"}},
	{"a number as group key", []sent{{file: "11b-numeric-groupkey.json", code: 201, statuses: "created"}}, []string{"demo-shop Pod web-1 critical"}},
	{"event with the new members only", []sent{{file: "12-event-eventtime-only.json", event: true, code: 201, statuses: "created"}}, []string{"demo-shop Pod web-1 critical"}},
	{"event of a month ago", []sent{{file: "14-stale-event.json", event: true, code: 200, statuses: "ignored"}}, nil},
	{"dotted labels", []sent{{file: "16-utf8-label-names.json", code: 201, statuses: "created created"}},
		[]string{"demo-bank Pod ledger-1 critical", "demo-shop Pod checkout-1 critical"}},
	{"plain", []sent{{file: "21-gzip-plain.json", code: 201, statuses: "created"}}, []string{"demo-shop Pod p1 warning"}},
	{"packed", []sent{{file: "21-gzip-plain.json", packed: true, code: 201, statuses: "created"}, {file: "21-gzip-plain.json", code: 202, statuses: "duplicate"}},
		[]string{"demo-shop Pod p1 warning"}},
}

// What real senders send is stored, and stored as what it is.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	used := make(map[string]bool)
	for _, group := range cases {
		for _, request := range group.requests {
			used[filepath.Join("testdata/cases", request.file)] = true
		}
		t.Run(group.name, func(t *testing.T) {
			c := newCluster(t, "demo-shop", "demo-bank", "default", "fallback")
			g := start(t, redistest.Start(t).Addr, c, func(cfg *config.Config, o *app.Options) {
				cfg.Processing.Storm.RateThreshold, cfg.Processing.Storm.PatternThreshold = 10, 10
				o.Now = func() time.Time { return time.Date(2026, 3, 1, 9, 45, 0, 0, time.UTC) }
			})
			for _, request := range group.requests {
				request.check(t, g)
			}
			if group.objects == nil {
				return
			}
			var got []string
			for _, o := range c.objects(t) {
				kind, name := resourceOf(t, o.Spec.ProviderData)
				got = append(got, strings.Join([]string{o.Namespace, kind, name, o.Spec.Severity}, " "))
			}
			slices.Sort(got)
			if !slices.Equal(got, group.objects) {
				t.Errorf("objects %q, want %q", got, group.objects)
			}
		})
	}
	if names := slices.Sorted(maps.Keys(used)); !slices.Equal(names, files) {
		t.Errorf("files used %q, want %q", names, files)
	}
}

func (s sent) check(t *testing.T, g *gateway) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata/cases", s.file))
	if err != nil {
		t.Fatal(err)
	}
	route := prometheusRoute
	if s.event {
		route = eventRoute
	}
	var body io.Reader = bytes.NewReader(content)
	if s.packed {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(content) // to memory
		_ = w.Close()
		body = &b
	}
	if s.chunked {
		body = io.MultiReader(body) // which the client does not know the length of
	}
	request, err := http.NewRequest(http.MethodPost, g.url+route, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if s.packed {
		request.Header.Set("Content-Encoding", "gzip")
	}
	a := answerTo(t, request)
	var statuses []string
	for _, r := range a.body.Results {
		statuses = append(statuses, r.Status)
	}
	if len(a.body.Results) == 0 {
		statuses = []string{a.body.Status.(string)}
	}
	if got := strings.Join(statuses, " "); a.code != s.code || s.statuses != "" && got != s.statuses {
		t.Errorf("%s: %d %s, want %d %s", s.file, a.code, got, s.code, s.statuses)
	}
}

// A large group is stored as a whole: each alert is named by an object.
func TestGroupOf150(t *testing.T) {
	c := newCluster(t, "demo-shop")
	g := start(t, redistest.Start(t).Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.Storm.RateThreshold, cfg.Processing.Storm.PatternThreshold = 10, 10
		cfg.Processing.Storm.InactivityTimeout = config.Duration(200 * time.Millisecond)
	})
	sent{file: "06-group-of-150.json", code: 201}.check(t, g)
	eventually(t, "150 alerts are named by objects", func() bool {
		named := make(map[string]int)
		for _, o := range c.objects(t) {
			if !o.Spec.IsStorm {
				kind, name := resourceOf(t, o.Spec.ProviderData)
				named["demo-shop:"+kind+":"+name]++
			}
			for _, id := range o.Spec.AffectedResources {
				named[id]++
			}
		}
		for id, times := range named {
			if times != 1 || !strings.HasPrefix(id, "demo-shop:Pod:web-") {
				t.Fatalf("%s is named %d times", id, times)
			}
		}
		return len(named) == 150
	})
}

// The times, source and count of an event are those of the members that it has.
func TestEventWithNewMembersOnly(t *testing.T) {
	c := newCluster(t, "demo-shop")
	g := start(t, redistest.Start(t).Addr, c, func(_ *config.Config, o *app.Options) {
		o.Now = func() time.Time { return time.Date(2026, 3, 1, 9, 45, 0, 0, time.UTC) }
	})
	sent{file: "12-event-eventtime-only.json", event: true, code: 201, statuses: "created"}.check(t, g)
	s := c.objects(t)[0].Spec
	if got := s.FiringTime.UTC().Format(time.RFC3339); got != "2026-03-01T09:00:00Z" ||
		s.SignalLabels["kubernaut.io/event-source"] != "default-scheduler" || s.SignalAnnotations["kubernaut.io/event-count"] != "14" ||
		s.SignalAnnotations["kubernaut.io/last-timestamp"] != "2026-03-01T09:40:00Z" {
		t.Errorf("firing time %s, labels %v, annotations %v", got, s.SignalLabels, s.SignalAnnotations)
	}
}
