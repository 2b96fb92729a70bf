package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

const route = "/api/v1/signals/prometheus"

// script answers signals by their names.
type script struct{}

// scripted are the names that differ from New.
var scripted = []string{"New", "Duplicate", "Resolved", "Buffered", "Opened", "Added", "Flushed", "NoRedis", "NoKubernetes", "Busy", "Gone", "Panic"}

var seen = time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC)

func (script) Process(_ context.Context, sig *signal.Signal) (pipeline.Outcome, error) {
	object := types.NamespacedName{Namespace: "shop", Name: "rr-1"}
	switch {
	case sig.Resolved, sig.Ignored != "":
		return pipeline.Outcome{}, nil
	case sig.Name == "Duplicate":
		return pipeline.Outcome{Duplicate: &dedup.Occurrence{Object: object, Count: 2, FirstSeen: seen, LastSeen: seen.Add(time.Second)}}, nil
	case sig.Name == "Buffered":
		return pipeline.Outcome{Storm: &pipeline.Storm{Kind: storm.Buffered, Type: "pattern", Members: 2}}, nil
	case sig.Name == "Opened":
		return pipeline.Outcome{Storm: &pipeline.Storm{Kind: storm.Opened, Type: "rate", WindowID: "Opened-1", Members: 5, Created: scriptedObject(object)}}, nil
	case sig.Name == "Added":
		return pipeline.Outcome{Storm: &pipeline.Storm{Kind: storm.Added, Type: "rate", WindowID: "Opened-1", Members: 6, Created: scriptedObject(object)}}, nil
	case sig.Name == "Flushed":
		return pipeline.Outcome{Storm: &pipeline.Storm{Kind: storm.Flushed, Created: scriptedObject(object)}}, nil
	case sig.Name == "NoRedis":
		return pipeline.Outcome{}, &redisclient.UnavailableError{Op: "deduplication_check", Err: errors.New("gone")}
	case sig.Name == "NoKubernetes":
		return pipeline.Outcome{}, &remediation.APIError{Op: "create", Err: errors.New(`rejected {"password": "hunter2", "x": 1}`)}
	case sig.Name == "Busy":
		return pipeline.Outcome{}, &dedup.BusyError{Err: errors.New("for too long")}
	case sig.Name == "Gone":
		return pipeline.Outcome{}, context.DeadlineExceeded
	case sig.Name == "Panic":
		panic("on purpose")
	}
	created := scriptedObject(object)
	if parts := strings.Split(sig.Name, "-"); len(parts) == 3 {
		created.Priority, created.Path = parts[1], parts[2]
	}
	return pipeline.Outcome{Created: &created}, nil
}

func scriptedObject(name types.NamespacedName) pipeline.Created {
	return pipeline.Created{Object: name, Environment: "staging", Priority: "P1", Path: "moderate"}
}

// counted returns the samples of a metric by their labels.
func counted(t *testing.T, m *metrics.Metrics, name string) map[string]float64 {
	t.Helper()
	samples := make(map[string]float64)
	for key, value := range metricstest.Read(t, m, name) {
		samples[strings.TrimPrefix(key, name)] = value
	}
	return samples
}

func newServer(t *testing.T, adjust func(*Options)) (*Server, *metrics.Metrics) {
	t.Helper()
	m := metrics.New()
	o := Options{
		Adapters: []Adapter{signal.Prometheus{}, signal.Event{}}, Processor: script{}, Metrics: m,
		Logger: slog.New(slog.DiscardHandler),
	}
	if adjust != nil {
		adjust(&o)
	}
	return New(o), m
}

func named(names ...string) string {
	var alerts []string
	for _, name := range names {
		status := "firing"
		if name == "Resolved" {
			status = "resolved"
		}
		if name == "Nameless" {
			name = ""
		}
		alerts = append(alerts, fmt.Sprintf(`{"status":%q,"labels":{"alertname":%q,"namespace":"shop"}}`, status, name))
	}
	return `{"alerts":[` + strings.Join(alerts, ",") + `]}`
}

// do sends a request; headers are given as name and value in turn.
func do(s *Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, request)
	return recorder
}

func decode(t *testing.T, r *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(r.Body.Bytes(), &body); err != nil {
		t.Fatalf("body %q: %v", r.Body, err)
	}
	return body
}

func TestReplies(t *testing.T) {
	fingerprint := func(name string) string { return signal.Fingerprint(name, "shop", "Unknown", "unknown") }
	for _, c := range []struct {
		name string
		code int
		want map[string]any
	}{
		{"New", 201, map[string]any{
			"status": "created", "fingerprint": fingerprint("New"), "duplicate": false,
			"remediationRequestName": "rr-1", "remediationRequestNamespace": "shop", "environment": "staging", "priority": "P1", "remediationPath": "moderate",
		}},
		{"Duplicate", 202, map[string]any{
			"status": "duplicate", "fingerprint": fingerprint("Duplicate"), "duplicate": true,
			"remediationRequestName": "rr-1", "remediationRequestNamespace": "shop",
			"metadata": map[string]any{
				"Fingerprint": fingerprint("Duplicate"), "Count": 2.0, "RemediationRequestRef": "shop/rr-1",
				"FirstSeen": "2025-11-24T10:00:00Z", "LastSeen": "2025-11-24T10:00:01Z",
			},
		}},
		{"Buffered", 202, map[string]any{"status": "accepted", "fingerprint": fingerprint("Buffered"), "duplicate": false, "isStorm": true, "stormType": "pattern"}},
		{"Opened", 201, map[string]any{
			"status": "created", "fingerprint": fingerprint("Opened"), "duplicate": false, "isStorm": true, "stormType": "rate", "windowID": "Opened-1",
			"remediationRequestName": "rr-1", "remediationRequestNamespace": "shop", "environment": "staging", "priority": "P1",
		}},
		{"Added", 202, map[string]any{"status": "accepted", "fingerprint": fingerprint("Added"), "duplicate": false, "isStorm": true, "stormType": "rate", "windowID": "Opened-1"}},
		{"Flushed", 201, map[string]any{
			"status": "created", "fingerprint": fingerprint("Flushed"), "duplicate": false,
			"remediationRequestName": "rr-1", "remediationRequestNamespace": "shop", "environment": "staging", "priority": "P1", "remediationPath": "moderate",
		}},
		{"Resolved", 200, map[string]any{"status": "ignored", "fingerprint": fingerprint("Resolved"), "duplicate": false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newServer(t, nil)
			r := do(s, "POST", route, named(c.name))
			got := decode(t, r)
			if message, _ := got["message"].(string); message == "" {
				t.Error("no message")
			}
			delete(got, "message")
			if diff := cmp.Diff(c.want, got); r.Code != c.code || diff != "" {
				t.Errorf("code %d, body (-want +got):\n%s", r.Code, diff)
			}
			if got := r.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %s", got)
			}
		})
	}
}

// Every error is a problem of RFC 7807, with the type and title of its code.
func TestProblems(t *testing.T) {
	const big = defaultMaxBodyBytes + 1
	for _, c := range []struct {
		name, body, contentType string
		code                    int
		kind, title, rejected   string
		headers                 map[string]string
	}{
		{"malformed", `{`, "application/json", 400, "validation-error", "Bad Request", "malformed_body", nil},
		{"no alerts", `{}`, "", 400, "validation-error", "Bad Request", "no_alerts", nil},
		{"no name", `{"alerts":[{}]}`, "", 400, "validation-error", "Bad Request", "missing_name", nil},
		{"content type malformed", named("New"), "text", 415, "unsupported-media-type", "Unsupported Media Type", "content_type", map[string]string{"Accept": "application/json"}},
		{"content type unparsable", named("New"), "application/json; =", 400, "validation-error", "Bad Request", "content_type", nil},
		{"content type other", named("New"), "text/plain", 415, "unsupported-media-type", "Unsupported Media Type", "content_type", map[string]string{"Accept": "application/json"}},
		{"too large", strings.Repeat(" ", big), "", 413, "payload-too-large", "Payload Too Large", "too_large", nil},
		{"Redis", named("NoRedis"), "", 503, "service-unavailable", "Service Unavailable", "", map[string]string{"Retry-After": "30"}},
		{"Kubernetes", named("NoKubernetes"), "", 500, "internal-error", "Internal Server Error", "", nil},
		{"busy", named("Busy"), "", 503, "service-unavailable", "Service Unavailable", "", map[string]string{"Retry-After": "30"}},
		{"out of time", named("Gone"), "", 503, "service-unavailable", "Service Unavailable", "", map[string]string{"Retry-After": "30"}},
		{"panic", named("Panic"), "", 500, "internal-error", "Internal Server Error", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, m := newServer(t, nil)
			headers := []string{"X-Request-ID", "mine"}
			if c.contentType != "" {
				headers = append(headers, "Content-Type", c.contentType)
			}
			r := do(s, "POST", route, c.body, headers...)
			got := decode(t, r)
			if r.Code != c.code || r.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("code %d, Content-Type %s", r.Code, r.Header().Get("Content-Type"))
			}
			if got["type"] != "https://kubernaut.io/errors/"+c.kind || got["title"] != c.title || got["status"] != float64(c.code) || got["instance"] != route || got["detail"] == "" {
				t.Errorf("problem %v", got)
			}
			// By contract the content type's errors carry no id.
			if id := got["request_id"]; (id == "mine") == (c.rejected == "content_type") {
				t.Errorf("request_id %v", id)
			}
			for name, want := range c.headers {
				if r.Header().Get(name) != want {
					t.Errorf("%s: %s, want %s", name, r.Header().Get(name), want)
				}
			}
			rejected := map[string]float64{}
			if c.rejected != "" {
				rejected[fmt.Sprintf("{reason=%q}", c.rejected)] = 1
			}
			if diff := cmp.Diff(rejected, counted(t, m, "gateway_requests_rejected_total")); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDetailsAreRedacted(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, names := range [][]string{{"NoKubernetes"}, {"New", "NoKubernetes"}} {
		if r := do(s, "POST", route, named(names...)); r.Code != 500 || strings.Contains(r.Body.String(), "hunter2") {
			t.Errorf("body %s", r.Body)
		}
	}
}

func TestWorstOutcomeDecides(t *testing.T) {
	s, _ := newServer(t, nil)
	for names, want := range map[string]int{
		"New": 201, "Duplicate": 202, "Resolved": 200,
		"Resolved Duplicate": 202, "Duplicate New": 201, "Resolved New Duplicate": 201, "Duplicate Resolved": 202,
		"New NoKubernetes": 500, "NoKubernetes NoRedis New": 503,
		// One that has no name can't be mended by sending it again.
		"New Nameless": 201, "Nameless Duplicate": 202, "Resolved Nameless": 200, "Nameless Nameless": 400, "New Nameless NoRedis": 503,
	} {
		list := strings.Fields(names)
		r := do(s, "POST", route, named(list...))
		body := decode(t, r)
		results, _ := body["results"].([]any)
		if r.Code != want || len(list) > 1 && len(results) != len(list) || len(list) == 1 && results != nil {
			t.Errorf("%s: %d, %d results", names, r.Code, len(results))
		}
	}
}

// processor is a function that handles signals.
type processor func(context.Context, *signal.Signal) (pipeline.Outcome, error)

func (p processor) Process(ctx context.Context, sig *signal.Signal) (pipeline.Outcome, error) {
	return p(ctx, sig)
}

// Promise: what is stored of a request does not depend on how long its sender waits. A
// sender that gives up sends it again, and may give up each time.
func TestSignalsAreStoredThoughTheirSenderIsGone(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	var stored atomic.Int32
	s, _ := newServer(t, func(o *Options) {
		o.WriteTimeout = time.Hour
		o.Processor = processor(func(ctx context.Context, _ *signal.Signal) (pipeline.Outcome, error) {
			giveUp()
			if err := ctx.Err(); err != nil {
				return pipeline.Outcome{}, err
			}
			if _, limited := ctx.Deadline(); !limited {
				t.Error("a signal may take for ever")
			}
			stored.Add(1)
			created := scriptedObject(types.NamespacedName{Namespace: "shop", Name: "rr-1"})
			return pipeline.Outcome{Created: &created}, nil
		})
	})
	request := httptest.NewRequest("POST", route, strings.NewReader(named("A", "B", "C"))).WithContext(ctx)
	s.Handler().ServeHTTP(httptest.NewRecorder(), request)
	if n := stored.Load(); n != 3 {
		t.Errorf("%d of 3 signals are stored", n)
	}
}

// A good alert is stored whatever comes with it, and the reply says what became of each.
func TestOneBadAlert(t *testing.T) {
	s, m := newServer(t, nil)
	r := do(s, "POST", route, `{"truncatedAlerts":3,"alerts":[{"labels":{"alertname":"X","n":3}},{"labels":{"alertname":"New"}},{"labels":{"alertname":"New"},"startsAt":""}]}`)
	body := decode(t, r)
	results, _ := body["results"].([]any)
	if r.Code != 201 || body["status"] != "created" || len(results) != 3 {
		t.Fatalf("%d %v", r.Code, body)
	}
	for i, want := range []string{"error", "created", "error"} {
		result := results[i].(map[string]any)
		if result["status"] != want || (want == "error") != (result["error"] != nil) {
			t.Errorf("alert %d: %v", i, result)
		}
	}
	if diff := cmp.Diff(map[string]float64{`{reason="malformed_alert"}`: 1, `{reason="malformed_time"}`: 1}, counted(t, m, "gateway_signals_invalid_total")); diff != "" {
		t.Errorf("invalid (-want +got):\n%s", diff)
	}
	if got := counted(t, m, "gateway_requests_rejected_total"); len(got) != 0 {
		t.Errorf("rejected %v", got)
	}
	if got := counted(t, m, "gateway_alerts_truncated_total")[""]; got != 3 {
		t.Errorf("%v truncated", got)
	}
}

// endpoint returns the labels of a request's metric, given as method, path and status.
func endpoint(text string) string {
	parts := strings.Fields(text)
	return fmt.Sprintf("{method=%q,path=%q,status=%q}", parts[0], parts[1], parts[2])
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
		body, allow  string
		endpoint     string
	}{
		{"GET", "/nowhere", 404, "404 page not found\n", "", "GET other 404"},
		{"BREW", "/nowhere", 404, "404 page not found\n", "", "other other 404"},
		{"GET", route, 405, "method-not-allowed", "POST", "GET " + route + " 405"},
		{"DELETE", route, 405, "method-not-allowed", "POST", "DELETE " + route + " 405"},
		{"POST", "/health", 405, "method-not-allowed", "GET, HEAD", "POST /health 405"},
		{"GET", "/ready", 200, `{"status":"ready"}` + "\n", "", "GET /ready 200"},
		{"POST", "/metrics", 200, "metrics", "", "POST /metrics 200"},
	} {
		s, m := newServer(t, nil)
		r := do(s, c.method, c.path, "")
		body := r.Body.String()
		if c.code == http.StatusMethodNotAllowed {
			kind, _ := decode(t, r)["type"].(string)
			body = strings.TrimPrefix(kind, problemPrefix)
		}
		if strings.Contains(body, "\ngateway_http_requests_in_flight 0\n") {
			body = "metrics"
		}
		if r.Code != c.code || body != c.body || r.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, body %q, Allow %q", c.method, c.path, r.Code, r.Body, r.Header().Get("Allow"))
		}
		if diff := cmp.Diff(map[string]float64{endpoint(c.endpoint): 1}, counted(t, m, "gateway_http_requests_total")); diff != "" {
			t.Errorf("%s %s observed (-want +got):\n%s", c.method, c.path, diff)
		}
		if inFlight := counted(t, m, "gateway_http_requests_in_flight")[""]; inFlight != 0 {
			t.Errorf("%s %s: %v requests in flight", c.method, c.path, inFlight)
		}
	}
}

func TestHealth(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, path := range []string{"/health", "/healthz"} {
		r := do(s, "GET", path, "")
		body := decode(t, r)
		at, err := time.Parse(time.RFC3339, body["timestamp"].(string))
		if r.Code != 200 || body["status"] != "healthy" || err != nil || at.Location() != time.UTC || r.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, r.Code, body)
		}
	}
}

func TestReadinessNamesWhatFails(t *testing.T) {
	works := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("no") }
	for _, c := range []struct {
		redis, api func(context.Context) error
		code       int
		names      string
	}{{works, works, 200, ""}, {fails, works, 503, "Redis"}, {works, fails, 503, "Kubernetes"}, {fails, fails, 503, "Redis"}} {
		s, _ := newServer(t, func(o *Options) { o.Checks = []Check{{"Redis", c.redis}, {"Kubernetes", c.api}} })
		r := do(s, "GET", "/ready", "")
		detail, _ := decode(t, r)["detail"].(string)
		if r.Code != c.code || !strings.HasPrefix(detail, c.names) {
			t.Errorf("%d %s, want %d %s", r.Code, detail, c.code, c.names)
		}
	}
	var budget time.Duration
	s, _ := newServer(t, func(o *Options) {
		o.Checks = []Check{{"Redis", func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			budget = time.Until(deadline)
			return nil
		}}}
	})
	if do(s, "GET", "/ready", ""); budget <= 0 || budget > 5*time.Second {
		t.Errorf("checks may take %s", budget)
	}
	s.draining.Store(true)
	if r := do(s, "GET", "/ready", ""); r.Code != 503 || r.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("while shutting down: %d", r.Code)
	}
	if r := do(s, "GET", "/health", ""); r.Code != 200 {
		t.Errorf("liveness while shutting down: %d", r.Code)
	}
}

// Promise: clients that keep their connections take them elsewhere before they are closed.
func TestConnectionsPartWhileDraining(t *testing.T) {
	s, _ := newServer(t, nil)
	listening := httptest.NewServer(s.Handler())
	defer listening.Close()
	for _, draining := range []bool{false, true} {
		s.draining.Store(draining)
		for _, path := range []string{"/health", "/ready", "/metrics"} {
			response, err := listening.Client().Get(listening.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.Close != draining {
				t.Errorf("draining %t: %s ends its connection: %t", draining, path, response.Close)
			}
		}
	}
}

func TestShutdownTimesByDefault(t *testing.T) {
	s, _ := newServer(t, nil)
	if s.options.ShutdownPause != 5*time.Second || s.options.ShutdownBudget != 30*time.Second {
		t.Errorf("pause %s, budget %s", s.options.ShutdownPause, s.options.ShutdownBudget)
	}
}

// Idle connections are kept for a time of their own: by default the server would close
// them after ReadTimeout, and senders keep them longer.
func TestTimeoutsReachTheServer(t *testing.T) {
	s, _ := newServer(t, func(o *Options) {
		o.ReadTimeout, o.WriteTimeout, o.IdleTimeout = time.Second, 2*time.Second, 3*time.Second
	})
	h := s.httpServer()
	if h.ReadTimeout != time.Second || h.ReadHeaderTimeout != time.Second || h.WriteTimeout != 2*time.Second || h.IdleTimeout != 3*time.Second {
		t.Errorf("times %v, %v, %v, %v", h.ReadTimeout, h.ReadHeaderTimeout, h.WriteTimeout, h.IdleTimeout)
	}
}

// Headers are read before anything is known of the sender. Any token fits, and little more.
func TestHeadersAreLimited(t *testing.T) {
	s, _ := newServer(t, nil)
	listening := httptest.NewUnstartedServer(nil)
	listening.Config = s.httpServer()
	listening.Start()
	defer listening.Close()
	for size, want := range map[int]int{16 << 10: 200, 128 << 10: 431} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, listening.URL+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.Repeat("x", size))
		response, err := listening.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, response.StatusCode, want)
		}
	}
}
