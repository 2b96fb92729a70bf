package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"stormgate.internal/gateway/logging"
)

// A request that is wrong in every way is refused by the outermost layer; with
// that put right, by the next; and so on in the contract's order.
func TestLayersInOrder(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 60, 1 })
	now := seen
	s.now = func() time.Time { return now }
	do(s, "POST", route, named("New")) // takes the only token
	headers := map[string]string{"X-Timestamp": "1", "Content-Type": "text/plain"}
	body := strings.Repeat(" ", maxBodyBytes+1)
	for _, step := range []struct {
		putRight func()
		code     int
		kind     string
	}{
		{func() {}, 429, "rate-limit-exceeded"},
		{func() { now = now.Add(time.Second) }, 400, "validation-error"},
		{func() { now = now.Add(time.Second); headers["X-Timestamp"] = "" }, 415, "unsupported-media-type"},
		{func() { now = now.Add(time.Second); headers["Content-Type"] = "" }, 413, "payload-too-large"},
		{func() { now = now.Add(time.Second); body = "{" }, 400, "validation-error"},
		{func() { now = now.Add(time.Second); body = named("New") }, 201, ""},
	} {
		step.putRight()
		r := do(s, "POST", route, body, "X-Timestamp", headers["X-Timestamp"], "Content-Type", headers["Content-Type"])
		kind, _ := decode(t, r)["type"].(string)
		if r.Code != step.code || strings.TrimPrefix(kind, problemPrefix) != step.kind {
			t.Errorf("%d %s, want %d %s", r.Code, r.Body, step.code, step.kind)
		}
	}
}

// probe is a reply that notes how many layers a request has passed when it is first
// seen to be counted, by what they have done to the reply. It looks whenever a layer
// is about to do that.
type probe struct {
	*httptest.ResponseRecorder
	look func() (events []string)
	at   map[string]string
}

func (p *probe) Header() http.Header {
	header := p.ResponseRecorder.Header()
	for _, event := range p.look() {
		if _, seen := p.at[event]; !seen {
			p.at[event] = fmt.Sprintf("id %t, security %t", header.Get("X-Request-ID") != "", header.Get("X-Frame-Options") != "")
		}
	}
	return header
}

// The outer layers refuse nothing. Ids and real addresses are there when a request
// is counted and logged, security headers are not yet, but are when the rate limit
// looks; and the duration covers all of that.
func TestOuterLayersInOrder(t *testing.T) {
	var log bytes.Buffer
	s, m := newServer(t, func(o *Options) {
		o.Logger = logging.New(&log, nil)
		o.RequestsPerMinute, o.Burst = 1, 1
	})
	at := map[string]string{}
	look := func() (events []string) {
		if counted(t, m, "gateway_http_requests_in_flight")[""] == 1 {
			events = append(events, "started")
		}
		for client := range counted(t, m, "gateway_rate_limit_exceeded_total") {
			events = append(events, "limited "+client)
		}
		return events
	}
	for range 2 {
		request := httptest.NewRequest("POST", route, strings.NewReader(named("New")))
		request.Header.Set("X-Real-IP", "10.1.1.1")
		request.Header.Set("X-Request-ID", "mine")
		s.Handler().ServeHTTP(&probe{httptest.NewRecorder(), look, at}, request)
	}
	want := map[string]string{"started": "id true, security false", `limited {source_ip="10.1.1.1"}`: "id true, security true"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("layers passed (-want +got):\n%s", diff)
	}
	ended := map[string]float64{endpoint("POST " + route + " 201"): 1, endpoint("POST " + route + " 429"): 1}
	if diff := cmp.Diff(ended, counted(t, m, "gateway_http_requests_total")); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"request_id": "mine", "source_ip": "10.1.1.1", "method": "POST", "endpoint": route, "status": 429.0} {
		if line[name] != want {
			t.Errorf("logged %s = %v, want %v", name, line[name], want)
		}
	}
}

// What is logged about a signal can be joined to its request.
func TestFailuresAreLoggedWithTheRequest(t *testing.T) {
	for _, name := range []string{"NoKubernetes", "NoRedis", "Panic"} {
		var log bytes.Buffer
		s, _ := newServer(t, func(o *Options) { o.Logger = logging.New(&log, nil) })
		do(s, "POST", route, named(name), "X-Request-ID", "mine")
		var failure map[string]any
		if err := json.NewDecoder(&log).Decode(&failure); err != nil {
			t.Fatal(err)
		}
		if failure["level"] != "ERROR" || failure["request_id"] != "mine" {
			t.Errorf("%s: logged %v", name, failure)
		}
		if text := fmt.Sprint(failure); strings.Contains(text, "hunter2") {
			t.Errorf("%s: the log has the secret: %s", name, text)
		}
	}
}

func TestContentTypesAccepted(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, contentType := range []string{"", "application/json", "Application/JSON; charset=utf-8", `application/json; v="1"; x=y`} {
		if r := do(s, "POST", route, named("New"), "Content-Type", contentType); r.Code != 201 {
			t.Errorf("%q: %d", contentType, r.Code)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	s, _ := newServer(t, nil)
	body := named("New")
	exact := body + strings.Repeat(" ", maxBodyBytes-len(body))
	if r := do(s, "POST", route, exact); r.Code != 201 {
		t.Errorf("%d bytes: %d", len(exact), r.Code)
	}
	// Also without a length announced.
	request := httptest.NewRequest("POST", route, io.MultiReader(strings.NewReader(exact), strings.NewReader(" ")))
	request.ContentLength = -1
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, request)
	if r.Code != 413 {
		t.Errorf("one byte more, chunked: %d", r.Code)
	}
}

func TestRequestID(t *testing.T) {
	s, _ := newServer(t, nil)
	if got := do(s, "GET", "/health", "", "X-Request-ID", "mine").Header().Get("X-Request-ID"); got != "mine" {
		t.Errorf("id %q", got)
	}
	for _, unfit := range []string{"", "with space", strings.Repeat("x", maxRequestID+1), "ä"} {
		if got := do(s, "GET", "/health", "", "X-Request-ID", unfit).Header().Get("X-Request-ID"); len(got) != 36 {
			t.Errorf("in place of %q: %q", unfit, got)
		}
	}
}

func TestSecurityHeadersAreEverywhere(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, path := range []string{"/health", "/nowhere", "/metrics", route} {
		r := do(s, "GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
		} {
			if got := r.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestTimestamp(t *testing.T) {
	s, _ := newServer(t, nil)
	s.now = func() time.Time { return seen }
	at := func(offset time.Duration) string { return strconv.FormatInt(seen.Add(offset).Unix(), 10) }
	for text, want := range map[string]int{
		"": 201, at(0): 201, at(-5 * time.Minute): 201, at(2 * time.Minute): 201,
		at(-5*time.Minute - time.Second): 400, at(2*time.Minute + time.Second): 400, "-1": 400, "now": 400, "1.5": 400,
	} {
		if r := do(s, "POST", route, named("New"), "X-Timestamp", text); r.Code != want {
			t.Errorf("X-Timestamp %q: %d, want %d", text, r.Code, want)
		}
	}
	if r := do(s, "GET", "/health", "", "X-Timestamp", "now"); r.Code != 200 {
		t.Errorf("other routes: %d", r.Code)
	}
}

func TestRateLimit(t *testing.T) {
	s, m := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 60, 2 })
	now := seen
	s.now = func() time.Time { return now }
	send := func(client string) *httptest.ResponseRecorder {
		return do(s, "POST", route, named("New"), "X-Forwarded-For", client)
	}
	for i, want := range []int{201, 201, 429, 429} {
		r := send("10.1.1.1")
		if r.Code != want {
			t.Fatalf("request %d: %d", i, r.Code)
		}
		if want == 429 && (r.Header().Get("Retry-After") != "1" || decode(t, r)["type"] != "https://kubernaut.io/errors/rate-limit-exceeded") {
			t.Errorf("refusal %v %s", r.Header(), r.Body)
		}
	}
	if r := do(s, "POST", eventRoute, fullEvent("Warning", "New"), "X-Forwarded-For", "10.1.1.1"); r.Code != 429 {
		t.Errorf("the other signal route: %d", r.Code)
	}
	if r := send("10.1.1.2"); r.Code != 201 {
		t.Errorf("another client: %d", r.Code)
	}
	now = now.Add(time.Second)
	if r := send("10.1.1.1"); r.Code != 201 {
		t.Errorf("a second later: %d", r.Code)
	}
	if r := do(s, "GET", "/health", "", "X-Forwarded-For", "10.1.1.1"); r.Code != 200 {
		t.Errorf("other routes: %d", r.Code)
	}
	if diff := cmp.Diff(map[string]float64{`{source_ip="10.1.1.1"}`: 3}, counted(t, m, "gateway_rate_limit_exceeded_total")); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
}

func TestRateLimitForgetsClients(t *testing.T) {
	l := &limiter{every: time.Second, burst: 1, buckets: make(map[string]*rate.Limiter)}
	for i := range 10 {
		l.take(fmt.Sprint(i), seen)
	}
	l.take("later", seen.Add(2*time.Minute))
	if len(l.buckets) != 1 {
		t.Errorf("%d clients remembered", len(l.buckets))
	}
}

func TestRealIP(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{nil, "192.0.2.1"},
		{[]string{"X-Forwarded-For", "10.0.0.3, 10.0.0.9"}, "10.0.0.3"},
		{[]string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "10.0.0.2"}, "10.0.0.2"},
		{[]string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "10.0.0.2", "True-Client-IP", "::1"}, "::1"},
		{[]string{"X-Forwarded-For", "not an address"}, "192.0.2.1"},
		{[]string{"X-Forwarded-For", "not an address, 10.0.0.3"}, "192.0.2.1"},
		{[]string{"X-Real-IP", "not an address", "X-Forwarded-For", "10.0.0.3"}, "192.0.2.1"},
		{[]string{"X-Real-IP", "2001:DB8:0:0::1"}, "2001:db8::1"},
	} {
		var got string
		handler := realIP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = clientIP(r) }))
		request := httptest.NewRequest("GET", "/", nil)
		for i := 0; i < len(c.headers); i += 2 {
			request.Header.Set(c.headers[i], c.headers[i+1])
		}
		handler.ServeHTTP(httptest.NewRecorder(), request)
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.headers, got, c.want)
		}
	}
}

// Senders choose the address that counts as theirs; however many they make up, the
// memory they take is bounded, and comes back.
func TestRateLimitIsBounded(t *testing.T) {
	l := &limiter{every: time.Second, burst: 1, buckets: make(map[string]*rate.Limiter)}
	refused := 0
	for i := range maxClients + 100 {
		if l.take(fmt.Sprint(i), seen) > 0 {
			refused++
		}
	}
	if n := len(l.buckets); n > maxClients+1 {
		t.Errorf("%d clients remembered", n)
	}
	if refused != 99 {
		t.Errorf("%d of the 100 clients too many were refused, want all but the first", refused)
	}
	if wait := l.take("new", seen.Add(2*time.Second)); wait > 0 || len(l.buckets) != 1 {
		t.Errorf("once all could send again: a new one must wait for %s, %d are remembered", wait, len(l.buckets))
	}
}

func TestRetryAfterCoversTheWait(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 25, 1 }) // one in 2.4 s
	now := seen
	s.now = func() time.Time { return now }
	do(s, "POST", route, named("New"))
	r := do(s, "POST", route, named("New"))
	if r.Code != 429 || r.Header().Get("Retry-After") != "3" {
		t.Errorf("%d, Retry-After %s", r.Code, r.Header().Get("Retry-After"))
	}
	now = now.Add(3 * time.Second)
	if r := do(s, "POST", route, named("New")); r.Code != 201 {
		t.Errorf("after that time: %d", r.Code)
	}
}
